#ifndef API_CHAT_PARSE_H
#define API_CHAT_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "api/errors.h"
#include "api/json.h"
#include "api/params.h"
#include "base/arena.h"
#include "base/err.h"
#include "template/chatml.h"

/* What the chat template is given. Texts point into the body or into the arena. */
struct chat_prompt {
    struct template_message *messages; /* [message_count]; roles are known ones */
    size_t message_count;
    const json_t *sources; /* the array they were read from */
    json_t *kwargs;        /* chat_template_kwargs, an object; NULL: none */
    const json_t *enable_thinking;
    const json_t *thinking;
    const json_t *reasoning_effort;
    bool add_generation_prompt;
};

/* What a chat body says, checked. */
struct chat_params {
    struct api_params common;
    struct chat_prompt prompt;
};

/*
 * Reads the body of POST /v1/chat/completions. The first wrong field, in a fixed order,
 * fills `error`. E_INVALID, or E_NOMEM (API_SERVER_FULL).
 */
enum base_err chat_parse(const json_t *body, const struct api_model *model, struct arena *arena,
                         struct chat_params *out, struct api_error *error);

/* The part of it that the template is given; any body with messages. */
enum base_err chat_parse_prompt(const struct api_object *body, struct arena *arena,
                                struct chat_prompt *out);

/* messages.c: the field "messages". */
enum base_err chat_parse_messages(const struct api_object *body, struct arena *arena,
                                  struct chat_prompt *out);

#endif
