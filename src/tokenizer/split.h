#ifndef TOKENIZER_SPLIT_H
#define TOKENIZER_SPLIT_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tokenizer/family.h"

/* The compiled patterns of a family. Immutable after init; any thread. */
struct tokenizer_splitter {
    pcre2_general_context *memory;
    pcre2_code *passes[TOKENIZER_PASS_COUNT_MAX];
    int pass_count;
};

/* E_UNSUPPORTED: a pattern that PCRE2 does not take. E_NOMEM. On an error
 * tokenizer_splitter_fini is still to be called. */
enum base_err tokenizer_splitter_init(struct tokenizer_splitter *s,
                                      const struct tokenizer_family *family,
                                      struct base_err_info *info);
void tokenizer_splitter_fini(struct tokenizer_splitter *s);

/* Where one pass stands: `text` is the piece that it cuts. */
struct tokenizer_split_level {
    struct tokenizer_text text;
    size_t at;          /* what lies before has been handed on */
    size_t match_start; /* the next match, if match_end > at */
    size_t match_end;
};

/*
 * A walk over the pieces of a text, without a list of them: each pass keeps the one piece
 * that it is cutting. Owner thread only.
 */
struct tokenizer_split {
    const struct tokenizer_splitter *splitter;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    struct tokenizer_split_level levels[TOKENIZER_PASS_COUNT_MAX];
};

/* Borrows `s` until tokenizer_split_fini. E_NOMEM; on an error fini is still to be called. */
enum base_err tokenizer_split_init(struct tokenizer_split *walk,
                                   const struct tokenizer_splitter *s);
void tokenizer_split_fini(struct tokenizer_split *walk);

/* Begins a text: well-formed UTF-8, borrowed until the walk is over. */
void tokenizer_split_start(struct tokenizer_split *walk, struct tokenizer_text text);

/*
 * The next piece (never empty), in order; together they are the text. A piece of length 0
 * says that the walk is over. E_TOO_BIG: a match went beyond its limits. E_NOMEM.
 */
enum base_err tokenizer_split_next(struct tokenizer_split *walk, struct tokenizer_text *piece);

#endif
