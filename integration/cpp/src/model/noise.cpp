// SPDX-License-Identifier: BSD-3-Clause
#include "model/noise.hpp"

#include <algorithm>
#include <cmath>

#include "graph/kernels/kernels.hpp"
#include "support/constants.hpp"
#include "support/errors.hpp"

namespace fastcalo::core {
namespace {

constexpr std::uint32_t TENSOR_STRIDE = 1u << 24;  // blocks that are set aside for each tensor of a shower
constexpr std::size_t WORDS = 4, HALVES = 8;       // numbers of 32 or 16 bits that a block holds

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

// Quantiles of a distribution; null for the uniform one, where they are the numbers themselves.
const float* table_of(Distribution distribution) {
    switch (distribution) {
        case Distribution::normal:
            return normal_table().data();
        case Distribution::logistic:
            return logistic_table().data();
        case Distribution::uniform:
            break;
    }
    return nullptr;
}

// Numbers with 16 bits each, in whole blocks of eight; the last block is cut at `most`.
void draw_halves(Distribution distribution, const Stream& stream, std::uint32_t first, std::size_t blocks,
                 std::size_t most, float* out) {
    const float* const table = table_of(distribution);
    const graph::RandomBlocks all{stream.seed, stream.digest, stream.particle, first};
    const std::size_t whole = std::min(blocks, most / HALVES);
    graph::kernels().random_halves(all, static_cast<std::int64_t>(whole), table, out);
    if (whole == blocks) return;
    const graph::RandomBlocks last{stream.seed, stream.digest, stream.particle,
                                   first + static_cast<std::uint32_t>(whole)};
    float numbers[HALVES];
    graph::kernels().random_halves(last, 1, table, numbers);
    std::copy_n(numbers, most - whole * HALVES, out + whole * HALVES);
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
