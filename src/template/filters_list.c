/*
 * Filters on what can be walked. map, select and the like make their results at once; Jinja
 * makes them when they are taken, which shows only where an unused one would fail.
 */
#include <string.h>

#include "template/change.h"
#include "template/run.h"

#define FILTER(name)                                                                               \
    static bool name(struct run *r, struct jinja_value self, const struct jinja_value *args,       \
                     const struct call_args *raw, struct jinja_value *out)

static bool is_given(struct jinja_value v)
{
    return v.kind != JINJA_MISSING && v.kind != JINJA_NONE;
}

static bool is_true(struct jinja_value v)
{
    return v.kind != JINJA_MISSING && value_truth(v);
}

FILTER(filter_list)
{
    struct value_items walk;
    struct jinja_list *list;
    (void)args;
    (void)raw;
    if (!value_walk(r, self, &walk) || !value_new_list(r, LIST_LIST, walk.count, &list))
        return false;
    if (walk.count > 0)
        memcpy(list->items, walk.items, walk.count * sizeof *list->items);
    list->count = walk.count;
    *out = value_list(list);
    return true;
}

static bool map_items(struct run *r, const struct jinja_map *map, struct jinja_list **out)
{
    if (!value_new_list(r, LIST_ITERATOR, map->count, out))
        return false;
    for (size_t i = 0; i < map->count; i++) {
        const struct map_entry *e = &map->entries[i];
        if (!value_new_pair(r, e->key, e->value, &(*out)->items[i]))
            return false;
        (*out)->count++;
    }
    return true;
}

FILTER(filter_items)
{
    struct jinja_list *list;
    (void)args;
    (void)raw;
    if (self.kind == JINJA_UNDEFINED) {
        if (!value_new_list(r, LIST_ITERATOR, 0, &list))
            return false;
    } else if (self.kind != JINJA_MAP) {
        return run_fail(r, E_INVALID, "items() needs a mapping, not '%s'", value_type_name(self));
    } else if (!map_items(r, self.as.map, &list)) {
        return false;
    }
    *out = value_list(list);
    return true;
}

FILTER(filter_first)
{
    struct value_items walk;
    (void)args;
    (void)raw;
    if (value_has_flavour(self, LIST_ITERATOR)) {
        struct jinja_list *list = self.as.list;
        bool left = list->taken < list->count;
        *out = left ? list->items[list->taken++] : value_undefined("first of nothing");
        return true;
    }
    if (!value_walk(r, self, &walk))
        return false;
    *out = walk.count > 0 ? walk.items[0] : value_undefined("first of nothing");
    return true;
}

FILTER(filter_last)
{
    struct value_items walk;
    (void)args;
    (void)raw;
    if (value_has_flavour(self, LIST_ITERATOR))
        return run_fail(r, E_INVALID, "a 'generator' has no last item");
    if (!value_walk(r, self, &walk))
        return false;
    *out = walk.count > 0 ? walk.items[walk.count - 1] : value_undefined("last of nothing");
    return true;
}

static bool reverse_string(struct run *r, const struct jinja_string *s, struct jinja_value *out)
{
    const struct jinja_value bounds[3] = { jinja_none(), jinja_none(), jinja_int(-1) };
    return lookup_slice(r, value_string(s), bounds, out);
}

FILTER(filter_reverse)
{
    struct value_items walk;
    struct jinja_list *list;
    (void)args;
    (void)raw;
    if (self.kind == JINJA_STRING)
        return reverse_string(r, self.as.string, out);
    enum list_flavour flavour = value_has_flavour(self, LIST_ITERATOR) ? LIST_LIST : LIST_ITERATOR;
    if (!value_walk(r, self, &walk) || !value_new_list(r, flavour, walk.count, &list))
        return false;
    for (size_t i = 0; i < walk.count; i++)
        list->items[i] = walk.items[walk.count - 1 - i];
    list->count = walk.count;
    *out = value_list(list);
    return true;
}

/* ---- Order ---- */

/* What an item is sorted by: strings without case unless `case_sensitive`. */
static bool sort_key(struct run *r, struct jinja_value item, struct jinja_value path,
                     bool case_sensitive, struct jinja_value *out)
{
    if (!lookup_path(r, item, path, NULL, out))
        return false;
    if (case_sensitive || out->kind != JINJA_STRING)
        return true;
    return text_change_case(r, out->as.string, CASE_LOWER, out);
}

/* The same for "a,b": a tuple. */
static bool sort_keys(struct run *r, struct jinja_value item, struct jinja_value path,
                      bool case_sensitive, struct jinja_value *out)
{
    const struct jinja_string comma = { .data = ",", .len = 1 };
    const struct jinja_string *s = path.kind == JINJA_STRING ? path.as.string : NULL;
    if (!s || text_find(s, &comma, 0) == SIZE_MAX)
        return sort_key(r, item, path, case_sensitive, out);
    struct jinja_list *keys;
    if (!value_new_list(r, LIST_TUPLE, 0, &keys))
        return false;
    for (size_t from = 0; from <= s->len;) {
        size_t end = text_find(s, &comma, from);
        struct jinja_value part;
        struct jinja_value key;
        if (end == SIZE_MAX)
            end = s->len;
        if (!text_part(r, s, from, end - from, &part) ||
            !sort_key(r, item, part, case_sensitive, &key) || !value_list_push(r, keys, key))
            return false;
        from = end + 1;
    }
    *out = value_list(keys);
    return true;
}

/* The items with their keys, in order. */
static bool keyed_items(struct run *r, struct jinja_value self, struct jinja_value path,
                        bool case_sensitive, struct map_entry **out, size_t *count)
{
    struct value_items walk;
    if (!value_walk(r, self, &walk))
        return false;
    *count = walk.count;
    *out = run_alloc(r, walk.count, sizeof **out);
    for (size_t i = 0; i < walk.count; i++) {
        if (!*out || !sort_keys(r, walk.items[i], path, case_sensitive, &(*out)[i].key))
            return false;
        (*out)[i].value = walk.items[i];
    }
    return *out != NULL;
}

static bool entry_values(struct run *r, const struct map_entry *entries, size_t count,
                         struct jinja_value *out)
{
    struct jinja_list *list;
    if (!value_new_list(r, LIST_LIST, count, &list))
        return false;
    for (size_t i = 0; i < count; i++)
        list->items[i] = entries[i].value;
    list->count = count;
    *out = value_list(list);
    return true;
}

FILTER(filter_sort)
{
    struct map_entry *entries;
    size_t count;
    (void)raw;
    return keyed_items(r, self, args[2], is_true(args[1]), &entries, &count) &&
           sort_entries(r, entries, count, is_true(args[0])) &&
           entry_values(r, entries, count, out);
}

FILTER(filter_dictsort)
{
    (void)raw;
    bool by_value = false;
    if (args[1].kind != JINJA_MISSING) {
        const struct jinja_string *by;
        if (!arg_string(r, args[1], &by))
            return false;
        by_value = text_is(by, "value");
        if (!by_value && !text_is(by, "key"))
            return run_fail(r, E_INVALID, "dictsort() sorts by 'key' or 'value'");
    }
    if (self.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, self);
    if (self.kind != JINJA_MAP)
        return run_fail(r, E_INVALID, "dictsort() needs a mapping, not '%s'",
                        value_type_name(self));
    struct jinja_list *pairs;
    struct map_entry *entries;
    size_t count;
    if (!map_items(r, self.as.map, &pairs))
        return false;
    return keyed_items(r, value_list(pairs), jinja_int(by_value), is_true(args[0]), &entries,
                       &count) &&
           sort_entries(r, entries, count, is_true(args[2])) &&
           entry_values(r, entries, count, out);
}

static bool extreme(struct run *r, struct jinja_value self, const struct jinja_value *args,
                    bool largest, struct jinja_value *out)
{
    struct map_entry *entries;
    size_t count;
    if (!keyed_items(r, self, args[1], is_true(args[0]), &entries, &count))
        return false;
    if (count == 0) {
        *out = value_undefined("min or max of nothing");
        return true;
    }
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        int order;
        if (!value_order(r, entries[i].key, entries[best].key, &order))
            return false;
        if (order != 2 && (largest ? order > 0 : order < 0))
            best = i;
    }
    *out = entries[best].value;
    return true;
}

FILTER(filter_min)
{
    (void)raw;
    return extreme(r, self, args, false, out);
}

FILTER(filter_max)
{
    (void)raw;
    return extreme(r, self, args, true, out);
}

FILTER(filter_unique)
{
    struct map_entry *entries;
    struct jinja_list *list;
    size_t count;
    (void)raw;
    if (!keyed_items(r, self, args[1], is_true(args[0]), &entries, &count) ||
        !value_new_list(r, LIST_ITERATOR, 0, &list))
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        if (entries[i].key.kind == JINJA_MAP || value_has_flavour(entries[i].key, LIST_LIST))
            return run_fail(r, E_INVALID, "unhashable type: '%s'", value_type_name(entries[i].key));
        for (size_t k = 0; k < kept && !seen; k++) {
            if (!run_charge(r, 1) || !value_equal(r, entries[k].key, entries[i].key, &seen))
                return false;
        }
        if (seen)
            continue;
        entries[kept++] = entries[i];
        if (!value_list_push(r, list, entries[i].value))
            return false;
    }
    *out = value_list(list);
    return true;
}

FILTER(filter_sum)
{
    struct value_items walk;
    (void)raw;
    *out = args[1].kind == JINJA_MISSING ? jinja_int(0) : args[1];
    if (!value_walk(r, self, &walk))
        return false;
    if (out->kind == JINJA_STRING)
        return run_fail(r, E_INVALID, "sum() cannot begin with a string");
    for (size_t i = 0; i < walk.count; i++) {
        struct jinja_value item;
        if (!lookup_path(r, walk.items[i], args[0], NULL, &item) ||
            !op_binary(r, OP_ADD, *out, item, out))
            return false;
    }
    return true;
}

FILTER(filter_batch)
{
    struct value_items walk;
    struct jinja_list *all;
    struct jinja_list *row = NULL;
    int64_t size;
    (void)raw;
    if (!arg_integer(r, args[0], 0, &size) || !value_walk(r, self, &walk) ||
        !value_new_list(r, LIST_ITERATOR, 0, &all))
        return false;
    for (size_t i = 0; i < walk.count; i++) {
        if (!row || (int64_t)row->count == size) {
            if (!value_new_list(r, LIST_LIST, 0, &row) || !value_list_push(r, all, value_list(row)))
                return false;
        }
        if (!value_list_push(r, row, walk.items[i]))
            return false;
    }
    while (row && is_given(args[1]) && (int64_t)row->count < size) {
        if (!value_list_push(r, row, args[1]))
            return false;
    }
    *out = value_list(all);
    return true;
}

/* ---- map, select and their relatives ---- */

/* What is left of the arguments behind the first `used` ones. */
static struct call_args rest_of(const struct call_args *args, size_t used)
{
    struct call_args rest = *args;
    if (used > 0)
        rest.values += used;
    rest.count -= used;
    return rest;
}

static bool map_attribute(struct run *r, const struct value_items *walk,
                          const struct call_args *raw, struct jinja_list *list)
{
    struct jinja_value path = jinja_none();
    struct jinja_value fallback = jinja_none();
    for (size_t i = 0; i < raw->named_count; i++) {
        const struct jinja_string *name = raw->named[i].key.as.string;
        if (text_is(name, "attribute"))
            path = raw->named[i].value;
        else if (text_is(name, "default"))
            fallback = raw->named[i].value;
        else
            return run_fail(r, E_INVALID, "map() has an unknown argument");
    }
    const struct jinja_value *otherwise = fallback.kind == JINJA_NONE ? NULL : &fallback;
    for (size_t i = 0; i < walk->count; i++) {
        struct jinja_value v;
        if (!lookup_path(r, walk->items[i], path, otherwise, &v) || !value_list_push(r, list, v))
            return false;
    }
    return true;
}

static bool map_filter(struct run *r, const struct value_items *walk, const struct call_args *raw,
                       struct jinja_list *list)
{
    const struct jinja_string *name;
    if (raw->count == 0)
        return run_fail(r, E_INVALID, "map() needs a filter");
    if (!arg_string(r, raw->values[0], &name))
        return false;
    const struct jinja_callable *def = filter_find(name->data, name->len);
    if (!def)
        return run_fail(r, E_UNSUPPORTED, "no filter of the name that map() was given");
    struct call_args rest = rest_of(raw, 1);
    for (size_t i = 0; i < walk->count; i++) {
        struct jinja_value v;
        if (!run_charge(r, 1) || !call_builtin(r, def, walk->items[i], &rest, &v) ||
            !value_list_push(r, list, v))
            return false;
    }
    return true;
}

static bool has_attribute_argument(const struct call_args *raw)
{
    for (size_t i = 0; i < raw->named_count; i++) {
        if (text_is(raw->named[i].key.as.string, "attribute"))
            return raw->count == 0;
    }
    return false;
}

FILTER(filter_map)
{
    struct value_items walk = { NULL, 0 };
    struct jinja_list *list;
    (void)args;
    if ((value_truth(self) && !value_walk(r, self, &walk)) ||
        !value_new_list(r, LIST_ITERATOR, 0, &list))
        return false;
    bool ok = walk.count == 0 || (has_attribute_argument(raw) ? map_attribute(r, &walk, raw, list)
                                                              : map_filter(r, &walk, raw, list));
    *out = value_list(list);
    return ok;
}

/* Keeps the items for which a test holds, or does not. */
static bool choose(struct run *r, const struct value_items *walk, const struct call_args *raw,
                   bool by_attribute, bool wanted, struct jinja_list *list)
{
    size_t used = by_attribute ? 1 : 0;
    const struct jinja_callable *test = NULL;
    if (raw->count < used)
        return run_fail(r, E_INVALID, "the name of an attribute is missing");
    struct jinja_value path = by_attribute ? raw->values[0] : jinja_none();
    if (raw->count > used) {
        const struct jinja_string *name;
        if (!arg_string(r, raw->values[used], &name))
            return false;
        test = test_find(name->data, name->len);
        if (!test)
            return run_fail(r, E_UNSUPPORTED, "no test of the name that was given");
        used++;
    }
    struct call_args rest = rest_of(raw, used);
    for (size_t i = 0; i < walk->count; i++) {
        struct jinja_value v;
        if (!run_charge(r, 1) || !lookup_path(r, walk->items[i], path, NULL, &v) ||
            (test && !call_builtin(r, test, v, &rest, &v)) ||
            (value_truth(v) == wanted && !value_list_push(r, list, walk->items[i])))
            return false;
    }
    return true;
}

static bool choose_items(struct run *r, struct jinja_value self, const struct call_args *raw,
                         bool by_attribute, bool wanted, struct jinja_value *out)
{
    struct value_items walk = { NULL, 0 };
    struct jinja_list *list;
    if ((value_truth(self) && !value_walk(r, self, &walk)) ||
        !value_new_list(r, LIST_ITERATOR, 0, &list))
        return false;
    *out = value_list(list);
    return walk.count == 0 || choose(r, &walk, raw, by_attribute, wanted, list);
}

FILTER(filter_select)
{
    (void)args;
    return choose_items(r, self, raw, false, true, out);
}

FILTER(filter_reject)
{
    (void)args;
    return choose_items(r, self, raw, false, false, out);
}

FILTER(filter_selectattr)
{
    (void)args;
    return choose_items(r, self, raw, true, true, out);
}

FILTER(filter_rejectattr)
{
    (void)args;
    return choose_items(r, self, raw, true, false, out);
}

static const struct jinja_callable filters[] = {
    { "batch", filter_batch, "linecount! fill_with" },
    { "dictsort", filter_dictsort, "case_sensitive by reverse" },
    { "first", filter_first, "" },
    { "items", filter_items, "" },
    { "last", filter_last, "" },
    { "list", filter_list, "" },
    { "map", filter_map, "*" },
    { "max", filter_max, "case_sensitive attribute" },
    { "min", filter_min, "case_sensitive attribute" },
    { "reject", filter_reject, "*" },
    { "rejectattr", filter_rejectattr, "*" },
    { "reverse", filter_reverse, "" },
    { "select", filter_select, "*" },
    { "selectattr", filter_selectattr, "*" },
    { "sort", filter_sort, "reverse case_sensitive attribute" },
    { "sum", filter_sum, "attribute start" },
    { "unique", filter_unique, "case_sensitive attribute" },
};

const struct jinja_callable *filter_list_find(const char *name, size_t len)
{
    return callable_find(filters, sizeof filters / sizeof filters[0], name, len);
}
