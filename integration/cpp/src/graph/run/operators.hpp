// SPDX-License-Identifier: BSD-3-Clause
// What the functions that run operators share.
#pragma once

#include <algorithm>
#include <cstring>

#include "graph/base/names.hpp"
#include "graph/run/executor.hpp"

namespace fastcalo::graph {

inline const Tensor& input(Run& run, const Instruction& i, std::size_t k) { return run.slot(i.in[k]); }

// Elements before, along and behind an axis.
struct Around {
    std::int64_t outer, length, inner;
    Around(const Shape& s, std::int64_t axis)
        : outer(s.product(0, static_cast<int>(axis))),
          length(s[static_cast<int>(axis)]),
          inner(s.product(static_cast<int>(axis) + 1, s.rank)) {}
};

// An integer of a tensor of int32 or int64.
inline std::int64_t integer_at(const Tensor& t, std::int64_t k) {
    return t.type == Type::i64 ? t.as<std::int64_t>()[k] : t.as<std::int32_t>()[k];
}

// Copy elements of a strided array into one in C order. Strides count elements.
void copy_strided(std::byte* to, const std::byte* from, const Shape& shape, const std::int64_t* stride,
                  std::size_t element);

void run_concat(Run&, const Instruction&);
void run_constant_of_shape(Run&, const Instruction&);
void run_cumsum(Run&, const Instruction&);
void run_elementwise(Run&, const Instruction&);
void run_gather(Run&, const Instruction&);
void run_gather_elements(Run&, const Instruction&);
void run_if(Run&, const Instruction&);
void run_loop(Run&, const Instruction&);
void run_matmul(Run&, const Instruction&);
void run_nonzero(Run&, const Instruction&);
void run_range(Run&, const Instruction&);
void run_reduce(Run&, const Instruction&);
void run_reshape(Run&, const Instruction&);
void run_scan(Run&, const Instruction&);
void run_scatter(Run&, const Instruction&);
void run_scatter_nd(Run&, const Instruction&);
void run_scatter_take(Run&, const Instruction&);
void run_shape(Run&, const Instruction&);
void run_slice(Run&, const Instruction&);
void run_softmax(Run&, const Instruction&);
void run_split(Run&, const Instruction&);
void run_topk(Run&, const Instruction&);
void run_transpose(Run&, const Instruction&);

}  // namespace fastcalo::graph
