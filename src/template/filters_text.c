/*
 * Filters on strings. What is no string is taken as its str().
 */
#include <string.h>

#include "template/change.h"
#include "template/run.h"

#define FILTER(name)                                                                               \
    static bool name(struct run *r, struct jinja_value self, const struct jinja_value *args,       \
                     const struct call_args *raw, struct jinja_value *out)

static bool change(struct run *r, struct jinja_value self, enum text_case how,
                   struct jinja_value *out)
{
    const struct jinja_string *s;
    return value_str(r, self, &s) && text_change_case(r, s, how, out);
}

FILTER(filter_upper)
{
    (void)args;
    (void)raw;
    return change(r, self, CASE_UPPER, out);
}

FILTER(filter_lower)
{
    (void)args;
    (void)raw;
    return change(r, self, CASE_LOWER, out);
}

FILTER(filter_capitalize)
{
    (void)args;
    (void)raw;
    return change(r, self, CASE_CAPITAL, out);
}

FILTER(filter_title)
{
    (void)args;
    (void)raw;
    return change(r, self, CASE_WORDS, out);
}

FILTER(filter_trim)
{
    const struct jinja_string *s;
    const struct jinja_string *chars = NULL;
    (void)raw;
    bool given = args[0].kind != JINJA_MISSING && args[0].kind != JINJA_NONE;
    return value_str(r, self, &s) && (!given || arg_string(r, args[0], &chars)) &&
           text_strip(r, s, chars, true, true, out);
}

FILTER(filter_replace)
{
    const struct jinja_string *s;
    const struct jinja_string *from;
    const struct jinja_string *to;
    int64_t count;
    (void)raw;
    struct jinja_value limit = args[2].kind == JINJA_NONE ? value_missing() : args[2];
    return value_str(r, self, &s) && value_str(r, args[0], &from) && value_str(r, args[1], &to) &&
           arg_integer(r, limit, -1, &count) && text_replace(r, s, from, to, count, out);
}

FILTER(filter_join)
{
    const struct jinja_string *separator;
    struct value_items walk;
    (void)raw;
    if (args[0].kind == JINJA_MISSING) {
        static const struct jinja_string empty = { .data = "", .trusted = true };
        separator = &empty;
    } else if (!value_str(r, args[0], &separator)) {
        return false;
    }
    if (!value_walk(r, self, &walk))
        return false;
    if (args[1].kind == JINJA_MISSING || args[1].kind == JINJA_NONE)
        return text_join(r, separator, &walk, false, out);
    struct jinja_value *parts = run_alloc(r, walk.count, sizeof *parts);
    for (size_t i = 0; i < walk.count; i++) {
        if (!parts || !lookup_path(r, walk.items[i], args[1], NULL, &parts[i]))
            return false;
    }
    walk.items = parts;
    return parts && text_join(r, separator, &walk, false, out);
}

/* ---- indent ---- */

static bool indentation(struct run *r, struct jinja_value v, const struct jinja_string **out)
{
    int64_t width;
    struct text_builder b = { .r = r };
    struct jinja_value spaces;
    const struct jinja_string space = { .data = " ", .len = 1, .trusted = true };
    if (v.kind == JINJA_STRING) {
        *out = v.as.string;
        return true;
    }
    if (!arg_integer(r, v, 4, &width) ||
        !text_put_repeated(&b, &space, width > 0 ? (size_t)width : 0) || !text_finish(&b, &spaces))
        return false;
    *out = spaces.as.string;
    return true;
}

/* The first line as it is; the others behind the indentation, empty ones only with `blank`. */
static bool put_indented(struct text_builder *b, const struct jinja_list *lines,
                         const struct jinja_string *indent, bool blank)
{
    for (size_t i = 0; i < lines->count; i++) {
        const struct jinja_string *line = lines->items[i].as.string;
        bool indented = i > 0 && (blank || line->len > 0);
        if ((i > 0 && !text_put(b, "\n", 1, true)) || (indented && !text_put_string(b, indent)) ||
            !text_put_string(b, line))
            return false;
    }
    return true;
}

FILTER(filter_indent)
{
    const struct jinja_string *s;
    const struct jinja_string *indent;
    const struct jinja_string *with_end;
    const struct jinja_string newline = { .data = "\n", .len = 1, .trusted = true };
    struct jinja_list *lines;
    struct text_builder b = { .r = r };
    bool first = args[1].kind != JINJA_MISSING && value_truth(args[1]);
    bool blank = args[2].kind != JINJA_MISSING && value_truth(args[2]);
    (void)raw;
    return arg_string(r, self, &s) && indentation(r, args[0], &indent) &&
           text_concat(r, s, &newline, &with_end) && text_split_lines(r, with_end, false, &lines) &&
           (!first || text_put_string(&b, indent)) && put_indented(&b, lines, indent, blank) &&
           text_finish(&b, out);
}

/* ---- The rest ---- */

FILTER(filter_format)
{
    struct jinja_list *list;
    struct jinja_value values;
    const struct jinja_string *s;
    (void)args;
    if (raw->count > 0 && raw->named_count > 0)
        return run_fail(r, E_INVALID, "format() takes values or names, not both");
    if (!value_str(r, self, &s))
        return false;
    if (raw->named_count > 0) {
        struct jinja_map *map;
        if (!value_new_map(r, &map))
            return false;
        *map = (struct jinja_map){ raw->named, raw->named_count, raw->named_count };
        return format_percent(r, s, value_map(map), out);
    }
    if (!value_new_list(r, LIST_TUPLE, 0, &list))
        return false;
    *list = (struct jinja_list){ raw->values, raw->count, raw->count, 0, LIST_TUPLE };
    values = value_list(list);
    return format_percent(r, s, values, out);
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '\'':
        return "&#39;";
    case '"':
        return "&#34;";
    default:
        return NULL;
    }
}

FILTER(filter_escape)
{
    const struct jinja_string *s;
    struct text_builder b = { .r = r };
    (void)args;
    (void)raw;
    if (!value_str(r, self, &s))
        return false;
    size_t plain = 0;
    for (size_t i = 0; i < s->len; i++) {
        const char *text = entity(s->data[i]);
        if (!text)
            continue;
        if (!text_put_part(&b, s, plain, i - plain) ||
            !text_put(&b, text, strlen(text), text_mark_at(s, i)))
            return false;
        plain = i + 1;
    }
    return text_put_part(&b, s, plain, s->len - plain) && text_finish(&b, out);
}

static const struct jinja_callable filters[] = {
    { "capitalize", filter_capitalize, "" },
    { "e", filter_escape, "" },
    { "escape", filter_escape, "" },
    { "format", filter_format, "*" },
    { "indent", filter_indent, "width first blank" },
    { "join", filter_join, "d attribute" },
    { "lower", filter_lower, "" },
    { "replace", filter_replace, "old! new! count" },
    { "title", filter_title, "" },
    { "trim", filter_trim, "chars" },
    { "upper", filter_upper, "" },
};

const struct jinja_callable *filter_text_find(const char *name, size_t len)
{
    return callable_find(filters, sizeof filters / sizeof filters[0], name, len);
}
