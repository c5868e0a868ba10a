// SPDX-License-Identifier: BSD-3-Clause
// Exponential, logarithm and their like of single precision, in arithmetic that compilers vectorise.
//
// Polynomials are fits of our own that make the largest relative error smallest; results are within 2e-7 of exact ones.
// Included once by each file that is compiled for a level of vector instructions; everything has internal linkage.
#pragma once

#include <cstdint>
#include <cstring>

namespace fastcalo::graph {
namespace {

#ifdef __FMA__
inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
inline float fused(float a, float b, float c) { return a * b + c; }
#endif

inline std::int32_t bits_of(float x) {
    std::int32_t i;
    std::memcpy(&i, &x, sizeof i);
    return i;
}
inline float float_of(std::int32_t i) {
    float x;
    std::memcpy(&x, &i, sizeof x);
    return x;
}

// 2^(n - 128).
inline float power_of_two(std::uint32_t n) { return float_of(static_cast<std::int32_t>((n - 1U) << 23)); }

inline float exponential(float x) {
    // beyond these, the result is infinite or less than half of the smallest number
    float y = x > 89.0F ? 89.0F : x;
    y = y < -104.0F ? -104.0F : y;
    // to the nearest whole number by a number whose last bit counts ones
    const float magic = 12582912.0F;
    const float t = fused(y, 1.44269504F, magic);
    const float n = t - magic;
    float r = fused(n, -0.693359375F, y);
    r = fused(n, 2.12194440e-4F, r);
    float p = 1.3814611e-3F;
    p = fused(p, r, 8.3687100e-3F);
    p = fused(p, r, 4.1668387e-2F);
    p = fused(p, r, 0.166665207F);
    p = fused(p, r, 0.499999935F);
    p = fused(p, r * r, r) + 1.0F;
    // 2^n in two factors: n reaches from -150 to 128
    const std::uint32_t k = static_cast<std::uint32_t>(bits_of(t)) - 0x4B400000U + 256U;  // n + 256, from the last bits
    const std::uint32_t half = k >> 1;
    const float e = p * power_of_two(half) * power_of_two(k - half);
    return x != x ? x : e;
}

// The same for -86 to 87, where other numbers give the results at these limits: enough where one is added to them.
inline float bounded_exponential(float x) {
    float y = x > 87.0F ? 87.0F : x;
    y = y < -86.0F ? -86.0F : y;
    const float magic = 12582912.0F;
    const float t = fused(y, 1.44269504F, magic);
    const float n = t - magic;
    float r = fused(n, -0.693359375F, y);
    r = fused(n, 2.12194440e-4F, r);
    float p = 1.3814611e-3F;
    p = fused(p, r, 8.3687100e-3F);
    p = fused(p, r, 4.1668387e-2F);
    p = fused(p, r, 0.166665207F);
    p = fused(p, r, 0.499999935F);
    p = fused(p, r * r, r) + 1.0F;
    // the whole number stands in the last bits of t
    const std::uint32_t bits = static_cast<std::uint32_t>(bits_of(p)) + (static_cast<std::uint32_t>(bits_of(t)) << 23);
    return float_of(static_cast<std::int32_t>(bits));
}

inline float logarithm(float x) {
    // numbers too small to be normal are scaled
    const bool tiny = x < 1.17549435e-38F;
    const float scaled = tiny ? x * 8388608.0F : x;
    // square root of 1/2
    const std::int32_t i = static_cast<std::int32_t>(static_cast<std::uint32_t>(bits_of(scaled)) - 0x3f3504f3U);
    const std::int32_t e = i >> 23;
    const float f = float_of((i & 0x007fffff) + 0x3f3504f3) - 1.0F;
    const float n = static_cast<float>(e) - (tiny ? 23.0F : 0.0F);
    float p = 6.7466013e-2F;
    p = fused(p, f, -0.116756413F);
    p = fused(p, f, 0.118881746F);
    p = fused(p, f, -0.124055914F);
    p = fused(p, f, 0.142195509F);
    p = fused(p, f, -0.166679957F);
    p = fused(p, f, 0.200021187F);
    p = fused(p, f, -0.250000096F);
    p = fused(p, f, 0.333333126F);
    const float s = f * f;
    float y = p * f * s;
    y = fused(n, -2.12194440e-4F, y);
    y = fused(-0.5F, s, y);
    y = fused(n, 0.693359375F, f + y);
    const float infinity = __builtin_inff();
    y = x == infinity ? x : y;
    y = x == 0.0F ? -infinity : y;
    y = x < 0.0F ? __builtin_nanf("") : y;
    return x != x ? x : y;
}

inline float logistic(float x) {
    const float y = 1.0F / (1.0F + bounded_exponential(-x));
    return x != x ? x : y;
}

inline float times_logistic(float x) { return x / (1.0F + bounded_exponential(-x)); }

inline float hyperbolic_tangent(float x) {
    const float t = x * x;
    float p = -6.9221700e-4F;
    p = fused(p, t, 3.0711708e-3F);
    p = fused(p, t, -8.6641274e-3F);
    p = fused(p, t, 2.1826318e-2F);
    p = fused(p, t, -5.3963171e-2F);
    p = fused(p, t, 0.133333047F);
    p = fused(p, t, -0.333333328F);
    const float near_zero = fused(p * t, x, x);
    const float a = x < 0.0F ? -x : x;
    const float far = 1.0F - 2.0F / (bounded_exponential(a + a) + 1.0F);
    const float y = a < 0.6F ? near_zero : (x < 0.0F ? -far : far);
    return x != x ? x : y;
}

inline float error_function(float x) {
    const float t = x * x;
    float p = 7.8891195e-5F;
    p = fused(p, t, -8.0208413e-4F);
    p = fused(p, t, 5.1895353e-3F);
    p = fused(p, t, -2.6854445e-2F);
    p = fused(p, t, 0.112836002F);
    p = fused(p, t, -0.376126271F);
    p = fused(p, t, 1.12837917F);
    const float near_zero = p * x;
    const float a = x < 0.0F ? -x : x;
    const float b = a > 4.0F ? 4.0F : a;
    float q = 6.6282026e-7F;
    q = fused(q, b, 1.2329892e-5F);
    q = fused(q, b, -3.8478500e-4F);
    q = fused(q, b, 4.0133949e-3F);
    q = fused(q, b, -2.4812792e-2F);
    q = fused(q, b, 0.107905702F);
    q = fused(q, b, 0.633627316F);
    q = fused(q, b, 1.12939706F);
    q = fused(q, b, -1.53382197e-4F);
    const float far = 1.0F - bounded_exponential(-q);
    const float y = a < 0.95F ? near_zero : (x < 0.0F ? -far : far);
    return x != x ? x : y;
}

}  // namespace
}  // namespace fastcalo::graph
