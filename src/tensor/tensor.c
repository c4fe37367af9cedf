/*
 * Splits each operation over the team. The kernels of an instruction set work on tiles
 * (isa.h); this file decides what a tile is and keeps the buffers between operations.
 *
 * A tile never spans a reduction: threads split rows, outputs and heads, never sums. That
 * is why the number of threads changes no bit.
 */
#include "tensor/tensor.h"

#include <string.h>
#include <sys/mman.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tensor/isa.h"

enum {
    CHUNKS_PER_MEMBER = 4,   /* tiles of a job: enough to balance, few enough to claim cheaply */
    SMALL_FLOATS = 4 * 1024, /* below this a job over rows runs in the calling thread */
    PIECE_MIN = 8,           /* rows of a piece: fewer do not share weights well */
    PIECE_MAX = 64
};

/* ---- context ---- */

/* As many for each member of the team. */
static size_t round_to_members(int members, int64_t rows)
{
    size_t n = (size_t)members;
    return ((size_t)rows + n - 1) / n * n;
}

size_t tensor_ctx_bytes(const struct tensor_isa *isa, int members, int64_t rows_max,
                        int64_t n_in_max)
{
    size_t bytes;
    size_t rows = round_to_members(members, rows_max);
    bool overflows = __builtin_mul_overflow(isa->act_row_bytes(n_in_max), rows, &bytes);
    return overflows ? 0 : bytes;
}

enum base_err tensor_ctx_init(struct tensor_ctx *ctx, const struct tensor_isa *isa,
                              struct team *team, int64_t rows_max, int64_t n_in_max)
{
    *ctx = (struct tensor_ctx){ .isa = isa, .team = team };
    if (isa->act_row_bytes(n_in_max) == 0)
        return OK;
    ctx->act_row_max = isa->act_row_bytes(n_in_max);
    ctx->act_bytes = tensor_ctx_bytes(isa, team_size(team), rows_max, n_in_max);
    if (ctx->act_bytes == 0)
        return E_TOO_BIG;
    ctx->act = mem_map(MEM_TENSOR, ctx->act_bytes);
    return ctx->act ? OK : E_NOMEM;
}

void tensor_ctx_fini(struct tensor_ctx *ctx)
{
    mem_unmap(MEM_TENSOR, ctx->act, ctx->act_bytes);
    *ctx = (struct tensor_ctx){ 0 };
}

const char *tensor_isa_name(const struct tensor_isa *isa)
{
    return isa->name;
}

/* Of `count` equal pieces of work those of a chunk: CHUNKS_PER_MEMBER chunks, or one without a team. */
static int64_t chunk_len(const struct tensor_ctx *ctx, int64_t count)
{
    int64_t chunks = ctx->team ? (int64_t)team_size(ctx->team) * CHUNKS_PER_MEMBER : 1;
    return (count + chunks - 1) / chunks;
}

/* ---- weights ---- */

bool tensor_matrix_is_supported(const struct tensor_isa *isa, enum tensor_type type, int64_t n_in)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    return info && isa->supports(type) && n_in % info->block_len == 0;
}

struct pack_job {
    struct tensor_matrix *m;
    const struct tensor_isa *isa;
};

static void pack_tile(void *arg, int64_t tile)
{
    struct pack_job *job = arg;
    job->isa->pack_tile(job->m, tile);
}

size_t tensor_matrix_packed_bytes(const struct tensor_matrix *m, const struct tensor_isa *isa)
{
    return isa->pack_bytes(m->type, m->n_out, m->n_in);
}

enum base_err tensor_matrix_pack(struct tensor_matrix *m, const struct tensor_isa *isa,
                                 struct team *team)
{
    ASSERT(!m->packed);
    m->packed_bytes = tensor_matrix_packed_bytes(m, isa);
    if (m->packed_bytes == 0)
        return OK;
    m->packed = mem_map(MEM_TENSOR, m->packed_bytes);
    if (!m->packed) {
        m->packed_bytes = 0;
        return E_NOMEM;
    }
    madvise(m->packed, m->packed_bytes, MADV_HUGEPAGE); /* a wish; 4 KiB pages work as well */
    struct pack_job job = { m, isa };
    team_run(team, pack_tile, &job, (m->n_out + isa->tile_len - 1) / isa->tile_len);
    return OK;
}

void tensor_matrix_unpack(struct tensor_matrix *m)
{
    mem_unmap(MEM_TENSOR, m->packed, m->packed_bytes);
    m->packed = NULL;
    m->packed_bytes = 0;
}

/* ---- rows ---- */

struct rows_job {
    const struct tensor_ctx *ctx;
    float *y;
    const float *x;
    const float *w;
    int64_t n_rows;
    int64_t n;
    int64_t rows_per_tile;
    float eps;
};

/* Calls `fn` over all rows; small batches, and what is a piece already, are one tile. */
static void run_rows(struct rows_job *job, team_fn fn)
{
    if (job->n_rows == 0)
        return;
    if (!job->ctx->team || job->n_rows * job->n <= SMALL_FLOATS) {
        job->rows_per_tile = job->n_rows;
        fn(job, 0);
        return;
    }
    job->rows_per_tile = chunk_len(job->ctx, job->n_rows);
    team_run(job->ctx->team, fn, job, (job->n_rows + job->rows_per_tile - 1) / job->rows_per_tile);
}

static int64_t tile_end_row(const struct rows_job *job, int64_t tile)
{
    int64_t end = (tile + 1) * job->rows_per_tile;
    return end < job->n_rows ? end : job->n_rows;
}

struct each_job {
    struct rows_job rows;
    struct tensor_ctx piece; /* no team */
    tensor_rows_fn fn;
    void *arg;
};

static void each_tile(void *arg, int64_t tile)
{
    struct each_job *job = arg;
    int64_t first = tile * job->rows.rows_per_tile;
    struct tensor_ctx ctx = job->piece;
    job->fn(&ctx, job->arg, first, tile_end_row(&job->rows, tile) - first);
}

void tensor_each_rows(struct tensor_ctx *ctx, int64_t n_rows, int64_t n, tensor_rows_fn fn,
                      void *arg)
{
    struct each_job job = {
        .rows = { .ctx = ctx, .n_rows = n_rows, .n = n }, .piece = *ctx, .fn = fn, .arg = arg
    };
    job.piece.team = NULL;
    run_rows(&job.rows, each_tile);
}

/* Rows of a piece: as many for each member, and no more than its cache holds. */
static int64_t piece_len(const struct tensor_ctx *ctx, int64_t n_rows)
{
    int64_t members = team_size(ctx->team);
    if (n_rows < members * PIECE_MIN)
        return n_rows;
    int64_t rounds = (n_rows + members * PIECE_MAX - 1) / (members * PIECE_MAX);
    return (n_rows + members * rounds - 1) / (members * rounds);
}

int64_t tensor_piece_rows(int members, int64_t rows_max)
{
    int64_t most = (int64_t)members * PIECE_MAX;
    int64_t rows = (int64_t)round_to_members(members, rows_max);
    return rows < most ? rows : most;
}

struct piece_job {
    const struct tensor_ctx *ctx;
    int64_t n_rows;
    int64_t len;
    tensor_rows_fn fn;
    void *arg;
};

static void piece_tile(void *arg, int64_t tile)
{
    const struct piece_job *job = arg;
    int64_t first = tile * job->len;
    int64_t n = first + job->len < job->n_rows ? job->len : job->n_rows - first;
    struct tensor_ctx ctx = *job->ctx;
    ctx.team = NULL;
    DCHECK(team_member() < team_size(job->ctx->team));
    ctx.piece_row = team_member() * job->len;
    if (ctx.act)
        ctx.act = (char *)ctx.act + (size_t)ctx.piece_row * ctx.act_row_max;
    ctx.act_bytes = (size_t)n * ctx.act_row_max;
    job->fn(&ctx, job->arg, first, n);
}

void tensor_each_piece(struct tensor_ctx *ctx, int64_t n_rows, tensor_rows_fn fn, void *arg)
{
    struct piece_job job = { ctx, n_rows, piece_len(ctx, n_rows), fn, arg };
    if (n_rows <= job.len)
        fn(ctx, arg, 0, n_rows);
    else
        team_run(ctx->team, piece_tile, &job, (n_rows + job.len - 1) / job.len);
}

static void rmsnorm_tile(void *arg, int64_t tile)
{
    struct rows_job *job = arg;
    for (int64_t r = tile * job->rows_per_tile; r < tile_end_row(job, tile); r++)
        job->ctx->isa->rmsnorm(job->y + r * job->n, job->x + r * job->n, job->w, job->n, job->eps);
}

void tensor_rmsnorm(struct tensor_ctx *ctx, float *y, const float *x, const float *w,
                    int64_t n_rows, int64_t n, float eps)
{
    struct rows_job job = {
        .ctx = ctx, .y = y, .x = x, .w = w, .n_rows = n_rows, .n = n, .eps = eps
    };
    run_rows(&job, rmsnorm_tile);
}

static void add_tile(void *arg, int64_t tile)
{
    struct rows_job *job = arg;
    int64_t first = tile * job->rows_per_tile;
    job->ctx->isa->add(job->y + first * job->n, job->x + first * job->n,
                       (tile_end_row(job, tile) - first) * job->n);
}

void tensor_add(struct tensor_ctx *ctx, float *x, const float *y, int64_t n_rows, int64_t n)
{
    struct rows_job job = { .ctx = ctx, .y = x, .x = y, .n_rows = n_rows, .n = n };
    run_rows(&job, add_tile);
}

static void add_bias_tile(void *arg, int64_t tile)
{
    struct rows_job *job = arg;
    for (int64_t r = tile * job->rows_per_tile; r < tile_end_row(job, tile); r++)
        job->ctx->isa->add(job->y + r * job->n, job->x, job->n);
}

void tensor_add_bias(struct tensor_ctx *ctx, float *x, const float *bias, int64_t n_rows, int64_t n)
{
    struct rows_job job = { .ctx = ctx, .y = x, .x = bias, .n_rows = n_rows, .n = n };
    run_rows(&job, add_bias_tile);
}

struct gated_job {
    struct rows_job rows; /* x: gate, w: up */
    enum tensor_gate kind;
};

static void gated_tile(void *arg, int64_t tile)
{
    struct gated_job *job = arg;
    const struct rows_job *rows = &job->rows;
    int64_t first = tile * rows->rows_per_tile;
    rows->ctx->isa->gated(job->kind, rows->y + first * rows->n, rows->x + first * rows->n,
                          rows->w + first * rows->n, (tile_end_row(rows, tile) - first) * rows->n);
}

void tensor_gated(struct tensor_ctx *ctx, enum tensor_gate kind, float *y, const float *gate,
                  const float *up, int64_t n_rows, int64_t n)
{
    struct gated_job job = {
        .rows = { .ctx = ctx, .y = y, .x = gate, .w = up, .n_rows = n_rows, .n = n },
        .kind = kind,
    };
    run_rows(&job.rows, gated_tile);
}

struct rope_job {
    struct rows_job rows; /* y: the rows, w: the rotations */
    enum tensor_rope_kind kind;
    int64_t n_heads;
    int64_t head_dim;
    int64_t n_pairs;
};

static void rope_tile(void *arg, int64_t tile)
{
    struct rope_job *job = arg;
    const struct rows_job *rows = &job->rows;
    for (int64_t r = tile * rows->rows_per_tile; r < tile_end_row(rows, tile); r++)
        rows->ctx->isa->rope(job->kind, rows->y + r * rows->n, rows->w + r * 2 * job->n_pairs,
                             job->n_heads, job->head_dim, job->n_pairs);
}

void tensor_rope(struct tensor_ctx *ctx, enum tensor_rope_kind kind, float *x, const float *rot,
                 int64_t n_rows, int64_t n_heads, int64_t head_dim, int64_t n_pairs)
{
    ASSERT(2 * n_pairs <= head_dim);
    struct rope_job job = {
        .rows = { .ctx = ctx, .y = x, .w = rot, .n_rows = n_rows, .n = n_heads * head_dim },
        .kind = kind,
        .n_heads = n_heads,
        .head_dim = head_dim,
        .n_pairs = n_pairs,
    };
    run_rows(&job.rows, rope_tile);
}

/* ---- multiplication ---- */

struct act_job {
    struct rows_job rows;
    char *act;
    size_t row_bytes;
};

static void act_tile(void *arg, int64_t tile)
{
    struct act_job *job = arg;
    const struct rows_job *rows = &job->rows;
    for (int64_t r = tile * rows->rows_per_tile; r < tile_end_row(rows, tile); r++)
        rows->ctx->isa->act_prepare(job->act + (size_t)r * job->row_bytes, rows->x + r * rows->n,
                                    rows->n);
}

void tensor_act_begin(struct tensor_ctx *ctx, const float *x, int64_t n_rows, int64_t n)
{
    ctx->act_x = x;
    ctx->act_rows = n_rows;
    ctx->act_n = n;
    ASSERT(ctx->isa->act_row_bytes(n) * (size_t)n_rows <= ctx->act_bytes);
}

void tensor_act_fill(struct tensor_ctx *ctx, int64_t first, int64_t n_rows)
{
    ASSERT(first + n_rows <= ctx->act_rows);
    size_t row_bytes = ctx->isa->act_row_bytes(ctx->act_n);
    if (row_bytes == 0)
        return;
    struct act_job job = {
        .rows = { .ctx = ctx,
                  .x = ctx->act_x + first * ctx->act_n,
                  .n_rows = n_rows,
                  .n = ctx->act_n },
        .act = (char *)ctx->act + (size_t)first * row_bytes,
        .row_bytes = row_bytes,
    };
    run_rows(&job.rows, act_tile);
}

void tensor_act_set(struct tensor_ctx *ctx, const float *x, int64_t n_rows, int64_t n)
{
    tensor_act_begin(ctx, x, n_rows, n);
    tensor_act_fill(ctx, 0, n_rows);
}

enum {
    MATMUL_MANY_MAX = 4
};

struct matmul_job {
    const struct tensor_ctx *ctx;
    float *const *y;
    const struct tensor_matrix *const *W;
    int count;
    int64_t chunk;                      /* kernel tiles in one tile of the job */
    int64_t first[MATMUL_MANY_MAX + 1]; /* the job's tile at which each matrix begins */
};

static int64_t kernel_tiles(const struct tensor_isa *isa, const struct tensor_matrix *W)
{
    return (W->n_out + isa->tile_len - 1) / isa->tile_len;
}

static void matmul_tile(void *arg, int64_t tile)
{
    const struct matmul_job *job = arg;
    const struct tensor_ctx *ctx = job->ctx;
    int i = 0;
    while (tile >= job->first[i + 1])
        i++;
    int64_t tiles = kernel_tiles(ctx->isa, job->W[i]);
    int64_t begin = (tile - job->first[i]) * job->chunk;
    int64_t end = begin + job->chunk < tiles ? begin + job->chunk : tiles;
    ctx->isa->matmul(job->y[i], job->W[i], begin, end, ctx->act, ctx->act_x, ctx->act_rows);
}

void tensor_matmul_many(struct tensor_ctx *ctx, float *const *y,
                        const struct tensor_matrix *const *W, int count)
{
    ASSERT(count >= 1 && count <= MATMUL_MANY_MAX);
    struct matmul_job job = { .ctx = ctx, .y = y, .W = W, .count = count };
    int64_t tiles = 0;
    for (int i = 0; i < count; i++) {
        ASSERT(W[i]->n_in == ctx->act_n);
        tiles += kernel_tiles(ctx->isa, W[i]);
    }
    job.chunk = chunk_len(ctx, tiles);
    for (int i = 0; i < count; i++)
        job.first[i + 1] =
            job.first[i] + (kernel_tiles(ctx->isa, W[i]) + job.chunk - 1) / job.chunk;
    team_run(ctx->team, matmul_tile, &job, job.first[count]);
}

void tensor_matmul(struct tensor_ctx *ctx, float *y, const struct tensor_matrix *W)
{
    tensor_matmul_many(ctx, &y, &W, 1);
}

/* ---- KV cache and attention ---- */

size_t tensor_kv_block_bytes(const struct tensor_isa *isa, int64_t n_layers, int64_t n_kv,
                             int64_t head_dim)
{
    return (size_t)n_layers * (size_t)n_kv * isa->kv_head_bytes(head_dim);
}

enum base_err tensor_kv_init(struct tensor_kv *kv, const struct tensor_isa *isa, int64_t n_layers,
                             int64_t n_kv, int64_t head_dim, uint64_t block_count)
{
    *kv = (struct tensor_kv){
        .isa = isa,
        .n_layers = n_layers,
        .n_kv = n_kv,
        .head_dim = head_dim,
        .block_count = block_count,
        .head_bytes = isa->kv_head_bytes(head_dim),
        .block_bytes = tensor_kv_block_bytes(isa, n_layers, n_kv, head_dim),
    };
    size_t bytes;
    if (__builtin_mul_overflow(kv->block_bytes, block_count, &bytes) || block_count > UINT32_MAX)
        return E_TOO_BIG;
    kv->data = mem_map(MEM_TENSOR, bytes);
    return kv->data ? OK : E_NOMEM;
}

void tensor_kv_fini(struct tensor_kv *kv)
{
    if (kv->data)
        mem_unmap(MEM_TENSOR, kv->data, kv->block_bytes * kv->block_count);
    *kv = (struct tensor_kv){ 0 };
}

void tensor_kv_copy(struct tensor_kv *kv, uint32_t to, uint32_t from)
{
    ASSERT(to < kv->block_count && from < kv->block_count);
    memcpy(kv->data + to * kv->block_bytes, kv->data + from * kv->block_bytes, kv->block_bytes);
}

/* This layer's part of block 0. */
static uint8_t *kv_layer(const struct tensor_kv *kv, int64_t layer)
{
    ASSERT(layer < kv->n_layers);
    return kv->data + (size_t)layer * (size_t)kv->n_kv * kv->head_bytes;
}

struct kv_job {
    struct rows_job rows;
    const float *k;
    const float *v;
    const struct tensor_kv *kv;
    uint8_t *layer;
    const struct tensor_rows *at;
    int64_t first; /* row of the batch that is row 0 of the job */
};

static void kv_write_tile(void *arg, int64_t tile)
{
    const struct kv_job *job = arg;
    const struct tensor_kv *kv = job->kv;
    int64_t end = job->first + tile_end_row(&job->rows, tile);
    for (int64_t r = job->first + tile * job->rows.rows_per_tile; r < end; r++) {
        int32_t pos = job->at->pos[r];
        uint32_t block = job->at->blocks[r][pos / TENSOR_KV_BLOCK];
        DCHECK(block < kv->block_count);
        uint8_t *head = job->layer + block * kv->block_bytes;
        for (int64_t h = 0; h < kv->n_kv; h++) {
            int64_t at = (r * kv->n_kv + h) * kv->head_dim;
            kv->isa->kv_write(head + (size_t)h * kv->head_bytes, pos % TENSOR_KV_BLOCK, job->k + at,
                              job->v + at, kv->head_dim);
        }
    }
}

void tensor_kv_write(struct tensor_ctx *ctx, struct tensor_kv *kv, int64_t layer, const float *k,
                     const float *v, const struct tensor_rows *rows, int64_t first, int64_t n_rows)
{
    ASSERT(first + n_rows <= rows->n_rows);
    struct kv_job job = {
        .rows = { .ctx = ctx, .n_rows = n_rows, .n = 2 * kv->n_kv * kv->head_dim },
        .k = k,
        .v = v,
        .kv = kv,
        .layer = kv_layer(kv, layer),
        .at = rows,
        .first = first,
    };
    run_rows(&job.rows, kv_write_tile);
}

struct attention_job {
    float *out;
    const float *q;
    const struct tensor_kv *kv;
    const uint8_t *layer;
    const struct tensor_attention_args *args;
    const struct tensor_rows *rows;
    int64_t rows_per_tile;
};

/*
 * The tile (group of rows, KV head). Groups are cut at fixed row numbers; where a sequence
 * ends inside a group the tile makes one call for each part.
 */
static void attention_tile(void *arg, int64_t tile)
{
    const struct attention_job *job = arg;
    const struct tensor_kv *kv = job->kv;
    const struct tensor_rows *rows = job->rows;
    int64_t h = tile % kv->n_kv;
    int64_t r = tile / kv->n_kv * job->rows_per_tile;
    int64_t end = r + job->rows_per_tile;
    if (end > rows->n_rows)
        end = rows->n_rows;
    struct tensor_heads heads = {
        .group = job->args->n_heads / kv->n_kv,
        .head_dim = kv->head_dim,
        .stride = job->args->n_heads * kv->head_dim,
        .scale = job->args->scale,
        .window = job->args->window,
        .kv_head = job->layer + (size_t)h * kv->head_bytes,
        .head_bytes = kv->head_bytes,
        .block_bytes = kv->block_bytes,
    };
    while (r < end) {
        int64_t n = 1;
        while (r + n < end && rows->blocks[r + n] == rows->blocks[r] &&
               rows->pos[r + n] == rows->pos[r] + n)
            n++;
        int64_t at = r * heads.stride + h * heads.group * heads.head_dim;
        heads.blocks = rows->blocks[r];
        kv->isa->attention(job->out + at, job->q + at, n, rows->pos[r], &heads);
        r += n;
    }
}

/* Whether most rows are the only one of their sequence, and share no keys. */
static bool is_decode(const struct tensor_rows *rows)
{
    int64_t sequences = 1;
    for (int64_t r = 1; r < rows->n_rows; r++)
        sequences += rows->blocks[r] != rows->blocks[r - 1];
    return 2 * sequences > rows->n_rows;
}

void tensor_attention(struct tensor_ctx *ctx, float *out, const float *q,
                      const struct tensor_kv *kv, const struct tensor_attention_args *args,
                      const struct tensor_rows *rows)
{
    ASSERT(args->n_heads % kv->n_kv == 0 && args->window >= 0);
    int64_t per_tile = is_decode(rows) ? 1 : kv->isa->attention_rows;
    struct attention_job job = { out, q, kv, kv_layer(kv, args->layer), args, rows, per_tile };
    int64_t groups = (rows->n_rows + per_tile - 1) / per_tile;
    team_run(ctx->team, attention_tile, &job, groups * kv->n_kv);
}
