// SPDX-License-Identifier: BSD-3-Clause
// Types of elements.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastcalo::graph {

// The numbers are those of ONNX (TensorProto.DataType).
enum class Type : std::uint8_t { none = 0, f32 = 1, u8 = 2, i16 = 5, i32 = 6, i64 = 7, boolean = 9 };

constexpr std::size_t size_of(Type type) {
    switch (type) {
        case Type::u8:
        case Type::boolean:
            return 1;
        case Type::i16:
            return 2;
        case Type::f32:
        case Type::i32:
            return 4;
        case Type::i64:
            return 8;
        case Type::none:
            break;
    }
    return 0;
}

}  // namespace fastcalo::graph
