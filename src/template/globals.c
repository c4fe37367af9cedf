/*
 * The functions every template has.
 */
#include <string.h>
#include <time.h>

#include "template/change.h"
#include "template/run.h"

enum {
    TIME_FORMAT_BYTES = 256,
    TIME_TEXT_BYTES = 512
};

#define GLOBAL(name)                                                                               \
    static bool name(struct run *r, struct jinja_value self, const struct jinja_value *args,       \
                     const struct call_args *raw, struct jinja_value *out)

/* ---- dict and namespace ---- */

static bool add_pairs(struct run *r, struct jinja_map *map, struct jinja_value from)
{
    struct value_items walk;
    if (from.kind == JINJA_MAP) {
        for (size_t i = 0; i < from.as.map->count; i++) {
            const struct map_entry *e = &from.as.map->entries[i];
            if (!value_map_set(r, map, e->key, e->value))
                return false;
        }
        return true;
    }
    if (!value_walk(r, from, &walk))
        return false;
    for (size_t i = 0; i < walk.count; i++) {
        struct value_items pair;
        if (!value_walk(r, walk.items[i], &pair))
            return false;
        if (pair.count != 2)
            return run_fail(r, E_INVALID, "a dict is made of pairs");
        if (!value_map_set(r, map, pair.items[0], pair.items[1]))
            return false;
    }
    return true;
}

/* dict(mapping or pairs, name=value, …) */
static bool make_map(struct run *r, const struct call_args *raw, struct jinja_map **out)
{
    if (raw->count > 1)
        return run_fail(r, E_INVALID, "dict() takes 1 argument at most, not %zu", raw->count);
    if (!value_new_map(r, out) || (raw->count == 1 && !add_pairs(r, *out, raw->values[0])))
        return false;
    for (size_t i = 0; i < raw->named_count; i++) {
        if (!value_map_set(r, *out, raw->named[i].key, raw->named[i].value))
            return false;
    }
    return true;
}

GLOBAL(global_dict)
{
    struct jinja_map *map;
    (void)self;
    (void)args;
    if (!make_map(r, raw, &map))
        return false;
    *out = value_map(map);
    return true;
}

GLOBAL(global_namespace)
{
    struct jinja_map *map;
    (void)self;
    (void)args;
    if (!make_map(r, raw, &map))
        return false;
    for (size_t i = 0; i < map->count; i++) {
        struct jinja_value key = map->entries[i].key;
        if (key.kind == JINJA_STRING && key.as.string->len > 0 && key.as.string->data[0] == '_')
            return run_fail(r, E_INVALID, "an attribute of a namespace may not begin with '_'");
    }
    *out = (struct jinja_value){ .kind = JINJA_NAMESPACE, .as.map = map };
    return true;
}

/* ---- range ---- */

static bool fill_range(struct run *r, int64_t start, int64_t step, size_t count,
                       struct jinja_value *out)
{
    struct jinja_list *list;
    if (!value_new_list(r, LIST_RANGE, count, &list))
        return false;
    for (size_t i = 0; i < count; i++)
        list->items[i] = jinja_int((int64_t)((uint64_t)start + i * (uint64_t)step));
    list->count = count;
    *out = value_list(list);
    return true;
}

GLOBAL(global_range)
{
    int64_t values[3] = { 0, 0, 1 }; /* start, stop, step */
    (void)self;
    (void)args;
    if (raw->count < 1 || raw->count > 3 || raw->named_count > 0)
        return run_fail(r, E_INVALID, "range() takes 1 to 3 arguments");
    for (size_t i = 0; i < raw->count; i++) {
        int64_t *place = raw->count == 1 ? &values[1] : &values[i];
        if (!arg_integer(r, raw->values[i], 0, place))
            return false;
    }
    int64_t start = values[0];
    int64_t stop = values[1];
    int64_t step = values[2];
    if (step == 0)
        return run_fail(r, E_INVALID, "range() with a step of zero");
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    uint64_t distance =
        step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    bool any = step > 0 ? start < stop : start > stop;
    uint64_t count = any ? (distance - 1) / stride + 1 : 0;
    if (count > (uint64_t)r->limits->range_max)
        return run_fail(r, E_TOO_BIG, "range() of more than %lld items",
                        (long long)r->limits->range_max);
    return fill_range(r, start, step, (size_t)count, out);
}

/* ---- raise_exception and strftime_now ---- */

GLOBAL(global_raise_exception)
{
    const struct jinja_string *s;
    (void)self;
    (void)raw;
    (void)out;
    if (!value_str(r, args[0], &s))
        return false;
    return run_fail(r, E_INVALID, "%.*s", (int)(s->len < 200 ? s->len : 200), s->data);
}

/* Python's strftime for a time without a zone: %Z and %z are empty, %f are microseconds. */
static bool expand_format(struct run *r, const struct jinja_string *s, char out[TIME_FORMAT_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < s->len; i++) {
        const char *text = NULL;
        if (s->data[i] == '\0')
            return run_fail(r, E_INVALID, "a zero byte in the format of a time");
        if (s->data[i] == '%' && i + 1 < s->len) {
            char c = s->data[++i];
            text = c == 'Z' || c == 'z' ? "" : c == 'f' ? "000000" : NULL;
            if (!text)
                out[n++] = '%';
        }
        size_t len = text ? strlen(text) : 1;
        if (n + len + 2 > TIME_FORMAT_BYTES)
            return run_fail(r, E_TOO_BIG, "the format of a time is too long");
        memcpy(out + n, text ? text : &s->data[i], len);
        n += len;
    }
    out[n] = '\0';
    return true;
}

GLOBAL(global_strftime_now)
{
    char format[TIME_FORMAT_BYTES];
    char text[TIME_TEXT_BYTES];
    const struct jinja_string *s;
    struct text_builder b = { .r = r };
    struct tm tm;
    time_t now = (time_t)r->now_s;
    (void)self;
    (void)raw;
    if (!arg_string(r, args[0], &s) || !expand_format(r, s, format))
        return false;
    if (!gmtime_r(&now, &tm))
        return run_fail(r, E_INVALID, "no such time");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop
    if (n == 0 && format[0] != '\0')
        return run_fail(r, E_INVALID, "the time has no text, or a long one");
    bool trusted = !s->marks && s->trusted;
    return text_put(&b, text, n, trusted) && text_finish(&b, out);
}

/* ---- cycler and joiner ---- */

static bool new_counter(struct run *r, struct jinja_counter init, struct jinja_value *out)
{
    struct jinja_counter *counter = run_alloc(r, 1, sizeof *counter);
    if (!counter)
        return false;
    *counter = init;
    *out = (struct jinja_value){ .kind = JINJA_COUNTER, .as.counter = counter };
    return true;
}

GLOBAL(global_cycler)
{
    (void)self;
    (void)args;
    if (raw->count == 0)
        return run_fail(r, E_INVALID, "cycler() needs an item");
    return new_counter(r, (struct jinja_counter){ .items = raw->values, .count = raw->count }, out);
}

GLOBAL(global_joiner)
{
    struct jinja_value separator = args[0];
    (void)self;
    (void)raw;
    if (separator.kind == JINJA_MISSING && !text_constant(r, ", ", &separator))
        return false;
    return new_counter(r, (struct jinja_counter){ .separator = separator }, out);
}

static const struct jinja_callable globals[] = {
    { "cycler", global_cycler, "*" },
    { "dict", global_dict, "*" },
    { "joiner", global_joiner, "sep" },
    { "namespace", global_namespace, "*" },
    { "raise_exception", global_raise_exception, "message!" },
    { "range", global_range, "*" },
    { "strftime_now", global_strftime_now, "format!" },
};

const struct jinja_callable *global_find(const char *name, size_t len)
{
    return callable_find(globals, sizeof globals / sizeof globals[0], name, len);
}
