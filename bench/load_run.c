#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "prompt.h"
#include "request.h"

enum {
    EVENTS_MAX = 256
};

struct run {
    struct client_common common;
    struct client *clients; /* [options->clients] */
    uint64_t number;        /* of the next request */
    uint64_t due_ns;        /* of the next request of the open loop */
    uint64_t random;
    uint64_t sending_limit_ns; /* UINT64_MAX: none */
    uint64_t limit_ns;
};

static volatile sig_atomic_t g_stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    g_stopped = 1;
}

static uint64_t ns(double seconds)
{
    return (uint64_t)(seconds * 1e9);
}

/* ---- whose turn it is ---- */

/* A client that is idle and may be used now; NULL: none. The first ones are used most. */
static struct client *idle_client(struct run *run, uint64_t now)
{
    int count = run->common.options->clients;
    for (int i = 0; i < count; i++) {
        struct client *c = &run->clients[i];
        if (c->state == CLIENT_IDLE && c->wake_ns <= now)
            return c;
    }
    return NULL;
}

static bool is_sending(const struct run *run, uint64_t now)
{
    const struct load_options *o = run->common.options;
    bool is_open = o->rate > 0;
    return !g_stopped && (o->requests == 0 || run->number < (uint64_t)o->requests) &&
           now < run->limit_ns &&
           (is_open ? run->due_ns < run->sending_limit_ns && now < run->sending_limit_ns
                    : now < run->sending_limit_ns);
}

static void advance_due(struct run *run)
{
    const struct load_options *o = run->common.options;
    double gap = 1 / o->rate;
    if (o->is_poisson) {
        double share = (double)(prompt_random(&run->random) >> 11) * 0x1p-53;
        gap *= -log(1 - share);
    }
    run->due_ns += ns(gap);
}

static void send_due(struct run *run)
{
    bool is_open = run->common.options->rate > 0;
    uint64_t now = client_clock_ns();
    while (is_sending(run, now) && (!is_open || run->due_ns <= now)) {
        struct client *c = idle_client(run, now);
        if (!c)
            return;
        client_start(c, &run->common, run->number++, is_open ? run->due_ns : now, now);
        if (is_open)
            advance_due(run);
        now = client_clock_ns();
    }
}

/* When something is to be done though no connection has anything; UINT64_MAX: never. */
static uint64_t next_ns(struct run *run, uint64_t now)
{
    const struct load_options *o = run->common.options;
    if (!is_sending(run, now))
        return run->limit_ns;
    uint64_t next = run->limit_ns < run->sending_limit_ns ? run->limit_ns : run->sending_limit_ns;
    uint64_t free_ns = UINT64_MAX; /* when a client may be used */
    for (int i = 0; i < o->clients; i++) {
        const struct client *c = &run->clients[i];
        if (c->state == CLIENT_IDLE && c->wake_ns < free_ns)
            free_ns = c->wake_ns;
    }
    if (o->rate > 0 && free_ns < run->due_ns)
        free_ns = run->due_ns;
    return free_ns < next ? free_ns : next;
}

/* ---- the loop ---- */

static void read_clocks(struct run *run)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    run->common.realtime_offset_ns =
        (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec - client_clock_ns();
}

static void wait_for_events(struct run *run)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = client_clock_ns();
    uint64_t due = next_ns(run, now);
    uint64_t wait = due > now ? due - now : 0;
    struct timespec limit = { (time_t)(wait / 1000000000U), (long)(wait % 1000000000U) };
    int count = epoll_pwait2(run->common.epoll, events, EVENTS_MAX, &limit, NULL);
    read_clocks(run);
    for (int i = 0; i < count; i++)
        client_ready(events[i].data.ptr, &run->common);
}

static void loop(struct run *run)
{
    struct load_stats *s = run->common.stats;
    for (;;) {
        send_due(run);
        uint64_t now = client_clock_ns();
        if (s->sending_end_ns == 0 && !is_sending(run, now))
            s->sending_end_ns = now;
        if ((s->sending_end_ns && run->common.in_flight == 0) || now >= run->limit_ns)
            return;
        wait_for_events(run);
    }
}

/* Requests of the open loop that were due and found no connection. */
static void count_unsent(struct run *run)
{
    const struct load_options *o = run->common.options;
    struct load_stats *s = run->common.stats;
    uint64_t end =
        s->sending_end_ns < run->sending_limit_ns ? s->sending_end_ns : run->sending_limit_ns;
    while (o->rate > 0 && run->due_ns < end &&
           (o->requests == 0 || run->number < (uint64_t)o->requests)) {
        s->unsent++;
        run->number++;
        advance_due(run);
    }
}

static void measure(struct run *run)
{
    const struct load_options *o = run->common.options;
    struct load_stats *s = run->common.stats;
    double cpu_s = load_cpu_own();
    double server_cpu_s = o->pid ? load_cpu_of(o->pid) : -1;
    s->start_ns = client_clock_ns();
    s->steady_ns = s->start_ns + ns(o->warmup_s);
    s->end_ns = s->start_ns;
    run->due_ns = s->start_ns;
    run->limit_ns = s->start_ns + ns(o->limit_s);
    run->sending_limit_ns = o->duration_s > 0 ? s->start_ns + ns(o->duration_s) : UINT64_MAX;
    loop(run);
    for (int i = 0; i < o->clients; i++)
        client_give_up(&run->clients[i], &run->common);
    if (s->sending_end_ns == 0)
        s->sending_end_ns = client_clock_ns();
    count_unsent(run);
    double server_end_s = o->pid ? load_cpu_of(o->pid) : -1;
    s->cpu_s = load_cpu_own() - cpu_s;
    s->server_cpu_s = server_cpu_s >= 0 && server_end_s >= 0 ? server_end_s - server_cpu_s : -1;
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = stop, .sa_flags = (int)SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool set_up(struct run *run)
{
    const struct load_options *o = run->common.options;
    prctl(PR_SET_TIMERSLACK, 1000);
    catch_signals();
    run->common.epoll = epoll_create1(EPOLL_CLOEXEC);
    run->common.request_max = request_bytes_max(o);
    run->common.prompt = malloc((size_t)o->prompt_words * PROMPT_WORD_BYTES + 1);
    run->clients = calloc((size_t)o->clients, sizeof *run->clients);
    run->random = o->seed;
    bool good = run->common.epoll >= 0 && run->common.prompt && run->clients;
    for (int i = 0; run->clients && i < o->clients; i++)
        good = client_init(&run->clients[i], &run->common) && good;
    return good;
}

static void tear_down(struct run *run)
{
    for (int i = 0; run->clients && i < run->common.options->clients; i++)
        client_fini(&run->clients[i]);
    free(run->clients);
    free(run->common.prompt);
    if (run->common.epoll >= 0)
        close(run->common.epoll);
}

bool load_run(const struct load_options *options, struct load_stats *stats)
{
    struct run *run = calloc(1, sizeof *run);
    bool good = run != NULL;
    if (good) {
        run->common.options = options;
        run->common.stats = stats;
        good = set_up(run);
        if (good)
            measure(run);
        tear_down(run);
    }
    free(run);
    if (!good)
        fprintf(stderr, "valet-load: cannot start: %s\n", strerror(errno));
    return good;
}
