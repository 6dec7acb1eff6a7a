// What is made of a row's state: the operations, each a template argument of every kernel.
//
//   Softmax      x -> exp(x - m) / l                  ELEMENTS: a result for each element
//   LogSoftmax   x -> (x - m) - log(l)                ELEMENTS
//   LogSumExp    m + log(l)                           a result for each row; notes the rows that want the second tier
//   StateOf      (m, l)                               three results for each row
//
// ELEMENTS operations give a Row, what all elements of a row need, and turn an element, or its term, into the result.
// The others write a row. KEEPS_TERMS: the terms summed are used again. SHORT_SUM: see push() in online/state.cuh.
#pragma once
#include "online/state.cuh"

template <typename T, typename ARITHMETIC = Float64Arithmetic<T>>
struct Softmax {
    using Type = T;
    using Arithmetic = ARITHMETIC;
    static constexpr bool ELEMENTS = true;
    static constexpr bool KEEPS_TERMS = true;
    static constexpr bool SHORT_SUM = !ARITHMETIC::WIDE;
    struct Row {
        double anchor;
        double sum;  // narrow: its inverse
    };

    T* out;

    // A row with no anchor is all NaN; so is one of all -inf, where the sum is 0.
    __device__ __forceinline__ Row row(State<ARITHMETIC> state) const {
        const double sum = no_anchor(state.m) ? not_a_number() : __dadd_rn(state.l.hi, state.l.lo);
        return {anchor_of(state.m), ARITHMETIC::WIDE ? sum : __ddiv_rn(1.0, sum)};
    }
    // One rounding more than a division, at 2^-53, is nothing to 32 bits; float64 divides.
    __device__ __forceinline__ T of_term(double term, Row row) const {
        return Element<T>::round(ARITHMETIC::WIDE ? __ddiv_rn(term, row.sum) : __dmul_rn(term, row.sum));
    }
    __device__ __forceinline__ T of_value(double x, Row row) const {
        return of_term(ARITHMETIC::term(x, row.anchor).hi, row);
    }
};

template <typename T, typename ARITHMETIC = Float64Arithmetic<T>>
struct LogSoftmax {
    using Type = T;
    using Arithmetic = ARITHMETIC;
    static constexpr bool ELEMENTS = true;
    static constexpr bool KEEPS_TERMS = false;
    static constexpr bool SHORT_SUM = false;
    static constexpr double TRACE = ARITHMETIC::WIDE ? 0.0 : 0x1p-960;
    struct Row {
        double anchor;
        Two log_sum;
    };

    T* out;

    // All -inf: NaN. Maximum +inf: as SciPy has it, NaN where x is +inf and -inf elsewhere, which x - m alone gives.
    __device__ __forceinline__ Row row(State<ARITHMETIC> state) const {
        if (state.m == negative_infinity()) return {0.0, {not_a_number(), 0.0}};
        if (no_anchor(state.m)) return {state.m, {0.0, 0.0}};
        return {state.m, ARITHMETIC::log(state.l)};
    }
    __device__ __forceinline__ T of_term(double, Row) const;
    __device__ __forceinline__ T of_value(double x, Row row) const {
        const Two d = ARITHMETIC::difference(x, row.anchor);
        const Two s = two_sum(d.hi, -row.log_sum.hi);
        // x - m often lies halfway between two numbers of a short type. Then the least bit of log(l) decides; where its
        // terms have underflowed, it is still above 0 for every x below m: a trace of x - m stands for it.
        const double low = __fma_rn(d.hi, TRACE, __dadd_rn(s.lo, __dsub_rn(d.lo, row.log_sum.lo)));
        // The low word of -inf is NaN, which fmax drops, without a branch.
        return round_once<T>(s.hi, fmax(low, -0x1p+1000));
    }
};

template <typename T, typename ARITHMETIC = Float64Arithmetic<T>>
struct LogSumExp {
    using Type = T;
    using Arithmetic = ARITHMETIC;
    static constexpr bool ELEMENTS = false;
    static constexpr bool KEEPS_TERMS = false;
    static constexpr bool SHORT_SUM = false;
    // log(l) is known to 2^-55 of itself (narrow: 2^-52). Where m cancels more of it than this share, too little is left:
    // the row goes to the second tier, logsumexp_refine. What stays is good to 2^-52 (narrow: 2^-46).
    static constexpr double CANCELLED = ARITHMETIC::WIDE ? 0x1p-3 : 0x1p-6;

    T* out;
    double* anchors;  // (rows,) the maximum of a row that wants the second tier, else NaN

    struct Result {
        T value;
        bool cancelled;
    };

    __device__ static __forceinline__ Result of_state(State<ARITHMETIC> state) {
        if (no_anchor(state.m) || state.m == negative_infinity()) return {Element<T>::round(state.m), false};
        const Two log_sum = ARITHMETIC::log(state.l);
        const Two sum = two_sum(state.m, log_sum.hi);
        const T value = round_once<T>(sum.hi, __dadd_rn(sum.lo, log_sum.lo));
        return {value, fabs(sum.hi) < log_sum.hi * CANCELLED};
    }

    template <typename VIEW>
    __device__ __forceinline__ void write(const VIEW& view, long long row, State<ARITHMETIC> state) const {
        const Result result = of_state(state);
        out[view.template row<1>(row)] = result.value;
        anchors[row] = result.cancelled ? state.m : not_a_number();
    }
};

template <typename T, typename ARITHMETIC = Float64Arithmetic<T>>
struct StateOf {
    using Type = T;
    using Arithmetic = ARITHMETIC;
    static constexpr bool ELEMENTS = false;
    static constexpr bool KEEPS_TERMS = false;
    static constexpr bool SHORT_SUM = false;

    double* m;
    double* l_hi;
    double* l_lo;

    template <typename VIEW>
    __device__ __forceinline__ void write(const VIEW& view, long long row, State<ARITHMETIC> state) const {
        const long long to = view.template row<1>(row);
        const Two l = scale(fast_two_sum(state.l.hi, state.l.lo), ARITHMETIC::LOWERED);
        m[to] = __dadd_rn(state.m, 0.0);
        l_hi[to] = no_anchor(state.m) ? not_a_number() : l.hi;
        l_lo[to] = no_anchor(state.m) ? 0.0 : l.lo;
    }
};
