#include "request_http.h"

#include <string.h>

#include "base/assert.h"

enum {
    ANSWER_BYTES_MAX = 64 << 20
};

void request_http_post(struct api *api, struct http_exchange *x, const char *path, const char *body,
                       size_t len)
{
    const struct http_field type = { { "content-type", 12 }, { "application/json", 16 } };
    const struct http_request request = { .method = { "POST", 4 },
                                          .path = { path, strlen(path) },
                                          .fields = &type,
                                          .field_count = 1,
                                          .body = { body, len } };
    struct http_handler handler;
    *x = (struct http_exchange){ 0 };
    buf_init(&x->body, MEM_HTTP, ANSWER_BYTES_MAX);
    api_http_handler(api, &handler);
    handler.request(handler.arg, x, &request);
}

void request_http_fini(struct http_exchange *x)
{
    buf_fini(&x->body);
}

static void collect(struct http_exchange *x, const void *data, size_t len)
{
    ASSERT(!x->ended);
    enum base_err rc = buf_append(&x->body, data, len);
    ASSERT(rc == OK);
}

/* ---- http/http.h ---- */

const struct http_str *http_request_field(const struct http_request *request, const char *name)
{
    return strcmp(name, "content-type") == 0 ? &request->fields[0].value : NULL;
}

bool http_str_is(struct http_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

void http_exchange_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_exchange_user(const struct http_exchange *x)
{
    return x->user;
}

bool http_exchange_is_unix(const struct http_exchange *x)
{
    (void)x;
    return false;
}

size_t http_exchange_pending_bytes(const struct http_exchange *x)
{
    (void)x;
    return 0;
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t header_count, const void *body, size_t body_len)
{
    for (size_t i = 0; i < header_count; i++)
        ASSERT(!strpbrk(headers[i].value, "\r\n"));
    ASSERT(!x->status);
    collect(x, body, body_len);
    x->status = status;
    x->ended = true;
}

void http_stream_start(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t header_count)
{
    (void)headers;
    (void)header_count;
    ASSERT(!x->status);
    x->status = status;
    x->streamed = true;
}

void http_stream_write(struct http_exchange *x, const void *data, size_t len)
{
    ASSERT(x->streamed);
    collect(x, data, len);
}

void http_stream_end(struct http_exchange *x)
{
    ASSERT(x->streamed && !x->ended);
    x->ended = true;
}

void http_exchange_abort(struct http_exchange *x)
{
    ASSERT(!x->ended);
    x->ended = true;
    x->aborted = true;
}
