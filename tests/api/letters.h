#ifndef TESTS_API_LETTERS_H
#define TESTS_API_LETTERS_H

#include "tokenizer/tokenizer.h"

/*
 * A vocabulary without merges: token b (0..255) is byte b, then the control tokens of
 * ChatML. So the tokens of a text are its bytes, and a prompt's length can be counted by hand.
 */
enum letters_id {
    LETTERS_START = 256, /* <|im_start|> */
    LETTERS_END,         /* <|im_end|> */
    LETTERS_BOS,         /* <s> */
    LETTERS_COUNT
};

struct tokenizer *letters_create(bool add_bos);

/*
 * The same with SentencePiece's tokens behind them, which puts a space before each text and
 * takes it away again.
 */
enum letters_spm_id {
    LETTERS_SPACE = LETTERS_COUNT, /* " " */
    LETTERS_SPACE_A,               /* " a" */
    LETTERS_SPM_COUNT
};

struct tokenizer *letters_create_spm(void);

/* The same, but no token is BOS. */
struct tokenizer *letters_create_without_bos(void);

/* Tokens of a prompt of one user message with `content_len` bytes. */
#define LETTERS_PROMPT(content_len) (1 + 5 + (content_len) + 1 + 1 + 1 + 10)

#endif
