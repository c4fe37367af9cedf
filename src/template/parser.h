#ifndef TEMPLATE_PARSER_H
#define TEMPLATE_PARSER_H

#include "template/lexer.h"

/*
 * Tokens to the tree. A recursive descent whose depth `nesting_max` bounds. Functions return
 * NULL on a failure; the first one is kept.
 */

/* The macros and call blocks around the place being parsed. */
struct macro_frame {
    struct macro_frame *outer;
    struct node_macro *macro;
};

struct parser {
    struct jinja_template *t;
    const struct jinja_limits *limits;
    struct base_err_info *info;
    struct lexer lexer;
    struct token token; /* the current one */
    struct token ahead; /* the one behind it, if `has_ahead` */
    bool has_ahead;
    uint32_t node_count;
    uint32_t depth;
    uint32_t loop_depth; /* loops that break could leave */
    struct macro_frame *macros;
    enum base_err rc;
};

/* Keeps the first failure; false. */
__attribute__((format(printf, 4, 5), cold)) bool parser_fail(struct parser *p, enum base_err rc,
                                                             uint32_t pos, const char *format, ...);

/* E_INVALID at the current token: what was expected. */
bool parser_fail_expected(struct parser *p, const char *expected);

bool parser_advance(struct parser *p);
const struct token *parser_look(struct parser *p); /* the token behind the current one, or NULL */

bool parser_is_op(const struct parser *p, const char *op);
bool parser_is_name(const struct parser *p, const char *name);

/* If it is there: goes on, and sets `found`. False: a failure. */
bool parser_skip_op(struct parser *p, const char *op, bool *found);
bool parser_skip_name(struct parser *p, const char *name, bool *found);
bool parser_expect_op(struct parser *p, const char *op);
bool parser_expect(struct parser *p, enum token_kind kind, const char *expected);

/* Deeper; false: too deep. */
bool parser_enter(struct parser *p);
void parser_leave(struct parser *p);

struct node *parser_node(struct parser *p, enum node_kind kind, uint32_t pos);
void *parser_alloc(struct parser *p, size_t size);
const struct jinja_string *parser_string(struct parser *p, const char *data, size_t len);

/* The current token, a name: its id. False: a failure, also where it is no name. */
bool parser_name_id(struct parser *p, uint32_t *id);
bool parser_intern(struct parser *p, const char *text, size_t len, uint32_t *id);

/* ---- parse_expression.c ---- */

/* With `condition` false, `a if b` is not part of it. */
struct node *parse_expression(struct parser *p, bool condition);

/* An expression, or a tuple without parentheses. `end_name` (may be NULL) also ends it. */
struct node *parse_tuple(struct parser *p, bool condition, bool parentheses, const char *end_name);

/* A name, a literal, or something in brackets. */
struct node *parse_primary(struct parser *p);

/* The target of for or set: names, tuples of them, and with `attributes` ns.x. */
struct node *parse_target(struct parser *p, bool attributes, const char *end_name);

/* ---- parse_postfix.c ---- */

/* Names, indices and calls behind `n`; NULL stays NULL. */
struct node *parse_postfix(struct parser *p, struct node *n);

/* And filters and tests. */
struct node *parse_filters_and_tests(struct parser *p, struct node *n);

/* "| name(args) | …" behind a value; `value` NULL: of a block. `bar` false: a name comes first. */
struct node *parse_filters(struct parser *p, struct node *value, bool bar);

/* ---- parse_statement.c ---- */

/* Everything up to one of the tags in `ends` (NULL ends the list); NULL: up to the end. */
bool parse_body(struct parser *p, const char *const *ends, struct node **out);

#endif
