// SPDX-License-Identifier: BSD-3-Clause
// Operators with indices, and those that count and sort.
#include <numeric>

#include "graph/run/operators.hpp"

namespace fastcalo::graph {
namespace {

template <class T>
void cumsum(T* to, const T* from, const Around& a, bool exclusive, bool reverse) {
    for (std::int64_t o = 0; o < a.outer; ++o)
        for (std::int64_t j = 0; j < a.inner; ++j) {
            const std::int64_t base = o * a.length * a.inner + j;
            T sum = 0;
            for (std::int64_t k = 0; k < a.length; ++k) {
                const std::int64_t at = base + (reverse ? a.length - 1 - k : k) * a.inner;
                const T x = from[at];
                if (exclusive) to[at] = sum;
                sum = static_cast<T>(sum + x);
                if (!exclusive) to[at] = sum;
            }
        }
}

bool take(const Run& run, void* d, const void* table, std::int64_t count, const void* index, std::int64_t n,
          int element, int wide) {
    return run.kernels->take(d, table, count, index, n, element, wide, run.kernels->look(index, n, wide));
}

[[noreturn]] void outside(std::int64_t length) {
    throw Error("ScatterElements: an index is outside an axis of " + std::to_string(length));
}

// Into a vector.
template <class T, class I, class F>
void scatter_vector(T* d, std::int64_t length, const I* index, const T* u, std::int64_t n, F&& put) {
    for (std::int64_t k = 0; k < n; ++k) {
        std::int64_t i = index[k];
        if (static_cast<std::uint64_t>(i) >= static_cast<std::uint64_t>(length)) {
            i += length;
            if (i < 0 || i >= length) outside(length);
        }
        d[i] = put(d[i], u[k]);
    }
}

template <class T, class F>
void scatter_with(Tensor& to, const Tensor& index, const Tensor& updates, std::int64_t axis, F&& put) {
    T* d = to.as<T>();
    const T* u = updates.as<T>();
    if (to.shape.rank == 1) {
        if (index.type == Type::i64) return scatter_vector(d, to.count, index.as<std::int64_t>(), u, index.count, put);
        return scatter_vector(d, to.count, index.as<std::int32_t>(), u, index.count, put);
    }
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
    with_function<T>(p.mode, [&](auto put) { scatter_with<T>(to, index, updates, p.axis, put); });
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

template <class Key>
struct Item {
    Key key;
    Key at;
};

// Sort by insertion, which equal ones keep their order in, and give up after so many moves.
template <class Key>
bool insert_items(Item<Key>* items, std::int64_t n, std::int64_t moves) {
    for (std::int64_t k = 1; k < n; ++k) {
        const Item<Key> x = items[k];
        std::int64_t j = k;
        for (; j > 0 && items[j - 1].key > x.key; --j) items[j] = items[j - 1];
        items[j] = x;
        moves -= k - j;
        if (moves < 0) return false;
    }
    return true;
}

// Sort by the bits of the keys from `shift` on, digit by digit; equal ones keep their order.
template <class Key>
void sort_digits(Item<Key>* items, Item<Key>* other, std::int64_t n, int shift, Key varies) {
    constexpr int kBits = 11;
    constexpr Key kMask = (Key{1} << kBits) - 1;
    Item<Key>*from = items, *to = other;
    for (; shift < static_cast<int>(8 * sizeof(Key)) && varies >> shift; shift += kBits) {
        if (!(varies >> shift & kMask)) continue;
        std::int64_t first[kMask + 2] = {};
        for (std::int64_t i = 0; i < n; ++i) ++first[(from[i].key >> shift & kMask) + 1];
        for (Key d = 0; d < kMask; ++d) first[d + 1] += first[d];
        for (std::int64_t i = 0; i < n; ++i) to[first[from[i].key >> shift & kMask]++] = from[i];
        std::swap(from, to);
    }
    if (from != items) std::copy(from, from + n, items);
}

// Stable: by the two highest digits, and the rest by insertion where that needs few moves, else digit by digit.
template <class Key>
void sort_items(Item<Key>* items, Item<Key>* other, std::int64_t n) {
    if (insert_items(items, n, n + 64)) return;
    Key varies = 0;
    for (std::int64_t i = 1; i < n; ++i) varies |= items[i].key ^ items[0].key;
    int low = 0;
    while (varies >> low >= Key{1} << 22) ++low;
    sort_digits(items, other, n, low, varies);
    if (low > 0 && !insert_items(items, n, 8 * n)) sort_digits(items, other, n, 0, varies);
}

// Numbers whose order is that of the elements.
std::int64_t order_of(float x) {
    std::int32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? INT32_MIN - static_cast<std::int64_t>(bits) : bits;
}
template <class T>
std::int64_t order_of(T x) {
    return x;
}

// Places of the first k of n elements in order, by keys counted from the lowest, or down from the highest.
template <class Key, class T>
void sort_by(Run& run, const T* from, std::int64_t n, std::uint64_t first_key, bool falling, std::int64_t* at,
             std::int64_t k) {
    auto* items = reinterpret_cast<Item<Key>*>(run.bytes(static_cast<std::size_t>(2 * n + 2) * sizeof(Item<Key>)));
    for (std::int64_t j = 0; j < n; ++j) {
        const auto key = static_cast<std::uint64_t>(order_of(from[j]));
        items[j] = {static_cast<Key>(falling ? first_key - key : key - first_key), static_cast<Key>(j)};
    }
    sort_items(items, items + n + 1, n);
    for (std::int64_t j = 0; j < k; ++j) at[j] = static_cast<std::int64_t>(items[j].at);
}

template <class T>
void sort_places(Run& run, const T* from, std::int64_t n, bool falling, std::int64_t* at, std::int64_t k) {
    std::int64_t least = INT64_MAX, most = INT64_MIN;
    for (std::int64_t j = 0; j < n; ++j) {
        least = std::min(least, order_of(from[j]));
        most = std::max(most, order_of(from[j]));
    }
    const auto low = static_cast<std::uint64_t>(least), high = static_cast<std::uint64_t>(most);
    // half the memory, where it does
    if (n <= UINT32_MAX && high - low <= UINT32_MAX)
        sort_by<std::uint32_t>(run, from, n, falling ? high : low, falling, at, k);
    else
        sort_by<std::uint64_t>(run, from, n, falling ? high : low, falling, at, k);
}

}  // namespace

void run_cumsum(Run& run, const Instruction& i) {
    const Tensor& from = input(run, i, 0);
    const Around a(from.shape, i.p.axis);
    Tensor& t = run.make(i.out[0], from.type, from.shape);
    if (t.type == Type::f32)
        cumsum(t.as<float>(), from.as<float>(), a, i.p.flag, i.p.flag2);
    else if (t.type == Type::i64)
        // as unsigned: sums wrap around
        cumsum(t.as<std::uint64_t>(), from.as<std::uint64_t>(), a, i.p.flag, i.p.flag2);
    else if (t.type == Type::i32)
        cumsum(t.as<std::uint32_t>(), from.as<std::uint32_t>(), a, i.p.flag, i.p.flag2);
    else
        throw Error(std::string("CumSum of ") + name_of(t.type) + " is not supported");
}

void run_gather_elements(Run& run, const Instruction& i) {
    const Tensor &from = input(run, i, 0), &index = input(run, i, 1);
    const Around a(from.shape, i.p.axis), b(index.shape, i.p.axis);
    for (int k = 0; k < from.shape.rank; ++k)
        if (k != static_cast<int>(i.p.axis) && from.shape[k] != index.shape[k])
            throw Error("GatherElements: indices of shape " + index.shape.text() + " into " + from.shape.text() +
                        " are not supported");
    Tensor& t = run.make(i.out[0], from.type, index.shape);
    const int element = static_cast<int>(size_of(from.type)), wide = static_cast<int>(size_of(index.type));
    if (b.inner == 1) {
        for (std::int64_t o = 0; o < b.outer; ++o)
            if (!take(run, t.data + o * b.length * element, from.data + o * a.length * element, a.length,
                      index.data + o * b.length * wide, b.length, element, wide))
                throw Error("GatherElements: an index is outside an axis of " + std::to_string(a.length));
        return;
    }
    for (std::int64_t k = 0; k < index.count; ++k) {
        const std::int64_t o = k / (b.length * b.inner), j = k % b.inner;
        std::int64_t at = integer_at(index, k);
        at = at < 0 ? at + a.length : at;
        if (at < 0 || at >= a.length)
            throw Error("GatherElements: an index is outside an axis of " + std::to_string(a.length));
        std::memcpy(t.data + k * element, from.data + ((o * a.length + at) * a.inner + j) * element,
                    static_cast<std::size_t>(element));
    }
}

void run_nonzero(Run& run, const Instruction& i) {
    const Tensor& from = input(run, i, 0);
    const std::int64_t n = from.count;
    Buffer* found = run.arena->take(static_cast<std::size_t>(n) * sizeof(std::int64_t));
    auto* at = reinterpret_cast<std::int64_t*>(found->bytes());
    std::int64_t h = 0;
    const std::size_t element = size_of(from.type);
    if (element == 1) {
        const auto* x = from.as<std::uint8_t>();
        for (std::int64_t k = 0; k < n; ++k) {
            at[h] = k;
            h += x[k] != 0;
        }
    } else {
        const std::byte zero[8] = {};
        for (std::int64_t k = 0; k < n; ++k)
            if (from.type == Type::f32
                    ? from.as<float>()[k] != 0
                    : std::memcmp(from.data + k * static_cast<std::int64_t>(element), zero, element) != 0)
                at[h++] = k;
    }
    Tensor& t = run.slot(i.out[0]);
    t.type = Type::i64;
    t.shape = Shape{1, h};
    t.count = h;
    t.owner = found;
    t.data = found->bytes();
}

// With p.flag, the first input is not read again.
void run_scatter(Run& run, const Instruction& i) {
    const Tensor &index = input(run, i, 1), &updates = input(run, i, 2);
    if (index.shape != updates.shape) throw Error("ScatterElements: indices and updates differ in shape");
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

// All elements sorted, and where they were; of equal ones, the first comes first.
void run_topk(Run& run, const Instruction& i) {
    const Tensor& from = input(run, i, 0);
    const std::int64_t n = from.count, k = integer_at(input(run, i, 1), 0);
    if (k < 0 || k > n) throw Error("TopK: more elements than there are");
    if (from.type != Type::i64 && from.type != Type::i32 && from.type != Type::f32)
        throw Error(std::string("TopK of ") + name_of(from.type) + " is not supported");
    Tensor& values = run.make(i.out[0], from.type, Shape{k});
    Tensor& places = run.make(i.out[1], Type::i64, Shape{k});
    auto* const at = places.as<std::int64_t>();
    if (from.type == Type::f32)
        sort_places(run, from.as<float>(), n, i.p.flag, at, k);
    else if (from.type == Type::i64)
        sort_places(run, from.as<std::int64_t>(), n, i.p.flag, at, k);
    else
        sort_places(run, from.as<std::int32_t>(), n, i.p.flag, at, k);
    take(run, values.data, from.data, n, at, k, static_cast<int>(size_of(from.type)), sizeof(std::int64_t));
}

}  // namespace fastcalo::graph
