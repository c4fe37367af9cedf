#ifndef TESTS_API_SUITE_H
#define TESTS_API_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Runs the one case of a program and gives its exit status. */
static inline int suite_run(const char *name, TCase *tcase)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
