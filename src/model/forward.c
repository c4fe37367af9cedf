/*
 * The forward pass. Architectures differ in what a layer has, not in the order:
 *
 *   x = embed[id] * embed_scale
 *   each layer:  y = norm(x);  x += norm(Wo attention(rope(norm(Wq y)), rope(norm(Wk y)), Wv y))
 *                y = norm(x);  x += norm(Wdown (act(Wgate y) * Wup y))
 *   logits = Whead norm(x)
 *
 * where norms and biases that a layer has not are left out. The residual stream is x + h: each
 * part begins with x += h, and leaves what it adds to x in h.
 *
 * Only attention looks at other rows. From one attention to the next the rows of a large batch go
 * in pieces, each through all of these operations in one thread (tensor_each_piece).
 */
#include <string.h>

#include "base/assert.h"
#include "model/arch/arch.h"

/* Rows of a batch on their way through a layer: all of them, or a piece. */
struct part {
    const struct model *m;
    const struct model_layer *layer;
    struct model_state s; /* arrays begin with the first row of the part */
    struct tensor_ctx *ctx;
    struct tensor_kv *kv;
    struct tensor_rows rows;
};

/* The part of `s` from row `first` on, with what nobody reads afterwards from `piece_row` on. */
static struct model_state state_from(const struct model *m, const struct model_state *s,
                                     int64_t first, int64_t piece_row)
{
    const struct model_params *p = &m->params;
    int64_t q = (int64_t)p->heads * p->head_dim;
    int64_t kv = (int64_t)p->kv_heads * p->head_dim;
    struct model_state part = *s;
    part.x += first * p->width;
    part.h += first * p->width;
    part.q += first * q;
    part.attn += first * q;
    part.k += piece_row * kv;
    part.v += piece_row * kv;
    part.gate += piece_row * p->ffn;
    part.up += piece_row * p->ffn;
    for (int32_t i = 0; i < m->rope_count; i++)
        part.rot[i] += first * p->rope_dim;
    return part;
}

/* ---- ends ---- */

static void embed(struct part *part, const int32_t *ids)
{
    const struct model *m = part->m;
    int64_t width = m->params.width;
    for (int64_t r = 0; r < part->rows.n_rows; r++) {
        float *x = part->s.x + r * width;
        tensor_matrix_row(&m->embed, ids[r], x);
        for (int64_t i = 0; m->embed_scale != 1 && i < width; i++)
            x[i] *= m->embed_scale;
    }
    memset(part->s.h, 0, (size_t)(part->rows.n_rows * width) * sizeof(float));
}

/* What add_and_norm works on: its norm [width]. */
struct norm_job {
    const struct part *part;
    const float *norm;
};

/* x += h, then h = norm(x), the next input. */
static void add_and_norm(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n)
{
    const struct norm_job *job = arg;
    const struct model_params *p = &job->part->m->params;
    float *x = job->part->s.x + first * p->width;
    float *h = job->part->s.h + first * p->width;
    tensor_add(ctx, x, h, n, p->width);
    tensor_rmsnorm(ctx, h, x, job->norm, n, p->width, p->norm_eps);
    tensor_act_fill(ctx, first, n);
}

static void begin(struct part *part, const float *norm, int64_t n)
{
    int64_t width = part->m->params.width;
    struct norm_job job = { part, norm };
    tensor_act_begin(part->ctx, part->s.h, n, width);
    tensor_each_rows(part->ctx, n, width, add_and_norm, &job);
}

/* h = norm(h), where there is such a norm. */
static void end(struct part *part, const float *norm)
{
    const struct model_params *p = &part->m->params;
    if (norm)
        tensor_rmsnorm(part->ctx, part->s.h, part->s.h, norm, part->rows.n_rows, p->width,
                       p->norm_eps);
}

/* Row `to` of x [][width] = row `from`. */
static void move_row(float *x, int64_t width, int64_t to, int64_t from)
{
    memmove(x + to * width, x + from * width, (size_t)width * sizeof(float));
}

/* Overwrites x and h. */
static void output(const struct model *m, struct model_state *s, const struct model_batch *batch,
                   float *logits)
{
    if (batch->out_count == 0)
        return;
    for (int64_t i = 0; i < batch->out_count; i++) { /* ascending: never overwrites a later row */
        move_row(s->x, m->params.width, i, batch->out_rows[i]);
        move_row(s->h, m->params.width, i, batch->out_rows[i]);
    }
    struct part part = { .m = m, .s = *s, .ctx = &s->ctx };
    begin(&part, m->out_norm, batch->out_count);
    tensor_matmul(&s->ctx, logits, &m->head);
}

/* ---- a layer ---- */

/* Biases, norms and rotations of q, k, v; then keys and values go to the cache. */
static void finish_qkv(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n)
{
    const struct part *part = arg;
    const struct model_params *p = &part->m->params;
    const struct model_layer *l = part->layer;
    const struct model_state *s = &part->s;
    const struct {
        float *x;
        int64_t heads;
        const float *bias;
        const float *norm;
        bool turns;
    } parts[] = {
        { s->q, p->heads, l->attn_q_bias, l->attn_q_norm, true },
        { s->k, p->kv_heads, l->attn_k_bias, l->attn_k_norm, true },
        { s->v, p->kv_heads, l->attn_v_bias, NULL, false },
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int64_t heads = parts[i].heads;
        float *x = parts[i].x + first * heads * p->head_dim;
        if (parts[i].bias)
            tensor_add_bias(ctx, x, parts[i].bias, n, heads * p->head_dim);
        if (parts[i].norm)
            tensor_rmsnorm(ctx, x, x, parts[i].norm, n * heads, p->head_dim, p->norm_eps);
        if (parts[i].turns)
            tensor_rope(ctx, part->m->arch->rope_kind, x, s->rot[l->rope] + first * p->rope_dim, n,
                        heads, p->head_dim, p->rope_dim / 2);
    }
    tensor_kv_write(ctx, part->kv, l - part->m->layers, s->k, s->v, &part->rows, first, n);
}

/* Queries; keys and values, in the cache. */
static void before_attention(struct part *part)
{
    const struct model_layer *l = part->layer;
    const struct model_state *s = &part->s;
    const struct model_params *p = &part->m->params;
    begin(part, l->attn_norm, part->rows.n_rows);
    tensor_matmul_many(part->ctx, (float *const[]){ s->q, s->k, s->v },
                       (const struct tensor_matrix *const[]){ &l->attn_q, &l->attn_k, &l->attn_v },
                       3);
    tensor_each_rows(part->ctx, part->rows.n_rows, (int64_t)p->heads * p->head_dim, finish_qkv,
                     part);
}

/* gate = act(gate) * up, the next input. */
static void apply_gate(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n)
{
    const struct part *part = arg;
    int64_t ffn = part->m->params.ffn;
    float *gate = part->s.gate + first * ffn;
    tensor_gated(ctx, part->m->arch->gate, gate, gate, part->s.up + first * ffn, n, ffn);
    tensor_act_fill(ctx, first, n);
}

/* What attention adds, and the feed-forward part. */
static void after_attention(struct part *part)
{
    const struct model_params *p = &part->m->params;
    const struct model_layer *l = part->layer;
    const struct model_state *s = &part->s;
    int64_t n = part->rows.n_rows;
    tensor_act_set(part->ctx, s->attn, n, (int64_t)p->heads * p->head_dim);
    tensor_matmul(part->ctx, s->h, &l->attn_o);
    if (l->attn_o_bias)
        tensor_add_bias(part->ctx, s->h, l->attn_o_bias, n, p->width);
    end(part, l->attn_post_norm);
    begin(part, l->ffn_norm, n);
    tensor_matmul_many(part->ctx, (float *const[]){ s->gate, s->up },
                       (const struct tensor_matrix *const[]){ &l->ffn_gate, &l->ffn_up }, 2);
    tensor_act_begin(part->ctx, s->gate, n, p->ffn);
    tensor_each_rows(part->ctx, n, p->ffn, apply_gate, part);
    tensor_matmul(part->ctx, s->h, &l->ffn_down);
    end(part, l->ffn_post_norm);
}

/* ---- the whole ---- */

struct between_job {
    const struct model *m;
    const struct model_state *s;
    struct tensor_kv *kv;
    const struct model_batch *batch;
    int32_t layer; /* whose attention comes next; params.layers: none does */
};

/* From one attention to the next. */
static void between_attentions(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n)
{
    const struct between_job *job = arg;
    const struct model *m = job->m;
    const struct tensor_rows *rows = &job->batch->rows;
    struct part part = {
        .m = m,
        .s = state_from(m, job->s, first, ctx->piece_row),
        .ctx = ctx,
        .kv = job->kv,
        .rows = { .n_rows = n, .pos = rows->pos + first, .blocks = rows->blocks + first },
    };
    if (job->layer == 0) {
        embed(&part, job->batch->ids + first);
        arch_rope_rotations(m, &part.s, &part.rows);
    } else {
        part.layer = &m->layers[job->layer - 1];
        after_attention(&part);
    }
    if (job->layer < m->params.layers) {
        part.layer = &m->layers[job->layer];
        before_attention(&part);
    }
}

void model_forward(const struct model *m, struct model_state *s, struct tensor_kv *kv,
                   const struct model_batch *batch, float *logits)
{
    const struct model_params *p = &m->params;
    const struct tensor_rows *rows = &batch->rows;
    ASSERT(rows->n_rows <= s->rows_max && batch->out_count <= s->out_max);
    struct between_job job = { m, s, kv, batch, 0 };
    tensor_each_piece(&s->ctx, rows->n_rows, between_attentions, &job);
    while (job.layer < p->layers) {
        const struct tensor_attention_args args = { .layer = job.layer,
                                                    .n_heads = p->heads,
                                                    .scale = p->attn_scale,
                                                    .window = m->layers[job.layer].window };
        tensor_attention(&s->ctx, s->attn, s->q, kv, &args, rows);
        job.layer++;
        tensor_each_piece(&s->ctx, rows->n_rows, between_attentions, &job);
    }
    output(m, s, batch, logits);
}
