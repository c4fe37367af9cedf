/*
 * Filters on values of any kind, and the table's front door: filters_text.c has those on
 * strings, filters_list.c those on lists.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "template/change.h"
#include "template/run.h"

enum {
    NUMBER_BYTES_MAX = 64
};

#define FILTER(name)                                                                               \
    static bool name(struct run *r, struct jinja_value self, const struct jinja_value *args,       \
                     const struct call_args *raw, struct jinja_value *out)

FILTER(filter_default)
{
    (void)r;
    (void)raw;
    bool falsy = args[1].kind != JINJA_MISSING && value_truth(args[1]) && !value_truth(self);
    *out = self;
    if (self.kind != JINJA_UNDEFINED && !falsy)
        return true;
    if (args[0].kind == JINJA_MISSING)
        return text_constant(r, "", out);
    *out = args[0];
    return true;
}

FILTER(filter_length)
{
    int64_t n;
    (void)args;
    (void)raw;
    if (!value_length(r, self, &n))
        return false;
    *out = jinja_int(n);
    return true;
}

FILTER(filter_string)
{
    const struct jinja_string *s;
    (void)args;
    (void)raw;
    if (!value_str(r, self, &s))
        return false;
    *out = value_string(s);
    return true;
}

/* There is no automatic escaping, so nothing has to be told that it is safe. */
FILTER(filter_safe)
{
    return filter_string(r, self, args, raw, out);
}

FILTER(filter_attr)
{
    const struct jinja_string *name;
    (void)raw;
    if (!value_str(r, args[0], &name))
        return false;
    if (self.kind == JINJA_MAP && !method_find(self, name->data, name->len)) {
        *out = value_undefined(NULL); /* attributes only, no items */
        return true;
    }
    return lookup_attribute(r, self, name, out);
}

/* ---- Numbers ---- */

/* The number's text without surrounding space and without underscores between digits. */
static bool number_text(const struct jinja_string *s, char out[NUMBER_BYTES_MAX])
{
    size_t n = 0;
    size_t from = 0;
    size_t end = s->len;
    while (from < end && text_is_space((unsigned char)s->data[from]))
        from++;
    while (end > from && text_is_space((unsigned char)s->data[end - 1]))
        end--;
    for (size_t i = from; i < end; i++) {
        char c = s->data[i];
        bool between =
            c == '_' && i > from && i + 1 < end && s->data[i - 1] != '_' && s->data[i + 1] != '_';
        if (between)
            continue;
        if (n + 1 == NUMBER_BYTES_MAX || c == '\0' || c == '_')
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return n > 0;
}

static bool parse_integer(const struct jinja_string *s, int base, int64_t *out)
{
    char text[NUMBER_BYTES_MAX];
    char *end;
    if (!number_text(s, text))
        return false;
    char *digits = text + (text[0] == '-' || text[0] == '+');
    char letter = digits[0] == '0' ? (char)(digits[1] | 32) : '\0';
    bool prefixed = (base == 2 && letter == 'b') || (base == 8 && letter == 'o') ||
                    (base == 16 && letter == 'x');
    if (prefixed)
        memmove(digits, digits + 2, strlen(digits + 2) + 1);
    if (digits[0] == '-' || digits[0] == '+' || text_is_space((unsigned char)digits[0]) ||
        (digits[0] == '0' && (digits[1] | 32) == 'x'))
        return false;
    errno = 0;
    *out = strtoll(text, &end, base);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_real(const struct jinja_string *s, double *out)
{
    char text[NUMBER_BYTES_MAX];
    char *end;
    if (!number_text(s, text) || strpbrk(text, "xXpP(") || text_is_space((unsigned char)text[0]))
        return false;
    *out = strtod(text, &end);
    return end != text && *end == '\0';
}

/* Python's int() of a float; false where there is none. */
static bool whole(double d, int64_t *out)
{
    if (!(fabs(d) < 0x1p63))
        return false;
    *out = (int64_t)d;
    return true;
}

FILTER(filter_int)
{
    int64_t i;
    int64_t base;
    double d;
    (void)raw;
    if (self.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, self);
    if (!arg_integer(r, args[1], 10, &base))
        return false;
    if (base < 2 || base > 36)
        return run_fail(r, E_UNSUPPORTED, "int() with such a base is not supported");
    if (value_is_integer(self))
        *out = jinja_int(value_integer(self));
    else if (self.kind == JINJA_FLOAT && whole(self.as.real, &i))
        *out = jinja_int(i);
    else if (self.kind == JINJA_STRING && parse_integer(self.as.string, (int)base, &i))
        *out = jinja_int(i);
    else if (self.kind == JINJA_STRING && parse_real(self.as.string, &d) && whole(d, &i))
        *out = jinja_int(i);
    else
        *out = args[0].kind == JINJA_MISSING ? jinja_int(0) : args[0];
    return true;
}

FILTER(filter_float)
{
    double d;
    (void)raw;
    if (self.kind == JINJA_UNDEFINED)
        return run_fail_undefined(r, self);
    if (value_is_number(self))
        *out = jinja_float(value_real(self));
    else if (self.kind == JINJA_STRING && parse_real(self.as.string, &d))
        *out = jinja_float(d);
    else
        *out = args[0].kind == JINJA_MISSING ? jinja_float(0) : args[0];
    return true;
}

FILTER(filter_abs)
{
    (void)args;
    (void)raw;
    if (self.kind == JINJA_FLOAT) {
        *out = jinja_float(fabs(self.as.real));
        return true;
    }
    bool minus = value_is_integer(self) && value_integer(self) < 0;
    return op_negate(r, self, minus, out);
}

/* Python's round(): to even, exact for what is halfway in decimal. */
static double round_common(double d, int64_t precision)
{
    char text[NUMBER_BYTES_MAX * 8];
    if (!isfinite(d) || precision > 300)
        return d;
    if (precision == 0)
        return nearbyint(d);
    if (precision < 0) {
        double scale = pow(10, (double)-precision);
        return precision < -300 ? copysign(0, d) : nearbyint(d / scale) * scale;
    }
    snprintf(text, sizeof text, "%.*f", (int)(precision < 150 ? precision : 150), d);
    return strtod(text, NULL);
}

FILTER(filter_round)
{
    int64_t precision;
    (void)raw;
    if (!arg_integer(r, args[0], 0, &precision))
        return false;
    if (!value_is_number(self))
        return op_negate(r, self, false, out);
    const struct jinja_string *method = NULL;
    if (args[1].kind != JINJA_MISSING && !arg_string(r, args[1], &method))
        return false;
    bool common = !method || text_is(method, "common");
    if (!common && !text_is(method, "ceil") && !text_is(method, "floor"))
        return run_fail(r, E_INVALID, "the method must be common, ceil or floor");
    if (common && value_is_integer(self) && precision >= 0) {
        *out = jinja_int(value_integer(self));
        return true;
    }
    double d = value_real(self);
    double scale = pow(10, (double)precision);
    double moved = common ? 0 : text_is(method, "ceil") ? ceil(d * scale) : floor(d * scale);
    *out = jinja_float(common ? round_common(d, precision) : moved / scale);
    if (common && value_is_integer(self))
        *out = jinja_int((int64_t)out->as.real);
    return true;
}

/* ---- JSON ---- */

static bool separators(struct run *r, struct jinja_value v, struct json_style *style)
{
    static const struct jinja_string comma = { .data = ",", .len = 1, .trusted = true };
    static const struct jinja_string comma_space = { .data = ", ", .len = 2, .trusted = true };
    static const struct jinja_string colon_space = { .data = ": ", .len = 2, .trusted = true };
    style->item_separator = style->indent ? &comma : &comma_space;
    style->key_separator = &colon_space;
    if (v.kind == JINJA_MISSING || v.kind == JINJA_NONE)
        return true;
    struct value_items pair;
    if (!value_walk(r, v, &pair))
        return false;
    if (pair.count != 2)
        return run_fail(r, E_INVALID, "separators are two strings");
    return arg_string(r, pair.items[0], &style->item_separator) &&
           arg_string(r, pair.items[1], &style->key_separator);
}

static bool json_indent(struct run *r, struct jinja_value v, struct json_style *style)
{
    if (v.kind == JINJA_MISSING || v.kind == JINJA_NONE)
        return true;
    if (v.kind == JINJA_STRING) {
        style->indent = v.as.string;
        return true;
    }
    int64_t width;
    struct text_builder b = { .r = r };
    struct jinja_value indent;
    const struct jinja_string space = { .data = " ", .len = 1, .trusted = true };
    if (!arg_integer(r, v, 0, &width) ||
        !text_put_repeated(&b, &space, width > 0 ? (size_t)width : 0) || !text_finish(&b, &indent))
        return false;
    style->indent = indent.as.string;
    return true;
}

FILTER(filter_tojson)
{
    struct json_style style = {
        .ascii = args[0].kind != JINJA_MISSING && value_truth(args[0]),
        .sorted = args[3].kind != JINJA_MISSING && value_truth(args[3]),
    };
    (void)raw;
    return json_indent(r, args[1], &style) && separators(r, args[2], &style) &&
           json_dump(r, self, &style, out);
}

FILTER(filter_from_json)
{
    const struct jinja_string *s;
    (void)args;
    (void)raw;
    return arg_string(r, self, &s) && json_load(r, s, out);
}

/* ---- The table ---- */

static const struct jinja_callable filters[] = {
    { "abs", filter_abs, "" },
    { "attr", filter_attr, "name!" },
    { "count", filter_length, "" },
    { "d", filter_default, "default_value boolean" },
    { "default", filter_default, "default_value boolean" },
    { "float", filter_float, "default" },
    { "from_json", filter_from_json, "" },
    { "int", filter_int, "default base" },
    { "length", filter_length, "" },
    { "round", filter_round, "precision method" },
    { "safe", filter_safe, "" },
    { "string", filter_string, "" },
    { "tojson", filter_tojson, "ensure_ascii indent separators sort_keys" },
};

const struct jinja_callable *filter_find(const char *name, size_t len)
{
    const struct jinja_callable *def =
        callable_find(filters, sizeof filters / sizeof filters[0], name, len);
    if (!def)
        def = filter_text_find(name, len);
    return def ? def : filter_list_find(name, len);
}
