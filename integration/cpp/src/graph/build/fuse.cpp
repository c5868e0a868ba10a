// SPDX-License-Identifier: BSD-3-Clause
// Grouping of the nodes of a block into units that run as one instruction each.
#include "graph/build/fuse.hpp"

#include <algorithm>
#include <map>
#include <queue>
#include <set>

namespace fastcalo::graph {
namespace {

constexpr std::size_t kMostNodes = 80, kMostInputs = 30;

void add_reads(const Ir& ir, const Node& n, std::set<int>& reads) {
    for (const int v : n.in)
        if (v != kAbsent) reads.insert(v);
    for (const int b : n.blocks) {
        for (const Node& m : ir.block(b).nodes) add_reads(ir, m, reads);
        reads.insert(ir.block(b).outputs.begin(), ir.block(b).outputs.end());
    }
}

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

class Grouping {
  public:
    Grouping(const Ir& ir, int block) : ir_(ir), nodes_(ir.block(block).nodes) {
        for (std::size_t j = 0; j < nodes_.size(); ++j)
            for (const int v : nodes_[j].out) producer_[v] = static_cast<int>(j);
    }

    std::vector<std::vector<int>> run() {
        for (std::size_t j = 0; j < nodes_.size(); ++j) place(static_cast<int>(j));
        return ordered();
    }

  private:
    struct Unit {
        std::vector<int> nodes;
        std::set<int> before;  // units whose outputs it reads
        std::set<int> inputs;  // values from outside
    };

    void place(int j) {
        const Node& n = nodes_[static_cast<std::size_t>(j)];
        std::set<int> producers, whole;  // units; those whose results must be there as a whole
        for (const int v : reads_of(ir_, n)) {
            const auto made = producer_.find(v);
            if (made == producer_.end()) continue;
            const int u = unit_of_[made->second];
            producers.insert(u);
            if ((n.op == Op::Take && v == n.in[0]) || (n.op == Op::Expand && v == n.in[1])) whole.insert(u);
        }
        int unit = is_elementwise(n.op) ? best(n, producers, whole) : -1;
        if (unit < 0) {
            unit = static_cast<int>(units_.size());
            units_.emplace_back();
            if (is_elementwise(n.op)) by_shape_[ir_.value(n.out[0]).dims].push_back(unit);
        }
        Unit& u = units_[static_cast<std::size_t>(unit)];
        u.nodes.push_back(j);
        unit_of_[j] = unit;
        producers.erase(unit);
        u.before.insert(producers.begin(), producers.end());
        add_inputs(n, unit, u.inputs);
    }
    void add_inputs(const Node& n, int unit, std::set<int>& inputs) const {
        for (const int v : n.in) {
            const auto made = producer_.find(v);
            if (v != kAbsent && (made == producer_.end() || unit_of_.at(made->second) != unit)) inputs.insert(v);
        }
    }
    // The unit that a node joins: no unit may have to run both before and after another.
    int best(const Node& n, const std::set<int>& producers, const std::set<int>& whole) {
        const auto found = by_shape_.find(ir_.value(n.out[0]).dims);
        if (found == by_shape_.end()) return -1;
        std::vector<char> earlier(units_.size(), 0);
        std::vector<int> open;
        for (const int p : producers) open.push_back(p);
        while (!open.empty()) {
            const int u = open.back();
            open.pop_back();
            for (const int b : units_[static_cast<std::size_t>(u)].before)
                if (!earlier[static_cast<std::size_t>(b)]) {
                    earlier[static_cast<std::size_t>(b)] = 1;
                    open.push_back(b);
                }
        }
        int other = -1;
        for (std::size_t k = found->second.size(); k-- > 0;) {
            const int u = found->second[k];
            const Unit& unit = units_[static_cast<std::size_t>(u)];
            if (earlier[static_cast<std::size_t>(u)] || whole.count(u) || unit.nodes.size() >= kMostNodes) continue;
            std::set<int> inputs = unit.inputs;
            add_inputs(n, u, inputs);
            if (inputs.size() > kMostInputs) continue;
            if (producers.count(u)) return u;
            if (other < 0) other = u;
        }
        return other;
    }
    std::vector<std::vector<int>> ordered() const {
        std::vector<std::set<int>> after(units_.size());
        std::vector<std::size_t> waiting(units_.size());
        std::priority_queue<std::pair<int, int>, std::vector<std::pair<int, int>>, std::greater<>> ready;
        for (std::size_t u = 0; u < units_.size(); ++u) {
            waiting[u] = units_[u].before.size();
            for (const int b : units_[u].before) after[static_cast<std::size_t>(b)].insert(static_cast<int>(u));
            if (!waiting[u]) ready.push({units_[u].nodes.back(), static_cast<int>(u)});
        }
        std::vector<std::vector<int>> r;
        while (!ready.empty()) {
            const auto u = static_cast<std::size_t>(ready.top().second);
            ready.pop();
            r.push_back(units_[u].nodes);
            for (const int a : after[u])
                if (--waiting[static_cast<std::size_t>(a)] == 0)
                    ready.push({units_[static_cast<std::size_t>(a)].nodes.back(), a});
        }
        if (r.size() != units_.size()) throw Error("operators depend on one another in a circle");
        return r;
    }

    const Ir& ir_;
    const std::vector<Node>& nodes_;
    std::map<int, int> producer_;
    std::map<int, int> unit_of_;
    std::vector<Unit> units_;
    std::map<std::vector<Dim>, std::vector<int>> by_shape_;
};

}  // namespace

std::vector<int> reads_of(const Ir& ir, const Node& n) {
    std::set<int> reads;
    add_reads(ir, n, reads);
    return {reads.begin(), reads.end()};
}

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

std::vector<std::vector<int>> group_nodes(const Ir& ir, int block) { return Grouping(ir, block).run(); }

}  // namespace fastcalo::graph
