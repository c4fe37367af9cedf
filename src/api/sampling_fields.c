/* The fields that say how tokens are drawn. */
#include <float.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "api/params.h"
#include "base/text.h"

static const struct valet_sampling g_defaults = {
    .temperature = 1,
    .top_p = 1,
    .typical_p = 1,
    .top_n_sigma = -1,
    .xtc_threshold = 0.1f,
    .repetition_penalty = 1,
    .dry_base = 1.75f,
    .dry_allowed_length = 2,
    .mirostat_tau = 5,
    .mirostat_eta = 0.1f,
};

struct number {
    const char *name;
    size_t offset; /* of a float in struct valet_sampling */
    struct api_range range;
};

#define NUMBER(name, lo, hi, text)                                                                 \
    {                                                                                              \
#name, offsetof(struct valet_sampling, name),                                              \
        {                                                                                          \
            .min = (lo), .max = (hi), .expected = (text)                                           \
        }                                                                                          \
    }
#define ABOVE_0(name, hi, text)                                                                    \
    {                                                                                              \
#name, offsetof(struct valet_sampling, name),                                              \
        {                                                                                          \
            .max = (hi), .above_min = true, .expected = (text)                                     \
        }                                                                                          \
    }

static const struct number g_numbers[] = {
    NUMBER(temperature, 0, 2, "a number from 0 to 2"),
    ABOVE_0(top_p, 1, "a number above 0 and up to 1"),
    NUMBER(min_p, 0, 1, "a number from 0 to 1"),
    NUMBER(typical_p, 0, 1, "a number from 0 to 1"),
    NUMBER(top_n_sigma, -1, FLT_MAX, "a number from -1 up"),
    NUMBER(xtc_probability, 0, 1, "a number from 0 to 1"),
    NUMBER(xtc_threshold, 0, 1, "a number from 0 to 1"),
    NUMBER(presence_penalty, -2, 2, "a number from -2 to 2"),
    NUMBER(frequency_penalty, -2, 2, "a number from -2 to 2"),
    NUMBER(dry_multiplier, 0, FLT_MAX, "a number from 0 up"),
    NUMBER(dry_base, 1, FLT_MAX, "a number from 1 up"),
    ABOVE_0(mirostat_tau, FLT_MAX, "a number above 0"),
    ABOVE_0(mirostat_eta, FLT_MAX, "a number above 0"),
};

static const struct api_range g_repetition = { .max = 10,
                                               .above_min = true,
                                               .expected = "a number above 0 and up to 10" };

/* A double above 0 may round to 0, which would mean off. */
static float as_float(double d, const struct api_range *range)
{
    return range->above_min && d < (double)FLT_MIN ? FLT_MIN : (float)d;
}

static enum base_err parse_numbers(const struct api_object *body, struct valet_sampling *out)
{
    for (size_t i = 0; i < sizeof g_numbers / sizeof g_numbers[0]; i++) {
        const struct number *n = &g_numbers[i];
        double d = 0;
        enum base_err rc = api_field_f64(body, n->name, &n->range, &d);
        if (rc)
            return rc;
        float value = as_float(d, &n->range);
        if (api_field(body, n->name))
            memcpy((char *)out + n->offset, &value, sizeof value);
    }
    return OK;
}

static enum base_err parse_i32(const struct api_object *body, const char *key, int32_t min,
                               int32_t max, int32_t *out)
{
    int64_t n = *out;
    enum base_err rc = api_field_i64(body, key, min, max, &n);
    *out = (int32_t)n;
    return rc;
}

/* Two names for one field. */
static enum base_err parse_repetition(const struct api_object *body, const struct api_model *model,
                                      struct valet_sampling *out)
{
    double repetition = 1;
    double repeat = 1;
    int32_t last_n = -1;
    enum base_err rc = api_field_f64(body, "repetition_penalty", &g_repetition, &repetition);
    if (!rc)
        rc = api_field_f64(body, "repeat_penalty", &g_repetition, &repeat);
    if (!rc)
        rc = parse_i32(body, "repeat_last_n", -1, model->context, &last_n);
    if (rc)
        return rc;
    bool both = api_field(body, "repetition_penalty") && api_field(body, "repeat_penalty");
    if (both && (repetition < repeat || repetition > repeat))
        return api_field_wrong(body, "repeat_penalty", "the value of repetition_penalty, or none");
    double penalty = api_field(body, "repeat_penalty") ? repeat : repetition;
    out->repetition_penalty = last_n ? as_float(penalty, &g_repetition) : 1;
    out->repeat_last_n = last_n < 0 ? 0 : last_n; /* the sampler's 0 is all */
    return OK;
}

static enum base_err parse_dry(const struct api_object *body, const struct api_model *model,
                               struct arena *arena, struct valet_sampling *out)
{
    int32_t last_n = -1;
    const json_t *breakers = api_field(body, "dry_sequence_breakers");
    enum base_err rc =
        parse_i32(body, "dry_allowed_length", 1, INT32_MAX, &out->dry_allowed_length);
    if (!rc)
        rc = parse_i32(body, "dry_penalty_last_n", -1, INT32_MAX, &last_n);
    if (rc)
        return rc;
    out->dry_last_n = last_n < 0 ? 0 : last_n; /* the sampler's 0 is all */
    if (!last_n)
        out->dry_multiplier = 0;
    if (!(out->dry_multiplier > 0) && !breakers)
        return OK; /* no need to look for the default ones */
    return params_find_breakers(breakers, model->tokenizer, arena, &out->dry_breakers,
                                &out->dry_breaker_count, body->error);
}

static enum base_err bias_add(const struct api_object *map, const char *key, int32_t token_count,
                              struct valet_bias *out)
{
    static const struct api_range range = { .min = -100,
                                            .max = 100,
                                            .expected = "a number from -100 to 100" };
    int64_t id;
    double bias = 0;
    if (!text_parse_i64(key, 0, token_count - 1, &id))
        return api_field_wrong(map, key, "a token id of the vocabulary as its key");
    if (!api_field(map, key))
        return api_field_wrong(map, key, range.expected);
    enum base_err rc = api_field_f64(map, key, &range, &bias);
    *out = (struct valet_bias){ .id = (int32_t)id, .bias = (float)bias };
    return rc;
}

static enum base_err parse_bias(const struct api_object *body, const struct api_model *model,
                                struct arena *arena, struct valet_sampling *out)
{
    json_t *map = json_object_get(body->json, "logit_bias");
    struct api_path path = { .key = "logit_bias" };
    struct api_object object = { map, &path, body->error };
    size_t count = json_object_size(map);
    if (!map || json_is_null(map))
        return OK;
    if (!json_is_object(map) || count > VALET_BIAS_MAX)
        return api_field_wrong(body, "logit_bias", "an object of at most 1024 token ids");
    struct valet_bias *bias = arena_calloc(arena, count ? count : 1, sizeof *bias);
    if (!bias)
        return api_error_nomem(body->error);
    void *at = json_object_iter(map);
    for (size_t i = 0; at; at = json_object_iter_next(map, at), i++) {
        enum base_err rc = bias_add(&object, json_object_iter_key(at),
                                    tokenizer_count(model->tokenizer), &bias[i]);
        if (rc)
            return rc;
    }
    out->bias = bias;
    out->bias_count = (uint32_t)count;
    return OK;
}

enum base_err params_parse_sampling(const struct api_object *body, const struct api_model *model,
                                    struct arena *arena, struct api_params *out)
{
    struct valet_sampling *s = &out->sampling;
    int64_t seed = 0;
    *s = g_defaults;
    enum base_err rc = parse_numbers(body, s);
    if (!rc)
        rc = parse_i32(body, "top_k", -1, INT32_MAX, &s->top_k);
    if (!rc)
        rc = api_field_i64(body, "seed", INT64_MIN, INT64_MAX, &seed);
    if (!rc)
        rc = parse_i32(body, "mirostat", 0, 2, &s->mirostat);
    if (!rc)
        rc = parse_repetition(body, model, s);
    if (!rc)
        rc = parse_dry(body, model, arena, s);
    if (!rc)
        rc = parse_bias(body, model, arena, s);
    if (s->top_k < 0)
        s->top_k = 0;
    s->seed = (uint64_t)seed;
    out->seeded = api_field(body, "seed") != NULL;
    return rc;
}
