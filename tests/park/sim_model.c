#include "sim_model.h"

#include <string.h>

#define NEVER UINT64_MAX

/* ---- looking ---- */

static bool is_over(const struct sim_ticket *t)
{
    return park_state_is_terminal(t->state);
}

struct sim_at sim_number(struct sim *m, int number)
{
    struct sim_ticket *t = &m->tickets[number / SIM_TASKS_MAX];
    int index = number % SIM_TASKS_MAX;
    if (!t->is_used || index >= t->count || t->parts[index].phase == SIM_ENDED)
        return (struct sim_at){ NULL, NULL };
    return (struct sim_at){ t, &t->parts[index] };
}

static bool is_waiting(struct sim_at at)
{
    return at.p->phase == SIM_PARKED || at.p->phase == SIM_REQUEUED;
}

/* Rule 32. */
bool sim_is_capped(const struct sim *m, const struct sim_ticket *t)
{
    uint64_t n = 0;
    for (int i = 0; i < SIM_LIVE_MAX; i++)
        n += m->tickets[i].is_used && m->tickets[i].tenant == t->tenant &&
             m->tickets[i].state == PARK_RUNNING;
    return t->state == PARK_QUEUED && t->tenant && t->running_max && n >= t->running_max;
}

static bool is_startable(const struct sim *m, struct sim_at at)
{
    return is_waiting(at) && !sim_is_capped(m, at.t);
}

uint64_t sim_count(struct sim *m, enum sim_phase phase)
{
    uint64_t n = 0;
    struct sim_at at;
    FOR_SIM(m, at)
    n += at.p->phase == phase;
    return n;
}

static uint64_t running_count(struct sim *m)
{
    return sim_count(m, SIM_BOOKED) + sim_count(m, SIM_RUNNING);
}

static uint64_t used_from(struct sim *m, int klass, int dim)
{
    uint64_t sum = 0;
    struct sim_at at;
    FOR_SIM(m, at)
    sum += (int)at.t->klass >= klass ? at.p->held[dim] : 0;
    return sum;
}

uint64_t sim_used(struct sim *m, int dim)
{
    return used_from(m, 0, dim);
}

static uint64_t kept(struct sim *m, int dim)
{
    uint64_t sum = 0;
    struct sim_at at;
    FOR_SIM(m, at)
    sum += at.p->kept[dim];
    return sum;
}

static bool somebody_was_refused(struct sim *m)
{
    struct sim_at at;
    FOR_SIM(m, at)
    {
        if (at.p->is_refused)
            return true;
    }
    return false;
}

/* Whether `need` more may start in a class, as far as the reserves of better ones go. */
static bool reserve_allows(struct sim *m, int klass, const uint64_t *need, bool is_empty)
{
    for (int d = 0; d < SIM_DIMS; d++) {
        uint64_t reserved = 0;
        for (int c = 0; c < klass; c++) {
            reserved += m->o.classes[c].reserved.n[d];
            uint64_t below = is_empty ? 0 : used_from(m, c + 1, d);
            if (reserved > 0 && need[d] > 0 && below + need[d] + reserved > m->o.capacity.n[d])
                return false;
        }
    }
    return true;
}

bool sim_fits(struct sim *m, struct sim_at at)
{
    for (int d = 0; d < SIM_DIMS; d++) {
        uint64_t taken = sim_used(m, d) + kept(m, d);
        if (at.p->room[d] > 0 && taken + at.p->room[d] > m->o.capacity.n[d])
            return false;
    }
    return running_count(m) < m->o.running_max &&
           reserve_allows(m, (int)at.t->klass, at.t->need, false);
}

static bool is_older(struct sim_at a, struct sim_at b)
{
    return a.t->order != b.t->order ? a.t->order < b.t->order : a.p < b.p;
}

/* Rule 2, for two tasks that wait. */
static bool goes_before(struct sim_at a, struct sim_at b)
{
    if (a.t->klass != b.t->klass)
        return a.t->klass < b.t->klass;
    if (a.p->phase != b.p->phase)
        return a.p->phase == SIM_REQUEUED;
    if (a.p->phase == SIM_PARKED && a.t->due != b.t->due)
        return a.t->due < b.t->due;
    return is_older(a, b);
}

static struct sim_at best_waiting(struct sim *m)
{
    struct sim_at best = { NULL, NULL };
    struct sim_at at;
    FOR_SIM(m, at)
    {
        if (is_startable(m, at) && (!best.t || goes_before(at, best)))
            best = at;
    }
    return best;
}

static bool is_aged(struct sim *m, struct sim_at at)
{
    uint64_t aging_ms = m->o.classes[at.t->klass].aging_ms;
    return is_startable(m, at) && aging_ms > 0 && m->o.aging_share > 0 &&
           m->world.now_ns > at.t->submitted + aging_ms * MS_NS;
}

/*
 * Rule 20: the oldest aged task, one for each class (its oldest task that waits), that no reserve
 * holds back; and whether one waits below class `top`.
 */
static struct sim_at oldest_aged(struct sim *m, int top, bool *is_behind)
{
    struct sim_at oldest = { NULL, NULL };
    *is_behind = false;
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        struct sim_at first = { NULL, NULL };
        struct sim_at at;
        FOR_SIM(m, at)
        {
            if ((int)at.t->klass == c && is_startable(m, at) && (!first.t || is_older(at, first)))
                first = at;
        }
        if (!first.t || !is_aged(m, first) || !reserve_allows(m, c, first.t->need, false))
            continue;
        *is_behind = *is_behind || c > top;
        if (!oldest.t || is_older(first, oldest))
            oldest = first;
    }
    return oldest;
}

/* Whom the rules name, fits or not. */
static struct sim_at named(struct sim *m)
{
    struct sim_at best = best_waiting(m);
    if (!best.t)
        return best;
    bool is_behind;
    struct sim_at aged = oldest_aged(m, (int)best.t->klass, &is_behind);
    return is_behind && m->passed_over + 1 >= m->o.aging_share ? aged : best;
}

struct sim_at sim_next(struct sim *m)
{
    struct sim_at none = { NULL, NULL };
    if (m->is_paused || somebody_was_refused(m))
        return none;
    struct sim_at at = named(m);
    return at.t && sim_fits(m, at) ? at : none;
}

uint64_t sim_position(struct sim *m, const struct sim_ticket *t)
{
    struct sim_at first = { (struct sim_ticket *)(uintptr_t)t,
                            (struct sim_part *)(uintptr_t)&t->parts[0] };
    uint64_t n = 1;
    struct sim_at at;
    FOR_SIM(m, at)
    n += is_waiting(at) && goes_before(at, first);
    return t->state == PARK_QUEUED ? n : 0;
}

/* ---- starts ---- */

/* Counts for every aged task how often a better class started before it: within the bound. */
static void note_passes(struct sim *m, struct sim_at started)
{
    int top = (int)started.t->klass;
    struct sim_at at;
    struct sim_at older;
    int i;
    FOR_SIM(m, at)
    top = is_startable(m, at) && (int)at.t->klass < top ? (int)at.t->klass : top;
    for (i = 0; i < SIM_LIVE_MAX * SIM_TASKS_MAX; i++) {
        at = sim_number(m, i);
        if (at.t && sim_is_capped(m, at.t))
            at.p->is_aged = false; /* others had their turns meanwhile: its bound begins anew */
        if (!at.t || at.p == started.p || !is_aged(m, at))
            continue;
        if (!at.p->is_aged) {
            uint64_t k = 1;
            at.p->passed = 0;
            FOR_SIM(m, older)
            k += is_waiting(older) && older.t->klass != PARK_CLASS_CRITICAL && is_older(older, at);
            at.p->is_aged = true;
            at.p->passed_max = k * m->o.aging_share;
        }
        at.p->passed += (int)at.t->klass > top;
        if (m->is_simple && at.p->passed >= at.p->passed_max)
            ck_abort_msg("an aged task was passed over %d times", (int)at.p->passed);
    }
}

static void start(struct sim *m, struct sim_at at, enum sim_phase phase)
{
    struct sim_at best = best_waiting(m);
    int top = (int)at.t->klass;
    if (best.t && (int)best.t->klass < top)
        top = (int)best.t->klass;
    bool is_behind;
    struct sim_at aged = oldest_aged(m, top, &is_behind);
    note_passes(m, at);
    if (aged.p && aged.p == at.p)
        m->passed_over = 0;
    else if (is_behind)
        m->passed_over++;
    m->aged_starts += (int)at.t->klass > top;
    m->starts++;
    at.p->phase = phase;
    at.p->entered = m->entered++;
    for (int d = 0; d < SIM_DIMS; d++) {
        at.p->held[d] = at.t->need[d];
        at.p->kept[d] = at.p->room[d] - at.t->need[d];
    }
    if (at.t->state == PARK_QUEUED) {
        at.t->state = PARK_RUNNING;
        at.t->started = m->world.now_ns;
    }
}

/* ---- admission ---- */

struct places {
    uint64_t count;
    uint64_t bytes;
    uint64_t units[SIM_DIMS];
};

static void add_places(struct sim *m, int klass, struct places *sum)
{
    for (int i = 0; i < SIM_LIVE_MAX; i++) {
        struct sim_ticket *t = &m->tickets[i];
        bool has_parked = false;
        for (int k = 0; k < t->count && t->is_used; k++) {
            if (t->parts[k].phase != SIM_PARKED || (klass >= 0 && (int)t->klass != klass))
                continue;
            has_parked = true;
            sum->count++;
            for (int d = 0; d < SIM_DIMS; d++)
                sum->units[d] += t->need[d];
        }
        sum->bytes += has_parked ? t->bytes : 0;
    }
}

static bool within(uint64_t sum, uint64_t max)
{
    return max == 0 || sum <= max;
}

/* The new ticket is in the model with all tasks that cannot start parked. */
static enum park_err check_places(struct sim *m, const struct sim_ticket *t)
{
    const struct park_class_options *c = &m->o.classes[t->klass];
    struct places lane = { 0 };
    struct places all = { 0 };
    add_places(m, (int)t->klass, &lane);
    add_places(m, -1, &all);
    bool lane_fits =
        within(lane.count, c->queue_count_max) && within(lane.bytes, c->queue_bytes_max);
    bool all_fit = all.count <= m->o.queue_count_max && all.bytes <= m->o.queue_bytes_max;
    for (int d = 0; d < SIM_DIMS; d++) {
        lane_fits = lane_fits && within(lane.units[d], c->queue_units_max.n[d]);
        all_fit = all_fit && within(all.units[d], m->o.queue_units_max.n[d]);
    }
    if (!lane_fits)
        return PARK_E_CLASS_FULL;
    return all_fit ? PARK_OK : PARK_E_QUEUE_FULL;
}

static bool is_oversize(struct sim *m, const struct sim_ticket *t)
{
    for (int d = 0; d < SIM_DIMS; d++) {
        if (t->limit[d] > m->o.capacity.n[d])
            return true;
    }
    return !reserve_allows(m, (int)t->klass, t->need, true);
}

enum park_err sim_submit(struct sim *m, struct sim_ticket *t)
{
    if (m->is_draining)
        return PARK_E_DRAINING;
    if (m->o.capacity.n[0] == 0)
        return PARK_E_NOT_READY;
    if (is_oversize(m, t))
        return PARK_E_OVERSIZE;
    if (t->deadline && t->deadline <= m->world.now_ns)
        return PARK_E_DEADLINE;
    struct sim before = *m;
    t->is_used = true;
    t->state = PARK_QUEUED;
    for (int i = 0; i < t->count; i++) {
        t->parts[i].phase = SIM_PARKED;
        memcpy(t->parts[i].room, t->need, sizeof t->need);
    }
    /*
     * It is booked task by task, as long as the rules name it; whether somebody's turn by age
     * comes in between is seen before.
     */
    struct sim_at at;
    bool is_behind;
    oldest_aged(m, (int)t->klass, &is_behind);
    for (uint64_t n = m->passed_over; (at = sim_next(m)).t == t; n++) {
        if (is_behind && n + 1 >= m->o.aging_share)
            break;
        start(m, at, SIM_BOOKED);
    }
    uint64_t parked = 0;
    for (int i = 0; i < t->count; i++)
        parked += t->parts[i].phase == SIM_PARKED;
    enum park_err rc = parked > 0 ? check_places(m, t) : PARK_OK;
    if (rc)
        *m = before;
    else
        m->order++;
    return rc;
}

bool sim_take(struct sim *m, struct sim_at at)
{
    struct sim_at booked = { NULL, NULL }; /* the first that holds units */
    struct sim_at other;
    FOR_SIM(m, other)
    {
        if (other.p->phase == SIM_BOOKED && other.p->held[0] + other.p->held[1] > 0 &&
            (!booked.t || other.p->entered < booked.p->entered))
            booked = other;
    }
    if (at.p->phase == SIM_BOOKED) {
        bool has_units = at.p->held[0] + at.p->held[1] > 0;
        if (has_units && at.p != booked.p)
            return false;
        at.p->phase = SIM_RUNNING;
        at.p->entered = m->entered++;
        return true;
    }
    if (sim_count(m, SIM_BOOKED) > 0 || sim_next(m).p != at.p)
        return false;
    start(m, at, SIM_RUNNING);
    return true;
}

/* ---- ends ---- */

static void let_go(struct sim_part *p)
{
    p->is_refused = false;
    memset(p->held, 0, sizeof p->held);
    memset(p->kept, 0, sizeof p->kept);
}

static enum park_state state_of_token(enum park_reason token)
{
    if (token >= PARK_REASON_QUEUE_TIMEOUT && token <= PARK_REASON_RUN_TIMEOUT)
        return PARK_EXPIRED;
    if (token == PARK_REASON_DRAINING || token == PARK_REASON_NO_LONGER_FITS)
        return PARK_DROPPED;
    return PARK_CANCELLED;
}

static void end_ticket(struct sim *m, struct sim_ticket *t)
{
    if (is_over(t))
        return;
    t->state = PARK_COMPLETED;
    if (t->has_failed) {
        t->state = PARK_FAILED;
        t->reason = PARK_REASON_ERROR;
    } else if (t->was_asked) {
        t->state = state_of_token(t->token);
        t->reason = t->token;
    }
    m->ended[t->state]++;
}

static bool has_tasks(const struct sim_ticket *t)
{
    for (int i = 0; i < t->count; i++) {
        if (t->parts[i].phase != SIM_ENDED)
            return true;
    }
    return false;
}

static void end_part(struct sim *m, struct sim_at at, enum park_state state)
{
    let_go(at.p);
    at.p->phase = SIM_ENDED;
    if (!is_over(at.t)) {
        at.t->has_failed = at.t->has_failed || state == PARK_FAILED;
        at.t->was_asked = at.t->was_asked || state == PARK_CANCELLED;
    }
    if (!has_tasks(at.t))
        end_ticket(m, at.t);
}

void sim_ask_end(struct sim *m, struct sim_ticket *t, enum park_reason reason)
{
    if (t->token != PARK_REASON_NONE || is_over(t))
        return;
    t->token = reason;
    t->token_at = m->world.now_ns;
    for (int i = 0; i < t->count; i++) {
        struct sim_part *p = &t->parts[i];
        if (p->phase == SIM_PARKED) {
            end_part(m, (struct sim_at){ t, p }, PARK_CANCELLED);
        } else if (p->phase == SIM_REQUEUED) {
            p->phase = SIM_BOOKED;
            p->entered = m->entered++;
        }
    }
}

void sim_finish(struct sim *m, struct sim_at at, enum park_state state)
{
    bool was_asked = at.t->token != PARK_REASON_NONE && at.t->token != PARK_REASON_ERROR;
    if (state == PARK_FAILED && was_asked)
        state = PARK_CANCELLED;
    end_part(m, at, state);
    if (state == PARK_FAILED)
        sim_ask_end(m, at.t, PARK_REASON_ERROR);
}

static uint64_t time_of(struct sim *m, const struct sim_ticket *t)
{
    if (is_over(t))
        return NEVER;
    if (t->state == PARK_QUEUED) {
        uint64_t end = t->queue_end < t->total_end ? t->queue_end : t->total_end;
        return t->deadline && t->deadline < end ? t->deadline : end;
    }
    if (t->token != PARK_REASON_NONE)
        return m->o.cancel_grace_ms ? t->token_at + m->o.cancel_grace_ms * MS_NS : NEVER;
    uint64_t end = t->run_ms ? t->started + t->run_ms * MS_NS : NEVER;
    return end < t->total_end ? end : t->total_end;
}

void sim_tick(struct sim *m)
{
    for (int i = 0; i < SIM_LIVE_MAX; i++) {
        struct sim_ticket *t = &m->tickets[i];
        if (!t->is_used || time_of(m, t) > m->world.now_ns)
            continue;
        uint64_t end = t->queue_end < t->total_end ? t->queue_end : t->total_end;
        bool is_deadline = t->deadline && t->deadline <= end;
        if (t->state == PARK_QUEUED)
            sim_ask_end(m, t, is_deadline ? PARK_REASON_DEADLINE : PARK_REASON_QUEUE_TIMEOUT);
        else if (t->token == PARK_REASON_NONE)
            sim_ask_end(m, t, PARK_REASON_RUN_TIMEOUT);
        else {
            t->was_asked = true;
            end_ticket(m, t);
        }
    }
}

/* ---- growth, and who gives way ---- */

enum park_err sim_adjust(struct sim *m, struct sim_at at, const struct park_units *total)
{
    bool has_room = true;
    for (int d = 0; d < SIM_DIMS; d++) {
        uint64_t held = at.p->held[d];
        bool grows = total->n[d] > held;
        if (total->n[d] > at.t->limit[d] || (grows && total->n[d] > m->o.capacity.n[d]))
            return PARK_E_LIMIT;
        if (grows && sim_used(m, d) - held + total->n[d] > m->o.capacity.n[d])
            has_room = false;
    }
    at.p->is_refused = !has_room;
    for (int d = 0; d < SIM_DIMS; d++) {
        uint64_t *room = &at.p->room[d];
        uint64_t had = at.p->held[d] + at.p->kept[d];
        if (!has_room) {
            *room = total->n[d] > *room ? total->n[d] : *room;
            continue;
        }
        if (total->n[d] > at.p->held[d])
            at.p->kept[d] = had > total->n[d] ? had - total->n[d] : 0;
        if (total->n[d] < at.p->held[d]) {
            at.p->kept[d] = 0;
            *room = total->n[d] > at.t->need[d] ? total->n[d] : at.t->need[d];
        }
        at.p->held[d] = total->n[d];
    }
    return has_room ? PARK_OK : PARK_E_AGAIN;
}

/* After the capacity became smaller. */
static bool never_fits(struct sim *m, const struct sim_ticket *t)
{
    for (int d = 0; d < SIM_DIMS; d++) {
        if (t->need[d] > m->o.capacity.n[d] ||
            (t->state == PARK_QUEUED && t->limit[d] > m->o.capacity.n[d]))
            return true;
    }
    return !reserve_allows(m, (int)t->klass, t->need, true);
}

void sim_requeue(struct sim *m, struct sim_at at)
{
    for (int d = 0; d < SIM_DIMS; d++) {
        if (at.p->held[d] > at.p->room[d])
            at.p->room[d] = at.p->held[d];
        uint64_t most = at.t->need[d] > m->o.capacity.n[d] ? at.t->need[d] : m->o.capacity.n[d];
        if (at.p->room[d] > most)
            at.p->room[d] = most;
    }
    let_go(at.p);
    at.p->requeues++;
    at.p->phase = at.t->token ? SIM_BOOKED : SIM_REQUEUED;
    at.p->entered = m->entered++;
    if (never_fits(m, at.t))
        sim_ask_end(m, at.t, PARK_REASON_NO_LONGER_FITS);
}

struct sim_at sim_victim(struct sim *m)
{
    struct sim_at none = { NULL, NULL };
    struct sim_at spared = none;
    struct sim_at victim = none;
    struct sim_at at;
    FOR_SIM(m, at)
    {
        if (at.p->phase != SIM_RUNNING)
            continue;
        if (!spared.t || at.t->klass < spared.t->klass ||
            (at.t->klass == spared.t->klass && at.p->entered < spared.p->entered))
            spared = at;
    }
    FOR_SIM(m, at)
    {
        if (at.p->phase != SIM_RUNNING || at.p == spared.p)
            continue;
        int tired = at.p->requeues >= PARK_PREEMPTS_MAX;
        int other = victim.t && victim.p->requeues >= PARK_PREEMPTS_MAX;
        bool is_better = !victim.t || tired < other ||
                         (tired == other &&
                          (at.t->klass > victim.t->klass ||
                           (at.t->klass == victim.t->klass && at.p->entered > victim.p->entered)));
        if (is_better)
            victim = at;
    }
    return victim;
}

struct sim_at sim_outranked(struct sim *m)
{
    struct sim_at none = { NULL, NULL };
    struct sim_at found = none;
    struct sim_at next = named(m);
    if (!next.t || next.t->klass > PARK_CLASS_HIGH || m->is_paused || somebody_was_refused(m) ||
        sim_fits(m, next))
        return none;
    struct sim then = *m; /* with all low work gone that may be asked */
    struct sim_at at;
    FOR_SIM(&then, at)
    {
        bool may = at.p->phase == SIM_RUNNING && at.t->klass == PARK_CLASS_LOW &&
                   at.p->requeues < PARK_PREEMPTS_MAX && at.t->token == PARK_REASON_NONE;
        if (!may)
            continue;
        struct sim_at here = sim_number(m, i_);
        if (!found.t || here.p->entered > found.p->entered)
            found = here;
        let_go(at.p);
        at.p->phase = SIM_ENDED;
    }
    struct sim_at next_then = { &then.tickets[next.t - m->tickets],
                                &then.tickets[next.t - m->tickets].parts[next.p - next.t->parts] };
    return sim_fits(&then, next_then) ? found : none;
}

/* ---- operation ---- */

void sim_reconfigure(struct sim *m, const struct park_options *options)
{
    m->o = *options;
    struct sim_at at;
    FOR_SIM(m, at)
    {
        for (int d = 0; d < SIM_DIMS; d++) {
            uint64_t capacity = m->o.capacity.n[d];
            uint64_t need = at.t->need[d];
            if (at.p->phase == SIM_PARKED || at.p->phase == SIM_BOOKED ||
                at.p->room[d] <= capacity || at.p->room[d] <= need)
                continue;
            at.p->room[d] = need > capacity ? need : capacity;
            at.p->is_refused = false;
        }
    }
    for (int i = 0; i < SIM_LIVE_MAX; i++) {
        struct sim_ticket *t = &m->tickets[i];
        bool waits = false;
        for (int k = 0; k < t->count && t->is_used; k++)
            waits = waits || is_waiting((struct sim_at){ t, &t->parts[k] });
        if (waits && never_fits(m, t))
            sim_ask_end(m, t, PARK_REASON_NO_LONGER_FITS);
    }
}

void sim_drain(struct sim *m, enum park_drain_mode mode)
{
    m->is_draining = true;
    for (int i = 0; i < SIM_LIVE_MAX; i++) {
        struct sim_ticket *t = &m->tickets[i];
        if (t->is_used && t->state == PARK_QUEUED && mode >= PARK_DRAIN_FINISH_RUNNING)
            sim_ask_end(m, t, PARK_REASON_DRAINING);
        if (t->is_used && t->state == PARK_RUNNING && mode == PARK_DRAIN_NOW)
            sim_ask_end(m, t, PARK_REASON_SHUTDOWN);
    }
}
