#include "server/rig.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/thread.h"
#include "http/rig_tls.h"
#include "server/server.h"

enum {
    WAIT_S = 20,
    LOG_BYTES_MAX = 1024 * 1024
};

static struct {
    struct base_lock lock;
    struct base_cond cond;
    struct base_thread thread;
    const struct config *config;

    /* under lock */
    char log[LOG_BYTES_MAX]; /* lines since rig_start */
    size_t log_len;
    bool has_ended;
    enum base_err rc;
    struct base_err_info info;
} g_rig;

static void on_line(enum log_level level, const char *line)
{
    (void)level;
    lock_take(&g_rig.lock);
    size_t left = sizeof g_rig.log - g_rig.log_len;
    int n = snprintf(g_rig.log + g_rig.log_len, left, "%s\n", line);
    g_rig.log_len += (size_t)n < left ? (size_t)n : 0; /* a full log counts no further */
    cond_broadcast(&g_rig.cond);
    lock_give(&g_rig.lock);
}

static void *run(void *arg)
{
    (void)arg;
    struct base_err_info info = { 0 };
    enum base_err rc = server_run(g_rig.config, &info);
    lock_take(&g_rig.lock);
    g_rig.rc = rc;
    g_rig.info = info;
    g_rig.has_ended = true;
    cond_broadcast(&g_rig.cond);
    lock_give(&g_rig.lock);
    return NULL;
}

static unsigned count_locked(const char *begin)
{
    unsigned count = 0;
    for (const char *at = g_rig.log; (at = strstr(at, begin)) != NULL; at++)
        count += at == g_rig.log || at[-1] == '\n';
    return count;
}

static bool wait_locked(const char *begin, unsigned count)
{
    uint64_t deadline_ns = clock_now_ns(&base_clock_monotonic) + WAIT_S * UINT64_C(1000000000);
    bool in_time = true;
    while (count_locked(begin) < count && !g_rig.has_ended && in_time)
        in_time = cond_wait_until(&g_rig.cond, &g_rig.lock, deadline_ns);
    return in_time;
}

struct config *rig_config(const char *path)
{
    const struct config_sources sources = { .file = path };
    static struct config_report report;
    struct config *config;
    config_report_init(&report);
    enum base_err rc = config_load(&sources, &config, &report);
    ck_assert_msg(rc == OK, "%s", report.errors[0]);
    return config;
}

void rig_start(const struct config *config)
{
    memset(&g_rig, 0, sizeof g_rig);
    lock_init(&g_rig.lock, LOCK_RANK_TEAM);
    cond_init(&g_rig.cond);
    g_rig.config = config;
    log_set_sink(on_line, LOG_INFO);
    ck_assert_int_eq(thread_start(&g_rig.thread, "server", run, NULL), OK);
    lock_take(&g_rig.lock);
    bool in_time = wait_locked("event=server.ready", 1);
    lock_give(&g_rig.lock);
    ck_assert(in_time);
}

unsigned rig_count(const char *begin)
{
    lock_take(&g_rig.lock);
    unsigned count = count_locked(begin);
    lock_give(&g_rig.lock);
    return count;
}

bool rig_is_ready(void)
{
    return rig_count("event=server.ready") == 1;
}

void rig_wait(const char *begin, unsigned count)
{
    lock_take(&g_rig.lock);
    wait_locked(begin, count);
    unsigned reached = count_locked(begin);
    lock_give(&g_rig.lock);
    ck_assert_uint_ge(reached, count);
}

uint16_t rig_port(void)
{
    unsigned port = 0;
    lock_take(&g_rig.lock);
    const char *at = strstr(g_rig.log, "event=server.listen address=127.0.0.1 ");
    if (at)
        at = strstr(at, "port=");
    if (at)
        sscanf(at, "port=%u", &port);
    lock_give(&g_rig.lock);
    ck_assert_uint_ne(port, 0);
    return (uint16_t)port;
}

enum base_err rig_stop(struct base_err_info *info)
{
    if (rig_is_ready())
        kill(getpid(), SIGTERM);
    thread_join(&g_rig.thread);
    log_set_sink(NULL, LOG_INFO);
    ck_assert(g_rig.has_ended);
    *info = g_rig.info;
    cond_fini(&g_rig.cond);
    lock_fini(&g_rig.lock);
    return g_rig.rc;
}

/* ---- client ---- */

static ssize_t receive(int fd, SSL *ssl, char *out, size_t size)
{
    return ssl ? SSL_read(ssl, out, (int)size) : recv(fd, out, size, 0);
}

static size_t exchange(int fd, SSL *ssl, const char *request, char *out, size_t out_size)
{
    size_t len = 0;
    ssize_t n;
    if (ssl)
        SSL_write(ssl, request, (int)strlen(request));
    else
        send(fd, request, strlen(request), MSG_NOSIGNAL);
    while ((n = receive(fd, ssl, out + len, out_size - 1 - len)) > 0) {
        len += (size_t)n;
        ck_assert_uint_lt(len, out_size - 1);
    }
    return len;
}

void rig_ask(const char *request, bool is_tls, char *out, size_t out_size)
{
    struct timeval limit = { .tv_sec = WAIT_S };
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(rig_port()) };
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&name, sizeof name), 0);
    SSL *ssl = is_tls ? tls_try_connect(fd, 0, NULL) : NULL;
    size_t len = ssl || !is_tls ? exchange(fd, ssl, request, out, out_size) : 0;
    out[len] = '\0';
    SSL_free(ssl);
    close(fd);
}
