// Two arrays of states joined to one, element by element: the preamble of an ElementwiseKernel.
//
//   join_states   (m, sums) x 2 -> (m, sums): maxima, and the eight words of a sum (online/sliced_state.cuh)
//
// A thread does one row; CuPy deals them out. Numerics: integers alone.
#pragma once
#include "online/sliced_state.cuh"

__device__ __forceinline__ SlicedState sliced(double m, const unsigned long long (&words)[SLICED_WORDS]) {
    SlicedState state;
    state.m = m;
    state.place = place_of(m);
#pragma unroll
    for (int i = 0; i < SLICED_WORDS; i++) state.sum[i] = words[i];
    return state;
}

__device__ __forceinline__ void join_states(double a_m, const unsigned long long (&a)[SLICED_WORDS], double b_m,
                                            const unsigned long long (&b)[SLICED_WORDS], double& m,
                                            unsigned long long (&words)[SLICED_WORDS]) {
    const SlicedState joined = merge(sliced(a_m, a), sliced(b_m, b));
    SlicedStates{&m, words, 1}.set(0, joined);
}
