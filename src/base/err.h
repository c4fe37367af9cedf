#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdint.h>

/*
 * One table of errors for the program. 0 is success, errors are negative, and the
 * numbers never change. Public headers spell the same numbers under their own prefix.
 */
#define BASE_ERR_LIST(X)                                                                           \
    X(OK, 0, "ok")                                                                                 \
    X(E_NOMEM, -1, "out of memory")                                                                \
    X(E_INVALID, -2, "invalid argument")                                                           \
    X(E_FULL, -3, "full")                                                                          \
    X(E_TIMEOUT, -4, "timed out")                                                                  \
    X(E_CANCELLED, -5, "cancelled")                                                                \
    X(E_CLOSED, -6, "closed")                                                                      \
    X(E_NOT_FOUND, -7, "not found")                                                                \
    X(E_EXISTS, -8, "exists already")                                                              \
    X(E_IO, -9, "input or output failed")                                                          \
    X(E_CORRUPT, -10, "corrupt data")                                                              \
    X(E_UNSUPPORTED, -11, "not supported")                                                         \
    X(E_TOO_BIG, -12, "too big")                                                                   \
    X(E_AGAIN, -13, "try again later")

enum base_err {
#define X(name, number, text) name = number,
    BASE_ERR_LIST(X)
#undef X
};

/* What went wrong, for a person. Filled by functions that meet the outside world. */
struct base_err_info {
    enum base_err code;
    int sys_errno;     /* errno where a system call failed, else 0 */
    int64_t byte;      /* position in the input, -1 where there is none */
    char message[256]; /* one line of UTF-8, '?' for what is none and for control characters:
                          which field, what was expected, what came */
};

/* The short text of an error; "unknown error" for a number that is none. Any thread. */
const char *base_strerror(enum base_err code);

/* Fills `info` (may be NULL) and returns `code`, so that a caller can `return base_err_set(…)`. */
__attribute__((format(printf, 3, 4))) enum base_err
base_err_set(struct base_err_info *info, enum base_err code, const char *format, ...);

/* The same with a position in the input, in bytes. */
__attribute__((format(printf, 4, 5))) enum base_err base_err_set_at(struct base_err_info *info,
                                                                    enum base_err code,
                                                                    int64_t byte,
                                                                    const char *format, ...);

/* The same for a failed system call: appends ": " and the text of `sys_errno`. */
__attribute__((format(printf, 4, 5))) enum base_err base_err_set_errno(struct base_err_info *info,
                                                                       enum base_err code,
                                                                       int sys_errno,
                                                                       const char *format, ...);

#endif
