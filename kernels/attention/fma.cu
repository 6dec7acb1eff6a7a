// Attention by fused multiply-adds, for any type, head size and strides, on any architecture.
//
// A block of 16 x 16 threads has 16 ROWS queries, which wait in shared memory, and walks over the keys, 64 at a time. Keys
// and values pass through one slab of 64 rows of 256 bytes (64 columns of float32, 32 of float64), one slab after the
// other; the next one is on its way in registers while this one is multiplied.
//
//                     keys                  thread (tx, ty)
//               tx  tx+16 tx+32 tx+48       scores   of rows ty ROWS ... and keys tx, tx + 16, tx + 32, tx + 48
//   rows  ty ROWS [ s     s     s     s ]   weights  change hands in shared memory
//             ... [ s     s     s     s ]   output   of the same rows, columns tx VECTOR ... of every slab of values
//
// Shared bytes, dynamic: 16 ROWS x slabs of queries x 256, 16384 for the slab, 16 ROWS x 64 x sizeof(A) for weights;
// besides 24 a row.
// Numerics: A is float32, for float64 that; products of a slab are summed by themselves and then join the sum, so no
// chain is longer than 64. All is IEEE arithmetic: the same bits on every machine.
// Weights of keys that take no part are 0; where the output is not finite, the tile is done a second time, carefully,
// without multiplying them by anything.
#include "fma_products.cuh"

// SLABS: of values. WIDTH: elements that go at once, a divisor of head_dim and value_dim.
template <typename T, typename OPTIONS, int AXES, int ROWS, int SLABS, int WIDTH>
__global__ void __launch_bounds__(THREADS, 1)
    attention_fma(const T* q,                        // (batches, q_len, head_dim)
                  const T* k,                        // (batches, kv_len, head_dim)
                  const T* v,                        // (batches, kv_len, value_dim)
                  T* out,                            // (batches, q_len, value_dim)
                  typename Sums<T>::Type* lse,       // (batches, q_len), or null
                  const unsigned char* mask,         // (batches, q_len, kv_len)
                  const typename OPTIONS::Bias* bias,  // (batches, q_len, kv_len)
                  const long long* kv_lengths,       // (batches,), or null
                  typename Sums<T>::Type* parts_o, typename Sums<T>::Type* parts_m, typename Sums<T>::Type* parts_l,
                  Call<AXES> call) {
    using A = typename Sums<T>::Type;
    using Fetched = Courier<T, WIDTH>;
    constexpr int VECTOR = Chunk<A>::SIZE;
    constexpr int COLUMNS = Fetched::COLUMNS;
    constexpr int BLOCK_ROWS = SIDE * ROWS;
    extern __shared__ uint4 memory[];
    const int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
    const int head_slabs = static_cast<int>((call.head_dim + COLUMNS - 1) / COLUMNS);
    Room<A, ROWS> room;
    room.queries = reinterpret_cast<Chunk<A>*>(memory);
    room.slab = room.queries + head_slabs * BLOCK_ROWS * CHUNKS;
    room.weights = reinterpret_cast<A*>(room.slab + KEYS * CHUNKS);

    // Which rows, and which keys.
    const int tiles = static_cast<int>((call.q_len + BLOCK_ROWS - 1) / BLOCK_ROWS);
    const long long part = blockIdx.x % call.parts;
    const long long tile_of_all = blockIdx.x / call.parts;
    const long long batch = tile_of_all / tiles;
    // The last rows first: with a causal mask they have most keys.
    const int first_row = (tiles - 1 - static_cast<int>(tile_of_all - batch * tiles)) * BLOCK_ROWS;
    const int keys = call.keys(kv_lengths, batch);
    const Span any = call.in_part(call.span_of_any(first_row, BLOCK_ROWS, keys), part);
    const int begin = any.first / KEYS * KEYS;

    const Scores<A, OPTIONS> scores(call, mask, bias);
    __shared__ RowFacts facts[BLOCK_ROWS];
    if (threadIdx.x < BLOCK_ROWS)
        facts[threadIdx.x] = facts_of<OPTIONS>(call, any, first_row + threadIdx.x, keys, batch);

    const T* const q_start = q + call.template start<Q>(batch);
    const T* const k_start = k + call.template start<K>(batch);
    const T* const v_start = v + call.template start<V>(batch);
    const int head_dim = static_cast<int>(call.head_dim), value_dim = static_cast<int>(call.value_dim);
#pragma unroll 1
    for (int at = threadIdx.x; at < BLOCK_ROWS * head_slabs * COLUMNS; at += THREADS) {
        const int of_block = at / (head_slabs * COLUMNS), column = at - of_block * (head_slabs * COLUMNS);
        const int index = first_row + of_block;
        A value = A(0);
        if (index < call.q_len && column < head_dim)
            value = number_of<A>(q_start[call.template row<Q>(index) + column * call.stride[Q][1]]);
        const int slab = column / COLUMNS, chunk = column % COLUMNS / VECTOR;
        room.queries[slab * BLOCK_ROWS * CHUNKS + place_in_slab(of_block, chunk)].of[column % VECTOR] = value;
    }

    Fetched courier;
    A m[ROWS], l[ROWS];
    Chunk<A> o[SLABS][ROWS];
    bool careful = false;
#pragma unroll 1
    while (true) {
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            m[i] = minus_infinity<A>();
            l[i] = A(0);
#pragma unroll
            for (int slab = 0; slab < SLABS; slab++) o[slab][i] = {};
        }
        courier.fetch(k_start, call.stride[K], begin, any, 0, head_dim);
#pragma unroll 1
        for (int first_key = begin; first_key < any.last; first_key += KEYS) {
            A score[ROWS][KEYS_EACH] = {};
#pragma unroll 1
            for (int slab = 0; slab < head_slabs; slab++) {
                __syncthreads();  // whoever still reads the slab before
                courier.deliver(room.slab);
                __syncthreads();
                if (slab + 1 < head_slabs)
                    courier.fetch(k_start, call.stride[K], first_key, any, (slab + 1) * COLUMNS, head_dim);
                else courier.fetch(v_start, call.stride[V], first_key, any, 0, value_dim);
                multiply_keys<A, ROWS>(score, room.queries + slab * BLOCK_ROWS * CHUNKS, room.slab, tx, ty);
            }

            // From scores to weights; the state moves to the new maximum.
            A moved[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                const RowFacts row = facts[ty * ROWS + i];
                A largest = m[i];
#pragma unroll
                for (int j = 0; j < KEYS_EACH; j++) {
                    const int key = first_key + tx + SIDE * j;
                    score[i][j] = scores.number(score[i][j], row, key);
                    largest = larger(largest, score[i][j]);
                }
                largest = largest_of_row(largest);
                const A anchor = largest == minus_infinity<A>() ? A(0) : largest;
                moved[i] = exp2_of((m[i] - anchor) * scores.factor);
                m[i] = largest;
                A sum = A(0);
#pragma unroll
                for (int j = 0; j < KEYS_EACH; j++) {
                    A weight = exp2_of((score[i][j] - anchor) * scores.factor);
                    weight = score[i][j] == minus_infinity<A>() ? A(-0.0) : weight;
                    sum = sum + weight;
                    room.weights[room.place_of_weight(ty * ROWS + i, tx + SIDE * j)] = weight;
                }
                l[i] = fused(l[i], moved[i], sum);
            }

#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                if (!careful || moved[i] != A(0)) continue;
                moved[i] = A(1);  // 0 times infinity would be NaN
#pragma unroll
                for (int slab = 0; slab < SLABS; slab++)
#pragma unroll
                    for (int c = 0; c < VECTOR; c++)
                        o[slab][i].of[c] = not_finite(o[slab][i].of[c]) ? o[slab][i].of[c] : A(0);
            }
#pragma unroll
            for (int slab = 0; slab < SLABS; slab++) {
                __syncthreads();  // whoever still reads the slab before
                courier.deliver(room.slab);
                __syncthreads();
                if (slab + 1 < SLABS)
                    courier.fetch(v_start, call.stride[V], first_key, any, (slab + 1) * COLUMNS, value_dim);
                else if (first_key + KEYS < any.last)
                    courier.fetch(k_start, call.stride[K], first_key + KEYS, any, 0, head_dim);
                Chunk<A> sum[ROWS] = {};
                if (careful) multiply_values<true>(sum, room, tx, ty);
                else multiply_values<false>(sum, room, tx, ty);
#pragma unroll
                for (int i = 0; i < ROWS; i++)
#pragma unroll
                    for (int c = 0; c < VECTOR; c++)
                        o[slab][i].of[c] = fused(o[slab][i].of[c], moved[i], sum[i].of[c]);
            }
        }
        if (careful) break;
        bool odd = false;
#pragma unroll
        for (int slab = 0; slab < SLABS; slab++)
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int c = 0; c < VECTOR; c++) odd |= not_finite(o[slab][i].of[c]);
        if (!__syncthreads_or(odd)) break;
        careful = true;
    }

#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int index = first_row + ty * ROWS + i;
        const bool there = index < call.q_len;
        const A total = sum_of_row(l[i]);
        const long long of_part = ((batch * call.q_len + index) * call.parts + part);
        const A scaled = call.parts > 1 ? A(1) : reciprocal_of(total);
        if (there && tx == 0) {
            if (call.parts > 1) {
                parts_m[of_part] = m[i];
                parts_l[of_part] = total;
            } else if (lse != nullptr) {
                lse[call.template start<LSE>(batch) + call.template row<LSE>(index)] =
                    log_of_sum(m[i], total, scores.natural);
            }
        }
        if (!there) continue;
        T* const to = out + call.template start<OUT>(batch) + call.template row<OUT>(index);
#pragma unroll
        for (int slab = 0; slab < SLABS; slab++) {
            const int column = slab * COLUMNS + tx * VECTOR;
            constexpr int PIECE = WIDTH < VECTOR ? WIDTH : VECTOR;
#pragma unroll
            for (int at = 0; at < VECTOR; at += PIECE) {
                if (call.parts > 1) {
#pragma unroll
                    for (int c = at; c < at + PIECE; c++)
                        if (column + c < value_dim) parts_o[of_part * value_dim + column + c] = o[slab][i].of[c];
                } else {
                    T element[PIECE];
#pragma unroll
                    for (int c = 0; c < PIECE; c++) element[c] = narrow<T>(o[slab][i].of[at + c] * scaled);
                    store_pack<T, PIECE>(packed<T, PIECE>(element), to + (column + at) * call.stride[OUT][1],
                                         column + at < value_dim);
                }
            }
        }
    }
}
