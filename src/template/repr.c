/*
 * Python's str() and repr().
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "template/run.h"
#include "template/text.h"

enum {
    FIXED_EXPONENT_MIN = -4,
    FIXED_EXPONENT_MAX = 16,
    DIGITS_MAX = 17
};

static bool put_repr(struct text_builder *b, struct jinja_value v);

static bool put(struct text_builder *b, const char *text)
{
    return text_put(b, text, strlen(text), true);
}

/* ---- Floats ---- */

/* The fewest digits that give the same float again; returns the decimal exponent. */
static int shortest_digits(double d, char digits[DIGITS_MAX + 1])
{
    char text[REAL_TEXT_BYTES];
    for (int n = 1; n <= DIGITS_MAX; n++) {
        snprintf(text, sizeof text, "%.*e", n - 1, d);
        if (strtod(text, NULL) == d)
            break;
    }
    size_t count = 0;
    const char *p = text;
    for (; *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9')
            digits[count++] = *p;
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    digits[count] = '\0';
    return (int)strtol(p + 1, NULL, 10);
}

void text_real(double d, char out[REAL_TEXT_BYTES])
{
    char digits[DIGITS_MAX + 1];
    if (!isfinite(d)) {
        snprintf(out, REAL_TEXT_BYTES, "%s", isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
        return;
    }
    int exponent = shortest_digits(fabs(d), digits);
    int count = (int)strlen(digits);
    const char *sign = signbit(d) ? "-" : "";
    if (exponent < FIXED_EXPONENT_MIN || exponent >= FIXED_EXPONENT_MAX)
        snprintf(out, REAL_TEXT_BYTES, "%s%c%s%se%c%02d", sign, digits[0], count > 1 ? "." : "",
                 digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
    else if (exponent < 0)
        snprintf(out, REAL_TEXT_BYTES, "%s0.%.*s%s", sign, -exponent - 1, "0000", digits);
    else if (count <= exponent + 1)
        snprintf(out, REAL_TEXT_BYTES, "%s%s%.*s.0", sign, digits, exponent + 1 - count,
                 "0000000000000000");
    else
        snprintf(out, REAL_TEXT_BYTES, "%s%.*s.%s", sign, exponent + 1, digits,
                 digits + exponent + 1);
}

/* ---- Strings ---- */

static bool put_escaped(struct text_builder *b, uint32_t c, char quote, bool trusted)
{
    char text[12];
    if (c == '\n' || c == '\r' || c == '\t')
        snprintf(text, sizeof text, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (c == '\\' || c == (unsigned char)quote)
        snprintf(text, sizeof text, "\\%c", (char)c);
    else if (c < 0x100)
        snprintf(text, sizeof text, "\\x%02x", c);
    else if (c < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", c);
    else
        snprintf(text, sizeof text, "\\U%08x", c);
    return text_put(b, text, strlen(text), trusted);
}

static bool put_quoted(struct text_builder *b, const struct jinja_string *s)
{
    bool single = memchr(s->data, '\'', s->len) != NULL;
    char quote = single && !memchr(s->data, '"', s->len) ? '"' : '\'';
    size_t plain = 0; /* where what is shown as it is begins */
    if (!text_put(b, &quote, 1, true))
        return false;
    for (size_t at = 0; at < s->len;) {
        size_t n;
        uint32_t c = text_decode(s->data + at, s->len - at, &n);
        if (c != '\\' && c != (unsigned char)quote && text_is_printable(c)) {
            at += n;
            continue;
        }
        if (!text_put_part(b, s, plain, at - plain) ||
            !put_escaped(b, c, quote, text_mark_at(s, at)))
            return false;
        at += n;
        plain = at;
    }
    return text_put_part(b, s, plain, s->len - plain) && text_put(b, &quote, 1, true);
}

/* ---- Containers ---- */

static bool put_items(struct text_builder *b, const struct jinja_list *list, const char *open,
                      const char *close)
{
    if (!put(b, open))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if ((i > 0 && !put(b, ", ")) || !put_repr(b, list->items[i]))
            return false;
    }
    return put(b, close);
}

static bool put_list(struct text_builder *b, struct jinja_value v)
{
    const struct jinja_list *list = v.as.list;
    switch (list->flavour) {
    case LIST_LIST:
        return put_items(b, list, "[", "]");
    case LIST_TUPLE:
        return put_items(b, list, "(", list->count == 1 ? ",)" : ")");
    case LIST_KEYS:
        return put_items(b, list, "dict_keys([", "])");
    case LIST_VALUES:
        return put_items(b, list, "dict_values([", "])");
    case LIST_ITEMS:
        return put_items(b, list, "dict_items([", "])");
    case LIST_RANGE:
    case LIST_ITERATOR:
        break;
    }
    return run_fail(b->r, E_UNSUPPORTED, "a '%s' has no text", value_type_name(v));
}

static bool put_map(struct text_builder *b, const struct jinja_map *map)
{
    if (!put(b, "{"))
        return false;
    for (size_t i = 0; i < map->count; i++) {
        if ((i > 0 && !put(b, ", ")) || !put_repr(b, map->entries[i].key) || !put(b, ": ") ||
            !put_repr(b, map->entries[i].value))
            return false;
    }
    return put(b, "}");
}

static bool put_namespace(struct text_builder *b, const struct jinja_map *map)
{
    return put(b, "<Namespace ") && put_map(b, map) && put(b, ">");
}

static bool put_macro(struct text_builder *b, const struct jinja_macro *macro)
{
    return put(b, "<Macro '") && put(b, macro->node->name) && put(b, "'>");
}

/* What needs a builder even alone. */
static bool put_compound(struct text_builder *b, struct jinja_value v)
{
    if (!run_enter(b->r))
        return false;
    bool ok = v.kind == JINJA_STRING      ? put_quoted(b, v.as.string)
              : v.kind == JINJA_LIST      ? put_list(b, v)
              : v.kind == JINJA_MAP       ? put_map(b, v.as.map)
              : v.kind == JINJA_NAMESPACE ? put_namespace(b, v.as.map)
              : v.kind == JINJA_MACRO
                  ? put_macro(b, v.as.macro)
                  : run_fail(b->r, E_UNSUPPORTED, "a '%s' has no text", value_type_name(v));
    run_leave(b->r);
    return ok;
}

/* The text of a number, bool or none; false: it is something else. */
static bool scalar_text(struct jinja_value v, char out[REAL_TEXT_BYTES])
{
    if (v.kind == JINJA_INT)
        snprintf(out, REAL_TEXT_BYTES, "%lld", (long long)v.as.integer);
    else if (v.kind == JINJA_FLOAT)
        text_real(v.as.real, out);
    else if (v.kind == JINJA_BOOL)
        snprintf(out, REAL_TEXT_BYTES, "%s", v.as.boolean ? "True" : "False");
    else if (v.kind == JINJA_NONE)
        snprintf(out, REAL_TEXT_BYTES, "None");
    else
        return false;
    return true;
}

static bool put_repr(struct text_builder *b, struct jinja_value v)
{
    char text[REAL_TEXT_BYTES];
    if (!run_charge(b->r, 1))
        return false;
    if (v.kind == JINJA_UNDEFINED)
        return put(b, "Undefined");
    return scalar_text(v, text) ? put(b, text) : put_compound(b, v);
}

bool value_repr(struct run *r, struct jinja_value v, const struct jinja_string **out)
{
    struct text_builder b = { .r = r };
    struct jinja_value s;
    if (!put_repr(&b, v) || !text_finish(&b, &s))
        return false;
    *out = s.as.string;
    return true;
}

bool value_str(struct run *r, struct jinja_value v, const struct jinja_string **out)
{
    if (v.kind == JINJA_STRING) {
        *out = v.as.string;
        return true;
    }
    if (v.kind == JINJA_UNDEFINED) {
        static const struct jinja_string empty = { .data = "", .trusted = true };
        *out = &empty;
        return true;
    }
    return value_repr(r, v, out);
}
