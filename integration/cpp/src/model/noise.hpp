// SPDX-License-Identifier: BSD-3-Clause
// Noise tensors of a contract, drawn from one stream of random numbers per shower; the same bits as in Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/contract.hpp"
#include "support/random_numbers.hpp"

namespace fastcalo::core {

// Rows that a tensor of a batch must have: those of its largest energy, and 1 where no length is free.
std::int64_t rows_needed(const NoiseSpec& spec, const float* kinetic_energy, std::size_t n);

// Draws tensor `index` of a contract for n showers.
//
// out: float32 [n, rows, width], rows at least those that are needed. Rows beyond a shower's capacity are zero.
void draw(const NoiseSpec& spec, std::size_t index, const Stream* streams, const float* kinetic_energy, std::size_t n,
          std::int64_t rows, float* out);

}  // namespace fastcalo::core
