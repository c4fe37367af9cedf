#ifndef TENSOR_KERNELS_H
#define TENSOR_KERNELS_H

/* The kernels of the sets for x86-64, by the names in struct tensor_isa. */
#include "tensor/isa.h"

enum {
    AVX512_TILE = 16, /* outputs: the 32-bit lanes of a register */
    AVX2_TILE = 8
};

void act_prepare_avx512(void *act, const float *x, int64_t n);
void matmul_avx512(float *y, const struct tensor_matrix *W, int64_t tile_first, int64_t tile_end,
                   const void *act, const float *x, int64_t n_rows);
void rmsnorm_avx512(float *y, const float *x, const float *w, int64_t n, float eps);
void add_avx512(float *x, const float *y, int64_t n);
void gated_avx512(enum tensor_gate kind, float *y, const float *gate, const float *up, int64_t n);
void rope_avx512(enum tensor_rope_kind kind, float *x, const float *rot, int64_t n_heads,
                 int64_t head_dim, int64_t n_pairs);
size_t kv_head_bytes_avx512(int64_t head_dim);
void kv_write_avx512(void *head, int64_t slot, const float *k, const float *v, int64_t head_dim);
void attention_avx512(float *out, const float *q, int64_t n_rows, int64_t pos,
                      const struct tensor_heads *heads);
uint64_t limit_int8_avx512(uint64_t rounds);
uint64_t limit_f32_avx512(uint64_t rounds);
void limit_read_avx512(const void *data, size_t bytes);

/* With AMX; the rest is AVX-512's. */
void matmul_amx(float *y, const struct tensor_matrix *W, int64_t tile_first, int64_t tile_end,
                const void *act, const float *x, int64_t n_rows);
uint64_t limit_tiles_amx(uint64_t rounds);

void act_prepare_avx2(void *act, const float *x, int64_t n);
void matmul_avx2(float *y, const struct tensor_matrix *W, int64_t tile_first, int64_t tile_end,
                 const void *act, const float *x, int64_t n_rows);
void rmsnorm_avx2(float *y, const float *x, const float *w, int64_t n, float eps);
void add_avx2(float *x, const float *y, int64_t n);
void gated_avx2(enum tensor_gate kind, float *y, const float *gate, const float *up, int64_t n);
void rope_avx2(enum tensor_rope_kind kind, float *x, const float *rot, int64_t n_heads,
               int64_t head_dim, int64_t n_pairs);
size_t kv_head_bytes_avx2(int64_t head_dim);
void kv_write_avx2(void *head, int64_t slot, const float *k, const float *v, int64_t head_dim);
void attention_avx2(float *out, const float *q, int64_t n_rows, int64_t pos,
                    const struct tensor_heads *heads);
uint64_t limit_int8_avx2(uint64_t rounds);
uint64_t limit_f32_avx2(uint64_t rounds);
void limit_read_avx2(const void *data, size_t bytes);

#endif
