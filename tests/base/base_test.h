#ifndef TESTS_BASE_BASE_TEST_H
#define TESTS_BASE_BASE_TEST_H

#include <check.h>
#include <stdlib.h>

/* Runs a suite and gives the exit status of the program. */
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
