#ifndef TESTS_ENGINE_RIG_H
#define TESTS_ENGINE_RIG_H

#include "engine/script.h"
#include "tiny_model.h"

/* A tiny model that is loaded, and what a request gives on it when nothing happens to it. */
struct rig {
    struct tiny_model tiny;
    valet_model *model;
};

/* isa NULL: the best of this CPU. */
void rig_open(struct rig *rig, struct tiny_shape shape, const char *isa, int32_t threads);

/* Nothing may be left of what was allocated since the start. */
void rig_close(struct rig *rig);

/* A prompt that depends on `seed` alone. */
void rig_prompt(const struct rig *rig, uint64_t seed, int32_t *ids, int32_t count);

/*
 * Runs each job by itself, with no cache, whole prompts, all blocks booked and a source that
 * takes every event; what came is in expected [count].
 */
void rig_alone(const struct rig *rig, const struct script_job *jobs, struct script_job *expected,
               int32_t count);

struct rig_size {
    int32_t rows_max;
    int32_t chunk_max;
    uint64_t blocks; /* 0: enough for all rows */
    bool no_cache;
};

/* Forgets what came back and runs all jobs on an engine of their own; stats may be NULL. */
void rig_run(const struct rig *rig, struct rig_size size, struct script *script,
             struct valet_engine_stats *stats);

#endif
