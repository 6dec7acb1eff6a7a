// logsumexp_weighted: log(abs(sum(b exp(x)))) of real rows, and the sign of the sum.
//
// A block a row; thread t takes columns t, t + 128, ... in each of two walks, and of a third if the sum cancels:
//
//   1  the maximum m of x where b is not 0, the largest weight, and what is infinite or NaN
//   2  the sum of b exp(x - m), in two words, and the sum of the sizes of its terms
//   3  only where 2 lost too much: the sum once more, in expansions (the second tier)
//
// Weights are brought below 1 by a power of two, exactly, so that no product overflows; its logarithm is added at the end.
// b == 0 takes an element out, whatever it is. Arrays of the view, in order: x, b if WEIGHTED, out, sign if SIGNED; the
// pointer of an array that is not there is not looked at.
// Shared bytes: 24 a warp, for each kind of reduction.
// Numerics: float64 in two words, then 100 or 150 bits; rounded once.
#include "refined.cuh"
#include "views.cuh"
#include "weights.cuh"

// What a row is made of, for all threads of the block.
template <typename T, bool WEIGHTED, typename VIEW>
struct WeightedRow {
    const T* x;
    const T* b;
    const VIEW& view;

    __device__ __forceinline__ double weight(long long column) const {
        if constexpr (!WEIGHTED) return 1.0;
        else return widen(Element<T>::load(b[view.template column<1>(column)]));
    }
    // -inf where the weight is 0.
    __device__ __forceinline__ double value(long long column, double weight) const {
        const double value = widen(Element<T>::load(x[view.template column<0>(column)]));
        return weight == 0.0 ? negative_infinity() : value;
    }
};

struct Survey {
    double m;        // maximum of the elements that count
    double largest;  // weight
    double beyond;   // sum of the terms that are infinite or NaN, 0 if there are none
};

template <typename TEAM, typename ROW>
__device__ __forceinline__ Survey surveyed(const ROW row, long long columns) {
    Survey found = {negative_infinity(), 0.0, 0.0};
#pragma unroll 1
    for (long long column = TEAM::rank(); column < columns; column += TEAM::SIZE) {
        const double weight = row.weight(column);
        const double value = row.value(column, weight);
        found.m = maximum(found.m, value);
        found.largest = maximum(found.largest, fabs(weight));
        const bool finite_weight = fabs(weight) < positive_infinity();
        if (!(finite_weight && value < positive_infinity())) {
            // exp of an infinite or NaN value; that of a finite one only lends its sign.
            const double factor = value == negative_infinity() ? 0.0 : fabs(value) < positive_infinity() ? 1.0 : value;
            found.beyond = __dadd_rn(found.beyond, __dmul_rn(weight, factor));
        }
    }
    found.m = TEAM::template reduce<Maximum>(found.m);
    found.largest = TEAM::template reduce<Maximum>(found.largest);
    found.beyond = TEAM::template reduce<SumOfWords>(found.beyond);
    return found;
}

// The logarithm's error is let pass up to this share of the result: a quarter of an ulp of float64; for shorter types
// far below half of one of theirs.
template <typename T>
constexpr double PASSED = Element<T>::BITS == 64 ? 0x1p-54 : 0x1p-40;
// Error of the two-word sum beside the sum of the sizes of its terms.
constexpr double SUM_ERROR = 0x1p-54;

struct Outcome {
    double hi;  // m + log(abs(sum)) in two words
    double lo;
    double sign;
};

template <typename T, typename TEAM, typename ROW>
__device__ __forceinline__ Outcome summed(const ROW row, long long columns, const Survey found) {
    using Arithmetic = Float64Arithmetic<double>;
    constexpr int WORDS = REFINE_WORDS<T>;
    const int exponent = exponent_above(found.largest);
    const double power = power_of_two(-exponent);
    Two sum = {0.0, 0.0};
    double size = 0.0;
#pragma unroll 1
    for (long long column = TEAM::rank(); column < columns; column += TEAM::SIZE) {
        const double weight = row.weight(column);
        const Two term = Arithmetic::term(row.value(column, weight), found.m);
        const double scaled = __dmul_rn(weight, power);
        const Two product = two_product(term.hi, scaled);
        accumulate(sum, Two{product.hi, __fma_rn(term.lo, scaled, product.lo)});
        size = __dadd_rn(size, fabs(product.hi));
    }
    sum = TEAM::template reduce<Sum>(sum);
    size = TEAM::template reduce<SumOfWords>(size);

    const double sign = sum.hi < 0.0 ? -1.0 : 1.0;
    if (sum.hi != 0.0) {
        const Two log_sum = Arithmetic::log(scale(sum, sign));
        const Two weights = {__dmul_rn(exponent, LN2_HI), __dmul_rn(exponent, LN2_LO)};
        const Two shift = two_sum(found.m, weights.hi);
        const Two whole = two_sum(shift.hi, log_sum.hi);
        const double low = __dadd_rn(__dadd_rn(whole.lo, shift.lo), __dadd_rn(log_sum.lo, weights.lo));
        const double error = __dadd_rn(size / fabs(sum.hi), fabs(log_sum.hi)) * SUM_ERROR;
        if (error <= fabs(whole.hi) * PASSED<T>) return {whole.hi, low, sign};
    }

    Expansion<WORDS> exact = {};
#pragma unroll 1
    for (long long column = TEAM::rank(); column < columns; column += TEAM::SIZE) {
        const double weight = row.weight(column);
        const auto term = refined_term<WORDS>(row.value(column, weight), found.m);
        exact = add(exact, multiply(term, __dmul_rn(weight, power)));
    }
    exact = normalised(TEAM::template reduce<SumOfExpansions>(exact));
    if (exact.w[0] == 0.0) return {negative_infinity(), 0.0, 0.0};
    const double exact_sign = exact.w[0] < 0.0 ? -1.0 : 1.0;
    double shift[] = {found.m, __dmul_rn(exponent, LN2_0), __dmul_rn(exponent, LN2_1), __dmul_rn(exponent, LN2_2),
                      __dmul_rn(exponent, LN2_3)};
    const auto result = normalised(add(log_expansion(scale(exact, exact_sign)), distilled<WORDS>(shift)));
    return {result.w[0], result.w[1], exact_sign};
}

template <typename T, bool WEIGHTED, bool SIGNED, typename VIEW>
__global__ void __launch_bounds__(32 * REFINE_WARPS)
    logsumexp_weighted(const T* x,  // (rows, columns)
                       const T* b,  // (rows, columns)
                       VIEW view,   // of x, b, out, sign
                       T* out,      // (rows,)
                       T* sign) {   // (rows,)
    using Team = BlockTeam<REFINE_WARPS>;
    constexpr int OUT = WEIGHTED ? 2 : 1;
    const long long index = blockIdx.x;
    const WeightedRow<T, WEIGHTED, VIEW> row = {x + view.template row<0>(index),
                                                WEIGHTED ? b + view.template row<WEIGHTED ? 1 : 0>(index) : b, view};
    const Survey found = surveyed<Team>(row, view.columns);
    Outcome result = {negative_infinity(), 0.0, 0.0};
    if (!(fabs(found.beyond) < positive_infinity())) {
        result = {fabs(found.beyond), 0.0, found.beyond < 0.0 ? -1.0 : found.beyond > 0.0 ? 1.0 : not_a_number()};
    } else if (found.m != negative_infinity()) {
        result = summed<T, Team>(row, view.columns, found);
    }
    if (threadIdx.x == 0) {
        const bool refused = !SIGNED && result.sign < 0.0;
        const bool finite = fabs(result.hi) < positive_infinity();
        out[view.template row<OUT>(index)] =
            refused ? Element<T>::round(not_a_number()) : round_once<T>(result.hi, finite ? result.lo : 0.0);
        if constexpr (SIGNED) sign[view.template row<OUT + 1>(index)] = Element<T>::round(result.sign);
    }
}
