#include "sse.h"

#include <string.h>

void sse_start(struct sse *s)
{
    s->line_len = 0;
    s->data_len = 0;
    s->has_data = false;
    s->overflows = false;
    s->too_long = 0;
}

static void dispatch(struct sse *s, sse_event_fn event, void *arg)
{
    if (s->overflows) {
        s->too_long++;
    } else if (s->has_data) {
        s->data[s->data_len] = '\0';
        event(arg, s->data, s->data_len);
    }
    s->data_len = 0;
    s->has_data = false;
    s->overflows = false;
}

static void add_data(struct sse *s, const char *text, size_t len)
{
    size_t joint = s->has_data ? 1 : 0;
    if (s->data_len + joint + len > SSE_DATA_MAX) {
        s->overflows = true;
        return;
    }
    if (joint)
        s->data[s->data_len++] = '\n';
    memcpy(s->data + s->data_len, text, len);
    s->data_len += len;
    s->has_data = true;
}

static void take_line(struct sse *s, sse_event_fn event, void *arg)
{
    size_t len = s->line_len;
    if (len > 0 && s->line[len - 1] == '\r')
        len--;
    s->line_len = 0;
    if (len == 0) {
        dispatch(s, event, arg);
        return;
    }
    if (len < 5 || memcmp(s->line, "data:", 5) != 0)
        return;
    size_t start = len > 5 && s->line[5] == ' ' ? 6 : 5;
    add_data(s, s->line + start, len - start);
}

void sse_feed(struct sse *s, const char *bytes, size_t len, sse_event_fn event, void *arg)
{
    while (len > 0) {
        const char *end = memchr(bytes, '\n', len);
        size_t n = end ? (size_t)(end - bytes) : len;
        if (s->line_len + n > sizeof s->line) {
            s->overflows = true;
        } else {
            memcpy(s->line + s->line_len, bytes, n);
            s->line_len += n;
        }
        if (!end)
            return;
        take_line(s, event, arg);
        bytes += n + 1;
        len -= n + 1;
    }
}
