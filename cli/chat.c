#include "chat.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "generation.h"
#include "signals.h"
#include "terminal.h"

static enum chat_result refused(const char *message)
{
    fprintf(stderr, "valet: %s\n", message);
    return CHAT_REFUSED;
}

static enum chat_result refused_for(enum base_err rc, const struct base_err_info *info)
{
    return refused(info->message[0] ? info->message : base_strerror(rc));
}

static int32_t context_of(const struct chat *c)
{
    struct valet_engine_info info;
    valet_engine_info(c->engine, &info);
    return info.context;
}

/* ---- what fits ---- */

/* Tokens that a conversation leaves to the answer, if that can be had by forgetting. */
static size_t room_of(const struct chat *c, int32_t context)
{
    int32_t quarter = context / 4;
    return (size_t)(c->options.max_tokens < quarter ? c->options.max_tokens : quarter);
}

/*
 * The ids of as much of the conversation as fits. E_TOO_BIG: even the newest message alone
 * does not, and `ids` are those of it.
 */
static enum base_err fit(const struct chat *c, struct tokenizer_ids *ids, size_t *skip,
                         struct base_err_info *info)
{
    size_t context = (size_t)context_of(c);
    size_t room = room_of(c, (int32_t)context);
    *skip = 0;
    for (;;) {
        ids->count = 0;
        enum base_err rc = conversation_encode(&c->conversation, *skip, c->model, ids, info);
        if (rc || ids->count + room <= context)
            return rc;
        size_t end = conversation_turn_end(&c->conversation, *skip);
        if (end == 0)
            return ids->count < context ? OK : E_TOO_BIG;
        *skip = end;
    }
}

static enum chat_result prepare(struct chat *c, struct tokenizer_ids *ids)
{
    struct base_err_info info = { 0 };
    size_t skip;
    enum base_err rc = fit(c, ids, &skip, &info);
    if (rc == E_TOO_BIG) {
        fprintf(stderr, "valet: the message has %zu tokens and the context %d; see --ctx-size\n",
                ids->count, (int)context_of(c));
        return CHAT_REFUSED;
    }
    if (rc)
        return refused_for(rc, &info);
    conversation_drop_oldest(&c->conversation, skip);
    if (skip > 0)
        terminal_note(stderr,
                      "(the context of %d tokens is full: the oldest %zu messages are forgotten)",
                      (int)context_of(c), skip);
    return CHAT_ANSWERED;
}

/* ---- the answer ---- */

static bool on_text(void *arg, const char *text, size_t len)
{
    const struct chat *c = arg;
    return c->options.json || terminal_write(stdout, text, len);
}

static bool on_step(void *arg)
{
    (void)arg;
    return signals_seen();
}

/* What the person should know about an answer. */
static void tell(const struct chat *c, const struct generation *g)
{
    if (c->is_talk && g->finish == GENERATION_INTERRUPTED)
        terminal_note(stderr, "(stopped)");
    else if (c->is_talk && g->finish == GENERATION_LENGTH)
        terminal_note(stderr, "(cut after %d tokens; see /set max-tokens)",
                      (int)g->generated_tokens);
    if (c->options.verbose)
        terminal_note(stderr,
                      "(prompt %d tokens, %d of them cached, %.1f tokens/s; answer %d tokens, "
                      "%.1f tokens/s)",
                      (int)g->prompt_tokens, (int)g->cached_tokens, generation_prompt_speed(g),
                      (int)g->generated_tokens, generation_answer_speed(g));
}

/* Ends what was streamed, or prints the answer as JSON. */
static enum base_err finish_output(const struct chat *c, const struct generation *g, uint64_t seed)
{
    bool is_line = g->text.len > 0 && g->text.data[g->text.len - 1] == '\n';
    if (c->options.json)
        return generation_print_json(g, seed);
    if (is_line && c->is_talk)
        return OK;
    return putchar('\n') != EOF && fflush(stdout) == 0 ? OK : E_IO;
}

/* The message stays if there is an answer, or a part of one. */
static enum base_err keep(struct chat *c, const struct generation *g)
{
    if (g->finish == GENERATION_INTERRUPTED && g->text.len == 0) {
        conversation_drop_newest(&c->conversation);
        return OK;
    }
    return conversation_add(&c->conversation, "assistant", g->text.data ? g->text.data : "",
                            g->text.len);
}

static enum base_err finish(struct chat *c, const struct generation *g, uint64_t seed)
{
    enum base_err rc = finish_output(c, g, seed);
    if (rc)
        return rc;
    tell(c, g);
    return keep(c, g);
}

static enum chat_result generate(struct chat *c, const struct tokenizer_ids *ids)
{
    const struct run_options *o = &c->options;
    const struct valet_stop stop = { o->stop, o->stop ? (uint32_t)strlen(o->stop) : 0 };
    int32_t room = context_of(c) - (int32_t)ids->count;
    struct valet_request request = {
        .prompt = ids->ids,
        .prompt_count = (int32_t)ids->count,
        .max_new = o->max_tokens < room ? o->max_tokens : room,
        .sampling = o->sampling,
        .stops = &stop,
        .stop_count = stop.len > 0,
    };
    if (request.sampling.seed == 0)
        request.sampling.seed = random_u64(&base_random_system) >> 1; /* fits JSON's integers */
    const struct generation_sink sink = { c, on_text, on_step };
    struct base_err_info info = { 0 };
    struct generation g;
    enum base_err rc = generation_run(c->engine, &request, &sink, &g, &info);
    if (!rc)
        rc = finish(c, &g, request.sampling.seed);
    generation_fini(&g);
    signals_clear();
    if (rc == OK)
        return CHAT_ANSWERED;
    refused(rc == E_IO        ? "stdout cannot be written"
            : info.message[0] ? info.message
                              : base_strerror(rc));
    return CHAT_BROKEN;
}

enum chat_result chat_answer(struct chat *c, const char *text, size_t len)
{
    struct tokenizer_ids ids;
    enum base_err rc = conversation_add(&c->conversation, "user", text, len);
    if (rc == E_TOO_BIG)
        return refused("the conversation has too many messages; /clear begins a new one");
    if (rc)
        return refused(base_strerror(rc));
    tokenizer_ids_init(&ids, INT32_MAX);
    enum chat_result result = prepare(c, &ids);
    if (result == CHAT_ANSWERED)
        result = generate(c, &ids);
    else
        conversation_drop_newest(&c->conversation);
    tokenizer_ids_fini(&ids);
    return result;
}
