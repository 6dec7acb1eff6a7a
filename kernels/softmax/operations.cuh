// What is made of a row's state: the operations, each a template argument of every kernel.
//
//   Softmax      x -> exp(x - m) / l                  ELEMENTS: a result for each element
//   LogSoftmax   x -> (x - m) - log(l)                ELEMENTS
//   LogSumExp    m + log(l)                           a result for each row
//
// ELEMENTS operations give a Row, what all elements of a row need, and turn an element, or its term, into the result.
// The others write a row. KEEPS_TERMS: the terms summed are used again.
//
// Results are correctly rounded. A row with a result in doubt (numerics/rounding.cuh) is not written but left open, for the
// kernel `settle`. `options` tells how: ALL_OPEN leaves every row that has finite results open, which tests want; IN_PLACE
// says that out is x, so that nothing of a row may be written before it is known that none of it is in doubt; then a row
// in parts is walked once more, ONLY_TEST, and afterwards written, ONLY_WRITE.
#pragma once
#include "online/state.cuh"

enum Options { ALL_OPEN = 1, IN_PLACE = 2, ONLY_TEST = 4, ONLY_WRITE = 8 };

// Where the results of elements go.
template <typename T>
struct ElementsOut {
    T* out;       // (rows, columns)
    int* open;    // (rows,) whether the row is left open
    int options;  // see Options
};

template <typename T, typename ARITHMETIC = Float64Arithmetic<T>>
struct Softmax : ElementsOut<T> {
    using Type = T;
    using Arithmetic = ARITHMETIC;
    static constexpr bool ELEMENTS = true;
    static constexpr bool KEEPS_TERMS = true;
    struct Row {
        typename ARITHMETIC::Anchor anchor;
        typename ARITHMETIC::Share share;
        bool ordinary;
    };

    // A row with no anchor is all NaN; so is one of all -inf.
    __device__ static __forceinline__ Row row(State<ARITHMETIC> state, double columns) {
        const bool ordinary = !no_anchor(state.m) && state.m > negative_infinity();
        if (!ordinary) state.l = ARITHMETIC::no_sum();
        return {ARITHMETIC::anchor(state.m), ARITHMETIC::share(state.l, columns), ordinary};
    }
    template <bool NEAR = false, typename DOUBTS>
    __device__ static __forceinline__ T of_term(typename ARITHMETIC::Term term, const Row& row, DOUBTS& doubt) {
        return ARITHMETIC::template quotient<NEAR>(term, row.share, doubt);
    }
    template <int COUNT>
    __device__ static __forceinline__ void of_terms(T (&result)[COUNT], const typename ARITHMETIC::Term (&term)[COUNT],
                                                    const Row& row, Doubt& doubt) {
        ARITHMETIC::quotients(result, term, row.share, doubt);
    }
    template <bool NEAR = false, typename X, typename DOUBTS>
    __device__ static __forceinline__ T of_value(X x, const Row& row, DOUBTS& doubt) {
        return of_term<NEAR>(ARITHMETIC::template term<NEAR>(ARITHMETIC::element(x), row.anchor), row, doubt);
    }
};

template <typename T, typename ARITHMETIC = Float64Arithmetic<T, true>>
struct LogSoftmax : ElementsOut<T> {
    using Type = T;
    using Arithmetic = ARITHMETIC;
    static constexpr bool ELEMENTS = true;
    static constexpr bool KEEPS_TERMS = false;
    struct Row {
        double anchor;
        typename ARITHMETIC::Log log_sum;
        bool ordinary;
    };

    // All -inf: NaN. Maximum +inf: as SciPy has it, NaN where x is +inf and -inf elsewhere, which x - m alone gives.
    __device__ static __forceinline__ Row row(State<ARITHMETIC> state, double columns) {
        const bool ordinary = !no_anchor(state.m) && state.m > negative_infinity();
        const double anchor = state.m == negative_infinity() ? not_a_number() : state.m;
        return {anchor, ARITHMETIC::log(ordinary ? state.count : 1.0, ordinary ? state.l : Two{0.0, 0.0}, columns), ordinary};
    }
    __device__ static __forceinline__ T of_term(typename ARITHMETIC::Term, const Row&, Doubt&);
    template <bool NEAR = false, typename X, typename DOUBTS>
    __device__ static __forceinline__ T of_value(X x, const Row& row, DOUBTS& doubt) {
        return ARITHMETIC::template of_difference<NEAR>(widen(x), row.anchor, row.log_sum, doubt);
    }
};

template <typename T, typename ARITHMETIC = Float64Arithmetic<T, true>>
struct LogSumExp {
    using Type = T;
    using Arithmetic = ARITHMETIC;
    static constexpr bool ELEMENTS = false;
    static constexpr bool KEEPS_TERMS = false;

    T* out;       // (rows,)
    int* open;    // (rows,) whether the row is left open
    int options;  // see Options

    __device__ static __forceinline__ T of_state(State<ARITHMETIC> state, double columns, bool& sure) {
        sure = true;
        if (no_anchor(state.m) || state.m == negative_infinity()) return Element<T>::round(state.m);
        const LogPair log = ARITHMETIC::log_words(state.count, state.l, columns);
        return Element<T>::round(rounded_sum(state.m, log, format_of<T>(), sure));
    }

    template <typename VIEW>
    __device__ __forceinline__ void write(const VIEW& view, long long row, State<ARITHMETIC> state) const {
        write(view, row, state, view.columns);
    }
    template <typename VIEW>
    __device__ __forceinline__ void write(const VIEW& view, long long row, State<ARITHMETIC> state, double columns) const {
        bool sure;
        const T result = of_state(state, columns, sure);
        sure &= !(options & ALL_OPEN);
        open[row] = !sure;
        if (sure) out[view.template row<1>(row)] = result;
    }
};
