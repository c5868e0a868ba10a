// SPDX-License-Identifier: BSD-3-Clause
// From the nodes of a file to those of the executor.
#include "graph/build/import.hpp"

#include <algorithm>

namespace fastcalo::graph {
namespace {

// Names that a node reads, and those that its bodies read.
void add_names(const onnx::Node& n, std::set<std::string>& names) {
    names.insert(n.inputs.begin(), n.inputs.end());
    for (const onnx::Attribute& a : n.attributes)
        if (a.graph) {
            for (const onnx::Node& m : a.graph->nodes) add_names(m, names);
            for (const onnx::ValueInfo& o : a.graph->outputs) names.insert(o.name);
        }
}

}  // namespace

void check_inputs(const onnx::Node& n, const std::vector<int>& in, std::size_t least, std::size_t most) {
    if (in.size() < least || in.size() > most)
        throw Error("operator " + n.op + " has " + std::to_string(in.size()) + " inputs");
    for (std::size_t k = 0; k < least; ++k)
        if (in[k] == kAbsent) throw Error("operator " + n.op + ": an input is missing");
}

std::int64_t counted(std::int64_t axis, std::size_t rank, const std::string& op) {
    const auto r = static_cast<std::int64_t>(rank);
    if (axis < -r || axis >= r) throw Error("operator " + op + ": axis out of range");
    return axis < 0 ? axis + r : axis;
}

void Importer::run(const std::vector<std::string>& outputs) {
    const onnx::Graph& g = model_.graph;
    ir_.blocks.emplace_back();
    scopes_.emplace_back();
    add_inputs(g);
    std::set<std::string> wanted(outputs.begin(), outputs.end());
    std::set<std::string> have;
    for (const onnx::ValueInfo& o : g.outputs) {
        have.insert(o.name);
        if (outputs.empty()) wanted.insert(o.name);
    }
    for (const std::string& o : outputs)
        if (!have.count(o)) throw Error("the graph has no output '" + o + "'");
    for (const onnx::Constant& c : g.initializers)
        if (!scopes_.back().count(c.name)) scopes_.back()[c.name] = add_constant(c);
    std::vector<char> needed(g.nodes.size(), 0);
    std::set<std::string> names = wanted;
    for (std::size_t k = g.nodes.size(); k-- > 0;) {
        needed[k] = std::any_of(g.nodes[k].outputs.begin(), g.nodes[k].outputs.end(),
                                [&](const std::string& o) { return names.count(o) > 0; });
        if (needed[k]) add_names(g.nodes[k], names);
    }
    for (std::size_t k = 0; k < g.nodes.size(); ++k)
        if (needed[k]) add_node(g.nodes[k]);
    for (const onnx::ValueInfo& o : g.outputs)
        if (wanted.count(o.name)) {
            ir_.output_names.push_back(o.name);
            const int v = lookup(o.name);
            rank(v);  // that it is there
            ir_.blocks[0].outputs.push_back(v);
        }
    ir_.remove_dead();
}

void Importer::add_inputs(const onnx::Graph& g) {
    for (const onnx::ValueInfo& i : g.inputs) {
        GraphInput in;
        in.name = i.name;
        in.type = i.type;
        in.lengths = i.lengths;
        for (const onnx::Constant& c : g.initializers) in.optional = in.optional || c.name == i.name;
        if (i.type == Type::none || !i.has_shape) throw Error("input '" + i.name + "' has no type or shape");
        std::vector<Dim> dims;
        for (std::size_t k = 0; k < i.lengths.size(); ++k) dims.push_back(declared("in ", i, k));
        in.value = ir_.new_value(i.type, dims);
        scopes_.back()[i.name] = in.value;
        ir_.blocks[0].inputs.push_back(in.value);
        ir_.inputs.push_back(in);
    }
}
Dim Importer::declared(const std::string& where, const onnx::ValueInfo& v, std::size_t axis) {
    if (v.lengths[axis] >= 0) return ir_.symbols.constant(v.lengths[axis]);
    return v.names[axis].empty() ? ir_.symbols.fresh() : ir_.symbols.named(where + v.names[axis]);
}
int Importer::add_constant(const onnx::Constant& c) {
    Tensor t;
    t.type = c.type;
    t.shape = c.shape;
    t.count = c.shape.count();
    t.data = const_cast<std::byte*>(c.bytes.data());
    return ir_.constant(t);
}
int Importer::lookup(const std::string& name) const {
    if (name.empty()) return kAbsent;
    for (std::size_t k = scopes_.size(); k-- > 0;) {
        const auto at = scopes_[k].find(name);
        if (at != scopes_[k].end()) return at->second;
    }
    throw Error("nothing computes '" + name + "'");
}
std::size_t Importer::rank(int v) const {
    if (v == kAbsent) throw Error("an input is missing");
    return ir_.value(v).dims.size();
}

void Importer::add_node(const onnx::Node& n) {
    if (!n.domain.empty() && n.domain != "ai.onnx")
        throw Error("operator " + n.domain + "." + n.op + " is not supported");
    std::vector<int> in;
    for (const std::string& name : n.inputs) in.push_back(lookup(name));
    Attributes a(n);
    const std::vector<int> out = import(n, a, in);
    a.done();
    for (std::size_t k = out.size(); k < n.outputs.size(); ++k)
        if (!n.outputs[k].empty()) throw Error("operator " + n.op + " has an output too many");
    for (std::size_t k = 0; k < n.outputs.size() && k < out.size(); ++k)
        if (!n.outputs[k].empty()) scopes_.back()[n.outputs[k]] = out[k];
}

std::vector<int> Importer::import(const onnx::Node& n, Attributes& a, const std::vector<int>& in) {
    static const std::unordered_map<std::string, std::pair<Op, int>> simple = {
        {"Abs", {Op::Abs, 1}},
        {"Add", {Op::Add, 2}},
        {"And", {Op::And, 2}},
        {"BitwiseAnd", {Op::BitwiseAnd, 2}},
        {"Div", {Op::Div, 2}},
        {"Equal", {Op::Equal, 2}},
        {"Erf", {Op::Erf, 1}},
        {"Exp", {Op::Exp, 1}},
        {"Floor", {Op::Floor, 1}},
        {"Less", {Op::Less, 2}},
        {"LessOrEqual", {Op::LessOrEqual, 2}},
        {"Log", {Op::Log, 1}},
        {"Mul", {Op::Mul, 2}},
        {"Neg", {Op::Neg, 1}},
        {"Not", {Op::Not, 1}},
        {"Or", {Op::Or, 2}},
        {"Pow", {Op::Pow, 2}},
        {"Reciprocal", {Op::Reciprocal, 1}},
        {"Relu", {Op::Relu, 1}},
        {"Sigmoid", {Op::Sigmoid, 1}},
        {"Sqrt", {Op::Sqrt, 1}},
        {"Sub", {Op::Sub, 2}},
        {"Tanh", {Op::Tanh, 1}},
        {"Where", {Op::Where, 3}},
        {"Expand", {Op::Expand, 2}},
    };
    const auto found = simple.find(n.op);
    if (found != simple.end()) {
        check_inputs(n, in, static_cast<std::size_t>(found->second.second),
                     static_cast<std::size_t>(found->second.second));
        return {elementwise(found->second.first, in)};
    }
    using Method = std::vector<int> (Importer::*)(const onnx::Node&, Attributes&, const std::vector<int>&);
    static const std::unordered_map<std::string, Method> others = {
        {"Cast", &Importer::cast},
        {"Clip", &Importer::clip},
        {"Concat", &Importer::concat},
        {"ConstantOfShape", &Importer::constant_of_shape},
        {"CumSum", &Importer::cumsum},
        {"Gather", &Importer::gather},
        {"GatherElements", &Importer::gather_elements},
        {"Gemm", &Importer::gemm},
        {"Greater", &Importer::swapped},
        {"GreaterOrEqual", &Importer::swapped},
        {"Identity", &Importer::identity},
        {"If", &Importer::branch},
        {"Loop", &Importer::loop},
        {"MatMul", &Importer::gemm},
        {"Max", &Importer::chain},
        {"Min", &Importer::chain},
        {"Mod", &Importer::mod},
        {"NonZero", &Importer::nonzero},
        {"Range", &Importer::range},
        {"ReduceMax", &Importer::reduce},
        {"ReduceMin", &Importer::reduce},
        {"ReduceSum", &Importer::reduce},
        {"Reshape", &Importer::reshape},
        {"Scan", &Importer::scan},
        {"ScatterElements", &Importer::scatter},
        {"ScatterND", &Importer::scatter_nd},
        {"Shape", &Importer::shape},
        {"Slice", &Importer::slice},
        {"Softmax", &Importer::softmax},
        {"Split", &Importer::split},
        {"Squeeze", &Importer::squeeze},
        {"Sum", &Importer::chain},
        {"TopK", &Importer::topk},
        {"Transpose", &Importer::transpose},
        {"Unsqueeze", &Importer::unsqueeze},
    };
    const auto method = others.find(n.op);
    if (method == others.end()) throw Error("operator " + n.op + " is not supported");
    return (this->*method->second)(n, a, in);
}

Ir::Ir(const onnx::Model& model, const std::vector<std::string>& outputs) { Importer(*this, model).run(outputs); }

}  // namespace fastcalo::graph
