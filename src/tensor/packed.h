#ifndef TENSOR_PACKED_H
#define TENSOR_PACKED_H

/*
 * What the vector instruction sets share: how weights are packed and how activations are
 * prepared. Everything here is compiled with baseline flags or always inlined, so that no
 * wide instruction ends up in code that runs everywhere.
 *
 * Packed weights. A tile is `lanes` outputs (16 with AVX-512, 8 with AVX2 and NEON); lane i of a
 * register belongs to output i, or of two registers where one is too short. The inputs come in
 * blocks of 32, the blocks in groups: one block, or the 8 of a type with integer scales. A group
 * lies together, in the order in which a kernel reads it, because a step back costs a memory
 * stream a third of its speed:
 *
 *     one block             codes, then d, then m
 *     8 blocks              d, m, then sc and mn of each block, then the codes of each block
 *
 * with codes in `bits` registers as below, d and m f16 [lanes] (mxfp4: u8 exponents), sc and mn
 * u8 or i8 [lanes].
 *
 *   type           bits  d        m        sc, mn for each block    bytes for 16 x 32, file
 *   q4_0, iq4_nl   4     f16      -        -                        288        288
 *   q4_1           4     f16      f16      -                        320        320
 *   q5_0           5     f16      -        -                        352        352
 *   q5_1           5     f16      f16      -                        384        384
 *   q8_0           8     f16      -        -                        544        544
 *   mxfp4          4     u8 exp.  -        -                        272        272
 *   q2_k           2     f16/256  f16/256  2 x (sc | mn << 4)       168        168
 *   q3_k           3     f16/256  -        2 x sc                   228        220
 *   q4_k           4     f16/256  f16/256  sc, mn                   296        288
 *   q5_k           5     f16/256  f16/256  sc, mn                   360        352
 *   q6_k           6     f16/256  -        2 x sc                   420        420
 *   iq4_xs         4     f16/256  -        sc                       276        272
 *
 * "2 x": for inputs 0..15 and 16..31 of the block. d * sc has up to 19 significant bits and
 * fits no f16, so both stay apart: exact, and nearly as short as the file.
 *
 * Codes. Input i of a block is byte i%4 of word i/4 of its lane. With w[0..7] the words of
 * 8-bit codes, the registers hold for each lane
 *     8 bits   w[0] .. w[7]
 *     4 bits   w[j] | w[j+4] << 4                      j = 0..3
 *     5 bits   as 4 bits, then bit 4 of w[j] at bit j  j = 0..7
 *     6 bits   as 4 bits, then bits 4 and 5 of w[j], w[j+4] at 2j, two registers, j = 0..3
 *     2 bits   w[j], w[j+4] at 2j, two registers       j = 0..3
 *     3 bits   as 2 bits, then bit 2 of w[j] at bit j  j = 0..7
 * so that shifts and masks give back w[0..3], inputs 0..15, and w[4..7], inputs 16..31.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/codes.h"
#include "tensor/tensor.h"

#define TENSOR_INLINE static inline __attribute__((always_inline))

/* The types of weights, for tables of functions by type: X(type, name). */
#define PACKED_QUANTISED(X)                                                                        \
    X(TENSOR_Q4_0, q4_0)                                                                           \
    X(TENSOR_Q4_1, q4_1)                                                                           \
    X(TENSOR_Q5_0, q5_0)                                                                           \
    X(TENSOR_Q5_1, q5_1)                                                                           \
    X(TENSOR_Q8_0, q8_0)                                                                           \
    X(TENSOR_Q2_K, q2_k)                                                                           \
    X(TENSOR_Q3_K, q3_k)                                                                           \
    X(TENSOR_Q4_K, q4_k)                                                                           \
    X(TENSOR_Q5_K, q5_k)                                                                           \
    X(TENSOR_Q6_K, q6_k)                                                                           \
    X(TENSOR_IQ4_NL, iq4_nl)                                                                       \
    X(TENSOR_IQ4_XS, iq4_xs)                                                                       \
    X(TENSOR_MXFP4, mxfp4)
#define PACKED_TYPES(X)                                                                            \
    PACKED_QUANTISED(X)                                                                            \
    X(TENSOR_F32, f32)                                                                             \
    X(TENSOR_F16, f16)                                                                             \
    X(TENSOR_BF16, bf16)

enum {
    PACKED_BLOCK = 32 /* inputs that share an activation's scale */
};

/* ---- packed weights ---- */

/* Blocks of 32 in a group. */
TENSOR_INLINE int packed_group_blocks(const enum tensor_type type)
{
    return tensor_form(type).has_scales ? 8 : 1;
}

TENSOR_INLINE size_t packed_codes_bytes(const enum tensor_type type, const int lanes)
{
    return (size_t)(tensor_form(type).bits * 4 * lanes); /* of one block */
}

/* Bytes of sc and mn of one block. */
TENSOR_INLINE size_t packed_sc_bytes(const enum tensor_type type, const int lanes)
{
    const struct tensor_form form = tensor_form(type);
    if (!form.has_scales)
        return 0;
    return (size_t)(lanes * (form.scale_len == 16 || form.has_min ? 2 : 1));
}

/* Bytes of d and m of a group. */
TENSOR_INLINE size_t packed_dm_bytes(const enum tensor_type type, const int lanes)
{
    if (type == TENSOR_MXFP4)
        return (size_t)lanes;
    return (size_t)(lanes * (tensor_form(type).has_min ? 4 : 2));
}

/* Offsets in a group: of d, of the first block's sc, of the first block's codes. */
TENSOR_INLINE size_t packed_d_at(const enum tensor_type type, const int lanes)
{
    return tensor_form(type).has_scales ? 0 : packed_codes_bytes(type, lanes);
}

TENSOR_INLINE size_t packed_sc_at(const enum tensor_type type, const int lanes)
{
    return packed_dm_bytes(type, lanes); /* where there are sc */
}

TENSOR_INLINE size_t packed_codes_at(const enum tensor_type type, const int lanes)
{
    if (!tensor_form(type).has_scales)
        return 0;
    return packed_dm_bytes(type, lanes) + 8 * packed_sc_bytes(type, lanes);
}

TENSOR_INLINE size_t packed_group_bytes(const enum tensor_type type, const int lanes)
{
    size_t block = packed_codes_bytes(type, lanes) + packed_sc_bytes(type, lanes);
    return packed_dm_bytes(type, lanes) + (size_t)packed_group_blocks(type) * block;
}

/* Bytes of a tile, of any type. */
TENSOR_INLINE size_t packed_tile_bytes(const enum tensor_type type, int64_t n_in, const int lanes)
{
    if (tensor_form(type).bits == 0)
        return (size_t)(n_in * lanes * (type == TENSOR_F32 ? 4 : 2));
    return (size_t)(n_in / PACKED_BLOCK / packed_group_blocks(type)) *
           packed_group_bytes(type, lanes);
}

/* Every type can be packed. */
bool tensor_pack_supports(enum tensor_type type);
size_t tensor_pack_bytes(enum tensor_type type, int64_t n_out, int64_t n_in, int lanes);

/* Packs one tile. The codes of q8_0 are bytes: unsigned as stored in codes, or signed. */
void tensor_pack_tile(struct tensor_matrix *m, int64_t tile, int lanes, bool signed_bytes);

/* ---- prepared activations ---- */

/*
 * A prepared row of n inputs in blocks of 32: int8 p [n] with x = s * p, then the arrays at
 * these offsets in bytes, each padded to 64: s, and what minima and offsets of weights are
 * multiplied with. The rows of a batch follow each other.
 *
 * A block with a value that holds more than a sixteenth of the energy of its row, of which
 * there are few, has a rest as well: x = s * (p + r/254), int8 r. Large values stand beside
 * small ones there, and rounded to a common scale these blocks would make most of the error
 * of a model's answers. r is 0 in all others.
 */
struct act_layout {
    size_t scale;         /* f32 [n/32] s */
    size_t scaled_sum;    /* f32 [n/32] s * sum(p + r/254) */
    size_t scaled_sum16;  /* f32 [n/16] the same of half a block */
    size_t offset;        /* i32 [n/32] -128 * sum(p) */
    size_t offset16;      /* i32 [n/16] -128 * sum(p) of half a block */
    size_t rest;          /* i8 [n] r */
    size_t rest_offset;   /* i32 [n/32] -128 * sum(r) */
    size_t rest_offset16; /* i32 [n/16] -128 * sum(r) of half a block */
    size_t has_rest;      /* u64 [n/32/64] a bit for each block */
    size_t row_bytes;
};

#define ACT_REST_SCALE (1.0f / 254.0f)

TENSOR_INLINE size_t packed_round_64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

TENSOR_INLINE struct act_layout act_layout_of(int64_t n)
{
    size_t blocks = (size_t)((n + PACKED_BLOCK - 1) / PACKED_BLOCK);
    struct act_layout a;
    a.scale = packed_round_64(blocks * PACKED_BLOCK);
    a.scaled_sum = a.scale + packed_round_64(blocks * 4);
    a.scaled_sum16 = a.scaled_sum + packed_round_64(blocks * 4);
    a.offset = a.scaled_sum16 + packed_round_64(blocks * 8);
    a.offset16 = a.offset + packed_round_64(blocks * 4);
    a.rest = a.offset16 + packed_round_64(blocks * 8);
    a.rest_offset = a.rest + packed_round_64(blocks * PACKED_BLOCK);
    a.rest_offset16 = a.rest_offset + packed_round_64(blocks * 4);
    a.has_rest = a.rest_offset16 + packed_round_64(blocks * 8);
    a.row_bytes = a.has_rest + packed_round_64((blocks + 63) / 64 * 8);
    return a;
}

size_t tensor_act_row_bytes(int64_t n);

/* Element i of the array at `offset` of a row. */
TENSOR_INLINE float act_f32(const uint8_t *row, size_t offset, int64_t i)
{
    float f;
    __builtin_memcpy(&f, row + (offset + (size_t)i * 4), sizeof f);
    return f;
}

TENSOR_INLINE int32_t act_i32(const uint8_t *row, size_t offset, int64_t i)
{
    int32_t n;
    __builtin_memcpy(&n, row + (offset + (size_t)i * 4), sizeof n);
    return n;
}

/* Whether a block with this largest magnitude has a rest, in a row with this sum of squares. */
TENSOR_INLINE bool act_has_rest(float max, float energy)
{
    return 16.0f * max * max > energy;
}

TENSOR_INLINE bool act_has(const uint8_t *row, const struct act_layout *a, int64_t b)
{
    return row[a->has_rest + (size_t)(b / 8)] >> b % 8 & 1;
}

/* The words of has_rest of blocks 64 * word.., of any of `n` rows. */
TENSOR_INLINE uint64_t act_rests(const uint8_t *const *rows, const struct act_layout *a,
                                 int64_t word, const int n)
{
    uint64_t any = 0;
    for (int r = 0; r < n; r++) {
        uint64_t bits;
        __builtin_memcpy(&bits, rows[r] + a->has_rest + 8 * (size_t)word, sizeof bits);
        any |= bits;
    }
    return any;
}

/* ---- products ---- */

/* What a product is given: see matmul in isa.h. */
struct packed_job {
    float *y;
    const struct tensor_matrix *W;
    int64_t tile_first;
    int64_t tile_end;
    const void *act;
    const float *x;
    int64_t n_rows;
};

TENSOR_INLINE const uint8_t *packed_tile(const struct packed_job *job, const enum tensor_type type,
                                         int64_t tile, const int lanes)
{
    return (const uint8_t *)job->W->packed +
           (size_t)tile * packed_tile_bytes(type, job->W->n_in, lanes);
}

#endif
