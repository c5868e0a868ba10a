// SPDX-License-Identifier: BSD-3-Clause
#include "model/noise.hpp"

#include <algorithm>
#include <cmath>

#include "support/constants.hpp"
#include "support/errors.hpp"

namespace fastcalo::core {
namespace {

constexpr std::uint32_t TENSOR_STRIDE = 1u << 24;  // blocks that are set aside for each tensor of a shower
constexpr std::size_t WORDS = 4, HALVES = 8;       // numbers of 32 or 16 bits that a block holds
constexpr std::size_t LANES = 16;                  // blocks that are made together: the compiler makes vectors of them

double logistic(float u) noexcept {
    const double x = u;
    return std::log(x / (1 - x));
}

// All numbers of a tensor with 32 bits each: four a block.
void draw_words(Distribution distribution, const Stream& stream, std::uint32_t first, std::size_t count, float* out) {
    for (std::size_t at = 0; at < count; at += WORDS) {
        const Block words = stream.block(first + static_cast<std::uint32_t>(at / WORDS));
        float numbers[WORDS];
        for (std::size_t k = 0; k < WORDS; k += 2) {
            const float u = uniform(words[k]), v = uniform(words[k + 1]);
            if (distribution == Distribution::uniform) {
                numbers[k] = u;
                numbers[k + 1] = v;
            } else if (distribution == Distribution::logistic) {
                numbers[k] = static_cast<float>(logistic(u));
                numbers[k + 1] = static_cast<float>(logistic(v));
            } else {
                // Box & Muller, Ann. Math. Stat. 29 (1958) 610
                const double radius = std::sqrt(-2 * std::log(static_cast<double>(u)));
                const double angle = TWO_PI * static_cast<double>(v);
                numbers[k] = static_cast<float>(radius * std::cos(angle));
                numbers[k + 1] = static_cast<float>(radius * std::sin(angle));
            }
        }
        std::copy_n(numbers, std::min(WORDS, count - at), out + at);
    }
}

const std::vector<float>& table_of(Distribution distribution) {
    switch (distribution) {
        case Distribution::normal:
            return normal_table();
        case Distribution::logistic:
            return logistic_table();
        case Distribution::uniform:
            break;
    }
    return uniform_table();
}

// LANES blocks from one on; word k of lane l is words[k][l].
void many_blocks(const Stream& stream, std::uint32_t first, std::uint32_t (&words)[WORDS][LANES]) noexcept {
    std::uint32_t x0[LANES], x1[LANES], x2[LANES], x3[LANES];
    for (std::size_t l = 0; l < LANES; ++l) {
        x0[l] = first + static_cast<std::uint32_t>(l);
        x1[l] = stream.particle;
        x2[l] = static_cast<std::uint32_t>(stream.digest);
        x3[l] = static_cast<std::uint32_t>(stream.digest >> 32);
    }
    auto k0 = static_cast<std::uint32_t>(stream.seed), k1 = static_cast<std::uint32_t>(stream.seed >> 32);
    for (int round = 0; round < 10; ++round) {
        for (std::size_t l = 0; l < LANES; ++l) {
            const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * x0[l], p1 = std::uint64_t{0xCD9E8D57u} * x2[l];
            x0[l] = static_cast<std::uint32_t>(p1 >> 32) ^ x1[l] ^ k0;
            x1[l] = static_cast<std::uint32_t>(p1);
            x2[l] = static_cast<std::uint32_t>(p0 >> 32) ^ x3[l] ^ k1;
            x3[l] = static_cast<std::uint32_t>(p0);
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    std::copy_n(x0, LANES, words[0]);
    std::copy_n(x1, LANES, words[1]);
    std::copy_n(x2, LANES, words[2]);
    std::copy_n(x3, LANES, words[3]);
}

// Numbers with 16 bits each, in whole blocks of eight; the last block is cut at `most`.
void draw_halves(Distribution distribution, const Stream& stream, std::uint32_t first, std::size_t blocks,
                 std::size_t most, float* out) {
    const float* const table = table_of(distribution).data();
    std::uint32_t words[WORDS][LANES];
    for (std::size_t block = 0; block < blocks; block += LANES) {
        many_blocks(stream, first + static_cast<std::uint32_t>(block), words);
        for (std::size_t l = 0; l < LANES && block + l < blocks; ++l) {
            float numbers[HALVES];
            for (std::size_t k = 0; k < WORDS; ++k) {
                const std::uint32_t word = words[k][l];
                // a half h of a word gives the quantile at (h + 1/2) 2^-16; of the uniform distribution that is itself
                if (distribution == Distribution::uniform) {
                    numbers[2 * k] = (static_cast<float>(word & 0xFFFF) + 0.5f) * 0x1p-16f;
                    numbers[2 * k + 1] = (static_cast<float>(word >> 16) + 0.5f) * 0x1p-16f;
                } else {
                    numbers[2 * k] = table[word & 0xFFFF];
                    numbers[2 * k + 1] = table[word >> 16];
                }
            }
            const std::size_t at = (block + l) * HALVES;
            if (at >= most) return;
            std::copy_n(numbers, std::min(HALVES, most - at), out + at);
        }
    }
}

}  // namespace

std::int64_t rows_needed(const NoiseSpec& spec, const float* kinetic_energy, std::size_t n) {
    std::int64_t rows = 1;
    for (std::size_t i = 0; i < n; ++i) rows = std::max(rows, spec.rows(kinetic_energy[i]));
    return rows;
}

void draw(const NoiseSpec& spec, std::size_t index, const Stream* streams, const float* kinetic_energy, std::size_t n,
          std::int64_t rows, float* out) {
    if (index >= 256)
        fail(Code::contract, "noise tensor '" + spec.name + "' is the 257th or later: there are numbers for 256");
    const std::size_t width = spec.width(), shower = static_cast<std::size_t>(rows) * width;
    const auto first = static_cast<std::uint32_t>(index) * TENSOR_STRIDE;
    for (std::size_t i = 0; i < n; ++i, out += shower) {
        if (!spec.capacity) {
            draw_words(spec.distribution, streams[i], first, width, out);
            continue;
        }
        const std::size_t numbers = static_cast<std::size_t>(spec.rows(kinetic_energy[i])) * width;
        const std::size_t blocks = (numbers + HALVES - 1) / HALVES;
        if (blocks > TENSOR_STRIDE)
            fail(Code::contract, "noise tensor '" + spec.name + "' asks for more random numbers than a particle has");
        const std::size_t filled = std::min(blocks * HALVES, shower);
        draw_halves(spec.distribution, streams[i], first, blocks, filled, out);
        std::fill(out + filled, out + shower, 0.0f);
    }
}

}  // namespace fastcalo::core
