// SPDX-License-Identifier: BSD-3-Clause
// Functions of single precision against those of the standard library in double precision, and operators at the edges.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../check.hpp"
#include "graph/base/types.hpp"
#include "graph/kernels/kernels.hpp"

using fastcalo::graph::kernels;
using fastcalo::graph::Op;
using fastcalo::graph::Type;

namespace {

std::vector<float> applied(Op op, const std::vector<float>& x, const std::vector<float>& y = {}) {
    std::vector<float> r(x.size());
    kernels().step(op, Type::f32, Type::f32)(r.data(), x.data(), y.data(), nullptr,
                                             static_cast<std::int64_t>(x.size()));
    return r;
}

// Largest difference, relative to the exact value or to `least`, whichever is larger.
template <class F>
double worst(Op op, float first, float last, F&& exact, double least = 1e-37) {
    std::vector<float> x;
    for (int k = 0; k <= 100000; ++k) x.push_back(first + (last - first) * static_cast<float>(k) / 100000.0F);
    const std::vector<float> r = applied(op, x);
    double w = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
        const double e = exact(static_cast<double>(x[k]));
        w = std::max(w, std::abs(static_cast<double>(r[k]) - e) / std::max(std::abs(e), least));
    }
    return w;
}

void test_accuracy() {
    const auto near = [](double error) { return error < 2.5e-7; };
    CHECK(near(worst(Op::Exp, -87.0F, 88.0F, [](double x) { return std::exp(x); })));
    CHECK(near(worst(Op::Log, 1e-6F, 4.0F, [](double x) { return std::log(x); }, 1e-4)));
    CHECK(near(worst(Op::Log, 1.0F, 1e6F, [](double x) { return std::log(x); }, 1e-4)));
    CHECK(near(worst(Op::Tanh, -12.0F, 12.0F, [](double x) { return std::tanh(x); })));
    CHECK(near(worst(Op::Erf, -6.0F, 6.0F, [](double x) { return std::erf(x); })));
    CHECK(near(worst(Op::Sigmoid, -80.0F, 80.0F, [](double x) { return 1 / (1 + std::exp(-x)); })));
    CHECK(near(worst(Op::Silu, -20.0F, 20.0F, [](double x) { return x / (1 + std::exp(-x)); })));
}

void test_edges() {
    const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
    const std::vector<float> x = {0.0F, -0.0F, inf, -inf, nan, -1.0F, 1e-41F, 200.0F, -200.0F};
    const std::vector<float> e = applied(Op::Exp, x);
    CHECK(e[0] == 1 && e[1] == 1 && e[2] == inf && e[3] == 0 && std::isnan(e[4]) && e[7] == inf && e[8] == 0);
    const std::vector<float> l = applied(Op::Log, x);
    CHECK(l[0] == -inf && l[1] == -inf && l[2] == inf && std::isnan(l[3]) && std::isnan(l[4]) && std::isnan(l[5]));
    CHECK(std::abs(l[6] - std::log(1e-41F)) < 1e-4F);
    const std::vector<float> t = applied(Op::Tanh, x);
    CHECK(t[2] == 1 && t[3] == -1 && std::isnan(t[4]));
    const std::vector<float> f = applied(Op::Floor, {1.5F, -1.5F, -0.25F, 3e9F, -3e9F, inf, nan, 16777216.0F});
    CHECK(f[0] == 1 && f[1] == -2 && f[2] == -1 && f[3] == 3e9F && f[4] == -3e9F && f[5] == inf && std::isnan(f[6]));
    // a comparison with what is not a number fails, and the number stays what it is
    const std::vector<float> c = applied(Op::ClipLow, {nan, -2.0F, 3.0F}, {1.0F, 1.0F, 1.0F});
    CHECK(std::isnan(c[0]) && c[1] == 1 && c[2] == 3);
    const std::vector<float> m = applied(Op::Max, {nan, 1.0F, 1.0F}, {1.0F, nan, 2.0F});
    CHECK(std::isnan(m[0]) && std::isnan(m[1]) && m[2] == 2);
}

template <class T, class I>
bool take(T* to, const std::vector<T>& table, const std::vector<I>& at) {
    const auto n = static_cast<std::int64_t>(at.size());
    const auto places = kernels().look(at.data(), n, sizeof(I));
    return kernels().take(to, table.data(), static_cast<std::int64_t>(table.size()), at.data(), n, sizeof(T), sizeof(I),
                          places);
}

void test_integers() {
    const std::vector<std::int64_t> a = {7, -7, 7, -7, 5, INT64_MIN}, b = {3, 3, -3, -3, 0, -1};
    std::vector<std::int64_t> r(a.size());
    kernels().step(Op::Mod, Type::i64, Type::i64)(r.data(), a.data(), b.data(), nullptr, 6);
    CHECK(r[0] == 1 && r[1] == 2 && r[2] == -2 && r[3] == -1 && r[4] == 0 && r[5] == 0);
    kernels().step(Op::Div, Type::i64, Type::i64)(r.data(), a.data(), b.data(), nullptr, 6);
    CHECK(r[0] == 2 && r[1] == -2 && r[2] == -2 && r[3] == 2 && r[4] == 0 && r[5] == INT64_MIN);
    const std::vector<float> x = {1.9F, -1.9F, 3e9F, -3e9F, std::nanf(""), 2147483520.0F};
    std::vector<std::int32_t> i(x.size());
    kernels().step(Op::Cast, Type::f32, Type::i32)(i.data(), x.data(), nullptr, nullptr, 6);
    CHECK(i[0] == 1 && i[1] == -1 && i[2] == INT32_MIN && i[3] == INT32_MIN && i[4] == INT32_MIN && i[5] == 2147483520);
    kernels().step(Op::Cast, Type::f32, Type::i64)(r.data(), x.data(), nullptr, nullptr, 6);
    CHECK(r[0] == 1 && r[1] == -1 && r[2] == 3000000000 && r[3] == -3000000000 && r[4] == INT64_MIN);
    kernels().step(Op::Cast, Type::f32, Type::i64)(r.data(), x.data(), nullptr, nullptr, 2);
    CHECK(r[0] == 1 && r[1] == -1);
    const std::vector<std::int64_t> low = {-2147483648LL, 16777217, 2147483647},
                                    high = {1, 2147483648LL, -2147483649LL};
    std::vector<float> y(3), z(3);
    kernels().step(Op::Cast, Type::i64, Type::f32)(y.data(), low.data(), nullptr, nullptr, 3);
    kernels().step(Op::Cast, Type::i64, Type::f32)(z.data(), high.data(), nullptr, nullptr, 3);
    for (std::size_t k = 0; k < 3; ++k)
        CHECK(y[k] == static_cast<float>(low[k]) && z[k] == static_cast<float>(high[k]));
    const std::vector<std::int64_t> table = {10, 20, 30}, at = {2, -1, -3};
    CHECK(take(r.data(), table, at) && r[0] == 30 && r[1] == 30 && r[2] == 10);
    CHECK(!take(r.data(), table, std::vector<std::int64_t>{0, 3}));
    CHECK(!take(r.data(), table, std::vector<std::int64_t>{0, -4}));
    CHECK(!take(r.data(), table, std::vector<std::int64_t>{INT64_MIN, 1}));
    CHECK(!take(r.data(), table, std::vector<std::int32_t>{INT32_MIN, INT32_MAX}));
}

// Elements at indices that repeat, that fall, that count from the end, and that are wrong, of every width.
template <class T, class I>
void test_take() {
    std::vector<T> table(100), r(300);
    for (std::size_t k = 0; k < table.size(); ++k) table[k] = static_cast<T>(k + 1);
    const auto taken = [&](const std::vector<I>& at) {
        std::fill(r.begin(), r.end(), T{});
        return take(r.data(), table, at);
    };
    const auto right = [&](const std::vector<I>& at) {
        bool same = taken(at);
        for (std::size_t k = 0; k < at.size(); ++k)
            same = same && r[k] == table[static_cast<std::size_t>(at[k] < 0 ? at[k] + 100 : at[k])];
        return same;
    };
    for (const int every : {1, 3, 20, 60, 299})
        for (const int n : {0, 1, 7, 8, 64, 299}) {
            std::vector<I> rising, mixed, negative;
            for (int k = 0; k < n; ++k) {
                rising.push_back(static_cast<I>(k / every % 100));
                mixed.push_back(static_cast<I>(k == n / 2 ? 99 : k * 37 / every % 100));
                negative.push_back(static_cast<I>(k % 2 ? k / every % 100 : -1 - k % 100));
            }
            CHECK(right(rising) && right(mixed) && right(negative));
            // the first and the last are alike, but not what stands between
            if (n > 2) rising.back() = rising.front();
            CHECK(right(rising));
            for (const int wrong : {100, -101, 2000000000, -2000000000}) {
                std::vector<I> at = rising;
                if (at.empty()) continue;
                at[at.size() / 3] = static_cast<I>(wrong);
                CHECK(!taken(at));
            }
        }
}

// Products of every shape around the widths of panels and strips, packed and not, against sums in double precision.
void test_products() {
    for (const std::int64_t m : {1, 2, 5, 6, 13})
        for (const std::int64_t n : {1, 7, 16, 33, 140})
            for (const bool packed : {false, true}) {
                const std::int64_t k = 19;
                std::vector<float> a(static_cast<std::size_t>(m * k)), b(static_cast<std::size_t>(k * n)),
                    bias(a.size() + b.size());
                for (std::size_t j = 0; j < a.size(); ++j) a[j] = static_cast<float>(j * 7 % 13) - 6;
                for (std::size_t j = 0; j < b.size(); ++j) b[j] = static_cast<float>(j * 5 % 11) - 5;
                for (std::size_t j = 0; j < bias.size(); ++j) bias[j] = static_cast<float>(j % 3);
                std::vector<float> p(static_cast<std::size_t>(kernels().packed_size(k, n)));
                kernels().pack(p.data(), b.data(), k, n, n, 1);
                std::vector<float> d(static_cast<std::size_t>(m * n));
                fastcalo::graph::Product q;
                q.m = m, q.n = n, q.k = k, q.a = a.data(), q.a_row = k, q.a_column = 1;
                q.b = packed ? p.data() : b.data(), q.packed = packed;
                q.d = d.data(), q.d_row = n, q.d_column = 1, q.bias = bias.data(), q.bias_row = 0, q.bias_column = 1;
                kernels().product(q);
                bool same = true;
                for (std::int64_t i = 0; i < m; ++i)
                    for (std::int64_t j = 0; j < n; ++j) {
                        float sum = bias[static_cast<std::size_t>(j)];
                        for (std::int64_t l = 0; l < k; ++l)
                            sum += a[static_cast<std::size_t>(i * k + l)] * b[static_cast<std::size_t>(l * n + j)];
                        same = same && d[static_cast<std::size_t>(i * n + j)] == sum;
                    }
                CHECK_MORE(same, std::to_string(m) + " by " + std::to_string(n));
            }
}

// Small whole numbers, whose sums are exact in all types and in any order.
template <class T>
void test_reductions(Type type) {
    for (const std::int64_t inner : {1, 2, 5, 8, 17})
        for (std::int64_t length = 1; length < 90; ++length) {
            const std::int64_t outer = 3;
            std::vector<T> a(static_cast<std::size_t>(outer * length * inner));
            for (std::size_t j = 0; j < a.size(); ++j) a[j] = static_cast<T>(j * j * 7 % 1013) - T{300};
            for (const Op op : {Op::Add, Op::Min, Op::Max}) {
                std::vector<T> d(static_cast<std::size_t>(outer * inner));
                kernels().reduce(op, type, d.data(), a.data(), outer, length, inner);
                bool same = true;
                for (std::int64_t o = 0; o < outer; ++o)
                    for (std::int64_t j = 0; j < inner; ++j) {
                        const auto at = [&](std::int64_t k) {
                            return a[static_cast<std::size_t>((o * length + k) * inner + j)];
                        };
                        T all = at(0);
                        for (std::int64_t k = 1; k < length; ++k)
                            all = op == Op::Add   ? static_cast<T>(all + at(k))
                                  : op == Op::Min ? std::min(all, at(k))
                                                  : std::max(all, at(k));
                        same = same && d[static_cast<std::size_t>(o * inner + j)] == all;
                    }
                CHECK_MORE(same, std::to_string(length) + " by " + std::to_string(inner));
            }
        }
}

}  // namespace

int main() {
    test_accuracy();
    test_edges();
    test_integers();
    test_take<std::uint8_t, std::int32_t>();
    test_take<std::int16_t, std::int64_t>();
    test_take<float, std::int64_t>();
    test_take<std::int64_t, std::int32_t>();
    test_products();
    test_reductions<float>(Type::f32);
    test_reductions<std::int64_t>(Type::i64);
    test_reductions<std::int32_t>(Type::i32);
    return CHECK_RESULT();
}
