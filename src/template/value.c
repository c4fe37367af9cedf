/*
 * Values: making them, looking into them, comparing them.
 */
#include "template/value.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "template/run.h"
#include "template/text.h"

enum {
    ROOM_MIN = 4
};

/* ---- For the caller ---- */

struct jinja_value jinja_none(void)
{
    return (struct jinja_value){ .kind = JINJA_NONE };
}

struct jinja_value jinja_bool(bool b)
{
    return (struct jinja_value){ .kind = JINJA_BOOL, .as.boolean = b };
}

struct jinja_value jinja_int(int64_t i)
{
    return (struct jinja_value){ .kind = JINJA_INT, .as.integer = i };
}

struct jinja_value jinja_float(double d)
{
    return (struct jinja_value){ .kind = JINJA_FLOAT, .as.real = d };
}

enum base_err jinja_string(struct arena *arena, const char *data, size_t len,
                           enum jinja_origin origin, struct jinja_value *out)
{
    *out = jinja_none();
    struct jinja_string *s = arena_alloc(arena, sizeof *s);
    if (!s)
        return E_NOMEM;
    s->data = len > 0 ? data : "";
    s->len = len;
    s->trusted = origin == JINJA_TRUSTED || len == 0;
    *out = value_string(s);
    return OK;
}

enum base_err jinja_list(struct arena *arena, struct jinja_value *out)
{
    *out = jinja_none();
    struct jinja_list *list = arena_alloc(arena, sizeof *list);
    if (!list)
        return E_NOMEM;
    *out = value_list(list);
    return OK;
}

enum base_err jinja_map(struct arena *arena, struct jinja_value *out)
{
    *out = jinja_none();
    struct jinja_map *map = arena_alloc(arena, sizeof *map);
    if (!map)
        return E_NOMEM;
    *out = value_map(map);
    return OK;
}

/* Twice the room for an array in an arena; NULL leaves it as it is. */
static void *grow(struct arena *arena, const void *old, size_t count, size_t *room, size_t size)
{
    size_t more = *room < ROOM_MIN ? ROOM_MIN : *room * 2;
    void *p = arena_calloc(arena, more, size);
    if (!p)
        return NULL;
    if (count > 0)
        memcpy(p, old, count * size);
    *room = more;
    return p;
}

static bool list_add(struct arena *arena, struct jinja_list *list, struct jinja_value item)
{
    if (list->count == list->room) {
        void *items = grow(arena, list->items, list->count, &list->room, sizeof *list->items);
        if (!items)
            return false;
        list->items = items;
    }
    list->items[list->count++] = item;
    return true;
}

static bool map_add(struct arena *arena, struct jinja_map *map, struct jinja_value key,
                    struct jinja_value value)
{
    if (map->count == map->room) {
        void *entries = grow(arena, map->entries, map->count, &map->room, sizeof *map->entries);
        if (!entries)
            return false;
        map->entries = entries;
    }
    map->entries[map->count++] = (struct map_entry){ key, value };
    return true;
}

enum base_err jinja_list_add(struct arena *arena, struct jinja_value list, struct jinja_value item)
{
    ASSERT(list.kind == JINJA_LIST);
    return list_add(arena, list.as.list, item) ? OK : E_NOMEM;
}

enum base_err jinja_map_add(struct arena *arena, struct jinja_value map, struct jinja_value key,
                            struct jinja_value item)
{
    ASSERT(map.kind == JINJA_MAP && key.kind == JINJA_STRING);
    return map_add(arena, map.as.map, key, item) ? OK : E_NOMEM;
}

enum base_err jinja_map_add_str(struct arena *arena, struct jinja_value map, const char *key,
                                struct jinja_value item)
{
    struct jinja_value k;
    enum base_err rc = jinja_string(arena, key, strlen(key), JINJA_TRUSTED, &k);
    return rc ? rc : jinja_map_add(arena, map, k, item);
}

/* ---- For the language ---- */

bool value_list_push(struct run *r, struct jinja_list *list, struct jinja_value v)
{
    if (list->count < list->room || run_charge(r, 1 + list->count / 8))
        return list_add(&r->arena, list, v) ||
               run_fail_memory(r, 2 * (list->room + ROOM_MIN) * sizeof v);
    return false;
}

bool value_new_list(struct run *r, enum list_flavour flavour, size_t room, struct jinja_list **out)
{
    struct jinja_list *list = run_alloc(r, 1, sizeof *list);
    struct jinja_value *items = room > 0 ? run_alloc(r, room, sizeof *items) : NULL;
    if (!list || (room > 0 && !items))
        return false;
    *list = (struct jinja_list){ .items = items, .room = room, .flavour = flavour };
    *out = list;
    return run_charge(r, room / 8);
}

bool value_new_map(struct run *r, struct jinja_map **out)
{
    *out = run_alloc(r, 1, sizeof **out);
    return *out != NULL;
}

bool value_new_pair(struct run *r, struct jinja_value a, struct jinja_value b,
                    struct jinja_value *out)
{
    struct jinja_list *pair;
    if (!value_new_list(r, LIST_TUPLE, 2, &pair))
        return false;
    pair->items[0] = a;
    pair->items[1] = b;
    pair->count = 2;
    *out = value_list(pair);
    return true;
}

bool value_new_method(struct run *r, const struct jinja_callable *def, struct jinja_value self,
                      struct jinja_value *out)
{
    struct jinja_method *method = run_alloc(r, 1, sizeof *method);
    if (!method)
        return false;
    *method = (struct jinja_method){ def, self };
    *out = (struct jinja_value){ .kind = JINJA_METHOD, .as.method = method };
    return true;
}

const char *value_type_name(struct jinja_value v)
{
    static const char *const list_names[] = {
        [LIST_LIST] = "list",          [LIST_TUPLE] = "tuple",    [LIST_RANGE] = "range",
        [LIST_ITERATOR] = "generator", [LIST_KEYS] = "dict_keys", [LIST_VALUES] = "dict_values",
        [LIST_ITEMS] = "dict_items",
    };
    static const char *const names[] = {
        [JINJA_UNDEFINED] = "Undefined", [JINJA_NONE] = "NoneType",
        [JINJA_BOOL] = "bool",           [JINJA_INT] = "int",
        [JINJA_FLOAT] = "float",         [JINJA_STRING] = "str",
        [JINJA_LIST] = "list",           [JINJA_MAP] = "dict",
        [JINJA_NAMESPACE] = "Namespace", [JINJA_MACRO] = "Macro",
        [JINJA_FUNCTION] = "function",   [JINJA_METHOD] = "method",
        [JINJA_LOOP] = "LoopContext",    [JINJA_COUNTER] = "Cycler",
        [JINJA_MISSING] = "missing",
    };
    return v.kind == JINJA_LIST ? list_names[v.as.list->flavour] : names[v.kind];
}

bool value_truth(struct jinja_value v)
{
    switch (v.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
    case JINJA_MISSING:
        return false;
    case JINJA_BOOL:
        return v.as.boolean;
    case JINJA_INT:
        return v.as.integer != 0;
    case JINJA_FLOAT:
        return v.as.real != 0;
    case JINJA_STRING:
        return v.as.string->len > 0;
    case JINJA_LIST:
        return v.as.list->flavour == LIST_ITERATOR || v.as.list->count > 0;
    case JINJA_MAP:
        return v.as.map->count > 0;
    case JINJA_NAMESPACE:
    case JINJA_MACRO:
    case JINJA_FUNCTION:
    case JINJA_METHOD:
    case JINJA_LOOP:
    case JINJA_COUNTER:
        return true;
    }
    return false;
}

/* ---- Maps ---- */

static bool is_scalar(struct jinja_value v)
{
    return value_is_number(v) || v.kind == JINJA_STRING || v.kind == JINJA_NONE;
}

static int compare_mixed(int64_t i, double d);

static bool scalars_equal(struct jinja_value a, struct jinja_value b)
{
    if (a.kind == JINJA_STRING || b.kind == JINJA_STRING)
        return a.kind == b.kind && text_equal(a.as.string, b.as.string);
    if (a.kind == JINJA_NONE || b.kind == JINJA_NONE)
        return a.kind == b.kind;
    if (value_is_integer(a) && value_is_integer(b))
        return value_integer(a) == value_integer(b);
    if (value_is_integer(a))
        return compare_mixed(value_integer(a), b.as.real) == 0;
    if (value_is_integer(b))
        return compare_mixed(value_integer(b), a.as.real) == 0;
    return a.as.real == b.as.real;
}

bool value_map_find(struct run *r, const struct jinja_map *map, struct jinja_value key,
                    struct map_entry **out)
{
    *out = NULL;
    if (!run_charge(r, map->count / 16))
        return false;
    if (!is_scalar(key)) {
        if (key.kind == JINJA_MAP || value_has_flavour(key, LIST_LIST))
            return run_fail(r, E_INVALID, "unhashable type: '%s'", value_type_name(key));
        return true;
    }
    for (size_t i = 0; i < map->count; i++) {
        if (scalars_equal(map->entries[i].key, key)) {
            *out = &map->entries[i];
            return true;
        }
    }
    return true;
}

bool value_map_set(struct run *r, struct jinja_map *map, struct jinja_value key,
                   struct jinja_value value)
{
    if (!is_scalar(key))
        return run_fail(r, E_UNSUPPORTED, "a dict key may not be a '%s'", value_type_name(key));
    struct map_entry *entry;
    if (!value_map_find(r, map, key, &entry))
        return false;
    if (entry) {
        entry->value = value;
        return true;
    }
    return map_add(&r->arena, map, key, value) ||
           run_fail_memory(r, 2 * (map->room + ROOM_MIN) * sizeof *entry);
}

/* ---- Comparing ---- */

/* An exact comparison of an integer with a float: -1, 0, 1, or 2 for a NaN. */
static int compare_mixed(int64_t i, double d)
{
    if (isnan(d))
        return 2;
    if (d >= 0x1p63)
        return -1;
    if (d < -0x1p63)
        return 1;
    int64_t whole = (int64_t)d;
    if (i != whole)
        return i < whole ? -1 : 1;
    double rest = d - (double)whole;
    return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

static int compare_numbers(struct jinja_value a, struct jinja_value b)
{
    if (value_is_integer(a) && value_is_integer(b)) {
        int64_t x = value_integer(a);
        int64_t y = value_integer(b);
        return x == y ? 0 : x < y ? -1 : 1;
    }
    if (value_is_integer(a))
        return compare_mixed(value_integer(a), b.as.real);
    if (value_is_integer(b)) {
        int order = compare_mixed(value_integer(b), a.as.real);
        return order == 2 ? 2 : -order;
    }
    double x = a.as.real;
    double y = b.as.real;
    return isnan(x) || isnan(y) ? 2 : x == y ? 0 : x < y ? -1 : 1;
}

static bool lists_equal(struct run *r, const struct jinja_list *a, const struct jinja_list *b,
                        bool *equal)
{
    *equal = a == b;
    if (a == b || a->flavour != b->flavour || a->flavour == LIST_ITERATOR ||
        a->flavour == LIST_VALUES || a->count != b->count)
        return true;
    *equal = true;
    for (size_t i = 0; i < a->count && *equal; i++) {
        if (!value_equal(r, a->items[i], b->items[i], equal))
            return false;
    }
    return true;
}

static bool maps_equal(struct run *r, const struct jinja_map *a, const struct jinja_map *b,
                       bool *equal)
{
    *equal = a == b || a->count == b->count;
    for (size_t i = 0; a != b && i < a->count && *equal; i++) {
        struct map_entry *entry;
        if (!value_map_find(r, b, a->entries[i].key, &entry))
            return false;
        if (!entry)
            *equal = false;
        else if (!value_equal(r, a->entries[i].value, entry->value, equal))
            return false;
    }
    return true;
}

static bool containers_equal(struct run *r, struct jinja_value a, struct jinja_value b, bool *equal)
{
    if (!run_enter(r))
        return false;
    bool ok = a.kind == JINJA_LIST ? lists_equal(r, a.as.list, b.as.list, equal)
                                   : maps_equal(r, a.as.map, b.as.map, equal);
    run_leave(r);
    return ok;
}

bool value_equal(struct run *r, struct jinja_value a, struct jinja_value b, bool *equal)
{
    *equal = false;
    if (value_is_number(a) && value_is_number(b)) {
        *equal = compare_numbers(a, b) == 0;
        return run_charge(r, 1);
    }
    if (a.kind != b.kind)
        return true;
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        *equal = true;
        return true;
    case JINJA_STRING:
        *equal = text_equal(a.as.string, b.as.string);
        return run_charge_bytes(r, *equal ? a.as.string->len : 0);
    case JINJA_LIST:
    case JINJA_MAP:
        return containers_equal(r, a, b, equal);
    case JINJA_NAMESPACE:
    case JINJA_MACRO:
    case JINJA_FUNCTION:
    case JINJA_METHOD:
    case JINJA_LOOP:
    case JINJA_COUNTER:
        *equal = a.as.map == b.as.map; /* the same object */
        return true;
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
    case JINJA_MISSING:
        break;
    }
    return true;
}

static bool lists_order(struct run *r, const struct jinja_list *a, const struct jinja_list *b,
                        int *order)
{
    size_t n = a->count < b->count ? a->count : b->count;
    for (size_t i = 0; i < n; i++) {
        bool equal;
        if (!value_equal(r, a->items[i], b->items[i], &equal))
            return false;
        if (!equal)
            return value_order(r, a->items[i], b->items[i], order);
    }
    *order = a->count == b->count ? 0 : a->count < b->count ? -1 : 1;
    return true;
}

bool value_order(struct run *r, struct jinja_value a, struct jinja_value b, int *order)
{
    *order = 0;
    if (value_is_number(a) && value_is_number(b)) {
        *order = compare_numbers(a, b);
        return run_charge(r, 1);
    }
    if (a.kind == JINJA_STRING && b.kind == JINJA_STRING) {
        size_t shorter = a.as.string->len < b.as.string->len ? a.as.string->len : b.as.string->len;
        *order = text_compare(a.as.string, b.as.string);
        return run_charge_bytes(r, shorter);
    }
    if (a.kind == JINJA_UNDEFINED || b.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, a.kind == JINJA_UNDEFINED ? a : b);
    if (a.kind == JINJA_LIST && b.kind == JINJA_LIST && a.as.list->flavour == b.as.list->flavour &&
        a.as.list->flavour <= LIST_TUPLE) {
        if (!run_enter(r))
            return false;
        bool ok = lists_order(r, a.as.list, b.as.list, order);
        run_leave(r);
        return ok;
    }
    return run_fail(r, E_INVALID, "'%s' and '%s' have no order", value_type_name(a),
                    value_type_name(b));
}

bool value_contains(struct run *r, struct jinja_value container, struct jinja_value item,
                    bool *found)
{
    *found = false;
    if (container.kind == JINJA_STRING) {
        if (item.kind == JINJA_UNDEFINED)
            return run_fail_undefined(r, item);
        if (item.kind != JINJA_STRING)
            return run_fail(r, E_INVALID, "'in <string>' requires a string, not '%s'",
                            value_type_name(item));
        *found = text_find(container.as.string, item.as.string, 0) != SIZE_MAX;
        return run_charge_bytes(r, container.as.string->len);
    }
    if (container.kind == JINJA_MAP) {
        struct map_entry *entry;
        bool ok = value_map_find(r, container.as.map, item, &entry);
        *found = ok && entry;
        return ok;
    }
    struct value_items walk;
    if (!value_walk(r, container, &walk))
        return false;
    for (size_t i = 0; i < walk.count && !*found; i++) {
        if (!value_equal(r, walk.items[i], item, found))
            return false;
    }
    return true;
}

/* ---- Walking ---- */

bool value_is_iterable(struct jinja_value v)
{
    return v.kind == JINJA_UNDEFINED || v.kind == JINJA_STRING || v.kind == JINJA_LIST ||
           v.kind == JINJA_MAP;
}

static bool walk_string(struct run *r, const struct jinja_string *s, struct value_items *out)
{
    size_t count = (size_t)text_char_count(s->data, s->len);
    struct jinja_value *items = run_alloc(r, count, sizeof *items);
    if (!items || !run_charge(r, count))
        return false;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = text_char_len(s->data + at, s->len - at);
        if (!text_part(r, s, at, n, &items[i]))
            return false;
        at += n;
    }
    *out = (struct value_items){ items, count };
    return true;
}

static bool walk_map(struct run *r, const struct jinja_map *map, struct value_items *out)
{
    struct jinja_value *keys = run_alloc(r, map->count, sizeof *keys);
    if (!keys || !run_charge(r, map->count / 8))
        return false;
    for (size_t i = 0; i < map->count; i++)
        keys[i] = map->entries[i].key;
    *out = (struct value_items){ keys, map->count };
    return true;
}

bool value_walk(struct run *r, struct jinja_value v, struct value_items *out)
{
    *out = (struct value_items){ NULL, 0 };
    if (!value_is_iterable(v))
        return run_fail(r, E_INVALID, "'%s' object is not iterable", value_type_name(v));
    if (v.kind == JINJA_STRING)
        return walk_string(r, v.as.string, out);
    if (v.kind == JINJA_MAP)
        return walk_map(r, v.as.map, out);
    if (v.kind == JINJA_LIST) {
        struct jinja_list *list = v.as.list;
        if (list->count > list->taken)
            *out = (struct value_items){ list->items + list->taken, list->count - list->taken };
        if (list->flavour == LIST_ITERATOR)
            list->taken = list->count;
    }
    return true;
}

bool value_length(struct run *r, struct jinja_value v, int64_t *out)
{
    *out = 0;
    if (v.kind == JINJA_UNDEFINED)
        return true;
    if (v.kind == JINJA_STRING) {
        *out = text_char_count(v.as.string->data, v.as.string->len);
        return run_charge_bytes(r, v.as.string->len);
    }
    if (v.kind == JINJA_MAP) {
        *out = (int64_t)v.as.map->count;
        return true;
    }
    if (v.kind == JINJA_LIST && v.as.list->flavour != LIST_ITERATOR) {
        *out = (int64_t)v.as.list->count;
        return true;
    }
    return run_fail(r, E_INVALID, "object of type '%s' has no len()", value_type_name(v));
}
