/* The options: defaults, what is valid, and the server's own copy of them. */
#include <string.h>

#include "http/http_int.h"

void http_options_init(struct http_options *options)
{
    *options = (struct http_options){
        .request_line_bytes_max = 8 * 1024,
        .header_bytes_max = 16 * 1024,
        .field_count_max = 100,
        .body_bytes_max = 8 * 1024 * 1024,
        .header_timeout_ms = 10000,
        .idle_timeout_ms = 60000,
        .body_timeout_ms = 30000,
        .write_timeout_ms = 30000,
        .connections_max = 10000,
        .pipeline_bytes_max = 64 * 1024,
        .stream_resume_bytes = 64 * 1024,
        .connections_per_address_max = 256,
        .stream_drop_bytes = 4 * 1024 * 1024,
        .stream_pause_bytes = 256 * 1024,
        .stream_pause_ms = 30000,
    };
}

static bool are_valid(const struct http_options *o)
{
    const size_t bytes_max = SIZE_MAX / 16; /* sums of limits do not overflow */
    if (o->server_name && strpbrk(o->server_name, "\r\n"))
        return false;
    if (o->stream_pause_bytes &&
        (o->stream_pause_bytes < o->stream_resume_bytes || !o->stream_pause_ms))
        return false;
    return o->request_line_bytes_max && o->request_line_bytes_max < bytes_max &&
           o->header_bytes_max && o->header_bytes_max < bytes_max && o->field_count_max &&
           o->body_bytes_max < bytes_max && o->header_timeout_ms && o->idle_timeout_ms &&
           o->body_timeout_ms && o->write_timeout_ms && o->connections_max &&
           o->pipeline_bytes_max && o->pipeline_bytes_max < bytes_max && o->stream_resume_bytes &&
           !http_policy_validate(&o->policy, NULL);
}

/* ---- the copy: one block of [pointers of the lists][texts] ---- */

struct copier {
    const char **pointers; /* NULL: only counts */
    char *texts;
    size_t pointer_count;
    size_t text_bytes;
};

static const char *copy_text(struct copier *c, const char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    char *to = c->texts ? c->texts + c->text_bytes : NULL;
    if (to)
        memcpy(to, text, size);
    c->text_bytes += size;
    return to;
}

static const char *const *copy_list(struct copier *c, const char *const *list, size_t count)
{
    const char **to = c->pointers ? c->pointers + c->pointer_count : NULL;
    c->pointer_count += count;
    for (size_t i = 0; i < count; i++) {
        const char *text = copy_text(c, list[i]);
        if (to)
            to[i] = text;
    }
    return to;
}

static void copy(struct copier *c, struct http_options *to, const struct http_options *from)
{
    *to = *from;
    to->server_name = copy_text(c, from->server_name);
    const struct http_policy *policy = &from->policy;
    to->policy.hosts = copy_list(c, policy->hosts, policy->host_count);
    to->policy.origins = copy_list(c, policy->origins, policy->origin_count);
    to->policy.allow_methods = copy_text(c, policy->allow_methods);
    to->policy.allow_headers = copy_text(c, policy->allow_headers);
    to->policy.expose_headers = copy_text(c, policy->expose_headers);
}

enum base_err http_options_set(struct http_server *server, const struct http_options *options)
{
    if (!are_valid(options))
        return E_INVALID;
    struct http_options own;
    struct copier counter = { NULL, NULL, 0, 0 };
    copy(&counter, &own, options);
    size_t pointers_bytes = counter.pointer_count * sizeof(char *);
    char *block = mem_alloc(MEM_HTTP, pointers_bytes + counter.text_bytes + 1);
    if (!block)
        return E_NOMEM;
    struct copier copier = { (const char **)(void *)block, block + pointers_bytes, 0, 0 };
    copy(&copier, &own, options);
    mem_free(server->options_block);
    server->options_block = block;
    server->options = own;
    server->limits = (struct http_limits){
        .request_line_bytes_max = own.request_line_bytes_max,
        .header_bytes_max = own.header_bytes_max,
        .field_count_max = own.field_count_max,
        .body_bytes_max = own.body_bytes_max,
    };
    return OK;
}

enum base_err http_server_set_options(struct http_server *server,
                                      const struct http_options *options)
{
    struct http_options changed = *options;
    changed.pipeline_bytes_max = server->options.pipeline_bytes_max; /* buffers count on it */
    return http_options_set(server, &changed);
}
