// From the product of a query and a key to the number that is exponentiated.
//
//   FORM      number x of a product s                        weight 2^((x - m) factor)
//   FOLDED    s, for scale > 0                               factor = scale log2(e)
//   SCALED    scale s + bias                                 factor = log2(e)
//   CAPPED    softcap tanh(scale / softcap s) + bias         factor = log2(e)
//
// A key that does not take part has x = -inf, and -inf takes no part, wherever it is from. MASKED: whether there is a
// mask; BIAS: the type of its elements, or None. Both are read where they are, for each row and key once: two keys at once
// where rows allow it, which is asked once for a kernel, or one by one.
#pragma once
#include "call.cuh"
#include "numerics/elements.cuh"
#include "numerics/exp2.cuh"

struct None {};

template <typename A, typename B>
constexpr bool SAME = false;
template <typename A>
constexpr bool SAME<A, A> = true;

enum Form { FOLDED, SCALED, CAPPED };

template <typename A>
__device__ __forceinline__ A minus_infinity() { return Element<A>::negative_infinity(); }

// An element of any real type, in the type of the accumulators.
template <typename A, typename T>
__device__ __forceinline__ A number_of(T value) { return static_cast<A>(value); }
template <typename A>
__device__ __forceinline__ A number_of(Float16 value) { return Element<Float16>::load(value); }
template <typename A>
__device__ __forceinline__ A number_of(Bfloat16 value) { return Element<Bfloat16>::load(value); }

template <int FORM_, bool MASKED_, typename BIAS_>
struct Options {
    static constexpr int FORM = FORM_;
    static constexpr bool MASKED = MASKED_;
    static constexpr bool BIASED = !SAME<BIAS_, None>;
    using Bias = BIAS_;
};

// What the numbers of one row need: its keys, and where its mask and bias begin. It waits in shared memory, for it takes
// divisions to find, and registers to keep.
struct RowFacts {
    Span span;
    long long mask;
    long long bias;
};

// For row `index` of a batch; of a row beyond the last one, which has no keys, some row's mask and bias.
template <typename OPTIONS, typename CALL>
__device__ __forceinline__ RowFacts facts_of(const CALL& call, Span any, int index, int keys, long long batch) {
    const int real = static_cast<int>(min(static_cast<long long>(index), call.q_len - 1));
    RowFacts facts = {call.span(index, keys), 0, 0};
    facts.span.first = max(facts.span.first, any.first);
    facts.span.last = min(facts.span.last, any.last);
    if constexpr (OPTIONS::MASKED) facts.mask = call.template start<MASK>(batch) + call.template row<MASK>(real);
    if constexpr (OPTIONS::BIASED) facts.bias = call.template start<BIAS>(batch) + call.template row<BIAS>(real);
    return facts;
}

// The two numbers of a half of a row of an accumulator.
template <typename A>
__device__ __forceinline__ A (&two_of(A (&four)[4], int half))[2] { return *reinterpret_cast<A(*)[2]>(&four[2 * half]); }

// Two elements that lie side by side, read at once.
template <typename T>
struct alignas(2 * sizeof(T)) Pair { T of[2]; };

// Whether all rows of an array begin at multiples of two elements, and have an even number of them side by side.
template <int ROLE, typename T, typename CALL>
__device__ __forceinline__ bool in_pairs(const CALL& call, const T* array) {
    long long odd = call.kv_len | call.stride[ROLE][0];
#pragma unroll
    for (int axis = 0; axis < CALL::BATCH_AXES; axis++) odd |= call.batch_stride[ROLE][axis];
    const auto address = reinterpret_cast<unsigned long long>(array);
    return call.stride[ROLE][1] == 1 && odd % 2 == 0 && address % sizeof(Pair<T>) == 0;
}

template <typename A, typename OPTIONS>
struct Scores {
    A multiplier;       // of a product, before anything else
    A softcap;
    A factor;
    double natural;     // of x, to make it the score whose exponential is summed
    const unsigned char* mask;
    const typename OPTIONS::Bias* bias;
    long long mask_step, bias_step;
    bool pairs;         // whether mask and bias are read two keys at once

    template <typename CALL>
    __device__ __forceinline__ Scores(const CALL& call, const unsigned char* mask, const typename OPTIONS::Bias* bias)
        : mask(mask), bias(bias) {
        softcap = static_cast<A>(call.softcap);
        multiplier = static_cast<A>(call.multiplier);
        factor = static_cast<A>(call.factor);
        natural = call.natural;
        mask_step = call.stride[MASK][1];
        bias_step = call.stride[BIAS][1];
        pairs = true;
        if constexpr (OPTIONS::MASKED) pairs = pairs && in_pairs<MASK>(call, mask);
        if constexpr (OPTIONS::BIASED) pairs = pairs && in_pairs<BIAS>(call, bias);
    }

    // Whether a tile whose keys all lie in the span of a row needs not be looked at key by key.
    static constexpr bool PLAIN = OPTIONS::FORM == FOLDED && !OPTIONS::MASKED && !OPTIONS::BIASED;

    __device__ __forceinline__ A number(A product, const RowFacts& row, int key) const {
        bool takes_part = key >= row.span.first && key < row.span.last;
        if constexpr (OPTIONS::MASKED) takes_part = takes_part && mask[row.mask + key * mask_step] != 0;
        typename OPTIONS::Bias of_key = {};
        if constexpr (OPTIONS::BIASED)
            if (takes_part) of_key = bias[row.bias + key * bias_step];
        return finished(product, takes_part, of_key);
    }

    // Those of an even key and the next one, in place.
    template <bool PAIRS>
    __device__ __forceinline__ void numbers(A (&x)[2], const RowFacts& row, int key) const {
        if constexpr (!PAIRS) {
            x[0] = number(x[0], row, key);
            x[1] = number(x[1], row, key + 1);
        } else {
            bool takes_part[2] = {key >= row.span.first && key < row.span.last,
                                  key + 1 >= row.span.first && key + 1 < row.span.last};
            if constexpr (OPTIONS::MASKED) {
                Pair<unsigned char> of_keys = {};
                if (takes_part[0] || takes_part[1])
                    of_keys = *reinterpret_cast<const Pair<unsigned char>*>(mask + row.mask + key);
                takes_part[0] = takes_part[0] && of_keys.of[0] != 0;
                takes_part[1] = takes_part[1] && of_keys.of[1] != 0;
            }
            Pair<typename OPTIONS::Bias> of_keys = {};
            if constexpr (OPTIONS::BIASED)
                if (takes_part[0] || takes_part[1])
                    of_keys = *reinterpret_cast<const Pair<typename OPTIONS::Bias>*>(bias + row.bias + key);
            x[0] = finished(x[0], takes_part[0], of_keys.of[0]);
            x[1] = finished(x[1], takes_part[1], of_keys.of[1]);
        }
    }

  private:
    __device__ __forceinline__ A finished(A x, bool takes_part, typename OPTIONS::Bias of_key) const {
        if constexpr (OPTIONS::FORM != FOLDED) x = x * multiplier;
        if constexpr (OPTIONS::FORM == CAPPED) x = softcap * tanh_of(x);
        if constexpr (OPTIONS::BIASED) {
            const A added = takes_part ? number_of<A>(of_key) : A(0);
            x = x + added;
            // Whatever the key holds: NaN would stay NaN, and so would infinity.
            takes_part = takes_part && added != minus_infinity<A>();
        }
        return takes_part ? x : minus_infinity<A>();
    }
};

// Numbers of the scores that a lane has of one row: function(n) gives two neighbours of every 8 keys, those from
// first_key + 8 n on.
template <int TILES, typename A, typename OPTIONS, typename FUNCTION>
__device__ __forceinline__ void to_numbers(const Scores<A, OPTIONS>& scores, const RowFacts& row, int first_key,
                                           FUNCTION function) {
    constexpr bool READS = OPTIONS::MASKED || OPTIONS::BIASED;
    if (READS && scores.pairs) {
#pragma unroll
        for (int n = 0; n < TILES; n++) scores.template numbers<true>(function(n), row, first_key + 8 * n);
    } else {
#pragma unroll
        for (int n = 0; n < TILES; n++) scores.template numbers<false>(function(n), row, first_key + 8 * n);
    }
}
