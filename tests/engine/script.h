#ifndef TESTS_ENGINE_SCRIPT_H
#define TESTS_ENGINE_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "valet/engine.h"

/*
 * A source with a script: it hands a list of jobs to an engine, keeps what comes back, and
 * fails the test the moment the engine breaks its contract: an event before the request is
 * taken or after its end, a second START, a gap in `generated`, a second end, text that is
 * no whole UTF-8, an end that does not fit the last event, a request that goes on although
 * the source said it is cancelled.
 *
 * The engine runs in the calling thread until every job has ended.
 */

enum {
    SCRIPT_IDS_MAX = 256,
    SCRIPT_TEXT_MAX = 8192,
    SCRIPT_REFUSE_UNTIL_WAIT = -1
};

enum script_state {
    SCRIPT_WAITING,
    SCRIPT_RUNNING,
    SCRIPT_ENDED
};

struct script_job {
    struct valet_request request;

    /* what the source does with it */
    bool unbooked;         /* given although its blocks may not be there */
    bool cancel;           /* cancelled ... */
    uint64_t cancel_step;  /* ... once the engine has made so many steps ... */
    int32_t cancel_count;  /* ... and this many of its tokens were reported */
    int32_t refuse_at;     /* the event with this `generated` (0: START) is refused ... */
    int32_t refuse_count;  /* ... so many times, or SCRIPT_REFUSE_UNTIL_WAIT */

    /* what came back */
    enum script_state state;
    bool started;
    int32_t count; /* tokens */
    int32_t ids[SCRIPT_IDS_MAX];
    uint32_t text_len;
    char text[SCRIPT_TEXT_MAX];
    enum valet_finish finish;
    enum valet_end end;
    char error[128];
    int32_t refused;       /* times an event of it was refused */
    int32_t others_events; /* events of other jobs while this one was paused */
    uint64_t end_step;     /* steps of the engine before its end */
};

struct script {
    struct script_job *jobs;
    int32_t job_count;
    int32_t take_max;   /* requests handed out by one take; 0: as many as there is room for */
    bool stop_in_wait;  /* wait returns false at once, whatever is left */
    bool check_allocs;  /* nothing may be allocated from the first take to the last end */

    /* kept by the script */
    valet_engine *engine;
    int32_t next;
    int32_t live;
    uint64_t block_count;
    uint64_t booked;
    uint64_t waits; /* calls of wait */
    uint64_t alloc_count;
    bool told_cancelled; /* the last answer of `cancelled` was yes; the end must follow */
};

/* Runs all jobs. What came back is in the jobs. */
void script_run(valet_engine *engine, struct script *script);

/* The same, with nothing special about the script. */
void script_run_jobs(valet_engine *engine, struct script_job *jobs, int32_t count);

/* Forgets what came back. */
void script_reset(struct script_job *jobs, int32_t count);

/* Same ids, text, finish and end. */
void script_expect_same(const struct script_job *got, const struct script_job *expected,
                        const char *what);

/* The kernels that tests run on: "ref" and, if it is another, the best of this CPU. */
int script_isas(const char *isas[2]);

valet_model *script_load(const char *path, const char *isa, int32_t threads);

/* An engine with room for rows_max requests of the model's context. */
valet_engine *script_engine(valet_model *model, int32_t rows_max, int32_t chunk_max);

/* `steps` of valet_engine_stats. */
uint64_t script_steps(const valet_engine *engine);

#endif
