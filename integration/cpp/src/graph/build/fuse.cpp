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

std::vector<std::vector<int>> group_nodes(const Ir& ir, int block) { return Grouping(ir, block).run(); }

}  // namespace fastcalo::graph
