/*
 * Fuzzes the HTTP parser through libFuzzer's entry point. The first byte of the input seeds
 * the places where the rest is cut; a request must mean the same in any pieces, and nothing
 * that the parser gives may lie outside of what it was fed.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -DVALET_CHECKS=1 -Isrc \
 *       fuzz/http_fuzz.c src/http/scan.c src/http/head.c src/http/framing.c src/http/names.c \
 *       src/base/assert.c -o http_fuzz
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "http/parser.h"

enum {
    BLOCK_MAX = 2048,
    FIELDS_MAX = 16,
    BODY_MAX = 512
};

static const struct http_limits g_limits = {
    .request_line_bytes_max = 512,
    .header_bytes_max = 1024,
    .field_count_max = FIELDS_MAX,
    .body_bytes_max = BODY_MAX,
};

struct outcome {
    enum http_parse state;
    enum http_rule rule;
    size_t used;
    size_t block_len;
    size_t body_len;
    struct http_scan scan;
    struct http_framing framing;
    struct http_head head;
    struct http_field fields[FIELDS_MAX];
    bool is_in_body;
    char block[BLOCK_MAX];
    char body[BODY_MAX];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct http_str s, const char *data, size_t len)
{
    return s.data >= data && s.data + s.len <= data + len;
}

static void check_head(const struct outcome *o)
{
    const struct http_head *h = &o->head;
    ASSERT(h->field_count == o->scan.field_count);
    ASSERT(is_inside(h->method, o->block, o->block_len) && h->method.len > 0);
    ASSERT(h->path.len > 0 && (h->path.data[0] == '/' || http_str_is(h->path, "*")));
    ASSERT(h->query.len == 0 || is_inside(h->query, o->block, o->block_len));
    ASSERT(!h->chunked || h->content_length == 0);
    ASSERT(h->content_length <= BODY_MAX);
    for (size_t i = 0; i < h->field_count; i++) {
        ASSERT(is_inside(o->fields[i].name, o->block, o->block_len));
        ASSERT(is_inside(o->fields[i].value, o->block, o->block_len));
        ASSERT(!memchr(o->fields[i].value.data, '\n', o->fields[i].value.len));
    }
}

static size_t feed_head(struct outcome *o, const char *data, size_t len)
{
    size_t used;
    o->state = http_scan_feed(&o->scan, &g_limits, data, len, &used);
    o->rule = o->scan.rule;
    ASSERT(o->block_len + used <= BLOCK_MAX);
    memcpy(o->block + o->block_len, data, used);
    o->block_len += used;
    if (o->state != HTTP_PARSE_DONE)
        return used;
    o->rule = http_head_parse(o->block, o->block_len, &g_limits, o->fields, &o->head);
    o->state = o->rule ? HTTP_PARSE_REFUSED : HTTP_PARSE_DONE;
    if (o->rule)
        return used;
    check_head(o);
    if (http_head_has_body(&o->head)) {
        o->state = HTTP_PARSE_MORE;
        o->is_in_body = true;
        http_framing_init(&o->framing, &o->head);
    }
    return used;
}

static size_t feed_body(struct outcome *o, const char *data, size_t len)
{
    size_t used;
    struct http_str piece;
    o->state = http_framing_feed(&o->framing, &g_limits, data, len, &used, &piece);
    o->rule = o->framing.rule;
    ASSERT(is_inside(piece, data, len));
    ASSERT(piece.len <= used && o->body_len + piece.len <= BODY_MAX);
    memcpy(o->body + o->body_len, piece.data, piece.len);
    o->body_len += piece.len;
    return used;
}

/* A copy on the heap, so that the sanitizer sees a read beyond its end. */
static void feed(struct outcome *o, const char *data, size_t len)
{
    char *piece = malloc(len ? len : 1);
    if (!piece)
        abort();
    memcpy(piece, data, len);
    size_t done = 0;
    while (done < len && o->state == HTTP_PARSE_MORE) {
        size_t used = o->is_in_body ? feed_body(o, piece + done, len - done)
                                    : feed_head(o, piece + done, len - done);
        ASSERT(used >= 1 && used <= len - done);
        done += used;
    }
    o->used += done;
    free(piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size_t len = size - 1;
    struct outcome whole = { .state = HTTP_PARSE_MORE };
    http_scan_init(&whole.scan);
    feed(&whole, text, len);

    struct outcome pieces = { .state = HTTP_PARSE_MORE };
    http_scan_init(&pieces.scan);
    uint32_t seed = data[0] * 2654435761u + 1;
    for (size_t at = 0; at < len && pieces.state == HTTP_PARSE_MORE;) {
        seed = seed * 1664525u + 1013904223u;
        size_t n = (seed >> 24) % 23 + 1;
        if (n > len - at)
            n = len - at;
        feed(&pieces, text + at, n);
        at += n;
    }

    ASSERT(whole.state == pieces.state && whole.rule == pieces.rule);
    ASSERT(whole.used == pieces.used && whole.body_len == pieces.body_len);
    ASSERT(memcmp(whole.body, pieces.body, whole.body_len) == 0);
    return 0;
}
