// The softmax of the rows of a warp in float32 and float64: from scores to weights.
#pragma once
#include "matrix_wide.cuh"
#include "warp_rows.cuh"

// From scores to weights, in place; the state moves to the new maximum. `moved` is what O is to be multiplied by.
template <typename A, int TILES>
__device__ __forceinline__ void weigh(Square<A> (&s)[TILES], A (&m)[2], A (&l)[2], A (&moved)[2], A factor, Pass pass) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        A largest = m[half];
#pragma unroll
        for (int n = 0; n < TILES; n++)
            largest = larger(largest, larger(s[n].of[2 * half], s[n].of[2 * half + 1]));
        largest = largest_of_quad(largest);
        const A anchor = largest == minus_infinity<A>() ? A(0) : largest;
        moved[half] = power_of_two((m[half] - anchor) * factor);
        m[half] = largest;
        A sum = A(0);
#pragma unroll
        for (int n = 0; n < TILES; n++)
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; i++) {
                const A x = s[n].of[i];
                const A weight = power_of_two((x - anchor) * factor);
                sum = sum + weight;
                s[n].of[i] = x == minus_infinity<A>() ? A(-0.0) : weight;
            }
        l[half] = fused(l[half], moved[half], sum);
        if (pass == POSITIVES || pass == NEGATIVES) moved[half] = A(1);
    }
}
