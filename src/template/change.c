/*
 * Changes of whole strings that filters and methods share. Every byte keeps the mark of the
 * byte it comes from.
 */
#include "template/change.h"

#include <string.h>

#include "template/run.h"

bool arg_string(struct run *r, struct jinja_value v, const struct jinja_string **out)
{
    if (v.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, v);
    if (v.kind != JINJA_STRING)
        return run_fail(r, E_INVALID, "expected a string, not '%s'", value_type_name(v));
    *out = v.as.string;
    return true;
}

bool arg_integer(struct run *r, struct jinja_value v, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    if (v.kind == JINJA_MISSING)
        return true;
    if (v.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, v);
    if (!value_is_integer(v))
        return run_fail(r, E_INVALID, "expected an integer, not '%s'", value_type_name(v));
    *out = value_integer(v);
    return true;
}

/* ---- Case ---- */

static bool is_word_break(uint32_t c)
{
    return text_is_space(c) || (c < 0x80 && c != 0 && strchr("-({[<", (int)c) != NULL);
}

static bool wants_upper(enum text_case how, uint32_t c, bool at_start)
{
    switch (how) {
    case CASE_UPPER:
        return true;
    case CASE_LOWER:
        return false;
    case CASE_CAPITAL:
    case CASE_TITLE:
    case CASE_WORDS:
        return at_start;
    case CASE_SWAPPED:
        return text_is_lower(c);
    }
    return false;
}

/* Whether the character behind `c` begins a word. */
static bool starts_word(enum text_case how, uint32_t c)
{
    return how == CASE_WORDS   ? is_word_break(c)
           : how == CASE_TITLE ? !text_is_upper(c) && !text_is_lower(c)
                               : false;
}

static bool put_cased(struct text_builder *b, uint32_t c, bool upper, bool first, bool trusted)
{
    char text[4];
    if (c == 0xdf && upper) /* the German sharp s has no capital letter of its own */
        return text_put(b, first ? "Ss" : "SS", 2, trusted);
    size_t n = text_encode(upper ? text_upper(c) : text_lower(c), text);
    return text_put(b, text, n, trusted);
}

bool text_change_case(struct run *r, const struct jinja_string *s, enum text_case how,
                      struct jinja_value *out)
{
    struct text_builder b = { .r = r };
    bool at_start = true;
    for (size_t at = 0; at < s->len;) {
        size_t n;
        uint32_t c = text_decode(s->data + at, s->len - at, &n);
        bool upper = wants_upper(how, c, at_start);
        bool first = how == CASE_TITLE || how == CASE_CAPITAL;
        bool bad = n == 1 && (unsigned char)s->data[at] >= 0x80;
        bool ok =
            bad ? text_put_part(&b, s, at, n) : put_cased(&b, c, upper, first, text_mark_at(s, at));
        if (!ok)
            return false;
        at_start = starts_word(how, c);
        at += n;
    }
    return text_finish(&b, out);
}

/* ---- strip ---- */

static bool is_stripped(const char *s, size_t len, const struct jinja_string *chars)
{
    size_t n;
    uint32_t c = text_decode(s, len, &n);
    return chars ? memmem(chars->data, chars->len, s, n) != NULL : text_is_space(c);
}

bool text_strip(struct run *r, const struct jinja_string *s, const struct jinja_string *chars,
                bool left, bool right, struct jinja_value *out)
{
    size_t from = 0;
    size_t end = s->len;
    size_t cost = chars ? 1 + chars->len / 64 : 1;
    while (left && from < end && is_stripped(s->data + from, end - from, chars)) {
        from += text_char_len(s->data + from, end - from);
        if (!run_charge(r, cost))
            return false;
    }
    while (right && end > from) {
        size_t at = end - 1;
        while (at > from && end - at < 4 && ((unsigned char)s->data[at] & 0xc0) == 0x80)
            at--;
        if (text_char_len(s->data + at, end - at) != end - at)
            at = end - 1; /* no character: a byte by itself */
        if (!is_stripped(s->data + at, end - at, chars))
            break;
        end = at;
        if (!run_charge(r, cost))
            return false;
    }
    return text_part(r, s, from, end - from, out);
}

/* ---- replace, join, lines ---- */

/* "" is found before every character and at the end. */
static bool replace_empty(struct text_builder *b, const struct jinja_string *s,
                          const struct jinja_string *to, int64_t count)
{
    size_t at = 0;
    for (int64_t i = 0; count < 0 || i < count; i++) {
        if (!run_charge(b->r, 1) || !text_put_string(b, to))
            return false;
        if (at == s->len)
            return true;
        size_t n = text_char_len(s->data + at, s->len - at);
        if (!text_put_part(b, s, at, n))
            return false;
        at += n;
    }
    return text_put_part(b, s, at, s->len - at);
}

bool text_replace(struct run *r, const struct jinja_string *s, const struct jinja_string *from,
                  const struct jinja_string *to, int64_t count, struct jinja_value *out)
{
    struct text_builder b = { .r = r };
    if (from->len == 0)
        return replace_empty(&b, s, to, count) && text_finish(&b, out);
    size_t at = 0;
    for (int64_t i = 0; count < 0 || i < count; i++) {
        size_t found = text_find(s, from, at);
        if (found == SIZE_MAX)
            break;
        if (!run_charge(r, 1) || !text_put_part(&b, s, at, found - at) || !text_put_string(&b, to))
            return false;
        at = found + from->len;
    }
    if (at == 0 && run_charge_bytes(r, s->len)) {
        *out = value_string(s);
        return true;
    }
    return text_put_part(&b, s, at, s->len - at) && text_finish(&b, out);
}

bool text_join(struct run *r, const struct jinja_string *separator, const struct value_items *items,
               bool strict, struct jinja_value *out)
{
    struct text_builder b = { .r = r };
    for (size_t i = 0; i < items->count; i++) {
        const struct jinja_string *s;
        bool ok = strict ? arg_string(r, items->items[i], &s) : value_str(r, items->items[i], &s);
        if (!ok || !run_charge(r, 1) || (i > 0 && !text_put_string(&b, separator)) ||
            !text_put_string(&b, s))
            return false;
    }
    return text_finish(&b, out);
}

/* The length of the line end at `at`, 0 where there is none. */
static size_t line_end(const struct jinja_string *s, size_t at)
{
    size_t n;
    uint32_t c = text_decode(s->data + at, s->len - at, &n);
    if (c == '\r' && at + 1 < s->len && s->data[at + 1] == '\n')
        return 2;
    bool end = (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
               c == 0x2029;
    return end ? n : 0;
}

bool text_split_lines(struct run *r, const struct jinja_string *s, bool keep_ends,
                      struct jinja_list **out)
{
    struct jinja_value line;
    size_t from = 0;
    if (!value_new_list(r, LIST_LIST, 0, out) || !run_charge_bytes(r, s->len))
        return false;
    for (size_t at = 0; at < s->len;) {
        size_t n = line_end(s, at);
        if (n == 0) {
            at += text_char_len(s->data + at, s->len - at);
            continue;
        }
        if (!text_part(r, s, from, at - from + (keep_ends ? n : 0), &line) ||
            !value_list_push(r, *out, line))
            return false;
        at += n;
        from = at;
    }
    if (from == s->len)
        return true;
    return text_part(r, s, from, s->len - from, &line) && value_list_push(r, *out, line);
}
