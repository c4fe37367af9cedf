#ifndef CLI_CONVERSATION_H
#define CLI_CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "template/chatml.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

/* What was said: a system message, if any, then those of user and assistant in turn. */

enum {
    CONVERSATION_MESSAGES_MAX = 4096,
    CONVERSATION_BYTES_MAX = 64 << 20 /* of a message, and of what is rendered */
};

struct conversation {
    struct template_message messages[CONVERSATION_MESSAGES_MAX]; /* contents are copies */
    size_t count;
    size_t system_count; /* 0 or 1 */
};

void conversation_fini(struct conversation *c);

/* Adds a message; `role` is "user" or "assistant". E_TOO_BIG, E_NOMEM. */
enum base_err conversation_add(struct conversation *c, const char *role, const char *text,
                               size_t len);

/* Sets the system message; "" takes it away. E_TOO_BIG, E_NOMEM. */
enum base_err conversation_set_system(struct conversation *c, const char *text);
const char *conversation_system(const struct conversation *c); /* "": none */

/* Forgets what was said; the system message stays. */
void conversation_clear(struct conversation *c);

/* Forgets the newest message. */
void conversation_drop_newest(struct conversation *c);

/*
 * Where the turn behind the oldest `skip` messages ends: a message of the user and the answers
 * to it. The number of messages up to there; 0: that would leave none. The system message is
 * not counted.
 */
size_t conversation_turn_end(const struct conversation *c, size_t skip);

/* Forgets the oldest `n` messages behind the system message. */
void conversation_drop_oldest(struct conversation *c, size_t n);

/*
 * The token ids of the conversation as the model's template writes it, without the oldest
 * `skip` messages, ready for an answer. Appends to `ids`. E_INVALID: the template refuses it,
 * and `info` says why. E_NOMEM.
 */
enum base_err conversation_encode(const struct conversation *c, size_t skip,
                                  const valet_model *model, struct tokenizer_ids *ids,
                                  struct base_err_info *info);

#endif
