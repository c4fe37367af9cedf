#ifndef TOKENIZER_FAMILY_H
#define TOKENIZER_FAMILY_H

#include <stddef.h>

#include "tokenizer/tokenizer.h"

enum {
    TOKENIZER_PASS_COUNT_MAX = 6
};

enum tokenizer_family_flag {
    TOKENIZER_FAMILY_NFC = 1,    /* text is brought to form C before it is cut */
    TOKENIZER_FAMILY_WHOLE = 2,  /* a piece that is a token is taken without merging */
    TOKENIZER_FAMILY_ADD_BOS = 4 /* what a file means that does not say */
};

/*
 * How a kind of vocabulary cuts text into pieces before merging: patterns applied one after
 * another, each to the pieces of the one before. What a pattern matches becomes pieces; so
 * does what lies between. A new family is a new row of the table.
 */
struct tokenizer_family {
    const char *name;                               /* tokenizer.ggml.pre */
    unsigned flags;                                 /* enum tokenizer_family_flag */
    const char *patterns[TOKENIZER_PASS_COUNT_MAX]; /* PCRE2, never matching nothing; NULL ends */
};

/* The family of this name, or NULL. */
const struct tokenizer_family *tokenizer_family_find(struct tokenizer_text name);

#endif
