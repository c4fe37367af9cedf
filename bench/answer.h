#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads the answers of an HTTP/1.1 connection from bytes in any pieces: bodies by length, by
 * chunks, or up to the end of the connection. 1xx answers are passed over.
 */
enum {
    ANSWER_LINE_MAX = 8192,
    ANSWER_FIELDS_MAX = 256,
    ANSWER_RETRY_MS_MAX = 3600000
};

enum answer_state {
    ANSWER_STATUS,
    ANSWER_FIELDS,
    ANSWER_BODY,      /* `left` bytes of it */
    ANSWER_BODY_REST, /* all bytes up to the end of the connection */
    ANSWER_CHUNK_SIZE,
    ANSWER_CHUNK, /* `left` bytes of it */
    ANSWER_CHUNK_END,
    ANSWER_TRAILERS,
    ANSWER_DONE,
    ANSWER_BAD
};

struct answer {
    enum answer_state state;
    int status;
    bool is_chunked;
    bool is_event_stream;
    bool closes;      /* the connection is not for another request */
    int64_t retry_ms; /* Retry-After or the finer retry-after-ms; -1: neither */
    int64_t length;   /* Content-Length, -1: none */
    int64_t left;
    int field_count;
    size_t line_len;
    char line[ANSWER_LINE_MAX];
};

typedef void (*answer_body_fn)(void *arg, const char *data, size_t len);

/* Before each answer. */
void answer_start(struct answer *a);

/*
 * Takes bytes up to the end of the answer and gives how many that were; what is behind belongs
 * to nobody. `body` is called with each piece of the body. The state afterwards tells: DONE,
 * BAD (no HTTP, or over a limit), or wants more.
 */
size_t answer_feed(struct answer *a, const char *data, size_t len, answer_body_fn body, void *arg);

/* The connection has ended. Whether the answer is complete. */
bool answer_end(struct answer *a);

#endif
