#ifndef TEMPLATE_RUN_H
#define TEMPLATE_RUN_H

#include "template/ast.h"

/*
 * One rendering: one thread, on the stack of jinja_render. Functions that can fail return
 * false; the first failure is kept here with its place and ends the rendering.
 */
struct run {
    const struct jinja_template *t;
    const struct jinja_limits *limits;
    struct base_err_info *info;
    struct arena arena;        /* everything made while rendering */
    struct jinja_value *names; /* [name_count]: the outermost scope; MISSING: not set */
    uint64_t steps_left;
    uint32_t depth;
    uint32_t pos; /* the node being evaluated: where a failure is */
    int64_t now_s;
    enum base_err rc;
};

/* Keeps the first failure and returns false. */
__attribute__((format(printf, 3, 4), cold)) bool run_fail(struct run *r, enum base_err rc,
                                                          const char *format, ...);

/* "'x' is undefined" */
bool run_fail_undefined(struct run *r, struct jinja_value v);

/* For a refused allocation of `bytes`: E_TOO_BIG at the limit, else E_NOMEM. */
bool run_fail_memory(struct run *r, size_t bytes);

/* Takes steps; false: none left. */
bool run_charge(struct run *r, size_t steps);

/* Steps for looking at `bytes` bytes. */
static inline bool run_charge_bytes(struct run *r, size_t bytes)
{
    return run_charge(r, 1 + bytes / 64);
}

/* Memory until the end of the rendering; NULL: failed. */
void *run_alloc(struct run *r, size_t count, size_t size);

/* Deeper evaluation; false: too deep. */
bool run_enter(struct run *r);

static inline void run_leave(struct run *r)
{
    r->depth--;
}

/* ---- Scopes: see eval.c ---- */

struct binding {
    struct binding *next;
    uint32_t id;
    struct jinja_value value;
};

struct scope {
    struct scope *parent; /* NULL: the next one out is run.names */
    struct binding *bindings;
};

struct jinja_macro {
    const struct node_macro *node;
    struct scope *scope; /* where it was defined */
};

/* What the scope itself has; NULL: nothing. */
struct binding *scope_find(struct scope *scope, uint32_t id);

/* What a name means; undefined where it means nothing. Costs steps where many are looked at. */
bool scope_get(struct run *r, const struct scope *scope, uint32_t id, struct jinja_value *out);

/* `scope` may be NULL: the outermost one. */
bool scope_set(struct run *r, struct scope *scope, uint32_t id, struct jinja_value value);

/* ---- Output: spans.c ---- */

struct sink_piece {
    const char *data;
    const uint8_t *marks; /* as in a string */
    size_t len;
    bool trusted;
};

/* What a body writes: pieces of strings, in order. */
struct sink {
    struct sink_piece *pieces;
    size_t count;
    size_t room;
    size_t len; /* in bytes */
};

bool sink_put(struct run *r, struct sink *sink, const struct jinja_string *s);

/* All of it as one string. */
bool sink_string(struct run *r, const struct sink *sink, struct jinja_value *out);

/* All of it as spans in `arena`. */
bool sink_spans(struct run *r, const struct sink *sink, struct arena *arena,
                struct template_span **spans, size_t *count);

/* ---- Expressions and statements ---- */

bool eval(struct run *r, struct scope *scope, const struct node *n, struct jinja_value *out);
/* Binds a target (names, tuples of them, ns.x) to a value. */
bool assign(struct run *r, struct scope *scope, const struct node *target,
            struct jinja_value value);

/* A chain of filters that begins with what a block wrote. */
bool eval_block_filter(struct run *r, struct scope *scope, const struct node *n,
                       struct jinja_value captured, struct jinja_value *out);
bool eval_args(struct run *r, struct scope *scope, const struct node_args *args,
               struct call_args *out);

enum flow {
    FLOW_NEXT,
    FLOW_BREAK,
    FLOW_CONTINUE,
    FLOW_FAILED
};

/* Runs a body: `n` and what follows it. */
enum flow exec(struct run *r, struct scope *scope, const struct node *n, struct sink *sink);

/* Calls any value; `out` is what it returns. */
bool call_value(struct run *r, struct jinja_value callee, const struct call_args *args,
                struct jinja_value *out);

/* Binds the arguments to the parameters of `def` and calls it. */
bool call_builtin(struct run *r, const struct jinja_callable *def, struct jinja_value self,
                  const struct call_args *args, struct jinja_value *out);

/* Operators: ops.c */
bool op_binary(struct run *r, enum node_op op, struct jinja_value a, struct jinja_value b,
               struct jinja_value *out);
bool op_compare(struct run *r, enum node_op op, struct jinja_value a, struct jinja_value b,
                bool *out);
bool op_negate(struct run *r, struct jinja_value v, bool minus, struct jinja_value *out);

/* Lookups: lookup.c. The template's x.name, x[index] and x[start:stop:step]. */
bool lookup_attribute(struct run *r, struct jinja_value object, const struct jinja_string *name,
                      struct jinja_value *out);
bool lookup_item(struct run *r, struct jinja_value object, struct jinja_value index,
                 struct jinja_value *out);
bool lookup_slice(struct run *r, struct jinja_value object, const struct jinja_value bounds[3],
                  struct jinja_value *out);

/*
 * The dotted path of a filter's attribute argument ("a.b.0", 3, none). `fallback` (may be
 * NULL) replaces undefined values on the way.
 */
bool lookup_path(struct run *r, struct jinja_value object, struct jinja_value path,
                 const struct jinja_value *fallback, struct jinja_value *out);

/* ---- Loops: loop.c ---- */

struct jinja_loop {
    const struct node *node;
    struct scope *scope; /* around the loop */
    const struct jinja_value *items;
    size_t count;
    size_t at;               /* the next of `items` to look at */
    const struct node *test; /* of the items to come, or NULL */
    int64_t length;          /* rounds in all, -1: not known yet */
    int64_t index0;
    struct jinja_value before;
    struct jinja_value current;
    struct jinja_value after;   /* looked at ahead of its round, MISSING: not yet */
    struct jinja_value changed; /* what loop.changed was called with last, or MISSING */
};

/* Goes to the next round; false: failed. `more`: there is one. */
bool loop_next(struct run *r, struct jinja_loop *loop, bool *more);
bool loop_attribute(struct run *r, struct jinja_loop *loop, const struct jinja_string *name,
                    struct jinja_value *out);

/* ---- Text of values ---- */

/* Python's str() and repr(). */
bool value_str(struct run *r, struct jinja_value v, const struct jinja_string **out);
bool value_repr(struct run *r, struct jinja_value v, const struct jinja_string **out);

enum {
    REAL_TEXT_BYTES = 40
};

/* Python's repr of a float. */
void text_real(double d, char out[REAL_TEXT_BYTES]);

/* printf-style formatting: `format % args`; `named` may be a map. */
bool format_percent(struct run *r, const struct jinja_string *format, struct jinja_value args,
                    struct jinja_value *out);

/* format.format(…) */
bool format_braces(struct run *r, const struct jinja_string *format, const struct call_args *args,
                   struct jinja_value *out);

/* Sorts by key, stable; `reverse`: the largest first, equal ones in their order. */
bool sort_entries(struct run *r, struct map_entry *entries, size_t count, bool reverse);

/* json.dumps */
struct json_style {
    bool ascii;
    bool sorted;
    const struct jinja_string *indent; /* NULL: one line */
    const struct jinja_string *item_separator;
    const struct jinja_string *key_separator;
};
bool json_dump(struct run *r, struct jinja_value v, const struct json_style *style,
               struct jinja_value *out);
bool json_load(struct run *r, const struct jinja_string *s, struct jinja_value *out);

/* ---- Tables; NULL where a name is unknown. Any thread. ---- */

const struct jinja_callable *filter_find(const char *name, size_t len);
const struct jinja_callable *filter_text_find(const char *name, size_t len);
const struct jinja_callable *filter_list_find(const char *name, size_t len);
const struct jinja_callable *test_find(const char *name, size_t len);
const struct jinja_callable *global_find(const char *name, size_t len);

/* A method of `self`'s type. */
const struct jinja_callable *method_find(struct jinja_value self, const char *name, size_t len);
const struct jinja_callable *method_text_find(const char *name, size_t len);

/* In one table of `count` definitions. */
const struct jinja_callable *callable_find(const struct jinja_callable *table, size_t count,
                                           const char *name, size_t len);

#endif
