// The sum that a state holds, as a number: for results.cu.
#pragma once
#include "numerics/fixed_functions.cuh"
#include "online/sliced_state.cuh"

// The place of a sum's last bit, seen from that of its first slice.
constexpr int SUM_UNIT = SLICE_BITS * (SLICES - 1);

// w 2^power units, 1 <= w < 2; and by what share of itself the truth may lie below and above.
//
// Digits leave out less than a unit for each element, and a term misses 2^-204 of itself; where x < 0 it may lie above the
// truth by 2^-239.
struct SumOfRow {
    Big digits;
    double below;
    double above;
};

// b 2^-power.
__device__ __forceinline__ double lowered_by(double b, int power) {
    return __dmul_rn(b, __hiloint2double((1023 - power) << 20, 0));
}

__device__ __forceinline__ SumOfRow sum_of_row(const SlicedState& state) {
    Fixed w = {};
    unsigned long long carry = 0;
#pragma unroll
    for (int i = SLICES - 1; i >= 0; i--) {
        carry += state.sum[i + 1];
        w.w[SLICES - 1 - i] = static_cast<unsigned>(carry) & LIMB_MASK;
        carry >>= LIMB_BITS;
    }
    w.w[SLICES] = static_cast<unsigned>(carry) & LIMB_MASK;
    w.w[SLICES + 1] = static_cast<unsigned>(carry >> LIMB_BITS);
    // The number less its last 230 bits, and less its last 202.
    const unsigned long long above = static_cast<unsigned long long>(w.w[8]) << 38 |
                                     static_cast<unsigned long long>(w.w[7]) << 8 | w.w[6] >> 22;
    const unsigned long long below = above >> 28;
    SumOfRow sum;
    sum.digits = normalised(w, FRACTION, 1);
    const double near = near_of(sum.digits.w);
    sum.above = lowered_by(__ddiv_rn(static_cast<double>(state.sum[0] + above + 1), near), sum.digits.power);
    sum.below = lowered_by(__ddiv_rn(static_cast<double>(below + 1), near), sum.digits.power);
    return sum;
}

// The sum over exp(m) in two words, to 2^-100; 0 where there is none.
__device__ __forceinline__ Two total_of(const SlicedState& state) {
    const SlicedTerm term = exp_slices(state.m);
    Two sum = {0.0, 0.0};
    Two own = {1.0, 0.0};
    double unit = 1.0;
#pragma unroll
    for (int i = 0; i < SLICES; i++) {
        const double upper = __dmul_rn(static_cast<double>(state.sum[i + 1] >> 32), 0x1p+32);
        const double below = static_cast<double>(state.sum[i + 1] & 0xffffffffULL);
        const Two slice = two_sum(upper, below);
        sum = add(sum, scale(slice, unit));
        unit = __dmul_rn(unit, 1.0 / (1 << SLICE_BITS));
        own = add(own, {__dmul_rn(static_cast<double>(term.fraction.w[SLICES - 1 - i]), unit), 0.0});
    }
    return divide(sum, scale(own, __hiloint2double((1023 + term.k) << 20, 0)));
}
