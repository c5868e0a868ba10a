// SPDX-License-Identifier: BSD-3-Clause
// Fused operators: how programs run.
#include <algorithm>
#include <cstring>

#include "graph/run/executor.hpp"

namespace fastcalo::graph {
namespace {

// Lengths and strides of an operand that is broadcast to a shape, outermost first, neighbours merged.
struct Pattern {
    int levels;  // nothing is set here: a run holds many of these
    std::int64_t length[kMaxRank], stride[kMaxRank];
};

Pattern pattern_of(const Shape& shape, const Tensor& t) {
    Pattern p;
    std::int64_t stride = 1;
    std::int64_t length[kMaxRank], by[kMaxRank];
    int n = 0;  // innermost first
    for (int k = 1; k <= shape.rank; ++k) {
        const std::int64_t want = shape[shape.rank - k];
        const std::int64_t have = k <= t.shape.rank ? t.shape[t.shape.rank - k] : 1;
        if (have != want && have != 1)
            throw Error("shapes " + t.shape.text() + " and " + shape.text() + " cannot be broadcast");
        const std::int64_t step = have == 1 ? 0 : stride;
        stride *= have;
        if (want == 1) continue;
        if (n && ((by[n - 1] == 0 && step == 0) || (by[n - 1] != 0 && step == by[n - 1] * length[n - 1]))) {
            length[n - 1] *= want;
        } else {
            length[n] = want;
            by[n++] = step;
        }
    }
    if (t.shape.rank > shape.rank)
        throw Error("shapes " + t.shape.text() + " and " + shape.text() + " cannot be broadcast");
    p.levels = n;
    for (int k = 0; k < n; ++k) p.length[k] = length[n - 1 - k], p.stride[k] = by[n - 1 - k];
    return p;
}

// So many elements, in pieces: what follows them may be read (if `padded`) and written.
template <class T>
void copy_run(T* to, const T* from, std::int64_t n, bool padded) {
    constexpr std::int64_t kPiece = 64 / sizeof(T);
    if (!padded) {
        std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
        return;
    }
    for (std::int64_t i = 0; i < n; i += kPiece) std::memcpy(to + i, from + i, kPiece * sizeof(T));
}
template <class T>
void repeat_run(T* to, T value, std::int64_t n) {
    constexpr std::int64_t kPiece = 64 / sizeof(T);
    T piece[kPiece];
    for (T& x : piece) x = value;
    for (std::int64_t i = 0; i < n; i += kPiece) std::memcpy(to + i, piece, sizeof piece);
}

template <class T>
const T* fill(const Pattern& p, const T* from, std::int64_t first, std::int64_t n, T* to, bool padded) {
    std::int64_t at[kMaxRank] = {}, offset = 0, rest = first;
    const int inner = p.levels - 1;
    for (int k = inner; k >= 0; --k) {
        at[k] = rest % p.length[k];
        rest /= p.length[k];
        offset += at[k] * p.stride[k];
    }
    const bool along = p.stride[inner] != 0;
    if (along && at[inner] + n <= p.length[inner]) return from + offset;
    T* d = to;
    while (n > 0) {
        const std::int64_t run = std::min(n, p.length[inner] - at[inner]);
        if (along)
            copy_run(d, from + offset, run, padded);
        else
            repeat_run(d, from[offset], run);
        d += run;
        n -= run;
        if (n == 0) break;
        offset -= at[inner] * p.stride[inner];
        at[inner] = 0;
        for (int k = inner - 1; k >= 0; --k) {
            offset += p.stride[k];
            if (++at[k] < p.length[k]) break;
            offset -= p.length[k] * p.stride[k];
            at[k] = 0;
        }
    }
    return to;
}

const std::byte* fill_bytes(const Pattern& p, const std::byte* from, std::int64_t first, std::int64_t n, std::byte* to,
                            std::size_t element, bool padded) {
    const auto as = [&](auto zero) {
        using T = decltype(zero);
        return reinterpret_cast<const std::byte*>(
            fill(p, reinterpret_cast<const T*>(from), first, n, reinterpret_cast<T*>(to), padded));
    };
    switch (element) {
        case 1:
            return as(std::uint8_t{});
        case 2:
            return as(std::uint16_t{});
        case 4:
            return as(std::uint32_t{});
        default:
            return as(std::uint64_t{});
    }
}

void repeat(const std::byte* from, std::int64_t n, std::byte* to, std::size_t element) {
    const Pattern p{1, {n}, {0}};
    fill_bytes(p, from, 0, n, to, element, true);
}

void join(Shape& shape, const std::int64_t* lengths, int rank) {
    Shape r;
    r.rank = std::max(shape.rank, rank);
    for (int k = 1; k <= r.rank; ++k) {
        const std::int64_t a = k <= shape.rank ? shape[shape.rank - k] : 1, b = k <= rank ? lengths[rank - k] : 1;
        if (a != b && a != 1 && b != 1) throw Error("shapes cannot be broadcast: " + shape.text());
        r[r.rank - k] = a == 1 ? b : a;
    }
    shape = r;
}

// Whether bytes behind the last element may be read: not behind the caller's tensors.
bool is_padded(const Tensor& t, const Operand& o) { return t.owner || o.constant; }

// Elements of as many vectors as hold n of them.
std::int64_t whole_vectors(std::int64_t n) { return (n + kVector - 1) / kVector * kVector; }

Shape shape_of(Run& run, const Program& p) {
    if (p.leader >= 0) {
        const Tensor& t = run.slot(p.operands[static_cast<std::size_t>(p.leader)].slot);
        return p.vector ? Shape{t.count} : t.shape;
    }
    Shape shape;
    for (const Operand& o : p.operands)
        if (o.source != Source::table) join(shape, run.slot(o.slot).shape.d.data(), run.slot(o.slot).shape.rank);
    if (p.shape_slot >= 0) {
        const Tensor& t = run.slot(p.shape_slot);
        if (t.count > kMaxRank || t.type != Type::i64) throw Error("a target shape has too many axes");
        join(shape, t.as<std::int64_t>(), static_cast<int>(t.count));
    }
    return shape;
}

}  // namespace

void run_program(Run& run, const Program& p) {
    const Shape shape = shape_of(run, p);
    const std::int64_t total = shape.count();
    for (const Result& r : p.results) run.make(r.slot, r.type, shape);
    if (total == 0) return;
    std::byte* const scratch = run.bytes(p.scratch);
    std::byte* registers[kMostRegisters];
    Pattern patterns[kMostRegisters / 8];
    Places places[kMostRegisters];
    std::size_t broadcast = 0;
    std::uint8_t moving[kMostRegisters];  // operands that are read on from block to block
    const std::size_t operands = p.operands.size();
    for (std::size_t k = 0; k < p.offsets.size(); ++k) registers[k] = scratch + p.offsets[k];
    const bool moves = total > kBlock;
    bool padded = true;
    for (std::size_t k = 0; k < operands; ++k) {
        const Operand& o = p.operands[k];
        const Tensor& t = run.slot(o.slot);
        moving[k] = 0;
        if (o.source == Source::table) continue;
        if (o.source == Source::splat) {
            registers[k] = const_cast<std::byte*>(o.splat);
        } else if (t.count == total) {
            registers[k] = t.data;
            moving[k] = 1;
            padded = padded && is_padded(t, o);
        } else if (t.count == 1 && o.source != Source::full) {
            repeat(t.data, std::min(total, kBlock), registers[k], o.element);
        } else if (o.source == Source::broadcast && broadcast < kMostRegisters / 8) {
            patterns[broadcast++] = pattern_of(shape, t);
            moving[k] = 2;
        } else {
            throw Error("a tensor of shape " + t.shape.text() + " is found where " + shape.text() + " is needed");
        }
    }
    for (const Result& r : p.results) registers[r.reg] = run.slot(r.slot).data;
    for (std::int64_t first = 0; first < total; first += kBlock) {
        const std::int64_t n = std::min(kBlock, total - first);
        if (moves || broadcast) {
            std::size_t next = 0;
            for (std::size_t k = 0; k < operands; ++k) {
                const Operand& o = p.operands[k];
                if (moving[k] == 1)
                    registers[k] = run.slot(o.slot).data + static_cast<std::size_t>(first) * o.element;
                else if (moving[k] == 2)
                    registers[k] = const_cast<std::byte*>(fill_bytes(patterns[next++], run.slot(o.slot).data, first, n,
                                                                     scratch + p.offsets[k], o.element,
                                                                     is_padded(run.slot(o.slot), o)));
            }
            for (const Result& r : p.results)
                registers[r.reg] = run.slot(r.slot).data + static_cast<std::size_t>(first) * size_of(r.type);
        }
        // what lies behind the last element of results and of what is only needed in between may be written
        const std::int64_t several = padded ? whole_vectors(n) : n;
        for (const Step& s : p.steps) {
            if (s.fn) {
                s.fn(registers[s.d], registers[s.a], registers[s.b], registers[s.c], several);
                continue;
            }
            const Tensor& table = run.slot(p.operands[s.b].slot);
            if (s.looks) places[s.places] = run.kernels->look(registers[s.c], n, s.wide);
            if (!run.kernels->take(registers[s.d], table.data, table.count, registers[s.c], n, s.element, s.wide,
                                   places[s.places]))
                throw Error("an index is outside a vector of " + std::to_string(table.count) + " elements");
            if (several > n) std::memset(registers[s.d] + static_cast<std::size_t>(n) * s.element, 0, kPadding / 2);
        }
    }
}

}  // namespace fastcalo::graph
