#ifndef TESTS_API_ANSWERS_H
#define TESTS_API_ANSWERS_H

#include <jansson.h>

#include "client.h"

/* Looking at answers. What is not as expected fails the test. */

/* The body. Gives: json_decref. */
json_t *answer_json(const struct answer *a);

const char *json_string_at(const json_t *json, const char *key);

/* The one choice of an answer or a chunk. */
const json_t *json_choice(const json_t *json);

/* The answer is an error with this status and code. Frees it. */
void answer_error(struct answer *a, int status, const char *code);

/* The next event of a stream: the text between "data: " and the blank line. */
const char *stream_data(char **at);

/* The same as JSON. Gives: json_decref. */
json_t *stream_chunk(char **at);

/* Takes the chunk of a chat: the role, or content with this text. */
void stream_role(char **at);
void stream_content(char **at, const char *text);

/* An error event and [DONE], then nothing. */
void stream_error(char **at, const char *code);

#endif
