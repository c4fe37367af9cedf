#ifndef CLI_BENCH_RUN_H
#define CLI_BENCH_RUN_H

#include <stdint.h>

#include "base/err.h"
#include "model/model.h"

/* A model with the buffers of the largest pass that is measured. */
struct bench {
    const struct tensor_isa *isa;
    struct team *team;
    struct model *model;
    struct model_state state;
    struct tensor_kv kv;
    float *logits; /* [batch_max][vocab] */
    int64_t chunk; /* rows of a pass of a prompt at most */
    int64_t batch_max;
    uint32_t *blocks;        /* [blocks_long + batch_max * blocks_each] block tables */
    int64_t blocks_long;     /* of the long sequence */
    int64_t blocks_each;     /* of a row of a decode batch */
    int32_t *ids;            /* [rows], with the three below: a batch */
    int32_t *pos;            /* [rows] */
    int32_t *out_rows;       /* [rows] */
    const uint32_t **tables; /* [rows] */
};

enum {
    BENCH_DECODE_DEPTH = 128, /* tokens before those that a decode batch adds */
    BENCH_DECODE_STEPS = 32
};

struct bench_options {
    const char *path;
    int32_t threads; /* 0: all */
    int64_t chunk;
    int64_t long_max; /* tokens of the longest sequence */
    int64_t batch_max;
};

/* Gives: bench_close, also after an error. One line in `info`. */
enum base_err bench_open(struct bench *b, const struct bench_options *options,
                         struct base_err_info *info);
void bench_close(struct bench *b);

/* Seconds of the passes over `tokens` behind `depth` others of one sequence. */
double bench_prefill(struct bench *b, int64_t tokens, int64_t depth);

/* Seconds of a step of `batch` sequences, one new token each. */
double bench_decode(struct bench *b, int64_t batch);

#endif
