/*
 * Calls: arguments to parameters, of macros and of what the language brings along.
 */
#include <string.h>

#include "base/assert.h"
#include "template/run.h"
#include "template/text.h"

const struct jinja_callable *callable_find(const struct jinja_callable *table, size_t count,
                                           const char *name, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return &table[i];
    }
    return NULL;
}

/* ---- Of the language ---- */

struct param {
    const char *name;
    size_t len;
    bool required;
};

/* The parameters of a definition; returns how many. */
static size_t split_params(const struct jinja_callable *def, struct param out[PARAMS_MAX])
{
    size_t count = 0;
    for (const char *p = def->params; *p; count++) {
        DCHECK(count < PARAMS_MAX);
        size_t len = strcspn(p, " !");
        out[count] = (struct param){ p, len, p[len] == '!' };
        p += len;
        p += strspn(p, "! ");
    }
    return count;
}

static bool bind_named(struct run *r, const struct jinja_callable *def, const struct param *params,
                       size_t count, const struct call_args *args, struct jinja_value *bound)
{
    for (size_t i = 0; i < args->named_count; i++) {
        const struct jinja_string *name = args->named[i].key.as.string;
        int shown = (int)(name->len < 40 ? name->len : 40);
        size_t at = 0;
        while (at < count &&
               (params[at].len != name->len || memcmp(params[at].name, name->data, name->len) != 0))
            at++;
        if (at == count)
            return run_fail(r, E_INVALID, "%s() has no parameter '%.*s'", def->name, shown,
                            name->data);
        if (bound[at].kind != JINJA_MISSING)
            return run_fail(r, E_INVALID, "%s() has two values for '%.*s'", def->name, shown,
                            name->data);
        bound[at] = args->named[i].value;
    }
    return true;
}

static bool bind_builtin(struct run *r, const struct jinja_callable *def,
                         const struct call_args *args, struct jinja_value bound[PARAMS_MAX])
{
    struct param params[PARAMS_MAX];
    size_t count = split_params(def, params);
    if (args->count > count)
        return run_fail(r, E_INVALID, "%s() takes %zu arguments at most, not %zu", def->name, count,
                        args->count);
    for (size_t i = 0; i < args->count; i++)
        bound[i] = args->values[i];
    if (!bind_named(r, def, params, count, args, bound))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (params[i].required && bound[i].kind == JINJA_MISSING)
            return run_fail(r, E_INVALID, "%s() needs the argument '%.*s'", def->name,
                            (int)params[i].len, params[i].name);
    }
    return true;
}

static bool call_bound(struct run *r, const struct jinja_callable *def, struct jinja_value self,
                       const struct call_args *args, struct jinja_value *out)
{
    struct jinja_value bound[PARAMS_MAX];
    for (int i = 0; i < PARAMS_MAX; i++)
        bound[i] = value_missing();
    bool any = def->params[0] == '*';
    return (any || bind_builtin(r, def, args, bound)) && def->fn(r, self, bound, args, out);
}

bool call_builtin(struct run *r, const struct jinja_callable *def, struct jinja_value self,
                  const struct call_args *args, struct jinja_value *out)
{
    if (!run_enter(r))
        return false;
    bool ok = call_bound(r, def, self, args, out);
    run_leave(r);
    return ok;
}

/* ---- Macros ---- */

/* What is left of the named arguments while they are taken one by one. */
static struct jinja_value take_named(struct call_args *args, const struct jinja_string *name)
{
    for (size_t i = 0; i < args->named_count; i++) {
        if (!text_equal(args->named[i].key.as.string, name))
            continue;
        struct jinja_value v = args->named[i].value;
        args->named_count--;
        memmove(&args->named[i], &args->named[i + 1],
                (args->named_count - i) * sizeof args->named[0]);
        return v;
    }
    return value_missing();
}

static bool bind_params(struct run *r, const struct node_macro *m, struct scope *scope,
                        struct call_args *args)
{
    size_t i = 0;
    for (const struct node_param *p = m->params; p; p = p->next, i++) {
        struct jinja_value v = i < args->count ? args->values[i] : take_named(args, p->name);
        if (!scope_set(r, scope, p->id, v))
            return false;
    }
    return true;
}

/* Defaults see the parameters before them. */
static bool bind_defaults(struct run *r, const struct node_macro *m, struct scope *scope)
{
    for (const struct node_param *p = m->params; p; p = p->next) {
        if (scope_find(scope, p->id)->value.kind != JINJA_MISSING)
            continue;
        struct jinja_value v = value_undefined(r->t->names[p->id]);
        if ((p->value && !eval(r, scope, p->value, &v)) || !scope_set(r, scope, p->id, v))
            return false;
    }
    return true;
}

/* caller, kwargs and varargs, which exist where the body reads them. */
static bool bind_special(struct run *r, const struct node_macro *m, struct scope *scope,
                         struct call_args *args)
{
    if (m->reads_caller) {
        const struct jinja_string name = { .data = "caller", .len = 6 };
        struct jinja_value caller = take_named(args, &name);
        if (caller.kind == JINJA_MISSING || caller.kind == JINJA_NONE)
            caller = value_undefined("caller");
        if (!scope_set(r, scope, r->t->caller_id, caller))
            return false;
    }
    if (m->reads_kwargs) {
        struct jinja_map *map;
        if (!value_new_map(r, &map))
            return false;
        *map = (struct jinja_map){ args->named, args->named_count, args->named_count };
        if (!scope_set(r, scope, r->t->kwargs_id, value_map(map)))
            return false;
    } else if (args->named_count > 0) {
        const struct jinja_string *name = args->named[0].key.as.string;
        return run_fail(r, E_INVALID, "macro '%s' has no parameter '%.*s' to take", m->name,
                        (int)(name->len < 40 ? name->len : 40), name->data);
    }
    size_t extra = args->count > m->param_count ? args->count - m->param_count : 0;
    if (m->reads_varargs) {
        struct jinja_list *list;
        if (!value_new_list(r, LIST_TUPLE, extra, &list))
            return false;
        if (extra > 0)
            memcpy(list->items, args->values + m->param_count, extra * sizeof list->items[0]);
        list->count = extra;
        return scope_set(r, scope, r->t->varargs_id, value_list(list));
    }
    return extra == 0 || run_fail(r, E_INVALID, "macro '%s' takes %zu arguments at most, not %zu",
                                  m->name, m->param_count, args->count);
}

static bool call_macro(struct run *r, const struct jinja_macro *macro,
                       const struct call_args *given, struct jinja_value *out)
{
    const struct node_macro *m = macro->node;
    struct call_args args = *given;
    struct sink sink = { 0 };
    struct scope *scope = run_alloc(r, 1, sizeof *scope);
    struct map_entry *named = run_alloc(r, args.named_count, sizeof *named);
    if (!scope || !named)
        return false;
    scope->parent = macro->scope;
    if (args.named_count > 0)
        memcpy(named, args.named, args.named_count * sizeof *named);
    args.named = named;
    if (!bind_params(r, m, scope, &args) || !bind_special(r, m, scope, &args) ||
        !bind_defaults(r, m, scope))
        return false;
    return exec(r, scope, m->body, &sink) != FLOW_FAILED && sink_string(r, &sink, out);
}

/* ---- */

static bool call_counter(struct run *r, struct jinja_counter *counter, struct jinja_value *out)
{
    if (counter->items)
        return run_fail(r, E_INVALID, "'Cycler' object is not callable");
    if (counter->used) {
        *out = counter->separator;
        return true;
    }
    counter->used = true;
    return text_constant(r, "", out);
}

bool call_value(struct run *r, struct jinja_value callee, const struct call_args *args,
                struct jinja_value *out)
{
    switch (callee.kind) {
    case JINJA_FUNCTION:
        return call_builtin(r, callee.as.function, jinja_none(), args, out);
    case JINJA_METHOD:
        return call_builtin(r, callee.as.method->def, callee.as.method->self, args, out);
    case JINJA_MACRO:
        return call_macro(r, callee.as.macro, args, out);
    case JINJA_COUNTER:
        return call_counter(r, callee.as.counter, out);
    case JINJA_UNDEFINED:
        return run_fail_undefined(r, callee);
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
    case JINJA_STRING:
    case JINJA_LIST:
    case JINJA_MAP:
    case JINJA_NAMESPACE:
    case JINJA_LOOP:
    case JINJA_MISSING:
        break;
    }
    return run_fail(r, E_INVALID, "'%s' object is not callable", value_type_name(callee));
}
