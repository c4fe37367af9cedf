#ifndef TENSOR_CODES_H
#define TENSOR_CODES_H

#include <stdint.h>

#include "tensor/types.h"

/*
 * Quantised blocks taken apart: what all block types have in common, so that dequantising and
 * packing need no knowledge of a type's bits. An element's value is
 *
 *     (d * sc) * v - m * mn    with v = q - offset, or table[q] where there is a table
 *
 * each step rounded to f32.
 */
struct tensor_form {
    uint8_t bits; /* of a code q: 2, 3, 4, 5, 6 or 8; 0: not quantised */
    uint8_t offset;
    const int8_t *table; /* [16], or NULL */
    uint8_t scale_len;   /* elements that share sc and mn: 16 or 32 */
    bool has_min;
    bool has_scales; /* a block of 256 with integer sc and mn; else these are 1 */
};

extern const int8_t tensor_table_iq4[16];
extern const int8_t tensor_table_mxfp4[16]; /* twice the values of e2m1 */

/* Inline: a kernel for one type gets constants. */
static inline __attribute__((always_inline)) struct tensor_form
tensor_form(const enum tensor_type type)
{
    switch (type) {
    case TENSOR_F32:
    case TENSOR_F16:
    case TENSOR_BF16:
        break;
    case TENSOR_Q4_0:
        return (struct tensor_form){ .bits = 4, .offset = 8, .scale_len = 32 };
    case TENSOR_Q4_1:
        return (struct tensor_form){ .bits = 4, .scale_len = 32, .has_min = true };
    case TENSOR_Q5_0:
        return (struct tensor_form){ .bits = 5, .offset = 16, .scale_len = 32 };
    case TENSOR_Q5_1:
        return (struct tensor_form){ .bits = 5, .scale_len = 32, .has_min = true };
    case TENSOR_Q8_0:
        return (struct tensor_form){ .bits = 8, .offset = 128, .scale_len = 32 };
    case TENSOR_Q2_K:
        return (
            struct tensor_form){ .bits = 2, .scale_len = 16, .has_min = true, .has_scales = true };
    case TENSOR_Q3_K:
        return (struct tensor_form){ .bits = 3, .offset = 4, .scale_len = 16, .has_scales = true };
    case TENSOR_Q4_K:
        return (
            struct tensor_form){ .bits = 4, .scale_len = 32, .has_min = true, .has_scales = true };
    case TENSOR_Q5_K:
        return (
            struct tensor_form){ .bits = 5, .scale_len = 32, .has_min = true, .has_scales = true };
    case TENSOR_Q6_K:
        return (struct tensor_form){ .bits = 6, .offset = 32, .scale_len = 16, .has_scales = true };
    case TENSOR_IQ4_NL:
        return (struct tensor_form){ .bits = 4, .table = tensor_table_iq4, .scale_len = 32 };
    case TENSOR_IQ4_XS:
        return (struct tensor_form){
            .bits = 4, .table = tensor_table_iq4, .scale_len = 32, .has_scales = true
        };
    case TENSOR_MXFP4:
        return (struct tensor_form){ .bits = 4, .table = tensor_table_mxfp4, .scale_len = 32 };
    }
    return (struct tensor_form){ 0 };
}

/* The integers of one block; a block of 32 fills the beginning of the arrays. */
struct tensor_codes {
    uint8_t q[TENSOR_BLOCK_MAX];
    int8_t sc[TENSOR_BLOCK_MAX / 16]; /* one for each scale_len elements */
    uint8_t mn[TENSOR_BLOCK_MAX / 16];
    uint16_t d; /* f16; mxfp4: the exponent e of 2^(e - 128) */
    uint16_t m; /* f16: dmin of the blocks of 256; 0 without minimum */
};

/* Takes apart one block at any address. In q4_1 and q5_1 m is the stored minimum negated. */
void tensor_codes_read(enum tensor_type type, const void *block, struct tensor_codes *c);

/* 2^(e - 128), the scale of an mxfp4 block whose values are doubled. */
static inline float tensor_e8m0_half(uint8_t e)
{
    uint32_t bits = e < 2 ? (uint32_t)0x00200000 << e : (uint32_t)(e - 1) << 23;
    float f;
    __builtin_memcpy(&f, &bits, sizeof f);
    return f;
}

#endif
