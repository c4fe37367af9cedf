#ifndef TEMPLATE_CHATML_H
#define TEMPLATE_CHATML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "template/span.h"

/*
 * The built-in ChatML template: a conversation to the text a model reads.
 *
 *     <|im_start|>{role}\n{content}<|im_end|>\n    for each message
 *     <|im_start|>assistant\n                      to ask for an answer
 */

struct template_message {
    const char *role; /* not terminated */
    size_t role_len;
    const char *content; /* not terminated */
    size_t content_len;
};

/*
 * Renders `messages`. With `default_system` not NULL, a system message with that content
 * comes first if the first message is of another role; no messages, no system message.
 *
 * spans  out  [span_count], the text in order; neighbours written by the template are one
 *             span, empty ones are left out. NULL and 0 on an error and for an empty text.
 *
 * The contents and `default_system` are never trusted. Roles are rendered as they are and
 * belong to the template if they are system, user, assistant or tool, else they are not
 * trusted. E_NOMEM: the arena refuses.
 * Ownership: the array lives in `arena`; its spans borrow from the messages and
 * `default_system`; nothing is copied. Threads: any, one at a time for an arena.
 */
enum base_err template_chatml(struct arena *arena, const struct template_message *messages,
                              size_t count, const char *default_system, bool add_generation_prompt,
                              struct template_span **spans, size_t *span_count);

#endif
