#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

/*
 * ASSERT is always on, cheap, and for programmer errors only: input from outside
 * returns E_INVALID or E_CORRUPT. DCHECK exists in builds with VALET_CHECKS.
 */
#define ASSERT(x)                                                                                  \
    do {                                                                                           \
        if (__builtin_expect(!(x), 0))                                                             \
            base_assert_failed(#x, __FILE__, __LINE__);                                            \
    } while (0)

#if VALET_CHECKS
#define DCHECK(x) ASSERT(x)
#else
#define DCHECK(x)                                                                                  \
    do {                                                                                           \
        (void)sizeof(x);                                                                           \
    } while (0)
#endif

/* Prints the expression and its place, then aborts. */
__attribute__((noreturn, cold)) void base_assert_failed(const char *expression, const char *file,
                                                        int line);

#endif
