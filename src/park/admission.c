/*
 * Admission: the one decision whether work is booked, parked or refused, and reservations of
 * places for work that is still to be prepared.
 *
 * The order of the checks: draining or disabled, shape, oversize, deadline, then room (starts,
 * and places in the queue for the tasks that cannot start: of the class, of the pool), then
 * memory. The ticket's memory is taken before the lock and given back on a refusal, so that
 * nothing allocates or calls the clock and the generator under it.
 *
 * Threads: any.
 */
#include "park/park_int.h"

#include <string.h>

/* A restarted server needs about this long; the work that is here comes on top. */
#define RESTART_MS 10000.0

void park_work_init(struct park_work *work)
{
    *work = (struct park_work){ .struct_size = sizeof *work, .klass = PARK_CLASS_NORMAL };
}

static bool is_nothing(const struct park_units *units)
{
    static const struct park_units nothing;
    return memcmp(units, &nothing, sizeof nothing) == 0;
}

/* The work with the zeros that stand for something replaced by it. */
static struct park_work whole_work(const struct park_work *given)
{
    struct park_work work = *given;
    if (work.task_count == 0)
        work.task_count = 1;
    if (is_nothing(&work.limit))
        work.limit = work.need;
    if (!work.tenant)
        work.tenant = "";
    return work;
}

static bool is_class(enum park_class klass)
{
    return (unsigned)klass < PARK_CLASS_COUNT;
}

static bool is_tenant(const char *name)
{
    return strnlen(name, PARK_TENANT_BYTES_MAX + 1) <= PARK_TENANT_BYTES_MAX;
}

/* What can be said about the work without looking at the lot. */
static enum park_err check_shape(const park_pool *pool, const struct park_work *work)
{
    if (work->task_count > PARK_TASKS_MAX || !is_class(work->klass) || !is_tenant(work->tenant))
        return PARK_E_INVALID;
    if (is_nothing(&work->need)) /* would bypass the capacity */
        return PARK_E_INVALID;
    for (uint32_t d = 0; d < PARK_DIMS_MAX; d++) {
        if (work->need.n[d] > work->limit.n[d] || (work->limit.n[d] != 0 && d >= pool->dim_count))
            return PARK_E_INVALID;
    }
    return PARK_OK;
}

/* One attempt, from the call to its answer. */
struct attempt {
    struct park_work work;
    enum park_err shape;
    uint64_t starts;           /* of its tasks start now */
    struct park_places places; /* for the others */
    struct park_refusal refusal;
    double wait_ms;          /* until it is worth coming back; negative: never */
    struct park_retry retry; /* the bounds of that */
};

static void attempt_init(struct attempt *a, const park_pool *pool, const struct park_work *given)
{
    *a = (struct attempt){ .shape = PARK_E_INVALID, .wait_ms = -1.0 };
    park_work_init(&a->work);
    a->work.tenant = "";
    if (given->struct_size != sizeof *given) /* what it says cannot be read */
        return;
    a->work = whole_work(given);
    a->shape = check_shape(pool, &a->work);
    if (!is_class(a->work.klass)) /* a refusal is counted for some class and some tenant */
        a->work.klass = PARK_CLASS_NORMAL;
    if (!is_tenant(a->work.tenant))
        a->work.tenant = "";
}

/* Whether a task is larger than the pool, or its start than what its class may have. */
static bool is_oversize(const park_pool *pool, const struct park_work *work,
                        struct park_refusal *refusal)
{
    for (uint32_t d = 0; d < pool->dim_count; d++) {
        uint64_t start_max = park_books_start_max(pool, work->klass, d);
        bool is_whole = work->limit.n[d] > pool->options.capacity.n[d];
        if (!is_whole && work->need.n[d] <= start_max)
            continue;
        refusal->dim = d;
        refusal->requested = is_whole ? work->limit.n[d] : work->need.n[d];
        refusal->available = is_whole ? pool->options.capacity.n[d] : start_max;
        return true;
    }
    return false;
}

static enum park_err check_work_locked(const struct park_pass *pass, struct attempt *a)
{
    const park_pool *pool = pass->pool;
    if (pool->draining)
        return PARK_E_DRAINING;
    if (is_nothing(&pool->options.capacity))
        return PARK_E_NOT_READY;
    if (a->shape)
        return a->shape;
    if (is_oversize(pool, &a->work, &a->refusal))
        return PARK_E_OVERSIZE;
    if (a->work.deadline_ns && a->work.deadline_ns <= pass->now_ns)
        return PARK_E_DEADLINE;
    return PARK_OK;
}

static uint64_t due_ns(const struct park_pass *pass, const struct park_work *work)
{
    if (work->deadline_ns)
        return work->deadline_ns;
    return park_time_after_ms(pass->now_ns, pass->pool->options.classes[work->klass].budget_ms);
}

static bool is_capped_locked(park_pool *pool, const struct park_work *work)
{
    return work->tenant_running_max > 0 &&
           park_order_is_capped_locked(pool, park_tenant_of_locked(pool, work->tenant),
                                       work->tenant_running_max);
}

/* How many tasks of the work would start now: nobody passes what goes before (README rule 2). */
static uint64_t start_count_locked(const struct park_pass *pass, const struct park_work *work,
                                   uint64_t count)
{
    const park_pool *pool = pass->pool;
    if (pool->refused_count > 0 || pool->is_paused || is_capped_locked(pass->pool, work))
        return 0;
    count = park_order_ahead_locked(pool, work->klass, due_ns(pass, work), count);
    return park_books_fit_count_locked(pool, work->klass, &work->need, count);
}

static enum park_err find_room_locked(const struct park_pass *pass, struct attempt *a)
{
    const park_pool *pool = pass->pool;
    const struct park_work *work = &a->work;
    a->starts = start_count_locked(pass, work, work->task_count);
    uint64_t rest = work->task_count - a->starts;
    if (rest == 0)
        return PARK_OK;
    if (!park_books_places_of(&work->need, rest, work->payload_bytes, &a->places))
        return PARK_E_QUEUE_FULL;
    return park_books_has_places(pool, work->klass, &pool->places, &pool->lanes[work->klass].places,
                                 &a->places);
}

/* Whether the work is accepted when nothing else is here. */
static bool can_be_placed(const park_pool *pool, const struct park_work *work)
{
    static const struct park_places none;
    struct park_places places;
    uint64_t starts = park_books_fit_count_empty(pool, work->klass, &work->need, work->task_count);
    uint64_t rest = work->task_count - starts;
    return rest == 0 ||
           (park_books_places_of(&work->need, rest, work->payload_bytes, &places) &&
            park_books_has_places(pool, work->klass, &none, &none, &places) == PARK_OK);
}

/* The time until it is worth coming back, in ms; negative: never. README rule 13. */
static double wait_estimate_ms_locked(const park_pool *pool, enum park_err code,
                                      const struct park_work *work)
{
    double rate = park_rate_per_s(&pool->rate, pool->running_cost);
    double ms_per_cost = rate > 0.0 ? 1000.0 / rate : 0.0;
    double here = (double)pool->queued_cost + (double)pool->running_cost;
    if (code == PARK_E_NOMEM || code == PARK_E_NOT_READY)
        return 0.0;
    if (code == PARK_E_DRAINING)
        return RESTART_MS + here * ms_per_cost;
    if ((code != PARK_E_QUEUE_FULL && code != PARK_E_CLASS_FULL) || !can_be_placed(pool, work))
        return -1.0;
    if (code == PARK_E_CLASS_FULL) /* better classes go first: all of theirs, then its own */
        here = (double)park_tree_sum(&pool->lanes[work->klass].parked).cost;
    double before = 0.0;
    if (code == PARK_E_CLASS_FULL)
        before = (double)park_order_cost_to_locked(pool, work->klass) - here;
    return (before + here / 4.0 + (double)work->cost) * ms_per_cost;
}

static enum park_reject reject_of(enum park_err code)
{
    static const struct {
        enum park_err code;
        enum park_reject reject;
    } rows[] = {
        { PARK_E_OVERSIZE, PARK_REJECT_OVERSIZE },
        { PARK_E_QUEUE_FULL, PARK_REJECT_QUEUE_FULL },
        { PARK_E_CLASS_FULL, PARK_REJECT_CLASS_FULL },
        { PARK_E_DRAINING, PARK_REJECT_DRAINING },
        { PARK_E_DEADLINE, PARK_REJECT_DEADLINE },
        { PARK_E_NOT_READY, PARK_REJECT_NOT_READY },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].code == code)
            return rows[i].reject;
    }
    return PARK_REJECT_OTHER;
}

static void describe_refusal_locked(struct park_pass *pass, struct attempt *a, enum park_err code)
{
    park_pool *pool = pass->pool;
    enum park_class klass = a->work.klass;
    a->refusal.code = code;
    a->refusal.queue_count =
        code == PARK_E_CLASS_FULL ? pool->lanes[klass].parked_count : pool->parked_count;
    a->refusal.position =
        1 + park_order_before_locked(pool, klass, due_ns(pass, &a->work), UINT64_MAX).tasks;
    a->wait_ms = wait_estimate_ms_locked(pool, code, &a->work);
    a->retry = park_options_retry(&pool->options);
}

static void count_rejection_locked(struct park_pass *pass, const struct attempt *a)
{
    park_pool *pool = pass->pool;
    enum park_class klass = a->work.klass;
    pool->submitted++;
    pool->rejected[reject_of(a->refusal.code)]++;
    pool->lanes[klass].counts.submitted++;
    pool->lanes[klass].counts.rejected++;
    struct park_tenant *tenant = park_tenant_of_locked(pool, a->work.tenant);
    tenant->counts.submitted++;
    tenant->counts.rejected++;
    struct park_audit record = {
        .event = PARK_AUDIT_REJECT,
        .klass = (uint16_t)klass,
        .err = (int16_t)a->refusal.code,
        .units = a->work.need,
    };
    memcpy(record.tenant, a->work.tenant, strlen(a->work.tenant));
    park_audit_add_locked(pass, record, NULL, NULL);
}

static void give_refusal(const park_pool *pool, struct attempt *a, struct park_refusal *out)
{
    if (!out)
        return;
    if (a->wait_ms >= 0.0)
        a->refusal.retry_after_ms =
            park_retry_after_ms(&a->retry, a->wait_ms, random_u64(&pool->random));
    *out = a->refusal;
}

static uint64_t shorter_ms(uint64_t a, uint64_t b)
{
    return a && (!b || a < b) ? a : b;
}

static void set_terms_locked(const struct park_pass *pass, park_ticket *ticket,
                             const struct park_work *work)
{
    const struct park_options *o = &pass->pool->options;
    uint64_t queue_ms =
        shorter_ms(work->queue_timeout_ms, o->classes[work->klass].queue_timeout_ms);
    ticket->ring.bytes_max = o->events_bytes_max;
    ticket->submitted_ns = pass->now_ns;
    ticket->node.key = due_ns(pass, work);
    ticket->queue_end_ns = park_time_after_ms(pass->now_ns, queue_ms);
    ticket->total_end_ns =
        park_time_after_ms(pass->now_ns, shorter_ms(work->total_timeout_ms, o->total_timeout_ms));
    ticket->run_timeout_ns =
        park_time_after_ms(0, shorter_ms(work->run_timeout_ms, o->run_timeout_ms));
}

/* ---- reservations ---- */

void park_reservation_give_locked(park_pool *pool, park_reservation *reservation)
{
    park_books_unreserve_locked(pool, reservation->klass, &reservation->places);
    pool->unsecured_count -= reservation->unsecured_count;
    reservation->places = (struct park_places){ 0 };
    reservation->unsecured_count = 0;
    park_timer_set_locked(pool, &reservation->timer, PARK_NEVER);
}

/* Places for all tasks; else, if all that has no place would start at once, a promise. */
static enum park_err reserve_locked(const struct park_pass *pass, struct attempt *a,
                                    park_reservation *reservation)
{
    park_pool *pool = pass->pool;
    const struct park_work *work = &a->work;
    struct park_places places;
    enum park_err rc = PARK_E_QUEUE_FULL;
    if (park_books_places_of(&work->need, work->task_count, work->payload_bytes, &places))
        rc = park_books_has_places(pool, work->klass, &pool->places,
                                   &pool->lanes[work->klass].places, &places);
    uint64_t promised = pool->unsecured_count + work->task_count;
    bool is_promise = rc != PARK_OK && start_count_locked(pass, work, promised) == promised;
    if (rc != PARK_OK && !is_promise)
        return rc;
    if (!reservation)
        return PARK_E_NOMEM;
    if (is_promise) {
        reservation->unsecured_count = work->task_count;
        pool->unsecured_count += work->task_count;
    } else {
        reservation->places = places;
        park_books_reserve_locked(pool, work->klass, &places);
    }
    park_timer_set_locked(pool, &reservation->timer,
                          park_time_after_ms(pass->now_ns, pool->options.reserve_ms));
    return PARK_OK;
}

static void discard_reservation(park_reservation *reservation)
{
    if (!reservation)
        return;
    park_pool_unref(reservation->pool);
    mem_free(reservation);
}

enum park_err park_reserve(park_pool *pool, const struct park_work *estimate,
                           park_reservation **out, struct park_refusal *refusal)
{
    struct attempt a;
    attempt_init(&a, pool, estimate);
    *out = NULL;
    park_reservation *reservation = mem_calloc(MEM_PARK, 1, sizeof *reservation);
    if (reservation) {
        reservation->pool = pool;
        park_pool_ref(pool);
        reservation->klass = a.work.klass;
        reservation->timer.kind = PARK_TIMER_RESERVATION;
    }
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    enum park_err rc = check_work_locked(&pass, &a);
    if (!rc)
        rc = reserve_locked(&pass, &a, reservation);
    if (rc) {
        describe_refusal_locked(&pass, &a, rc);
        count_rejection_locked(&pass, &a);
    }
    park_pass_end(&pass);
    give_refusal(pool, &a, refusal);
    if (!rc)
        *out = reservation;
    else
        discard_reservation(reservation);
    return rc;
}

void park_unreserve(park_reservation *reservation)
{
    if (!reservation)
        return;
    struct park_pass pass;
    park_pass_begin(&pass, reservation->pool);
    park_reservation_give_locked(reservation->pool, reservation);
    park_pass_end(&pass);
    discard_reservation(reservation);
}

/* ---- submission ---- */

static enum park_err submit_locked(struct park_pass *pass, struct attempt *a, park_ticket *ticket)
{
    park_pool *pool = pass->pool;
    if (a->work.reservation)
        park_reservation_give_locked(pool, a->work.reservation);
    enum park_err rc = check_work_locked(pass, a);
    if (!rc)
        rc = find_room_locked(pass, a);
    if (!rc && !ticket)
        rc = PARK_E_NOMEM;
    if (rc) {
        describe_refusal_locked(pass, a, rc);
        count_rejection_locked(pass, a);
        return rc;
    }
    ticket->tenant = park_tenant_of_locked(pool, a->work.tenant);
    set_terms_locked(pass, ticket, &a->work);
    park_index_add_locked(pool, ticket->record);
    park_lot_admit_locked(pass, ticket, a->starts);
    return PARK_OK;
}

enum park_err park_submit(park_pool *pool, const struct park_work *given, park_ticket **out,
                          struct park_refusal *refusal)
{
    struct attempt a;
    attempt_init(&a, pool, given);
    *out = NULL;
    park_ticket *ticket = a.shape ? NULL : park_ticket_create(pool, &a.work);
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    enum park_err rc = submit_locked(&pass, &a, ticket);
    park_pass_end(&pass);
    discard_reservation(a.work.reservation);
    give_refusal(pool, &a, refusal);
    if (!rc)
        *out = ticket;
    else if (ticket)
        park_ticket_discard(ticket);
    return rc;
}
