/* What is found by its id, results, the store and its tombstones. */
#include "helper.h"

#include <string.h>

static struct world g_world;

static struct park_options world_options(uint64_t capacity)
{
    struct park_options options = options_of(capacity, 100);
    g_world = (struct world){ .now_ns = 1000 * SECOND_NS, .seed = 1 };
    options.env = world_env(&g_world);
    return options;
}

static struct park_options store_options(uint64_t count_max, uint64_t tombstones)
{
    struct park_options options = world_options(4);
    options.result_count_max = count_max;
    options.result_ttl_ms = 3600 * 1000;
    options.tombstone_count_max = tombstones;
    options.tombstone_ttl_ms = 24 * 3600 * 1000;
    return options;
}

static int g_destroyed;

static void result_destroy(void *result)
{
    (void)result;
    g_destroyed++;
}

static void finish_with(park_task *task, const char *result)
{
    struct park_outcome outcome = {
        .state = PARK_COMPLETED,
        .result = (void *)(uintptr_t)result,
        .result_bytes = strlen(result),
        .result_destroy = result_destroy,
    };
    park_finish(task, &outcome);
}

/* A completed ticket that left this result. */
static park_ticket *done(park_pool *pool, const char *result)
{
    park_ticket *ticket = submit(pool, 1);
    finish_with(take_of(pool, ticket), result);
    return ticket;
}

static enum park_err find(park_pool *pool, const char *tenant, const char *id)
{
    park_ticket *ticket;
    enum park_err rc = park_find(pool, tenant, id, &ticket);
    ck_assert_int_eq(rc == PARK_OK, ticket != NULL);
    if (ticket) {
        ck_assert_str_eq(park_ticket_id(ticket), id);
        park_ticket_unref(ticket);
    }
    return rc;
}

static void check_result(park_ticket *ticket, const char *expected)
{
    struct park_result *result;
    size_t bytes;
    ck_assert_int_eq(park_result(ticket, 0, &result), PARK_OK);
    ck_assert_ptr_eq(park_result_data(result, &bytes), expected);
    ck_assert_uint_eq(bytes, strlen(expected));
    park_result_unref(result);
}

static enum park_err result_error(park_ticket *ticket, uint32_t index)
{
    struct park_result *result = (struct park_result *)&ticket;
    enum park_err rc = park_result(ticket, index, &result);
    ck_assert_ptr_null(result);
    return rc;
}

START_TEST(a_wait_that_timed_out_leaves_the_result_for_later)
{
    struct park_options options = world_options(4);
    park_pool *pool = pool_of(&options);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_of(pool, ticket);
    ck_assert_int_eq(park_wait(ticket, 1), PARK_E_TIMEOUT);
    ck_assert_int_eq(result_error(ticket, 0), PARK_E_AGAIN);
    finish_with(task, "answer");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(park_wait(ticket, 0), PARK_OK);
        check_result(ticket, "answer");
    }
    ck_assert_int_eq(result_error(ticket, 1), PARK_E_NOT_FOUND);
    g_destroyed = 0;
    park_ticket_unref(ticket);
    ck_assert_int_eq(g_destroyed, 1);
    end_pool(pool);
}
END_TEST

START_TEST(every_task_leaves_its_own_result_or_none)
{
    struct park_options options = world_options(4);
    park_pool *pool = pool_of(&options);
    park_ticket *ticket = submit_tasks(pool, 3, 1, 0, NULL);
    static const char *const texts[] = { "one", "two" };
    g_destroyed = 0;
    for (int i = 0; i < 2; i++)
        finish_with(take_one(pool), texts[i]);
    ck_assert_int_eq(result_error(ticket, 0), PARK_E_AGAIN); /* not before all have ended */
    finish(take_one(pool), PARK_COMPLETED);
    for (uint32_t i = 0; i < 2; i++) {
        struct park_result *result;
        ck_assert_int_eq(park_result(ticket, i, &result), PARK_OK);
        ck_assert_ptr_eq(park_result_data(result, NULL), texts[i]);
        park_result_unref(result);
    }
    ck_assert_int_eq(result_error(ticket, 2), PARK_E_NOT_FOUND);
    park_ticket_unref(ticket);
    ck_assert_int_eq(g_destroyed, 2);
    park_result_unref(NULL);
    end_pool(pool);
}
END_TEST

START_TEST(a_reader_keeps_its_result_whatever_goes)
{
    struct park_options options = store_options(1, 10);
    park_pool *pool = pool_of(&options);
    g_destroyed = 0;
    park_ticket *ticket = done(pool, "first");
    struct park_result *readers[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(park_result(ticket, 0, &readers[i]), PARK_OK);
    ck_assert_ptr_eq(park_result_data(readers[0], NULL), park_result_data(readers[1], NULL));
    park_ticket_unref(done(pool, "second")); /* the first leaves the store */
    ck_assert_int_eq(result_error(ticket, 0), PARK_E_GONE);
    park_ticket_unref(ticket);
    park_pool_destroy(pool);
    ck_assert_int_eq(g_destroyed, 1); /* the second one's */
    park_result_unref(readers[0]);
    ck_assert_int_eq(g_destroyed, 1);
    ck_assert_mem_eq(park_result_data(readers[1], NULL), "first", 5);
    park_result_unref(readers[1]);
    ck_assert_int_eq(g_destroyed, 2);
    check_nothing_is_held();
}
END_TEST

START_TEST(a_result_that_comes_too_late_is_destroyed)
{
    struct park_options options = store_options(10, 10);
    options.cancel_grace_ms = 1;
    park_pool *pool = pool_of(&options);
    park_ticket *ticket = submit(pool, 1);
    park_task *task = take_of(pool, ticket);
    park_cancel(ticket, PARK_REASON_CLIENT);
    g_world.now_ns += SECOND_NS;
    park_tick(pool);
    g_destroyed = 0;
    finish_with(task, "late");
    ck_assert_int_eq(g_destroyed, 1);
    ck_assert_int_eq(result_error(ticket, 0), PARK_E_NOT_FOUND);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* ---- look-up ---- */

START_TEST(a_look_up_needs_the_tenant)
{
    struct park_options options = store_options(10, 10);
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    work.tenant = "alice";
    park_ticket *ticket = submit_work(pool, &work);
    const char *id = park_ticket_id(ticket);
    for (int i = 0; i < 3; i++) { /* running, kept, and as a tombstone: always the same */
        enum park_err expected = i < 2 ? PARK_OK : PARK_E_GONE;
        ck_assert_int_eq(find(pool, "alice", id), expected);
        ck_assert_int_eq(find(pool, "bob", id), PARK_E_NOT_FOUND);
        ck_assert_int_eq(find(pool, "", id), PARK_E_NOT_FOUND);
        ck_assert_int_eq(find(pool, NULL, id), PARK_E_NOT_FOUND);
        if (i == 0)
            run_of(pool, ticket);
        if (i == 1)
            g_world.now_ns += 3600 * SECOND_NS;
    }
    static const char *const none[] = { "", "tkt_", "tkt_aaaaaaaaaaaaaaaaaaaaaaaaaa",
                                        "tkt_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(find(pool, "alice", none[i]), PARK_E_NOT_FOUND);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(without_a_store_a_ticket_is_found_until_it_ends)
{
    struct park_options options = world_options(1);
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit(pool, 1);
    park_ticket *parked = submit(pool, 1);
    ck_assert_int_eq(find(pool, "", park_ticket_id(runs)), PARK_OK);
    ck_assert_int_eq(find(pool, NULL, park_ticket_id(parked)), PARK_OK);
    run_of(pool, runs);
    park_cancel(parked, PARK_REASON_CLIENT);
    ck_assert_int_eq(find(pool, "", park_ticket_id(runs)), PARK_E_NOT_FOUND);
    ck_assert_int_eq(find(pool, "", park_ticket_id(parked)), PARK_E_NOT_FOUND);
    park_ticket_unref(runs);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

START_TEST(a_ticket_nobody_holds_is_found_with_its_events_and_result)
{
    struct park_options options = store_options(10, 10);
    park_pool *pool = pool_of(&options);
    char id[32];
    park_ticket *ticket = submit(pool, 1);
    memcpy(id, park_ticket_id(ticket), sizeof id);
    park_task *task = take_of(pool, ticket);
    park_ticket_unref(ticket);
    ck_assert_int_eq(park_emit(task, 5, "news", 4), PARK_OK);
    finish_with(task, "answer");
    ck_assert_int_eq(park_find(pool, "", id, &ticket), PARK_OK);
    check_result(ticket, "answer");
    char buffer[64];
    struct park_event event;
    size_t count;
    ck_assert_int_eq(park_events_read(ticket, 0, buffer, sizeof buffer, &event, 1, &count, NULL),
                     PARK_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_mem_eq(event.data, "news", 4);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* ---- the store ---- */

START_TEST(the_oldest_leave_first_by_count_then_as_tombstones)
{
    struct park_options options = store_options(3, 2);
    park_pool *pool = pool_of(&options);
    char ids[7][32];
    park_ticket *runs = submit(pool, 1); /* older than all, and never in the way */
    park_task *task = take_of(pool, runs);
    for (int i = 0; i < 7; i++) {
        park_ticket *ticket = done(pool, "x");
        memcpy(ids[i], park_ticket_id(ticket), sizeof ids[i]);
        park_ticket_unref(ticket);
        park_check(pool);
    }
    for (int i = 0; i < 7; i++) {
        enum park_err expected = i >= 4 ? PARK_OK : i >= 2 ? PARK_E_GONE : PARK_E_NOT_FOUND;
        ck_assert_int_eq(find(pool, "", ids[i]), expected);
    }
    ck_assert_int_eq(find(pool, "", park_ticket_id(runs)), PARK_OK);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.results, 3);
    ck_assert_uint_eq(stats.tombstones, 2);
    finish(task, PARK_COMPLETED);
    park_ticket_unref(runs);
    end_pool(pool);
}
END_TEST

START_TEST(kept_tickets_and_tombstones_go_when_their_time_is_over)
{
    struct park_options options = store_options(10, 10);
    park_pool *pool = pool_of(&options);
    char id[32];
    g_destroyed = 0;
    park_ticket *ticket = done(pool, "x");
    memcpy(id, park_ticket_id(ticket), sizeof id);
    park_ticket_unref(ticket);
    ck_assert_uint_eq(park_tick(pool), g_world.now_ns + 3600 * SECOND_NS);
    g_world.now_ns += 3600 * SECOND_NS - 1;
    ck_assert_int_eq(find(pool, "", id), PARK_OK);
    ck_assert_int_eq(g_destroyed, 0);
    g_world.now_ns++;
    ck_assert_uint_eq(park_tick(pool), g_world.now_ns + 24 * 3600 * SECOND_NS);
    ck_assert_int_eq(g_destroyed, 1); /* at its time, not when somebody looks */
    ck_assert_int_eq(find(pool, "", id), PARK_E_GONE);
    g_world.now_ns += 24 * 3600 * SECOND_NS;
    ck_assert_uint_eq(park_tick(pool), UINT64_MAX);
    ck_assert_int_eq(find(pool, "", id), PARK_E_NOT_FOUND);
    ck_assert_uint_eq(stats_of(pool).tombstones, 0);
    end_pool(pool);
}
END_TEST

START_TEST(kept_bytes_are_those_of_results_events_and_tickets)
{
    struct park_options options = store_options(1000, 0);
    options.result_bytes_max = 100000;
    park_pool *pool = pool_of(&options);
    static char large[40001];
    memset(large, 'x', 40000);
    for (int i = 0; i < 10; i++) {
        park_ticket_unref(done(pool, large));
        struct park_stats stats = stats_of(pool);
        ck_assert_uint_le(stats.result_bytes, 100000);
        ck_assert_uint_ge(stats.result_bytes, 40000 * stats.results);
    }
    ck_assert_uint_eq(stats_of(pool).results, 2);
    for (int i = 0; i < 10; i++) { /* no results, but events */
        park_ticket *ticket = submit(pool, 1);
        park_task *task = take_of(pool, ticket);
        ck_assert_int_eq(park_emit(task, 1, large, 30000), PARK_OK);
        finish(task, PARK_COMPLETED);
        park_ticket_unref(ticket);
        ck_assert_uint_le(stats_of(pool).result_bytes, 100000);
    }
    ck_assert_uint_le(stats_of(pool).results, 3);
    ck_assert_uint_eq(stats_of(pool).tombstones, 0);
    end_pool(pool);
}
END_TEST

START_TEST(a_smaller_store_lets_go_at_once)
{
    struct park_options options = store_options(10, 10);
    park_pool *pool = pool_of(&options);
    for (int i = 0; i < 10; i++)
        park_ticket_unref(done(pool, "x"));
    options.result_count_max = 4;
    options.tombstone_count_max = 3;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    park_check(pool);
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.results, 4);
    ck_assert_uint_eq(stats.tombstones, 3);
    options.result_count_max = 0;
    options.tombstone_count_max = 0;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    stats = stats_of(pool);
    ck_assert_uint_eq(stats.results + stats.tombstones + stats.result_bytes, 0);
    end_pool(pool);
}
END_TEST

START_TEST(ten_thousand_unread_results_stay_within_the_store)
{
    struct park_options options = store_options(100, 1000);
    park_pool *pool = pool_of(&options);
    for (int i = 0; i < 10000; i++)
        park_ticket_unref(done(pool, "x"));
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.results, 100);
    ck_assert_uint_eq(stats.tombstones, 1000);
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("results");
    TCase *tc = add_case(suite, "results", 10);
    tcase_add_test(tc, a_wait_that_timed_out_leaves_the_result_for_later);
    tcase_add_test(tc, every_task_leaves_its_own_result_or_none);
    tcase_add_test(tc, a_reader_keeps_its_result_whatever_goes);
    tcase_add_test(tc, a_result_that_comes_too_late_is_destroyed);
    tc = add_case(suite, "find", 10);
    tcase_add_test(tc, a_look_up_needs_the_tenant);
    tcase_add_test(tc, without_a_store_a_ticket_is_found_until_it_ends);
    tcase_add_test(tc, a_ticket_nobody_holds_is_found_with_its_events_and_result);
    tc = add_case(suite, "store", 20);
    tcase_add_test(tc, the_oldest_leave_first_by_count_then_as_tombstones);
    tcase_add_test(tc, kept_tickets_and_tombstones_go_when_their_time_is_over);
    tcase_add_test(tc, kept_bytes_are_those_of_results_events_and_tickets);
    tcase_add_test(tc, a_smaller_store_lets_go_at_once);
    tcase_add_test(tc, ten_thousand_unread_results_stay_within_the_store);
    return run_suite(suite);
}
