// SPDX-License-Identifier: BSD-3-Clause
// Random numbers of 16 bits. Compiled once for each level, into a namespace of its own (FASTCALO_LEVEL).
//
// Philox4x32-10: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 3.3.
#include "graph/base/types.hpp"
#include "graph/kernels/level.hpp"

namespace fastcalo::graph::FASTCALO_LEVEL {
namespace {

// Blocks that are made together: more than compilers unroll, so that they make vectors of them.
constexpr int kLanes = 32;

using Lanes = std::uint32_t[kLanes];

// Words 0 to 3 of kLanes blocks from one on.
void make_blocks(const RandomBlocks& blocks, std::uint32_t first, Lanes& x0, Lanes& x1, Lanes& x2, Lanes& x3) {
    for (int l = 0; l < kLanes; ++l) {
        x0[l] = first + static_cast<std::uint32_t>(l);
        x1[l] = blocks.particle;
        x2[l] = static_cast<std::uint32_t>(blocks.digest);
        x3[l] = static_cast<std::uint32_t>(blocks.digest >> 32);
    }
    auto k0 = static_cast<std::uint32_t>(blocks.seed), k1 = static_cast<std::uint32_t>(blocks.seed >> 32);
    for (int round = 0; round < 10; ++round) {
        FASTCALO_VECTORISE
        for (int l = 0; l < kLanes; ++l) {
            const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x0[l], p1 = std::uint64_t{0xCD9E8D57U} * x2[l];
            x0[l] = static_cast<std::uint32_t>(p1 >> 32) ^ x1[l] ^ k0;
            x1[l] = static_cast<std::uint32_t>(p1);
            x2[l] = static_cast<std::uint32_t>(p0 >> 32) ^ x3[l] ^ k1;
            x3[l] = static_cast<std::uint32_t>(p0);
        }
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
}

}  // namespace

void random_halves(const RandomBlocks& blocks, std::int64_t n, const float* table, float* d) {
    Lanes x0, x1, x2, x3;
    std::uint32_t words[4 * kLanes];
    for (std::int64_t at = 0; at < n; at += kLanes) {
        make_blocks(blocks, blocks.first + static_cast<std::uint32_t>(at), x0, x1, x2, x3);
        for (int l = 0; l < kLanes; ++l) {
            words[4 * l] = x0[l];
            words[4 * l + 1] = x1[l];
            words[4 * l + 2] = x2[l];
            words[4 * l + 3] = x3[l];
        }
        const int count = 4 * static_cast<int>(n - at < kLanes ? n - at : kLanes);
        float* const to = d + 8 * at;
        if (table) {
            for (int k = 0; k < count; ++k) {
                to[2 * k] = table[words[k] & 0xFFFFU];
                to[2 * k + 1] = table[words[k] >> 16];
            }
        } else {
            FASTCALO_VECTORISE
            for (int k = 0; k < count; ++k) {
                to[2 * k] = (static_cast<float>(static_cast<std::int32_t>(words[k] & 0xFFFFU)) + 0.5F) * 0x1p-16F;
                to[2 * k + 1] = (static_cast<float>(static_cast<std::int32_t>(words[k] >> 16)) + 0.5F) * 0x1p-16F;
            }
        }
    }
}

}  // namespace fastcalo::graph::FASTCALO_LEVEL
