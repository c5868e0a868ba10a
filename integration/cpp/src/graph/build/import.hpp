// SPDX-License-Identifier: BSD-3-Clause
// From the nodes of a file to those of the executor.
#pragma once

#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "graph/base/names.hpp"
#include "graph/build/ir.hpp"

namespace fastcalo::graph {

// Reads the attributes of a node; those that nobody asked for are refused in the end.
class Attributes {
  public:
    explicit Attributes(const onnx::Node& n) : node_(n) {}

    const onnx::Attribute* find(const char* name) {
        for (const onnx::Attribute& a : node_.attributes)
            if (a.name == name) {
                asked_.insert(a.name);
                return &a;
            }
        return nullptr;
    }
    std::int64_t integer(const char* name, std::int64_t otherwise) {
        const onnx::Attribute* a = find(name);
        return a ? a->i : otherwise;
    }
    std::vector<std::int64_t> integers(const char* name) {
        const onnx::Attribute* a = find(name);
        return a ? a->ints : std::vector<std::int64_t>{};
    }
    const onnx::Graph& graph(const char* name) {
        const onnx::Attribute* a = find(name);
        if (!a || !a->graph) throw Error("operator " + node_.op + " has no graph '" + name + "'");
        return *a->graph;
    }
    void only(const char* name, std::int64_t value) {
        if (integer(name, value) != value)
            throw Error("operator " + node_.op + ": attribute '" + name + "' other than " + std::to_string(value) +
                        " is not supported");
    }
    void done() const {
        for (const onnx::Attribute& a : node_.attributes)
            if (!asked_.count(a.name))
                throw Error("operator " + node_.op + ": attribute '" + a.name + "' is not supported");
    }

  private:
    const onnx::Node& node_;
    std::set<std::string> asked_;
};

class Importer {
  public:
    Importer(Ir& ir, const onnx::Model& model) : ir_(ir), model_(model) {}

    // Import what computes some outputs, or all.
    void run(const std::vector<std::string>& outputs);

  private:
    using Values = std::vector<int>;

    void add_inputs(const onnx::Graph& g);
    Dim declared(const std::string& where, const onnx::ValueInfo& v, std::size_t axis);
    int add_constant(const onnx::Constant& c);
    int lookup(const std::string& name) const;
    std::size_t rank(int v) const;
    void add_node(const onnx::Node& n);
    Values import(const onnx::Node& n, Attributes& a, const Values& in);

    int elementwise(Op op, Values in);
    int take(int data, int index);
    int reshaped(int v, std::int64_t mode, std::vector<std::int64_t> axes);
    int flattened(int v);

    Values cast(const onnx::Node& n, Attributes& a, const Values& in);
    Values clip(const onnx::Node& n, Attributes& a, const Values& in);
    Values concat(const onnx::Node& n, Attributes& a, const Values& in);
    Values constant_of_shape(const onnx::Node& n, Attributes& a, const Values& in);
    Values cumsum(const onnx::Node& n, Attributes& a, const Values& in);
    Values gather(const onnx::Node& n, Attributes& a, const Values& in);
    Values gather_elements(const onnx::Node& n, Attributes& a, const Values& in);
    Values gemm(const onnx::Node& n, Attributes& a, const Values& in);
    Values swapped(const onnx::Node& n, Attributes& a, const Values& in);
    Values identity(const onnx::Node& n, Attributes& a, const Values& in);
    Values chain(const onnx::Node& n, Attributes& a, const Values& in);
    Values mod(const onnx::Node& n, Attributes& a, const Values& in);
    Values nonzero(const onnx::Node& n, Attributes& a, const Values& in);
    Values range(const onnx::Node& n, Attributes& a, const Values& in);
    Values reduce(const onnx::Node& n, Attributes& a, const Values& in);
    Values reshape(const onnx::Node& n, Attributes& a, const Values& in);
    Values scatter(const onnx::Node& n, Attributes& a, const Values& in);
    Values scatter_nd(const onnx::Node& n, Attributes& a, const Values& in);
    Values shape(const onnx::Node& n, Attributes& a, const Values& in);
    Values slice(const onnx::Node& n, Attributes& a, const Values& in);
    Values softmax(const onnx::Node& n, Attributes& a, const Values& in);
    Values split(const onnx::Node& n, Attributes& a, const Values& in);
    Values squeeze(const onnx::Node& n, Attributes& a, const Values& in);
    Values topk(const onnx::Node& n, Attributes& a, const Values& in);
    Values transpose(const onnx::Node& n, Attributes& a, const Values& in);
    Values unsqueeze(const onnx::Node& n, Attributes& a, const Values& in);

    // Control flow.
    Values branch(const onnx::Node& n, Attributes& a, const Values& in);
    Values loop(const onnx::Node& n, Attributes& a, const Values& in);
    Values scan(const onnx::Node& n, Attributes& a, const Values& in);
    // A body as a new block whose inputs are these values; they are made by the caller in that block.
    int open_block();
    void close_block(const onnx::Graph& g, int block);
    int body_input(const onnx::ValueInfo& declared, Type type, std::vector<Dim> dims);

    Ir& ir_;
    const onnx::Model& model_;
    std::vector<std::unordered_map<std::string, int>> scopes_;
};

// Check how many inputs a node has.
void check_inputs(const onnx::Node& n, const std::vector<int>& in, std::size_t least, std::size_t most);
// An axis, counted from the front.
std::int64_t counted(std::int64_t axis, std::size_t rank, const std::string& op);

}  // namespace fastcalo::graph
