/*
 * The rounds of a for loop, and the variable `loop`. A filter's test runs when its item is
 * reached, or looked at ahead: it may depend on what the rounds before did.
 */
#include "template/run.h"
#include "template/text.h"

/* Whether the loop's own test takes an item. */
static bool passes(struct run *r, const struct jinja_loop *loop, struct jinja_value item,
                   bool *pass)
{
    *pass = true;
    if (!loop->test)
        return true;
    struct scope *scope = run_alloc(r, 1, sizeof *scope);
    struct jinja_value v;
    if (!scope)
        return false;
    scope->parent = loop->scope;
    if (!assign(r, scope, loop->node->as.loop.target, item) || !eval(r, scope, loop->test, &v))
        return false;
    *pass = value_truth(v);
    return true;
}

/* The next item, MISSING at the end. */
static bool fetch(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    *out = value_missing();
    while (loop->at < loop->count) {
        struct jinja_value item = loop->items[loop->at++];
        bool pass;
        if (!run_charge(r, 1) || !passes(r, loop, item, &pass))
            return false;
        if (pass) {
            *out = item;
            return true;
        }
    }
    return true;
}

static bool peek(struct run *r, struct jinja_loop *loop)
{
    return loop->after.kind != JINJA_MISSING || fetch(r, loop, &loop->after);
}

bool loop_next(struct run *r, struct jinja_loop *loop, bool *more)
{
    if (!peek(r, loop))
        return false;
    *more = loop->after.kind != JINJA_MISSING;
    if (*more) {
        loop->before = loop->current;
        loop->current = loop->after;
        loop->after = value_missing();
        loop->index0++;
    }
    return true;
}

/* Tests all that is left. */
static bool fetch_rest(struct run *r, struct jinja_loop *loop)
{
    struct jinja_list *rest;
    struct jinja_value item;
    if (!value_new_list(r, LIST_LIST, 0, &rest))
        return false;
    for (;;) {
        if (!fetch(r, loop, &item))
            return false;
        if (item.kind == JINJA_MISSING)
            break;
        if (!value_list_push(r, rest, item))
            return false;
    }
    loop->length = loop->index0 + 1 + (loop->after.kind != JINJA_MISSING) + (int64_t)rest->count;
    loop->items = rest->items;
    loop->count = rest->count;
    loop->at = 0;
    loop->test = NULL;
    return true;
}

/* ---- The variable ---- */

static bool get_length(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    if (loop->length < 0 && !fetch_rest(r, loop))
        return false;
    *out = jinja_int(loop->length);
    return true;
}

static bool get_revindex(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    if (!get_length(r, loop, out))
        return false;
    *out = jinja_int(loop->length - loop->index0);
    return true;
}

static bool get_revindex0(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    if (!get_length(r, loop, out))
        return false;
    *out = jinja_int(loop->length - loop->index0 - 1);
    return true;
}

static bool get_index(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    (void)r;
    *out = jinja_int(loop->index0 + 1);
    return true;
}

static bool get_index0(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    (void)r;
    *out = jinja_int(loop->index0);
    return true;
}

static bool get_first(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    (void)r;
    *out = jinja_bool(loop->index0 == 0);
    return true;
}

static bool get_last(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    if (!peek(r, loop))
        return false;
    *out = jinja_bool(loop->after.kind == JINJA_MISSING);
    return true;
}

static bool get_previtem(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    (void)r;
    *out = loop->index0 == 0 ? value_undefined("loop.previtem") : loop->before;
    return true;
}

static bool get_nextitem(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    if (!peek(r, loop))
        return false;
    *out = loop->after.kind == JINJA_MISSING ? value_undefined("loop.nextitem") : loop->after;
    return true;
}

/* Recursive loops are not supported, so every loop is the outermost one. */
static bool get_depth(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    (void)r;
    (void)loop;
    *out = jinja_int(1);
    return true;
}

static bool get_depth0(struct run *r, struct jinja_loop *loop, struct jinja_value *out)
{
    (void)r;
    (void)loop;
    *out = jinja_int(0);
    return true;
}

static const struct {
    const char *name;
    bool (*get)(struct run *r, struct jinja_loop *loop, struct jinja_value *out);
} attributes[] = {
    { "index", get_index },       { "index0", get_index0 },     { "first", get_first },
    { "last", get_last },         { "length", get_length },     { "revindex", get_revindex },
    { "previtem", get_previtem }, { "nextitem", get_nextitem }, { "revindex0", get_revindex0 },
    { "depth", get_depth },       { "depth0", get_depth0 },
};

static bool loop_cycle(struct run *r, struct jinja_value self, const struct jinja_value *args,
                       const struct call_args *raw, struct jinja_value *out)
{
    (void)args;
    if (raw->count == 0)
        return run_fail(r, E_INVALID, "loop.cycle() needs an argument");
    *out = raw->values[(size_t)self.as.loop->index0 % raw->count];
    return true;
}

static bool loop_changed(struct run *r, struct jinja_value self, const struct jinja_value *args,
                         const struct call_args *raw, struct jinja_value *out)
{
    struct jinja_loop *loop = self.as.loop;
    struct jinja_list *now;
    bool equal = false;
    (void)args;
    if (!value_new_list(r, LIST_TUPLE, 0, &now))
        return false;
    for (size_t i = 0; i < raw->count; i++) {
        if (!value_list_push(r, now, raw->values[i]))
            return false;
    }
    if (loop->changed.kind != JINJA_MISSING &&
        !value_equal(r, loop->changed, value_list(now), &equal))
        return false;
    loop->changed = value_list(now);
    *out = jinja_bool(!equal);
    return true;
}

static const struct jinja_callable methods[] = {
    { "cycle", loop_cycle, "*" },
    { "changed", loop_changed, "*" },
};

bool loop_attribute(struct run *r, struct jinja_loop *loop, const struct jinja_string *name,
                    struct jinja_value *out)
{
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (text_is(name, attributes[i].name))
            return attributes[i].get(r, loop, out);
    }
    const struct jinja_callable *def =
        callable_find(methods, sizeof methods / sizeof methods[0], name->data, name->len);
    struct jinja_value self = { .kind = JINJA_LOOP, .as.loop = loop };
    if (def)
        return value_new_method(r, def, self, out);
    *out = value_undefined("loop's attribute");
    return true;
}
