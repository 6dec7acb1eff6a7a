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

// The state of the columns from `begin` to `end`, on every thread of the team.
template <typename OPERATION, typename TEAM, int VECTOR, typename ACCESS, typename VIEW>
__device__ __forceinline__ State<typename OPERATION::Arithmetic> fold(const typename OPERATION::Type* from,
                                                                      const VIEW& view, long long begin,
                                                                      long long end) {
    using T = typename OPERATION::Type;
    using Arithmetic = typename OPERATION::Arithmetic;
    const Mover<ACCESS, TEAM, T, VECTOR, VIEW> mover{view};
    constexpr int UNIT = decltype(mover)::UNIT;
    State<Arithmetic> state = identity<Arithmetic>();
#pragma unroll 1
    for (long long base = begin; base < end; base += TEAM::SIZE * STEP) {
        T element[STEP / UNIT][UNIT];
#pragma unroll
        for (int at = 0; at < STEP; at += UNIT)
            mover.template fetch<0>(element[at / UNIT], from, step_column<TEAM, VECTOR>(base, at), end);
        typename Element<T>::Compare value[STEP];
#pragma unroll
        for (int at = 0; at < STEP; at += UNIT) {
            mover.settle(element[at / UNIT]);
#pragma unroll
            for (int i = 0; i < UNIT; i++) value[at + i] = Element<T>::load(element[at / UNIT][i]);
        }
        push<Arithmetic>(state, value);
    }
    return joined<TEAM>(state);
}

// Writes the results of the columns from `begin` to `end`, if WRITES; gives whether any that the thread has is in doubt.
template <typename OPERATION, typename TEAM, int VECTOR, typename ACCESS, typename VIEW>
__device__ __forceinline__ bool apply(const OPERATION operation, const typename OPERATION::Row& of_row,
                                      const typename OPERATION::Type* from, typename OPERATION::Type* to,
                                      const VIEW& view, long long begin, long long end, bool writes) {
    using T = typename OPERATION::Type;
    const Mover<ACCESS, TEAM, T, VECTOR, VIEW> mover{view};
    constexpr int UNIT = decltype(mover)::UNIT;
    // Through a view of many axes one access at a time: more would not fit in the registers.
    constexpr int GROUP = VIEW::REDUCED_AXES > 2 ? UNIT : STEP;
    const long long written = writes ? end : begin;
    Doubt doubt;
#pragma unroll 1
    for (long long base = begin; base < end; base += TEAM::SIZE * STEP) {
#pragma unroll 1
        for (int group = 0; group < STEP; group += GROUP) {
            T element[GROUP / UNIT][UNIT];
#pragma unroll
            for (int at = 0; at < GROUP; at += UNIT)
                mover.template fetch<0>(element[at / UNIT], from, step_column<TEAM, VECTOR>(base, group + at), end);
#pragma unroll
            for (int at = 0; at < GROUP; at += UNIT) {
                const long long column = step_column<TEAM, VECTOR>(base, group + at);
                mover.settle(element[at / UNIT]);
                T result[UNIT];
#pragma unroll
                for (int i = 0; i < UNIT; i++)
                    result[i] = operation.of_value(widen(Element<T>::load(element[at / UNIT][i])), of_row, doubt);
                mover.template put<1>(result, to, column, written);
            }
        }
    }
    return doubt.any<T>();
}

// Fold a row and finish it. In place nothing is written before a walk has found nothing in doubt; elsewhere what is in doubt
// is found on the way, and written anew by `settle`.
template <typename OPERATION, typename TEAM, int VECTOR, typename ACCESS, typename VIEW>
__device__ __forceinline__ void streamed(const OPERATION operation, const typename OPERATION::Type* x, const VIEW& view,
                                         long long row, bool wanted) {
    const auto* const from = x + view.template row<0>(row);
    const long long end = wanted ? view.columns : 0;
    const auto state = fold<OPERATION, TEAM, VECTOR, ACCESS>(from, view, 0, end);
    if constexpr (OPERATION::ELEMENTS) {
        auto* const to = operation.out + view.template row<1>(row);
        const auto of_row = operation.row(state, view.columns);
        bool open = operation.options & ALL_OPEN && of_row.ordinary;
        const int walks = operation.options & IN_PLACE ? 2 : 1;
#pragma unroll 1
        for (int walk = walks; walk > 0; walk--) {
            const bool in_doubt = apply<OPERATION, TEAM, VECTOR, ACCESS>(operation, of_row, from, to, view, 0,
                                                                         open ? 0 : end, walk == 1);
            open |= TEAM::any(in_doubt) && of_row.ordinary;
        }
        if (wanted && TEAM::rank() == 0) operation.open[row] = open;
    } else {
        if (wanted && TEAM::rank() == 0) operation.write(view, row, state);
    }
}

// Finish a part of a row whose state is known, in one of the ways that `options` tells.
template <typename OPERATION, typename TEAM, int VECTOR, typename ACCESS, typename VIEW>
__device__ __forceinline__ void applied(const OPERATION operation, State<typename OPERATION::Arithmetic> state,
                                        const typename OPERATION::Type* x, const VIEW& view, long long row,
                                        long long begin, long long end) {
    const auto of_row = operation.row(state, view.columns);
    if (operation.options & ONLY_WRITE && operation.open[row]) end = begin;
    const bool in_doubt = apply<OPERATION, TEAM, VECTOR, ACCESS>(
        operation, of_row, x + view.template row<0>(row), operation.out + view.template row<1>(row), view, begin, end,
        !(operation.options & ONLY_TEST));
    const bool open = TEAM::any(in_doubt || operation.options & ALL_OPEN) && of_row.ordinary;
    if (open && begin < end && TEAM::rank() == 0) atomicOr(operation.open + row, 1);
}

// States of many parts, or of many rows, in memory: four arrays one after the other.
template <typename ARITHMETIC>
struct Parts {
    double* states;  // (4, count): m, l_hi, l_lo, count
    long long count;
    __device__ __forceinline__ State<ARITHMETIC> get(long long i) const {
        return {states[i], {states[count + i], states[2 * count + i]}, states[3 * count + i]};
    }
    __device__ __forceinline__ void set(long long i, State<ARITHMETIC> state) const {
        states[i] = state.m;
        states[count + i] = state.l.hi;
        states[2 * count + i] = state.l.lo;
        states[3 * count + i] = state.count;
    }
};
