/*
 * Each allocation of a server's life refused in turn: it says in one line why it does not start,
 * or it serves; a request is answered right, told that there is no room, or cut off; a reload is
 * all or nothing. Nothing is left at the end.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "http/rig_tls.h"
#include "server/rig.h"
#include "tiny_model.h"

#if VALET_CHECKS

enum {
    ANSWER_BYTES = 8192,
    FAULTS_MAX = 5000,
    PATH_BYTES = 128
};

#define BODY                                                                                       \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"the\"}],\"temperature\":0,\"max_tokens\":4}"

static struct tiny_model g_tiny;
static char g_folder[] = "/tmp/valet_server_XXXXXX";
static char g_path[PATH_BYTES]; /* of the configuration */
static char g_keys_path[PATH_BYTES];
static struct tls_pair g_pair;
static const char g_key[] = "a-key-for-tests-only";

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

/* `more` is added to the file as it stands. */
static void write_config(const char *more)
{
    char text[2048];
    int n = snprintf(text, sizeof text,
                     "models:\n  - path: \"%s\"\n    params: { threads: 1, max_num_seqs: 2 }\n%s",
                     g_tiny.path, more);
    ck_assert_int_lt(n, (int)sizeof text);
    write_file(g_path, text, 0600);
}

static void set_up(void)
{
    struct tiny_shape shape = tiny_plain(TENSOR_F32);
    tiny_model_write(&g_tiny, &shape);
    ck_assert_ptr_nonnull(mkdtemp(g_folder));
    snprintf(g_path, sizeof g_path, "%s/valet.yaml", g_folder);
    snprintf(g_keys_path, sizeof g_keys_path, "%s/keys", g_folder);
}

static void tear_down(void)
{
    unlink(g_path);
    unlink(g_keys_path);
    rmdir(g_folder);
    tiny_model_remove(&g_tiny);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static void ask(const char *method, const char *path, const char *body, bool is_tls, char *out)
{
    char request[1024];
    snprintf(request, sizeof request,
             "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Api-Key: %s\r\n"
             "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             method, path, g_key, strlen(body), body);
    rig_ask(request, is_tls, out, ANSWER_BYTES);
}

static bool has_status(const char *answer, int status)
{
    int is = 0;
    return sscanf(answer, "HTTP/1.1 %d ", &is) == 1 && is == status;
}

/* ---- start, one request, stop ---- */

/* The part of an answer that is the same each time. */
static void choices_of(const char *answer, char out[ANSWER_BYTES])
{
    const char *begin = strstr(answer, "\"choices\":");
    const char *end = begin ? strstr(begin, "\"usage\":") : NULL;
    snprintf(out, ANSWER_BYTES, "%.*s", end ? (int)(end - begin) : 0, end ? begin : "");
}

struct life {
    bool was_ready;
    enum base_err rc;
    struct base_err_info info;
    char answer[ANSWER_BYTES];
};

static void live(const struct config *config, struct life *out)
{
    *out = (struct life){ 0 };
    rig_start(config);
    out->was_ready = rig_is_ready();
    if (out->was_ready)
        ask("POST", "/v1/chat/completions", BODY, false, out->answer);
    out->rc = rig_stop(&out->info);
}

static bool is_told(const char *answer)
{
    return has_status(answer, 503) && strstr(answer, "\"server_full\"");
}

static void check_life(const struct life *life, const char *right)
{
    char choices[ANSWER_BYTES];
    if (!life->was_ready) {
        ck_assert_int_eq(life->rc, E_NOMEM);
        ck_assert(life->info.message[0] && !strchr(life->info.message, '\n'));
        return;
    }
    ck_assert_int_eq(life->rc, OK);
    choices_of(life->answer, choices);
    if (has_status(life->answer, 200) && choices[0])
        ck_assert_str_eq(choices, right);
    else
        ck_assert_msg(is_told(life->answer) || !strstr(life->answer, "\r\n\r\n"), "%s",
                      life->answer);
}

START_TEST(a_life_without_memory_ends_in_an_error_or_well)
{
    static struct life life;
    char right[ANSWER_BYTES];
    unsigned unready = 0;
    unsigned told = 0;
    unsigned n = 0;
    set_up();
    write_config("server: { host: 127.0.0.1, port: 0 }\n");
    struct config *config = rig_config(g_path);
    uint64_t blocks = mem_live_blocks();
    live(config, &life);
    choices_of(life.answer, right);
    ck_assert_msg(right[0] && life.rc == OK, "%s%s", life.info.message, life.answer);
    for (bool fired = true; fired;) {
        ck_assert_uint_lt(++n, FAULTS_MAX);
        fault_arm(FAULT_ALLOC, n);
        live(config, &life);
        fired = fault_disarm();
        check_life(&life, right);
        ck_assert_msg(mem_live_blocks() == blocks, "allocation %u: %d blocks are left", n,
                      (int)(mem_live_blocks() - blocks));
        ck_assert(fired || has_status(life.answer, 200));
        unready += !life.was_ready;
        told += is_told(life.answer);
    }
    printf("%u allocations, each refused once: %u starts failed, %u requests were refused\n", n - 1,
           unready, told);
    ck_assert_uint_ge(unready, 50);
    ck_assert_uint_ge(told, 5);
    config_destroy(config);
    tear_down();
}
END_TEST

/* ---- reload ---- */

static void write_config_with_keys(int depth)
{
    char more[1024];
    snprintf(more, sizeof more,
             "server:\n  host: 127.0.0.1\n  port: 0\n  tls: { cert: \"%s\", key: \"%s\" }\n"
             "auth: { keys_file: \"%s\" }\npool: { max_queue_depth: %d }\n",
             g_pair.certificate, g_pair.key, g_keys_path, depth);
    write_config(more);
}

/* Reloads; true if it succeeded. */
static bool reload(void)
{
    unsigned ends = rig_count("event=server.reload");
    unsigned good = rig_count("event=server.reloaded");
    kill(getpid(), SIGHUP);
    rig_wait("event=server.reload", ends + 1);
    return rig_count("event=server.reloaded") > good;
}

/* The key is known and the certificate is good. */
static void expect_service(void)
{
    char answer[ANSWER_BYTES];
    ask("GET", "/v1/models", "", true, answer);
    ck_assert_msg(has_status(answer, 200), "%s", answer);
}

START_TEST(a_reload_without_memory_is_all_or_nothing)
{
    static const char changed[] = "event=config.changed key=pool.max_queue_depth";
    char line[128];
    struct base_err_info info;
    unsigned failures = 0;
    unsigned changes = 0;
    unsigned n = 0;
    set_up();
    g_pair = tls_pair_create("localhost");
    snprintf(line, sizeof line, "%s acme\n", g_key);
    write_file(g_keys_path, line, 0600);
    write_config_with_keys(100);
    struct config *config = rig_config(g_path);
    rig_start(config);
    ck_assert(rig_is_ready());
    for (bool fired = true; fired;) {
        ck_assert_uint_lt(++n, FAULTS_MAX);
        write_config_with_keys(100 + (int)n);
        fault_arm(FAULT_ALLOC, n);
        bool is_done = reload();
        fired = fault_disarm();
        ck_assert(fired || is_done);
        ck_assert_uint_eq(rig_count(changed), changes + is_done);
        expect_service();
        failures += !is_done;
        ck_assert(is_done || reload()); /* what was left undone is done now */
        ck_assert_uint_eq(rig_count(changed), ++changes);
    }
    printf("%u allocations, each refused once: %u reloads failed\n", n - 1, failures);
    ck_assert_uint_ge(failures, 5);
    ck_assert_msg(rig_stop(&info) == OK, "%s", info.message);
    config_destroy(config);
    tls_pair_remove(&g_pair);
    tear_down();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("server.fault");
    TCase *tc = tcase_create("fault");
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, a_life_without_memory_ends_in_an_error_or_well);
    tcase_add_test(tc, a_reload_without_memory_is_all_or_nothing);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#else

int main(void)
{
    puts("skipped: fault points exist only in builds with VALET_CHECKS");
    return 77;
}

#endif
