/*
 * What can be found by its id: live tickets, kept ones, tombstones; and results.
 *
 *   admitted ──▶ live ── terminal ──▶ kept ── too old, too many ──▶ tombstone ── the same ──▶ none
 *                          └── nothing is kept ──▶ none
 *
 * Invariants (park_check walks them):
 *   1. A record is in the index if and only if its ticket is live or kept, or it is a tombstone.
 *   2. The kept tickets are in the order of their ends; each holds one reference, the store's.
 *      count and bytes are their sums and within the limits.
 *   3. The timers stand at the ends of the oldest kept ticket and of the oldest tombstone.
 *
 * The index has a fixed number of buckets. Ids are random, so their first characters spread.
 *
 * Threads: any; the lot's state under the pool's lock.
 */
#include "park/park_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/atom.h"

#define BUCKETS_MIN 64
#define BUCKETS_MAX (1 << 17)

/* ---- the index ---- */

static uint64_t capped_sum(uint64_t a, uint64_t b)
{
    return a < BUCKETS_MAX && b < BUCKETS_MAX ? a + b : BUCKETS_MAX;
}

bool park_index_init(struct park_index *index, const struct park_options *options)
{
    uint64_t wanted =
        capped_sum(capped_sum(options->queue_count_max, options->running_max),
                   capped_sum(options->result_count_max, options->tombstone_count_max));
    index->bucket_count = BUCKETS_MIN;
    while (index->bucket_count < wanted && index->bucket_count < BUCKETS_MAX)
        index->bucket_count *= 2;
    index->buckets = mem_calloc(MEM_PARK, index->bucket_count, sizeof *index->buckets);
    return index->buckets != NULL;
}

static struct park_record **bucket_of(struct park_index *index, const char *id)
{
    uint64_t bits;
    memcpy(&bits, id + strlen("tkt_"), sizeof bits);
    return &index->buckets[random_mix(bits) & (index->bucket_count - 1)];
}

void park_index_add_locked(park_pool *pool, struct park_record *record)
{
    struct park_record **bucket = bucket_of(&pool->index, record->id);
    record->chain = *bucket;
    *bucket = record;
}

void park_index_remove_locked(park_pool *pool, struct park_record *record)
{
    struct park_record **link = bucket_of(&pool->index, record->id);
    while (*link != record) {
        ASSERT(*link);
        link = &(*link)->chain;
    }
    *link = record->chain;
    record->chain = NULL;
}

enum park_err park_find(park_pool *pool, const char *tenant, const char *id, park_ticket **out)
{
    enum park_err rc = PARK_E_NOT_FOUND;
    *out = NULL;
    tenant = tenant ? tenant : "";
    if (strnlen(id, sizeof(struct park_record)) != strlen("tkt_") + 26)
        return rc;
    struct park_pass pass;
    park_pass_begin(&pass, pool);
    for (struct park_record *r = *bucket_of(&pool->index, id); r; r = r->chain) {
        if (strcmp(r->id, id) != 0 || strcmp(r->tenant, tenant) != 0)
            continue;
        if (r->ticket)
            *out = park_ticket_ref(r->ticket);
        rc = r->ticket ? PARK_OK : PARK_E_GONE;
        break;
    }
    park_pass_end(&pass);
    return rc;
}

/* ---- the store ---- */

static bool is_over_ns(uint64_t since_ns, uint64_t ttl_ms, uint64_t now_ns)
{
    return park_time_after_ms(since_ns, ttl_ms) <= now_ns;
}

static void set_tombstone_timer(park_pool *pool)
{
    const struct park_record *oldest = pool->store.tombstone_oldest;
    uint64_t at_ns = PARK_NEVER;
    if (oldest)
        at_ns = park_time_after_ms(oldest->gone_ns, pool->options.tombstone_ttl_ms);
    park_timer_set_locked(pool, &pool->store.tombstone_timer, at_ns);
}

static void pop_tombstone(struct park_pass *pass)
{
    struct park_store *store = &pass->pool->store;
    struct park_record *record = store->tombstone_oldest;
    store->tombstone_oldest = record->next;
    if (!record->next)
        store->tombstone_newest = NULL;
    store->tombstone_count--;
    park_index_remove_locked(pass->pool, record);
    record->next = pass->tombstones;
    pass->tombstones = record;
}

void park_store_trim_tombstones_locked(struct park_pass *pass)
{
    const struct park_options *o = &pass->pool->options;
    struct park_store *store = &pass->pool->store;
    while (store->tombstone_oldest &&
           (store->tombstone_count > o->tombstone_count_max ||
            is_over_ns(store->tombstone_oldest->gone_ns, o->tombstone_ttl_ms, pass->now_ns)))
        pop_tombstone(pass);
    set_tombstone_timer(pass->pool);
}

static void bury(struct park_pass *pass, park_ticket *ticket)
{
    struct park_store *store = &pass->pool->store;
    struct park_record *record = ticket->record;
    if (pass->pool->options.tombstone_count_max == 0) { /* it goes with its ticket */
        park_index_remove_locked(pass->pool, record);
        return;
    }
    ticket->record = NULL;
    record->ticket = NULL;
    record->gone_ns = pass->now_ns;
    record->next = NULL;
    if (store->tombstone_newest)
        store->tombstone_newest->next = record;
    else
        store->tombstone_oldest = record;
    store->tombstone_newest = record;
    store->tombstone_count++;
    park_store_trim_tombstones_locked(pass);
}

static void leave(struct park_pass *pass)
{
    struct park_store *store = &pass->pool->store;
    park_ticket *ticket = store->oldest;
    store->oldest = ticket->kept_next;
    if (!store->oldest)
        store->newest = NULL;
    ticket->kept_next = NULL;
    store->count--;
    store->bytes -= ticket->kept_bytes;
    ticket->is_kept = false;
    ticket->is_gone = true;
    bury(pass, ticket);
    park_pass_leave(pass, ticket);
}

static bool must_leave(const struct park_pass *pass)
{
    const struct park_options *o = &pass->pool->options;
    const struct park_store *store = &pass->pool->store;
    return store->count > o->result_count_max ||
           (o->result_bytes_max && store->bytes > o->result_bytes_max) ||
           is_over_ns(store->oldest->ended_ns, o->result_ttl_ms, pass->now_ns);
}

void park_store_trim_locked(struct park_pass *pass)
{
    park_pool *pool = pass->pool;
    while (pool->store.oldest && must_leave(pass))
        leave(pass);
    uint64_t at_ns = PARK_NEVER;
    if (pool->store.oldest)
        at_ns = park_time_after_ms(pool->store.oldest->ended_ns, pool->options.result_ttl_ms);
    park_timer_set_locked(pool, &pool->store.timer, at_ns);
}

void park_store_clear_locked(struct park_pass *pass)
{
    struct park_store *store = &pass->pool->store;
    while (store->oldest)
        leave(pass);
    while (store->tombstone_oldest)
        pop_tombstone(pass);
    park_timer_set_locked(pass->pool, &store->timer, PARK_NEVER);
    park_timer_set_locked(pass->pool, &store->tombstone_timer, PARK_NEVER);
}

void park_store_keep_locked(struct park_pass *pass, park_ticket *ticket)
{
    struct park_store *store = &pass->pool->store;
    if (pass->pool->options.result_count_max == 0) {
        park_index_remove_locked(pass->pool, ticket->record);
        return;
    }
    for (uint32_t i = 0; i < ticket->task_count; i++)
        ticket->kept_bytes += ticket->tasks[i].result.bytes;
    lock_take(&ticket->events_lock);
    ticket->kept_bytes += ticket->ring.cap;
    lock_give(&ticket->events_lock);
    park_ticket_ref(ticket);
    ticket->is_kept = true;
    if (store->newest)
        store->newest->kept_next = ticket;
    else
        store->oldest = ticket;
    store->newest = ticket;
    store->count++;
    store->bytes += ticket->kept_bytes;
    park_store_trim_locked(pass);
}

/* ---- results ---- */

void park_result_put_locked(park_task *task, const struct park_outcome *outcome)
{
    struct park_result *result = &task->result;
    result->data = outcome->result;
    result->bytes = outcome->result_bytes;
    result->destroy = outcome->result_destroy;
    /* Relaxed: published with the ticket's terminal state, under the pool's lock. */
    atom_store_relaxed(&result->refs, 1);
}

static void result_drop(struct park_result *result)
{
    /* Acquire and release: the last one sees what all others did before they let go. */
    if (atom_sub_acq_rel(&result->refs, 1) > 1)
        return;
    if (result->destroy)
        result->destroy(result->data);
    result->data = NULL;
}

void park_result_drop_all(park_ticket *ticket)
{
    lock_check_none_held();
    for (uint32_t i = 0; i < ticket->task_count; i++) {
        struct park_result *result = &ticket->tasks[i].result;
        if (result->data && !result->is_dropped) {
            result->is_dropped = true;
            result_drop(result);
        }
    }
}

enum park_err park_result(park_ticket *ticket, uint32_t index, struct park_result **out)
{
    *out = NULL;
    struct park_pass pass;
    park_pass_begin(&pass, ticket->pool);
    enum park_err rc = PARK_OK;
    if (!park_state_is_terminal(ticket->state))
        rc = PARK_E_AGAIN;
    else if (ticket->is_gone)
        rc = PARK_E_GONE;
    else if (index >= ticket->task_count || !ticket->tasks[index].result.data)
        rc = PARK_E_NOT_FOUND;
    if (!rc) {
        *out = &ticket->tasks[index].result;
        /* Relaxed: the ticket's own reference is there, the lock keeps it from going. */
        atom_add_relaxed(&(*out)->refs, 1);
        park_ticket_ref(ticket);
    }
    park_pass_end(&pass);
    return rc;
}

const void *park_result_data(const struct park_result *result, size_t *bytes)
{
    if (bytes)
        *bytes = result->bytes;
    return result->data;
}

void park_result_unref(struct park_result *result)
{
    if (!result)
        return;
    park_ticket *ticket = result->ticket;
    result_drop(result);
    park_ticket_unref(ticket);
}
