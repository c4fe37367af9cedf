#ifndef API_CHAT_PARSE_H
#define API_CHAT_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "api/errors.h"
#include "api/json.h"
#include "base/arena.h"
#include "base/err.h"
#include "template/chatml.h"
#include "valet/request.h"

/* What a chat body says, checked. Texts point into the body or into the arena. */
struct chat_params {
    const char *model; /* NULL: the default model */
    size_t model_len;
    struct template_message *messages;
    size_t message_count;
    int32_t max_new; /* 0: what fits */
    struct valet_sampling sampling;
    bool seeded;
    struct valet_stop stops[VALET_STOPS_MAX];
    uint32_t stop_count;
    bool stream;
    bool include_usage;
    size_t unknown_count; /* fields we never heard of */
};

/*
 * Reads the body of POST /v1/chat/completions. The first wrong field, in a fixed order,
 * fills `error`. E_INVALID, or E_NOMEM (API_SERVER_FULL).
 */
enum base_err chat_parse(const json_t *body, struct arena *arena, struct chat_params *out,
                         struct api_error *error);

/* chat_messages.c: the field "messages". */
enum base_err chat_parse_messages(const struct api_object *body, struct arena *arena,
                                  struct chat_params *out);

/*
 * chat_fields.c: fields that are known and change nothing here; any other value than the
 * neutral one is refused. Counts the unknown ones.
 */
enum base_err chat_parse_fields(const struct api_object *body, size_t *unknown_count);

#endif
