// SPDX-License-Identifier: BSD-3-Clause
// Fused operators: programs made from nodes.
#include "graph/run/fused.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include "graph/base/names.hpp"
#include "graph/run/executor.hpp"

namespace fastcalo::graph {
namespace {

class ProgramMaker {
  public:
    ProgramMaker(Ir& ir, const std::vector<const Node*>& nodes, const std::vector<char>& outside, const Kernels& k)
        : ir_(ir), nodes_(nodes), outside_(outside), kernels_(k), shape_(ir.value(nodes[0]->out[0]).dims) {
        for (std::size_t j = 0; j < nodes.size(); ++j) made_[nodes[j]->out[0]] = j;
        p_.vector = shape_.size() == 1;
    }

    Program run() {
        find_operands();
        for (std::size_t j = 0; j < nodes_.size(); ++j)
            if (outside_[j]) {
                const int v = nodes_[j]->out[0];
                registers_[v] = next_++;
                p_.results.push_back({v, static_cast<std::uint16_t>(registers_[v]), ir_.value(v).type});
            }
        p_.offsets.assign(static_cast<std::size_t>(next_), -1);
        for (std::size_t k = 0; k < p_.operands.size(); ++k)
            if (p_.operands[k].source == Source::scalar || p_.operands[k].source == Source::broadcast)
                p_.offsets[k] = reserve(p_.operands[k].element);
        for (std::size_t j = 0; j < nodes_.size(); ++j) add_step(j);
        if (p_.offsets.size() > kMostRegisters) throw Error("a group of operators is too large");
        p_.scratch += kPadding;
        return std::move(p_);
    }

  private:
    bool is_alias(std::size_t j) const {
        return nodes_[j]->op == Op::Expand && !outside_[j] && !made_.count(nodes_[j]->in[0]);
    }
    std::size_t reads(const Node& n) const { return n.op == Op::Expand ? 1 : n.in.size(); }

    void find_operands() {
        for (std::size_t j = 0; j < nodes_.size(); ++j) {
            const Node& n = *nodes_[j];
            for (std::size_t k = 0; k < reads(n); ++k) {
                if (made_.count(n.in[k])) continue;
                const bool table = n.op == Op::Take && k == 0;
                std::map<int, int>& known = table ? tables_ : registers_;
                if (known.count(n.in[k])) continue;
                known[n.in[k]] = next_++;
                p_.operands.push_back(operand(n.in[k], table));
                if (p_.operands.back().source == Source::full && p_.leader < 0) p_.leader = next_ - 1;
            }
            if (n.op == Op::Expand) p_.shape_slot = n.in[1];
        }
    }
    Operand operand(int v, bool table) {
        const Value& x = ir_.value(v);
        Operand o;
        o.slot = v;
        o.element = static_cast<std::uint8_t>(size_of(x.type));
        o.constant = x.is_constant;
        if (table)
            o.source = Source::table;
        else if (x.is_constant && x.constant.count == 1)
            o.source = Source::splat, o.splat = repeated(v);
        else if (x.dims == shape_ || (p_.vector && ir_.symbols.product(x.dims) == shape_[0]))
            o.source = Source::full;
        else
            o.source = ir_.is_scalar(v) ? Source::scalar : Source::broadcast;
        return o;
    }
    // A constant, repeated for a block.
    const std::byte* repeated(int v) {
        const Tensor& t = ir_.value(v).constant;
        const std::size_t element = size_of(t.type);
        std::string key(reinterpret_cast<const char*>(t.data), element);
        key += static_cast<char>(element);
        const auto [at, is_new] = ir_.splats.try_emplace(key, nullptr);
        if (is_new) {
            ir_.memory.push_back(std::make_unique<std::byte[]>(kBlock * element + kPadding));
            for (std::int64_t k = 0; k < kBlock; ++k)
                std::memcpy(ir_.memory.back().get() + static_cast<std::size_t>(k) * element, t.data, element);
            at->second = ir_.memory.back().get();
        }
        return at->second;
    }
    std::int64_t reserve(std::size_t element) {
        const auto at = static_cast<std::int64_t>(p_.scratch);
        // not a power of two: registers would share places in the cache
        p_.scratch += kBlock * element + kPadding;
        return at;
    }
    int temporary(std::size_t element) {
        std::vector<int>& free = free_[element];
        if (!free.empty()) {
            const int r = free.back();
            free.pop_back();
            return r;
        }
        p_.offsets.push_back(reserve(element));
        return static_cast<int>(p_.offsets.size()) - 1;
    }
    bool is_last(int v, std::size_t j) const {
        for (std::size_t k = j + 1; k < nodes_.size(); ++k)
            for (std::size_t i = 0; i < reads(*nodes_[k]); ++i)
                if (nodes_[k]->in[i] == v) return false;
        return true;
    }
    void add_step(std::size_t j) {
        const Node& n = *nodes_[j];
        const int v = n.out[0];
        if (is_alias(j)) {
            registers_[v] = registers_.at(n.in[0]);
            return;
        }
        const Type result = ir_.value(v).type, operand = ir_.value(n.in[n.op == Op::Where ? 1 : 0]).type;
        if (!registers_.count(v)) registers_[v] = temporary(size_of(result));
        Step s;
        s.d = static_cast<std::uint16_t>(registers_[v]);
        if (n.op == Op::Take) {
            s.b = static_cast<std::uint16_t>(tables_.at(n.in[0]));
            s.c = static_cast<std::uint16_t>(registers_.at(n.in[1]));
            s.element = static_cast<std::uint8_t>(size_of(result));
            s.wide = static_cast<std::uint8_t>(size_of(ir_.value(n.in[1]).type));
            const auto [at, is_new] = places_.try_emplace(n.in[1], places_.size());
            s.places = static_cast<std::uint8_t>(at->second);
            s.looks = is_new;
        } else {
            s.fn = kernels_.step(n.op, operand, result);
            if (!s.fn)
                throw Error(std::string("operator ") + name_of(n.op) + " of " + name_of(operand) + " is not supported");
            std::uint16_t* const to[] = {&s.a, &s.b, &s.c};
            for (std::size_t k = 0; k < reads(n); ++k) *to[k] = static_cast<std::uint16_t>(registers_.at(n.in[k]));
        }
        p_.steps.push_back(s);
        // what was read for the last time, after the result has its register: they are never the same
        for (std::size_t k = 0; k < reads(n); ++k) {
            const auto made = made_.find(n.in[k]);
            const bool again = k > 0 && n.in[k] == n.in[0];
            if (made == made_.end() || outside_[made->second] || is_alias(made->second) || again) continue;
            if (k == 2 && n.in[2] == n.in[1]) continue;
            if (is_last(n.in[k], j)) free_[size_of(ir_.value(n.in[k]).type)].push_back(registers_[n.in[k]]);
        }
        if (!outside_[j] && is_last(v, j)) free_[size_of(result)].push_back(registers_[v]);
    }

    Ir& ir_;
    const std::vector<const Node*>& nodes_;
    const std::vector<char>& outside_;
    const Kernels& kernels_;
    std::vector<Dim> shape_;
    std::map<int, std::size_t> made_;
    std::map<int, int> registers_, tables_;
    std::map<int, std::size_t> places_;  // by indices, which are made once
    std::map<std::size_t, std::vector<int>> free_;
    int next_ = 0;
    Program p_;
};

}  // namespace

Program make_program(Ir& ir, const std::vector<const Node*>& nodes, const std::vector<char>& outside,
                     const Kernels& k) {
    return ProgramMaker(ir, nodes, outside, k).run();
}

}  // namespace fastcalo::graph
