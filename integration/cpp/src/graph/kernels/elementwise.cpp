// SPDX-License-Identifier: BSD-3-Clause
// Operators element by element. Compiled once for each level, into a namespace of its own (FASTCALO_LEVEL).
//
// Nothing of the C++ library is instantiated here: what the linker kept of it might not run on another processor.
#include "graph/base/types.hpp"
#include "graph/kernels/functions.hpp"
#include "graph/kernels/level.hpp"

namespace fastcalo::graph::FASTCALO_LEVEL {
namespace {

#define FASTCALO_UNARY(NAME, EXPRESSION)                                          \
    template <class T, class R>                                                   \
    void NAME(void* d, const void* a, const void*, const void*, std::int64_t n) { \
        R* to = static_cast<R*>(d);                                               \
        const T* from = static_cast<const T*>(a);                                 \
        FASTCALO_VECTORISE                                                        \
        for (std::int64_t i = 0; i < n; ++i) {                                    \
            const T x = from[i];                                                  \
            to[i] = static_cast<R>(EXPRESSION);                                   \
        }                                                                         \
    }
#define FASTCALO_BINARY(NAME, EXPRESSION)                                           \
    template <class T, class R>                                                     \
    void NAME(void* d, const void* a, const void* b, const void*, std::int64_t n) { \
        R* to = static_cast<R*>(d);                                                 \
        const T* first = static_cast<const T*>(a);                                  \
        const T* second = static_cast<const T*>(b);                                 \
        FASTCALO_VECTORISE                                                          \
        for (std::int64_t i = 0; i < n; ++i) {                                      \
            const T x = first[i], y = second[i];                                    \
            to[i] = static_cast<R>(EXPRESSION);                                     \
        }                                                                           \
    }

// Integers wrap around.
template <class T>
struct Wrapping {
    using U = std::uint64_t;
    static T add(T x, T y) { return static_cast<T>(static_cast<U>(x) + static_cast<U>(y)); }
    static T subtract(T x, T y) { return static_cast<T>(static_cast<U>(x) - static_cast<U>(y)); }
    static T multiply(T x, T y) { return static_cast<T>(static_cast<U>(x) * static_cast<U>(y)); }
    // towards zero; 0 where there is no result
    static T divide(T x, T y) { return y == 0 ? T(0) : y == T(-1) ? subtract(T(0), x) : static_cast<T>(x / y); }
    // with the sign of the divisor
    static T modulus(T x, T y) {
        if (y == 0 || y == T(-1)) return 0;
        const T r = static_cast<T>(x % y);
        return r != 0 && (r < 0) != (y < 0) ? static_cast<T>(r + y) : r;
    }
};
template <>
struct Wrapping<float> {
    static float add(float x, float y) { return x + y; }
    static float subtract(float x, float y) { return x - y; }
    static float multiply(float x, float y) { return x * y; }
    static float divide(float x, float y) { return x / y; }
    static float modulus(float x, float) { return x; }
};

FASTCALO_BINARY(add, Wrapping<T>::add(x, y))
FASTCALO_BINARY(subtract, Wrapping<T>::subtract(x, y))
FASTCALO_BINARY(multiply, Wrapping<T>::multiply(x, y))
FASTCALO_BINARY(divide, Wrapping<T>::divide(x, y))
FASTCALO_BINARY(modulus, Wrapping<T>::modulus(x, y))
// not a number, if one of them is
FASTCALO_BINARY(smaller, x < y || x != x ? x : y)
FASTCALO_BINARY(larger, x > y || x != x ? x : y)
// x stays what it is where a comparison fails
FASTCALO_BINARY(clip_low, x < y ? y : x)
FASTCALO_BINARY(clip_high, x > y ? y : x)
FASTCALO_BINARY(equal, x == y)
FASTCALO_BINARY(less, x < y)
FASTCALO_BINARY(less_or_equal, x <= y)
FASTCALO_BINARY(bit_and, x& y)
FASTCALO_BINARY(bit_or, x | y)
FASTCALO_UNARY(negative, Wrapping<T>::subtract(T(0), x))
FASTCALO_UNARY(negative_real, -x)
FASTCALO_UNARY(magnitude, x < 0 ? Wrapping<T>::subtract(T(0), x) : x)
FASTCALO_UNARY(magnitude_real, __builtin_fabsf(x))
FASTCALO_UNARY(inverted, x == 0)
FASTCALO_UNARY(exp_of, exponential(x))
FASTCALO_UNARY(log_of, logarithm(x))
FASTCALO_UNARY(tanh_of, hyperbolic_tangent(x))
FASTCALO_UNARY(erf_of, error_function(x))
FASTCALO_UNARY(sigmoid_of, logistic(x))
FASTCALO_UNARY(silu_of, times_logistic(x))
FASTCALO_UNARY(relu_of, x < 0 ? 0 : x)
FASTCALO_UNARY(reciprocal_of, 1.0F / x)
FASTCALO_UNARY(root_of, __builtin_sqrtf(x))
FASTCALO_UNARY(copy_of, x)
FASTCALO_UNARY(convert, x)
FASTCALO_UNARY(is_not_zero, x != 0)

// Whole numbers are what they are; others are cut towards zero, so that nothing depends on a mode of rounding.
template <class T, class R>
void floor_of(void* d, const void* a, const void*, const void*, std::int64_t n) {
    float* to = static_cast<float*>(d);
    const float* from = static_cast<const float*>(a);
    FASTCALO_VECTORISE
    for (std::int64_t i = 0; i < n; ++i) {
#ifdef __SSE4_1__
        to[i] = __builtin_floorf(from[i]);
#else
        const float x = from[i];
        const bool small = x > -8388608.0F && x < 8388608.0F;
        const float cut = static_cast<float>(static_cast<std::int32_t>(small ? x : 0.0F));
        const float down = cut > x ? cut - 1.0F : cut;
        to[i] = small ? (down == 0.0F ? __builtin_copysignf(0.0F, x) : down) : x;
#endif
    }
}

// From real numbers to integers as x86 does it: what does not fit gives the most negative number.
inline std::int32_t cut32(float x) {
    const bool fits = x > -2147483904.0F && x < 2147483648.0F;
    return fits ? static_cast<std::int32_t>(fits ? x : 0.0F) : INT32_MIN;
}
inline std::int64_t cut64(float x) {
    const bool fits = x >= -9223372036854775808.0F && x < 9223372036854775808.0F;
    return fits ? static_cast<std::int64_t>(fits ? x : 0.0F) : INT64_MIN;
}
FASTCALO_UNARY(cut_to_32, cut32(x))

// Vectors convert 32 bits, not 64, before AVX-512; that is nearly always enough.
template <class T, class R>
void cut_to_64(void* d, const void* a, const void*, const void*, std::int64_t n) {
    std::int64_t* to = static_cast<std::int64_t*>(d);
    const float* from = static_cast<const float*>(a);
    std::int32_t wide = 0;
    for (std::int64_t i = 0; i < n; ++i) wide |= from[i] > -2147483648.0F && from[i] < 2147483648.0F ? 0 : 1;
    if (wide) {
        for (std::int64_t i = 0; i < n; ++i) to[i] = cut64(from[i]);
    } else {
        FASTCALO_VECTORISE
        for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<std::int32_t>(from[i]);
    }
}
inline void integers_to_real(float* to, const std::int64_t* from, std::int64_t n) {
    std::uint64_t wide = 0;
    for (std::int64_t i = 0; i < n; ++i) wide |= (static_cast<std::uint64_t>(from[i]) + 0x80000000U) >> 32;
    if (wide) {
        for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(from[i]);
    } else {
        FASTCALO_VECTORISE
        for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<float>(static_cast<std::int32_t>(from[i]));
    }
}
template <>
void convert<std::int64_t, float>(void* d, const void* a, const void*, const void*, std::int64_t n) {
    integers_to_real(static_cast<float*>(d), static_cast<const std::int64_t*>(a), n);
}

template <class T, class R>
void power(void* d, const void* a, const void* b, const void*, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i)
        static_cast<float*>(d)[i] = __builtin_powf(static_cast<const float*>(a)[i], static_cast<const float*>(b)[i]);
}

template <class T>
void choose(void* d, const void* a, const void* b, const void* c, std::int64_t n) {
    T* to = static_cast<T*>(d);
    const std::uint8_t* condition = static_cast<const std::uint8_t*>(a);
    const T* first = static_cast<const T*>(b);
    const T* second = static_cast<const T*>(c);
    FASTCALO_VECTORISE
    for (std::int64_t i = 0; i < n; ++i) {
        const T x = first[i], y = second[i];
        to[i] = condition[i] ? x : y;
    }
}

template <class T>
StepFn cast_from(Type to) {
    switch (to) {
        case Type::f32:
            return convert<T, float>;
        case Type::u8:
            return convert<T, std::uint8_t>;
        case Type::i16:
            return convert<T, std::int16_t>;
        case Type::i32:
            return convert<T, std::int32_t>;
        case Type::i64:
            return convert<T, std::int64_t>;
        case Type::boolean:
            return is_not_zero<T, std::uint8_t>;
        case Type::none:
            break;
    }
    return nullptr;
}

StepFn cast_real(Type to) {
    switch (to) {
        case Type::f32:
            return copy_of<float, float>;
        case Type::u8:
            return cut_to_32<float, std::uint8_t>;
        case Type::i16:
            return cut_to_32<float, std::int16_t>;
        case Type::i32:
            return cut_to_32<float, std::int32_t>;
        case Type::i64:
            return cut_to_64<float, std::int64_t>;
        case Type::boolean:
            return is_not_zero<float, std::uint8_t>;
        case Type::none:
            break;
    }
    return nullptr;
}

template <class T>
StepFn arithmetic(Op op) {
    switch (op) {
        case Op::Add:
            return add<T, T>;
        case Op::Sub:
            return subtract<T, T>;
        case Op::Mul:
            return multiply<T, T>;
        case Op::Div:
            return divide<T, T>;
        case Op::Min:
            return smaller<T, T>;
        case Op::Max:
            return larger<T, T>;
        case Op::ClipLow:
            return clip_low<T, T>;
        case Op::ClipHigh:
            return clip_high<T, T>;
        case Op::Equal:
            return equal<T, std::uint8_t>;
        case Op::Less:
            return less<T, std::uint8_t>;
        case Op::LessOrEqual:
            return less_or_equal<T, std::uint8_t>;
        case Op::Expand:
            return copy_of<T, T>;
        case Op::Where:
            return choose<T>;
        default:
            return nullptr;
    }
}

template <class T>
StepFn integral(Op op) {
    switch (op) {
        case Op::BitwiseAnd:
            return bit_and<T, T>;
        case Op::Mod:
            return modulus<T, T>;
        case Op::Abs:
            return magnitude<T, T>;
        case Op::Neg:
            return negative<T, T>;
        default:
            return arithmetic<T>(op);
    }
}

StepFn real(Op op) {
    switch (op) {
        case Op::Abs:
            return magnitude_real<float, float>;
        case Op::Neg:
            return negative_real<float, float>;
        case Op::Exp:
            return exp_of<float, float>;
        case Op::Log:
            return log_of<float, float>;
        case Op::Tanh:
            return tanh_of<float, float>;
        case Op::Erf:
            return erf_of<float, float>;
        case Op::Sigmoid:
            return sigmoid_of<float, float>;
        case Op::Silu:
            return silu_of<float, float>;
        case Op::Relu:
            return relu_of<float, float>;
        case Op::Reciprocal:
            return reciprocal_of<float, float>;
        case Op::Sqrt:
            return root_of<float, float>;
        case Op::Floor:
            return floor_of<float, float>;
        case Op::Pow:
            return power<float, float>;
        default:
            return arithmetic<float>(op);
    }
}

StepFn logical(Op op) {
    switch (op) {
        case Op::And:
            return bit_and<std::uint8_t, std::uint8_t>;
        case Op::Or:
            return bit_or<std::uint8_t, std::uint8_t>;
        case Op::Not:
            return inverted<std::uint8_t, std::uint8_t>;
        case Op::Equal:
        case Op::Expand:
        case Op::Where:
            return arithmetic<std::uint8_t>(op);
        default:
            return nullptr;
    }
}

}  // namespace

StepFn find_step(Op op, Type operand, Type result) {
    if (op == Op::Cast) {
        switch (operand) {
            case Type::f32:
                return cast_real(result);
            case Type::u8:
            case Type::boolean:
                return cast_from<std::uint8_t>(result);
            case Type::i16:
                return cast_from<std::int16_t>(result);
            case Type::i32:
                return cast_from<std::int32_t>(result);
            case Type::i64:
                return cast_from<std::int64_t>(result);
            case Type::none:
                break;
        }
        return nullptr;
    }
    switch (operand) {
        case Type::f32:
            return real(op);
        case Type::boolean:
            return logical(op);
        case Type::u8:
            return integral<std::uint8_t>(op);
        case Type::i16:
            return integral<std::int16_t>(op);
        case Type::i32:
            return integral<std::int32_t>(op);
        case Type::i64:
            return integral<std::int64_t>(op);
        case Type::none:
            break;
    }
    return nullptr;
}

}  // namespace fastcalo::graph::FASTCALO_LEVEL
