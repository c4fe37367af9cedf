#ifndef TESTS_PARK_SIM_MODEL_H
#define TESTS_PARK_SIM_MODEL_H

#include "helper.h"

/*
 * The rules of src/park/README.md as plain as can be: arrays, and a walk over everything for
 * every question. It shares no code with the pool.
 */
enum {
    SIM_LIVE_MAX = 24,
    SIM_TASKS_MAX = 4,
    SIM_DIMS = 2
};

enum sim_phase {
    SIM_PARKED,
    SIM_REQUEUED,
    SIM_BOOKED,
    SIM_RUNNING,
    SIM_ENDED
};

struct sim_part {
    enum sim_phase phase;
    uint64_t held[SIM_DIMS];
    uint64_t kept[SIM_DIMS];
    uint64_t room[SIM_DIMS];
    uint64_t entered; /* booked and running: the order in which they came there */
    int requeues;
    bool is_refused;
    bool is_aged;        /* the bound of its wait is being counted */
    uint64_t passed;     /* starts of better classes since */
    uint64_t passed_max; /* the bound */
    park_task *task;     /* in the taker's hands, or given back */
};

struct sim_ticket {
    bool is_used;
    park_ticket *ticket;
    struct payload payload;
    enum park_class klass;
    int count;
    struct sim_part parts[SIM_TASKS_MAX];
    uint64_t need[SIM_DIMS];
    uint64_t limit[SIM_DIMS];
    uint64_t bytes;
    int tenant;           /* 0: nobody */
    uint64_t running_max; /* tickets of the tenant; 0: no limit */
    uint64_t order;
    uint64_t due;
    uint64_t submitted;
    uint64_t started;
    uint64_t queue_end; /* and of its deadline and of the total; UINT64_MAX: never */
    uint64_t deadline;
    uint64_t total_end;
    uint64_t run_ms;
    uint64_t token_at;
    enum park_reason token;
    enum park_state state;
    enum park_reason reason;
    bool has_failed;
    bool was_asked; /* a task ended because of the token */
};

struct sim {
    struct world world;
    park_pool *pool;
    struct park_options o;
    struct sim_ticket tickets[SIM_LIVE_MAX];
    uint64_t order;
    uint64_t entered;
    uint64_t passed_over;
    bool is_paused;
    bool is_draining;
    bool is_simple; /* no reserves, nothing is given back: the bound of aging holds */
    uint64_t starts;
    uint64_t aged_starts;
    uint64_t ended[PARK_STATE_COUNT];
    uint64_t rejected;
};

/* A task of the model; `t` NULL: none. */
struct sim_at {
    struct sim_ticket *t;
    struct sim_part *p;
};

/* Every task that has not ended: at.t, at.p. */
#define FOR_SIM(m, at)                                                                             \
    for (int i_ = 0; i_ < SIM_LIVE_MAX * SIM_TASKS_MAX; i_++)                                      \
        if (((at) = sim_number((m), i_)).t)

struct sim_at sim_number(struct sim *m, int number);
uint64_t sim_used(struct sim *m, int dim);
uint64_t sim_count(struct sim *m, enum sim_phase phase);
uint64_t sim_position(struct sim *m, const struct sim_ticket *t);
bool sim_fits(struct sim *m, struct sim_at at);
bool sim_is_capped(const struct sim *m, const struct sim_ticket *t);
struct sim_at sim_next(struct sim *m);

/* What the pool must answer to this ticket; OK: it is in the model then, with its starts. */
enum park_err sim_submit(struct sim *m, struct sim_ticket *t);

/* Whether the pool may hand this task over now; then it is running. */
bool sim_take(struct sim *m, struct sim_at at);

/* The timers, at world.now_ns. */
void sim_tick(struct sim *m);
void sim_ask_end(struct sim *m, struct sim_ticket *t, enum park_reason reason);
void sim_finish(struct sim *m, struct sim_at at, enum park_state state);
void sim_requeue(struct sim *m, struct sim_at at);
enum park_err sim_adjust(struct sim *m, struct sim_at at, const struct park_units *total);
struct sim_at sim_victim(struct sim *m);
struct sim_at sim_outranked(struct sim *m);
void sim_reconfigure(struct sim *m, const struct park_options *options);
void sim_drain(struct sim *m, enum park_drain_mode mode);

#endif
