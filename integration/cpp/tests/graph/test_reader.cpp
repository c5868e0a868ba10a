// SPDX-License-Identifier: BSD-3-Clause
// Reader of ONNX files: files that are cut short, damaged, or hold what is not known.
#include <cstdint>

#include "../check.hpp"
#include "model_inputs.hpp"

namespace {

namespace graph = fastcalo::graph;

void load(const std::string& image) {
    const graph::onnx::Model model = graph::onnx::read(image.data(), image.size());
    const graph::Graph g(model, model_inputs::lists(model));
}

std::string replaced(std::string image, const std::string& from, const std::string& to) {
    const std::size_t at = image.find(from);
    CHECK(at != std::string::npos && from.size() == to.size());
    return image.replace(at, from.size(), to);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 77;
    const std::string image = model_inputs::file_bytes(std::string(argv[1]) + "/em.onnx");
    load(image);
    CHECK_THROWS(load(""), "no graph");
    CHECK_THROWS(load("a text"), "ONNX");
    CHECK_THROWS(load(replaced(image, "\x22\x07Softmax", "\x22\x07Hardmax")), "operator Hardmax is not supported");
    CHECK_THROWS(load(replaced(image, "reduction", "reducsion")), "attribute 'reducsion' is not supported");
    for (std::size_t n = 1; n < image.size(); n += image.size() / 97) CHECK_THROWS(load(image.substr(0, n)), "");
    // one byte changed, at many places among the nodes: an error, or a graph, but no crash
    std::uint64_t state = 1;
    for (int k = 0; k < 60; ++k) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        std::string other = image;
        other[(state >> 33) % 60000] ^= static_cast<char>(1 + (state >> 20) % 255);
        try {
            load(other);
        } catch (const graph::Error&) {
        }
    }
    return CHECK_RESULT();
}
