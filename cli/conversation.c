#include "conversation.h"

#include <string.h>

#include "base/mem.h"
#include "chat_render.h"

static void message_free(struct template_message *m)
{
    mem_free((char *)(uintptr_t)m->content);
}

static enum base_err message_make(const char *role, const char *text, size_t len,
                                  struct template_message *out)
{
    if (len > CONVERSATION_BYTES_MAX)
        return E_TOO_BIG;
    char *copy = mem_strndup(MEM_SERVER, text, len);
    if (!copy)
        return E_NOMEM;
    *out = (struct template_message){ role, strlen(role), copy, len };
    return OK;
}

/* Takes `n` messages at `at` out. */
static void take_out(struct conversation *c, size_t at, size_t n)
{
    for (size_t i = at; i < at + n; i++)
        message_free(&c->messages[i]);
    memmove(&c->messages[at], &c->messages[at + n], (c->count - at - n) * sizeof c->messages[0]);
    c->count -= n;
}

void conversation_fini(struct conversation *c)
{
    take_out(c, 0, c->count);
    c->system_count = 0;
}

enum base_err conversation_add(struct conversation *c, const char *role, const char *text,
                               size_t len)
{
    if (c->count == CONVERSATION_MESSAGES_MAX)
        return E_TOO_BIG;
    enum base_err rc = message_make(role, text, len, &c->messages[c->count]);
    c->count += rc == OK;
    return rc;
}

enum base_err conversation_set_system(struct conversation *c, const char *text)
{
    struct template_message message;
    enum base_err rc = message_make("system", text, strlen(text), &message);
    if (rc)
        return rc;
    if (c->count - c->system_count == CONVERSATION_MESSAGES_MAX) {
        message_free(&message);
        return E_TOO_BIG;
    }
    take_out(c, 0, c->system_count);
    c->system_count = message.content_len > 0;
    if (c->system_count == 0) {
        message_free(&message);
        return OK;
    }
    memmove(&c->messages[1], &c->messages[0], c->count * sizeof c->messages[0]);
    c->messages[0] = message;
    c->count++;
    return OK;
}

const char *conversation_system(const struct conversation *c)
{
    return c->system_count ? c->messages[0].content : "";
}

void conversation_clear(struct conversation *c)
{
    take_out(c, c->system_count, c->count - c->system_count);
}

void conversation_drop_newest(struct conversation *c)
{
    take_out(c, c->count - 1, 1);
}

static bool is_user(const struct template_message *m)
{
    return m->role_len == 4 && memcmp(m->role, "user", 4) == 0;
}

size_t conversation_turn_end(const struct conversation *c, size_t skip)
{
    size_t end = c->system_count + skip + 1;
    while (end < c->count && !is_user(&c->messages[end]))
        end++;
    return end < c->count ? end - c->system_count : 0;
}

void conversation_drop_oldest(struct conversation *c, size_t n)
{
    take_out(c, c->system_count, n);
}

/* The messages that are rendered, in `arena`. */
static struct template_message *shown(const struct conversation *c, size_t skip,
                                      struct arena *arena, size_t *count)
{
    struct template_message *list = arena_calloc(arena, c->count, sizeof *list);
    size_t rest = c->count - c->system_count - skip;
    if (!list)
        return NULL;
    memcpy(list, c->messages, c->system_count * sizeof *list);
    memcpy(list + c->system_count, c->messages + c->system_count + skip, rest * sizeof *list);
    *count = c->system_count + rest;
    return list;
}

static enum base_err encode(const struct conversation *c, size_t skip, const valet_model *model,
                            struct arena *arena, struct tokenizer_ids *ids,
                            struct base_err_info *info)
{
    struct template_span *spans;
    size_t message_count;
    size_t count;
    struct template_message *messages = shown(c, skip, arena, &message_count);
    if (!messages)
        return E_NOMEM;
    enum base_err rc = chat_render(model, messages, message_count, arena, &spans, &count, info);
    if (rc)
        return rc;
    struct tokenizer_span *parts = arena_calloc(arena, count, sizeof *parts);
    if (!parts)
        return E_NOMEM;
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct tokenizer_span){ spans[i].data, spans[i].len, spans[i].trusted };
    return tokenizer_encode_marked(valet_model_tokenizer(model), parts, count, ids);
}

enum base_err conversation_encode(const struct conversation *c, size_t skip,
                                  const valet_model *model, struct tokenizer_ids *ids,
                                  struct base_err_info *info)
{
    struct arena arena;
    arena_init(&arena, MEM_TEMPLATE, CONVERSATION_BYTES_MAX);
    enum base_err rc = encode(c, skip, model, &arena, ids, info);
    arena_fini(&arena);
    return rc;
}
