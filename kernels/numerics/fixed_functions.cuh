// exp, log and quotients of fixed-point numbers, and the rounding of what they give: the last tier.
//
// A Big is a fixed-point number from 1 up to 2, times a sign and a power of two: what is small keeps all its bits. Bits that
// do not fit are cut off, and `cut` says that there were some: so a number is never taken for the middle of two others that
// it is not. All functions miss less than 2^-270 of their value (docs/exactness.md adds the units up).
#pragma once
#include "fixed.cuh"
#include "logarithm.cuh"

struct Big {
    Fixed w;
    int power;
    int sign;  // 1, -1, or 0 for the number 0
    bool cut;
};

// w 2^power, brought to its place.
__device__ __forceinline__ Big normalised(const Fixed& w, int power, int sign, bool cut = false) {
    const int up = FRACTION + 1 - length_of(w);
    const Fixed lowered = shift_right(w, max(-up, 0), cut);
    return {shift_left(lowered, max(up, 0)), power - up, is_zero(w) ? 0 : sign, cut};
}

// A finite float64, with its sign changed if `negated`.
__device__ __forceinline__ Big big_of(double a, bool negated = false) {
    const bool subnormal = fabs(a) < 0x1p-1022;
    const long long bits = __double_as_longlong(subnormal ? __dmul_rn(a, 0x1p+64) : a);
    const unsigned long long size = (bits & 0xfffffffffffffLL) | 0x10000000000000LL;
    Fixed w = {};
    if (a == 0.0) return {w, 0, 0, false};
    w.w[FIXED_LIMBS - 1] = 1;
    w.w[FIXED_LIMBS - 2] = static_cast<unsigned>(size >> 22) & LIMB_MASK;
    w.w[FIXED_LIMBS - 3] = static_cast<unsigned>(size << 8) & LIMB_MASK;
    const int power = (static_cast<int>(bits >> 52) & 0x7ff) - 1023 - (subnormal ? 64 : 0);
    return {w, power, (bits < 0) == negated ? 1 : -1, false};
}

// a + b, cut off below the last bit of the larger.
__device__ __forceinline__ Big add(const Big& a, const Big& b) {
    const bool b_leads = a.sign == 0 || (b.sign != 0 && (a.power < b.power || (a.power == b.power && a.w < b.w)));
    const Fixed upper = chosen(b_leads, b.w, a.w);
    const int power = b_leads ? b.power : a.power;
    const int sign = b_leads ? b.sign : a.sign;
    const bool both = a.sign != 0 && b.sign != 0;
    bool cut = a.cut || b.cut;
    const int down = power - (b_leads ? a.power : b.power);
    const Fixed addend = shift_right(chosen(b_leads, a.w, b.w), both ? down : FRACTION + LIMB_BITS, cut);
    const bool same = a.sign == b.sign;
    const Fixed sum = chosen(same || !both, add(upper, addend), subtract(upper, addend, cut));
    return normalised(sum, power, sign, cut);
}

// The fixed-point number nearest below |a| < 2^30.
__device__ __forceinline__ Fixed fixed_of(const Big& a) {
    bool cut = false;
    const Fixed zero = {};
    const Fixed w = shift_left(shift_right(a.w, max(-a.power, 0), cut), max(a.power, 0));
    return chosen(a.sign == 0, zero, w);
}

// |a| rounded to a format, to the nearest, ties to even; what is beyond its range is left to Element<T>::round.
__device__ __forceinline__ double rounded(const Big& a, Format format) {
    const int quantum = max(a.power - (format.digits - 1), format.least);
    // Bits of the result before its last; -1 where half the smallest number is the highest bit.
    const int kept = a.power - quantum;
    if (a.sign == 0 || kept < -1) return 0.0;
    bool below = a.cut;
    // The result and one bit more.
    const Fixed doubled = shift_right(a.w, FRACTION - 1 - kept, below);
    unsigned long long number = doubled.w[0] | static_cast<unsigned long long>(doubled.w[1]) << LIMB_BITS;
    const bool half = number & 1;
    number >>= 1;
    number += half && (below || (number & 1));
    const int first = quantum / 2;
    const double scaled = __dmul_rn(static_cast<double>(number), __hiloint2double((1023 + first) << 20, 0));
    return __dmul_rn(scaled, __hiloint2double((1023 + quantum - first) << 20, 0));
}

// ln 2, cut off.
__device__ __forceinline__ Fixed ln2_fixed() {
    return {{0x2eb26156, 0x076206de, 0x3e8af9ee, 0x175b8baa, 0x18b62834, 0x3267298b,
            0x2bd03cd0, 0x1803f2f6, 0x2f278ece, 0x3d1cf79a, 0x2c5c85fd, 0}};
}

constexpr int FIXED_TERMS = 22;
// 1 / n!, cut off.
__constant__ unsigned FIXED_FACTORIALS[FIXED_TERMS][FIXED_LIMBS] = {
    {0, 0, 0, 0, 0, 0,
     0, 0, 0, 0, 0, 1},
    {0, 0, 0, 0, 0, 0,
     0, 0, 0, 0, 0, 1},
    {0, 0, 0, 0, 0, 0,
     0, 0, 0, 0, 0x20000000, 0},
    {0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa,
     0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x0aaaaaaa, 0},
    {0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa,
     0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x02aaaaaa, 0},
    {0x08888888, 0x22222222, 0x08888888, 0x22222222, 0x08888888, 0x22222222,
     0x08888888, 0x22222222, 0x08888888, 0x22222222, 0x00888888, 0},
    {0x2c16c16c, 0x05b05b05, 0x2c16c16c, 0x05b05b05, 0x2c16c16c, 0x05b05b05,
     0x2c16c16c, 0x05b05b05, 0x2c16c16c, 0x05b05b05, 0x0016c16c, 0},
    {0x34034034, 0x00d00d00, 0x34034034, 0x00d00d00, 0x34034034, 0x00d00d00,
     0x34034034, 0x00d00d00, 0x34034034, 0x00d00d00, 0x00034034, 0},
    {0x06806806, 0x201a01a0, 0x06806806, 0x201a01a0, 0x06806806, 0x201a01a0,
     0x06806806, 0x201a01a0, 0x06806806, 0x201a01a0, 0x00006806, 0},
    {0x160e4472, 0x18e671f5, 0x0ef1d2ab, 0x11ca002e, 0x07d560e4, 0x0aad8e67,
     0x00b8ef1d, 0x03911ca0, 0x399c7d56, 0x3c74aad8, 0x00000b8e, 0},
    {0x3bce3a0b, 0x15b0a4fe, 0x34b1c844, 0x0e943337, 0x2d95567d, 0x0777c170,
     0x2678e4b6, 0x005b4fa9, 0x1f5c72ef, 0x393edde2, 0x00000127, 0},
    {0x22871c8c, 0x07ca3d8b, 0x3ef8e3a9, 0x243c04a7, 0x1b6aaac5, 0x00adcbc4,
     0x37dc71e2, 0x1d1f92e0, 0x144e38fe, 0x399159fd, 0x0000001a, 0},
    {0x12e097b6, 0x1b50da76, 0x2a94bda3, 0x085a55b8, 0x2cf38e3b, 0x200e7ba5,
     0x19fd097d, 0x226d4c3d, 0x31b12f6a, 0x0f76c77f, 2, 0},
    {0x32aed097, 0x3354fd1c, 0x034684bd, 0x19420698, 0x3e88e38e, 0x29d9babd,
     0x2475ed09, 0x251c198e, 0x350da12f, 0x0b092309, 0, 0},
    {0x3a7a3378, 0x3f185b38, 0x003be4e8, 0x2f84b754, 0x1b52ebae, 0x354668c4,
     0x0bbf47c9, 0x105d6f8a, 0x1180f93a, 0x00c9cba5, 0, 0},
    {0x371936a1, 0x37680614, 0x33373164, 0x143c0c38, 0x3d8e0fb6, 0x3f48f5ea,
     0x161dd195, 0x388ec32b, 0x3ce67703, 0x000d73f9, 0, 0},
    {0x1371936a, 0x13768061, 0x23337316, 0x1943c0c3, 0x2bd8e0fb, 0x17f48f5e,
     0x2d61dd19, 0x0f88ec32, 0x27ce6770, 0x0000d73f, 0, 0},
    {0x26ca7215, 0x0c7061e7, 0x112124e3, 0x108b83cf, 0x11a35887, 0x17ff53ba,
     0x0a32eee3, 0x2a535930, 0x18ee0615, 0x00000ca9, 0, 0},
    {0x0cd25bab, 0x043f21e2, 0x0b9e4929, 0x2807c036, 0x0f33bdce, 0x21554bc3,
     0x00910d45, 0x3ecbbdd8, 0x04f0c772, 0x000000b4, 0, 0},
    {0x3d4e709d, 0x2546b0f0, 0x1eed622a, 0x3143c6bf, 0x3d6e8340, 0x1cb3a5ab,
     0x143d876f, 0x0a0ab926, 0x1e9368d0, 9, 0, 0},
    {0x0fdd85a1, 0x2ea9ef3f, 0x0b25781b, 0x28dcfd23, 0x3fdf2029, 0x3e3c2eae,
     0x3a9cad2b, 0x00808941, 0x1e542ba4, 0, 0, 0},
    {0x09e5fa2c, 0x2ce3854c, 0x34571e19, 0x1d5fdb4a, 0x218487a0, 0x33b9b914,
     0x0bef146f, 0x1b73d5c6, 0x0171b8ef, 0, 0, 0},
};
// The argument of the series is cut by 2^12: 22 terms leave 2^-264 / 22! < 2^-330.
constexpr int FIXED_HALVINGS = 12;

// A little more than log2(e).
constexpr double LOG2_E_ABOVE = 0x1.71547652b8300p+0;

// w in float64, cut off: it misses less than 2^-52.
__device__ __forceinline__ double near_of(const Fixed& w) {
    const double low = static_cast<double>(w.w[FIXED_LIMBS - 3] >> 8);
    const double middle = static_cast<double>(w.w[FIXED_LIMBS - 2]);
    return static_cast<double>(w.w[FIXED_LIMBS - 1]) + (middle * 0x1p-30 + low * 0x1p-52);
}

// 0 <= a < 2, cut off after 60 bits.
__device__ __forceinline__ Fixed fixed_near(double a) {
    Fixed w = {};
#pragma unroll
    for (int i = FIXED_LIMBS - 1; i >= FIXED_LIMBS - 3; i--) {
        w.w[i] = static_cast<unsigned>(a);
        a = __dmul_rn(__dsub_rn(a, static_cast<double>(w.w[i])), 0x1p+30);
    }
    return w;
}

// exp(-y) = w 2^-power with 1 < w <= 2, for 0 <= y < 2000, near being y rounded. Larger y have larger powers.
//
// s = power ln 2 - y misses 2^12 units: those of ln 2, times power. The series misses 13 units; each squaring doubles what
// was missed and adds 12: 2^17 units in all for numbers up to e, less than 2^-310.
struct FixedExp {
    Fixed w;
    int power;
};

// A little more than y / ln 2, so that s is not below 0.
__device__ __forceinline__ int power_of_minus(double near) {
    return static_cast<int>(__dmul_rn(near, LOG2_E_ABOVE)) + 1;
}

__device__ __forceinline__ FixedExp exp_of_minus(const Fixed& y, double near) {
    const int power = power_of_minus(near);
    bool cut = false;
    const Fixed s = shift_right(subtract(multiply(ln2_fixed(), static_cast<unsigned>(power)), y), FIXED_HALVINGS, cut);
    // The series from its end, n >= 0, then the squarings, n < 0: by one product, since its text is long.
    Fixed p = {};
#pragma unroll 1
    for (int n = FIXED_TERMS - 1; n >= -FIXED_HALVINGS; n--) {
        Fixed coefficient;
#pragma unroll
        for (int i = 0; i < FIXED_LIMBS; i++) coefficient.w[i] = n < 0 ? 0 : FIXED_FACTORIALS[max(n, 0)][i];
        p = add(multiply(p, chosen(n < 0, p, s)), coefficient);
    }
    return {p, power};
}

// 1 / w for 1 <= w < 2: a quotient of float64, and three steps of Newton's, each with twice the bits.
__device__ __forceinline__ Fixed inverse_of(const Fixed& w) {
    const double near = near_of(w);
    Fixed inverse = fixed_near(__ddiv_rn(1.0, near));
    Fixed factor = w;
    // inverse (2 - w inverse), by one product.
#pragma unroll 1
    for (int i = 0; i < 6; i++) {
        const Fixed product = multiply(inverse, factor);
        const bool whole = i % 2 != 0;
        inverse = chosen(whole, product, inverse);
        factor = chosen(whole, w, subtract(fixed_of(2u), product));
    }
    return inverse;
}

// Below this log(1 + z) = z S with S = 1 - z / 2 + z^2 / 3 - ..., of which 11 terms leave 2^-330.
constexpr int SERIES_FROM = -30;
constexpr int SERIES_TERMS = 11;
// 1 / n for n = 1 .. 11, cut off.
__constant__ unsigned FIXED_INVERSES[SERIES_TERMS][FIXED_LIMBS] = {
    {0, 0, 0, 0, 0, 0,
     0, 0, 0, 0, 0, 1},
    {0, 0, 0, 0, 0, 0,
     0, 0, 0, 0, 0x20000000, 0},
    {0x15555555, 0x15555555, 0x15555555, 0x15555555, 0x15555555, 0x15555555,
     0x15555555, 0x15555555, 0x15555555, 0x15555555, 0x15555555, 0},
    {0, 0, 0, 0, 0, 0,
     0, 0, 0, 0, 0x10000000, 0},
    {0x0ccccccc, 0x33333333, 0x0ccccccc, 0x33333333, 0x0ccccccc, 0x33333333,
     0x0ccccccc, 0x33333333, 0x0ccccccc, 0x33333333, 0x0ccccccc, 0},
    {0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa,
     0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x2aaaaaaa, 0x0aaaaaaa, 0},
    {0x09249249, 0x09249249, 0x09249249, 0x09249249, 0x09249249, 0x09249249,
     0x09249249, 0x09249249, 0x09249249, 0x09249249, 0x09249249, 0},
    {0, 0, 0, 0, 0, 0,
     0, 0, 0, 0, 0x08000000, 0},
    {0x071c71c7, 0x071c71c7, 0x071c71c7, 0x071c71c7, 0x071c71c7, 0x071c71c7,
     0x071c71c7, 0x071c71c7, 0x071c71c7, 0x071c71c7, 0x071c71c7, 0},
    {0x26666666, 0x19999999, 0x26666666, 0x19999999, 0x26666666, 0x19999999,
     0x26666666, 0x19999999, 0x26666666, 0x19999999, 0x06666666, 0},
    {0x05d1745d, 0x05d1745d, 0x05d1745d, 0x05d1745d, 0x05d1745d, 0x05d1745d,
     0x05d1745d, 0x05d1745d, 0x05d1745d, 0x05d1745d, 0x05d1745d, 0},
};

// log(l) for l >= 1 given as l and as l - 1: that of a number near 1 keeps all its bits.
//
// l = 2^j f, y = log_guess(l) a little less than log(f), z = f exp(-y) - 1 >= 0 and below 2^-38:
// log(l) = j ln 2 + y + log(1 + z); or z = l - 1, if that is small. above_one is f exp(-y), for which the caller has taken
// the exponential.
__device__ __forceinline__ double log_guess(const Big& l) {
    const double less = fmax(__dsub_rn(log_two({near_of(l.w), 0.0}, 0).hi, 0x1p-40), 0.0);
    return __dsub_rn(__dadd_rn(less, 1.0), 1.0);  // a multiple of 2^-52
}

__device__ __forceinline__ Big log_of(const Big& l, const Big& less_one, double guess, const Fixed& above_one) {
    const bool small = less_one.power < SERIES_FROM;
    const Fixed zero = {};
    const Fixed z = chosen(small, fixed_of(less_one), subtract(above_one, fixed_of(1u)));
    // S from its end, n > 0, and at last z S, which for a small z has the place of l - 1.
    Fixed series = zero;
#pragma unroll 1
    for (int n = SERIES_TERMS; n >= 0; n--) {
        const Fixed product = multiply(chosen(small && n == 0, less_one.w, z), series);
        Fixed coefficient;
#pragma unroll
        for (int i = 0; i < FIXED_LIMBS; i++) coefficient.w[i] = FIXED_INVERSES[max(n, 1) - 1][i];
        series = chosen(n == 0, product, subtract(coefficient, product));
    }
    const Fixed base = add(multiply(ln2_fixed(), static_cast<unsigned>(l.power)), fixed_near(guess));
    return normalised(add(series, chosen(small, zero, base)), small ? less_one.power : 0, less_one.sign, true);
}
