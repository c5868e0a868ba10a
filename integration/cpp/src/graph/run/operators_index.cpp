// SPDX-License-Identifier: BSD-3-Clause
// Operators that take elements, and those that count and sort.
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
