#ifndef TENSOR_ARM_KERNELS_H
#define TENSOR_ARM_KERNELS_H

/* The kernels of the set for AArch64, by the names in struct tensor_isa. */
#include "tensor/isa.h"

enum {
    NEON_TILE = 8 /* outputs: the 32-bit lanes of two registers */
};

void act_prepare_neon(void *act, const float *x, int64_t n);
void matmul_neon(float *y, const struct tensor_matrix *W, int64_t tile_first, int64_t tile_end,
                 const void *act, const float *x, int64_t n_rows);
void rmsnorm_neon(float *y, const float *x, const float *w, int64_t n, float eps);
void add_neon(float *x, const float *y, int64_t n);
void gated_neon(enum tensor_gate kind, float *y, const float *gate, const float *up, int64_t n);
void rope_neon(enum tensor_rope_kind kind, float *x, const float *rot, int64_t n_heads,
               int64_t head_dim, int64_t n_pairs);
size_t kv_head_bytes_neon(int64_t head_dim);
void kv_write_neon(void *head, int64_t slot, const float *k, const float *v, int64_t head_dim);
void attention_neon(float *out, const float *q, int64_t n_rows, int64_t pos,
                    const struct tensor_heads *heads);
uint64_t limit_int8_neon(uint64_t rounds);
uint64_t limit_f32_neon(uint64_t rounds);
void limit_read_neon(const void *data, size_t bytes);

#endif
