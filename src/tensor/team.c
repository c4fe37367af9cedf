/*
 * The fork-join team.
 *
 * Each member has a share of a job's tiles: neighbours, and in every job the same part of the
 * whole, so what it reads was mostly written by itself. It claims these first, then what others
 * have left of theirs.
 *
 * Invariants
 *  1. `shares[i].claim` holds the number of the job in its upper half and how many tiles of that
 *     share are left to claim in its lower half. A member claims a tile by compare-and-swap, so one
 *     that wakes up late, for a job that is over, changes nothing.
 *  2. The job's description and all claims are written before `job` announces it and not changed
 *     until `done` has reached `count`; whoever claimed a tile of a job therefore read that job.
 *     That none is left is said by the claims alone: a member that looks at a job that is over
 *     may already see the next one's description.
 *  3. team_run waits for tiles, not for members: a member that the kernel has taken off its
 *     CPU delays only the tile it holds.
 *
 * Threads: member 0 writes the description; all members move claims and `done`.
 */
#include "tensor/team.h"

#include <sched.h>
#include <stdbool.h>

#include "base/assert.h"
#include "base/atom.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/thread.h"

enum {
    MEMBERS_MAX = 256,
    SPIN_NS = 50000,  /* longer than what lies between two jobs of a step; CPUs that others want
                         are offered meanwhile: a member may wait for one to do its part */
    SPIN_PAUSES = 16, /* between two looks at the clock; one takes 40 to 140 cycles by CPU */
    TILE_BITS = 32
};

static _Thread_local int t_member;

struct share {
    _Alignas(64) _Atomic uint64_t claim;
};

struct team;

struct member {
    struct team *team;
    int index;
    struct base_thread thread;
};

struct team {
    int size;
    struct member members[MEMBERS_MAX]; /* member 0 is the caller: no thread */

    /* the job: written by member 0, see invariant 2 */
    _Atomic(team_fn) fn;
    _Atomic(void *) arg;
    _Atomic int64_t count;

    _Alignas(64) _Atomic uint32_t job; /* number of the newest */
    _Alignas(64) _Atomic int64_t done;
    struct share shares[MEMBERS_MAX];

    /* sleeping: under `lock` */
    _Alignas(64) _Atomic int sleepers; /* members asleep, waiting for a job */
    _Atomic bool caller_asleep;        /* member 0 waits for the last tile */
    _Atomic bool stop;
    struct base_lock lock;
    struct base_cond job_cond;
    struct base_cond done_cond;
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now_ns(void)
{
    return clock_now_ns(&base_clock_monotonic);
}

/* First tile of member i's share; that of member `size` is the count. */
static int64_t share_begin(const struct team *t, int64_t count, int i)
{
    return count * i / t->size;
}

/* Sequential: either this sees caller_asleep, or the caller sees the last tile done. */
static void note_done(struct team *t, int64_t count)
{
    if (atomic_fetch_add(&t->done, 1) + 1 != count || !atomic_load(&t->caller_asleep))
        return;
    lock_take(&t->lock);
    cond_signal(&t->done_cond);
    lock_give(&t->lock);
}

/* Works on share `i` of a job until no tile of it is left to claim. */
static void work_share(struct team *t, uint32_t job, int i)
{
    _Atomic uint64_t *claim = &t->shares[i].claim;
    for (;;) {
        uint64_t seen = atom_load_acquire(claim); /* partner: the store in team_run */
        uint32_t left = (uint32_t)seen;
        if ((uint32_t)(seen >> TILE_BITS) != job || left == 0)
            return;
        int64_t count = atom_load_relaxed(&t->count); /* of this job if the swap succeeds */
        team_fn fn = atom_load_relaxed(&t->fn);
        void *arg = atom_load_relaxed(&t->arg);
        if (!atomic_compare_exchange_weak(claim, &seen, seen - 1))
            continue;
        fn(arg, share_begin(t, count, i + 1) - (int64_t)left);
        note_done(t, count);
    }
}

static void work(struct team *t, uint32_t job, int me)
{
    for (int i = 0; i < t->size; i++)
        work_share(t, job, (me + i) % t->size);
}

static uint32_t job_number(struct team *t)
{
    return atomic_load(&t->job);
}

/* Returns the number of a job newer than `seen`; the same number means: stop. */
static uint32_t wait_for_job(struct team *t, uint32_t seen)
{
    uint64_t end = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < SPIN_PAUSES; i++) {
            uint32_t job = job_number(t);
            if (job != seen || atom_load_relaxed(&t->stop))
                return job;
            cpu_relax();
        }
        sched_yield();
    } while (now_ns() < end);
    lock_take(&t->lock);
    atomic_fetch_add(&t->sleepers, 1);
    while (job_number(t) == seen && !atomic_load(&t->stop))
        cond_wait(&t->job_cond, &t->lock);
    atomic_fetch_sub(&t->sleepers, 1);
    lock_give(&t->lock);
    return job_number(t);
}

static void *member_main(void *arg)
{
    struct member *me = arg;
    struct team *t = me->team;
    uint32_t seen = 0;
    t_member = me->index;
    for (;;) {
        uint32_t job = wait_for_job(t, seen);
        if (job == seen)
            return NULL;
        seen = job;
        work(t, job, me->index);
    }
}

static void stop_members(struct team *t, int started)
{
    lock_take(&t->lock);
    atomic_store(&t->stop, true);
    cond_broadcast(&t->job_cond);
    lock_give(&t->lock);
    for (int i = 1; i < started; i++)
        thread_join(&t->members[i].thread);
}

enum base_err team_create(int size, struct team **out)
{
    *out = NULL;
    if (size < 1 || size > MEMBERS_MAX)
        return E_INVALID;
    struct team *t = mem_map(MEM_TENSOR, sizeof *t);
    if (!t)
        return E_NOMEM;
    t->size = size;
    lock_init(&t->lock, LOCK_RANK_TEAM);
    cond_init(&t->job_cond);
    cond_init(&t->done_cond);
    for (int i = 1; i < size; i++) {
        struct member *m = &t->members[i];
        *m = (struct member){ .team = t, .index = i };
        enum base_err rc = thread_start(&m->thread, "valet-team", member_main, m);
        if (rc) {
            t->size = i;
            team_destroy(t);
            return rc;
        }
    }
    *out = t;
    return OK;
}

void team_destroy(struct team *t)
{
    if (!t)
        return;
    stop_members(t, t->size);
    cond_fini(&t->job_cond);
    cond_fini(&t->done_cond);
    lock_fini(&t->lock);
    mem_unmap(MEM_TENSOR, t, sizeof *t);
}

int team_size(const struct team *t)
{
    return t ? t->size : 1;
}

int team_member(void)
{
    return t_member;
}

static void wait_until_done(struct team *t, int64_t count)
{
    uint64_t end = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < SPIN_PAUSES; i++) {
            if (atom_load_acquire(&t->done) == count) /* partner: the add in work */
                return;
            cpu_relax();
        }
        sched_yield();
    } while (now_ns() < end);
    lock_take(&t->lock);
    atomic_store(&t->caller_asleep, true);
    while (atomic_load(&t->done) != count)
        cond_wait(&t->done_cond, &t->lock);
    atomic_store(&t->caller_asleep, false);
    lock_give(&t->lock);
}

void team_run(struct team *t, team_fn fn, void *arg, int64_t tile_count)
{
    ASSERT(tile_count >= 0 && tile_count < INT64_C(1) << TILE_BITS);
    if (team_size(t) == 1 || tile_count <= 1) {
        for (int64_t i = 0; i < tile_count; i++)
            fn(arg, i);
        return;
    }
    uint32_t job = job_number(t) + 1;
    if (job == 0)
        job = 1;
    atom_store_relaxed(&t->fn, fn); /* published by the stores of claims below */
    atom_store_relaxed(&t->arg, arg);
    atom_store_relaxed(&t->count, tile_count);
    atom_store_relaxed(&t->done, 0);
    for (int i = 0; i < t->size; i++) {
        int64_t tiles = share_begin(t, tile_count, i + 1) - share_begin(t, tile_count, i);
        atom_store_release(&t->shares[i].claim, (uint64_t)job << TILE_BITS | (uint64_t)tiles);
    }
    /* Sequential: either a member about to sleep sees the job, or this sees the sleeper. */
    atomic_store(&t->job, job);
    if (atomic_load(&t->sleepers) > 0) {
        lock_take(&t->lock);
        cond_broadcast(&t->job_cond);
        lock_give(&t->lock);
    }
    work(t, job, 0);
    wait_until_done(t, tile_count);
}
