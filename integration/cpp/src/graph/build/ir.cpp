// SPDX-License-Identifier: BSD-3-Clause
// Graph between file and plan: nodes are added once, where they need be computed once, and constants are folded.
#include "graph/build/ir.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "graph/run/executor.hpp"

namespace fastcalo::graph {
namespace {

// Short tensors of integers whose elements are followed.
constexpr std::int64_t kMostContent = 16;
// Bytes that the computation of a constant may take.
constexpr std::size_t kMostFolded = std::size_t{64} << 20;

// Whether a node may be moved out of a loop: it costs little where the loop does not run, and cannot fail for its
// values.
bool is_movable(Op op) {
    if (is_elementwise(op)) return op != Op::Take;
    return op == Op::Shape || op == Op::Reshape || op == Op::Concat || op == Op::Slice || op == Op::Transpose;
}

std::string key_of(const Node& n, std::size_t outputs) {
    std::string key = std::to_string(static_cast<int>(n.op)) + ":" + std::to_string(outputs);
    for (const int v : n.in) key += "," + std::to_string(v);
    key += ";" + std::to_string(n.p.axis) + ";" + std::to_string(n.p.mode) + (n.p.flag ? "t" : "f") +
           (n.p.flag2 ? "t" : "f");
    for (const std::int64_t k : n.p.list) key += "," + std::to_string(k);
    if (n.p.value.data) {
        key += std::to_string(static_cast<int>(n.p.value.type)) + "=";
        key.append(reinterpret_cast<const char*>(n.p.value.data), size_of(n.p.value.type));
    }
    return key;
}

}  // namespace

int Ir::new_value(Type type, std::vector<Dim> dims) {
    Value v;
    v.type = type;
    v.dims = std::move(dims);
    v.block = current_;
    values.push_back(std::move(v));
    return static_cast<int>(values.size()) - 1;
}

int Ir::constant(const Tensor& t) {
    std::string key = std::to_string(static_cast<int>(t.type)) + t.shape.text();
    key.append(reinterpret_cast<const char*>(t.data), t.bytes());
    const auto [at, is_new] = constants_.try_emplace(std::move(key), static_cast<int>(values.size()));
    if (!is_new) return at->second;
    Value v;
    v.type = t.type;
    v.is_constant = true;
    v.constant = t;
    v.constant.owner = nullptr;
    // aligned as every type wants it; some bytes more, as vectors may be read whole
    memory.push_back(std::make_unique<std::byte[]>(t.bytes() + kPadding));
    if (t.bytes()) std::memcpy(memory.back().get(), t.data, t.bytes());
    v.constant.data = memory.back().get();
    for (int k = 0; k < t.shape.rank; ++k) v.dims.push_back(symbols.constant(t.shape[k]));
    if (t.shape.rank < 2 && t.count <= kMostContent && (t.type == Type::i64 || t.type == Type::i32)) {
        v.has_content = true;
        for (std::int64_t k = 0; k < t.count; ++k)
            v.content.push_back(
                symbols.constant(t.type == Type::i64 ? t.as<std::int64_t>()[k] : t.as<std::int32_t>()[k]));
    }
    values.push_back(std::move(v));
    return at->second;
}

int Ir::integer(std::int64_t value, Type type) {
    Tensor t;
    std::int32_t narrow = static_cast<std::int32_t>(value);
    t.type = type;
    t.count = 1;
    t.data = type == Type::i32 ? reinterpret_cast<std::byte*>(&narrow) : reinterpret_cast<std::byte*>(&value);
    return constant(t);
}

std::vector<std::int64_t> Ir::integers(int v, const char* what) const {
    const Value& x = value(v);
    if (!x.is_constant || x.constant.shape.rank > 1 || (x.type != Type::i64 && x.type != Type::i32))
        throw Error(std::string(what) + " must be a constant vector of integers");
    std::vector<std::int64_t> r;
    for (std::int64_t k = 0; k < x.constant.count; ++k)
        r.push_back(x.type == Type::i64 ? x.constant.as<std::int64_t>()[k] : x.constant.as<std::int32_t>()[k]);
    return r;
}

bool Ir::is_scalar(int v) const {
    return std::all_of(value(v).dims.begin(), value(v).dims.end(), [this](Dim d) {
        std::int64_t n = 0;
        return symbols.is_constant(d, &n) && n == 1;
    });
}

int Ir::home(const Node& n) const {
    if (!is_movable(n.op)) return current_;
    int deepest = 0;
    // blocks are numbered from the outside in, and a value is only seen in its block and those inside
    for (const int v : n.in)
        if (v != kAbsent) deepest = std::max(deepest, value(v).block);
    return deepest;
}

std::vector<int> Ir::emit(Op op, std::vector<int> in, Params p, std::size_t outputs) {
    Node n;
    n.op = op;
    n.in = std::move(in);
    n.p = std::move(p);
    const std::string key = key_of(n, outputs);
    for (int b = current_; b >= 0; b = block(b).parent) {
        const auto made = block(b).made.find(key);
        if (made != block(b).made.end()) return made->second;
    }
    const std::vector<Inferred> inferred = infer(*this, n, outputs);
    const int home_block = home(n), here = current_;
    current_ = home_block;
    if (!known_shape(n, inferred) && !fold(n, inferred)) {
        for (const Inferred& i : inferred) {
            n.out.push_back(new_value(i.type, i.dims));
            value(n.out.back()).has_content = i.has_content;
            value(n.out.back()).content = i.content;
        }
        block(home_block).nodes.push_back(n);
    }
    block(home_block).made[key] = n.out;
    current_ = here;
    return n.out;
}

// A shape of which every length is known.
bool Ir::known_shape(Node& n, const std::vector<Inferred>& inferred) {
    if (n.op != Op::Shape || !inferred[0].has_content) return false;
    std::vector<std::int64_t> lengths;
    for (const Dim d : inferred[0].content) {
        lengths.push_back(0);
        if (!symbols.is_constant(d, &lengths.back())) return false;
    }
    Tensor t;
    t.type = Type::i64;
    t.count = static_cast<std::int64_t>(lengths.size());
    t.shape = Shape{t.count};
    t.data = reinterpret_cast<std::byte*>(lengths.data());
    n.out = {constant(t)};
    return true;
}

// Compute what depends on constants only.
bool Ir::fold(Node& n, const std::vector<Inferred>& inferred) {
    for (const int v : n.in)
        if (v != kAbsent && !value(v).is_constant) return false;
    const std::size_t before = values.size();
    for (const Inferred& i : inferred) n.out.push_back(new_value(i.type, i.dims));
    Arena arena(kMostFolded);
    const std::vector<Tensor> results = evaluate(*this, n, arena);
    values.resize(before);
    n.out.clear();
    for (const Tensor& t : results) n.out.push_back(constant(t));
    return true;
}

// Remove nodes whose outputs nobody reads.
void Ir::remove_dead() {
    std::vector<char> read(values.size(), 0);
    for (const Block& b : blocks)
        for (const int v : b.outputs) read[static_cast<std::size_t>(v)] = 1;
    // inner blocks have larger numbers than the node that holds them
    for (std::size_t k = blocks.size(); k-- > 0;) {
        std::vector<Node>& nodes = blocks[k].nodes;
        std::vector<Node> kept;
        for (std::size_t j = nodes.size(); j-- > 0;) {
            const bool used = std::any_of(nodes[j].out.begin(), nodes[j].out.end(),
                                          [&](int v) { return read[static_cast<std::size_t>(v)] != 0; });
            if (!used) continue;
            for (const int v : nodes[j].in)
                if (v != kAbsent) read[static_cast<std::size_t>(v)] = 1;
            kept.push_back(std::move(nodes[j]));
        }
        std::reverse(kept.begin(), kept.end());
        nodes = std::move(kept);
    }
}

}  // namespace fastcalo::graph
