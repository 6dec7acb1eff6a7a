// In which arithmetic a row that a warp or a block holds is worked out, where not all of it is float32: a softmax of float32
// by a table in float64, or, where float64 is slow, by a table in integers.
#pragma once
#include "numerics/by_integers.cuh"
#include "operations.cuh"

// TABLE: whether the row is long enough to make up for loading one.
template <typename OPERATION, bool TABLE = true>
struct Held {
    using Type = OPERATION;
};
template <>
struct Held<Softmax<float>, true> {
    using Type = Softmax<float, ByTable>;
};

// The row again, of which a result is in doubt by float32 alone.
template <typename OPERATION>
struct HeldAgain {
    using Type = OPERATION;
};
template <>
struct HeldAgain<Softmax<float>> {
    using Type = Softmax<float, ByIntegers>;
};
