#include "engine/rig.h"

#include <check.h>

#include "base/mem.h"
#include "engine/engine_int.h"

void rig_open(struct rig *rig, struct tiny_shape shape, const char *isa, int32_t threads)
{
    tiny_model_write(&rig->tiny, &shape);
    rig->model = script_load(rig->tiny.path, isa ? isa : script_best_isa(), threads);
}

void rig_close(struct rig *rig)
{
    valet_model_free(rig->model);
    tiny_model_remove(&rig->tiny);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

void rig_prompt(const struct rig *rig, uint64_t seed, int32_t *ids, int32_t count)
{
    struct tiny_random r = { seed };
    for (int32_t i = 0; i < count; i++)
        ids[i] = tiny_random_below(&r, rig->tiny.shape.vocab);
}

void rig_alone(const struct rig *rig, const struct script_job *jobs, struct script_job *expected,
               int32_t count)
{
    valet_engine *engine = script_engine_plain(rig->model);
    for (int32_t i = 0; i < count; i++) {
        expected[i] = (struct script_job){ .request = jobs[i].request, .choice = jobs[i].choice };
        script_run_jobs(engine, &expected[i], 1);
    }
    valet_engine_destroy(engine);
}

void rig_run(const struct rig *rig, struct rig_size size, struct script *script,
             struct valet_engine_stats *stats)
{
    struct valet_engine_stats unused;
    valet_engine *engine =
        script_engine_with(rig->model, size.rows_max, size.chunk_max, size.blocks, !size.no_cache);
    if (script->no_drafts)
        engine->speculates = false;
    script_reset(script->jobs, script->job_count);
    script_run(engine, script);
    valet_engine_stats(engine, stats ? stats : &unused);
    valet_engine_destroy(engine);
}
