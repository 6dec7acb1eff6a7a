// From the product of a query and a key to the number that is exponentiated.
//
//   FORM      number x of a product s                        weight 2^((x - m) factor)
//   FOLDED    s, for scale > 0                               factor = scale log2(e)
//   SCALED    scale s + bias                                 factor = log2(e)
//   CAPPED    softcap tanh(scale / softcap s) + bias         factor = log2(e)
//
// A key that does not take part has x = -inf, and -inf takes no part, wherever it is from. MASKED: whether there is a
// mask; BIAS: the type of its elements, or None. Both are read where they are, for each row and key once.
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

// What the numbers of one row need: its keys, and its rows of mask and bias.
template <typename OPTIONS>
struct ScoreRow {
    Span span;
    const unsigned char* mask;
    const typename OPTIONS::Bias* bias;
};

template <typename A, typename OPTIONS>
struct Scores {
    A multiplier;       // of a product, before anything else
    A softcap;
    A factor;
    double natural;     // of x, to make it the score whose exponential is summed
    long long mask_step, bias_step;

    template <typename CALL>
    __device__ __forceinline__ explicit Scores(const CALL& call) {
        constexpr double log2_e = 0x1.71547652b82fep+0;
        softcap = static_cast<A>(call.softcap);
        multiplier = static_cast<A>(OPTIONS::FORM == CAPPED ? call.scale / call.softcap : call.scale);
        factor = static_cast<A>(OPTIONS::FORM == FOLDED ? call.scale * log2_e : log2_e);
        natural = OPTIONS::FORM == FOLDED ? call.scale : 1.0;
        mask_step = call.stride[MASK][1];
        bias_step = call.stride[BIAS][1];
    }

    // Whether a tile whose keys all lie in the span of a row still needs to be looked at key by key.
    static constexpr bool PLAIN = OPTIONS::FORM == FOLDED && !OPTIONS::MASKED && !OPTIONS::BIASED;

    // EDGE: whether keys of the tile may lie outside the span.
    template <bool EDGE>
    __device__ __forceinline__ A number(A product, const ScoreRow<OPTIONS>& row, int key) const {
        bool takes_part = true;
        if constexpr (EDGE) takes_part = key >= row.span.first && key < row.span.last;
        if constexpr (OPTIONS::MASKED) takes_part = takes_part && row.mask[key * mask_step] != 0;
        A x = product;
        if constexpr (OPTIONS::FORM != FOLDED) x = x * multiplier;
        if constexpr (OPTIONS::FORM == CAPPED) x = softcap * tanh_of(x);
        if constexpr (OPTIONS::BIASED)
            x = x + (takes_part ? number_of<A>(row.bias[key * bias_step]) : A(0));
        return takes_part ? x : minus_infinity<A>();
    }
};
