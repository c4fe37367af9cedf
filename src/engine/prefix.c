/*
 * Blocks and the prefix cache: a forest. A cached block is a node that stands for up to 32
 * tokens behind its parent; a path from a root spells a prefix. A node is found by a hash of
 * (parent, salt, tokens) and then compared whole, so a hit is never wrong.
 *
 * States of a block
 *
 *   free ──take──▶ held ──insert──▶ held and cached ◀──find, ref── cached (lru)
 *     ▲              │ unref                 └────────unref──────────▶ │
 *     └──────────────┴──────────────────────────────────────evict──────┘
 *
 * Invariants
 *  1. A block is in exactly one state: free (chain), held (refs > 0), or cached (lru list).
 *  2. Who holds a node holds its parent: sequences hold every block of their table. So a
 *     node in the lru list has no held child.
 *  3. Sequences give their blocks back from the last to the first, so children stand before
 *     their parents in the lru list, and the first of the list never has a child.
 *  4. A full node (32 tokens) is never written again; a partial one has no children.
 */
#include "engine/prefix.h"

#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/random.h"

enum {
    PART_LOOKS_MAX = 16 /* children that find_part looks at */
};

struct prefix_block {
    uint32_t refs;
    bool is_node;
    uint32_t next; /* free chain, or hash chain of nodes */
    uint32_t lru_prev;
    uint32_t lru_next;
    /* a node */
    uint32_t parent;
    uint32_t child_first; /* children, newest first */
    uint32_t sibling_prev;
    uint32_t sibling_next;
    uint64_t salt;
    int32_t n;
    int32_t ids[PREFIX_TOKENS];
};

enum base_err engine_prefix_init(struct engine_prefix *p, uint64_t count, bool enabled)
{
    ASSERT(count < PREFIX_NONE);
    *p = (struct engine_prefix){
        .enabled = enabled,
        .count = count,
        .table_size = 64,
        .seed = random_u64(&base_random_system),
        .free_first = PREFIX_NONE,
        .root_first = PREFIX_NONE,
        .lru_first = PREFIX_NONE,
        .lru_last = PREFIX_NONE,
        .free_count = count,
    };
    while (p->table_size < count)
        p->table_size *= 2;
    p->blocks = mem_calloc(MEM_ENGINE, count, sizeof *p->blocks);
    p->table = mem_alloc(MEM_ENGINE, p->table_size * sizeof *p->table);
    if (!p->blocks || !p->table) {
        p->free_count = 0;
        p->count = 0;
        engine_prefix_fini(p);
        return E_NOMEM;
    }
    memset(p->table, 0xff, p->table_size * sizeof *p->table);
    for (uint64_t i = count; i > 0; i--) { /* the first one taken is block 0 */
        p->blocks[i - 1].next = p->free_first;
        p->free_first = (uint32_t)(i - 1);
    }
    return OK;
}

void engine_prefix_fini(struct engine_prefix *p)
{
    ASSERT(engine_prefix_held(p) == 0);
    mem_free(p->blocks);
    mem_free(p->table);
    *p = (struct engine_prefix){ 0 };
}

uint64_t engine_prefix_held(const struct engine_prefix *p)
{
    return p->count - p->free_count - p->cached_count;
}

/* ---- lru ---- */

static void lru_push(struct engine_prefix *p, uint32_t id)
{
    struct prefix_block *b = &p->blocks[id];
    b->lru_prev = p->lru_last;
    b->lru_next = PREFIX_NONE;
    if (p->lru_last != PREFIX_NONE)
        p->blocks[p->lru_last].lru_next = id;
    else
        p->lru_first = id;
    p->lru_last = id;
    p->cached_count++;
}

static void lru_remove(struct engine_prefix *p, uint32_t id)
{
    struct prefix_block *b = &p->blocks[id];
    if (b->lru_prev != PREFIX_NONE)
        p->blocks[b->lru_prev].lru_next = b->lru_next;
    else
        p->lru_first = b->lru_next;
    if (b->lru_next != PREFIX_NONE)
        p->blocks[b->lru_next].lru_prev = b->lru_prev;
    else
        p->lru_last = b->lru_prev;
    p->cached_count--;
}

/* ---- nodes ---- */

static uint32_t *chain_of(const struct engine_prefix *p, uint32_t parent, uint64_t salt,
                          const int32_t *ids, int32_t n)
{
    uint64_t h = random_mix(p->seed ^ parent ^ salt * 0x9e3779b97f4a7c15u);
    for (int32_t i = 0; i < n; i++)
        h = random_mix(h ^ (uint32_t)ids[i]);
    return &p->table[h & (p->table_size - 1)];
}

static bool is_node_for(const struct prefix_block *b, uint32_t parent, uint64_t salt,
                        const int32_t *ids, int32_t n)
{
    return b->parent == parent && b->salt == salt && b->n == n &&
           memcmp(b->ids, ids, (size_t)n * sizeof *ids) == 0;
}

static uint32_t find_node(const struct engine_prefix *p, uint32_t parent, uint64_t salt,
                          const int32_t *ids, int32_t n)
{
    uint32_t id = *chain_of(p, parent, salt, ids, n);
    while (id != PREFIX_NONE && !is_node_for(&p->blocks[id], parent, salt, ids, n))
        id = p->blocks[id].next;
    return id;
}

/* Where the list of the children of `parent` begins; roots are in a list of their own. */
static uint32_t *children_of(struct engine_prefix *p, uint32_t parent)
{
    return parent == PREFIX_NONE ? &p->root_first : &p->blocks[parent].child_first;
}

static void link_child(struct engine_prefix *p, uint32_t id)
{
    struct prefix_block *b = &p->blocks[id];
    uint32_t *first = children_of(p, b->parent);
    b->sibling_prev = PREFIX_NONE;
    b->sibling_next = *first;
    if (*first != PREFIX_NONE)
        p->blocks[*first].sibling_prev = id;
    *first = id;
}

static void unlink_child(struct engine_prefix *p, uint32_t id)
{
    struct prefix_block *b = &p->blocks[id];
    if (b->sibling_prev != PREFIX_NONE)
        p->blocks[b->sibling_prev].sibling_next = b->sibling_next;
    else
        *children_of(p, b->parent) = b->sibling_next;
    if (b->sibling_next != PREFIX_NONE)
        p->blocks[b->sibling_next].sibling_prev = b->sibling_prev;
}

static void make_node(struct engine_prefix *p, uint32_t parent, uint64_t salt, uint32_t id,
                      const int32_t *ids, int32_t n)
{
    struct prefix_block *b = &p->blocks[id];
    b->is_node = true;
    b->parent = parent;
    b->child_first = PREFIX_NONE;
    b->salt = salt;
    b->n = n;
    memcpy(b->ids, ids, (size_t)n * sizeof *ids);
    uint32_t *chain = chain_of(p, parent, salt, ids, n);
    b->next = *chain;
    *chain = id;
    link_child(p, id);
}

static void unmake_node(struct engine_prefix *p, uint32_t id)
{
    struct prefix_block *b = &p->blocks[id];
    ASSERT(b->child_first == PREFIX_NONE);
    uint32_t *at = chain_of(p, b->parent, b->salt, b->ids, b->n);
    while (*at != id)
        at = &p->blocks[*at].next;
    *at = b->next;
    unlink_child(p, id);
    b->is_node = false;
}

/* ---- taking and giving ---- */

static void free_push(struct engine_prefix *p, uint32_t id)
{
    p->blocks[id].next = p->free_first;
    p->free_first = id;
    p->free_count++;
}

static void evict_first(struct engine_prefix *p)
{
    uint32_t id = p->lru_first;
    lru_remove(p, id);
    unmake_node(p, id);
    free_push(p, id);
}

bool engine_prefix_take(struct engine_prefix *p, uint32_t *id)
{
    if (p->free_count == 0) {
        if (p->lru_first == PREFIX_NONE)
            return false;
        evict_first(p);
    }
    *id = p->free_first;
    p->free_first = p->blocks[*id].next;
    p->free_count--;
    p->blocks[*id].refs = 1;
    return true;
}

void engine_prefix_ref(struct engine_prefix *p, uint32_t id)
{
    struct prefix_block *b = &p->blocks[id];
    if (b->refs == 0) {
        ASSERT(b->is_node);
        lru_remove(p, id);
    }
    b->refs++;
}

void engine_prefix_unref(struct engine_prefix *p, uint32_t id)
{
    struct prefix_block *b = &p->blocks[id];
    ASSERT(id < p->count && b->refs > 0);
    if (--b->refs > 0)
        return;
    if (b->is_node)
        lru_push(p, id);
    else
        free_push(p, id);
}

/* ---- finding and inserting ---- */

uint32_t engine_prefix_find(const struct engine_prefix *p, uint32_t parent, uint64_t salt,
                            const int32_t *ids)
{
    return p->enabled ? find_node(p, parent, salt, ids, PREFIX_TOKENS) : PREFIX_NONE;
}

static int32_t common_len(const struct prefix_block *b, const int32_t *ids, int32_t n)
{
    int32_t i = 0;
    while (i < n && i < b->n && b->ids[i] == ids[i])
        i++;
    return i;
}

uint32_t engine_prefix_find_part(const struct engine_prefix *p, uint32_t parent, uint64_t salt,
                                 const int32_t *ids, int32_t n, int32_t *common)
{
    uint32_t best = PREFIX_NONE;
    *common = 0;
    if (!p->enabled)
        return best;
    uint32_t id = parent == PREFIX_NONE ? p->root_first : p->blocks[parent].child_first;
    for (int i = 0; id != PREFIX_NONE && i < PART_LOOKS_MAX; i++) {
        const struct prefix_block *b = &p->blocks[id];
        int32_t len = b->salt == salt ? common_len(b, ids, n) : 0;
        if (len > *common) {
            *common = len;
            best = id;
        }
        id = b->sibling_next;
    }
    return best;
}

uint32_t engine_prefix_insert(struct engine_prefix *p, uint32_t parent, uint64_t salt, uint32_t id,
                              const int32_t *ids, int32_t n)
{
    ASSERT(n > 0 && n <= PREFIX_TOKENS && p->blocks[id].refs > 0);
    if (!p->enabled || p->blocks[id].is_node)
        return id;
    uint32_t there = find_node(p, parent, salt, ids, n);
    if (there == PREFIX_NONE) {
        make_node(p, parent, salt, id, ids, n);
        return id;
    }
    /* The same tokens give the same bits, so the caller may go on with the block that is there. */
    engine_prefix_ref(p, there);
    engine_prefix_unref(p, id);
    return there;
}

void engine_prefix_clear(struct engine_prefix *p)
{
    while (p->lru_first != PREFIX_NONE)
        evict_first(p);
}

/* ---- checking ---- */

static void check_node(const struct engine_prefix *p, uint32_t id)
{
    const struct prefix_block *b = &p->blocks[id];
    ASSERT(b->n > 0 && b->n <= PREFIX_TOKENS);
    ASSERT(find_node(p, b->parent, b->salt, b->ids, b->n) == id);
    ASSERT(b->n == PREFIX_TOKENS || b->child_first == PREFIX_NONE);
    if (b->parent != PREFIX_NONE) {
        const struct prefix_block *parent = &p->blocks[b->parent];
        ASSERT(parent->is_node && (b->refs == 0 || parent->refs > 0));
    }
}

void engine_prefix_check(const struct engine_prefix *p)
{
    uint64_t held = 0;
    uint64_t free_count = 0;
    uint64_t cached = 0;
    for (uint64_t i = 0; i < p->count; i++) {
        held += p->blocks[i].refs > 0;
        if (p->blocks[i].is_node)
            check_node(p, (uint32_t)i);
    }
    for (uint32_t id = p->free_first; id != PREFIX_NONE; id = p->blocks[id].next) {
        ASSERT(p->blocks[id].refs == 0 && !p->blocks[id].is_node);
        free_count++;
    }
    for (uint32_t id = p->lru_first; id != PREFIX_NONE; id = p->blocks[id].lru_next) {
        ASSERT(p->blocks[id].refs == 0 && p->blocks[id].is_node);
        cached++;
    }
    ASSERT(held == engine_prefix_held(p) && free_count == p->free_count &&
           cached == p->cached_count);
}
