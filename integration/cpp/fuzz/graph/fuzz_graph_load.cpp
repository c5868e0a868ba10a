// SPDX-License-Identifier: BSD-3-Clause
// Fuzz target: a graph is loaded and, where that succeeds, run once with inputs of few elements.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "graph/graph.hpp"

namespace graph = fastcalo::graph;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const graph::onnx::Model model = graph::onnx::read(data, size);
        const graph::Graph g(model, {}, std::size_t{1} << 24);
        std::vector<std::vector<std::byte>> memory;
        std::vector<graph::Input> inputs;
        for (const graph::GraphInput& i : g.inputs()) {
            graph::Input in;
            in.shape.rank = static_cast<int>(i.lengths.size());
            for (int d = 0; d < in.shape.rank; ++d) {
                const std::int64_t length = i.lengths[static_cast<std::size_t>(d)];
                in.shape[d] = length < 0 ? 3 : length;
            }
            if (in.shape.count() > 4096) return 0;
            memory.emplace_back(static_cast<std::size_t>(in.shape.count()) * size_of(i.type) + 64, std::byte{1});
            in.data = memory.back().data();
            inputs.push_back(in);
        }
        static_cast<void>(g.run(inputs));
    } catch (const graph::Error&) {
    }
    return 0;
}
