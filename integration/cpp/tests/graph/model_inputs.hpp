// SPDX-License-Identifier: BSD-3-Clause
// Inputs of the shipped models, made without a contract: kinematics, and noise from a generator of numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "graph/graph.hpp"

namespace model_inputs {

inline std::string file_bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Outputs that are lists of hits.
inline std::vector<std::string> lists(const fastcalo::graph::onnx::Model& model) {
    std::vector<std::string> r;
    for (const auto& o : model.graph.outputs)
        for (const std::string tail : {"_shower", "_cell", "_deposit"})
            if (o.name.size() > tail.size() && o.name.substr(o.name.size() - tail.size()) == tail) r.push_back(o.name);
    return r;
}

struct Inputs {
    std::vector<std::vector<float>> reals;
    std::vector<std::int64_t> species;
    std::vector<std::uint8_t> windows{0};
    std::vector<fastcalo::graph::Input> bound;
};

inline Inputs make(const fastcalo::graph::Graph& graph, std::int64_t n, std::int64_t pdg, std::int64_t rows,
                   std::uint64_t seed) {
    using fastcalo::graph::Shape;
    Inputs r;
    r.reals.resize(graph.inputs().size());
    r.species.assign(static_cast<std::size_t>(n), pdg);
    std::uint64_t state = seed;
    const auto uniform = [&state] {
        state = state * 6364136223846793005U + 1442695040888963407U;
        return (static_cast<double>(state >> 40) + 0.5) / 16777216.0;
    };
    for (std::size_t k = 0; k < graph.inputs().size(); ++k) {
        const auto& i = graph.inputs()[k];
        fastcalo::graph::Input in;
        in.shape.rank = static_cast<int>(i.lengths.size());
        for (int d = 0; d < in.shape.rank; ++d) {
            const std::int64_t length = i.lengths[static_cast<std::size_t>(d)];
            in.shape[d] = length >= 0 ? length : d == 0 ? n : rows;
        }
        std::vector<float>& x = r.reals[k];
        x.resize(static_cast<std::size_t>(in.shape.count()));
        for (std::size_t j = 0; j < x.size(); ++j) {
            const double u = uniform();
            if (i.name == "kinetic_energy")
                x[j] = static_cast<float>(std::pow(10.0, 1.2 * u));
            else if (i.name == "direction")
                x[j] = j % 3 == 2 ? 0.98F : j % 3 == 1 ? 0.1F : 0.17F;
            else if (i.name == "entry")
                x[j] = static_cast<float>(4 * u - 2);
            else if (i.name.find("logistic") != std::string::npos)
                x[j] = static_cast<float>(std::log(u / (1 - u)));
            else if (i.name.find("normal") != std::string::npos)
                x[j] = static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(6.2831853 * uniform()));
            else
                x[j] = static_cast<float>(u);
        }
        in.data = x.data();
        if (i.name == "species") in.data = r.species.data();
        if (i.name == "windows") in.data = r.windows.data();
        r.bound.push_back(in);
    }
    return r;
}

}  // namespace model_inputs
