// SPDX-License-Identifier: BSD-3-Clause
// Branches and loops.
#include <new>

#include "graph/run/operators.hpp"

namespace fastcalo::graph {
namespace {

constexpr std::size_t kMostStates = 32;
constexpr std::int64_t kMostIterations = std::int64_t{1} << 31;

bool truth(const Tensor& t) {
    if (t.count != 1) throw Error("a condition must be one bool");
    return *t.as<std::uint8_t>() != 0;
}

// What a body gives, kept while its slots are released.
class Kept {
  public:
    Kept(Run& run, const Code& body) {
        if (body.outputs.size() > kMostStates) throw Error("a body has too many outputs");
        for (std::size_t k = 0; k < body.outputs.size(); ++k) {
            const Tensor* t = new (memory_ + k * sizeof(Tensor)) Tensor(run.slot(body.outputs[k]));
            if (t->owner) ++t->owner->users;
        }
        for (const int s : body.left) run.release(s);
    }
    const Tensor& operator[](std::size_t k) const { return reinterpret_cast<const Tensor*>(memory_)[k]; }

  private:
    // only what is used is made: this happens at every iteration
    alignas(Tensor) std::byte memory_[kMostStates * sizeof(Tensor)];
};

void put(Run& run, int slot, const Tensor& t) { run.slot(slot) = t; }

// Lengths that the body declares: numbers are what they are, equal names are equal.
void check_states(Run& run, const Instruction& i, const int* slots, std::size_t n) {
    std::int64_t names[kMostStates], lengths[kMostStates];
    std::size_t known = 0, at = 0;
    for (std::size_t k = 0; k < n; ++k) {
        const Shape& s = run.slot(slots[k]).shape;
        for (int d = 0; d < s.rank; ++d, ++at) {
            const std::int64_t want = i.p.list[at];
            std::size_t j = 0;
            if (want < 0) {
                while (j < known && names[j] != want) ++j;
                if (j == known && known < kMostStates) {
                    names[known] = want;
                    lengths[known++] = s[d];
                    continue;
                }
            }
            if (j == kMostStates || s[d] != (want < 0 ? lengths[j] : want))
                throw Error("a state of a loop has the shape " + s.text() + ", against what the body declares");
        }
    }
}

void set_number(Run& run, int slot, Type type, std::int64_t value) {
    Tensor& t = run.make(slot, type, Shape{});
    if (type == Type::i64)
        *t.as<std::int64_t>() = value;
    else
        *t.as<std::uint8_t>() = static_cast<std::uint8_t>(value);
}

}  // namespace

void run_if(Run& run, const Instruction& i) {
    const Code& body = *i.bodies[truth(input(run, i, 0)) ? 0 : 1];
    execute(run, body);
    const Kept kept(run, body);
    for (std::size_t k = 0; k < i.out.size(); ++k) put(run, i.out[k], kept[k]);
}

void run_loop(Run& run, const Instruction& i) {
    const Code& body = *i.bodies[0];
    const std::size_t states = i.in.size() - 2;
    std::int64_t most = kMostIterations;
    if (i.in[0] != kAbsent) {
        if (input(run, i, 0).count != 1) throw Error("the count of a loop must be one number");
        most = *input(run, i, 0).as<std::int64_t>();
    }
    bool go_on = i.in[1] == kAbsent || truth(input(run, i, 1));
    for (std::size_t k = 0; k < states; ++k) run.share(body.inputs[k + 2], input(run, i, k + 2));
    check_states(run, i, body.inputs.data() + 2, states);
    for (std::int64_t at = 0; at < most && go_on; ++at) {
        if (at >= kMostIterations) throw Error("a loop does not end");
        set_number(run, body.inputs[0], Type::i64, at);
        set_number(run, body.inputs[1], Type::boolean, 1);
        execute(run, body);
        const Kept kept(run, body);
        go_on = truth(kept[0]);
        if (kept[0].owner) run.arena->drop(kept[0].owner);
        for (std::size_t k = 0; k < states; ++k) put(run, body.inputs[k + 2], kept[k + 1]);
        check_states(run, i, body.inputs.data() + 2, states);
    }
    for (std::size_t k = 0; k < states; ++k) {
        put(run, i.out[k], run.slot(body.inputs[k + 2]));
        run.slot(body.inputs[k + 2]).owner = nullptr;
    }
}

void run_scan(Run& run, const Instruction& i) {
    const Code& body = *i.bodies[0];
    const auto states = static_cast<std::size_t>(i.p.mode);
    const std::int64_t length = input(run, i, states).shape[0];
    for (std::size_t k = states; k < i.in.size(); ++k)
        if (input(run, i, k).shape[0] != length) throw Error("Scan: its inputs differ in length");
    if (length == 0) throw Error("Scan: its inputs are empty");
    for (std::size_t k = 0; k < states; ++k) run.share(body.inputs[k], input(run, i, k));
    for (std::int64_t at = 0; at < length; ++at) {
        for (std::size_t k = states; k < i.in.size(); ++k) {
            const Tensor& from = input(run, i, k);
            Tensor& t = run.slot(body.inputs[k]);
            t.type = from.type;
            t.owner = nullptr;
            t.shape = Shape::of(from.shape.d.data() + 1, from.shape.rank - 1);
            t.count = from.count / length;
            t.data = from.data + static_cast<std::size_t>(at * t.count) * size_of(t.type);
        }
        execute(run, body);
        const Kept kept(run, body);
        for (std::size_t k = 0; k < states; ++k) {
            if (kept[k].shape != input(run, i, k).shape) throw Error("Scan: a state changes its shape");
            put(run, body.inputs[k], kept[k]);
        }
        for (std::size_t k = states; k < i.out.size(); ++k) {
            const Tensor& part = kept[k];
            if (at == 0) {
                Shape shape;
                shape.rank = part.shape.rank + 1;
                if (shape.rank > kMaxRank) throw Error("Scan: an output has too many axes");
                shape[0] = length;
                for (int d = 1; d < shape.rank; ++d) shape[d] = part.shape[d - 1];
                run.make(i.out[k], part.type, shape);
            }
            Tensor& all = run.slot(i.out[k]);
            if (all.count != part.count * length) throw Error("Scan: an output changes its shape");
            if (part.count)
                std::memcpy(all.data + static_cast<std::size_t>(at) * part.bytes(), part.data, part.bytes());
            if (part.owner) run.arena->drop(part.owner);
        }
    }
    for (std::size_t k = 0; k < states; ++k) {
        put(run, i.out[k], run.slot(body.inputs[k]));
        run.slot(body.inputs[k]).owner = nullptr;
    }
}

}  // namespace fastcalo::graph
