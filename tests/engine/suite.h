#ifndef TESTS_ENGINE_SUITE_H
#define TESTS_ENGINE_SUITE_H

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

/*
 * An assertion for inner loops: each ck_assert that passes writes a line to a file of Check's,
 * which adds up over a million of them.
 */
#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(__VA_ARGS__);                                                             \
    } while (0)

/* Runs the one case of a program and gives its exit status. */
static inline int suite_run(const char *name, TCase *tcase)
{
    tcase_set_timeout(tcase, 300);
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* VALET_TEST_SLOW is set where the build is ten times slower (sanitizers). */
static inline bool suite_is_slow(void)
{
    return getenv("VALET_TEST_SLOW") != NULL;
}

#endif
