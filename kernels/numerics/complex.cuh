// Complex numbers whose parts are expansions, and exp(d + i theta).
#pragma once
#include "angle.cuh"

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

// exp(i r), |r| < 1: the series of exp(i y) - 1 for y = r / 256, then squarings of 1 + p in the form p (p + 2).
template <int WORDS>
__device__ __forceinline__ Complex<WORDS> unit_circle(const Expansion<WORDS>& r) {
    const Expansion<WORDS> y = scale(r, 1.0 / (1 << HALVINGS));
    Complex<WORDS> p = {};
#pragma unroll 1
    for (int n = FACTORIALS - 1; n >= 0; n--) {
        // p becomes (p i y) + 1 / (n + 1)!
        const Complex<WORDS> turned_p = {scale(multiply(p.im, y), -1.0), multiply(p.re, y)};
        Expansion<WORDS> coefficient;
#pragma unroll
        for (int i = 0; i < WORDS; i++) coefficient.w[i] = INVERSE_FACTORIAL[n][i];
        p = {add(turned_p.re, coefficient), turned_p.im};
    }
    p = {scale(multiply(p.im, y), -1.0), multiply(p.re, y)};
#pragma unroll 1
    for (int i = 0; i < HALVINGS; i++) p = multiply(p, Complex<WORDS>{add(p.re, 2.0), p.im});
    return {add(p.re, 1.0), p.im};
}

// cos(theta) + i sin(theta) of any finite angle.
template <int WORDS>
__device__ __forceinline__ Complex<WORDS> direction(double theta) {
    const double size = fabs(theta);
    Angle<WORDS> angle = {{}, 0};
    angle.r.w[0] = size;
    if (size >= 0.75) angle = reduced_angle<WORDS>(size);
    Complex<WORDS> result = turned(unit_circle(angle.r), angle.quarter);
    if (theta < 0.0) result.im = scale(result.im, -1.0);
    return result;
}
