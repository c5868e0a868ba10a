// SPDX-License-Identifier: BSD-3-Clause
// What the files that are compiled for one level of vector instructions share.
#pragma once

#include "graph/kernels/kernels.hpp"

#ifndef FASTCALO_LEVEL
#define FASTCALO_LEVEL portable
#endif

// Elements do not depend on one another, though a result may lie where an operand does.
#if defined(__clang__)
// a build without optimisation is no mistake
#pragma clang diagnostic ignored "-Wpass-failed"
#define FASTCALO_VECTORISE _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define FASTCALO_VECTORISE _Pragma("GCC ivdep")
#else
#define FASTCALO_VECTORISE
#endif

namespace fastcalo::graph::FASTCALO_LEVEL {

StepFn find_step(Op op, Type operand, Type result);
Places look(const void* index, std::int64_t n, int wide);
bool take(void* d, const void* table, std::int64_t count, const void* index, std::int64_t n, int element, int wide,
          const Places& places);
void product(const Product& p);
std::int64_t packed_size(std::int64_t k, std::int64_t n);
void pack(float* to, const float* b, std::int64_t k, std::int64_t n, std::int64_t row, std::int64_t column);
void softmax(float* d, const float* a, std::int64_t outer, std::int64_t length, std::int64_t inner);
void reduce(Op op, Type type, void* d, const void* a, std::int64_t outer, std::int64_t length, std::int64_t inner);
void random_halves(const RandomBlocks& blocks, std::int64_t n, const float* table, float* d);
const Kernels& table();

}  // namespace fastcalo::graph::FASTCALO_LEVEL
