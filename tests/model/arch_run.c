#include "model/arch_run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"

enum {
    BLOCKS = ARCH_IDS_MAX / TENSOR_KV_BLOCK
};

enum base_err arch_run_open_path(struct arch_run *r, const char *path, const char *isa,
                                 struct base_err_info *info)
{
    *r = (struct arch_run){ 0 };
    enum base_err rc = tensor_isa_find(isa, &r->isa, info);
    ASSERT(rc == OK);
    rc = team_create(2, &r->team);
    ASSERT(rc == OK);
    rc = model_open(path, r->isa, r->team, &r->model, info);
    if (rc) {
        team_destroy(r->team);
        return rc;
    }
    const struct model_params *p = &r->model->params;
    rc = model_state_init(&r->state, r->model, ARCH_IDS_MAX, ARCH_IDS_MAX);
    ASSERT(rc == OK);
    rc = tensor_kv_init(&r->kv, r->isa, p->layers, p->kv_heads, p->head_dim, BLOCKS);
    ASSERT(rc == OK);
    return OK;
}

enum base_err arch_run_open(struct arch_run *r, const struct arch_case *c, const char *isa,
                            struct base_err_info *info)
{
    char path[256];
    const char *dir = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/valet-arch-XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(path);
    ASSERT(fd >= 0);
    close(fd);
    size_t size;
    void *file = arch_case_build(c, &size);
    arch_write(path, file, size);
    free(file);
    enum base_err rc = arch_run_open_path(r, path, isa, info);
    unlink(path); /* the mapping stays */
    return rc;
}

void arch_run_close(struct arch_run *r)
{
    tensor_kv_fini(&r->kv);
    model_state_fini(&r->state);
    model_close(r->model);
    team_destroy(r->team);
}

void arch_run_logits(struct arch_run *r, const struct arch_case *c, int chunk, float *logits)
{
    int32_t pos[ARCH_IDS_MAX];
    int32_t out[ARCH_IDS_MAX];
    const uint32_t *blocks[ARCH_IDS_MAX];
    uint32_t table[BLOCKS];
    for (uint32_t i = 0; i < BLOCKS; i++)
        table[i] = BLOCKS - 1 - i; /* not in order */
    for (int first = 0; first < c->count; first += chunk) {
        int n = c->count - first < chunk ? c->count - first : chunk;
        for (int i = 0; i < n; i++) {
            pos[i] = first + i;
            out[i] = i;
            blocks[i] = table;
        }
        const struct model_batch batch = { .rows = { .n_rows = n, .pos = pos, .blocks = blocks },
                                           .ids = c->ids + first,
                                           .out_count = n,
                                           .out_rows = out };
        model_forward(r->model, &r->state, &r->kv, &batch, logits + first * c->vocab);
    }
}
