#include "request.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "prompt.h"

enum {
    LENGTH_DIGITS = 10,
    FIXED_MAX = 2048 /* of everything but the prompt and the caller's own lines */
};

struct text {
    char *out;
    size_t size;
    size_t len;
};

static size_t prompt_max(const struct load_options *o)
{
    return (size_t)o->prompt_words * PROMPT_WORD_BYTES + 1;
}

size_t request_bytes_max(const struct load_options *o)
{
    size_t bytes = FIXED_MAX + prompt_max(o);
    for (int i = 0; i < o->header_count; i++)
        bytes += strlen(o->headers[i]) + 2;
    for (int i = 0; i < o->field_count; i++)
        bytes += strlen(o->fields[i]) + 1;
    return bytes;
}

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->out + t->len, t->size - t->len, format, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < t->size - t->len);
    t->len += (size_t)n;
}

/* Gives where the digits of Content-Length go. */
static size_t write_head(struct text *t, const struct load_options *o)
{
    add(t, "POST /v1/%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n",
        o->is_chat ? "chat/completions" : "completions", o->port);
    if (o->priority)
        add(t, "X-Valet-Priority: %s\r\n", o->priority);
    for (int i = 0; i < o->header_count; i++)
        add(t, "%s\r\n", o->headers[i]);
    add(t, "Content-Length: ");
    size_t digits = t->len;
    add(t, "%0*d\r\n\r\n", LENGTH_DIGITS, 0);
    return digits;
}

static void write_body(struct text *t, const struct load_options *o, const char *prompt)
{
    add(t, "{");
    if (o->model)
        add(t, "\"model\":\"%s\",", o->model);
    if (o->is_chat)
        add(t, "\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],", prompt);
    else
        add(t, "\"prompt\":\"%s\",", prompt);
    add(t, "\"max_tokens\":%d,\"ignore_eos\":true,\"temperature\":0", o->max_tokens);
    if (!o->is_plain)
        add(t, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    for (int i = 0; i < o->field_count; i++)
        add(t, ",%s", o->fields[i]);
    add(t, "}");
}

size_t request_write(char *out, size_t size, const struct load_options *o, uint64_t number,
                     char *prompt)
{
    struct text t = { .out = out, .size = size };
    char length[LENGTH_DIGITS + 1];
    prompt_write(prompt, prompt_max(o), o->seed, number, o->prompt_words, o->shared_words);
    size_t digits = write_head(&t, o);
    size_t head = t.len;
    write_body(&t, o, prompt);
    snprintf(length, sizeof length, "%0*zu", LENGTH_DIGITS, t.len - head);
    memcpy(out + digits, length, LENGTH_DIGITS);
    return t.len;
}
