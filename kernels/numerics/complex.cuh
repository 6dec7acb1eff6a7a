// Complex numbers whose parts are expansions, and their exponential.
#pragma once
#include "angle.cuh"
#include "power.cuh"

template <int WORDS>
struct Complex {
    Expansion<WORDS> re;
    Expansion<WORDS> im;
};

template <int WORDS>
__device__ __forceinline__ Complex<WORDS> add(const Complex<WORDS>& a, const Complex<WORDS>& b) {
    return {add(a.re, b.re), add(a.im, b.im)};
}

template <int WORDS>
__device__ __forceinline__ Complex<WORDS> multiply(const Complex<WORDS>& a, const Complex<WORDS>& b) {
    return {add(multiply(a.re, b.re), scale(multiply(a.im, b.im), -1.0)),
            add(multiply(a.re, b.im), multiply(a.im, b.re))};
}

// Turned by a quarter, `quarter` times.
template <int WORDS>
__device__ __forceinline__ Complex<WORDS> turned(const Complex<WORDS>& a, int quarter) {
    const double re = quarter == 2 || quarter == 1 ? -1.0 : 1.0;
    const double im = quarter == 2 || quarter == 3 ? -1.0 : 1.0;
    const bool swapped = quarter & 1;
    Complex<WORDS> result;
#pragma unroll
    for (int i = 0; i < WORDS; i++) {
        result.re.w[i] = (swapped ? a.im.w[i] : a.re.w[i]) * re;
        result.im.w[i] = (swapped ? a.re.w[i] : a.im.w[i]) * im;
    }
    return result;
}

// exp(r), abs(r) < 0.9: the series of exp - 1 for r / 256, then squarings of 1 + p in the form p (p + 2).
template <int WORDS>
__device__ __forceinline__ Complex<WORDS> exp_near_zero(const Complex<WORDS>& r) {
    const double power = 1.0 / (1 << HALVINGS);
    const Complex<WORDS> y = {scale(r.re, power), scale(r.im, power)};
    Complex<WORDS> p = {};
#pragma unroll 1
    for (int n = FACTORIALS - 1; n >= 0; n--) {
        Expansion<WORDS> coefficient;
#pragma unroll
        for (int i = 0; i < WORDS; i++) coefficient.w[i] = INVERSE_FACTORIAL[n][i];
        p = multiply(Complex<WORDS>{add(p.re, coefficient), p.im}, y);
    }
#pragma unroll 1
    for (int i = 0; i < HALVINGS; i++) p = multiply(p, Complex<WORDS>{add(p.re, 2.0), p.im});
    return {add(p.re, 1.0), p.im};
}

// exp(re + i im) = words * 2^level, for finite parts of any size. Of tiny ones, exp(x) - 1 is x.
template <int WORDS>
__device__ __forceinline__ Complex<WORDS> exp_words(double re, double im, Level& level) {
    const double size = fabs(im);
    Angle<WORDS> angle = {{}, 0};
    angle.r.w[0] = size;
    if (size >= 0.75) angle = reduced_angle<WORDS>(size);
    Complex<WORDS> result = turned(exp_near_zero(Complex<WORDS>{reduced<WORDS>(re, level), angle.r}), angle.quarter);
    if (im < 0.0) result.im = scale(result.im, -1.0);
    if (fmax(fabs(re), size) < TINY) {
        result = {};
        result.re.w[0] = 1.0;
        result.re.w[1] = re;
        result.im.w[0] = im;
    }
    return result;
}
