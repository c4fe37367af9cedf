/*
 * Parts of a forward pass that architectures share. The residual stream: see arch.h.
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

/* What a step over pieces of a batch works on. */
struct part {
    const struct model *m;
    int32_t layer;
    struct model_state *s;
    struct tensor_kv *kv;
    const struct tensor_rows *rows;
    const float *norm;
    enum tensor_gate gate;
};

void arch_embed(const struct model *m, struct model_state *s, const struct model_batch *batch)
{
    int64_t width = m->params.width;
    for (int64_t r = 0; r < batch->rows.n_rows; r++)
        tensor_matrix_row(&m->embed, batch->ids[r], s->x + r * width);
    memset(s->h, 0, (size_t)(batch->rows.n_rows * width) * sizeof(float));
}

/* x += h, then h = norm(x), the next input. */
static void add_and_norm(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n)
{
    const struct part *part = arg;
    int64_t width = part->m->params.width;
    float *x = part->s->x + first * width;
    float *h = part->s->h + first * width;
    tensor_add(ctx, x, h, n, width);
    tensor_rmsnorm(ctx, h, x, part->norm, n, width, part->m->params.norm_eps);
    tensor_act_fill(ctx, first, n);
}

static void begin_part(struct part *part, int64_t n)
{
    struct tensor_ctx *ctx = &part->s->ctx;
    int64_t width = part->m->params.width;
    tensor_act_begin(ctx, part->s->h, n, width);
    tensor_each_rows(ctx, n, width, add_and_norm, part);
}

/* Biases, norms and rotations of q, k, v; then keys and values go to the cache. */
static void finish_qkv(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n)
{
    const struct part *part = arg;
    const struct model_params *p = &part->m->params;
    const struct model_layer *l = &part->m->layers[part->layer];
    const struct model_state *s = part->s;
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
    tensor_kv_write(ctx, part->kv, part->layer, s->k, s->v, part->rows, first, n);
}

void arch_attention(const struct model *m, int32_t layer, struct model_state *s,
                    struct tensor_kv *kv, const struct tensor_rows *rows)
{
    const struct model_params *p = &m->params;
    const struct model_layer *l = &m->layers[layer];
    struct part part = {
        .m = m, .layer = layer, .s = s, .kv = kv, .rows = rows, .norm = l->attn_norm
    };
    struct tensor_ctx *ctx = &s->ctx;
    int64_t n = rows->n_rows;
    int64_t q_width = (int64_t)p->heads * p->head_dim;
    begin_part(&part, n);
    tensor_matmul_many(ctx, (float *const[]){ s->q, s->k, s->v },
                       (const struct tensor_matrix *const[]){ &l->attn_q, &l->attn_k, &l->attn_v },
                       3);
    tensor_each_rows(ctx, n, q_width, finish_qkv, &part);
    const struct tensor_attention_args args = {
        .layer = layer, .n_heads = p->heads, .scale = p->attn_scale, .window = l->window
    };
    tensor_attention(ctx, s->attn, s->q, kv, &args, rows);
    tensor_act_set(ctx, s->attn, n, q_width);
    tensor_matmul(ctx, s->h, &l->attn_o);
    if (l->attn_o_bias)
        tensor_add_bias(ctx, s->h, l->attn_o_bias, n, p->width);
}

/* gate = act(gate) * up, the next input. */
static void apply_gate(struct tensor_ctx *ctx, void *arg, int64_t first, int64_t n)
{
    const struct part *part = arg;
    int64_t ffn = part->m->params.ffn;
    float *gate = part->s->gate + first * ffn;
    tensor_gated(ctx, part->gate, gate, gate, part->s->up + first * ffn, n, ffn);
    tensor_act_fill(ctx, first, n);
}

void arch_ffn(const struct model *m, int32_t layer, struct model_state *s, enum tensor_gate gate,
              int64_t n_rows)
{
    const struct model_params *p = &m->params;
    const struct model_layer *l = &m->layers[layer];
    struct part part = { .m = m, .layer = layer, .s = s, .norm = l->ffn_norm, .gate = gate };
    struct tensor_ctx *ctx = &s->ctx;
    begin_part(&part, n_rows);
    tensor_matmul_many(ctx, (float *const[]){ s->gate, s->up },
                       (const struct tensor_matrix *const[]){ &l->ffn_gate, &l->ffn_up }, 2);
    tensor_act_begin(ctx, s->gate, n_rows, p->ffn);
    tensor_each_rows(ctx, n_rows, p->ffn, apply_gate, &part);
    tensor_matmul(ctx, s->h, &l->ffn_down);
}

/* Row `to` of x [][width] = row `from`. */
static void move_row(float *x, int64_t width, int64_t to, int64_t from)
{
    memmove(x + to * width, x + from * width, (size_t)width * sizeof(float));
}

void arch_output(const struct model *m, struct model_state *s, const struct model_batch *batch,
                 float *logits)
{
    if (batch->out_count == 0)
        return;
    for (int64_t i = 0; i < batch->out_count; i++) { /* ascending: never overwrites a later row */
        move_row(s->x, m->params.width, i, batch->out_rows[i]);
        move_row(s->h, m->params.width, i, batch->out_rows[i]);
    }
    begin_part(&(struct part){ .m = m, .s = s, .norm = m->out_norm }, batch->out_count);
    tensor_matmul(&s->ctx, logits, &m->head);
}
