#include "api/chat_format.h"

#include <jansson.h>

#include "api/json.h"

void chat_format_note(struct chat_format *f, const struct valet_event *event)
{
    if (event->type != VALET_EVENT_TOKEN)
        return;
    f->generated = event->generated;
    if (event->finish != VALET_FINISH_NONE)
        f->finish = event->finish;
}

const char *chat_format_finish(enum valet_finish finish)
{
    switch (finish) {
    case VALET_FINISH_STOP:
        return "stop";
    case VALET_FINISH_LENGTH:
        return "length";
    case VALET_FINISH_NONE:
        break;
    }
    return NULL;
}

/* Takes `value`; NULL is a value that could not be made. */
static enum base_err frame_write(json_t *value, struct base_buf *out)
{
    size_t len = out->len;
    enum base_err rc = buf_append_str(out, "data: ");
    if (!rc)
        rc = api_json_write(value, out);
    if (!rc)
        rc = buf_append_str(out, "\n\n");
    json_decref(value);
    if (rc)
        out->len = len;
    return rc;
}

static enum base_err done_write(struct base_buf *out)
{
    return buf_append_str(out, "data: [DONE]\n\n");
}

/* Takes `choices`. With include_usage every chunk carries usage: null until the last. */
static json_t *chunk_make(const struct chat_format *f, json_t *choices)
{
    json_t *chunk =
        json_pack("{s:s,s:s,s:I,s:s,s:s}", "id", f->id, "object", "chat.completion.chunk",
                  "created", (json_int_t)f->created, "model", f->model, "system_fingerprint",
                  f->fingerprint);
    if (!chunk || !choices) {
        json_decref(choices);
        json_decref(chunk);
        return NULL;
    }
    int rc = json_object_set_new(chunk, "choices", choices);
    if (!rc && f->include_usage)
        rc = json_object_set_new(chunk, "usage", json_null());
    if (rc) {
        json_decref(chunk);
        return NULL;
    }
    return chunk;
}

static json_t *usage_make(const struct chat_format *f)
{
    return json_pack("{s:i,s:i,s:i,s:{s:i},s:{s:i}}", "prompt_tokens", f->prompt_count,
                     "completion_tokens", f->generated, "total_tokens",
                     f->prompt_count + f->generated, "prompt_tokens_details", "cached_tokens", 0,
                     "completion_tokens_details", "reasoning_tokens", 0);
}

enum base_err chat_format_role(const struct chat_format *f, struct base_buf *out)
{
    json_t *choices = json_pack("[{s:i,s:{s:s,s:n},s:n,s:n}]", "index", 0, "delta", "role",
                                "assistant", "content", "logprobs", "finish_reason");
    return frame_write(chunk_make(f, choices), out);
}

enum base_err chat_format_content(const struct chat_format *f, const struct valet_event *event,
                                  struct base_buf *out)
{
    if (!event->text_len)
        return OK;
    json_t *choices =
        json_pack("[{s:i,s:{s:s%},s:n,s:n}]", "index", (int)event->choice, "delta", "content",
                  event->text, (size_t)event->text_len, "logprobs", "finish_reason");
    return frame_write(chunk_make(f, choices), out);
}

static enum base_err finish_write(const struct chat_format *f, struct base_buf *out)
{
    json_t *choices = json_pack("[{s:i,s:{},s:n,s:s?}]", "index", 0, "delta", "logprobs",
                                "finish_reason", chat_format_finish(f->finish));
    return frame_write(chunk_make(f, choices), out);
}

static enum base_err usage_write(const struct chat_format *f, struct base_buf *out)
{
    json_t *chunk = chunk_make(f, json_array());
    if (chunk && json_object_set_new(chunk, "usage", usage_make(f))) {
        json_decref(chunk);
        chunk = NULL;
    }
    return frame_write(chunk, out);
}

enum base_err chat_format_end(const struct chat_format *f, struct base_buf *out)
{
    size_t len = out->len;
    enum base_err rc = finish_write(f, out);
    if (!rc && f->include_usage)
        rc = usage_write(f, out);
    if (!rc)
        rc = done_write(out);
    if (rc)
        out->len = len;
    return rc;
}

enum base_err chat_format_error(const struct api_error *error, struct base_buf *out)
{
    size_t len = out->len;
    enum base_err rc = frame_write(api_error_json(error, false), out);
    if (!rc)
        rc = done_write(out);
    if (rc)
        out->len = len;
    return rc;
}

/* Takes `choice` and `usage`. */
static json_t *completion_make(const struct chat_format *f, json_t *choice, json_t *usage)
{
    json_t *completion =
        json_pack("{s:s,s:s,s:I,s:s,s:s,s:s,s:[]}", "id", f->id, "object", "chat.completion",
                  "created", (json_int_t)f->created, "model", f->model, "system_fingerprint",
                  f->fingerprint, "service_tier", "default", "choices");
    /* set_new takes its value also when it fails, and fails for a value that is NULL */
    int rc = json_array_append_new(json_object_get(completion, "choices"), choice);
    rc |= json_object_set_new(completion, "usage", usage);
    if (rc) {
        json_decref(completion);
        return NULL;
    }
    return completion;
}

enum base_err chat_format_completion(const struct chat_format *f, const char *text, size_t len,
                                     struct base_buf *out)
{
    json_t *choice = json_pack("{s:i,s:{s:s,s:s%,s:n},s:n,s:s?}", "index", 0, "message", "role",
                               "assistant", "content", text, len, "refusal", "logprobs",
                               "finish_reason", chat_format_finish(f->finish));
    json_t *completion = completion_make(f, choice, usage_make(f));
    enum base_err rc = api_json_write(completion, out);
    json_decref(completion);
    return rc;
}
