#ifndef TESTS_ENGINE_SCRIPT_H
#define TESTS_ENGINE_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "valet/engine.h"

/*
 * A source with a script: it hands a list of jobs to an engine, keeps what comes back, and
 * fails the test the moment the engine breaks its contract: an event before the request is
 * taken or after its end, a second START, a gap in `generated` or in the prompt's events, a
 * second end, text that is no whole UTF-8, an end that does not fit the last event, a request
 * that goes on although the source said it is cancelled, more blocks used than booked.
 *
 * A request and the progress of one that comes back are lent: they lie in memory that is
 * overwritten and released at the end or the requeue, as the contract allows.
 *
 * The engine runs in the calling thread until every job has ended.
 */

enum {
    SCRIPT_ISAS_MAX = 8,
    SCRIPT_IDS_MAX = 256,
    SCRIPT_TEXT_MAX = 8192,
    SCRIPT_REFUSE_UNTIL_WAIT = -1
};

enum script_state {
    SCRIPT_WAITING, /* not taken yet, or requeued */
    SCRIPT_RUNNING,
    SCRIPT_ENDED
};

/* How an optimistic source chooses who gives way. */
enum script_victim {
    SCRIPT_VICTIM_LATEST, /* who started last; never the oldest */
    SCRIPT_VICTIM_RANDOM, /* anybody but the oldest */
    SCRIPT_VICTIM_SELF,   /* who asks, unless it is the oldest */
    SCRIPT_VICTIM_NONE    /* nobody while others run: the row waits */
};

struct script_scores {
    float logprob;
    uint32_t top_count;
    struct valet_top top[VALET_TOP_LOGPROBS_MAX];
};

struct script_job {
    struct valet_request request;
    uint32_t choice;
    uint32_t group; /* jobs with the same number, not 0, are choices of one request */

    /* what the source does with it */
    bool unbooked; /* given although its blocks may not be there */
    uint32_t rank;
    uint64_t from_step;   /* not given before the engine has made so many steps */
    bool cancel;          /* cancelled ... */
    uint64_t cancel_step; /* ... once the engine has made so many steps ... */
    int32_t cancel_count; /* ... and this many of its tokens were reported */
    bool cancel_requeued; /* cancelled while it is out, the first time: it comes back at once,
                              with nothing booked, to be ended */
    int32_t refuse_at;    /* the event with this `generated` (0: START) is refused ... */
    int32_t refuse_count; /* ... so many times, or SCRIPT_REFUSE_UNTIL_WAIT */
    bool refuse_prompt;   /* the number refuse_at counts events of the prompt */
    bool refuse_requeue;  /* there is no memory to keep what it has done */

    /* what came back */
    enum script_state state;
    bool started;
    int32_t cached;       /* by START */
    int32_t prompt_count; /* events of the prompt */
    struct script_scores prompt_scores[SCRIPT_IDS_MAX];
    int32_t count; /* tokens */
    int32_t ids[SCRIPT_IDS_MAX];
    uint32_t text_lens[SCRIPT_IDS_MAX]; /* bytes that each token released */
    struct script_scores scores[SCRIPT_IDS_MAX];
    uint32_t text_len;
    char text[SCRIPT_TEXT_MAX];
    enum valet_finish finish;
    enum valet_stop_kind stop_kind;
    uint32_t stop_index;
    enum valet_end end;
    char error[128];
    int32_t refused;         /* times an event of it was refused */
    int32_t others_events;   /* events of other jobs while this one was paused */
    int32_t preempted;       /* times it was requeued ... */
    int32_t preempted_early; /* ... and of these, before its first token */
    uint64_t end_step;       /* steps of the engine before its end */
    uint64_t blocks_used;    /* by all, at its last event */

    /* kept by the script */
    struct script_lent *lent;
    struct valet_progress progress; /* what it had done when it was requeued */
    int32_t *progress_ids;          /* its ids */
    uint64_t booked;
    uint64_t start_number;
};

struct script {
    struct script_job *jobs;
    int32_t job_count;
    int32_t take_max;  /* requests handed out by one take; 0: as many as there is room for */
    bool stop_in_wait; /* wait returns false at once, whatever is left */
    bool no_drafts;    /* rig_run: no speculation */
    bool check_allocs; /* nothing may be allocated from the first take to the last end */

    /* an optimistic source: it books as requests grow, and names victims */
    bool optimistic;
    enum script_victim victim;
    bool books_back;         /* who comes back starts with what it held, not like a new one */
    uint32_t no_grow_one_in; /* one in so many growths is refused, room or not; 0: none */
    uint32_t refuse_one_in;  /* one in so many events is refused; 0: none */
    uint32_t outrank_one_in; /* in one of so many steps somebody is outranked; 0: never */
    uint64_t seed;

    /* kept by the script */
    valet_engine *engine;
    int32_t live;
    uint64_t starts;
    uint64_t block_count;
    uint64_t booked;
    uint64_t waits; /* calls of wait */
    uint64_t alloc_count;
    uint64_t random;
    bool misbooked;      /* a job was given without its blocks */
    bool told_cancelled; /* the last answer of `cancelled` was yes; the end must follow */
    bool refused_growth; /* the last answer of `grow` was no; a victim may be asked for */
    struct script_job *growing;
    int32_t preemptions;
    int32_t outranked;       /* of these, by more urgent work */
    uint64_t outranked_step; /* outranked was asked last: steps, and calls of wait, before it */
    uint64_t outranked_wait;
    bool is_asked; /* outranked was asked, and nothing was taken since */
};

/* Runs all jobs. What came back is in the jobs. */
void script_run(valet_engine *engine, struct script *script);

/* The same, with nothing special about the script. */
void script_run_jobs(valet_engine *engine, struct script_job *jobs, int32_t count);

/* Forgets what came back. */
void script_reset(struct script_job *jobs, int32_t count);

/* Same events: ids, text, scores to the bit, finish and end. `cached` may differ. */
void script_expect_same(const struct script_job *got, const struct script_job *expected,
                        const char *what);

/* What came is the beginning of what was expected. */
void script_expect_begins(const struct script_job *got, const struct script_job *expected,
                          const char *what);

/* The kernels this CPU has, "ref" first, the best last. Returns how many. */
int script_isas(const char *isas[SCRIPT_ISAS_MAX]);

/* The best of them. */
const char *script_best_isa(void);

valet_model *script_load(const char *path, const char *isa, int32_t threads);

/* An engine with room for rows_max requests of the model's context. */
valet_engine *script_engine(valet_model *model, int32_t rows_max, int32_t chunk_max);

/* The same with so many blocks (0: enough), and no step that depends on the time. */
valet_engine *script_engine_with(valet_model *model, int32_t rows_max, int32_t chunk_max,
                                 uint64_t blocks, bool prefix_cache);

/* One row, whole prompts, and nothing that could change an answer: no cache, no speculation. */
valet_engine *script_engine_plain(valet_model *model);

/* `steps` of valet_engine_stats. */
uint64_t script_steps(const valet_engine *engine);

#endif
