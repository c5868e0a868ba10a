// SPDX-License-Identifier: BSD-3-Clause
// From the nodes of a file to those of the executor: branches and loops.
#include <algorithm>

#include "graph/build/import.hpp"

namespace fastcalo::graph {

int Importer::open_block() {
    Block b;
    b.parent = ir_.current_;
    ir_.blocks.push_back(std::move(b));
    ir_.current_ = static_cast<int>(ir_.blocks.size()) - 1;
    scopes_.emplace_back();
    return ir_.current_;
}

int Importer::body_input(const onnx::ValueInfo& declared, Type type, std::vector<Dim> dims) {
    if (declared.type != Type::none && declared.type != type)
        throw Error("body input '" + declared.name + "' is of type " + name_of(declared.type) + ", but is given " +
                    name_of(type));
    if (declared.has_shape && declared.lengths.size() != dims.size())
        throw Error("body input '" + declared.name + "' does not have the shape of what it is given");
    const int v = ir_.new_value(type, std::move(dims));
    scopes_.back()[declared.name] = v;
    ir_.block(ir_.current_).inputs.push_back(v);
    return v;
}

void Importer::close_block(const onnx::Graph& g, int block) {
    for (const onnx::Constant& c : g.initializers) scopes_.back()[c.name] = add_constant(c);
    for (const onnx::Node& n : g.nodes) add_node(n);
    for (const onnx::ValueInfo& o : g.outputs) {
        const int v = lookup(o.name);
        rank(v);
        ir_.block(block).outputs.push_back(v);
    }
    scopes_.pop_back();
    ir_.current_ = ir_.block(block).parent;
}

std::vector<int> Importer::branch(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 1, 1);
    if (ir_.value(in[0]).type != Type::boolean) throw Error("operator If: the condition must be bool");
    Node node;
    node.op = Op::If;
    node.in = in;
    for (const char* name : {"then_branch", "else_branch"}) {
        const onnx::Graph& g = a.graph(name);
        const int b = open_block();
        close_block(g, b);
        node.blocks.push_back(b);
    }
    const Values& first = ir_.block(node.blocks[0]).outputs;
    const Values& second = ir_.block(node.blocks[1]).outputs;
    if (first.size() != second.size() || first.size() < n.outputs.size())
        throw Error("operator If: its branches differ in their outputs");
    for (std::size_t k = 0; k < first.size(); ++k) {
        const Value &x = ir_.value(first[k]), &y = ir_.value(second[k]);
        if (x.type != y.type || x.dims.size() != y.dims.size())
            throw Error("operator If: its branches differ in the type or the number of axes of an output");
        std::vector<Dim> dims;
        for (std::size_t j = 0; j < x.dims.size(); ++j)
            dims.push_back(x.dims[j] == y.dims[j] ? x.dims[j] : ir_.symbols.fresh());
        node.out.push_back(ir_.new_value(ir_.value(first[k]).type, dims));
    }
    ir_.block(ir_.current_).nodes.push_back(node);
    return node.out;
}

// Lengths of states may change from one iteration to the next. Those that the body's inputs declare as equal, or as
// numbers, are checked at every iteration when the graph runs.
std::vector<int> Importer::loop(const onnx::Node& n, Attributes& a, const Values& in) {
    const onnx::Graph& g = a.graph("body");
    check_inputs(n, in, 0, 1000);
    if (in.size() < 2 || g.inputs.size() != in.size() || g.outputs.size() != in.size() - 1)
        throw Error(
            "operator Loop: inputs and outputs of its body do not fit; outputs that are stacked are not supported");
    if (in[0] != kAbsent && ir_.value(in[0]).type != Type::i64) throw Error("operator Loop: the count must be int64");
    if (in[1] != kAbsent && ir_.value(in[1]).type != Type::boolean)
        throw Error("operator Loop: the condition must be bool");
    const std::size_t states = in.size() - 2;
    Node node;
    node.op = Op::Loop;
    node.in = in;
    const int b = open_block();
    node.blocks = {b};
    const std::string where = "loop " + std::to_string(b) + " ";
    body_input(g.inputs[0], Type::i64, {});
    body_input(g.inputs[1], Type::boolean, {});
    std::vector<std::vector<Dim>> after;
    for (std::size_t k = 0; k < states; ++k) {
        const onnx::ValueInfo& v = g.inputs[k + 2];
        const std::size_t r = rank(in[k + 2]);
        if (!v.has_shape || v.lengths.size() != r)
            throw Error("operator Loop: body input '" + v.name + "' does not declare the shape of what it is given");
        std::vector<Dim> dims, ends;
        for (std::size_t j = 0; j < r; ++j) {
            dims.push_back(declared(where, v, j));
            ends.push_back(declared(where + "end ", v, j));
            std::int64_t fixed = -1;
            ir_.symbols.is_constant(dims.back(), &fixed);
            node.p.list.push_back(fixed >= 0 ? fixed : -1 - dims.back());
        }
        after.push_back(ends);
        body_input(v, ir_.value(in[k + 2]).type, dims);
    }
    close_block(g, b);
    const Values& out = ir_.block(b).outputs;
    if (ir_.value(out[0]).type != Type::boolean || !ir_.is_scalar(out[0]))
        throw Error("operator Loop: the condition that its body gives must be one bool");
    for (std::size_t k = 0; k < states; ++k) {
        const Value& x = ir_.value(out[k + 1]);
        if (x.type != ir_.value(in[k + 2]).type || x.dims.size() != after[k].size())
            throw Error("operator Loop: a state changes its type or its number of axes");
        node.out.push_back(ir_.new_value(ir_.value(in[k + 2]).type, after[k]));
    }
    ir_.block(ir_.current_).nodes.push_back(node);
    return node.out;
}

// Shapes of states stay the same; what the body gives besides them is stacked along a new first axis.
std::vector<int> Importer::scan(const onnx::Node& n, Attributes& a, const Values& in) {
    const onnx::Graph& g = a.graph("body");
    check_inputs(n, in, 1, 1000);
    const std::int64_t scanned = a.integer("num_scan_inputs", 0);
    for (const char* name : {"scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions"})
        for (const std::int64_t k : a.integers(name))
            if (k != 0)
                throw Error(std::string("operator Scan: attribute '") + name + "' other than 0 is not supported");
    if (scanned < 1 || scanned > static_cast<std::int64_t>(in.size()) || g.inputs.size() != in.size() ||
        g.outputs.size() < in.size() - static_cast<std::size_t>(scanned))
        throw Error("operator Scan: inputs and outputs of its body do not fit");
    const std::size_t states = in.size() - static_cast<std::size_t>(scanned);
    Node node;
    node.op = Op::Scan;
    node.in = in;
    node.p.mode = static_cast<std::int64_t>(states);
    const int b = open_block();
    node.blocks = {b};
    Dim length = -1;
    for (std::size_t k = 0; k < in.size(); ++k) {
        rank(in[k]);  // that it is there
        std::vector<Dim> dims = ir_.value(in[k]).dims;
        if (k >= states) {
            if (dims.empty()) throw Error("operator Scan: an input has no axis to be scanned");
            if (length < 0 || ir_.symbols.is_constant(dims[0])) length = dims[0];
            dims.erase(dims.begin());
        }
        body_input(g.inputs[k], ir_.value(in[k]).type, dims);
    }
    close_block(g, b);
    const Values& out = ir_.block(b).outputs;
    for (std::size_t k = 0; k < out.size(); ++k) {
        std::vector<Dim> dims = ir_.value(out[k]).dims;
        if (k < states) {
            if (ir_.value(out[k]).type != ir_.value(in[k]).type || dims.size() != rank(in[k]))
                throw Error("operator Scan: a state changes its type or its number of axes");
            dims = ir_.value(in[k]).dims;
        } else {
            dims.insert(dims.begin(), length);
        }
        node.out.push_back(ir_.new_value(ir_.value(out[k]).type, dims));
    }
    ir_.block(ir_.current_).nodes.push_back(node);
    return node.out;
}

}  // namespace fastcalo::graph
