#include "answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    LENGTH_DIGITS_MAX = 15
};

void answer_start(struct answer *a)
{
    a->state = ANSWER_STATUS;
    a->status = 0;
    a->is_chunked = false;
    a->is_event_stream = false;
    a->closes = false;
    a->retry_ms = -1;
    a->length = -1;
    a->left = 0;
    a->field_count = 0;
    a->line_len = 0;
}

/* A whole number of at most 15 digits, -1 if it is none. */
static int64_t number(const char *text, int base)
{
    char *end;
    size_t digits = strspn(text, base == 16 ? "0123456789abcdefABCDEF" : "0123456789");
    if (digits == 0 || digits > LENGTH_DIGITS_MAX)
        return -1;
    int64_t value = strtoll(text, &end, base);
    return *end == '\0' || *end == ';' || *end == ' ' ? value : -1;
}

static enum answer_state read_status(struct answer *a)
{
    const char *line = a->line;
    if (strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ')
        return ANSWER_BAD;
    if (strspn(line + 9, "0123456789") != 3)
        return ANSWER_BAD;
    a->status = (int)strtol(line + 9, NULL, 10);
    a->closes = line[7] == '0';
    return ANSWER_FIELDS;
}

static void read_retry(struct answer *a, const char *value, int64_t unit_ms, bool is_finer)
{
    int64_t n = number(value, 10);
    if (n < 0 || (a->retry_ms >= 0 && !is_finer))
        return;
    a->retry_ms = n > ANSWER_RETRY_MS_MAX / unit_ms ? ANSWER_RETRY_MS_MAX : n * unit_ms;
}

static enum answer_state read_field(struct answer *a)
{
    char *colon = strchr(a->line, ':');
    if (!colon || ++a->field_count > ANSWER_FIELDS_MAX)
        return ANSWER_BAD;
    *colon = '\0';
    const char *name = a->line;
    const char *value = colon + 1 + strspn(colon + 1, " \t");
    if (strcasecmp(name, "Content-Length") == 0) {
        a->length = number(value, 10);
        if (a->length < 0)
            return ANSWER_BAD;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        a->is_chunked = true;
        if (strcasecmp(value, "chunked") != 0)
            return ANSWER_BAD;
    } else if (strcasecmp(name, "Content-Type") == 0) {
        a->is_event_stream = strncasecmp(value, "text/event-stream", 17) == 0;
    } else if (strcasecmp(name, "Connection") == 0) {
        a->closes = strcasecmp(value, "close") == 0;
    } else if (strcasecmp(name, "Retry-After") == 0) {
        read_retry(a, value, 1000, false);
    } else if (strcasecmp(name, "retry-after-ms") == 0) {
        read_retry(a, value, 1, true);
    }
    return ANSWER_FIELDS;
}

static enum answer_state body_begins(struct answer *a)
{
    if (a->status < 200) {
        answer_start(a);
        return ANSWER_STATUS;
    }
    if (a->status == 204 || a->status == 304)
        return ANSWER_DONE;
    if (a->is_chunked)
        return ANSWER_CHUNK_SIZE;
    if (a->length >= 0) {
        a->left = a->length;
        return a->left ? ANSWER_BODY : ANSWER_DONE;
    }
    a->closes = true;
    return ANSWER_BODY_REST;
}

static enum answer_state read_chunk_size(struct answer *a)
{
    a->left = number(a->line, 16);
    if (a->left < 0)
        return ANSWER_BAD;
    return a->left ? ANSWER_CHUNK : ANSWER_TRAILERS;
}

/* A whole line, its end cut off. */
static enum answer_state read_line(struct answer *a)
{
    bool is_empty = a->line[0] == '\0';
    if (a->state == ANSWER_STATUS)
        return read_status(a);
    if (a->state == ANSWER_FIELDS)
        return is_empty ? body_begins(a) : read_field(a);
    if (a->state == ANSWER_CHUNK_SIZE)
        return read_chunk_size(a);
    if (a->state == ANSWER_CHUNK_END)
        return is_empty ? ANSWER_CHUNK_SIZE : ANSWER_BAD;
    if (is_empty)
        return ANSWER_DONE;
    return ++a->field_count > ANSWER_FIELDS_MAX ? ANSWER_BAD : ANSWER_TRAILERS;
}

static size_t take_line(struct answer *a, const char *data, size_t len)
{
    const char *end = memchr(data, '\n', len);
    size_t n = end ? (size_t)(end - data) + 1 : len;
    if (a->line_len + n >= sizeof a->line) {
        a->state = ANSWER_BAD;
        return n;
    }
    memcpy(a->line + a->line_len, data, n);
    a->line_len += n;
    if (!end)
        return n;
    a->line_len--;
    if (a->line_len > 0 && a->line[a->line_len - 1] == '\r')
        a->line_len--;
    a->line[a->line_len] = '\0';
    a->line_len = 0;
    a->state = read_line(a);
    return n;
}

static size_t take_body(struct answer *a, const char *data, size_t len, answer_body_fn body,
                        void *arg)
{
    size_t n = len;
    if (a->state != ANSWER_BODY_REST) {
        n = (uint64_t)a->left < len ? (size_t)a->left : len;
        a->left -= (int64_t)n;
    }
    body(arg, data, n);
    if (a->state != ANSWER_BODY_REST && a->left == 0)
        a->state = a->state == ANSWER_CHUNK ? ANSWER_CHUNK_END : ANSWER_DONE;
    return n;
}

size_t answer_feed(struct answer *a, const char *data, size_t len, answer_body_fn body, void *arg)
{
    size_t used = 0;
    while (used < len && a->state != ANSWER_DONE && a->state != ANSWER_BAD) {
        bool in_body =
            a->state == ANSWER_BODY || a->state == ANSWER_BODY_REST || a->state == ANSWER_CHUNK;
        used += in_body ? take_body(a, data + used, len - used, body, arg)
                        : take_line(a, data + used, len - used);
    }
    return used;
}

bool answer_end(struct answer *a)
{
    if (a->state == ANSWER_BODY_REST)
        a->state = ANSWER_DONE;
    return a->state == ANSWER_DONE;
}
