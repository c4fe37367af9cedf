#include <math.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "formats.h"
#include "suite.h"

#define HEAD                                                                                       \
    "{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1763900000,"                   \
    "\"model\":\"m\",\"system_fingerprint\":\"b0\",\"choices\":["
#define CHUNK_OF(index, delta, logprobs, finish, usage)                                            \
    "data: " HEAD "{\"index\":" index ",\"delta\":" delta ",\"logprobs\":" logprobs                \
    ",\"finish_reason\":" finish "}]" usage "}\n\n"
#define CHUNK(delta, finish, usage) CHUNK_OF("0", delta, "null", finish, usage)
#define END(finish) finish ",\"stop_reason\":null"
#define ROLE "{\"role\":\"assistant\",\"content\":null}"
#define TEXT(text) "{\"content\":\"" text "\"}"
#define USAGE_OF(prompt, completion, total, cached)                                                \
    "{\"prompt_tokens\":" prompt ",\"completion_tokens\":" completion ",\"total_tokens\":" total   \
    ",\"prompt_tokens_details\":{\"cached_tokens\":" cached "},"                                   \
    "\"completion_tokens_details\":{\"reasoning_tokens\":0}}"
#define USAGE USAGE_OF("3", "4", "7", "2")
#define DONE "data: [DONE]\n\n"

static const int32_t g_ids[] = { 'a', 'b', 'c' };
static const struct api_prompt g_prompt = { g_ids, 3, false };

/* START, "He", nothing, two characters and a quote, the end with text. */
static size_t events_make(struct valet_event out[5], enum valet_finish finish)
{
    out[0] = formats_start(0, 2);
    out[1] = formats_token(0, 1, 'H', "He", NAN, VALET_FINISH_NONE);
    out[2] = formats_token(0, 2, 'x', "", NAN, VALET_FINISH_NONE);
    out[3] = formats_token(0, 3, 'y', "\xc3\xa9\xf0\x9f\x98\x80\"\n", NAN, VALET_FINISH_NONE);
    out[4] = formats_token(0, 4, '!', "!", NAN, finish);
    return 5;
}

/* What the stream of these events is. */
static void expect_stream(const struct api_params *params, const struct valet_event *events,
                          size_t count, const char *expected)
{
    struct formatted f;
    ck_assert_int_eq(formatted_init(&f, params, &g_prompt, 1), OK);
    ck_assert_int_eq(formatted_stream(&f, &chat_kind, events, count), OK);
    ck_assert(format_is_complete(&f.format));
    ck_assert_str_eq(f.out.data, expected);
    formatted_fini(&f);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static void expect_whole(const struct api_params *params, const struct valet_event *events,
                         size_t count, const char *choices, const char *usage)
{
    struct formatted f;
    struct base_buf expected;
    buf_init(&expected, MEM_API, 1 << 16);
    buf_printf(&expected,
               "{\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1763900000,"
               "\"model\":\"m\",\"system_fingerprint\":\"b0\",\"service_tier\":\"default\","
               "\"choices\":[%s],\"usage\":%s}",
               choices, usage);
    ck_assert_int_eq(formatted_init(&f, params, &g_prompt, 1), OK);
    ck_assert_int_eq(formatted_whole(&f, &chat_kind, events, count), OK);
    ck_assert_str_eq(f.out.data, expected.data);
    buf_fini(&expected);
    formatted_fini(&f);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

START_TEST(a_stream_has_role_content_finish_and_done)
{
    struct api_params params = formats_params();
    struct valet_event events[5];
    expect_stream(&params, events, events_make(events, VALET_FINISH_STOP),
                  CHUNK(ROLE, "null", "") CHUNK(TEXT("He"), "null", "")
                      CHUNK(TEXT("\xc3\xa9\xf0\x9f\x98\x80\\\"\\n"), "null", "")
                          CHUNK(TEXT("!"), "null", "") CHUNK("{}", END("\"stop\""), "") DONE);
}
END_TEST

START_TEST(with_usage_every_chunk_says_so_and_the_last_has_it)
{
    struct api_params params = formats_params();
    struct valet_event events[5];
    params.include_usage = true;
#define NO ",\"usage\":null"
    expect_stream(
        &params, events, events_make(events, VALET_FINISH_LENGTH),
        CHUNK(ROLE, "null", NO) CHUNK(TEXT("He"), "null", NO)
            CHUNK(TEXT("\xc3\xa9\xf0\x9f\x98\x80\\\"\\n"), "null", NO) CHUNK(TEXT("!"), "null", NO)
                CHUNK("{}", END("\"length\""), NO) "data: " HEAD "],\"usage\":" USAGE "}\n\n" DONE);
}
END_TEST

START_TEST(continuous_usage_is_in_every_chunk)
{
    struct api_params params = formats_params();
    const struct valet_event events[] = {
        formats_start(0, 2),
        formats_token(0, 1, 'a', "a", NAN, VALET_FINISH_NONE),
        formats_token(0, 2, 'b', "b", NAN, VALET_FINISH_STOP),
    };
    params.continuous_usage = true;
#define SO_FAR(n, total) ",\"usage\":" USAGE_OF("3", n, total, "2")
    expect_stream(&params, events, 3,
                  CHUNK(ROLE, "null", SO_FAR("0", "3")) CHUNK(TEXT("a"), "null", SO_FAR("1", "4"))
                      CHUNK(TEXT("b"), "null", SO_FAR("2", "5"))
                          CHUNK("{}", END("\"stop\""), SO_FAR("2", "5")) DONE);
}
END_TEST

#define ENTRY(token, logprob, bytes)                                                               \
    "{\"token\":\"" token "\",\"logprob\":" logprob ",\"bytes\":[" bytes "]"

START_TEST(logprobs_ride_on_the_chunk_of_their_token)
{
    struct api_params params = formats_params();
    static const struct valet_top tops[] = { { 'a', -0.1f }, { 0xff, -INFINITY } };
    struct valet_event events[] = {
        formats_start(0, 0),
        formats_token(0, 1, 0xe9, "", -1.5f, VALET_FINISH_NONE), /* held back */
        formats_token(0, 2, 'a', "xa", -0.1f, VALET_FINISH_NONE),
        formats_token(0, 3, 257, "", -2.25f, VALET_FINISH_STOP),
    };
    params.logprobs = true;
    params.top_logprobs = 2;
    events[2].top = tops;
    events[2].top_count = 2;
#define TOPS                                                                                       \
    ",\"top_logprobs\":[" ENTRY("a", "-0.1", "97") "}," ENTRY("\xef\xbf\xbd", "-9999.0",           \
                                                              "255") "}]}"
#define LIST(entries) "{\"content\":[" entries "],\"refusal\":null}"
#define E1 ENTRY("\xef\xbf\xbd", "-1.5", "233") ",\"top_logprobs\":[]}"
#define E2 ENTRY("a", "-0.1", "97") TOPS
#define E3                                                                                         \
    ENTRY("<|im_end|>", "-2.25", "60,124,105,109,95,101,110,100,124,62") ",\"top_logprobs\":[]}"
    expect_stream(&params, events, 4,
                  CHUNK(ROLE, "null", "") CHUNK_OF("0", TEXT(""), LIST(E1), "null", "")
                      CHUNK_OF("0", TEXT("xa"), LIST(E2), "null", "")
                          CHUNK_OF("0", TEXT(""), LIST(E3), "null", "")
                              CHUNK("{}", END("\"stop\""), "") DONE);
    expect_whole(&params, events, 4,
                 "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"xa\","
                 "\"refusal\":null},\"logprobs\":" LIST(
                     E1 "," E2 "," E3) ","
                                       "\"finish_reason\":\"stop\",\"stop_reason\":null}",
                 USAGE_OF("3", "3", "6", "0"));
}
END_TEST

START_TEST(choices_are_told_apart_by_their_index)
{
    struct api_params params = formats_params();
    const struct valet_event events[] = {
        formats_start(1, 9),
        formats_start(0, 2),
        formats_token(1, 1, 'p', "p", NAN, VALET_FINISH_NONE),
        formats_token(0, 1, 'a', "a", NAN, VALET_FINISH_LENGTH),
        formats_token(1, 2, 'q', "q", NAN, VALET_FINISH_STOP),
    };
    params.n = params.best_of = 2;
    params.token_ids = true;
#define IDS(id) "null,\"token_ids\":[" id "]"
    expect_stream(
        &params, events, 5,
        CHUNK_OF("1", ROLE, "null", "null", "") CHUNK(ROLE, "null", "")
            CHUNK_OF("1", TEXT("p"), "null", IDS("112"), "") CHUNK(TEXT("a"), IDS("97"), "")
                CHUNK_OF("1", TEXT("q"), "null", IDS("113"), "") CHUNK("{}", END("\"length\""), "")
                    CHUNK_OF("1", "{}", "null", END("\"stop\""), "") DONE);
#define MESSAGE(index, text, finish, ids)                                                          \
    "{\"index\":" index ",\"message\":{\"role\":\"assistant\",\"content\":\"" text "\","           \
    "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"" finish "\",\"stop_reason\":null,"   \
    "\"token_ids\":[" ids "]}"
    expect_whole(&params, events, 5,
                 MESSAGE("0", "a", "length", "97") "," MESSAGE("1", "pq", "stop", "112,113"),
                 USAGE_OF("3", "3", "6", "2"));
}
END_TEST

START_TEST(the_stop_reason_is_the_string_or_the_id)
{
    static const struct {
        enum valet_stop_kind kind;
        uint32_t index;
        const char *reason;
    } rows[] = {
        { VALET_STOP_END, 0, "null" },      { VALET_STOP_ID, 0, "65" },
        { VALET_STOP_STRING, 1, "\"yz\"" }, { VALET_STOP_STRING, 2, "null" },
        { VALET_STOP_NONE, 0, "null" },
    };
    struct api_params params = formats_params();
    params.stops[0] = (struct valet_stop){ "x", 1 };
    params.stops[1] = (struct valet_stop){ "yz", 2 };
    params.stop_count = 2;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char end[64];
        struct formatted f;
        struct valet_event last = formats_token(0, 1, 65, "", NAN, VALET_FINISH_STOP);
        last.stop_kind = rows[i].kind;
        last.stop_index = rows[i].index;
        ck_assert_int_eq(formatted_init(&f, &params, &g_prompt, 1), OK);
        ck_assert_int_eq(formatted_stream(&f, &chat_kind, &last, 1), OK);
        snprintf(end, sizeof end, "\"finish_reason\":\"stop\",\"stop_reason\":%s}", rows[i].reason);
        ck_assert_msg(strstr(f.out.data, end) != NULL, "%s", f.out.data);
        formatted_fini(&f);
    }
}
END_TEST

START_TEST(an_error_in_a_stream_is_a_frame_and_done)
{
    struct api_error error;
    struct base_buf out;
    buf_init(&out, MEM_API, 1 << 16);
    api_error_set(&error, API_DRAINING, NULL, "bye");
    ck_assert_int_eq(format_error(&error, &out), OK);
    ck_assert_str_eq(out.data, "data: {\"error\":{\"message\":\"bye\",\"type\":"
                               "\"overloaded_error\",\"param\":null,\"code\":\"draining\"}}\n\n"
                               "data: [DONE]\n\n");
    buf_fini(&out);
}
END_TEST

START_TEST(a_completion_is_one_object)
{
    struct api_params params = formats_params();
    struct valet_event events[5];
    expect_whole(&params, events, events_make(events, VALET_FINISH_STOP),
                 "{\"index\":0,\"message\":{\"role\":\"assistant\","
                 "\"content\":\"He\xc3\xa9\xf0\x9f\x98\x80\\\"\\n!\",\"refusal\":null},"
                 "\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null}",
                 USAGE);
}
END_TEST

START_TEST(events_that_name_no_choice_or_token_are_refused)
{
    struct api_params params = formats_params();
    struct formatted f;
    struct valet_top top = { 259, 0 };
    struct valet_event events[] = {
        formats_start(1, 0),
        formats_token(0, 1, 259, "", 0, VALET_FINISH_NONE),
        formats_token(0, 1, 'a', "", 0, VALET_FINISH_NONE),
        { .type = VALET_EVENT_PROMPT, .id = -1 },
    };
    events[2].top = &top;
    events[2].top_count = 1;
    ck_assert_int_eq(formatted_init(&f, &params, &g_prompt, 1), OK);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        ck_assert_int_eq(format_note(&f.format, &events[i]), E_CORRUPT);
    formatted_fini(&f);
}
END_TEST

START_TEST(a_plain_answer_has_a_maximum)
{
    struct api_params params = formats_params();
    struct formatted f;
    const struct valet_event event = formats_token(0, 1, 'a', "abcd", NAN, VALET_FINISH_NONE);
    ck_assert_int_eq(formatted_init(&f, &params, &g_prompt, 1), OK);
    f.format.collected = (128 << 20) - 7; /* of other choices */
    ck_assert_int_eq(format_collect(&f.format, &chat_kind, &event), OK);
    ck_assert_int_eq(format_collect(&f.format, &chat_kind, &event), E_TOO_BIG);
    formatted_fini(&f);
}
END_TEST

START_TEST(what_does_not_fit_leaves_nothing_behind)
{
    struct api_params params = formats_params();
    struct formatted f;
    params.include_usage = true;
    ck_assert_int_eq(formatted_init(&f, &params, &g_prompt, 1), OK);
    for (size_t max = 0; max < 300; max += 7) {
        struct base_buf out;
        buf_init(&out, MEM_API, max);
        ck_assert_int_eq(chat_kind.end(&f.format, &out), E_TOO_BIG);
        ck_assert_uint_eq(out.len, 0);
        buf_fini(&out);
    }
    formatted_fini(&f);
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_allocations_are_an_error)
{
    struct api_params params = formats_params();
    params.include_usage = params.logprobs = true;
    params.stops[0] = (struct valet_stop){ "x", 1 };
    params.stop_count = 1;
    struct valet_event events[5];
    size_t count = events_make(events, VALET_FINISH_STOP);
    for (unsigned n = 1;; n++) {
        struct formatted f;
        ck_assert_int_eq(formatted_init(&f, &params, &g_prompt, 1), OK);
        fault_arm(FAULT_ALLOC, n);
        struct format second;
        enum base_err rc = format_init(&second, &f.model, &params, &g_prompt, f.job);
        if (!rc) {
            format_fini(&second);
            rc = _i ? formatted_stream(&f, &chat_kind, events, count)
                    : formatted_whole(&f, &chat_kind, events, count);
        }
        bool fired = fault_disarm();
        formatted_fini(&f);
        ck_assert_uint_eq(mem_live_blocks(), 0);
        ck_assert_int_eq(rc, fired ? E_NOMEM : OK);
        if (!fired)
            break;
    }
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("chat_format");
    tcase_add_test(tcase, a_stream_has_role_content_finish_and_done);
    tcase_add_test(tcase, with_usage_every_chunk_says_so_and_the_last_has_it);
    tcase_add_test(tcase, continuous_usage_is_in_every_chunk);
    tcase_add_test(tcase, logprobs_ride_on_the_chunk_of_their_token);
    tcase_add_test(tcase, choices_are_told_apart_by_their_index);
    tcase_add_test(tcase, the_stop_reason_is_the_string_or_the_id);
    tcase_add_test(tcase, an_error_in_a_stream_is_a_frame_and_done);
    tcase_add_test(tcase, a_completion_is_one_object);
    tcase_add_test(tcase, events_that_name_no_choice_or_token_are_refused);
    tcase_add_test(tcase, a_plain_answer_has_a_maximum);
    tcase_add_test(tcase, what_does_not_fit_leaves_nothing_behind);
#if VALET_CHECKS
    tcase_add_loop_test(tcase, refused_allocations_are_an_error, 0, 2);
#endif
    return suite_run("chat_format", tcase);
}
