// SPDX-License-Identifier: BSD-3-Clause
// How nodes are joined with their only reader, or skipped.
#include "graph/build/join.hpp"

#include <algorithm>
#include <map>

namespace fastcalo::graph {
namespace {

std::vector<int> count_readers(const Ir& ir) {
    std::vector<int> readers(ir.values.size(), 0);
    for (const Block& b : ir.blocks) {
        for (const Node& n : b.nodes)
            for (const int v : n.in)
                if (v != kAbsent) ++readers[static_cast<std::size_t>(v)];
        for (const int v : b.outputs) ++readers[static_cast<std::size_t>(v)];
    }
    return readers;
}

void remove(Block& b, const std::vector<char>& gone) {
    std::vector<Node> kept;
    for (std::size_t j = 0; j < b.nodes.size(); ++j)
        if (!gone[j]) kept.push_back(std::move(b.nodes[j]));
    b.nodes = std::move(kept);
}

// Lengths behind leading ones.
std::vector<Dim> without_leading_ones(const std::vector<Dim>& dims, Dim one) {
    return {std::find_if(dims.begin(), dims.end(), [one](Dim d) { return d != one; }), dims.end()};
}

class ReshapeSkipping {
  public:
    ReshapeSkipping(Ir& ir, Block& b) : ir_(ir), block_(b), one_(ir.symbols.constant(1)) {}

    void run() {
        for (std::size_t j = 0; j < block_.nodes.size(); ++j) {
            Node& n = block_.nodes[j];
            if (n.op == Op::Reshape) made_[n.out[0]] = j;
            if (n.op == Op::Concat && n.p.axis == 0) skip_rows(n);
            if (is_elementwise(n.op) && n.op != Op::Expand)
                for (std::size_t k = 0; k < n.in.size(); ++k)
                    while (const Node* r = reshape_of(n.in[k])) {
                        if (!may_skip(n, k, *r)) break;
                        n.in[k] = r->in[0];
                    }
        }
    }

  private:
    const Node* reshape_of(int v) const {
        const auto at = made_.find(v);
        return at == made_.end() ? nullptr : &block_.nodes[at->second];
    }
    const std::vector<Dim>& dims(int v) const { return ir_.value(v).dims; }

    void skip_rows(Node& n) const {
        if (dims(n.out[0]).size() > kMaxRank) return;
        for (int& v : n.in) {
            const Node* r = reshape_of(v);
            if (!r || r->p.mode != kUnsqueeze || r->p.list != std::vector<std::int64_t>{0}) continue;
            v = r->in[0];
            n.p.mode = static_cast<std::int64_t>(dims(n.out[0]).size());
        }
    }
    bool may_skip(const Node& n, std::size_t k, const Node& reshape) {
        const std::vector<Dim>&from = dims(reshape.in[0]), &to = dims(reshape.out[0]), &out = dims(n.out[0]);
        if (ir_.symbols.product(from) != ir_.symbols.product(to)) return false;
        if (n.op == Op::Take && k == 0) return true;
        if (out.size() == 1 && to == out) return true;
        // of the same meaning, as long as another input gives the result its axes
        if (from.size() > out.size() || without_leading_ones(from, one_) != without_leading_ones(to, one_))
            return false;
        for (std::size_t other = n.op == Op::Take ? 1 : 0; other < n.in.size(); ++other)
            if (other != k && dims(n.in[other]).size() == out.size()) return true;
        return false;
    }

    Ir& ir_;
    Block& block_;
    Dim one_;
    std::map<int, std::size_t> made_;  // by reshapes of this block
};

}  // namespace

void join_scatters(Ir& ir) {
    std::vector<int> readers = count_readers(ir);
    for (Block& b : ir.blocks) {
        std::map<int, std::size_t> made;
        std::vector<char> gone(b.nodes.size(), 0);
        for (std::size_t j = 0; j < b.nodes.size(); ++j) {
            Node& n = b.nodes[j];
            made[n.out[0]] = j;
            if (n.op != Op::Take) continue;
            const auto from = made.find(n.in[0]);
            if (from == made.end() || readers[static_cast<std::size_t>(n.in[0])] != 1) continue;
            const Node& scatter = b.nodes[from->second];
            if (scatter.op != Op::ScatterElements || scatter.in[1] != n.in[1]) continue;
            const auto filled = made.find(scatter.in[0]);
            if (filled == made.end()) continue;
            const Node& fill = b.nodes[filled->second];
            if (fill.op != Op::ConstantOfShape) continue;
            Node joined;
            joined.op = Op::ScatterTake;
            joined.in = {fill.in[0], scatter.in[1], scatter.in[2]};
            joined.out = n.out;
            joined.p.mode = scatter.p.mode;
            joined.p.value = fill.p.value;
            gone[from->second] = 1;
            // others may be scattered into the same fill
            gone[filled->second] = --readers[static_cast<std::size_t>(scatter.in[0])] == 0;
            n = std::move(joined);
        }
        remove(b, gone);
    }
}

void join_lines(Ir& ir) {
    std::vector<int> readers = count_readers(ir);
    const Dim one = ir.symbols.constant(1);
    for (Block& b : ir.blocks) {
        std::map<int, std::size_t> made;
        std::vector<char> gone(b.nodes.size(), 0);
        const auto source = [&](int v, Op op) {
            const auto at = made.find(v);
            return at == made.end() || b.nodes[at->second].op != op ? kAbsent : b.nodes[at->second].in[0];
        };
        for (std::size_t j = 0; j < b.nodes.size(); ++j) {
            Node& n = b.nodes[j];
            made[n.out[0]] = j;
            if ((n.op != Op::GatherElements && n.op != Op::ScatterElements) || n.p.axis != 1) continue;
            const int index = n.in[1];
            int vector = source(index, Op::Expand);
            if (vector == kAbsent) continue;
            // a line, not a column
            const std::vector<Dim>& shape = ir.value(vector).dims;
            if (shape.size() == 2) vector = shape[0] == one ? source(vector, Op::Reshape) : kAbsent;
            const std::vector<Dim>&lines = ir.value(n.in[0]).dims, &wanted = ir.value(index).dims;
            if (vector == kAbsent || lines.size() != 2 || wanted.size() != 2 || lines[0] != wanted[0]) continue;
            if (ir.value(vector).dims != std::vector<Dim>{wanted[1]}) continue;
            if (n.op == Op::GatherElements)
                n.op = Op::Gather;
            else
                n.p.flag2 = true;
            n.in[1] = vector;
            ++readers[static_cast<std::size_t>(vector)];
            gone[made[index]] = --readers[static_cast<std::size_t>(index)] == 0;
        }
        remove(b, gone);
    }
}

void join_products(Ir& ir) {
    const std::vector<int> readers = count_readers(ir);
    for (Block& b : ir.blocks) {
        std::map<int, std::size_t> products;
        std::vector<char> gone(b.nodes.size(), 0);
        for (std::size_t j = 0; j < b.nodes.size(); ++j) {
            Node& n = b.nodes[j];
            if (n.op == Op::MatMul) products[n.out[0]] = j;
            if (n.op != Op::Silu) continue;
            const auto from = products.find(n.in[0]);
            if (from == products.end() || readers[static_cast<std::size_t>(n.in[0])] != 1) continue;
            Node joined = b.nodes[from->second];
            joined.p.mode = 1;
            joined.out = n.out;
            gone[from->second] = 1;
            n = std::move(joined);
        }
        remove(b, gone);
    }
}

void skip_reshapes(Ir& ir) {
    for (Block& b : ir.blocks) ReshapeSkipping(ir, b).run();
    for (bool again = true; again;) {
        again = false;
        const std::vector<int> readers = count_readers(ir);
        for (Block& b : ir.blocks) {
            std::vector<char> gone;
            for (const Node& n : b.nodes)
                gone.push_back(n.op == Op::Reshape && readers[static_cast<std::size_t>(n.out[0])] == 0);
            again = again || std::count(gone.begin(), gone.end(), 1) > 0;
            remove(b, gone);
        }
    }
}

}  // namespace fastcalo::graph
