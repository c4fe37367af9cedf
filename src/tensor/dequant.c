#include "tensor/dequant.h"

#include <string.h>

#include "base/assert.h"
#include "tensor/isa.h"

/* Values as (d * q) + m, each step rounded to f32: the bits of the gguf package. */
static void q4_1(const struct tensor_q4_1 *b, float *y)
{
    float d = tensor_f16_to_f32(b->d);
    float m = tensor_f16_to_f32(b->m);
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)(b->qs[i] & 15) + m;
        y[i + 16] = d * (float)(b->qs[i] >> 4) + m;
    }
}

static void q8_0(const struct tensor_q8_0 *b, float *y)
{
    float d = tensor_f16_to_f32(b->d);
    for (int i = 0; i < 32; i++)
        y[i] = d * (float)b->qs[i];
}

void tensor_dequant(enum tensor_type type, const void *blocks, int64_t n, float *y)
{
    const uint8_t *p = blocks; /* files may align less than the block's type */
    switch (type) {
    case TENSOR_F32:
        memcpy(y, p, (size_t)n * sizeof *y);
        return;
    case TENSOR_F16:
        for (int64_t i = 0; i < n; i++) {
            uint16_t h;
            memcpy(&h, p + 2 * i, sizeof h);
            y[i] = tensor_f16_to_f32(h);
        }
        return;
    case TENSOR_Q4_1:
        for (int64_t i = 0; i < n / 32; i++) {
            struct tensor_q4_1 b;
            memcpy(&b, p + (size_t)i * sizeof b, sizeof b);
            q4_1(&b, y + 32 * i);
        }
        return;
    case TENSOR_Q8_0:
        for (int64_t i = 0; i < n / 32; i++) {
            struct tensor_q8_0 b;
            memcpy(&b, p + (size_t)i * sizeof b, sizeof b);
            q8_0(&b, y + 32 * i);
        }
        return;
    }
    ASSERT(0 && "known tensor type");
}

void tensor_matrix_row(const struct tensor_matrix *m, int64_t row, float *y)
{
    ASSERT(row >= 0 && row < m->n_out);
    size_t row_bytes = tensor_row_bytes(m->type, m->n_in);
    tensor_dequant(m->type, (const uint8_t *)m->rows + (size_t)row * row_bytes, m->n_in, y);
}
