#include "helper.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

static uint64_t world_now_ns(void *arg)
{
    const struct world *world = arg;
    return world->now_ns;
}

uint64_t world_random(struct world *world)
{
    world->seed += 0x9e3779b97f4a7c15u;
    return random_mix(world->seed);
}

uint64_t world_below(struct world *world, uint64_t n)
{
    return world_random(world) % n;
}

static void world_fill(void *arg, void *out, size_t len)
{
    unsigned char *p = out;
    while (len > 0) {
        uint64_t x = world_random(arg);
        size_t n = len < sizeof x ? len : sizeof x;
        memcpy(p, &x, n);
        p += n;
        len -= n;
    }
}

struct park_env world_env(struct world *world)
{
    return (struct park_env){ .now_ns = world_now_ns, .random = world_fill, .arg = world };
}

int times_of(int many, int few)
{
    return getenv("VALET_TEST_SLOW") ? few : many;
}

struct park_options options_of(uint64_t capacity, uint64_t depth)
{
    struct park_options options;
    park_options_init(&options);
    options.capacity.n[0] = capacity;
    options.queue_count_max = depth;
    options.running_max = 1000;
    return options;
}

park_pool *pool_of(const struct park_options *options)
{
    park_pool *pool = NULL;
    ck_assert_int_eq(park_pool_create(options, &pool), PARK_OK);
    ck_assert_ptr_nonnull(pool);
    return pool;
}

park_pool *small_pool(uint64_t capacity, uint64_t depth)
{
    struct park_options options = options_of(capacity, depth);
    return pool_of(&options);
}

void check_nothing_is_held(void)
{
    ck_assert_uint_eq(mem_live_blocks(), 0);
    ck_assert_uint_eq(mem_live_bytes(MEM_PARK), 0);
}

void end_pool(park_pool *pool)
{
    struct park_stats stats = stats_of(pool);
    check_identity(&stats);
    park_check(pool);
    park_pool_destroy(pool);
    check_nothing_is_held();
}

void payload_destroy(void *payload)
{
    struct payload *p = payload;
    p->destroyed++;
}

struct park_work work_of(uint64_t need)
{
    struct park_work work;
    park_work_init(&work);
    work.need.n[0] = need;
    work.cost = need;
    return work;
}

park_ticket *submit(park_pool *pool, uint64_t need)
{
    return submit_payload(pool, need, NULL);
}

park_ticket *submit_payload(park_pool *pool, uint64_t need, struct payload *payload)
{
    struct park_work work = work_of(need);
    work.payload = payload;
    work.payload_destroy = payload ? payload_destroy : NULL;
    park_ticket *ticket = NULL;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_OK);
    ck_assert_ptr_nonnull(ticket);
    return ticket;
}

park_ticket *submit_tasks(park_pool *pool, uint32_t count, uint64_t need, uint64_t limit,
                          struct payload *payload)
{
    struct park_work work = work_of(need);
    work.task_count = count;
    work.limit.n[0] = limit;
    work.payload = payload;
    work.payload_destroy = payload ? payload_destroy : NULL;
    park_ticket *ticket = NULL;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_OK);
    ck_assert_ptr_nonnull(ticket);
    return ticket;
}

struct park_refusal refused(park_pool *pool, uint64_t need, enum park_err code)
{
    struct park_work work = work_of(need);
    struct payload payload = { 0 };
    work.payload = &payload;
    work.payload_destroy = payload_destroy;
    struct park_refusal refusal;
    memset(&refusal, 0xee, sizeof refusal);
    park_ticket *ticket = (park_ticket *)&payload;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, &refusal), code);
    ck_assert_ptr_null(ticket);
    ck_assert_int_eq(refusal.code, code);
    ck_assert_int_eq(payload.destroyed, 0); /* it stays the caller's */
    return refusal;
}

park_ticket *submit_work(park_pool *pool, const struct park_work *work)
{
    park_ticket *ticket = NULL;
    ck_assert_int_eq(park_submit(pool, work, &ticket, NULL), PARK_OK);
    ck_assert_ptr_nonnull(ticket);
    return ticket;
}

park_ticket *submit_class(park_pool *pool, enum park_class klass, uint64_t need)
{
    struct park_work work = work_of(need);
    work.klass = klass;
    return submit_work(pool, &work);
}

struct park_refusal refused_work(park_pool *pool, const struct park_work *work, enum park_err code)
{
    struct park_refusal refusal;
    park_ticket *ticket = (park_ticket *)&refusal;
    ck_assert_int_eq(park_submit(pool, work, &ticket, &refusal), code);
    ck_assert_ptr_null(ticket);
    ck_assert_int_eq(refusal.code, code);
    return refusal;
}

park_task *take_of(park_pool *pool, const park_ticket *ticket)
{
    park_task *task = take_one(pool);
    ck_assert_ptr_nonnull(task);
    ck_assert_ptr_eq(park_task_ticket(task), ticket);
    return task;
}

void run_of(park_pool *pool, const park_ticket *ticket)
{
    finish(take_of(pool, ticket), PARK_COMPLETED);
}

park_task *take_one(park_pool *pool)
{
    park_task *task = NULL;
    return park_take(pool, &task, 1) == 1 ? task : NULL;
}

enum park_err adjust(park_task *task, uint64_t total)
{
    return park_adjust(task, &(struct park_units){ { total } });
}

void finish(park_task *task, enum park_state state)
{
    struct park_outcome outcome = { .state = state };
    park_finish(task, &outcome);
}

enum park_state state_of(const park_ticket *ticket)
{
    struct park_status status;
    park_status(ticket, &status);
    return status.state;
}

enum park_reason reason_of(const park_ticket *ticket)
{
    struct park_status status;
    park_status(ticket, &status);
    return status.reason;
}

struct park_stats stats_of(park_pool *pool)
{
    struct park_stats stats;
    park_stats(pool, &stats);
    return stats;
}

void check_identity(const struct park_stats *s)
{
    struct park_counts sum = { 0 };
    SAME(s->submitted, s->rejected + s->queued + s->running + s->completed + s->failed +
                           s->cancelled + s->dropped + s->expired);
    SAME(s->rejected, s->rejected_oversize + s->rejected_queue_full + s->rejected_class_full +
                          s->rejected_draining + s->rejected_deadline + s->rejected_not_ready +
                          s->rejected_other);
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        const struct park_counts *k = &s->classes[c].counts;
        SAME(k->submitted, k->rejected + k->queued + k->running + k->completed + k->failed +
                               k->cancelled + k->dropped + k->expired);
        /* each ticket's wait is measured once: at its start, or at an end without one */
        SAME(s->classes[c].wait.count, k->submitted - k->rejected - k->queued);
        sum.submitted += k->submitted;
        sum.completed += k->completed;
        sum.expired += k->expired;
    }
    SAME(sum.submitted, s->submitted);
    SAME(sum.completed, s->completed);
    SAME(sum.expired, s->expired);
    for (uint32_t d = 0; d < s->dim_count; d++) {
        if (s->used.n[d] > s->high_water.n[d] || s->high_water.n[d] > s->capacity.n[d])
            ck_abort_msg("more units than there are");
    }
}

bool fd_is_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

TCase *add_case(Suite *suite, const char *name, double seconds)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, seconds);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
