/*
 * The methods of dict, list, tuple and of cyclers. Those that would change a dict or a list
 * have no function: as in transformers' sandbox they are there and undefined.
 */
#include <string.h>

#include "template/change.h"
#include "template/run.h"

#define METHOD(name)                                                                               \
    static bool name(struct run *r, struct jinja_value self, const struct jinja_value *args,       \
                     const struct call_args *raw, struct jinja_value *out)

/* ---- dict ---- */

METHOD(dict_get)
{
    struct map_entry *entry;
    (void)raw;
    if (!value_map_find(r, self.as.map, args[0], &entry))
        return false;
    *out = entry ? entry->value : args[1].kind == JINJA_MISSING ? jinja_none() : args[1];
    return true;
}

static bool view(struct run *r, const struct jinja_map *map, enum list_flavour flavour,
                 struct jinja_value *out)
{
    struct jinja_list *list;
    if (!value_new_list(r, flavour, map->count, &list))
        return false;
    for (size_t i = 0; i < map->count; i++) {
        const struct map_entry *e = &map->entries[i];
        list->items[i] = flavour == LIST_KEYS ? e->key : e->value;
        if (flavour == LIST_ITEMS && !value_new_pair(r, e->key, e->value, &list->items[i]))
            return false;
    }
    list->count = map->count;
    *out = value_list(list);
    return true;
}

METHOD(dict_items)
{
    (void)args;
    (void)raw;
    return view(r, self.as.map, LIST_ITEMS, out);
}

METHOD(dict_keys)
{
    (void)args;
    (void)raw;
    return view(r, self.as.map, LIST_KEYS, out);
}

METHOD(dict_values)
{
    (void)args;
    (void)raw;
    return view(r, self.as.map, LIST_VALUES, out);
}

/* What never changes is its own copy. */
METHOD(copy)
{
    (void)r;
    (void)args;
    (void)raw;
    *out = self;
    return true;
}

static const struct jinja_callable dict_methods[] = {
    { "clear", NULL, "" },         { "copy", copy, "" },       { "get", dict_get, "key! default" },
    { "items", dict_items, "" },   { "keys", dict_keys, "" },  { "pop", NULL, "" },
    { "popitem", NULL, "" },       { "setdefault", NULL, "" }, { "update", NULL, "" },
    { "values", dict_values, "" },
};

/* ---- list and tuple ---- */

METHOD(list_count)
{
    const struct jinja_list *list = self.as.list;
    int64_t count = 0;
    (void)raw;
    for (size_t i = 0; i < list->count; i++) {
        bool equal;
        if (!value_equal(r, list->items[i], args[0], &equal) || !run_charge(r, 1))
            return false;
        count += equal;
    }
    *out = jinja_int(count);
    return true;
}

METHOD(list_index)
{
    const struct jinja_list *list = self.as.list;
    (void)raw;
    for (size_t i = 0; i < list->count; i++) {
        bool equal;
        if (!value_equal(r, list->items[i], args[0], &equal) || !run_charge(r, 1))
            return false;
        if (equal) {
            *out = jinja_int((int64_t)i);
            return true;
        }
    }
    return run_fail(r, E_INVALID, "the list has no such item");
}

static const struct jinja_callable list_methods[] = {
    { "append", NULL, "" }, { "clear", NULL, "" },
    { "copy", copy, "" },   { "count", list_count, "value!" },
    { "extend", NULL, "" }, { "index", list_index, "value!" },
    { "insert", NULL, "" }, { "pop", NULL, "" },
    { "remove", NULL, "" }, { "reverse", NULL, "" },
    { "sort", NULL, "" },
};

static const struct jinja_callable tuple_methods[] = {
    { "count", list_count, "value!" },
    { "index", list_index, "value!" },
};

/* ---- cycler ---- */

METHOD(cycler_next)
{
    struct jinja_counter *counter = self.as.counter;
    (void)r;
    (void)args;
    (void)raw;
    *out = counter->items[counter->next];
    counter->next = (counter->next + 1) % counter->count;
    return true;
}

METHOD(cycler_reset)
{
    (void)r;
    (void)args;
    (void)raw;
    self.as.counter->next = 0;
    *out = jinja_none();
    return true;
}

static const struct jinja_callable cycler_methods[] = {
    { "next", cycler_next, "" },
    { "reset", cycler_reset, "" },
};

#define FIND(table) callable_find(table, sizeof table / sizeof table[0], name, len)

const struct jinja_callable *method_find(struct jinja_value self, const char *name, size_t len)
{
    if (self.kind == JINJA_STRING)
        return method_text_find(name, len);
    if (self.kind == JINJA_MAP)
        return FIND(dict_methods);
    if (value_has_flavour(self, LIST_LIST))
        return FIND(list_methods);
    if (value_has_flavour(self, LIST_TUPLE) || value_has_flavour(self, LIST_RANGE))
        return FIND(tuple_methods);
    if (self.kind == JINJA_COUNTER && self.as.counter->items)
        return FIND(cycler_methods);
    return NULL;
}
