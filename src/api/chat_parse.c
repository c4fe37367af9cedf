#include "api/chat_parse.h"

#include <float.h>
#include <inttypes.h>
#include <string.h>

enum {
    CHOICES_MAX = 128
};

static const struct api_range g_temperature = { .max = 2, .expected = "a number from 0 to 2" };
static const struct api_range g_top_p = { .max = 1,
                                          .above_min = true,
                                          .expected = "a number above 0 and up to 1" };

static enum base_err parse_sampling(const struct api_object *body, struct chat_params *out)
{
    double temperature = 1;
    double top_p = 1;
    int64_t top_k = 0;
    int64_t seed = 0;
    enum base_err rc = api_field_f64(body, "temperature", &g_temperature, &temperature);
    if (!rc)
        rc = api_field_f64(body, "top_p", &g_top_p, &top_p);
    if (!rc)
        rc = api_field_i64(body, "top_k", -1, INT32_MAX, &top_k);
    if (!rc)
        rc = api_field_i64(body, "seed", INT64_MIN, INT64_MAX, &seed);
    if (rc)
        return rc;
    out->seeded = api_field(body, "seed") != NULL;
    out->sampling = (struct valet_sampling){
        .temperature = (float)temperature,
        .top_p = (float)top_p > 0 ? (float)top_p : FLT_MIN, /* a double may round to 0 */
        .top_k = top_k < 0 ? 0 : (int32_t)top_k,
        .seed = (uint64_t)seed,
    };
    return OK;
}

static enum base_err parse_max_new(const struct api_object *body, struct chat_params *out)
{
    int64_t completion = 0;
    int64_t old = 0;
    enum base_err rc =
        api_field_i64(body, "max_completion_tokens", 1, INT32_MAX, &completion);
    if (!rc)
        rc = api_field_i64(body, "max_tokens", 1, INT32_MAX, &old);
    if (rc)
        return rc;
    if (completion && old && completion != old)
        return api_error_set(body->error, API_INVALID_VALUE, "max_tokens",
                             "max_tokens: expected the value of max_completion_tokens, %" PRId64
                             ", or none, got %" PRId64,
                             completion, old);
    out->max_new = (int32_t)(completion ? completion : old);
    return OK;
}

static enum base_err stop_add(const json_t *text, const struct api_path *path,
                              struct chat_params *out, struct api_error *error)
{
    size_t len = json_string_length(text);
    if (!json_is_string(text) || len < 1 || len > VALET_STOP_BYTES_MAX)
        return api_wrong(error, path, "a string of 1 to 256 bytes", text);
    out->stops[out->stop_count++] =
        (struct valet_stop){ .text = json_string_value(text), .len = (uint32_t)len };
    return OK;
}

static enum base_err parse_stop(const struct api_object *body, struct chat_params *out)
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

static enum base_err parse_stream(const struct api_object *body, struct chat_params *out)
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
    bool continuous = false;
    rc = api_field_bool(&object, "include_usage", &out->include_usage);
    if (!rc)
        rc = api_field_bool(&object, "continuous_usage_stats", &continuous);
    if (!rc && continuous)
        rc = api_field_unsupported(&object, "continuous_usage_stats", "false");
    return rc;
}

static enum base_err parse_n(const struct api_object *body)
{
    int64_t n = 1;
    enum base_err rc = api_field_i64(body, "n", 1, CHOICES_MAX, &n);
    if (!rc && n != 1)
        rc = api_field_unsupported(body, "n", "1");
    return rc;
}

enum base_err chat_parse(const json_t *body, struct arena *arena, struct chat_params *out,
                         struct api_error *error)
{
    struct api_object object = { .json = body, .error = error };
    *out = (struct chat_params){ 0 };
    enum base_err rc = api_field_string(&object, "model", &out->model, &out->model_len);
    if (!rc)
        rc = chat_parse_messages(&object, arena, out);
    if (!rc)
        rc = parse_max_new(&object, out);
    if (!rc)
        rc = parse_sampling(&object, out);
    if (!rc)
        rc = parse_stop(&object, out);
    if (!rc)
        rc = parse_stream(&object, out);
    if (!rc)
        rc = parse_n(&object);
    if (!rc)
        rc = chat_parse_fields(&object, &out->unknown_count);
    return rc;
}
