// Attention in float16 and bfloat16 on tensor cores: mma.sync m16n8k16, sums in float32, from sm_80 on.
//
// A block of WARPS warps has WARPS x 16 BANDS queries and walks over the keys, KEYS at a time. A warp has 16 BANDS
// queries of its own, all keys of the tile and all columns of the values, so warps meet only where tiles change hands.
//
//               keys of the tile                                  columns of the values
//   warp 0   [  S = Q K'   float32, in registers ]             [  O += P V   float32, in registers  ]
//   warp 1   [  16 BANDS x KEYS                  ]  -> P ->    [  16 BANDS x VALUE                  ]
//     ...        P = 2^(S factor - M), in 16 bits: the lanes' part of C of one product is their part of A of the next
//
//   STAGES 2     wait, barrier | multiply keys, weights, multiply values         | wait, barrier
//     copies                   | keys and values of the next tile on their way   |
//   STAGES 1     wait, barrier | multiply keys        | wait, barrier | weights, multiply values            | wait
//     copies                   | values on their way  |               | keys of the next tile on their way  |
//
// Shared bytes, dynamic: 2 (WARPS 16 BANDS HEAD + STAGES KEYS (HEAD + VALUE)), at least 2 WARPS 16 BANDS VALUE, through
// which the output goes; besides 24 a row, 2 bits for each element of the output, and 16 BANDS a thread.
// Numerics: products of 16-bit numbers are summed by the matrix unit, which cuts sums off at 24 bits; weights are rounded
// to 16 bits for the second product, not for l. Sums l are joined across lanes only at the end.
// Values that are not finite: see careful.cuh.
#include "half_products.cuh"
#include "half_rows.cuh"
#include "walk.cuh"

// HEAD and VALUE: head_dim and value_dim, up to a multiple of 32. WIDTH: elements that rows start at a multiple of, or 1.
template <typename T, typename OPTIONS, int AXES, int HEAD, int VALUE, int WARPS, int BANDS, int KEYS, int STAGES, int WIDTH>
__global__ void __launch_bounds__(32 * WARPS, 1)
    attention_half(const T* q,                          // (batches, q_len, head_dim)
                   const T* k,                          // (batches, kv_len, head_dim)
                   const T* v,                          // (batches, kv_len, value_dim)
                   T* out,                              // (batches, q_len, value_dim)
                   float* lse,                          // (batches, q_len), or null
                   const unsigned char* mask,           // (batches, q_len, kv_len)
                   const typename OPTIONS::Bias* bias,  // (batches, q_len, kv_len)
                   const long long* kv_lengths,         // (batches,), or null
                   float* parts_o, float* parts_m, float* parts_l, Call<AXES> call) {
    constexpr int THREADS = 32 * WARPS, WARP_ROWS = 16 * BANDS, BLOCK_ROWS = WARPS * WARP_ROWS, TILES = KEYS / 8;
    constexpr int SHIFT = Matrix16<T>::SHIFT;
    constexpr int Q_BYTES = 2 * BLOCK_ROWS * HEAD, K_BYTES = 2 * KEYS * HEAD, V_BYTES = 2 * KEYS * VALUE;
    extern __shared__ __align__(128) uint4 memory[];
    const unsigned q_tile = shared_address(memory);        // (BLOCK_ROWS, HEAD)
    const unsigned k_tile = q_tile + Q_BYTES;              // (STAGES, KEYS, HEAD)
    const unsigned v_tile = k_tile + STAGES * K_BYTES;     // (STAGES, KEYS, VALUE)
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    __shared__ Walk<T, WARPS> walk;
    __shared__ RowFacts facts[BLOCK_ROWS];
    set_out<OPTIONS, WARP_ROWS>(walk, facts, call, k, v, kv_lengths);
    __syncthreads();
    const auto copy_keys = [&](int first, int stage) {
        copy_tile<T, WIDTH, KEYS, HEAD / 8, THREADS, ByRow<HEAD / 8>>(k_tile + stage * K_BYTES, walk.keys, call.stride[K],
                                                                      first, walk.any, static_cast<int>(call.head_dim));
    };
    const auto copy_values = [&](int first, int stage) {
        copy_tile<T, WIDTH, KEYS, VALUE / 8, THREADS, ByRow<VALUE / 8>>(v_tile + stage * V_BYTES, walk.values, call.stride[V],
                                                                        first, walk.any, static_cast<int>(call.value_dim));
    };
    copy_tile<T, WIDTH, BLOCK_ROWS, HEAD / 8, THREADS, ByRow<HEAD / 8>>(
        q_tile, q + call.template start<Q>(walk.place.batch), call.stride[Q], walk.place.first_row,
        {0, static_cast<int>(call.q_len)}, static_cast<int>(call.head_dim));

    const Scores<float, OPTIONS> scores(call, mask, bias);
    __shared__ float factors[2];
    if (threadIdx.x == 0) {
        factors[0] = scores.factor;
        factors[1] = slack_of<T>(scores.factor);
    }
    __shared__ typename RowStates<BANDS, THREADS>::Kept kept[2 * THREADS];
    const RowStates<BANDS, THREADS> state = {kept};
    FragmentC o[BANDS][VALUE / 8];
    using MarksOf = Marks<BANDS * VALUE / 2, THREADS>;
    __shared__ unsigned marked[2 * MarksOf::WORDS * THREADS];
    const MarksOf marks = {marked};
    // Warps without a query only help with the copies.
    const bool busy = walk.place.first_row + warp * WARP_ROWS < call.q_len;
    Pass pass = QUICK;
#pragma unroll 1
    while (true) {
        OfRows<BANDS> nothing;
#pragma unroll
        for (int band = 0; band < BANDS; band++) {
            nothing.of[band][0] = nothing.of[band][1] = minus_infinity<float>();
#pragma unroll
            for (int n = 0; n < VALUE / 8; n++) o[band][n] = {};
        }
        state.set_m(nothing);
        state.set_l({});
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
            FragmentC s[BANDS][TILES] = {};
            const int thread = thread_anew(), lane = thread % 32, warp = thread / 32;
            const LanePlace<HEAD / 8> q_place(q_tile, warp * WARP_ROWS + lane % 16, lane / 16);
            const LanePlace<HEAD / 8> k_place(k_tile + stage * K_BYTES, lane / 16 * 8 + lane % 8, lane / 8 % 2);
            if (busy) multiply_keys<T, HEAD>(s, q_place, k_place);
            if constexpr (STAGES == 1) {
                wait_for_copies();
                __syncthreads();  // values are there, and nobody reads these keys any more
                if (first_key + KEYS < walk.any.last) copy_keys(first_key + KEYS, 0);
                end_of_copies();
            }
            const int reader = thread_anew() % 32;
            const LanePlace<VALUE / 8> values(v_tile + stage * V_BYTES, reader % 16, reader / 16);
            if constexpr (STAGES > 1) stage ^= 1;
            if (!busy) continue;

            const Span all = walk.all[warp];
            if (rarely(!scores.PLAIN || first_key < all.first || first_key + KEYS > all.last)) {
#pragma unroll
                for (int band = 0; band < BANDS; band++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const RowFacts row = facts[warp * WARP_ROWS + 16 * band + lane / 4 + 8 * half];
                        to_numbers<TILES>(scores, row, first_key + 2 * (lane % 4),
                                          [&](int n) -> float(&)[2] { return two_of(s[band][n].of, half); });
                    }
            }
            const float factor = factors[0];
            move_states(s, state, o, factor, factors[1], pass);
            weigh<SHIFT>(s, state, factor, pass);
            FragmentA p[BANDS][TILES / 2];
#pragma unroll
            for (int band = 0; band < BANDS; band++)
#pragma unroll
                for (int n = 0; n < TILES; n++)
#pragma unroll
                    for (int half = 0; half < 2; half++)
                        p[band][n / 2].of[n % 2 * 2 + half] =
                            Matrix16<T>::pack(s[band][n].of[2 * half], s[band][n].of[2 * half + 1]);
            if (usually(pass == QUICK)) {
                multiply_values<T, false, VALUE>(o, p, values, pass);
            } else {
                multiply_values<T, true, VALUE>(o, p, values, static_cast<Pass>(anew(pass)));
            }
        }
        constexpr int COLUMN_TILES = VALUE / 8;
        if (!another_pass<float>(pass, marks, [&](int i) -> float& {
                return o[i / 4 / COLUMN_TILES][i / 4 % COLUMN_TILES].of[i % 4];
            }))
            break;
    }

    // Rows go out by way of shared memory, where a warp has those of its own.
    wait_for_copies();
    __syncthreads();
    const long long batch = walk.place.batch, part = walk.place.part;
    const int value_dim = static_cast<int>(call.value_dim);
    const int warp_row = walk.place.first_row + warp * WARP_ROWS;
    constexpr int CHUNKS = VALUE / 8;
    using Places = ByRow<CHUNKS>;
    uint4* const rows = memory + warp * WARP_ROWS * CHUNKS;
    const OfRows<BANDS> m_of = state.m(), l_of = state.l();
    const float lowered = 1.0f / static_cast<float>(1 << SHIFT);
#pragma unroll
    for (int band = 0; band < BANDS; band++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = 16 * band + lane / 4 + 8 * half;
            const int index = warp_row + row;
            const float l = sum_of_quad(l_of.of[band][half]) * lowered;
            const float scale = reciprocal_of(l) * lowered;
            const long long of_part = (batch * call.q_len + index) * call.parts + part;
            if (index < call.q_len) {
                if (call.parts > 1) {
                    if (lane % 4 == 0) {
                        parts_m[of_part] = m_of.of[band][half];
                        parts_l[of_part] = l;
                    }
#pragma unroll
                    for (int n = 0; n < VALUE / 8; n++)
#pragma unroll
                        for (int i = 0; i < 2; i++) {
                            const int column = 8 * n + 2 * (lane % 4) + i;
                            if (column < value_dim)
                                parts_o[of_part * value_dim + column] = o[band][n].of[2 * half + i] * lowered;
                        }
                } else if (lse != nullptr && lane % 4 == 0) {
                    lse[call.template start<LSE>(batch) + call.template row<LSE>(index)] =
                        log_of_sum(m_of.of[band][half], l, scores.natural);
                }
            }
#pragma unroll
            for (int n = 0; n < VALUE / 8; n++)
                reinterpret_cast<unsigned*>(rows + Places::place(row, n))[lane % 4] =
                    Matrix16<T>::pack(o[band][n].of[2 * half] * scale, o[band][n].of[2 * half + 1] * scale);
        }
    __syncwarp();
    if (call.parts > 1) return;
    send_rows<T, WIDTH, CHUNKS, WARP_ROWS>(rows, out + call.template start<OUT>(batch), call, warp_row, value_dim);
}
