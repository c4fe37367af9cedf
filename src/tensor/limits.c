#include "tensor/limits.h"

#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tensor/isa.h"

enum {
    TRIALS = 5,                  /* short ones, of which the best counts */
    TRIAL_NS = 20 * 1000 * 1000, /* each at least so long */
    READ_TILE = 256 * 1024       /* bytes */
};

struct ops_job {
    uint64_t (*run)(uint64_t rounds);
    uint64_t rounds;
    uint64_t ops; /* of a tile; written by tile 0 */
};

static void ops_tile(void *arg, int64_t tile)
{
    struct ops_job *job = arg;
    uint64_t ops = job->run(job->rounds);
    if (tile == 0)
        job->ops = ops;
}

struct read_job {
    void (*read)(const void *data, size_t bytes);
    const uint8_t *data;
};

static void read_tile(void *arg, int64_t tile)
{
    struct read_job *job = arg;
    job->read(job->data + tile * READ_TILE, READ_TILE);
}

static uint64_t now(void)
{
    return clock_now_ns(&base_clock_monotonic);
}

static double ops_per_second(struct team *team, uint64_t (*run)(uint64_t rounds))
{
    const int64_t tiles = 8 * (int64_t)team_size(team);
    struct ops_job job = { .run = run, .rounds = 1 };
    double best = 0;
    for (int trial = 0; trial < TRIALS;) {
        uint64_t start = now();
        team_run(team, ops_tile, &job, tiles);
        uint64_t ns = now() - start;
        if (ns < TRIAL_NS) {
            job.rounds *= 2;
            continue;
        }
        double speed = (double)job.ops * (double)tiles / (double)ns * 1e9;
        best = speed > best ? speed : best;
        trial++;
    }
    return best;
}

static double bytes_per_second(struct team *team, const struct tensor_isa *isa, const uint8_t *data,
                               size_t bytes)
{
    struct read_job job = { isa->limit_read, data };
    double best = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        uint64_t start = now();
        uint64_t ns = 0;
        double done = 0;
        while (ns < TRIAL_NS) {
            team_run(team, read_tile, &job, (int64_t)(bytes / READ_TILE));
            done += (double)bytes;
            ns = now() - start;
        }
        double speed = done / (double)ns * 1e9;
        best = speed > best ? speed : best;
    }
    return best;
}

enum base_err tensor_limits_measure(const struct tensor_isa *isa, struct team *team, size_t bytes,
                                    struct tensor_limits *out)
{
    bytes = (bytes + READ_TILE - 1) / READ_TILE * READ_TILE;
    uint8_t *data = mem_map(MEM_TENSOR, bytes);
    if (!data)
        return E_NOMEM;
    madvise(data, bytes, MADV_HUGEPAGE); /* as packed weights */
    memset(data, 1, bytes);              /* pages of its own, not the one of zeros */
    out->read_bytes_s = bytes_per_second(team, isa, data, bytes);
    mem_unmap(MEM_TENSOR, data, bytes);
    out->int8_ops_s = ops_per_second(team, isa->limit_int8);
    out->f32_ops_s = ops_per_second(team, isa->limit_f32);
    out->tile_ops_s = isa->limit_tiles ? ops_per_second(team, isa->limit_tiles) : 0;
    return OK;
}
