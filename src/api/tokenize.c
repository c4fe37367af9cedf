/* POST /tokenize, /detokenize, /apply-template: what the model would read, without running it. */
#include "api/api_int.h"
#include "api/chat_parse.h"
#include "api/json.h"
#include "api/json_out.h"
#include "api/prompt.h"
#include "base/mem.h"
#include "base/text.h"

enum {
    TOKENS_MAX = 4 << 20,
    TEXT_BYTES_MAX = 256 << 20,
    DECODE_END_BYTES = 16 /* what a decoder may still hold */
};

/* What all three bodies have in common. */
static enum base_err check_body(struct api_call *call, const struct api_object *body,
                                enum params_route route)
{
    const char *name = NULL;
    size_t len = 0;
    size_t unknown_count = 0;
    enum base_err rc = api_field_string(body, "model", &name, &len);
    if (!rc)
        rc = params_parse_rest(body, route, &unknown_count);
    if (!rc)
        rc = api_check_model(call, name, len, body->error);
    call->api->stats.unknown_fields += unknown_count;
    return rc;
}

/* Sends what was written, or why it could not be. */
static enum base_err reply(struct api_call *call, struct api_out *o, struct api_error *error)
{
    enum base_err rc = api_out_end(o);
    if (rc == E_TOO_BIG)
        return api_error_set(error, API_INTERNAL, NULL, "the answer is larger than %d MiB",
                             TEXT_BYTES_MAX >> 20);
    if (rc)
        return api_error_nomem(error);
    api_reply_bytes(call->api, &call->peer, 200, "application/json", o->buf);
    return OK;
}

/* ---- /apply-template ---- */

static enum base_err chat_spans(const struct api *api, const struct api_object *body,
                                struct arena *scratch, struct template_span **spans, size_t *count)
{
    struct chat_prompt chat = { 0 };
    enum base_err rc = chat_parse_prompt(body, scratch, &chat);
    if (!rc)
        rc = api_field_bool(body, "add_generation_prompt", &chat.add_generation_prompt);
    return rc ? rc : render_chat(&api->render, &chat, scratch, spans, count, body->error);
}

static enum base_err apply_template_run(struct api_call *call, const json_t *json,
                                        struct arena *scratch, struct api_error *error)
{
    struct api_object body = { .json = json, .error = error };
    struct template_span *spans;
    struct base_buf text;
    struct base_buf out;
    size_t count;
    enum base_err rc = check_body(call, &body, PARAMS_TEMPLATE);
    if (!rc)
        rc = chat_spans(call->api, &body, scratch, &spans, &count);
    if (rc)
        return rc;
    buf_init(&text, MEM_API, TEXT_BYTES_MAX);
    buf_init(&out, MEM_API, TEXT_BYTES_MAX);
    struct api_out o = api_out_begin(&out);
    for (size_t i = 0; i < count && !o.rc; i++)
        o.rc = buf_append(&text, spans[i].data, spans[i].len);
    api_out_raw(&o, "{\"prompt\":");
    api_out_string(&o, text.data, text.len);
    api_out_raw(&o, "}");
    rc = reply(call, &o, error);
    buf_fini(&text);
    buf_fini(&out);
    return rc;
}

void api_apply_template_post(struct api_call *call)
{
    api_body_run(call, apply_template_run);
}

/* ---- /tokenize ---- */

/* What is to be tokenised. */
struct source {
    const char *field; /* it came from */
    const struct template_span *spans;
    size_t count;
    bool is_chat;
};

static enum base_err source_text(const struct api_object *body, const char *field,
                                 struct arena *scratch, struct source *out)
{
    bool special = true;
    const char *text = NULL;
    size_t len = 0;
    struct template_span *span = arena_calloc(scratch, 1, sizeof *span);
    enum base_err rc = span ? OK : api_error_nomem(body->error);
    if (!rc)
        rc = api_field_string(body, field, &text, &len);
    if (!rc)
        rc = api_field_bool(body, "parse_special", &special);
    if (rc)
        return rc;
    *span = (struct template_span){ text, len, special };
    *out = (struct source){ .field = field, .spans = span, .count = len ? 1 : 0 };
    return OK;
}

/* One of "prompt", "content" and "messages", in this order. */
static enum base_err source_find(const struct api *api, const struct api_object *body,
                                 struct arena *scratch, struct source *out)
{
    struct template_span *spans;
    if (api_field(body, "prompt"))
        return source_text(body, "prompt", scratch, out);
    if (api_field(body, "content"))
        return source_text(body, "content", scratch, out);
    if (!api_field(body, "messages"))
        return api_field_missing(body, "prompt");
    enum base_err rc = chat_spans(api, body, scratch, &spans, &out->count);
    out->field = "messages";
    out->spans = spans;
    out->is_chat = true;
    return rc;
}

/* The text of a token, or its bytes where they are no whole characters. */
static void out_piece(struct api_out *o, struct tokenizer_text text)
{
    if (utf8_is_valid(text.data, text.len)) {
        api_out_string(o, text.data, text.len);
        return;
    }
    api_out_raw(o, "[");
    for (size_t i = 0; i < text.len; i++) {
        if (i)
            api_out_raw(o, ",");
        api_out_int(o, (unsigned char)text.data[i]);
    }
    api_out_raw(o, "]");
}

static void out_ids(struct api_out *o, const struct tokenizer_ids *ids, int32_t bos)
{
    api_out_raw(o, "\"tokens\":[");
    if (bos >= 0)
        api_out_int(o, bos);
    for (size_t i = 0; i < ids->count; i++) {
        if (i || bos >= 0)
            api_out_raw(o, ",");
        api_out_int(o, ids->ids[i]);
    }
    api_out_raw(o, "]");
}

static void out_pieces(struct api_out *o, const struct tokenizer *t,
                       const struct tokenizer_ids *ids, int32_t bos)
{
    api_out_raw(o, ",\"pieces\":[");
    if (bos >= 0)
        out_piece(o, tokenizer_bytes(t, bos));
    for (size_t i = 0; i < ids->count; i++) {
        if (i || bos >= 0)
            api_out_raw(o, ",");
        out_piece(o, tokenizer_bytes(t, ids->ids[i]));
    }
    api_out_raw(o, "]");
}

/* `bos`: comes in front of the ids; -1: none. */
static void out_tokens(struct api_out *o, const struct api_model *model,
                       const struct tokenizer_ids *ids, int32_t bos, bool pieces)
{
    api_out_raw(o, "{");
    out_ids(o, ids, bos);
    api_out_raw(o, ",\"count\":");
    api_out_int(o, (int64_t)ids->count + (bos >= 0));
    api_out_raw(o, ",\"max_model_len\":");
    api_out_int(o, model->context);
    if (pieces)
        out_pieces(o, model->tokenizer, ids, bos);
    api_out_raw(o, "}");
}

/*
 * With marks a text gets BOS and EOS as the vocabulary asks for, and a chat BOS alone, as it
 * is sent to the model.
 */
static enum base_err tokenize(struct api_call *call, const struct api_object *body,
                              const struct source *source, struct tokenizer_ids *ids)
{
    const struct api_model *model = &call->api->options.model;
    bool marks = true;
    bool pieces = false;
    struct base_buf out;
    enum base_err rc = api_field_bool(body, "add_special", &marks);
    if (!rc)
        rc = api_field_bool(body, "add_special_tokens", &marks);
    if (!rc)
        rc = api_field_bool(body, "with_pieces", &pieces);
    if (!rc)
        rc = prompt_tokens(model, source->field, source->spans, source->count,
                           marks && !source->is_chat, ids, body->error);
    if (rc)
        return rc;
    bool add_bos = marks && source->is_chat && prompt_lacks_bos(model, ids);
    buf_init(&out, MEM_API, TEXT_BYTES_MAX);
    struct api_out o = api_out_begin(&out);
    out_tokens(&o, model, ids, add_bos ? tokenizer_bos(model->tokenizer) : -1, pieces);
    rc = reply(call, &o, body->error);
    buf_fini(&out);
    return rc;
}

static enum base_err tokenize_run(struct api_call *call, const json_t *json, struct arena *scratch,
                                  struct api_error *error)
{
    struct api_object body = { .json = json, .error = error };
    struct source source = { .count = 0 };
    struct tokenizer_ids ids;
    enum base_err rc = check_body(call, &body, PARAMS_TOKENIZE);
    if (!rc)
        rc = source_find(call->api, &body, scratch, &source);
    if (rc)
        return rc;
    tokenizer_ids_init(&ids, TOKENS_MAX);
    rc = tokenize(call, &body, &source, &ids);
    tokenizer_ids_fini(&ids);
    return rc;
}

void api_tokenize_post(struct api_call *call)
{
    api_body_run(call, tokenize_run);
}

/* ---- /detokenize ---- */

/* The text of the ids, control tokens included. */
static enum base_err decode(const struct tokenizer *t, const int32_t *ids, size_t count,
                            struct arena *scratch, struct base_buf *out)
{
    struct tokenizer_decoder d;
    char *piece = arena_alloc(scratch, tokenizer_piece_bytes_max(t) + DECODE_END_BYTES);
    enum base_err rc = piece ? OK : E_NOMEM;
    tokenizer_decoder_init(&d, t, true);
    for (size_t i = 0; !rc && i < count; i++)
        rc = buf_append(out, piece, tokenizer_decode(&d, ids[i], piece));
    return rc ? rc : buf_append(out, piece, tokenizer_decode_end(&d, piece));
}

static enum base_err detokenize_run(struct api_call *call, const json_t *json,
                                    struct arena *scratch, struct api_error *error)
{
    struct api_object body = { .json = json, .error = error };
    struct api_path path = { .key = "tokens" };
    const struct tokenizer *t = call->api->options.model.tokenizer;
    const json_t *tokens = api_field(&body, "tokens");
    size_t count = json_array_size(tokens);
    enum base_err rc = check_body(call, &body, PARAMS_DETOKENIZE);
    if (rc)
        return rc;
    if (!tokens)
        return api_field_missing(&body, "tokens");
    if (!json_is_array(tokens))
        return api_field_wrong(&body, "tokens", "an array of token ids");
    int32_t *ids = arena_calloc(scratch, count ? count : 1, sizeof *ids);
    if (!ids)
        return api_error_nomem(error);
    rc = api_array_ids(tokens, &path, tokenizer_count(t), ids, error);
    if (rc)
        return rc;
    struct base_buf text;
    struct base_buf out;
    buf_init(&text, MEM_API, TEXT_BYTES_MAX);
    buf_init(&out, MEM_API, TEXT_BYTES_MAX);
    struct api_out o = api_out_begin(&out);
    o.rc = decode(t, ids, count, scratch, &text);
    api_out_raw(&o, "{\"prompt\":");
    api_out_string(&o, text.data, text.len);
    api_out_raw(&o, ",\"content\":");
    api_out_string(&o, text.data, text.len);
    api_out_raw(&o, "}");
    rc = reply(call, &o, error);
    buf_fini(&text);
    buf_fini(&out);
    return rc;
}

void api_detokenize_post(struct api_call *call)
{
    api_body_run(call, detokenize_run);
}
