// SPDX-License-Identifier: BSD-3-Clause
// Fuzz target: the reader of ONNX files.
#include <cstddef>
#include <cstdint>

#include "graph/base/onnx.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        static_cast<void>(fastcalo::graph::onnx::read(data, size));
    } catch (const fastcalo::graph::Error&) {
    }
    return 0;
}
