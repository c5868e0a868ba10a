// SPDX-License-Identifier: BSD-3-Clause
// Names of operators, for messages.
#include "graph/base/names.hpp"

#include <cstddef>

namespace fastcalo::graph {

const char* name_of(Op op) {
    static const char* const names[] = {
        "Abs",
        "Add",
        "And",
        "BitwiseAnd",
        "Cast",
        "ClipHigh",
        "ClipLow",
        "Div",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Floor",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pow",
        "Reciprocal",
        "Relu",
        "Sigmoid",
        "Silu",
        "Sqrt",
        "Sub",
        "Take",
        "Tanh",
        "Where",
        "Concat",
        "ConstantOfShape",
        "CumSum",
        "Gather",
        "GatherElements",
        "If",
        "Loop",
        "MatMul",
        "NonZero",
        "Range",
        "ReduceMax",
        "ReduceMin",
        "ReduceSum",
        "Reshape",
        "Scan",
        "ScatterElements",
        "ScatterND",
        "ScatterTake",
        "Shape",
        "Slice",
        "Softmax",
        "Split",
        "TopK",
        "Transpose",
    };
    static_assert(sizeof names / sizeof names[0] == static_cast<std::size_t>(Op::Count));
    return names[static_cast<std::size_t>(op)];
}

}  // namespace fastcalo::graph
