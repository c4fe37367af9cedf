/* The rig's client. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/rig.h"

enum {
    WAIT_MS = 20000
};

struct client client_of(int fd)
{
    ck_assert_int_ge(fd, 0);
    return (struct client){ .fd = fd };
}

static struct client open_with(int buffer_bytes)
{
    struct client c = client_of(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (buffer_bytes)
        setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(rig_port()) };
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(c.fd, (struct sockaddr *)&name, sizeof name), 0);
    return c;
}

static bool shake_hands(struct client *c)
{
    c->ssl = rig_is_tls() ? tls_try_connect(c->fd, 0, NULL) : NULL;
    return c->ssl || !rig_is_tls();
}

struct client client_open(void)
{
    struct client c = open_with(0);
    ck_assert(shake_hands(&c));
    return c;
}

bool client_try_open_narrow(struct client *c)
{
    *c = open_with(4096);
    return shake_hands(c);
}

struct client client_open_narrow(void)
{
    struct client c;
    ck_assert(client_try_open_narrow(&c));
    return c;
}

struct client client_open_plain(void)
{
    return open_with(0);
}

struct client client_open_unix(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    struct client c = client_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ck_assert_int_eq(connect(c.fd, (struct sockaddr *)&name, sizeof name), 0);
    return c;
}

void client_close(struct client *c)
{
    SSL_free(c->ssl);
    close(c->fd);
    free(c->buf);
    *c = (struct client){ .fd = -1 };
}

void client_reset(struct client *c)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    client_close(c);
}

bool client_try_send(struct client *c, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = c->ssl ? SSL_write(c->ssl, at, (int)len) : send(c->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

void client_send(struct client *c, const void *data, size_t len)
{
    ck_assert(client_try_send(c, data, len));
}

void client_send_text(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

static bool receive_now(struct client *c)
{
    if (c->cap - c->len < 65536) {
        c->cap = c->cap * 2 + 65536;
        c->buf = realloc(c->buf, c->cap + 1);
        ck_assert_ptr_nonnull(c->buf);
    }
    ssize_t n =
        c->ssl ? SSL_read(c->ssl, c->buf + c->len, 65536) : recv(c->fd, c->buf + c->len, 65536, 0);
    if (n < 0 && c->ssl && SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ)
        return true;
    if (n <= 0) {
        c->is_eof = true;
        c->is_reset = c->ssl ? !(SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN) : n < 0;
        return false;
    }
    c->len += (size_t)n;
    return true;
}

static int set_blocking(struct client *c, bool is_blocking)
{
    int flags = fcntl(c->fd, F_GETFL);
    return fcntl(c->fd, F_SETFL, is_blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

/* Records of TLS itself make a socket readable, but are nothing to read. */
static bool has_only_records(struct client *c)
{
    char byte;
    set_blocking(c, false);
    int n = SSL_peek(c->ssl, &byte, 1);
    set_blocking(c, true);
    return n <= 0 && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ;
}

bool client_is_readable(struct client *c, int wait_ms)
{
    struct pollfd p = { .fd = c->fd, .events = POLLIN };
    do {
        if (c->ssl && SSL_pending(c->ssl) > 0)
            return true;
        if (poll(&p, 1, wait_ms) <= 0)
            return false;
    } while (c->ssl && has_only_records(c));
    return true;
}

bool client_receive(struct client *c)
{
    if (c->is_eof)
        return false;
    if (!client_is_readable(c, WAIT_MS))
        ck_abort_msg("nothing came in time");
    return receive_now(c);
}

/* Some of it, or 0 if the server takes nothing now. The socket does not block. */
static size_t send_now(struct client *c, const char *data, size_t len)
{
    ssize_t n = c->ssl ? SSL_write(c->ssl, data, (int)len) : send(c->fd, data, len, MSG_NOSIGNAL);
    if (n > 0)
        return (size_t)n;
    ck_assert(c->ssl ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_WRITE : errno == EAGAIN);
    return 0;
}

size_t client_send_some(struct client *c, const char *data, size_t len, int wait_ms)
{
    struct pollfd p = { .fd = c->fd, .events = POLLOUT };
    size_t n = 0;
    set_blocking(c, false);
    while (n == 0 && poll(&p, 1, wait_ms) > 0)
        n = send_now(c, data, len);
    set_blocking(c, true);
    return n;
}

void client_exchange(struct client *c, const char *data, size_t len)
{
    set_blocking(c, false);
    while (len > 0) {
        struct pollfd p = { .fd = c->fd, .events = POLLIN | POLLOUT };
        ck_assert_int_gt(poll(&p, 1, WAIT_MS), 0);
        if (p.revents & POLLIN)
            ck_assert(receive_now(c));
        if (!(p.revents & POLLOUT))
            continue;
        size_t n = send_now(c, data, len);
        data += n;
        len -= n;
    }
    set_blocking(c, true);
}

static void use(struct client *c, size_t n)
{
    memmove(c->buf, c->buf + n, c->len - n);
    c->len -= n;
}

static void need(struct client *c, size_t n)
{
    while (c->len < n)
        ck_assert_msg(client_receive(c), "the end came too early");
}

void client_expect(struct client *c, const char *text)
{
    size_t len = strlen(text);
    need(c, len);
    c->buf[c->len] = '\0';
    if (memcmp(c->buf, text, len) != 0)
        ck_abort_msg("expected '%s', got '%s'", text, c->buf);
    use(c, len);
}

void client_expect_end(struct client *c)
{
    if (client_receive(c) || c->len > 0) {
        c->buf[c->len] = '\0';
        ck_abort_msg("expected the end, got '%s'", c->buf);
    }
}

void client_expect_eof(struct client *c)
{
    client_expect_end(c);
    ck_assert(!c->is_reset);
}

/* The length up to and with `mark`. */
static size_t need_mark(struct client *c, const char *mark)
{
    for (;;) {
        char *at = c->len ? memmem(c->buf, c->len, mark, strlen(mark)) : NULL;
        if (at)
            return (size_t)(at - c->buf) + strlen(mark);
        ck_assert_msg(client_receive(c), "the end came too early");
    }
}

static void add_body(struct client *c, struct reply *r, size_t n)
{
    need(c, n);
    r->body = realloc(r->body, r->body_len + n + 1);
    ck_assert_ptr_nonnull(r->body);
    memcpy(r->body + r->body_len, c->buf, n);
    r->body_len += n;
    r->body[r->body_len] = '\0';
    use(c, n);
}

static void read_chunks(struct client *c, struct reply *r)
{
    for (;;) {
        size_t line = need_mark(c, "\r\n");
        size_t n = strtoul(c->buf, NULL, 16);
        use(c, line);
        add_body(c, r, n);
        client_expect(c, "\r\n");
        if (n == 0)
            return;
    }
}

const char *reply_header(const struct reply *reply, const char *name)
{
    static char value[256];
    size_t len = strlen(name);
    for (const char *at = reply->head; (at = strstr(at, "\r\n")) != NULL;) {
        at += 2;
        if (strncasecmp(at, name, len) != 0 || at[len] != ':')
            continue;
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at + len + 2, "\r"), at + len + 2);
        return value;
    }
    return NULL;
}

struct reply *client_reply(struct client *c, bool is_head)
{
    static struct reply r;
    size_t len = need_mark(c, "\r\n\r\n");
    ck_assert_uint_lt(len, sizeof r.head);
    memcpy(r.head, c->buf, len);
    r.head[len] = '\0';
    use(c, len);
    r.body_len = 0;
    r.body = realloc(r.body, 1);
    ck_assert_ptr_nonnull(r.body);
    r.body[0] = '\0';
    ck_assert_int_eq(sscanf(r.head, "HTTP/1.1 %d ", &r.status), 1);
    const char *text = reply_header(&r, "Content-Length");
    size_t length = text ? strtoul(text, NULL, 10) : 0;
    ck_assert(!text || !reply_header(&r, "Transfer-Encoding"));
    if (is_head)
        return &r;
    if (reply_header(&r, "Transfer-Encoding"))
        read_chunks(c, &r);
    else
        add_body(c, &r, length);
    return &r;
}
