#ifndef TESTS_HTTP_SANITIZED_H
#define TESTS_HTTP_SANITIZED_H

/*
 * Whether a sanitizer is built in: it keeps memory of its own, so that the process's says
 * nothing, and makes everything many times slower.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

#endif
