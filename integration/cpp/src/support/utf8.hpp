// SPDX-License-Identifier: BSD-3-Clause
// Characters of texts in UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fastcalo::core {

// Decodes the character at `at` and moves on; false where it is not UTF-8 (RFC 3629).
bool next_character(std::string_view text, std::size_t& at, std::uint32_t& code) noexcept;

void append_utf8(std::string& out, std::uint32_t code);

bool is_utf8(std::string_view text) noexcept;

}  // namespace fastcalo::core
