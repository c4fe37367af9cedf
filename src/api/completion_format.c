/*
 * Events to text_completion objects. With echo the prompt's text comes first: as a whole
 * when a choice starts, or token by token where its logprobs are asked for.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "api/format.h"
#include "api/logprobs.h"

#define OBJECT "text_completion"

enum part {
    PART_TOKENS,
    PART_VALUES,
    PART_TOPS,
    PART_OFFSETS
};
static_assert((int)PART_OFFSETS + 1 == (int)FORMAT_PARTS, "one list for each");

static const char *const g_part_names[FORMAT_PARTS] = { "tokens", "token_logprobs", "top_logprobs",
                                                        "text_offset" };

/* What one event adds to its choice. */
struct addition {
    const char *text;
    size_t len;
    bool logprobs;  /* of the event's token */
    int64_t offset; /* of that token, in characters */
};

static int64_t count_chars(const char *text, size_t len)
{
    int64_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* A token of the prompt; its text may be held back until its last character is whole. */
static void add_prompt_token(struct format *f, struct format_choice *c,
                             const struct format_prompt *prompt, const struct valet_event *event,
                             struct addition *out)
{
    bool hidden = c->prompt_seen == 0 && prompt->hide_first;
    c->prompt_seen++;
    if (!hidden)
        out->len = tokenizer_decode(&c->decoder, event->id, f->piece);
    if (c->prompt_seen == prompt->count)
        out->len += tokenizer_decode_end(&c->decoder, f->piece + out->len);
    out->text = f->piece;
    c->chars += count_chars(out->text, out->len);
}

/* Generated text is decoded behind the prompt's, as it comes in the events. */
static void decoder_restart(const struct format *f, struct format_choice *c)
{
    tokenizer_decoder_init(&c->decoder, f->tokenizer, false);
    c->decoder.at_start = !c->continues;
}

/* The place of a token is counted in the text of the tokens, not in what was released. */
static void add_token(struct format *f, struct format_choice *c, const struct valet_event *event)
{
    if (!f->logprobs || !format_has_token(event))
        return;
    size_t len = tokenizer_decode(&c->decoder, event->id, f->piece);
    c->chars += count_chars(f->piece, len);
}

static struct addition addition_make(struct format *f, const struct valet_event *event)
{
    struct format_choice *c = &f->choices[event->choice];
    const struct format_prompt *prompt = f->prompts ? &f->prompts[event->choice / f->made] : NULL;
    struct addition a = { .text = event->text, .len = event->text_len, .offset = c->chars };
    a.logprobs = f->logprobs && (event->type == VALET_EVENT_PROMPT || format_has_token(event));
    if (event->type != VALET_EVENT_TOKEN)
        a.len = 0;
    if (event->type == VALET_EVENT_PROMPT && prompt) {
        add_prompt_token(f, c, prompt, event, &a);
        if (c->prompt_seen == prompt->count)
            decoder_restart(f, c);
    } else if (event->type == VALET_EVENT_START && prompt && !f->prompt_events) {
        a.text = prompt->text;
        a.len = prompt->len;
        c->chars = count_chars(a.text, a.len);
    } else if (event->type == VALET_EVENT_TOKEN) {
        add_token(f, c, event);
    }
    return a;
}

/* One entry of one of the four lists. */
static void out_part(struct api_out *o, const struct format *f, const struct valet_event *event,
                     const struct addition *a, enum part part)
{
    switch (part) {
    case PART_TOKENS:
        logprobs_token(o, f->tokenizer, event->id);
        break;
    case PART_VALUES:
        logprobs_value(o, event);
        break;
    case PART_TOPS:
        logprobs_tops(o, f->tokenizer, event);
        break;
    case PART_OFFSETS:
        api_out_int(o, a->offset);
        break;
    }
}

static void out_part_name(struct api_out *o, int part)
{
    api_out_raw(o, part ? ",\"" : "{\"");
    api_out_raw(o, g_part_names[part]);
    api_out_raw(o, "\":[");
}

static void out_text(struct api_out *o, const char *text, size_t len, uint32_t index)
{
    api_out_raw(o, "{\"text\":");
    api_out_string(o, text, len);
    api_out_raw(o, ",\"index\":");
    api_out_int(o, index);
    api_out_raw(o, ",\"logprobs\":");
}

static enum base_err completion_event(struct format *f, const struct valet_event *event,
                                      struct base_buf *out)
{
    struct addition a = addition_make(f, event);
    bool ids = f->token_ids && format_has_token(event);
    struct api_out o = api_out_begin(out);
    if (!a.len && !a.logprobs && !ids)
        return OK;
    format_chunk_begin(&o, f, OBJECT);
    out_text(&o, a.text, a.len, event->choice);
    for (int part = 0; a.logprobs && part < FORMAT_PARTS; part++) {
        out_part_name(&o, part);
        out_part(&o, f, event, &a, (enum part)part);
        api_out_raw(&o, "]");
    }
    api_out_raw(&o, a.logprobs ? "}" : "null");
    api_out_raw(&o, ",\"finish_reason\":null");
    if (ids) {
        api_out_raw(&o, ",\"token_ids\":[");
        api_out_int(&o, event->id);
        api_out_raw(&o, "]");
    }
    api_out_raw(&o, "}");
    format_chunk_end(&o, f);
    return api_out_end(&o);
}

static enum base_err completion_end(struct format *f, struct base_buf *out)
{
    struct api_out o = api_out_begin(out);
    for (uint32_t i = 0; i < f->prompt_count * f->made; i++) {
        format_chunk_begin(&o, f, OBJECT);
        out_text(&o, "", 0, i);
        api_out_raw(&o, "null,");
        format_reasons(&o, f, &f->choices[i]);
        api_out_raw(&o, "}");
        format_chunk_end(&o, f);
    }
    format_stream_end(&o, f, OBJECT);
    return api_out_end(&o);
}

static enum base_err completion_collect(struct format *f, const struct valet_event *event)
{
    struct format_choice *c = &f->choices[event->choice];
    struct addition a = addition_make(f, event);
    enum base_err rc = buf_append(&c->text, a.text, a.len);
    for (int part = 0; !rc && a.logprobs && part < FORMAT_PARTS; part++) {
        struct api_out o = api_out_begin(&c->parts[part]);
        format_comma(&o, &c->parts[part]);
        out_part(&o, f, event, &a, (enum part)part);
        rc = api_out_end(&o);
    }
    if (!rc && f->token_ids && format_has_token(event)) {
        struct api_out o = api_out_begin(&c->ids);
        format_comma(&o, &c->ids);
        api_out_int(&o, event->id);
        rc = api_out_end(&o);
    }
    return rc;
}

/* ---- the whole answer ---- */

static double mean_logprob(const struct format_choice *c)
{
    double mean = c->generated ? c->logprob_sum / c->generated : 0;
    return isnan(mean) ? -INFINITY : mean;
}

/* The best choice of those from `first` on that were not taken; equal ones by their order. */
static uint32_t best_choice(const struct format *f, uint32_t first,
                            const bool taken[PARAMS_TASKS_MAX])
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = first; i < first + f->made; i++) {
        if (!taken[i] &&
            (best == UINT32_MAX || mean_logprob(&f->choices[i]) > mean_logprob(&f->choices[best])))
            best = i;
    }
    return best;
}

static void out_choice(struct api_out *o, const struct format *f, const struct format_choice *c,
                       uint32_t index)
{
    out_text(o, c->text.data, c->text.len, index);
    for (int part = 0; f->logprobs && part < FORMAT_PARTS; part++) {
        out_part_name(o, part);
        api_out_bytes(o, c->parts[part].data, c->parts[part].len);
        api_out_raw(o, "]");
    }
    api_out_raw(o, f->logprobs ? "}," : "null,");
    format_reasons(o, f, c);
    if (f->token_ids) {
        api_out_raw(o, ",\"token_ids\":[");
        api_out_bytes(o, c->ids.data, c->ids.len);
        api_out_raw(o, "]");
    }
    api_out_raw(o, "}");
}

static enum base_err completion_whole(struct format *f, struct base_buf *out)
{
    bool taken[PARAMS_TASKS_MAX] = { false };
    bool ranked = f->made > f->shown;
    struct api_out o = api_out_begin(out);
    format_head(&o, f, OBJECT);
    api_out_raw(&o, ",\"choices\":[");
    for (uint32_t i = 0; i < f->prompt_count * f->shown; i++) {
        uint32_t first = i / f->shown * f->made;
        uint32_t from = ranked ? best_choice(f, first, taken) : i;
        taken[from] = true;
        if (i)
            api_out_raw(&o, ",");
        out_choice(&o, f, &f->choices[from], i);
    }
    api_out_raw(&o, "],\"usage\":");
    format_usage(&o, f);
    api_out_raw(&o, "}");
    return api_out_end(&o);
}

const struct format_kind completion_kind = {
    .id_prefix = "cmpl-",
    .length_field = "max_tokens",
    .event = completion_event,
    .end = completion_end,
    .collect = completion_collect,
    .whole = completion_whole,
};
