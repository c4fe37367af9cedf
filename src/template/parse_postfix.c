/*
 * Behind a value: .name, [index], [start:stop], (arguments), |filter and is test.
 */
#include <string.h>

#include "template/parser.h"
#include "template/run.h"

static bool parse_arg(struct parser *p, struct node_arg *arg)
{
    bool star = parser_is_op(p, "*");
    if (star || parser_is_op(p, "**")) {
        arg->kind = star ? ARG_LIST : ARG_MAP;
        if (!parser_advance(p))
            return false;
    } else if (p->token.kind == TOKEN_NAME) {
        const struct token *ahead = parser_look(p);
        if (!ahead)
            return false;
        if (ahead->kind == TOKEN_OPERATOR && ahead->len == 1 && ahead->text[0] == '=') {
            arg->kind = ARG_NAMED;
            arg->name = parser_string(p, p->token.text, p->token.len);
            if (!arg->name || !parser_advance(p) || !parser_advance(p))
                return false;
        }
    }
    arg->value = parse_expression(p, true);
    return arg->value != NULL;
}

/* Positional arguments come first; each star at most once, and ** last. */
static bool is_arg_place(enum arg_kind kind, const bool seen[ARG_MAP + 1])
{
    switch (kind) {
    case ARG_VALUE:
        return !seen[ARG_NAMED] && !seen[ARG_LIST] && !seen[ARG_MAP];
    case ARG_LIST:
        return !seen[ARG_LIST] && !seen[ARG_MAP];
    case ARG_NAMED:
    case ARG_MAP:
        break;
    }
    return !seen[ARG_MAP];
}

/* "(a, b, c=d, *e, **f)" */
static bool parse_args(struct parser *p, struct node_args *out)
{
    struct node_arg **end = &out->first;
    bool seen[ARG_MAP + 1] = { false };
    *out = (struct node_args){ 0 };
    if (!parser_expect_op(p, "("))
        return false;
    while (!parser_is_op(p, ")")) {
        if (out->count > 0 && !parser_expect_op(p, ","))
            return false;
        if (parser_is_op(p, ")"))
            break;
        uint32_t pos = p->token.pos;
        struct node_arg *arg = parser_alloc(p, sizeof *arg);
        if (!arg || !parse_arg(p, arg))
            return false;
        if (!is_arg_place(arg->kind, seen))
            return parser_fail(p, E_INVALID, pos, "an argument at a wrong place");
        seen[arg->kind] = true;
        *end = arg;
        end = &arg->next;
        out->count++;
    }
    return parser_expect_op(p, ")");
}

static struct node *parse_call(struct parser *p, struct node *callee)
{
    struct node *n = parser_node(p, NODE_CALL, p->token.pos);
    if (!n || !parse_args(p, &n->as.call.args))
        return NULL;
    n->as.call.callee = callee;
    return n;
}

static struct node *parse_dot(struct parser *p, struct node *object)
{
    uint32_t pos = p->token.pos;
    if (!parser_advance(p))
        return NULL;
    if (p->token.kind == TOKEN_INT) {
        struct node *n = parser_node(p, NODE_ITEM, pos);
        struct node *index = n ? parse_primary(p) : NULL;
        if (!index)
            return NULL;
        n->as.item.object = object;
        n->as.item.index = index;
        return n;
    }
    if (p->token.kind != TOKEN_NAME) {
        parser_fail_expected(p, "a name or number");
        return NULL;
    }
    struct node *n = parser_node(p, NODE_ATTRIBUTE, pos);
    char *text = n ? parser_alloc(p, p->token.len + 1) : NULL;
    if (!text)
        return NULL;
    memcpy(text, p->token.text, p->token.len);
    n->as.attribute.object = object;
    n->as.attribute.name = parser_string(p, text, p->token.len);
    return n->as.attribute.name && parser_advance(p) ? n : NULL;
}

/* A part of a slice: nothing before ":" and "]". */
static bool parse_bound(struct parser *p, struct node **out)
{
    *out = NULL;
    if (parser_is_op(p, ":") || parser_is_op(p, "]"))
        return true;
    *out = parse_expression(p, true);
    return *out != NULL;
}

/* Behind "[first": further indices make a tuple, which is a key that nothing has. */
static struct node *parse_index(struct parser *p, struct node *first)
{
    struct node *last = first;
    if (!first || !parser_is_op(p, ","))
        return first;
    struct node *tuple = parser_node(p, NODE_TUPLE, first->pos);
    if (!tuple)
        return NULL;
    tuple->as.list.first = first;
    tuple->as.list.count = 1;
    for (bool more = true; more;) {
        if (!parser_skip_op(p, ",", &more))
            return NULL;
        last->next = more ? parse_expression(p, true) : NULL;
        if (more && !last->next)
            return NULL;
        last = more ? last->next : last;
        tuple->as.list.count += more;
    }
    return tuple;
}

static struct node *parse_slice(struct parser *p, struct node *object, struct node *start,
                                uint32_t pos)
{
    bool colon;
    struct node *n = parser_node(p, NODE_SLICE, pos);
    if (!n)
        return NULL;
    n->as.slice.object = object;
    n->as.slice.start = start;
    bool ok = parse_bound(p, &n->as.slice.stop) && parser_skip_op(p, ":", &colon) &&
              (!colon || parse_bound(p, &n->as.slice.step)) && parser_expect_op(p, "]");
    return ok ? n : NULL;
}

/* "[index]" or "[start:stop:step]" */
static struct node *parse_brackets(struct parser *p, struct node *object)
{
    uint32_t pos = p->token.pos;
    struct node *start;
    bool colon;
    if (!parser_advance(p) || !parse_bound(p, &start) || !parser_skip_op(p, ":", &colon))
        return NULL;
    if (colon)
        return parse_slice(p, object, start, pos);
    if (!start) {
        parser_fail_expected(p, "an index");
        return NULL;
    }
    struct node *index = parse_index(p, start);
    struct node *n = index ? parser_node(p, NODE_ITEM, pos) : NULL;
    if (!n)
        return NULL;
    n->as.item.object = object;
    n->as.item.index = index;
    return parser_expect_op(p, "]") ? n : NULL;
}

struct node *parse_postfix(struct parser *p, struct node *n)
{
    while (n) {
        if (parser_is_op(p, "."))
            n = parse_dot(p, n);
        else if (parser_is_op(p, "["))
            n = parse_brackets(p, n);
        else if (parser_is_op(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

/* The name of a filter or test, and what it is. */
static bool parse_callable(struct parser *p, struct node *n)
{
    const struct token t = p->token;
    if (t.kind != TOKEN_NAME)
        return parser_fail_expected(p, n->kind == NODE_FILTER ? "a filter" : "a test");
    char *name = parser_alloc(p, t.len + 1);
    if (!name)
        return false;
    memcpy(name, t.text, t.len);
    n->as.filter.name = name;
    n->as.filter.def = n->kind == NODE_FILTER ? filter_find(name, t.len) : test_find(name, t.len);
    return parser_advance(p);
}

struct node *parse_filters(struct parser *p, struct node *value, bool bar)
{
    for (; !bar || parser_is_op(p, "|"); bar = true) {
        struct node *n = parser_node(p, NODE_FILTER, p->token.pos);
        if (!n || (bar && !parser_advance(p)) || !parse_callable(p, n))
            return NULL;
        if (parser_is_op(p, "(") && !parse_args(p, &n->as.filter.args))
            return NULL;
        n->as.filter.value = value;
        value = n;
    }
    return value;
}

/* Whether a test's argument follows without parentheses, as in "is divisibleby 3". */
static bool at_test_argument(const struct parser *p)
{
    if (parser_is_name(p, "else") || parser_is_name(p, "or") || parser_is_name(p, "and"))
        return false;
    return p->token.kind == TOKEN_NAME || p->token.kind == TOKEN_STRING ||
           p->token.kind == TOKEN_INT || p->token.kind == TOKEN_FLOAT || parser_is_op(p, "[") ||
           parser_is_op(p, "{");
}

static bool parse_test_argument(struct parser *p, struct node_args *out)
{
    if (parser_is_name(p, "is"))
        return parser_fail(p, E_INVALID, p->token.pos, "tests cannot be chained with is");
    out->first = parser_alloc(p, sizeof *out->first);
    if (!out->first)
        return false;
    out->count = 1;
    out->first->value = parse_postfix(p, parse_primary(p));
    return out->first->value != NULL;
}

static struct node *parse_test(struct parser *p, struct node *value)
{
    bool negated;
    struct node *n = parser_node(p, NODE_TEST, p->token.pos);
    if (!n || !parser_advance(p) || !parser_skip_name(p, "not", &negated) || !parse_callable(p, n))
        return NULL;
    n->as.filter.value = value;
    if (parser_is_op(p, "(")) {
        if (!parse_args(p, &n->as.filter.args))
            return NULL;
    } else if (at_test_argument(p) && !parse_test_argument(p, &n->as.filter.args)) {
        return NULL;
    }
    struct node *inverse = negated ? parser_node(p, NODE_NOT, n->pos) : NULL;
    if (!negated)
        return n;
    if (inverse)
        inverse->as.binary.left = n;
    return inverse;
}

struct node *parse_filters_and_tests(struct parser *p, struct node *n)
{
    while (n) {
        if (parser_is_op(p, "|"))
            n = parse_filters(p, n, true);
        else if (parser_is_name(p, "is"))
            n = parse_test(p, n);
        else if (parser_is_op(p, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}
