// SPDX-License-Identifier: BSD-3-Clause
// Sums, extremes and softmax along an axis. Compiled once for each level, into a namespace of its own (FASTCALO_LEVEL).
#include "graph/base/types.hpp"
#include "graph/kernels/functions.hpp"
#include "graph/kernels/level.hpp"

namespace fastcalo::graph::FASTCALO_LEVEL {
namespace {

void softmax_row(float* d, const float* a, std::int64_t n) {
    float largest = a[0];
    for (std::int64_t i = 1; i < n; ++i) largest = a[i] > largest ? a[i] : largest;
    for (std::int64_t i = 0; i < n; ++i) d[i] = exponential(a[i] - largest);
    float sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += d[i];
    for (std::int64_t i = 0; i < n; ++i) d[i] /= sum;
}

// Columns of up to a block's width, side by side.
constexpr std::int64_t kColumns = 64;

void softmax_columns(float* d, const float* a, std::int64_t length, std::int64_t inner, std::int64_t width) {
    float largest[kColumns], sum[kColumns];
    for (std::int64_t j = 0; j < width; ++j) largest[j] = a[j], sum[j] = 0;
    for (std::int64_t k = 1; k < length; ++k)
        for (std::int64_t j = 0; j < width; ++j)
            largest[j] = a[k * inner + j] > largest[j] ? a[k * inner + j] : largest[j];
    for (std::int64_t k = 0; k < length; ++k)
        for (std::int64_t j = 0; j < width; ++j) {
            const float e = exponential(a[k * inner + j] - largest[j]);
            d[k * inner + j] = e;
            sum[j] += e;
        }
    for (std::int64_t k = 0; k < length; ++k)
        for (std::int64_t j = 0; j < width; ++j) d[k * inner + j] /= sum[j];
}

struct Add {
    static float join(float x, float y) { return x + y; }
    static std::int64_t join(std::int64_t x, std::int64_t y) {
        return static_cast<std::int64_t>(static_cast<std::uint64_t>(x) + static_cast<std::uint64_t>(y));
    }
    static std::int32_t join(std::int32_t x, std::int32_t y) {
        return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) + static_cast<std::uint32_t>(y));
    }
};
struct Smaller {
    template <class T>
    static T join(T x, T y) {
        return x < y || x != x ? x : y;
    }
};
struct Larger {
    template <class T>
    static T join(T x, T y) {
        return x > y || x != x ? x : y;
    }
};

// Four parts, of every fourth element each, which need not wait for each other. Each has a loop of its own: one loop
// over all four becomes wrong code with GCC 12 and AVX2, which forgets half of the elements of some lengths.
template <class F, class T>
T reduced(const T* a, std::int64_t length) {
    T all = a[0];
    std::int64_t k = 1;
    if (length >= 8) {
        T part[4];
        k = length / 4 * 4;
        for (std::int64_t q = 0; q < 4; ++q) {
            T one = a[q];
            for (std::int64_t i = q + 4; i < k; i += 4) one = F::join(one, a[i]);
            part[q] = one;
        }
        all = F::join(F::join(part[0], part[1]), F::join(part[2], part[3]));
    }
    for (; k < length; ++k) all = F::join(all, a[k]);
    return all;
}

template <class F, class T>
void reduce_as(T* d, const T* a, std::int64_t outer, std::int64_t length, std::int64_t inner) {
    for (std::int64_t o = 0; o < outer; ++o, a += length * inner, d += inner) {
        if (inner == 1) {
            d[0] = reduced<F>(a, length);
            continue;
        }
        for (std::int64_t j = 0; j < inner; ++j) d[j] = a[j];
        for (std::int64_t k = 1; k < length; ++k)
            for (std::int64_t j = 0; j < inner; ++j) d[j] = F::join(d[j], a[k * inner + j]);
    }
}

template <class T>
void reduce_type(Op op, void* d, const void* a, std::int64_t outer, std::int64_t length, std::int64_t inner) {
    T* to = static_cast<T*>(d);
    const T* from = static_cast<const T*>(a);
    if (op == Op::Min)
        reduce_as<Smaller, T>(to, from, outer, length, inner);
    else if (op == Op::Max)
        reduce_as<Larger, T>(to, from, outer, length, inner);
    else
        reduce_as<Add, T>(to, from, outer, length, inner);
}

}  // namespace

void softmax(float* d, const float* a, std::int64_t outer, std::int64_t length, std::int64_t inner) {
    for (std::int64_t o = 0; o < outer; ++o, a += length * inner, d += length * inner) {
        if (inner == 1) {
            softmax_row(d, a, length);
            continue;
        }
        for (std::int64_t j = 0; j < inner; j += kColumns)
            softmax_columns(d + j, a + j, length, inner, inner - j < kColumns ? inner - j : kColumns);
    }
}

// Of at least one element; the caller sees to empty axes.
void reduce(Op op, Type type, void* d, const void* a, std::int64_t outer, std::int64_t length, std::int64_t inner) {
    if (type == Type::f32)
        reduce_type<float>(op, d, a, outer, length, inner);
    else if (type == Type::i64)
        reduce_type<std::int64_t>(op, d, a, outer, length, inner);
    else
        reduce_type<std::int32_t>(op, d, a, outer, length, inner);
}

#define FASTCALO_TEXT(X) #X
#define FASTCALO_NAME(X) FASTCALO_TEXT(X)

const Kernels& table() {
    static const Kernels all = {FASTCALO_NAME(FASTCALO_LEVEL),
                                find_step,
                                look,
                                take,
                                product,
                                packed_size,
                                pack,
                                softmax,
                                reduce,
                                random_halves};
    return all;
}

}  // namespace fastcalo::graph::FASTCALO_LEVEL
