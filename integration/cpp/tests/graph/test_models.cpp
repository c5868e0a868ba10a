// SPDX-License-Identifier: BSD-3-Clause
// The shipped models in the native engine: many threads on one graph, empty batches, batches of other sizes, bad input.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <thread>

#include "../check.hpp"
#include "model_inputs.hpp"

namespace {

namespace graph = fastcalo::graph;

std::vector<std::string> results(const graph::Graph& g, const model_inputs::Inputs& in) {
    const graph::Graph::Result r = g.run(in.bound);
    std::vector<std::string> all;
    for (std::size_t k = 0; k < g.outputs().size(); ++k)
        all.emplace_back(reinterpret_cast<const char*>(r[k].data), r[k].bytes());
    return all;
}

void test_model(const std::string& path, std::int64_t pdg) {
    const std::string image = model_inputs::file_bytes(path);
    const graph::onnx::Model model = graph::onnx::read(image.data(), image.size());
    CHECK(model.metadata.count("fastcalo") == 1);
    const graph::Graph g(model, model_inputs::lists(model));
    const std::int64_t rows = 1024;

    // the same from every thread, bit for bit, and each thread has batches of several sizes
    const model_inputs::Inputs small = model_inputs::make(g, 1, pdg, rows, 1), large = model_inputs::make(g, 5, pdg, rows, 2);
    const std::vector<std::string> want_small = results(g, small), want_large = results(g, large);
    CHECK(!want_large[0].empty());
    std::vector<char> same(8, 0);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < same.size(); ++t)
        threads.emplace_back([&, t] {
            same[t] = results(g, t % 2 ? small : large) == (t % 2 ? want_small : want_large) &&
                      results(g, t % 2 ? large : small) == (t % 2 ? want_large : want_small);
        });
    for (std::thread& t : threads) t.join();
    for (const char s : same) CHECK(s);

    // no shower at all
    for (const std::string& list : results(g, model_inputs::make(g, 0, pdg, rows, 3))) CHECK(list.empty());

    model_inputs::Inputs bad = model_inputs::make(g, 2, pdg, rows, 4);
    bad.bound[1].shape = graph::Shape{2, 4};
    CHECK_THROWS(g.run(bad.bound), "direction");
    bad.bound[1].shape = graph::Shape{3, 3};
    CHECK_THROWS(g.run(bad.bound), "direction");
    bad = model_inputs::make(g, 2, pdg, rows, 4);
    bad.bound[0].data = nullptr;
    CHECK_THROWS(g.run(bad.bound), "kinetic_energy");
    // what is no number gives something, or an error, but no crash
    bad = model_inputs::make(g, 2, pdg, rows, 4);
    bad.reals[0][1] = std::nanf("");
    bad.reals[1][0] = INFINITY;
    try {
        static_cast<void>(results(g, bad));
    } catch (const graph::Error&) {
    }
    CHECK(results(g, small) == want_small);

    const graph::Graph tiny(model, model_inputs::lists(model), 1 << 16);
    CHECK_THROWS(tiny.run(large.bound), "MiB");
    CHECK_THROWS(graph::Graph(model, {"nothing"}), "nothing");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 77;
    const std::string folder = argv[1], windowed = argv[2];
    for (const auto& [name, pdg] : {std::pair<const char*, int>{"em", 11}, {"hadron", 2112}, {"muon", 13}})
        test_model(folder + "/" + name + ".onnx", pdg);
    if (std::ifstream(windowed).good()) test_model(windowed, 22);
    return CHECK_RESULT();
}
