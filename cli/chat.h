#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conversation.h"
#include "run_options.h"
#include "valet/engine.h"

/* A conversation with a model: answers go to stdout as they come, talk to stderr. */
struct chat {
    struct run_options options;
    const valet_model *model; /* borrowed */
    valet_engine *engine;     /* borrowed */
    struct conversation conversation;
    bool is_talk; /* a person sits there, and is told what happens */
};

enum chat_result {
    CHAT_ANSWERED, /* also a part of an answer that Ctrl-C ended */
    CHAT_REFUSED,  /* nothing was said and nothing changed; one line went to stderr */
    CHAT_BROKEN    /* stdout cannot be written, or the engine failed; the same */
};

/*
 * Adds a message of the user, answers it and adds the answer. Where the conversation has
 * become too long for the context its oldest turns are forgotten, which is said.
 */
enum chat_result chat_answer(struct chat *c, const char *text, size_t len);

/* Talks with the person at the terminal until they end it; an exit code. */
int chat_talk(struct chat *c);

#endif
