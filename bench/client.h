#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "answer.h"
#include "load.h"
#include "sse.h"

enum {
    CLIENT_BODY_MAX = 16384, /* of an answer that is no stream */
    CLIENT_RECEIVE_BYTES = 65536
};

/* What all clients share. */
struct client_common {
    const struct load_options *options;
    struct load_stats *stats;
    int epoll;
    size_t request_max;          /* bytes of a request at most */
    uint64_t realtime_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
    uint64_t in_flight;
    char *prompt; /* room for a prompt */
    char receive[CLIENT_RECEIVE_BYTES];
};

enum client_state {
    CLIENT_IDLE,
    CLIENT_CONNECTING,
    CLIENT_SENDING,
    CLIENT_READING
};

/* A connection, and the request that is on it. */
struct client {
    enum client_state state;
    int fd;           /* -1: none */
    uint64_t wake_ns; /* idle and not to be used before */

    char *request; /* [request_max] */
    size_t request_len;
    size_t request_sent;

    uint64_t due_ns;
    uint64_t start_ns;
    uint64_t sent_ns;       /* when the last byte was handed to the system */
    uint64_t arrival_ns;    /* of the bytes that are being read */
    uint64_t first_byte_ns; /* 0: none yet, as below */
    uint64_t first_token_ns;
    uint64_t last_token_ns;
    uint64_t token_events;
    int64_t prompt_tokens;
    int64_t completion_tokens;
    bool is_measured; /* sent after the warm-up */
    bool is_done;     /* [DONE] came */
    bool is_error;    /* an error event came */
    bool is_bad;
    char code[EVENT_CODE_MAX];

    struct answer answer;
    struct sse sse;
    size_t body_len;
    char body[CLIENT_BODY_MAX];
};

/* False if memory is refused. Gives: client_fini, also then. */
bool client_init(struct client *c, const struct client_common *common);
void client_fini(struct client *c);

/* Sends request `number` on an idle client. It may have failed, and be idle again, at once. */
void client_start(struct client *c, struct client_common *common, uint64_t number, uint64_t due_ns,
                  uint64_t now_ns);

/* The connection can be read or written (epoll, edge triggered). */
void client_ready(struct client *c, struct client_common *common);

/* Gives up what is in flight. */
void client_give_up(struct client *c, struct client_common *common);

uint64_t client_clock_ns(void);

#endif
