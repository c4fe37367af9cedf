/*
 * Loading what architectures share.
 */
#include "model/arch/arch.h"

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
