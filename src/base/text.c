#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * Walks the longest prefix of `s` that begins a well-formed character. Gives its length;
 * `*whole` says whether it is a whole character. 0: the first byte begins none.
 */
static int utf8_prefix(const char *s, size_t len, int *want)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned char c = p[0];
    unsigned char lo = 0x80;
    unsigned char hi = 0xbf;
    if (c < 0x80) {
        *want = 1;
        return 1;
    }
    if (c < 0xc2 || c > 0xf4) {
        *want = 0;
        return 0;
    }
    if (c < 0xe0) {
        *want = 2;
    } else if (c < 0xf0) {
        *want = 3;
        lo = c == 0xe0 ? 0xa0 : 0x80;
        hi = c == 0xed ? 0x9f : 0xbf;
    } else {
        *want = 4;
        lo = c == 0xf0 ? 0x90 : 0x80;
        hi = c == 0xf4 ? 0x8f : 0xbf;
    }
    int n = 1;
    while (n < *want && (size_t)n < len && p[n] >= lo && p[n] <= hi) {
        n++;
        lo = 0x80;
        hi = 0xbf;
    }
    return n;
}

int utf8_char_len(const char *s, size_t len)
{
    int want;
    int n = utf8_prefix(s, len, &want);
    return n == want ? n : 0;
}

int utf8_bad_len(const char *s, size_t len)
{
    int want;
    int n = utf8_prefix(s, len, &want);
    return n > 0 ? n : 1;
}

bool utf8_is_cut(const char *s, size_t len)
{
    int want;
    int n = len ? utf8_prefix(s, len, &want) : 0;
    return n > 0 && n < want && (size_t)n == len;
}

bool utf8_is_valid(const char *s, size_t len)
{
    size_t i = 0;
    while (i < len) {
        int n = utf8_char_len(s + i, len - i);
        if (n == 0)
            return false;
        i += (size_t)n;
    }
    return true;
}

bool text_parse_i64(const char *s, int64_t min, int64_t max, int64_t *out)
{
    char *end;
    if (*s == '\0' || strchr(" \t\n\v\f\r+", *s))
        return false;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno != 0 || *end != '\0' || v < min || v > max)
        return false;
    *out = v;
    return true;
}

bool text_parse_size(const char *s, uint64_t *out)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {
        { "", 1 },
        { "B", 1 },
        { "KiB", 1024 },
        { "MiB", 1024 * 1024 },
        { "GiB", 1024 * 1024 * 1024 },
        { "KB", 1000 },
        { "MB", 1000 * 1000 },
        { "GB", 1000 * 1000 * 1000 },
    };
    if (*s < '0' || *s > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno != 0)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(end, units[i].suffix) == 0) {
            uint64_t product;
            if (__builtin_mul_overflow((uint64_t)v, units[i].factor, &product))
                return false;
            *out = product;
            return true;
        }
    }
    return false;
}
