// A row, or a part of one, that its team walks: fold() reads it once and gives its state, apply() reads it again and
// writes the results. Columns are dealt in VECTORs as in staged.cuh; a thread folds STEP elements at a time.
#pragma once
#include "staged.cuh"

// Elements a thread reads before it works on them: enough loads in flight, few registers.
constexpr int STEP = 8;

// The column of a thread's element number `at` in the step that starts at column `base`.
template <typename TEAM, int VECTOR>
__device__ __forceinline__ long long step_column(long long base, int at) {
    return base + owned_column<TEAM, VECTOR>(at / VECTOR) + at % VECTOR;
}

// The thread's STEP elements of the step that starts at column `base`.
template <typename T, typename TEAM, int VECTOR, int WIDTH, typename VIEW>
__device__ __forceinline__ void read_step(typename Element<T>::Compare (&value)[STEP], const T* from, const VIEW& view,
                                          long long base, long long end) {
#pragma unroll
    for (int at = 0; at < STEP; at += WIDTH) {
        const long long column = step_column<TEAM, VECTOR>(base, at);
        const auto pack = load_pack<T, WIDTH>(from + offset_of<0, WIDTH>(view, column), column < end);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) value[at + i] = Element<T>::load(pack.get(i));
    }
}

// The state of the columns from `begin` to `end`, on every thread of the team.
template <typename OPERATION, typename TEAM, int VECTOR, int WIDTH, typename VIEW>
__device__ __forceinline__ State<typename OPERATION::Arithmetic> fold(const typename OPERATION::Type* from,
                                                                      const VIEW& view, long long begin,
                                                                      long long end) {
    using T = typename OPERATION::Type;
    using Arithmetic = typename OPERATION::Arithmetic;
    State<Arithmetic> state = identity<Arithmetic>();
#pragma unroll 1
    for (long long base = begin; base < end; base += TEAM::SIZE * STEP) {
        typename Element<T>::Compare value[STEP];
        read_step<T, TEAM, VECTOR, WIDTH>(value, from, view, base, end);
        push<Arithmetic, OPERATION::SHORT_SUM>(state, value);
    }
    return TEAM::template reduce<Merge>(state);
}

template <typename OPERATION, typename TEAM, int VECTOR, int WIDTH, typename VIEW>
__device__ __forceinline__ void apply(const OPERATION operation, State<typename OPERATION::Arithmetic> state,
                                      const typename OPERATION::Type* from, typename OPERATION::Type* to,
                                      const VIEW& view, long long begin, long long end) {
    using T = typename OPERATION::Type;
    const auto of_row = operation.row(state);
#pragma unroll 1
    for (long long base = begin; base < end; base += TEAM::SIZE * STEP) {
        // Through a view of many axes one access at a time: more would not fit in the registers.
        constexpr int TOGETHER = VIEW::REDUCED_AXES > 2 ? WIDTH : STEP;
#pragma unroll 1
        for (int group = 0; group < STEP; group += TOGETHER) {
            Pack<T, WIDTH> pack[TOGETHER / WIDTH];
#pragma unroll
            for (int at = 0; at < TOGETHER; at += WIDTH) {
                const long long column = step_column<TEAM, VECTOR>(base, group + at);
                pack[at / WIDTH] = load_pack<T, WIDTH>(from + offset_of<0, WIDTH>(view, column), column < end);
            }
#pragma unroll
            for (int at = 0; at < TOGETHER; at += WIDTH) {
                const long long column = step_column<TEAM, VECTOR>(base, group + at);
                Pack<T, WIDTH> result = {};
#pragma unroll
                for (int i = 0; i < WIDTH; i++) {
                    const double value = widen(Element<T>::load(pack[at / WIDTH].get(i)));
                    result.set(i, operation.of_value(value, of_row));
                }
                store_pack(result, to + offset_of<1, WIDTH>(view, column), column < end);
            }
        }
    }
}

// Fold a row and finish it.
template <typename OPERATION, typename TEAM, int VECTOR, int WIDTH, typename VIEW>
__device__ __forceinline__ void streamed(const OPERATION operation, const typename OPERATION::Type* x, const VIEW& view,
                                         long long row, bool wanted) {
    const auto* const from = x + view.template row<0>(row);
    const long long end = wanted ? view.columns : 0;
    const auto state = fold<OPERATION, TEAM, VECTOR, WIDTH>(from, view, 0, end);
    if constexpr (OPERATION::ELEMENTS) {
        auto* const to = operation.out + view.template row<1>(row);
        apply<OPERATION, TEAM, VECTOR, WIDTH>(operation, state, from, to, view, 0, end);
    } else {
        if (wanted && TEAM::rank() == 0) operation.write(view, row, state);
    }
}

// States of many parts, or of many rows, in memory: three arrays one after the other.
template <typename ARITHMETIC>
struct Parts {
    double* states;  // (3, count): m, l_hi, l_lo
    long long count;
    __device__ __forceinline__ State<ARITHMETIC> get(long long i) const {
        return {states[i], {states[count + i], states[2 * count + i]}};
    }
    __device__ __forceinline__ void set(long long i, State<ARITHMETIC> state) const {
        states[i] = state.m;
        states[count + i] = state.l.hi;
        states[2 * count + i] = state.l.lo;
    }
};
