#ifndef BENCH_SSE_H
#define BENCH_SSE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Server-sent events out of bytes in any pieces: the data of each event, several data lines
 * joined by line feeds. Comments and other fields are passed over. An event over SSE_DATA_MAX
 * bytes is counted in `too_long` and not told.
 */
enum {
    SSE_DATA_MAX = 16384
};

struct sse {
    size_t line_len;
    size_t data_len;
    bool has_data;
    bool overflows; /* the event that is being read */
    unsigned long too_long;
    char line[SSE_DATA_MAX + 16];
    char data[SSE_DATA_MAX + 1];
};

/* `data` is followed by a zero byte; it lasts for the call. */
typedef void (*sse_event_fn)(void *arg, const char *data, size_t len);

void sse_start(struct sse *s);
void sse_feed(struct sse *s, const char *bytes, size_t len, sse_event_fn event, void *arg);

#endif
