#ifndef TENSOR_ISA_H
#define TENSOR_ISA_H

#include "tensor/tensor.h"

/* The query heads of one KV head and where their keys and values are. */
struct tensor_heads {
    int64_t group; /* query heads, neighbours in a row */
    int64_t head_dim;
    int64_t stride; /* floats from a row to the next in q and out */
    float scale;
    int64_t window;         /* 0: all keys */
    const uint8_t *kv_head; /* this layer and head in block 0; block b lies b * block_bytes on */
    size_t head_bytes;      /* to the next head, of the next layer behind the last */
    size_t block_bytes;
    const uint32_t *blocks; /* the sequence's block table */
};

/*
 * What an instruction set provides. Every function is pure, runs in one thread and works on
 * one tile; tensor.c splits the work. The reference set is plain C in double precision and
 * defines what the others approximate.
 */
struct tensor_isa {
    const char *name;
    bool (*is_available)(void); /* by what the CPU has and the system saves */

    /* ---- weights ---- */
    bool (*supports)(enum tensor_type type);
    int64_t tile_len; /* outputs of one matmul tile */
    /* Bytes of the packed form, 0: none wanted. */
    size_t (*pack_bytes)(enum tensor_type type, int64_t n_out, int64_t n_in);
    /* Packs the outputs of one tile. */
    void (*pack_tile)(struct tensor_matrix *m, int64_t tile);

    /* ---- activations ---- */
    size_t (*act_row_bytes)(int64_t n); /* prepared form of a row, a multiple of 64; may be 0 */
    void (*act_prepare)(void *act, const float *x, int64_t n);

    /*
     * y[r][o] for all rows r and the outputs o of tiles tile_first..tile_end-1. `act` holds
     * the prepared rows, x the plain ones; y has W->n_out columns.
     */
    void (*matmul)(float *y, const struct tensor_matrix *W, int64_t tile_first, int64_t tile_end,
                   const void *act, const float *x, int64_t n_rows);

    /* ---- rows ---- */
    void (*rmsnorm)(float *y, const float *x, const float *w, int64_t n, float eps);
    void (*add)(float *x, const float *y, int64_t n);
    void (*gated)(enum tensor_gate kind, float *y, const float *gate, const float *up, int64_t n);
    void (*rope)(enum tensor_rope_kind kind, float *x, const float *rot, int64_t n_heads,
                 int64_t head_dim, int64_t n_pairs);

    /* ---- KV ---- */
    size_t (*kv_head_bytes)(int64_t head_dim);
    /* Stores one token's key and value of one head at `slot` of the head's part of a block. */
    void (*kv_write)(void *head, int64_t slot, const float *k, const float *v, int64_t head_dim);
    /*
     * Attention of `n_rows` neighbouring rows of one sequence, the first at position `pos`,
     * for the query heads that share one KV head. q and out point at the first of these heads
     * in the first row.
     */
    void (*attention)(float *out, const float *q, int64_t n_rows, int64_t pos,
                      const struct tensor_heads *heads);
    int64_t attention_rows; /* rows of one call at most */

    /* ---- limits (limits.h) ---- */
    /* Multiplies and adds on registers, as the products do; returns the operations done. */
    uint64_t (*limit_int8)(uint64_t rounds);
    uint64_t (*limit_f32)(uint64_t rounds);
    uint64_t (*limit_tiles)(uint64_t rounds); /* int8 on tile registers; NULL: there are none */
    /* Reads `bytes`, a multiple of 256. */
    void (*limit_read)(const void *data, size_t bytes);
};

extern const struct tensor_isa tensor_isa_ref;
#if defined(__x86_64__)
extern const struct tensor_isa tensor_isa_avx2;
extern const struct tensor_isa tensor_isa_avx512vnni;
extern const struct tensor_isa tensor_isa_amx;
#elif defined(__aarch64__)
extern const struct tensor_isa tensor_isa_neon;
#endif

/* IEEE half to single, exactly. */
static inline float tensor_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 31u;
    uint32_t fraction = h & 0x3ffu;
    uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | (fraction << 13);
    } else if (exponent != 0) {
        bits = sign | ((exponent + 112u) << 23) | (fraction << 13);
    } else if (fraction == 0) {
        bits = sign;
    } else {
        int shift = __builtin_clz(fraction) - 21; /* to put the leading bit at bit 10 */
        bits = sign | ((uint32_t)(113 - shift) << 23) | (((fraction << shift) & 0x3ffu) << 13);
    }
    float f;
    __builtin_memcpy(&f, &bits, sizeof f);
    return f;
}

/* The high half of a single. */
static inline float tensor_bf16_to_f32(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    __builtin_memcpy(&f, &bits, sizeof f);
    return f;
}

#endif
