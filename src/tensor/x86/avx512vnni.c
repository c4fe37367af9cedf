/*
 * Kernels for AVX-512 with VNNI (F, BW, DQ, VL, VNNI; FMA and F16C).
 *
 * Weights are packed into tiles of 16 outputs: lane i of a register belongs to output i, so
 * a product over the inputs needs no sum across lanes, and one piece of an activation row,
 * broadcast to all lanes, feeds 16 outputs. Every output adds its blocks of 32 inputs in
 * order, in the same instructions for 1 row and for many; hence its bits do not depend on
 * the batch.
 *
 * Quantised weights meet int8 activations. With a weight x = d*q + m, q an unsigned byte,
 * and an activation a = s*p, p a signed byte, a block contributes
 *      sum x*a = d*s * sum(q*p) + m * s*sum(p);
 * sum(q*p) is exact (vpdpbusd), s and s*sum(p) are made once for each row.
 */
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "tensor/isa.h"

enum {
    TILE = 16,  /* outputs: the 32-bit lanes of a register */
    BLOCK = 32, /* inputs that share a scale */
    Q4_1_BYTES = 256 + 32 + 32, /* nibbles, d and m of 16 outputs */
    Q8_0_BYTES = 512 + 32,      /* bytes and d of 16 outputs */
    HEAD_DIM_MAX = 256
};

#define INLINE static inline __attribute__((always_inline))

/* The lanes of a tail: the first `left` of 16. */
INLINE __mmask16 tail(int64_t left)
{
    return (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1);
}

static bool vnni_is_available(void)
{
    __builtin_cpu_init(); /* reads CPUID and which registers the system saves */
    /* F16C is not asked for: AVX-512F has the half-precision conversions, clang lacks the name. */
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

static bool vnni_supports(enum tensor_type type)
{
    return type == TENSOR_F32 || type == TENSOR_F16 || type == TENSOR_Q4_1 || type == TENSOR_Q8_0;
}

/* ---- packing ---- */

static size_t tile_bytes(enum tensor_type type, int64_t n_in)
{
    switch (type) {
    case TENSOR_F32:
        return (size_t)n_in * TILE * 4;
    case TENSOR_F16:
        return (size_t)n_in * TILE * 2;
    case TENSOR_Q4_1:
        return (size_t)(n_in / BLOCK) * Q4_1_BYTES;
    case TENSOR_Q8_0:
        return (size_t)(n_in / BLOCK) * Q8_0_BYTES;
    }
    ASSERT(0 && "supported type");
}

static size_t vnni_pack_bytes(enum tensor_type type, int64_t n_out, int64_t n_in)
{
    size_t tiles = (size_t)((n_out + TILE - 1) / TILE);
    return (tiles * tile_bytes(type, n_in) + 63) & ~(size_t)63;
}

/* Elements of `size` bytes: [n_in][16]. */
static void pack_plain(uint8_t *out, const uint8_t *row, int64_t lane, int64_t n_in, size_t size)
{
    for (int64_t k = 0; k < n_in; k++)
        memcpy(out + (size_t)(k * TILE + lane) * size, row + (size_t)k * size, size);
}

/* Per block: 4 registers whose lane holds nibble pairs 4j..4j+3, then d[16], then m[16]. */
static void pack_q4_1(uint8_t *out, const uint8_t *row, int64_t lane, int64_t n_in)
{
    for (int64_t b = 0; b < n_in / BLOCK; b++) {
        struct tensor_q4_1 block;
        memcpy(&block, row + (size_t)b * sizeof block, sizeof block);
        uint8_t *o = out + (size_t)b * Q4_1_BYTES;
        for (int j = 0; j < 4; j++)
            memcpy(o + 64 * j + 4 * lane, block.qs + 4 * j, 4);
        memcpy(o + 256 + 2 * lane, &block.d, 2);
        memcpy(o + 288 + 2 * lane, &block.m, 2);
    }
}

/* Per block: 8 registers whose lane holds bytes 4j..4j+3 plus 128, then d[16]. */
static void pack_q8_0(uint8_t *out, const uint8_t *row, int64_t lane, int64_t n_in)
{
    for (int64_t b = 0; b < n_in / BLOCK; b++) {
        struct tensor_q8_0 block;
        memcpy(&block, row + (size_t)b * sizeof block, sizeof block);
        uint8_t *o = out + (size_t)b * Q8_0_BYTES;
        for (int i = 0; i < BLOCK; i++)
            o[64 * (i / 4) + 4 * lane + i % 4] = (uint8_t)(block.qs[i] ^ 0x80);
        memcpy(o + 512 + 2 * lane, &block.d, 2);
    }
}

static void vnni_pack_tile(struct tensor_matrix *m, int64_t tile)
{
    uint8_t *out = (uint8_t *)m->packed + (size_t)tile * tile_bytes(m->type, m->n_in);
    size_t row_bytes = tensor_row_bytes(m->type, m->n_in);
    for (int64_t lane = 0; lane < TILE && tile * TILE + lane < m->n_out; lane++) {
        const uint8_t *row = (const uint8_t *)m->rows + (size_t)(tile * TILE + lane) * row_bytes;
        if (m->type == TENSOR_Q4_1)
            pack_q4_1(out, row, lane, m->n_in);
        else if (m->type == TENSOR_Q8_0)
            pack_q8_0(out, row, lane, m->n_in);
        else
            pack_plain(out, row, lane, m->n_in, m->type == TENSOR_F16 ? 2 : 4);
    }
}

/* ---- activations ---- */

/*
 * A prepared row of n inputs: int8 [n], then f32 [n/32] scales s, f32 [n/32] s*sum(p), and
 * int32 [n/32] -128*sum(p), each array padded to 64 bytes.
 */
struct act_row {
    const int8_t *p;
    const float *scale;
    const float *scaled_sum;
    const int32_t *offset;
};

INLINE size_t round_64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static size_t vnni_act_row_bytes(int64_t n)
{
    size_t blocks = (size_t)((n + BLOCK - 1) / BLOCK);
    return round_64(blocks * BLOCK) + 3 * round_64(blocks * 4);
}

INLINE struct act_row act_row_at(const void *act, int64_t row, int64_t n)
{
    size_t blocks = (size_t)((n + BLOCK - 1) / BLOCK);
    const char *base = (const char *)act + (size_t)row * vnni_act_row_bytes(n);
    const char *scale = base + round_64(blocks * BLOCK);
    size_t step = round_64(blocks * 4);
    return (struct act_row){ (const int8_t *)base, (const float *)(const void *)scale,
                             (const float *)(const void *)(scale + step),
                             (const int32_t *)(const void *)(scale + 2 * step) };
}

/*
 * Scale max|x|/127, p = x * (127 / max|x|) rounded to nearest even. A block so small that
 * 127 / max overflows counts as zeros. One with a NaN or an infinity gets the scale NaN,
 * which reaches every output of the row.
 */
static void vnni_act_prepare(void *act, const float *x, int64_t n)
{
    size_t blocks = (size_t)((n + BLOCK - 1) / BLOCK);
    int8_t *p = act;
    float *scale = (float *)(void *)((char *)act + round_64(blocks * BLOCK));
    float *scaled_sum = scale + round_64(blocks * 4) / 4;
    int32_t *offset = (int32_t *)(void *)(scaled_sum + round_64(blocks * 4) / 4);
    for (size_t b = 0; b < blocks; b++) {
        int64_t left = n - (int64_t)b * BLOCK;
        __mmask16 m0 = tail(left);
        __mmask16 m1 = tail(left > 16 ? left - 16 : 0);
        __m512 x0 = _mm512_maskz_loadu_ps(m0, x + b * BLOCK);
        __m512 x1 = _mm512_maskz_loadu_ps(m1, x + b * BLOCK + 16);
        float max = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(x0), _mm512_abs_ps(x1)));
        bool finite = _mm512_cmp_ps_mask(x0, x1, _CMP_UNORD_Q) == 0 && max <= FLT_MAX;
        float inverse = 127.0f / max;
        if (!finite || inverse > FLT_MAX) {
            x0 = x1 = _mm512_setzero_ps();
            inverse = 0;
        }
        __m512i q0 = _mm512_cvtps_epi32(_mm512_mul_ps(x0, _mm512_set1_ps(inverse)));
        __m512i q1 = _mm512_cvtps_epi32(_mm512_mul_ps(x1, _mm512_set1_ps(inverse)));
        _mm_storeu_si128((__m128i *)(void *)(p + b * BLOCK), _mm512_cvtsepi32_epi8(q0));
        _mm_storeu_si128((__m128i *)(void *)(p + b * BLOCK + 16), _mm512_cvtsepi32_epi8(q1));
        int sum = _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
        scale[b] = finite ? max / 127.0f : NAN;
        scaled_sum[b] = scale[b] * (float)sum;
        offset[b] = -128 * sum;
    }
}

/* ---- multiplication ---- */

enum {
    ROWS = 8 /* rows that share a load of weights: 8 sums and 8 integer sums stay in registers */
};

/* Four int8 in every lane. */
INLINE __m512i broadcast4(const int8_t *p)
{
    int v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

INLINE __m512 load_f16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

INLINE void tile_q4_1(__m512 *sum, const uint8_t *w, int64_t n_blocks, const struct act_row *a,
                      const int n)
{
    const __m512i low = _mm512_set1_epi8(15);
    for (int64_t b = 0; b < n_blocks; b++, w += Q4_1_BYTES) {
        __m512i dot0[ROWS];
        __m512i dot1[ROWS];
#pragma GCC unroll 8
        for (int r = 0; r < n; r++)
            dot0[r] = dot1[r] = _mm512_setzero_si512();
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m512i v = _mm512_loadu_si512(w + 64 * j);
            __m512i lo = _mm512_and_si512(v, low);
            __m512i hi = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
#pragma GCC unroll 8
            for (int r = 0; r < n; r++) {
                const int8_t *p = a[r].p + b * BLOCK + 4 * j;
                dot0[r] = _mm512_dpbusd_epi32(dot0[r], lo, broadcast4(p));
                dot1[r] = _mm512_dpbusd_epi32(dot1[r], hi, broadcast4(p + 16));
            }
        }
        __m512 d = load_f16(w + 256);
        __m512 m = load_f16(w + 288);
#pragma GCC unroll 8
        for (int r = 0; r < n; r++) {
            __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(dot0[r], dot1[r]));
            __m512 ds = _mm512_mul_ps(d, _mm512_set1_ps(a[r].scale[b]));
            sum[r] = _mm512_fmadd_ps(ds, dot, sum[r]);
            sum[r] = _mm512_fmadd_ps(m, _mm512_set1_ps(a[r].scaled_sum[b]), sum[r]);
        }
    }
}

INLINE void tile_q8_0(__m512 *sum, const uint8_t *w, int64_t n_blocks, const struct act_row *a,
                      const int n)
{
    for (int64_t b = 0; b < n_blocks; b++, w += Q8_0_BYTES) {
        __m512i dot0[ROWS];
        __m512i dot1[ROWS];
#pragma GCC unroll 8
        for (int r = 0; r < n; r++) {
            dot0[r] = _mm512_set1_epi32(a[r].offset[b]);
            dot1[r] = _mm512_setzero_si512();
        }
#pragma GCC unroll 4
        for (int j = 0; j < 8; j += 2) {
            __m512i v0 = _mm512_loadu_si512(w + 64 * j);
            __m512i v1 = _mm512_loadu_si512(w + 64 * j + 64);
#pragma GCC unroll 8
            for (int r = 0; r < n; r++) {
                const int8_t *p = a[r].p + b * BLOCK + 4 * j;
                dot0[r] = _mm512_dpbusd_epi32(dot0[r], v0, broadcast4(p));
                dot1[r] = _mm512_dpbusd_epi32(dot1[r], v1, broadcast4(p + 4));
            }
        }
        __m512 d = load_f16(w + 512);
#pragma GCC unroll 8
        for (int r = 0; r < n; r++) {
            __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(dot0[r], dot1[r]));
            __m512 ds = _mm512_mul_ps(d, _mm512_set1_ps(a[r].scale[b]));
            sum[r] = _mm512_fmadd_ps(ds, dot, sum[r]);
        }
    }
}

INLINE void tile_f32(__m512 *sum, const uint8_t *w, int64_t n_in, const float *x, const int n)
{
    for (int64_t k = 0; k < n_in; k++) {
        __m512 v = _mm512_loadu_ps(w + (size_t)k * TILE * 4);
#pragma GCC unroll 8
        for (int r = 0; r < n; r++)
            sum[r] = _mm512_fmadd_ps(v, _mm512_set1_ps(x[r * n_in + k]), sum[r]);
    }
}

INLINE void tile_f16(__m512 *sum, const uint8_t *w, int64_t n_in, const float *x, const int n)
{
    for (int64_t k = 0; k < n_in; k++) {
        __m512 v = load_f16(w + (size_t)k * TILE * 2);
#pragma GCC unroll 8
        for (int r = 0; r < n; r++)
            sum[r] = _mm512_fmadd_ps(v, _mm512_set1_ps(x[r * n_in + k]), sum[r]);
    }
}

/* One tile of outputs for `n` rows, n a constant so that the sums live in registers. */
INLINE void tile_rows(float *y, const struct tensor_matrix *W, int64_t tile, const void *act,
                      const float *x, int64_t row, const int n)
{
    const uint8_t *w = (const uint8_t *)W->packed + (size_t)tile * tile_bytes(W->type, W->n_in);
    struct act_row a[ROWS];
    __m512 sum[ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < n; r++) {
        a[r] = act_row_at(act, row + r, W->n_in);
        sum[r] = _mm512_setzero_ps();
    }
    switch (W->type) {
    case TENSOR_F32:
        tile_f32(sum, w, W->n_in, x + row * W->n_in, n);
        break;
    case TENSOR_F16:
        tile_f16(sum, w, W->n_in, x + row * W->n_in, n);
        break;
    case TENSOR_Q4_1:
        tile_q4_1(sum, w, W->n_in / BLOCK, a, n);
        break;
    case TENSOR_Q8_0:
        tile_q8_0(sum, w, W->n_in / BLOCK, a, n);
        break;
    }
    int64_t left = W->n_out - tile * TILE;
    __mmask16 mask = tail(left);
#pragma GCC unroll 8
    for (int r = 0; r < n; r++)
        _mm512_mask_storeu_ps(y + (row + r) * W->n_out + tile * TILE, mask, sum[r]);
}

static void tile_rows_1(float *y, const struct tensor_matrix *W, int64_t tile, const void *act,
                        const float *x, int64_t row)
{
    tile_rows(y, W, tile, act, x, row, 1);
}

static void tile_rows_2(float *y, const struct tensor_matrix *W, int64_t tile, const void *act,
                        const float *x, int64_t row)
{
    tile_rows(y, W, tile, act, x, row, 2);
}

static void tile_rows_4(float *y, const struct tensor_matrix *W, int64_t tile, const void *act,
                        const float *x, int64_t row)
{
    tile_rows(y, W, tile, act, x, row, 4);
}

static void tile_rows_8(float *y, const struct tensor_matrix *W, int64_t tile, const void *act,
                        const float *x, int64_t row)
{
    tile_rows(y, W, tile, act, x, row, 8);
}

static void vnni_matmul(float *y, const struct tensor_matrix *W, int64_t tile_first,
                        int64_t tile_end, const void *act, const float *x, int64_t n_rows)
{
    for (int64_t tile = tile_first; tile < tile_end; tile++) {
        int64_t r = 0;
        for (; r + 8 <= n_rows; r += 8)
            tile_rows_8(y, W, tile, act, x, r);
        if (r + 4 <= n_rows) {
            tile_rows_4(y, W, tile, act, x, r);
            r += 4;
        }
        if (r + 2 <= n_rows) {
            tile_rows_2(y, W, tile, act, x, r);
            r += 2;
        }
        if (r < n_rows)
            tile_rows_1(y, W, tile, act, x, r);
    }
}

/* ---- rows ---- */

/*
 * e^x, relative error below 2e-7; infinite above 88.7; below -87 it stays at the smallest
 * normal numbers. 2^(x log2 e) with the fraction by a polynomial (Cephes expf). min and max
 * return their second operand if one is NaN, so a NaN comes through.
 */
INLINE __m512 exp_ps(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-87.0f), _mm512_min_ps(_mm512_set1_ps(100.0f), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    f = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), f);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(f, f), _mm512_add_ps(f, _mm512_set1_ps(1.0f)));
    return _mm512_scalef_ps(p, n);
}

static void vnni_rmsnorm(float *y, const float *x, const float *w, int64_t n, float eps)
{
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(tail(n - i), x + i);
        sum = _mm512_fmadd_ps(v, v, sum);
    }
    float scale = 1.0f / sqrtf(_mm512_reduce_add_ps(sum) / (float)n + eps);
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = tail(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_set1_ps(scale));
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, w + i)));
    }
}

static void vnni_add(float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = tail(n - i);
        __m512 v = _mm512_add_ps(_mm512_maskz_loadu_ps(m, x + i), _mm512_maskz_loadu_ps(m, y + i));
        _mm512_mask_storeu_ps(x + i, m, v);
    }
}

/* g / (1 + e^-g) */
INLINE __m512 silu_ps(__m512 g)
{
    __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), g));
    return _mm512_div_ps(g, _mm512_add_ps(e, _mm512_set1_ps(1.0f)));
}

/* g/2 (1 + tanh u) = g / (1 + e^-2u) with u = sqrt(2/pi) (g + 0.044715 g^3). */
INLINE __m512 gelu_ps(__m512 g)
{
    __m512 cube = _mm512_mul_ps(_mm512_mul_ps(g, g), g);
    __m512 u = _mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), g);
    __m512 e = exp_ps(_mm512_mul_ps(u, _mm512_set1_ps(-1.5957691216057308f)));
    return _mm512_div_ps(g, _mm512_add_ps(e, _mm512_set1_ps(1.0f)));
}

static void vnni_gated(enum tensor_gate kind, float *y, const float *gate, const float *up,
                       int64_t n)
{
    for (int64_t i = 0; i < n; i += 16) {
        __mmask16 m = tail(n - i);
        __m512 g = _mm512_maskz_loadu_ps(m, gate + i);
        g = kind == TENSOR_GATE_SILU ? silu_ps(g) : gelu_ps(g);
        _mm512_mask_storeu_ps(y + i, m, _mm512_mul_ps(g, _mm512_maskz_loadu_ps(m, up + i)));
    }
}

/* Neighbours, 8 pairs at a time: (a, b) -> (a c - b s, b c + a s). */
INLINE void rope_norm(float *head, const float *rot, int64_t n_pairs)
{
    for (int64_t i = 0; i < 2 * n_pairs; i += 16) {
        __mmask16 m = tail(2 * n_pairs - i);
        __m512 v = _mm512_maskz_loadu_ps(m, head + i);
        __m512 cs = _mm512_maskz_loadu_ps(m, rot + i);
        __m512 c = _mm512_moveldup_ps(cs);
        __m512 s = _mm512_movehdup_ps(cs);
        __m512 swapped = _mm512_permute_ps(v, 0xb1);
        _mm512_mask_storeu_ps(head + i, m, _mm512_fmaddsub_ps(v, c, _mm512_mul_ps(swapped, s)));
    }
}

/* Halves, 16 pairs at a time; `rot` alternates cosine and sine. */
INLINE void rope_neox(float *head, const float *rot, int64_t n_pairs)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    for (int64_t i = 0; i < n_pairs; i += 16) {
        __mmask16 m = tail(n_pairs - i);
        int64_t floats = 2 * (n_pairs - i);
        __m512 r0 = _mm512_maskz_loadu_ps(tail(floats), rot + 2 * i);
        __m512 r1 = floats > 16 ? _mm512_maskz_loadu_ps(tail(floats - 16), rot + 2 * i + 16)
                                : _mm512_setzero_ps();
        __m512 c = _mm512_permutex2var_ps(r0, even, r1);
        __m512 s = _mm512_permutex2var_ps(r0, odd, r1);
        __m512 a = _mm512_maskz_loadu_ps(m, head + i);
        __m512 b = _mm512_maskz_loadu_ps(m, head + n_pairs + i);
        _mm512_mask_storeu_ps(head + i, m, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(head + n_pairs + i, m, _mm512_fmadd_ps(a, s, _mm512_mul_ps(b, c)));
    }
}

static void vnni_rope(enum tensor_rope_kind kind, float *x, const float *rot, int64_t n_heads,
                      int64_t head_dim, int64_t n_pairs)
{
    for (int64_t h = 0; h < n_heads; h++) {
        if (kind == TENSOR_ROPE_NORM)
            rope_norm(x + h * head_dim, rot, n_pairs);
        else
            rope_neox(x + h * head_dim, rot, n_pairs);
    }
}

/* ---- KV and attention ---- */

/*
 * A head's part of a block: keys [head_dim][32] f16, transposed so that lanes are tokens,
 * then values [32][dim16] f16, dim16 = head_dim rounded up to 16 and padded with zeros.
 */
INLINE int64_t dim_16(int64_t head_dim)
{
    return (head_dim + 15) & ~(int64_t)15;
}

static size_t vnni_kv_head_bytes(int64_t head_dim)
{
    return (size_t)TENSOR_KV_BLOCK * 2 * (size_t)(head_dim + dim_16(head_dim));
}

INLINE uint8_t *values_of(const uint8_t *head, int64_t head_dim)
{
    return (uint8_t *)(uintptr_t)head + (size_t)head_dim * TENSOR_KV_BLOCK * 2;
}

static void vnni_kv_write(void *head, int64_t slot, const float *k, const float *v,
                          int64_t head_dim)
{
    uint8_t *keys = head;
    uint8_t *values = values_of(head, head_dim) + (size_t)slot * (size_t)dim_16(head_dim) * 2;
    for (int64_t i = 0; i < head_dim; i += 16) {
        __mmask16 m = tail(head_dim - i);
        uint16_t column[16];
        _mm256_storeu_si256((__m256i *)(void *)column,
                            _mm512_cvtps_ph(_mm512_maskz_loadu_ps(m, k + i),
                                            _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        for (int64_t j = 0; j < 16 && i + j < head_dim; j++)
            memcpy(keys + (size_t)((i + j) * TENSOR_KV_BLOCK + slot) * 2, &column[j], 2);
        _mm256_storeu_si256((__m256i *)(void *)(values + i * 2),
                            _mm512_cvtps_ph(_mm512_maskz_loadu_ps(m, v + i),
                                            _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
}

enum {
    PAIRS = 4 /* (row, query head) pairs that share a load of keys and values */
};

/* The running softmax of the pairs. */
struct attend {
    const float *q[PAIRS];
    float *out[PAIRS];
    int64_t oldest[PAIRS]; /* this pair sees the keys oldest..keys-1 */
    int64_t keys[PAIRS];
    int64_t keys_min; /* the first and the last key that any pair sees, and one more */
    int64_t keys_max;
    float max[PAIRS];
    float sum[PAIRS];
    float p[PAIRS][TENSOR_KV_BLOCK]; /* e^(score - max) in the current tile */
    float keep[PAIRS];               /* what the earlier tiles are multiplied with */
    float acc[PAIRS][HEAD_DIM_MAX];
};

/* score [PAIRS][32] = scale q k^T for one tile. */
INLINE void tile_scores(const struct attend *s, const uint8_t *keys, int64_t head_dim, float scale,
                        __m512 score[PAIRS][2])
{
#pragma GCC unroll 4
    for (int i = 0; i < PAIRS; i++)
        score[i][0] = score[i][1] = _mm512_setzero_ps();
    for (int64_t d = 0; d < head_dim; d++) {
        __m512 k0 = load_f16(keys + (size_t)d * 64);
        __m512 k1 = load_f16(keys + (size_t)d * 64 + 32);
#pragma GCC unroll 4
        for (int i = 0; i < PAIRS; i++) {
            __m512 q = _mm512_set1_ps(s->q[i][d]);
            score[i][0] = _mm512_fmadd_ps(k0, q, score[i][0]);
            score[i][1] = _mm512_fmadd_ps(k1, q, score[i][1]);
        }
    }
    __m512 scales = _mm512_set1_ps(scale);
#pragma GCC unroll 4
    for (int i = 0; i < PAIRS; i++) {
        score[i][0] = _mm512_mul_ps(score[i][0], scales);
        score[i][1] = _mm512_mul_ps(score[i][1], scales);
    }
}

/* The keys of the tile that begins at key `first` which pair i sees, a bit for each. */
INLINE uint32_t keys_seen(const struct attend *s, int i, int64_t first)
{
    int64_t begin = s->oldest[i] - first;
    int64_t end = s->keys[i] - first;
    if (end <= 0 || begin >= TENSOR_KV_BLOCK)
        return 0;
    uint32_t below_end = end >= TENSOR_KV_BLOCK ? UINT32_MAX : (1u << end) - 1;
    return begin <= 0 ? below_end : below_end & (UINT32_MAX << begin);
}

/* Moves maximum and sum of one pair over a tile of which it sees the keys `seen`. */
INLINE void tile_softmax(struct attend *s, int i, const __m512 score[2], uint32_t seen)
{
    if (seen == 0) {
        s->keep[i] = 1.0f;
        memset(s->p[i], 0, sizeof s->p[i]);
        return;
    }
    __mmask16 m0 = (__mmask16)seen;
    __mmask16 m1 = (__mmask16)(seen >> 16);
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 s0 = _mm512_mask_mov_ps(lowest, m0, score[0]);
    __m512 s1 = _mm512_mask_mov_ps(lowest, m1, score[1]);
    float max = _mm512_reduce_max_ps(_mm512_max_ps(s0, s1));
    max = max > s->max[i] ? max : s->max[i];
    __m512 top = _mm512_set1_ps(max);
    __m512 p0 = _mm512_maskz_mov_ps(m0, exp_ps(_mm512_sub_ps(s0, top)));
    __m512 p1 = _mm512_maskz_mov_ps(m1, exp_ps(_mm512_sub_ps(s1, top)));
    float keep = _mm512_cvtss_f32(exp_ps(_mm512_set1_ps(s->max[i] - max)));
    s->keep[i] = s->max[i] == -INFINITY ? 0.0f : s->max[i] == max ? 1.0f : keep;
    s->max[i] = max;
    s->sum[i] = s->sum[i] * s->keep[i] + _mm512_reduce_add_ps(_mm512_add_ps(p0, p1));
    _mm512_storeu_ps(s->p[i], p0);
    _mm512_storeu_ps(s->p[i] + 16, p1);
}

/* acc += p v for the keys t_begin..t_end-1, each for the pairs that see it. */
INLINE void values_for_some(const struct attend *s, __m512 acc[PAIRS][2], const uint8_t *values,
                            int64_t dim16, bool second, int64_t t_begin, int64_t t_end,
                            const uint32_t seen[PAIRS])
{
    for (int64_t t = t_begin; t < t_end; t++) {
        const uint8_t *v = values + (size_t)(t * dim16) * 2;
        __m512 v0 = load_f16(v);
        __m512 v1 = second ? load_f16(v + 32) : _mm512_setzero_ps();
#pragma GCC unroll 4
        for (int i = 0; i < PAIRS; i++) {
            __mmask16 m = seen[i] >> t & 1 ? 0xffff : 0;
            __m512 p = _mm512_set1_ps(s->p[i][t]);
            acc[i][0] = _mm512_mask3_fmadd_ps(p, v0, acc[i][0], m);
            acc[i][1] = _mm512_mask3_fmadd_ps(p, v1, acc[i][1], m);
        }
    }
}

/*
 * acc = acc * keep + p v, 32 dimensions at a time, the keys in order. A pair does not touch
 * the value of a key it does not see: 0 times infinity is not 0.
 */
INLINE void tile_values(struct attend *s, const uint8_t *values, int64_t dim16,
                        const uint32_t seen[PAIRS])
{
    uint32_t by_all = UINT32_MAX;
    uint32_t by_any = 0;
    for (int i = 0; i < PAIRS; i++) {
        by_all &= seen[i];
        by_any |= seen[i];
    }
    /* In the order of keys: some pairs (a window begins), all, some (the last rows end). */
    int64_t begin = by_any ? __builtin_ctz(by_any) : 0;
    int64_t end = by_any ? 32 - __builtin_clz(by_any) : 0;
    int64_t all_begin = by_all ? __builtin_ctz(by_all) : end;
    int64_t all_end = by_all ? 32 - __builtin_clz(by_all) : end;
    for (int64_t d = 0; d < dim16; d += 32) {
        bool second = d + 16 < dim16;
        __m512 acc[PAIRS][2];
#pragma GCC unroll 4
        for (int i = 0; i < PAIRS; i++) {
            __m512 keep = _mm512_set1_ps(s->keep[i]);
            acc[i][0] = _mm512_mul_ps(_mm512_loadu_ps(s->acc[i] + d), keep);
            acc[i][1] = second ? _mm512_mul_ps(_mm512_loadu_ps(s->acc[i] + d + 16), keep)
                               : _mm512_setzero_ps();
        }
        values_for_some(s, acc, values + d * 2, dim16, second, begin, all_begin, seen);
        for (int64_t t = all_begin; t < all_end; t++) {
            const uint8_t *v = values + (size_t)(t * dim16 + d) * 2;
            __m512 v0 = load_f16(v);
            __m512 v1 = second ? load_f16(v + 32) : _mm512_setzero_ps();
#pragma GCC unroll 4
            for (int i = 0; i < PAIRS; i++) {
                __m512 p = _mm512_set1_ps(s->p[i][t]);
                acc[i][0] = _mm512_fmadd_ps(p, v0, acc[i][0]);
                acc[i][1] = _mm512_fmadd_ps(p, v1, acc[i][1]);
            }
        }
        values_for_some(s, acc, values + d * 2, dim16, second, all_end, end, seen);
#pragma GCC unroll 4
        for (int i = 0; i < PAIRS; i++) {
            _mm512_storeu_ps(s->acc[i] + d, acc[i][0]);
            if (second)
                _mm512_storeu_ps(s->acc[i] + d + 16, acc[i][1]);
        }
    }
}

static void attend_pairs(struct attend *s, const struct tensor_heads *heads)
{
    int64_t head_dim = heads->head_dim;
    int64_t dim16 = dim_16(head_dim);
    for (int i = 0; i < PAIRS; i++) {
        s->max[i] = -INFINITY;
        s->sum[i] = 0;
        memset(s->acc[i], 0, (size_t)dim16 * sizeof(float));
    }
    int64_t first = s->keys_min / TENSOR_KV_BLOCK * TENSOR_KV_BLOCK;
    for (; first < s->keys_max; first += TENSOR_KV_BLOCK) {
        const uint8_t *head =
            heads->kv_head + heads->blocks[first / TENSOR_KV_BLOCK] * heads->block_bytes;
        __m512 score[PAIRS][2];
        uint32_t seen[PAIRS];
        tile_scores(s, head, head_dim, heads->scale, score);
#pragma GCC unroll 4
        for (int i = 0; i < PAIRS; i++) {
            seen[i] = keys_seen(s, i, first);
            tile_softmax(s, i, score[i], seen[i]);
        }
        tile_values(s, values_of(head, head_dim), dim16, seen);
    }
}

static void store_pair(const struct attend *s, int i, int64_t head_dim)
{
    __m512 inverse = _mm512_set1_ps(1.0f / s->sum[i]);
    for (int64_t d = 0; d < head_dim; d += 16)
        _mm512_mask_storeu_ps(s->out[i] + d, tail(head_dim - d),
                              _mm512_mul_ps(_mm512_loadu_ps(s->acc[i] + d), inverse));
}

/* What a pair reads, writes and sees. */
static void place_pair(struct attend *s, int i, int64_t pair, float *out, const float *q,
                       int64_t pos, const struct tensor_heads *heads)
{
    int64_t row = pair / heads->group;
    int64_t at = row * heads->stride + pair % heads->group * heads->head_dim;
    s->q[i] = q + at;
    s->out[i] = out + at;
    s->keys[i] = pos + row + 1;
    s->oldest[i] =
        heads->window > 0 && s->keys[i] > heads->window ? s->keys[i] - heads->window : 0;
    s->keys_max = s->keys[i] > s->keys_max ? s->keys[i] : s->keys_max;
    s->keys_min = s->oldest[i] < s->keys_min ? s->oldest[i] : s->keys_min;
}

static void vnni_attention(float *out, const float *q, int64_t n_rows, int64_t pos,
                           const struct tensor_heads *heads)
{
    ASSERT(heads->head_dim <= HEAD_DIM_MAX);
    struct attend s;
    int64_t count = n_rows * heads->group;
    for (int64_t first = 0; first < count; first += PAIRS) {
        int64_t n = count - first < PAIRS ? count - first : PAIRS;
        s.keys_max = 0;
        s.keys_min = INT64_MAX;
        for (int i = 0; i < PAIRS; i++) /* a free place repeats the first pair */
            place_pair(&s, i, first + (i < n ? i : 0), out, q, pos, heads);
        attend_pairs(&s, heads);
        for (int i = 0; i < n; i++)
            store_pair(&s, i, heads->head_dim);
    }
}

const struct tensor_isa tensor_isa_avx512vnni = {
    .name = "avx512vnni",
    .is_available = vnni_is_available,
    .supports = vnni_supports,
    .tile_len = TILE,
    .pack_bytes = vnni_pack_bytes,
    .pack_tile = vnni_pack_tile,
    .act_row_bytes = vnni_act_row_bytes,
    .act_prepare = vnni_act_prepare,
    .matmul = vnni_matmul,
    .rmsnorm = vnni_rmsnorm,
    .add = vnni_add,
    .gated = vnni_gated,
    .rope = vnni_rope,
    .kv_head_bytes = vnni_kv_head_bytes,
    .kv_write = vnni_kv_write,
    .attention = vnni_attention,
    .attention_rows = 8,
};
