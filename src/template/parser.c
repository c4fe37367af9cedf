/*
 * What the parser's two halves share: tokens, nodes, names, failures.
 */
#include "template/parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "template/text.h"

enum {
    NAMES_MAX = 1024,
    MESSAGE_BYTES = 256
};

bool parser_fail(struct parser *p, enum base_err rc, uint32_t pos, const char *format, ...)
{
    if (p->rc)
        return false;
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    char shown[MESSAGE_BYTES];
    template_one_line(shown, sizeof shown, text, len);
    int line;
    int column;
    template_place(p->t->source, p->t->source_len, pos, &line, &column);
    p->rc = base_err_set_at(p->info, rc, pos, "line %d, column %d: %s", line, column, shown);
    return false;
}

bool parser_fail_expected(struct parser *p, const char *expected)
{
    const struct token *t = &p->token;
    switch (t->kind) {
    case TOKEN_END:
        return parser_fail(p, E_INVALID, t->pos, "expected %s, not the end", expected);
    case TOKEN_BLOCK_END:
    case TOKEN_OUTPUT_END:
        return parser_fail(p, E_INVALID, t->pos, "expected %s, not the end of the tag", expected);
    case TOKEN_NAME:
    case TOKEN_OPERATOR:
        return parser_fail(p, E_INVALID, t->pos, "expected %s, not '%.*s'", expected,
                           (int)(t->len < 40 ? t->len : 40), t->text);
    case TOKEN_TEXT:
    case TOKEN_OUTPUT_BEGIN:
    case TOKEN_BLOCK_BEGIN:
    case TOKEN_STRING:
    case TOKEN_INT:
    case TOKEN_FLOAT:
        break;
    }
    return parser_fail(p, E_INVALID, t->pos, "expected %s", expected);
}

/* ---- Tokens ---- */

static bool lex(struct parser *p, struct token *out)
{
    if (lexer_next(&p->lexer, out))
        return true;
    return parser_fail(p, E_INVALID, p->lexer.fail_pos, "%s", p->lexer.fail_text);
}

bool parser_advance(struct parser *p)
{
    if (p->has_ahead) {
        p->token = p->ahead;
        p->has_ahead = false;
        return true;
    }
    return lex(p, &p->token);
}

const struct token *parser_look(struct parser *p)
{
    if (!p->has_ahead) {
        if (!lex(p, &p->ahead))
            return NULL;
        p->has_ahead = true;
    }
    return &p->ahead;
}

static bool is_text(const struct token *t, enum token_kind kind, const char *text)
{
    return t->kind == kind && t->len == strlen(text) && memcmp(t->text, text, t->len) == 0;
}

bool parser_is_op(const struct parser *p, const char *op)
{
    return is_text(&p->token, TOKEN_OPERATOR, op);
}

bool parser_is_name(const struct parser *p, const char *name)
{
    return is_text(&p->token, TOKEN_NAME, name);
}

bool parser_skip_op(struct parser *p, const char *op, bool *found)
{
    *found = parser_is_op(p, op);
    return !*found || parser_advance(p);
}

bool parser_skip_name(struct parser *p, const char *name, bool *found)
{
    *found = parser_is_name(p, name);
    return !*found || parser_advance(p);
}

bool parser_expect_op(struct parser *p, const char *op)
{
    char expected[8];
    snprintf(expected, sizeof expected, "'%s'", op);
    return parser_is_op(p, op) ? parser_advance(p) : parser_fail_expected(p, expected);
}

bool parser_expect(struct parser *p, enum token_kind kind, const char *expected)
{
    return p->token.kind == kind ? parser_advance(p) : parser_fail_expected(p, expected);
}

bool parser_enter(struct parser *p)
{
    if (p->depth >= p->limits->nesting_max)
        return parser_fail(p, E_TOO_BIG, p->token.pos, "nested too deeply");
    p->depth++;
    return true;
}

void parser_leave(struct parser *p)
{
    p->depth--;
}

/* ---- Memory ---- */

void *parser_alloc(struct parser *p, size_t size)
{
    struct arena *arena = &p->t->arena;
    void *mem = arena_alloc(arena, size > 0 ? size : 1);
    if (!mem) {
        bool full = size + 4096 > arena->bytes_max - arena->bytes;
        parser_fail(p, full ? E_TOO_BIG : E_NOMEM, p->token.pos,
                    full ? "the template takes too much memory" : "out of memory");
    }
    return mem;
}

struct node *parser_node(struct parser *p, enum node_kind kind, uint32_t pos)
{
    if (p->node_count >= p->limits->node_count_max) {
        parser_fail(p, E_TOO_BIG, pos, "the template has too many parts");
        return NULL;
    }
    struct node *n = parser_alloc(p, sizeof *n);
    if (!n)
        return NULL;
    p->node_count++;
    n->kind = kind;
    n->pos = pos;
    return n;
}

/* A string of the template; `data` is borrowed. */
const struct jinja_string *parser_string(struct parser *p, const char *data, size_t len)
{
    struct jinja_string *s = parser_alloc(p, sizeof *s);
    if (s)
        *s = (struct jinja_string){ .data = data, .len = len, .trusted = true };
    return s;
}

/* ---- Names ---- */

bool parser_intern(struct parser *p, const char *text, size_t len, uint32_t *id)
{
    struct jinja_template *t = p->t;
    for (*id = 0; *id < t->name_count; (*id)++) {
        const char *name = t->names[*id];
        if (strlen(name) == len && memcmp(name, text, len) == 0)
            return true;
    }
    if (t->name_count == NAMES_MAX)
        return parser_fail(p, E_TOO_BIG, p->token.pos, "more than %d names", NAMES_MAX);
    if (!t->names) {
        t->names = parser_alloc(p, NAMES_MAX * sizeof *t->names);
        t->reads = t->names ? parser_alloc(p, NAMES_MAX * sizeof *t->reads) : NULL;
        if (!t->reads)
            return false;
    }
    char *name = parser_alloc(p, len + 1);
    if (!name)
        return false;
    memcpy(name, text, len);
    t->names[t->name_count++] = name;
    return true;
}

bool parser_name_id(struct parser *p, uint32_t *id)
{
    if (p->token.kind != TOKEN_NAME)
        return parser_fail_expected(p, "a name");
    return parser_intern(p, p->token.text, p->token.len, id);
}
