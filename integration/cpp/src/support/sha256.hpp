// SPDX-License-Identifier: BSD-3-Clause
// SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fastcalo::core {

class Sha256 {
  public:
    void update(const void* data, std::size_t size) noexcept;
    void update(std::string_view text) noexcept { update(text.data(), text.size()); }

    // The digest as 64 hexadecimal digits. Nothing may be added afterwards.
    [[nodiscard]] std::string hex();

  private:
    void block(const std::uint8_t* data) noexcept;

    std::array<std::uint32_t, 8> state_{0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                        0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    std::array<std::uint8_t, 64> buffer_{};
    std::size_t filled_ = 0;
    std::uint64_t length_ = 0;
};

std::string sha256(std::string_view text);

}  // namespace fastcalo::core
