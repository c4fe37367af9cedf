#ifndef TEMPLATE_VALUE_H
#define TEMPLATE_VALUE_H

#include "template/jinja.h"

/*
 * Values of the language. Strings, lists and maps never change once a template can see them:
 * they share parts freely and cannot hold themselves. What changes: namespaces, what is left
 * of an iterator, loops, cyclers and joiners.
 */

struct run; /* run.h */

/*
 * Text and who wrote it. A string made by + ends in a buffer with room behind it; a further +
 * writes there instead of copying, if nothing else did before.
 */
struct jinja_string {
    const char *data;
    const uint8_t *marks; /* [len], 1 = trusted; NULL: `trusted` holds for every byte */
    size_t len;
    bool trusted;
    struct string_room *room; /* the buffer this string ends in, or NULL */
};

struct string_room {
    char *data;
    uint8_t *marks; /* [cap], filled for all that is used */
    size_t used;
    size_t cap;
};

enum list_flavour {
    LIST_LIST,
    LIST_TUPLE,
    LIST_RANGE,
    LIST_ITERATOR, /* can be walked once */
    LIST_KEYS,
    LIST_VALUES,
    LIST_ITEMS
};

struct jinja_list {
    struct jinja_value *items;
    size_t count;
    size_t room;
    size_t taken; /* iterator: how many are gone */
    enum list_flavour flavour;
};

struct map_entry {
    struct jinja_value key;
    struct jinja_value value;
};

/* In order of insertion. Keys are strings, numbers, bools and none. */
struct jinja_map {
    struct map_entry *entries;
    size_t count;
    size_t room;
};

/* What stands between the parentheses of a call. */
struct call_args {
    struct jinja_value *values;
    size_t count;
    struct map_entry *named; /* keys are strings */
    size_t named_count;
};

enum {
    PARAMS_MAX = 5
};

/*
 * A filter, test, method or function of the language.
 *
 * self  what is filtered, tested, or owns the method
 * args  [PARAMS_MAX] one for each of the definition's `params`, JINJA_MISSING where not given
 * raw   the arguments as they were written
 */
typedef bool (*callable_fn)(struct run *r, struct jinja_value self, const struct jinja_value *args,
                            const struct call_args *raw, struct jinja_value *out);

struct jinja_callable {
    const char *name;
    callable_fn fn;
    const char *params; /* "old! new! count": names, ! where one must be given; "*": any */
};

struct jinja_method {
    const struct jinja_callable *def;
    struct jinja_value self;
};

/* cycler(…) or joiner(…) */
struct jinja_counter {
    const struct jinja_value *items; /* cycler; NULL for a joiner */
    size_t count;
    size_t next;
    struct jinja_value separator; /* joiner */
    bool used;
};

static inline struct jinja_value value_undefined(const char *name)
{
    return (struct jinja_value){ .kind = JINJA_UNDEFINED, .as.missing_name = name };
}

static inline struct jinja_value value_missing(void)
{
    return (struct jinja_value){ .kind = JINJA_MISSING };
}

static inline struct jinja_value value_string(const struct jinja_string *s)
{
    return (struct jinja_value){ .kind = JINJA_STRING, .as.string = s };
}

static inline bool value_is_sequence(struct jinja_value v)
{
    return v.kind == JINJA_LIST && v.as.list->flavour <= LIST_RANGE;
}

static inline bool value_has_flavour(struct jinja_value v, enum list_flavour flavour)
{
    return v.kind == JINJA_LIST && v.as.list->flavour == flavour;
}

/* bool and int are one kind of number in Python. */
static inline bool value_is_integer(struct jinja_value v)
{
    return v.kind == JINJA_INT || v.kind == JINJA_BOOL;
}

static inline int64_t value_integer(struct jinja_value v)
{
    return v.kind == JINJA_BOOL ? v.as.boolean : v.as.integer;
}

static inline bool value_is_number(struct jinja_value v)
{
    return value_is_integer(v) || v.kind == JINJA_FLOAT;
}

static inline double value_real(struct jinja_value v)
{
    return v.kind == JINJA_FLOAT ? v.as.real : (double)value_integer(v);
}

/* Python's name of the type: "str", "dict", … */
const char *value_type_name(struct jinja_value v);

bool value_truth(struct jinja_value v);

/* The entry of a key, or NULL. Costs steps; false: out of steps. */
bool value_map_find(struct run *r, const struct jinja_map *map, struct jinja_value key,
                    struct map_entry **out);

/* Sets or adds. Fails for a key that is no scalar. */
bool value_map_set(struct run *r, struct jinja_map *map, struct jinja_value key,
                   struct jinja_value value);

bool value_list_push(struct run *r, struct jinja_list *list, struct jinja_value v);
bool value_new_list(struct run *r, enum list_flavour flavour, size_t room, struct jinja_list **out);
bool value_new_map(struct run *r, struct jinja_map **out);

/* A tuple of two. */
bool value_new_pair(struct run *r, struct jinja_value a, struct jinja_value b,
                    struct jinja_value *out);

bool value_new_method(struct run *r, const struct jinja_callable *def, struct jinja_value self,
                      struct jinja_value *out);

static inline struct jinja_value value_list(struct jinja_list *list)
{
    return (struct jinja_value){ .kind = JINJA_LIST, .as.list = list };
}

static inline struct jinja_value value_map(struct jinja_map *map)
{
    return (struct jinja_value){ .kind = JINJA_MAP, .as.map = map };
}

/* Python's ==, in steps. */
bool value_equal(struct run *r, struct jinja_value a, struct jinja_value b, bool *equal);

/* Python's order: -1, 0 or 1; 2 where a NaN takes part. Fails for kinds without an order. */
bool value_order(struct run *r, struct jinja_value a, struct jinja_value b, int *order);

/* Python's `item in container`. */
bool value_contains(struct run *r, struct jinja_value container, struct jinja_value item,
                    bool *found);

/*
 * What a walk over `v` sees: the elements of a list, the keys of a map, the characters of a
 * string, nothing for an undefined value; fails for what cannot be walked. An iterator is
 * used up. The items are borrowed.
 */
struct value_items {
    const struct jinja_value *items;
    size_t count;
};
bool value_walk(struct run *r, struct jinja_value v, struct value_items *out);

/* What can be walked, by Python's rules. */
bool value_is_iterable(struct jinja_value v);

/* Python's len(). Fails where there is none. */
bool value_length(struct run *r, struct jinja_value v, int64_t *out);

#endif
