/*
 * Gemma 3 (Gemma Team 2025):
 *
 *   x = embed[id] * sqrt(width)
 *   each layer:  h = norm(x);  x += norm(Wo attention(rope(norm(Wq h)), rope(norm(Wk h)), Wv h))
 *                h = norm(x);  x += norm(Wdown (gelu(Wgate h) * Wup h))
 *   logits = Whead norm(x)
 *
 * Files hold the weights of norms as they are applied. Five of six layers see a window of the
 * last tokens only and rotate by a base of their own, without scaling; the sixth sees all.
 *
 * The KV cache keeps all tokens of all layers, also those that have left the window.
 */
#include <math.h>
#include <string.h>

#include "model/arch/arch.h"

enum {
    ROPE_GLOBAL, /* indices in model.ropes, in the order of loading */
    ROPE_WINDOW,

    PATTERN_DEFAULT = 6, /* every so many layers, one sees all tokens */
    LAYERS_OF_27B = 62
};

/* The file does not say it: scores of the largest model are scaled by width instead. */
static float default_scale(const struct model_params *p)
{
    int32_t dim = p->layers == LAYERS_OF_27B ? p->width / p->heads : p->head_dim;
    return 1.0f / sqrtf((float)dim);
}

static enum base_err load_ropes(struct model *m, struct base_err_info *info)
{
    float window_base = 10000.0f;
    enum base_err rc = model_key_f32(m, "rope.freq_base_swa", MODEL_ROPE_BASE_MIN,
                                     MODEL_ROPE_BASE_MAX, &window_base, info);
    if (!rc)
        rc = arch_rope_add(m, m->params.rope_base, NULL, &m->params.rope_scaling, info);
    if (!rc)
        rc = arch_rope_add(m, window_base, NULL, NULL, info);
    return rc;
}

/* Sets each layer's window and rope. The pattern is a number or a bool for each layer. */
static enum base_err load_windows(struct model *m, struct base_err_info *info)
{
    static const char key[] = "attention.sliding_window_pattern";
    int32_t layers = m->params.layers;
    int32_t window = 0;
    enum base_err rc =
        model_key_i32(m, "attention.sliding_window", 0, MODEL_CONTEXT_MAX, &window, info);
    if (rc || window == 0)
        return rc;
    const struct gguf_kv *kv = model_key_find(m, key);
    bool is_list = kv && kv->kind == GGUF_ARRAY;
    int32_t pattern = PATTERN_DEFAULT;
    if (is_list && (kv->element_kind != GGUF_BOOL || kv->count != (uint64_t)layers))
        return base_err_set_at(info, E_CORRUPT, kv->byte,
                               "'%s.%s' is no list of %d bools, one for each layer", m->arch->name,
                               key, layers);
    if (!is_list)
        rc = model_key_i32(m, key, 1, MODEL_LAYERS_MAX, &pattern, info);
    for (int32_t i = 0; !rc && i < layers; i++) {
        bool has_window = is_list ? gguf_array_i64(kv, (uint64_t)i) != 0 : (i + 1) % pattern != 0;
        m->layers[i].window = has_window ? window : 0;
        m->layers[i].rope = has_window ? ROPE_WINDOW : ROPE_GLOBAL;
    }
    return rc;
}

static enum base_err load(struct model *m, struct base_err_info *info)
{
    struct model_params *p = &m->params;
    if (!model_key_find(m, "attention.scale"))
        p->attn_scale = default_scale(p);
    m->embed_scale = sqrtf((float)p->width);
    enum base_err rc = load_ropes(m, info);
    if (!rc)
        rc = load_windows(m, info);
    for (int32_t i = 0; !rc && i < p->layers; i++) {
        struct model_layer *l = &m->layers[i];
        rc = arch_load_attention(m, i, true, info);
        if (!rc)
            rc = model_load_layer_vector(m, i, "post_attention_norm.weight", p->width,
                                         &l->attn_post_norm, info);
        if (!rc)
            rc = arch_load_ffn(m, i, info);
        if (!rc)
            rc = model_load_layer_vector(m, i, "post_ffw_norm.weight", p->width, &l->ffn_post_norm,
                                         info);
    }
    return rc;
}

const struct model_arch model_arch_gemma3 = { "gemma3", TENSOR_ROPE_NEOX, TENSOR_GATE_GELU, load };
