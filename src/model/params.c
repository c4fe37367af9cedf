/*
 * What a file's keys say about the model. Everything is checked against a range here, once;
 * a value that would change the computation in a way that is not built is refused.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/arch/arch.h"
#include "model/model_int.h"

enum {
    NAME_BYTES = 96
};

/* ---- keys ---- */

static const char *full_name(const struct model *m, const char *key, char out[static NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s.%s", m->arch->name, key);
    return out;
}

const struct gguf_kv *model_key_find(const struct model *m, const char *key)
{
    char name[NAME_BYTES];
    return gguf_kv_find(m->file, full_name(m, key, name));
}

static bool is_whole(enum gguf_kind kind)
{
    return kind != GGUF_F32 && kind != GGUF_F64 && kind != GGUF_BOOL;
}

/* An array of numbers, one per layer, that are all the same. */
static enum base_err check_equal(const struct model *m, const struct gguf_kv *kv, const char *name,
                                 bool whole, struct base_err_info *info)
{
    if (kv->element_kind == GGUF_STRING || kv->element_kind == GGUF_BOOL ||
        (whole && !is_whole(kv->element_kind)))
        return base_err_set_at(info, E_CORRUPT, kv->byte, "'%s' is an array of a wrong kind", name);
    if (m->params.layers == 0 || kv->count != (uint64_t)m->params.layers)
        return base_err_set_at(info, E_CORRUPT, kv->byte,
                               "'%s' has %llu values, expected one, or one for each layer", name,
                               (unsigned long long)kv->count);
    for (uint64_t i = 1; i < kv->count; i++) {
        if (gguf_array_f64(kv, i) != gguf_array_f64(kv, 0))
            return base_err_set_at(info, E_UNSUPPORTED, kv->byte,
                                   "'%s' differs from layer to layer, which is not supported",
                                   name);
    }
    return OK;
}

enum base_err model_key_i32(const struct model *m, const char *key, int32_t min, int32_t max,
                            int32_t *out, struct base_err_info *info)
{
    char name[NAME_BYTES];
    const struct gguf_kv *kv = gguf_kv_find(m->file, full_name(m, key, name));
    if (!kv && *out >= min)
        return OK; /* the caller's default */
    if (!kv)
        return base_err_set(info, E_CORRUPT, "model file lacks the key '%s'", name);
    uint64_t value = 0;
    enum base_err rc;
    if (kv->kind == GGUF_ARRAY) {
        rc = check_equal(m, kv, name, true, info);
        int64_t first = rc ? 0 : gguf_array_i64(kv, 0);
        value = first < 0 ? UINT64_MAX : (uint64_t)first; /* out of every range */
    } else {
        rc = gguf_get_u64(m->file, name, &value, info);
    }
    if (rc)
        return rc;
    if ((min > 0 && value < (uint64_t)min) || value > (uint64_t)max)
        return base_err_set_at(info, E_UNSUPPORTED, kv->byte, "'%s' is %llu, expected %d to %d",
                               name, (unsigned long long)value, min, max);
    *out = (int32_t)value;
    return OK;
}

enum base_err model_key_f32(const struct model *m, const char *key, float min, float max,
                            float *out, struct base_err_info *info)
{
    char name[NAME_BYTES];
    const struct gguf_kv *kv = gguf_kv_find(m->file, full_name(m, key, name));
    if (!kv && *out >= min && *out <= max)
        return OK; /* the caller's default */
    if (!kv)
        return base_err_set(info, E_CORRUPT, "model file lacks the key '%s'", name);
    float value = 0;
    enum base_err rc;
    if (kv->kind == GGUF_ARRAY) {
        rc = check_equal(m, kv, name, false, info);
        value = rc ? 0 : (float)gguf_array_f64(kv, 0);
    } else {
        rc = gguf_get_f32(m->file, name, &value, info);
    }
    if (rc)
        return rc;
    if (!(value >= min && value <= max)) /* a NaN too */
        return base_err_set_at(info, E_UNSUPPORTED, kv->byte, "'%s' is %g, expected %g to %g", name,
                               (double)value, (double)min, (double)max);
    *out = value;
    return OK;
}

enum base_err model_key_refuse(const struct model *m, const char *key, float neutral,
                               struct base_err_info *info)
{
    const float far = 1e30f;
    float value = 0;
    enum base_err rc = model_key_f32(m, key, -far, far, &value, info);
    if (rc || value == 0 || value == neutral)
        return rc;
    char name[NAME_BYTES];
    return base_err_set_at(info, E_UNSUPPORTED, model_key_find(m, key)->byte,
                           "'%s' is %g, which is not supported", full_name(m, key, name),
                           (double)value);
}

/* ---- params ---- */

/* Keys of other architectures that share a name with one of ours. */
static enum base_err refuse_keys(const struct model *m, struct base_err_info *info)
{
    static const struct {
        const char *key;
        float neutral; /* besides 0 */
    } keys[] = {
        { "attn_logit_softcapping", 0 },
        { "final_logit_softcapping", 0 },
        { "attention.clamp_kqv", 0 },
        { "attention.max_alibi_bias", 0 },
        { "attention.shared_kv_layers", 0 },
        { "expert_count", 0 },
        { "embedding_scale", 1 },
        { "residual_scale", 1 },
        { "logit_scale", 1 },
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        enum base_err rc = model_key_refuse(m, keys[i].key, keys[i].neutral, info);
        if (rc)
            return rc;
    }
    bool is_causal = true;
    char name[NAME_BYTES];
    full_name(m, "attention.causal", name);
    enum base_err rc = gguf_get_bool(m->file, name, &is_causal, info);
    if (rc && rc != E_NOT_FOUND)
        return rc;
    if (!is_causal)
        return base_err_set(info, E_UNSUPPORTED, "'%s' is false, which is not supported", name);
    return OK;
}

static enum base_err read_heads(struct model *m, struct base_err_info *info)
{
    struct model_params *p = &m->params;
    enum base_err rc =
        model_key_i32(m, "attention.head_count", 1, MODEL_HEADS_MAX, &p->heads, info);
    if (rc)
        return rc;
    p->kv_heads = p->heads;
    rc = model_key_i32(m, "attention.head_count_kv", 1, p->heads, &p->kv_heads, info);
    p->head_dim = p->width / p->heads;
    if (!rc)
        rc = model_key_i32(m, "attention.key_length", 1, MODEL_HEAD_DIM_MAX, &p->head_dim, info);
    int32_t value_dim = p->head_dim;
    if (!rc)
        rc = model_key_i32(m, "attention.value_length", 1, MODEL_HEAD_DIM_MAX, &value_dim, info);
    p->rope_dim = p->head_dim;
    if (!rc)
        rc = model_key_i32(m, "rope.dimension_count", 2, p->head_dim, &p->rope_dim, info);
    if (rc)
        return rc;
    if (p->heads % p->kv_heads != 0)
        return base_err_set(info, E_CORRUPT, "%d query heads cannot share %d KV heads", p->heads,
                            p->kv_heads);
    if (value_dim != p->head_dim || p->head_dim > MODEL_HEAD_DIM_MAX || p->rope_dim % 2 != 0)
        return base_err_set(info, E_UNSUPPORTED,
                            "head dimensions %d (keys), %d (values), %d (rope) are not supported",
                            p->head_dim, value_dim, p->rope_dim);
    p->attn_scale = 1.0f / sqrtf((float)p->head_dim);
    return model_key_f32(m, "attention.scale", 1e-6f, 1e6f, &p->attn_scale, info);
}

/* How much larger YaRN makes cosines and sines. */
static double yarn_growth(double factor, double weight)
{
    return 1 + 0.1 * weight * log(factor);
}

/* The keys of YaRN; factor is known. */
static enum base_err read_yarn(struct model *m, struct base_err_info *info)
{
    struct model_rope_scaling *s = &m->params.rope_scaling;
    s->is_yarn = true;
    int32_t context = m->params.context;
    float shrink = 0;
    float mix = 1;
    enum base_err rc = model_key_i32(m, "rope.scaling.original_context_length", 1,
                                     MODEL_CONTEXT_MAX, &context, info);
    if (!rc)
        rc = model_key_f32(m, "rope.scaling.yarn_beta_fast", 1e-3f, 1e6f, &s->turns_fast, info);
    if (!rc)
        rc = model_key_f32(m, "rope.scaling.yarn_beta_slow", 1e-3f, 1e6f, &s->turns_slow, info);
    if (!rc)
        rc = model_key_f32(m, "rope.scaling.yarn_ext_factor", 1, 1, &mix, info);
    if (!rc)
        rc = model_key_f32(m, "rope.scaling.yarn_log_multiplier", 0, 1e3f, &shrink, info);
    if (rc)
        return rc;
    s->context = (float)context;
    double factor = (double)s->factor;
    s->magnitude = (float)(yarn_growth(factor, 1) / yarn_growth(factor, (double)shrink));
    return model_key_f32(m, "rope.scaling.yarn_attn_factor", 1e-3f, 1e3f, &s->magnitude, info);
}

static enum base_err read_rope(struct model *m, struct base_err_info *info)
{
    struct model_params *p = &m->params;
    struct model_rope_scaling *s = &p->rope_scaling;
    *s = (struct model_rope_scaling){
        .factor = 1, .turns_fast = 32, .turns_slow = 1, .magnitude = 1
    };
    p->rope_base = 10000.0f;
    enum base_err rc = model_key_f32(m, "rope.freq_base", MODEL_ROPE_BASE_MIN, MODEL_ROPE_BASE_MAX,
                                     &p->rope_base, info);
    if (rc)
        return rc;
    struct gguf_str type = { "linear", 6 };
    char name[NAME_BYTES];
    rc = gguf_get_str(m->file, full_name(m, "rope.scaling.type", name), &type, info);
    if (rc && rc != E_NOT_FOUND)
        return rc;
    if (type.len == 4 && memcmp(type.data, "none", 4) == 0)
        return OK;
    bool is_yarn = type.len == 4 && memcmp(type.data, "yarn", 4) == 0;
    if (!is_yarn && !(type.len == 6 && memcmp(type.data, "linear", 6) == 0))
        return base_err_set(info, E_UNSUPPORTED,
                            "'%s' is '%.*s', which is not supported; "
                            "supported: none, linear, yarn",
                            name, (int)(type.len < 40 ? type.len : 40), type.data);
    rc = model_key_f32(m, "rope.scale_linear", 1, 1e6f, &s->factor, info); /* an older name */
    if (!rc)
        rc = model_key_f32(m, "rope.scaling.factor", 1, 1e6f, &s->factor, info);
    if (!rc && is_yarn)
        rc = read_yarn(m, info);
    float more = 1;
    if (!rc)
        rc = model_key_f32(m, "rope.scaling.attn_factor", 1e-3f, 1e3f, &more, info);
    s->magnitude *= more;
    return rc;
}

enum base_err model_params_read(struct model *m, struct base_err_info *info)
{
    struct model_params *p = &m->params;
    *p = (struct model_params){ .norm_eps = -1 };
    enum base_err rc = model_key_i32(m, "block_count", 1, MODEL_LAYERS_MAX, &p->layers, info);
    if (!rc)
        rc = model_key_i32(m, "embedding_length", 1, MODEL_WIDTH_MAX, &p->width, info);
    if (!rc)
        rc = model_key_i32(m, "feed_forward_length", 1, MODEL_FFN_MAX, &p->ffn, info);
    if (!rc)
        rc = model_key_i32(m, "context_length", 1, MODEL_CONTEXT_MAX, &p->context, info);
    if (!rc)
        rc = model_key_f32(m, "attention.layer_norm_rms_epsilon", 0.0f, 1.0f, &p->norm_eps, info);
    if (!rc)
        rc = read_heads(m, info);
    if (!rc)
        rc = read_rope(m, info);
    return rc ? rc : refuse_keys(m, info);
}
