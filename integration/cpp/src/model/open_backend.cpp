// SPDX-License-Identifier: BSD-3-Clause
// Which backend runs a graph.
#include "graph/native_backend.hpp"
#include "model/onnxruntime_backend.hpp"
#include "model/shower_model.hpp"
#include "support/errors.hpp"

namespace fastcalo::core {

std::unique_ptr<Backend> open_backend(std::string_view image, const ModelOptions& options) {
    if (options.backend == BackendKind::onnxruntime)
        return open_onnxruntime(image, options.onnxruntime_library, options.threads);
    std::string problem;
    try {
        return open_native(image);
    } catch (const Error& error) {
        if (options.backend == BackendKind::native || error.code() != Code::backend) throw;
        problem = std::string("the native engine does not run it: ") + error.what();
    }
    try {
        return open_onnxruntime(image, options.onnxruntime_library, options.threads);
    } catch (const Error& error) {
        fail(error.code(), problem + ", and " + error.what());
    }
}

}  // namespace fastcalo::core
