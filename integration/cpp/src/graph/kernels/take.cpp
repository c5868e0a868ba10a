// SPDX-License-Identifier: BSD-3-Clause
// Elements of a vector at indices. Compiled once for each level, into a namespace of its own (FASTCALO_LEVEL).
//
// Nothing of the C++ library is instantiated here, for the reason that elementwise.cpp states.
#include <limits>
#include <type_traits>

#include "graph/base/types.hpp"
#include "graph/kernels/level.hpp"

namespace fastcalo::graph::FASTCALO_LEVEL {
namespace {

// Whether indices lie between 0 and `last`.
template <class I>
bool all_inside(const I* at, std::int64_t n, I last) {
    using U = std::make_unsigned_t<I>;
    // the highest bit says that one of the two is negative
    U signs = 0;
    for (std::int64_t i = 0; i < n; ++i) signs |= static_cast<U>(at[i]) | (static_cast<U>(last) - static_cast<U>(at[i]));
    return static_cast<I>(signs) >= 0;
}

// Whether indices, none of them negative, never fall.
template <class I>
bool never_fall(const I* at, std::int64_t n) {
    I signs = 0;
    for (std::int64_t i = 0; i + 1 < n; ++i) signs |= at[i + 1] - at[i];
    return signs >= 0;
}

// Indices that never fall, and mostly repeat: those of what belongs to a shower.
template <class T, class I>
void take_repeated(T* to, const T* from, const I* at, std::int64_t n) {
    constexpr std::int64_t kGroup = 8;
    std::int64_t i = 0;
    for (; i + kGroup <= n; i += kGroup) {
        const I first = at[i];
        if (at[i + kGroup - 1] == first) {
            const T value = from[first];
            for (std::int64_t k = 0; k < kGroup; ++k) to[i + k] = value;
        } else {
            for (std::int64_t k = 0; k < kGroup; ++k) to[i + k] = from[at[i + k]];
        }
    }
    for (; i < n; ++i) to[i] = from[at[i]];
}

template <class T, class I>
bool take_as(void* d, const void* table, std::int64_t count, const void* index, std::int64_t n) {
    T* to = static_cast<T*>(d);
    const T* from = static_cast<const T*>(table);
    const I* at = static_cast<const I*>(index);
    if (n == 0 || count == 0) return n == 0;
    constexpr std::int64_t kLargest = std::numeric_limits<I>::max();
    if (all_inside(at, n, static_cast<I>(count - 1 < kLargest ? count - 1 : kLargest))) {
        const std::int64_t span = static_cast<std::int64_t>(at[n - 1]) - static_cast<std::int64_t>(at[0]);
        if (span >= 0 && span < n / 16 && never_fall(at, n))
            take_repeated(to, from, at, n);
        else
            for (std::int64_t i = 0; i < n; ++i) to[i] = from[at[i]];
        return true;
    }
    // seldom: indices that count from the end
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t j = at[i] < 0 ? at[i] + count : at[i];
        if (j < 0 || j >= count) return false;
        to[i] = from[j];
    }
    return true;
}

template <class I>
bool take_with(void* d, const void* table, std::int64_t count, const void* index, std::int64_t n, int element) {
    switch (element) {
        case 1:
            return take_as<std::uint8_t, I>(d, table, count, index, n);
        case 2:
            return take_as<std::uint16_t, I>(d, table, count, index, n);
        case 4:
            return take_as<std::uint32_t, I>(d, table, count, index, n);
        default:
            return take_as<std::uint64_t, I>(d, table, count, index, n);
    }
}

}  // namespace

bool take(void* d, const void* table, std::int64_t count, const void* index, std::int64_t n, int element, int wide) {
    return wide == 8 ? take_with<std::int64_t>(d, table, count, index, n, element)
                     : take_with<std::int32_t>(d, table, count, index, n, element);
}

}  // namespace fastcalo::graph::FASTCALO_LEVEL
