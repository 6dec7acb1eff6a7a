// The share of an element in the sum of its row, element by element: the preamble of ElementwiseKernels.
//
//   share_of    x, (m, l_hi, l_lo) -> T, and whether that is left open for settle_shares (results.cu)
//
// l is the sum over exp(m). NaN where there is none, and where x > m, which was never folded in.
// A thread does one element; CuPy deals them out. 16-bit types come and go as their bits (Bits<T>::Type), so that the
// same text serves whatever classes a library has for them.
// Numerics: float64. CuPy compiles this with flush-to-zero, which float64 and our conversions (in PTX,
// numerics/elements.cuh) do not see; there is no float32 arithmetic here.
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

template <typename T>
__device__ __forceinline__ typename Bits<T>::Type share_of(typename Bits<T>::Type x, double m, double l_hi, double l_lo,
                                                           bool& open) {
    using Arithmetic = Float64Arithmetic<T>;
    const double value = widen(Element<T>::load(Bits<T>::element(x)));
    // exp is made for x <= m; and what has no sum has no shares.
    const bool known = value <= m && fabs(m) < positive_infinity();
    const State<Arithmetic> state = {known ? m : not_a_number(), scale(Two{l_hi, l_lo}, Arithmetic::ONE), 0.0};
    Doubt doubt;
    const T share = Softmax<T>::of_value(value, Softmax<T>::row(state, 0.0), doubt);
    open = known && value > negative_infinity() && doubt.any<T>();
    return Bits<T>::of(share);
}
