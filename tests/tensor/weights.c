#include "tensor/weights.h"

#include <check.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/codes.h"
#include "tensor/dequant.h"

const enum tensor_type g_types[TYPES] = {
    TENSOR_F32,  TENSOR_F16,    TENSOR_BF16,   TENSOR_Q4_0,  TENSOR_Q4_1, TENSOR_Q5_0,
    TENSOR_Q5_1, TENSOR_Q8_0,   TENSOR_Q2_K,   TENSOR_Q3_K,  TENSOR_Q4_K, TENSOR_Q5_K,
    TENSOR_Q6_K, TENSOR_IQ4_NL, TENSOR_IQ4_XS, TENSOR_MXFP4,
};

bool is_quantised(enum tensor_type type)
{
    return tensor_type_info(type)->block_len > 1;
}

/* ---- random blocks ---- */

static void put_half(uint8_t *p, uint16_t h)
{
    memcpy(p, &h, sizeof h);
}

void set_scales(enum tensor_type type, uint8_t *block, uint16_t d, uint16_t m)
{
    switch ((int)type) {
    case TENSOR_Q2_K:
        put_half(block + 80, d);
        put_half(block + 82, m);
        return;
    case TENSOR_Q3_K:
        put_half(block + 108, d);
        return;
    case TENSOR_Q6_K:
        put_half(block + 208, d);
        return;
    case TENSOR_MXFP4:
        return;
    case TENSOR_Q4_1:
    case TENSOR_Q5_1:
    case TENSOR_Q4_K:
    case TENSOR_Q5_K:
        put_half(block + 2, m);
        put_half(block, d);
        return;
    default:
        put_half(block, d);
    }
}

/* Scales of halves so that values are about 1 whatever the codes. */
static void random_block(struct numbers *rnd, enum tensor_type type, uint8_t *block)
{
    for (int i = 0; i < tensor_type_info(type)->block_bytes; i++)
        block[i] = (uint8_t)numbers_next(rnd);
    int down = type == TENSOR_Q8_0 || type == TENSOR_IQ4_NL ? 3 : 0;
    bool integer_scales = tensor_type_info(type)->block_len == 256;
    if (integer_scales)
        down = type == TENSOR_IQ4_XS || type == TENSOR_Q6_K ? 5 : 3;
    uint16_t d = half_random(rnd, 8 - down, 12 - down);
    uint16_t m = integer_scales ? half_random(rnd, 5, 9) : half_random(rnd, 8, 15);
    set_scales(type, block, d, m);
    if (type == TENSOR_MXFP4)
        block[0] = (uint8_t)(122 + numbers_below(rnd, 6));
    if (type == TENSOR_Q8_0 && numbers_below(rnd, 4) == 0)
        block[2 + numbers_below(rnd, 32)] = 0x80; /* -128, which has no positive twin */
}

static void random_plain(struct numbers *rnd, enum tensor_type type, uint8_t *at, bool small)
{
    float x = numbers_unit(rnd);
    if (type == TENSOR_F32)
        memcpy(at, &x, sizeof x);
    else if (type == TENSOR_F16)
        put_half(at, half_random(rnd, small ? 0 : 8, 15)); /* some of them subnormal */
    else
        memcpy(at, (const char *)&x + 2, 2); /* bf16: the high half of a float */
}

void random_weights(struct numbers *rnd, enum tensor_type type, uint8_t *rows, int64_t n)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    for (int64_t i = 0; i < n / info->block_len; i++) {
        uint8_t *at = rows + i * info->block_bytes;
        if (is_quantised(type))
            random_block(rnd, type, at);
        else
            random_plain(rnd, type, at, i % 50 == 0);
    }
}

/* ---- matrices ---- */

struct weights take_weights(struct numbers *rnd, const struct tensor_isa *isa, struct team *team,
                            enum tensor_type type, int64_t n_out, int64_t n_in,
                            enum guard_side side)
{
    struct weights w = { .rows = guarded_take((size_t)n_out * tensor_row_bytes(type, n_in), side) };
    random_weights(rnd, type, w.rows.p, n_out * n_in);
    w.m = (struct tensor_matrix){ .type = type, .n_out = n_out, .n_in = n_in, .rows = w.rows.p };
    ck_assert_int_eq(tensor_matrix_pack(&w.m, isa, team), OK);
    return w;
}

void give_weights(struct weights *w)
{
    tensor_matrix_unpack(&w->m);
    guarded_give(&w->rows);
}

/* |d q| + |min| for the elements of one block whose values are known. */
static void block_absolute(enum tensor_type type, const uint8_t *block, const double *value,
                           double *absolute)
{
    const struct tensor_form form = tensor_form(type);
    struct tensor_codes c;
    tensor_codes_read(type, block, &c);
    for (int i = 0; i < tensor_type_info(type)->block_len; i++) {
        double min = form.has_min ? half_value(c.m) * c.mn[i / form.scale_len] : 0;
        absolute[i] = fabs(value[i] + min) + fabs(min);
    }
}

struct values take_values(const struct tensor_matrix *m)
{
    const struct tensor_type_info *info = tensor_type_info(m->type);
    size_t count = (size_t)(m->n_out * m->n_in);
    struct values v = { mem_alloc(MEM_TENSOR, count * sizeof(double)),
                        mem_alloc(MEM_TENSOR, count * sizeof(double)) };
    ck_assert(v.value && v.absolute);
    const uint8_t *block = m->rows;
    for (size_t i = 0; i < count; i += (size_t)info->block_len, block += info->block_bytes) {
        float y[TENSOR_BLOCK_MAX];
        tensor_dequant(m->type, block, info->block_len, y);
        for (size_t k = 0; k < (size_t)info->block_len; k++) {
            v.value[i + k] = (double)y[k];
            v.absolute[i + k] = fabs((double)y[k]);
        }
        if (is_quantised(m->type))
            block_absolute(m->type, block, v.value + i, v.absolute + i);
    }
    return v;
}

void give_values(struct values *v)
{
    mem_free(v->value);
    mem_free(v->absolute);
}
