#include "model/cost.h"

static double matrix_bytes(const struct tensor_matrix *m)
{
    if (m->packed_bytes)
        return (double)m->packed_bytes;
    return (double)m->n_out * (double)tensor_row_bytes(m->type, m->n_in);
}

static void count_matrix(const struct tensor_matrix *m, double *bytes, double *int8, double *f32)
{
    double ops = 2 * (double)m->n_out * (double)m->n_in;
    bool is_plain = tensor_type_info(m->type)->block_len == 1;
    *bytes += matrix_bytes(m);
    *(is_plain ? f32 : int8) += ops;
}

void model_cost_of(const struct model *m, struct model_cost *out)
{
    const struct model_params *p = &m->params;
    *out = (struct model_cost){ 0 };
    for (int32_t i = 0; i < p->layers; i++) {
        const struct model_layer *l = &m->layers[i];
        const struct tensor_matrix *const all[] = {
            &l->attn_q, &l->attn_k, &l->attn_v, &l->attn_o, &l->ffn_gate, &l->ffn_up, &l->ffn_down,
        };
        for (size_t j = 0; j < sizeof all / sizeof all[0]; j++)
            count_matrix(all[j], &out->weight_bytes, &out->layer_int8_ops, &out->layer_f32_ops);
    }
    count_matrix(&m->head, &out->weight_bytes, &out->head_int8_ops, &out->head_f32_ops);
    out->attention_ops = 4.0 * p->layers * p->heads * p->head_dim;
    out->kv_bytes = (double)tensor_kv_block_bytes(m->isa, p->layers, p->kv_heads, p->head_dim) /
                    TENSOR_KV_BLOCK;
}

/* Keys that `tokens` rows behind `depth` others see, on an average of the layers. */
static double keys_seen(const struct model *m, int64_t tokens, int64_t depth)
{
    double sum = 0;
    for (int32_t i = 0; i < m->params.layers; i++) {
        int64_t window = m->layers[i].window;
        for (int64_t t = 1; t <= tokens; t++) {
            int64_t keys = depth + t;
            sum += (double)(window > 0 && window < keys ? window : keys);
        }
    }
    return sum / m->params.layers;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

double model_cost_decode(const struct model *m, const struct tensor_limits *limits, int64_t rows,
                         int64_t depth)
{
    struct model_cost c;
    model_cost_of(m, &c);
    double keys = keys_seen(m, 1, depth) * (double)rows;
    double bytes = c.weight_bytes + keys * c.kv_bytes;
    double int8 = (double)rows * (c.layer_int8_ops + c.head_int8_ops);
    double f32 = (double)rows * (c.layer_f32_ops + c.head_f32_ops) + keys * c.attention_ops;
    return larger(bytes / limits->read_bytes_s,
                  int8 / limits->int8_ops_s + f32 / limits->f32_ops_s);
}

double model_cost_prefill(const struct model *m, const struct tensor_limits *limits, int64_t tokens,
                          int64_t depth, int64_t chunk)
{
    struct model_cost c;
    model_cost_of(m, &c);
    double steps = (double)((tokens + chunk - 1) / chunk);
    double bytes = steps * (c.weight_bytes + ((double)depth + (double)tokens / 2) * c.kv_bytes);
    double int8 = (double)tokens * c.layer_int8_ops + c.head_int8_ops;
    double f32 = (double)tokens * c.layer_f32_ops + c.head_f32_ops +
                 keys_seen(m, tokens, depth) * c.attention_ops;
    return larger(bytes / limits->read_bytes_s,
                  int8 / limits->int8_ops_s + f32 / limits->f32_ops_s);
}
