/* Limits of the queue, reserves of classes, the order of the checks, reservations of places. */
#include "helper.h"

#include <string.h>

static struct world g_world;

static struct park_options world_options(uint64_t capacity, uint64_t depth)
{
    struct park_options options = options_of(capacity, depth);
    g_world = (struct world){ .now_ns = 1000 * SECOND_NS, .seed = 1 };
    options.env = world_env(&g_world);
    return options;
}

static park_task *g_task; /* what a full pool runs */

/* A pool of which nothing is free. */
static park_pool *full_pool(const struct park_options *options)
{
    park_pool *pool = pool_of(options);
    park_ticket_unref(submit_class(pool, PARK_CLASS_CRITICAL, options->capacity.n[0]));
    g_task = take_one(pool);
    ck_assert_ptr_nonnull(g_task);
    return pool;
}

static struct park_work class_work(enum park_class klass, uint64_t need)
{
    struct park_work work = work_of(need);
    work.klass = klass;
    return work;
}

static void accept(park_pool *pool, enum park_class klass, uint64_t need)
{
    park_ticket_unref(submit_class(pool, klass, need));
}

START_TEST(a_full_class_leaves_the_others_their_places)
{
    struct park_options options = world_options(4, 10);
    options.classes[PARK_CLASS_LOW].queue_count_max = 2;
    park_pool *pool = full_pool(&options);
    accept(pool, PARK_CLASS_LOW, 1);
    accept(pool, PARK_CLASS_LOW, 1);
    struct park_work low = class_work(PARK_CLASS_LOW, 1);
    struct park_refusal refusal = refused_work(pool, &low, PARK_E_CLASS_FULL);
    ck_assert_uint_eq(refusal.queue_count, 2);
    ck_assert_uint_eq(refusal.position, 3);
    ck_assert_uint_ge(refusal.retry_after_ms, 1000);
    for (int i = 0; i < 8; i++)
        accept(pool, PARK_CLASS_NORMAL, 1);
    struct park_work high = class_work(PARK_CLASS_HIGH, 1);
    refusal = refused_work(pool, &high, PARK_E_QUEUE_FULL);
    ck_assert_uint_eq(refusal.queue_count, 10);
    ck_assert_uint_eq(refusal.position, 1);
    refused_work(pool, &low, PARK_E_CLASS_FULL); /* the class is looked at first */
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.rejected_class_full, 2);
    ck_assert_uint_eq(stats.rejected_queue_full, 1);
    ck_assert_uint_eq(stats.classes[PARK_CLASS_LOW].counts.rejected, 2);
    end_pool(pool);
}
END_TEST

START_TEST(parked_units_and_bytes_are_bounded_in_the_pool_and_in_a_class)
{
    struct park_options options = world_options(100, 100);
    options.queue_units_max.n[0] = 50;
    options.queue_bytes_max = 1000;
    options.classes[PARK_CLASS_LOW].queue_units_max.n[0] = 20;
    options.classes[PARK_CLASS_LOW].queue_bytes_max = 100;
    park_pool *pool = full_pool(&options);
    struct park_work low = class_work(PARK_CLASS_LOW, 10);
    low.task_count = 2;
    low.payload_bytes = 101;
    refused_work(pool, &low, PARK_E_CLASS_FULL);
    low.payload_bytes = 100;
    park_ticket *ticket = submit_work(pool, &low);
    struct park_work more = class_work(PARK_CLASS_LOW, 1);
    refused_work(pool, &more, PARK_E_CLASS_FULL);
    struct park_work normal = class_work(PARK_CLASS_NORMAL, 31);
    refused_work(pool, &normal, PARK_E_QUEUE_FULL);
    normal.need.n[0] = 30;
    normal.payload_bytes = 901;
    refused_work(pool, &normal, PARK_E_QUEUE_FULL);
    normal.payload_bytes = 900;
    park_ticket_unref(submit_work(pool, &normal));
    struct park_stats stats = stats_of(pool);
    ck_assert_uint_eq(stats.queued_bytes, 1000);
    ck_assert_uint_eq(stats.classes[PARK_CLASS_LOW].queued_units.n[0], 20);
    ck_assert_uint_eq(stats.classes[PARK_CLASS_LOW].queued_bytes, 100);
    park_cancel(ticket, PARK_REASON_CLIENT); /* and it is all given back */
    low.task_count = 1;
    park_ticket_unref(submit_work(pool, &low));
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(places_whose_units_no_64_bits_can_count_are_refused)
{
    struct park_options options = world_options(UINT64_MAX, 100);
    park_pool *pool = full_pool(&options);
    struct park_work work = work_of(UINT64_MAX / 2);
    work.task_count = 3;
    refused_work(pool, &work, PARK_E_QUEUE_FULL);
    accept(pool, PARK_CLASS_LOW, UINT64_MAX - 1);
    work = work_of(2);
    refused_work(pool, &work, PARK_E_QUEUE_FULL);
    end_pool(pool);
}
END_TEST

/* ---- reserves ---- */

START_TEST(reserved_units_are_not_to_be_had_by_lower_classes)
{
    struct park_options options = world_options(10, 10);
    options.classes[PARK_CLASS_HIGH].reserved.n[0] = 2;
    options.classes[PARK_CLASS_NORMAL].reserved.n[0] = 3;
    park_pool *pool = pool_of(&options);
    struct park_work low = class_work(PARK_CLASS_LOW, 6);
    struct park_refusal refusal = refused_work(pool, &low, PARK_E_OVERSIZE);
    ck_assert_uint_eq(refusal.available, 5);
    struct park_work normal = class_work(PARK_CLASS_NORMAL, 9);
    refusal = refused_work(pool, &normal, PARK_E_OVERSIZE);
    ck_assert_uint_eq(refusal.available, 8);
    park_ticket *t[6];
    t[0] = submit_class(pool, PARK_CLASS_LOW, 5);
    t[1] = submit_class(pool, PARK_CLASS_LOW, 1); /* what is left is not for it */
    ck_assert_int_eq(state_of(t[1]), PARK_QUEUED);
    t[2] = submit_class(pool, PARK_CLASS_NORMAL, 3);
    ck_assert_int_eq(state_of(t[2]), PARK_RUNNING);
    t[3] = submit_class(pool, PARK_CLASS_NORMAL, 1);
    ck_assert_int_eq(state_of(t[3]), PARK_QUEUED);
    t[4] = submit_class(pool, PARK_CLASS_HIGH, 1);
    t[5] = submit_class(pool, PARK_CLASS_CRITICAL, 1);
    ck_assert_int_eq(state_of(t[4]), PARK_RUNNING);
    ck_assert_int_eq(state_of(t[5]), PARK_RUNNING);
    for (int i = 0; i < 4; i++)
        finish(take_one(pool), PARK_COMPLETED);
    run_of(pool, t[3]);
    run_of(pool, t[1]);
    for (int i = 0; i < 6; i++)
        park_ticket_unref(t[i]);
    end_pool(pool);
}
END_TEST

START_TEST(a_reserve_that_its_class_uses_is_used_up)
{
    struct park_options options = world_options(10, 10);
    options.classes[PARK_CLASS_HIGH].reserved.n[0] = 2;
    park_pool *pool = pool_of(&options);
    park_ticket *high = submit_class(pool, PARK_CLASS_HIGH, 2);
    park_ticket *low = submit_class(pool, PARK_CLASS_LOW, 8);
    ck_assert_int_eq(state_of(low), PARK_RUNNING); /* nothing is kept beyond the two */
    park_ticket_unref(high);
    park_ticket_unref(low);
    end_pool(pool);
}
END_TEST

START_TEST(running_work_may_grow_into_a_reserve)
{
    struct park_options options = world_options(10, 10);
    options.classes[PARK_CLASS_HIGH].reserved.n[0] = 4;
    park_pool *pool = pool_of(&options);
    struct park_work work = class_work(PARK_CLASS_LOW, 6);
    work.limit.n[0] = 10;
    park_ticket *ticket = submit_work(pool, &work);
    park_task *task = take_of(pool, ticket);
    ck_assert_int_eq(adjust(task, 10), PARK_OK);
    park_requeue(task); /* it comes back, though it wants more than its class may start with */
    task = take_of(pool, ticket);
    ck_assert_int_eq(adjust(task, 10), PARK_OK);
    finish(task, PARK_COMPLETED);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* What a reserve holds back does not hold back those that the reserve is for. */
START_TEST(an_aged_task_behind_a_reserve_takes_no_turn)
{
    struct park_options options = world_options(4, 100);
    options.classes[PARK_CLASS_HIGH].reserved.n[0] = 2;
    park_pool *pool = pool_of(&options);
    park_ticket *runs = submit_class(pool, PARK_CLASS_LOW, 2);
    park_task *task = take_of(pool, runs);
    park_ticket *low = submit_class(pool, PARK_CLASS_LOW, 1);
    g_world.now_ns += 121 * SECOND_NS;
    for (int i = 0; i < 20; i++) {
        park_ticket *high = submit_class(pool, PARK_CLASS_HIGH, 2);
        run_of(pool, high);
        park_ticket_unref(high);
    }
    ck_assert_int_eq(state_of(low), PARK_QUEUED);
    finish(task, PARK_COMPLETED);
    run_of(pool, low);
    park_ticket_unref(low);
    park_ticket_unref(runs);
    end_pool(pool);
}
END_TEST

START_TEST(reserves_beyond_the_capacity_are_no_options)
{
    struct park_options options = options_of(10, 10);
    options.classes[PARK_CLASS_HIGH].reserved.n[0] = 6;
    options.classes[PARK_CLASS_LOW].reserved.n[0] = 5;
    park_pool *pool;
    ck_assert_int_eq(park_pool_create(&options, &pool), PARK_E_INVALID);
    options.classes[PARK_CLASS_LOW].reserved.n[0] = 4;
    options.classes[PARK_CLASS_LOW].reserved.n[1] = 1; /* of a dimension that is not used */
    ck_assert_int_eq(park_pool_create(&options, &pool), PARK_E_INVALID);
}
END_TEST

/* ---- the order of the checks ---- */

START_TEST(the_first_of_several_reasons_is_named)
{
    struct park_options options = world_options(4, 0);
    options.classes[PARK_CLASS_LOW].queue_count_max = 1;
    park_pool *pool = full_pool(&options);
    struct park_work work = class_work(PARK_CLASS_LOW, 0); /* all is wrong with it */
    work.task_count = 2;
    work.deadline_ns = 1;
    refused_work(pool, &work, PARK_E_INVALID);
    work.need.n[0] = 5;
    refused_work(pool, &work, PARK_E_OVERSIZE);
    work.need.n[0] = 1;
    struct park_refusal refusal = refused_work(pool, &work, PARK_E_DEADLINE);
    ck_assert_uint_eq(refusal.retry_after_ms, 0);
    work.deadline_ns = 0;
    refused_work(pool, &work, PARK_E_CLASS_FULL);
    work.task_count = 1;
    refused_work(pool, &work, PARK_E_QUEUE_FULL);
    struct park_options none = options;
    none.capacity.n[0] = 0;
    ck_assert_int_eq(park_reconfigure(pool, &none), PARK_OK);
    work.need.n[0] = 0;
    refused_work(pool, &work, PARK_E_NOT_READY);
    park_drain(pool, PARK_DRAIN_FINISH_ALL, 0);
    refused_work(pool, &work, PARK_E_DRAINING);
    finish(g_task, PARK_COMPLETED);
    end_pool(pool);
}
END_TEST

START_TEST(a_class_and_a_tenant_that_are_none_are_refused)
{
    park_pool *pool = small_pool(4, 4);
    char tenant[PARK_TENANT_BYTES_MAX + 2];
    memset(tenant, 'a', sizeof tenant);
    tenant[sizeof tenant - 1] = '\0';
    struct park_work work = class_work((enum park_class)4, 1);
    refused_work(pool, &work, PARK_E_INVALID);
    work.klass = PARK_CLASS_LOW;
    work.tenant = tenant;
    refused_work(pool, &work, PARK_E_INVALID);
    tenant[sizeof tenant - 2] = '\0';
    park_ticket_unref(submit_work(pool, &work));
    ck_assert_uint_eq(stats_of(pool).rejected_other, 2);
    end_pool(pool);
}
END_TEST

START_TEST(a_deadline_in_the_past_is_refused)
{
    struct park_options options = world_options(4, 4);
    park_pool *pool = pool_of(&options);
    ck_assert_uint_eq(park_now_ns(pool), g_world.now_ns);
    struct park_work work = work_of(1);
    work.deadline_ns = g_world.now_ns;
    refused_work(pool, &work, PARK_E_DEADLINE);
    work.deadline_ns++;
    park_ticket_unref(submit_work(pool, &work));
    ck_assert_uint_eq(stats_of(pool).rejected_deadline, 1);
    end_pool(pool);
}
END_TEST

START_TEST(a_pool_without_capacity_is_not_ready)
{
    struct park_options options = options_of(0, 4);
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    struct park_refusal refusal = refused_work(pool, &work, PARK_E_NOT_READY);
    ck_assert_uint_ge(refusal.retry_after_ms, 1000);
    ck_assert_uint_eq(stats_of(pool).rejected_not_ready, 1);
    options.capacity.n[0] = 1;
    ck_assert_int_eq(park_reconfigure(pool, &options), PARK_OK);
    park_ticket *ticket = submit(pool, 1);
    run_of(pool, ticket);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

/* ---- reservations ---- */

static park_reservation *reserve(park_pool *pool, const struct park_work *work)
{
    park_reservation *reservation = NULL;
    ck_assert_int_eq(park_reserve(pool, work, &reservation, NULL), PARK_OK);
    ck_assert_ptr_nonnull(reservation);
    park_check(pool);
    return reservation;
}

static void refused_reservation(park_pool *pool, const struct park_work *work, enum park_err code)
{
    struct park_refusal refusal;
    park_reservation *reservation = (park_reservation *)&refusal;
    ck_assert_int_eq(park_reserve(pool, work, &reservation, &refusal), code);
    ck_assert_ptr_null(reservation);
    ck_assert_int_eq(refusal.code, code);
    park_check(pool);
}

START_TEST(a_reserved_place_is_nobody_elses)
{
    struct park_options options = world_options(4, 2);
    park_pool *pool = full_pool(&options);
    struct park_work work = work_of(1);
    park_reservation *first = reserve(pool, &work);
    park_reservation *second = reserve(pool, &work);
    refused_reservation(pool, &work, PARK_E_QUEUE_FULL);
    refused_work(pool, &work, PARK_E_QUEUE_FULL);
    ck_assert_uint_eq(stats_of(pool).reserved, 2);
    work.reservation = first;
    park_ticket *ticket = submit_work(pool, &work);
    ck_assert_uint_eq(stats_of(pool).reserved, 1);
    ck_assert_uint_eq(stats_of(pool).queued, 1);
    work.reservation = NULL;
    refused_work(pool, &work, PARK_E_QUEUE_FULL);
    park_unreserve(second);
    ck_assert_uint_eq(stats_of(pool).reserved, 0);
    park_ticket_unref(submit_work(pool, &work));
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_reservation_that_is_not_used_lapses)
{
    struct park_options options = world_options(4, 1);
    park_pool *pool = full_pool(&options);
    struct park_work work = work_of(1);
    park_reservation *reservation = reserve(pool, &work);
    g_world.now_ns += 30 * SECOND_NS - 1;
    refused_work(pool, &work, PARK_E_QUEUE_FULL);
    g_world.now_ns++;
    park_tick(pool);
    ck_assert_uint_eq(stats_of(pool).reserved, 0);
    park_ticket *ticket = submit_work(pool, &work);
    struct park_work late = work_of(1); /* it is like any other now */
    late.reservation = reservation;
    refused_work(pool, &late, PARK_E_QUEUE_FULL);
    park_ticket_unref(ticket);
    end_pool(pool);
}
END_TEST

START_TEST(a_refused_submission_uses_its_reservation_up)
{
    struct park_options options = world_options(4, 1);
    park_pool *pool = full_pool(&options);
    struct park_work work = work_of(1);
    struct park_work larger = work_of(1);
    larger.task_count = 2;
    larger.reservation = reserve(pool, &work);
    refused_work(pool, &larger, PARK_E_QUEUE_FULL);
    ck_assert_uint_eq(stats_of(pool).reserved, 0);
    park_ticket_unref(submit_work(pool, &work));
    end_pool(pool);
}
END_TEST

START_TEST(without_places_as_many_are_promised_as_would_start_at_once)
{
    struct park_options options = world_options(4, 0);
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(2);
    park_reservation *first = reserve(pool, &work);
    park_reservation *second = reserve(pool, &work);
    refused_reservation(pool, &work, PARK_E_QUEUE_FULL);
    park_unreserve(first);
    first = reserve(pool, &work);
    work.reservation = first;
    park_ticket_unref(submit_work(pool, &work));
    work.reservation = second;
    park_ticket_unref(submit_work(pool, &work));
    work.reservation = NULL;
    refused_reservation(pool, &work, PARK_E_QUEUE_FULL);
    end_pool(pool);
}
END_TEST

START_TEST(a_reservation_outlives_its_pool)
{
    struct park_options options = world_options(4, 2);
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(1);
    park_reservation *reservation = reserve(pool, &work);
    park_pool_destroy(pool);
    park_unreserve(reservation);
    check_nothing_is_held();
}
END_TEST

START_TEST(reservations_are_refused_like_submissions)
{
    struct park_options options = world_options(4, 2);
    park_pool *pool = pool_of(&options);
    struct park_work work = work_of(5);
    refused_reservation(pool, &work, PARK_E_OVERSIZE);
    work = work_of(0);
    refused_reservation(pool, &work, PARK_E_INVALID);
    park_drain(pool, PARK_DRAIN_FINISH_ALL, 0);
    refused_reservation(pool, &work, PARK_E_DRAINING);
    park_unreserve(NULL);
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits");
    TCase *tc = add_case(suite, "queue", 10);
    tcase_add_test(tc, a_full_class_leaves_the_others_their_places);
    tcase_add_test(tc, parked_units_and_bytes_are_bounded_in_the_pool_and_in_a_class);
    tcase_add_test(tc, places_whose_units_no_64_bits_can_count_are_refused);
    tc = add_case(suite, "reserves", 10);
    tcase_add_test(tc, reserved_units_are_not_to_be_had_by_lower_classes);
    tcase_add_test(tc, a_reserve_that_its_class_uses_is_used_up);
    tcase_add_test(tc, running_work_may_grow_into_a_reserve);
    tcase_add_test(tc, an_aged_task_behind_a_reserve_takes_no_turn);
    tcase_add_test(tc, reserves_beyond_the_capacity_are_no_options);
    tc = add_case(suite, "checks", 10);
    tcase_add_test(tc, the_first_of_several_reasons_is_named);
    tcase_add_test(tc, a_class_and_a_tenant_that_are_none_are_refused);
    tcase_add_test(tc, a_deadline_in_the_past_is_refused);
    tcase_add_test(tc, a_pool_without_capacity_is_not_ready);
    tc = add_case(suite, "reservations", 10);
    tcase_add_test(tc, a_reserved_place_is_nobody_elses);
    tcase_add_test(tc, a_reservation_that_is_not_used_lapses);
    tcase_add_test(tc, a_refused_submission_uses_its_reservation_up);
    tcase_add_test(tc, without_places_as_many_are_promised_as_would_start_at_once);
    tcase_add_test(tc, a_reservation_outlives_its_pool);
    tcase_add_test(tc, reservations_are_refused_like_submissions);
    return run_suite(suite);
}
