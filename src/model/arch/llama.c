/*
 * The llama family (Touvron et al. 2023; grouped-query attention after Ainslie et al. 2023):
 *
 *   x = embed[id]
 *   each layer:  h = norm(x);  x += Wo attention(rope(Wq h), rope(Wk h), Wv h)
 *                h = norm(x);  x += Wdown (silu(Wgate h) * Wup h)
 *   logits = Whead norm(x)
 *
 * Weights of llama files have the rows of Wq and Wk permuted so that the two parts of a
 * rotated pair are neighbours.
 */
#include "model/arch/llama.h"

#include <math.h>
#include <string.h>

enum base_err llama_load_layer(struct model *m, int32_t layer, struct base_err_info *info)
{
    const struct model_params *p = &m->params;
    struct model_layer *l = &m->layers[layer];
    int64_t width = p->width;
    int64_t ffn = p->ffn;
    int64_t q = (int64_t)p->heads * p->head_dim;
    int64_t kv = (int64_t)p->kv_heads * p->head_dim;
    enum base_err rc = model_load_layer_vector(m, layer, "attn_norm", width, &l->attn_norm, info);
    if (!rc)
        rc = model_load_layer_vector(m, layer, "ffn_norm", width, &l->ffn_norm, info);
    const struct {
        const char *part;
        int64_t n_out;
        int64_t n_in;
        struct tensor_matrix *matrix;
    } matrices[] = {
        { "attn_q", q, width, &l->attn_q },        { "attn_k", kv, width, &l->attn_k },
        { "attn_v", kv, width, &l->attn_v },       { "attn_output", width, q, &l->attn_o },
        { "ffn_gate", ffn, width, &l->ffn_gate },  { "ffn_up", ffn, width, &l->ffn_up },
        { "ffn_down", width, ffn, &l->ffn_down },
    };
    for (size_t i = 0; !rc && i < sizeof matrices / sizeof matrices[0]; i++)
        rc = model_load_layer_matrix(m, layer, matrices[i].part, matrices[i].n_out,
                                     matrices[i].n_in, matrices[i].matrix, info);
    return rc;
}

/* rot [n_rows][rope_dim/2][2]: pair i turns by pos * base^(-2i/rope_dim). */
static void make_rotations(const struct model_params *p, float *rot, const struct tensor_rows *rows)
{
    int32_t pairs = p->rope_dim / 2;
    for (int32_t i = 0; i < pairs; i++) {
        double step = pow((double)p->rope_base, -2.0 * i / p->rope_dim);
        for (int64_t r = 0; r < rows->n_rows; r++) {
            double angle = rows->pos[r] * step;
            rot[(r * pairs + i) * 2] = (float)cos(angle);
            rot[(r * pairs + i) * 2 + 1] = (float)sin(angle);
        }
    }
}

/* x += Wo attention(...) */
static void attention_part(const struct model *m, const struct model_layer *l, int32_t layer,
                           struct model_state *s, struct tensor_kv *kv,
                           const struct tensor_rows *rows)
{
    const struct model_params *p = &m->params;
    struct tensor_ctx *ctx = &s->ctx;
    int64_t n = rows->n_rows;
    tensor_rmsnorm(ctx, s->h, s->x, l->attn_norm, n, p->width, p->norm_eps);
    tensor_act_set(ctx, s->h, n, p->width);
    tensor_matmul_many(ctx, (float *const[]){ s->q, s->k, s->v },
                       (const struct tensor_matrix *const[]){ &l->attn_q, &l->attn_k, &l->attn_v },
                       3);
    tensor_rope(ctx, TENSOR_ROPE_NORM, s->q, s->rot, n, p->heads, p->head_dim, p->rope_dim / 2);
    tensor_rope(ctx, TENSOR_ROPE_NORM, s->k, s->rot, n, p->kv_heads, p->head_dim, p->rope_dim / 2);
    const struct tensor_attention_args args = {
        .layer = layer, .n_heads = p->heads, .scale = 1.0f / sqrtf((float)p->head_dim)
    };
    tensor_attention(ctx, s->attn, s->q, s->k, s->v, kv, &args, rows);
    tensor_act_set(ctx, s->attn, n, (int64_t)p->heads * p->head_dim);
    tensor_matmul(ctx, s->h, &l->attn_o);
    tensor_add(ctx, s->x, s->h, n, p->width);
}

/* x += Wdown (silu(Wgate h) * Wup h) */
static void ffn_part(const struct model *m, const struct model_layer *l, struct model_state *s,
                     int64_t n)
{
    const struct model_params *p = &m->params;
    struct tensor_ctx *ctx = &s->ctx;
    tensor_rmsnorm(ctx, s->h, s->x, l->ffn_norm, n, p->width, p->norm_eps);
    tensor_act_set(ctx, s->h, n, p->width);
    tensor_matmul_many(ctx, (float *const[]){ s->gate, s->up },
                       (const struct tensor_matrix *const[]){ &l->ffn_gate, &l->ffn_up }, 2);
    tensor_gated(ctx, TENSOR_GATE_SILU, s->gate, s->gate, s->up, n, p->ffn);
    tensor_act_set(ctx, s->gate, n, p->ffn);
    tensor_matmul(ctx, s->h, &l->ffn_down);
    tensor_add(ctx, s->x, s->h, n, p->width);
}

/* logits [out_count][vocab] of the rows that want them; the others are not computed. */
static void output_part(const struct model *m, struct model_state *s,
                        const struct model_batch *batch, float *logits)
{
    const struct model_params *p = &m->params;
    for (int64_t i = 0; i < batch->out_count; i++) /* ascending: never overwrites a later row */
        memmove(s->x + i * p->width, s->x + (int64_t)batch->out_rows[i] * p->width,
                (size_t)p->width * sizeof(float));
    tensor_rmsnorm(&s->ctx, s->h, s->x, m->out_norm, batch->out_count, p->width, p->norm_eps);
    tensor_act_set(&s->ctx, s->h, batch->out_count, p->width);
    tensor_matmul(&s->ctx, logits, &m->head);
}

void llama_forward(const struct model *m, struct model_state *s, struct tensor_kv *kv,
                   const struct model_batch *batch, float *logits)
{
    const struct model_params *p = &m->params;
    const struct tensor_rows *rows = &batch->rows;
    for (int64_t r = 0; r < rows->n_rows; r++)
        tensor_matrix_row(&m->embed, batch->ids[r], s->x + r * p->width);
    make_rotations(p, s->rot, rows);
    for (int32_t i = 0; i < p->layers; i++) {
        attention_part(m, &m->layers[i], i, s, kv, rows);
        ffn_part(m, &m->layers[i], s, rows->n_rows);
    }
    if (batch->out_count > 0)
        output_part(m, s, batch, logits);
}
