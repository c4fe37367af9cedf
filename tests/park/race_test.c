/* Many threads at once, with bounded work; meant for the thread sanitizer as well. */
#include "helper.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static atomic_int g_destroyed;

static void count_destroyed(void *payload)
{
    (void)payload;
    atomic_fetch_add(&g_destroyed, 1);
}

/* ---- submitters and one taker ---- */

enum {
    SUBMITTERS = 4,
    SUBMISSIONS = 500,
    CAPACITY = 16
};

struct submitter {
    park_pool *pool;
    uint64_t seed;
    uint64_t refused;
};

static void *submit_many(void *arg)
{
    struct submitter *me = arg;
    struct world world = { .seed = me->seed };
    for (int i = 0; i < SUBMISSIONS; i++) {
        struct park_work work = work_of(1 + world_below(&world, CAPACITY));
        work.payload_destroy = count_destroyed;
        park_ticket *ticket;
        enum park_err rc = park_submit(me->pool, &work, &ticket, NULL);
        if (rc == PARK_E_QUEUE_FULL) {
            me->refused++;
            sched_yield();
            continue;
        }
        if (rc != PARK_OK)
            return NULL;
        if (world_below(&world, 4) == 0 && park_wait(ticket, -1) != PARK_OK)
            return NULL;
        park_ticket_unref(ticket);
    }
    return me;
}

/* Ends what it takes, newest first, a few at a time. */
static void *take_all(void *arg)
{
    park_pool *pool = arg;
    park_task *held[CAPACITY];
    size_t count = 0;
    while (!park_is_drained(pool)) {
        size_t n = park_take(pool, held + count, CAPACITY - count);
        count += n;
        if (count > 0)
            finish(held[--count], PARK_COMPLETED);
        else if (n == 0)
            park_take_wait(pool, -1);
    }
    return NULL;
}

START_TEST(units_are_never_exceeded_by_many_submitters)
{
    park_pool *pool = small_pool(CAPACITY, 8);
    atomic_store(&g_destroyed, 0);
    pthread_t taker;
    pthread_create(&taker, NULL, take_all, pool);
    struct submitter submitters[SUBMITTERS];
    pthread_t threads[SUBMITTERS];
    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i] = (struct submitter){ .pool = pool, .seed = (uint64_t)i + 1 };
        pthread_create(&threads[i], NULL, submit_many, &submitters[i]);
    }
    uint64_t refused_count = 0;
    for (int i = 0; i < SUBMITTERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        ck_assert_ptr_eq(result, &submitters[i]);
        refused_count += submitters[i].refused;
    }
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_ALL, -1), PARK_OK);
    pthread_join(taker, NULL);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_le(stats.high_water.n[0], CAPACITY);
    ck_assert_uint_eq(stats.used.n[0], 0);
    ck_assert_uint_eq(stats.submitted, SUBMITTERS * SUBMISSIONS);
    ck_assert_uint_eq(stats.rejected_queue_full, refused_count);
    ck_assert_uint_eq(stats.completed, SUBMITTERS * SUBMISSIONS - refused_count);
    ck_assert_uint_le(stats.queue_high_water, 8);
    ck_assert_uint_eq(atomic_load(&g_destroyed), stats.completed);
    end_pool(pool);
}
END_TEST

/* ---- cancel against take and finish ---- */

struct duel {
    park_pool *pool;
    park_ticket *ticket;
    pthread_barrier_t start;
};

static void *cancel_it(void *arg)
{
    struct duel *duel = arg;
    pthread_barrier_wait(&duel->start);
    park_cancel(duel->ticket, PARK_REASON_CLIENT);
    return NULL;
}

START_TEST(racing_cancels_and_finish_give_exactly_one_end)
{
    struct duel duel;
    pthread_barrier_init(&duel.start, NULL, 3);
    for (int round = 0; round < 200; round++) {
        duel.pool = small_pool(1, 1);
        atomic_store(&g_destroyed, 0);
        /* On odd rounds the duel is about a parked ticket that is about to be taken. */
        park_ticket *before = round % 2 ? submit(duel.pool, 1) : NULL;
        struct park_work work = work_of(1);
        work.payload_destroy = count_destroyed;
        ck_assert_int_eq(park_submit(duel.pool, &work, &duel.ticket, NULL), PARK_OK);
        if (before) {
            finish(take_one(duel.pool), PARK_COMPLETED);
            park_ticket_unref(before);
        }
        park_task *task = round % 2 ? NULL : take_one(duel.pool);

        pthread_t cancellers[2];
        for (int i = 0; i < 2; i++)
            pthread_create(&cancellers[i], NULL, cancel_it, &duel);
        pthread_barrier_wait(&duel.start);
        if (!task)
            task = take_one(duel.pool);
        if (task)
            finish(task, park_task_cancelled(task) ? PARK_CANCELLED : PARK_COMPLETED);
        for (int i = 0; i < 2; i++)
            pthread_join(cancellers[i], NULL);

        struct park_stats stats = stats_of(duel.pool);
        ck_assert_uint_eq(stats.completed + stats.cancelled, before ? 2 : 1);
        ck_assert_uint_eq(stats.queued + stats.running + stats.used.n[0], 0);
        bool was_cancelled = state_of(duel.ticket) == PARK_CANCELLED;
        ck_assert_uint_eq(stats.cancelled, was_cancelled);
        ck_assert_int_eq(reason_of(duel.ticket),
                         was_cancelled ? PARK_REASON_CLIENT : PARK_REASON_NONE);
        ck_assert_int_eq(atomic_load(&g_destroyed), 1);
        park_ticket_unref(duel.ticket);
        end_pool(duel.pool);
    }
    pthread_barrier_destroy(&duel.start);
}
END_TEST

/* ---- everything at once ---- */

enum {
    CROWD = 2,
    CROWD_WORKS = 250,
    CROWD_CAPACITY = 8,
    CROWD_EVENTS = 12,
    CROWD_TASKS = 3
};

struct crowd {
    park_pool *pool;
    park_inbox *inbox;
    atomic_ulong accepted;
    atomic_bool is_over; /* `accepted` is final */
    atomic_ulong ended;  /* seen by the reader */
    atomic_int wrong;
};

/* What is remembered of a ticket; freed by nobody: it lies in a table. */
struct follower {
    /* set before the submission */
    uint64_t need;
    uint32_t task_count;

    /* the taker */
    uint64_t emitted[CROWD_TASKS]; /* by each task, kept while it is requeued */

    /* the reader */
    uint64_t after;
    bool has_ended;
};

/* Units that a task may grow to, one with every third event. */
static uint64_t crowd_limit(const struct follower *f)
{
    uint64_t limit = f->need + CROWD_EVENTS / 3;
    return limit < CROWD_CAPACITY ? limit : CROWD_CAPACITY;
}

static struct park_work crowd_work(struct follower *f, park_inbox *inbox)
{
    struct park_work work = work_of(f->need);
    work.limit.n[0] = crowd_limit(f);
    work.task_count = f->task_count;
    work.payload_destroy = count_destroyed;
    work.inbox = inbox;
    work.user = f;
    return work;
}

struct member {
    struct crowd *crowd;
    uint64_t seed;
    struct follower followers[CROWD_WORKS];
};

static void *crowd_submit(void *arg)
{
    struct member *me = arg;
    struct crowd *crowd = me->crowd;
    struct world world = { .seed = me->seed };
    for (int i = 0; i < CROWD_WORKS; i++) {
        struct follower *f = &me->followers[i];
        f->need = 1 + world_below(&world, CROWD_CAPACITY);
        f->task_count = 1 + (uint32_t)world_below(&world, CROWD_TASKS);
        struct park_work work = crowd_work(f, crowd->inbox);
        work.payload_bytes = world_below(&world, 100);
        park_ticket *ticket;
        if (park_submit(crowd->pool, &work, &ticket, NULL) != PARK_OK) {
            sched_yield();
            continue;
        }
        atomic_fetch_add(&crowd->accepted, 1);
        if (world_below(&world, 5) == 0)
            park_cancel(ticket, PARK_REASON_CLIENT);
        else if (world_below(&world, 5) == 0 && park_wait(ticket, 1) == PARK_E_TIMEOUT)
            park_cancel(ticket, PARK_REASON_DISCONNECT);
        park_ticket_unref(ticket);
    }
    return NULL;
}

static void crowd_submit_last(struct crowd *crowd, struct follower *follower)
{
    *follower = (struct follower){ .need = 1, .task_count = 1 };
    struct park_work work = crowd_work(follower, crowd->inbox);
    park_ticket *ticket;
    while (park_submit(crowd->pool, &work, &ticket, NULL) != PARK_OK)
        sched_yield();
    park_ticket_unref(ticket);
}

/* The tasks in the hands of the taker; the user pointer of each counts its events. */
struct batch {
    park_pool *pool;
    park_task *rows[CROWD_CAPACITY];
    size_t count;
};

static void batch_leave(struct batch *batch, const park_task *task)
{
    size_t i = 0;
    while (batch->rows[i] != task)
        i++;
    batch->rows[i] = batch->rows[--batch->count];
}

/* Makes room for the next event of a row; false if the row gave way itself or has to wait. */
static bool row_grows(struct batch *batch, park_task *task)
{
    const struct follower *f = park_ticket_user(park_task_ticket(task));
    const uint64_t *emitted = park_task_user(task);
    uint64_t total = f->need + *emitted / 3;
    uint64_t limit = crowd_limit(f);
    while (adjust(task, total < limit ? total : limit) == PARK_E_AGAIN) {
        park_task *victim = park_victim(batch->pool);
        if (!victim)
            return false;
        batch_leave(batch, victim);
        park_requeue(victim);
        if (victim == task)
            return false;
    }
    return true;
}

/* One step of a row; true if it did something. */
static bool row_step(struct batch *batch, park_task *task)
{
    uint64_t *emitted = park_task_user(task);
    bool is_cancelled = park_task_cancelled(task);
    if (is_cancelled || *emitted == CROWD_EVENTS) {
        batch_leave(batch, task);
        finish(task, is_cancelled ? PARK_CANCELLED : PARK_COMPLETED);
        return true;
    }
    if (!row_grows(batch, task))
        return false;
    struct park_status status;
    park_status(park_task_ticket(task), &status);
    uint64_t number = status.event_last + 1;
    if (park_emit(task, 1, &number, sizeof number) != PARK_OK)
        return false;
    ++*emitted;
    return true;
}

static void batch_take(struct batch *batch)
{
    park_task **rows = batch->rows + batch->count;
    size_t n = park_take(batch->pool, rows, CROWD_CAPACITY - batch->count);
    for (size_t i = 0; i < n; i++) {
        struct follower *f = park_ticket_user(park_task_ticket(rows[i]));
        if (!park_task_user(rows[i]))
            park_task_set_user(rows[i], &f->emitted[park_task_index(rows[i])]);
    }
    batch->count += n;
}

static void *crowd_take(void *arg)
{
    struct crowd *crowd = arg;
    struct batch batch = { .pool = crowd->pool };
    while (!park_is_drained(crowd->pool)) {
        batch_take(&batch);
        bool has_moved = false;
        for (size_t i = batch.count; i-- > 0;) {
            if (i < batch.count && row_step(&batch, batch.rows[i]))
                has_moved = true;
        }
        if (!has_moved)
            park_take_wait(crowd->pool, -1);
    }
    return NULL;
}

static void crowd_read_ticket(struct crowd *crowd, park_ticket *ticket)
{
    struct follower *f = park_ticket_user(ticket);
    bool has_ended = park_state_is_terminal(state_of(ticket));
    char buffer[64];
    struct park_event events[4];
    size_t count;
    do {
        enum park_err rc =
            park_events_read(ticket, f->after, buffer, sizeof buffer, events, 4, &count, NULL);
        if (rc != PARK_OK)
            atomic_fetch_add(&crowd->wrong, 1);
        for (size_t i = 0; i < count; i++) {
            f->after++;
            uint64_t number;
            memcpy(&number, events[i].data, sizeof number);
            if (events[i].seq != f->after || number != f->after)
                atomic_fetch_add(&crowd->wrong, 1);
        }
    } while (count > 0);
    if (!has_ended || f->has_ended)
        return;
    f->has_ended = true;
    atomic_fetch_add(&crowd->ended, 1);
    if (state_of(ticket) == PARK_COMPLETED && f->after != CROWD_EVENTS * f->task_count)
        atomic_fetch_add(&crowd->wrong, 1);
}

static void *crowd_read(void *arg)
{
    struct crowd *crowd = arg;
    struct pollfd p = { .fd = park_inbox_fd(crowd->inbox), .events = POLLIN };
    while (!atomic_load(&crowd->is_over) ||
           atomic_load(&crowd->ended) < atomic_load(&crowd->accepted)) {
        if (poll(&p, 1, 20000) < 1) {
            atomic_fetch_add(&crowd->wrong, 1); /* a lost wake-up */
            break;
        }
        park_ticket *ticket;
        while ((ticket = park_inbox_next(crowd->inbox)) != NULL) {
            crowd_read_ticket(crowd, ticket);
            park_ticket_unref(ticket);
        }
    }
    return NULL;
}

/* Looks at the books while all others change them. */
static void *crowd_watch(void *arg)
{
    struct crowd *crowd = arg;
    while (!atomic_load(&crowd->is_over)) {
        struct park_stats s = stats_of(crowd->pool);
        uint64_t sum =
            s.rejected + s.queued + s.running + s.completed + s.failed + s.cancelled + s.dropped;
        if (sum != s.submitted || s.used.n[0] > CROWD_CAPACITY)
            atomic_fetch_add(&crowd->wrong, 1);
        park_check(crowd->pool);
        sched_yield();
    }
    return NULL;
}

START_TEST(a_crowd_of_threads_finds_every_event_and_every_end)
{
    static struct member members[CROWD];
    struct park_options options = options_of(CROWD_CAPACITY, 16);
    options.running_max = CROWD_CAPACITY;
    options.events_bytes_max = 80; /* five events: rings are full all the time */
    struct crowd crowd = { .pool = pool_of(&options) };
    ck_assert_int_eq(park_inbox_create(&crowd.inbox), PARK_OK);
    atomic_store(&g_destroyed, 0);
    pthread_t taker;
    pthread_t reader;
    pthread_t watcher;
    pthread_t threads[CROWD];
    pthread_create(&taker, NULL, crowd_take, &crowd);
    pthread_create(&reader, NULL, crowd_read, &crowd);
    pthread_create(&watcher, NULL, crowd_watch, &crowd);
    for (int i = 0; i < CROWD; i++) {
        members[i] = (struct member){ .crowd = &crowd, .seed = (uint64_t)i + 77 };
        pthread_create(&threads[i], NULL, crowd_submit, &members[i]);
    }
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    /* One more ticket, whose end wakes the reader after `is_over` is set. */
    static struct follower last;
    atomic_fetch_add(&crowd.accepted, 1);
    atomic_store(&crowd.is_over, true);
    crowd_submit_last(&crowd, &last);
    ck_assert_int_eq(park_drain(crowd.pool, PARK_DRAIN_FINISH_ALL, -1), PARK_OK);
    pthread_join(taker, NULL);
    pthread_join(watcher, NULL);
    pthread_join(reader, NULL);
    ck_assert_int_eq(atomic_load(&crowd.wrong), 0);
    ck_assert_uint_gt(atomic_load(&crowd.accepted), 0);
    ck_assert_uint_eq(atomic_load(&crowd.ended), atomic_load(&crowd.accepted));
    ck_assert_uint_eq((unsigned long)atomic_load(&g_destroyed), atomic_load(&crowd.accepted));
    ck_assert_uint_gt(stats_of(crowd.pool).requeues, 0);
    park_inbox_destroy(crowd.inbox);
    end_pool(crowd.pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("race");
    TCase *tc = add_case(suite, "race", 100);
    tcase_add_test(tc, units_are_never_exceeded_by_many_submitters);
    tcase_add_test(tc, racing_cancels_and_finish_give_exactly_one_end);
    tcase_add_test(tc, a_crowd_of_threads_finds_every_event_and_every_end);
    return run_suite(suite);
}
