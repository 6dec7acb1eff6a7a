// States of rows as three float64 arrays, element by element: the preamble of ElementwiseKernels.
//
//   join_states      two arrays of states to one                   (m, l_hi, l_lo) x 2 -> (m, l_hi, l_lo)
//   logsumexp_of     the logsumexp of a state                      (m, l_hi, l_lo) -> T
//   softmax_of       an element's share, given its row's state     x, (m, l_hi, l_lo) -> T, NaN where x > m
//
// A thread does one element; CuPy deals them out. 16-bit types come and go as their bits (Bits<T>::Type), so that the
// same text serves whatever classes a library has for them.
// Numerics: l is not lifted in these arrays. CuPy compiles this with flush-to-zero, which float64 and our conversions
// (in PTX, numerics/elements.cuh) do not see; there is no float32 arithmetic here.
#pragma once
#include "softmax/operations.cuh"

template <typename T>
struct Bits {
    using Type = T;
    __device__ static __forceinline__ T element(T bits) { return bits; }
    __device__ static __forceinline__ T of(T element) { return element; }
};
template <>
struct Bits<Float16> {
    using Type = unsigned short;
    __device__ static __forceinline__ Float16 element(unsigned short bits) { return {bits}; }
    __device__ static __forceinline__ unsigned short of(Float16 element) { return element.bits; }
};
template <>
struct Bits<Bfloat16> {
    using Type = unsigned short;
    __device__ static __forceinline__ Bfloat16 element(unsigned short bits) { return {bits}; }
    __device__ static __forceinline__ unsigned short of(Bfloat16 element) { return element.bits; }
};

// A sum as kernels hold it.
template <typename ARITHMETIC>
__device__ __forceinline__ State<ARITHMETIC> lifted(double m, double l_hi, double l_lo) {
    return {m, scale(Two{l_hi, l_lo}, ARITHMETIC::ONE), 0.0};
}

__device__ __forceinline__ void join_states(double a_m, double a_hi, double a_lo, double b_m, double b_hi, double b_lo,
                                            double& m, double& l_hi, double& l_lo) {
    using Exact = Float64Arithmetic<double>;
    const State<Exact> joined = merge(lifted<Exact>(a_m, a_hi, a_lo), lifted<Exact>(b_m, b_hi, b_lo));
    const bool none = no_anchor(joined.m);
    m = joined.m;
    l_hi = none ? not_a_number() : __dmul_rn(joined.l.hi, PAIR_LOWERED);
    l_lo = none ? 0.0 : __dmul_rn(joined.l.lo, PAIR_LOWERED);
}

template <typename T>
__device__ __forceinline__ typename Bits<T>::Type logsumexp_of(double m, double l_hi, double l_lo) {
    using Arithmetic = typename LogSumExp<T>::Arithmetic;
    // Once the maximum: what is left is the rest.
    State<Arithmetic> state = lifted<Arithmetic>(m, __dsub_rn(l_hi, 1.0), l_lo);
    state.l = two_sum(state.l.hi, state.l.lo);
    state.count = 1.0;
    bool sure;
    return Bits<T>::of(LogSumExp<T>::of_state(state, 0.0, sure));
}

template <typename T>
__device__ __forceinline__ typename Bits<T>::Type softmax_of(typename Bits<T>::Type x, double m, double l_hi,
                                                             double l_lo) {
    const double value = widen(Element<T>::load(Bits<T>::element(x)));
    // What lies above the maximum was never folded in, and exp is made for d <= 0.
    const auto state = lifted<Float64Arithmetic<T>>(value > m ? not_a_number() : m, l_hi, l_lo);
    Doubt doubt;
    return Bits<T>::of(Softmax<T>::of_value(value, Softmax<T>::row(state, 0.0), doubt));
}
