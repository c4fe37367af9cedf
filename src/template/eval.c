/*
 * Expressions. A value is made for each node; depth and steps are counted here.
 */
#include <string.h>

#include "template/run.h"
#include "template/text.h"

/* ---- Containers ---- */

static bool eval_items(struct run *r, struct scope *scope, const struct node *n,
                       struct jinja_value *out)
{
    struct jinja_list *list;
    enum list_flavour flavour = n->kind == NODE_TUPLE ? LIST_TUPLE : LIST_LIST;
    if (!value_new_list(r, flavour, n->as.list.count, &list))
        return false;
    for (const struct node *item = n->as.list.first; item; item = item->next) {
        if (!eval(r, scope, item, &list->items[list->count]))
            return false;
        list->count++;
    }
    *out = value_list(list);
    return true;
}

static bool eval_dict(struct run *r, struct scope *scope, const struct node *n,
                      struct jinja_value *out)
{
    struct jinja_map *map;
    if (!value_new_map(r, &map))
        return false;
    for (const struct node *key = n->as.list.first; key; key = key->next->next) {
        struct jinja_value k;
        struct jinja_value v;
        if (!eval(r, scope, key, &k) || !eval(r, scope, key->next, &v))
            return false;
        r->pos = key->pos;
        if (!value_map_set(r, map, k, v))
            return false;
    }
    *out = value_map(map);
    return true;
}

static bool eval_concat(struct run *r, struct scope *scope, const struct node *n,
                        struct jinja_value *out)
{
    struct text_builder b = { .r = r };
    for (const struct node *part = n->as.list.first; part; part = part->next) {
        struct jinja_value v;
        const struct jinja_string *s;
        if (!eval(r, scope, part, &v) || !value_str(r, v, &s) || !text_put_string(&b, s))
            return false;
    }
    return text_finish(&b, out);
}

/* ---- Operators ---- */

static bool eval_logic(struct run *r, struct scope *scope, const struct node *n,
                       struct jinja_value *out)
{
    if (!eval(r, scope, n->as.binary.left, out))
        return false;
    if (value_truth(*out) == (n->kind == NODE_OR))
        return true;
    return eval(r, scope, n->as.binary.right, out);
}

static bool eval_binary(struct run *r, struct scope *scope, const struct node *n,
                        struct jinja_value *out)
{
    struct jinja_value a;
    struct jinja_value b;
    if (!eval(r, scope, n->as.binary.left, &a) || !eval(r, scope, n->as.binary.right, &b))
        return false;
    r->pos = n->pos;
    return op_binary(r, n->as.binary.op, a, b, out);
}

static bool eval_unary(struct run *r, struct scope *scope, const struct node *n,
                       struct jinja_value *out)
{
    struct jinja_value v;
    if (!eval(r, scope, n->as.binary.left, &v))
        return false;
    r->pos = n->pos;
    if (n->kind == NODE_NOT) {
        *out = jinja_bool(!value_truth(v));
        return true;
    }
    return op_negate(r, v, n->kind == NODE_NEGATE, out);
}

/* a < b < c: every operand once, up to the first comparison that is false. */
static bool eval_compare(struct run *r, struct scope *scope, const struct node *n,
                         struct jinja_value *out)
{
    struct jinja_value left;
    bool holds = true;
    if (!eval(r, scope, n->as.compare.left, &left))
        return false;
    for (const struct node_operand *o = n->as.compare.operands; o && holds; o = o->next) {
        struct jinja_value right;
        if (!eval(r, scope, o->right, &right))
            return false;
        r->pos = n->pos;
        if (!op_compare(r, o->op, left, right, &holds))
            return false;
        left = right;
    }
    *out = jinja_bool(holds);
    return true;
}

static bool eval_condition(struct run *r, struct scope *scope, const struct node *n,
                           struct jinja_value *out)
{
    struct jinja_value test;
    if (!eval(r, scope, n->as.condition.test, &test))
        return false;
    if (value_truth(test))
        return eval(r, scope, n->as.condition.yes, out);
    if (n->as.condition.no)
        return eval(r, scope, n->as.condition.no, out);
    *out = value_undefined(NULL);
    return true;
}

/* ---- Lookups ---- */

static bool eval_attribute(struct run *r, struct scope *scope, const struct node *n,
                           struct jinja_value *out)
{
    struct jinja_value object;
    if (!eval(r, scope, n->as.attribute.object, &object))
        return false;
    r->pos = n->pos;
    return lookup_attribute(r, object, n->as.attribute.name, out);
}

static bool eval_item(struct run *r, struct scope *scope, const struct node *n,
                      struct jinja_value *out)
{
    struct jinja_value object;
    struct jinja_value index;
    if (!eval(r, scope, n->as.item.object, &object) || !eval(r, scope, n->as.item.index, &index))
        return false;
    r->pos = n->pos;
    return lookup_item(r, object, index, out);
}

static bool eval_slice(struct run *r, struct scope *scope, const struct node *n,
                       struct jinja_value *out)
{
    const struct node *parts[3] = { n->as.slice.start, n->as.slice.stop, n->as.slice.step };
    struct jinja_value bounds[3] = { jinja_none(), jinja_none(), jinja_none() };
    struct jinja_value object;
    if (!eval(r, scope, n->as.slice.object, &object))
        return false;
    for (int i = 0; i < 3; i++) {
        if (parts[i] && !eval(r, scope, parts[i], &bounds[i]))
            return false;
    }
    r->pos = n->pos;
    return lookup_slice(r, object, bounds, out);
}

/* ---- Calls ---- */

static bool add_named(struct run *r, struct jinja_map *named, const struct jinja_string *name,
                      struct jinja_value v)
{
    struct map_entry *entry;
    struct jinja_value key = value_string(name);
    if (!value_map_find(r, named, key, &entry))
        return false;
    if (entry)
        return run_fail(r, E_INVALID, "an argument is given twice");
    return value_map_set(r, named, key, v);
}

static bool add_star(struct run *r, struct jinja_list *values, struct jinja_value v)
{
    struct value_items walk;
    if (!value_walk(r, v, &walk))
        return false;
    for (size_t i = 0; i < walk.count; i++) {
        if (!value_list_push(r, values, walk.items[i]))
            return false;
    }
    return true;
}

static bool add_double_star(struct run *r, struct jinja_map *named, struct jinja_value v)
{
    if (v.kind != JINJA_MAP)
        return run_fail(r, E_INVALID, "the argument behind ** must be a mapping, not '%s'",
                        value_type_name(v));
    for (size_t i = 0; i < v.as.map->count; i++) {
        const struct map_entry *e = &v.as.map->entries[i];
        if (e->key.kind != JINJA_STRING)
            return run_fail(r, E_INVALID, "keywords must be strings");
        if (!add_named(r, named, e->key.as.string, e->value))
            return false;
    }
    return true;
}

static bool add_arg(struct run *r, const struct node_arg *arg, struct jinja_value v,
                    struct jinja_list *values, struct jinja_map *named)
{
    switch (arg->kind) {
    case ARG_VALUE:
        return value_list_push(r, values, v);
    case ARG_NAMED:
        return add_named(r, named, arg->name, v);
    case ARG_LIST:
        return add_star(r, values, v);
    case ARG_MAP:
        return add_double_star(r, named, v);
    }
    return true;
}

bool eval_args(struct run *r, struct scope *scope, const struct node_args *args,
               struct call_args *out)
{
    struct jinja_list values = { 0 };
    struct jinja_map named = { 0 };
    for (const struct node_arg *arg = args->first; arg; arg = arg->next) {
        struct jinja_value v;
        if (!eval(r, scope, arg->value, &v) || !add_arg(r, arg, v, &values, &named))
            return false;
    }
    *out = (struct call_args){ values.items, values.count, named.entries, named.count };
    return true;
}

static bool eval_call(struct run *r, struct scope *scope, const struct node *n,
                      struct jinja_value *out)
{
    struct jinja_value callee;
    struct call_args args;
    if (!eval(r, scope, n->as.call.callee, &callee) ||
        !eval_args(r, scope, &n->as.call.args, &args))
        return false;
    r->pos = n->pos;
    return call_value(r, callee, &args, out);
}

static bool apply_filter(struct run *r, struct scope *scope, const struct node *n,
                         struct jinja_value value, struct jinja_value *out)
{
    struct call_args args;
    if (!eval_args(r, scope, &n->as.filter.args, &args))
        return false;
    r->pos = n->pos;
    if (!n->as.filter.def)
        return run_fail(r, E_UNSUPPORTED, "no %s named '%s'",
                        n->kind == NODE_FILTER ? "filter" : "test", n->as.filter.name);
    return call_builtin(r, n->as.filter.def, value, &args, out);
}

/* A filter or a test. */
static bool eval_filter(struct run *r, struct scope *scope, const struct node *n,
                        struct jinja_value *out)
{
    struct jinja_value value;
    return eval(r, scope, n->as.filter.value, &value) && apply_filter(r, scope, n, value, out);
}

bool eval_block_filter(struct run *r, struct scope *scope, const struct node *n,
                       struct jinja_value captured, struct jinja_value *out)
{
    struct jinja_value value = captured;
    if (!run_enter(r))
        return false;
    bool ok =
        !n->as.filter.value || eval_block_filter(r, scope, n->as.filter.value, captured, &value);
    run_leave(r);
    return ok && apply_filter(r, scope, n, value, out);
}

/* ---- */

static bool eval_node(struct run *r, struct scope *scope, const struct node *n,
                      struct jinja_value *out)
{
    switch (n->kind) {
    case NODE_CONSTANT:
        *out = n->as.constant;
        return true;
    case NODE_NAME:
        return scope_get(r, scope, n->as.name.id, out);
    case NODE_TUPLE:
    case NODE_LIST:
        return eval_items(r, scope, n, out);
    case NODE_DICT:
        return eval_dict(r, scope, n, out);
    case NODE_CONCAT:
        return eval_concat(r, scope, n, out);
    case NODE_AND:
    case NODE_OR:
        return eval_logic(r, scope, n, out);
    case NODE_NOT:
    case NODE_NEGATE:
    case NODE_PLUS:
        return eval_unary(r, scope, n, out);
    case NODE_BINARY:
        return eval_binary(r, scope, n, out);
    case NODE_COMPARE:
        return eval_compare(r, scope, n, out);
    case NODE_CONDITION:
        return eval_condition(r, scope, n, out);
    case NODE_ATTRIBUTE:
        return eval_attribute(r, scope, n, out);
    case NODE_ITEM:
        return eval_item(r, scope, n, out);
    case NODE_SLICE:
        return eval_slice(r, scope, n, out);
    case NODE_CALL:
        return eval_call(r, scope, n, out);
    case NODE_FILTER:
    case NODE_TEST:
        return eval_filter(r, scope, n, out);
    case NODE_TEXT:
    case NODE_OUTPUT:
    case NODE_IF:
    case NODE_FOR:
    case NODE_BREAK:
    case NODE_CONTINUE:
    case NODE_SET:
    case NODE_SET_BLOCK:
    case NODE_MACRO:
    case NODE_CALL_BLOCK:
    case NODE_FILTER_BLOCK:
    case NODE_GENERATION:
    case NODE_NAMESPACE_ATTRIBUTE:
        break;
    }
    return run_fail(r, E_INVALID, "no expression");
}

bool eval(struct run *r, struct scope *scope, const struct node *n, struct jinja_value *out)
{
    r->pos = n->pos;
    if (!run_charge(r, 1) || !run_enter(r))
        return false;
    bool ok = eval_node(r, scope, n, out);
    run_leave(r);
    return ok;
}
