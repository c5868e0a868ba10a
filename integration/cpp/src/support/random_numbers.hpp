// SPDX-License-Identifier: BSD-3-Clause
// Counter-based random numbers, keyed by the identity of a particle.
//
// Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 3.3), keyed
// by the seed; the counter holds the number of the block, that of the particle, and the digest of its event.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace fastcalo::core {

using Block = std::array<std::uint32_t, 4>;

Block philox(Block counter, std::uint32_t key_low, std::uint32_t key_high) noexcept;

// Finaliser of SplitMix64 after the addition of its constant (Steele, Lea & Flood, OOPSLA 2014).
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

// 64 bits that stand for an event: run, luminosity block (0 for none), event, and a word of its own (0 for none) where
// these come more than once.
constexpr std::uint64_t event_digest(std::int64_t run, std::int64_t luminosity_block, std::int64_t event,
                                     std::uint64_t repeat) noexcept {
    std::uint64_t digest = mix(static_cast<std::uint64_t>(run));
    if (luminosity_block != 0) digest = mix(digest ^ static_cast<std::uint64_t>(luminosity_block));
    digest = mix(digest ^ static_cast<std::uint64_t>(event));
    return repeat == 0 ? digest : mix(digest ^ repeat);
}

// The random numbers of one particle.
struct Stream {
    std::uint64_t seed = 0;
    std::uint64_t digest = 0;
    std::uint32_t particle = 0;

    [[nodiscard]] Block block(std::uint32_t number) const noexcept {
        return philox({number, particle, static_cast<std::uint32_t>(digest), static_cast<std::uint32_t>(digest >> 32)},
                      static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
    }
};

// Numbers strictly between 0 and 1: the middles of 2^23 equal bins.
inline float uniform(std::uint32_t word) noexcept { return (static_cast<float>(word >> 9) + 0.5f) * 0x1p-23f; }

// Quantiles of a distribution at the middles of 2^16 equal bins between 0 and 1: what halves of words stand for.
const std::vector<float>& logistic_table();
const std::vector<float>& normal_table();

// Quantile of the normal distribution (Wichura, "Algorithm AS241", Applied Statistics 37 (1988) 477).
double normal_quantile(double p) noexcept;

}  // namespace fastcalo::core
