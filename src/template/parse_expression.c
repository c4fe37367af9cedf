/*
 * Expressions, with Jinja's precedence: if-else, or, and, not, comparisons, + -, ~, * / // %,
 * ** (to the left), unary signs, values, and what stands behind a value (parse_postfix.c).
 */
#include <string.h>

#include "template/parser.h"

static struct node *parse_or(struct parser *p);
static struct node *parse_unary(struct parser *p, bool filters);

/* ---- Lists of nodes ---- */

struct node_list {
    struct node *first;
    struct node **end;
    size_t count;
};

static void list_init(struct node_list *list)
{
    *list = (struct node_list){ 0 };
    list->end = &list->first;
}

static bool list_push(struct node_list *list, struct node *n)
{
    if (!n)
        return false;
    *list->end = n;
    list->end = &n->next;
    list->count++;
    return true;
}

static struct node *list_node(struct parser *p, enum node_kind kind, uint32_t pos,
                              const struct node_list *list)
{
    struct node *n = parser_node(p, kind, pos);
    if (n) {
        n->as.list.first = list->first;
        n->as.list.count = list->count;
    }
    return n;
}

/* ---- Operators ---- */

static struct node *binary(struct parser *p, enum node_kind kind, enum node_op op, uint32_t pos,
                           struct node *left, struct node *right)
{
    struct node *n = left && right ? parser_node(p, kind, pos) : NULL;
    if (n) {
        n->as.binary.left = left;
        n->as.binary.right = right;
        n->as.binary.op = op;
    }
    return n;
}

struct operator_row {
    const char *text;
    enum node_op op;
};

/* The operator of the table that is the current token, or OP_NONE. */
static enum node_op find_op(const struct parser *p, const struct operator_row *table)
{
    for (; table->text; table++) {
        if (parser_is_op(p, table->text))
            return table->op;
    }
    return OP_NONE;
}

/* operand (op operand)*, to the left */
static struct node *parse_level(struct parser *p, const struct operator_row *table,
                                struct node *(*operand)(struct parser *))
{
    struct node *left = operand(p);
    for (enum node_op op; left && (op = find_op(p, table)) != OP_NONE;) {
        uint32_t pos = p->token.pos;
        if (!parser_advance(p))
            return NULL;
        left = binary(p, NODE_BINARY, op, pos, left, operand(p));
    }
    return left;
}

static struct node *parse_operand(struct parser *p)
{
    return parse_unary(p, true);
}

static struct node *parse_power(struct parser *p)
{
    static const struct operator_row table[] = { { "**", OP_POW }, { NULL, OP_NONE } };
    return parse_level(p, table, parse_operand);
}

static struct node *parse_product(struct parser *p)
{
    static const struct operator_row table[] = {
        { "*", OP_MUL }, { "/", OP_DIV }, { "//", OP_FLOORDIV }, { "%", OP_MOD }, { NULL, OP_NONE },
    };
    return parse_level(p, table, parse_power);
}

static struct node *parse_concat(struct parser *p)
{
    uint32_t pos = p->token.pos;
    struct node *first = parse_product(p);
    if (!first || !parser_is_op(p, "~"))
        return first;
    struct node_list list;
    list_init(&list);
    list_push(&list, first);
    while (parser_is_op(p, "~")) {
        if (!parser_advance(p) || !list_push(&list, parse_product(p)))
            return NULL;
    }
    return list_node(p, NODE_CONCAT, pos, &list);
}

static struct node *parse_sum(struct parser *p)
{
    static const struct operator_row table[] = { { "+", OP_ADD },
                                                 { "-", OP_SUB },
                                                 { NULL, OP_NONE } };
    return parse_level(p, table, parse_concat);
}

/* The comparison at the current token, which it passes; OP_NONE: there is none, or a failure. */
static enum node_op take_comparison(struct parser *p)
{
    static const struct operator_row table[] = {
        { "==", OP_EQ }, { "!=", OP_NE }, { "<", OP_LT },    { "<=", OP_LE },
        { ">", OP_GT },  { ">=", OP_GE }, { NULL, OP_NONE },
    };
    enum node_op op = find_op(p, table);
    if (op == OP_NONE && parser_is_name(p, "in"))
        op = OP_IN;
    if (op == OP_NONE && parser_is_name(p, "not")) {
        const struct token *ahead = parser_look(p);
        if (!ahead || ahead->kind != TOKEN_NAME || ahead->len != 2 ||
            memcmp(ahead->text, "in", 2) != 0 || !parser_advance(p))
            return OP_NONE;
        op = OP_NOT_IN;
    }
    return op != OP_NONE && parser_advance(p) ? op : OP_NONE;
}

static struct node *parse_comparison(struct parser *p)
{
    uint32_t pos = p->token.pos;
    struct node *left = parse_sum(p);
    if (!left)
        return NULL;
    struct node_operand *first = NULL;
    struct node_operand **end = &first;
    for (enum node_op op; (op = take_comparison(p)) != OP_NONE;) {
        struct node_operand *operand = parser_alloc(p, sizeof *operand);
        if (!operand)
            return NULL;
        operand->op = op;
        operand->right = parse_sum(p);
        if (!operand->right)
            return NULL;
        *end = operand;
        end = &operand->next;
    }
    if (p->rc || !first)
        return p->rc ? NULL : left;
    struct node *n = parser_node(p, NODE_COMPARE, pos);
    if (n) {
        n->as.compare.left = left;
        n->as.compare.operands = first;
    }
    return n;
}

static struct node *parse_not(struct parser *p)
{
    uint32_t pos = p->token.pos;
    if (!parser_is_name(p, "not"))
        return parse_comparison(p);
    if (!parser_enter(p) || !parser_advance(p))
        return NULL;
    struct node *operand = parse_not(p);
    struct node *n = operand ? parser_node(p, NODE_NOT, pos) : NULL;
    if (n)
        n->as.binary.left = operand;
    parser_leave(p);
    return n;
}

static struct node *parse_words(struct parser *p, const char *word, enum node_kind kind,
                                struct node *(*operand)(struct parser *))
{
    struct node *left = operand(p);
    while (left && parser_is_name(p, word)) {
        uint32_t pos = p->token.pos;
        if (!parser_advance(p))
            return NULL;
        left = binary(p, kind, OP_NONE, pos, left, operand(p));
    }
    return left;
}

static struct node *parse_and(struct parser *p)
{
    return parse_words(p, "and", NODE_AND, parse_not);
}

static struct node *parse_or(struct parser *p)
{
    return parse_words(p, "or", NODE_OR, parse_and);
}

/* value [if test [else value]]… */
static struct node *parse_condition(struct parser *p)
{
    struct node *value = parse_or(p);
    while (value && parser_is_name(p, "if")) {
        bool has_else = false;
        struct node *n = parser_node(p, NODE_CONDITION, p->token.pos);
        if (!n || !parser_advance(p))
            return NULL;
        n->as.condition.yes = value;
        n->as.condition.test = parse_or(p);
        if (!n->as.condition.test || !parser_skip_name(p, "else", &has_else))
            return NULL;
        if (has_else) {
            n->as.condition.no = parse_expression(p, true);
            if (!n->as.condition.no)
                return NULL;
        }
        value = n;
    }
    return value;
}

struct node *parse_expression(struct parser *p, bool condition)
{
    if (!parser_enter(p))
        return NULL;
    struct node *n = condition ? parse_condition(p) : parse_or(p);
    parser_leave(p);
    return n;
}

/* ---- Literals ---- */

static bool at_tuple_end(const struct parser *p, const char *end_name)
{
    return p->token.kind == TOKEN_OUTPUT_END || p->token.kind == TOKEN_BLOCK_END ||
           parser_is_op(p, ")") || (end_name && parser_is_name(p, end_name));
}

/* One element, or a tuple of what commas separate. */
static struct node *parse_elements(struct parser *p, bool condition, bool parentheses,
                                   const char *end_name, bool target,
                                   struct node *(*target_fn)(struct parser *))
{
    uint32_t pos = p->token.pos;
    struct node_list list;
    list_init(&list);
    bool comma = false;
    while (!at_tuple_end(p, end_name)) {
        struct node *n = target ? target_fn(p) : parse_expression(p, condition);
        if (!list_push(&list, n))
            return NULL;
        bool more;
        if (!parser_skip_op(p, ",", &more))
            return NULL;
        if (!more)
            break;
        comma = true;
    }
    if (!comma && list.count == 1)
        return list.first;
    if (list.count == 0 && !parentheses) {
        parser_fail_expected(p, "an expression");
        return NULL;
    }
    return list_node(p, NODE_TUPLE, pos, &list);
}

struct node *parse_tuple(struct parser *p, bool condition, bool parentheses, const char *end_name)
{
    return parse_elements(p, condition, parentheses, end_name, false, NULL);
}

static struct node *parse_list(struct parser *p)
{
    uint32_t pos = p->token.pos;
    struct node_list list;
    list_init(&list);
    if (!parser_expect_op(p, "["))
        return NULL;
    while (!parser_is_op(p, "]")) {
        if (list.count > 0 && !parser_expect_op(p, ","))
            return NULL;
        if (parser_is_op(p, "]"))
            break;
        if (!list_push(&list, parse_expression(p, true)))
            return NULL;
    }
    return parser_expect_op(p, "]") ? list_node(p, NODE_LIST, pos, &list) : NULL;
}

static struct node *parse_dict(struct parser *p)
{
    uint32_t pos = p->token.pos;
    struct node_list list;
    list_init(&list);
    if (!parser_expect_op(p, "{"))
        return NULL;
    while (!parser_is_op(p, "}")) {
        if (list.count > 0 && !parser_expect_op(p, ","))
            return NULL;
        if (parser_is_op(p, "}"))
            break;
        if (!list_push(&list, parse_expression(p, true)) || !parser_expect_op(p, ":") ||
            !list_push(&list, parse_expression(p, true)))
            return NULL;
    }
    return parser_expect_op(p, "}") ? list_node(p, NODE_DICT, pos, &list) : NULL;
}

static struct node *constant(struct parser *p, uint32_t pos, struct jinja_value v)
{
    struct node *n = parser_node(p, NODE_CONSTANT, pos);
    if (n)
        n->as.constant = v;
    return n;
}

/* Neighbouring literals are one string. */
static struct node *parse_string(struct parser *p)
{
    uint32_t pos = p->token.pos;
    const char *data = "";
    size_t len = 0;
    while (p->token.kind == TOKEN_STRING) {
        char *joined = parser_alloc(p, len + p->token.len + 1);
        if (!joined)
            return NULL;
        memcpy(joined, data, len);
        size_t n = lexer_unescape(p->token.text, p->token.len, joined + len);
        if (n == SIZE_MAX) {
            parser_fail(p, E_INVALID, p->token.pos, "a wrong escape in the string");
            return NULL;
        }
        data = joined;
        len += n;
        if (!parser_advance(p))
            return NULL;
    }
    const struct jinja_string *s = parser_string(p, data, len);
    return s ? constant(p, pos, value_string(s)) : NULL;
}

static struct node *parse_number(struct parser *p)
{
    struct token t = p->token;
    if (!parser_advance(p))
        return NULL;
    return constant(p, t.pos, t.kind == TOKEN_INT ? jinja_int(t.integer) : jinja_float(t.real));
}

static bool is_constant_name(const struct parser *p, struct jinja_value *out)
{
    if (parser_is_name(p, "true") || parser_is_name(p, "True"))
        *out = jinja_bool(true);
    else if (parser_is_name(p, "false") || parser_is_name(p, "False"))
        *out = jinja_bool(false);
    else if (parser_is_name(p, "none") || parser_is_name(p, "None"))
        *out = jinja_none();
    else
        return false;
    return true;
}

static void note_read(struct parser *p, uint32_t id)
{
    p->t->reads[id] = true;
    for (struct macro_frame *f = p->macros; f; f = f->outer) {
        f->macro->reads_caller |= id == p->t->caller_id;
        f->macro->reads_varargs |= id == p->t->varargs_id;
        f->macro->reads_kwargs |= id == p->t->kwargs_id;
    }
}

static struct node *parse_name(struct parser *p)
{
    uint32_t pos = p->token.pos;
    struct jinja_value v;
    if (is_constant_name(p, &v))
        return parser_advance(p) ? constant(p, pos, v) : NULL;
    uint32_t id;
    struct node *n = parser_node(p, NODE_NAME, pos);
    if (!n || !parser_name_id(p, &id) || !parser_advance(p))
        return NULL;
    n->as.name.id = id;
    n->as.name.text = p->t->names[id];
    return n;
}

struct node *parse_primary(struct parser *p)
{
    switch (p->token.kind) {
    case TOKEN_NAME: {
        struct node *n = parse_name(p);
        if (n && n->kind == NODE_NAME)
            note_read(p, n->as.name.id);
        return n;
    }
    case TOKEN_STRING:
        return parse_string(p);
    case TOKEN_INT:
    case TOKEN_FLOAT:
        return parse_number(p);
    case TOKEN_OPERATOR:
        if (parser_is_op(p, "[") || parser_is_op(p, "{"))
            return parser_is_op(p, "[") ? parse_list(p) : parse_dict(p);
        if (parser_is_op(p, "(")) {
            struct node *n = parser_advance(p) ? parse_tuple(p, true, true, NULL) : NULL;
            return n && parser_expect_op(p, ")") ? n : NULL;
        }
        break;
    case TOKEN_END:
    case TOKEN_TEXT:
    case TOKEN_OUTPUT_BEGIN:
    case TOKEN_OUTPUT_END:
    case TOKEN_BLOCK_BEGIN:
    case TOKEN_BLOCK_END:
        break;
    }
    parser_fail_expected(p, "an expression");
    return NULL;
}

/* ---- Signs ---- */

static struct node *parse_sign(struct parser *p, enum node_kind kind)
{
    struct node *n = parser_node(p, kind, p->token.pos);
    if (!n || !parser_enter(p) || !parser_advance(p))
        return NULL;
    n->as.binary.left = parse_unary(p, false);
    parser_leave(p);
    return n->as.binary.left ? n : NULL;
}

static struct node *parse_unary(struct parser *p, bool filters)
{
    struct node *n = parser_is_op(p, "-")   ? parse_sign(p, NODE_NEGATE)
                     : parser_is_op(p, "+") ? parse_sign(p, NODE_PLUS)
                                            : parse_primary(p);
    n = parse_postfix(p, n);
    return filters ? parse_filters_and_tests(p, n) : n;
}

/* ---- Targets ---- */

static struct node *parse_target_element(struct parser *p, bool attributes)
{
    if (parser_is_op(p, "(")) {
        if (!parser_enter(p) || !parser_advance(p))
            return NULL;
        struct node *n = parse_target(p, attributes, NULL);
        parser_leave(p);
        return n && parser_expect_op(p, ")") ? n : NULL;
    }
    uint32_t pos = p->token.pos;
    struct node *n = p->token.kind == TOKEN_NAME ? parse_name(p) : NULL;
    if (!n || n->kind != NODE_NAME) {
        parser_fail(p, E_INVALID, pos, "expected a name to assign to");
        return NULL;
    }
    if (!attributes || !parser_is_op(p, "."))
        return n;
    uint32_t id = n->as.name.id;
    note_read(p, id);
    if (!parser_advance(p))
        return NULL;
    if (p->token.kind != TOKEN_NAME) {
        parser_fail_expected(p, "a name");
        return NULL;
    }
    n->kind = NODE_NAMESPACE_ATTRIBUTE;
    n->as.ns.id = id;
    n->as.ns.text = p->t->names[id];
    n->as.ns.attribute = parser_string(p, p->token.text, p->token.len);
    return n->as.ns.attribute && parser_advance(p) ? n : NULL;
}

static struct node *parse_plain_target(struct parser *p)
{
    return parse_target_element(p, false);
}

static struct node *parse_any_target(struct parser *p)
{
    return parse_target_element(p, true);
}

struct node *parse_target(struct parser *p, bool attributes, const char *end_name)
{
    return parse_elements(p, false, false, end_name, true,
                          attributes ? parse_any_target : parse_plain_target);
}
