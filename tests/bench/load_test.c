/* The parts of the load generator that read answers, count times and write requests. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "base/base_test.h"
#include "event.h"
#include "histogram.h"
#include "prompt.h"
#include "request.h"
#include "sse.h"

/* ---- histogram ---- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

START_TEST(percentiles_are_those_of_the_sorted_samples)
{
    enum {
        COUNT = 20000
    };
    static uint64_t samples[COUNT];
    struct histogram *h = calloc(1, sizeof *h);
    uint64_t state = 1;
    for (int i = 0; i < COUNT; i++) {
        samples[i] = prompt_random(&state) >> (prompt_random(&state) % 64);
        histogram_add(h, samples[i]);
    }
    qsort(samples, COUNT, sizeof *samples, compare);
    for (int percent = 1; percent <= 100; percent++) {
        uint64_t exact = samples[COUNT * percent / 100 - 1];
        uint64_t got = histogram_percentile(h, percent);
        ck_assert_uint_ge(got, exact);
        ck_assert_uint_le(got - exact, exact / 256);
    }
    ck_assert_uint_eq(h->count, COUNT);
    ck_assert_uint_eq(h->min, samples[0]);
    ck_assert_uint_eq(histogram_percentile(h, 100), samples[COUNT - 1]);
    free(h);
}
END_TEST

START_TEST(histogram_keeps_the_extremes)
{
    struct histogram *h = calloc(1, sizeof *h);
    ck_assert_uint_eq(histogram_percentile(h, 50), 0);
    ck_assert(histogram_mean(h) == 0);
    histogram_add(h, UINT64_MAX);
    ck_assert_uint_eq(h->min, UINT64_MAX);
    histogram_add(h, 0);
    histogram_add(h, 0);
    ck_assert_uint_eq(histogram_percentile(h, 0), 0);
    ck_assert_uint_eq(histogram_percentile(h, 66.6), 0);
    ck_assert_uint_eq(histogram_percentile(h, 66.7), UINT64_MAX);
    ck_assert_uint_eq(h->min, 0);
    free(h);
}
END_TEST

/* ---- answers ---- */

struct text {
    char bytes[4096];
    size_t len;
};

static void collect(void *arg, const char *data, size_t len)
{
    struct text *t = arg;
    ck_assert_uint_le(t->len + len, sizeof t->bytes);
    memcpy(t->bytes + t->len, data, len);
    t->len += len;
}

/* Feeds pieces of `step` bytes; gives how many bytes were the answer's. */
static size_t feed(struct answer *a, const char *wire, size_t step, struct text *body)
{
    size_t len = strlen(wire);
    size_t used = 0;
    body->len = 0;
    answer_start(a);
    while (used < len && a->state != ANSWER_DONE && a->state != ANSWER_BAD) {
        size_t n = len - used < step ? len - used : step;
        used += answer_feed(a, wire + used, n, collect, body);
    }
    return used;
}

static const struct {
    const char *wire;
    const char *body;
    int status;
    int64_t retry_ms;
    bool closes;
    bool is_event_stream;
} g_answers[] = {
    { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, -1, false, false },
    { "HTTP/1.1 204 No Content\r\n\r\n", "", 204, -1, false, false },
    { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n"
      "content-length: 0\r\n\r\n",
      "", 200, -1, true, false },
    { "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nretry-after-ms: 1304\r\n"
      "Content-Length: 2\r\n\r\n{}",
      "{}", 429, 1304, false, false },
    { "HTTP/1.1 503 No\r\nretry-after-ms: 7\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", "",
      503, 7, false, false },
    { "HTTP/1.1 503 No\r\nRetry-After: 999999999\r\nContent-Length: 0\r\n\r\n", "", 503,
      ANSWER_RETRY_MS_MAX, false, false },
    { "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
      "Transfer-Encoding: chunked\r\n\r\n"
      "4\r\ndata\r\nA;x=y\r\n: 12345678\r\n0\r\nTrailer: 1\r\n\r\n",
      "data: 12345678", 200, -1, false, true },
    { "HTTP/1.0 200 OK\nContent-Length: 2\n\nok", "ok", 200, -1, true, false },
};

START_TEST(answers_are_read_from_pieces_of_any_size)
{
    struct answer *a = malloc(sizeof *a);
    struct text body;
    for (size_t i = 0; i < sizeof g_answers / sizeof g_answers[0]; i++) {
        const char *wire = g_answers[i].wire;
        for (size_t step = 1; step <= strlen(wire); step++) {
            ck_assert_uint_eq(feed(a, wire, step, &body), strlen(wire));
            ck_assert_int_eq(a->state, ANSWER_DONE);
            ck_assert_int_eq(a->status, g_answers[i].status);
            ck_assert_int_eq(a->retry_ms, g_answers[i].retry_ms);
            ck_assert_int_eq(a->closes, g_answers[i].closes);
            ck_assert_int_eq(a->is_event_stream, g_answers[i].is_event_stream);
            ck_assert_uint_eq(body.len, strlen(g_answers[i].body));
            ck_assert_mem_eq(body.bytes, g_answers[i].body, body.len);
        }
    }
    free(a);
}
END_TEST

START_TEST(answer_takes_no_byte_behind_its_end)
{
    struct answer *a = malloc(sizeof *a);
    struct text body;
    const char *wire = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP";
    ck_assert_uint_eq(feed(a, wire, 1000, &body), strlen(wire) - 4);
    free(a);
}
END_TEST

START_TEST(cut_answer_is_not_complete)
{
    static const char *const wires[] = {
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    };
    struct answer *a = malloc(sizeof *a);
    struct text body;
    for (size_t i = 0; i < sizeof wires / sizeof wires[0]; i++) {
        feed(a, wires[i], 3, &body);
        ck_assert_int_ne(a->state, ANSWER_DONE);
        ck_assert(!answer_end(a));
    }
    feed(a, "HTTP/1.1 200 OK\r\n\r\nto the end", 3, &body);
    ck_assert(answer_end(a));
    ck_assert(a->closes);
    free(a);
}
END_TEST

START_TEST(what_is_no_http_is_bad)
{
    static const char *const wires[] = {
        "SSH-2.0\r\n",
        "HTTP/2 200\r\n",
        "HTTP/1.1 20\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    };
    static char long_line[ANSWER_LINE_MAX + 2];
    struct answer *a = malloc(sizeof *a);
    struct text body;
    for (size_t i = 0; i < sizeof wires / sizeof wires[0]; i++) {
        feed(a, wires[i], 1, &body);
        ck_assert_int_eq(a->state, ANSWER_BAD);
        ck_assert(!answer_end(a));
    }
    memset(long_line, 'x', sizeof long_line - 1);
    feed(a, long_line, 100, &body);
    ck_assert_int_eq(a->state, ANSWER_BAD);
    free(a);
}
END_TEST

/* ---- server-sent events ---- */

static void collect_event(void *arg, const char *data, size_t len)
{
    ck_assert_uint_eq(strlen(data), len);
    collect(arg, data, len);
    collect(arg, "|", 1);
}

START_TEST(events_are_read_from_pieces_of_any_size)
{
    const char *wire = ": ping\n\ndata: {\"a\":1}\n\nevent: x\nid: 7\ndata:one\r\ndata: two\r\n\r\n"
                       "data\n\ndata:\n\ndata: [DONE]\n\ndata: no end";
    const char *expected = "{\"a\":1}|one\ntwo||[DONE]|";
    struct sse *s = malloc(sizeof *s);
    for (size_t step = 1; step <= strlen(wire); step++) {
        struct text seen = { .len = 0 };
        sse_start(s);
        for (size_t at = 0; at < strlen(wire); at += step) {
            size_t left = strlen(wire) - at;
            sse_feed(s, wire + at, left < step ? left : step, collect_event, &seen);
        }
        ck_assert_uint_eq(seen.len, strlen(expected));
        ck_assert_mem_eq(seen.bytes, expected, seen.len);
        ck_assert_uint_eq(s->too_long, 0);
    }
    free(s);
}
END_TEST

START_TEST(event_over_the_limit_is_counted_and_the_next_one_read)
{
    static char big[2 * SSE_DATA_MAX];
    for (size_t step = 1; step < 3; step++) {
        struct sse *s = malloc(sizeof *s);
        struct text seen = { .len = 0 };
        memset(big, 'x', sizeof big);
        sse_start(s);
        sse_feed(s, "data: ", 6, collect_event, &seen);
        for (size_t at = 0; at < sizeof big; at += sizeof big / step)
            sse_feed(s, big + at, sizeof big / step, collect_event, &seen);
        sse_feed(s, "\n\ndata: next\n\n", 14, collect_event, &seen);
        ck_assert_uint_eq(s->too_long, 1);
        ck_assert_uint_eq(seen.len, 5);
        ck_assert_mem_eq(seen.bytes, "next|", 5);
        free(s);
    }
}
END_TEST

/* ---- what an event says ---- */

static struct event parse(const char *json)
{
    struct event e;
    event_parse(&e, json, strlen(json));
    return e;
}

START_TEST(events_tell_text_usage_and_errors)
{
    ck_assert(parse("{\"choices\":[{\"text\":\" a\"}]}").has_text);
    ck_assert(parse("{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}").has_text);
    ck_assert(parse("{\"choices\":[{\"message\":{\"content\":\"a\"}}]}").has_text);
    ck_assert(
        !parse("{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}").has_text);
    ck_assert(!parse("{\"choices\":[{\"delta\":{\"content\":null}}]}").has_text);
    ck_assert(!parse("{\"choices\":[]}").has_text);

    struct event usage = parse("{\"choices\":[],\"usage\":{\"prompt_tokens\":7,"
                               "\"completion_tokens\":3}}");
    ck_assert_int_eq(usage.prompt_tokens, 7);
    ck_assert_int_eq(usage.completion_tokens, 3);
    ck_assert_int_eq(parse("{\"usage\":null}").prompt_tokens, -1);

    struct event error = parse("{\"error\":{\"type\":\"x\",\"code\":\"queue_full\"}}");
    ck_assert(error.is_error);
    ck_assert_str_eq(error.code, "queue_full");
    ck_assert_str_eq(parse("{\"error\":{\"type\":\"a b\",\"code\":503}}").code, "a_b");
    ck_assert(!parse("{\"error\":null}").is_error);
    ck_assert(!parse("[1]").is_json);
    ck_assert(!parse("{").is_json);
}
END_TEST

/* ---- requests ---- */

static size_t words_of(const char *text)
{
    size_t count = 1;
    for (; *text; text++)
        count += *text == ' ';
    return count;
}

START_TEST(prompts_are_functions_of_seed_and_number)
{
    char a[1000];
    char b[1000];
    prompt_write(a, sizeof a, 5, 9, 100, 0);
    ck_assert_uint_eq(prompt_write(b, sizeof b, 5, 9, 100, 0), strlen(a));
    ck_assert_str_eq(a, b);
    ck_assert_uint_eq(words_of(a), 100);
    prompt_write(b, sizeof b, 5, 10, 100, 0);
    ck_assert_str_ne(a, b);
    prompt_write(b, sizeof b, 6, 9, 100, 0);
    ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(shared_prefix_is_shared_and_the_rest_is_not)
{
    char a[1000];
    char b[1000];
    char common[1000];
    size_t len = prompt_write(common, sizeof common, 5, 1, 40, 40);
    prompt_write(a, sizeof a, 5, 1, 100, 40);
    prompt_write(b, sizeof b, 5, 2, 100, 40);
    ck_assert_mem_eq(a, common, len);
    ck_assert_mem_eq(b, common, len);
    ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(request_has_the_length_that_its_head_says)
{
    const struct load_options plain = { .port = 65535, .prompt_words = 3, .max_tokens = 4 };
    struct load_options full = plain;
    full.is_chat = full.is_plain = true;
    full.model = "m";
    full.priority = "high";
    full.headers[full.header_count++] = "Authorization: Bearer x";
    full.fields[full.field_count++] = "\"seed\":1";
    for (int i = 0; i < 2; i++) {
        const struct load_options *o = i ? &full : &plain;
        size_t size = request_bytes_max(o);
        char *out = calloc(1, size + 1);
        char prompt[100];
        size_t len = request_write(out, size, o, 1, prompt);
        const char *body = strstr(out, "\r\n\r\n") + 4;
        const char *length = strstr(out, "Content-Length: ") + 16;
        ck_assert_uint_eq(strtoull(length, NULL, 10), strlen(body));
        ck_assert_uint_eq(len, strlen(out));
        struct event e = parse(body);
        ck_assert(e.is_json);
        ck_assert_int_eq(strstr(out, "X-Valet-Priority: high\r\n") != NULL, i);
        ck_assert_int_eq(strstr(out, "Authorization: Bearer x\r\n") != NULL, i);
        ck_assert_int_eq(strstr(body, ",\"seed\":1}") != NULL, i);
        ck_assert_int_eq(strstr(body, "\"stream\":true") != NULL, !i);
        free(out);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("load");
    TCase *tcase = tcase_create("load");
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, percentiles_are_those_of_the_sorted_samples);
    tcase_add_test(tcase, histogram_keeps_the_extremes);
    tcase_add_test(tcase, answers_are_read_from_pieces_of_any_size);
    tcase_add_test(tcase, answer_takes_no_byte_behind_its_end);
    tcase_add_test(tcase, cut_answer_is_not_complete);
    tcase_add_test(tcase, what_is_no_http_is_bad);
    tcase_add_test(tcase, events_are_read_from_pieces_of_any_size);
    tcase_add_test(tcase, event_over_the_limit_is_counted_and_the_next_one_read);
    tcase_add_test(tcase, events_tell_text_usage_and_errors);
    tcase_add_test(tcase, prompts_are_functions_of_seed_and_number);
    tcase_add_test(tcase, shared_prefix_is_shared_and_the_rest_is_not);
    tcase_add_test(tcase, request_has_the_length_that_its_head_says);
    return run_suite(suite);
}
