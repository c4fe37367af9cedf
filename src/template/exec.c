/*
 * Statements: they write to a sink and to scopes.
 */
#include <string.h>

#include "template/run.h"
#include "template/text.h"

static struct scope *new_scope(struct run *r, struct scope *parent)
{
    struct scope *scope = run_alloc(r, 1, sizeof *scope);
    if (scope)
        scope->parent = parent;
    return scope;
}

static bool put_value(struct run *r, struct sink *sink, struct jinja_value v)
{
    const struct jinja_string *s;
    return value_str(r, v, &s) && sink_put(r, sink, s);
}

/* ---- Assignment ---- */

static bool assign_attribute(struct run *r, struct scope *scope, const struct node *target,
                             struct jinja_value value)
{
    struct jinja_value ns;
    if (!scope_get(r, scope, target->as.ns.id, &ns))
        return false;
    r->pos = target->pos;
    if (ns.kind != JINJA_NAMESPACE)
        return run_fail(r, E_INVALID, "'%s' is no namespace: its attributes cannot be set",
                        target->as.ns.text);
    if (target->as.ns.attribute->data[0] == '_')
        return run_fail(r, E_INVALID, "an attribute of a namespace may not begin with '_'");
    return value_map_set(r, ns.as.map, value_string(target->as.ns.attribute), value);
}

static bool assign_tuple(struct run *r, struct scope *scope, const struct node *target,
                         struct jinja_value value)
{
    struct value_items walk;
    if (!value_walk(r, value, &walk))
        return false;
    if (walk.count != target->as.list.count)
        return run_fail(r, E_INVALID, "%zu values for %zu names", walk.count,
                        target->as.list.count);
    size_t i = 0;
    for (const struct node *t = target->as.list.first; t; t = t->next) {
        if (!assign(r, scope, t, walk.items[i++]))
            return false;
    }
    return true;
}

bool assign(struct run *r, struct scope *scope, const struct node *target, struct jinja_value value)
{
    r->pos = target->pos;
    if (target->kind == NODE_NAME)
        return scope_set(r, scope, target->as.name.id, value);
    if (target->kind == NODE_NAMESPACE_ATTRIBUTE)
        return assign_attribute(r, scope, target, value);
    if (!run_enter(r))
        return false;
    bool ok = assign_tuple(r, scope, target, value);
    run_leave(r);
    return ok;
}

/* ---- Statements ---- */

static bool exec_output(struct run *r, struct scope *scope, const struct node *n, struct sink *sink)
{
    struct jinja_value v;
    return eval(r, scope, n->as.body, &v) && put_value(r, sink, v);
}

/* A chain of elif is a loop, not a recursion. */
static enum flow exec_if(struct run *r, struct scope *scope, const struct node *n,
                         struct sink *sink)
{
    for (;;) {
        struct jinja_value test;
        if (!eval(r, scope, n->as.branch.test, &test))
            return FLOW_FAILED;
        if (value_truth(test))
            return exec(r, scope, n->as.branch.body, sink);
        const struct node *otherwise = n->as.branch.otherwise;
        if (!otherwise || otherwise->kind != NODE_IF || otherwise->next)
            return exec(r, scope, otherwise, sink);
        n = otherwise;
    }
}

static bool bind_round(struct run *r, struct jinja_loop *loop, struct scope *scope)
{
    struct jinja_value handle = { .kind = JINJA_LOOP, .as.loop = loop };
    return scope && assign(r, scope, loop->node->as.loop.target, loop->current) &&
           scope_set(r, scope, r->t->loop_id, handle);
}

/* The rounds of a loop. `completed`: the body of one ran to its end. */
static enum flow exec_rounds(struct run *r, struct jinja_loop *loop, struct sink *sink,
                             bool *completed)
{
    bool more;
    for (;;) {
        if (!loop_next(r, loop, &more))
            return FLOW_FAILED;
        if (!more)
            return FLOW_NEXT;
        struct scope *scope = new_scope(r, loop->scope);
        if (!bind_round(r, loop, scope))
            return FLOW_FAILED;
        enum flow flow = exec(r, scope, loop->node->as.loop.body, sink);
        if (flow == FLOW_FAILED)
            return flow;
        if (flow == FLOW_BREAK)
            return FLOW_NEXT;
        if (flow == FLOW_NEXT)
            *completed = true;
    }
}

static enum flow exec_for(struct run *r, struct scope *scope, const struct node *n,
                          struct sink *sink)
{
    struct jinja_value iterable;
    struct value_items walk;
    if (!eval(r, scope, n->as.loop.iterable, &iterable))
        return FLOW_FAILED;
    r->pos = n->as.loop.iterable->pos;
    struct jinja_loop *loop = run_alloc(r, 1, sizeof *loop);
    if (!loop || !value_walk(r, iterable, &walk))
        return FLOW_FAILED;
    *loop = (struct jinja_loop){
        .node = n,
        .scope = scope,
        .items = walk.items,
        .count = walk.count,
        .test = n->as.loop.test,
        .length = n->as.loop.test ? -1 : (int64_t)walk.count,
        .index0 = -1,
        .before = value_missing(),
        .current = value_missing(),
        .after = value_missing(),
        .changed = value_missing(),
    };
    bool completed = false;
    enum flow flow = exec_rounds(r, loop, sink, &completed);
    if (flow == FLOW_FAILED || completed || !n->as.loop.otherwise)
        return flow;
    struct scope *inner = new_scope(r, scope);
    return inner ? exec(r, inner, n->as.loop.otherwise, sink) : FLOW_FAILED;
}

static bool exec_set(struct run *r, struct scope *scope, const struct node *n)
{
    struct jinja_value v;
    return eval(r, scope, n->as.set.value, &v) && assign(r, scope, n->as.set.target, v);
}

/* A set block or a filter block: what its body writes, filtered. */
static enum flow exec_captured(struct run *r, struct scope *scope, const struct node *n,
                               struct sink *sink)
{
    struct sink inner = { 0 };
    struct jinja_value v;
    struct scope *inside = new_scope(r, scope);
    if (!inside)
        return FLOW_FAILED;
    enum flow flow = exec(r, inside, n->as.block.body, &inner);
    if (flow != FLOW_NEXT)
        return flow;
    if (!sink_string(r, &inner, &v))
        return FLOW_FAILED;
    if (n->as.block.filter && !eval_block_filter(r, inside, n->as.block.filter, v, &v))
        return FLOW_FAILED;
    r->pos = n->pos;
    bool ok = n->as.block.target       ? assign(r, scope, n->as.block.target, v)
              : v.kind == JINJA_STRING ? put_value(r, sink, v)
                                       : run_fail(r, E_INVALID, "a filter block made no string");
    return ok ? FLOW_NEXT : FLOW_FAILED;
}

static bool make_macro(struct run *r, struct scope *scope, const struct node_macro *node,
                       struct jinja_value *out)
{
    struct jinja_macro *macro = run_alloc(r, 1, sizeof *macro);
    if (!macro)
        return false;
    *macro = (struct jinja_macro){ .node = node, .scope = scope };
    *out = (struct jinja_value){ .kind = JINJA_MACRO, .as.macro = macro };
    return true;
}

static bool exec_macro(struct run *r, struct scope *scope, const struct node *n)
{
    struct jinja_value v;
    return make_macro(r, scope, n->as.macro.macro, &v) && scope_set(r, scope, n->as.macro.id, v);
}

/* The arguments and one more: caller. */
static bool add_caller(struct run *r, struct call_args *args, struct jinja_value caller)
{
    struct map_entry *named = run_alloc(r, args->named_count + 1, sizeof *named);
    struct jinja_value key;
    if (!named || !text_constant(r, "caller", &key))
        return false;
    if (args->named_count > 0)
        memcpy(named, args->named, args->named_count * sizeof *named);
    named[args->named_count] = (struct map_entry){ key, caller };
    args->named = named;
    args->named_count++;
    return true;
}

static bool exec_call_block(struct run *r, struct scope *scope, const struct node *n,
                            struct sink *sink)
{
    const struct node *call = n->as.macro.call;
    struct jinja_value callee;
    struct jinja_value caller;
    struct jinja_value v;
    struct call_args args;
    if (!eval(r, scope, call->as.call.callee, &callee) ||
        !eval_args(r, scope, &call->as.call.args, &args) ||
        !make_macro(r, scope, n->as.macro.macro, &caller) || !add_caller(r, &args, caller))
        return false;
    r->pos = call->pos;
    return call_value(r, callee, &args, &v) && put_value(r, sink, v);
}

static enum flow exec_generation(struct run *r, struct scope *scope, const struct node *n,
                                 struct sink *sink)
{
    struct scope *inside = new_scope(r, scope);
    return inside ? exec(r, inside, n->as.body, sink) : FLOW_FAILED;
}

static enum flow exec_one(struct run *r, struct scope *scope, const struct node *n,
                          struct sink *sink)
{
    bool ok = false;
    switch (n->kind) {
    case NODE_TEXT:
        ok = sink_put(r, sink, n->as.text);
        break;
    case NODE_OUTPUT:
        ok = exec_output(r, scope, n, sink);
        break;
    case NODE_IF:
        return exec_if(r, scope, n, sink);
    case NODE_FOR:
        return exec_for(r, scope, n, sink);
    case NODE_BREAK:
        return FLOW_BREAK;
    case NODE_CONTINUE:
        return FLOW_CONTINUE;
    case NODE_SET:
        ok = exec_set(r, scope, n);
        break;
    case NODE_SET_BLOCK:
    case NODE_FILTER_BLOCK:
        return exec_captured(r, scope, n, sink);
    case NODE_MACRO:
        ok = exec_macro(r, scope, n);
        break;
    case NODE_CALL_BLOCK:
        ok = exec_call_block(r, scope, n, sink);
        break;
    case NODE_GENERATION:
        return exec_generation(r, scope, n, sink);
    case NODE_CONSTANT:
    case NODE_NAME:
    case NODE_TUPLE:
    case NODE_LIST:
    case NODE_DICT:
    case NODE_CONCAT:
    case NODE_AND:
    case NODE_OR:
    case NODE_NOT:
    case NODE_NEGATE:
    case NODE_PLUS:
    case NODE_BINARY:
    case NODE_COMPARE:
    case NODE_CONDITION:
    case NODE_ATTRIBUTE:
    case NODE_ITEM:
    case NODE_SLICE:
    case NODE_CALL:
    case NODE_FILTER:
    case NODE_TEST:
    case NODE_NAMESPACE_ATTRIBUTE:
        run_fail(r, E_INVALID, "no statement");
        break;
    }
    return ok ? FLOW_NEXT : FLOW_FAILED;
}

enum flow exec(struct run *r, struct scope *scope, const struct node *n, struct sink *sink)
{
    if (!run_enter(r))
        return FLOW_FAILED;
    enum flow flow = FLOW_NEXT;
    for (; n && flow == FLOW_NEXT; n = n->next) {
        r->pos = n->pos;
        flow = run_charge(r, 1) ? exec_one(r, scope, n, sink) : FLOW_FAILED;
    }
    run_leave(r);
    return flow;
}
