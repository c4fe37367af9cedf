#ifndef TOKENIZER_VOCAB_H
#define TOKENIZER_VOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "tokenizer/tokenizer.h"

/*
 * The tokens: their texts as the file has them, the raw bytes they stand for, and the way
 * from a text to its id. Immutable after init.
 */
struct tokenizer_vocab {
    int32_t count;
    uint8_t *types;    /* [count] enum tokenizer_type */
    char *texts;       /* all texts, one behind the other */
    uint32_t *text_at; /* [count + 1] where each begins in `texts` */
    char *bytes;       /* all raw bytes, likewise */
    uint32_t *byte_at; /* [count + 1] */
    size_t bytes_max;  /* of the longest token */
    size_t text_max;   /* likewise */

    /* text to id: open addressing, linear probing, at most half full */
    int32_t *slots; /* [slot_mask + 1] an id, or -1 */
    uint64_t slot_mask;
    uint64_t seed;

    /* raw bytes to id, likewise, for normal tokens written in the byte alphabet; else NULL */
    int32_t *byte_slots;
};

/*
 * E_CORRUPT: no token at all, a type that is none, two tokens with one text. E_TOO_BIG,
 * E_NOMEM. On an error tokenizer_vocab_fini is still to be called.
 */
enum base_err tokenizer_vocab_init(struct tokenizer_vocab *v, const struct tokenizer_source *source,
                                   uint64_t seed, struct base_err_info *info);
void tokenizer_vocab_fini(struct tokenizer_vocab *v);

/* The id of the token with exactly this text, or -1. */
int32_t tokenizer_vocab_find(const struct tokenizer_vocab *v, const char *text, size_t len);

/*
 * Makes tokenizer_vocab_find_bytes possible. E_NOMEM. Called once, after init.
 */
enum base_err tokenizer_vocab_index_bytes(struct tokenizer_vocab *v);

/* The id of the normal token that stands for exactly these bytes, or -1. len > 0. */
int32_t tokenizer_vocab_find_bytes(const struct tokenizer_vocab *v, const char *bytes, size_t len);

/* Whether a token comes out only where its text is trusted (README, rule 1). */
static inline bool tokenizer_vocab_is_reserved(const struct tokenizer_vocab *v, int32_t id)
{
    return v->types[id] == TOKENIZER_CONTROL || v->types[id] == TOKENIZER_UNKNOWN;
}

static inline struct tokenizer_text tokenizer_vocab_text(const struct tokenizer_vocab *v,
                                                         int32_t id)
{
    return (struct tokenizer_text){ v->texts + v->text_at[id],
                                    v->text_at[id + 1] - v->text_at[id] };
}

static inline struct tokenizer_text tokenizer_vocab_bytes(const struct tokenizer_vocab *v,
                                                          int32_t id)
{
    return (struct tokenizer_text){ v->bytes + v->byte_at[id],
                                    v->byte_at[id + 1] - v->byte_at[id] };
}

#endif
