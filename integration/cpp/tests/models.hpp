// SPDX-License-Identifier: BSD-3-Clause
// What tests share that run models: opening one with a backend, or leaving the test where that is not there.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "fastcalo/fastcalo.hpp"

namespace models {

inline constexpr int SKIPPED = 77;  // CMake's SKIP_RETURN_CODE

inline fastcalo::ModelOptions options(const std::string& backend) {
    fastcalo::ModelOptions out;
    out.backend = backend == "native" ? FASTCALO_BACKEND_NATIVE : FASTCALO_BACKEND_ONNXRUNTIME;
    return out;
}

// Whether the backend is there; prints why not.
inline bool available(const std::string& backend, const std::string& folder) {
    try {
        (void)fastcalo::ShowerModel(folder + "/em.onnx", options(backend));
        return true;
    } catch (const fastcalo::Error& error) {
        std::printf("skipped: %s\n", error.what());
        if (error.code() == FASTCALO_NOT_FOUND || error.code() == FASTCALO_BACKEND) return false;
        throw;
    }
}

}  // namespace models
