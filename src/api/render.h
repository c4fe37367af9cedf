#ifndef API_RENDER_H
#define API_RENDER_H

#include "api/api.h"
#include "api/chat_parse.h"
#include "base/arena.h"
#include "template/jinja.h"
#include "template/span.h"

/* A model and its chat template. */
struct api_render {
    const struct api_model *model;
    const jinja_template *chat_template; /* NULL: ChatML */
};

/*
 * Renders a chat. The spans and their text are in `arena` or in the body. What the template
 * cannot take, by its own word or by a limit, is API_INVALID_VALUE for "messages".
 */
enum base_err render_chat(const struct api_render *render, const struct chat_prompt *prompt,
                          struct arena *arena, struct template_span **spans, size_t *count,
                          struct api_error *error);

/* json_value.c: a value of a body as a template sees it; its strings are the user's. */
enum base_err render_json(json_t *json, struct arena *arena, struct jinja_value *out);

#endif
