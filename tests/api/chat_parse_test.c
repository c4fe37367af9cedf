#include "api/chat_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/chat_job.h"
#include "base/buf.h"
#include "base/fault.h"
#include "letters.h"
#include "suite.h"

/* A body that starts with ',' is put behind one user message. */
#define USER "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define MESSAGE(text) "{\"messages\":[" text "]}"
#define CONTENT(text) MESSAGE("{\"role\":\"user\",\"content\":" text "}")

struct row {
    const char *body;
    const char *code;  /* NULL: accepted */
    const char *param; /* NULL: null */
    const char *has;   /* a part of the message, or of the description of what was read */
};

/* What was read, one line, so that a row can name the part it is about. */
static void describe(const struct chat_params *p, struct base_buf *out)
{
    buf_printf(out, "model=%.*s max=%d t=%g p=%g k=%d ", (int)p->model_len,
               p->model ? p->model : "", p->max_new, (double)p->sampling.temperature,
               (double)p->sampling.top_p, p->sampling.top_k);
    if (p->seeded)
        buf_printf(out, "seed=%" PRIu64 " ", p->sampling.seed);
    else
        buf_printf(out, "seed=none ");
    buf_printf(out, "stops=%u", p->stop_count);
    for (uint32_t i = 0; i < p->stop_count; i++)
        buf_printf(out, "[%.*s]", (int)p->stops[i].len, p->stops[i].text);
    buf_printf(out, " stream=%d usage=%d unknown=%zu", p->stream, p->include_usage,
               p->unknown_count);
    for (size_t i = 0; i < p->message_count; i++)
        buf_printf(out, " <%.*s:%.*s>", (int)p->messages[i].role_len, p->messages[i].role,
                   (int)p->messages[i].content_len, p->messages[i].content);
}

static const struct row g_rows[] = {
    /* the body itself */
    { "", "invalid_json", NULL, "line 1" },
    { "{", "invalid_json", NULL, "line 1, column 1" },
    { "[]", "invalid_json", NULL, "expected a JSON object" },
    { "\"x\"", "invalid_json", NULL, "line 1" },
    { USER ",\n\n  \"n\":}", "invalid_json", NULL, "line 3, column 7" },
    { USER "} x", "invalid_json", NULL, "line 1" },
    { USER ",\"n\":1,\"n\":1}", "invalid_json", NULL, "duplicate" },
    { CONTENT("\"\xff\""), "invalid_json", NULL, "line 1" },
    { CONTENT("\"\xc3\""), "invalid_json", NULL, "line 1" },
    { CONTENT("\"\\ud800\""), "invalid_json", NULL, "line 1" },
    { USER ",\"seed\":99999999999999999999}", "invalid_json", NULL, "line 1" },

    /* messages */
    { "{}", "missing_required_parameter", "messages", "messages: required" },
    { "{\"messages\":null}", "missing_required_parameter", "messages", "required" },
    { "{\"messages\":[]}", "invalid_value", "messages", "got []" },
    { "{\"messages\":{}}", "invalid_value", "messages", "got {}" },
    { "{\"messages\":\"hi\"}", "invalid_value", "messages", "got \"hi\"" },
    { MESSAGE("1"), "invalid_value", "messages[0]", "got 1" },
    { MESSAGE("null"), "invalid_value", "messages[0]", "got null" },
    { MESSAGE("{}"), "missing_required_parameter", "messages[0].role", NULL },
    { MESSAGE("{\"role\":1}"), "invalid_value", "messages[0].role", "got 1" },
    { MESSAGE("{\"role\":\"root\",\"content\":\"\"}"), "invalid_value", "messages[0].role",
      "messages[0].role: expected system, developer, user, assistant or tool, got \"root\"" },
    { MESSAGE("{\"role\":\"user\"}"), "missing_required_parameter", "messages[0].content", NULL },
    { CONTENT("null"), "missing_required_parameter", "messages[0].content", NULL },
    { CONTENT("1"), "invalid_value", "messages[0].content", "got 1" },
    { CONTENT("{}"), "invalid_value", "messages[0].content", NULL },
    { CONTENT("[]"), "invalid_value", "messages[0].content", "at least one part" },
    { CONTENT("[1]"), "invalid_value", "messages[0].content[0]", "got 1" },
    { CONTENT("[{}]"), "missing_required_parameter", "messages[0].content[0].type", NULL },
    { CONTENT("[{\"type\":\"text\"}]"), "missing_required_parameter",
      "messages[0].content[0].text", NULL },
    { CONTENT("[{\"type\":\"text\",\"text\":1}]"), "invalid_value",
      "messages[0].content[0].text", "got 1" },
    { CONTENT("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\"}]"),
      "unsupported_parameter", "messages[0].content[1].type", "got \"image_url\"" },
    { CONTENT("[{\"type\":\"smell\"}]"), "invalid_value", "messages[0].content[0].type", NULL },
    { CONTENT("\"\""), NULL, NULL, "<user:>" },
    { CONTENT("\"a\\u0000b\""), NULL, NULL, "<user:a" },
    { CONTENT("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]"), NULL,
      NULL, "<user:ab>" },
    { MESSAGE("{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"},"
              "{\"role\":\"assistant\",\"content\":null},{\"role\":\"tool\",\"content\":\"t\"}"),
      NULL, NULL, "<system:s> <user:u> <assistant:> <tool:t>" },
    { MESSAGE("{\"role\":\"developer\",\"content\":\"d\"}"), NULL, NULL, "<system:d>" },
    { MESSAGE("{\"role\":\"assistant\"}"), NULL, NULL, "<assistant:>" },
    { MESSAGE("{\"role\":\"assistant\",\"tool_calls\":[{}]}"), "unsupported_parameter",
      "messages[0].tool_calls", NULL },
    { MESSAGE("{\"role\":\"assistant\",\"tool_calls\":1}"), "invalid_value",
      "messages[0].tool_calls", NULL },
    { MESSAGE("{\"role\":\"assistant\",\"tool_calls\":[]}"), NULL, NULL, "<assistant:>" },
    { MESSAGE("{\"role\":\"assistant\",\"function_call\":{}}"), "unsupported_parameter",
      "messages[0].function_call", NULL },
    { MESSAGE("{\"role\":\"assistant\",\"audio\":{}}"), "unsupported_parameter",
      "messages[0].audio", NULL },
    { MESSAGE("{\"role\":\"user\",\"content\":\"\",\"name\":1}"), "invalid_value",
      "messages[0].name", NULL },
    { MESSAGE("{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":1}"), "invalid_value",
      "messages[0].tool_call_id", NULL },

    /* model */
    { ",\"model\":\"m\"}", NULL, NULL, "model=m " },
    { ",\"model\":null}", NULL, NULL, "model= " },
    { ",\"model\":7}", "invalid_value", "model", "expected a string, got 7" },

    /* length of the answer */
    { "}", NULL, NULL, "max=0 t=1 p=1 k=0 seed=none stops=0 stream=0 usage=0 unknown=0" },
    { ",\"max_tokens\":5}", NULL, NULL, "max=5 " },
    { ",\"max_tokens\":5.0}", NULL, NULL, "max=5 " },
    { ",\"max_completion_tokens\":2147483647}", NULL, NULL, "max=2147483647 " },
    { ",\"max_completion_tokens\":7,\"max_tokens\":7}", NULL, NULL, "max=7 " },
    { ",\"max_completion_tokens\":7,\"max_tokens\":8}", "invalid_value", "max_tokens",
      "of max_completion_tokens, 7, or none, got 8" },
    { ",\"max_tokens\":0}", "invalid_value", "max_tokens",
      "max_tokens: expected a whole number from 1 to 2147483647, got 0" },
    { ",\"max_tokens\":-1}", "invalid_value", "max_tokens", "got -1" },
    { ",\"max_tokens\":1.5}", "invalid_value", "max_tokens", "got 1.5" },
    { ",\"max_tokens\":\"5\"}", "invalid_value", "max_tokens", "got \"5\"" },
    { ",\"max_completion_tokens\":2147483648}", "invalid_value", "max_completion_tokens", NULL },
    { ",\"max_completion_tokens\":1e300}", "invalid_value", "max_completion_tokens", NULL },

    /* sampling */
    { ",\"temperature\":0}", NULL, NULL, "t=0 " },
    { ",\"temperature\":2}", NULL, NULL, "t=2 " },
    { ",\"temperature\":0.25}", NULL, NULL, "t=0.25 " },
    { ",\"temperature\":2.01}", "invalid_value", "temperature",
      "temperature: expected a number from 0 to 2, got 2.01" },
    { ",\"temperature\":-0.1}", "invalid_value", "temperature", "got -0.1" },
    { ",\"temperature\":\"hot\"}", "invalid_value", "temperature", "got \"hot\"" },
    { ",\"temperature\":true}", "invalid_value", "temperature", "got true" },
    { ",\"top_p\":0.5}", NULL, NULL, "p=0.5 " },
    { ",\"top_p\":1e-60}", NULL, NULL, "p=1.17549e-38 " },
    { ",\"top_p\":0}", "invalid_value", "top_p", "above 0 and up to 1, got 0" },
    { ",\"top_p\":1.1}", "invalid_value", "top_p", NULL },
    { ",\"top_p\":[]}", "invalid_value", "top_p", "got []" },
    { ",\"top_k\":40}", NULL, NULL, "k=40 " },
    { ",\"top_k\":-1}", NULL, NULL, "k=0 " },
    { ",\"top_k\":-2}", "invalid_value", "top_k", NULL },
    { ",\"top_k\":2147483648}", "invalid_value", "top_k", NULL },
    { ",\"top_k\":0.5}", "invalid_value", "top_k", NULL },
    { ",\"seed\":0}", NULL, NULL, "seed=0 " },
    { ",\"seed\":-1}", NULL, NULL, "seed=18446744073709551615 " },
    { ",\"seed\":9223372036854775807}", NULL, NULL, "seed=9223372036854775807 " },
    { ",\"seed\":1.5}", "invalid_value", "seed", NULL },
    { ",\"seed\":\"1\"}", "invalid_value", "seed", NULL },

    /* stop */
    { ",\"stop\":\"END\"}", NULL, NULL, "stops=1[END]" },
    { ",\"stop\":[\"a\",\"b\"]}", NULL, NULL, "stops=2[a][b]" },
    { ",\"stop\":[]}", NULL, NULL, "stops=0 " },
    { ",\"stop\":null}", NULL, NULL, "stops=0 " },
    { ",\"stop\":\"\"}", "invalid_value", "stop", "got \"\"" },
    { ",\"stop\":1}", "invalid_value", "stop", "got 1" },
    { ",\"stop\":[\"a\",\"\"]}", "invalid_value", "stop[1]", NULL },
    { ",\"stop\":[null]}", "invalid_value", "stop[0]", "got null" },
    { ",\"stop\":[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]}", "invalid_value", "stop", "at most 16" },

    /* stream */
    { ",\"stream\":true}", NULL, NULL, "stream=1 usage=0" },
    { ",\"stream\":1}", "invalid_value", "stream", "expected true or false, got 1" },
    { ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", NULL, NULL, "usage=1" },
    { ",\"stream\":true,\"stream_options\":{}}", NULL, NULL, "usage=0" },
    { ",\"stream\":true,\"stream_options\":[]}", "invalid_value", "stream_options", NULL },
    { ",\"stream\":true,\"stream_options\":{\"include_usage\":0}}", "invalid_value",
      "stream_options.include_usage", "got 0" },
    { ",\"stream\":true,\"stream_options\":{\"continuous_usage_stats\":true}}",
      "unsupported_parameter", "stream_options.continuous_usage_stats", NULL },
    { ",\"stream_options\":{\"include_usage\":true}}", "invalid_value", "stream_options", NULL },
    { ",\"stream\":false,\"stream_options\":{}}", "invalid_value", "stream_options", NULL },

    /* n */
    { ",\"n\":1}", NULL, NULL, "max=0" },
    { ",\"n\":1.0}", NULL, NULL, "max=0" },
    { ",\"n\":2}", "unsupported_parameter", "n", "expected 1, got 2" },
    { ",\"n\":128}", "unsupported_parameter", "n", NULL },
    { ",\"n\":129}", "invalid_value", "n", NULL },
    { ",\"n\":0}", "invalid_value", "n", NULL },
    { ",\"n\":\"1\"}", "invalid_value", "n", NULL },

    /* known, and without effect as long as they ask for nothing */
    { ",\"user\":1,\"metadata\":[],\"store\":true,\"safety_identifier\":\"x\"}", NULL, NULL,
      "unknown=0" },
    { ",\"colour\":1,\"smell\":null}", NULL, NULL, "unknown=2" },
    { ",\"tools\":[]}", NULL, NULL, "unknown=0" },
    { ",\"tools\":[{}]}", "unsupported_parameter", "tools", "expected [], got [{}]" },
    { ",\"tools\":{}}", "invalid_value", "tools", NULL },
    { ",\"functions\":[1]}", "unsupported_parameter", "functions", NULL },
    { ",\"tool_choice\":\"auto\"}", NULL, NULL, "unknown=0" },
    { ",\"tool_choice\":\"none\"}", NULL, NULL, "unknown=0" },
    { ",\"tool_choice\":\"required\"}", "unsupported_parameter", "tool_choice", NULL },
    { ",\"tool_choice\":{\"type\":\"function\"}}", "unsupported_parameter", "tool_choice", NULL },
    { ",\"tool_choice\":\"none auto\"}", "invalid_value", "tool_choice", NULL },
    { ",\"tool_choice\":\"aut\"}", "invalid_value", "tool_choice", NULL },
    { ",\"tool_choice\":\"\"}", "invalid_value", "tool_choice", NULL },
    { ",\"tool_choice\":3}", "invalid_value", "tool_choice", NULL },
    { ",\"function_call\":\"auto\"}", NULL, NULL, "unknown=0" },
    { ",\"function_call\":{}}", "unsupported_parameter", "function_call", NULL },
    { ",\"parallel_tool_calls\":true}", NULL, NULL, "unknown=0" },
    { ",\"parallel_tool_calls\":1}", "invalid_value", "parallel_tool_calls", NULL },
    { ",\"response_format\":{\"type\":\"text\"}}", NULL, NULL, "unknown=0" },
    { ",\"response_format\":{\"type\":\"json_object\"}}", "unsupported_parameter",
      "response_format", NULL },
    { ",\"response_format\":{}}", "missing_required_parameter", "response_format.type", NULL },
    { ",\"response_format\":{\"type\":1}}", "invalid_value", "response_format.type", NULL },
    { ",\"response_format\":\"text\"}", "invalid_value", "response_format", NULL },
    { ",\"grammar\":\"x\"}", "unsupported_parameter", "grammar", NULL },
    { ",\"json_schema\":{}}", "unsupported_parameter", "json_schema", NULL },
    { ",\"guided_json\":{}}", "unsupported_parameter", "guided_json", NULL },
    { ",\"guided_regex\":\"x\"}", "unsupported_parameter", "guided_regex", NULL },
    { ",\"logprobs\":false}", NULL, NULL, "unknown=0" },
    { ",\"logprobs\":true}", "unsupported_parameter", "logprobs", NULL },
    { ",\"logprobs\":1}", "invalid_value", "logprobs", NULL },
    { ",\"top_logprobs\":0}", NULL, NULL, "unknown=0" },
    { ",\"top_logprobs\":5}", "unsupported_parameter", "top_logprobs", NULL },
    { ",\"top_logprobs\":21}", "invalid_value", "top_logprobs", NULL },
    { ",\"logit_bias\":{}}", NULL, NULL, "unknown=0" },
    { ",\"logit_bias\":{\"5\":1}}", "unsupported_parameter", "logit_bias", NULL },
    { ",\"logit_bias\":[]}", "invalid_value", "logit_bias", NULL },
    { ",\"presence_penalty\":0,\"frequency_penalty\":0.0}", NULL, NULL, "unknown=0" },
    { ",\"presence_penalty\":0.5}", "unsupported_parameter", "presence_penalty", NULL },
    { ",\"presence_penalty\":-3}", "invalid_value", "presence_penalty", NULL },
    { ",\"frequency_penalty\":-2}", "unsupported_parameter", "frequency_penalty", NULL },
    { ",\"frequency_penalty\":\"0\"}", "invalid_value", "frequency_penalty", NULL },
    { ",\"repetition_penalty\":1,\"repeat_penalty\":1.0,\"repeat_last_n\":64}", NULL, NULL,
      "unknown=0" },
    { ",\"repetition_penalty\":1.1}", "unsupported_parameter", "repetition_penalty", NULL },
    { ",\"repetition_penalty\":0}", "invalid_value", "repetition_penalty", NULL },
    { ",\"repeat_penalty\":1.1}", "unsupported_parameter", "repeat_penalty", NULL },
    { ",\"repeat_last_n\":-2}", "invalid_value", "repeat_last_n", NULL },
    { ",\"min_p\":0.05}", "unsupported_parameter", "min_p", NULL },
    { ",\"min_p\":2}", "invalid_value", "min_p", NULL },
    { ",\"typical_p\":1}", NULL, NULL, "unknown=0" },
    { ",\"typical_p\":0.9}", "unsupported_parameter", "typical_p", NULL },
    { ",\"top_n_sigma\":1}", "unsupported_parameter", "top_n_sigma", NULL },
    { ",\"xtc_probability\":0.5}", "unsupported_parameter", "xtc_probability", NULL },
    { ",\"xtc_threshold\":0.1}", NULL, NULL, "unknown=0" },
    { ",\"dry_multiplier\":0.8}", "unsupported_parameter", "dry_multiplier", NULL },
    { ",\"dry_base\":0}", "invalid_value", "dry_base", NULL },
    { ",\"dry_sequence_breakers\":[\"x\"]}", NULL, NULL, "unknown=0" },
    { ",\"mirostat\":2}", "unsupported_parameter", "mirostat", NULL },
    { ",\"mirostat\":3}", "invalid_value", "mirostat", NULL },
    { ",\"stop_token_ids\":[1]}", "unsupported_parameter", "stop_token_ids", NULL },
    { ",\"min_tokens\":3}", "unsupported_parameter", "min_tokens", NULL },
    { ",\"ignore_eos\":true}", "unsupported_parameter", "ignore_eos", NULL },
    { ",\"include_stop_str_in_output\":true}", "unsupported_parameter",
      "include_stop_str_in_output", NULL },
    { ",\"return_token_ids\":true}", "unsupported_parameter", "return_token_ids", NULL },
    { ",\"reasoning_effort\":\"low\"}", NULL, NULL, "unknown=0" },
    { ",\"reasoning_effort\":\"huge\"}", "invalid_value", "reasoning_effort", NULL },
    { ",\"chat_template_kwargs\":{\"a\":1}}", NULL, NULL, "unknown=0" },
    { ",\"chat_template_kwargs\":[]}", "invalid_value", "chat_template_kwargs", NULL },
    { ",\"priority\":0}", NULL, NULL, "unknown=0" },
    { ",\"priority\":1}", "invalid_value", "priority", NULL },
    { ",\"priority\":\"high\"}", "unsupported_parameter", "priority", NULL },
    { ",\"service_tier\":\"auto\"}", NULL, NULL, "unknown=0" },
    { ",\"service_tier\":\"flex\"}", "unsupported_parameter", "service_tier", NULL },
    { ",\"service_tier\":\"gold\"}", "invalid_value", "service_tier", NULL },
    { ",\"audio\":{}}", "unsupported_parameter", "audio", NULL },
    { ",\"modalities\":[\"text\"]}", NULL, NULL, "unknown=0" },
    { ",\"modalities\":[\"text\",\"audio\"]}", "unsupported_parameter", "modalities", NULL },
    { ",\"modalities\":[]}", "invalid_value", "modalities", NULL },
    { ",\"modalities\":[1]}", "invalid_value", "modalities", NULL },
    { ",\"prediction\":{}}", "unsupported_parameter", "prediction", NULL },
    { ",\"web_search_options\":{}}", "unsupported_parameter", "web_search_options", NULL },
};

/* Parses a body; on success its description is in `out`. */
static enum base_err parse(const char *data, size_t len, struct base_buf *out,
                           struct api_error *error)
{
    struct chat_params params;
    struct arena arena;
    json_t *body;
    arena_init(&arena, MEM_API, 1 << 20);
    enum base_err rc = api_json_parse(data, len, &body, error);
    if (!rc)
        rc = chat_parse(body, &arena, &params, error);
    if (!rc)
        describe(&params, out);
    json_decref(body);
    arena_fini(&arena);
    return rc;
}

START_TEST(each_body_is_read_or_refused_with_its_field)
{
    const struct row *row = &g_rows[_i];
    struct base_buf body;
    struct base_buf read;
    struct api_error error;
    buf_init(&body, MEM_API, 1 << 16);
    buf_init(&read, MEM_API, 1 << 16);
    buf_printf(&body, "%s%s", row->body[0] == ',' || row->body[0] == '}' ? USER : "", row->body);
    enum base_err rc = parse(body.data, body.len, &read, &error);
    if (row->code) {
        ck_assert_msg(rc == E_INVALID, "%s was accepted: %s", body.data, read.data);
        ck_assert_str_eq(api_error_name(error.code), row->code);
        ck_assert_int_eq(api_error_status(error.code), 400);
        ck_assert_str_eq(error.param, row->param ? row->param : "");
        ck_assert_msg(!row->has || strstr(error.message, row->has), "%s", error.message);
    } else {
        ck_assert_msg(rc == OK, "%s was refused: %s", body.data, error.message);
        ck_assert_msg(strstr(read.data, row->has) != NULL, "%s", read.data);
    }
    buf_fini(&body);
    buf_fini(&read);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

/* The input ends where the page ends, so that reading too far crashes. */
START_TEST(a_cut_body_is_refused_at_every_length)
{
    static const char whole[] = USER ",\"stop\":[\"\xc3\xa9\\n\"],\"temperature\":0.5,"
                                     "\"stream\":true,\"stream_options\":{\"x\":null}}";
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mprotect(map + page, page, PROT_NONE), 0);
    struct base_buf read;
    struct api_error error;
    buf_init(&read, MEM_API, 1 << 16);
    for (size_t len = 0; len < sizeof whole; len++) {
        char *data = map + page - len;
        memcpy(data, whole, len);
        enum base_err rc = parse(data, len, &read, &error);
        ck_assert_int_eq(rc, len == sizeof whole - 1 ? OK : E_INVALID);
    }
    buf_fini(&read);
    munmap(map, 2 * page);
}
END_TEST

START_TEST(depth_128_is_read_and_129_is_refused)
{
    struct api_error error;
    for (int depth = 128; depth <= 129; depth++) {
        struct base_buf body;
        struct base_buf read;
        buf_init(&body, MEM_API, 1 << 16);
        buf_init(&read, MEM_API, 1 << 16);
        buf_printf(&body, USER ",\"quote\":\"\\\"[[[[\",\n\"x\":");
        for (int i = 1; i < depth; i++)
            buf_append_str(&body, "[");
        for (int i = 1; i < depth; i++)
            buf_append_str(&body, "]");
        buf_append_str(&body, "}");
        enum base_err rc = parse(body.data, body.len, &read, &error);
        ck_assert_int_eq(rc, depth == 128 ? OK : E_INVALID);
        buf_fini(&body);
        buf_fini(&read);
    }
    ck_assert_str_eq(api_error_name(error.code), "invalid_json");
    ck_assert_str_eq(error.message,
                     "the body is nested deeper than 128 levels: line 2, column 132");
}
END_TEST

START_TEST(a_value_in_a_message_is_cut_at_200_bytes)
{
    struct base_buf body;
    struct api_error error;
    buf_init(&body, MEM_API, 1 << 16);
    buf_printf(&body, USER ",\"model\":[\"a");
    for (int i = 0; i < 500; i++)
        buf_append_str(&body, "\xc3\xa9"); /* a cut at byte 200 would be inside one */
    buf_append_str(&body, "\"]}");
    ck_assert_int_eq(parse(body.data, body.len, NULL, &error), E_INVALID);
    const char *got = strstr(error.message, "got ") + 4;
    ck_assert_uint_eq(strlen(got), 199 + 3);
    ck_assert_str_eq(got + strlen(got) - 5, "\xc3\xa9...");
    buf_fini(&body);
}
END_TEST

START_TEST(stop_strings_have_1_to_256_bytes)
{
    struct api_error error;
    for (int len = 256; len <= 257; len++) {
        struct base_buf body;
        struct base_buf read;
        buf_init(&body, MEM_API, 1 << 16);
        buf_init(&read, MEM_API, 1 << 16);
        buf_printf(&body, USER ",\"stop\":[\"%0*d\"]}", len, 0);
        ck_assert_int_eq(parse(body.data, body.len, &read, &error), len == 256 ? OK : E_INVALID);
        buf_fini(&body);
        buf_fini(&read);
    }
    ck_assert_str_eq(error.param, "stop[0]");
}
END_TEST

/* ---- from the body to the job ---- */

/* Makes a job of a body; the caller destroys it. */
static enum base_err job_of(const char *text, const struct api_model *model, struct chat_job **job,
                            struct api_error *error)
{
    struct chat_params params;
    struct arena arena;
    json_t *body;
    *job = NULL;
    arena_init(&arena, MEM_API, 1 << 20);
    enum base_err rc = api_json_parse(text, strlen(text), &body, error);
    if (!rc)
        rc = chat_parse(body, &arena, &params, error);
    if (!rc)
        rc = chat_job_make(model, &params, job, error);
    json_decref(body);
    arena_fini(&arena);
    return rc;
}

static struct api_model model_make(struct tokenizer *tokenizer, int32_t context)
{
    return (struct api_model){
        .id = "m", .fingerprint = "b0", .context = context, .tokenizer = tokenizer
    };
}

START_TEST(a_job_outlives_the_body_it_came_from)
{
    struct tokenizer *t = letters_create(false);
    struct api_model model = model_make(t, 64);
    struct chat_job *job;
    struct api_error error;
    ck_assert_int_eq(job_of(USER ",\"stop\":[\"x\",\"yz\"],\"max_tokens\":9,\"seed\":-2,"
                                 "\"temperature\":0.5,\"top_p\":0.25,\"top_k\":3}",
                            &model, &job, &error),
                     OK);
    const struct valet_request *r = (const struct valet_request *)job;
    static const char text[] = "user\nhi";
    ck_assert_int_eq(r->prompt_count, LETTERS_PROMPT(2));
    ck_assert_int_eq(r->prompt[0], LETTERS_START);
    for (size_t i = 0; i < sizeof text - 1; i++)
        ck_assert_int_eq(r->prompt[1 + i], text[i]);
    ck_assert_int_eq(r->prompt[8], LETTERS_END);
    ck_assert_int_eq(r->max_new, 9);
    ck_assert_uint_eq(r->stop_count, 2);
    ck_assert_mem_eq(r->stops[1].text, "yz", 2);
    ck_assert_uint_eq(r->sampling.seed, (uint64_t)-2);
    ck_assert(r->sampling.temperature == 0.5f && r->sampling.top_p == 0.25f);
    ck_assert_int_eq(r->sampling.top_k, 3);
    chat_job_destroy(job);
    tokenizer_destroy(t);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(control_tokens_in_a_message_are_plain_text)
{
    struct tokenizer *t = letters_create(false);
    struct api_model model = model_make(t, 64);
    struct chat_job *job;
    struct api_error error;
    ck_assert_int_eq(job_of(CONTENT("\"<|im_end|>\""), &model, &job, &error), OK);
    ck_assert_int_eq(job->request.prompt_count, LETTERS_PROMPT(10));
    chat_job_destroy(job);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(bos_and_the_default_system_message_come_first)
{
    struct tokenizer *t = letters_create(true);
    struct api_model model = model_make(t, 128);
    struct chat_job *job;
    struct api_error error;
    model.default_system = "be kind";
    ck_assert_int_eq(job_of(USER "}", &model, &job, &error), OK);
    ck_assert_int_eq(job->request.prompt[0], LETTERS_BOS);
    ck_assert_int_eq(job->request.prompt[1], LETTERS_START);
    ck_assert_int_eq(job->request.prompt[2], 's');
    ck_assert_int_eq(job->request.prompt_count, 1 + 1 + 7 + 7 + 2 + LETTERS_PROMPT(2));
    chat_job_destroy(job);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(the_answer_is_lowered_to_what_fits)
{
    struct tokenizer *t = letters_create(false);
    struct api_model model = model_make(t, LETTERS_PROMPT(2) + 1);
    struct chat_job *job;
    struct api_error error;
    ck_assert_int_eq(job_of(USER "}", &model, &job, &error), OK);
    ck_assert_int_eq(job->request.max_new, 1);
    chat_job_destroy(job);
    ck_assert_int_eq(job_of(USER ",\"max_tokens\":500}", &model, &job, &error), OK);
    ck_assert_int_eq(job->request.max_new, 1);
    chat_job_destroy(job);
    tokenizer_destroy(t);
}
END_TEST

START_TEST(a_prompt_as_long_as_the_context_is_refused_with_numbers)
{
    struct tokenizer *t = letters_create(false);
    struct api_model model = model_make(t, LETTERS_PROMPT(2));
    struct chat_job *job;
    struct api_error error;
    ck_assert_int_eq(job_of(USER "}", &model, &job, &error), E_INVALID);
    ck_assert_ptr_null(job);
    ck_assert_str_eq(api_error_name(error.code), "context_length_exceeded");
    ck_assert_str_eq(error.param, "messages");
    ck_assert_str_eq(error.message, "messages: the prompt has 21 tokens; the context of model m "
                                    "is 21 tokens for prompt and answer");
    model.context = 5;
    ck_assert_int_eq(job_of(USER "}", &model, &job, &error), E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "has more than 20 tokens"));
    model.context = 2;
    ck_assert_int_eq(job_of(MESSAGE("{\"role\":\"assistant\"},{\"role\":\"assistant\"}"), &model,
                            &job, &error),
                     E_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "has at least 2 tokens"));
    tokenizer_destroy(t);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_allocations_refuse_the_request)
{
    struct tokenizer *t = letters_create(true);
    struct api_model model = model_make(t, 128);
    uint64_t blocks = mem_live_blocks();
    for (unsigned n = 1;; n++) {
        struct chat_job *job;
        struct api_error error;
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = job_of(CONTENT("[{\"type\":\"text\",\"text\":\"hi\"}]"), &model, &job,
                                  &error);
        bool fired = fault_disarm();
        if (!fired) {
            ck_assert_int_eq(rc, OK);
            ck_assert_uint_gt(n, 3);
            chat_job_destroy(job);
            break;
        }
        ck_assert_int_eq(rc, E_NOMEM);
        ck_assert_str_eq(api_error_name(error.code), "server_full");
        ck_assert_uint_gt(error.retry_after_ms, 0);
        ck_assert_uint_eq(mem_live_blocks(), blocks);
    }
    tokenizer_destroy(t);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("chat_parse");
    tcase_add_loop_test(tcase, each_body_is_read_or_refused_with_its_field, 0,
                        (int)(sizeof g_rows / sizeof g_rows[0]));
    tcase_add_test(tcase, a_cut_body_is_refused_at_every_length);
    tcase_add_test(tcase, depth_128_is_read_and_129_is_refused);
    tcase_add_test(tcase, a_value_in_a_message_is_cut_at_200_bytes);
    tcase_add_test(tcase, stop_strings_have_1_to_256_bytes);
    tcase_add_test(tcase, a_job_outlives_the_body_it_came_from);
    tcase_add_test(tcase, control_tokens_in_a_message_are_plain_text);
    tcase_add_test(tcase, bos_and_the_default_system_message_come_first);
    tcase_add_test(tcase, the_answer_is_lowered_to_what_fits);
    tcase_add_test(tcase, a_prompt_as_long_as_the_context_is_refused_with_numbers);
#if VALET_CHECKS
    tcase_add_test(tcase, refused_allocations_refuse_the_request);
#endif
    return suite_run("chat_parse", tcase);
}
