#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

void buf_init(struct base_buf *b, enum mem_tag tag, size_t len_max)
{
    *b = (struct base_buf){ .tag = tag, .len_max = len_max };
}

void buf_fini(struct base_buf *b)
{
    mem_free(b->data);
    buf_init(b, b->tag, b->len_max);
}

void buf_clear(struct base_buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

enum base_err buf_reserve(struct base_buf *b, size_t more)
{
    if (more > b->len_max - b->len || more >= SIZE_MAX - b->len)
        return E_TOO_BIG;
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return OK;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->len_max)
        cap = b->len_max + 1;
    char *data = mem_realloc(b->tag, b->data, cap);
    if (!data)
        return E_NOMEM;
    b->data = data;
    b->cap = cap;
    return OK;
}

enum base_err buf_append(struct base_buf *b, const void *data, size_t len)
{
    enum base_err rc = buf_reserve(b, len);
    if (rc)
        return rc;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return OK;
}

enum base_err buf_append_str(struct base_buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

enum base_err buf_printf(struct base_buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    enum base_err rc = n < 0 ? E_INVALID : buf_reserve(b, (size_t)n);
    if (!rc) {
        vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

void buf_consume(struct base_buf *b, size_t n)
{
    ASSERT(n <= b->len);
    if (n == 0)
        return;
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
    b->data[b->len] = '\0';
}
