// Attention over different keys, joined element by element: the preamble of ElementwiseKernels.
//
//   widened          an element of a result                         T -> float64
//   join_weights     two parts to one: their rows                   (m, l) x 2 -> (m, l)
//   join_outputs     two parts to one: their outputs                (m, o) x 2 -> o
//   output_of        the result of a part, rounded once             (m, l, o) -> T
//   attention_lse    its logsumexp                                  (m, l) -> float64
//   merged_output    two results to one, read where they are        (lse, o) x 2 -> T
//   merged_lse       its logsumexp                                  lse x 2 -> float64
//
// A part is (m, l, o) in float64, where l exp(m) is the sum of the weights and o exp(m) that of the weighted values;
// m = -inf where there was no key, and then o does not matter. A result (o, lse) is the part (lse, 1, o).
// A thread does one element; CuPy deals them out. 16-bit types come and go as their bits.
#pragma once
#include "numerics/elements.cuh"

// The larger one, and NaN if one of them is NaN.
__device__ __forceinline__ double larger(double a, double b) { return a != a || a > b ? a : b; }

__device__ __forceinline__ double weight_of(double m, double largest) {
    return m == negative_infinity() ? 0.0 : exp(m - largest);
}

__device__ __forceinline__ void join_weights(double a_m, double a_l, double b_m, double b_l, double& m, double& l) {
    m = larger(a_m, b_m);
    l = weight_of(a_m, m) * a_l + weight_of(b_m, m) * b_l;
}

__device__ __forceinline__ double join_outputs(double a_m, double a_o, double b_m, double b_o) {
    const double m = larger(a_m, b_m);
    const double of_a = a_m == negative_infinity() ? 0.0 : weight_of(a_m, m) * a_o;
    const double of_b = b_m == negative_infinity() ? 0.0 : weight_of(b_m, m) * b_o;
    return of_a + of_b;
}

template <typename T>
__device__ __forceinline__ T output_of(double m, double l, double o) {
    return Element<T>::round(m == negative_infinity() ? 0.0 : o / l);
}

__device__ __forceinline__ double attention_lse(double m, double l) {
    const bool infinite = m == negative_infinity() || m == positive_infinity();
    return infinite ? m : m + log(l);
}

// What outputs are multiplied by adds up to 1, so that the largest numbers do not overflow.
template <typename T>
__device__ __forceinline__ T merged_output(double a_lse, double a_o, double b_lse, double b_o) {
    double m, l;
    join_weights(a_lse, 1.0, b_lse, 1.0, m, l);
    const double of_a = a_lse == negative_infinity() ? 0.0 : weight_of(a_lse, m) / l * a_o;
    const double of_b = b_lse == negative_infinity() ? 0.0 : weight_of(b_lse, m) / l * b_o;
    return Element<T>::round(of_a + of_b);
}

__device__ __forceinline__ double merged_lse(double a_lse, double b_lse) {
    double m, l;
    join_weights(a_lse, 1.0, b_lse, 1.0, m, l);
    return attention_lse(m, l);
}
