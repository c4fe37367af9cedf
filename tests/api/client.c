#include "client.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BYTES_MAX = 64 << 20
};

void client_open(struct client *c, uint16_t port, int receive_bytes)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct timeval limit = { .tv_sec = 20 };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(c->fd, 0);
    if (receive_bytes)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&address, sizeof address), 0);
    buf_init(&c->in, MEM_API, BYTES_MAX);
}

void client_open_unix(struct client *c, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    ck_assert_uint_lt(len, sizeof address.sun_path);
    memcpy(address.sun_path, path, len);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(c->fd, 0);
    ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&address, sizeof address), 0);
    buf_init(&c->in, MEM_API, BYTES_MAX);
}

void client_close(struct client *c)
{
    close(c->fd);
    buf_fini(&c->in);
}

static void send_all(const struct client *c, const char *data, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(c->fd, data + sent, len - sent, MSG_NOSIGNAL);
        ck_assert_int_gt(n, 0);
        sent += (size_t)n;
    }
}

void client_send_text(struct client *c, const char *text)
{
    send_all(c, text, strlen(text));
}

void client_send(struct client *c, const char *method, const char *path, const char *fields,
                 const char *body)
{
    struct base_buf out;
    buf_init(&out, MEM_API, BYTES_MAX);
    buf_printf(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, path, fields);
    if (body)
        buf_printf(&out, "Content-Length: %zu\r\n", strlen(body));
    ck_assert_int_eq(buf_printf(&out, "\r\n%s", body ? body : ""), OK);
    send_all(c, out.data, out.len);
    buf_fini(&out);
}

void client_chat(struct client *c, const char *body)
{
    client_send(c, "POST", "/v1/chat/completions", "Content-Type: application/json\r\n", body);
}

void client_wait_more(struct client *c)
{
    char bytes[16384];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    ck_assert_msg(n > 0, "no more bytes behind: %s", c->in.data ? c->in.data : "");
    ck_assert_int_eq(buf_append(&c->in, bytes, (size_t)n), OK);
}

void client_wait_for(struct client *c, const char *text)
{
    while (!c->in.data || !strstr(c->in.data, text))
        client_wait_more(c);
}

/* Moves the first `len` bytes of what was read. */
static void take(struct client *c, size_t len, struct base_buf *out)
{
    while (c->in.len < len)
        client_wait_more(c);
    ck_assert_int_eq(buf_append(out, c->in.data, len), OK);
    buf_consume(&c->in, len);
}

static void take_line(struct client *c, struct base_buf *out)
{
    client_wait_for(c, "\r\n");
    take(c, (size_t)(strstr(c->in.data, "\r\n") - c->in.data) + 2, out);
}

static void read_chunks(struct client *c, struct base_buf *body)
{
    struct base_buf line;
    size_t size;
    buf_init(&line, MEM_API, 64);
    do {
        buf_clear(&line);
        take_line(c, &line);
        size = strtoul(line.data, NULL, 16);
        take(c, size, body);
        buf_clear(&line);
        take(c, 2, &line);
        ck_assert_str_eq(line.data, "\r\n");
    } while (size);
    buf_fini(&line);
}

void client_read(struct client *c, bool is_head, struct answer *out)
{
    char value[32];
    buf_init(&out->head, MEM_API, BYTES_MAX);
    buf_init(&out->body, MEM_API, BYTES_MAX);
    client_wait_for(c, "\r\n\r\n");
    take(c, (size_t)(strstr(c->in.data, "\r\n\r\n") - c->in.data) + 4, &out->head);
    ck_assert_int_eq(sscanf(out->head.data, "HTTP/1.1 %d ", &out->status), 1);
    buf_append(&out->body, "", 0);
    if (is_head)
        return;
    if (answer_field(out, "Content-Length", value, sizeof value))
        take(c, strtoul(value, NULL, 10), &out->body);
    else
        read_chunks(c, &out->body);
}

void client_once(uint16_t port, const char *method, const char *path, const char *fields,
                 const char *body, struct answer *out)
{
    struct client c;
    client_open(&c, port, 0);
    client_send(&c, method, path, fields, body);
    client_read(&c, strcmp(method, "HEAD") == 0, out);
    client_close(&c);
}

void client_once_chat(uint16_t port, const char *body, struct answer *out)
{
    client_once(port, "POST", "/v1/chat/completions", "Content-Type: application/json\r\n", body,
                out);
}

void client_raw(struct client *c, const char *path, const char *body, char *out, size_t size)
{
    char request[1024];
    int len = snprintf(request, sizeof request,
                       "POST %s HTTP/1.1\r\nHost: localhost\r\n"
                       "Connection: close\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       path, strlen(body), body);
    ck_assert_int_eq(send(c->fd, request, (size_t)len, MSG_NOSIGNAL), len);
    size_t n = 0;
    ssize_t got;
    do {
        got = recv(c->fd, out + n, size - n - 1, 0);
        n += got > 0 ? (size_t)got : 0;
        ck_assert_uint_lt(n, size - 1);
    } while (got > 0);
    ck_assert(got == 0 || errno == ECONNRESET);
    out[n] = '\0';
}

void answer_fini(struct answer *a)
{
    buf_fini(&a->head);
    buf_fini(&a->body);
}

bool answer_field(const struct answer *a, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    const char *line = strstr(a->head.data, "\r\n");
    for (; line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        const char *value = line + len + 1 + strspn(line + len + 1, " ");
        size_t n = strcspn(value, "\r");
        ck_assert_uint_lt(n, size);
        memcpy(out, value, n);
        out[n] = '\0';
        return true;
    }
    return false;
}
