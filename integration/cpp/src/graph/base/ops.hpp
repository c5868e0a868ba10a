// SPDX-License-Identifier: BSD-3-Clause
// Operators: those of ONNX that graphs of ours use, as the executor knows them.
#pragma once

#include <cstdint>

namespace fastcalo::graph {

// Element by element, with broadcasting; these are fused.
enum class Op : std::uint8_t {
    Abs,
    Add,
    And,
    BitwiseAnd,
    Cast,
    ClipHigh,  // the smaller of x and a limit
    ClipLow,   // the larger of x and a limit
    Div,
    Equal,
    Erf,
    Exp,
    Expand,  // element by element too: the value itself, broadcast to a shape
    Floor,
    Less,
    LessOrEqual,
    Log,
    Max,
    Min,
    Mod,
    Mul,
    Neg,
    Not,
    Or,
    Pow,
    Reciprocal,
    Relu,
    Sigmoid,
    Silu,  // x times its sigmoid
    Sqrt,
    Sub,
    Take,  // elements of a vector, at indices
    Tanh,
    Where,
    LastElementwise = Where,

    Concat,
    ConstantOfShape,
    CumSum,
    Gather,
    GatherElements,
    If,
    Loop,
    MatMul,  // Gemm too
    NonZero,
    Range,
    ReduceMax,
    ReduceMin,
    ReduceSum,
    Reshape,
    Scan,
    ScatterElements,
    ScatterND,
    ScatterTake,  // elements are scattered into a constant, and taken from there at the same places
    Shape,
    Slice,
    Softmax,
    Split,
    TopK,
    Transpose,
    Count,
};

constexpr bool is_elementwise(Op op) { return op <= Op::LastElementwise; }

}  // namespace fastcalo::graph
