#include "api/logprobs.h"

#include <math.h>
#include <string.h>

#include "valet/request.h"

void logprobs_token(struct api_out *o, const struct tokenizer *tokenizer, int32_t id)
{
    struct tokenizer_text text = tokenizer_bytes(tokenizer, id);
    api_out_string(o, text.data, text.len);
}

/* {"token":…,"logprob":…,"bytes":[…], without the closing brace */
static void token_open(struct api_out *o, const struct tokenizer *tokenizer, int32_t id,
                       float logprob)
{
    struct tokenizer_text text = tokenizer_bytes(tokenizer, id);
    api_out_raw(o, "{\"token\":");
    api_out_string(o, text.data, text.len);
    api_out_raw(o, ",\"logprob\":");
    api_out_float(o, logprob);
    api_out_raw(o, ",\"bytes\":[");
    for (size_t i = 0; i < text.len; i++) {
        if (i)
            api_out_raw(o, ",");
        api_out_int(o, (unsigned char)text.data[i]);
    }
    api_out_raw(o, "]");
}

void logprobs_chat_entry(struct api_out *o, const struct tokenizer *tokenizer,
                         const struct valet_event *event)
{
    token_open(o, tokenizer, event->id, event->logprob);
    api_out_raw(o, ",\"top_logprobs\":[");
    for (uint32_t i = 0; i < event->top_count; i++) {
        if (i)
            api_out_raw(o, ",");
        token_open(o, tokenizer, event->top[i].id, event->top[i].logprob);
        api_out_raw(o, "}");
    }
    api_out_raw(o, "]}");
}

void logprobs_value(struct api_out *o, const struct valet_event *event)
{
    if (isnan(event->logprob))
        api_out_raw(o, "null");
    else
        api_out_float(o, event->logprob);
}

/* Where the keys that were written lie in the buffer. */
struct keys {
    size_t start[VALET_TOP_LOGPROBS_MAX + 1];
    size_t len[VALET_TOP_LOGPROBS_MAX + 1];
    size_t count;
};

static bool keys_have(const struct keys *keys, const char *data, size_t start, size_t len)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->len[i] == len && memcmp(data + keys->start[i], data + start, len) == 0)
            return true;
    }
    return false;
}

/* Adds a member unless its key is there: tops come falling, so the first is the likeliest. */
static void top_add(struct api_out *o, const struct tokenizer *tokenizer, struct keys *keys,
                    int32_t id, float logprob)
{
    size_t before = o->buf->len;
    if (keys->count)
        api_out_raw(o, ",");
    size_t start = o->buf->len;
    logprobs_token(o, tokenizer, id);
    size_t len = o->buf->len - start;
    if (o->rc)
        return;
    if (keys_have(keys, o->buf->data, start, len)) {
        o->buf->len = before;
        return;
    }
    keys->start[keys->count] = start;
    keys->len[keys->count++] = len;
    api_out_raw(o, ":");
    api_out_float(o, logprob);
}

void logprobs_tops(struct api_out *o, const struct tokenizer *tokenizer,
                   const struct valet_event *event)
{
    struct keys keys = { .count = 0 };
    if (isnan(event->logprob)) {
        api_out_raw(o, "null");
        return;
    }
    api_out_raw(o, "{");
    for (uint32_t i = 0; i < event->top_count && i < VALET_TOP_LOGPROBS_MAX; i++)
        top_add(o, tokenizer, &keys, event->top[i].id, event->top[i].logprob);
    top_add(o, tokenizer, &keys, event->id, event->logprob);
    api_out_raw(o, "}");
}
