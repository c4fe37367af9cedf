#ifndef TENSOR_TYPES_H
#define TENSOR_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tensor types by their numbers in GGUF files. */
enum tensor_type {
    TENSOR_F32 = 0,
    TENSOR_F16 = 1,
    TENSOR_Q4_1 = 3,
    TENSOR_Q8_0 = 8
};

/* Blocks as they lie in files, little endian. */
struct tensor_q4_1 {
    uint16_t d;     /* f16 scale */
    uint16_t m;     /* f16 minimum */
    uint8_t qs[16]; /* low nibbles: elements 0..15, high nibbles: 16..31; value d*q + m */
};
_Static_assert(sizeof(struct tensor_q4_1) == 20, "q4_1 block");

struct tensor_q8_0 {
    uint16_t d;    /* f16 scale */
    int8_t qs[32]; /* value d*q */
};
_Static_assert(sizeof(struct tensor_q8_0) == 34, "q8_0 block");

struct tensor_type_info {
    const char *name;    /* "q4_1" */
    int32_t block_len;   /* elements in a block */
    int32_t block_bytes;
};

/* NULL for a number that is not known. */
const struct tensor_type_info *tensor_type_info(uint32_t type);

/* Bytes of a row of n elements; n is a multiple of the block length. */
size_t tensor_row_bytes(enum tensor_type type, int64_t n);

#endif
