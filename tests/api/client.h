#ifndef TESTS_API_CLIENT_H
#define TESTS_API_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* A blocking HTTP client on one connection. A read that takes 20 s fails the test. */
struct client {
    int fd;
    struct base_buf in; /* read, not yet consumed */
};

struct answer {
    int status;
    struct base_buf head; /* status line and header fields */
    struct base_buf body; /* chunks joined */
};

/* `receive_bytes` bounds the socket's receive buffer; 0: as the system does. */
void client_open(struct client *c, uint16_t port, int receive_bytes);
void client_open_unix(struct client *c, const char *path);
void client_close(struct client *c);

/* `fields` are extra header lines, each with its CRLF. */
void client_send(struct client *c, const char *method, const char *path, const char *fields,
                 const char *body);

/* Sends the text as it is. */
void client_send_text(struct client *c, const char *text);

/* POST /v1/chat/completions with Content-Type: application/json. */
void client_chat(struct client *c, const char *body);

/* Reads on until what has come holds `text`; nothing is consumed. */
void client_wait_for(struct client *c, const char *text);

/* Reads on until something has come. */
void client_wait_more(struct client *c);

/* Reads a whole answer. `is_head`: it has no body. Gives: answer_fini. */
void client_read(struct client *c, bool is_head, struct answer *out);

/* One request on a connection of its own. Gives: answer_fini. */
void client_once(uint16_t port, const char *method, const char *path, const char *fields,
                 const char *body, struct answer *out);
void client_once_chat(uint16_t port, const char *body, struct answer *out);

/* A POST and everything that comes until the connection ends; uses no counted memory. */
void client_raw(struct client *c, const char *path, const char *body, char *out, size_t size);

void answer_fini(struct answer *a);

/* The value of a header field up to its line end, copied to `out`; false if absent. */
bool answer_field(const struct answer *a, const char *name, char *out, size_t size);

#endif
