#ifndef TESTS_TENSOR_WEIGHTS_H
#define TESTS_TENSOR_WEIGHTS_H

#include "tensor/support.h"
#include "tensor/tensor.h"

/* Matrices of every type for the tests of products. */

enum {
    TYPES = 16
};

extern const enum tensor_type g_types[TYPES];

bool is_quantised(enum tensor_type type);

/* Random blocks whose values are about 1, at any address. n: a multiple of the block length. */
void random_weights(struct numbers *rnd, enum tensor_type type, uint8_t *rows, int64_t n);

/* Sets the halves that scale one block. Nothing for MXFP4, which has none. */
void set_scales(enum tensor_type type, uint8_t *block, uint16_t d, uint16_t m);

/* A matrix whose rows touch a forbidden page, packed for `isa`. */
struct weights {
    struct guarded rows;
    struct tensor_matrix m;
};

struct weights take_weights(struct numbers *rnd, const struct tensor_isa *isa, struct team *team,
                            enum tensor_type type, int64_t n_out, int64_t n_in,
                            enum guard_side side);
void give_weights(struct weights *w);

/*
 * Element values, and how large the terms are that a kernel adds for one: |d q| + |min|.
 * Both from `rows`; the golden test of dequantisation vouches for tensor_dequant.
 */
struct values {
    double *value;    /* [n_out][n_in] */
    double *absolute; /* [n_out][n_in] */
};

struct values take_values(const struct tensor_matrix *m);
void give_values(struct values *v);

#endif
