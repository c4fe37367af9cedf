/*
 * Parts of a forward pass that architectures share. Each reads the residual stream x; what it
 * adds to x is left in h, so that an architecture can still norm or scale it.
 */
#include <string.h>

#include "model/arch/arch.h"

/* ---- loading ---- */

enum base_err arch_load_attention(struct model *m, int32_t layer, bool with_qk_norm,
                                  struct base_err_info *info)
{
    const struct model_params *p = &m->params;
    struct model_layer *l = &m->layers[layer];
    int64_t width = p->width;
    int64_t q = (int64_t)p->heads * p->head_dim;
    int64_t kv = (int64_t)p->kv_heads * p->head_dim;
    const struct {
        const char *name;
        const char *bias_name;
        int64_t n_out;
        int64_t n_in;
        struct tensor_matrix *matrix;
        float **bias;
    } parts[] = {
        { "attn_q.weight", "attn_q.bias", q, width, &l->attn_q, &l->attn_q_bias },
        { "attn_k.weight", "attn_k.bias", kv, width, &l->attn_k, &l->attn_k_bias },
        { "attn_v.weight", "attn_v.bias", kv, width, &l->attn_v, &l->attn_v_bias },
        { "attn_output.weight", "attn_output.bias", width, q, &l->attn_o, &l->attn_o_bias },
    };
    enum base_err rc =
        model_load_layer_vector(m, layer, "attn_norm.weight", width, &l->attn_norm, info);
    for (size_t i = 0; !rc && i < sizeof parts / sizeof parts[0]; i++) {
        rc = model_load_layer_matrix(m, layer, parts[i].name, parts[i].n_out, parts[i].n_in,
                                     parts[i].matrix, info);
        if (!rc)
            rc = model_load_layer_vector_if(m, layer, parts[i].bias_name, parts[i].n_out,
                                            parts[i].bias, info);
    }
    if (!rc && with_qk_norm)
        rc = model_load_layer_vector(m, layer, "attn_q_norm.weight", p->head_dim, &l->attn_q_norm,
                                     info);
    if (!rc && with_qk_norm)
        rc = model_load_layer_vector(m, layer, "attn_k_norm.weight", p->head_dim, &l->attn_k_norm,
                                     info);
    return rc;
}

enum base_err arch_load_ffn(struct model *m, int32_t layer, struct base_err_info *info)
{
    int64_t width = m->params.width;
    int64_t ffn = m->params.ffn;
    struct model_layer *l = &m->layers[layer];
    enum base_err rc =
        model_load_layer_vector(m, layer, "ffn_norm.weight", width, &l->ffn_norm, info);
    if (!rc)
        rc = model_load_layer_matrix(m, layer, "ffn_gate.weight", ffn, width, &l->ffn_gate, info);
    if (!rc)
        rc = model_load_layer_matrix(m, layer, "ffn_up.weight", ffn, width, &l->ffn_up, info);
    if (!rc)
        rc = model_load_layer_matrix(m, layer, "ffn_down.weight", width, ffn, &l->ffn_down, info);
    return rc;
}

/* ---- computing ---- */

void arch_embed(const struct model *m, struct model_state *s, const struct model_batch *batch)
{
    for (int64_t r = 0; r < batch->rows.n_rows; r++)
        tensor_matrix_row(&m->embed, batch->ids[r], s->x + r * m->params.width);
}

/* q, k, v from h: matrices, biases, norms, rotations. */
static void make_qkv(const struct model *m, const struct model_layer *l, struct model_state *s,
                     int64_t n)
{
    const struct model_params *p = &m->params;
    struct tensor_ctx *ctx = &s->ctx;
    tensor_matmul_many(ctx, (float *const[]){ s->q, s->k, s->v },
                       (const struct tensor_matrix *const[]){ &l->attn_q, &l->attn_k, &l->attn_v },
                       3);
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
        float *x = parts[i].x;
        int64_t heads = parts[i].heads;
        if (parts[i].bias)
            tensor_add_bias(ctx, x, parts[i].bias, n, heads * p->head_dim);
        if (parts[i].norm)
            tensor_rmsnorm(ctx, x, x, parts[i].norm, n * heads, p->head_dim, p->norm_eps);
        if (parts[i].turns)
            tensor_rope(ctx, m->arch->rope_kind, x, s->rot[l->rope], n, heads, p->head_dim,
                        p->rope_dim / 2);
    }
}

void arch_attention(const struct model *m, int32_t layer, struct model_state *s,
                    struct tensor_kv *kv, const struct tensor_rows *rows)
{
    const struct model_params *p = &m->params;
    const struct model_layer *l = &m->layers[layer];
    struct tensor_ctx *ctx = &s->ctx;
    int64_t n = rows->n_rows;
    tensor_rmsnorm(ctx, s->h, s->x, l->attn_norm, n, p->width, p->norm_eps);
    tensor_act_set(ctx, s->h, n, p->width);
    make_qkv(m, l, s, n);
    const struct tensor_attention_args args = {
        .layer = layer, .n_heads = p->heads, .scale = p->attn_scale, .window = l->window
    };
    tensor_attention(ctx, s->attn, s->q, s->k, s->v, kv, &args, rows);
    tensor_act_set(ctx, s->attn, n, (int64_t)p->heads * p->head_dim);
    tensor_matmul(ctx, s->h, &l->attn_o);
    if (l->attn_o_bias)
        tensor_add_bias(ctx, s->h, l->attn_o_bias, n, p->width);
}

void arch_ffn(const struct model *m, int32_t layer, struct model_state *s, enum tensor_gate gate,
              int64_t n_rows)
{
    const struct model_params *p = &m->params;
    const struct model_layer *l = &m->layers[layer];
    struct tensor_ctx *ctx = &s->ctx;
    tensor_rmsnorm(ctx, s->h, s->x, l->ffn_norm, n_rows, p->width, p->norm_eps);
    tensor_act_set(ctx, s->h, n_rows, p->width);
    tensor_matmul_many(ctx, (float *const[]){ s->gate, s->up },
                       (const struct tensor_matrix *const[]){ &l->ffn_gate, &l->ffn_up }, 2);
    tensor_gated(ctx, gate, s->gate, s->gate, s->up, n_rows, p->ffn);
    tensor_act_set(ctx, s->gate, n_rows, p->ffn);
    tensor_matmul(ctx, s->h, &l->ffn_down);
}

void arch_add(const struct model *m, struct model_state *s, int64_t n_rows)
{
    tensor_add(&s->ctx, s->x, s->h, n_rows, m->params.width);
}

void arch_output(const struct model *m, struct model_state *s, const struct model_batch *batch,
                 float *logits)
{
    const struct model_params *p = &m->params;
    if (batch->out_count == 0)
        return;
    for (int64_t i = 0; i < batch->out_count; i++) /* ascending: never overwrites a later row */
        memmove(s->x + i * p->width, s->x + (int64_t)batch->out_rows[i] * p->width,
                (size_t)p->width * sizeof(float));
    tensor_rmsnorm(&s->ctx, s->h, s->x, m->out_norm, batch->out_count, p->width, p->norm_eps);
    tensor_act_set(&s->ctx, s->h, batch->out_count, p->width);
    tensor_matmul(&s->ctx, logits, &m->head);
}
