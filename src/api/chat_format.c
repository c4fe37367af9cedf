/* Events to chat.completion and chat.completion.chunk objects. */
#include "api/format.h"
#include "api/logprobs.h"

#define CHUNK "chat.completion.chunk"

static void out_logprobs(struct api_out *o, const struct format *f, const struct valet_event *event)
{
    if (!f->logprobs || !format_has_token(event)) {
        api_out_raw(o, "null");
        return;
    }
    api_out_raw(o, "{\"content\":[");
    logprobs_chat_entry(o, f->tokenizer, event);
    api_out_raw(o, "],\"refusal\":null}");
}

static void out_index(struct api_out *o, uint32_t index)
{
    api_out_raw(o, "{\"index\":");
    api_out_int(o, index);
}

/* Comes first of a choice, when its prefill starts. */
static void out_role(struct api_out *o, const struct format *f, const struct valet_event *event)
{
    format_chunk_begin(o, f, CHUNK);
    out_index(o, event->choice);
    api_out_raw(o, ",\"delta\":{\"role\":\"assistant\",\"content\":null},\"logprobs\":null,"
                   "\"finish_reason\":null}");
    format_chunk_end(o, f);
}

/* The text that is released, and what goes with the token also when its text is held back. */
static void out_content(struct api_out *o, const struct format *f, const struct valet_event *event)
{
    bool token = format_has_token(event) && (f->logprobs || f->token_ids);
    if (!event->text_len && !token)
        return;
    format_chunk_begin(o, f, CHUNK);
    out_index(o, event->choice);
    api_out_raw(o, ",\"delta\":{\"content\":");
    api_out_string(o, event->text, event->text_len);
    api_out_raw(o, "},\"logprobs\":");
    out_logprobs(o, f, event);
    api_out_raw(o, ",\"finish_reason\":null");
    if (f->token_ids && token) {
        api_out_raw(o, ",\"token_ids\":[");
        api_out_int(o, event->id);
        api_out_raw(o, "]");
    }
    api_out_raw(o, "}");
    format_chunk_end(o, f);
}

static enum base_err chat_event(struct format *f, const struct valet_event *event,
                                struct base_buf *out)
{
    struct format_choice *c = &f->choices[event->choice];
    struct api_out o = api_out_begin(out);
    if (!c->started)
        out_role(&o, f, event);
    if (event->type == VALET_EVENT_TOKEN)
        out_content(&o, f, event);
    c->started = true;
    return api_out_end(&o);
}

static enum base_err chat_end(struct format *f, struct base_buf *out)
{
    struct api_out o = api_out_begin(out);
    for (uint32_t i = 0; i < f->made; i++) {
        format_chunk_begin(&o, f, CHUNK);
        out_index(&o, i);
        api_out_raw(&o, ",\"delta\":{},\"logprobs\":null,");
        format_reasons(&o, f, &f->choices[i]);
        api_out_raw(&o, "}");
        format_chunk_end(&o, f);
    }
    format_stream_end(&o, f, CHUNK);
    return api_out_end(&o);
}

static enum base_err chat_collect(struct format *f, const struct valet_event *event)
{
    struct format_choice *c = &f->choices[event->choice];
    if (event->type != VALET_EVENT_TOKEN)
        return OK;
    enum base_err rc = buf_append(&c->text, event->text, event->text_len);
    struct api_out ids = api_out_begin(&c->ids);
    if (!rc && f->token_ids && format_has_token(event)) {
        format_comma(&ids, &c->ids);
        api_out_int(&ids, event->id);
        rc = api_out_end(&ids);
    }
    struct api_out content = api_out_begin(&c->parts[0]);
    if (!rc && f->logprobs && format_has_token(event)) {
        format_comma(&content, &c->parts[0]);
        logprobs_chat_entry(&content, f->tokenizer, event);
        rc = api_out_end(&content);
    }
    return rc;
}

static void out_choice(struct api_out *o, const struct format *f, uint32_t index)
{
    const struct format_choice *c = &f->choices[index];
    out_index(o, index);
    api_out_raw(o, ",\"message\":{\"role\":\"assistant\",\"content\":");
    api_out_string(o, c->text.data, c->text.len);
    api_out_raw(o, ",\"refusal\":null},\"logprobs\":");
    if (f->logprobs) {
        api_out_raw(o, "{\"content\":[");
        api_out_bytes(o, c->parts[0].data, c->parts[0].len);
        api_out_raw(o, "],\"refusal\":null}");
    } else {
        api_out_raw(o, "null");
    }
    api_out_raw(o, ",");
    format_reasons(o, f, c);
    if (f->token_ids) {
        api_out_raw(o, ",\"token_ids\":[");
        api_out_bytes(o, c->ids.data, c->ids.len);
        api_out_raw(o, "]");
    }
    api_out_raw(o, "}");
}

static enum base_err chat_whole(struct format *f, struct base_buf *out)
{
    struct api_out o = api_out_begin(out);
    format_head(&o, f, "chat.completion");
    if (!f->service_tier)
        api_out_raw(&o, ",\"service_tier\":\"default\"");
    api_out_raw(&o, ",\"choices\":[");
    for (uint32_t i = 0; i < f->made; i++) {
        if (i)
            api_out_raw(&o, ",");
        out_choice(&o, f, i);
    }
    api_out_raw(&o, "],\"usage\":");
    format_usage(&o, f);
    api_out_raw(&o, "}");
    return api_out_end(&o);
}

const struct format_kind chat_kind = {
    .id_prefix = "chatcmpl-",
    .length_field = "max_completion_tokens",
    .event = chat_event,
    .end = chat_end,
    .collect = chat_collect,
    .whole = chat_whole,
};
