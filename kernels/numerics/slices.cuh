// exp(x) of any float64 as digits on one grid for all numbers, in integers: what a state adds up.
//
//   exp(x) = 2^(30 place) (digit[0] . digit[1] digit[2] ... digit[6]),   0 <= digit < 2^30
//
// The digits follow from x alone: what lies below the last is cut off, so every digit has its place on the grid, whatever
// else is summed. They are those of a number that misses exp(x) by less than 2^-204 of itself, forty units of 2^-210: 12 of
// T_i T_j, twice the 8 of t times the series, 8 of the last product, 3 of v.
//
//   y = x log2(e), cut off after 210 bits        M c, a product of whole numbers, brought to its place
//   y = 30 place + k + v                         0 <= k < 30, 0 <= v < 1
//   2^v = T_i T_j 2^t                            i and j the first six bits of v, and the next six; t < 2^-12
//   2^t = 1 + t (c_1 + t (c_2 + ...))            c_n = log(2)^n / n!, thirteen of them
//
// place grows with x. Numbers of 2^61 and more, whose neighbours are 256 away and more, stand for 1, at a place beyond all
// others. cupysoft/host/slices.py does the same, to the same bits.
#pragma once
#include "elements.cuh"
#include "slices_table.cuh"

constexpr int SLICES = 7;
constexpr int SLICE_BITS = 30;
constexpr unsigned SLICE_MASK = (1u << SLICE_BITS) - 1;
constexpr double HUGE_FROM = 0x1p+61;
constexpr long long FAR_PLACE = 1LL << 60;

// A fraction, the least limb first; or digits, the first one first.
template <int N>
struct Limbs {
    unsigned w[N];
};

// exp(x) is 2^(30 place + k) (1 + fraction).
struct SlicedTerm {
    long long place;
    int k;
    Limbs<SLICES> fraction;
};

// The first limbs of a fraction, or with limbs of zero behind it.
template <int N, int M>
__device__ __forceinline__ Limbs<N> resized(const Limbs<M>& a) {
    constexpr int LEFT_OUT = M > N ? M - N : 0;
    Limbs<N> result = {};
#pragma unroll
    for (int i = LEFT_OUT; i < M; i++) result.w[i + N - M] = a.w[i];
    return result;
}

// a b, less up to a unit for each limb and one more, since limbs below the last but one are left out; plus sums of limbs
// below 2^32. All of it is a fraction.
template <int N>
__device__ __forceinline__ Limbs<N> multiply_add(const Limbs<N>& a, const Limbs<N>& b, const Limbs<N>& addend) {
    Limbs<N> product;
    unsigned long long column = 0;
#pragma unroll
    for (int i = 0; i < N; i++) column += static_cast<unsigned long long>(a.w[i]) * b.w[N - 1 - i];
#pragma unroll
    for (int place = 0; place < N - 1; place++) {
        column >>= SLICE_BITS;
#pragma unroll
        for (int i = place + 1; i < N; i++) column += static_cast<unsigned long long>(a.w[i]) * b.w[N + place - i];
        column += addend.w[place];
        product.w[place] = static_cast<unsigned>(column) & SLICE_MASK;
    }
    product.w[N - 1] = static_cast<unsigned>(column >> SLICE_BITS) + addend.w[N - 1];
    return product;
}

// Limb by limb, without carries.
template <int N>
__device__ __forceinline__ Limbs<N> sums(const Limbs<N>& a, const Limbs<N>& b) {
    Limbs<N> result;
#pragma unroll
    for (int i = 0; i < N; i++) result.w[i] = a.w[i] + b.w[i];
    return result;
}

template <int N>
__device__ __forceinline__ Limbs<N> row_of(const SliceRow& row) {
    Limbs<N> result;
#pragma unroll
    for (int i = 0; i < N; i++) result.w[i] = row.w[i];
    return result;
}

// The steps of the series from c_first down to c_last: what is multiplied by t^n needs 12 n bits less.
template <int N, int M>
__device__ __forceinline__ Limbs<N> series(const Limbs<M>& so_far, const Limbs<SLICES>& t, int first, int last) {
    Limbs<N> p = resized<N>(so_far);
    const Limbs<N> factor = resized<N>(t);
#pragma unroll 1
    for (int n = first; n >= last; n--) {
        Limbs<N> coefficient;
#pragma unroll
        for (int i = 0; i < N; i++) coefficient.w[i] = SLICED_SERIES[n - 1][i + SLICES - N];
        p = multiply_add(p, factor, coefficient);
    }
    return p;
}

// 2^v - 1.
__device__ __forceinline__ Limbs<SLICES> power_less_one(const Limbs<SLICES>& v) {
    const unsigned top = v.w[SLICES - 1];
    const Limbs<SLICES> a = row_of<SLICES>(COARSE_POWERS[top >> 24]);
    const Limbs<SLICES> b = row_of<SLICES>(FINE_POWERS[top >> 18 & 63]);
    const Limbs<SLICES> product = multiply_add(a, b, sums(a, b));
    Limbs<SLICES> t = v;
    t.w[SLICES - 1] &= (1u << 18) - 1;
    Limbs<3> start;
#pragma unroll
    for (int i = 0; i < 3; i++) start.w[i] = SLICED_SERIES[SLICED_TERMS - 1][i + SLICES - 3];
    const Limbs<SLICES> p =
        series<7>(series<6>(series<5>(series<4>(series<3>(start, t, 12, 11), t, 10, 8), t, 7, 6), t, 5, 3), t, 2, 1);
    const Limbs<SLICES> zero = {};
    const Limbs<SLICES> z = multiply_add(t, p, zero);
    return multiply_add(product, z, sums(product, z));
}

// x log2(e) as place, k and v, the latter in the place of the fraction. Infinities and NaN are as huge numbers.
__device__ __forceinline__ SlicedTerm sliced_exponent(double x) {
    // y = mantissa 2^(field - 1075) log2(e), the product being in units of 2^-300 times that power of two.
    constexpr int DOWN = SLICE_BITS * (SLICED_LOG2_E_LIMBS - 1 - SLICES) + 1075;
    // The largest field that is not huge: it goes down by 82 bits, so two limbs less.
    constexpr int LARGEST = 1023 + 60;
    constexpr int BEFORE = 2;
    constexpr int KEPT = SLICED_LOG2_E_LIMBS + 2 - BEFORE;
    const long long bits = __double_as_longlong(x);
    const int exponent = static_cast<int>(bits >> 52) & 0x7ff;
    const bool huge = exponent > LARGEST;
    const int down = DOWN - min(max(exponent, 1), LARGEST);
    // What is subnormal, or 0, gets a leading bit too: it lies far below the last limb.
    const unsigned long long mantissa = (bits & 0xfffffffffffffLL) | 0x10000000000000LL;
    const unsigned low = static_cast<unsigned>(mantissa) & SLICE_MASK;
    const unsigned high = static_cast<unsigned>(mantissa >> SLICE_BITS);
    unsigned product[SLICED_LOG2_E_LIMBS + 2];
    unsigned long long column = 0;
#pragma unroll
    for (int i = 0; i < SLICED_LOG2_E_LIMBS + 2; i++) {
        const unsigned of_low = SLICED_LOG2_E[min(i, SLICED_LOG2_E_LIMBS - 1)];
        const unsigned of_high = SLICED_LOG2_E[min(max(i - 1, 0), SLICED_LOG2_E_LIMBS - 1)];
        if (i < SLICED_LOG2_E_LIMBS) column += static_cast<unsigned long long>(low) * of_low;
        if (i > 0 && i <= SLICED_LOG2_E_LIMBS) column += static_cast<unsigned long long>(high) * of_high;
        product[i] = static_cast<unsigned>(column) & SLICE_MASK;
        column >>= SLICE_BITS;
    }
    unsigned y[KEPT];
#pragma unroll
    for (int i = 0; i < KEPT; i++) y[i] = product[i + BEFORE];
#pragma unroll 1
    for (int limbs = min(down / SLICE_BITS, SLICED_LOG2_E_LIMBS + 2) - BEFORE; limbs > 0; limbs--) {
#pragma unroll
        for (int i = 0; i + 1 < KEPT; i++) y[i] = y[i + 1];
        y[KEPT - 1] = 0;
    }
    const int rest = down % SLICE_BITS;
#pragma unroll
    for (int i = 0; i + 1 < KEPT; i++) y[i] = (y[i] >> rest | y[i + 1] << (SLICE_BITS - rest)) & SLICE_MASK;

    // Below 0: the complement, less than what is cut off away from 1 - v.
    const bool negative = x < 0.0;
    long long whole = static_cast<long long>(y[SLICES] | static_cast<unsigned long long>(y[SLICES + 1]) << SLICE_BITS |
                                             static_cast<unsigned long long>(y[SLICES + 2]) << (2 * SLICE_BITS));
    whole = negative ? ~whole : whole;
    const long long place = (whole - (whole < 0 ? SLICE_BITS - 1 : 0)) / SLICE_BITS;
    SlicedTerm term;
    term.place = huge ? negative ? -FAR_PLACE : FAR_PLACE : place;
    term.k = huge ? 0 : static_cast<int>(whole - place * SLICE_BITS);
#pragma unroll
    for (int i = 0; i < SLICES; i++) term.fraction.w[i] = huge ? 0 : negative ? y[i] ^ SLICE_MASK : y[i];
    return term;
}

__device__ __forceinline__ SlicedTerm exp_slices(double x) {
    SlicedTerm term = sliced_exponent(x);
    term.fraction = power_less_one(term.fraction);
    return term;
}

__device__ __forceinline__ long long place_of(double m) { return sliced_exponent(m).place; }

// The digits: up by k bits, the fraction's first limb goes in part above the point.
__device__ __forceinline__ Limbs<SLICES> digits_of(const SlicedTerm& term) {
    Limbs<SLICES> digits;
#pragma unroll
    for (int i = 0; i < SLICES; i++) {
        const unsigned above = i == 0 ? 1u : term.fraction.w[SLICES - max(i, 1)];
        digits.w[i] = (above << term.k | term.fraction.w[SLICES - 1 - i] >> (SLICE_BITS - term.k)) & SLICE_MASK;
    }
    return digits;
}
