// SPDX-License-Identifier: BSD-3-Clause
// Plans, and what runs them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "graph/build/ir.hpp"
#include "graph/run/fused.hpp"

namespace fastcalo::graph {

struct Code;

// Seconds, calls and multiplications by kind of instruction.
enum Kind : std::uint8_t { kElementwise, kProduct, kIndexing, kLayout, kReduction, kControl, kKinds };
struct Profile {
    double seconds[kKinds] = {};
    std::int64_t calls[kKinds] = {};
    double multiplications = 0;
    double inside = 0;  // seconds of instructions of a body
    double clock = 0;   // what looking at the clock takes
};

// Numbers of slots, which belong to the code.
struct Slots {
    const int* first = nullptr;
    std::size_t n = 0;

    std::size_t size() const { return n; }
    int operator[](std::size_t k) const { return first[k]; }
    const int* begin() const { return first; }
    const int* end() const { return first + n; }
};

// One instruction: reads and writes slots, and releases those that nobody reads after it.
//
// What every run looks at comes first: it fits one line of the cache.
struct alignas(64) Instruction {
    using Fn = void (*)(Run&, const Instruction&);

    Fn fn = nullptr;
    Slots in, out, dead;
    Op op = Op::Abs;
    Kind kind = kLayout;
    std::uint8_t form = 0;  // of a product, see operators_math.cpp
    bool silu = false;
    Params p;
    std::shared_ptr<Program> program;
    std::shared_ptr<float> packed;  // a constant matrix
    std::vector<std::shared_ptr<Code>> bodies;
    // the slots, until `place_slots`
    std::vector<int> reads, writes, releases;
};

struct Code {
    std::vector<Instruction> instructions;
    std::vector<int> inputs, outputs;
    std::vector<int> left;   // slots that may hold a tensor at the end
    std::vector<int> slots;  // of all instructions, in order
};

// Let instructions refer to their slots, which stand side by side in `slots`.
void place_slots(std::vector<Instruction>& instructions, std::vector<int>& slots);

// What one run reads and writes.
struct Run {
    Tensor* slots = nullptr;
    Arena* arena = nullptr;
    const Kernels* kernels = nullptr;
    std::vector<std::byte>* scratch = nullptr;
    Profile* profile = nullptr;

    Tensor& slot(int s) { return slots[s]; }
    // A new tensor in a slot.
    Tensor& make(int s, Type type, const Shape& shape) {
        Tensor& t = slots[s];
        t.type = type;
        t.shape = shape;
        t.count = shape.count();
        t.owner = arena->take(t.bytes());
        t.data = t.owner->bytes();
        return t;
    }
    // The same elements in another slot.
    Tensor& share(int s, const Tensor& of) {
        Tensor& t = slots[s];
        t = of;
        if (t.owner) ++t.owner->users;
        return t;
    }
    void release(int s) {
        Tensor& t = slots[s];
        if (t.owner) arena->drop(t.owner);
        t.owner = nullptr;
        t.data = nullptr;
    }
    std::byte* bytes(std::size_t n) {
        if (scratch->size() < n) scratch->resize(n);
        return scratch->data();
    }
};

// CPU time of this thread.
double thread_seconds();

void execute(Run& run, const Code& code);

// The instruction of one node; of a fused group, use make_program.
Instruction lower(Ir& ir, const Node& n, const Kernels& k);
// Code of a block.
std::shared_ptr<Code> compile(Ir& ir, int block, const Kernels& k);

// Outputs of a node whose inputs are constants; owned by the arena.
std::vector<Tensor> evaluate(Ir& ir, const Node& n, Arena& arena);

// Functions that run operators.
Instruction::Fn function_of(Op op, Kind* kind);

}  // namespace fastcalo::graph
