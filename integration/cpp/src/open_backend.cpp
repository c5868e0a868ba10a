// SPDX-License-Identifier: BSD-3-Clause
// Which backend runs a graph.
#include "errors.hpp"
#include "onnxruntime_backend.hpp"
#include "shower_model.hpp"

namespace fastcalo::core {

std::unique_ptr<Backend> open_backend(std::string_view image, const ModelOptions& options) {
    if (options.backend == BackendKind::native)
        fail(Code::backend, "this library was built without the native engine; ask for the backend onnxruntime");
    return open_onnxruntime(image, options.onnxruntime_library, options.threads);
}

}  // namespace fastcalo::core
