// Attention in float32 and float64 on tensor cores: mma.sync m16n8k8 of tf32, of float64 that or, before sm_90, m8n8k4.
//
// A block of WARPS warps has 16 WARPS queries and walks over the keys, KEYS at a time. A warp has 16 queries of its own, all
// keys of the tile and all columns of the values. How tiles come and change hands, in one or two stages: as in half.cu.
//
//   chunk          16 bytes of a row in shared memory: W = 4 float32, or 2 float64
//   lane 4 g + t   Q, K: chunks t, t + 4, ... of rows g, g + 8 and keys g, g + 8, ...    places t, t + 4 of the depth are
//                        neighbours in a chunk
//                  S, P: rows g, g + 8, keys 2 t, 2 t + 1 of every 8                     which are the places t, t + 4 of
//                  V:    keys 2 t, 2 t + 1 of every 8, chunks g, g + 8, ...              the second product
//                  O:    rows g, g + 8, chunks 2 t, 2 t + 1 of every 8
//
// Shared bytes, dynamic: sizeof(A) (16 WARPS HEAD + STAGES KEYS (HEAD + VALUE)), at least sizeof(A) 16 WARPS VALUE,
// through which the output goes; besides 24 a row, and 2 bits for each element of the output.
// Numerics: tf32x3 multiplies numbers of two tf32 terms, three products each; the matrix unit cuts sums off at 24 bits, so
// it sums no more than eight of them at a time, and the rest is float32 arithmetic: the values of a tile by themselves, then
// with the output. float64 is IEEE's, in a fixed order. Values that are not finite: see careful.cuh.
#include "walk.cuh"
#include "wide_products.cuh"
#include "wide_rows.cuh"

// HEAD and VALUE: head_dim and value_dim, up to a multiple of 32. WIDTH: elements that rows start at a multiple of, or 1.
template <typename UNIT, typename OPTIONS, int AXES, int HEAD, int VALUE, int WARPS, int KEYS, int STAGES, int WIDTH>
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
    constexpr int W = Vector<A>::SIZE, GROUPS = VALUE / (8 * W), CHUNKS = VALUE / W, TILES = KEYS / 8;
    constexpr int THREADS = 32 * WARPS, WARP_ROWS = 16, BLOCK_ROWS = WARPS * WARP_ROWS;
    constexpr int K_CHUNKS = KEYS * HEAD / W, V_CHUNKS = KEYS * CHUNKS;  // of a stage
    extern __shared__ __align__(128) uint4 memory[];
    uint4* const q_tile = memory;                          // (BLOCK_ROWS, HEAD)
    uint4* const k_tile = q_tile + BLOCK_ROWS * HEAD / W;  // (STAGES, KEYS, HEAD)
    uint4* const v_tile = k_tile + STAGES * K_CHUNKS;      // (STAGES, KEYS, VALUE)
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    __shared__ Walk<A, WARPS> walk;
    __shared__ RowFacts facts[BLOCK_ROWS];
    set_out<OPTIONS, WARP_ROWS>(walk, facts, call, k, v, kv_lengths);
    __syncthreads();
    const auto copy_keys = [&](int first, int stage) {
        copy_tile<A, WIDTH, KEYS, HEAD / W, THREADS, KeyPlaces<HEAD / W>>(shared_address(k_tile + stage * K_CHUNKS), walk.keys,
                                                                          call.stride[K], first, walk.any,
                                                                          static_cast<int>(call.head_dim));
    };
    const auto copy_values = [&](int first, int stage) {
        copy_tile<A, WIDTH, KEYS, CHUNKS, THREADS, ValuePlaces<CHUNKS>>(shared_address(v_tile + stage * V_CHUNKS), walk.values,
                                                                        call.stride[V], first, walk.any,
                                                                        static_cast<int>(call.value_dim));
    };
    const Scores<A, OPTIONS> scores(call, mask, bias);
    copy_tile<A, WIDTH, BLOCK_ROWS, HEAD / W, THREADS, KeyPlaces<HEAD / W>>(
        shared_address(q_tile), q + call.template start<Q>(walk.place.batch), call.stride[Q], walk.place.first_row,
        {0, static_cast<int>(call.q_len)}, static_cast<int>(call.head_dim));
    const uint4* const own_queries = q_tile + warp * WARP_ROWS * HEAD / W;

    A m[2], l[2];
    Square<A> o[GROUPS][W];
    using MarksOf = Marks<4 * GROUPS * W, THREADS>;
    __shared__ unsigned marked[2 * MarksOf::WORDS * THREADS];
    const MarksOf marks = {marked};
    // Warps without a query only help with the copies.
    const bool busy = walk.place.first_row + warp * WARP_ROWS < call.q_len;
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
        int stage = 0;
        const int begin = walk.any.first / KEYS * KEYS;
        if (begin < walk.any.last) {
            copy_keys(begin, 0);
            if constexpr (STAGES > 1) copy_values(begin, 0);
            end_of_copies();
        }
#pragma unroll 1
        for (int first_key = begin; first_key < walk.any.last; first_key += KEYS) {
            wait_for_copies();
            __syncthreads();  // the tile is there, and nobody reads the one before any more
            if constexpr (STAGES > 1) {
                if (first_key + KEYS < walk.any.last) {
                    copy_keys(first_key + KEYS, stage ^ 1);
                    copy_values(first_key + KEYS, stage ^ 1);
                }
            } else {
                copy_values(first_key, 0);
            }
            end_of_copies();
            Square<A> s[TILES] = {};
            if (busy) {
                const uint4* const keys = k_tile + stage * K_CHUNKS;
                if (usually(UNIT::PARTS == 1 || pass == QUICK)) {
                    multiply_keys<UNIT, false, HEAD>(s, own_queries, keys);
                } else {
                    multiply_keys<UNIT, true, HEAD>(s, own_queries, keys);
                }
            }
            if constexpr (STAGES == 1) {
                wait_for_copies();
                __syncthreads();  // values are there, and nobody reads these keys any more
                if (first_key + KEYS < walk.any.last) copy_keys(first_key + KEYS, 0);
                end_of_copies();
            }
            const uint4* const values = v_tile + stage * V_CHUNKS;
            if constexpr (STAGES > 1) stage ^= 1;
            if (!busy) continue;

            const Span all = walk.all[warp];
            if (rarely(!scores.PLAIN || first_key < all.first || first_key + KEYS > all.last)) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const RowFacts row = facts[warp * WARP_ROWS + lane / 4 + 8 * half];
                    to_numbers<TILES>(scores, row, first_key + 2 * (lane % 4),
                                      [&](int n) -> A(&)[2] { return two_of(s[n].of, half); });
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
            if (usually(pass == QUICK)) {
                multiply_values<UNIT, false, VALUE>(o, p, moved, values, pass);
            } else {
                multiply_values<UNIT, true, VALUE>(o, p, moved, values, pass);
            }
        }
        if (!another_pass<A>(pass, marks, [&](int i) -> A& { return o[i / 4 / W][i / 4 % W].of[i % 4]; })) break;
    }

    // Rows go out by way of shared memory, where a warp has those of its own.
    wait_for_copies();
    __syncthreads();
    const long long batch = walk.place.batch, part = walk.place.part;
    const int value_dim = static_cast<int>(call.value_dim);
    const int warp_row = walk.place.first_row + warp * WARP_ROWS;
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
