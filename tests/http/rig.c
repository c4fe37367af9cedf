#include "http/rig.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

enum {
    WAIT_MS = 20000,
    HELD_MAX = 256,
    FLOOD_PIECE = 32 * 1024,
    FLOOD_HIGH = 256 * 1024
};

static struct {
    pthread_mutex_t mutex; /* guards counts, call */
    pthread_cond_t cond;
    struct rig_counts counts;
    void (*call)(void *arg);
    void *call_arg;
    bool is_called;

    struct base_thread thread;
    uint16_t port;

    /* loop thread */
    uv_loop_t loop;
    uv_async_t async;
    struct http_server *server;
    struct http_exchange *held[HELD_MAX];
    int held_count;
    bool is_in_call; /* inside a call of the handler into http */
} g_rig;

static char g_filler[8 * 1024 * 1024]; /* more than the kernel buffers for one socket */

/* ---- loop thread ---- */

static void count(int *counter, int by)
{
    pthread_mutex_lock(&g_rig.mutex);
    *counter += by;
    pthread_cond_broadcast(&g_rig.cond);
    pthread_mutex_unlock(&g_rig.mutex);
}

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

static void enter(void)
{
    g_rig.is_in_call = true;
}

static void leave(void)
{
    g_rig.is_in_call = false;
}

static void hold(struct http_exchange *x)
{
    if (g_rig.held_count == HELD_MAX)
        die("too many held exchanges");
    g_rig.held[g_rig.held_count++] = x;
    count(&g_rig.counts.held, 1);
}

static bool unhold(const struct http_exchange *x)
{
    for (int i = 0; i < g_rig.held_count; i++) {
        if (g_rig.held[i] != x)
            continue;
        g_rig.held_count--;
        memmove(&g_rig.held[i], &g_rig.held[i + 1],
                (size_t)(g_rig.held_count - i) * sizeof g_rig.held[0]);
        count(&g_rig.counts.held, -1);
        return true;
    }
    return false;
}

struct http_exchange *rig_take_held(void)
{
    if (g_rig.held_count == 0)
        return NULL;
    struct http_exchange *x = g_rig.held[0];
    unhold(x);
    return x;
}

struct http_server *rig_server(void)
{
    return g_rig.server;
}

/* The user pointer counts the bytes that are left to send. */
static void flood(struct http_exchange *x)
{
    size_t left = (size_t)(uintptr_t)http_exchange_user(x);
    enter();
    while (left > 0 && http_exchange_pending_bytes(x) < FLOOD_HIGH) {
        size_t n = left < FLOOD_PIECE ? left : FLOOD_PIECE;
        http_stream_write(x, g_filler, n);
        left -= n;
        size_t pending = http_exchange_pending_bytes(x);
        pthread_mutex_lock(&g_rig.mutex);
        if (pending > g_rig.counts.pending_max)
            g_rig.counts.pending_max = pending;
        pthread_mutex_unlock(&g_rig.mutex);
    }
    http_exchange_set_user(x, (void *)(uintptr_t)left);
    if (left == 0)
        http_stream_end(x);
    leave();
}

static void respond(struct http_exchange *x, int status, const void *body, size_t len)
{
    static const struct http_header type = { "Content-Type", "text/plain" };
    enter();
    http_respond(x, status, &type, 1, body, len);
    leave();
}

static void respond_where(struct http_exchange *x, const struct http_request *r)
{
    char text[512];
    int n = snprintf(text, sizeof text, "%.*s %.*s|%.*s", (int)r->method.len, r->method.data,
                     (int)r->path.len, r->path.data, (int)r->query.len, r->query.data);
    respond(x, 200, text, (size_t)n);
}

static void respond_count(struct http_exchange *x)
{
    char text[32];
    struct http_stats stats;
    http_server_stats(g_rig.server, &stats);
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)stats.requests);
    respond(x, 200, text, (size_t)n);
}

static void respond_peer(struct http_exchange *x)
{
    char text[128];
    char peer[HTTP_PEER_BYTES];
    http_exchange_peer(x, peer);
    int n = snprintf(text, sizeof text, "%s %d", peer, http_exchange_is_unix(x));
    respond(x, 200, text, (size_t)n);
}

static void stream_start(struct http_exchange *x)
{
    static const struct http_header type = { "Content-Type", "text/event-stream" };
    enter();
    http_stream_start(x, 200, &type, 1);
    leave();
}

static void burst(struct http_exchange *x)
{
    stream_start(x);
    enter();
    http_stream_write(x, "one", 3);
    http_stream_write(x, "", 0);
    http_stream_write(x, "two", 3);
    http_stream_end(x);
    leave();
}

static size_t number_of(struct http_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n = n * 10 + (size_t)(s.data[i] - '0');
    return n;
}

static void on_request(void *arg, struct http_exchange *x, const struct http_request *r)
{
    if (arg != &g_rig || g_rig.is_in_call)
        die("the handler was called from within its own call");
    count(&g_rig.counts.requests, 1);
    if (http_str_is(r->path, "/hello")) {
        respond(x, 200, "hello\n", 6);
    } else if (http_str_is(r->path, "/echo")) {
        respond(x, 200, r->body.data, r->body.len);
    } else if (http_str_is(r->path, "/empty")) {
        respond(x, 204, NULL, 0);
    } else if (http_str_is(r->path, "/bytes")) {
        respond(x, 200, g_filler, number_of(r->query));
    } else if (http_str_is(r->path, "/burst")) {
        burst(x);
    } else if (http_str_is(r->path, "/hold")) {
        hold(x);
    } else if (http_str_is(r->path, "/stream")) {
        stream_start(x);
        hold(x);
    } else if (http_str_is(r->path, "/flood")) {
        http_exchange_set_user(x, (void *)(uintptr_t)number_of(r->query));
        stream_start(x);
        flood(x);
    } else if (http_str_is(r->path, "/abort")) {
        enter();
        http_exchange_abort(x);
        leave();
    } else if (http_str_is(r->path, "/count")) {
        respond_count(x);
    } else if (http_str_is(r->path, "/peer")) {
        respond_peer(x);
    } else {
        respond_where(x, r);
    }
}

static bool on_admit(void *arg, struct http_exchange *x, const struct http_request *r)
{
    if (arg != &g_rig || g_rig.is_in_call || r->body.len)
        die("admit was called when it must not be");
    if (!http_str_is(r->path, "/denied"))
        return true;
    respond(x, 401, "denied", 6);
    return false;
}

static void on_gone(void *arg, struct http_exchange *x)
{
    if (arg != &g_rig || g_rig.is_in_call)
        die("gone was called from within a call of the handler");
    unhold(x);
    count(&g_rig.counts.slow, http_exchange_is_slow(x));
    count(&g_rig.counts.gone, 1);
}

static void on_drained(void *arg, struct http_exchange *x)
{
    if (arg != &g_rig || g_rig.is_in_call)
        die("drained was called from within a call of the handler");
    count(&g_rig.counts.drained, 1);
    if (http_exchange_user(x))
        flood(x);
}

static size_t error_body(void *arg, int status, const char *code, const char *message, char *out,
                         size_t out_size)
{
    if (arg != &g_rig)
        die("a wrong argument");
    int n = snprintf(out, out_size, "{\"status\":%d,\"code\":\"%s\",\"message\":\"%s\"}", status,
                     code, message);
    return (size_t)n;
}

static size_t own_headers(void *arg, int status, const char *code,
                          const struct http_request *request, struct http_header *out)
{
    static char echo[64];
    if (arg != &g_rig)
        die("a wrong argument");
    const struct http_str *id = request ? http_request_field(request, "x-echo") : NULL;
    out[0] = (struct http_header){ "X-Own", *code ? code : "preflight" };
    if ((status == 204) == (*code != '\0'))
        die("a preflight has a code, or a refusal none");
    if (!id)
        return 1;
    snprintf(echo, sizeof echo, "%.*s", (int)id->len, id->data);
    out[1] = (struct http_header){ "X-Echo", echo };
    return 2;
}

static void on_async(uv_async_t *async)
{
    (void)async;
    pthread_mutex_lock(&g_rig.mutex);
    void (*call)(void *arg) = g_rig.call;
    void *arg = g_rig.call_arg;
    g_rig.call = NULL;
    pthread_mutex_unlock(&g_rig.mutex);
    if (!call)
        return;
    enter();
    call(arg);
    leave();
    pthread_mutex_lock(&g_rig.mutex);
    g_rig.is_called = true;
    pthread_cond_broadcast(&g_rig.cond);
    pthread_mutex_unlock(&g_rig.mutex);
}

static void *run_loop(void *arg)
{
    (void)arg;
    uv_run(&g_rig.loop, UV_RUN_DEFAULT);
    return NULL;
}

/* ---- test thread ---- */

static void deadline_in(struct timespec *t, int wait_ms)
{
    clock_gettime(CLOCK_REALTIME, t);
    t->tv_sec += wait_ms / 1000;
    t->tv_nsec += wait_ms % 1000 * 1000000L;
    if (t->tv_nsec >= 1000000000L) {
        t->tv_nsec -= 1000000000L;
        t->tv_sec++;
    }
}

bool rig_is_tls(void)
{
    const char *value = getenv("RIG_TLS");
    return value && strcmp(value, "1") == 0;
}

static void set_tls(void)
{
    struct base_err_info info = { 0 };
    struct tls_pair pair = tls_pair_create("localhost");
    enum base_err rc = http_server_set_tls(g_rig.server, pair.certificate, pair.key, &info);
    ck_assert_msg(rc == OK, "%s", info.message);
    tls_pair_remove(&pair);
}

void rig_start(const struct http_options *options)
{
    struct http_options defaults;
    http_options_init(&defaults);
    memset(&g_rig, 0, sizeof g_rig);
    memset(g_filler, 'x', sizeof g_filler);
    pthread_mutex_init(&g_rig.mutex, NULL);
    pthread_cond_init(&g_rig.cond, NULL);
    const struct http_handler handler = {
        .arg = &g_rig,
        .request = on_request,
        .admit = on_admit,
        .gone = on_gone,
        .drained = on_drained,
        .error_body = error_body,
        .headers = own_headers,
    };
    ck_assert_int_eq(uv_loop_init(&g_rig.loop), 0);
    ck_assert_int_eq(uv_async_init(&g_rig.loop, &g_rig.async, on_async), 0);
    ck_assert_int_eq(
        http_server_create(&g_rig.loop, options ? options : &defaults, &handler, &g_rig.server),
        OK);
    if (rig_is_tls())
        set_tls();
    ck_assert_int_eq(http_server_listen(g_rig.server, "127.0.0.1", 0, &g_rig.port, NULL), OK);
    ck_assert_int_ne(g_rig.port, 0);
    ck_assert_int_eq(thread_start(&g_rig.thread, "loop", run_loop, NULL), OK);
}

uint16_t rig_port(void)
{
    return g_rig.port;
}

void rig_call(void (*run)(void *arg), void *arg)
{
    struct timespec until;
    deadline_in(&until, WAIT_MS);
    pthread_mutex_lock(&g_rig.mutex);
    g_rig.call = run;
    g_rig.call_arg = arg;
    g_rig.is_called = false;
    uv_async_send(&g_rig.async);
    int rc = 0;
    while (!g_rig.is_called && rc == 0)
        rc = pthread_cond_timedwait(&g_rig.cond, &g_rig.mutex, &until);
    pthread_mutex_unlock(&g_rig.mutex);
    ck_assert_int_eq(rc, 0);
}

struct rig_counts rig_wait(size_t count_offset, int at_least)
{
    struct timespec until;
    deadline_in(&until, WAIT_MS);
    pthread_mutex_lock(&g_rig.mutex);
    int rc = 0;
    int value;
    for (;;) {
        memcpy(&value, (const char *)&g_rig.counts + count_offset, sizeof value);
        if (value >= at_least || rc != 0)
            break;
        rc = pthread_cond_timedwait(&g_rig.cond, &g_rig.mutex, &until);
    }
    struct rig_counts counts = g_rig.counts;
    pthread_mutex_unlock(&g_rig.mutex);
    ck_assert_int_ge(value, at_least);
    return counts;
}

struct rig_counts rig_counts_now(void)
{
    return rig_wait_for(requests, 0);
}

static void respond_held(void *arg)
{
    struct http_exchange *x = rig_take_held();
    if (!x)
        die("nothing is held");
    http_respond(x, 200, NULL, 0, arg, strlen(arg));
}

void rig_respond_held(const char *text)
{
    char copy[256];
    snprintf(copy, sizeof copy, "%s", text);
    rig_call(respond_held, copy);
}

static void take_stats(void *arg)
{
    http_server_stats(g_rig.server, arg);
}

struct http_stats rig_stats(void)
{
    struct http_stats stats;
    rig_call(take_stats, &stats);
    return stats;
}

static void on_server_closed(void *arg)
{
    (void)arg;
    g_rig.server = NULL;
    count(&g_rig.counts.closed, 1);
}

static void close_server(void *arg)
{
    (void)arg;
    http_server_close(g_rig.server, on_server_closed, NULL);
}

static void close_async(void *arg)
{
    (void)arg;
    uv_close((uv_handle_t *)&g_rig.async, NULL);
}

void rig_stop(void)
{
    rig_call(close_server, NULL);
    rig_wait_for(closed, 1);
    ck_assert_int_eq(rig_counts_now().held, 0); /* each was answered or is gone */
    ck_assert_uint_eq(mem_live_blocks(), 0);
    rig_call(close_async, NULL);
    thread_join(&g_rig.thread);
    ck_assert_int_eq(uv_loop_close(&g_rig.loop), 0);
}

size_t rig_allow_files(size_t wanted)
{
    struct rlimit files = { 0 };
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < wanted)
        files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_cur;
}

long rig_resident_bytes(void)
{
    long total = 0;
    long resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld %ld", &total, &resident), 2);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}
