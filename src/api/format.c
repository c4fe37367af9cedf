#include "api/format.h"

#include <string.h>

#include "api/json.h"

enum {
    COLLECT_BYTES_MAX = 128 << 20 /* of all choices of a plain answer */
};

/* ---- life ---- */

static void choices_init(struct format *f, const struct api_job *job)
{
    for (uint32_t i = 0; i < f->prompt_count * f->made; i++) {
        struct format_choice *c = &f->choices[i];
        c->continues = job->requests[i / f->made].continues;
        c->last_id = -1;
        tokenizer_decoder_init(&c->decoder, f->tokenizer, f->prompt_events);
        c->decoder.at_start = f->prompt_events || !c->continues;
        buf_init(&c->text, MEM_API, COLLECT_BYTES_MAX);
        buf_init(&c->ids, MEM_API, COLLECT_BYTES_MAX);
        for (int k = 0; k < FORMAT_PARTS; k++)
            buf_init(&c->parts[k], MEM_API, COLLECT_BYTES_MAX);
    }
}

static bool stops_copy(struct format *f, const struct api_params *params)
{
    struct valet_stop *stops =
        arena_calloc(&f->arena, params->stop_count ? params->stop_count : 1, sizeof *stops);
    for (uint32_t i = 0; stops && i < params->stop_count; i++) {
        stops[i].len = params->stops[i].len;
        stops[i].text = arena_strndup(&f->arena, params->stops[i].text, stops[i].len);
        if (!stops[i].text)
            return false;
    }
    f->stops = stops;
    f->stop_count = params->stop_count;
    return stops != NULL;
}

/* The text of a prompt, control tokens included; left out where it comes in events. */
static bool prompt_text(struct format *f, const struct api_prompt *prompt,
                        struct format_prompt *out)
{
    struct tokenizer_decoder d;
    struct base_buf text;
    tokenizer_decoder_init(&d, f->tokenizer, true);
    buf_init(&text, MEM_API, COLLECT_BYTES_MAX);
    enum base_err rc = OK;
    for (size_t i = prompt->bos_added; !rc && !f->prompt_events && i < prompt->count; i++)
        rc = buf_append(&text, f->piece, tokenizer_decode(&d, prompt->ids[i], f->piece));
    if (!rc)
        rc = buf_append(&text, f->piece, tokenizer_decode_end(&d, f->piece));
    out->len = text.len;
    out->text = rc ? NULL : arena_strndup(&f->arena, text.data, text.len);
    out->count = (int32_t)prompt->count;
    out->hide_first = prompt->bos_added;
    buf_fini(&text);
    return out->text != NULL;
}

static bool prompts_copy(struct format *f, const struct api_params *params,
                         const struct api_prompt *prompts)
{
    if (!params->echo)
        return true;
    struct format_prompt *copy = arena_calloc(&f->arena, f->prompt_count, sizeof *copy);
    for (uint32_t i = 0; copy && i < f->prompt_count; i++) {
        if (!prompt_text(f, &prompts[i], &copy[i]))
            return false;
    }
    f->prompts = copy;
    return copy != NULL;
}

enum base_err format_init(struct format *f, const struct api_model *model,
                          const struct api_params *params, const struct api_prompt *prompts,
                          const struct api_job *job)
{
    *f = (struct format){
        .model = model->id,
        .fingerprint = model->fingerprint,
        .tokenizer = model->tokenizer,
        .include_usage = params->include_usage,
        .continuous_usage = params->continuous_usage,
        .logprobs = params->logprobs,
        .token_ids = params->token_ids,
        .prompt_events = job->requests[0].prompt_logprobs,
        .prompt_count = job->request_count,
        .made = job->choices,
        .shown = params->n,
    };
    for (uint32_t i = 0; i < f->prompt_count; i++)
        f->prompt_tokens += job->requests[i].prompt_count;
    uint32_t count = f->prompt_count * f->made;
    arena_init(&f->arena, MEM_API, COLLECT_BYTES_MAX);
    f->choices = arena_calloc(&f->arena, count, sizeof *f->choices);
    f->piece = arena_alloc(&f->arena, tokenizer_piece_bytes_max(model->tokenizer) + 16);
    if (!f->choices || !f->piece || !stops_copy(f, params) || !prompts_copy(f, params, prompts)) {
        arena_fini(&f->arena);
        f->choices = NULL;
        return E_NOMEM;
    }
    choices_init(f, job);
    return OK;
}

void format_fini(struct format *f)
{
    for (uint32_t i = 0; f->choices && i < f->prompt_count * f->made; i++) {
        struct format_choice *c = &f->choices[i];
        buf_fini(&c->text);
        buf_fini(&c->ids);
        for (int k = 0; k < FORMAT_PARTS; k++)
            buf_fini(&c->parts[k]);
    }
    arena_fini(&f->arena);
    f->choices = NULL;
}

/* ---- state ---- */

bool format_has_token(const struct valet_event *event)
{
    return event->type == VALET_EVENT_TOKEN && event->id >= 0;
}

static bool event_is_sound(const struct format *f, const struct valet_event *event)
{
    int32_t token_count = tokenizer_count(f->tokenizer);
    if (event->choice >= f->prompt_count * f->made || event->id >= token_count)
        return false;
    if (event->type == VALET_EVENT_PROMPT && event->id < 0)
        return false;
    for (uint32_t i = 0; i < event->top_count; i++) {
        if (event->top[i].id < 0 || event->top[i].id >= token_count)
            return false;
    }
    return true;
}

enum base_err format_note(struct format *f, const struct valet_event *event)
{
    if (!event_is_sound(f, event))
        return E_CORRUPT;
    struct format_choice *c = &f->choices[event->choice];
    if (event->type == VALET_EVENT_START)
        c->cached = event->cached;
    if (event->type != VALET_EVENT_TOKEN)
        return OK;
    c->generated = event->generated;
    if (event->id >= 0) {
        c->last_id = event->id;
        c->logprob_sum += (double)event->logprob;
    }
    if (event->finish != VALET_FINISH_NONE) {
        c->finish = event->finish;
        c->stop_kind = event->stop_kind;
        c->stop_index = event->stop_index;
    }
    return OK;
}

static size_t choice_bytes(const struct format_choice *c)
{
    size_t bytes = c->text.len + c->ids.len;
    for (int k = 0; k < FORMAT_PARTS; k++)
        bytes += c->parts[k].len;
    return bytes;
}

enum base_err format_collect(struct format *f, const struct format_kind *kind,
                             const struct valet_event *event)
{
    const struct format_choice *c = &f->choices[event->choice];
    size_t before = choice_bytes(c);
    enum base_err rc = kind->collect(f, event);
    f->collected += choice_bytes(c) - before;
    return !rc && f->collected > COLLECT_BYTES_MAX ? E_TOO_BIG : rc;
}

bool format_is_complete(const struct format *f)
{
    for (uint32_t i = 0; i < f->prompt_count * f->made; i++) {
        if (f->choices[i].finish == VALET_FINISH_NONE)
            return false;
    }
    return true;
}

/* ---- parts ---- */

const char *format_finish(enum valet_finish finish)
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

void format_head(struct api_out *o, const struct format *f, const char *object)
{
    api_out_raw(o, "{\"id\":");
    api_out_str(o, f->id);
    api_out_raw(o, ",\"object\":");
    api_out_str(o, object);
    api_out_raw(o, ",\"created\":");
    api_out_int(o, f->created);
    api_out_raw(o, ",\"model\":");
    api_out_str(o, f->model);
    api_out_raw(o, ",\"system_fingerprint\":");
    api_out_str(o, f->fingerprint);
    if (!f->service_tier)
        return;
    api_out_raw(o, ",\"service_tier\":");
    api_out_str(o, f->service_tier);
}

void format_usage(struct api_out *o, const struct format *f)
{
    int64_t generated = 0;
    int64_t cached = 0;
    for (uint32_t i = 0; i < f->prompt_count * f->made; i++) {
        generated += f->choices[i].generated;
        /* further choices find what the first one computed: that is no saving */
        cached += i % f->made ? 0 : f->choices[i].cached;
    }
    api_out_raw(o, "{\"prompt_tokens\":");
    api_out_int(o, f->prompt_tokens);
    api_out_raw(o, ",\"completion_tokens\":");
    api_out_int(o, generated);
    api_out_raw(o, ",\"total_tokens\":");
    api_out_int(o, f->prompt_tokens + generated);
    api_out_raw(o, ",\"prompt_tokens_details\":{\"cached_tokens\":");
    api_out_int(o, cached);
    api_out_raw(o, "},\"completion_tokens_details\":{\"reasoning_tokens\":0}}");
}

void format_reasons(struct api_out *o, const struct format *f, const struct format_choice *c)
{
    api_out_raw(o, "\"finish_reason\":");
    api_out_str(o, format_finish(c->finish));
    api_out_raw(o, ",\"stop_reason\":");
    if (c->stop_kind == VALET_STOP_ID)
        api_out_int(o, c->last_id);
    else if (c->stop_kind == VALET_STOP_STRING && c->stop_index < f->stop_count)
        api_out_string(o, f->stops[c->stop_index].text, f->stops[c->stop_index].len);
    else
        api_out_raw(o, "null");
}

void format_comma(struct api_out *o, const struct base_buf *list)
{
    if (list->len)
        api_out_raw(o, ",");
}

/* ---- frames ---- */

void format_chunk_begin(struct api_out *o, const struct format *f, const char *object)
{
    api_out_raw(o, "data: ");
    format_head(o, f, object);
    api_out_raw(o, ",\"choices\":[");
}

void format_chunk_end(struct api_out *o, const struct format *f)
{
    api_out_raw(o, "]");
    if (f->continuous_usage) {
        api_out_raw(o, ",\"usage\":");
        format_usage(o, f);
    } else if (f->include_usage) {
        api_out_raw(o, ",\"usage\":null");
    }
    api_out_raw(o, "}\n\n");
}

void format_stream_end(struct api_out *o, const struct format *f, const char *object)
{
    if (f->include_usage) {
        format_chunk_begin(o, f, object);
        api_out_raw(o, "],\"usage\":");
        format_usage(o, f);
        api_out_raw(o, "}\n\n");
    }
    api_out_raw(o, "data: [DONE]\n\n");
}

enum base_err format_error(const struct api_error *error, struct base_buf *out)
{
    struct api_out o = api_out_begin(out);
    json_t *json = api_error_json(error, false);
    api_out_raw(&o, "data: ");
    if (!o.rc)
        o.rc = api_json_write(json, out);
    api_out_raw(&o, "\n\ndata: [DONE]\n\n");
    json_decref(json);
    return api_out_end(&o);
}
