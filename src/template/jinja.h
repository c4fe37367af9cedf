#ifndef TEMPLATE_JINJA_H
#define TEMPLATE_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "template/span.h"

/*
 * The Jinja of chat templates: a template is compiled once and rendered with variables to
 * spans. What the template wrote is trusted; what came from strings of origin JINJA_USER is
 * not, and no operation of the language changes that, byte for byte. The README says what of
 * the language there is.
 */

/* ---- Values: what a template sees. Made by the caller, in the caller's arena. ---- */

enum jinja_kind {
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST, /* Python's lists, tuples, ranges, iterators and views of a dict */
    JINJA_MAP,

    /* never part of a context; made by templates only */
    JINJA_NAMESPACE,
    JINJA_MACRO,
    JINJA_FUNCTION,
    JINJA_METHOD,
    JINJA_LOOP,
    JINJA_COUNTER, /* a cycler or a joiner */
    JINJA_MISSING  /* an argument that was not given; no expression has this value */
};

/* Passed by value; `as` belongs to the folder, callers use the functions below. */
struct jinja_value {
    enum jinja_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *missing_name; /* of an undefined value, or NULL */
        const struct jinja_string *string;
        struct jinja_list *list;
        struct jinja_map *map;
        struct jinja_macro *macro;
        const struct jinja_callable *function;
        const struct jinja_method *method;
        struct jinja_loop *loop;
        struct jinja_counter *counter;
    } as;
};

/* Who wrote a string. */
enum jinja_origin {
    JINJA_USER,   /* the caller's client: never a control token */
    JINJA_TRUSTED /* the model's files or the server: bos_token, and roles the server knows */
};

struct jinja_value jinja_none(void);
struct jinja_value jinja_bool(bool b);
struct jinja_value jinja_int(int64_t i);
struct jinja_value jinja_float(double d);

/*
 * Strings, lists and maps live in `arena`; a string borrows `data` (UTF-8; a byte that is none
 * counts as a character) as long as the value is used. E_NOMEM: the arena refuses.
 *
 * Roles are often part of a control token ("<|" + role + "|>"): a role that the server knows
 * must be JINJA_TRUSTED, any other JINJA_USER.
 */
enum base_err jinja_string(struct arena *arena, const char *data, size_t len,
                           enum jinja_origin origin, struct jinja_value *out);
enum base_err jinja_list(struct arena *arena, struct jinja_value *out);
enum base_err jinja_list_add(struct arena *arena, struct jinja_value list, struct jinja_value item);
enum base_err jinja_map(struct arena *arena, struct jinja_value *out);

/* Adds at the end; the key (a string) must not be there already: the first one would be found. */
enum base_err jinja_map_add(struct arena *arena, struct jinja_value map, struct jinja_value key,
                            struct jinja_value item);

/* The same with a constant key of the server, not copied. */
enum base_err jinja_map_add_str(struct arena *arena, struct jinja_value map, const char *key,
                                struct jinja_value item);

/* ---- Templates ---- */

/* Reaching a limit is E_TOO_BIG. */
struct jinja_limits {
    /* compiling */
    size_t source_bytes_max;
    uint32_t node_count_max;
    uint32_t nesting_max; /* of blocks and parentheses */

    /* rendering */
    uint64_t step_count_max; /* a node evaluated, an item or 64 bytes looked at */
    uint32_t depth_max;      /* of evaluation: macros, blocks, expressions, values in values */
    int64_t range_max;       /* items of range() */
    size_t output_bytes_max;
    size_t memory_bytes_max; /* of everything made while compiling, and while rendering */
};

void jinja_limits_init(struct jinja_limits *limits);

typedef struct jinja_template jinja_template;

/*
 * Compiles `source` (UTF-8), which is copied.
 *
 * out   the template, NULL on an error. Gives: jinja_destroy.
 * info  "line L, column C: …" and the byte; line ends are counted as one byte.
 *
 * E_INVALID: the text is no template. E_UNSUPPORTED: a statement of Jinja that is not there.
 * E_TOO_BIG: a limit. E_NOMEM. Threads: any.
 */
enum base_err jinja_compile(const char *source, size_t len, const struct jinja_limits *limits,
                            jinja_template **out, struct base_err_info *info);
void jinja_destroy(jinja_template *t);

/*
 * Whether a name occurs in the template as a variable, as "tools" does where tools are written
 * into the text. Any thread.
 */
bool jinja_reads(const jinja_template *t, const char *name);

/*
 * Renders.
 *
 * variables  a map: messages, tools (none where there are none), add_generation_prompt,
 *            bos_token, eos_token and further ones; borrowed until the call returns
 * now_s      for strftime_now: seconds since 1970, shifted by the offset of the time zone
 * spans      out  [span_count] in order, in `arena` with their text; neighbours differ in
 *            `trusted`. NULL and 0 on an error and for an empty text.
 *
 * E_INVALID: the template failed or called raise_exception; the message says where and why.
 * E_UNSUPPORTED: something of Jinja that is not there. E_TOO_BIG: a limit, or `arena` is full.
 * E_NOMEM. Threads: any number on one template, one at a time for an arena.
 */
enum base_err jinja_render(const jinja_template *t, struct jinja_value variables, int64_t now_s,
                           const struct jinja_limits *limits, struct arena *arena,
                           struct template_span **spans, size_t *span_count,
                           struct base_err_info *info);

#endif
