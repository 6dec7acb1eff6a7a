// How wide the second tier of weighted and complex sums is, and how teams join its numbers.
#pragma once
#include "numerics/expansion.cuh"
#include "online/teams.cuh"

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
