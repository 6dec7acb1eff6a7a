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
//   keys      | wait | multiply            |                 keys of the next tile on their way |
//   values    |      | on their way        | wait | weights, multiply                           |
//
// Shared bytes, dynamic: 2 (WARPS 16 BANDS HEAD + KEYS (HEAD + VALUE)), at least 2 WARPS 16 BANDS VALUE, through which the
// output goes; besides 24 and 24 a row, and 2 bits for each element of the output. Numerics: products of 16-bit numbers are summed by the matrix unit, which cuts sums off at 24 bits; weights
// are rounded to 16 bits for the second product, not for l. Sums l are joined across lanes only at the end.
// Values that are not finite: see careful.cuh.
#include "matrix16.cuh"
#include "tiles.cuh"
#include "warp_rows.cuh"

// From here on, as powers of two, the product of score and factor has no digits left behind the point to be fused with.
constexpr float FAR_AWAY = 0x1p+20f;

// The state of the rows of a warp: lane 4 g + t has rows g and g + 8 of each band, and of their l what its columns add.
template <int BANDS>
struct RowStates {
    float m[BANDS][2];
    float l[BANDS][2];
};

// From scores to weights, in place; the state moves to the new maximum. `moved` is what O is to be multiplied by.
template <int SHIFT, int BANDS, int TILES>
__device__ __forceinline__ void weigh(FragmentC (&s)[BANDS][TILES], RowStates<BANDS>& state, float (&moved)[BANDS][2],
                                      float factor, Pass pass) {
#pragma unroll
    for (int band = 0; band < BANDS; band++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float largest = state.m[band][half];
#pragma unroll
            for (int n = 0; n < TILES; n++)
                largest = fmaxf(largest, fmaxf(s[band][n].of[2 * half], s[band][n].of[2 * half + 1]));
            largest = largest_of_quad(largest);
            const float anchor = largest == minus_infinity<float>() ? 0.0f : largest;
            const float old = state.m[band][half];
            const float scaled = anchor * factor;
            const bool far = !(fabsf(scaled) < FAR_AWAY);
            const float offset = SHIFT - scaled;
            state.m[band][half] = largest;
            moved[band][half] = power_of_two(far ? (old - anchor) * factor : old * factor - scaled);
            float sum = 0.0f;
            if (__any_sync(EVERY_LANE, far | (pass != QUICK))) {
#pragma unroll
                for (int n = 0; n < TILES; n++)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        const float x = s[band][n].of[i];
                        const float weight = power_of_two(far ? (x - anchor) * factor + SHIFT : fused(x, factor, offset));
                        sum = sum + weight;
                        s[band][n].of[i] = pass != QUICK && x == minus_infinity<float>() ? -0.0f : weight;
                    }
            } else {
#pragma unroll
                for (int n = 0; n < TILES; n++)
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        s[band][n].of[i] = power_of_two(fused(s[band][n].of[i], factor, offset));
                        sum = sum + s[band][n].of[i];
                    }
            }
            state.l[band][half] = fused(state.l[band][half], moved[band][half], sum);
            if (pass == POSITIVES || pass == NEGATIVES) moved[band][half] = 1.0f;
        }
}

// The places of a warp's tiles in shared memory, for ldmatrix: what differs from lane to lane.
template <int CHUNKS>
struct LanePlace {
    unsigned base;
    int chunk, mixed;
    __device__ __forceinline__ LanePlace(const uint4* tile, int row, int chunk)
        : base(shared_address(tile + row * CHUNKS)), chunk(chunk), mixed(ByRow<CHUNKS>::mixed(row)) {}
    // `rows` further, a multiple of 8, and `chunks`, a multiple of 2.
    __device__ __forceinline__ unsigned at(int rows, int chunks) const {
        return base + rows * CHUNKS * 16 + (((chunks + chunk) ^ mixed) * 16);
    }
};

// S = Q K', for the rows of a warp and the keys of a tile.
template <typename T, int HEAD, int BANDS, int TILES>
__device__ __forceinline__ void multiply_keys(FragmentC (&s)[BANDS][TILES], const LanePlace<HEAD / 8>& queries,
                                              const LanePlace<HEAD / 8>& keys) {
#pragma unroll(HEAD % 64 == 0 ? 4 : 2)
    for (int k = 0; k < HEAD / 16; k++) {
        FragmentA a[BANDS];
#pragma unroll
        for (int band = 0; band < BANDS; band++) load_tiles(a[band].of, queries.at(16 * band, 2 * k));
#pragma unroll
        for (int n = 0; n < TILES; n += 2) {
            unsigned b[4];
            load_tiles(b, keys.at(8 * n, 2 * k));
#pragma unroll
            for (int band = 0; band < BANDS; band++) {
                Matrix16<T>::multiply(s[band][n], a[band], b[0], b[1]);
                Matrix16<T>::multiply(s[band][n + 1], a[band], b[2], b[3]);
            }
        }
    }
}

// O += P V. What is long, or rare as a careful pass is, is a loop: the weights of a step move up to the first place.
template <typename T, bool CAREFUL, int VALUE, int BANDS, int STEPS>
__device__ __forceinline__ void multiply_values(FragmentC (&o)[BANDS][VALUE / 8], FragmentA (&p)[BANDS][STEPS],
                                                const LanePlace<VALUE / 8>& values, Pass pass) {
#pragma unroll(CAREFUL || VALUE > 128 ? 1 : STEPS)
    for (int k = 0; k < STEPS; k++) {
        FragmentA a[BANDS];
#pragma unroll
        for (int band = 0; band < BANDS; band++) {
            a[band] = p[band][0];
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (CAREFUL && pass != FINITE) a[band].of[i] = taking_part<T>(a[band].of[i]);
#pragma unroll
            for (int next = 1; next < STEPS; next++) p[band][next - 1] = p[band][next];
        }
#pragma unroll
        for (int n = 0; n < VALUE / 8; n += 2) {
            unsigned b[4];
            load_tiles_transposed(b, values.at(16 * k, n));
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (CAREFUL) b[i] = seen_in<T>(pass, b[i]);
#pragma unroll
            for (int band = 0; band < BANDS; band++) {
                Matrix16<T>::multiply(o[band][n], a[band], b[0], b[1]);
                Matrix16<T>::multiply(o[band][n + 1], a[band], b[2], b[3]);
            }
        }
    }
}

// HEAD and VALUE: head_dim and value_dim, up to a multiple of 32. WIDTH: elements that rows start at a multiple of, or 1.
template <typename T, typename OPTIONS, int AXES, int HEAD, int VALUE, int WARPS, int BANDS, int KEYS, int WIDTH>
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
    constexpr int THREADS = 32 * WARPS;
    constexpr int WARP_ROWS = 16 * BANDS, BLOCK_ROWS = WARPS * WARP_ROWS;
    constexpr int TILES = KEYS / 8;
    constexpr int SHIFT = Matrix16<T>::SHIFT;
    extern __shared__ uint4 memory[];
    uint4* const q_tile = memory;                         // (BLOCK_ROWS, HEAD)
    uint4* const k_tile = q_tile + BLOCK_ROWS * HEAD / 8;  // (KEYS, HEAD)
    uint4* const v_tile = k_tile + KEYS * HEAD / 8;        // (KEYS, VALUE)
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

    // Which rows, and which keys.
    __shared__ BlockPlace kept;
    const BlockPlace here = BlockPlace::of(call, BLOCK_ROWS);
    if (threadIdx.x == 0) kept = here;
    const int keys = call.keys(kv_lengths, here.batch);
    const Span any = call.in_part(call.span_of_any(here.first_row, BLOCK_ROWS, keys), here.part);
    const Span all = call.span_of_all(here.first_row + warp * WARP_ROWS, WARP_ROWS, keys);
    const int begin = any.first / KEYS * KEYS;
    const int head_dim = static_cast<int>(call.head_dim), value_dim = static_cast<int>(call.value_dim);
    const T* const q_start = q + call.template start<Q>(here.batch);
    const T* const k_start = k + call.template start<K>(here.batch);
    const T* const v_start = v + call.template start<V>(here.batch);
    const auto copy_keys = [&](int first) {
        copy_tile<T, WIDTH, KEYS, HEAD / 8, THREADS, ByRow<HEAD / 8>>(k_tile, k_start, call.stride[K], first, any, head_dim);
        end_of_copies();
    };

    const LanePlace<HEAD / 8> q_place(q_tile, warp * WARP_ROWS + lane % 16, lane / 16);
    const LanePlace<HEAD / 8> k_place(k_tile, lane / 16 * 8 + lane % 8, lane / 8 % 2);
    const LanePlace<VALUE / 8> v_place(v_tile, lane % 16, lane / 16);
    const Scores<float, OPTIONS> scores(call, mask, bias);
    __shared__ RowFacts facts[BLOCK_ROWS];
    for (int row = threadIdx.x; row < BLOCK_ROWS; row += THREADS)
        facts[row] = facts_of<OPTIONS>(call, any, here.first_row + row, keys, here.batch);
    const Span q_rows = {0, static_cast<int>(call.q_len)};
    copy_tile<T, WIDTH, BLOCK_ROWS, HEAD / 8, THREADS, ByRow<HEAD / 8>>(q_tile, q_start, call.stride[Q], here.first_row, q_rows,
                                                                        head_dim);
    RowStates<BANDS> state;
    FragmentC o[BANDS][VALUE / 8];
    using MarksOf = Marks<BANDS * VALUE / 2, THREADS>;
    __shared__ unsigned marked[2 * MarksOf::WORDS * THREADS];
    const MarksOf marks = {marked};
    // Warps without a query only help with the copies.
    const bool busy = here.first_row + warp * WARP_ROWS < call.q_len;
    Pass pass = QUICK;
#pragma unroll 1
    while (true) {
#pragma unroll
        for (int band = 0; band < BANDS; band++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                state.m[band][half] = minus_infinity<float>();
                state.l[band][half] = 0.0f;
            }
#pragma unroll
            for (int n = 0; n < VALUE / 8; n++) o[band][n] = {};
        }
        if (begin < any.last) copy_keys(begin);
#pragma unroll 1
        for (int first_key = begin; first_key < any.last; first_key += KEYS) {
            FragmentC s[BANDS][TILES] = {};
            wait_for_copies();
            __syncthreads();  // keys are there, and nobody reads the values before any more
            copy_tile<T, WIDTH, KEYS, VALUE / 8, THREADS, ByRow<VALUE / 8>>(v_tile, v_start, call.stride[V],
                                                                            first_key, any, value_dim);
            end_of_copies();
            if (busy) multiply_keys<T, HEAD>(s, q_place, k_place);
            wait_for_copies();
            __syncthreads();  // values are there, and nobody reads these keys any more
            if (first_key + KEYS < any.last) copy_keys(first_key + KEYS);
            if (!busy) continue;

            if (!scores.PLAIN || first_key < all.first || first_key + KEYS > all.last) {
#pragma unroll
                for (int band = 0; band < BANDS; band++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const RowFacts row = facts[warp * WARP_ROWS + 16 * band + lane / 4 + 8 * half];
#pragma unroll
                        for (int n = 0; n < TILES; n++)
#pragma unroll
                            for (int i = 0; i < 2; i++) {
                                float& x = s[band][n].of[2 * half + i];
                                x = scores.number(x, row, first_key + 8 * n + 2 * (lane % 4) + i);
                            }
                    }
            }
            float moved[BANDS][2];
            weigh<SHIFT>(s, state, moved, scores.factor, pass);
            bool same = true;
#pragma unroll
            for (int band = 0; band < BANDS; band++) same &= moved[band][0] == 1.0f && moved[band][1] == 1.0f;
            if (!__all_sync(EVERY_LANE, same)) {
#pragma unroll
                for (int band = 0; band < BANDS; band++)
#pragma unroll
                    for (int n = 0; n < VALUE / 8; n++)
#pragma unroll
                        for (int i = 0; i < 4; i++) o[band][n].of[i] = o[band][n].of[i] * moved[band][i / 2];
            }
            FragmentA p[BANDS][TILES / 2];
#pragma unroll
            for (int band = 0; band < BANDS; band++)
#pragma unroll
                for (int n = 0; n < TILES; n++)
#pragma unroll
                    for (int half = 0; half < 2; half++)
                        p[band][n / 2].of[n % 2 * 2 + half] =
                            Matrix16<T>::pack(s[band][n].of[2 * half], s[band][n].of[2 * half + 1]);
            if (pass == QUICK) multiply_values<T, false, VALUE>(o, p, v_place, pass);
            else multiply_values<T, true, VALUE>(o, p, v_place, pass);
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
    const long long batch = kept.batch, part = kept.part;
    const int warp_row = kept.first_row + warp * WARP_ROWS;
    constexpr int CHUNKS = VALUE / 8;
    using Places = ByRow<CHUNKS>;
    uint4* const rows = memory + warp * WARP_ROWS * CHUNKS;
    const float lowered = 1.0f / static_cast<float>(1 << SHIFT);
#pragma unroll
    for (int band = 0; band < BANDS; band++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = 16 * band + lane / 4 + 8 * half;
            const int index = warp_row + row;
            const float l = sum_of_quad(state.l[band][half]) * lowered;
            const float scale = reciprocal_of(l) * lowered;
            const long long of_part = (batch * call.q_len + index) * call.parts + part;
            if (index < call.q_len) {
                if (call.parts > 1) {
                    if (lane % 4 == 0) {
                        parts_m[of_part] = state.m[band][half];
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
                        log_of_sum(state.m[band][half], l, scores.natural);
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
