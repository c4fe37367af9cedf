#include "api/chat_format.h"

#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "suite.h"

#define HEAD                                                                                       \
    "{\"id\":\"chatcmpl-x\",\"object\":\"chat.completion.chunk\",\"created\":1763900000,"          \
    "\"model\":\"m\",\"system_fingerprint\":\"b0\",\"choices\":["
#define CHUNK(delta, finish, usage)                                                                \
    "data: " HEAD "{\"index\":0,\"delta\":" delta ",\"logprobs\":null,\"finish_reason\":" finish   \
    "}]" usage "}\n\n"
#define ROLE "{\"role\":\"assistant\",\"content\":null}"
#define TEXT(text) "{\"content\":\"" text "\"}"
#define USAGE                                                                                      \
    "{\"prompt_tokens\":18,\"completion_tokens\":4,\"total_tokens\":22,"                           \
    "\"prompt_tokens_details\":{\"cached_tokens\":0},"                                             \
    "\"completion_tokens_details\":{\"reasoning_tokens\":0}}"

static struct chat_format format_make(bool include_usage)
{
    return (struct chat_format){ .id = "chatcmpl-x",
                                 .created = 1763900000,
                                 .model = "m",
                                 .fingerprint = "b0",
                                 .include_usage = include_usage,
                                 .prompt_count = 18 };
}

static struct valet_event token(int32_t generated, const char *text, enum valet_finish finish)
{
    return (struct valet_event){ .type = VALET_EVENT_TOKEN,
                                 .id = 65,
                                 .finish = finish,
                                 .generated = generated,
                                 .text_len = (uint32_t)strlen(text),
                                 .text = text };
}

/* START, "He", nothing, two characters and a quote, the end with text. */
static enum base_err stream_write(struct chat_format *f, enum valet_finish finish,
                                  struct base_buf *out)
{
    const struct valet_event events[] = {
        { .type = VALET_EVENT_START, .id = -1 },
        token(1, "He", VALET_FINISH_NONE),
        token(2, "", VALET_FINISH_NONE),
        token(3, "\xc3\xa9\xf0\x9f\x98\x80\"\n", VALET_FINISH_NONE),
        token(4, "!", finish),
    };
    enum base_err rc = chat_format_role(f, out);
    for (size_t i = 0; i < sizeof events / sizeof events[0] && !rc; i++) {
        chat_format_note(f, &events[i]);
        rc = chat_format_content(f, &events[i], out);
    }
    return rc ? rc : chat_format_end(f, out);
}

START_TEST(a_stream_has_role_content_finish_and_done)
{
    struct chat_format f = format_make(false);
    struct base_buf out;
    buf_init(&out, MEM_API, 1 << 16);
    ck_assert_int_eq(stream_write(&f, VALET_FINISH_STOP, &out), OK);
    ck_assert_str_eq(out.data, CHUNK(ROLE, "null", "") CHUNK(TEXT("He"), "null", "")
                                   CHUNK(TEXT("\xc3\xa9\xf0\x9f\x98\x80\\\"\\n"), "null", "")
                                       CHUNK(TEXT("!"), "null", "")
                                           CHUNK("{}", "\"stop\"", "") "data: [DONE]\n\n");
    buf_fini(&out);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(with_usage_every_chunk_says_so_and_the_last_has_it)
{
    struct chat_format f = format_make(true);
    struct base_buf out;
    buf_init(&out, MEM_API, 1 << 16);
    ck_assert_int_eq(stream_write(&f, VALET_FINISH_LENGTH, &out), OK);
#define NO ",\"usage\":null"
    ck_assert_str_eq(out.data,
                     CHUNK(ROLE, "null", NO) CHUNK(TEXT("He"), "null", NO)
                         CHUNK(TEXT("\xc3\xa9\xf0\x9f\x98\x80\\\"\\n"), "null", NO)
                             CHUNK(TEXT("!"), "null", NO) CHUNK("{}", "\"length\"", NO)
                                 "data: " HEAD "],\"usage\":" USAGE "}\n\ndata: [DONE]\n\n");
    buf_fini(&out);
}
END_TEST

START_TEST(an_error_in_a_stream_is_a_frame_and_done)
{
    struct api_error error;
    struct base_buf out;
    buf_init(&out, MEM_API, 1 << 16);
    api_error_set(&error, API_DRAINING, NULL, "bye");
    ck_assert_int_eq(chat_format_error(&error, &out), OK);
    ck_assert_str_eq(out.data, "data: {\"error\":{\"message\":\"bye\",\"type\":"
                               "\"overloaded_error\",\"param\":null,\"code\":\"draining\"}}\n\n"
                               "data: [DONE]\n\n");
    buf_fini(&out);
}
END_TEST

START_TEST(a_completion_is_one_object)
{
    struct chat_format f = format_make(false);
    struct base_buf out;
    struct valet_event last = token(4, "", VALET_FINISH_STOP);
    buf_init(&out, MEM_API, 1 << 16);
    chat_format_note(&f, &last);
    ck_assert_int_eq(chat_format_completion(&f, "H\xc3\xa9\"", 4, &out), OK);
    ck_assert_str_eq(
        out.data,
        "{\"id\":\"chatcmpl-x\",\"object\":\"chat.completion\",\"created\":1763900000,"
        "\"model\":\"m\",\"system_fingerprint\":\"b0\",\"service_tier\":\"default\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"H\xc3\xa9\\\"\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":" USAGE "}");
    buf_fini(&out);
}
END_TEST

START_TEST(what_does_not_fit_leaves_nothing_behind)
{
    struct chat_format f = format_make(true);
    struct base_buf out;
    for (size_t max = 0; max < 300; max += 7) {
        buf_init(&out, MEM_API, max);
        ck_assert_int_ne(chat_format_end(&f, &out), OK);
        ck_assert_uint_eq(out.len, 0);
        buf_fini(&out);
    }
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_allocations_are_an_error)
{
    for (unsigned n = 1;; n++) {
        struct chat_format f = format_make(true);
        struct base_buf out;
        buf_init(&out, MEM_API, 1 << 16);
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = stream_write(&f, VALET_FINISH_STOP, &out);
        bool fired = fault_disarm();
        buf_fini(&out);
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
    tcase_add_test(tcase, an_error_in_a_stream_is_a_frame_and_done);
    tcase_add_test(tcase, a_completion_is_one_object);
    tcase_add_test(tcase, what_does_not_fit_leaves_nothing_behind);
#if VALET_CHECKS
    tcase_add_test(tcase, refused_allocations_are_an_error);
#endif
    return suite_run("chat_format", tcase);
}
