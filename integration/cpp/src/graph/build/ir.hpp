// SPDX-License-Identifier: BSD-3-Clause
// Graph between file and plan: values, nodes and blocks, built with types and shapes known as far as they can be.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/base/onnx.hpp"
#include "graph/base/ops.hpp"
#include "graph/base/symbols.hpp"
#include "graph/base/tensor.hpp"

namespace fastcalo::graph {

// Numbers that belong to a node, besides its inputs.
struct Params {
    std::int64_t axis = 0;
    std::int64_t mode = 0;  // what it means depends on the operator
    bool flag = false, flag2 = false;
    std::vector<std::int64_t> list;
    Tensor value;  // of ConstantOfShape
};

constexpr int kAbsent = -1;  // an input that is left out

struct Node {
    Op op = Op::Abs;
    std::vector<int> in, out;
    Params p;
    std::vector<int> blocks;  // bodies
};

struct Value {
    Type type = Type::none;
    std::vector<Dim> dims;
    int block = 0;  // where it is computed; constants belong to block 0
    bool is_constant = false;
    Tensor constant;
    bool has_content = false;
    std::vector<Dim> content;  // elements of a short tensor of integers
};

struct Block {
    int parent = -1;
    std::vector<int> inputs, outputs;
    std::vector<Node> nodes;
    std::map<std::string, std::vector<int>> made;  // nodes that there are already, and what they give
};

// Modes of Reshape.
enum : std::int64_t { kTarget, kSqueeze, kUnsqueeze, kSqueezeAll };
// Modes of ScatterElements.
enum : std::int64_t { kReplace, kAdd, kMin, kMax };

struct GraphInput {
    std::string name;
    int value = 0;
    bool optional = false;
    Type type = Type::none;
    std::vector<std::int64_t> lengths;  // -1: free
};

// What is known of an output before the graph runs: type, shape, and the elements of a short tensor of integers.
struct Inferred {
    Type type = Type::none;
    std::vector<Dim> dims;
    bool has_content = false;
    std::vector<Dim> content;
};
class Ir {
  public:
    // Build the part of a model that computes some outputs (all that it has, if none are named).
    Ir(const onnx::Model& model, const std::vector<std::string>& outputs);

    std::vector<Value> values;
    std::vector<Block> blocks;  // 0 is the graph itself
    std::vector<GraphInput> inputs;
    std::vector<std::string> output_names;
    Symbols symbols;
    std::vector<std::unique_ptr<std::byte[]>> memory;  // of constants
    std::map<std::string, const std::byte*> splats;    // constants repeated for a block, in that memory

    // Add a node to the current block, unless its result is known or there already; gives its outputs.
    std::vector<int> emit(Op op, std::vector<int> in, Params p = {}, std::size_t outputs = 1);
    int emit1(Op op, std::vector<int> in, Params p = {}) { return emit(op, std::move(in), std::move(p))[0]; }
    int constant(const Tensor& t);
    int integer(std::int64_t value, Type type = Type::i64);

    Value& value(int v) { return values[static_cast<std::size_t>(v)]; }
    const Value& value(int v) const { return values[static_cast<std::size_t>(v)]; }
    Block& block(int b) { return blocks[static_cast<std::size_t>(b)]; }
    const Block& block(int b) const { return blocks[static_cast<std::size_t>(b)]; }
    int new_value(Type type, std::vector<Dim> dims);
    // Elements of a constant vector of integers; throws Error where it is none.
    std::vector<std::int64_t> integers(int v, const char* what) const;
    // Whether a shape is that of one element.
    bool is_scalar(int v) const;

  private:
    friend class Importer;
    int current_ = 0;
    std::map<std::string, int> constants_;
    std::map<int, int> sigmoids_;  // what a value is the sigmoid of
    int home(const Node& n) const;
    bool known_shape(Node& n, const std::vector<Inferred>& inferred);
    bool fold(Node& n, const std::vector<Inferred>& inferred);
    void remove_dead();
};

// Of the outputs of a node, from those of its inputs. Throws Error where they do not fit.
std::vector<Inferred> infer(Ir& ir, const Node& n, std::size_t outputs);

}  // namespace fastcalo::graph
