#ifndef PARK_INT_H
#define PARK_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "park/park.h"
#include "park/state.h"

/* ---- pool.c ---- */

void park_pool_ref(park_pool *pool);
void park_pool_unref(park_pool *pool);

/* b - a, or 0. */
static inline uint64_t park_elapsed_ns(uint64_t a, uint64_t b)
{
    return b > a ? b - a : 0;
}

/* ---- pass.c: one hold of the pool's lock ---- */

/*
 * A pass reads the clock, takes the lock and runs the timers that are due; its end tells whom
 * the changes concern, gives the lock back and settles what ended meanwhile. So the lot is
 * never looked at with an old time, and nothing is called under the lock.
 */
struct park_pass {
    park_pool *pool;
    uint64_t now_ns;         /* never before that of an earlier pass */
    park_ticket *told_first; /* terminal now; one reference each */
    park_ticket *told_last;
    park_ticket *released_first; /* terminal and no task left: the pool's reference */
    park_ticket *released_last;
    park_ticket *left_first; /* left the store: its reference */
    park_ticket *left_last;
    struct park_record *tombstones; /* that went */
};

void park_pass_begin(struct park_pass *pass, park_pool *pool);
void park_pass_end(struct park_pass *pass);

/*
 * Sleeps on `cond` until it is signalled, the next timer is due or the time is up, and begins
 * the pass anew. False, without having slept: the time is up.
 */
bool park_pass_sleep(struct park_pass *pass, struct base_cond *cond, uint64_t deadline_ns);

/* The same without a limit and without timers: another thread drives them. */
void park_pass_rest(struct park_pass *pass, struct base_cond *cond);

/* -1: PARK_NEVER; 0: 0, which means "do not block". On the system's clock. */
uint64_t park_deadline_ns(int64_t timeout_ms);

void park_pass_tell(struct park_pass *pass, park_ticket *ticket);
void park_pass_release(struct park_pass *pass, park_ticket *ticket);
void park_pass_leave(struct park_pass *pass, park_ticket *ticket);

/* ---- timer.c ---- */

/* Sets or moves a timer; PARK_NEVER: clears it. */
void park_timer_set_locked(park_pool *pool, struct park_timer *timer, uint64_t at_ns);
uint64_t park_timer_next_locked(const park_pool *pool);
void park_timer_run_locked(struct park_pass *pass);

/* The timer of a ticket, by its state. After every change of what it depends on. */
void park_timer_of_ticket_locked(park_pool *pool, park_ticket *ticket);

/* `at_ns` + `ms`, at most PARK_NEVER; `ms` 0: PARK_NEVER. */
uint64_t park_time_after_ms(uint64_t at_ns, uint64_t ms);

/* ---- order.c: who is next ---- */

/* The task that README rules 2 and 20 name as the next start, fits or not; NULL: none. */
park_task *park_order_next_locked(const park_pool *pool);

/*
 * How many of `count` tasks of a new ticket of this class and due time would be named, one
 * after the other, before all that waits.
 */
uint64_t park_order_ahead_locked(const park_pool *pool, enum park_class klass, uint64_t due_ns,
                                 uint64_t count);

/* Whether `running_max` (0: no limit) tickets of the tenant run. */
bool park_order_is_capped_locked(const park_pool *pool, const struct park_tenant *tenant,
                                 uint64_t running_max);

/* Notes a start, before the task leaves the order. */
void park_order_note_start_locked(park_pool *pool, const park_task *task);

/* What goes before a ticket of this class, due time and order; all that waits in a class. */
struct park_weight park_order_before_locked(park_pool *pool, enum park_class klass, uint64_t due_ns,
                                            uint64_t order);
uint64_t park_order_cost_to_locked(const park_pool *pool, enum park_class klass);

/* Into and out of the order. Tickets: by their parked tasks. */
void park_order_park_locked(park_pool *pool, park_ticket *ticket, uint32_t count);
void park_order_unpark_locked(park_pool *pool, park_ticket *ticket, uint32_t count);
void park_order_requeue_locked(park_pool *pool, park_task *task);
void park_order_unqueue_locked(park_pool *pool, park_task *task);

/* ---- books.c: units and places; every function needs the pool lock ---- */

/* Whether a waiting task may start with what is free. */
bool park_books_fit_locked(const park_pool *pool, const park_task *task);

/* The same by units alone, after tasks of the lowest class gave `freed` back. */
bool park_books_fit_after_locked(const park_pool *pool, const park_task *task,
                                 const struct park_units *freed);

/* Whether the reserves of better classes are not in its way. */
bool park_books_reserve_allows_locked(const park_pool *pool, const park_task *task);

/* How many of `count` new tasks fit beside each other, now or in an empty pool. */
uint64_t park_books_fit_count_locked(const park_pool *pool, enum park_class klass,
                                     const struct park_units *need, uint64_t count);
uint64_t park_books_fit_count_empty(const park_pool *pool, enum park_class klass,
                                    const struct park_units *need, uint64_t count);

/* The most that a task of a class may ever start with. */
uint64_t park_books_start_max(const park_pool *pool, enum park_class klass, uint32_t dim);

/* After the capacity changed: whether what a ticket still has to start never can. */
bool park_books_never_fits_locked(const park_pool *pool, const park_ticket *ticket);

/* And no task waits for more than there is. */
void park_books_clip_room_locked(park_pool *pool, park_task *task);

/* Whether `more` finds places beside `pool` and `lane`: OK, CLASS_FULL, QUEUE_FULL. */
enum park_err park_books_has_places(const park_pool *pool, enum park_class klass,
                                    const struct park_places *places,
                                    const struct park_places *lane_places,
                                    const struct park_places *more);
void park_books_take_places_locked(park_pool *pool, enum park_class klass,
                                   const struct park_places *places);
void park_books_give_places_locked(park_pool *pool, enum park_class klass,
                                   const struct park_places *places);

/* The same for a reservation. */
void park_books_reserve_locked(park_pool *pool, enum park_class klass,
                               const struct park_places *places);
void park_books_unreserve_locked(park_pool *pool, enum park_class klass,
                                 const struct park_places *places);

/* `count` tasks of `need` each. False: the sum has no 64 bits. */
bool park_books_places_of(const struct park_units *need, uint64_t count, size_t bytes,
                          struct park_places *out);

/* What a task holds and what is kept for it; zero units: NULL. */
void park_books_set_locked(park_pool *pool, park_task *task, const struct park_units *held,
                           const struct park_units *kept);
enum park_err park_books_adjust_locked(struct park_pass *pass, park_task *task,
                                       const struct park_units *total);
void park_books_lift_refusal_locked(park_pool *pool, park_task *task);

/* ---- lot.c: phases and states; every function needs the pool lock ---- */

uint64_t park_lot_running_locked(const park_pool *pool);
bool park_lot_is_empty_locked(const park_pool *pool);

/* The transitions; lot.c has the diagram. The first `start_count` tasks are booked. */
void park_lot_admit_locked(struct park_pass *pass, park_ticket *ticket, uint64_t start_count);
park_task *park_lot_hand_over_locked(struct park_pass *pass);
void park_lot_requeue_locked(struct park_pass *pass, park_task *task);
void park_lot_end_locked(struct park_pass *pass, park_task *task, enum park_state state);

/*
 * Sets the token of a ticket, unless it is set already: parked tasks end, requeued ones go
 * back to the taker.
 */
void park_lot_ask_end_locked(struct park_pass *pass, park_ticket *ticket, enum park_reason reason);

/* Ends a ticket whose tasks did not end in time after they were asked to. */
void park_lot_abandon_locked(struct park_pass *pass, park_ticket *ticket);

/* Ends every queued ticket; asks all others to end. */
void park_lot_drop_queued_locked(struct park_pass *pass);
void park_lot_ask_all_locked(struct park_pass *pass);

bool park_lot_can_take_locked(const park_pool *pool);
bool park_lot_taker_has_reason_locked(const park_pool *pool);

/* Wakes whom the last change concerns. */
void park_lot_announce_locked(park_pool *pool);

/* ---- ticket.c ---- */

/*
 * A ticket with two references, the pool's and the caller's, none of whose tasks waits yet and
 * that does not own the payload until it is queued or running. NULL: no memory.
 */
park_ticket *park_ticket_create(park_pool *pool, const struct park_work *work);

/* Frees a ticket that was refused: nobody else has seen it. The payload is left alone. */
void park_ticket_discard(park_ticket *ticket);

/* The estimate of the wait of new work of a class, in ms; negative: nothing is known. */
double park_wait_ms_locked(const park_pool *pool, uint64_t cost_ahead);

/* ---- results.c ---- */

bool park_index_init(struct park_index *index, const struct park_options *options);
void park_index_add_locked(park_pool *pool, struct park_record *record);
void park_index_remove_locked(park_pool *pool, struct park_record *record);

/* A ticket is terminal: it is kept, or its record goes. */
void park_store_keep_locked(struct park_pass *pass, park_ticket *ticket);

/* What must leave by time and by number; all: at the end of the pool. */
void park_store_trim_locked(struct park_pass *pass);
void park_store_clear_locked(struct park_pass *pass);
void park_store_trim_tombstones_locked(struct park_pass *pass);

/* The result of a task: whoever finishes it hands it in; the ticket lets go of all of them. */
void park_result_put_locked(park_task *task, const struct park_outcome *outcome);
void park_result_drop_all(park_ticket *ticket);

/* ---- tenant.c ---- */

bool park_tenants_init(struct park_tenants *tenants, uint64_t count_max);
void park_tenants_fini(struct park_tenants *tenants);

/* The entry of a name, `others` if there is no room for it. Never NULL. */
struct park_tenant *park_tenant_of_locked(park_pool *pool, const char *name);

/* ---- stats.c, audit.c ---- */

/* Moves a ticket from one count to another in pool, lane and tenant; NULL: from none. */
void park_stats_move_locked(park_pool *pool, park_ticket *ticket, const enum park_state *from,
                            enum park_state to);
void park_histogram_add(struct park_histogram *histogram, uint64_t ns);

/* Everything that is known of the ticket and the task (NULL: none) is added to `record`. */
void park_audit_add_locked(const struct park_pass *pass, struct park_audit record,
                           const park_ticket *ticket, const park_task *task);
void park_audit_event_locked(const struct park_pass *pass, enum park_audit_event event,
                             const park_ticket *ticket, const park_task *task);

/* The same for a change of the ticket's state. */
void park_audit_change_locked(const struct park_pass *pass, enum park_audit_event event,
                              enum park_state from, const park_ticket *ticket,
                              const park_task *task);

/* ---- admission.c ---- */

/* Gives back what a reservation holds of the queue. */
void park_reservation_give_locked(park_pool *pool, park_reservation *reservation);

/* ---- taker.c ---- */

/* An event found its ring full, or no memory for it. Takes the pool lock. */
void park_taker_note_full(park_pool *pool, bool memory_short);

/* A reader made room that an event waits for. Takes the pool lock. */
void park_taker_note_room(park_ticket *ticket);

/* park_finish, with the reason of a failure. */
void park_taker_finish(park_task *task, const struct park_outcome *outcome,
                       enum park_reason failure);

/* ---- options.c ---- */

bool park_options_are_valid(const struct park_options *options);
struct park_retry park_options_retry(const struct park_options *options);

/* ---- worker.c ---- */

enum park_err park_crew_start(park_pool *pool);

/* Joins all threads of the pool. Their tasks have been asked to end. */
void park_crew_stop(park_pool *pool);

/* The task was finished or given back: the worker that runs it leaves it alone. */
void park_worker_forget(const park_task *task);

/* ---- inbox.c ---- */

void park_inbox_ref(park_inbox *inbox);
void park_inbox_unref(park_inbox *inbox);

/* Lists the ticket in its inbox, if it has one and is not listed. Outside all locks. */
void park_inbox_tell(park_ticket *ticket);

#endif
