#ifndef CLI_CHAT_RENDER_H
#define CLI_CHAT_RENDER_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "template/chatml.h"
#include "valet/engine.h"

/*
 * The conversation as the model's own template writes it, ready for an answer; ChatML where the
 * file has none. Spans live in `arena` and borrow from the messages. E_INVALID with one line:
 * the template refuses the conversation.
 */
enum base_err chat_render(const valet_model *model, const struct template_message *messages,
                          size_t count, struct arena *arena, struct template_span **spans,
                          size_t *span_count, struct base_err_info *info);

#endif
