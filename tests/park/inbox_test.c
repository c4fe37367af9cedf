/* An inbox: which tickets have news, and a file descriptor that says so. */
#include "helper.h"

#include <poll.h>
#include <pthread.h>
#include <sys/types.h>

#include "base/mem.h"

static park_inbox *inbox_of(void)
{
    park_inbox *inbox;
    ck_assert_int_eq(park_inbox_create(&inbox), PARK_OK);
    return inbox;
}

static park_ticket *submit_told(park_pool *pool, park_inbox *inbox)
{
    struct park_work work = work_of(1);
    work.inbox = inbox;
    park_ticket *ticket;
    ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_OK);
    return ticket;
}

static void expect_next(park_inbox *inbox, park_ticket *expected)
{
    park_ticket *ticket = park_inbox_next(inbox);
    ck_assert_ptr_eq(ticket, expected);
    if (ticket)
        park_ticket_unref(ticket);
}

START_TEST(an_event_makes_the_fd_readable_until_the_inbox_is_empty)
{
    park_pool *pool = small_pool(2, 2);
    park_inbox *inbox = inbox_of();
    park_ticket *a = submit_told(pool, inbox);
    park_ticket *b = submit_told(pool, inbox);
    park_task *tasks[2];
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    int fd = park_inbox_fd(inbox);
    ck_assert(!fd_is_readable(fd)); /* a start is no news */
    expect_next(inbox, NULL);
    ck_assert_int_eq(park_emit(tasks[1], 1, "x", 1), PARK_OK);
    ck_assert(fd_is_readable(fd));
    ck_assert_int_eq(park_emit(tasks[0], 1, "x", 1), PARK_OK);
    expect_next(inbox, b);
    ck_assert(fd_is_readable(fd));
    expect_next(inbox, a);
    expect_next(inbox, NULL);
    ck_assert(!fd_is_readable(fd));
    ck_assert_int_eq(park_emit(tasks[0], 1, "x", 1), PARK_OK);
    ck_assert(fd_is_readable(fd));
    park_ticket_unref(a);
    park_ticket_unref(b);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

START_TEST(a_ticket_is_listed_once_until_it_is_handed_out)
{
    park_pool *pool = small_pool(1, 1);
    park_inbox *inbox = inbox_of();
    park_ticket *ticket = submit_told(pool, inbox);
    park_task *task = take_one(pool);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(park_emit(task, 1, "x", 1), PARK_OK);
    expect_next(inbox, ticket);
    expect_next(inbox, NULL);
    ck_assert_int_eq(park_emit(task, 1, "x", 1), PARK_OK);
    finish(task, PARK_COMPLETED);
    expect_next(inbox, ticket);
    expect_next(inbox, NULL);
    park_ticket_unref(ticket);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

START_TEST(every_kind_of_end_is_news)
{
    park_pool *pool = small_pool(1, 3);
    park_inbox *inbox = inbox_of();
    park_ticket *runs = submit_told(pool, inbox);
    park_ticket *cancelled = submit_told(pool, inbox);
    park_ticket *dropped = submit_told(pool, inbox);
    park_task *task = take_one(pool);
    park_cancel(cancelled, PARK_REASON_CLIENT);
    expect_next(inbox, cancelled);
    finish(task, PARK_FAILED);
    expect_next(inbox, runs);
    ck_assert_int_eq(park_drain(pool, PARK_DRAIN_FINISH_RUNNING, 0), PARK_OK);
    expect_next(inbox, dropped);
    expect_next(inbox, NULL);
    park_ticket_unref(runs);
    park_ticket_unref(cancelled);
    park_ticket_unref(dropped);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

START_TEST(destroying_the_pool_is_news_for_what_it_ended)
{
    park_pool *pool = small_pool(1, 1);
    park_inbox *inbox = inbox_of();
    park_ticket *booked = submit_told(pool, inbox);
    park_ticket *parked = submit_told(pool, inbox);
    park_pool_destroy(pool);
    ck_assert(fd_is_readable(park_inbox_fd(inbox)));
    expect_next(inbox, parked);
    expect_next(inbox, booked);
    expect_next(inbox, NULL);
    park_ticket_unref(booked);
    park_ticket_unref(parked);
    park_inbox_destroy(inbox);
    check_nothing_is_held();
}
END_TEST

START_TEST(an_entry_keeps_its_ticket_alive)
{
    park_pool *pool = small_pool(1, 1);
    park_inbox *inbox = inbox_of();
    park_ticket *ticket = submit_told(pool, inbox);
    finish(take_one(pool), PARK_COMPLETED);
    park_ticket_unref(ticket);
    park_ticket *next = park_inbox_next(inbox);
    ck_assert_ptr_eq(next, ticket);
    ck_assert_int_eq(state_of(next), PARK_COMPLETED);
    park_ticket_unref(next);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

START_TEST(an_inbox_may_be_destroyed_before_its_tickets)
{
    park_pool *pool = small_pool(2, 2);
    park_inbox *inbox = inbox_of();
    park_ticket *listed = submit_told(pool, inbox);
    park_ticket *unlisted = submit_told(pool, inbox);
    park_ticket *parked = submit_told(pool, inbox);
    park_task *tasks[2];
    ck_assert_uint_eq(park_take(pool, tasks, 2), 2);
    ck_assert_int_eq(park_emit(tasks[0], 1, "x", 1), PARK_OK);
    park_inbox_destroy(inbox);
    ck_assert_int_eq(park_emit(tasks[0], 1, "y", 1), PARK_OK);
    ck_assert_int_eq(park_emit(tasks[1], 1, "y", 1), PARK_OK);
    park_cancel(parked, PARK_REASON_CLIENT);
    finish(tasks[0], PARK_COMPLETED);
    finish(tasks[1], PARK_COMPLETED);
    ck_assert_int_eq(state_of(listed), PARK_COMPLETED);
    park_ticket_unref(listed);
    park_ticket_unref(unlisted);
    park_ticket_unref(parked);
    end_pool(pool);
}
END_TEST

START_TEST(an_inbox_with_the_last_references_frees_its_tickets)
{
    park_pool *pool = small_pool(5, 1);
    park_inbox *inbox = inbox_of();
    for (int i = 0; i < 5; i++) {
        park_ticket_unref(submit_told(pool, inbox));
        finish(take_one(pool), PARK_COMPLETED);
    }
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

START_TEST(the_pool_may_be_destroyed_before_the_inbox)
{
    park_pool *pool = small_pool(1, 1);
    park_inbox *inbox = inbox_of();
    park_ticket_unref(submit_told(pool, inbox));
    park_pool_destroy(pool);
    park_inbox_destroy(inbox);
    check_nothing_is_held();
}
END_TEST

START_TEST(pools_may_share_an_inbox)
{
    park_pool *pools[2] = { small_pool(1, 1), small_pool(1, 1) };
    park_inbox *inbox = inbox_of();
    park_ticket *tickets[2];
    for (int i = 0; i < 2; i++)
        tickets[i] = submit_told(pools[i], inbox);
    for (int i = 0; i < 2; i++)
        finish(take_one(pools[i]), PARK_COMPLETED);
    for (int i = 0; i < 2; i++) {
        expect_next(inbox, tickets[i]);
        park_ticket_unref(tickets[i]);
    }
    park_inbox_destroy(inbox);
    park_pool_destroy(pools[0]);
    end_pool(pools[1]);
}
END_TEST

/* ---- no wake-up is lost between the lock and the file descriptor ---- */

/*
 * The linker sends the library's calls of read here. A test can let news come at this very
 * moment: the consumer has found the list empty and is about to clear the descriptor, or
 * has just cleared it.
 */
ssize_t __real_read(int fd, void *out, size_t size);
ssize_t __wrap_read(int fd, void *out, size_t size);

static void (*g_before_read)(void);
static void (*g_after_read)(void);

static void run_once(void (**hook)(void))
{
    void (*run)(void) = *hook;
    *hook = NULL;
    if (run)
        run();
}

ssize_t __wrap_read(int fd, void *out, size_t size)
{
    run_once(&g_before_read);
    ssize_t n = __real_read(fd, out, size);
    run_once(&g_after_read);
    return n;
}

static park_task *g_tasks[2];

static void emit_on_both(void)
{
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(park_emit(g_tasks[i], 1, "x", 1), PARK_OK);
}

START_TEST(news_that_come_while_the_fd_is_cleared_are_not_lost)
{
    park_pool *pool = small_pool(2, 0);
    park_inbox *inbox = inbox_of();
    park_ticket *tickets[2] = { submit_told(pool, inbox), submit_told(pool, inbox) };
    ck_assert_uint_eq(park_take(pool, g_tasks, 2), 2);
    void (**hooks[2])(void) = { &g_before_read, &g_after_read };
    for (int i = 0; i < 2; i++) {
        *hooks[i] = emit_on_both;
        expect_next(inbox, tickets[0]);
        ck_assert(!*hooks[i]);
        ck_assert(fd_is_readable(park_inbox_fd(inbox)));
        expect_next(inbox, tickets[1]);
        expect_next(inbox, NULL);
        ck_assert(!fd_is_readable(park_inbox_fd(inbox)));
    }
    park_ticket_unref(tickets[0]);
    park_ticket_unref(tickets[1]);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

enum {
    TALK_TICKETS = 8,
    TALK_EVENTS = 2000
};

static void *emit_to_all(void *arg)
{
    park_pool *pool = arg;
    park_task *tasks[TALK_TICKETS];
    size_t n = park_take(pool, tasks, TALK_TICKETS);
    for (int i = 0; i < TALK_EVENTS; i++) {
        for (size_t k = 0; k < n; k++) {
            while (park_emit(tasks[k], 1, &i, sizeof i) != PARK_OK)
                park_take_wait(pool, -1);
        }
    }
    for (size_t k = 0; k < n; k++)
        finish(tasks[k], PARK_COMPLETED);
    return NULL;
}

struct reader {
    uint64_t after;
    bool has_ended;
};

/* Reads all news of the ticket; true the first time its end is seen. */
static bool read_news(park_ticket *ticket, struct reader *reader)
{
    /* Asked before reading, so that no event behind the last read is missed. */
    bool has_ended = park_state_is_terminal(state_of(ticket));
    char buffer[256];
    struct park_event events[8];
    size_t count;
    do {
        ck_assert_int_eq(
            park_events_read(ticket, reader->after, buffer, sizeof buffer, events, 8, &count, NULL),
            PARK_OK);
        reader->after += count;
    } while (count > 0);
    bool is_first = has_ended && !reader->has_ended;
    reader->has_ended = has_ended;
    return is_first;
}

START_TEST(a_consumer_that_sleeps_on_the_fd_sees_every_event)
{
    struct park_options options = options_of(TALK_TICKETS, 0);
    options.events_bytes_max = 512;
    park_pool *pool = pool_of(&options);
    park_inbox *inbox = inbox_of();
    struct reader readers[TALK_TICKETS] = { { 0 } };
    for (int i = 0; i < TALK_TICKETS; i++) {
        struct park_work work = work_of(1);
        work.inbox = inbox;
        work.user = &readers[i];
        park_ticket *ticket;
        ck_assert_int_eq(park_submit(pool, &work, &ticket, NULL), PARK_OK);
        park_ticket_unref(ticket);
    }
    pthread_t thread;
    pthread_create(&thread, NULL, emit_to_all, pool);
    int left = TALK_TICKETS;
    while (left > 0) {
        struct pollfd p = { .fd = park_inbox_fd(inbox), .events = POLLIN };
        ck_assert_int_eq(poll(&p, 1, 20000), 1); /* a lost wake-up ends here */
        park_ticket *ticket;
        while ((ticket = park_inbox_next(inbox)) != NULL) {
            if (read_news(ticket, park_ticket_user(ticket)))
                left--;
            park_ticket_unref(ticket);
        }
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < TALK_TICKETS; i++)
        ck_assert_uint_eq(readers[i].after, TALK_EVENTS);
    park_inbox_destroy(inbox);
    end_pool(pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inbox");
    TCase *tc = add_case(suite, "news", 20);
    tcase_add_test(tc, an_event_makes_the_fd_readable_until_the_inbox_is_empty);
    tcase_add_test(tc, a_ticket_is_listed_once_until_it_is_handed_out);
    tcase_add_test(tc, every_kind_of_end_is_news);
    tcase_add_test(tc, destroying_the_pool_is_news_for_what_it_ended);
    tcase_add_test(tc, pools_may_share_an_inbox);

    tc = add_case(suite, "life", 20);
    tcase_add_test(tc, an_entry_keeps_its_ticket_alive);
    tcase_add_test(tc, an_inbox_may_be_destroyed_before_its_tickets);
    tcase_add_test(tc, an_inbox_with_the_last_references_frees_its_tickets);
    tcase_add_test(tc, the_pool_may_be_destroyed_before_the_inbox);

    tc = add_case(suite, "wake", 60);
    tcase_add_test(tc, news_that_come_while_the_fd_is_cleared_are_not_lost);
    tcase_add_test(tc, a_consumer_that_sleeps_on_the_fd_sees_every_event);
    return run_suite(suite);
}
