/*
 * Who is next: README rules 2, 20, 21 and 32. Each class has its parked tickets twice, sorted by
 * (due, order) and linked by order, and its requeued tasks. What is next is read from the heads
 * of these; nothing is searched, but capped tickets are walked over.
 *
 * Invariants (park_check walks them):
 *   1. A ticket is in `parked` and in the chain of its lane if and only if it has parked tasks;
 *      these are its last ones. Its weight in the tree is theirs.
 *   2. `requeued` is in the order of (ticket, index).
 *   3. passed_over < aging_share, or the oldest aged task cannot start now.
 *
 * Threads: the caller holds the pool's lock.
 */
#include "park/park_int.h"

#include "base/assert.h"

static park_ticket *ticket_of(struct park_node *node)
{
    return (park_ticket *)((char *)node - offsetof(park_ticket, node));
}

static park_task *first_parked(park_ticket *ticket)
{
    return &ticket->tasks[ticket->task_count - ticket->parked_count];
}

/* ---- past those whose tenant runs as much as it may: README rule 32 ---- */

bool park_order_is_capped_locked(const park_pool *pool, const struct park_tenant *tenant,
                                 uint64_t running_max)
{
    return running_max > 0 && tenant != &pool->tenants.others &&
           tenant->counts.running >= running_max;
}

static bool is_capped(const park_ticket *ticket)
{
    return ticket->state == PARK_QUEUED &&
           park_order_is_capped_locked(ticket->pool, ticket->tenant, ticket->tenant_running_max);
}

static park_ticket *first_of(const struct park_lane *lane)
{
    struct park_node *node = lane->parked.first;
    while (node && is_capped(ticket_of(node)))
        node = park_tree_next(node);
    return node ? ticket_of(node) : NULL;
}

static park_ticket *oldest_parked(const struct park_lane *lane)
{
    park_ticket *ticket = lane->oldest;
    while (ticket && is_capped(ticket))
        ticket = ticket->younger;
    return ticket;
}

/* ---- the heads of a lane ---- */

/* What starts next in a lane, or NULL. */
static park_task *head_of(const struct park_lane *lane)
{
    if (lane->requeued.first)
        return lane->requeued.first;
    park_ticket *first = first_of(lane);
    return first ? first_parked(first) : NULL;
}

/* The task of the oldest ticket that waits in a lane, or NULL. */
static park_task *oldest_of(const struct park_lane *lane)
{
    park_task *requeued = lane->requeued.first;
    park_ticket *oldest = oldest_parked(lane);
    if (!oldest || (requeued && requeued->ticket->order <= oldest->order))
        return requeued;
    return first_parked(oldest);
}

static bool is_aged(const park_pool *pool, const park_ticket *ticket)
{
    uint64_t aging_ms = pool->options.classes[ticket->klass].aging_ms;
    return pool->options.aging_share > 0 &&
           park_time_after_ms(ticket->submitted_ns, aging_ms) < pool->now_ns;
}

/*
 * The oldest aged task that no reserve holds back, or NULL; *is_behind: such a task waits in a
 * class below `top`.
 */
static park_task *oldest_aged(const park_pool *pool, int top, bool *is_behind)
{
    park_task *oldest = NULL;
    *is_behind = false;
    for (int c = 0; c < PARK_CLASS_COUNT; c++) {
        park_task *task = oldest_of(&pool->lanes[c]);
        if (!task || !is_aged(pool, task->ticket) || !park_books_reserve_allows_locked(pool, task))
            continue;
        if (!oldest || task->ticket->order < oldest->ticket->order)
            oldest = task;
        *is_behind = *is_behind || c > top;
    }
    return oldest;
}

static int top_class(const park_pool *pool)
{
    int c = 0;
    while (c < PARK_CLASS_COUNT && !head_of(&pool->lanes[c]))
        c++;
    return c;
}

static bool is_aged_turn(const park_pool *pool)
{
    return pool->passed_over + 1 >= pool->options.aging_share;
}

park_task *park_order_next_locked(const park_pool *pool)
{
    int top = top_class(pool);
    if (top == PARK_CLASS_COUNT)
        return NULL;
    bool is_behind;
    park_task *aged = oldest_aged(pool, top, &is_behind);
    return is_behind && is_aged_turn(pool) ? aged : head_of(&pool->lanes[top]);
}

uint64_t park_order_ahead_locked(const park_pool *pool, enum park_class klass, uint64_t due_ns,
                                 uint64_t count)
{
    const struct park_lane *lane = &pool->lanes[klass];
    if (top_class(pool) < (int)klass || lane->requeued.first)
        return 0;
    const park_ticket *first = first_of(lane);
    if (first && first->node.key <= due_ns)
        return 0;
    bool is_behind;
    oldest_aged(pool, (int)klass, &is_behind);
    if (!is_behind)
        return count;
    uint64_t passes = is_aged_turn(pool) ? 0 : pool->options.aging_share - 1 - pool->passed_over;
    return count < passes ? count : passes;
}

void park_order_note_start_locked(park_pool *pool, const park_task *task)
{
    int top = top_class(pool);
    int klass = (int)task->ticket->klass;
    if (klass < top)
        top = klass; /* new, and never waited */
    bool is_behind;
    const park_task *aged = oldest_aged(pool, top, &is_behind);
    if (task == aged)
        pool->passed_over = 0;
    else if (is_behind)
        pool->passed_over++;
    pool->lanes[klass].aged += klass > top;
}

struct park_weight park_order_before_locked(park_pool *pool, enum park_class klass, uint64_t due_ns,
                                            uint64_t order)
{
    struct park_lane *lane = &pool->lanes[klass];
    struct park_weight sum = park_tree_before(&lane->parked, due_ns, order);
    sum.tasks += lane->requeued.count;
    for (int c = 0; c < (int)klass; c++) {
        struct park_weight better = park_tree_sum(&pool->lanes[c].parked);
        sum.tasks += better.tasks + pool->lanes[c].requeued.count;
        sum.cost += better.cost;
    }
    return sum;
}

uint64_t park_order_cost_to_locked(const park_pool *pool, enum park_class klass)
{
    uint64_t cost = 0;
    for (int c = 0; c <= (int)klass; c++)
        cost += park_tree_sum(&pool->lanes[c].parked).cost;
    return cost;
}

/* ---- into and out of the order ---- */

static struct park_weight weight_of(const park_ticket *ticket)
{
    return (struct park_weight){
        .tasks = ticket->parked_count,
        .cost = ticket->cost * ticket->parked_count / ticket->task_count,
    };
}

static void chain_push(struct park_lane *lane, park_ticket *ticket)
{
    ASSERT(!lane->youngest || lane->youngest->order < ticket->order);
    ticket->older = lane->youngest;
    ticket->younger = NULL;
    if (lane->youngest)
        lane->youngest->younger = ticket;
    else
        lane->oldest = ticket;
    lane->youngest = ticket;
}

static void chain_remove(struct park_lane *lane, park_ticket *ticket)
{
    if (ticket->older)
        ticket->older->younger = ticket->younger;
    else
        lane->oldest = ticket->younger;
    if (ticket->younger)
        ticket->younger->older = ticket->older;
    else
        lane->youngest = ticket->older;
    ticket->older = NULL;
    ticket->younger = NULL;
}

void park_order_park_locked(park_pool *pool, park_ticket *ticket, uint32_t count)
{
    struct park_lane *lane = &pool->lanes[ticket->klass];
    ASSERT(count > 0 && ticket->parked_count == 0);
    ticket->parked_count = count;
    ticket->node.order = ticket->order;
    ticket->node.own = weight_of(ticket);
    park_tree_insert(&lane->parked, &ticket->node);
    chain_push(lane, ticket);
    lane->parked_count += count;
    pool->parked_count += count;
}

void park_order_unpark_locked(park_pool *pool, park_ticket *ticket, uint32_t count)
{
    struct park_lane *lane = &pool->lanes[ticket->klass];
    ASSERT(count > 0 && ticket->parked_count >= count);
    ticket->parked_count -= count;
    lane->parked_count -= count;
    pool->parked_count -= count;
    if (ticket->parked_count > 0) {
        park_tree_weigh(&lane->parked, &ticket->node, weight_of(ticket));
        return;
    }
    park_tree_remove(&lane->parked, &ticket->node);
    chain_remove(lane, ticket);
}

static bool is_older(const park_task *a, const park_task *b)
{
    if (a->ticket != b->ticket)
        return a->ticket->order < b->ticket->order;
    return a->index < b->index;
}

/* A walk over what was given back: never more than run at once in a class. */
void park_order_requeue_locked(park_pool *pool, park_task *task)
{
    struct park_list *list = &pool->lanes[task->ticket->klass].requeued;
    park_task *after = list->last;
    while (after && is_older(task, after))
        after = after->prev;
    park_list_insert(list, after, task);
    pool->requeued_count++;
}

void park_order_unqueue_locked(park_pool *pool, park_task *task)
{
    park_list_remove(&pool->lanes[task->ticket->klass].requeued, task);
    pool->requeued_count--;
}
