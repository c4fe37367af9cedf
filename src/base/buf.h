#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

/*
 * A growing byte buffer with a maximum. Owner thread only. `data` is always followed by a
 * zero byte once anything was appended, so text in it is a C string.
 */
struct base_buf {
    char *data;
    size_t len;
    size_t cap;
    size_t len_max;
    enum mem_tag tag;
};

void buf_init(struct base_buf *b, enum mem_tag tag, size_t len_max);
void buf_fini(struct base_buf *b);

/* Forgets the contents, keeps the memory. */
void buf_clear(struct base_buf *b);

/* Makes room for `more` bytes behind `len`. E_TOO_BIG beyond the maximum, E_NOMEM. */
enum base_err buf_reserve(struct base_buf *b, size_t more);

/* Appends all or nothing. E_TOO_BIG, E_NOMEM. */
enum base_err buf_append(struct base_buf *b, const void *data, size_t len);
enum base_err buf_append_str(struct base_buf *b, const char *s);
__attribute__((format(printf, 2, 3))) enum base_err buf_printf(struct base_buf *b,
                                                               const char *format, ...);

/* Drops the first `n` bytes. n <= len. */
void buf_consume(struct base_buf *b, size_t n);

#endif
