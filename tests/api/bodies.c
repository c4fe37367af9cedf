#include "bodies.h"

#include <check.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "letters.h"

struct api_model body_model(bool add_bos, int32_t context)
{
    return (struct api_model){
        .id = "m", .fingerprint = "b0", .context = context, .tokenizer = letters_create(add_bos)
    };
}

void body_check(const struct body_row *row, const char *prefix, body_parse_fn parse)
{
    struct base_buf body;
    struct base_buf read;
    struct api_error error;
    buf_init(&body, MEM_API, 1 << 16);
    buf_init(&read, MEM_API, 1 << 16);
    buf_printf(&body, "%s%s", row->body[0] == ',' || row->body[0] == '}' ? prefix : "", row->body);
    enum base_err rc = parse(body.data, body.len, &read, &error);
    if (row->code) {
        ck_assert_msg(rc == E_INVALID, "%s was accepted: %s", body.data, read.data);
        ck_assert_msg(strcmp(api_error_name(error.code), row->code) == 0, "%s: %s", body.data,
                      error.message);
        ck_assert_int_eq(api_error_status(error.code), 400);
        ck_assert_str_eq(error.param, row->param ? row->param : "");
        ck_assert_msg(!row->has || strstr(error.message, row->has), "%s", error.message);
    } else {
        ck_assert_msg(rc == OK, "%s was refused: %s", body.data, error.message);
        ck_assert_msg(strstr(read.data, row->has) != NULL, "%s: %s", body.data, read.data);
    }
    buf_fini(&body);
    buf_fini(&read);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static void describe_sampling(const struct valet_sampling *s, struct base_buf *out)
{
    buf_printf(out, "t=%g p=%g k=%d minp=%g typ=%g sigma=%g xtc=%g/%g ", (double)s->temperature,
               (double)s->top_p, s->top_k, (double)s->min_p, (double)s->typical_p,
               (double)s->top_n_sigma, (double)s->xtc_probability, (double)s->xtc_threshold);
    buf_printf(out, "pres=%g freq=%g rep=%g/%d ", (double)s->presence_penalty,
               (double)s->frequency_penalty, (double)s->repetition_penalty, s->repeat_last_n);
    buf_printf(out, "dry=%g/%g/%d/%d breakers=%u", (double)s->dry_multiplier, (double)s->dry_base,
               s->dry_allowed_length, s->dry_last_n, s->dry_breaker_count);
    for (uint32_t i = 0; i < s->dry_breaker_count; i++)
        buf_printf(out, "[%d]", s->dry_breakers[i]);
    buf_printf(out, " miro=%d/%g/%g bias=%u", s->mirostat, (double)s->mirostat_tau,
               (double)s->mirostat_eta, s->bias_count);
    for (uint32_t i = 0; i < s->bias_count; i++)
        buf_printf(out, "[%d:%g]", s->bias[i].id, (double)s->bias[i].bias);
}

void body_describe(const struct api_params *p, struct base_buf *out)
{
    buf_printf(out, "model=%.*s max=%d ", (int)p->model_len, p->model ? p->model : "", p->max_new);
    describe_sampling(&p->sampling, out);
    if (p->seeded)
        buf_printf(out, " seed=%" PRIu64 " ", p->sampling.seed);
    else
        buf_printf(out, " seed=none ");
    buf_printf(out, "stops=%u", p->stop_count);
    for (uint32_t i = 0; i < p->stop_count; i++)
        buf_printf(out, "[%.*s]", (int)p->stops[i].len, p->stops[i].text);
    buf_printf(out, " ids=%u", p->stop_id_count);
    for (uint32_t i = 0; i < p->stop_id_count; i++)
        buf_printf(out, "[%d]", p->stop_ids[i]);
    buf_printf(out, " min=%d ignore=%d include=%d salt=%d n=%u best=%u logprobs=%d/%d ids_too=%d",
               p->min_tokens, p->ignore_eos, p->include_stop, p->cache_salt != 0, p->n, p->best_of,
               p->logprobs, p->top_logprobs, p->token_ids);
    buf_printf(out, " class=%s tier=%d", park_class_name(p->klass), p->tier);
    buf_printf(out, " echo=%d continues=%d stream=%d usage=%d/%d unknown=%zu", p->echo,
               p->continues, p->stream, p->include_usage, p->continuous_usage, p->unknown_count);
}
