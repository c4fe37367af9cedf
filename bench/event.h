#ifndef BENCH_EVENT_H
#define BENCH_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EVENT_CODE_MAX = 48
};

/* What a chunk, or a whole answer, of an OpenAI completion or chat completion says. */
struct event {
    bool is_json;
    bool has_text;
    bool is_error;
    int64_t prompt_tokens;     /* of `usage`, -1: not there */
    int64_t completion_tokens; /* of `usage`, -1: not there */
    char code[EVENT_CODE_MAX]; /* of an error: its code, else its type, else "" */
};

/* Reads the first choice alone. What is no JSON object gives is_json = false. */
void event_parse(struct event *e, const char *json, size_t len);

#endif
