/* The parser beside llhttp, over requests made from a seed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/differ.h"
#include "http/hostile.h"
#include "http/sanitized.h"

enum {
    COUNT = IS_SANITIZED ? 40000 : 400000,
    SIZE = 2048
};

static void report(const char *data, size_t len, const char *why, const char *what)
{
    fprintf(stderr, "%s: %s\n", what, why);
    for (size_t i = 0; i < len; i++) {
        if (data[i] < ' ' || data[i] > '~')
            fprintf(stderr, "\\x%02x", (unsigned char)data[i]);
        else
            fputc(data[i], stderr);
    }
    fputc('\n', stderr);
    ck_abort_msg("%s", why);
}

START_TEST(what_llhttp_refuses_is_refused_and_what_both_accept_is_the_same)
{
    const char *given = getenv("VALET_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    unsigned long counts[DIFFER_UNEQUAL + 1] = { 0 };
    for (uint64_t i = 0; i < COUNT; i++) {
        char data[SIZE];
        char why[128];
        char what[64];
        size_t len = differ_make(seed + i, data, sizeof data);
        enum differ_outcome outcome = differ_compare(data, len, why, sizeof why);
        counts[outcome]++;
        snprintf(what, sizeof what, "VALET_SEED=%llu", (unsigned long long)(seed + i));
        if (outcome == DIFFER_UNEQUAL)
            report(data, len, why, what);
    }
    printf("accepted %lu, refused %lu, unfinished %lu\n", counts[DIFFER_ACCEPTED],
           counts[DIFFER_REFUSED], counts[DIFFER_MORE]);
    /* Neither side of the comparison may run empty. */
    ck_assert_uint_gt(counts[DIFFER_ACCEPTED], COUNT / 50);
    ck_assert_uint_gt(counts[DIFFER_REFUSED], COUNT / 50);
}
END_TEST

/* The hostile requests, each with one byte changed. */
START_TEST(changed_hostile_request_is_not_taken_for_another)
{
    for (size_t i = 0; i < PROBE_COUNT; i++) {
        char data[SIZE];
        char why[128];
        size_t len = probe_len(&g_probes[i]);
        ck_assert_uint_le(len, sizeof data);
        memcpy(data, g_probes[i].text, len);
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                data[at] = (char)byte;
                if (differ_compare(data, len, why, sizeof why) == DIFFER_UNEQUAL)
                    report(data, len, why, g_probes[i].rule);
            }
            data[at] = g_probes[i].text[at];
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.differ");
    TCase *tc = tcase_create("differ");
    tcase_set_timeout(tc, 100);
    tcase_add_test(tc, what_llhttp_refuses_is_refused_and_what_both_accept_is_the_same);
    tcase_add_test(tc, changed_hostile_request_is_not_taken_for_another);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
