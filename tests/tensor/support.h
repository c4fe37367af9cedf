#ifndef TESTS_TENSOR_SUPPORT_H
#define TESTS_TENSOR_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/isa.h"

/* ---- instruction sets ---- */

enum {
    ISAS_MAX = 8
};

/* The sets this machine has, the reference first. Returns how many. */
int isas_find(const struct tensor_isa *isas[ISAS_MAX]);

/* Whether two sets promise each other's bits: all but the reference do. */
bool isas_share_bits(const struct tensor_isa *a, const struct tensor_isa *b);

/* ---- seeded numbers ---- */

struct numbers {
    uint64_t state;
};

/* The seed of a test program: VALET_TEST_SEED or a fixed one. Prints it. */
void numbers_announce(void);
/* A stream of numbers that depends on the seed and on `stream`. */
struct numbers numbers_start(uint64_t stream);
uint64_t numbers_next(struct numbers *n);
/* 0 .. bound-1 */
int64_t numbers_below(struct numbers *n, int64_t bound);
/* Uniform in -1 .. 1, a multiple of 2^-23. */
float numbers_unit(struct numbers *n);
void numbers_fill(struct numbers *n, float *x, int64_t count, float scale);

/* ---- half precision, by arithmetic and not by bits ---- */

double half_value(uint16_t h);
/* The half nearest to x, ties to even; infinite from 65520 on. */
double half_round(double x);
/* A random half of magnitude 2^(low-15) .. 2^(high-14), exponent fields low..high. */
uint16_t half_random(struct numbers *n, int low, int high);

/* ---- memory between two pages that cannot be touched ---- */

enum guard_side {
    GUARD_AFTER, /* the last byte touches the page after it */
    GUARD_BEFORE /* the first byte follows the page before it */
};

struct guarded {
    void *p;
    size_t bytes;
    uint8_t *map;
    size_t map_bytes;
};

/*
 * `bytes` bytes that touch a forbidden page on one side; the rest of the page on the other
 * side and the bytes themselves hold 0xff (a NaN in f16 and f32). Never fails.
 */
struct guarded guarded_take(size_t bytes, enum guard_side side);
/* Also checks that the rest of the page is as it was. */
void guarded_give(struct guarded *g);

/* ---- comparing ---- */

/* Index of the first float whose bits differ, or -1. */
int64_t bits_differ(const float *a, const float *b, int64_t count);

#endif
