/*
 * Random histories on a clock of the test's own: every step on a pool and on the plain model
 * of it (sim_model.h), compared after each. A failure prints the seed of its history.
 *
 * usage: sim_test [HISTORIES [FIRST_SEED]]
 */
#include "sim_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/random.h"

enum {
    STEPS = 120,
    SIM_TENANTS = 4 /* the first is nobody */
};

static uint64_t g_histories;
static uint64_t g_first_seed = 1;
static uint64_t *g_seed; /* shared with the process that runs a test; 0: no history is under way */

/* How often the rarer things happened, over all histories. */
static struct {
    uint64_t starts;
    uint64_t aged_starts;
    uint64_t ended[PARK_STATE_COUNT];
    uint64_t rejected[16]; /* by -100 - code, 0: others */
    uint64_t grown;
    uint64_t grow_refused;
    uint64_t outranked;
    uint64_t capped; /* newcomers whose tenant ran as many tickets as they allow */
    uint64_t reconfigured;
    uint64_t zombies;
} g_seen;

static uint64_t below(struct sim *m, uint64_t n)
{
    return world_below(&m->world, n);
}

static bool one_in(struct sim *m, uint64_t n)
{
    return below(m, n) == 0;
}

/* ---- options ---- */

static void roll_class(struct sim *m, struct park_class_options *c)
{
    *c = (struct park_class_options){
        .budget_ms = one_in(m, 3) ? 0 : 1 + below(m, 3000),
        .aging_ms = one_in(m, 3) ? 0 : 1 + below(m, 1500),
        .queue_timeout_ms = one_in(m, 2) ? 0 : 1 + below(m, 20000),
        .queue_count_max = one_in(m, 2) ? 0 : 1 + below(m, 12),
        .queue_bytes_max = one_in(m, 2) ? 0 : 20 + below(m, 200),
    };
    if (one_in(m, 3))
        c->queue_units_max.n[0] = 1 + below(m, 40);
}

static void roll_capacity(struct sim *m, struct park_options *o)
{
    o->capacity.n[0] = 8 + below(m, 30);
    o->capacity.n[1] = 1 + below(m, 6);
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        o->classes[c].reserved = (struct park_units){ { 0 } };
        if (m->is_simple || !one_in(m, 4))
            continue;
        o->classes[c].reserved.n[0] = below(m, o->capacity.n[0] / 4 + 1);
        o->classes[c].reserved.n[1] = below(m, o->capacity.n[1] / 4 + 1);
    }
}

static void roll_options(struct sim *m)
{
    m->is_simple = one_in(m, 3);
    struct park_options o = options_of(1, 0);
    o.dim_count = SIM_DIMS;
    o.dim_names[1] = "slots";
    o.running_max = one_in(m, 2) ? 100 : 1 + below(m, 5);
    o.queue_count_max = one_in(m, 5) ? 0 : 1 + below(m, 30);
    o.queue_bytes_max = 50 + below(m, 400);
    if (one_in(m, 3))
        o.queue_units_max.n[0] = 10 + below(m, 80);
    for (int c = 0; c < PARK_CLASS_COUNT; c++)
        roll_class(m, &o.classes[c]);
    o.classes[PARK_CLASS_CRITICAL].aging_ms = 0;
    roll_capacity(m, &o);
    o.aging_share = one_in(m, 8) ? 0 : 1 + (uint32_t)below(m, 8);
    o.run_timeout_ms = one_in(m, 2) ? 0 : 1 + below(m, 20000);
    o.total_timeout_ms = one_in(m, 2) ? 0 : 1 + below(m, 40000);
    o.cancel_grace_ms = one_in(m, 2) ? 0 : 1 + below(m, 3000);
    o.audit_count_max = 2000;
    o.tenant_count_max = SIM_TENANTS;
    o.env = world_env(&m->world);
    m->o = o;
}

/* ---- steps ---- */

static struct sim_at pick_running(struct sim *m)
{
    int first = (int)below(m, SIM_LIVE_MAX * SIM_TASKS_MAX);
    for (int i = 0; i < SIM_LIVE_MAX * SIM_TASKS_MAX; i++) {
        struct sim_at at = sim_number(m, (first + i) % (SIM_LIVE_MAX * SIM_TASKS_MAX));
        if (at.t && at.p->phase == SIM_RUNNING)
            return at;
    }
    return (struct sim_at){ NULL, NULL };
}

static void roll_work(struct sim *m, struct sim_ticket *t)
{
    *t = (struct sim_ticket){ .order = m->order,
                              .submitted = m->world.now_ns,
                              .queue_end = UINT64_MAX,
                              .total_end = UINT64_MAX };
    t->klass = (enum park_class)below(m, PARK_CLASS_COUNT);
    t->count = one_in(m, 2) ? 1 : 1 + (int)below(m, SIM_TASKS_MAX);
    t->bytes = below(m, 60);
    t->tenant = (int)below(m, SIM_TENANTS);
    t->running_max = one_in(m, 2) ? 0 : 1 + below(m, 3);
    for (int d = 0; d < SIM_DIMS; d++) {
        uint64_t capacity = m->o.capacity.n[d];
        t->need[d] = d == 1 ? below(m, 2) : 1 + below(m, one_in(m, 10) ? capacity + 4 : 8);
        t->limit[d] = t->need[d] + (one_in(m, 2) ? 0 : below(m, 6));
    }
    if (one_in(m, 5))
        t->deadline = m->world.now_ns + (one_in(m, 20) ? 0 : below(m, 12000)) * MS_NS;
}

static uint64_t end_of(const struct sim *m, uint64_t own_ms, uint64_t pool_ms)
{
    uint64_t ms = own_ms && (!pool_ms || own_ms < pool_ms) ? own_ms : pool_ms;
    return ms ? m->world.now_ns + ms * MS_NS : UINT64_MAX;
}

static void step_submit(struct sim *m)
{
    struct sim_ticket *t = m->tickets;
    while (t < m->tickets + SIM_LIVE_MAX && t->is_used)
        t++;
    if (t == m->tickets + SIM_LIVE_MAX)
        return;
    roll_work(m, t);
    static const char *const tenants[SIM_TENANTS] = { "", "ann", "ben", "cleo" };
    struct park_work work = work_of(0);
    const struct park_class_options *c = &m->o.classes[t->klass];
    for (int d = 0; d < SIM_DIMS; d++) {
        work.need.n[d] = t->need[d];
        work.limit.n[d] = t->limit[d];
    }
    work.task_count = (uint32_t)t->count;
    work.klass = t->klass;
    work.cost = below(m, 100);
    work.payload_bytes = t->bytes;
    work.payload = &t->payload;
    work.payload_destroy = payload_destroy;
    work.deadline_ns = t->deadline;
    work.tenant = tenants[t->tenant];
    work.tenant_running_max = t->running_max;
    work.queue_timeout_ms = one_in(m, 6) ? 1 + below(m, 9000) : 0;
    work.run_timeout_ms = one_in(m, 6) ? 1 + below(m, 9000) : 0;
    work.total_timeout_ms = one_in(m, 6) ? 1 + below(m, 20000) : 0;
    t->due = UINT64_MAX;
    if (c->budget_ms)
        t->due = m->world.now_ns + c->budget_ms * MS_NS;
    if (t->deadline)
        t->due = t->deadline;
    t->queue_end = end_of(m, work.queue_timeout_ms, c->queue_timeout_ms);
    t->total_end = end_of(m, work.total_timeout_ms, m->o.total_timeout_ms);
    t->run_ms =
        work.run_timeout_ms && (!m->o.run_timeout_ms || work.run_timeout_ms < m->o.run_timeout_ms)
            ? work.run_timeout_ms
            : m->o.run_timeout_ms;

    struct sim_ticket rolled = *t;
    enum park_err expected = sim_submit(m, t);
    park_ticket *ticket;
    struct park_refusal refusal;
    enum park_err rc = park_submit(m->pool, &work, &ticket, &refusal);
    if (rc != expected)
        ck_abort_msg("%s, not %s", park_strerror(rc), park_strerror(expected));
    t->ticket = ticket;
    g_seen.capped += rc == PARK_OK && sim_is_capped(m, t);
    if (!rc)
        return;
    SAME(rolled.payload.destroyed, 0);
    SAME(t->is_used, false);
    m->rejected++;
    g_seen.rejected[rc <= -101 ? -100 - rc : 0]++;
}

static struct sim_at at_of(struct sim *m, park_task *task)
{
    for (int i = 0; i < SIM_LIVE_MAX; i++) {
        struct sim_ticket *t = &m->tickets[i];
        if (t->is_used && t->ticket == park_task_ticket(task)) {
            ck_assert_int_eq(park_task_class(task), t->klass);
            return (struct sim_at){ t, &t->parts[park_task_index(task)] };
        }
    }
    ck_abort_msg("a task of nobody");
}

static void step_take(struct sim *m)
{
    park_task *tasks[4];
    size_t max = 1 + below(m, 4);
    size_t n = park_take(m->pool, tasks, max);
    for (size_t i = 0; i < n; i++) {
        struct sim_at at = at_of(m, tasks[i]);
        if (!sim_take(m, at))
            ck_abort_msg("a task was handed over that is not next");
        SAME(park_task_user(tasks[i]), at.p->requeues ? at.p : NULL);
        park_task_set_user(tasks[i], at.p);
        at.p->task = tasks[i];
    }
    /* Nothing that could be taken was left behind. */
    if (n < max && (sim_count(m, SIM_BOOKED) > 0 || sim_next(m).t))
        ck_abort_msg("a task that is next was not handed over");
}

static void step_finish(struct sim *m)
{
    static const enum park_state states[] = { PARK_COMPLETED, PARK_COMPLETED, PARK_COMPLETED,
                                              PARK_FAILED, PARK_CANCELLED };
    struct sim_at at = pick_running(m);
    if (!at.t)
        return;
    enum park_state state = states[below(m, 5)];
    SAME(park_task_reason(at.p->task), at.t->token);
    finish(at.p->task, state);
    sim_finish(m, at, state);
}

static void step_cancel(struct sim *m)
{
    struct sim_ticket *t = &m->tickets[below(m, SIM_LIVE_MAX)];
    if (!t->is_used)
        return;
    enum park_reason reason = (enum park_reason)(PARK_REASON_CLIENT + below(m, 3));
    park_cancel(t->ticket, reason);
    sim_ask_end(m, t, reason);
}

static void step_adjust(struct sim *m)
{
    struct sim_at at = pick_running(m);
    struct park_units total = { { 0 } };
    if (!at.t)
        return;
    for (int d = 0; d < SIM_DIMS; d++)
        total.n[d] = below(m, at.t->limit[d] + (one_in(m, 8) ? 2 : 1));
    enum park_err rc = park_adjust(at.p->task, &total);
    SAME(rc, sim_adjust(m, at, &total));
    g_seen.grown += rc == PARK_OK;
    g_seen.grow_refused += rc == PARK_E_AGAIN;
}

static void step_give_way(struct sim *m)
{
    struct sim_at victim = sim_victim(m);
    struct sim_at outranked = sim_outranked(m);
    SAME(park_victim(m->pool), victim.t ? victim.p->task : NULL);
    SAME(park_outranked(m->pool), outranked.t ? outranked.p->task : NULL);
    g_seen.outranked += outranked.t != NULL;
    struct sim_at at = outranked.t ? outranked : one_in(m, 2) ? victim : pick_running(m);
    if (!at.t || m->is_simple)
        return;
    park_requeue(at.p->task);
    sim_requeue(m, at);
}

static void step_pause(struct sim *m)
{
    m->is_paused = !m->is_paused && one_in(m, 3);
    if (m->is_paused)
        park_pause(m->pool);
    else
        park_resume(m->pool);
}

static void step_reconfigure(struct sim *m)
{
    struct park_options o = m->o;
    roll_capacity(m, &o);
    if (one_in(m, 10)) {
        o.capacity = (struct park_units){ { 0 } };
        for (int c = 0; c < PARK_CLASS_COUNT; c++)
            o.classes[c].reserved = o.capacity;
    }
    o.running_max = 1 + below(m, 6);
    ck_assert_int_eq(park_reconfigure(m->pool, &o), PARK_OK);
    sim_reconfigure(m, &o);
    g_seen.reconfigured++;
}

static void step_forget(struct sim *m)
{
    for (int i = 0; i < SIM_LIVE_MAX; i++) {
        struct sim_ticket *t = &m->tickets[i];
        bool has_tasks = false;
        for (int k = 0; k < t->count; k++)
            has_tasks = has_tasks || t->parts[k].phase != SIM_ENDED;
        if (!t->is_used || has_tasks)
            continue;
        SAME(t->payload.destroyed, 1);
        park_ticket_unref(t->ticket);
        t->is_used = false;
    }
}

static void step(struct sim *m, int number)
{
    uint64_t dice = below(m, 100);
    m->world.now_ns += one_in(m, 3) ? 0 : below(m, 400 * MS_NS);
    park_tick(m->pool);
    sim_tick(m);
    if (dice < 34)
        step_submit(m);
    else if (dice < 52)
        step_take(m);
    else if (dice < 72)
        step_finish(m);
    else if (dice < 77)
        step_cancel(m);
    else if (dice < 85)
        step_adjust(m);
    else if (dice < 89)
        step_give_way(m);
    else if (dice < 91)
        step_pause(m);
    else if (dice < 92 && !m->is_simple)
        step_reconfigure(m);
    else if (dice < 97)
        step_forget(m);
    else if (number > STEPS - 12) {
        enum park_drain_mode mode = (enum park_drain_mode)below(m, 3);
        park_drain(m->pool, mode, 0);
        sim_drain(m, mode);
    }
}

/* ---- the comparison ---- */

static void compare_ticket(struct sim *m, const struct sim_ticket *t)
{
    struct park_status status;
    park_status(t->ticket, &status);
    SAME(status.state, t->state);
    SAME(status.reason, t->reason);
    SAME(status.position, sim_position(m, t));
    bool has_tasks = false;
    for (int k = 0; k < t->count; k++)
        has_tasks = has_tasks || t->parts[k].phase != SIM_ENDED;
    SAME(t->payload.destroyed, !has_tasks);
    g_seen.zombies += has_tasks && park_state_is_terminal(t->state);
}

static void compare(struct sim *m)
{
    struct park_stats stats = stats_of(m->pool);
    park_check(m->pool);
    SAME(stats.submitted, stats.rejected + stats.queued + stats.running + stats.completed +
                              stats.failed + stats.cancelled + stats.dropped + stats.expired);
    SAME(stats.rejected, m->rejected);
    SAME(stats.completed, m->ended[PARK_COMPLETED]);
    SAME(stats.failed, m->ended[PARK_FAILED]);
    SAME(stats.cancelled, m->ended[PARK_CANCELLED]);
    SAME(stats.dropped, m->ended[PARK_DROPPED]);
    SAME(stats.expired, m->ended[PARK_EXPIRED]);
    SAME(stats.tasks_queued, sim_count(m, SIM_PARKED) + sim_count(m, SIM_REQUEUED));
    SAME(stats.tasks_running, sim_count(m, SIM_BOOKED) + sim_count(m, SIM_RUNNING));
    for (int d = 0; d < SIM_DIMS; d++)
        SAME(stats.used.n[d], sim_used(m, d));
    for (int i = 0; i < SIM_LIVE_MAX; i++) {
        if (m->tickets[i].is_used)
            compare_ticket(m, &m->tickets[i]);
    }
}

/* All that the pool noted, as one number. */
static uint64_t audit_hash(park_pool *pool)
{
    static struct park_audit records[2000];
    size_t n;
    uint64_t hash = 1;
    ck_assert_int_eq(park_audit_read(pool, 0, records, 2000, &n, NULL), PARK_OK);
    const unsigned char *bytes = (const unsigned char *)records;
    for (size_t i = 0; i < n * sizeof records[0]; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t run_history(uint64_t seed)
{
    static struct sim m;
    memset(&m, 0, sizeof m);
    m.world = (struct world){ .now_ns = SECOND_NS, .seed = random_mix(seed) };
    roll_options(&m);
    m.pool = pool_of(&m.o);
    for (int i = 0; i < STEPS; i++) {
        step(&m, i);
        compare(&m);
    }
    uint64_t hash = audit_hash(m.pool);
    g_seen.starts += m.starts;
    g_seen.aged_starts += m.aged_starts;
    for (int i = 0; i < PARK_STATE_COUNT; i++)
        g_seen.ended[i] += m.ended[i];
    for (int i = 0; i < SIM_LIVE_MAX; i++) {
        if (m.tickets[i].is_used)
            park_ticket_unref(m.tickets[i].ticket);
    }
    park_pool_destroy(m.pool);
    SAME(mem_live_blocks(), 0);
    return hash;
}

START_TEST(the_pool_does_what_the_model_does)
{
    for (uint64_t i = 0; i < g_histories; i++) {
        *g_seed = g_first_seed + i;
        run_history(*g_seed);
    }
    *g_seed = 0;
    printf("%llu histories: starts %llu, of them aged %llu; completed %llu, failed %llu, cancelled "
           "%llu, dropped %llu, expired %llu; grown %llu, refused %llu; outranked %llu; zombies "
           "seen %llu; reconfigured %llu\n",
           (unsigned long long)g_histories, (unsigned long long)g_seen.starts,
           (unsigned long long)g_seen.aged_starts, (unsigned long long)g_seen.ended[2],
           (unsigned long long)g_seen.ended[3], (unsigned long long)g_seen.ended[4],
           (unsigned long long)g_seen.ended[5], (unsigned long long)g_seen.ended[6],
           (unsigned long long)g_seen.grown, (unsigned long long)g_seen.grow_refused,
           (unsigned long long)g_seen.outranked, (unsigned long long)g_seen.zombies,
           (unsigned long long)g_seen.reconfigured);
    for (int i = 0; i < 10; i++)
        printf("refused with %d: %llu\n", i ? -100 - i : 0, (unsigned long long)g_seen.rejected[i]);
    fflush(stdout);
    if (g_histories < 1000)
        return;
    uint64_t n = g_histories / 100; /* what is not reached proves nothing */
    ck_assert_uint_gt(g_seen.capped, n);
    ck_assert(g_seen.aged_starts > n && g_seen.outranked > n && g_seen.zombies > n);
    ck_assert(g_seen.grown > n && g_seen.grow_refused > n && g_seen.reconfigured > n);
    for (int i = PARK_COMPLETED; i < PARK_STATE_COUNT; i++)
        ck_assert_uint_gt(g_seen.ended[i], n);
    for (int i = 1; i <= 8; i++) /* oversize, full, draining, …, but gap and limit */
        ck_assert(g_seen.rejected[i] > n / 10 || i == 4 || i == 5);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_audit)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        ck_assert_uint_eq(run_history(seed), run_history(seed));
    ck_assert_uint_ne(run_history(1), run_history(2));
}
END_TEST

int main(int argc, char **argv)
{
    g_histories = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)times_of(3000, 1000);
    if (argc > 2)
        g_first_seed = strtoull(argv[2], NULL, 10);
    Suite *suite = suite_create("sim");
    TCase *tc = add_case(suite, "histories", 3000);
    tcase_add_test(tc, the_pool_does_what_the_model_does);
    tcase_add_test(tc, the_same_seed_gives_the_same_audit);
    g_seed = mmap(NULL, sizeof *g_seed, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (g_seed == MAP_FAILED)
        return EXIT_FAILURE;
    int status = run_suite(suite);
    if (*g_seed)
        printf("the history of seed %llu failed\n", (unsigned long long)*g_seed);
    return status;
}
