#include "api/json_out.h"

#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum {
    DIGITS_MIN = 6,
    DIGITS_MAX = 9 /* as many always tell a float from its neighbours */
};

struct api_out api_out_begin(struct base_buf *buf)
{
    return (struct api_out){ .buf = buf, .start = buf->len };
}

enum base_err api_out_end(struct api_out *o)
{
    if (o->rc) {
        o->buf->len = o->start;
        if (o->buf->data)
            o->buf->data[o->start] = '\0';
    }
    return o->rc;
}

void api_out_bytes(struct api_out *o, const void *json, size_t len)
{
    if (!o->rc)
        o->rc = buf_append(o->buf, json, len);
}

void api_out_raw(struct api_out *o, const char *json)
{
    api_out_bytes(o, json, strlen(json));
}

/* The letter of a two-character escape, or 0. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static void out_escape(struct api_out *o, unsigned char c)
{
    char text[8];
    char letter = short_escape(c);
    if (letter)
        snprintf(text, sizeof text, "\\%c", letter);
    else
        snprintf(text, sizeof text, "\\u%04X", c);
    api_out_raw(o, text);
}

/* Bytes at `s` that stand for themselves in a string. */
static size_t plain_len(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len) {
        unsigned char c = (unsigned char)s[n];
        if (c < 0x20 || c == '"' || c == '\\')
            break;
        int k = c < 0x80 ? 1 : utf8_char_len(s + n, len - n);
        if (!k)
            break;
        n += (size_t)k;
    }
    return n;
}

void api_out_string(struct api_out *o, const char *s, size_t len)
{
    api_out_raw(o, "\"");
    for (size_t i = 0; i < len && !o->rc;) {
        size_t n = plain_len(s + i, len - i);
        api_out_bytes(o, s + i, n);
        i += n;
        if (i == len)
            break;
        if ((unsigned char)s[i] < 0x80) {
            out_escape(o, (unsigned char)s[i++]);
        } else {
            api_out_raw(o, "\xef\xbf\xbd");
            i += (size_t)utf8_bad_len(s + i, len - i);
        }
    }
    api_out_raw(o, "\"");
}

void api_out_str(struct api_out *o, const char *s)
{
    if (s)
        api_out_string(o, s, strlen(s));
    else
        api_out_raw(o, "null");
}

void api_out_int(struct api_out *o, int64_t n)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, n);
    api_out_raw(o, text);
}

void api_out_float(struct api_out *o, float x)
{
    char text[32];
    if (!(x >= -FLT_MAX && x <= FLT_MAX)) {
        api_out_raw(o, "-9999.0");
        return;
    }
    for (int digits = DIGITS_MIN; digits <= DIGITS_MAX; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        float back = strtof(text, NULL);
        if (memcmp(&back, &x, sizeof x) == 0)
            break;
    }
    api_out_raw(o, text);
}
