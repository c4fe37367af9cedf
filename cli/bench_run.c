/* The passes that `valet bench` measures, without engine, server or sampling. */
#include "bench_run.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

static int64_t blocks_for(int64_t tokens)
{
    return (tokens + TENSOR_KV_BLOCK - 1) / TENSOR_KV_BLOCK;
}

static double seconds_since(uint64_t start)
{
    return (double)(clock_now_ns(&base_clock_monotonic) - start) * 1e-9;
}

/* Any token will do; not always the same one. */
static int32_t token_at(const struct bench *b, int64_t i)
{
    return (int32_t)((uint64_t)i * 2654435761u % (uint64_t)b->model->params.vocab);
}

/* Not longer than the model was made for. */
static int64_t long_max(const struct bench *b, const struct bench_options *options)
{
    int64_t context = b->model->params.context;
    return options->long_max < context ? options->long_max : context;
}

static enum base_err open_buffers(struct bench *b, const struct bench_options *options)
{
    const struct model_params *p = &b->model->params;
    b->chunk = options->chunk;
    b->batch_max = options->batch_max;
    int64_t rows = b->chunk > b->batch_max ? b->chunk : b->batch_max;
    b->blocks_long = blocks_for(long_max(b, options));
    b->blocks_each = blocks_for(BENCH_DECODE_DEPTH + BENCH_DECODE_STEPS);
    int64_t blocks = b->blocks_long + b->batch_max * b->blocks_each;
    b->blocks = mem_calloc(MEM_BASE, (size_t)blocks, sizeof *b->blocks);
    b->ids = mem_calloc(MEM_BASE, (size_t)rows, sizeof *b->ids);
    b->pos = mem_calloc(MEM_BASE, (size_t)rows, sizeof *b->pos);
    b->out_rows = mem_calloc(MEM_BASE, (size_t)rows, sizeof *b->out_rows);
    b->tables = mem_calloc(MEM_BASE, (size_t)rows, sizeof *b->tables);
    b->logits = mem_calloc(MEM_BASE, (size_t)(b->batch_max * p->vocab), sizeof *b->logits);
    if (!b->blocks || !b->ids || !b->pos || !b->out_rows || !b->tables || !b->logits)
        return E_NOMEM;
    for (int64_t i = 0; i < blocks; i++)
        b->blocks[i] = (uint32_t)i;
    enum base_err rc =
        tensor_kv_init(&b->kv, b->isa, p->layers, p->kv_heads, p->head_dim, (uint64_t)blocks);
    return rc ? rc : model_state_init(&b->state, b->model, rows, b->batch_max);
}

/* Computes `tokens` of the sequence with this block table behind `depth` others. */
static void compute(struct bench *b, const uint32_t *table, int64_t tokens, int64_t depth)
{
    for (int64_t done = 0; done < tokens;) {
        int64_t n = tokens - done < b->chunk ? tokens - done : b->chunk;
        for (int64_t i = 0; i < n; i++) {
            b->ids[i] = token_at(b, depth + done + i);
            b->pos[i] = (int32_t)(depth + done + i);
            b->tables[i] = table;
        }
        done += n;
        b->out_rows[0] = (int32_t)(n - 1);
        const struct model_batch batch = {
            .rows = { .n_rows = n, .pos = b->pos, .blocks = b->tables },
            .ids = b->ids,
            .out_count = done == tokens, /* logits are wanted of the last token alone */
            .out_rows = b->out_rows,
        };
        model_forward(b->model, &b->state, &b->kv, &batch, b->logits);
    }
}

/* The block table of a row of a decode batch. */
static const uint32_t *row_table(const struct bench *b, int64_t row)
{
    return b->blocks + b->blocks_long + row * b->blocks_each;
}

enum base_err bench_open(struct bench *b, const struct bench_options *options,
                         struct base_err_info *info)
{
    *b = (struct bench){ 0 };
    enum base_err rc = tensor_isa_find(getenv("VALET_ISA"), &b->isa, info);
    if (rc)
        return rc;
    rc = team_create(options->threads > 0 ? options->threads : thread_cpu_count(), &b->team);
    if (rc)
        return base_err_set(info, rc, "cannot start the kernel threads");
    rc = model_open(options->path, b->isa, b->team, &b->model, info);
    if (rc)
        return rc;
    rc = open_buffers(b, options);
    if (rc)
        return base_err_set(info, rc, "out of memory");
    compute(b, b->blocks, long_max(b, options), 0);
    for (int64_t r = 0; r < b->batch_max; r++)
        compute(b, row_table(b, r), BENCH_DECODE_DEPTH, 0);
    return OK;
}

void bench_close(struct bench *b)
{
    model_state_fini(&b->state);
    tensor_kv_fini(&b->kv);
    mem_free(b->blocks);
    mem_free(b->ids);
    mem_free(b->pos);
    mem_free(b->out_rows);
    mem_free(b->tables);
    mem_free(b->logits);
    model_close(b->model);
    team_destroy(b->team);
    *b = (struct bench){ 0 };
}

double bench_prefill(struct bench *b, int64_t tokens, int64_t depth)
{
    uint64_t start = clock_now_ns(&base_clock_monotonic);
    compute(b, b->blocks, tokens, depth);
    return seconds_since(start);
}

double bench_decode(struct bench *b, int64_t batch)
{
    uint64_t start = clock_now_ns(&base_clock_monotonic);
    for (int64_t step = 0; step < BENCH_DECODE_STEPS; step++) {
        for (int64_t r = 0; r < batch; r++) {
            b->ids[r] = token_at(b, step * batch + r);
            b->pos[r] = (int32_t)(BENCH_DECODE_DEPTH + step);
            b->tables[r] = row_table(b, r);
            b->out_rows[r] = (int32_t)r;
        }
        const struct model_batch rows = {
            .rows = { .n_rows = batch, .pos = b->pos, .blocks = b->tables },
            .ids = b->ids,
            .out_count = batch,
            .out_rows = b->out_rows,
        };
        model_forward(b->model, &b->state, &b->kv, &rows, b->logits);
    }
    return seconds_since(start) / BENCH_DECODE_STEPS;
}
