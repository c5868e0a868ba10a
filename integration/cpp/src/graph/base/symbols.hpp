// SPDX-License-Identifier: BSD-3-Clause
// Lengths that are known as formulae only: which shapes are equal is known before a graph runs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace fastcalo::graph {

// A length, or an element of a shape: number of a polynomial in a table. Equal numbers are equal polynomials.
using Dim = int;

class Symbols {
  public:
    Dim constant(std::int64_t value);
    // A number that no formula is known for. The same key is the same number.
    Dim named(const std::string& key);
    Dim fresh() { return named("?" + std::to_string(fresh_++)); }

    bool is_constant(Dim a, std::int64_t* value = nullptr) const;

    Dim add(Dim a, Dim b);
    Dim subtract(Dim a, Dim b);
    Dim multiply(Dim a, Dim b);
    // Exact where the division is; otherwise a number of its own.
    Dim divide(Dim a, Dim b);
    // Length that two lengths have after broadcasting.
    Dim broadcast(Dim a, Dim b);
    // Any other function of two numbers.
    Dim function(const char* name, Dim a, Dim b);
    Dim product(const std::vector<Dim>& dims);

  private:
    using Monomial = std::vector<int>;                    // symbols, sorted
    using Polynomial = std::map<Monomial, std::int64_t>;  // coefficients, none of them 0

    Dim intern(const Polynomial& p);

    std::map<Polynomial, Dim> numbers_;
    std::vector<Polynomial> polynomials_;
    std::map<std::string, int> names_;
    std::map<Dim, std::vector<Dim>> broadcasts_;  // what a broadcast length was made of
    std::int64_t fresh_ = 0;
};

}  // namespace fastcalo::graph
