/*
 * Each allocation of a request refused in turn, from the connection to the end of its answer: a
 * right answer, or an error that says that there is no room, or a cut connection; a stream
 * breaks off between two events at most once, with such an error. Nothing is left.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "client.h"
#include "rig.h"
#include "suite.h"

#if VALET_CHECKS

enum {
    ANSWER_BYTES_MAX = 32 * 1024,
    FAULTS_MAX = 500
};

static const struct rig_key g_keys[] = {
    { "fault-key",
      { .tenant = "acme",
        .scopes = API_SCOPE_INFER,
        .requests_per_min = 1000,
        .tokens_per_min = 1000000,
        .in_flight_max = 4,
        .running_max = 2 } },
};

static const struct rig_options g_options = {
    .slots = 4, .blocks = 512, .queue_count_max = 8, .keys = g_keys, .key_count = 1
};

struct row {
    const char *path;
    const char *body;
};

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"seed\":1,\"n\":2"
#define XY "\"prompt\":[\"x\",\"y\"],\"seed\":1,\"echo\":true,\"logprobs\":2,\"stop\":\"q\""
#define STREAM "\"stream\":true,\"stream_options\":{\"include_usage\":true}"

static const struct row g_rows[] = {
    { "/v1/chat/completions", "{" HI ",\"logprobs\":true,\"top_logprobs\":2,\"max_tokens\":3}" },
    { "/v1/chat/completions", "{" HI ",\"logprobs\":true," STREAM "}" },
    { "/v1/completions", "{" XY ",\"best_of\":2}" },
    { "/v1/completions", "{" XY "," STREAM "}" },
};

enum {
    ROW_COUNT = sizeof g_rows / sizeof g_rows[0]
};

struct seen {
    int status; /* 0: cut off before the answer had begun */
    bool is_whole;
    char body[ANSWER_BYTES_MAX]; /* without what differs from run to run */
};

/* ---- the client ---- */

static size_t receive_all(int fd, char *out)
{
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, out + len, ANSWER_BYTES_MAX - 1 - len, 0)) > 0) {
        len += (size_t)n;
        ck_assert_uint_lt(len, ANSWER_BYTES_MAX - 1);
    }
    ck_assert(n == 0 || errno == ECONNRESET);
    out[len] = '\0';
    return len;
}

/* Joins the chunks in place; false if the last one is missing. */
static bool join_chunks(char *body)
{
    char *to = body;
    char *at = body;
    for (;;) {
        char *end;
        size_t n = strtoul(at, &end, 16);
        if (end == at || strncmp(end, "\r\n", 2) != 0 || strlen(end + 2) < n)
            break;
        memmove(to, end + 2, n);
        to += n;
        if (n == 0) {
            *to = '\0';
            return true;
        }
        at = end + 2 + n + 2;
    }
    *to = '\0';
    return false;
}

/* Ids become "#", numbers that are times "0". */
static void mask(char *body)
{
    static const char *const names[] = { "\"id\":\"chatcmpl-", "\"id\":\"cmpl-",
                                         "\"created\":", "_ms\":" };
    char *to = body;
    for (const char *at = body; *at;) {
        size_t hit = 0;
        for (size_t i = 0; i < sizeof names / sizeof names[0] && !hit; i++)
            hit = strncmp(at, names[i], strlen(names[i])) == 0 ? strlen(names[i]) : 0;
        if (!hit) {
            *to++ = *at++;
            continue;
        }
        memmove(to, at, hit);
        to += hit;
        at += hit;
        at += strcspn(at, "\",}");
        *to++ = '#';
    }
    *to = '\0';
}

static void ask(uint16_t port, const struct row *row, struct seen *out)
{
    char text[2048];
    char answer[ANSWER_BYTES_MAX];
    struct client c;
    int n = snprintf(text, sizeof text,
                     "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                     "Authorization: Bearer fault-key\r\nX-Valet-Priority: high\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     row->path, strlen(row->body), row->body);
    *out = (struct seen){ 0 };
    client_open(&c, port, 0);
    send(c.fd, text, (size_t)n, MSG_NOSIGNAL);
    receive_all(c.fd, answer);
    client_close(&c);
    char *body = strstr(answer, "\r\n\r\n");
    if (!body || sscanf(answer, "HTTP/1.1 %d ", &out->status) != 1)
        return;
    const char *length = strstr(answer, "Content-Length: ");
    memmove(out->body, body + 4, strlen(body + 4) + 1);
    if (length && length < body)
        out->is_whole = strlen(body + 4) == strtoul(length + 16, NULL, 10);
    else
        out->is_whole = join_chunks(out->body);
    mask(out->body);
}

/* ---- what may come ---- */

static bool is_error(const char *body)
{
    return strstr(body, "\"error\"") && strstr(body, "\"server_full\"");
}

/* What came of a stream: as it should be, up to an error event or the cut. */
static void check_stream(const struct seen *seen, const char *right)
{
    static const char error[] = "data: {\"error\"";
    const char *end = strstr(seen->body, error);
    size_t len = end ? (size_t)(end - seen->body) : strlen(seen->body);
    ck_assert_msg(strncmp(seen->body, right, len) == 0, "got %.1000s, not %.1000s", seen->body,
                  right);
    ck_assert(len == 0 || !end || memcmp(end - 2, "\n\n", 2) == 0);
    if (!end) {
        ck_assert(!seen->is_whole || strcmp(seen->body, right) == 0);
        return;
    }
    ck_assert(is_error(end) && seen->is_whole);
    ck_assert_ptr_nonnull(strstr(end, "\n\ndata: [DONE]\n\n"));
    ck_assert_ptr_null(strstr(end + 1, error));
}

static void check_seen(const struct seen *seen, const char *right)
{
    if (seen->status == 0)
        return;
    if (seen->status != 200) {
        ck_assert_int_eq(seen->status, 503);
        ck_assert_msg(!seen->is_whole || is_error(seen->body), "%s", seen->body);
    } else if (strncmp(right, "data: ", 6) == 0) {
        check_stream(seen, right);
    } else {
        ck_assert_msg(strncmp(seen->body, right, strlen(seen->body)) == 0,
                      "got %.1000s, not %.1000s", seen->body, right);
        ck_assert(!seen->is_whole || strcmp(seen->body, right) == 0);
    }
}

/* A rig of its own for each, so that the n-th allocation is always the same one. */
START_TEST(a_request_without_memory_is_answered_right_or_told_so)
{
    static struct seen right;
    static struct seen seen;
    struct rig r;
    unsigned told = 0;
    unsigned n = 0;
    rig_start(&r, &g_options, SCRIPT_LETTERS);
    ask(r.port, &g_rows[_i], &right);
    rig_stop(&r);
    ck_assert(right.status == 200 && right.is_whole);
    for (bool fired = true; fired;) {
        ck_assert_uint_lt(++n, FAULTS_MAX);
        rig_start(&r, &g_options, SCRIPT_LETTERS);
        fault_arm(FAULT_ALLOC, n);
        ask(r.port, &g_rows[_i], &seen);
        fired = fault_disarm();
        check_seen(&seen, right.body);
        ck_assert(fired || (seen.status == 200 && seen.is_whole));
        told += is_error(seen.body);
        ask(r.port, &g_rows[_i], &seen); /* the next one is not touched */
        ck_assert_int_eq(seen.status, 200);
        ck_assert_str_eq(seen.body, right.body);
        rig_stop(&r);
    }
    ck_assert_uint_ge(told, 10);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("fault");
    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, a_request_without_memory_is_answered_right_or_told_so, 0, ROW_COUNT);
    return suite_run("api.fault", tcase);
}

#else

int main(void)
{
    puts("skipped: fault points exist only in builds with VALET_CHECKS");
    return 77;
}

#endif
