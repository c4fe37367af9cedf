#ifndef TOKENIZER_TOKENIZER_INT_H
#define TOKENIZER_TOKENIZER_INT_H

#include "tokenizer/merges.h"
#include "tokenizer/specials.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"

struct tokenizer {
    struct tokenizer_vocab vocab;
    struct tokenizer_merges merges;
    struct tokenizer_specials specials;
    struct tokenizer_splitter splitter;
    int32_t byte_ids[256]; /* the token of each single byte, or -1 */
    int32_t bos_id;        /* -1: none */
    int32_t eos_id;        /* -1: none */
    bool add_bos;
};

/* E_TOO_BIG, E_NOMEM; then nothing has changed. */
enum base_err tokenizer_ids_push(struct tokenizer_ids *ids, int32_t id);

/* A byte or a token in a long piece; a list in the order of the text. */
struct tokenizer_symbol {
    int32_t id;   /* -1: merged into the one before */
    int32_t prev; /* -1: none */
    int32_t next; /* -1: none */
};

/* Memory for merging long pieces; grows to the longest. Starts zeroed. Owner thread only. */
struct tokenizer_bpe_work {
    struct tokenizer_symbol *symbols; /* [cap] */
    uint64_t *heap;                   /* [2 * cap] rank in the upper half, position in the lower */
    size_t heap_count;
    size_t cap;
};

void tokenizer_bpe_work_fini(struct tokenizer_bpe_work *w);

/*
 * Appends the tokens of one piece: its bytes, then the best merge, the leftmost where it
 * occurs twice, until none is left. Bytes that have no token are left out beforehand.
 * E_TOO_BIG, E_NOMEM; `ids` may then hold a part.
 */
enum base_err tokenizer_bpe_encode(const struct tokenizer *t, struct tokenizer_text piece,
                                   struct tokenizer_bpe_work *w, struct tokenizer_ids *ids);

#endif
