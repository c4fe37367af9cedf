#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "http/differ.h"

struct maker {
    uint64_t state;
    char *out;
    size_t size;
    size_t len;
};

static uint64_t below(struct maker *m, uint64_t limit)
{
    m->state += 0x9e3779b97f4a7c15u;
    return random_mix(m->state) % limit;
}

static void put_bytes(struct maker *m, const char *data, size_t len)
{
    if (len > m->size - m->len)
        len = m->size - m->len;
    memcpy(m->out + m->len, data, len);
    m->len += len;
}

static void put(struct maker *m, const char *text)
{
    put_bytes(m, text, strlen(text));
}

#define PICK(m, list) (list)[below((m), sizeof(list) / sizeof((list)[0]))]

/* Mostly the first, so that most requests are nearly right. */
#define MOSTLY(m, list) (below((m), 4) ? (list)[0] : PICK((m), (list)))

static const char *const g_methods[] = { "GET",   "POST",    "PUT",   "HEAD", "DELETE",
                                         "PATCH", "OPTIONS", "BREW",  "get",  "M-SEARCH",
                                         "PRI",   "CONNECT", "TRACE", "G@T",  "SOURCE" };
static const char *const g_targets[] = {
    "/",          "/a/b?c=d",      "*",   "http://a/x", "/%20%2f",   "/a..b", "/x\"<>\\^`{|}",
    "http://a?q", "https://a/",    "/..", "/a#b",       "HTTP://A/", "//a",   "/;x=y",
    "/\x80",      "http://[::1]/", "a",   "/?/?//",
};
static const char *const g_versions[] = { "HTTP/1.1", "HTTP/1.0", "HTTP/1.1 ", "HTTP/2.0",
                                          "HTTP/0.9", "http/1.1", "HTTP/1.2",  "RTSP/1.0" };
static const char *const g_ends[] = { "\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\n\r\n", "" };
static const char *const g_spaces[] = { " ", "  ", "\t", "" };
static const char *const g_names[] = {
    "Accept",  "X-a",  "content-length",   "Transfer-Encoding", "Connection", "Upgrade", "Expect",
    "A!#$%&'", "Host", "Proxy-Connection", "Trailer",           "X Y",        "",        "A\x80",
};
static const char *const g_values[] = {
    "x",         "",          " x y ",        "chunked", "close",    "upgrade, keep-alive",
    "websocket", "a\x80\xff", "100-continue", "0",       "identity", "\t",
    "x\x01",     "a, b",      "keep-alive",
};
static const char *const g_colons[] = { ": ", ":", ":\t", " : ", ":  " };
static const char *const g_sizes[] = { "3",   "03", "00000003", "3;a=b", "3 ",
                                       "0x3", "g",  "+3",       "",      "000000003",
                                       "3\t", "-3", "3;",       "3;\"",  "fffffffff" };

static void put_field(struct maker *m, const char *name, const char *value)
{
    put(m, name);
    put(m, MOSTLY(m, g_colons));
    put(m, value);
    put(m, below(m, 12) ? "\r\n" : PICK(m, g_ends));
}

static void put_fields(struct maker *m)
{
    for (uint64_t n = below(m, 4); n > 0; n--)
        put_field(m, PICK(m, g_names), PICK(m, g_values));
}

static void put_chunks(struct maker *m)
{
    put_field(m, "Transfer-Encoding", below(m, 6) ? "chunked" : PICK(m, g_values));
    put_fields(m);
    put(m, "\r\n");
    for (uint64_t n = below(m, 3); n > 0; n--) {
        put(m, MOSTLY(m, g_sizes));
        put(m, MOSTLY(m, g_ends));
        put(m, "abc");
        put(m, MOSTLY(m, g_ends));
    }
    put(m, below(m, 8) ? "0\r\n" : "0000\r\n");
    if (below(m, 3) == 0)
        put_fields(m);
    put(m, "\r\n");
}

static void put_length(struct maker *m)
{
    static const char *const lengths[] = {
        "5", "05", "5 ", "+5", "5, 5", "5,", "-5", "0", "0x5", "4", "6", "18446744073709551621"
    };
    put_field(m, "Content-Length", MOSTLY(m, lengths));
    put_fields(m);
    put(m, "\r\nhello");
}

/* Damages up to three places. */
static void damage(struct maker *m)
{
    static const char bytes[] = "\r\n \t:;,\0\x7f\x80/0aA?#%*";
    for (uint64_t n = below(m, 3); n > 0 && m->len > 1; n--) {
        size_t at = below(m, m->len);
        switch (below(m, 4)) {
        case 0:
            m->out[at] = bytes[below(m, sizeof bytes - 1)];
            break;
        case 1: /* one byte less */
            memmove(m->out + at, m->out + at + 1, m->len - at - 1);
            m->len--;
            break;
        case 2: /* one byte more */
            if (m->len == m->size)
                break;
            memmove(m->out + at + 1, m->out + at, m->len - at);
            m->out[at] = bytes[below(m, sizeof bytes - 1)];
            m->len++;
            break;
        default:
            m->out[at] = (char)below(m, 256);
        }
    }
}

size_t differ_make(uint64_t seed, char *out, size_t size)
{
    struct maker m = { .state = random_mix(seed), .out = out, .size = size };
    put(&m, below(&m, 3) ? PICK(&m, g_methods) : "POST");
    put(&m, below(&m, 16) ? " " : PICK(&m, g_spaces));
    put(&m, MOSTLY(&m, g_targets));
    put(&m, below(&m, 16) ? " " : PICK(&m, g_spaces));
    put(&m, below(&m, 8) ? "HTTP/1.1" : PICK(&m, g_versions));
    put(&m, below(&m, 16) ? "\r\n" : PICK(&m, g_ends));
    if (below(&m, 16))
        put_field(&m, "Host", "a");
    put_fields(&m);
    switch (below(&m, 4)) {
    case 0:
        put_length(&m);
        break;
    case 1:
    case 2:
        put_chunks(&m);
        break;
    default:
        put(&m, "\r\n");
    }
    if (below(&m, 2))
        damage(&m);
    if (below(&m, 4) == 0)
        put(&m, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    return m.len;
}
