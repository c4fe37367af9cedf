#ifndef TENSOR_TYPES_H
#define TENSOR_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tensor types by their numbers in GGUF files. */
enum tensor_type {
    TENSOR_F32 = 0,
    TENSOR_F16 = 1,
    TENSOR_Q4_0 = 2,
    TENSOR_Q4_1 = 3,
    TENSOR_Q5_0 = 6,
    TENSOR_Q5_1 = 7,
    TENSOR_Q8_0 = 8,
    TENSOR_Q2_K = 10,
    TENSOR_Q3_K = 11,
    TENSOR_Q4_K = 12,
    TENSOR_Q5_K = 13,
    TENSOR_Q6_K = 14,
    TENSOR_IQ4_NL = 20,
    TENSOR_IQ4_XS = 23,
    TENSOR_BF16 = 30,
    TENSOR_MXFP4 = 39
};

/*
 * Blocks as they lie in files, little endian; d, m and dmin are f16. `n4`: 16 bytes, low
 * nibbles elements 0..15, high nibbles 16..31. codes.c says which bits of the blocks of 256
 * belong to which element.
 */

struct tensor_q4_0 {
    uint16_t d;
    uint8_t n4[16]; /* value d * (q - 8) */
};
_Static_assert(sizeof(struct tensor_q4_0) == 18, "q4_0 block");

struct tensor_q4_1 {
    uint16_t d;
    uint16_t m;
    uint8_t n4[16]; /* value d * q + m */
};
_Static_assert(sizeof(struct tensor_q4_1) == 20, "q4_1 block");

struct tensor_q5_0 {
    uint16_t d;
    uint8_t qh[4];  /* bit i of the little-endian number: the fifth bit of element i */
    uint8_t n4[16]; /* value d * (q - 16) */
};
_Static_assert(sizeof(struct tensor_q5_0) == 22, "q5_0 block");

struct tensor_q5_1 {
    uint16_t d;
    uint16_t m;
    uint8_t qh[4];
    uint8_t n4[16]; /* value d * q + m */
};
_Static_assert(sizeof(struct tensor_q5_1) == 24, "q5_1 block");

struct tensor_q8_0 {
    uint16_t d;
    int8_t qs[32]; /* value d * q */
};
_Static_assert(sizeof(struct tensor_q8_0) == 34, "q8_0 block");

struct tensor_q2_k {
    uint8_t scales[16]; /* per 16 elements: low nibble sc, high nibble mn */
    uint8_t qs[64];     /* value (d * sc) * q - dmin * mn */
    uint16_t d;
    uint16_t dmin;
};
_Static_assert(sizeof(struct tensor_q2_k) == 84, "q2_k block");

struct tensor_q3_k {
    uint8_t hmask[32];
    uint8_t qs[64];     /* value (d * (sc - 32)) * (q - 4), q with its third bit from hmask */
    uint8_t scales[12]; /* 16 of 6 bits, per 16 elements */
    uint16_t d;
};
_Static_assert(sizeof(struct tensor_q3_k) == 110, "q3_k block");

struct tensor_q4_k {
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[12]; /* 8 sc and 8 mn of 6 bits, per 32 elements */
    uint8_t qs[128];    /* value (d * sc) * q - dmin * mn */
};
_Static_assert(sizeof(struct tensor_q4_k) == 144, "q4_k block");

struct tensor_q5_k {
    uint16_t d;
    uint16_t dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128]; /* as in q4_k, q with its fifth bit from qh */
};
_Static_assert(sizeof(struct tensor_q5_k) == 176, "q5_k block");

struct tensor_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16]; /* per 16 elements */
    uint16_t d;        /* value (d * sc) * (q - 32) */
};
_Static_assert(sizeof(struct tensor_q6_k) == 210, "q6_k block");

struct tensor_iq4_nl {
    uint16_t d;
    uint8_t n4[16]; /* value d * K[q], K: tensor_table_iq4 */
};
_Static_assert(sizeof(struct tensor_iq4_nl) == 18, "iq4_nl block");

struct tensor_iq4_xs {
    uint16_t d;
    uint16_t scales_high;  /* bits 4 and 5 of 8 scales */
    uint8_t scales_low[4]; /* bits 0..3, a nibble each */
    uint8_t n4[8][16];     /* value (d * (sc - 32)) * K[q], sc per 32 elements */
};
_Static_assert(sizeof(struct tensor_iq4_xs) == 136, "iq4_xs block");

struct tensor_mxfp4 {
    uint8_t e;      /* scale 2^(e - 128) */
    uint8_t n4[16]; /* value scale * F[q], F: tensor_table_mxfp4 */
};
_Static_assert(sizeof(struct tensor_mxfp4) == 17, "mxfp4 block");

enum {
    TENSOR_BLOCK_MAX = 256, /* elements in a block of any type */
    TENSOR_BLOCK_BYTES_MAX = 210
};

struct tensor_type_info {
    const char *name;  /* "q4_1" */
    int32_t block_len; /* elements in a block */
    int32_t block_bytes;
};

/* NULL for a number that is not known. */
const struct tensor_type_info *tensor_type_info(uint32_t type);

/* Bytes of a row of n elements; n is a multiple of the block length. */
size_t tensor_row_bytes(enum tensor_type type, int64_t n);

#endif
