/*
 * The framing of a body: a length, or chunks.
 *
 *   chunk    = 1*8HEXDIG CRLF data CRLF      (no extensions)
 *   body     = *chunk 1*8"0" CRLF *field CRLF
 *
 *   LENGTH --last byte--> DONE
 *   SIZE --CR--> SIZE_LF --LF--> DATA --last byte--> DATA_CR --> DATA_LF --> SIZE
 *   SIZE_LF, size 0 --LF--> TRAILERS --empty line--> DONE
 *
 * Trailers are checked like header lines, bounded like them, and dropped: they never
 * become fields of the request.
 */
#include "base/assert.h"
#include "http/parser.h"

enum framing_state {
    FRAMING_LENGTH,
    FRAMING_SIZE,
    FRAMING_SIZE_LF,
    FRAMING_DATA,
    FRAMING_DATA_CR,
    FRAMING_DATA_LF,
    FRAMING_TRAILERS,
    FRAMING_DONE
};

void http_framing_init(struct http_framing *f, const struct http_head *head)
{
    *f = (struct http_framing){ .state = FRAMING_LENGTH, .left = head->content_length };
    if (head->chunked)
        f->state = FRAMING_SIZE;
    else if (f->left == 0)
        f->state = FRAMING_DONE;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static enum http_rule in_size(struct http_framing *f, char c)
{
    int value = hex_value(c);
    if (value >= 0) {
        if (f->digits == 8)
            return HTTP_RULE_BAD_CHUNK_SIZE;
        f->digits++;
        f->size = f->size << 4 | (uint32_t)value;
        return HTTP_RULE_NONE;
    }
    if (f->digits == 0)
        return HTTP_RULE_BAD_CHUNK_SIZE;
    if (c == ';' || c == ' ' || c == '\t')
        return HTTP_RULE_CHUNK_EXTENSION;
    if (c != '\r')
        return c == '\n' ? HTTP_RULE_BARE_LF : HTTP_RULE_BAD_CHUNK_SIZE;
    f->state = FRAMING_SIZE_LF;
    return HTTP_RULE_NONE;
}

static enum http_rule at_size_end(struct http_framing *f, const struct http_limits *limits, char c)
{
    if (c != '\n')
        return HTTP_RULE_BARE_CR;
    if (f->body_bytes + f->size > limits->body_bytes_max)
        return HTTP_RULE_BODY_TOO_LARGE;
    f->left = f->size;
    f->state = f->size ? FRAMING_DATA : FRAMING_TRAILERS;
    if (f->size == 0)
        http_scan_init_trailers(&f->trailers);
    f->size = 0;
    f->digits = 0;
    return HTTP_RULE_NONE;
}

/* One byte that belongs to the framing of a chunk. */
static enum http_rule step(struct http_framing *f, const struct http_limits *limits, char c)
{
    switch ((enum framing_state)f->state) {
    case FRAMING_SIZE:
        return in_size(f, c);
    case FRAMING_SIZE_LF:
        return at_size_end(f, limits, c);
    case FRAMING_DATA_CR:
        f->state = FRAMING_DATA_LF;
        return c == '\r' ? HTTP_RULE_NONE : HTTP_RULE_BAD_CHUNK_END;
    case FRAMING_DATA_LF:
        f->state = FRAMING_SIZE;
        return c == '\n' ? HTTP_RULE_NONE : HTTP_RULE_BAD_CHUNK_END;
    case FRAMING_LENGTH:
    case FRAMING_DATA:
    case FRAMING_TRAILERS:
    case FRAMING_DONE:
        break; /* these read no single bytes */
    }
    base_assert_failed("a state that reads single bytes", __FILE__, __LINE__);
}

static bool reads_single_bytes(const struct http_framing *f)
{
    return f->state == FRAMING_SIZE || f->state == FRAMING_SIZE_LF || f->state == FRAMING_DATA_CR ||
           f->state == FRAMING_DATA_LF;
}

static void take_data(struct http_framing *f, const char *data, size_t len, size_t *used,
                      struct http_str *piece)
{
    size_t n = len < f->left ? len : (size_t)f->left;
    *piece = (struct http_str){ data, n };
    *used = n;
    f->left -= n;
    f->body_bytes += n;
    if (f->left == 0)
        f->state = f->state == FRAMING_DATA ? FRAMING_DATA_CR : FRAMING_DONE;
}

enum http_parse http_framing_feed(struct http_framing *f, const struct http_limits *limits,
                                  const char *data, size_t len, size_t *used,
                                  struct http_str *piece)
{
    *used = 0;
    *piece = (struct http_str){ data, 0 };
    if (f->state == FRAMING_TRAILERS) {
        enum http_parse rc = http_scan_feed(&f->trailers, limits, data, len, used);
        f->rule = f->trailers.rule;
        if (rc == HTTP_PARSE_DONE)
            f->state = FRAMING_DONE;
        return rc;
    }
    while (*used < len && reads_single_bytes(f)) {
        f->rule = step(f, limits, data[(*used)++]);
        if (f->rule)
            return HTTP_PARSE_REFUSED;
    }
    if (*used < len && (f->state == FRAMING_LENGTH || f->state == FRAMING_DATA)) {
        size_t n;
        take_data(f, data + *used, len - *used, &n, piece);
        *used += n;
    }
    return f->state == FRAMING_DONE ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
}
