/*
 * What a string literal of a template stands for: Python's escapes.
 */
#include <string.h>

#include "template/lexer.h"
#include "template/text.h"

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f')
        return (c | 32) - 'a' + 10;
    return 99;
}

/* Up to `max` digits of a base; returns how many there were. */
static size_t read_digits(const char *s, size_t len, size_t max, int base, uint32_t *out)
{
    size_t n = 0;
    *out = 0;
    while (n < max && n < len && digit_value(s[n]) < base)
        *out = *out * (uint32_t)base + (uint32_t)digit_value(s[n++]);
    return n;
}

/* \xNN, \uNNNN, \UNNNNNNNN: how many digits; 0: another escape. */
static size_t hex_digits(char c)
{
    return c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
}

static bool is_code_point(uint32_t c)
{
    return c < 0x110000 && (c < 0xd800 || c > 0xdfff);
}

/* The escape behind a backslash. Returns the bytes read, 0 for a wrong one. */
static size_t unescape_one(const char *s, size_t len, char *out, size_t *written)
{
    static const char names[] = "abfnrtv\\'\"";
    static const char values[] = "\a\b\f\n\r\t\v\\'\"";
    uint32_t c;
    *written = 0;
    if (s[0] == '\n')
        return 1;
    const char *named = memchr(names, s[0], sizeof names - 1);
    if (named) {
        out[0] = values[named - names];
        *written = 1;
        return 1;
    }
    size_t octal = read_digits(s, len, 3, 8, &c);
    if (octal > 0) {
        *written = text_encode(c, out);
        return octal;
    }
    size_t digits = hex_digits(s[0]);
    if (digits > 0) {
        if (read_digits(s + 1, len - 1, digits, 16, &c) != digits || !is_code_point(c))
            return 0;
        *written = text_encode(c, out);
        return digits + 1;
    }
    if (s[0] == 'N')
        return 0;
    out[0] = '\\'; /* no escape: the backslash stays, and the character comes next */
    *written = 1;
    return SIZE_MAX;
}

size_t lexer_unescape(const char *text, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        if (text[i] != '\\' || i + 1 == len) {
            out[n++] = text[i++];
            continue;
        }
        size_t written;
        size_t taken = unescape_one(text + i + 1, len - i - 1, out + n, &written);
        if (taken == 0)
            return SIZE_MAX;
        n += written;
        i += taken == SIZE_MAX ? 1 : 1 + taken;
    }
    return n;
}
