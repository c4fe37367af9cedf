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
    TASKS_MAX = 5,
    DIMS = 2,
    EVENTS_BYTES_MAX = 400,
    UNREAD_MAX = EVENTS_BYTES_MAX / 8
};

enum phase {
    PARKED,
    REQUEUED,
    BOOKED,
    RUNNING,
    ENDED
};

/* What the model knows of one task of a ticket. */
struct part {
    enum phase phase;
    park_task *task;     /* once it was handed over */
    uint64_t entered;    /* booked and running: the order in which they came there */
    uint64_t held[DIMS]; /* zero unless booked or running */
    uint64_t kept[DIMS]; /* what it held before and nothing else may start into */
    uint64_t room[DIMS]; /* what must be free for its start */
    bool is_refused;
    int requeues;
};

/* What the model knows of one ticket. */
struct shadow {
    park_ticket *ticket; /* NULL: the entry is free */
    int task_count;
    struct part parts[TASKS_MAX];
    struct payload payload;
    uint64_t need[DIMS];
    uint64_t limit[DIMS];
    size_t payload_bytes;
    uint64_t order; /* of submission */
    uint64_t submitted_ns;
    bool has_started;
    bool has_failed;
    bool has_cancelled;
    enum park_state state;
    enum park_reason reason;
    enum park_reason token;
    uint64_t event_last;
    uint64_t event_read;      /* the highest cursor used */
    size_t sizes[UNREAD_MAX]; /* of event seq at seq % UNREAD_MAX, if unread */
};

/* A task of the model: a ticket and which of its tasks; `s` NULL: none. */
struct at {
    struct shadow *s;
    struct part *part;
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
    uint64_t entered;
    bool draining;

    uint64_t submitted;
    uint64_t oversize;
    uint64_t full;
    uint64_t invalid;
    uint64_t refused_draining;
    uint64_t ended[PARK_STATE_COUNT];
    uint64_t high_water[DIMS];
    uint64_t queue_high_water;
    uint64_t events;
    uint64_t events_full;
    uint64_t requeues;

    /* how often the rarer things happened */
    uint64_t grown;
    uint64_t growth_refused;
    uint64_t victims;
    uint64_t came_back;
    uint64_t came_back_cancelled;
};

/* Every task of every ticket that is not terminal: at.s, at.part. */
#define FOR_TASKS(m, at)                                                                           \
    for (int i_ = 0; i_ < LIVE_MAX * TASKS_MAX; i_++)                                              \
        if (((at) = at_number((m), i_)).s)

/* ---- the model's own arithmetic, as simple as can be ---- */

static struct at at_number(struct model *m, int number)
{
    struct shadow *s = &m->shadows[number / TASKS_MAX];
    int index = number % TASKS_MAX;
    if (!s->ticket || park_state_is_terminal(s->state) || index >= s->task_count)
        return (struct at){ NULL, NULL };
    return (struct at){ s, &s->parts[index] };
}

static uint64_t tickets_in(struct model *m, enum park_state state)
{
    uint64_t n = 0;
    for (int i = 0; i < LIVE_MAX; i++)
        n += m->shadows[i].ticket && m->shadows[i].state == state;
    return n;
}

static uint64_t tasks_in(struct model *m, enum phase phase)
{
    uint64_t n = 0;
    struct at at;
    FOR_TASKS(m, at)
    n += at.part->phase == phase;
    return n;
}

static uint64_t running_count(struct model *m)
{
    return tasks_in(m, BOOKED) + tasks_in(m, RUNNING);
}

static uint64_t used(struct model *m, int dim)
{
    uint64_t sum = 0;
    struct at at;
    FOR_TASKS(m, at)
    sum += at.part->held[dim];
    return sum;
}

static uint64_t kept(struct model *m, int dim)
{
    uint64_t sum = 0;
    struct at at;
    FOR_TASKS(m, at)
    sum += at.part->kept[dim];
    return sum;
}

static bool has_parked(const struct shadow *s)
{
    for (int i = 0; i < s->task_count; i++) {
        if (s->parts[i].phase == PARKED)
            return true;
    }
    return false;
}

static uint64_t parked_bytes(struct model *m)
{
    uint64_t sum = 0;
    for (int i = 0; i < LIVE_MAX; i++) {
        const struct shadow *s = &m->shadows[i];
        if (s->ticket && !park_state_is_terminal(s->state) && has_parked(s))
            sum += s->payload_bytes;
    }
    return sum;
}

static bool somebody_was_refused(struct model *m)
{
    struct at at;
    FOR_TASKS(m, at)
    {
        if (at.part->is_refused)
            return true;
    }
    return false;
}

static bool may_start(struct model *m, const uint64_t *room)
{
    for (int d = 0; d < DIMS; d++) {
        if (room[d] > 0 && used(m, d) + kept(m, d) + room[d] > m->capacity[d])
            return false;
    }
    return running_count(m) < m->running_max;
}

/* The first by submission and index (parked, requeued) or by arrival there (booked). */
static struct at first_in(struct model *m, enum phase phase)
{
    struct at best = { NULL, NULL };
    struct at at;
    FOR_TASKS(m, at)
    {
        if (at.part->phase != phase)
            continue;
        bool is_before = !best.s || (phase == BOOKED ? at.part->entered < best.part->entered
                                                     : at.s->order < best.s->order);
        if (is_before) /* tasks of one ticket come by index */
            best = at;
    }
    return best;
}

static struct at next_to_take(struct model *m)
{
    struct at none = { NULL, NULL };
    struct at at = first_in(m, BOOKED);
    if (at.s)
        return at;
    if (somebody_was_refused(m))
        return none;
    at = first_in(m, REQUEUED);
    if (!at.s)
        at = first_in(m, PARKED);
    return at.s && may_start(m, at.part->room) ? at : none;
}

static uint64_t position(struct model *m, const struct shadow *s)
{
    uint64_t n = 1;
    struct at at;
    FOR_TASKS(m, at)
    n += at.part->phase == REQUEUED || (at.part->phase == PARKED && at.s->order < s->order);
    return s->state == PARK_QUEUED ? n : 0;
}

static void note_high_water(struct model *m)
{
    for (int d = 0; d < DIMS; d++) {
        if (used(m, d) > m->high_water[d])
            m->high_water[d] = used(m, d);
    }
    if (tasks_in(m, PARKED) > m->queue_high_water)
        m->queue_high_water = tasks_in(m, PARKED);
}

static void start(struct model *m, struct at at, enum phase phase)
{
    at.part->phase = phase;
    at.part->entered = m->entered++;
    for (int d = 0; d < DIMS; d++) {
        at.part->held[d] = at.s->need[d];
        at.part->kept[d] = at.part->room[d] - at.s->need[d];
    }
    at.s->has_started = true;
    at.s->state = PARK_RUNNING;
    note_high_water(m);
}

static void let_go(struct part *part)
{
    part->is_refused = false;
    memset(part->held, 0, sizeof part->held);
    memset(part->kept, 0, sizeof part->kept);
}

static void end_ticket(struct model *m, struct shadow *s, enum park_state state,
                       enum park_reason reason)
{
    s->state = state;
    s->reason = reason;
    m->ended[state]++;
}

/* Ends one task, and the ticket with the last. */
static void end_part(struct model *m, struct shadow *s, struct part *part, enum park_state state)
{
    let_go(part);
    part->phase = ENDED;
    part->task = NULL;
    s->has_failed = s->has_failed || state == PARK_FAILED;
    s->has_cancelled = s->has_cancelled || state == PARK_CANCELLED;
    for (int i = 0; i < s->task_count; i++) {
        if (s->parts[i].phase != ENDED)
            return;
    }
    if (s->has_failed)
        end_ticket(m, s, PARK_FAILED, PARK_REASON_ERROR);
    else if (s->has_cancelled)
        end_ticket(m, s, PARK_CANCELLED, s->token);
    else
        end_ticket(m, s, PARK_COMPLETED, PARK_REASON_NONE);
}

static void ask_end(struct model *m, struct shadow *s, enum park_reason reason)
{
    if (s->token != PARK_REASON_NONE || park_state_is_terminal(s->state))
        return;
    s->token = reason;
    for (int i = 0; i < s->task_count; i++) {
        struct part *part = &s->parts[i];
        if (part->phase == PARKED) {
            end_part(m, s, part, PARK_CANCELLED);
        } else if (part->phase == REQUEUED) {
            part->phase = BOOKED;
            part->entered = m->entered++;
        }
    }
}

/* Any ticket. */
static struct shadow *pick(struct model *m)
{
    int first = (int)world_below(&m->world, LIVE_MAX);
    for (int i = 0; i < LIVE_MAX; i++) {
        struct shadow *s = &m->shadows[(first + i) % LIVE_MAX];
        if (s->ticket)
            return s;
    }
    return NULL;
}

/* Any task in the hands of the taker. */
static struct at pick_running(struct model *m)
{
    int first = (int)world_below(&m->world, LIVE_MAX * TASKS_MAX);
    for (int i = 0; i < LIVE_MAX * TASKS_MAX; i++) {
        struct at at = at_number(m, (first + i) % (LIVE_MAX * TASKS_MAX));
        if (at.s && at.part->phase == RUNNING)
            return at;
    }
    return (struct at){ NULL, NULL };
}

/* ---- the operations ---- */

/* How many of the tasks of `s` start, with what is here now or with nothing here. */
static int starts_of(struct model *m, const struct shadow *s, bool is_empty)
{
    if (!is_empty &&
        (somebody_was_refused(m) || tasks_in(m, PARKED) > 0 || tasks_in(m, REQUEUED) > 0))
        return 0;
    int n = 0;
    while (n < s->task_count) {
        uint64_t count = (uint64_t)n + 1;
        bool fits = count + (is_empty ? 0 : running_count(m)) <= m->running_max;
        for (int d = 0; d < DIMS; d++) {
            uint64_t taken = is_empty ? 0 : used(m, d) + kept(m, d);
            fits = fits && (s->need[d] == 0 || taken + count * s->need[d] <= m->capacity[d]);
        }
        if (!fits)
            break;
        n++;
    }
    return n;
}

static bool finds_places(struct model *m, const struct shadow *s, bool is_empty)
{
    uint64_t rest = (uint64_t)(s->task_count - starts_of(m, s, is_empty));
    uint64_t places = is_empty ? 0 : tasks_in(m, PARKED);
    uint64_t bytes = is_empty ? 0 : parked_bytes(m);
    return rest == 0 ||
           (places + rest <= m->depth && bytes + s->payload_bytes <= m->queue_bytes_max);
}

static enum park_err expected_answer(struct model *m, const struct shadow *s)
{
    if (m->draining)
        return PARK_E_DRAINING;
    if ((s->need[0] == 0 && s->need[1] == 0) || s->task_count > PARK_TASKS_MAX)
        return PARK_E_INVALID;
    if (s->need[0] > s->limit[0] || s->need[1] > s->limit[1])
        return PARK_E_INVALID;
    if (s->limit[0] > m->capacity[0] || s->limit[1] > m->capacity[1])
        return PARK_E_OVERSIZE;
    return finds_places(m, s, false) ? PARK_OK : PARK_E_QUEUE_FULL;
}

static void count_refusal(struct model *m, enum park_err code)
{
    m->refused_draining += code == PARK_E_DRAINING;
    m->invalid += code == PARK_E_INVALID;
    m->oversize += code == PARK_E_OVERSIZE;
    m->full += code == PARK_E_QUEUE_FULL;
}

/* Sizes of all kinds; rarely such as must be refused. */
static void roll_units(struct model *m, struct shadow *s)
{
    bool is_fixed = world_below(&m->world, 3) == 0; /* limit all zero: need */
    for (int d = 0; d < DIMS; d++) {
        bool is_wild = world_below(&m->world, 40) == 0;
        s->need[d] = world_below(&m->world, is_wild ? 2 * m->capacity[d] : m->capacity[d] / 2);
        s->limit[d] = s->need[d];
        if (!is_fixed && s->need[d] <= m->capacity[d])
            s->limit[d] += world_below(&m->world, m->capacity[d] - s->need[d] + 1);
        if (!is_fixed && world_below(&m->world, 60) == 0)
            s->limit[d] = world_below(&m->world, 2 * m->capacity[d]);
    }
}

static void admit(struct model *m, struct shadow *s)
{
    int starts = starts_of(m, s, false);
    for (int i = 0; i < s->task_count; i++) {
        memcpy(s->parts[i].room, s->need, sizeof s->need);
        if (i < starts)
            start(m, (struct at){ s, &s->parts[i] }, BOOKED);
    }
    note_high_water(m);
}

static void op_submit(struct model *m)
{
    struct shadow *s = m->shadows;
    while (s < m->shadows + LIVE_MAX && s->ticket)
        s++;
    if (s == m->shadows + LIVE_MAX)
        return;
    *s = (struct shadow){ .order = m->order++, .submitted_ns = m->world.now_ns };
    roll_units(m, s);
    s->payload_bytes = world_below(&m->world, 50);
    s->task_count = world_below(&m->world, 2) ? 1 : 1 + (int)world_below(&m->world, TASKS_MAX);
    if (world_below(&m->world, 200) == 0)
        s->task_count = PARK_TASKS_MAX + 1;

    struct park_work work;
    park_work_init(&work);
    bool is_fixed = s->need[0] == s->limit[0] && s->need[1] == s->limit[1];
    for (int d = 0; d < DIMS; d++) {
        work.need.n[d] = s->need[d];
        work.limit.n[d] = is_fixed ? 0 : s->limit[d];
    }
    if (s->limit[0] == 0 && s->limit[1] == 0)
        memcpy(s->limit, s->need, sizeof s->limit);
    work.task_count = s->task_count == 1 ? 0 : (uint32_t)s->task_count;
    work.cost = world_below(&m->world, 100);
    work.payload = &s->payload;
    work.payload_bytes = s->payload_bytes;
    work.payload_destroy = payload_destroy;
    work.user = s;

    enum park_err expected = expected_answer(m, s);
    bool is_hopeless = expected == PARK_E_QUEUE_FULL && !finds_places(m, s, true);
    struct park_refusal refusal;
    park_ticket *ticket;
    ck_assert_int_eq(park_submit(m->pool, &work, &ticket, &refusal), expected);
    m->submitted++;
    if (expected == PARK_OK) {
        admit(m, s);
        s->ticket = ticket;
        note_high_water(m);
        return;
    }
    count_refusal(m, expected);
    ck_assert_ptr_null(ticket);
    ck_assert_int_eq(s->payload.destroyed, 0);
    if ((expected == PARK_E_QUEUE_FULL && !is_hopeless) || expected == PARK_E_DRAINING)
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
        struct at at = next_to_take(m);
        if (!at.s) {
            ck_assert_uint_eq(count, i);
            return;
        }
        ck_assert_uint_lt(i, count);
        ck_assert_ptr_eq(park_task_ticket(tasks[i]), at.s->ticket);
        ck_assert_ptr_eq(park_task_payload(tasks[i]), &at.s->payload);
        ck_assert_uint_eq(park_task_index(tasks[i]), at.part - at.s->parts);
        ck_assert_ptr_eq(park_task_user(tasks[i]), at.part->requeues ? at.part : NULL);
        park_task_set_user(tasks[i], at.part);
        m->came_back += at.part->requeues > 0;
        m->came_back_cancelled += at.part->requeues > 0 && at.s->token != PARK_REASON_NONE;
        if (at.part->phase != BOOKED)
            start(m, at, RUNNING);
        at.part->phase = RUNNING;
        at.part->entered = m->entered++;
        at.part->task = tasks[i];
    }
}

static void op_adjust(struct model *m)
{
    struct at at = pick_running(m);
    if (!at.s)
        return;
    struct park_units total = { { 0 } };
    bool is_beyond = false;
    bool has_room = true;
    for (int d = 0; d < DIMS; d++) {
        uint64_t step = world_below(&m->world, 8);
        total.n[d] = at.part->held[d] + step;
        if (world_below(&m->world, 3) == 0)
            total.n[d] = world_below(&m->world, at.s->limit[d] + 1);
        else if (world_below(&m->world, 8) && total.n[d] > at.s->limit[d])
            total.n[d] = at.s->limit[d];
        is_beyond = is_beyond || total.n[d] > at.s->limit[d];
        has_room = has_room && used(m, d) - at.part->held[d] + total.n[d] <= m->capacity[d];
    }
    enum park_err rc = park_adjust(at.part->task, &total);
    if (is_beyond) {
        ck_assert_int_eq(rc, PARK_E_LIMIT);
        return;
    }
    ck_assert_int_eq(rc, has_room ? PARK_OK : PARK_E_AGAIN);
    at.part->is_refused = !has_room;
    m->grown += has_room;
    m->growth_refused += !has_room;
    for (int d = 0; d < DIMS; d++) {
        uint64_t *room = &at.part->room[d];
        uint64_t *held = &at.part->held[d];
        if (!has_room) {
            *room = total.n[d] > *room ? total.n[d] : *room;
            continue;
        }
        uint64_t missing = *held + at.part->kept[d];
        at.part->kept[d] = missing > total.n[d] ? missing - total.n[d] : 0;
        if (total.n[d] < *held) {
            *room = total.n[d] > at.s->need[d] ? total.n[d] : at.s->need[d];
            at.part->kept[d] = 0;
        }
        *held = total.n[d];
    }
    note_high_water(m);
}

static struct at expected_victim(struct model *m)
{
    struct at oldest = { NULL, NULL };
    struct at at;
    FOR_TASKS(m, at)
    {
        bool is_older = !oldest.s || at.part->entered < oldest.part->entered;
        if (at.part->phase == RUNNING && is_older)
            oldest = at;
    }
    struct at newest[2] = { { NULL, NULL }, { NULL, NULL } }; /* of the tired ones, of the others */
    FOR_TASKS(m, at)
    {
        struct at *best = &newest[at.part->requeues < PARK_PREEMPTS_MAX];
        bool is_newer = !best->s || at.part->entered > best->part->entered;
        if (at.part->phase == RUNNING && at.part != oldest.part && is_newer)
            *best = at;
    }
    return newest[1].s ? newest[1] : newest[0];
}

static void requeue(struct model *m, struct at at)
{
    park_requeue(at.part->task);
    for (int d = 0; d < DIMS; d++) {
        if (at.part->held[d] > at.part->room[d])
            at.part->room[d] = at.part->held[d];
    }
    let_go(at.part);
    at.part->requeues++;
    m->requeues++;
    at.part->phase = at.s->token ? BOOKED : REQUEUED;
    at.part->entered = m->entered++;
}

static void op_victim(struct model *m)
{
    struct at at = expected_victim(m);
    park_task *victim = park_victim(m->pool);
    if (!at.s) {
        ck_assert_ptr_null(victim);
        return;
    }
    ck_assert_ptr_eq(victim, at.part->task);
    m->victims++;
    if (world_below(&m->world, 2))
        requeue(m, at);
}

static void op_requeue(struct model *m)
{
    struct at at = pick_running(m);
    if (at.s)
        requeue(m, at);
}

static void op_finish(struct model *m)
{
    static const enum park_state states[] = { PARK_COMPLETED, PARK_COMPLETED, PARK_FAILED,
                                              PARK_CANCELLED };
    struct at at = pick_running(m);
    if (!at.s)
        return;
    enum park_state state = states[world_below(&m->world, 4)];
    ck_assert_int_eq(park_task_reason(at.part->task), at.s->token);
    finish(at.part->task, state);
    if (state == PARK_FAILED && at.s->token != PARK_REASON_NONE && at.s->token != PARK_REASON_ERROR)
        state = PARK_CANCELLED; /* it was asked to end */
    end_part(m, at.s, at.part, state);
    if (state == PARK_FAILED)
        ask_end(m, at.s, PARK_REASON_ERROR);
}

static void op_cancel(struct model *m)
{
    struct shadow *s = pick(m);
    if (!s)
        return;
    enum park_reason reason = (enum park_reason)(PARK_REASON_CLIENT + world_below(&m->world, 3));
    park_cancel(s->ticket, reason);
    ask_end(m, s, reason);
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
    struct at at = pick_running(m);
    if (!at.s)
        return;
    struct shadow *s = at.s;
    unsigned char data[100];
    size_t len = world_below(&m->world, sizeof data);
    memset(data, (int)((s->event_last + 1) & 0xff), len);
    enum park_err rc = park_emit(at.part->task, (uint32_t)len, data, len);
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
    struct shadow *s = pick(m);
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
    struct at at;
    for (int i = 0; i < LIVE_MAX && mode >= PARK_DRAIN_FINISH_RUNNING; i++) {
        if (m->shadows[i].ticket && m->shadows[i].state == PARK_QUEUED)
            end_ticket(m, &m->shadows[i], PARK_DROPPED, PARK_REASON_DRAINING);
    }
    if (mode == PARK_DRAIN_NOW) {
        /* What waits for the taker comes back in the order in which it was parked. */
        while ((at = first_in(m, PARKED)).s)
            ask_end(m, at.s, PARK_REASON_SHUTDOWN);
        while ((at = first_in(m, REQUEUED)).s)
            ask_end(m, at.s, PARK_REASON_SHUTDOWN);
        for (int i = 0; i < LIVE_MAX; i++) {
            if (m->shadows[i].ticket)
                ask_end(m, &m->shadows[i], PARK_REASON_SHUTDOWN);
        }
    }
    bool is_empty = tickets_in(m, PARK_QUEUED) + tickets_in(m, PARK_RUNNING) == 0;
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

static void compare_ticket(struct model *m, const struct shadow *s)
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
    SAME(stats.queued, tickets_in(m, PARK_QUEUED));
    SAME(stats.running, tickets_in(m, PARK_RUNNING));
    SAME(stats.tasks_queued, tasks_in(m, PARKED) + tasks_in(m, REQUEUED));
    SAME(stats.tasks_running, running_count(m));
    SAME(stats.requeues, m->requeues);
    SAME(stats.queue_high_water, m->queue_high_water);
    struct at oldest = first_in(m, PARKED);
    SAME(stats.oldest_queued_ns, oldest.s ? m->world.now_ns - oldest.s->submitted_ns : 0);
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
    if (dice < 25)
        op_submit(m);
    else if (dice < 40)
        op_take(m);
    else if (dice < 52)
        op_adjust(m);
    else if (dice < 55)
        op_victim(m);
    else if (dice < 57)
        op_requeue(m);
    else if (dice < 69)
        op_finish(m);
    else if (dice < 73)
        op_cancel(m);
    else if (dice < 84)
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
    ck_assert_uint_gt(m.grown, 100);
    ck_assert_uint_gt(m.came_back, 10);
    if (m.running_max > 2)
        ck_assert(m.growth_refused > 50 && m.victims > 50);
    ck_assert_uint_gt(m.came_back_cancelled, 0);
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
    tcase_add_loop_test(tc, the_pool_does_what_the_model_does, 1, 1 + times_of(12, 4));
    return run_suite(suite);
}
