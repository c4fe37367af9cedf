/*
 * Statements: what stands between {% and %}, and the bodies between them.
 */
#include <string.h>

#include "template/parser.h"
#include "template/run.h"
#include "template/text.h"

static const char *const unsupported[] = { "block",      "extends", "include", "import",
                                           "from",       "with",    "print",   "do",
                                           "autoescape", "trans",   "debug",   "endblock" };

/* Passes "%}" and everything up to one of the tags in `ends`, whose name becomes the token. */
static bool parse_block_body(struct parser *p, const char *const *ends, struct node **out)
{
    bool colon; /* "{% for …: %}" */
    return parser_skip_op(p, ":", &colon) &&
           parser_expect(p, TOKEN_BLOCK_END, "the end of the tag") && parse_body(p, ends, out);
}

/* The same where only one tag can end it, which it passes. */
static bool parse_to(struct parser *p, const char *end, struct node **out)
{
    const char *const ends[] = { end, NULL };
    return parse_block_body(p, ends, out) && parser_advance(p);
}

static bool parse_if(struct parser *p, struct node **out)
{
    static const char *const ends[] = { "elif", "else", "endif", NULL };
    struct node **place = out;
    for (;;) { /* "if" or "elif" is the current token */
        struct node *n = parser_node(p, NODE_IF, p->token.pos);
        bool found;
        if (!n || !parser_advance(p))
            return false;
        *place = n;
        n->as.branch.test = parse_tuple(p, false, false, NULL);
        if (!n->as.branch.test || !parse_block_body(p, ends, &n->as.branch.body))
            return false;
        place = &n->as.branch.otherwise;
        if (parser_is_name(p, "elif"))
            continue;
        if (!parser_skip_name(p, "else", &found))
            return false;
        return found ? parse_to(p, "endif", place) : parser_advance(p);
    }
}

static bool parse_for(struct parser *p, struct node **out)
{
    static const char *const ends[] = { "endfor", "else", NULL };
    struct node *n = parser_node(p, NODE_FOR, p->token.pos);
    bool found;
    if (!n || !parser_advance(p))
        return false;
    *out = n;
    n->as.loop.target = parse_target(p, false, "in");
    if (!n->as.loop.target)
        return false;
    if (!parser_is_name(p, "in"))
        return parser_fail_expected(p, "'in'");
    if (!parser_advance(p))
        return false;
    n->as.loop.iterable = parse_tuple(p, false, false, "recursive");
    if (!n->as.loop.iterable || !parser_skip_name(p, "if", &found))
        return false;
    if (found) {
        n->as.loop.test = parse_expression(p, true);
        if (!n->as.loop.test)
            return false;
    }
    if (parser_is_name(p, "recursive"))
        return parser_fail(p, E_UNSUPPORTED, p->token.pos, "recursive loops are not supported");
    p->loop_depth++;
    bool ok = parse_block_body(p, ends, &n->as.loop.body);
    p->loop_depth--;
    if (!ok || !parser_skip_name(p, "else", &found))
        return false;
    return found ? parse_to(p, "endfor", &n->as.loop.otherwise) : parser_advance(p);
}

static bool parse_set(struct parser *p, struct node **out)
{
    struct node *n = parser_node(p, NODE_SET, p->token.pos);
    bool assigned;
    if (!n || !parser_advance(p))
        return false;
    *out = n;
    struct node *target = parse_target(p, true, NULL);
    if (!target || !parser_skip_op(p, "=", &assigned))
        return false;
    if (assigned) {
        n->as.set.target = target;
        n->as.set.value = parse_tuple(p, true, false, NULL);
        return n->as.set.value != NULL;
    }
    n->kind = NODE_SET_BLOCK;
    n->as.block.target = target;
    n->as.block.filter = parse_filters(p, NULL, true);
    return !p->rc && parse_to(p, "endset", &n->as.block.body);
}

/* ---- Macros ---- */

/* "(a, b=1)" */
static bool parse_params(struct parser *p, struct node_macro *macro)
{
    struct node_param **end = &macro->params;
    bool has_default = false;
    if (!parser_expect_op(p, "("))
        return false;
    while (!parser_is_op(p, ")")) {
        if (macro->param_count > 0 && !parser_expect_op(p, ","))
            return false;
        struct node_param *param = parser_alloc(p, sizeof *param);
        if (!param || !parser_name_id(p, &param->id))
            return false;
        param->name = parser_string(p, p->token.text, p->token.len);
        bool assigned;
        if (!param->name || !parser_advance(p) || !parser_skip_op(p, "=", &assigned))
            return false;
        if (assigned)
            param->value = parse_expression(p, true);
        else if (has_default)
            return parser_fail(p, E_INVALID, p->token.pos,
                               "a parameter without a default follows one that has one");
        if (assigned && !param->value)
            return false;
        has_default = assigned;
        *end = param;
        end = &param->next;
        macro->param_count++;
    }
    return parser_expect_op(p, ")");
}

/* A body that is called: it sees no loop to leave, and says which special names it reads. */
static bool parse_macro_body(struct parser *p, struct node_macro *macro, const char *end)
{
    struct macro_frame frame = { .outer = p->macros, .macro = macro };
    uint32_t loop_depth = p->loop_depth;
    p->macros = &frame;
    p->loop_depth = 0;
    bool ok = parse_to(p, end, &macro->body);
    p->macros = frame.outer;
    p->loop_depth = loop_depth;
    return ok;
}

/* A parameter of that name is an ordinary one. */
static void hide_params(const struct parser *p, struct node_macro *macro)
{
    for (const struct node_param *param = macro->params; param; param = param->next) {
        if (param->id == p->t->caller_id)
            macro->reads_caller = false;
        if (param->id == p->t->varargs_id)
            macro->reads_varargs = false;
        if (param->id == p->t->kwargs_id)
            macro->reads_kwargs = false;
    }
}

static bool parse_macro(struct parser *p, struct node **out)
{
    struct node *n = parser_node(p, NODE_MACRO, p->token.pos);
    struct node_macro *macro = n ? parser_alloc(p, sizeof *macro) : NULL;
    if (!macro || !parser_advance(p) || !parser_name_id(p, &n->as.macro.id))
        return false;
    *out = n;
    n->as.macro.macro = macro;
    macro->name = p->t->names[n->as.macro.id];
    if (!parser_advance(p) || !parse_params(p, macro) || !parse_macro_body(p, macro, "endmacro"))
        return false;
    hide_params(p, macro);
    return true;
}

static bool parse_call_block(struct parser *p, struct node **out)
{
    struct node *n = parser_node(p, NODE_CALL_BLOCK, p->token.pos);
    struct node_macro *macro = n ? parser_alloc(p, sizeof *macro) : NULL;
    if (!macro || !parser_advance(p))
        return false;
    *out = n;
    n->as.macro.macro = macro;
    macro->name = "caller";
    if (parser_is_op(p, "(") && !parse_params(p, macro))
        return false;
    struct node *call = parse_expression(p, true);
    if (!call)
        return false;
    if (call->kind != NODE_CALL)
        return parser_fail(p, E_INVALID, call->pos, "expected a call");
    n->as.macro.call = call;
    if (!parse_macro_body(p, macro, "endcall"))
        return false;
    hide_params(p, macro);
    return true;
}

/* ---- The rest ---- */

static bool parse_filter_block(struct parser *p, struct node **out)
{
    struct node *n = parser_node(p, NODE_FILTER_BLOCK, p->token.pos);
    if (!n || !parser_advance(p))
        return false;
    *out = n;
    n->as.block.filter = parse_filters(p, NULL, false);
    return n->as.block.filter && parse_to(p, "endfilter", &n->as.block.body);
}

static bool parse_generation(struct parser *p, struct node **out)
{
    struct node *n = parser_node(p, NODE_GENERATION, p->token.pos);
    if (!n || !parser_advance(p))
        return false;
    *out = n;
    uint32_t loop_depth = p->loop_depth;
    p->loop_depth = 0;
    bool ok = parse_to(p, "endgeneration", &n->as.body);
    p->loop_depth = loop_depth;
    return ok;
}

static bool parse_jump(struct parser *p, struct node **out)
{
    bool is_break = parser_is_name(p, "break");
    if (p->loop_depth == 0)
        return parser_fail(p, E_INVALID, p->token.pos, "'%s' outside of a loop",
                           is_break ? "break" : "continue");
    *out = parser_node(p, is_break ? NODE_BREAK : NODE_CONTINUE, p->token.pos);
    return *out && parser_advance(p);
}

static const struct {
    const char *name;
    bool (*parse)(struct parser *p, struct node **out);
} statements[] = {
    { "if", parse_if },
    { "for", parse_for },
    { "set", parse_set },
    { "macro", parse_macro },
    { "call", parse_call_block },
    { "filter", parse_filter_block },
    { "generation", parse_generation },
    { "break", parse_jump },
    { "continue", parse_jump },
};

static bool fail_unknown(struct parser *p)
{
    const struct token *t = &p->token;
    if (t->kind != TOKEN_NAME)
        return parser_fail_expected(p, "a statement");
    for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++) {
        if (parser_is_name(p, unsupported[i]))
            return parser_fail(p, E_UNSUPPORTED, t->pos, "the statement '%s' is not supported",
                               unsupported[i]);
    }
    return parser_fail(p, E_INVALID, t->pos, "'%.*s' is not expected here",
                       (int)(t->len < 40 ? t->len : 40), t->text);
}

static bool parse_statement(struct parser *p, struct node **out)
{
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        if (!parser_is_name(p, statements[i].name))
            continue;
        if (!parser_enter(p))
            return false;
        bool ok = statements[i].parse(p, out);
        parser_leave(p);
        return ok && parser_expect(p, TOKEN_BLOCK_END, "the end of the tag");
    }
    return fail_unknown(p);
}

static bool parse_text(struct parser *p, struct node **out)
{
    if (p->token.len > 0) {
        *out = parser_node(p, NODE_TEXT, p->token.pos);
        if (!*out)
            return false;
        (*out)->as.text = parser_string(p, p->token.text, p->token.len);
        if (!(*out)->as.text)
            return false;
    }
    return parser_advance(p);
}

static bool parse_output(struct parser *p, struct node **out)
{
    *out = parser_node(p, NODE_OUTPUT, p->token.pos);
    if (!*out || !parser_advance(p))
        return false;
    struct node *value = parse_tuple(p, true, false, NULL);
    if (!value)
        return false;
    (*out)->as.body = value;
    return parser_expect(p, TOKEN_OUTPUT_END, "'}}'");
}

static bool is_end(const struct parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++) {
        if (parser_is_name(p, *ends))
            return true;
    }
    return false;
}

bool parse_body(struct parser *p, const char *const *ends, struct node **out)
{
    struct node **end = out;
    *out = NULL;
    for (;;) {
        bool ok = false;
        *end = NULL;
        switch (p->token.kind) {
        case TOKEN_END:
            return !ends ||
                   parser_fail(p, E_INVALID, p->token.pos, "expected '%s' before the end", ends[0]);
        case TOKEN_TEXT:
            ok = parse_text(p, end);
            break;
        case TOKEN_OUTPUT_BEGIN:
            ok = parse_output(p, end);
            break;
        case TOKEN_BLOCK_BEGIN:
            if (!parser_advance(p))
                return false;
            if (is_end(p, ends))
                return true;
            ok = parse_statement(p, end);
            break;
        case TOKEN_OUTPUT_END:
        case TOKEN_BLOCK_END:
        case TOKEN_NAME:
        case TOKEN_STRING:
        case TOKEN_INT:
        case TOKEN_FLOAT:
        case TOKEN_OPERATOR:
            ok = parser_fail_expected(p, "text or a tag");
            break;
        }
        if (!ok)
            return false;
        if (*end)
            end = &(*end)->next;
    }
}
