// SPDX-License-Identifier: BSD-3-Clause
// Plain functions around the executor, for tests and measurements from other languages.
#include <cstring>
#include <string>

#include "graph/graph.hpp"

namespace {

thread_local std::string last_error;

template <class F>
auto guarded(F&& f) -> decltype(f()) {
    try {
        return f();
    } catch (const std::exception& e) {
        last_error = e.what();
        return {};
    }
}

}  // namespace

#if defined(__GNUC__)
#define FASTCALO_VISIBLE __attribute__((visibility("default")))
#else
#define FASTCALO_VISIBLE
#endif

extern "C" {

using fastcalo::graph::Graph;
using fastcalo::graph::Input;
using fastcalo::graph::Shape;
using fastcalo::graph::Tensor;

FASTCALO_VISIBLE const char* fastcalo_graph_error() { return last_error.c_str(); }

FASTCALO_VISIBLE const char* fastcalo_graph_kernels() { return fastcalo::graph::kernels().name; }

// Load a model; `names` are those of the outputs to compute. Null where that fails.
FASTCALO_VISIBLE void* fastcalo_graph_open(const void* bytes, std::size_t size, const char* const* names, std::size_t n) {
    return guarded([&]() -> void* {
        const fastcalo::graph::onnx::Model model = fastcalo::graph::onnx::read(bytes, size);
        return new Graph(model, std::vector<std::string>(names, names + n));
    });
}

FASTCALO_VISIBLE void fastcalo_graph_close(void* graph) { delete static_cast<Graph*>(graph); }

FASTCALO_VISIBLE std::size_t fastcalo_graph_instructions(const void* graph) {
    return static_cast<const Graph*>(graph)->instructions();
}

// Run. Inputs in the order of the file: data (null: left out), number of axes and lengths, `axes` apart. Null where
// that fails, else a result.
FASTCALO_VISIBLE void* fastcalo_graph_run(const void* graph, const void* const* data, const std::int64_t* ranks,
                                          const std::int64_t* lengths, std::size_t n, int profile) {
    return guarded([&]() -> void* {
        std::vector<Input> inputs(n);
        for (std::size_t k = 0; k < n; ++k) {
            inputs[k].data = data[k];
            inputs[k].shape = Shape::of(lengths + k * fastcalo::graph::kMaxRank, ranks[k]);
        }
        return new Graph::Result(static_cast<const Graph*>(graph)->run(inputs, profile != 0));
    });
}

FASTCALO_VISIBLE const void* fastcalo_graph_output(const void* result, std::size_t k, int* type, std::int64_t* rank,
                                                   std::int64_t* lengths) {
    const Tensor& t = (*static_cast<const Graph::Result*>(result))[k];
    *type = static_cast<int>(t.type);
    *rank = t.shape.rank;
    std::memcpy(lengths, t.shape.d.data(), sizeof t.shape.d);
    return t.data;
}

// Seconds and calls of each kind of instruction, then multiplications and additions in products.
FASTCALO_VISIBLE void fastcalo_graph_profile(const void* result, double* numbers) {
    const fastcalo::graph::Profile& p = static_cast<const Graph::Result*>(result)->profile();
    for (int k = 0; k < fastcalo::graph::kKinds; ++k) {
        numbers[2 * k] = p.seconds[k];
        numbers[2 * k + 1] = static_cast<double>(p.calls[k]);
    }
    numbers[2 * fastcalo::graph::kKinds] = p.multiplications;
}

FASTCALO_VISIBLE void fastcalo_graph_release(void* result) { delete static_cast<Graph::Result*>(result); }
}
