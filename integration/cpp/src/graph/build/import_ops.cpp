// SPDX-License-Identifier: BSD-3-Clause
// From the nodes of a file to those of the executor: each operator with its attributes.
#include <algorithm>
#include <cstring>

#include "graph/build/import.hpp"

namespace fastcalo::graph {
namespace {

bool is_one(const Value& v) {
    return v.is_constant && v.type == Type::f32 && v.constant.count == 1 && *v.constant.as<float>() == 1.0F;
}

}  // namespace

int Importer::elementwise(Op op, Values in) {
    for (const int v : in) rank(v);
    if (op == Op::Mul) {
        // x times 1 is x, bit for bit
        for (std::size_t k = 0; k < 2; ++k)
            if (is_one(ir_.value(in[k])) && rank(in[k]) <= rank(in[1 - k]) && ir_.value(in[1 - k]).type == Type::f32)
                return in[1 - k];
        for (std::size_t k = 0; k < 2; ++k) {
            const auto from = ir_.sigmoids_.find(in[k]);
            if (from != ir_.sigmoids_.end() && from->second == in[1 - k]) return ir_.emit1(Op::Silu, {in[1 - k]});
        }
    }
    const int v = ir_.emit1(op, in);
    if (op == Op::Sigmoid) ir_.sigmoids_[v] = in[0];
    return v;
}

int Importer::reshaped(int v, std::int64_t mode, std::vector<std::int64_t> axes) {
    std::sort(axes.begin(), axes.end());
    Params p;
    p.mode = mode;
    p.list = std::move(axes);
    return ir_.emit1(Op::Reshape, {v}, p);
}

int Importer::flattened(int v) {
    if (rank(v) == 1) return v;
    std::int64_t minus_one = -1;
    Tensor t;
    t.type = Type::i64;
    t.count = 1;
    t.shape = Shape{1};
    t.data = reinterpret_cast<std::byte*>(&minus_one);
    return ir_.emit1(Op::Reshape, {v, ir_.constant(t)});
}

int Importer::take(int data, int index) { return ir_.emit1(Op::Take, {data, index}); }

std::vector<int> Importer::cast(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 1, 1);
    Params p;
    p.mode = static_cast<std::int64_t>(type_of(a.integer("to", 0)));
    a.integer("saturate", 1);
    if (ir_.value(in[0]).type == static_cast<Type>(p.mode)) return in;
    return ir_.emit(Op::Cast, in, p);
}

std::vector<int> Importer::clip(const onnx::Node& n, Attributes&, const Values& in) {
    check_inputs(n, in, 1, 3);
    int v = in[0];
    if (in.size() > 1 && in[1] != kAbsent) v = elementwise(Op::ClipLow, {v, in[1]});
    if (in.size() > 2 && in[2] != kAbsent) v = elementwise(Op::ClipHigh, {v, in[2]});
    return {v};
}

std::vector<int> Importer::concat(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 1, 1000);
    for (const int v : in) rank(v);
    Params p;
    p.axis = counted(a.integer("axis", 0), rank(in[0]), n.op);
    return in.size() == 1 ? in : ir_.emit(Op::Concat, in, p);
}

std::vector<int> Importer::constant_of_shape(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 1, 1);
    Params p;
    const onnx::Attribute* value = a.find("value");
    Tensor t;
    float zero = 0;
    t.type = Type::f32;
    t.count = 1;
    t.shape = Shape{1};
    t.data = reinterpret_cast<std::byte*>(&zero);
    if (value) {
        t.type = value->tensor.type;
        if (value->tensor.shape.count() != 1) throw Error("operator ConstantOfShape: its value must be one number");
        t.data = const_cast<std::byte*>(value->tensor.bytes.data());
    }
    p.value = ir_.value(ir_.constant(t)).constant;
    return ir_.emit(Op::ConstantOfShape, in, p);
}

std::vector<int> Importer::cumsum(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 2, 2);
    Params p;
    const std::vector<std::int64_t> axis = ir_.integers(in[1], "axis");
    if (axis.size() != 1) throw Error("operator CumSum: axis must be one number");
    p.axis = counted(axis[0], rank(in[0]), n.op);
    p.flag = a.integer("exclusive", 0) != 0;
    p.flag2 = a.integer("reverse", 0) != 0;
    return ir_.emit(Op::CumSum, {in[0]}, p);
}

std::vector<int> Importer::gather(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 2, 2);
    Params p;
    p.axis = counted(a.integer("axis", 0), rank(in[0]), n.op);
    if (rank(in[0]) == 1 && !ir_.is_scalar(in[1])) return {take(in[0], in[1])};
    return ir_.emit(Op::Gather, in, p);
}

std::vector<int> Importer::gather_elements(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 2, 2);
    Params p;
    p.axis = counted(a.integer("axis", 0), rank(in[0]), n.op);
    if (rank(in[0]) == 1 && rank(in[1]) == 1) return {take(in[0], in[1])};
    return ir_.emit(Op::GatherElements, in, p);
}

std::vector<int> Importer::gemm(const onnx::Node& n, Attributes& a, const Values& in) {
    const bool is_gemm = n.op == "Gemm";
    check_inputs(n, in, 2, is_gemm ? 3 : 2);
    Params p;
    Values used = in;
    if (is_gemm) {
        p.flag = a.integer("transA", 0) != 0;
        p.flag2 = a.integer("transB", 0) != 0;
        for (const char* name : {"alpha", "beta"}) {
            const onnx::Attribute* scale = a.find(name);
            if (scale && scale->f != 1)
                throw Error(std::string("operator Gemm: ") + name + " other than 1 is not supported");
        }
    }
    if (used.size() == 3 && used[2] == kAbsent) used.pop_back();
    if (used.size() == 3 && ir_.value(used[2]).type != Type::f32) throw Error("operator Gemm: C must be float32");
    return ir_.emit(Op::MatMul, used, p);
}

std::vector<int> Importer::swapped(const onnx::Node& n, Attributes&, const Values& in) {
    check_inputs(n, in, 2, 2);
    return {elementwise(n.op == "Greater" ? Op::Less : Op::LessOrEqual, {in[1], in[0]})};
}

std::vector<int> Importer::identity(const onnx::Node& n, Attributes&, const Values& in) {
    check_inputs(n, in, 1, 1);
    return in;
}

std::vector<int> Importer::chain(const onnx::Node& n, Attributes&, const Values& in) {
    check_inputs(n, in, 1, 1000);
    const Op op = n.op == "Sum" ? Op::Add : n.op == "Max" ? Op::Max : Op::Min;
    int v = in[0];
    for (std::size_t k = 1; k < in.size(); ++k) v = elementwise(op, {v, in[k]});
    return {v};
}

std::vector<int> Importer::mod(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 2, 2);
    a.only("fmod", 0);
    if (ir_.value(in[0]).type == Type::f32) throw Error("operator Mod of float32 is not supported");
    return {elementwise(Op::Mod, in)};
}

std::vector<int> Importer::nonzero(const onnx::Node& n, Attributes&, const Values& in) {
    check_inputs(n, in, 1, 1);
    if (rank(in[0]) != 1) throw Error("operator NonZero: only vectors are supported");
    return ir_.emit(Op::NonZero, in);
}

std::vector<int> Importer::range(const onnx::Node& n, Attributes&, const Values& in) {
    check_inputs(n, in, 3, 3);
    return ir_.emit(Op::Range, in);
}

std::vector<int> Importer::reduce(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 1, 2);
    Params p;
    p.flag = a.integer("keepdims", 1) != 0;
    a.only("noop_with_empty_axes", 0);
    p.list = a.integers("axes");
    if (in.size() == 2 && in[1] != kAbsent) p.list = ir_.integers(in[1], "axes");
    for (std::int64_t& k : p.list) k = counted(k, rank(in[0]), n.op);
    if (p.list.empty())
        for (std::size_t k = 0; k < rank(in[0]); ++k) p.list.push_back(static_cast<std::int64_t>(k));
    std::sort(p.list.begin(), p.list.end());
    p.list.erase(std::unique(p.list.begin(), p.list.end()), p.list.end());
    const Op op = n.op == "ReduceSum" ? Op::ReduceSum : n.op == "ReduceMax" ? Op::ReduceMax : Op::ReduceMin;
    return ir_.emit(op, {in[0]}, p);
}

std::vector<int> Importer::reshape(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 2, 2);
    a.only("allowzero", 0);
    Params p;
    p.mode = kTarget;
    return ir_.emit(Op::Reshape, in, p);
}

std::vector<int> Importer::scatter(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 3, 3);
    Params p;
    p.axis = counted(a.integer("axis", 0), rank(in[0]), n.op);
    const onnx::Attribute* reduction = a.find("reduction");
    const std::string how = reduction ? reduction->s : "none";
    if (how == "none")
        p.mode = kReplace;
    else if (how == "add")
        p.mode = kAdd;
    else if (how == "min")
        p.mode = kMin;
    else if (how == "max")
        p.mode = kMax;
    else
        throw Error("operator ScatterElements: reduction '" + how + "' is not supported");
    return ir_.emit(Op::ScatterElements, in, p);
}

std::vector<int> Importer::scatter_nd(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 3, 3);
    const onnx::Attribute* reduction = a.find("reduction");
    if (reduction && reduction->s != "none") throw Error("operator ScatterND: reductions are not supported");
    if (rank(in[1]) < 1) throw Error("operator ScatterND: indices must have an axis");
    return ir_.emit(Op::ScatterND, in);
}

std::vector<int> Importer::shape(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 1, 1);
    Params p;
    const auto r = static_cast<std::int64_t>(rank(in[0]));
    const auto clamped = [r](std::int64_t k) { return std::clamp<std::int64_t>(k < 0 ? k + r : k, 0, r); };
    p.list = {clamped(a.integer("start", 0)), clamped(a.integer("end", r))};
    return ir_.emit(Op::Shape, in, p);
}

std::vector<int> Importer::slice(const onnx::Node& n, Attributes&, const Values& in) {
    check_inputs(n, in, 3, 5);
    Params p;
    if (in.size() > 3 && in[3] != kAbsent)
        p.list = ir_.integers(in[3], "axes");
    else if (ir_.value(in[1]).has_content)
        for (std::size_t k = 0; k < ir_.value(in[1]).content.size(); ++k)
            p.list.push_back(static_cast<std::int64_t>(k));
    for (std::int64_t& k : p.list) k = counted(k, rank(in[0]), n.op);
    std::vector<std::int64_t> steps(p.list.size(), 1);
    if (in.size() > 4 && in[4] != kAbsent) steps = ir_.integers(in[4], "steps");
    if (steps.size() != p.list.size() || std::count(steps.begin(), steps.end(), 0))
        throw Error("operator Slice: steps do not fit axes");
    p.list.insert(p.list.end(), steps.begin(), steps.end());
    return ir_.emit(Op::Slice, {in[0], in[1], in[2]}, p);
}

std::vector<int> Importer::softmax(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 1, 1);
    Params p;
    p.axis = counted(a.integer("axis", -1), rank(in[0]), n.op);
    return ir_.emit(Op::Softmax, in, p);
}

std::vector<int> Importer::split(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 1, 2);
    Params p;
    p.axis = counted(a.integer("axis", 0), rank(in[0]), n.op);
    const std::size_t parts = n.outputs.size();
    if (parts == 0 || (a.find("num_outputs") && a.integer("num_outputs", 0) != static_cast<std::int64_t>(parts)))
        throw Error("operator Split: the number of outputs does not fit");
    if (in.size() == 2 && in[1] != kAbsent) {
        p.list = ir_.integers(in[1], "split");
        if (p.list.size() != parts || *std::min_element(p.list.begin(), p.list.end()) < 0)
            throw Error("operator Split: the lengths do not fit the outputs");
    }
    return ir_.emit(Op::Split, {in[0]}, p, parts);
}

std::vector<int> Importer::squeeze(const onnx::Node& n, Attributes&, const Values& in) {
    check_inputs(n, in, 1, 2);
    if (in.size() == 1 || in[1] == kAbsent) return {reshaped(in[0], kSqueezeAll, {})};
    std::vector<std::int64_t> axes = ir_.integers(in[1], "axes");
    for (std::int64_t& k : axes) k = counted(k, rank(in[0]), n.op);
    return {reshaped(in[0], kSqueeze, axes)};
}

std::vector<int> Importer::topk(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 2, 2);
    Params p;
    p.axis = counted(a.integer("axis", -1), rank(in[0]), n.op);
    p.flag = a.integer("largest", 1) != 0;
    a.only("sorted", 1);
    if (rank(in[0]) != 1) throw Error("operator TopK: only vectors are supported");
    return ir_.emit(Op::TopK, in, p, 2);
}

std::vector<int> Importer::transpose(const onnx::Node& n, Attributes& a, const Values& in) {
    check_inputs(n, in, 1, 1);
    Params p;
    p.list = a.integers("perm");
    if (p.list.empty())
        for (std::size_t k = rank(in[0]); k-- > 0;) p.list.push_back(static_cast<std::int64_t>(k));
    return ir_.emit(Op::Transpose, in, p);
}

std::vector<int> Importer::unsqueeze(const onnx::Node& n, Attributes&, const Values& in) {
    check_inputs(n, in, 2, 2);
    std::vector<std::int64_t> axes = ir_.integers(in[1], "axes");
    for (std::int64_t& k : axes) k = counted(k, rank(in[0]) + axes.size(), n.op);
    return {reshaped(in[0], kUnsqueeze, axes)};
}

}  // namespace fastcalo::graph
