/*
 * printf-style formatting (% and the filter format), and the simple fields of str.format.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "template/run.h"
#include "template/text.h"

enum {
    WIDTH_MAX = 10000,
    PRECISION_MAX = 100,
    NUMBER_BYTES_MAX = 512
};

struct spec {
    bool left;
    bool plus;
    bool blank;
    bool zero;
    bool alternate;
    int width;
    int precision; /* -1: none */
    char type;
};

struct format {
    struct run *r;
    const struct jinja_string *s;
    size_t at;
    struct text_builder out;
    struct jinja_value args;
    size_t used; /* of a tuple's elements; of another value: 0 or 1 */
};

static char peek(const struct format *f)
{
    return f->at < f->s->len ? f->s->data[f->at] : '\0';
}

static bool fail(struct format *f, const char *what)
{
    return run_fail(f->r, E_INVALID, "the format string is wrong: %s", what);
}

static bool parse_number(struct format *f, int max, int *out)
{
    *out = 0;
    while (peek(f) >= '0' && peek(f) <= '9') {
        *out = *out * 10 + (f->s->data[f->at++] - '0');
        if (*out > max)
            return run_fail(f->r, E_TOO_BIG, "a width or precision is too large");
    }
    return true;
}

static bool parse_spec(struct format *f, struct spec *spec)
{
    *spec = (struct spec){ .precision = -1 };
    for (bool flag = true; flag;) {
        char c = peek(f);
        spec->left |= c == '-';
        spec->plus |= c == '+';
        spec->blank |= c == ' ';
        spec->zero |= c == '0';
        spec->alternate |= c == '#';
        flag = c != '\0' && strchr("-+ 0#", c) != NULL;
        f->at += flag;
    }
    if (!parse_number(f, WIDTH_MAX, &spec->width))
        return false;
    if (peek(f) == '.') {
        f->at++;
        if (!parse_number(f, PRECISION_MAX, &spec->precision))
            return false;
    }
    if (peek(f) == 'l' || peek(f) == 'h' || peek(f) == 'L')
        f->at++;
    spec->type = peek(f);
    f->at++;
    return spec->type != '\0' || fail(f, "it ends within a field");
}

/* The value of the next field: of "%(name)s" or the next one in order. */
static bool next_value(struct format *f, struct jinja_value *out)
{
    if (value_has_flavour(f->args, LIST_TUPLE)) {
        const struct jinja_list *list = f->args.as.list;
        if (f->used >= list->count)
            return fail(f, "too few values");
        *out = list->items[f->used++];
        return true;
    }
    if (f->used++ > 0)
        return fail(f, "too few values");
    *out = f->args;
    return true;
}

static bool named_value(struct format *f, struct jinja_value *out)
{
    size_t from = ++f->at;
    const char *end = memchr(f->s->data + from, ')', f->s->len - from);
    struct jinja_value key;
    struct map_entry *entry;
    if (!end || f->args.kind != JINJA_MAP)
        return fail(f, end ? "a name needs a mapping" : "a name has no end");
    f->at = (size_t)(end - f->s->data) + 1;
    if (!text_part(f->r, f->s, from, f->at - 1 - from, &key) ||
        !value_map_find(f->r, f->args.as.map, key, &entry))
        return false;
    if (!entry)
        return fail(f, "a name is not in the mapping");
    *out = entry->value;
    return true;
}

/* ---- Fields ---- */

static bool pad(struct format *f, const char *fill, int count)
{
    const struct jinja_string s = { .data = fill, .len = 1, .trusted = true };
    return count <= 0 || text_put_repeated(&f->out, &s, (size_t)count);
}

static bool put_text(struct format *f, const struct spec *spec, const struct jinja_string *s)
{
    size_t len = s->len;
    if (spec->precision >= 0) {
        len = 0;
        for (int i = 0; i < spec->precision && len < s->len; i++)
            len += text_char_len(s->data + len, s->len - len);
    }
    int64_t chars = spec->width > 0 ? text_char_count(s->data, len) : 0;
    int space = chars < spec->width ? spec->width - (int)chars : 0;
    return (spec->left || pad(f, " ", space)) && text_put_part(&f->out, s, 0, len) &&
           (!spec->left || pad(f, " ", space));
}

/* A number with its sign or prefix of `head` bytes, padded. */
static bool put_number(struct format *f, const struct spec *spec, const char *text, size_t head)
{
    size_t len = strlen(text);
    int space = spec->width - (int)len;
    if (spec->zero && !spec->left)
        return text_put(&f->out, text, head, true) && pad(f, "0", space) &&
               text_put(&f->out, text + head, len - head, true);
    return (spec->left || pad(f, " ", space)) && text_put(&f->out, text, len, true) &&
           (!spec->left || pad(f, " ", space));
}

static const char *sign_of(const struct spec *spec, bool negative)
{
    return negative ? "-" : spec->plus ? "+" : spec->blank ? " " : "";
}

static bool put_integer(struct format *f, const struct spec *spec, struct jinja_value v)
{
    char text[NUMBER_BYTES_MAX];
    bool hex = spec->type == 'x' || spec->type == 'X' || spec->type == 'o';
    if (v.kind == JINJA_FLOAT && !hex && fabs(v.as.real) < 0x1p62)
        v = jinja_int((int64_t)v.as.real);
    if (v.kind == JINJA_UNDEFINED)
        return run_fail_undefined(f->r, v);
    if (!value_is_integer(v))
        return run_fail(f->r, E_INVALID, "%%%c needs an integer, not '%s'", spec->type,
                        value_type_name(v));
    int64_t i = value_integer(v);
    uint64_t size = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    const char *sign = sign_of(spec, i < 0);
    char prefix[3] = { '0', spec->type, '\0' };
    if (!hex || !spec->alternate)
        prefix[0] = '\0';
    int digits = spec->precision;
    const char *format = spec->type == 'x'   ? "%s%s%.*llx"
                         : spec->type == 'X' ? "%s%s%.*llX"
                         : spec->type == 'o' ? "%s%s%.*llo"
                                             : "%s%s%.*llu";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, format, sign, prefix, digits < 0 ? 1 : digits,
             (unsigned long long)size);
#pragma GCC diagnostic pop
    return put_number(f, spec, text, strlen(sign) + strlen(prefix));
}

static bool put_real(struct format *f, const struct spec *spec, struct jinja_value v)
{
    char text[NUMBER_BYTES_MAX];
    if (v.kind == JINJA_UNDEFINED)
        return run_fail_undefined(f->r, v);
    if (!value_is_number(v))
        return run_fail(f->r, E_INVALID, "%%%c needs a number, not '%s'", spec->type,
                        value_type_name(v));
    double d = value_real(v);
    const char *sign = sign_of(spec, signbit(d));
    char format[] = { '%', 's', '%', '#', '.', '*', spec->type, '\0' };
    if (!spec->alternate)
        memmove(format + 3, format + 4, sizeof format - 4);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, format, sign, spec->precision < 0 ? 6 : spec->precision, fabs(d));
#pragma GCC diagnostic pop
    return put_number(f, spec, text, strlen(sign));
}

static bool put_field(struct format *f, const struct spec *spec, struct jinja_value v)
{
    const struct jinja_string *s;
    switch (spec->type) {
    case 's':
        return value_str(f->r, v, &s) && put_text(f, spec, s);
    case 'r':
        return value_repr(f->r, v, &s) && put_text(f, spec, s);
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        return put_integer(f, spec, v);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        return put_real(f, spec, v);
    default:
        return run_fail(f->r, E_UNSUPPORTED, "this conversion of a format string is not supported");
    }
}

static bool format_field(struct format *f)
{
    struct spec spec;
    struct jinja_value v = jinja_none();
    bool named = peek(f) == '(';
    if (named && !named_value(f, &v))
        return false;
    if (!parse_spec(f, &spec))
        return false;
    if (spec.type == '%')
        return text_put_part(&f->out, f->s, f->at - 1, 1);
    if (!named && !next_value(f, &v))
        return false;
    return put_field(f, &spec, v);
}

static bool all_used(const struct format *f)
{
    if (value_has_flavour(f->args, LIST_TUPLE))
        return f->used == f->args.as.list->count;
    bool mapping = f->args.kind == JINJA_MAP || f->args.kind == JINJA_UNDEFINED ||
                   value_has_flavour(f->args, LIST_LIST) || value_has_flavour(f->args, LIST_RANGE);
    return mapping || f->used > 0;
}

bool format_percent(struct run *r, const struct jinja_string *format, struct jinja_value args,
                    struct jinja_value *out)
{
    struct format f = { .r = r, .s = format, .out = { .r = r }, .args = args };
    while (f.at < format->len) {
        const char *percent = memchr(format->data + f.at, '%', format->len - f.at);
        size_t end = percent ? (size_t)(percent - format->data) : format->len;
        if (!text_put_part(&f.out, format, f.at, end - f.at))
            return false;
        f.at = end + 1;
        if (percent && !format_field(&f))
            return false;
    }
    if (!all_used(&f))
        return fail(&f, "not all values are used");
    return text_finish(&f.out, out);
}

/* ---- str.format ---- */

/* The argument of a field: "", "0", "name". */
static bool brace_value(struct format *f, const struct jinja_string *name,
                        const struct call_args *args, struct jinja_value *out)
{
    size_t index = f->used;
    bool number = true;
    for (size_t i = 0; i < name->len; i++)
        number = number && name->data[i] >= '0' && name->data[i] <= '9';
    if (name->len == 0)
        f->used++;
    else if (number && name->len < 9) {
        index = 0;
        for (size_t i = 0; i < name->len; i++)
            index = index * 10 + (size_t)(name->data[i] - '0');
    }
    if (number) {
        if (index >= args->count)
            return fail(f, "too few values");
        *out = args->values[index];
        return true;
    }
    for (size_t i = 0; i < args->named_count; i++) {
        if (text_equal(args->named[i].key.as.string, name)) {
            *out = args->named[i].value;
            return true;
        }
    }
    return fail(f, "a name without a value");
}

static bool brace_field(struct format *f, const struct call_args *args)
{
    const char *start = f->s->data + f->at;
    const char *close = memchr(start, '}', f->s->len - f->at);
    if (!close)
        return fail(f, "a field has no end");
    struct jinja_string name = { .data = start, .len = (size_t)(close - start) };
    f->at += name.len + 1;
    bool repr = name.len >= 2 && memcmp(close - 2, "!r", 2) == 0;
    if (repr || (name.len >= 2 && memcmp(close - 2, "!s", 2) == 0))
        name.len -= 2;
    for (size_t i = 0; i < name.len; i++) {
        if (strchr(":!.[{", name.data[i]))
            return run_fail(f->r, E_UNSUPPORTED, "such a field of str.format is not supported");
    }
    struct jinja_value v;
    const struct jinja_string *s;
    if (!brace_value(f, &name, args, &v) ||
        !(repr ? value_repr(f->r, v, &s) : value_str(f->r, v, &s)))
        return false;
    return text_put_string(&f->out, s);
}

bool format_braces(struct run *r, const struct jinja_string *format, const struct call_args *args,
                   struct jinja_value *out)
{
    struct format f = { .r = r, .s = format, .out = { .r = r } };
    while (f.at < format->len) {
        size_t from = f.at;
        while (f.at < format->len && peek(&f) != '{' && peek(&f) != '}')
            f.at++;
        if (!text_put_part(&f.out, format, from, f.at - from))
            return false;
        if (f.at == format->len)
            break;
        char c = format->data[f.at++];
        bool twice = peek(&f) == c;
        if (twice && !text_put_part(&f.out, format, f.at++, 1))
            return false;
        if (!twice && c == '}')
            return fail(&f, "a single '}'");
        if (!twice && !brace_field(&f, args))
            return false;
    }
    return text_finish(&f.out, out);
}
