/*
 * The prefix cache alone. Most of it is one random test against a reference that keeps the
 * contract in the plainest way: an array of blocks, found by looking at all of them.
 */
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "engine/prefix.h"
#include "engine/suite.h"
#include "tiny_model.h"

enum {
    N = PREFIX_TOKENS
};

static void fill(int32_t *ids, int32_t first)
{
    for (int32_t i = 0; i < N; i++)
        ids[i] = first + i;
}

static uint32_t take(struct engine_prefix *p)
{
    uint32_t id = PREFIX_NONE;
    ck_assert(engine_prefix_take(p, &id));
    ck_assert_uint_lt(id, p->count);
    return id;
}

static void open_cache(struct engine_prefix *p, uint64_t count, bool enabled)
{
    ck_assert_int_eq(engine_prefix_init(p, count, enabled), OK);
    ck_assert_uint_eq(engine_prefix_held(p), 0);
}

static void close_cache(struct engine_prefix *p)
{
    engine_prefix_check(p);
    ck_assert_uint_eq(engine_prefix_held(p), 0);
    engine_prefix_fini(p);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* ---- single promises ---- */

START_TEST(a_block_is_found_by_parent_salt_and_tokens)
{
    struct engine_prefix p;
    open_cache(&p, 8, true);
    int32_t a[N];
    int32_t b[N];
    fill(a, 100);
    fill(b, 200);
    uint32_t root = engine_prefix_insert(&p, PREFIX_NONE, 7, take(&p), a, N);
    uint32_t child = engine_prefix_insert(&p, root, 7, take(&p), b, N);
    uint32_t part = engine_prefix_insert(&p, child, 7, take(&p), a, N - 1);
    ck_assert_uint_eq(engine_prefix_find(&p, PREFIX_NONE, 7, a), root);
    ck_assert_uint_eq(engine_prefix_find(&p, root, 7, b), child);
    ck_assert_uint_eq(engine_prefix_find(&p, PREFIX_NONE, 8, a), PREFIX_NONE);
    ck_assert_uint_eq(engine_prefix_find(&p, root, 8, b), PREFIX_NONE);
    ck_assert_uint_eq(engine_prefix_find(&p, PREFIX_NONE, 7, b), PREFIX_NONE);
    ck_assert_uint_eq(engine_prefix_find(&p, child, 7, b), PREFIX_NONE);
    ck_assert_uint_eq(engine_prefix_find(&p, child, 7, a), PREFIX_NONE); /* a part is no block */
    for (int32_t i = 0; i < N; i++) {                                    /* every token counts */
        a[i]++;
        ck_assert_uint_eq(engine_prefix_find(&p, PREFIX_NONE, 7, a), PREFIX_NONE);
        a[i]--;
    }
    engine_prefix_unref(&p, part);
    engine_prefix_unref(&p, child);
    engine_prefix_unref(&p, root);
    ck_assert_uint_eq(engine_prefix_held(&p), 0);
    ck_assert_uint_eq(engine_prefix_find(&p, root, 7, b), child); /* and stays */
    engine_prefix_clear(&p);
    ck_assert_uint_eq(engine_prefix_find(&p, PREFIX_NONE, 7, a), PREFIX_NONE);
    close_cache(&p);
}
END_TEST

START_TEST(a_part_is_found_up_to_the_first_other_token)
{
    struct engine_prefix p;
    open_cache(&p, 40, true);
    int32_t ids[N];
    fill(ids, 0);
    int32_t common = -1;
    ck_assert_uint_eq(engine_prefix_find_part(&p, PREFIX_NONE, 0, ids, N, &common), PREFIX_NONE);
    ck_assert_int_eq(common, 0);
    /* a full block that is held, and a part of 10 tokens that nobody holds */
    uint32_t full = engine_prefix_insert(&p, PREFIX_NONE, 0, take(&p), ids, N);
    int32_t other[N];
    fill(other, 0);
    other[5] = 99;
    uint32_t part = engine_prefix_insert(&p, PREFIX_NONE, 0, take(&p), other, 10);
    engine_prefix_unref(&p, part);
    for (int32_t n = 1; n <= N; n++) {
        uint32_t id = engine_prefix_find_part(&p, PREFIX_NONE, 0, ids, n, &common);
        ck_assert_int_eq(common, n);
        ck_assert(id == full || n <= 5);
        id = engine_prefix_find_part(&p, PREFIX_NONE, 0, other, n, &common);
        ck_assert_int_eq(common, n < 10 ? n : 10);
        ck_assert(id == part || n <= 5);
    }
    ids[0] = 77;
    ck_assert_uint_eq(engine_prefix_find_part(&p, PREFIX_NONE, 0, ids, N, &common), PREFIX_NONE);
    ck_assert_int_eq(common, 0);
    ids[0] = 0;
    ck_assert_uint_eq(engine_prefix_find_part(&p, PREFIX_NONE, 1, ids, N, &common), PREFIX_NONE);
    ck_assert_uint_eq(engine_prefix_find_part(&p, full, 0, ids, N, &common), PREFIX_NONE);
    ck_assert_int_eq(common, 0);
    engine_prefix_unref(&p, full);
    close_cache(&p);
}
END_TEST

START_TEST(who_inserts_the_same_again_holds_the_first)
{
    struct engine_prefix p;
    open_cache(&p, 4, true);
    int32_t ids[N];
    fill(ids, 0);
    uint32_t first = engine_prefix_insert(&p, PREFIX_NONE, 0, take(&p), ids, N);
    uint32_t second = take(&p);
    ck_assert_uint_eq(engine_prefix_held(&p), 2);
    ck_assert_uint_eq(engine_prefix_insert(&p, PREFIX_NONE, 0, second, ids, N), first);
    ck_assert_uint_eq(engine_prefix_held(&p), 1); /* the second is free again */
    engine_prefix_unref(&p, first);
    ck_assert_uint_eq(engine_prefix_held(&p), 1); /* one reference for each */
    engine_prefix_unref(&p, first);
    ck_assert_uint_eq(engine_prefix_held(&p), 0);
    /* one that nobody holds is taken up as well */
    uint32_t third = take(&p);
    ck_assert_uint_ne(third, first);
    ck_assert_uint_eq(engine_prefix_insert(&p, PREFIX_NONE, 0, third, ids, N), first);
    ck_assert_uint_eq(engine_prefix_held(&p), 1);
    engine_prefix_unref(&p, first);
    /* the same tokens under another salt are another block */
    uint32_t fourth = take(&p);
    ck_assert_uint_eq(engine_prefix_insert(&p, PREFIX_NONE, 1, fourth, ids, N), fourth);
    engine_prefix_unref(&p, fourth);
    close_cache(&p);
}
END_TEST

/* Two branches over one root; the one that was used last goes last, and the root after both. */
START_TEST(leaves_go_first_and_the_least_used_of_them)
{
    struct engine_prefix p;
    open_cache(&p, 5, true);
    int32_t ids[4][N];
    for (int32_t i = 0; i < 4; i++)
        fill(ids[i], 100 * i);
    uint32_t root = engine_prefix_insert(&p, PREFIX_NONE, 0, take(&p), ids[0], N);
    uint32_t a = engine_prefix_insert(&p, root, 0, take(&p), ids[1], N);
    engine_prefix_ref(&p, root);
    uint32_t b = engine_prefix_insert(&p, root, 0, take(&p), ids[2], N);
    uint32_t below = engine_prefix_insert(&p, b, 0, take(&p), ids[3], N);
    engine_prefix_unref(&p, a);
    engine_prefix_unref(&p, root);
    engine_prefix_unref(&p, below);
    engine_prefix_unref(&p, b);
    engine_prefix_unref(&p, root);
    engine_prefix_ref(&p, root); /* used again: a is younger than b now */
    engine_prefix_ref(&p, a);
    engine_prefix_unref(&p, a);
    engine_prefix_unref(&p, root);
    ck_assert_uint_eq(engine_prefix_held(&p), 0);
    uint32_t got[5];
    got[0] = take(&p); /* the free one */
    for (int i = 1; i < 5; i++) {
        got[i] = take(&p);
        engine_prefix_check(&p);
    }
    ck_assert_uint_eq(got[1], below);
    ck_assert_uint_eq(got[2], b);
    ck_assert_uint_eq(got[3], a);
    ck_assert_uint_eq(got[4], root);
    uint32_t none = 12345;
    ck_assert(!engine_prefix_take(&p, &none)); /* all are held */
    ck_assert_uint_eq(engine_prefix_held(&p), 5);
    engine_prefix_unref(&p, got[2]);
    ck_assert_uint_eq(take(&p), got[2]);
    for (int i = 0; i < 5; i++)
        engine_prefix_unref(&p, got[i]);
    close_cache(&p);
}
END_TEST

START_TEST(a_block_that_is_held_is_never_evicted)
{
    struct engine_prefix p;
    open_cache(&p, 3, true);
    int32_t ids[N];
    fill(ids, 0);
    uint32_t kept = engine_prefix_insert(&p, PREFIX_NONE, 0, take(&p), ids, N);
    engine_prefix_unref(&p, kept);
    engine_prefix_ref(&p, kept);
    uint32_t a = take(&p);
    uint32_t b = take(&p);
    uint32_t none;
    ck_assert(!engine_prefix_take(&p, &none));
    ck_assert_uint_eq(engine_prefix_find(&p, PREFIX_NONE, 0, ids), kept);
    engine_prefix_clear(&p); /* not what is held */
    ck_assert_uint_eq(engine_prefix_find(&p, PREFIX_NONE, 0, ids), kept);
    engine_prefix_unref(&p, a);
    engine_prefix_unref(&p, b);
    engine_prefix_unref(&p, kept);
    close_cache(&p);
}
END_TEST

START_TEST(a_cache_that_is_off_only_counts_blocks)
{
    struct engine_prefix p;
    open_cache(&p, 2, false);
    int32_t ids[N];
    fill(ids, 0);
    uint32_t a = take(&p);
    ck_assert_uint_eq(engine_prefix_insert(&p, PREFIX_NONE, 0, a, ids, N), a);
    uint32_t b = take(&p);
    ck_assert_uint_eq(engine_prefix_insert(&p, a, 0, b, ids, N), b);
    ck_assert_uint_eq(engine_prefix_find(&p, PREFIX_NONE, 0, ids), PREFIX_NONE);
    int32_t common = 5;
    ck_assert_uint_eq(engine_prefix_find_part(&p, PREFIX_NONE, 0, ids, N, &common), PREFIX_NONE);
    ck_assert_int_eq(common, 0);
    ck_assert_uint_eq(engine_prefix_held(&p), 2);
    engine_prefix_unref(&p, b);
    engine_prefix_unref(&p, a);
    ck_assert_uint_eq(p.cached_count, 0);
    close_cache(&p);
}
END_TEST

START_TEST(refused_memory_leaves_nothing)
{
#if VALET_CHECKS
    for (unsigned n = 1;; n++) {
        struct engine_prefix p;
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = engine_prefix_init(&p, 100, true);
        bool fired = fault_disarm();
        if (!fired) {
            ck_assert_int_eq(rc, OK);
            ck_assert_uint_gt(n, 2);
            close_cache(&p);
            break;
        }
        ck_assert_int_eq(rc, E_NOMEM);
        ck_assert_uint_eq(mem_live_blocks(), 0);
        engine_prefix_fini(&p); /* what failed to begin may be ended */
    }
#endif
}
END_TEST

/* ---- against the reference ---- */

enum {
    BLOCKS_MAX = 60,
    USERS = 12,
    DEPTH = 7,     /* blocks of a user at most */
    LOOKS_MIN = 16 /* with no more children than this, find_part finds the best */
};

enum reference_state {
    REF_FREE,
    REF_HELD,
    REF_CACHED
};

struct reference_block {
    enum reference_state state;
    int refs;
    bool is_node;
    uint32_t parent;
    uint64_t salt;
    int32_t n;
    int32_t ids[N];
    uint64_t idle_since; /* when the last holder left */
};

/* A user is what a sequence is: tokens, and the blocks that hold some of them. */
struct user {
    bool active;
    uint64_t salt;
    int32_t ids[DEPTH * N];
    uint32_t blocks[DEPTH];
    int32_t block_count;
    int32_t node_count;
};

struct world {
    struct engine_prefix p;
    struct reference_block blocks[BLOCKS_MAX];
    struct user users[USERS];
    uint64_t now;
    struct tiny_random random;
    int hits;
    int parts;
    int duplicates;
    int evictions;
    int full;
};

static int below(struct world *w, int n)
{
    return tiny_random_below(&w->random, n);
}

static int count_state(const struct world *w, enum reference_state state)
{
    int n = 0;
    for (uint64_t i = 0; i < w->p.count; i++)
        n += w->blocks[i].state == state;
    return n;
}

static bool is_at(const struct reference_block *b, uint32_t parent, uint64_t salt)
{
    return b->state != REF_FREE && b->is_node && b->parent == parent && b->salt == salt;
}

static uint32_t reference_find(const struct world *w, uint32_t parent, uint64_t salt,
                               const int32_t *ids, int32_t n)
{
    for (uint64_t i = 0; i < w->p.count; i++) {
        const struct reference_block *b = &w->blocks[i];
        if (w->p.enabled && is_at(b, parent, salt) && b->n == n &&
            memcmp(b->ids, ids, (size_t)n * sizeof *ids) == 0)
            return (uint32_t)i;
    }
    return PREFIX_NONE;
}

static int32_t common_len(const struct reference_block *b, const int32_t *ids, int32_t n)
{
    int32_t i = 0;
    while (i < n && i < b->n && b->ids[i] == ids[i])
        i++;
    return i;
}

static void check_part(struct world *w, const struct user *u, uint32_t parent, int32_t n)
{
    const int32_t *ids = u->ids + u->block_count * N;
    int32_t best = 0;
    int children = 0;
    for (uint64_t i = 0; i < w->p.count; i++) {
        const struct reference_block *b = &w->blocks[i];
        children += b->state != REF_FREE && b->is_node && b->parent == parent; /* any salt */
        if (is_at(b, parent, u->salt) && common_len(b, ids, n) > best)
            best = common_len(b, ids, n);
    }
    int32_t common = -1;
    uint32_t id = engine_prefix_find_part(&w->p, parent, u->salt, ids, n, &common);
    EXPECT((id == PREFIX_NONE) == (common == 0), "part %u of %d tokens", id, common);
    if (id != PREFIX_NONE)
        EXPECT(is_at(&w->blocks[id], parent, u->salt) &&
                   common_len(&w->blocks[id], ids, n) == common,
               "part %u has no %d tokens in common", id, common);
    EXPECT(common == best || (children > LOOKS_MIN && common < best),
           "part of %d tokens; the best has %d", common, best);
    w->parts += common > 0;
}

static void reference_ref(struct world *w, uint32_t id)
{
    w->blocks[id].state = REF_HELD;
    w->blocks[id].refs++;
}

static void reference_unref(struct world *w, uint32_t id)
{
    struct reference_block *b = &w->blocks[id];
    if (--b->refs > 0)
        return;
    b->state = b->is_node ? REF_CACHED : REF_FREE;
    b->idle_since = ++w->now;
}

/* The block that must go: the one without a holder for the longest time. */
static uint32_t reference_oldest(const struct world *w)
{
    uint32_t found = PREFIX_NONE;
    for (uint64_t i = 0; i < w->p.count; i++) {
        if (w->blocks[i].state == REF_CACHED &&
            (found == PREFIX_NONE || w->blocks[i].idle_since < w->blocks[found].idle_since))
            found = (uint32_t)i;
    }
    return found;
}

static void check_no_child(const struct world *w, uint32_t id)
{
    for (uint64_t i = 0; i < w->p.count; i++)
        EXPECT(w->blocks[i].state == REF_FREE || !w->blocks[i].is_node || i == id ||
                   w->blocks[i].parent != id,
               "block %u goes before its child %d", id, (int)i);
}

static bool user_take(struct world *w, struct user *u)
{
    bool any_free = count_state(w, REF_FREE) > 0;
    uint32_t oldest = reference_oldest(w);
    uint32_t id = PREFIX_NONE;
    bool taken = engine_prefix_take(&w->p, &id);
    EXPECT(taken == (any_free || oldest != PREFIX_NONE), "taken %d", taken);
    w->full += !taken;
    if (!taken)
        return false;
    EXPECT(id < w->p.count, "block %u", id);
    if (any_free) {
        EXPECT(w->blocks[id].state == REF_FREE, "a block in use is taken");
    } else {
        EXPECT(id == oldest, "block %u goes, %u was due", id, oldest);
        check_no_child(w, id);
        w->evictions++;
    }
    w->blocks[id] = (struct reference_block){ .state = REF_HELD, .refs = 1 };
    u->blocks[u->block_count++] = id;
    return true;
}

static uint32_t parent_of(const struct user *u, int32_t block)
{
    return block > 0 ? u->blocks[block - 1] : PREFIX_NONE;
}

static void user_insert(struct world *w, struct user *u, int32_t n)
{
    int32_t at = u->node_count;
    uint32_t id = u->blocks[at];
    const int32_t *ids = u->ids + at * N;
    uint32_t there = reference_find(w, parent_of(u, at), u->salt, ids, n);
    uint32_t got = engine_prefix_insert(&w->p, parent_of(u, at), u->salt, id, ids, n);
    if (!w->p.enabled) {
        EXPECT(got == id, "a cache that is off moved a block");
    } else if (there == PREFIX_NONE) {
        EXPECT(got == id, "a new block became %u", got);
        struct reference_block *b = &w->blocks[id];
        b->is_node = true;
        b->parent = parent_of(u, at);
        b->salt = u->salt;
        b->n = n;
        memcpy(b->ids, ids, (size_t)n * sizeof *ids);
    } else {
        EXPECT(got == there, "block %u became %u, not %u", id, got, there);
        reference_ref(w, there);
        reference_unref(w, id);
        w->duplicates++;
    }
    u->blocks[at] = got;
    if (n == N)
        u->node_count++;
}

/* Few beginnings, so that users meet: a block is one of three, with another end now and then. */
static void user_begin(struct world *w, struct user *u)
{
    *u = (struct user){ .active = true, .salt = (uint64_t)below(w, 3) };
    for (int32_t i = 0; i < DEPTH; i++) {
        int32_t kind = below(w, i < 2 ? 2 : 3);
        for (int32_t t = 0; t < N; t++)
            u->ids[i * N + t] = kind;
        if (below(w, 3) == 0)
            u->ids[i * N + below(w, N)] = 50 + below(w, 4);
    }
    while (u->block_count < DEPTH) {
        uint32_t parent = parent_of(u, u->block_count);
        const int32_t *ids = u->ids + u->block_count * N;
        uint32_t id = engine_prefix_find(&w->p, parent, u->salt, ids);
        EXPECT(id == reference_find(w, parent, u->salt, ids, N), "found %u", id);
        if (id == PREFIX_NONE)
            break;
        engine_prefix_ref(&w->p, id);
        reference_ref(w, id);
        u->blocks[u->block_count++] = id;
        u->node_count++;
        w->hits++;
    }
    if (u->block_count < DEPTH)
        check_part(w, u, parent_of(u, u->block_count), 1 + below(w, N));
}

static void user_end(struct world *w, struct user *u)
{
    if (u->node_count < u->block_count && below(w, 4) > 0)
        user_insert(w, u, 1 + below(w, N - 1));
    while (u->block_count > 0) {
        uint32_t id = u->blocks[--u->block_count];
        engine_prefix_unref(&w->p, id);
        reference_unref(w, id);
    }
    u->active = false;
}

static void user_act(struct world *w, struct user *u)
{
    if (!u->active)
        user_begin(w, u);
    else if (below(w, 5) == 0)
        user_end(w, u);
    else if (u->block_count > u->node_count && below(w, 2))
        user_insert(w, u, N);
    else if (u->block_count == DEPTH || !user_take(w, u))
        user_end(w, u);
}

static void check_all(const struct world *w)
{
    engine_prefix_check(&w->p);
    EXPECT(engine_prefix_held(&w->p) == (uint64_t)count_state(w, REF_HELD), "%d held",
           (int)engine_prefix_held(&w->p));
    EXPECT(w->p.cached_count == (uint64_t)count_state(w, REF_CACHED), "%d cached",
           (int)w->p.cached_count);
    EXPECT(w->p.free_count == (uint64_t)count_state(w, REF_FREE), "%d free", (int)w->p.free_count);
}

static void clear_all(struct world *w)
{
    engine_prefix_clear(&w->p);
    for (uint64_t i = 0; i < w->p.count; i++) {
        if (w->blocks[i].state == REF_CACHED)
            w->blocks[i].state = REF_FREE;
    }
}

/* `table_size` 1 puts all into one hash chain. */
static void run_world(uint64_t seed, uint64_t count, bool enabled, uint64_t table_size)
{
    static struct world w;
    w = (struct world){ .random = { seed } };
    open_cache(&w.p, count, enabled);
    if (table_size > 0)
        w.p.table_size = table_size;
    int operations = suite_is_slow() ? 1500 : 6000;
    for (int i = 0; i < operations; i++) {
        user_act(&w, &w.users[below(&w, USERS)]);
        if (below(&w, 1000) == 0)
            clear_all(&w);
        check_all(&w);
    }
    for (int i = 0; i < USERS; i++) {
        if (w.users[i].active)
            user_end(&w, &w.users[i]);
    }
    check_all(&w);
    close_cache(&w.p);
    printf("seed %d, %d blocks: %d hits, %d parts, %d duplicates, %d evictions, %d times full\n",
           (int)seed, (int)count, w.hits, w.parts, w.duplicates, w.evictions, w.full);
    if (!enabled) {
        ck_assert_int_eq(w.hits + w.parts + w.duplicates + w.evictions, 0);
        return;
    }
    ck_assert_int_gt(w.hits, operations / 50);
    ck_assert_int_gt(w.parts, operations / 100);
    ck_assert_int_gt(w.duplicates, operations / 500);
    ck_assert_int_gt(w.evictions, operations / 50);
}

START_TEST(random_users_see_what_the_reference_says)
{
    static const uint64_t counts[] = { 12, 25, 40, BLOCKS_MAX };
    for (uint64_t seed = 1; seed <= 12; seed++)
        run_world(seed, counts[seed % 4], true, 0);
}
END_TEST

START_TEST(collisions_of_the_hash_change_nothing)
{
    run_world(21, 30, true, 1);
    run_world(22, BLOCKS_MAX, true, 2);
}
END_TEST

START_TEST(random_users_of_a_cache_that_is_off)
{
    run_world(31, 25, false, 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, a_block_is_found_by_parent_salt_and_tokens);
    tcase_add_test(t, a_part_is_found_up_to_the_first_other_token);
    tcase_add_test(t, who_inserts_the_same_again_holds_the_first);
    tcase_add_test(t, leaves_go_first_and_the_least_used_of_them);
    tcase_add_test(t, a_block_that_is_held_is_never_evicted);
    tcase_add_test(t, a_cache_that_is_off_only_counts_blocks);
    tcase_add_test(t, refused_memory_leaves_nothing);
    tcase_add_test(t, random_users_see_what_the_reference_says);
    tcase_add_test(t, collisions_of_the_hash_change_nothing);
    tcase_add_test(t, random_users_of_a_cache_that_is_off);
    return suite_run("prefix", t);
}
