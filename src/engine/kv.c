/*
 * The blocks of a sequence: what it takes over from others, how it grows, how it gives way.
 *
 * Two books are kept. The source books blocks for each request, shared ones once for every
 * holder; the engine holds real blocks, shared ones once. So the real ones never run out while
 * the booking is honoured, and blocks that nobody holds may stay cached.
 */
#include "base/assert.h"
#include "base/atom.h"
#include "engine/engine_int.h"

/* ---- sharing ---- */

/* Holds the cached blocks of the longest known prefix of ids [limit]. */
static void take_full_blocks(struct valet_engine *e, struct engine_seq *s, int32_t limit)
{
    uint32_t parent = PREFIX_NONE;
    while ((s->block_count + 1) * PREFIX_TOKENS <= limit && (uint64_t)s->block_count < s->booked) {
        uint32_t id = engine_prefix_find(&e->prefix, parent, s->request->cache_salt,
                                         s->ids + s->block_count * PREFIX_TOKENS);
        if (id == PREFIX_NONE)
            break;
        engine_prefix_ref(&e->prefix, id);
        s->blocks[s->block_count++] = id;
        parent = id;
    }
    s->node_count = s->block_count;
    s->computed = s->block_count * PREFIX_TOKENS;
}

/*
 * The block behind the full ones of the sibling choice that has most of ids [limit] computed
 * there, how many to *common; or NONE. Siblings have the prompt in common, not the answer.
 */
static uint32_t block_of_sibling(const struct valet_engine *e, const struct engine_seq *s,
                                 int32_t limit, int32_t *common)
{
    uint32_t best = PREFIX_NONE;
    *common = 0;
    for (int32_t i = 0; i < e->rows_max; i++) {
        const struct engine_seq *other = &e->seqs[i];
        if (other == s || other->state != ENGINE_SEQ_RUNNING || other->request != s->request ||
            other->block_count <= s->block_count)
            continue;
        int32_t end = other->computed < limit ? other->computed : limit;
        int32_t n = 0;
        while (n < end && other->ids[n] == s->ids[n])
            n++;
        if (n - s->computed > *common) {
            *common = n - s->computed;
            best = other->blocks[s->block_count];
        }
    }
    return best;
}

/*
 * A block of which only the beginning fits is copied, and the copy is written on. Copying a
 * block costs far less than computing even a few of its tokens.
 */
static void copy_part(struct valet_engine *e, struct engine_seq *s, int32_t limit)
{
    if (s->computed >= limit || (uint64_t)s->block_count >= s->booked)
        return;
    int32_t border = s->computed + PREFIX_TOKENS;
    limit = limit < border ? limit : border;
    uint32_t parent = s->block_count > 0 ? s->blocks[s->block_count - 1] : PREFIX_NONE;
    int32_t common;
    uint32_t from = block_of_sibling(e, s, limit, &common);
    int32_t cached;
    uint32_t node = engine_prefix_find_part(&e->prefix, parent, s->request->cache_salt,
                                            s->ids + s->computed, limit - s->computed, &cached);
    if (cached > common) {
        from = node;
        common = cached;
    }
    if (from == PREFIX_NONE)
        return;
    uint32_t to;
    engine_prefix_ref(&e->prefix, from); /* taking a block must not evict it */
    if (engine_prefix_take(&e->prefix, &to)) {
        tensor_kv_copy(&e->kv, to, from);
        s->blocks[s->block_count++] = to;
        s->computed += common;
    }
    engine_prefix_unref(&e->prefix, from);
}

/*
 * One that comes back may have held more than a start books. What it asks for now decides how
 * much of it can be taken over; if there is none, it grows like any other, row by row.
 */
static void book_known(struct valet_engine *e, struct engine_seq *s)
{
    const struct valet_engine_source *source = e->source;
    uint64_t want = ((uint64_t)s->known + PREFIX_TOKENS - 1) / PREFIX_TOKENS;
    if (s->booked < want && source->grow && source->grow(source->arg, s->work, want))
        s->booked = want;
}

void engine_seq_admit(struct valet_engine *e, struct engine_seq *s)
{
    s->state = ENGINE_SEQ_RUNNING;
    book_known(e, s);
    /* The last known token is always computed: its logits are wanted. */
    int32_t limit = s->known - 1;
    if (e->prefix.enabled && !s->request->prompt_logprobs) {
        take_full_blocks(e, s, limit);
        copy_part(e, s, limit);
    }
    if (!s->started) { /* statistics only */
        atom_add_relaxed(&e->stat_prefix_query_tokens, (uint64_t)s->request->prompt_count);
        atom_add_relaxed(&e->stat_prefix_hit_tokens, (uint64_t)s->computed);
    }
}

void engine_seq_note_full(struct valet_engine *e, struct engine_seq *s)
{
    while ((s->node_count + 1) * PREFIX_TOKENS <= s->computed) {
        uint32_t parent = s->node_count > 0 ? s->blocks[s->node_count - 1] : PREFIX_NONE;
        s->blocks[s->node_count] = engine_prefix_insert(
            &e->prefix, parent, s->request->cache_salt, s->blocks[s->node_count],
            s->ids + s->node_count * PREFIX_TOKENS, PREFIX_TOKENS);
        s->node_count++;
    }
}

void engine_seq_give_blocks(struct valet_engine *e, struct engine_seq *s)
{
    int32_t part = s->computed - s->node_count * PREFIX_TOKENS;
    if (part > 0 && s->node_count < s->block_count) {
        uint32_t parent = s->node_count > 0 ? s->blocks[s->node_count - 1] : PREFIX_NONE;
        s->blocks[s->node_count] = engine_prefix_insert(
            &e->prefix, parent, s->request->cache_salt, s->blocks[s->node_count],
            s->ids + s->node_count * PREFIX_TOKENS, part);
    }
    while (s->block_count > 0) /* from the last to the first: prefix.c invariant 3 */
        engine_prefix_unref(&e->prefix, s->blocks[--s->block_count]);
    s->node_count = 0;
    s->computed = 0;
}

/* ---- growing ---- */

struct engine_seq *engine_seq_of(struct valet_engine *e, const void *work)
{
    for (int32_t i = 0; i < e->rows_max; i++) {
        if (e->seqs[i].state != ENGINE_SEQ_FREE && e->seqs[i].work == work)
            return &e->seqs[i];
    }
    ASSERT(0 && "a source named a victim that does not run");
}

/* Books `blocks` in all, one victim at a time. False: not now. */
static bool book(struct valet_engine *e, struct engine_seq *s, uint64_t blocks)
{
    const struct valet_engine_source *source = e->source;
    while (s->booked < blocks) {
        if (!source->grow || source->grow(source->arg, s->work, blocks)) {
            s->booked = blocks;
            break;
        }
        void *work = source->victim(source->arg);
        if (!work)
            return false;
        struct engine_seq *victim = engine_seq_of(e, work);
        engine_seq_preempt(e, victim);
        if (victim == s)
            return false;
    }
    return true;
}

bool engine_seq_grow(struct valet_engine *e, struct engine_seq *s, int32_t tokens)
{
    int32_t want = (tokens + PREFIX_TOKENS - 1) / PREFIX_TOKENS;
    if (!book(e, s, (uint64_t)want))
        return false;
    while (s->block_count < want) {
        if (!engine_prefix_take(&e->prefix, &s->blocks[s->block_count])) {
            engine_seq_leave(e, s, VALET_END_FAILED, "out of KV blocks");
            return false;
        }
        s->block_count++;
    }
    return true;
}
