/*
 * JSON to values, for from_json. What user text wrote stays user text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "template/run.h"
#include "template/text.h"

enum {
    NUMBER_BYTES_MAX = 64
};

struct load {
    struct run *r;
    const struct jinja_string *s;
    size_t at;
};

static bool load_value(struct load *l, struct jinja_value *out);

static bool fail(struct load *l, const char *expected)
{
    return run_fail(l->r, E_INVALID, "not JSON: expected %s at character %lld", expected,
                    (long long)text_char_count(l->s->data, l->at));
}

static char peek(const struct load *l)
{
    return l->at < l->s->len ? l->s->data[l->at] : '\0';
}

static void skip_space(struct load *l)
{
    while (peek(l) == ' ' || peek(l) == '\t' || peek(l) == '\n' || peek(l) == '\r')
        l->at++;
}

/* Passes a character with the space around it. */
static bool skip_char(struct load *l, char c)
{
    skip_space(l);
    if (peek(l) != c)
        return false;
    l->at++;
    skip_space(l);
    return true;
}

/* ---- Strings ---- */

static bool load_hex(struct load *l, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = peek(l);
        bool digit = c >= '0' && c <= '9';
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'f';
        if (!digit && !letter)
            return fail(l, "a hexadecimal digit");
        *out = *out * 16 + (uint32_t)(digit ? c - '0' : (c | 32) - 'a' + 10);
        l->at++;
    }
    return true;
}

/* Behind "\u". A surrogate without its other half becomes U+FFFD. */
static bool load_unicode(struct load *l, uint32_t *out)
{
    if (!load_hex(l, out))
        return false;
    bool pair = *out >= 0xd800 && *out < 0xdc00 && l->s->len - l->at >= 6 &&
                memcmp(l->s->data + l->at, "\\u", 2) == 0;
    if (pair) {
        size_t behind = l->at;
        uint32_t low;
        l->at += 2;
        if (!load_hex(l, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000)
            *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
        else
            l->at = behind;
    }
    if (*out >= 0xd800 && *out < 0xe000)
        *out = 0xfffd;
    return true;
}

static bool load_escape(struct load *l, struct text_builder *b)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    bool trusted = text_mark_at(l->s, l->at++);
    char c = peek(l);
    const char *named = c ? strchr(from, c) : NULL;
    char text[4];
    size_t n = 1;
    l->at++;
    if (named) {
        text[0] = to[named - from];
    } else {
        uint32_t code;
        if (c != 'u')
            return fail(l, "an escape");
        if (!load_unicode(l, &code))
            return false;
        n = text_encode(code, text);
    }
    return text_put(b, text, n, trusted);
}

static bool load_string(struct load *l, struct jinja_value *out)
{
    struct text_builder b = { .r = l->r };
    l->at++;
    size_t plain = l->at;
    while (l->at < l->s->len && peek(l) != '"') {
        if ((unsigned char)peek(l) < 0x20)
            return fail(l, "no control character");
        if (peek(l) != '\\') {
            l->at++;
            continue;
        }
        if (!text_put_part(&b, l->s, plain, l->at - plain) || !load_escape(l, &b))
            return false;
        plain = l->at;
    }
    if (l->at >= l->s->len)
        return fail(l, "'\"'");
    if (!text_put_part(&b, l->s, plain, l->at - plain) || !text_finish(&b, out))
        return false;
    l->at++;
    return true;
}

/* ---- Numbers ---- */

static void skip_digits(struct load *l)
{
    while (peek(l) >= '0' && peek(l) <= '9')
        l->at++;
}

static bool load_number(struct load *l, struct jinja_value *out)
{
    size_t from = l->at;
    char text[NUMBER_BYTES_MAX];
    if (peek(l) == '-')
        l->at++;
    size_t digits = l->at;
    skip_digits(l);
    bool whole = true;
    if (l->at == digits || (l->s->data[digits] == '0' && l->at > digits + 1))
        return fail(l, "a value");
    if (peek(l) == '.') {
        whole = false;
        l->at++;
        skip_digits(l);
        if (l->s->data[l->at - 1] == '.')
            return fail(l, "a digit");
    }
    if ((peek(l) | 32) == 'e') {
        whole = false;
        l->at++;
        if (peek(l) == '+' || peek(l) == '-')
            l->at++;
        size_t exponent = l->at;
        skip_digits(l);
        if (l->at == exponent)
            return fail(l, "a digit");
    }
    if (l->at - from >= sizeof text)
        return run_fail(l->r, E_UNSUPPORTED, "a number is too long");
    memcpy(text, l->s->data + from, l->at - from);
    text[l->at - from] = '\0';
    if (!whole) {
        *out = jinja_float(strtod(text, NULL));
        return true;
    }
    errno = 0;
    *out = jinja_int(strtoll(text, NULL, 10));
    return errno == 0 || run_fail(l->r, E_UNSUPPORTED, "an integer has more than 63 bits");
}

/* ---- Containers ---- */

static bool load_list(struct load *l, struct jinja_value *out)
{
    struct jinja_list *list;
    if (!value_new_list(l->r, LIST_LIST, 0, &list))
        return false;
    *out = value_list(list);
    skip_char(l, '[');
    if (skip_char(l, ']'))
        return true;
    do {
        struct jinja_value item;
        if (!load_value(l, &item) || !value_list_push(l->r, list, item))
            return false;
    } while (skip_char(l, ','));
    return skip_char(l, ']') || fail(l, "',' or ']'");
}

static bool load_map(struct load *l, struct jinja_value *out)
{
    struct jinja_map *map;
    if (!value_new_map(l->r, &map))
        return false;
    *out = value_map(map);
    skip_char(l, '{');
    if (skip_char(l, '}'))
        return true;
    do {
        struct jinja_value key;
        struct jinja_value item;
        if (peek(l) != '"')
            return fail(l, "a key");
        if (!load_string(l, &key))
            return false;
        if (!skip_char(l, ':'))
            return fail(l, "':'");
        if (!load_value(l, &item) || !value_map_set(l->r, map, key, item))
            return false;
    } while (skip_char(l, ','));
    return skip_char(l, '}') || fail(l, "',' or '}'");
}

static bool load_word(struct load *l, struct jinja_value *out)
{
    static const char *const words[] = { "null", "true", "false" };
    const struct jinja_value values[] = { jinja_none(), jinja_bool(true), jinja_bool(false) };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i]);
        if (n <= l->s->len - l->at && memcmp(l->s->data + l->at, words[i], n) == 0) {
            l->at += n;
            *out = values[i];
            return true;
        }
    }
    return load_number(l, out);
}

static bool load_value(struct load *l, struct jinja_value *out)
{
    if (!run_charge(l->r, 1))
        return false;
    char c = peek(l);
    if (c == '"')
        return load_string(l, out);
    if (c != '[' && c != '{')
        return load_word(l, out);
    if (!run_enter(l->r))
        return false;
    bool ok = c == '[' ? load_list(l, out) : load_map(l, out);
    run_leave(l->r);
    return ok;
}

bool json_load(struct run *r, const struct jinja_string *s, struct jinja_value *out)
{
    struct load l = { .r = r, .s = s };
    skip_space(&l);
    if (!load_value(&l, out))
        return false;
    skip_space(&l);
    return l.at == s->len || fail(&l, "the end");
}
