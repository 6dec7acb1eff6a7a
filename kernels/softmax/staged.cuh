// A row that its team holds in registers: read once, and for softmax each exponential computed once.
//
// Columns are owned in VECTORs, dealt round the team; CHUNKS rounds hold the row:
//
//      columns   0 .. V-1 | V .. 2V-1 | ... | (SIZE-1) V .. | SIZE V ..  ...
//      rank          0    |     1     | ... |     SIZE - 1  |    0       ...
//      chunk     0        | 0         |     | 0             |    1
//
// The owner of a column does not depend on how it is read: WIDTH elements at a time where addresses allow (WIDTH divides
// VECTOR and the number of columns; the reduced axis has stride 1), one by one through the view where they do not.
#pragma once
#include "access.cuh"
#include "online/teams.cuh"
#include "operations.cuh"
#include "views.cuh"

// First column of the thread's vector in a round.
template <typename TEAM, int VECTOR>
__device__ __forceinline__ int owned_column(int chunk) {
    return (chunk * TEAM::SIZE + TEAM::rank()) * VECTOR;
}

template <int ARRAY, int WIDTH, typename VIEW, typename INDEX>
__device__ __forceinline__ long long offset_of(const VIEW& view, INDEX column) {
    if constexpr (WIDTH > 1) return column;
    return view.template column<ARRAY>(column);
}

template <typename OPERATION, typename TEAM, int CHUNKS, int VECTOR, int WIDTH, typename VIEW>
__device__ __forceinline__ void staged(const OPERATION operation, const typename OPERATION::Type* x, const VIEW& view,
                                       long long row, bool wanted) {
    using T = typename OPERATION::Type;
    using Arithmetic = typename OPERATION::Arithmetic;
    using Compare = typename Element<T>::Compare;
    constexpr int COUNT = CHUNKS * VECTOR;
    const unsigned columns = wanted ? static_cast<unsigned>(view.columns) : 0;

    // Load.
    const T* const from = x + view.template row<0>(row);
    Compare value[COUNT];
#pragma unroll
    for (int at = 0; at < COUNT; at += WIDTH) {
        const unsigned column = owned_column<TEAM, VECTOR>(at / VECTOR) + at % VECTOR;
        const auto pack = load_pack<T, WIDTH>(from + offset_of<0, WIDTH>(view, column), column < columns);
#pragma unroll
        for (int i = 0; i < WIDTH; i++) value[at + i] = Element<T>::load(pack.get(i));
    }

    // The maximum of the row.
    Compare largest = value[0];
#pragma unroll
    for (int i = 1; i < COUNT; i++) largest = maximum(largest, value[i]);
    State<Arithmetic> state;
    state.m = widen(TEAM::template reduce<Maximum>(largest));
    const double anchor = anchor_of(state.m);

    // The terms and their sum.
    double term[COUNT];
    Two sum = {0.0, 0.0};
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        const Two wide_term = Arithmetic::term(widen(value[i]), anchor);
        term[i] = wide_term.hi;
        if constexpr (OPERATION::SHORT_SUM) sum.hi = __dadd_rn(sum.hi, wide_term.hi);
        else if constexpr (OPERATION::KEEPS_TERMS) accumulate(sum, wide_term.hi);
        else Arithmetic::push(sum, wide_term);
    }
    state.l = TEAM::template reduce<Sum>(sum);

    // Finish and store.
    if constexpr (OPERATION::ELEMENTS) {
        const auto of_row = operation.row(state);
        T* const to = operation.out + view.template row<1>(row);
#pragma unroll
        for (int at = 0; at < COUNT; at += WIDTH) {
            unsigned column = owned_column<TEAM, VECTOR>(at / VECTOR) + at % VECTOR;
            // Offsets through several axes are worked out again: kept from the loads, they would cost registers.
            if constexpr (VIEW::REDUCED_AXES > 1) asm volatile("" : "+r"(column));
            Pack<T, WIDTH> pack = {};
#pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                if constexpr (OPERATION::KEEPS_TERMS) pack.set(i, operation.of_term(term[at + i], of_row));
                else pack.set(i, operation.of_value(widen(value[at + i]), of_row));
            }
            store_pack(pack, to + offset_of<1, WIDTH>(view, column), column < columns);
        }
    } else {
        if (wanted && TEAM::rank() == 0) operation.write(view, row, state);
    }
}
