/*
 * Random operations on a pool and on a plain model of it, compared after every one of
 * them, on a clock and randomness of the test. A failure prints its seed.
 */
#include "helper.h"

#include <stdio.h>
#include <string.h>

enum {
    STEPS = 10000,
    LIVE_MAX = 48,
    DIMS = 2,
    EVENTS_BYTES_MAX = 400,
    UNREAD_MAX = EVENTS_BYTES_MAX / 8
};

/* What the model knows of one ticket. */
struct shadow {
    park_ticket *ticket; /* NULL: the entry is free */
    park_task *task;     /* NULL: not handed over */
    struct payload payload;
    uint64_t need[DIMS];
    size_t payload_bytes;
    uint64_t order; /* of submission */
    uint64_t submitted_ns;
    enum park_state state;
    enum park_reason reason;
    enum park_reason token;
    uint64_t event_last;
    uint64_t event_read;      /* the highest cursor used */
    size_t sizes[UNREAD_MAX]; /* of event seq at seq % UNREAD_MAX, if unread */
};

struct model {
    struct world world;
    park_pool *pool;
    struct shadow shadows[LIVE_MAX];
    uint64_t capacity[DIMS];
    uint64_t depth;
    uint64_t queue_bytes_max;
    uint64_t running_max;
    uint64_t order;
    bool draining;

    uint64_t submitted;
    uint64_t oversize;
    uint64_t full;
    uint64_t invalid;
    uint64_t refused_draining;
    uint64_t ended[PARK_STATE_COUNT];
    uint64_t high_water[DIMS];
    uint64_t events;
    uint64_t events_full;
};

/* ---- the model's own arithmetic, as simple as can be ---- */

static uint64_t count_in(const struct model *m, enum park_state state)
{
    uint64_t n = 0;
    for (int i = 0; i < LIVE_MAX; i++)
        n += m->shadows[i].ticket && m->shadows[i].state == state;
    return n;
}

static uint64_t used(const struct model *m, int dim)
{
    uint64_t sum = 0;
    for (int i = 0; i < LIVE_MAX; i++) {
        if (m->shadows[i].ticket && m->shadows[i].state == PARK_RUNNING)
            sum += m->shadows[i].need[dim];
    }
    return sum;
}

static uint64_t parked_bytes(const struct model *m)
{
    uint64_t sum = 0;
    for (int i = 0; i < LIVE_MAX; i++) {
        if (m->shadows[i].ticket && m->shadows[i].state == PARK_QUEUED)
            sum += m->shadows[i].payload_bytes;
    }
    return sum;
}

static bool fits(const struct model *m, const uint64_t *need)
{
    for (int d = 0; d < DIMS; d++) {
        if (used(m, d) + need[d] > m->capacity[d])
            return false;
    }
    return count_in(m, PARK_RUNNING) < m->running_max;
}

/* The oldest ticket in a state that has (not) been handed over; NULL: none. */
static struct shadow *oldest(struct model *m, enum park_state state, bool is_handed)
{
    struct shadow *best = NULL;
    for (int i = 0; i < LIVE_MAX; i++) {
        struct shadow *s = &m->shadows[i];
        if (s->ticket && s->state == state && (s->task != NULL) == is_handed &&
            (!best || s->order < best->order))
            best = s;
    }
    return best;
}

static uint64_t position(const struct model *m, const struct shadow *s)
{
    uint64_t n = 1;
    for (int i = 0; i < LIVE_MAX; i++) {
        const struct shadow *other = &m->shadows[i];
        n += other->ticket && other->state == PARK_QUEUED && other->order < s->order;
    }
    return s->state == PARK_QUEUED ? n : 0;
}

static void start(struct model *m, struct shadow *s)
{
    s->state = PARK_RUNNING;
    for (int d = 0; d < DIMS; d++) {
        if (used(m, d) > m->high_water[d])
            m->high_water[d] = used(m, d);
    }
}

static void end(struct model *m, struct shadow *s, enum park_state state, enum park_reason reason)
{
    s->state = state;
    s->reason = reason;
    s->task = NULL;
    m->ended[state]++;
}

static struct shadow *pick(struct model *m, bool must_run)
{
    int at = (int)world_below(&m->world, LIVE_MAX);
    for (int i = 0; i < LIVE_MAX; i++) {
        struct shadow *s = &m->shadows[(at + i) % LIVE_MAX];
        if (s->ticket && (!must_run || s->task))
            return s;
    }
    return NULL;
}

/* ---- the operations ---- */

static enum park_err expected_answer(const struct model *m, const struct shadow *s, bool *starts)
{
    *starts = false;
    if (m->draining)
        return PARK_E_DRAINING;
    if (s->need[0] == 0 && s->need[1] == 0)
        return PARK_E_INVALID;
    if (s->need[0] > m->capacity[0] || s->need[1] > m->capacity[1])
        return PARK_E_OVERSIZE;
    *starts = count_in(m, PARK_QUEUED) == 0 && fits(m, s->need);
    if (*starts)
        return PARK_OK;
    bool has_place = count_in(m, PARK_QUEUED) < m->depth &&
                     parked_bytes(m) + s->payload_bytes <= m->queue_bytes_max;
    return has_place ? PARK_OK : PARK_E_QUEUE_FULL;
}

static void count_refusal(struct model *m, enum park_err code)
{
    m->refused_draining += code == PARK_E_DRAINING;
    m->invalid += code == PARK_E_INVALID;
    m->oversize += code == PARK_E_OVERSIZE;
    m->full += code == PARK_E_QUEUE_FULL;
}

static void op_submit(struct model *m)
{
    struct shadow *s = m->shadows;
    while (s < m->shadows + LIVE_MAX && s->ticket)
        s++;
    if (s == m->shadows + LIVE_MAX)
        return;
    *s = (struct shadow){ .order = m->order++, .submitted_ns = m->world.now_ns };
    for (int d = 0; d < DIMS; d++) {
        bool is_wild = world_below(&m->world, 40) == 0;
        s->need[d] = world_below(&m->world, is_wild ? 2 * m->capacity[d] : m->capacity[d] / 2);
    }
    s->payload_bytes = world_below(&m->world, 50);

    struct park_work work;
    park_work_init(&work);
    for (int d = 0; d < DIMS; d++)
        work.need.n[d] = s->need[d];
    work.cost = world_below(&m->world, 100);
    work.payload = &s->payload;
    work.payload_bytes = s->payload_bytes;
    work.payload_destroy = payload_destroy;
    work.user = s;

    bool starts;
    enum park_err expected = expected_answer(m, s, &starts);
    struct park_refusal refusal;
    park_ticket *ticket;
    ck_assert_int_eq(park_submit(m->pool, &work, &ticket, &refusal), expected);
    m->submitted++;
    s->ticket = ticket;
    if (expected == PARK_OK) {
        if (starts)
            start(m, s);
        return;
    }
    count_refusal(m, expected);
    ck_assert_ptr_null(ticket);
    ck_assert_int_eq(s->payload.destroyed, 0);
    if (expected == PARK_E_QUEUE_FULL || expected == PARK_E_DRAINING)
        ck_assert(refusal.retry_after_ms >= 1000 && refusal.retry_after_ms <= 60000);
    else
        ck_assert_uint_eq(refusal.retry_after_ms, 0);
}

static void op_take(struct model *m)
{
    park_task *tasks[4];
    size_t count_max = 1 + world_below(&m->world, 4);
    size_t count = park_take(m->pool, tasks, count_max);
    for (size_t i = 0; i < count_max; i++) {
        struct shadow *s = oldest(m, PARK_RUNNING, false);
        if (!s) {
            s = oldest(m, PARK_QUEUED, false);
            if (s && !fits(m, s->need))
                s = NULL;
        }
        if (!s) {
            ck_assert_uint_eq(count, i);
            return;
        }
        ck_assert_uint_lt(i, count);
        ck_assert_ptr_eq(park_task_ticket(tasks[i]), s->ticket);
        ck_assert_ptr_eq(park_task_payload(tasks[i]), &s->payload);
        if (s->state == PARK_QUEUED)
            start(m, s);
        s->task = tasks[i];
    }
}

static void op_finish(struct model *m)
{
    static const enum park_state states[] = { PARK_COMPLETED, PARK_FAILED, PARK_CANCELLED };
    struct shadow *s = pick(m, true);
    if (!s)
        return;
    enum park_state state = states[world_below(&m->world, 3)];
    ck_assert_int_eq(park_task_reason(s->task), s->token);
    finish(s->task, state);
    enum park_reason reason = state == PARK_FAILED ? PARK_REASON_ERROR : PARK_REASON_NONE;
    end(m, s, state, state == PARK_CANCELLED ? s->token : reason);
}

static void op_cancel(struct model *m)
{
    struct shadow *s = pick(m, false);
    if (!s)
        return;
    enum park_reason reason = (enum park_reason)(PARK_REASON_CLIENT + world_below(&m->world, 3));
    park_cancel(s->ticket, reason);
    if (s->state == PARK_QUEUED)
        end(m, s, PARK_CANCELLED, reason);
    else if (s->state == PARK_RUNNING && s->token == PARK_REASON_NONE)
        s->token = reason;
}

static size_t unread_bytes(const struct shadow *s)
{
    size_t sum = 0;
    for (uint64_t seq = s->event_read + 1; seq <= s->event_last; seq++)
        sum += s->sizes[seq % UNREAD_MAX];
    return sum;
}

static void op_emit(struct model *m)
{
    struct shadow *s = pick(m, true);
    if (!s)
        return;
    unsigned char data[100];
    size_t len = world_below(&m->world, sizeof data);
    memset(data, (int)((s->event_last + 1) & 0xff), len);
    enum park_err rc = park_emit(s->task, (uint32_t)len, data, len);
    if (unread_bytes(s) + 8 + len > EVENTS_BYTES_MAX) {
        ck_assert_int_eq(rc, PARK_E_AGAIN);
        m->events_full++;
        return;
    }
    ck_assert_int_eq(rc, PARK_OK);
    s->event_last++;
    s->sizes[s->event_last % UNREAD_MAX] = 8 + len;
    m->events++;
}

static void op_read(struct model *m)
{
    struct shadow *s = pick(m, false);
    if (!s)
        return;
    unsigned char buffer[2 * EVENTS_BYTES_MAX];
    struct park_event events[8];
    size_t count;
    uint64_t first;
    uint64_t after = world_below(&m->world, s->event_last + 2);
    enum park_err rc =
        park_events_read(s->ticket, after, buffer, sizeof buffer, events, 8, &count, &first);
    if (after > s->event_last) {
        ck_assert_int_eq(rc, PARK_E_INVALID);
        return;
    }
    uint64_t read = rc == PARK_OK && after > s->event_read ? after : s->event_read;
    ck_assert_uint_le(first, read + 1); /* what is unread is never dropped */
    if (rc == PARK_E_GAP) {
        ck_assert_uint_lt(after + 1, first);
        return;
    }
    ck_assert_int_eq(rc, PARK_OK);
    uint64_t left = s->event_last - after;
    ck_assert_uint_eq(count, left < 8 ? left : 8);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(events[i].seq, after + i + 1);
        ck_assert_uint_eq(events[i].type, events[i].len);
        const unsigned char *data = events[i].data;
        for (uint32_t k = 0; k < events[i].len; k++)
            SAME(data[k], (events[i].seq & 0xff));
    }
    s->event_read = read;
}

static void op_drain(struct model *m)
{
    enum park_drain_mode mode = (enum park_drain_mode)world_below(&m->world, 3);
    enum park_err rc = park_drain(m->pool, mode, 0);
    m->draining = true;
    for (int i = 0; i < LIVE_MAX; i++) {
        struct shadow *s = &m->shadows[i];
        if (!s->ticket)
            continue;
        if (s->state == PARK_QUEUED && mode >= PARK_DRAIN_FINISH_RUNNING)
            end(m, s, PARK_DROPPED, PARK_REASON_DRAINING);
        else if (s->state == PARK_RUNNING && mode == PARK_DRAIN_NOW && s->token == PARK_REASON_NONE)
            s->token = PARK_REASON_SHUTDOWN;
    }
    bool is_empty = count_in(m, PARK_QUEUED) + count_in(m, PARK_RUNNING) == 0;
    ck_assert_int_eq(rc, is_empty ? PARK_OK : PARK_E_TIMEOUT);
    ck_assert_int_eq(park_is_drained(m->pool), is_empty);
}

/* Lets go of tickets that have ended, now and then. */
static void op_forget(struct model *m)
{
    for (int i = 0; i < LIVE_MAX; i++) {
        struct shadow *s = &m->shadows[i];
        if (s->ticket && park_state_is_terminal(s->state)) {
            park_ticket_unref(s->ticket);
            s->ticket = NULL;
        }
    }
}

/* ---- the comparison ---- */

static void compare_ticket(const struct model *m, const struct shadow *s)
{
    struct park_status status;
    park_status(s->ticket, &status);
    SAME(status.state, s->state);
    SAME(status.reason, s->reason);
    SAME(status.event_last, s->event_last);
    SAME(status.position, position(m, s));
    if (s->state == PARK_QUEUED)
        SAME(status.queued_ns, m->world.now_ns - s->submitted_ns);
    SAME(s->payload.destroyed, park_state_is_terminal(s->state));
    SAME(park_ticket_user(s->ticket), s);
}

static void compare(struct model *m)
{
    park_check(m->pool);
    struct park_stats stats = stats_of(m->pool);
    check_identity(&stats);
    for (int d = 0; d < DIMS; d++) {
        SAME(stats.used.n[d], used(m, d));
        SAME(stats.high_water.n[d], m->high_water[d]);
    }
    SAME(stats.draining, m->draining);
    SAME(stats.submitted, m->submitted);
    SAME(stats.queued, count_in(m, PARK_QUEUED));
    SAME(stats.running, count_in(m, PARK_RUNNING));
    SAME(stats.queued_bytes, parked_bytes(m));
    SAME(stats.completed, m->ended[PARK_COMPLETED]);
    SAME(stats.failed, m->ended[PARK_FAILED]);
    SAME(stats.cancelled, m->ended[PARK_CANCELLED]);
    SAME(stats.dropped, m->ended[PARK_DROPPED]);
    SAME(stats.rejected_oversize, m->oversize);
    SAME(stats.rejected_queue_full, m->full);
    SAME(stats.rejected_draining, m->refused_draining);
    SAME(stats.rejected_other, m->invalid);
    SAME(stats.events, m->events);
    SAME(stats.events_full, m->events_full);
    for (int i = 0; i < LIVE_MAX; i++) {
        if (m->shadows[i].ticket)
            compare_ticket(m, &m->shadows[i]);
    }
}

static void step(struct model *m, int step_index)
{
    uint64_t dice = world_below(&m->world, 100);
    if (dice < 32)
        op_submit(m);
    else if (dice < 50)
        op_take(m);
    else if (dice < 65)
        op_finish(m);
    else if (dice < 70)
        op_cancel(m);
    else if (dice < 82)
        op_emit(m);
    else if (dice < 92)
        op_read(m);
    else if (dice < 97)
        op_forget(m);
    else if (step_index > STEPS - 300 && dice == 99)
        op_drain(m);
    m->world.now_ns += world_below(&m->world, SECOND_NS);
}

static void run_model(uint64_t seed)
{
    static struct model m;
    memset(&m, 0, sizeof m);
    m.world = (struct world){ .now_ns = SECOND_NS, .seed = seed };
    m.capacity[0] = 20 + world_below(&m.world, 80);
    m.capacity[1] = 4 + world_below(&m.world, 8);
    m.depth = world_below(&m.world, 4) ? world_below(&m.world, 20) : 0;
    m.queue_bytes_max = 100 + world_below(&m.world, 400);
    m.running_max = 1 + world_below(&m.world, 10);

    struct park_options options = options_of(m.capacity[0], m.depth);
    options.dim_count = DIMS;
    options.dim_names[1] = "slots";
    options.capacity.n[1] = m.capacity[1];
    options.queue_bytes_max = m.queue_bytes_max;
    options.running_max = m.running_max;
    options.events_bytes_max = EVENTS_BYTES_MAX;
    options.env = world_env(&m.world);
    m.pool = pool_of(&options);

    for (int i = 0; i < STEPS; i++) {
        step(&m, i);
        compare(&m);
    }
    ck_assert_uint_gt(m.ended[PARK_COMPLETED], 100);
    for (int i = 0; i < LIVE_MAX; i++) {
        if (m.shadows[i].ticket)
            park_ticket_unref(m.shadows[i].ticket);
    }
    end_pool(m.pool);
}

START_TEST(the_pool_does_what_the_model_does)
{
    uint64_t seed = (uint64_t)_i;
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    run_model(seed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tc = add_case(suite, "model", 100);
    tcase_add_loop_test(tc, the_pool_does_what_the_model_does, 1, 13);
    return run_suite(suite);
}
