// Element types: how each is widened to float64 and how a float64 is rounded to it, once.
//
// 16-bit types are plain bit patterns here: that needs no CUDA header, which keeps compilation short. Conversions are
// written in PTX without .ftz, because CuPy compiles its own ElementwiseKernels with flush-to-zero and these headers
// serve there too.
#pragma once

struct Float16 {
    unsigned short bits;
};

struct Bfloat16 {
    unsigned short bits;
};

__device__ __forceinline__ double negative_infinity() { return __longlong_as_double(0xfff0000000000000LL); }
__device__ __forceinline__ double positive_infinity() { return __longlong_as_double(0x7ff0000000000000LL); }
__device__ __forceinline__ double not_a_number() { return __longlong_as_double(0x7ff8000000000000LL); }

// True for NaN and +inf as the maximum of a row: no sum of exp(x - m) exists there.
__device__ __forceinline__ bool no_anchor(double m) { return !(m < positive_infinity()); }

// COMPARE is the narrowest type that holds every value: rows are searched for their maximum in it.
// VECTOR is the number of elements in 16 bytes: the unit in which threads own columns, however they are read.
// Numbers of the type have at most DIGITS significant bits and are multiples of 2^LEAST.
template <typename T>
struct Element;

template <>
struct Element<Float16> {
    using Compare = float;
    static constexpr int VECTOR = 8;
    static constexpr int BITS = 16;
    static constexpr int DIGITS = 11;
    static constexpr int LEAST = -24;
    __device__ static __forceinline__ Float16 negative_infinity() { return {0xfc00}; }
    __device__ static __forceinline__ float load(Float16 value) {
        float result;
        asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
        return result;
    }
    __device__ static __forceinline__ Float16 round(double value) {
        Float16 result;
        asm("cvt.rn.f16.f64 %0, %1;" : "=h"(result.bits) : "d"(value));
        return result;
    }
};

template <>
struct Element<Bfloat16> {
    using Compare = float;
    static constexpr int VECTOR = 8;
    static constexpr int BITS = 16;
    static constexpr int DIGITS = 8;
    static constexpr int LEAST = -133;
    __device__ static __forceinline__ Bfloat16 negative_infinity() { return {0xff80}; }
    __device__ static __forceinline__ float load(Bfloat16 value) {
        return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
    }
    // Round to odd into float32 (truncate, and set the last bit when something was cut off), then to nearest even:
    // two steps that give the same as one, since float32 has more than two spare bits.
    __device__ static __forceinline__ Bfloat16 round(double value) {
        float truncated;
        asm("cvt.rz.f32.f64 %0, %1;" : "=f"(truncated) : "d"(value));
        double back;
        asm("cvt.f64.f32 %0, %1;" : "=d"(back) : "f"(truncated));
        const unsigned odd = __float_as_uint(truncated) | (back != value ? 1u : 0u);
        const unsigned nearest = (odd + 0x7fffu + ((odd >> 16) & 1u)) >> 16;
        return {static_cast<unsigned short>(value != value ? 0x7fc0u : nearest)};
    }
};

template <>
struct Element<float> {
    using Compare = float;
    static constexpr int VECTOR = 4;
    static constexpr int BITS = 32;
    static constexpr int DIGITS = 24;
    static constexpr int LEAST = -149;
    __device__ static __forceinline__ float negative_infinity() { return __uint_as_float(0xff800000u); }
    __device__ static __forceinline__ float load(float value) { return value; }
    __device__ static __forceinline__ float round(double value) {
        float result;
        asm("cvt.rn.f32.f64 %0, %1;" : "=f"(result) : "d"(value));
        return result;
    }
};

template <>
struct Element<double> {
    using Compare = double;
    static constexpr int VECTOR = 2;
    static constexpr int BITS = 64;
    static constexpr int DIGITS = 53;
    static constexpr int LEAST = -1074;
    __device__ static __forceinline__ double negative_infinity() { return ::negative_infinity(); }
    __device__ static __forceinline__ double load(double value) { return value; }
    __device__ static __forceinline__ double round(double value) { return value; }
};

// DIGITS and LEAST of a type, for what is told the type when it runs.
struct Format {
    int digits;
    int least;
};

template <typename T>
__device__ __forceinline__ constexpr Format format_of() { return {Element<T>::DIGITS, Element<T>::LEAST}; }

// Widening to float64 is exact; in PTX, so that a subnormal float32 survives flush-to-zero.
__device__ __forceinline__ double widen(double value) { return value; }
__device__ __forceinline__ double widen(float value) {
    double result;
    asm("cvt.f64.f32 %0, %1;" : "=d"(result) : "f"(value));
    return result;
}

// Two words rounded once to T. The float64 sum is rounded to odd first, so that the second rounding cannot be misled.
template <typename T>
__device__ __forceinline__ T round_once(double hi, double lo) {
    const double sum = __dadd_rn(hi, lo);
    if constexpr (Element<T>::BITS == 64) return Element<T>::round(sum);
    const double error = __dsub_rn(lo, __dsub_rn(sum, hi));
    const long long bits = __double_as_longlong(sum);
    // The neighbour on the side of the error, taken when the last bit is even and the sum was inexact.
    const bool away = (error > 0.0) == (sum > 0.0);
    const bool inexact = error != 0.0 && error == error && sum != 0.0 && (bits & 1) == 0;
    return Element<T>::round(inexact ? __longlong_as_double(bits + (away ? 1 : -1)) : sum);
}
