#ifndef TESTS_HTTP_RIG_H
#define TESTS_HTTP_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http.h"
#include "http/rig_tls.h"

/*
 * A server on 127.0.0.1 in a thread of its own, with a handler that knows a few paths, and a
 * blocking client for it. One rig at a time. Everything fails the running test itself.
 *
 * With RIG_TLS=1 in the environment server and clients speak TLS.
 *
 *   /hello       answers "hello\n" at once
 *   /echo        answers the request's body at once
 *   /where       answers "METHOD path|query"
 *   /empty       answers 204
 *   /bytes?N     answers N bytes
 *   /burst       streams "one", "two" and the end, all at once
 *   /hold        keeps the exchange; the test goes on with it
 *   /stream      the same, with the stream begun
 *   /flood?N     streams N bytes, as fast as the client takes them
 *   /abort       cuts the connection
 *   /peer        answers who asks, and whether over a Unix socket
 *   /count       answers how many requests have come
 *   /denied      is not admitted with a body: 401
 */
struct rig_counts {
    int requests;
    int gone;
    int slow; /* of these, those that did not read */
    int drained;
    int held; /* exchanges waiting to be answered */
    int closed;
    size_t pending_max; /* the most that a flood had pending */
};

/* Small time limits make a test quick; options may be NULL. */
void rig_start(const struct http_options *options);

/* Closes the server, ends the thread and sees that nothing is left. */
void rig_stop(void);

uint16_t rig_port(void);

/* Whether this run is over TLS, for what is promised of plain connections only. */
bool rig_is_tls(void);

/* Runs `run` in the loop's thread and waits for its end. */
void rig_call(void (*run)(void *arg), void *arg);

/* In the loop's thread. */
struct http_server *rig_server(void);
struct http_exchange *rig_take_held(void); /* the oldest */

/* Waits until the count reaches `at_least`, and gives all of them. */
struct rig_counts rig_wait(size_t count_offset, int at_least);
#define rig_wait_for(field, at_least) rig_wait(offsetof(struct rig_counts, field), at_least)
struct rig_counts rig_counts_now(void);

/* Answers the oldest held exchange with `text`, from the loop's thread. */
void rig_respond_held(const char *text);

struct http_stats rig_stats(void);

/* Raises the limit of open files as far as allowed; gives what it is then. */
size_t rig_allow_files(size_t wanted);

/* Memory of this process that is in RAM. */
long rig_resident_bytes(void);

/* ---- client ---- */

struct client {
    int fd;
    SSL *ssl;  /* NULL: plain */
    char *buf; /* received and not used yet */
    size_t len;
    size_t cap;
    bool is_eof;
    bool is_reset;
};

struct reply {
    int status;
    char head[4096]; /* status line and headers, a C string */
    char *body;      /* a C string as well */
    size_t body_len;
};

struct client client_open(void);
struct client client_open_narrow(void); /* with small socket buffers */
struct client client_open_plain(void);  /* without TLS in any case */
struct client client_open_unix(const char *path);

/* A client on a socket that the test has connected itself, plain. */
struct client client_of(int fd);
/* False if the server does not shake hands. */
bool client_try_open_narrow(struct client *c);

void client_close(struct client *c);
void client_reset(struct client *c);

void client_send(struct client *c, const void *data, size_t len);
void client_send_text(struct client *c, const char *text);

/* False if the server takes no more. */
bool client_try_send(struct client *c, const void *data, size_t len);

/* Sends what the server takes within the time, and gives its length. */
size_t client_send_some(struct client *c, const char *data, size_t len, int wait_ms);

/* Sends all of it while it receives, as long as the server takes it. */
void client_exchange(struct client *c, const char *data, size_t len);

/* Receives something; false at the end. */
bool client_receive(struct client *c);

/* Whether something (or the end) arrives within the time. */
bool client_is_readable(struct client *c, int wait_ms);

/* Reads one answer. `is_head`: the answer to HEAD. The reply is valid until the next one. */
struct reply *client_reply(struct client *c, bool is_head);

/* Exactly these bytes come next. */
void client_expect(struct client *c, const char *text);

/* Nothing but the end comes, orderly or not. */
void client_expect_eof(struct client *c);
void client_expect_end(struct client *c);

/* The value of a header in a reply, or NULL. Valid until the next call. */
const char *reply_header(const struct reply *reply, const char *name);

#endif
