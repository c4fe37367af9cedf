/*
 * Any bytes are a configuration or errors: never a crash, never neither. What loads is shown,
 * and what is shown loads and is the same. VALET_TEST_SEED repeats a run; argv[1] is how many.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "config/rig.h"

enum {
    FILE_BYTES_MAX = 32768
};

static int g_count = 1000;
static uint64_t g_seed;

/* A small generator of its own, so that a seed gives the same files everywhere. */
struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *d)
{
    d->state += 0x9e3779b97f4a7c15u;
    return random_mix(d->state);
}

static size_t below(struct dice *d, size_t n)
{
    return (size_t)(roll(d) % n);
}

/* ---- files ---- */

static const char *const g_values[] = {
    "1",    "0",      "-1",        "65535",   "70000",   "1.5",  "true", "false",
    "null", "~",      "auto",      "8MiB",    "1GiB",    "info", "json", "now",
    "[]",   "[a, b]", "{}",        "'x'",     "\"y\"",   "${A}", "${B}", "${A:-7}",
    "$$",   "${",     "127.0.0.1", "0.0.0.0", "unix:/s", "no",   "1e9",  "999999999999999999999",
    "&a 1", "*a",     "!t 1",      "- 1",     "|\n  x",  "",     "a: b",
};

#define VALUE_COUNT (sizeof g_values / sizeof g_values[0])

static void add_key(struct dice *d, struct base_buf *out)
{
    const struct config_option *o = config_option_at(below(d, config_option_count()));
    char sample[64];
    bool is_good = below(d, 4) != 0;
    rig_file_of(o->key,
                is_good ? rig_sample(o, (int)below(d, 4), sample) : g_values[below(d, VALUE_COUNT)],
                out);
}

/* The whole example with some of its keys switched on. */
static void add_example(struct dice *d, struct base_buf *out)
{
    struct base_buf example;
    buf_init(&example, MEM_BASE, 1 << 20);
    ck_assert_int_eq(config_write_example(&example), OK);
    for (char *line = example.data; *line;) {
        size_t len = strcspn(line, "\n") + 1;
        size_t indent = strspn(line, " ");
        if (line[indent] == '#' && line[indent + 1] != ' ' && below(d, 3) == 0) {
            buf_append(out, line, indent);
            buf_append(out, line + indent + 1, len - indent - 1);
        } else {
            buf_append(out, line, len);
        }
        line += len;
    }
    buf_fini(&example);
}

static void add_bytes(struct dice *d, struct base_buf *out)
{
    static const char likely[] = "{}[]:,-#&*!|>'\"%@`?\n\n\n  \t\\$~abc01.<=\xc3\xa4\xff\x01";
    size_t n = below(d, 300);
    for (size_t i = 0; i < n; i++) {
        char c = below(d, 8) == 0 ? (char)below(d, 256) : likely[below(d, sizeof likely - 1)];
        buf_append(out, &c, 1);
    }
}

/* Bytes changed, taken out, doubled or moved. */
static void mutate(struct dice *d, struct base_buf *b)
{
    for (size_t n = below(d, 6); n > 0 && b->len > 0; n--) {
        size_t at = below(d, b->len);
        size_t len = 1 + below(d, 20);
        char piece[20];
        if (len > b->len - at)
            len = b->len - at;
        switch (below(d, 4)) {
        case 0:
            b->data[at] = (char)below(d, 256);
            break;
        case 1:
            memmove(b->data + at, b->data + at + len, b->len - at - len);
            b->len -= len;
            break;
        case 2:
            memcpy(piece, b->data + at, len);
            buf_append(b, piece, len);
            break;
        default:
            b->data[at] = "\n: [{#-'\""[below(d, 9)];
        }
    }
}

static void make_file(struct dice *d, struct base_buf *out)
{
    buf_clear(out);
    buf_reserve(out, 1);
    switch (below(d, 8)) {
    case 0:
        add_bytes(d, out);
        return;
    case 1:
        add_example(d, out);
        break;
    case 2:
        add_key(d, out);
        add_bytes(d, out);
        break;
    default:
        for (size_t n = 1 + below(d, 4); n > 0; n--)
            add_key(d, out);
    }
    if (below(d, 2))
        mutate(d, out);
}

/* ---- what must hold ---- */

static const char *const g_env[] = { "A=5", "B=", "VALET_POOL_AGING_SHARE=7", NULL };

static void check_shown(const struct config *config)
{
    const struct config_sources none = { 0 };
    const struct config_show all = { 0 };
    struct base_buf shown;
    struct config *again;
    struct config_report report;
    buf_init(&shown, MEM_BASE, 1 << 22);
    ck_assert_int_eq(config_write_yaml(config, &all, &shown), OK);
    config_report_init(&report);
    ck_assert_int_eq(config_merge(&none, "shown", shown.data, shown.len, &again, &report), OK);
    ck_assert_msg(report.error_count == 0, "%s\n%s", report.errors[0], shown.data);
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        ck_assert_msg((o->traits & CONFIG_SECRET) ||
                          config_value_equal(o, config_values(config), config_values(again)),
                      "%s", o->key);
    }
    config_destroy(again);
    buf_fini(&shown);
}

/* The text ends where its memory ends, so that one byte too far is seen by a sanitizer. */
static bool check_file(const struct base_buf *file)
{
    const struct config_sources sources = { .env = g_env };
    struct config_report report;
    struct config *config;
    char *copy = malloc(file->len ? file->len : 1);
    if (file->len)
        memcpy(copy, file->data, file->len);
    config_report_init(&report);
    enum base_err rc = config_parse(&sources, "f", copy, file->len, &config, &report);
    free(copy);
    ck_assert(rc == OK || rc == E_INVALID);
    ck_assert_int_eq(rc == OK, config != NULL);
    ck_assert_int_eq(rc == OK, report.error_count == 0);
    for (size_t i = 0; i < config_report_errors(&report); i++)
        ck_assert_msg(report.errors[i][0] && !strchr(report.errors[i], '\n'), "%s",
                      report.errors[i]);
    if (config)
        check_shown(config);
    config_destroy(config);
    return rc == OK;
}

START_TEST(test_config_fuzz)
{
    struct base_buf file;
    int loaded = 0;
    buf_init(&file, MEM_BASE, FILE_BYTES_MAX);
    printf("VALET_TEST_SEED=%" PRIu64 "\n", g_seed);
    fflush(stdout);
    for (int i = 0; i < g_count; i++) {
        struct dice dice = { g_seed + (uint64_t)i };
        make_file(&dice, &file);
        loaded += check_file(&file);
    }
    buf_fini(&file);
    ck_assert_uint_eq(mem_live_blocks(), 0);
    ck_assert_int_gt(loaded, g_count / 20); /* both ways are walked */
    ck_assert_int_lt(loaded, g_count - g_count / 20);
}
END_TEST

int main(int argc, char **argv)
{
    const char *seed = getenv("VALET_TEST_SEED");
    g_seed = seed ? strtoull(seed, NULL, 10) : random_u64(&base_random_system);
    if (argc > 1)
        g_count = (int)strtol(argv[1], NULL, 10);
    Suite *suite = suite_create("config.fuzz");
    TCase *tc = tcase_create("fuzz");
    tcase_set_timeout(tc, 0); /* ctest has one */
    tcase_add_test(tc, test_config_fuzz);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
