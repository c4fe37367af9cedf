#ifndef API_LOGPROBS_H
#define API_LOGPROBS_H

#include "api/json_out.h"
#include "tokenizer/tokenizer.h"
#include "valet/event.h"

/* Log-probabilities of one event in the shapes that clients know. */

/* {"token":…,"logprob":…,"bytes":[…],"top_logprobs":[…]}, an entry of a chat. */
void logprobs_chat_entry(struct api_out *o, const struct tokenizer *tokenizer,
                         const struct valet_event *event);

/* The text of a token as a string. */
void logprobs_token(struct api_out *o, const struct tokenizer *tokenizer, int32_t id);

/* A number; null where the model says nothing: the first token of a prompt. */
void logprobs_value(struct api_out *o, const struct valet_event *event);

/*
 * {" the":-1.2,…}: the most likely tokens, and the event's own if it is none of them. Of
 * several with one text the likeliest. null as above.
 */
void logprobs_tops(struct api_out *o, const struct tokenizer *tokenizer,
                   const struct valet_event *event);

#endif
