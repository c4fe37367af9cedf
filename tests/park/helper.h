#ifndef TESTS_PARK_HELPER_H
#define TESTS_PARK_HELPER_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>

#include "park/park.h"

/* Time and randomness that a test turns by hand. One thread. */
struct world {
    uint64_t now_ns;
    uint64_t seed;
};

struct park_env world_env(struct world *world);
uint64_t world_random(struct world *world);

/* A number below `n`. */
uint64_t world_below(struct world *world, uint64_t n);

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)

/* How often to do something: `few` times where VALET_TEST_SLOW says that the build is slow. */
int times_of(int many, int few);

/* One dimension, room for `depth` parked tickets. */
struct park_options options_of(uint64_t capacity, uint64_t depth);
park_pool *pool_of(const struct park_options *options);
park_pool *small_pool(uint64_t capacity, uint64_t depth);

/* Checks the pool, ends it and checks that nothing of it is left in memory. */
void end_pool(park_pool *pool);
void check_nothing_is_held(void);

/* A payload that counts how often it was destroyed. */
struct payload {
    int destroyed;
};

void payload_destroy(void *payload);

struct park_work work_of(uint64_t need);

/* Work of `need` units that is accepted; gives park_ticket_unref. */
park_ticket *submit(park_pool *pool, uint64_t need);
park_ticket *submit_payload(park_pool *pool, uint64_t need, struct payload *payload);

/* Work of `count` tasks, each of `need` units that may grow to `limit`; accepted. */
park_ticket *submit_tasks(park_pool *pool, uint32_t count, uint64_t need, uint64_t limit,
                          struct payload *payload);

/* Work that is accepted; gives park_ticket_unref. */
park_ticket *submit_work(park_pool *pool, const struct park_work *work);
park_ticket *submit_class(park_pool *pool, enum park_class klass, uint64_t need);

/* Work that is refused with `code`. */
struct park_refusal refused_work(park_pool *pool, const struct park_work *work, enum park_err code);

/* Takes a task, which must be of this ticket, and finishes it or leaves it running. */
park_task *take_of(park_pool *pool, const park_ticket *ticket);
void run_of(park_pool *pool, const park_ticket *ticket);

/* Work of `need` units that is refused with `code`. */
struct park_refusal refused(park_pool *pool, uint64_t need, enum park_err code);

/* The next task, or NULL. */
park_task *take_one(park_pool *pool);

/* park_adjust in one dimension. */
enum park_err adjust(park_task *task, uint64_t total);
void finish(park_task *task, enum park_state state);

enum park_state state_of(const park_ticket *ticket);
enum park_reason reason_of(const park_ticket *ticket);
struct park_stats stats_of(park_pool *pool);

/* ck_assert_… notes its place with a write on every call; a million of comparisons want less. */
#define SAME(a, b)                                                                                 \
    do {                                                                                           \
        if ((a) != (b))                                                                            \
            ck_abort_msg("%s is not %s", #a, #b);                                                  \
    } while (0)

/* submitted = rejected + queued + running + the five terminal counts, also in each class */
void check_identity(const struct park_stats *stats);

bool fd_is_readable(int fd);

/* A test case of the suite with a time limit of `seconds`. */
TCase *add_case(Suite *suite, const char *name, double seconds);

/* Runs the suite; the exit status. */
int run_suite(Suite *suite);

#endif
