#include "memory_plan.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/thread.h"
#include "tensor/tensor.h"
#include "valet/engine.h"

void memory_plan_make(const struct model *m, struct memory_plan *out)
{
    const struct model_params *p = &m->params;
    struct valet_engine_options defaults;
    valet_engine_options_init(&defaults);
    uint64_t block_bytes = tensor_kv_block_bytes(m->isa, p->layers, p->kv_heads, p->head_dim);
    uint64_t blocks = ((uint64_t)p->context + VALET_BLOCK_TOKENS - 1) / VALET_BLOCK_TOKENS;
    *out = (struct memory_plan){
        .isa = tensor_isa_name(m->isa),
        .weights = m->weight_bytes,
        .packed = m->packed_bytes,
        .kv_token = block_bytes / VALET_BLOCK_TOKENS,
        .kv_context = blocks * block_bytes,
        .sequences = (uint64_t)defaults.rows_max,
        .kv_sequences = (uint64_t)defaults.rows_max * blocks * block_bytes,
        .activations =
            model_state_bytes(m, thread_cpu_count(), defaults.rows_max + defaults.chunk_max) +
            (uint64_t)defaults.rows_max * (uint64_t)p->vocab * sizeof(float),
        .machine = mem_machine_bytes(),
    };
}

void memory_plan_text(uint64_t bytes, char out[static 32])
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
    double n = (double)bytes / 1024;
    int unit = 0;
    for (; n >= 1024 && unit < 3; unit++)
        n /= 1024;
    if (bytes < 1024)
        snprintf(out, 32, "%" PRIu64 " bytes", bytes);
    else
        snprintf(out, 32, "%.1f %s", n, units[unit]);
}
