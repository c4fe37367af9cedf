/*
 * Listening on TCP addresses and Unix sockets, and accepting.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "http/http_int.h"

enum {
    BACKLOG = 1024,
    UNIX_MODE = 0660
};

struct listener {
    struct http_link link; /* first, in server->listeners */
    struct http_server *server;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe; /* is_unix */
    } io;
    bool is_waiting; /* a connection could not be accepted yet */
    bool is_unix;
    dev_t device; /* of the socket file that was made */
    ino_t inode;
    char path[sizeof(struct sockaddr_un){ 0 }.sun_path]; /* of the socket file */
};

/* ---- accepting ---- */

static void accept_waiting(struct http_server *server);

static void on_spare_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;
    server->spare_is_busy = false;
    if (!server->is_draining)
        accept_waiting(server);
    http_server_handle_closed(server);
}

/* libuv offers no further connection until this one is accepted, so it is, and dropped. */
static void accept_and_drop(struct listener *l)
{
    struct http_server *server = l->server;
    l->is_waiting = server->spare_is_busy;
    if (server->spare_is_busy)
        return;
    server->spare_is_busy = true;
    int rc = uv_tcp_init(server->loop, &server->spare);
    ASSERT(rc == 0);
    server->spare.data = server;
    server->handle_count++;
    uv_accept(&l->io.stream, (uv_stream_t *)&server->spare);
    uv_close((uv_handle_t *)&server->spare, on_spare_closed);
}

static void accept_one(struct listener *l)
{
    l->is_waiting = false;
    if (http_conn_accept(l->server, &l->io.stream, l->is_unix))
        accept_and_drop(l);
}

static void accept_waiting(struct http_server *server)
{
    struct http_link *ring = &server->listeners;
    for (struct http_link *at = ring->next; at != ring; at = at->next) {
        struct listener *l = (struct listener *)at;
        if (l->is_waiting)
            accept_one(l);
    }
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *l = stream->data;
    if (status < 0)
        log_line(LOG_WARN, "event=http.accept error=\"%s\"", uv_strerror(status));
    else
        accept_one(l);
}

/* ---- a listener's life ---- */

static struct listener *listener_create(struct http_server *server, bool is_unix)
{
    struct listener *l = mem_calloc(MEM_HTTP, 1, sizeof *l);
    if (!l)
        return NULL;
    int rc = is_unix ? uv_pipe_init(server->loop, &l->io.pipe, 0)
                     : uv_tcp_init(server->loop, &l->io.tcp);
    ASSERT(rc == 0);
    l->server = server;
    l->is_unix = is_unix;
    l->io.handle.data = l;
    link_insert(&server->listeners, &l->link);
    server->handle_count++;
    return l;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    struct http_server *server = l->server;
    mem_free(l);
    http_server_handle_closed(server);
}

/* The file may be another server's by now. */
static void unlink_own(const struct listener *l)
{
    struct stat st;
    if (l->inode && lstat(l->path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
        unlink(l->path);
}

static void listener_close(struct listener *l)
{
    unlink_own(l);
    link_remove(&l->link);
    uv_close(&l->io.handle, on_listener_closed);
}

/* Those whom the kernel has connected already shall hear a word, not a reset. */
static void turn_away_backlog(const struct listener *l)
{
    uv_os_fd_t listening;
    if (uv_fileno(&l->io.handle, &listening))
        return;
    for (int i = 0; i < BACKLOG; i++) {
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        http_conn_turn_away(l->server, fd, l->is_unix);
    }
}

void http_listeners_close(struct http_server *server)
{
    while (!link_is_alone(&server->listeners)) {
        struct listener *l = (struct listener *)server->listeners.next;
        turn_away_backlog(l);
        listener_close(l);
    }
}

/* ---- TCP ---- */

static int bind_and_listen(struct listener *l, const struct sockaddr *address)
{
    /* [::] must not take 0.0.0.0 as well: both can be asked for, one by one. */
    unsigned flags = address->sa_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0;
    int rc = uv_tcp_bind(&l->io.tcp, address, flags);
    if (rc == 0)
        rc = uv_listen(&l->io.stream, BACKLOG, on_connection);
    return rc;
}

static int bound_port(const struct listener *l, uint16_t *port_out)
{
    struct sockaddr_storage name;
    int len = sizeof name;
    int rc = uv_tcp_getsockname(&l->io.tcp, (struct sockaddr *)&name, &len);
    if (rc)
        return rc;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    if (name.ss_family == AF_INET6) {
        memcpy(&in6, &name, sizeof in6);
        *port_out = ntohs(in6.sin6_port);
    } else {
        memcpy(&in4, &name, sizeof in4);
        *port_out = ntohs(in4.sin_port);
    }
    return 0;
}

static const char *advice_for(int uv_rc)
{
    switch (uv_rc) {
    case UV_EADDRINUSE:
        return "; choose another --port";
    case UV_EACCES:
        return "; ports below 1024 need a privilege, choose another --port";
    case UV_EADDRNOTAVAIL:
        return "; this machine does not have that address, choose another --host";
    default:
        return "";
    }
}

static enum base_err describe_failure(struct base_err_info *info, bool is_v6, const char *address,
                                      unsigned port, int uv_rc)
{
    enum base_err rc =
        base_err_set(info, E_IO, "cannot listen on %s%s%s:%u: %s%s", is_v6 ? "[" : "", address,
                     is_v6 ? "]" : "", port, uv_strerror(uv_rc), advice_for(uv_rc));
    if (info)
        info->sys_errno = -uv_rc; /* libuv's numbers are negated errno on Unix */
    return rc;
}

enum base_err http_server_listen(struct http_server *server, const char *address, uint16_t port,
                                 uint16_t *port_out, struct base_err_info *info)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } name;
    if (port_out)
        *port_out = 0;
    if (server->is_draining)
        return base_err_set(info, E_CLOSED, "the server takes no new connections");
    if (uv_ip4_addr(address, port, &name.in4) && uv_ip6_addr(address, port, &name.in6))
        return base_err_set(info, E_INVALID, "\"%s\" is not a numeric address, such as 127.0.0.1",
                            address);
    struct listener *l = listener_create(server, false);
    if (!l)
        return base_err_set(info, E_NOMEM, "no memory to listen on %s", address);
    uint16_t bound = 0;
    int rc = bind_and_listen(l, &name.any);
    if (rc == 0)
        rc = bound_port(l, &bound);
    if (rc) {
        listener_close(l);
        return describe_failure(info, name.any.sa_family == AF_INET6, address, port, rc);
    }
    if (port_out)
        *port_out = bound;
    return OK;
}

/* ---- Unix sockets ---- */

static enum base_err unix_name(const char *path, struct sockaddr_un *name,
                               struct base_err_info *info)
{
    *name = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof name->sun_path)
        return base_err_set(info, E_INVALID, "a socket's path has 1 to %zu bytes, not %zu",
                            sizeof name->sun_path - 1, len);
    memcpy(name->sun_path, path, len);
    return OK;
}

/* Removes the socket file of a server that is dead; OK also if there is none. */
static enum base_err remove_stale(const struct sockaddr_un *name, struct base_err_info *info)
{
    const char *path = name->sun_path;
    struct stat st;
    if (lstat(path, &st) != 0)
        return OK;
    if (!S_ISSOCK(st.st_mode))
        return base_err_set(info, E_EXISTS, "cannot listen on %s: it exists and is no socket",
                            path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return base_err_set_errno(info, E_IO, errno, "cannot listen on %s", path);
    int rc = connect(fd, (const struct sockaddr *)name, sizeof *name);
    int why = errno;
    close(fd);
    /* EAGAIN: its backlog is full. */
    if (rc == 0 || why == EAGAIN)
        return base_err_set(info, E_EXISTS, "cannot listen on %s: another server does", path);
    if (why != ECONNREFUSED && why != ENOENT)
        return base_err_set_errno(info, E_IO, why, "cannot listen on %s", path);
    if (why == ECONNREFUSED && unlink(path) != 0 && errno != ENOENT)
        return base_err_set_errno(info, E_IO, errno, "cannot replace %s", path);
    return OK;
}

/*
 * Binds by hand: libuv would cut a long path short, and unlink whatever is there at the end.
 * Nobody can connect before uv_listen, so the mode is right from the start.
 */
static enum base_err unix_bind(struct listener *l, const struct sockaddr_un *name,
                               struct base_err_info *info)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;
    if (fd < 0)
        return base_err_set_errno(info, E_IO, errno, "cannot listen on %s", name->sun_path);
    if (bind(fd, (const struct sockaddr *)name, sizeof *name) != 0) {
        base_err_set_errno(info, E_IO, errno, "cannot listen on %s", name->sun_path);
        close(fd);
        return E_IO;
    }
    if (lstat(name->sun_path, &st) == 0) {
        memcpy(l->path, name->sun_path, sizeof l->path);
        l->device = st.st_dev;
        l->inode = st.st_ino;
    }
    int rc = uv_pipe_open(&l->io.pipe, fd);
    if (rc) {
        close(fd);
        return base_err_set_errno(info, E_IO, -rc, "cannot listen on %s", name->sun_path);
    }
    if (chmod(name->sun_path, UNIX_MODE) != 0)
        return base_err_set_errno(info, E_IO, errno, "cannot set the mode of %s", name->sun_path);
    rc = uv_listen(&l->io.stream, BACKLOG, on_connection);
    return rc ? base_err_set_errno(info, E_IO, -rc, "cannot listen on %s", name->sun_path) : OK;
}

enum base_err http_server_listen_unix(struct http_server *server, const char *path,
                                      struct base_err_info *info)
{
    struct sockaddr_un name;
    if (server->is_draining)
        return base_err_set(info, E_CLOSED, "the server takes no new connections");
    enum base_err rc = unix_name(path, &name, info);
    if (!rc)
        rc = remove_stale(&name, info);
    if (rc)
        return rc;
    struct listener *l = listener_create(server, true);
    if (!l)
        return base_err_set(info, E_NOMEM, "no memory to listen on %s", path);
    rc = unix_bind(l, &name, info);
    if (rc)
        listener_close(l);
    return rc;
}
