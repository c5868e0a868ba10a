// SPDX-License-Identifier: BSD-3-Clause
// Elements of a vector at indices. Compiled once for each level, into a namespace of its own (FASTCALO_LEVEL).
//
// Nothing of the C++ library is instantiated here, for the reason that elementwise.cpp states.
#include "graph/base/types.hpp"
#include "graph/kernels/level.hpp"

namespace fastcalo::graph::FASTCALO_LEVEL {
namespace {

template <class I>
Places look_at(const I* at, std::int64_t n) {
    I highest = n > 0 ? at[0] : -1, signs = 0, falls = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        highest = at[i] > highest ? at[i] : highest;
        signs |= at[i];
    }
    const bool negative = signs < 0;
    const std::int64_t span =
        n > 0 && !negative ? static_cast<std::int64_t>(at[n - 1]) - static_cast<std::int64_t>(at[0]) : -1;
    const bool repeated = span >= 0 && span < n / 16;
    if (repeated)
        for (std::int64_t i = 0; i + 1 < n; ++i) falls |= at[i + 1] - at[i];
    return {static_cast<std::int64_t>(highest), negative, repeated && falls >= 0};
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
bool take_as(void* d, const void* table, std::int64_t count, const void* index, std::int64_t n, const Places& places) {
    T* to = static_cast<T*>(d);
    const T* from = static_cast<const T*>(table);
    const I* at = static_cast<const I*>(index);
    if (places.highest >= count) return n == 0;
    if (places.repeated) {
        take_repeated(to, from, at, n);
        return true;
    }
    if (!places.negative) {
        for (std::int64_t i = 0; i < n; ++i) to[i] = from[at[i]];
        return true;
    }
    // seldom: indices that count from the end
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t j = at[i] < 0 ? at[i] + count : at[i];
        if (j < 0) return false;
        to[i] = from[j];
    }
    return true;
}

template <class I>
bool take_with(void* d, const void* table, std::int64_t count, const void* index, std::int64_t n, int element,
               const Places& places) {
    switch (element) {
        case 1:
            return take_as<std::uint8_t, I>(d, table, count, index, n, places);
        case 2:
            return take_as<std::uint16_t, I>(d, table, count, index, n, places);
        case 4:
            return take_as<std::uint32_t, I>(d, table, count, index, n, places);
        default:
            return take_as<std::uint64_t, I>(d, table, count, index, n, places);
    }
}

}  // namespace

Places look(const void* index, std::int64_t n, int wide) {
    return wide == 8 ? look_at(static_cast<const std::int64_t*>(index), n)
                     : look_at(static_cast<const std::int32_t*>(index), n);
}

bool take(void* d, const void* table, std::int64_t count, const void* index, std::int64_t n, int element, int wide,
          const Places& places) {
    return wide == 8 ? take_with<std::int64_t>(d, table, count, index, n, element, places)
                     : take_with<std::int32_t>(d, table, count, index, n, element, places);
}

}  // namespace fastcalo::graph::FASTCALO_LEVEL
