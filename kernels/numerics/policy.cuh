// What the arithmetics of a softmax have besides numbers: how they take elements and anchors, what they keep in shared memory,
// and how a team joins its sums. Here for those of float64.cuh; by_table.cuh and by_integers.cuh have their own.
//
//   Anchor, anchor(m)         what elements are seen from, for a row whose maximum is m
//   element(x)                an element as term() takes it
//   prepare, prepared<TEAM>   before and after a barrier that teams of more than a warp pass
//   Total, nothing, no_sum    a sum: of no terms; of a row that has no finite results
//   joined<TEAM>              the sum of all threads of a team
//   TOGETHER                  quotients() rounds all results of a thread at once
//   any<T>                    whether any result is in doubt
#pragma once
#include "elements.cuh"
#include "rounding.cuh"
#include "words.cuh"

// What is subtracted from the elements: m, but 0 where all are -inf, so that -inf - -inf is never computed.
__device__ __forceinline__ double anchor_of(double m) { return m == negative_infinity() ? 0.0 : m; }

struct Sum;  // online/teams.cuh

// How an arithmetic takes elements: in float64, beside an anchor that is m, with nothing in shared memory.
struct TakesFloat64 {
    static constexpr bool TOGETHER = false;
    using Anchor = double;
    using Total = Two;
    __device__ static __forceinline__ double anchor(double m) { return anchor_of(m); }
    template <typename X>
    __device__ static __forceinline__ double element(X x) { return widen(x); }
    template <typename TEAM>
    __device__ static __forceinline__ void prepare() {}
    template <typename TEAM>
    __device__ static __forceinline__ void prepared() {}
    template <typename T>
    __device__ static __forceinline__ bool any(Doubt doubt) { return doubt.any<T>(); }
    // A sum of no terms, and what the threads of a team have.
    __device__ static __forceinline__ Two nothing(double) { return {0.0, 0.0}; }
    __device__ static __forceinline__ Two no_sum() { return {not_a_number(), 0.0}; }
    template <typename TEAM>
    __device__ static __forceinline__ Two joined(Two sum, double) { return TEAM::template reduce<Sum>(sum); }
};
