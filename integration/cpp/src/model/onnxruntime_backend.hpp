// SPDX-License-Identifier: BSD-3-Clause
// Backend `onnxruntime`: graphs run by a library of ONNX Runtime that is opened while the program runs.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "model/backend.hpp"

namespace fastcalo::core {

// library: path of libonnxruntime; where it is empty, that of the environment variable FASTCALO_ONNXRUNTIME, or what
// the dynamic loader finds. threads: within one call; 0 for one.
//
// Throws Error: not_found where there is no library, backend where it is older than 1.22 or cannot open the graph.
std::unique_ptr<Backend> open_onnxruntime(std::string_view image, const std::string& library, int threads);

}  // namespace fastcalo::core
