// SPDX-License-Identifier: BSD-3-Clause
// Operators that put elements where indices say.
#include <cstring>

#include "graph/run/operators.hpp"

namespace fastcalo::graph {
namespace {

[[noreturn]] void outside(std::int64_t length) {
    throw Error("ScatterElements: an index is outside an axis of " + std::to_string(length));
}

// An index, which may count from the end.
inline std::int64_t placed(std::int64_t i, std::int64_t length) {
    if (static_cast<std::uint64_t>(i) >= static_cast<std::uint64_t>(length)) {
        i += length;
        if (i < 0 || i >= length) outside(length);
    }
    return i;
}

// Into a vector.
template <class T, class I, class F>
void scatter_vector(T* d, std::int64_t length, const I* index, const T* u, std::int64_t n, F&& put) {
    for (std::int64_t k = 0; k < n; ++k) {
        const std::int64_t i = placed(index[k], length);
        d[i] = put(d[i], u[k]);
    }
}

// Into lines of so many elements, by the same indices in each.
template <class T, class I, class F>
void scatter_lines(T* d, std::int64_t length, std::int64_t lines, const I* index, const T* u, std::int64_t n, F&& put) {
    // sums of several lines grow beside each other: one alone would wait for itself
    constexpr std::int64_t kTogether = 8;
    std::int64_t line = 0;
    for (; line + kTogether <= lines; line += kTogether, d += kTogether * length, u += kTogether * n)
        for (std::int64_t k = 0; k < n; ++k) {
            T* const to = d + placed(index[k], length);
            for (std::int64_t j = 0; j < kTogether; ++j) to[j * length] = put(to[j * length], u[j * n + k]);
        }
    for (; line < lines; ++line, d += length, u += n) scatter_vector(d, length, index, u, n, put);
}

template <class T, class F>
void scatter_with(Tensor& to, const Tensor& index, const Tensor& updates, const Params& p, F&& put) {
    T* d = to.as<T>();
    const T* u = updates.as<T>();
    if (to.shape.rank == 1 || p.flag2) {
        const std::int64_t length = to.shape[to.shape.rank - 1], lines = p.flag2 ? to.shape[0] : 1;
        if (index.type == Type::i64)
            return scatter_lines(d, length, lines, index.as<std::int64_t>(), u, index.count, put);
        return scatter_lines(d, length, lines, index.as<std::int32_t>(), u, index.count, put);
    }
    const std::int64_t axis = p.axis;
    const Around a(to.shape, axis), b(index.shape, axis);
    for (int k = 0; k < to.shape.rank; ++k)
        if (k != static_cast<int>(axis) && index.shape[k] != to.shape[k])
            throw Error("ScatterElements: indices of shape " + index.shape.text() + " into " + to.shape.text() +
                        " are not supported");
    for (std::int64_t o = 0; o < b.outer; ++o)
        for (std::int64_t k = 0; k < b.length; ++k)
            for (std::int64_t j = 0; j < b.inner; ++j) {
                const std::int64_t at = (o * b.length + k) * b.inner + j;
                std::int64_t i = integer_at(index, at);
                i = i < 0 ? i + a.length : i;
                if (i < 0 || i >= a.length) outside(a.length);
                T& x = d[(o * a.length + i) * a.inner + j];
                x = put(x, u[at]);
            }
}

template <class T, class Do>
void with_function(std::int64_t mode, Do&& scatter) {
    switch (mode) {
        case kAdd:
            return scatter([](T x, T y) { return static_cast<T>(x + y); });
        case kMin:
            return scatter([](T x, T y) { return y < x ? y : x; });
        case kMax:
            return scatter([](T x, T y) { return y > x ? y : x; });
        default:
            return scatter([](T, T y) { return y; });
    }
}

template <class T>
void scatter(Tensor& to, const Tensor& index, const Tensor& updates, const Params& p) {
    with_function<T>(p.mode, [&](auto put) { scatter_with<T>(to, index, updates, p, put); });
}

// The array holds `value` everywhere before and afterwards: only what was touched is cleaned.
template <class T, class I>
void scatter_take(Tensor& out, std::byte* array, std::int64_t length, T value, const Tensor& index,
                  const Tensor& updates, std::int64_t mode) {
    T *d = reinterpret_cast<T*>(array), *to = out.as<T>();
    const I* at = index.as<I>();
    with_function<T>(mode, [&](auto put) { scatter_vector(d, length, at, updates.as<T>(), index.count, put); });
    const auto place = [length](std::int64_t i) { return i < 0 ? i + length : i; };
    for (std::int64_t k = 0; k < index.count; ++k) to[k] = d[place(at[k])];
    for (std::int64_t k = 0; k < index.count; ++k) d[place(at[k])] = value;
}

// The vector that a few elements are scattered into: of one value throughout, it needs no copy. Null where `own` is
// needed; it copies nothing either where nobody else reads the vector.
Tensor* filled_vector(Run& run, int out, const Tensor& from, const Tensor& index, bool last) {
    const std::size_t element = size_of(from.type);
    if (!from.owner || from.owner->element != element || from.owner->kept || from.shape.rank != 1 ||
        (last && from.owner->users == 1))
        return nullptr;
    // indices that lie in such a buffer would keep another one alive, and that the next
    if (!index.owner || index.owner->kept || index.count > from.count / 8 || index.count > INT32_MAX) return nullptr;
    const auto places = [&](auto zero) {
        using I = decltype(zero);
        const I* at = index.as<I>();
        // an index that counts from the end is seldom
        return std::all_of(at, at + index.count, [&](I i) { return i >= 0 && i < from.count; });
    };
    if (!(index.type == Type::i64 ? places(std::int64_t{}) : places(std::int32_t{}))) return nullptr;
    Tensor& t = run.slot(out);
    t.owner = run.arena->take_filled(from.bytes(), from.owner->value, element);
    t.data = t.owner->bytes();
    t.type = from.type;
    t.shape = from.shape;
    t.count = from.count;
    t.owner->places = index.data;
    t.owner->places_owner = index.owner;
    t.owner->n_places = static_cast<std::uint32_t>(index.count);
    t.owner->wide = static_cast<std::uint8_t>(size_of(index.type));
    ++index.owner->users;
    return &t;
}

// A tensor with the elements of an input: in its place where nobody else reads that, else a copy.
Tensor& own(Run& run, int out, int in, bool last) {
    Tensor& from = run.slot(in);
    if (last && from.owner && from.owner->users == 1 && !from.owner->kept) {
        from.owner->element = 0;
        Tensor& t = run.slot(out);
        t = from;
        from.owner = nullptr;
        return t;
    }
    Tensor& t = run.make(out, from.type, from.shape);
    if (t.count) std::memcpy(t.data, from.data, from.bytes());
    return t;
}

}  // namespace

// With p.flag, the first input is not read again; with p.flag2, each line of a matrix has the same indices.
void run_scatter(Run& run, const Instruction& i) {
    const Tensor &index = input(run, i, 1), &updates = input(run, i, 2);
    const Shape& into = input(run, i, 0).shape;
    if (i.p.flag2 ? updates.shape != Shape{into[0], index.count} : index.shape != updates.shape)
        throw Error("ScatterElements: indices and updates differ in shape");
    Tensor* const filled = filled_vector(run, i.out[0], input(run, i, 0), index, i.p.flag);
    Tensor& t = filled ? *filled : own(run, i.out[0], i.in[0], i.p.flag);
    switch (t.type) {
        case Type::f32:
            return scatter<float>(t, index, updates, i.p);
        case Type::i64:
            return scatter<std::int64_t>(t, index, updates, i.p);
        case Type::i32:
            return scatter<std::int32_t>(t, index, updates, i.p);
        case Type::i16:
            return scatter<std::int16_t>(t, index, updates, i.p);
        default:
            return scatter<std::uint8_t>(t, index, updates, i.p);
    }
}

void run_scatter_take(Run& run, const Instruction& i) {
    const Tensor &lengths = input(run, i, 0), &index = input(run, i, 1), &updates = input(run, i, 2);
    if (index.shape != updates.shape) throw Error("ScatterElements: indices and updates differ in shape");
    if (lengths.type != Type::i64 || lengths.count != 1) throw Error("ScatterElements: a vector is needed");
    const std::int64_t length = Shape{*lengths.as<std::int64_t>()}.count();
    const std::size_t element = size_of(i.p.value.type);
    std::uint64_t bits = 0;
    std::memcpy(&bits, i.p.value.data, element);
    Buffer* const array = run.arena->take_filled(static_cast<std::size_t>(length) * element, bits, element);
    Tensor& t = run.make(i.out[0], i.p.value.type, index.shape);
    const auto as = [&](auto zero) {
        using T = decltype(zero);
        const T value = *reinterpret_cast<const T*>(i.p.value.data);
        if (index.type == Type::i64)
            scatter_take<T, std::int64_t>(t, array->bytes(), length, value, index, updates, i.p.mode);
        else
            scatter_take<T, std::int32_t>(t, array->bytes(), length, value, index, updates, i.p.mode);
        run.arena->drop(array);
    };
    switch (t.type) {
        case Type::f32:
            return as(float{});
        case Type::i64:
            return as(std::int64_t{});
        case Type::i32:
            return as(std::int32_t{});
        case Type::i16:
            return as(std::int16_t{});
        default:
            return as(std::uint8_t{});
    }
}

void run_scatter_nd(Run& run, const Instruction& i) {
    const Tensor &index = input(run, i, 1), &updates = input(run, i, 2);
    Tensor& t = own(run, i.out[0], i.in[0], i.p.flag);
    const int axes = static_cast<int>(index.shape[index.shape.rank - 1]);
    if (axes < 1 || axes > t.shape.rank) throw Error("ScatterND: the indices have too many numbers");
    const std::int64_t n = index.count / axes, inner = t.shape.product(axes, t.shape.rank);
    if (updates.count != n * inner) throw Error("ScatterND: indices and updates do not fit");
    const std::size_t piece = static_cast<std::size_t>(inner) * size_of(t.type);
    for (std::int64_t k = 0; k < n; ++k) {
        std::int64_t line = 0;
        for (int j = 0; j < axes; ++j) {
            std::int64_t at = index.as<std::int64_t>()[k * axes + j];
            at = at < 0 ? at + t.shape[j] : at;
            if (at < 0 || at >= t.shape[j]) throw Error("ScatterND: an index is outside " + t.shape.text());
            line = line * t.shape[j] + at;
        }
        std::memcpy(t.data + static_cast<std::size_t>(line) * piece, updates.data + static_cast<std::size_t>(k) * piece,
                    piece);
    }
}

}  // namespace fastcalo::graph
