// SPDX-License-Identifier: BSD-3-Clause
// Reader of ONNX files: the few fields of Protocol Buffers that graphs of ours use, every length checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/base/tensor.hpp"

namespace fastcalo::graph::onnx {

// A constant: shape, and elements as they lie in memory.
struct Constant {
    std::string name;
    Type type = Type::none;
    Shape shape;
    std::vector<std::byte> bytes;
};

struct Graph;

struct Attribute {
    std::string name;
    int type = 0;  // AttributeProto.AttributeType
    std::int64_t i = 0;
    float f = 0;
    std::string s;
    std::vector<std::int64_t> ints;
    Constant tensor;
    std::unique_ptr<Graph> graph;
};

struct Node {
    std::string name, op, domain;
    std::vector<std::string> inputs, outputs;
    std::vector<Attribute> attributes;
};

// An input or output that a graph declares; a length that has a name, or none, is -1.
struct ValueInfo {
    std::string name;
    Type type = Type::none;
    bool has_shape = false;
    std::vector<std::int64_t> lengths;
    std::vector<std::string> names;
};

struct Graph {
    std::string name;
    std::vector<Node> nodes;
    std::vector<Constant> initializers;
    std::vector<ValueInfo> inputs, outputs;
};

struct Model {
    std::int64_t opset = 0;
    Graph graph;
    std::map<std::string, std::string> metadata;
};

// Read a file; throws Error where its bytes are no model, or hold what no graph of ours has.
Model read(const void* bytes, std::size_t size);

}  // namespace fastcalo::graph::onnx
