// SPDX-License-Identifier: BSD-3-Clause
// Kernels: loops over plain arrays, compiled once for each level of vector instructions and chosen when a graph is
// loaded.
#pragma once

#include <cstdint>

#include "graph/base/ops.hpp"

namespace fastcalo::graph {

enum class Type : std::uint8_t;

// One operator on n elements: result, up to three operands. Operands may be the result.
using StepFn = void (*)(void* d, const void* a, const void* b, const void* c, std::int64_t n);

// d[i, j] = sum over k of a[i, k] b[k, j] + bias[i, j], and SiLU of it if asked. Strides count elements.
struct Product {
    std::int64_t m = 0, n = 0, k = 0;
    const float* a = nullptr;
    std::int64_t a_row = 0, a_column = 0;
    const float* b = nullptr;  // packed by `pack`, or rows of n elements
    bool packed = false;
    float* d = nullptr;
    std::int64_t d_row = 0, d_column = 0;
    const float* bias = nullptr;  // none if null
    std::int64_t bias_row = 0, bias_column = 0;
    bool silu = false;
};

// Blocks of Philox4x32-10 from one on (support/random_numbers.hpp): its key, and the rest of its counter.
struct RandomBlocks {
    std::uint64_t seed, digest;
    std::uint32_t particle, first;
};

// The highest of some indices, whether one is negative, and whether they never fall and mostly repeat.
struct Places {
    std::int64_t highest;
    bool negative, repeated;
};

struct Kernels {
    const char* name;
    // The step of an operator for operands and result of some types (of Where: of its last operands); null if none.
    StepFn (*step)(Op op, Type operand, Type result);
    // What there is to know about indices of 4 or 8 bytes (wide).
    Places (*look)(const void* index, std::int64_t n, int wide);
    // Elements of a table at indices that were looked at; negative ones count from the end. False if one is outside.
    bool (*take)(void* d, const void* table, std::int64_t count, const void* index, std::int64_t n, int element,
                 int wide, const Places& places);
    void (*product)(const Product& p);
    // Elements that a packed matrix of k rows and n columns takes; and how it is packed, from element strides.
    std::int64_t (*packed_size)(std::int64_t k, std::int64_t n);
    void (*pack)(float* to, const float* b, std::int64_t k, std::int64_t n, std::int64_t row, std::int64_t column);
    // Softmax over the middle one of three axes.
    void (*softmax)(float* d, const float* a, std::int64_t outer, std::int64_t length, std::int64_t inner);
    // Sum, smallest (op Min) or largest (op Max) over the middle one of three axes.
    void (*reduce)(Op op, Type type, void* d, const void* a, std::int64_t outer, std::int64_t length,
                   std::int64_t inner);
    // The eight halves of each of n blocks as numbers: what a table of 2^16 has for them, or, without one, the middle
    // of the bin that each is of between 0 and 1.
    void (*random_halves)(const RandomBlocks& blocks, std::int64_t n, const float* table, float* d);
};

// The best kernels for this processor, or those of a level named in the environment (FASTCALO_KERNELS).
const Kernels& kernels();

}  // namespace fastcalo::graph
