// SPDX-License-Identifier: BSD-3-Clause
// Products of matrices. Compiled once for each level, into a namespace of its own (FASTCALO_LEVEL).
//
// Panels of the right matrix, two vectors wide, meet strips of a few rows of the left one: all sums stay in registers.
#include "graph/kernels/functions.hpp"
#include "graph/kernels/level.hpp"

namespace fastcalo::graph::FASTCALO_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16, kRows = 8;
#elif defined(__AVX__)
constexpr int kWidth = 8, kRows = 6;
#else
constexpr int kWidth = 4, kRows = 6;
#endif
constexpr std::int64_t kPanel = 2 * kWidth;
// Rows of the left matrix that stay in the second cache while all panels pass.
constexpr std::int64_t kBlock = kRows * 40;
constexpr std::int64_t kDeepest = 512;

typedef float Vector __attribute__((vector_size(kWidth * 4)));
typedef float Loose __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));

inline Vector load(const float* p) { return *reinterpret_cast<const Loose*>(p); }
inline void store(float* p, Vector v) { *reinterpret_cast<Loose*>(p) = v; }
// V vectors of one panel, `step` elements from row to row, and R rows of the left matrix.
template <int R, int V>
inline void tile(std::int64_t k, const float* a, std::int64_t row, std::int64_t column, const float* b,
                 std::int64_t step, Vector (&sum)[R][V]) {
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) sum[r][v] = Vector{};
    for (std::int64_t j = 0; j < k; ++j) {
        Vector of_b[V];
        for (int v = 0; v < V; ++v) of_b[v] = load(b + v * kWidth);
        const float* at = a;
        for (int r = 0; r < R; ++r) {
            const float x = *at;
            for (int v = 0; v < V; ++v) sum[r][v] += x * of_b[v];
            at += row;
        }
        a += column;
        b += step;
    }
}

// Write sums of R rows, columns `first` to `first + width - 1`.
template <int R, int V>
inline void write(const Product& p, std::int64_t i, std::int64_t first, std::int64_t width, Vector (&sum)[R][V]) {
    if (p.d_column == 1 && width == V * kWidth && (!p.bias || p.bias_column == 1)) {
        for (int r = 0; r < R; ++r) {
            float* d = p.d + (i + r) * p.d_row + first;
            for (int v = 0; v < V; ++v) {
                if (p.bias) sum[r][v] += load(p.bias + (i + r) * p.bias_row + first + v * kWidth);
                store(d + v * kWidth, sum[r][v]);
            }
        }
        return;
    }
    float out[R][V * kWidth];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) store(out[r] + v * kWidth, sum[r][v]);
    for (int r = 0; r < R; ++r)
        for (std::int64_t j = 0; j < width; ++j) {
            float x = out[r][j];
            if (p.bias) x += p.bias[(i + r) * p.bias_row + (first + j) * p.bias_column];
            p.d[(i + r) * p.d_row + (first + j) * p.d_column] = x;
        }
}

// Where a strip of the left matrix meets a panel.
struct Meeting {
    std::int64_t first, width;
    const float* b;
    std::int64_t step;
};

template <int R, int V>
inline void strip(const Product& p, std::int64_t i, const Meeting& at) {
    Vector sum[R][V];
    tile<R, V>(p.k, p.a + i * p.a_row, p.a_row, p.a_column, at.b, at.step, sum);
    write<R, V>(p, i, at.first, at.width, sum);
}

// The last rows, fewer than kRows.
template <int R, int V>
inline void short_strip(const Product& p, std::int64_t i, std::int64_t rows, const Meeting& at) {
    if (rows == R)
        strip<R, V>(p, i, at);
    else if constexpr (R > 1)
        short_strip<R - 1, V>(p, i, rows, at);
}

template <int V>
inline void strips(const Product& p, std::int64_t i, std::int64_t last, const Meeting& at) {
    for (; i + kRows <= last; i += kRows) strip<kRows, V>(p, i, at);
    if (i < last) short_strip<kRows - 1, V>(p, i, last - i, at);
}

inline void strips(const Product& p, std::int64_t i, std::int64_t last, const Meeting& at) {
    if (at.width > kWidth)
        strips<2>(p, i, last, at);
    else
        strips<1>(p, i, last, at);
}

// One row and four panels at once: as many sums as keep the units for multiplication busy.
inline void four_panels(const Product& p, std::int64_t first) {
    Vector sum[4][2];
    for (int q = 0; q < 4; ++q) sum[q][0] = sum[q][1] = Vector{};
    const float* b = p.b + first * p.k;
    const std::int64_t next = p.k * kPanel;
    const float* a = p.a;
    for (std::int64_t j = 0; j < p.k; ++j) {
        const float x = *a;
        for (int q = 0; q < 4; ++q) {
            sum[q][0] += x * load(b + q * next);
            sum[q][1] += x * load(b + q * next + kWidth);
        }
        a += p.a_column;
        b += kPanel;
    }
    for (int q = 0; q < 4; ++q) {
        Vector one[1][2] = {{sum[q][0], sum[q][1]}};
        const std::int64_t at = first + q * kPanel;
        write<1, 2>(p, 0, at, p.n - at < kPanel ? p.n - at : kPanel, one);
    }
}

// One row and V vectors of one panel: sums over every fourth element, for the same reason.
template <int V>
inline void one_panel(const Product& p, std::int64_t first, std::int64_t width) {
    Vector sum[4][V];
    for (int q = 0; q < 4; ++q)
        for (int v = 0; v < V; ++v) sum[q][v] = Vector{};
    const float *a = p.a, *b = p.b + first * p.k;
    std::int64_t j = 0;
    for (; j + 4 <= p.k; j += 4)
        for (int q = 0; q < 4; ++q) {
            const float x = *a;
            for (int v = 0; v < V; ++v) sum[q][v] += x * load(b + v * kWidth);
            a += p.a_column;
            b += kPanel;
        }
    for (; j < p.k; ++j) {
        const float x = *a;
        for (int v = 0; v < V; ++v) sum[0][v] += x * load(b + v * kWidth);
        a += p.a_column;
        b += kPanel;
    }
    Vector one[1][V];
    for (int v = 0; v < V; ++v) one[0][v] = (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]);
    write<1, V>(p, 0, first, width, one);
}

// Few rows, and a right matrix that is not packed: rows of it are added up.
void add_rows(const Product& p) {
    for (std::int64_t i = 0; i < p.m; ++i) {
        float* d = p.d + i * p.d_row;
        for (std::int64_t j = 0; j < p.n; ++j) d[j] = p.bias ? p.bias[i * p.bias_row + j * p.bias_column] : 0.0F;
        for (std::int64_t k = 0; k < p.k; ++k) {
            const float x = p.a[i * p.a_row + k * p.a_column];
            const float* b = p.b + k * p.n;
            for (std::int64_t j = 0; j < p.n; ++j) d[j] += x * b[j];
        }
    }
}

void silu_rows(const Product& p, std::int64_t i, std::int64_t last) {
    for (; i < last; ++i) {
        float* d = p.d + i * p.d_row;
        if (p.d_column == 1) {
            FASTCALO_VECTORISE
            for (std::int64_t j = 0; j < p.n; ++j) d[j] = times_logistic(d[j]);
        } else {
            for (std::int64_t j = 0; j < p.n; ++j) d[j * p.d_column] = times_logistic(d[j * p.d_column]);
        }
    }
}

void multiply(const Product& p) {
    if (!p.packed && p.d_column == 1 && (p.m < 4 || p.k > kDeepest)) {
        add_rows(p);
        if (p.silu) silu_rows(p, 0, p.m);
        return;
    }
    for (std::int64_t i = 0; i < p.m; i += kBlock) {
        const std::int64_t last = p.m - i < kBlock ? p.m : i + kBlock;
        std::int64_t first = 0;
        if (p.packed && p.m == 1)
            for (; first + 4 * kPanel - kPanel < p.n; first += 4 * kPanel) four_panels(p, first);
        for (; first < p.n; first += kPanel) {
            const std::int64_t width = p.n - first < kPanel ? p.n - first : kPanel;
            if (p.packed && p.m == 1) {
                if (width > kWidth)
                    one_panel<2>(p, first, width);
                else
                    one_panel<1>(p, first, width);
            } else if (p.packed) {
                strips(p, i, last, {first, width, p.b + first * p.k, kPanel});
            } else if (width == kPanel) {
                strips(p, i, last, {first, width, p.b + first, p.n});
            } else {
                float rest[kDeepest * kPanel];
                for (std::int64_t k = 0; k < p.k; ++k)
                    for (std::int64_t j = 0; j < kPanel; ++j)
                        rest[k * kPanel + j] = j < width ? p.b[k * p.n + first + j] : 0.0F;
                strips(p, i, last, {first, width, rest, kPanel});
            }
        }
        if (p.silu) silu_rows(p, i, last);
    }
}

}  // namespace

void product(const Product& p) { multiply(p); }

std::int64_t packed_size(std::int64_t k, std::int64_t n) { return (n + kPanel - 1) / kPanel * kPanel * k; }

void pack(float* to, const float* b, std::int64_t k, std::int64_t n, std::int64_t row, std::int64_t column) {
    for (std::int64_t first = 0; first < n; first += kPanel)
        for (std::int64_t i = 0; i < k; ++i)
            for (std::int64_t j = first; j < first + kPanel; ++j) *to++ = j < n ? b[i * row + j * column] : 0.0F;
}

}  // namespace fastcalo::graph::FASTCALO_LEVEL
