/* A ticket's events: order, cursors, limits, and what happens when the ring is full. */
#include "helper.h"

#include <pthread.h>
#include <stdalign.h>
#include <string.h>

#include "base/mem.h"

/* A record of the ring is 8 bytes and the data. */
#define RECORD(len) (8 + (size_t)(len))

struct lot {
    park_pool *pool;
    park_ticket *ticket;
    park_task *task;
};

static struct lot lot_of(size_t events_bytes_max)
{
    struct park_options options = options_of(1, 1);
    options.events_bytes_max = events_bytes_max;
    struct lot lot = { .pool = pool_of(&options) };
    lot.ticket = submit(lot.pool, 1);
    lot.task = take_one(lot.pool);
    return lot;
}

static void end_lot(struct lot *lot)
{
    park_check(lot->pool);
    if (lot->task)
        finish(lot->task, PARK_COMPLETED);
    park_ticket_unref(lot->ticket);
    end_pool(lot->pool);
}

/* The data of event `seq`: its number, then as many bytes as asked, made from it. */
static size_t fill(unsigned char *out, uint64_t seq, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)(seq * 31 + i * 7);
    return len;
}

static enum park_err emit(struct lot *lot, uint64_t seq, size_t len)
{
    unsigned char data[4096];
    fill(data, seq, len);
    return park_emit(lot->task, (uint32_t)(seq + 100), data, len);
}

static void check_event(const struct park_event *event, uint64_t seq, size_t len)
{
    unsigned char expected[4096];
    fill(expected, seq, len);
    ck_assert_uint_eq(event->seq, seq);
    ck_assert_uint_eq(event->type, seq + 100);
    ck_assert_uint_eq(event->len, len);
    if (len)
        ck_assert_int_eq(memcmp(event->data, expected, len), 0);
}

/* Reads up to `count_max` events behind `after` into static storage. */
static struct park_event g_events[64];
static alignas(8) unsigned char g_buffer[1 << 16];
static uint64_t g_first;

static enum park_err read_some(park_ticket *ticket, uint64_t after, size_t count_max, size_t *count)
{
    return park_events_read(ticket, after, g_buffer, sizeof g_buffer, g_events, count_max, count,
                            &g_first);
}

/* Says that the events up to `after` are done with. */
static void acknowledge(park_ticket *ticket, uint64_t after)
{
    size_t count;
    ck_assert_int_eq(read_some(ticket, after, 0, &count), PARK_OK);
    ck_assert_uint_eq(count, 0);
}

START_TEST(events_are_numbered_from_one_without_holes)
{
    struct lot lot = lot_of(1 << 16);
    size_t count;
    ck_assert_int_eq(read_some(lot.ticket, 0, 64, &count), PARK_OK);
    ck_assert_uint_eq(count, 0);
    struct park_status status;
    park_status(lot.ticket, &status);
    ck_assert_uint_eq(status.event_last, 0);
    for (uint64_t seq = 1; seq <= 50; seq++)
        ck_assert_int_eq(emit(&lot, seq, seq % 13), PARK_OK);
    park_status(lot.ticket, &status);
    ck_assert_uint_eq(status.event_last, 50);
    ck_assert_int_eq(read_some(lot.ticket, 0, 64, &count), PARK_OK);
    ck_assert_uint_eq(count, 50);
    for (uint64_t seq = 1; seq <= 50; seq++)
        check_event(&g_events[seq - 1], seq, seq % 13);
    ck_assert_uint_eq(stats_of(lot.pool).events, 50);
    end_lot(&lot);
}
END_TEST

START_TEST(a_cursor_resumes_where_it_was)
{
    struct lot lot = lot_of(1 << 16);
    size_t count;
    for (uint64_t seq = 1; seq <= 10; seq++)
        ck_assert_int_eq(emit(&lot, seq, 20), PARK_OK);
    for (uint64_t after = 0; after < 10; after += count) {
        ck_assert_int_eq(read_some(lot.ticket, after, 3, &count), PARK_OK);
        ck_assert_uint_eq(count, after < 9 ? 3 : 1);
        for (size_t i = 0; i < count; i++)
            check_event(&g_events[i], after + i + 1, 20);
    }
    /* Nothing had to make room: an older cursor still finds its events. */
    ck_assert_int_eq(read_some(lot.ticket, 2, 1, &count), PARK_OK);
    check_event(&g_events[0], 3, 20);
    end_lot(&lot);
}
END_TEST

START_TEST(events_are_readable_after_the_end)
{
    struct lot lot = lot_of(1 << 16);
    ck_assert_int_eq(emit(&lot, 1, 5), PARK_OK);
    finish(lot.task, PARK_COMPLETED);
    lot.task = NULL;
    size_t count;
    ck_assert_int_eq(read_some(lot.ticket, 0, 64, &count), PARK_OK);
    ck_assert_uint_eq(count, 1);
    check_event(&g_events[0], 1, 5);
    end_lot(&lot);
}
END_TEST

START_TEST(data_of_events_is_aligned)
{
    struct lot lot = lot_of(1 << 16);
    for (uint64_t seq = 1; seq <= 20; seq++)
        ck_assert_int_eq(emit(&lot, seq, seq), PARK_OK);
    size_t count;
    ck_assert_int_eq(read_some(lot.ticket, 0, 64, &count), PARK_OK);
    ck_assert_uint_eq(count, 20);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq((uintptr_t)g_events[i].data % 8, 0);
    end_lot(&lot);
}
END_TEST

START_TEST(a_cursor_beyond_the_newest_event_is_invalid)
{
    struct lot lot = lot_of(1 << 16);
    size_t count = 9;
    ck_assert_int_eq(read_some(lot.ticket, 1, 64, &count), PARK_E_INVALID);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(read_some(lot.ticket, UINT64_MAX, 64, &count), PARK_E_INVALID);
    ck_assert_int_eq(emit(&lot, 1, 5), PARK_OK);
    ck_assert_int_eq(read_some(lot.ticket, 1, 64, &count), PARK_OK);
    ck_assert_int_eq(read_some(lot.ticket, 2, 64, &count), PARK_E_INVALID);
    end_lot(&lot);
}
END_TEST

START_TEST(a_buffer_too_small_for_the_next_event_is_invalid_and_changes_nothing)
{
    struct lot lot = lot_of(1 << 16);
    ck_assert_int_eq(emit(&lot, 1, 10), PARK_OK);
    ck_assert_int_eq(emit(&lot, 2, 30), PARK_OK);
    char buffer[30];
    struct park_event events[4];
    size_t count;
    ck_assert_int_eq(park_events_read(lot.ticket, 0, buffer, 9, events, 4, &count, NULL),
                     PARK_E_INVALID);
    ck_assert_uint_eq(count, 0);
    /* The first alone fits; the rest comes with the next call. */
    ck_assert_int_eq(park_events_read(lot.ticket, 0, buffer, 30, events, 4, &count, NULL), PARK_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(park_events_read(lot.ticket, 1, buffer, 29, events, 4, &count, NULL),
                     PARK_E_INVALID);
    ck_assert_int_eq(park_events_read(lot.ticket, 1, buffer, 30, events, 4, &count, NULL), PARK_OK);
    ck_assert_uint_eq(count, 1);
    check_event(&events[0], 2, 30);
    end_lot(&lot);
}
END_TEST

START_TEST(empty_events_need_no_buffer)
{
    struct lot lot = lot_of(1 << 16);
    ck_assert_int_eq(park_emit(lot.task, 1, NULL, 0), PARK_OK);
    ck_assert_int_eq(park_emit(lot.task, 2, NULL, 0), PARK_OK);
    ck_assert_int_eq(park_emit(lot.task, 2, NULL, 3), PARK_E_INVALID);
    size_t count;
    ck_assert_int_eq(park_events_read(lot.ticket, 0, NULL, 0, g_events, 4, &count, NULL), PARK_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(g_events[1].type, 2);
    ck_assert_uint_eq(g_events[1].len, 0);
    end_lot(&lot);
}
END_TEST

START_TEST(an_event_larger_than_the_ring_is_invalid)
{
    struct lot lot = lot_of(100);
    ck_assert_int_eq(emit(&lot, 1, 93), PARK_E_INVALID);
    ck_assert_int_eq(park_emit(lot.task, 1, g_buffer, SIZE_MAX), PARK_E_INVALID);
    ck_assert_int_eq(emit(&lot, 1, 92), PARK_OK); /* exactly */
    ck_assert_uint_eq(stats_of(lot.pool).events_full, 0);
    end_lot(&lot);
    lot = lot_of(0);
    ck_assert_int_eq(park_emit(lot.task, 1, NULL, 0), PARK_E_INVALID);
    end_lot(&lot);
}
END_TEST

START_TEST(a_full_ring_answers_again_and_loses_nothing)
{
    struct lot lot = lot_of(4 * RECORD(20));
    size_t count;
    for (uint64_t seq = 1; seq <= 4; seq++)
        ck_assert_int_eq(emit(&lot, seq, 20), PARK_OK);
    ck_assert_int_eq(emit(&lot, 5, 20), PARK_E_AGAIN);
    ck_assert_int_eq(emit(&lot, 5, 0), PARK_E_AGAIN);
    /* Reading is no acknowledgement yet: the answer may get lost on its way. */
    ck_assert_int_eq(read_some(lot.ticket, 0, 64, &count), PARK_OK);
    ck_assert_uint_eq(count, 4);
    ck_assert_int_eq(emit(&lot, 5, 20), PARK_E_AGAIN);
    struct park_stats stats = stats_of(lot.pool);
    ck_assert_uint_eq(stats.events, 4);
    ck_assert_uint_eq(stats.events_full, 3);
    acknowledge(lot.ticket, 2);
    ck_assert_int_eq(emit(&lot, 5, 20), PARK_OK);
    ck_assert_int_eq(emit(&lot, 6, 20), PARK_OK);
    ck_assert_int_eq(emit(&lot, 7, 20), PARK_E_AGAIN);
    ck_assert_int_eq(read_some(lot.ticket, 2, 64, &count), PARK_OK);
    ck_assert_uint_eq(count, 4);
    for (size_t i = 0; i < 4; i++)
        check_event(&g_events[i], 3 + i, 20);
    end_lot(&lot);
}
END_TEST

START_TEST(events_that_made_room_are_reported_as_a_gap)
{
    struct lot lot = lot_of(4 * RECORD(20));
    size_t count = 9;
    for (uint64_t seq = 1; seq <= 4; seq++)
        ck_assert_int_eq(emit(&lot, seq, 20), PARK_OK);
    acknowledge(lot.ticket, 3);
    ck_assert_int_eq(emit(&lot, 5, 20), PARK_OK);
    ck_assert_int_eq(read_some(lot.ticket, 0, 64, &count), PARK_E_GAP);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(g_first, 2);
    /* The oldest kept is a place to go on from. */
    ck_assert_int_eq(read_some(lot.ticket, g_first - 1, 64, &count), PARK_OK);
    ck_assert_uint_eq(count, 4);
    check_event(&g_events[0], 2, 20);
    end_lot(&lot);
}
END_TEST

START_TEST(a_large_event_drops_all_read_ones_and_the_gap_says_where_to_go_on)
{
    struct lot lot = lot_of(1000);
    size_t count;
    for (uint64_t seq = 1; seq <= 5; seq++)
        ck_assert_int_eq(emit(&lot, seq, 20), PARK_OK);
    acknowledge(lot.ticket, 5);
    ck_assert_int_eq(emit(&lot, 6, 992), PARK_OK);
    ck_assert_int_eq(read_some(lot.ticket, 4, 64, &count), PARK_E_GAP);
    ck_assert_uint_eq(g_first, 6);
    ck_assert_int_eq(read_some(lot.ticket, 5, 64, &count), PARK_OK);
    ck_assert_uint_eq(count, 1);
    check_event(&g_events[0], 6, 992);
    end_lot(&lot);
}
END_TEST

START_TEST(readers_have_cursors_of_their_own)
{
    struct lot lot = lot_of(1 << 16);
    size_t count;
    for (uint64_t seq = 1; seq <= 6; seq++)
        ck_assert_int_eq(emit(&lot, seq, 8), PARK_OK);
    for (int reader = 0; reader < 3; reader++) {
        for (uint64_t after = 0; after < 6; after += 2) {
            ck_assert_int_eq(read_some(lot.ticket, after, 2, &count), PARK_OK);
            ck_assert_uint_eq(count, 2);
            check_event(&g_events[1], after + 2, 8);
        }
    }
    end_lot(&lot);
}
END_TEST

START_TEST(a_ring_starts_empty_and_stays_within_its_maximum)
{
    struct lot lot = lot_of(10000);
    uint64_t before = mem_live_bytes(MEM_PARK);
    park_check(lot.pool); /* no ring while parked is one of its checks */
    ck_assert_int_eq(emit(&lot, 1, 10), PARK_OK);
    ck_assert_uint_le(mem_live_bytes(MEM_PARK), before + 256);
    uint64_t seq = 2;
    while (emit(&lot, seq, 10) == PARK_OK)
        seq++;
    ck_assert_uint_eq(seq - 1, 10000 / RECORD(10));
    ck_assert_uint_eq(mem_live_bytes(MEM_PARK), before + 10000);
    end_lot(&lot);
}
END_TEST

START_TEST(a_reader_that_keeps_up_keeps_the_ring_small)
{
    struct lot lot = lot_of(1 << 20);
    uint64_t before = mem_live_bytes(MEM_PARK);
    size_t count;
    for (uint64_t seq = 1; seq <= 5000; seq++) {
        size_t len = seq % 37;
        ck_assert_int_eq(emit(&lot, seq, len), PARK_OK);
        ck_assert_int_eq(read_some(lot.ticket, seq - 1, 64, &count), PARK_OK);
        ck_assert_uint_eq(count, 1);
        check_event(&g_events[0], seq, len);
        if (seq % 100 == 0)
            park_check(lot.pool);
    }
    ck_assert_uint_le(mem_live_bytes(MEM_PARK), before + 256);
    end_lot(&lot);
}
END_TEST

/* ---- the taker is told when there is room again ---- */

struct emitter {
    struct lot lot;
    uint64_t count;
    uint64_t waits;
};

static void *emit_all(void *arg)
{
    struct emitter *e = arg;
    for (uint64_t seq = 1; seq <= e->count; seq++) {
        while (emit(&e->lot, seq, seq % 50) != PARK_OK) {
            e->waits++;
            park_take_wait(e->lot.pool, -1);
        }
    }
    return NULL;
}

START_TEST(reading_a_full_ring_wakes_the_taker)
{
    struct emitter e = { .lot = lot_of(300), .count = 3000 };
    pthread_t thread;
    pthread_create(&thread, NULL, emit_all, &e);
    uint64_t after = 0;
    size_t count;
    while (after < e.count) {
        ck_assert_int_eq(read_some(e.lot.ticket, after, 64, &count), PARK_OK);
        for (size_t i = 0; i < count; i++)
            check_event(&g_events[i], after + i + 1, (after + i + 1) % 50);
        after += count;
    }
    pthread_join(thread, NULL);
    /* One reason for each AGAIN: it never spins. */
    ck_assert_uint_eq(stats_of(e.lot.pool).events_full, e.waits);
    end_lot(&e.lot);
}
END_TEST

START_TEST(room_for_an_event_larger_than_the_ring_has_grown_to_wakes_the_taker)
{
    struct lot lot = lot_of(1000);
    ck_assert_int_eq(emit(&lot, 1, 200), PARK_OK); /* a small ring now */
    ck_assert_int_eq(emit(&lot, 2, 900), PARK_E_AGAIN);
    acknowledge(lot.ticket, 1);
    park_take_wait(lot.pool, -1);
    ck_assert_int_eq(emit(&lot, 2, 900), PARK_OK);
    end_lot(&lot);
}
END_TEST

START_TEST(reading_too_little_for_the_waiting_event_does_not_wake)
{
    struct lot lot = lot_of(4 * RECORD(20));
    for (uint64_t seq = 1; seq <= 4; seq++)
        ck_assert_int_eq(emit(&lot, seq, 20), PARK_OK);
    ck_assert_int_eq(emit(&lot, 5, 40), PARK_E_AGAIN);
    acknowledge(lot.ticket, 1);
    ck_assert_int_eq(emit(&lot, 5, 40), PARK_E_AGAIN);
    acknowledge(lot.ticket, 2);
    park_take_wait(lot.pool, -1);
    ck_assert_int_eq(emit(&lot, 5, 40), PARK_OK);
    end_lot(&lot);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("events");
    TCase *tc = add_case(suite, "read", 20);
    tcase_add_test(tc, events_are_numbered_from_one_without_holes);
    tcase_add_test(tc, a_cursor_resumes_where_it_was);
    tcase_add_test(tc, events_are_readable_after_the_end);
    tcase_add_test(tc, data_of_events_is_aligned);
    tcase_add_test(tc, a_cursor_beyond_the_newest_event_is_invalid);
    tcase_add_test(tc, a_buffer_too_small_for_the_next_event_is_invalid_and_changes_nothing);
    tcase_add_test(tc, empty_events_need_no_buffer);
    tcase_add_test(tc, readers_have_cursors_of_their_own);

    tc = add_case(suite, "limits", 20);
    tcase_add_test(tc, an_event_larger_than_the_ring_is_invalid);
    tcase_add_test(tc, a_full_ring_answers_again_and_loses_nothing);
    tcase_add_test(tc, events_that_made_room_are_reported_as_a_gap);
    tcase_add_test(tc, a_large_event_drops_all_read_ones_and_the_gap_says_where_to_go_on);
    tcase_add_test(tc, a_ring_starts_empty_and_stays_within_its_maximum);
    tcase_add_test(tc, a_reader_that_keeps_up_keeps_the_ring_small);

    tc = add_case(suite, "room", 30);
    tcase_add_test(tc, reading_a_full_ring_wakes_the_taker);
    tcase_add_test(tc, room_for_an_event_larger_than_the_ring_has_grown_to_wakes_the_taker);
    tcase_add_test(tc, reading_too_little_for_the_waiting_event_does_not_wake);
    return run_suite(suite);
}
