#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "formats.h"
#include "letters.h"
#include "suite.h"

#define HEAD                                                                                       \
    "{\"id\":\"x\",\"object\":\"text_completion\",\"created\":1763900000,"                         \
    "\"model\":\"m\",\"system_fingerprint\":\"b0\",\"choices\":["
#define CHOICE(text, index, logprobs, finish)                                                      \
    "{\"text\":\"" text "\",\"index\":" index ",\"logprobs\":" logprobs ",\"finish_"               \
    "reason\":" finish
#define CHUNK(text, index, logprobs) "data: " HEAD CHOICE(text, index, logprobs, "null") "}]}\n\n"
#define FINISH(index, finish)                                                                      \
    "data: " HEAD CHOICE("", index, "null", finish) ",\"stop_reason\":null}]}\n\n"
#define WHOLE(choices, prompt, completion, total)                                                  \
    HEAD choices "],\"usage\":{\"prompt_tokens\":" prompt ",\"completion_tokens\":" completion     \
                 ",\"total_tokens\":" total ",\"prompt_tokens_details\":{\"cached_tokens\":0},"    \
                 "\"completion_tokens_details\":{\"reasoning_tokens\":0}}}"
#define DONE "data: [DONE]\n\n"
#define LISTS(tokens, values, tops, offsets)                                                       \
    "{\"tokens\":[" tokens "],\"token_logprobs\":[" values "],\"top_logprobs\":[" tops "],"        \
    "\"text_offset\":[" offsets "]}"

static const int32_t g_ab[] = { 'a', 'b' };
static const int32_t g_cd[] = { 'c', 'd', 'e' };

static struct valet_event prompt_token(uint32_t choice, int32_t id, float logprob,
                                       const struct valet_top *top, uint32_t top_count)
{
    return (struct valet_event){ .type = VALET_EVENT_PROMPT,
                                 .choice = choice,
                                 .id = id,
                                 .logprob = logprob,
                                 .top = top,
                                 .top_count = top_count };
}

struct expected {
    const char *stream;
    const char *whole;
};

static void expect(const struct api_params *params, const struct api_prompt *prompts,
                   size_t prompt_count, const struct valet_event *events, size_t count,
                   struct expected e)
{
    struct formatted f;
    ck_assert_int_eq(formatted_init(&f, params, prompts, prompt_count), OK);
    if (e.stream) {
        ck_assert_int_eq(formatted_stream(&f, &completion_kind, events, count), OK);
        ck_assert_str_eq(f.out.data, e.stream);
    }
    formatted_fini(&f);
    ck_assert_int_eq(formatted_init(&f, params, prompts, prompt_count), OK);
    ck_assert_int_eq(formatted_whole(&f, &completion_kind, events, count), OK);
    ck_assert_str_eq(f.out.data, e.whole);
    formatted_fini(&f);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

START_TEST(text_comes_as_it_is_released)
{
    const struct api_prompt prompt = { g_ab, 2, false };
    struct api_params params = formats_params();
    const struct valet_event events[] = {
        formats_start(0, 0),
        formats_token(0, 1, 'x', "", NAN, VALET_FINISH_NONE),
        formats_token(0, 2, 'y', "xy", NAN, VALET_FINISH_LENGTH),
    };
    expect(
        &params, &prompt, 1, events, 3,
        (struct expected){ CHUNK("xy", "0", "null") FINISH("0", "\"length\"") DONE,
                           WHOLE(CHOICE("xy", "0", "null", "\"length\"") ",\"stop_reason\":null}",
                                 "2", "2", "4") });
}
END_TEST

START_TEST(an_echo_comes_first_without_what_the_server_added)
{
    static const int32_t ids[] = { LETTERS_BOS, 'a', LETTERS_END, 0xc3, 0xa9, 0xff };
    const struct api_prompt prompt = { ids, 6, true };
    struct api_params params = formats_params();
    const struct valet_event events[] = {
        formats_start(0, 0),
        formats_token(0, 1, 'x', "x", NAN, VALET_FINISH_STOP),
    };
    params.echo = true;
#define REPEATED "a<|im_end|>\xc3\xa9\xef\xbf\xbd"
    expect(&params, &prompt, 1, events, 2,
           (struct expected){
               CHUNK(REPEATED, "0", "null") CHUNK("x", "0", "null") FINISH("0", "\"stop\"") DONE,
               WHOLE(CHOICE(REPEATED "x", "0", "null", "\"stop\"") ",\"stop_reason\":null}", "6",
                     "1", "7") });
}
END_TEST

/* What an evaluation sends: ids, echo, one logprob, one token, which it drops. */
START_TEST(an_echo_with_logprobs_has_all_tokens_in_all_lists)
{
    static const int32_t ids[] = { LETTERS_BOS, 'a', 0xc3, 0xa9 };
    static const struct valet_top likely = { 'z', -0.5f };
    static const struct valet_top given = { 0xa9, -0.25f };
    const struct api_prompt prompt = { ids, 4, false };
    struct api_params params = formats_params();
    const struct valet_event events[] = {
        formats_start(0, 0),
        prompt_token(0, LETTERS_BOS, NAN, NULL, 0),
        prompt_token(0, 'a', -3.5f, &likely, 1),
        prompt_token(0, 0xc3, -4, &likely, 1),
        prompt_token(0, 0xa9, -0.25f, &given, 1),
        formats_token(0, 1, 'q', "q", -0.125f, VALET_FINISH_LENGTH),
    };
    params.echo = params.logprobs = true;
    params.top_logprobs = params.max_new = 1;
#define U "\xef\xbf\xbd"
#define T_A "{\"z\":-0.5,\"a\":-3.5}"
#define T_C3 "{\"z\":-0.5,\"" U "\":-4}"
#define T_A9 "{\"" U "\":-0.25}"
    expect(&params, &prompt, 1, events, 6,
           (struct expected){
               CHUNK("<s>", "0", LISTS("\"<s>\"", "null", "null", "0"))
                   CHUNK("a", "0", LISTS("\"a\"", "-3.5", T_A, "3"))
                       CHUNK("", "0", LISTS("\"" U "\"", "-4", T_C3, "4"))
                           CHUNK("\xc3\xa9", "0", LISTS("\"" U "\"", "-0.25", T_A9, "4"))
                               CHUNK("q", "0", LISTS("\"q\"", "-0.125", "{\"q\":-0.125}", "5"))
                                   FINISH("0", "\"length\"") DONE,
               WHOLE(CHOICE("<s>a\xc3\xa9q", "0",
                            LISTS("\"<s>\",\"a\",\"" U "\",\"" U "\",\"q\"",
                                  "null,-3.5,-4,-0.25,-0.125",
                                  "null," T_A "," T_C3 "," T_A9 ",{\"q\":-0.125}", "0,3,4,4,5"),
                            "\"length\"") ",\"stop_reason\":null}",
                     "4", "1", "5") });
}
END_TEST

START_TEST(without_tokens_nothing_is_appended)
{
    const struct api_prompt prompt = { g_ab, 2, false };
    struct api_params params = formats_params();
    const struct valet_event events[] = {
        formats_start(0, 0),
        prompt_token(0, 'a', NAN, NULL, 0),
        prompt_token(0, 'b', -1, NULL, 0),
        formats_token(0, 0, -1, "", NAN, VALET_FINISH_LENGTH),
    };
    params.echo = true;
    params.max_new = 0;
    expect(&params, &prompt, 1, events, 4,
           (struct expected){
               CHUNK("a", "0", "null") CHUNK("b", "0", "null") FINISH("0", "\"length\"") DONE,
               WHOLE(CHOICE("ab", "0", "null", "\"length\"") ",\"stop_reason\":null}", "2", "0",
                     "2") });
    params.logprobs = true;
    expect(&params, &prompt, 1, events, 4,
           (struct expected){
               CHUNK("a", "0", LISTS("\"a\"", "null", "null", "0"))
                   CHUNK("b", "0", LISTS("\"b\"", "-1", "{\"b\":-1}", "1"))
                       FINISH("0", "\"length\"") DONE,
               WHOLE(CHOICE("ab", "0", LISTS("\"a\",\"b\"", "null,-1", "null,{\"b\":-1}", "0,1"),
                            "\"length\"") ",\"stop_reason\":null}",
                     "2", "0", "2") });
}
END_TEST

START_TEST(tops_hold_the_token_and_of_equal_texts_the_likeliest)
{
    /* 0xfe and 0xff are both no text */
    static const struct valet_top tops[] = { { 0xff, -0.5f }, { 'k', -1 }, { 0xfe, -2 } };
    const struct api_prompt prompt = { g_ab, 2, false };
    struct api_params params = formats_params();
    struct valet_event events[] = {
        formats_start(0, 0),
        formats_token(0, 1, 'w', "w", -INFINITY, VALET_FINISH_NONE),
        formats_token(0, 2, 'k', "k", -1, VALET_FINISH_LENGTH),
    };
    events[1].top = events[2].top = tops;
    events[1].top_count = events[2].top_count = 3;
    params.logprobs = true;
    params.top_logprobs = 3;
    expect(&params, &prompt, 1, events, 3,
           (struct expected){ NULL, WHOLE(CHOICE("wk", "0",
                                                 LISTS("\"w\",\"k\"", "-9999.0,-1",
                                                       "{\"" U "\":-0.5,\"k\":-1,\"w\":-9999.0},"
                                                       "{\"" U "\":-0.5,\"k\":-1}",
                                                       "0,1"),
                                                 "\"length\"") ",\"stop_reason\":null}",
                                          "2", "2", "4") });
}
END_TEST

START_TEST(offsets_go_on_behind_the_prompt_and_skip_what_is_hidden)
{
    static const int32_t ids[] = { LETTERS_BOS, 'a' };
    const struct api_prompt prompt = { ids, 2, true };
    struct api_params params = formats_params();
    const struct valet_event events[] = {
        formats_start(0, 0),
        prompt_token(0, LETTERS_BOS, NAN, NULL, 0),
        prompt_token(0, 'a', -1, NULL, 0),
        formats_token(0, 1, 'x', "", -1, VALET_FINISH_NONE), /* held back */
        formats_token(0, 2, LETTERS_END, "x", -1, VALET_FINISH_NONE),
        formats_token(0, 3, 'y', "y", -1, VALET_FINISH_STOP),
    };
    params.echo = params.logprobs = true;
    expect(
        &params, &prompt, 1, events, 6,
        (struct expected){
            NULL, WHOLE(CHOICE("axy", "0",
                               LISTS("\"<s>\",\"a\",\"x\",\"<|im_end|>\",\"y\"", "null,-1,-1,-1,-1",
                                     "null,{\"a\":-1},{\"x\":-1},{\"<|im_end|>\":-1},{\"y\":-1}",
                                     "0,0,1,2,2"),
                               "\"stop\"") ",\"stop_reason\":null}",
                        "2", "3", "5") });
}
END_TEST

/* A prompt of BOS or of BOS and " a", then the answer " ab", by a vocabulary with spaces. */
static void expect_continuation(bool behind_text, bool continues, bool echo)
{
    static const int32_t ids[] = { LETTERS_BOS, LETTERS_SPACE_A };
    const char *answer = behind_text && continues ? " ab" : "ab";
    const struct valet_event events[] = {
        formats_start(0, 0),
        prompt_token(0, LETTERS_BOS, NAN, NULL, 0),
        prompt_token(0, LETTERS_SPACE_A, -1, NULL, 0),
        formats_token(0, 1, LETTERS_SPACE_A, "", -1, VALET_FINISH_NONE),
        formats_token(0, 2, 'b', answer, -1, VALET_FINISH_LENGTH),
    };
    const struct api_prompt prompt = { ids, behind_text ? 2 : 1, true };
    struct api_params params = formats_params();
    params.logprobs = true;
    params.continues = continues;
    params.echo = echo;
    struct formatted f;
    ck_assert_int_eq(formatted_init_with(&f, letters_create_spm(), &params, &prompt, 1), OK);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i].type == VALET_EVENT_PROMPT && (!echo || i > prompt.count))
            continue;
        ck_assert_int_eq(format_note(&f.format, &events[i]), OK);
        ck_assert_int_eq(format_collect(&f.format, &completion_kind, &events[i]), OK);
    }
    ck_assert_int_eq(completion_kind.whole(&f.format, &f.out), OK);
    const char *echoed = behind_text && echo ? "a" : "";
    char text[64];
    char offsets[64];
    snprintf(text, sizeof text, "\"text\":\"%s%s\"", echoed, answer);
    snprintf(offsets, sizeof offsets, "%zu,%zu]}", strlen(echoed),
             strlen(echoed) + strlen(answer) - 1);
    ck_assert_msg(strstr(f.out.data, text) != NULL, "%s not in %s", text, f.out.data);
    ck_assert_msg(strstr(f.out.data, offsets) != NULL, "%s not in %s", offsets, f.out.data);
    formatted_fini(&f);
}

/* Behind a text it counts; with nothing before it, or in an answer of its own, it is not there. */
START_TEST(the_first_space_of_a_continuation_has_its_place)
{
    for (int i = 0; i < 8; i++)
        expect_continuation(i & 1, i & 2, i & 4);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(choices_are_numbered_prompt_by_prompt)
{
    const struct api_prompt prompts[] = { { g_ab, 2, false }, { g_cd, 3, false } };
    struct api_params params = formats_params();
    struct valet_event events[8];
    char texts[4][2];
    params.n = params.best_of = 2;
    params.echo = true;
    for (uint32_t i = 0; i < 4; i++) {
        texts[i][0] = (char)('0' + i);
        texts[i][1] = '\0';
        events[i] = formats_start(3 - i, 0);
        events[4 + i] = formats_token(i, 1, '0' + (int32_t)i, texts[i], NAN, VALET_FINISH_LENGTH);
    }
#define ONE(text, index) CHOICE(text, index, "null", "\"length\"") ",\"stop_reason\":null}"
    expect(&params, prompts, 2, events, 8,
           (struct expected){
               CHUNK("cde", "3", "null") CHUNK("cde", "2", "null") CHUNK("ab", "1", "null")
                   CHUNK("ab", "0", "null") CHUNK("0", "0", "null") CHUNK("1", "1", "null")
                       CHUNK("2", "2", "null") CHUNK("3", "3", "null") FINISH("0", "\"length\"")
                           FINISH("1", "\"length\"") FINISH("2", "\"length\"")
                               FINISH("3", "\"length\"") DONE,
               WHOLE(ONE("ab0", "0") "," ONE("ab1", "1") "," ONE("cde2", "2") "," ONE("cde3", "3"),
                     "5", "4", "9") });
}
END_TEST

START_TEST(the_best_by_mean_logprob_are_shown)
{
    const struct api_prompt prompts[] = { { g_ab, 2, false }, { g_cd, 3, false } };
    struct api_params params = formats_params();
    const struct valet_event events[] = {
        formats_token(0, 1, 'p', "p", -2, VALET_FINISH_STOP),
        formats_token(1, 1, 'q', "q", -3, VALET_FINISH_NONE),
        formats_token(1, 2, 'q', "q", -0.5f, VALET_FINISH_LENGTH), /* mean -1.75 */
        formats_token(2, 1, 'r', "r", -1, VALET_FINISH_STOP),
        formats_token(3, 1, 's', "s", -1, VALET_FINISH_STOP),
        formats_token(4, 1, 't', "t", -1, VALET_FINISH_STOP),
        formats_token(5, 1, 'u', "u", -INFINITY, VALET_FINISH_STOP),
    };
    params.n = 2;
    params.best_of = 3;
#define BEST(text, index, finish) CHOICE(text, index, "null", finish) ",\"stop_reason\":null}"
    expect(&params, prompts, 2, events, 7,
           (struct expected){
               NULL, WHOLE(BEST("r", "0", "\"stop\"") "," BEST("qq", "1", "\"length\"") "," BEST(
                               "s", "2", "\"stop\"") "," BEST("t", "3", "\"stop\""),
                           "5", "7", "12") });
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("completion_format");
    tcase_add_test(tcase, text_comes_as_it_is_released);
    tcase_add_test(tcase, an_echo_comes_first_without_what_the_server_added);
    tcase_add_test(tcase, an_echo_with_logprobs_has_all_tokens_in_all_lists);
    tcase_add_test(tcase, without_tokens_nothing_is_appended);
    tcase_add_test(tcase, tops_hold_the_token_and_of_equal_texts_the_likeliest);
    tcase_add_test(tcase, offsets_go_on_behind_the_prompt_and_skip_what_is_hidden);
    tcase_add_test(tcase, the_first_space_of_a_continuation_has_its_place);
    tcase_add_test(tcase, choices_are_numbered_prompt_by_prompt);
    tcase_add_test(tcase, the_best_by_mean_logprob_are_shown);
    return suite_run("completion_format", tcase);
}
