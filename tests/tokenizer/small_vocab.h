#ifndef TESTS_TOKENIZER_SMALL_VOCAB_H
#define TESTS_TOKENIZER_SMALL_VOCAB_H

#include "tokenizer/tokenizer.h"

/*
 * A small vocabulary made by hand: token b (0..255) is byte b; behind them those below.
 * Tests may change the source before they create a tokenizer from it.
 */
enum small_id {
    SMALL_TH = 256, /* "th" */
    SMALL_HE,       /* "he" */
    SMALL_THE,      /* "the" */
    SMALL_AA,       /* "aa" */
    SMALL_AAAA,     /* "aaaa" */
    SMALL_AB,       /* "ab" */
    SMALL_SPACE_A,  /* " a" */
    SMALL_SPACES,   /* two spaces */
    SMALL_FORGED,   /* a control token "<->" that merges could make */
    SMALL_ARROW,    /* "<-" */
    SMALL_START,    /* control "<|s|>" */
    SMALL_START2,   /* control "<|s|>>": longer, begins with the one before */
    SMALL_USER,     /* user-defined "[[u]]" */
    SMALL_USER2,    /* user-defined "[[u]]!" */
    SMALL_LITERAL,  /* user-defined, U+00E9 twice: itself, not the bytes 0xe9 0xe9 */
    SMALL_COUNT
};

enum {
    SMALL_MERGE_COUNT = 9
};

struct small_vocab {
    char letters[256][2];
    struct tokenizer_text tokens[SMALL_COUNT];
    int32_t types[SMALL_COUNT];
    struct tokenizer_text merges[SMALL_MERGE_COUNT];
    struct tokenizer_source source;
};

void small_vocab_init(struct small_vocab *v);

#endif
