// SPDX-License-Identifier: BSD-3-Clause
#include "support/random_numbers.hpp"

#include <cmath>

namespace fastcalo::core {
namespace {

constexpr std::size_t TABLE_SIZE = std::size_t{1} << 16;

template <class Function>
std::vector<float> table_of(Function quantile) {
    std::vector<float> table(TABLE_SIZE);
    for (std::size_t k = 0; k < TABLE_SIZE; ++k)
        table[k] = static_cast<float>(quantile((static_cast<double>(k) + 0.5) * 0x1p-16));
    return table;
}

// Value of a polynomial, coefficient of the highest power first.
template <std::size_t N>
double polynomial(const double (&c)[N], double x) noexcept {
    double sum = c[0];
    for (std::size_t k = 1; k < N; ++k) sum = sum * x + c[k];
    return sum;
}

}  // namespace

Block philox(Block x, std::uint32_t k0, std::uint32_t k1) noexcept {
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * x[0], p1 = std::uint64_t{0xCD9E8D57u} * x[2];
        x = {static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ k0, static_cast<std::uint32_t>(p1),
             static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ k1, static_cast<std::uint32_t>(p0)};
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return x;
}

double normal_quantile(double p) noexcept {
    const double q = p - 0.5;
    if (std::fabs(q) <= 0.425) {
        constexpr double num[] = {2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4,
                                  4.5921953931549871457e+4, 1.3731693765509461125e+4, 1.9715909503065514427e+3,
                                  1.3314166789178437745e+2, 3.3871328727963666080e+0};
        constexpr double den[] = {
            5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4, 2.1213794301586595867e+4,
            5.3941960214247511077e+3, 6.8718700749205790830e+2, 4.2313330701600911252e+1, 1.0};
        const double r = 0.180625 - q * q;
        return polynomial(num, r) * q / polynomial(den, r);
    }
    double r = std::sqrt(-std::log(q <= 0 ? p : 1 - p));
    double x = 0;
    if (r <= 5) {
        constexpr double num[] = {7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
                                  1.27045825245236838258e+0, 3.64784832476320460504e+0, 5.76949722146069140550e+0,
                                  4.63033784615654529590e+0, 1.42343711074968357734e+0};
        constexpr double den[] = {
            1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
            6.89767334985100004550e-1, 1.67638483018380384940e+0, 2.05319162663775882187e+0, 1.0};
        r -= 1.6;
        x = polynomial(num, r) / polynomial(den, r);
    } else {
        constexpr double num[] = {2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
                                  2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e+0,
                                  5.46378491116411436990e+0, 6.65790464350110377720e+0};
        constexpr double den[] = {
            2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
            1.48753612908506148525e-2,  1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0};
        r -= 5;
        x = polynomial(num, r) / polynomial(den, r);
    }
    return q < 0 ? -x : x;
}

const std::vector<float>& logistic_table() {
    static const std::vector<float> table = table_of([](double u) { return std::log(u / (1 - u)); });
    return table;
}

const std::vector<float>& normal_table() {
    static const std::vector<float> table = table_of(normal_quantile);
    return table;
}

}  // namespace fastcalo::core
