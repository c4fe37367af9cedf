#include "tensor/dequant.h"

#include <string.h>

#include "base/assert.h"
#include "tensor/codes.h"
#include "tensor/isa.h"

static void plain(enum tensor_type type, const uint8_t *p, int64_t n, float *y)
{
    if (type == TENSOR_F32) {
        memcpy(y, p, (size_t)n * sizeof *y);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof h);
        y[i] = type == TENSOR_F16 ? tensor_f16_to_f32(h) : tensor_bf16_to_f32(h);
    }
}

/*
 * (d * sc) * v - m * mn, each step rounded to f32: the bits of the gguf package. Without a
 * minimum 0 is taken away, which changes nothing.
 */
static void block(enum tensor_type type, struct tensor_form form, const struct tensor_codes *c,
                  int len, float *y)
{
    float d = type == TENSOR_MXFP4 ? tensor_e8m0_half((uint8_t)c->d) : tensor_f16_to_f32(c->d);
    float m = form.has_min ? tensor_f16_to_f32(c->m) : 0;
    for (int at = 0; at < len; at += 16) {
        float scale = d * (float)c->sc[at / form.scale_len];
        float min = form.has_min ? m * (float)c->mn[at / form.scale_len] : 0;
        int v[16];
        if (form.table) {
            for (int i = 0; i < 16; i++)
                v[i] = form.table[c->q[at + i]];
        } else {
            for (int i = 0; i < 16; i++)
                v[i] = c->q[at + i] - form.offset;
        }
        for (int i = 0; i < 16; i++)
            y[at + i] = scale * (float)v[i] - min;
    }
}

void tensor_dequant(enum tensor_type type, const void *blocks, int64_t n, float *y)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    ASSERT(info && n % info->block_len == 0);
    struct tensor_form form = tensor_form(type);
    if (form.bits == 0) {
        plain(type, blocks, n, y);
        return;
    }
    const uint8_t *p = blocks;
    for (int64_t i = 0; i < n; i += info->block_len, p += info->block_bytes) {
        struct tensor_codes c;
        tensor_codes_read(type, p, &c);
        block(type, form, &c, info->block_len, y + i);
    }
}

void tensor_matrix_row(const struct tensor_matrix *m, int64_t row, float *y)
{
    ASSERT(row >= 0 && row < m->n_out);
    size_t row_bytes = tensor_row_bytes(m->type, m->n_in);
    tensor_dequant(m->type, (const uint8_t *)m->rows + (size_t)row * row_bytes, m->n_in, y);
}
