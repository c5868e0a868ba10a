// SPDX-License-Identifier: BSD-3-Clause
// Fused operators: a chain of operators element by element, run block by block in memory that stays in the cache.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/build/ir.hpp"
#include "graph/kernels/kernels.hpp"

namespace fastcalo::graph {

struct Run;

// Elements of a block.
constexpr std::int64_t kBlock = 512;
// Elements of the longest vector, and bytes that follow every register and every tensor of an arena: a program may work
// out whole vectors.
constexpr std::int64_t kVector = 16;
static_assert(kBlock % kVector == 0 && kVector * 8 <= static_cast<std::int64_t>(kPadding));
// More registers than a group of nodes may need.
constexpr std::size_t kMostRegisters = 250;

struct Step {
    StepFn fn = nullptr;  // none: take elements of table b at indices c
    std::uint16_t d = 0, a = 0, b = 0, c = 0;
    std::uint8_t element = 0, wide = 0;
    // of a take: the number of its indices among all of this program; the first take that reads them looks at them
    std::uint8_t places = 0;
    bool looks = false;
};

// Where an operand comes from, as far as it is known before the run.
enum class Source : std::uint8_t {
    full,       // has the shape of all
    scalar,     // one element
    broadcast,  // known when the graph runs
    splat,      // a constant, repeated for a block
    table,      // of `take`
};

struct Operand {
    int slot = 0;
    Source source = Source::full;
    std::uint8_t element = 0;
    bool constant = false;
    const std::byte* splat = nullptr;
};

struct Result {
    int slot = 0;
    std::uint16_t reg = 0;
    Type type = Type::none;
};

// Registers: operands first, then results, then what is only needed in between.
struct Program {
    std::vector<Operand> operands;
    std::vector<Result> results;
    std::vector<Step> steps;
    int leader = -1;      // operand that has the shape of all, or if results are vectors, as many elements
    bool vector = false;  // results have one axis
    int shape_slot = -1;  // else: a target shape (Expand) that takes part in broadcasting
    // Of each register, where it is in scratch memory; of those that point elsewhere, -1.
    std::vector<std::int64_t> offsets;
    std::size_t scratch = 0;
};

// Program of some nodes, in order. `outside` states of each whether its output is read by others. Constants that are
// repeated for a block are added to the memory of the graph.
Program make_program(Ir& ir, const std::vector<const Node*>& nodes, const std::vector<char>& outside, const Kernels& k);

void run_program(Run& run, const Program& p);

}  // namespace fastcalo::graph
