// Parts of rows to whole rows: where few queries have many keys, blocks share the keys out, and this joins what they found.
//
//   parts of a row      0   1   2  ...        each thread has some columns of the row, and takes the parts in this order
//   state of a part     (m, l, o)             m = max m,  l = sum 2^((m_p - m) factor) l_p,  o = the same sum of o_p, / l
//
// A block of 128 threads a row. Shared bytes: none. Numerics: those of the kernel that found the parts.
#include "finish.cuh"

constexpr int MERGE_THREADS = 128;

// A: of the accumulators. OPTIONS: only its form matters.
template <typename T, typename A, typename OPTIONS, int AXES>
__global__ void __launch_bounds__(MERGE_THREADS)
    attention_merge(const A* parts_o,  // (batches * rows, parts, value_dim)
                    const A* parts_m,  // (batches * rows, parts)
                    const A* parts_l,  // (batches * rows, parts)
                    T* out,            // (batches, q_len, value_dim)
                    A* lse,            // (batches, q_len), or null
                    Call<AXES> call) {
    const Scores<A, OPTIONS> scores(call, nullptr, nullptr);
    const long long batch = blockIdx.x / call.q_len;
    const int index = static_cast<int>(blockIdx.x - batch * call.q_len);
    const long long first = blockIdx.x * call.parts;
    A m = minus_infinity<A>();
    for (long long part = first; part < first + call.parts; part++) m = parts_m[part] > m ? parts_m[part] : m;
    const A anchor = m == minus_infinity<A>() ? A(0) : m;
    A l = A(0);
    for (long long part = first; part < first + call.parts; part++)
        l = fused(exp2_of((parts_m[part] - anchor) * scores.factor), parts_l[part], l);
    const A scale = reciprocal_of(l);
    T* const to = out + call.template start<OUT>(batch) + call.template row<OUT>(index);
    for (int column = threadIdx.x; column < call.value_dim; column += MERGE_THREADS) {
        A o = A(0);
        for (long long part = first; part < first + call.parts; part++) {
            const A weight = exp2_of((parts_m[part] - anchor) * scores.factor);
            o = added_to(o, weight, parts_o[part * call.value_dim + column]);
        }
        to[column * call.stride[OUT][1]] = narrow<T>(o * scale);
    }
    if (threadIdx.x == 0 && lse != nullptr)
        lse[call.template start<LSE>(batch) + call.template row<LSE>(index)] = log_of_sum(m, l, scores.natural);
}
