/*
 * Python's json.dumps, as transformers calls it for tojson.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "template/run.h"
#include "template/text.h"

struct dump {
    struct text_builder out;
    const struct json_style *style;
    size_t level;
};

static bool dump_value(struct dump *d, struct jinja_value v);

static bool put(struct dump *d, const char *text)
{
    return text_put(&d->out, text, strlen(text), true);
}

/* ---- Strings ---- */

static bool put_unicode(struct text_builder *b, uint32_t c, bool trusted)
{
    char text[16];
    if (c < 0x10000) {
        snprintf(text, sizeof text, "\\u%04x", c);
    } else {
        uint32_t rest = c - 0x10000;
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + (rest >> 10),
                 0xdc00 + (rest & 0x3ff));
    }
    return text_put(b, text, strlen(text), trusted);
}

static bool put_escape(struct text_builder *b, uint32_t c, bool trusted)
{
    static const char from[] = "\"\\\n\r\t\f\b";
    static const char to[] = "\"\\nrtfb";
    const char *named = c < 0x80 && c != 0 ? strchr(from, (int)c) : NULL;
    if (!named)
        return put_unicode(b, c, trusted);
    char text[2] = { '\\', to[named - from] };
    return text_put(b, text, sizeof text, trusted);
}

static bool is_escaped(uint32_t c, bool ascii)
{
    return c < 0x20 || c == '"' || c == '\\' || (ascii && c >= 0x7f);
}

static bool dump_string(struct dump *d, const struct jinja_string *s)
{
    struct text_builder *b = &d->out;
    size_t plain = 0;
    if (!put(d, "\""))
        return false;
    for (size_t at = 0; at < s->len;) {
        size_t n = 1;
        uint32_t c = (unsigned char)s->data[at];
        if (c >= 0x80 && d->style->ascii)
            c = text_decode(s->data + at, s->len - at, &n);
        if (is_escaped(c, d->style->ascii)) {
            if (!text_put_part(b, s, plain, at - plain) || !put_escape(b, c, text_mark_at(s, at)))
                return false;
            plain = at + n;
        }
        at += n;
    }
    return text_put_part(b, s, plain, s->len - plain) && put(d, "\"");
}

/* ---- Containers ---- */

static bool new_line(struct dump *d)
{
    return !d->style->indent ||
           (put(d, "\n") && text_put_repeated(&d->out, d->style->indent, d->level));
}

static bool between(struct dump *d, size_t i)
{
    return (i == 0 || text_put_string(&d->out, d->style->item_separator)) && new_line(d);
}

static bool dump_list(struct dump *d, const struct jinja_list *list)
{
    if (list->count == 0)
        return put(d, "[]");
    if (!put(d, "["))
        return false;
    d->level++;
    for (size_t i = 0; i < list->count; i++) {
        if (!between(d, i) || !dump_value(d, list->items[i]))
            return false;
    }
    d->level--;
    return new_line(d) && put(d, "]");
}

static bool number_text(struct run *r, struct jinja_value v, char out[REAL_TEXT_BYTES])
{
    if (v.kind == JINJA_NONE)
        snprintf(out, REAL_TEXT_BYTES, "null");
    else if (v.kind == JINJA_BOOL)
        snprintf(out, REAL_TEXT_BYTES, "%s", v.as.boolean ? "true" : "false");
    else if (v.kind == JINJA_INT)
        snprintf(out, REAL_TEXT_BYTES, "%lld", (long long)v.as.integer);
    else if (v.kind != JINJA_FLOAT)
        return run_fail(r, E_INVALID, "an object of type '%s' is not JSON serializable",
                        value_type_name(v));
    else if (isnan(v.as.real))
        snprintf(out, REAL_TEXT_BYTES, "NaN");
    else if (isinf(v.as.real))
        snprintf(out, REAL_TEXT_BYTES, "%sInfinity", v.as.real < 0 ? "-" : "");
    else
        text_real(v.as.real, out);
    return true;
}

static bool dump_key(struct dump *d, struct jinja_value key)
{
    char text[REAL_TEXT_BYTES];
    if (key.kind == JINJA_STRING)
        return dump_string(d, key.as.string);
    return number_text(d->out.r, key, text) && put(d, "\"") && put(d, text) && put(d, "\"");
}

static bool sorted_entries(struct run *r, const struct jinja_map *map, struct map_entry **out)
{
    struct map_entry *entries = run_alloc(r, map->count, sizeof *entries);
    if (!entries)
        return false;
    memcpy(entries, map->entries, map->count * sizeof *entries);
    *out = entries;
    return sort_entries(r, entries, map->count, false);
}

static bool dump_map(struct dump *d, const struct jinja_map *map)
{
    struct map_entry *entries = map->entries;
    if (map->count == 0)
        return put(d, "{}");
    if (!put(d, "{") || (d->style->sorted && !sorted_entries(d->out.r, map, &entries)))
        return false;
    d->level++;
    for (size_t i = 0; i < map->count; i++) {
        if (!between(d, i) || !dump_key(d, entries[i].key) ||
            !text_put_string(&d->out, d->style->key_separator) || !dump_value(d, entries[i].value))
            return false;
    }
    d->level--;
    return new_line(d) && put(d, "}");
}

static bool dump_value(struct dump *d, struct jinja_value v)
{
    char text[REAL_TEXT_BYTES];
    if (v.kind == JINJA_STRING)
        return dump_string(d, v.as.string);
    bool list = value_has_flavour(v, LIST_LIST) || value_has_flavour(v, LIST_TUPLE);
    if (!list && v.kind != JINJA_MAP)
        return run_charge(d->out.r, 1) && number_text(d->out.r, v, text) && put(d, text);
    if (!run_enter(d->out.r))
        return false;
    bool ok = run_charge(d->out.r, 1) && (list ? dump_list(d, v.as.list) : dump_map(d, v.as.map));
    run_leave(d->out.r);
    return ok;
}

bool json_dump(struct run *r, struct jinja_value v, const struct json_style *style,
               struct jinja_value *out)
{
    struct dump d = { .out = { .r = r }, .style = style };
    return dump_value(&d, v) && text_finish(&d.out, out);
}
