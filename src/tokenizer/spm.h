#ifndef TOKENIZER_SPM_H
#define TOKENIZER_SPM_H

#include <stdbool.h>
#include <stdint.h>

#include "tokenizer/merges.h"
#include "tokenizer/vocab.h"

/* A character and the symbol that merging begins with. */
struct tokenizer_char {
    uint32_t key; /* its UTF-8, the first byte highest, zeros behind; 0: free */
    int32_t id;   /* its token; from vocab.count on: it has none, but longer tokens hold it */
};

/*
 * What SentencePiece needs beside the merges: the characters of its normal tokens.
 * Immutable after init.
 */
struct tokenizer_spm {
    struct tokenizer_char *slots; /* [slot_mask + 1], open addressing, at most half full */
    uint64_t slot_mask;
    uint64_t seed;
    int32_t char_count;
    uint32_t *lone; /* [lone_cap] the keys of ids vocab.count, vocab.count + 1, ... */
    int32_t lone_count;
    int32_t lone_cap;
    bool words;       /* no token holds a space behind something else: words are independent */
    bool byte_tokens; /* there is a token for each byte */
};

/*
 * Makes the table of characters, and the merges out of the scores. E_CORRUPT: no or bad
 * scores, nothing to encode text with. E_TOO_BIG, E_NOMEM. `byte_ids` as in struct tokenizer.
 * On an error tokenizer_spm_fini and tokenizer_merges_fini are still to be called.
 */
enum base_err tokenizer_spm_init(struct tokenizer_spm *spm, struct tokenizer_merges *m,
                                 const struct tokenizer_vocab *v,
                                 const struct tokenizer_source *source, const int32_t byte_ids[256],
                                 uint64_t seed, struct base_err_info *info);
void tokenizer_spm_fini(struct tokenizer_spm *spm);

#endif
