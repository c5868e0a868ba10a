// SPDX-License-Identifier: BSD-3-Clause
// The native engine behind the interface of backends.
#pragma once

#include <memory>
#include <string_view>

#include "model/backend.hpp"

namespace fastcalo::core {

// Load a graph from the bytes of an .onnx file. Throws Error with code `backend` where it holds what the native engine
// does not know (an operator is named), or is damaged.
std::unique_ptr<Backend> open_native(std::string_view image);

}  // namespace fastcalo::core
