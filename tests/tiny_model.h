#ifndef TESTS_TINY_MODEL_H
#define TESTS_TINY_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/types.h"

/*
 * Tiny random llama models for tests, written as GGUF to a file in the temporary directory.
 * The same shape gives the same file. Logits are far from flat, attention looks at far
 * tokens, norm weights are not 1.
 *
 * The vocabulary: token b (0..255) is byte b; then the merges "th", "the", ... of
 * TINY_MERGE_COUNT tokens; then fillers "<xN>" that only a model's own answer contains; the
 * last three are <|endoftext|>, <|im_start|> and <|im_end|>, control tokens. With `spm` it is
 * SentencePiece's, with a space before each text, and half of the fillers begin with one.
 */
enum {
    TINY_MERGE_COUNT = 8,
    TINY_MERGE_FIRST = 256,
    TINY_LAYERS_MAX = 4
};

struct tiny_shape {
    const char *name;
    int32_t layers;
    int32_t width;
    int32_t heads;
    int32_t kv_heads;
    int32_t head_dim;
    int32_t rope_dim;
    int32_t ffn;
    int32_t vocab; /* >= 256 + TINY_MERGE_COUNT + 3 */
    int32_t context;
    enum tensor_type type; /* of the matrices; vectors are F32 */
    bool tied;             /* the head is the embedding */
    bool spm;
    uint64_t seed;
    int32_t eos_id;           /* -1: <|im_end|> */
    int32_t poisoned_id;      /* this token's embedding is NaN; -1: none. F32, not tied */
    const char *extra_tensor; /* one more vector with this name; NULL: none */
};

/* Sizes a kernel likes; and sizes that fit nothing: head_dim != width/heads, one KV head,
 * a partial rotation, a vocabulary that is no multiple of 16. Both take types of blocks of 32. */
struct tiny_shape tiny_plain(enum tensor_type type);
struct tiny_shape tiny_nasty(enum tensor_type type);
/* Takes all types: sizes are multiples of 256. */
struct tiny_shape tiny_wide(enum tensor_type type);
/* F32 only: no size is a multiple of anything, odd head_dim. */
struct tiny_shape tiny_odd(void);

/* The values the file holds, in f32, computed from the blocks without the code under test. */
struct tiny_layer {
    float *attn_norm;
    float *q;
    float *k;
    float *v;
    float *o;
    float *ffn_norm;
    float *gate;
    float *up;
    float *down;
};

struct tiny_model {
    struct tiny_shape shape;
    char path[256];
    float *embed;
    float *head; /* == embed if tied */
    float *out_norm;
    struct tiny_layer layers[TINY_LAYERS_MAX];
};

/* Writes the file. Aborts if it cannot. Memory is from libc: base/mem.h does not count it. */
void tiny_model_write(struct tiny_model *m, const struct tiny_shape *shape);

/* Removes the file and releases the values. */
void tiny_model_remove(struct tiny_model *m);

/*
 * The teacher: logits [count][vocab] of all positions of `ids`, in double precision, each
 * layer over the whole text, no cache. Written for clarity alone.
 */
void tiny_model_logits(const struct tiny_model *m, const int32_t *ids, int32_t count,
                       double *logits);

/* A seeded sequence of numbers, for tests. */
struct tiny_random {
    uint64_t state;
};

uint64_t tiny_random_u64(struct tiny_random *r);
int32_t tiny_random_below(struct tiny_random *r, int32_t n); /* 0..n-1 */
double tiny_random_unit(struct tiny_random *r);              /* [0, 1) */
double tiny_random_normal(struct tiny_random *r);            /* about N(0, 1), within +-3.5 */

#endif
