// SPDX-License-Identifier: BSD-3-Clause
// Lengths that are known as formulae only: which shapes are equal is known before a graph runs.
#include "graph/base/symbols.hpp"

#include <algorithm>

namespace fastcalo::graph {
namespace {

// More terms or factors than this are given a name: files that are made to be slow stay harmless.
constexpr std::size_t kMostTerms = 8, kMostFactors = 8;

std::int64_t wrapped_add(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
std::int64_t wrapped_multiply(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}

}  // namespace

Dim Symbols::intern(const Polynomial& p) {
    const auto [at, is_new] = numbers_.try_emplace(p, static_cast<Dim>(polynomials_.size()));
    if (is_new) polynomials_.push_back(p);
    return at->second;
}

Dim Symbols::constant(std::int64_t value) {
    Polynomial p;
    if (value) p[{}] = value;
    return intern(p);
}

Dim Symbols::named(const std::string& key) {
    const int symbol = names_.try_emplace(key, static_cast<int>(names_.size())).first->second;
    return intern({{{symbol}, 1}});
}

bool Symbols::is_constant(Dim a, std::int64_t* value) const {
    const Polynomial& p = polynomials_[static_cast<std::size_t>(a)];
    if (p.empty()) {
        if (value) *value = 0;
        return true;
    }
    if (p.size() > 1 || !p.begin()->first.empty()) return false;
    if (value) *value = p.begin()->second;
    return true;
}

Dim Symbols::add(Dim a, Dim b) {
    Polynomial p = polynomials_[static_cast<std::size_t>(a)];
    for (const auto& [monomial, coefficient] : polynomials_[static_cast<std::size_t>(b)]) {
        std::int64_t& c = p[monomial];
        c = wrapped_add(c, coefficient);
        if (c == 0) p.erase(monomial);
    }
    return p.size() > kMostTerms ? function("add", std::min(a, b), std::max(a, b)) : intern(p);
}

Dim Symbols::subtract(Dim a, Dim b) { return add(a, multiply(constant(-1), b)); }

Dim Symbols::multiply(Dim a, Dim b) {
    Polynomial p;
    std::size_t longest = 0;
    for (const auto& [ma, ca] : polynomials_[static_cast<std::size_t>(a)])
        for (const auto& [mb, cb] : polynomials_[static_cast<std::size_t>(b)]) {
            Monomial m;
            std::merge(ma.begin(), ma.end(), mb.begin(), mb.end(), std::back_inserter(m));
            longest = std::max(longest, m.size());
            std::int64_t& c = p[m];
            c = wrapped_add(c, wrapped_multiply(ca, cb));
            if (c == 0) p.erase(m);
        }
    if (p.size() > kMostTerms || longest > kMostFactors) return function("multiply", std::min(a, b), std::max(a, b));
    return intern(p);
}

Dim Symbols::divide(Dim a, Dim b) {
    const Polynomial &pa = polynomials_[static_cast<std::size_t>(a)], &pb = polynomials_[static_cast<std::size_t>(b)];
    if (pb.size() == 1 && pb.begin()->second > 0) {
        const auto& [mb, cb] = *pb.begin();
        Polynomial p;
        bool exact = true;
        for (const auto& [ma, ca] : pa) {
            exact = exact && ca % cb == 0 && std::includes(ma.begin(), ma.end(), mb.begin(), mb.end());
            if (!exact) break;
            Monomial m;
            std::set_difference(ma.begin(), ma.end(), mb.begin(), mb.end(), std::back_inserter(m));
            p[m] = ca / cb;
        }
        if (exact) return intern(p);
    }
    return function("divide", a, b);
}

Dim Symbols::broadcast(Dim a, Dim b) {
    std::int64_t value = 0;
    if (a == b || (is_constant(b, &value) && value == 1)) return a;
    if (is_constant(a, &value) && value == 1) return b;
    if (is_constant(a)) return a;
    if (is_constant(b)) return b;
    std::vector<Dim> parts;
    for (const Dim d : {a, b}) {
        const auto made = broadcasts_.find(d);
        if (made == broadcasts_.end())
            parts.push_back(d);
        else
            parts.insert(parts.end(), made->second.begin(), made->second.end());
    }
    std::sort(parts.begin(), parts.end());
    parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
    if (parts.size() > kMostTerms) return fresh();
    std::string key = "broadcast";
    for (const Dim d : parts) key += " " + std::to_string(d);
    const Dim made = named(key);
    broadcasts_[made] = parts;
    return made;
}

Dim Symbols::function(const char* name, Dim a, Dim b) {
    return named(std::string(name) + " " + std::to_string(a) + " " + std::to_string(b));
}

Dim Symbols::product(const std::vector<Dim>& dims) {
    Dim n = constant(1);
    for (const Dim d : dims) n = multiply(n, d);
    return n;
}

}  // namespace fastcalo::graph
