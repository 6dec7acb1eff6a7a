// Attention in float32 and float64 on tensor cores: mma.sync m16n8k8 of tf32, of float64 that or, before sm_90, m8n8k4.
//
// A block of WARPS warps has 16 WARPS queries and walks over the keys, KEYS at a time. A warp has 16 queries of its own, all
// keys of the tile and all columns of the values. How tiles come and change hands: as in half.cu.
//
//   chunk          16 bytes of a row in shared memory: W = 4 float32, or 2 float64
//   lane 4 g + t   Q, K: chunks t, t + 4, ... of rows g, g + 8 and keys g, g + 8, ...    places t, t + 4 of the depth are
//                        neighbours in a chunk
//                  S, P: rows g, g + 8, keys 2 t, 2 t + 1 of every 8                     which are the places t, t + 4 of
//                  V:    keys 2 t, 2 t + 1 of every 8, chunks g, g + 8, ...              the second product
//                  O:    rows g, g + 8, chunks 2 t, 2 t + 1 of every 8
//
// Shared bytes, dynamic: sizeof(A) (16 WARPS HEAD + KEYS (HEAD + VALUE)), at least sizeof(A) 16 WARPS VALUE, through which
// the output goes; besides 24 and 24 a row, and 2 bits for each element of the output.
// Numerics: tf32x3 multiplies numbers of two tf32 terms, three products each; the matrix unit cuts sums off at 24 bits, so
// it sums no more than eight of them at a time, and the rest is float32 arithmetic: the values of a tile by themselves, then
// with the output. float64 is IEEE's, in a fixed order. Values that are not finite: see careful.cuh.
#include "matrix_wide.cuh"
#include "tiles.cuh"
#include "warp_rows.cuh"

// Chunks of queries and keys, read by eight neighbouring rows four at a time; and those of values, read from every other
// row two at a time: each time all banks once.
template <int CHUNKS>
struct KeyPlaces {
    static_assert(CHUNKS % 8 == 0);
    __device__ static __forceinline__ int place(int row, int chunk) { return row * CHUNKS + (chunk ^ row % 2 * 4); }
};
template <int CHUNKS>
struct ValuePlaces {
    static_assert(CHUNKS % 8 == 0);
    __device__ static __forceinline__ int place(int row, int chunk) { return row * CHUNKS + (chunk ^ row / 2 % 4 * 2); }
};

template <typename A>
struct alignas(16) Vector {
    static constexpr int SIZE = 16 / sizeof(A);
    A of[SIZE];
};
template <typename A>
__device__ __forceinline__ Vector<A> vector_at(const uint4* place) { return *reinterpret_cast<const Vector<A>*>(place); }

// S = Q K'. CAREFUL: a key that is not finite is multiplied by itself, not by its terms.
template <typename UNIT, bool CAREFUL, int HEAD, int TILES, typename A = typename UNIT::Number>
__device__ __forceinline__ void multiply_keys(Square<A> (&s)[TILES], const uint4* queries, const uint4* keys) {
    constexpr int W = Vector<A>::SIZE, CHUNKS = HEAD / W;
    using Places = KeyPlaces<CHUNKS>;
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll(CAREFUL ? 1 : 2)
    for (int chunk = 0; chunk < CHUNKS; chunk += 4) {
        const Vector<A> upper = vector_at<A>(queries + Places::place(g, chunk + t));
        const Vector<A> lower = vector_at<A>(queries + Places::place(g + 8, chunk + t));
        Term<Square<A>, UNIT::PARTS> a[W / 2];
#pragma unroll
        for (int step = 0; step < W / 2; step++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const auto terms = UNIT::split((i % 2 == 0 ? upper : lower).of[2 * step + i / 2]);
#pragma unroll
                for (int part = 0; part < UNIT::PARTS; part++) a[step].of[part].of[i] = terms.of[part];
            }
#pragma unroll
        for (int n = 0; n < TILES; n++) {
            const Vector<A> b = vector_at<A>(keys + Places::place(8 * n + g, chunk + t));
#pragma unroll
            for (int step = 0; step < W / 2; step++) {
                const A b0 = b.of[2 * step], b1 = b.of[2 * step + 1];
                if constexpr (CAREFUL && UNIT::PARTS == 2) {
                    const bool odd0 = not_finite(b0), odd1 = not_finite(b1);
                    UNIT::multiply(s[n], a[step], UNIT::split(odd0 ? A(0) : b0), UNIT::split(odd1 ? A(0) : b1));
                    UNIT::once(s[n], a[step].of[0].of, odd0 ? b0 : A(0), odd1 ? b1 : A(0));
                } else {
                    UNIT::multiply(s[n], a[step], UNIT::split(b0), UNIT::split(b1));
                }
            }
        }
    }
}

// O = moved O + P V. P is as terms of A: the keys 2 t, 2 t + 1 at the places t, t + 4. What is rare, as a careful pass is,
// or slow, as float64 is, or short of registers is a loop: the weights of a step move up to the first place, and come round.
template <typename UNIT, bool CAREFUL, int VALUE, int STEPS, int GROUPS, typename A = typename UNIT::Number>
__device__ __forceinline__ void multiply_values(Square<A> (&o)[GROUPS][Vector<A>::SIZE],
                                                Term<Square<A>, UNIT::PARTS> (&p)[STEPS], const A (&moved)[2],
                                                const uint4* values, Pass pass) {
    constexpr int W = Vector<A>::SIZE;
    using Places = ValuePlaces<VALUE / W>;
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int group = 0; group < GROUPS; group++) {
        __syncwarp();  // keeps the assembler from reading values too far ahead for its registers
        Square<A> sum[W] = {};
#pragma unroll(CAREFUL || sizeof(A) == 8 || VALUE > 128 ? 1 : STEPS)
        for (int k = 0; k < STEPS; k++) {
            const Vector<A> v0 = vector_at<A>(values + Places::place(8 * k + 2 * t, 8 * group + g));
            const Vector<A> v1 = vector_at<A>(values + Places::place(8 * k + 2 * t + 1, 8 * group + g));
#pragma unroll
            for (int u = 0; u < W; u++) {
                const A b0 = CAREFUL ? seen_in(pass, v0.of[u]) : v0.of[u];
                const A b1 = CAREFUL ? seen_in(pass, v1.of[u]) : v1.of[u];
                UNIT::multiply(sum[u], p[0], UNIT::split(b0), UNIT::split(b1));
            }
            const auto first = p[0];
#pragma unroll
            for (int next = 1; next < STEPS; next++) p[next - 1] = p[next];
            p[STEPS - 1] = first;
        }
#pragma unroll
        for (int u = 0; u < W; u++)
#pragma unroll
            for (int i = 0; i < 4; i++) o[group][u].of[i] = fused(o[group][u].of[i], moved[i / 2], sum[u].of[i]);
    }
}

// From scores to weights, in place; the state moves to the new maximum. `moved` is what O is to be multiplied by.
template <typename A, int TILES>
__device__ __forceinline__ void weigh(Square<A> (&s)[TILES], A (&m)[2], A (&l)[2], A (&moved)[2], A factor, Pass pass) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        A largest = m[half];
#pragma unroll
        for (int n = 0; n < TILES; n++)
            largest = larger(largest, larger(s[n].of[2 * half], s[n].of[2 * half + 1]));
        largest = largest_of_quad(largest);
        const A anchor = largest == minus_infinity<A>() ? A(0) : largest;
        moved[half] = power_of_two((m[half] - anchor) * factor);
        m[half] = largest;
        A sum = A(0);
#pragma unroll
        for (int n = 0; n < TILES; n++)
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; i++) {
                const A x = s[n].of[i];
                const A weight = power_of_two((x - anchor) * factor);
                sum = sum + weight;
                s[n].of[i] = x == minus_infinity<A>() ? A(-0.0) : weight;
            }
        l[half] = fused(l[half], moved[half], sum);
        if (pass == POSITIVES || pass == NEGATIVES) moved[half] = A(1);
    }
}

// HEAD and VALUE: head_dim and value_dim, up to a multiple of 32. WIDTH: elements that rows start at a multiple of, or 1.
template <typename UNIT, typename OPTIONS, int AXES, int HEAD, int VALUE, int WARPS, int KEYS, int WIDTH>
__global__ void __launch_bounds__(32 * WARPS, 1)
    attention_wide(const typename UNIT::Number* q,      // (batches, q_len, head_dim)
                   const typename UNIT::Number* k,      // (batches, kv_len, head_dim)
                   const typename UNIT::Number* v,      // (batches, kv_len, value_dim)
                   typename UNIT::Number* out,          // (batches, q_len, value_dim)
                   typename UNIT::Number* lse,          // (batches, q_len), or null
                   const unsigned char* mask,           // (batches, q_len, kv_len)
                   const typename OPTIONS::Bias* bias,  // (batches, q_len, kv_len)
                   const long long* kv_lengths,         // (batches,), or null
                   typename UNIT::Number* parts_o, typename UNIT::Number* parts_m, typename UNIT::Number* parts_l,
                   Call<AXES> call) {
    using A = typename UNIT::Number;
    constexpr int W = Vector<A>::SIZE;
    constexpr int THREADS = 32 * WARPS, WARP_ROWS = 16, BLOCK_ROWS = WARPS * WARP_ROWS;
    constexpr int TILES = KEYS / 8, GROUPS = VALUE / (8 * W), CHUNKS = VALUE / W;
    extern __shared__ uint4 memory[];
    uint4* const q_tile = memory;                          // (BLOCK_ROWS, HEAD)
    uint4* const k_tile = q_tile + BLOCK_ROWS * HEAD / W;  // (KEYS, HEAD)
    uint4* const v_tile = k_tile + KEYS * HEAD / W;        // (KEYS, VALUE)
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

    // Which rows, and which keys.
    __shared__ BlockPlace kept;
    const BlockPlace here = BlockPlace::of(call, BLOCK_ROWS);
    if (threadIdx.x == 0) kept = here;
    const int keys = call.keys(kv_lengths, here.batch);
    const Span any = call.in_part(call.span_of_any(here.first_row, BLOCK_ROWS, keys), here.part);
    __shared__ Span spans[1 + WARPS];  // of the block; of each warp, where no key is left out by its place
    if (lane == 0) spans[1 + warp] = call.span_of_all(here.first_row + warp * WARP_ROWS, WARP_ROWS, keys);
    if (threadIdx.x == 0) spans[0] = any;
    const int begin = any.first / KEYS * KEYS, end = any.last;
    const int head_dim = static_cast<int>(call.head_dim), value_dim = static_cast<int>(call.value_dim);
    __shared__ const A* starts[2];  // of keys and of values
    if (threadIdx.x == 0) {
        starts[0] = k + call.template start<K>(here.batch);
        starts[1] = v + call.template start<V>(here.batch);
    }
    const auto copy_keys = [&](int first) {
        copy_tile<A, WIDTH, KEYS, HEAD / W, THREADS, KeyPlaces<HEAD / W>>(k_tile, starts[0], call.stride[K], first,
                                                                          spans[0], head_dim);
        end_of_copies();
    };
    __syncthreads();
    const Scores<A, OPTIONS> scores(call, mask, bias);
    __shared__ RowFacts facts[BLOCK_ROWS];
    for (int row = threadIdx.x; row < BLOCK_ROWS; row += THREADS)
        facts[row] = facts_of<OPTIONS>(call, any, here.first_row + row, keys, here.batch);
    copy_tile<A, WIDTH, BLOCK_ROWS, HEAD / W, THREADS, KeyPlaces<HEAD / W>>(
        q_tile, q + call.template start<Q>(here.batch), call.stride[Q], here.first_row, {0, static_cast<int>(call.q_len)}, head_dim);
    const uint4* const own_queries = q_tile + warp * WARP_ROWS * HEAD / W;

    A m[2], l[2];
    Square<A> o[GROUPS][W];
    using MarksOf = Marks<4 * GROUPS * W, THREADS>;
    __shared__ unsigned marked[2 * MarksOf::WORDS * THREADS];
    const MarksOf marks = {marked};
    // Warps without a query only help with the copies.
    const bool busy = here.first_row + warp * WARP_ROWS < call.q_len;
    Pass pass = QUICK;
#pragma unroll 1
    while (true) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            m[half] = minus_infinity<A>();
            l[half] = A(0);
        }
#pragma unroll
        for (int group = 0; group < GROUPS; group++)
#pragma unroll
            for (int u = 0; u < W; u++) o[group][u] = {};
        if (begin < end) copy_keys(begin);
#pragma unroll 1
        for (int first_key = begin; first_key < end; first_key += KEYS) {
            Square<A> s[TILES] = {};
            wait_for_copies();
            __syncthreads();  // keys are there, and nobody reads the values before any more
            copy_tile<A, WIDTH, KEYS, CHUNKS, THREADS, ValuePlaces<CHUNKS>>(v_tile, starts[1], call.stride[V], first_key, spans[0],
                                                                            value_dim);
            end_of_copies();
            if (busy) {
                if (UNIT::PARTS == 1 || pass == QUICK) multiply_keys<UNIT, false, HEAD>(s, own_queries, k_tile);
                else multiply_keys<UNIT, true, HEAD>(s, own_queries, k_tile);
            }
            wait_for_copies();
            __syncthreads();  // values are there, and nobody reads these keys any more
            if (first_key + KEYS < end) copy_keys(first_key + KEYS);
            if (!busy) continue;

            const Span all = spans[1 + warp];
            if (!scores.PLAIN || first_key < all.first || first_key + KEYS > all.last) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const RowFacts row = facts[warp * WARP_ROWS + lane / 4 + 8 * half];
#pragma unroll
                    for (int n = 0; n < TILES; n++)
#pragma unroll
                        for (int i = 0; i < 2; i++) {
                            A& x = s[n].of[2 * half + i];
                            x = scores.number(x, row, first_key + 8 * n + 2 * (lane % 4) + i);
                        }
                }
            }
            A moved[2];
            weigh(s, m, l, moved, scores.factor, pass);
            Term<Square<A>, UNIT::PARTS> p[TILES];
#pragma unroll
            for (int n = 0; n < TILES; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const A weight = s[n].of[i % 2 * 2 + i / 2];
                    const bool counted = pass == POSITIVES || pass == NEGATIVES;
                    const auto terms = UNIT::split(counted ? taking_part(weight) : weight);
#pragma unroll
                    for (int each = 0; each < UNIT::PARTS; each++) p[n].of[each].of[i] = terms.of[each];
                }
            if (pass == QUICK) multiply_values<UNIT, false, VALUE>(o, p, moved, v_tile, pass);
            else multiply_values<UNIT, true, VALUE>(o, p, moved, v_tile, pass);
        }
        if (!another_pass<A>(pass, marks, [&](int i) -> A& { return o[i / 4 / W][i / 4 % W].of[i % 4]; })) break;
    }

    // Rows go out by way of shared memory, where a warp has those of its own.
    wait_for_copies();
    __syncthreads();
    const long long batch = kept.batch, part = kept.part;
    const int warp_row = kept.first_row + warp * WARP_ROWS;
    uint4* const rows = memory + warp * WARP_ROWS * CHUNKS;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = lane / 4 + 8 * half;
        const int index = warp_row + row;
        const A total = sum_of_quad(l[half]);
        const A scale = call.parts > 1 ? A(1) : reciprocal_of(total);
        const long long of_part = (batch * call.q_len + index) * call.parts + part;
        if (index < call.q_len && lane % 4 == 0) {
            if (call.parts > 1) {
                parts_m[of_part] = m[half];
                parts_l[of_part] = total;
            } else if (lse != nullptr) {
                lse[call.template start<LSE>(batch) + call.template row<LSE>(index)] =
                    log_of_sum(m[half], total, scores.natural);
            }
        }
#pragma unroll
        for (int group = 0; group < GROUPS; group++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int chunk = 8 * group + 2 * (lane % 4) + i;
                Vector<A> vector;
#pragma unroll
                for (int u = 0; u < W; u++) {
                    vector.of[u] = o[group][u].of[2 * half + i] * scale;
                    if (call.parts > 1 && index < call.q_len && chunk * W + u < value_dim)
                        parts_o[of_part * value_dim + chunk * W + u] = vector.of[u];
                }
                *reinterpret_cast<Vector<A>*>(rows + ByRow<CHUNKS>::place(row, chunk)) = vector;
            }
    }
    __syncwarp();
    if (call.parts > 1) return;
    send_rows<A, WIDTH, CHUNKS, WARP_ROWS>(rows, out + call.template start<OUT>(batch), call, warp_row, value_dim);
}
