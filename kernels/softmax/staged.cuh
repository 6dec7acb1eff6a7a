// A row that its team holds in registers: read once, and for softmax each exponential computed once.
//
// Columns are owned in VECTORs, dealt round the team; CHUNKS rounds hold the row:
//
//      columns   0 .. V-1 | V .. 2V-1 | ... | (SIZE-1) V .. | SIZE V ..  ...
//      rank          0    |     1     | ... |     SIZE - 1  |    0       ...
//      chunk     0        | 0         |     | 0             |    1
//
// How they come and go: see movers.cuh.
#pragma once
#include "movers.cuh"
#include "operations.cuh"

// First column of the thread's vector in a round.
template <typename TEAM, int VECTOR>
__device__ __forceinline__ int owned_column(int chunk) {
    return (chunk * TEAM::SIZE + TEAM::rank()) * VECTOR;
}

template <typename OPERATION, typename TEAM, int CHUNKS, int VECTOR, typename ACCESS, typename VIEW>
__device__ __forceinline__ void staged(const OPERATION operation, const typename OPERATION::Type* x, const VIEW& view,
                                       long long row, bool wanted) {
    using T = typename OPERATION::Type;
    using Arithmetic = typename OPERATION::Arithmetic;
    using Compare = typename Element<T>::Compare;
    constexpr int COUNT = CHUNKS * VECTOR;
    const unsigned columns = wanted ? static_cast<unsigned>(view.columns) : 0;

    // Load.
    const Mover<ACCESS, TEAM, T, VECTOR, VIEW> mover{view};
    constexpr int UNIT = decltype(mover)::UNIT;
    const T* const from = x + view.template row<0>(row);
    T element[COUNT / UNIT][UNIT];
#pragma unroll
    for (int at = 0; at < COUNT; at += UNIT) {
        const unsigned column = owned_column<TEAM, VECTOR>(at / VECTOR) + at % VECTOR;
        mover.template fetch<0>(element[at / UNIT], from, column, columns);
    }
    Arithmetic::template prepare<TEAM>();
    Compare value[COUNT];
#pragma unroll
    for (int at = 0; at < COUNT; at += UNIT) {
        mover.settle(element[at / UNIT]);
#pragma unroll
        for (int i = 0; i < UNIT; i++) value[at + i] = Element<T>::load(element[at / UNIT][i]);
    }

    // The maximum of the row.
    Compare largest = value[0];
#pragma unroll
    for (int i = 1; i < COUNT; i++) largest = maximum(largest, value[i]);
    State<Arithmetic> state;
    state.m = widen(TEAM::template reduce<Maximum>(largest));
    Arithmetic::template prepared<TEAM>();
    const auto anchor = Arithmetic::anchor(state.m);

    // The terms and their sum.
    typename Arithmetic::Term term[COUNT];
    unsigned count = 0;
#pragma unroll
    for (int i = 0; i < COUNT; i++) term[i] = counted<Arithmetic>(value[i], anchor, count);
    state.l = Arithmetic::nothing(anchor);
    Arithmetic::push(state.l, term);
    state.l = Arithmetic::template joined<TEAM>(state.l, anchor);
    state.count = Arithmetic::COUNTS ? TEAM::template reduce<Sum>(count) : 0;

    // Finish, and store what is not in doubt.
    if constexpr (OPERATION::ELEMENTS) {
        const auto of_row = operation.row(state, view.columns);
        Doubt doubt;
        T result[COUNT];
        if constexpr (Arithmetic::TOGETHER) {
            operation.of_terms(result, term, of_row, doubt);
        } else {
#pragma unroll
            for (int i = 0; i < COUNT; i++) {
                if constexpr (OPERATION::KEEPS_TERMS) result[i] = operation.of_term(term[i], of_row, doubt);
                else result[i] = operation.of_value(value[i], of_row, doubt);
            }
        }
        const bool open = TEAM::any(Arithmetic::template any<T>(doubt) || operation.options & ALL_OPEN) && of_row.ordinary;
        if (wanted && TEAM::rank() == 0) operation.open[row] = open;
        T* const to = operation.out + view.template row<1>(row);
        const unsigned end = open ? 0 : columns;
        // Where elements go is worked out again, through several axes for each of them: kept from the loads, what leads
        // there would cost registers, which large blocks have none to spare of.
        unsigned nothing = 0;
        if constexpr (TEAM::SIZE > 32 && !mover.KEEPS_PLACES) asm volatile("" : "+r"(nothing));
#pragma unroll
        for (int at = 0; at < COUNT; at += UNIT) {
            unsigned column = owned_column<TEAM, VECTOR>(at / VECTOR) + at % VECTOR + nothing;
            if constexpr (VIEW::REDUCED_AXES > 1) asm volatile("" : "+r"(column));
            T some[UNIT];
#pragma unroll
            for (int i = 0; i < UNIT; i++) some[i] = result[at + i];
            mover.template put<1>(some, to, column, end);
        }
    } else {
        if (wanted && TEAM::rank() == 0) operation.write(view, row, state);
    }
}
