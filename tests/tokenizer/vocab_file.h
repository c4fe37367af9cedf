#ifndef TESTS_TOKENIZER_VOCAB_FILE_H
#define TESTS_TOKENIZER_VOCAB_FILE_H

#include <stdio.h>

#include "base/buf.h"
#include "tokenizer/tokenizer.h"

enum {
    VOCAB_FILE_TOKENS_MAX = 1 << 18,
    VOCAB_FILE_IDS_MAX = 65536
};

/* One case: a line of kind P, T, D, H or S (see the head of a file). */
struct vocab_case {
    long line;
    char kind;
    struct base_buf text;
    int32_t ids[VOCAB_FILE_IDS_MAX];
    size_t id_count;
};

/* A golden file with a vocabulary in it (tests/golden/tokenizer_families_make.py). */
struct vocab_file {
    FILE *f;
    char *line; /* the one that is read */
    size_t line_cap;
    long line_number;
    struct base_buf texts; /* of the tokens and merges, one behind the other */
    struct tokenizer_source source;
    struct vocab_case next;
    char pre[64];

    /* [source.token_count], [source.merge_count] */
    struct tokenizer_text tokens[VOCAB_FILE_TOKENS_MAX];
    struct tokenizer_text merges[VOCAB_FILE_TOKENS_MAX];
    int32_t types[VOCAB_FILE_TOKENS_MAX];
    float scores[VOCAB_FILE_TOKENS_MAX];
};

/* Opens a file and reads its vocabulary into `source`. Whatever is wrong fails the test. */
void vocab_file_open(struct vocab_file *v, const char *path);
void vocab_file_close(struct vocab_file *v);

/* Reads the next case into `next`; false at the end. */
bool vocab_file_next(struct vocab_file *v);

#endif
