/* When a refused submitter should come back, on a clock and randomness of the test. */
#include "helper.h"

/* One unit runs at a time; each work costs 100. */
static park_pool *slow_pool(struct world *world, uint64_t depth)
{
    struct park_options options = options_of(1, depth);
    options.env = world_env(world);
    return pool_of(&options);
}

static park_ticket *submit_cost(park_pool *pool, uint64_t cost)
{
    struct park_work work = work_of(1);
    work.cost = cost;
    park_ticket *ticket;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_OK);
    return ticket;
}

static uint64_t retry_after_ms(park_pool *pool, uint64_t cost)
{
    struct park_work work = work_of(1);
    work.cost = cost;
    struct park_refusal refusal;
    park_ticket *ticket;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, &refusal), PARK_E_QUEUE_FULL);
    return refusal.retry_after_ms;
}

/* Runs `n` works of `cost` one after the other, each for `each_ns`. */
static void work_off(park_pool *pool, struct world *world, int n, uint64_t cost, uint64_t each_ns)
{
    for (int i = 0; i < n; i++) {
        park_ticket *ticket = submit_cost(pool, cost);
        park_task *task = take_one(pool);
        world->now_ns += each_ns;
        finish(task, PARK_COMPLETED);
        park_ticket_unref(ticket);
    }
}

START_TEST(retry_after_is_the_same_for_the_same_randomness)
{
    uint64_t seen[2];
    for (int i = 0; i < 2; i++) {
        struct world world = { .now_ns = SECOND_NS, .seed = 7 };
        park_pool *pool = slow_pool(&world, 0);
        work_off(pool, &world, 3, 100, 4 * SECOND_NS);
        park_ticket *ticket = submit_cost(pool, 100);
        seen[i] = retry_after_ms(pool, 100);
        park_ticket_unref(ticket);
        end_pool(pool);
    }
    ck_assert_uint_eq(seen[0], seen[1]);
}
END_TEST

START_TEST(retry_after_follows_the_measured_rate)
{
    struct world world = { .now_ns = SECOND_NS };
    park_pool *pool = slow_pool(&world, 4);
    work_off(pool, &world, 500, 5, SECOND_NS / 10); /* 50 a second */
    park_ticket *tickets[5];
    for (int i = 0; i < 5; i++)
        tickets[i] = submit_cost(pool, 100);
    /* A quarter of the 500 that are here and the 100 of the newcomer: 225 / 50 = 4.5 s. */
    uint64_t min = UINT64_MAX;
    uint64_t max = 0;
    for (int i = 0; i < 200; i++) {
        uint64_t ms = retry_after_ms(pool, 100);
        min = ms < min ? ms : min;
        max = ms > max ? ms : max;
    }
    ck_assert_uint_ge(min, 4490);
    ck_assert_uint_le(min, 4700);
    ck_assert_uint_ge(max, 6500);
    ck_assert_uint_le(max, 6760);
    for (int i = 0; i < 5; i++)
        park_ticket_unref(tickets[i]);
    end_pool(pool);
}
END_TEST

START_TEST(an_idle_time_does_not_change_the_rate)
{
    struct world world = { .now_ns = SECOND_NS };
    park_pool *pool = slow_pool(&world, 0);
    work_off(pool, &world, 20, 100, 2 * SECOND_NS);
    world.now_ns += 3600 * SECOND_NS;
    park_ticket *ticket = submit_cost(pool, 100);
    uint64_t ms = retry_after_ms(pool, 1000); /* (25 + 1000) / 50 = 20.5 s */
    ck_assert_uint_ge(ms, 19500);             /* ends come at the end of a second: a little high */
    ck_assert_uint_le(ms, 30800);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(the_rate_forgets_half_in_thirty_seconds)
{
    struct world world = { .now_ns = SECOND_NS };
    park_pool *pool = slow_pool(&world, 0);
    work_off(pool, &world, 1000, 100, SECOND_NS); /* 100 a second, for long */
    work_off(pool, &world, 30, 300, SECOND_NS);   /* 300 a second, for one half-life */
    park_ticket *ticket = submit_cost(pool, 0);
    uint64_t min = UINT64_MAX;
    for (int i = 0; i < 200; i++) {
        uint64_t ms = retry_after_ms(pool, 2000); /* 2000 / 200 = 10 s */
        min = ms < min ? ms : min;
    }
    ck_assert_uint_ge(min, 9700);
    ck_assert_uint_le(min, 10300);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(retry_after_stays_within_one_second_and_one_minute)
{
    struct world world = { .now_ns = SECOND_NS };
    park_pool *pool = slow_pool(&world, 0);
    park_ticket *ticket = submit_cost(pool, 0);
    for (int i = 0; i < 100; i++) { /* nothing is known: at least a second, spread */
        uint64_t ms = retry_after_ms(pool, 0);
        ck_assert_uint_ge(ms, 1000);
        ck_assert_uint_le(ms, 1500);
    }
    finish(take_one(pool), PARK_COMPLETED);
    park_ticket_unref(ticket);
    work_off(pool, &world, 3, 1, 10 * SECOND_NS);
    ticket = submit_cost(pool, 1);
    ck_assert_uint_eq(retry_after_ms(pool, UINT64_MAX), 60000);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(retry_after_has_the_bounds_of_the_options)
{
    struct world world = { .now_ns = SECOND_NS };
    struct park_options options = options_of(1, 0);
    options.env = world_env(&world);
    options.retry_after_min_ms = 300;
    options.retry_after_max_ms = 2000;
    options.retry_after_jitter = 1;
    park_pool *pool = pool_of(&options);
    park_ticket *ticket = submit_cost(pool, 0);
    bool is_spread = false;
    for (int i = 0; i < 100; i++) { /* nothing is known: the least, and up to all of it again */
        uint64_t ms = retry_after_ms(pool, 0);
        ck_assert_uint_ge(ms, 300);
        ck_assert_uint_le(ms, 600);
        is_spread = is_spread || ms > 500;
    }
    ck_assert(is_spread);
    finish(take_one(pool), PARK_COMPLETED);
    park_ticket_unref(ticket);
    work_off(pool, &world, 3, 1, 10 * SECOND_NS);
    ticket = submit_cost(pool, 1);
    ck_assert_uint_eq(retry_after_ms(pool, UINT64_MAX), 2000);
    options.retry_after_min_ms = 0;
    options.retry_after_jitter = 0;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    ck_assert_uint_eq(retry_after_ms(pool, 0), 2000); /* a quarter of what runs: 2.5 s */
    finish(take_one(pool), PARK_COMPLETED);
    park_ticket_unref(ticket);
    ticket = submit_cost(pool, 0);
    ck_assert_uint_eq(retry_after_ms(pool, 0), 1); /* at once; 0 would be never */
    options.retry_after_jitter = 1.5;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_E_INVALID);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(before_the_first_end_what_runs_is_taken_to_last_two_seconds)
{
    struct world world = { .now_ns = SECOND_NS };
    park_pool *pool = slow_pool(&world, 0);
    park_ticket *ticket = submit_cost(pool, 400); /* 200 a second */
    uint64_t ms = retry_after_ms(pool, 900);      /* (100 + 900) / 200 = 5 s */
    ck_assert_uint_ge(ms, 5000);
    ck_assert_uint_le(ms, 7500);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_clock_that_steps_back_does_no_harm)
{
    struct world world = { .now_ns = 100 * SECOND_NS };
    park_pool *pool = slow_pool(&world, 1);
    park_ticket *a = submit_cost(pool, 10);
    world.now_ns = 50 * SECOND_NS;
    park_ticket *b = submit_cost(pool, 10);
    world.now_ns = 40 * SECOND_NS;
    struct park_status status;
    park_status(b, &status);
    ck_assert_uint_eq(status.queued_ns, 0);
    uint64_t ms = retry_after_ms(pool, 10);
    ck_assert(ms >= 1000 && ms <= 60000);
    park_ticket_unref(a);
    park_ticket_unref(b);
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rate");
    TCase *tc = add_case(suite, "retry_after", 10);
    tcase_add_test(tc, retry_after_is_the_same_for_the_same_randomness);
    tcase_add_test(tc, retry_after_follows_the_measured_rate);
    tcase_add_test(tc, an_idle_time_does_not_change_the_rate);
    tcase_add_test(tc, the_rate_forgets_half_in_thirty_seconds);
    tcase_add_test(tc, retry_after_stays_within_one_second_and_one_minute);
    tcase_add_test(tc, retry_after_has_the_bounds_of_the_options);
    tcase_add_test(tc, before_the_first_end_what_runs_is_taken_to_last_two_seconds);
    tcase_add_test(tc, a_clock_that_steps_back_does_no_harm);
    return run_suite(suite);
}
