#ifndef TOKENIZER_TOKENIZER_INT_H
#define TOKENIZER_TOKENIZER_INT_H

#include "tokenizer/merges.h"
#include "tokenizer/nfc.h"
#include "tokenizer/specials.h"
#include "tokenizer/split.h"
#include "tokenizer/spm.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"

struct tokenizer {
    enum tokenizer_kind kind;
    struct tokenizer_vocab vocab;
    struct tokenizer_merges merges;
    struct tokenizer_specials specials;
    struct tokenizer_splitter splitter; /* BPE */
    struct tokenizer_spm spm;           /* SPM */
    int32_t byte_ids[256];              /* the token of each single byte, or -1 */
    int32_t bos_id;                     /* -1: none */
    int32_t eos_id;                     /* -1: none */
    int32_t unknown_id;                 /* SPM; -1: none */
    bool add_bos;
    bool add_eos;
    bool add_space_prefix; /* SPM */
    bool nfc;              /* BPE: the family's */
};

/* E_TOO_BIG, E_NOMEM; then nothing has changed. */
enum base_err tokenizer_ids_push(struct tokenizer_ids *ids, int32_t id);

/* A byte or a token in a long piece; a list in the order of the text. */
struct tokenizer_symbol {
    int32_t id;   /* -1: merged into the one before */
    int32_t prev; /* -1: none */
    int32_t next; /* -1: none */
};

/* Memory for merging; grows to the longest piece. Starts zeroed. Owner thread only. */
struct tokenizer_bpe_work {
    int32_t *ids; /* [ids_cap] the symbols of a piece, then what they became */
    size_t ids_cap;

    struct tokenizer_symbol *symbols; /* [cap] */
    uint64_t *heap;                   /* [2 * cap] rank in the upper half, position in the lower */
    size_t heap_count;
    size_t cap;
};

void tokenizer_bpe_work_fini(struct tokenizer_bpe_work *w);

/* Room for `count` ids; keeps those that are there. E_NOMEM. */
enum base_err tokenizer_bpe_work_ids(struct tokenizer_bpe_work *w, size_t count);

/*
 * Merges ids[*count] in place: the best rank first, the leftmost where it occurs twice, until
 * no pair is left that has a merge. E_TOO_BIG: more than 2^31 symbols. E_NOMEM.
 */
enum base_err tokenizer_bpe_merge(const struct tokenizer_merges *m, struct tokenizer_bpe_work *w,
                                  int32_t *ids, size_t *count);

/*
 * Appends the tokens of one piece: itself if the family takes whole pieces and it is a
 * token, else its bytes, merged. Bytes that have no token are left out beforehand.
 * E_TOO_BIG, E_NOMEM; `ids` may then hold a part.
 */
enum base_err tokenizer_bpe_encode(const struct tokenizer *t, struct tokenizer_text piece,
                                   struct tokenizer_bpe_work *w, struct tokenizer_ids *ids);

/*
 * Appends the tokens of a text between special tokens, well-formed or not, with a space
 * before it if the file asks for that. E_TOO_BIG, E_NOMEM; `ids` may then hold a part.
 */
enum base_err tokenizer_spm_encode(const struct tokenizer *t, struct tokenizer_text text,
                                   struct tokenizer_bpe_work *w, struct tokenizer_ids *ids);

#endif
