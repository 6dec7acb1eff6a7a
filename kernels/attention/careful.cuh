// What is done where values that are not finite meet queries that do not attend to them: 0 x NaN would be NaN.
//
// A tile of queries goes over its keys once, as if all values were finite. If something in its output is not, it goes over
// them three times more: to see which elements an infinity is added to, of either sign (a NaN is both), and then for the
// sums of finite values. Weights of keys that take no part are marked as -0, others are counted as 1 where signs are
// looked for. So the sums have the same bits as if the values had been finite.
#pragma once

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
