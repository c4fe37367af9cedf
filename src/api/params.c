#include "api/params.h"

#include <inttypes.h>
#include <string.h>

#include "api/schedule.h"
#include "base/random.h"

enum {
    SALT_BYTES_MAX = 1024
};

static enum base_err stop_add(const json_t *text, const struct api_path *path,
                              struct api_params *out, struct api_error *error)
{
    size_t len = json_string_length(text);
    if (!json_is_string(text) || len < 1 || len > VALET_STOP_BYTES_MAX)
        return api_wrong(error, path, "a string of 1 to 256 bytes", text);
    out->stops[out->stop_count++] =
        (struct valet_stop){ .text = json_string_value(text), .len = (uint32_t)len };
    return OK;
}

static enum base_err parse_stop(const struct api_object *body, struct api_params *out)
{
    const json_t *stop = api_field(body, "stop");
    struct api_path path = { .key = "stop" };
    if (!stop)
        return OK;
    if (json_is_string(stop))
        return stop_add(stop, &path, out, body->error);
    if (!json_is_array(stop) || json_array_size(stop) > VALET_STOPS_MAX)
        return api_wrong(body->error, &path, "a string or an array of at most 16 strings", stop);
    for (size_t i = 0; i < json_array_size(stop); i++) {
        struct api_path item = { .up = &path, .index = i };
        enum base_err rc = stop_add(json_array_get(stop, i), &item, out, body->error);
        if (rc)
            return rc;
    }
    return OK;
}

static enum base_err parse_stop_ids(const struct api_object *body, const struct api_model *model,
                                    struct api_params *out)
{
    const json_t *ids = api_field(body, "stop_token_ids");
    struct api_path path = { .key = "stop_token_ids" };
    if (!ids)
        return OK;
    if (!json_is_array(ids) || json_array_size(ids) > VALET_STOP_IDS_MAX)
        return api_wrong(body->error, &path, "an array of at most 64 token ids", ids);
    out->stop_id_count = (uint32_t)json_array_size(ids);
    return api_array_ids(ids, &path, tokenizer_count(model->tokenizer), out->stop_ids, body->error);
}

/* How the answer ends besides its length. */
static enum base_err parse_end(const struct api_object *body, const struct api_model *model,
                               struct api_params *out)
{
    int64_t min_tokens = 0;
    int64_t max = out->max_new == PARAMS_FIT ? INT32_MAX : out->max_new;
    enum base_err rc = parse_stop(body, out);
    if (!rc)
        rc = parse_stop_ids(body, model, out);
    if (!rc)
        rc = api_field_i64(body, "min_tokens", 0, max, &min_tokens);
    if (!rc)
        rc = api_field_bool(body, "ignore_eos", &out->ignore_eos);
    if (!rc)
        rc = api_field_bool(body, "include_stop_str_in_output", &out->include_stop);
    out->min_tokens = (int32_t)min_tokens;
    return rc;
}

static enum base_err parse_stream(const struct api_object *body, struct api_params *out)
{
    enum base_err rc = api_field_bool(body, "stream", &out->stream);
    const json_t *options = api_field(body, "stream_options");
    if (rc || !options)
        return rc;
    if (!json_is_object(options))
        return api_field_wrong(body, "stream_options", "an object");
    if (!out->stream)
        return api_field_wrong(body, "stream_options", "none without \"stream\": true");
    struct api_path path = { .key = "stream_options" };
    struct api_object object = { options, &path, body->error };
    rc = api_field_bool(&object, "include_usage", &out->include_usage);
    if (!rc)
        rc = api_field_bool(&object, "continuous_usage_stats", &out->continuous_usage);
    return rc;
}

static enum base_err parse_choices(const struct api_object *body, struct api_params *out)
{
    int64_t n = 1;
    enum base_err rc = api_field_i64(body, "n", 1, PARAMS_TASKS_MAX, &n);
    out->n = (uint32_t)n;
    out->best_of = (uint32_t)n;
    return rc;
}

/* Prefixes are shared by requests of one salt; without one the salt is 0. */
static enum base_err parse_salt(const struct api_object *body, struct api_params *out)
{
    const char *text = NULL;
    size_t len = 0;
    enum base_err rc = api_field_string(body, "cache_salt", &text, &len);
    if (rc || !text)
        return rc;
    if (len < 1 || len > SALT_BYTES_MAX)
        return api_field_wrong(body, "cache_salt", "a string of 1 to 1024 bytes");
    uint64_t hash = random_mix(len);
    for (size_t i = 0; i < len; i++)
        hash = random_mix(hash * 31 + (unsigned char)text[i] + 1);
    out->cache_salt = hash ? hash : 1;
    return OK;
}

/* Two names for what is one thing here; `priority` is the more exact one. */
static enum base_err parse_schedule(const struct api_object *body, struct api_params *out)
{
    const json_t *priority = api_field(body, "priority");
    const json_t *tier = api_field(body, "service_tier");
    int64_t number = -1;
    out->klass = PARK_CLASS_NORMAL;
    out->tier = tier != NULL;
    if (api_string_is(tier, "priority"))
        out->klass = PARK_CLASS_HIGH;
    else if (api_string_is(tier, "flex"))
        out->klass = PARK_CLASS_LOW;
    else if (tier && !api_string_is(tier, "auto") && !api_string_is(tier, "default"))
        return api_field_wrong(body, "service_tier", "auto, default, priority or flex");
    if (!priority)
        return OK;
    if (api_whole_number(priority, &number) && number == 0) {
        out->klass = PARK_CLASS_NORMAL;
        return OK;
    }
    if (json_is_string(priority) && schedule_parse_class(json_string_value(priority),
                                                         json_string_length(priority), &out->klass))
        return OK;
    return api_field_wrong(body, "priority", "critical, high, normal or low");
}

enum base_err params_parse(const struct api_object *body, const struct api_model *model,
                           enum params_route route, struct arena *arena, struct api_params *out)
{
    enum base_err rc = params_parse_sampling(body, model, arena, out);
    if (!rc)
        rc = parse_end(body, model, out);
    if (!rc)
        rc = parse_stream(body, out);
    if (!rc)
        rc = parse_choices(body, out);
    if (!rc)
        rc = parse_salt(body, out);
    if (!rc)
        rc = parse_schedule(body, out);
    if (!rc)
        rc = api_field_bool(body, "return_token_ids", &out->token_ids);
    if (!rc)
        rc = params_parse_rest(body, route, &out->unknown_count);
    return rc;
}
