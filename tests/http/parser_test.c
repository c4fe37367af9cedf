#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "http/hostile.h"
#include "http/parser.h"

enum {
    AREA_BYTES = 256 * 1024,
    FIELDS_MAX = 100,
    BODY_MAX = HOSTILE_BODY_MAX
};

static const struct http_limits g_limits = {
    .request_line_bytes_max = 8 * 1024,
    .header_bytes_max = 16 * 1024,
    .field_count_max = FIELDS_MAX,
    .body_bytes_max = BODY_MAX,
};

/* Memory whose end is followed by a page that nobody may read. */
static char *g_area_end;
static char *g_head_end;

static char *map_area(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p =
        mmap(NULL, AREA_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(p, MAP_FAILED);
    ck_assert_int_eq(mprotect(p + AREA_BYTES, page, PROT_NONE), 0);
    return p + AREA_BYTES;
}

static void setup(void)
{
    g_area_end = map_area();
    g_head_end = map_area();
}

static const char *at_page_end(char *area_end, const char *data, size_t len)
{
    ck_assert_uint_le(len, AREA_BYTES);
    if (len)
        memcpy(area_end - len, data, len);
    return area_end - len;
}

/* Everything the parser says of one request that comes in pieces. */
struct outcome {
    enum http_parse state;
    enum http_rule rule;
    size_t used;
    struct http_head head;
    struct http_field fields[FIELDS_MAX];
    char block[32 * 1024];
    size_t block_len;
    char body[BODY_MAX];
    size_t body_len;
    struct http_scan scan;
    struct http_framing framing;
    bool is_in_body;
};

static void outcome_init(struct outcome *o)
{
    memset(o, 0, sizeof *o);
    http_scan_init(&o->scan);
}

static void head_done(struct outcome *o, const struct http_limits *limits)
{
    const char *block = at_page_end(g_head_end, o->block, o->block_len);
    o->rule = http_head_parse(block, o->block_len, limits, o->fields, &o->head);
    ck_assert_uint_eq(o->rule ? o->scan.field_count : o->head.field_count, o->scan.field_count);
    o->state = o->rule ? HTTP_PARSE_REFUSED : HTTP_PARSE_DONE;
    if (o->rule || !http_head_has_body(&o->head))
        return;
    o->state = HTTP_PARSE_MORE;
    o->is_in_body = true;
    http_framing_init(&o->framing, &o->head);
}

static size_t feed_once(struct outcome *o, const struct http_limits *limits, const char *data,
                        size_t len)
{
    size_t used;
    if (!o->is_in_body) {
        o->state = http_scan_feed(&o->scan, limits, data, len, &used);
        o->rule = o->scan.rule;
        ck_assert_uint_le(o->block_len + used, sizeof o->block);
        memcpy(o->block + o->block_len, data, used);
        o->block_len += used;
        if (o->state == HTTP_PARSE_DONE)
            head_done(o, limits);
    } else {
        struct http_str piece;
        o->state = http_framing_feed(&o->framing, limits, data, len, &used, &piece);
        o->rule = o->framing.rule;
        ck_assert_uint_le(o->body_len + piece.len, sizeof o->body);
        memcpy(o->body + o->body_len, piece.data, piece.len);
        o->body_len += piece.len;
    }
    ck_assert_uint_le(used, len);
    return used;
}

static void feed(struct outcome *o, const struct http_limits *limits, const char *data, size_t len)
{
    const char *at = at_page_end(g_area_end, data, len);
    size_t done = 0;
    while (done < len && o->state == HTTP_PARSE_MORE) {
        size_t used = feed_once(o, limits, at + done, len - done);
        ck_assert_uint_ge(used, 1);
        done += used;
        ck_assert(done == len || o->state != HTTP_PARSE_MORE || o->is_in_body);
    }
    o->used += done;
}

static struct outcome *parse(const char *data, size_t len)
{
    static struct outcome o;
    outcome_init(&o);
    feed(&o, &g_limits, data, len);
    return &o;
}

static struct outcome *parse_text(const char *text)
{
    return parse(text, strlen(text));
}

static void assert_str(struct http_str s, const char *expected)
{
    if (!http_str_is(s, expected))
        ck_abort_msg("'%.*s' is not '%s'", (int)s.len, s.data, expected);
}

/* The same result, whatever the pieces. */
static void assert_same(const struct outcome *a, const struct outcome *b)
{
    ck_assert_int_eq(a->state, b->state);
    ck_assert_int_eq(a->rule, b->rule);
    ck_assert_uint_eq(a->used, b->used);
    ck_assert_uint_eq(a->block_len, b->block_len);
    ck_assert_mem_eq(a->block, b->block, a->block_len);
    ck_assert_uint_eq(a->body_len, b->body_len);
    ck_assert_mem_eq(a->body, b->body, a->body_len);
    ck_assert_uint_eq(a->head.field_count, b->head.field_count);
    ck_assert_int_eq(a->head.keep_alive, b->head.keep_alive);
    ck_assert_int_eq(a->head.chunked, b->head.chunked);
}

static void assert_split_anywhere(const char *data, size_t len)
{
    static struct outcome whole;
    static struct outcome o;
    whole = *parse(data, len);
    for (size_t cut = 0; cut <= len; cut++) {
        outcome_init(&o);
        feed(&o, &g_limits, data, cut);
        feed(&o, &g_limits, data + cut, len - cut);
        assert_same(&whole, &o);
    }
    outcome_init(&o);
    for (size_t i = 0; i < len; i++)
        feed(&o, &g_limits, data + i, 1);
    assert_same(&whole, &o);
}

/* ---- what is refused ---- */

static void expect_refused(const struct probe *probe)
{
    size_t len = probe_len(probe);
    struct outcome *o = parse(probe->text, len);
    if (o->state != HTTP_PARSE_REFUSED)
        ck_abort_msg("accepted, or not seen: %s", probe->text);
    struct http_rule_info info = http_rule_describe(o->rule);
    ck_assert_str_eq(info.name, probe->rule);
    ck_assert_int_eq(info.status, probe->status);
    ck_assert_uint_ge(strlen(info.message), 10);
    assert_split_anywhere(probe->text, len);
}

static void expect_row_refused(enum hostile_row row)
{
    size_t count = 0;
    for (size_t i = 0; i < PROBE_COUNT; i++) {
        if (g_probes[i].row != row)
            continue;
        expect_refused(&g_probes[i]);
        count++;
    }
    ck_assert_uint_gt(count, 0);
}

#define X(row, name)                                                                               \
    START_TEST(name)                                                                               \
    {                                                                                              \
        expect_row_refused(HOSTILE_##row);                                                         \
    }                                                                                              \
    END_TEST
HOSTILE_ROW_LIST(X)
#undef X

/* ---- what is accepted ---- */

static const char *const g_valid[] = {
    GET H "\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET /v1/models?limit=2&x=/../ HTTP/1.1\r\nHost: localhost:2000\r\nAccept: */*\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\n" H "\r\n",
    "GET http://A/x HTTP/1.1\r\n" H "\r\n",
    "GET HTTP://a?q HTTP/1.1\r\n" H "\r\n",
    "GET /a..b/.../..c HTTP/1.1\r\n" H "\r\n",
    "GET /%2f%20%C3%A4 HTTP/1.1\r\n" H "\r\n",
    "GET / HTTP/1.1\r\nHost: [::1]:2000\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n\r\n",
    "M!#$%&'*+-.^_`|~9 / HTTP/1.1\r\n" H "\r\n",
    GET H "A:\r\nB: \t \r\nC:x\r\nD: a\tb \xc3\xa4\xff\r\n\r\n",
    POST "Content-Length: 0\r\n\r\n",
    POST "Content-Length: 2\r\n\r\nab",
    POST "Content-Length: 000000000000000002\r\n\r\n\r\n",
    POST "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\nhello",
    POST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    CHUNKED "1\r\na\r\n0000000a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
    CHUNKED
    "2\r\n\r\n\r\n000\r\nA: x\r\nContent-Lengthy: 7\r\nContent-Lengt: 7\r\nTransfer: x\r\n\r\n",
    "POST / HTTP/1.0\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na",
};

enum {
    VALID_COUNT = sizeof g_valid / sizeof g_valid[0]
};

START_TEST(valid_request_is_the_same_in_any_pieces)
{
    size_t len = strlen(g_valid[_i]);
    struct outcome *o = parse(g_valid[_i], len);
    ck_assert_str_eq(http_rule_describe(o->rule).name, "none");
    ck_assert_int_eq(o->state, HTTP_PARSE_DONE);
    ck_assert_uint_eq(o->used, len);
    assert_split_anywhere(g_valid[_i], len);
}
END_TEST

START_TEST(truncated_request_never_completes)
{
    size_t len = strlen(g_valid[_i]);
    for (size_t cut = 0; cut < len; cut++)
        ck_assert_int_eq(parse(g_valid[_i], cut)->state, HTTP_PARSE_MORE);
}
END_TEST

START_TEST(next_request_is_left_alone)
{
    char text[1024];
    size_t len = strlen(g_valid[_i]);
    snprintf(text, sizeof text, "%s%s", g_valid[_i], g_valid[0]);
    ck_assert_uint_eq(parse_text(text)->used, len);
    memcpy(text + len, "\0\r\n\xff", 4);
    ck_assert_uint_eq(parse(text, len + 4)->used, len);
}
END_TEST

/* A changed byte may be refused or read otherwise; it must not be read beyond the input. */
START_TEST(changed_byte_is_survived)
{
    static const char bytes[] = "\0\r\n\t :;0g\x7f\xff";
    char text[1024];
    size_t len = strlen(g_valid[_i]);
    for (size_t at = 0; at < len; at++) {
        for (size_t b = 0; b < sizeof bytes; b++) {
            memcpy(text, g_valid[_i], len);
            text[at] = bytes[b];
            ck_assert_uint_le(parse(text, len)->used, len);
        }
    }
}
END_TEST

START_TEST(parts_of_a_request_are_found)
{
    const char *text = "POST /v1/x?a=b?c HTTP/1.1\r\n"
                       "Host: localhost:2000\r\n"
                       "X-Empty:\r\n"
                       "x-blank: \t  \t\r\n"
                       "X-Value:\t a b  c \r\n"
                       "X-Value: second\r\n"
                       "Content-Length: 5\r\n"
                       "\r\nhello";
    struct outcome *o = parse_text(text);
    ck_assert_int_eq(o->state, HTTP_PARSE_DONE);
    assert_str(o->head.method, "POST");
    assert_str(o->head.path, "/v1/x");
    assert_str(o->head.query, "a=b?c");
    ck_assert_uint_eq(o->head.content_length, 5);
    ck_assert(!o->head.chunked);
    ck_assert(!o->head.is_http_1_0);
    ck_assert(o->head.keep_alive);
    ck_assert_uint_eq(o->body_len, 5);
    ck_assert_mem_eq(o->body, "hello", 5);

    struct http_request request = { .fields = o->fields, .field_count = o->head.field_count };
    ck_assert_uint_eq(request.field_count, 6);
    assert_str(*http_request_field(&request, "HOST"), "localhost:2000");
    assert_str(*http_request_field(&request, "x-empty"), "");
    assert_str(*http_request_field(&request, "X-Blank"), "");
    assert_str(*http_request_field(&request, "X-VALUE"), "a b  c");
    ck_assert_ptr_null(http_request_field(&request, "X-Valu"));
    ck_assert_ptr_null(http_request_field(&request, "X-Values"));
    assert_str(o->fields[2].name, "x-blank");
}
END_TEST

START_TEST(chunks_are_joined_and_trailers_dropped)
{
    const char *text = CHUNKED "3\r\nabc\r\n00A\r\n0123456789\r\n0\r\nHost: b\r\nX: y\r\n\r\n";
    struct outcome *o = parse_text(text);
    ck_assert_int_eq(o->state, HTTP_PARSE_DONE);
    ck_assert_uint_eq(o->body_len, 13);
    ck_assert_mem_eq(o->body, "abc0123456789", 13);
    ck_assert_uint_eq(o->head.field_count, 2);
}
END_TEST

START_TEST(absolute_form_gives_its_path)
{
    struct outcome *o = parse_text("GET http://a/x?y HTTP/1.1\r\n" H "\r\n");
    ck_assert_int_eq(o->state, HTTP_PARSE_DONE);
    assert_str(o->head.path, "/x");
    assert_str(o->head.query, "y");
    o = parse_text("GET http://a?y HTTP/1.1\r\n" H "\r\n");
    ck_assert_int_eq(o->state, HTTP_PARSE_DONE);
    assert_str(o->head.path, "/");
    assert_str(o->head.query, "y");
    o = parse_text("GET http://A HTTP/1.1\r\n" H "\r\n");
    ck_assert_int_eq(o->state, HTTP_PARSE_DONE);
    assert_str(o->head.path, "/");
    assert_str(o->head.query, "");
}
END_TEST

static bool keeps_alive(const char *version, const char *fields)
{
    char text[512];
    snprintf(text, sizeof text, "GET / HTTP/%s\r\n" H "%s\r\n", version, fields);
    struct outcome *o = parse_text(text);
    ck_assert_int_eq(o->state, HTTP_PARSE_DONE);
    return o->head.keep_alive;
}

START_TEST(connection_options_decide_on_keep_alive)
{
    ck_assert(keeps_alive("1.1", ""));
    ck_assert(keeps_alive("1.1", "Connection: keep-alive\r\n"));
    ck_assert(keeps_alive("1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n"));
    ck_assert(keeps_alive("1.1", "Connection: closed\r\n"));
    ck_assert(keeps_alive("1.1", "X-Connection: close\r\n"));
    ck_assert(!keeps_alive("1.1", "Connection: close\r\n"));
    ck_assert(!keeps_alive("1.1", "connection: TE , Close\r\n"));
    ck_assert(!keeps_alive("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
    ck_assert(!keeps_alive("1.1", "Connection: ,close,\r\n"));
    ck_assert(!keeps_alive("1.0", ""));
    ck_assert(keeps_alive("1.0", "Connection: Keep-Alive\r\n"));
    ck_assert(!keeps_alive("1.0", "Connection: keep-alive, close\r\n"));
}
END_TEST

START_TEST(continue_is_expected_only_with_a_body)
{
    const char *with = POST "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    const char *chunked = POST "Transfer-Encoding: chunked\r\nExpect: 100-CONTINUE\r\n\r\n";
    const char *without = POST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n";
    const char *old = "POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    ck_assert(parse_text(with)->head.expects_continue);
    ck_assert(parse_text(chunked)->head.expects_continue);
    ck_assert(!parse_text(without)->head.expects_continue);
    ck_assert(!parse_text(old)->head.expects_continue);
}
END_TEST

/* ---- limits: the last that passes and the first that does not ---- */

static char g_big[64 * 1024];

static enum http_rule rule_of(size_t len)
{
    return parse(g_big, len)->rule;
}

START_TEST(request_line_limit_is_exact)
{
    for (int over = 0; over <= 1; over++) {
        int path = 8192 - 13 + over; /* "GET " and " HTTP/1.1" are 13 bytes */
        memset(g_big, 'a', sizeof g_big);
        memcpy(g_big, "GET /", 5);
        size_t at = 4 + (size_t)path;
        at += (size_t)sprintf(g_big + at, " HTTP/1.1\r\n" H "\r\n");
        enum http_rule rule = rule_of(at);
        ck_assert_int_eq(rule, over ? HTTP_RULE_LINE_TOO_LONG : HTTP_RULE_NONE);
        ck_assert_int_eq(http_rule_describe(rule).status, over ? 414 : 0);
    }
}
END_TEST

START_TEST(endless_request_line_is_refused_at_the_limit)
{
    memset(g_big, 'a', sizeof g_big);
    struct outcome *o = parse(g_big, 20000);
    ck_assert_int_eq(o->rule, HTTP_RULE_LINE_TOO_LONG);
    ck_assert_uint_eq(o->used, 8193);
}
END_TEST

START_TEST(header_limit_is_exact)
{
    for (int over = 0; over <= 1; over++) {
        size_t at = (size_t)sprintf(g_big, GET H "A: ");
        size_t line = strlen(GET);
        size_t end = line + 16384 - 4 + (size_t)over;
        memset(g_big + at, 'x', end - at);
        at = end + (size_t)sprintf(g_big + end, "\r\n\r\n");
        enum http_rule rule = rule_of(at);
        ck_assert_int_eq(rule, over ? HTTP_RULE_HEAD_TOO_LARGE : HTTP_RULE_NONE);
        ck_assert_int_eq(http_rule_describe(rule).status, over ? 431 : 0);
    }
}
END_TEST

START_TEST(field_count_limit_is_exact)
{
    for (int over = 0; over <= 1; over++) {
        size_t at = (size_t)sprintf(g_big, GET H);
        for (int i = 1; i < 100 + over; i++)
            at += (size_t)sprintf(g_big + at, "A: b\r\n");
        at += (size_t)sprintf(g_big + at, "\r\n");
        enum http_rule rule = rule_of(at);
        ck_assert_int_eq(rule, over ? HTTP_RULE_TOO_MANY_FIELDS : HTTP_RULE_NONE);
        ck_assert_int_eq(http_rule_describe(rule).status, over ? 431 : 0);
    }
}
END_TEST

START_TEST(trailers_are_bounded_like_headers)
{
    for (int over = 0; over <= 1; over++) {
        size_t at = (size_t)sprintf(g_big, CHUNKED "0\r\n");
        for (int i = 0; i < 100 + over; i++)
            at += (size_t)sprintf(g_big + at, "A: b\r\n");
        at += (size_t)sprintf(g_big + at, "\r\n");
        ck_assert_int_eq(rule_of(at), over ? HTTP_RULE_TOO_MANY_FIELDS : HTTP_RULE_NONE);
    }
    size_t at = (size_t)sprintf(g_big, CHUNKED "0\r\nA: ");
    memset(g_big + at, 'x', 20000);
    ck_assert_int_eq(rule_of(at + 20000), HTTP_RULE_HEAD_TOO_LARGE);
}
END_TEST

START_TEST(body_limit_is_exact)
{
    for (int over = 0; over <= 1; over++) {
        size_t at = (size_t)sprintf(g_big, POST "Content-Length: %d\r\n\r\n", BODY_MAX + over);
        memset(g_big + at, 'x', BODY_MAX);
        struct outcome *o = parse(g_big, at + BODY_MAX);
        ck_assert_int_eq(o->rule, over ? HTTP_RULE_BODY_TOO_LARGE : HTTP_RULE_NONE);
        ck_assert_uint_eq(o->body_len, over ? 0 : BODY_MAX);

        at = (size_t)sprintf(g_big, CHUNKED "%x\r\n", BODY_MAX - 10);
        memset(g_big + at, 'x', BODY_MAX - 10);
        at += BODY_MAX - 10;
        at += (size_t)sprintf(g_big + at, "\r\n%x\r\n0123456789x", 10 + over);
        o = parse(g_big, at - 1);
        ck_assert_int_eq(o->rule, over ? HTTP_RULE_BODY_TOO_LARGE : HTTP_RULE_NONE);
        ck_assert_uint_eq(o->body_len, over ? BODY_MAX - 10 : BODY_MAX);
    }
}
END_TEST

START_TEST(each_rule_has_its_texts)
{
    for (int rule = HTTP_RULE_NONE + 1; rule <= HTTP_RULE_DRAINING; rule++) {
        struct http_rule_info info = http_rule_describe((enum http_rule)rule);
        ck_assert_int_ge(info.status, 400);
        ck_assert_int_lt(info.status, 600);
        ck_assert_str_ne(http_status_text(info.status), "");
        ck_assert_ptr_nonnull(info.code);
    }
    ck_assert_str_eq(http_rule_describe(HTTP_RULE_BODY_TIMEOUT).code, "request_timeout");
    ck_assert_str_eq(http_rule_describe(HTTP_RULE_BODY_TOO_LARGE).code, "body_too_large");
    ck_assert_str_eq(http_rule_describe(HTTP_RULE_LINE_TOO_LONG).code, "uri_too_long");
    ck_assert_str_eq(http_rule_describe(HTTP_RULE_TOO_MANY_FIELDS).code, "headers_too_large");
    ck_assert_str_eq(http_rule_describe(HTTP_RULE_OVERLOADED).code, "overloaded");
    ck_assert_str_eq(http_rule_describe(HTTP_RULE_BARE_LF).code, "invalid_request");
    ck_assert_str_eq(http_status_text(799), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.parser");
    TCase *tc = tcase_create("parser");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, NULL);
#define X(row, name) tcase_add_test(tc, name);
    HOSTILE_ROW_LIST(X)
#undef X
    tcase_add_loop_test(tc, valid_request_is_the_same_in_any_pieces, 0, VALID_COUNT);
    tcase_add_loop_test(tc, truncated_request_never_completes, 0, VALID_COUNT);
    tcase_add_loop_test(tc, next_request_is_left_alone, 0, VALID_COUNT);
    tcase_add_loop_test(tc, changed_byte_is_survived, 0, VALID_COUNT);
    tcase_add_test(tc, parts_of_a_request_are_found);
    tcase_add_test(tc, chunks_are_joined_and_trailers_dropped);
    tcase_add_test(tc, absolute_form_gives_its_path);
    tcase_add_test(tc, connection_options_decide_on_keep_alive);
    tcase_add_test(tc, continue_is_expected_only_with_a_body);
    tcase_add_test(tc, request_line_limit_is_exact);
    tcase_add_test(tc, endless_request_line_is_refused_at_the_limit);
    tcase_add_test(tc, header_limit_is_exact);
    tcase_add_test(tc, field_count_limit_is_exact);
    tcase_add_test(tc, trailers_are_bounded_like_headers);
    tcase_add_test(tc, body_limit_is_exact);
    tcase_add_test(tc, each_rule_has_its_texts);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
