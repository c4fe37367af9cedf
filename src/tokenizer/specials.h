#ifndef TOKENIZER_SPECIALS_H
#define TOKENIZER_SPECIALS_H

#include <stddef.h>
#include <stdint.h>

#include "tokenizer/vocab.h"

struct tokenizer_special {
    const char *data; /* in the vocabulary */
    size_t len;       /* > 0 */
    int32_t id;
    bool control; /* or unknown; else user-defined */
};

/*
 * The tokens that are matched as a whole before any splitting, sorted by their bytes, so
 * that a match is a walk down an ever narrower range. Immutable after init.
 */
struct tokenizer_specials {
    struct tokenizer_special *all; /* [count] */
    int32_t count;
    int32_t first[257]; /* those that begin with byte b: first[b] to first[b + 1] */
};

/* Borrows `v` until tokenizer_specials_fini. E_TOO_BIG: a token of more than 1,024 bytes.
 * E_NOMEM. On an error tokenizer_specials_fini is still to be called. */
enum base_err tokenizer_specials_init(struct tokenizer_specials *s, const struct tokenizer_vocab *v,
                                      struct base_err_info *info);
void tokenizer_specials_fini(struct tokenizer_specials *s);

/*
 * The longest special token that `data` begins with, or NULL: user-defined ones of at most
 * `len` bytes, control tokens of at most `control_len` (<= len). len >= 1.
 * Cost: O(length of the longest special * log(count)); O(1) where none begins.
 */
const struct tokenizer_special *tokenizer_specials_match(const struct tokenizer_specials *s,
                                                         const char *data, size_t len,
                                                         size_t control_len);

#endif
