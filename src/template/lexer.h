#ifndef TEMPLATE_LEXER_H
#define TEMPLATE_LEXER_H

#include "template/ast.h"

/* The text of a template as tokens, one at a time. */

enum token_kind {
    TOKEN_END,
    TOKEN_TEXT, /* between tags; what white-space control removes is not in it */
    TOKEN_OUTPUT_BEGIN,
    TOKEN_OUTPUT_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME, /* keywords too */
    TOKEN_STRING,
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_OPERATOR
};

struct token {
    enum token_kind kind;
    uint32_t pos;     /* byte in the source */
    const char *text; /* TEXT, NAME; STRING: between the quotes; OPERATOR */
    size_t len;
    int64_t integer; /* INT */
    double real;     /* FLOAT */
};

enum {
    BRACKETS_MAX = 256 /* open at one place */
};

enum lexer_mode {
    LEX_TEXT,
    LEX_RAW,
    LEX_OUTPUT,
    LEX_BLOCK
};

struct lexer {
    const char *source; /* line ends are "\n"; followed by a zero byte */
    size_t len;
    size_t at;
    enum lexer_mode mode;
    enum token_kind pending; /* a tag's beginning, to be given next; else TOKEN_END */
    uint32_t pending_pos;
    bool line_starting;          /* the tag before ended with the line: `{%` here is alone on it */
    char brackets[BRACKETS_MAX]; /* that are open, as their closing characters */
    size_t bracket_count;

    /* of a failure */
    uint32_t fail_pos;
    const char *fail_text;
};

void lexer_init(struct lexer *lexer, const char *source, size_t len);

/* False: a failure. */
bool lexer_next(struct lexer *lexer, struct token *out);

/*
 * What a string literal stands for, written to `out` (at least `len` bytes). Python's escapes
 * but \N{…}. Returns the length, SIZE_MAX for a wrong escape.
 */
size_t lexer_unescape(const char *text, size_t len, char *out);

#endif
