// The state of a softmax on a fixed grid: the largest element, and the sum of exponentials slice by slice.
//
//   m         maximum of the elements seen; NaN once a NaN was seen
//   sum[0]    how many finite elements there are
//   sum[1..]  for each slice, from that of exp(m) down: the sum of the digits that lie there (numerics/slices.cuh)
//
// No carry ever goes from one slice to the next, so the sum of a slice is that of its digits in any order. Where the
// maximum rises, slices at the low end are dropped, whole: what a slice holds in the end has always been within. Both make
// a state the same bits for any parts and any order. 2^34 digits fit a slice.
//
// Identity: (-inf, 0). Where m is infinite or NaN there is no sum, and what is saved is 0. place follows from m.
#pragma once
#include "numerics/slices.cuh"
#include "teams.cuh"

constexpr int SLICED_WORDS = 1 + SLICES;

struct SlicedState {
    double m;
    long long place;
    unsigned long long sum[SLICED_WORDS];
};

__device__ __forceinline__ SlicedState nothing_sliced() { return {negative_infinity(), 0, {}}; }

// By how many slices one number lies above another, at most SLICES; and by that many where they differ and one is huge or
// infinite. Beside NaN anything will do, since nothing is saved then.
__device__ __forceinline__ int gap_of(double upper, double lower, long long upper_place, long long lower_place) {
    const bool on_grid = fmax(fabs(upper), fabs(lower)) < HUGE_FROM;
    const long long gap = min(upper_place - lower_place, static_cast<long long>(SLICES));
    return on_grid || upper == lower ? static_cast<int>(gap) : SLICES;
}

// Digits, or sums of them, brought down by 0 to 7 slices.
template <typename V>
__device__ __forceinline__ void lower(V (&slice)[SLICES], int gap) {
#pragma unroll
    for (int step = 4; step > 0; step /= 2) {
        const bool down = gap & step;
#pragma unroll
        for (int i = SLICES - 1; i >= 0; i--) slice[i] = !down ? slice[i] : i >= step ? slice[max(i - step, 0)] : 0;
    }
}

// Seen from a larger maximum; slices only.
__device__ __forceinline__ void lower(SlicedState& state, int gap) {
    unsigned long long slice[SLICES];
#pragma unroll
    for (int i = 0; i < SLICES; i++) slice[i] = state.sum[i + 1];
    lower(slice, gap);
#pragma unroll
    for (int i = 0; i < SLICES; i++) state.sum[i + 1] = slice[i];
}

__device__ __forceinline__ SlicedState merge(SlicedState a, SlicedState b) {
    const bool a_leads = a.m >= b.m;
    // + 0.0 turns -0.0 into 0.0: maxima that compare equal then have equal bits.
    SlicedState state = a_leads ? a : b;
    state.m = __dadd_rn(maximum(a.m, b.m), 0.0);
    SlicedState other = a_leads ? b : a;
    lower(other, gap_of(state.m, other.m, state.place, other.place));
#pragma unroll
    for (int i = 0; i < SLICED_WORDS; i++) state.sum[i] += other.sum[i];
    return state;
}

// Folds one element in. Infinite ones lie beyond all places, so they need no care here.
__device__ __forceinline__ void push(SlicedState& state, double x) {
    const SlicedTerm term = exp_slices(x);
    if (x > state.m) {
        lower(state, gap_of(x, state.m, term.place, state.place));
        state.place = term.place;
    }
    state.m = maximum(state.m, x);
    Limbs<SLICES> digits = digits_of(term);
    lower(digits.w, gap_of(state.m, x, state.place, term.place));
    state.sum[0] += fabs(x) < positive_infinity();
#pragma unroll
    for (int i = 0; i < SLICES; i++) state.sum[i + 1] += digits.w[i];
}

struct SlicedMerge {
    static constexpr int UNROLL = 1;
    __device__ static __forceinline__ SlicedState join(const SlicedState& a, const SlicedState& b) { return merge(a, b); }
};

__device__ __forceinline__ SlicedState from_lane(const SlicedState& state, int distance) {
    SlicedState result;
    result.m = from_lane(state.m, distance);
    result.place = from_lane(state.place, distance);
#pragma unroll
    for (int i = 0; i < SLICED_WORDS; i++) result.sum[i] = from_lane(state.sum[i], distance);
    return result;
}

// States in memory: m, and the words of the sums, each an array.
struct SlicedStates {
    double* m;                // (count,)
    unsigned long long* sum;  // (8, count)
    long long count;

    __device__ __forceinline__ SlicedState get(long long i) const {
        SlicedState state;
        state.m = m[i];
        state.place = place_of(state.m);
#pragma unroll
        for (int word = 0; word < SLICED_WORDS; word++) state.sum[word] = sum[word * count + i];
        return state;
    }
    __device__ __forceinline__ void set(long long i, const SlicedState& state) const {
        const bool finite = fabs(state.m) < positive_infinity();
        m[i] = state.m == state.m ? __dadd_rn(state.m, 0.0) : not_a_number();
#pragma unroll
        for (int word = 0; word < SLICED_WORDS; word++) sum[word * count + i] = finite ? state.sum[word] : 0;
    }
};
