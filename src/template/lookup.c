/*
 * x.name, x[index] and x[start:stop:step]. As in Jinja, x.name looks for a method first and
 * then for an item, and x[index] the other way round; what is not there is undefined.
 */
#include <string.h>

#include "template/run.h"
#include "template/text.h"

enum {
    NAME_SHOWN_BYTES = 48
};

/* An undefined value that says what was looked for. */
static bool not_there(struct run *r, const struct jinja_string *name, struct jinja_value *out)
{
    size_t len = name->len < NAME_SHOWN_BYTES ? name->len : NAME_SHOWN_BYTES;
    char *shown = run_alloc(r, len + 1, 1);
    if (!shown)
        return false;
    memcpy(shown, name->data, len);
    *out = value_undefined(shown);
    return true;
}

/* A method or another attribute that is no item; MISSING where there is none. */
static bool own_attribute(struct run *r, struct jinja_value object, const struct jinja_string *name,
                          struct jinja_value *out)
{
    *out = value_missing();
    if (object.kind == JINJA_LOOP)
        return loop_attribute(r, object.as.loop, name, out);
    if (object.kind == JINJA_COUNTER && object.as.counter->items && text_is(name, "current")) {
        *out = object.as.counter->items[object.as.counter->next];
        return true;
    }
    if (object.kind == JINJA_NAMESPACE) {
        struct map_entry *entry;
        if (!value_map_find(r, object.as.map, value_string(name), &entry))
            return false;
        if (entry)
            *out = entry->value;
        return true;
    }
    const struct jinja_callable *def = method_find(object, name->data, name->len);
    if (!def)
        return true;
    if (!def->fn) /* it would change the object */
        return not_there(r, name, out);
    return value_new_method(r, def, object, out);
}

static bool map_item(struct run *r, struct jinja_value object, struct jinja_value key,
                     struct jinja_value *out)
{
    struct map_entry *entry = NULL;
    *out = value_missing();
    if (object.kind == JINJA_MAP && key.kind != JINJA_LIST && key.kind != JINJA_MAP &&
        !value_map_find(r, object.as.map, key, &entry))
        return false;
    if (entry)
        *out = entry->value;
    return true;
}

bool lookup_attribute(struct run *r, struct jinja_value object, const struct jinja_string *name,
                      struct jinja_value *out)
{
    if (object.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, object);
    if (!own_attribute(r, object, name, out))
        return false;
    if (out->kind == JINJA_MISSING && !map_item(r, object, value_string(name), out))
        return false;
    return out->kind != JINJA_MISSING || not_there(r, name, out);
}

/* ---- By index ---- */

/* The byte where a character begins; `index` is within the string, or at its end. */
static size_t char_start(const struct jinja_string *s, int64_t index)
{
    size_t at = 0;
    for (; index > 0; index--)
        at += text_char_len(s->data + at, s->len - at);
    return at;
}

static bool string_item(struct run *r, const struct jinja_string *s, int64_t index,
                        struct jinja_value *out)
{
    int64_t count = text_char_count(s->data, s->len);
    int64_t i = index < 0 ? index + count : index;
    if (!run_charge_bytes(r, s->len))
        return false;
    if (i < 0 || i >= count)
        return true;
    size_t at = char_start(s, i);
    return text_part(r, s, at, text_char_len(s->data + at, s->len - at), out);
}

/* An element of a sequence; MISSING where there is none. */
static bool element(struct run *r, struct jinja_value object, int64_t index,
                    struct jinja_value *out)
{
    *out = value_missing();
    if (object.kind == JINJA_STRING)
        return string_item(r, object.as.string, index, out);
    if (!value_is_sequence(object))
        return true;
    int64_t count = (int64_t)object.as.list->count;
    int64_t i = index < 0 ? index + count : index;
    if (i >= 0 && i < count)
        *out = object.as.list->items[i];
    return true;
}

bool lookup_item(struct run *r, struct jinja_value object, struct jinja_value index,
                 struct jinja_value *out)
{
    if (object.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, object);
    if (!map_item(r, object, index, out))
        return false;
    if (out->kind == JINJA_MISSING && value_is_integer(index) &&
        !element(r, object, value_integer(index), out))
        return false;
    if (out->kind != JINJA_MISSING)
        return true;
    if (index.kind != JINJA_STRING) {
        *out = value_undefined(NULL);
        return true;
    }
    if (!own_attribute(r, object, index.as.string, out))
        return false;
    return out->kind != JINJA_MISSING || not_there(r, index.as.string, out);
}

/* ---- Slices ---- */

struct range {
    int64_t start;
    int64_t step;
    int64_t count;
};

static bool bound(struct run *r, struct jinja_value v, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    if (v.kind == JINJA_NONE)
        return true;
    if (v.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, v);
    if (!value_is_integer(v))
        return run_fail(r, E_INVALID, "a slice needs integers, not '%s'", value_type_name(v));
    *out = value_integer(v);
    return true;
}

static int64_t clamp(int64_t i, int64_t count, int64_t low, int64_t high)
{
    if (i < 0)
        i += count;
    return i < low ? low : i > high ? high : i;
}

/* Python's slice.indices. */
static bool resolve(struct run *r, const struct jinja_value bounds[3], int64_t count,
                    struct range *out)
{
    int64_t step;
    int64_t start;
    int64_t stop;
    if (!bound(r, bounds[2], 1, &step))
        return false;
    if (step == 0)
        return run_fail(r, E_INVALID, "a slice's step is zero");
    if (step < -INT64_MAX)
        step = -INT64_MAX;
    bool back = step < 0;
    int64_t low = back ? -1 : 0;
    int64_t high = back ? count - 1 : count;
    if (!bound(r, bounds[0], 0, &start) || !bound(r, bounds[1], 0, &stop))
        return false;
    start = bounds[0].kind == JINJA_NONE ? (back ? high : low) : clamp(start, count, low, high);
    stop = bounds[1].kind == JINJA_NONE ? (back ? low : high) : clamp(stop, count, low, high);
    int64_t distance = back ? start - stop : stop - start;
    int64_t stride = back ? -step : step;
    *out = (struct range){ start, step, distance > 0 ? (distance - 1) / stride + 1 : 0 };
    return true;
}

static bool slice_string(struct run *r, const struct jinja_string *s,
                         const struct jinja_value bounds[3], struct jinja_value *out)
{
    struct range range;
    int64_t count = text_char_count(s->data, s->len);
    if (!run_charge_bytes(r, s->len) || !resolve(r, bounds, count, &range))
        return false;
    if (range.count == 0)
        return text_constant(r, "", out);
    if (range.step == 1) {
        size_t from = char_start(s, range.start);
        size_t end = from;
        for (int64_t i = 0; i < range.count; i++)
            end += text_char_len(s->data + end, s->len - end);
        return text_part(r, s, from, end - from, out);
    }
    struct value_items chars;
    struct text_builder b = { .r = r };
    if (!value_walk(r, value_string(s), &chars))
        return false;
    for (int64_t i = 0; i < range.count; i++) {
        if (!text_put_string(&b, chars.items[range.start + i * range.step].as.string))
            return false;
    }
    return text_finish(&b, out);
}

static bool slice_list(struct run *r, const struct jinja_list *list,
                       const struct jinja_value bounds[3], struct jinja_value *out)
{
    struct range range;
    struct jinja_list *part;
    if (!resolve(r, bounds, (int64_t)list->count, &range) ||
        !value_new_list(r, list->flavour, (size_t)range.count, &part))
        return false;
    for (int64_t i = 0; i < range.count; i++)
        part->items[i] = list->items[range.start + i * range.step];
    part->count = (size_t)range.count;
    *out = value_list(part);
    return true;
}

bool lookup_slice(struct run *r, struct jinja_value object, const struct jinja_value bounds[3],
                  struct jinja_value *out)
{
    if (object.kind == JINJA_STRING)
        return slice_string(r, object.as.string, bounds, out);
    if (value_is_sequence(object))
        return slice_list(r, object.as.list, bounds, out);
    if (object.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, object);
    return run_fail(r, E_INVALID, "'%s' object cannot be sliced", value_type_name(object));
}

/* ---- Paths ---- */

static bool path_part(struct run *r, const struct jinja_string *path, size_t from, size_t len,
                      struct jinja_value *out)
{
    int64_t number = 0;
    size_t i = 0;
    while (i < len && i < 18 && path->data[from + i] >= '0' && path->data[from + i] <= '9')
        number = number * 10 + (path->data[from + i++] - '0');
    if (len == 0 || i < len)
        return text_part(r, path, from, len, out);
    *out = jinja_int(number);
    return true;
}

static bool step_into(struct run *r, struct jinja_value part, const struct jinja_value *fallback,
                      struct jinja_value *value)
{
    struct jinja_value next;
    if (!lookup_item(r, *value, part, &next))
        return false;
    *value = next.kind == JINJA_UNDEFINED && fallback ? *fallback : next;
    return true;
}

bool lookup_path(struct run *r, struct jinja_value object, struct jinja_value path,
                 const struct jinja_value *fallback, struct jinja_value *out)
{
    *out = object;
    if (path.kind == JINJA_NONE || path.kind == JINJA_MISSING)
        return true;
    if (path.kind != JINJA_STRING)
        return step_into(r, path, fallback, out);
    const struct jinja_string *s = path.as.string;
    const struct jinja_string dot = { .data = ".", .len = 1 };
    for (size_t from = 0; from <= s->len;) {
        size_t end = text_find(s, &dot, from);
        struct jinja_value part;
        if (end == SIZE_MAX)
            end = s->len;
        if (!path_part(r, s, from, end - from, &part) || !step_into(r, part, fallback, out))
            return false;
        from = end + 1;
    }
    return true;
}
