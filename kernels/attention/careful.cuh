// What is done where values that are not finite meet queries that do not attend to them: 0 x NaN would be NaN.
//
// A tile of queries goes over its keys once, as if all values were finite. If something in its output is not, it goes over
// them three times more: to see which elements an infinity is added to, of either sign (a NaN is both), and then for the
// sums of finite values. Weights of keys that take no part are marked as -0, others are counted as 1 where signs are
// looked for. So the sums have the same bits as if the values had been finite.
#pragma once
#include "finish.cuh"

enum Pass { QUICK, POSITIVES, NEGATIVES, FINITE };

// Two bits, one for +inf and one for -inf, for each of COUNT accumulators of a lane, in shared memory: registers are for what is not rare.
template <int COUNT, int THREADS>
struct Marks {
    static constexpr int WORDS = (COUNT + 31) / 32;
    unsigned* words;  // (2, WORDS, THREADS)

    // Ones for one sign where function(i) is true.
    template <typename FUNCTION>
    __device__ __forceinline__ void set(bool negative, FUNCTION function) const {
#pragma unroll
        for (int word = 0; word < WORDS; word++) {
            unsigned bits = 0;
#pragma unroll
            for (int i = 32 * word; i < COUNT && i < 32 * word + 32; i++) bits |= unsigned(function(i)) << i % 32;
            words[(negative * WORDS + word) * THREADS + threadIdx.x] = bits;
        }
    }
    __device__ __forceinline__ bool get(bool negative, int i) const {
        return words[(negative * WORDS + i / 32) * THREADS + threadIdx.x] >> i % 32 & 1u;
    }
};

// At the end of a pass over the keys: whether there is a further one. What was seen in this one is marked, or at last added
// to the sums. element(i) is the i-th accumulator of the lane.
template <typename A, int COUNT, int THREADS, typename ELEMENT>
__device__ __forceinline__ bool another_pass(Pass& pass, const Marks<COUNT, THREADS>& marks, ELEMENT element) {
    if (pass == QUICK) {
        bool odd = false;
#pragma unroll
        for (int i = 0; i < COUNT; i++) odd |= not_finite(element(i));
        if (!__syncthreads_or(odd)) return false;
    } else if (pass == FINITE) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            if (marks.get(false, i)) element(i) = element(i) - minus_infinity<A>();
            if (marks.get(true, i)) element(i) = element(i) + minus_infinity<A>();
        }
        return false;
    } else {
        marks.set(pass == NEGATIVES, [&](int i) { return element(i) > A(0); });
        __syncthreads();  // whoever still reads the last tile of this pass
    }
    pass = static_cast<Pass>(pass + 1);
    return true;
}
