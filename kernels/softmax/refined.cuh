// The second tier of logsumexp for one row: the sum and its logarithm once more, in expansions.
//
// Thread t of the block takes columns t, t + 128, ...; a butterfly and shared memory join the sums. All threads come with
// the same row, and all get the sum.
#pragma once
#include "numerics/expansion.cuh"
#include "online/teams.cuh"

constexpr int REFINE_WARPS = 4;

// Two words are 100 bits, beside results of at most 24; float64 takes three, 150 bits.
template <typename T>
constexpr int REFINE_WORDS = Element<T>::BITS == 64 ? 3 : 2;

template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> from_lane(const Expansion<WORDS>& value, int distance) {
    Expansion<WORDS> result;
#pragma unroll
    for (int i = 0; i < WORDS; i++) result.w[i] = from_lane(value.w[i], distance);
    return result;
}

struct SumOfExpansions {
    static constexpr int UNROLL = 1;
    template <int WORDS>
    __device__ static __forceinline__ Expansion<WORDS> join(const Expansion<WORDS>& a, const Expansion<WORDS>& b) {
        return add(a, b);
    }
};

// exp(x - m), where x <= m; the few terms below exp(-740) are left out.
template <int WORDS>
__device__ __forceinline__ Expansion<WORDS> refined_term(double x, double m) {
    const bool nothing = !(__dsub_rn(x, m) > -740.0);
    const Two d = two_sum(nothing ? m : x, -m);
    return scale(exp_expansion<WORDS>(d), nothing ? 0.0 : 1.0);
}

// m + log(l), rounded once.
template <typename T, int WORDS>
__device__ __forceinline__ T refined_result(double m, const Expansion<WORDS>& l) {
    const Expansion<WORDS> result = normalised(add(log_expansion(l), m));
    return round_once<T>(result.w[0], result.w[1]);
}
