/* Answers that are made below the routes have what all answers have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "client.h"
#include "rig.h"
#include "suite.h"

#define CHAT_HEAD "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
#define JSON_TYPE "Content-Type: application/json\r\n"

enum {
    ID_SIZE = 160
};

static const struct rig_options g_options = { .slots = 2, .blocks = 256, .queue_count_max = 4 };

static void ask(struct rig *r, const char *text, struct answer *out)
{
    struct client c;
    client_open(&c, r->port, 0);
    client_send_text(&c, text);
    client_read(&c, false, out);
    client_close(&c);
}

/* Gives the id of an answer, and that it is one of ours or the client's. */
static void expect_id(const struct answer *a, const char *given)
{
    char id[ID_SIZE];
    ck_assert_msg(answer_field(a, "X-Request-Id", id, sizeof id), "no id: %s", a->head.data);
    if (given)
        ck_assert_str_eq(id, given);
    else
        ck_assert_msg(strncmp(id, "req_", 4) == 0 && strlen(id) == 4 + 26, "%s", id);
}

START_TEST(every_refusal_has_a_request_id)
{
    static const struct {
        const char *text;
        int status;
        const char *code;
        const char *id; /* the client's own; NULL: a new one */
    } rows[] = {
        { "GET / HTTP/1.1\r\nX-Request-Id: mine\r\nHost: a\r\nA B: c\r\n\r\n", 400,
          "invalid_request", NULL },
        { "GET /\r\n\r\n", 400, "invalid_request", NULL },
        { "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "version_not_supported", NULL },
        { CHAT_HEAD "X-Request-Id: mine\r\nContent-Length: 99999999\r\n\r\n", 413, "body_too_large",
          "mine" },
        { CHAT_HEAD JSON_TYPE "X-Request-Id: mine\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400,
          "invalid_request", "mine" },
        { CHAT_HEAD "X-Request-Id: mine\r\nExpect: tea\r\n\r\n", 417, "expectation_failed",
          "mine" },
        { CHAT_HEAD "X-Request-Id: m\xc3\xa9\r\nExpect: tea\r\n\r\n", 417, "expectation_failed",
          NULL },
        { CHAT_HEAD "X-Request-Id: mine\r\n\r\n", 415, "unsupported_media_type", "mine" },
    };
    struct rig r;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a;
        ask(&r, rows[i].text, &a);
        expect_id(&a, rows[i].id);
        answer_error(&a, rows[i].status, rows[i].code);
    }
    static char line[16384];
    struct answer a;
    snprintf(line, sizeof line, "GET /%09000d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    ask(&r, line, &a);
    expect_id(&a, NULL);
    answer_error(&a, 414, "uri_too_long");
    rig_stop(&r);
}
END_TEST

START_TEST(ids_of_refusals_differ)
{
    struct rig r;
    struct answer a;
    char first[ID_SIZE];
    char second[ID_SIZE];
    rig_start(&r, &g_options, SCRIPT_ECHO);
    ask(&r, "GET /\r\n\r\n", &a);
    ck_assert(answer_field(&a, "X-Request-Id", first, sizeof first));
    answer_fini(&a);
    ask(&r, "GET /\r\n\r\n", &a);
    ck_assert(answer_field(&a, "X-Request-Id", second, sizeof second));
    answer_fini(&a);
    ck_assert_str_ne(first, second);
    rig_stop(&r);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("refusals");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_refusal_has_a_request_id);
    tcase_add_test(tcase, ids_of_refusals_differ);
    return suite_run("refusals", tcase);
}
