#include <string.h>

#include "api/chat_parse.h"

/* Parts of a message that are known but need a model that can take them. */
static bool part_known(const json_t *type)
{
    static const char *const known[] = { "image_url", "input_audio", "file", "refusal" };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (api_string_is(type, known[i]))
            return true;
    }
    return false;
}

/* The role as the template knows it, or NULL. */
static const char *role_find(const json_t *role)
{
    static const char *const roles[][2] = {
        { "system", "system" },       { "developer", "system" }, { "user", "user" },
        { "assistant", "assistant" }, { "tool", "tool" },
    };
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (api_string_is(role, roles[i][0]))
            return roles[i][1];
    }
    return NULL;
}

/* The text of one part of type text. */
static enum base_err part_text(const json_t *part, const struct api_path *path,
                               struct api_error *error, const char **text, size_t *len)
{
    struct api_object object = { part, path, error };
    if (!json_is_object(part))
        return api_wrong(error, path, "an object with a type", part);
    const json_t *type = api_field(&object, "type");
    if (!type)
        return api_field_missing(&object, "type");
    if (part_known(type))
        return api_field_unsupported(&object, "type", "\"text\"");
    if (!api_string_is(type, "text"))
        return api_field_wrong(&object, "type", "\"text\"");
    if (!api_field(&object, "text"))
        return api_field_missing(&object, "text");
    return api_field_string(&object, "text", text, len);
}

/* Joins the texts of all parts. */
static enum base_err parse_parts(const json_t *parts, const struct api_path *path,
                                 struct arena *arena, struct template_message *out,
                                 struct api_error *error)
{
    size_t count = json_array_size(parts);
    size_t total = 0;
    const char *text = NULL;
    size_t len = 0;
    if (!count)
        return api_wrong(error, path, "at least one part", parts);
    for (size_t i = 0; i < count; i++) {
        struct api_path part = { .up = path, .index = i };
        enum base_err rc = part_text(json_array_get(parts, i), &part, error, &text, &len);
        if (rc)
            return rc;
        total += len; /* bounded by the body */
    }
    char *joined = arena_alloc(arena, total + 1);
    if (!joined)
        return api_error_nomem(error);
    out->content = joined;
    out->content_len = total;
    for (size_t i = 0; i < count; i++) {
        const json_t *t = json_object_get(json_array_get(parts, i), "text");
        memcpy(joined, json_string_value(t), json_string_length(t));
        joined += json_string_length(t);
    }
    return OK;
}

static enum base_err parse_content(const struct api_object *message, struct arena *arena,
                                   struct template_message *out)
{
    const json_t *content = api_field(message, "content");
    struct api_path path = { .up = message->path, .key = "content" };
    if (json_is_string(content)) {
        out->content = json_string_value(content);
        out->content_len = json_string_length(content);
        return OK;
    }
    if (json_is_array(content))
        return parse_parts(content, &path, arena, out, message->error);
    if (content)
        return api_field_wrong(message, "content", "a string or an array of parts");
    if (strcmp(out->role, "assistant") != 0)
        return api_field_missing(message, "content");
    out->content = "";
    out->content_len = 0;
    return OK;
}

/* Fields of a message that would change the prompt if they were honoured. */
static enum base_err parse_extras(const struct api_object *message)
{
    const json_t *calls = api_field(message, "tool_calls");
    const char *text = NULL;
    size_t len = 0;
    if (calls && !json_is_array(calls))
        return api_field_wrong(message, "tool_calls", "an array");
    if (json_array_size(calls))
        return api_field_unsupported(message, "tool_calls", "[]");
    if (api_field(message, "function_call"))
        return api_field_unsupported(message, "function_call", "null");
    if (api_field(message, "audio"))
        return api_field_unsupported(message, "audio", "null");
    static const char *const strings[] = { "name", "tool_call_id", "reasoning_content",
                                           "reasoning" };
    enum base_err rc = OK;
    for (size_t i = 0; !rc && i < sizeof strings / sizeof strings[0]; i++)
        rc = api_field_string(message, strings[i], &text, &len);
    return rc;
}

static enum base_err parse_message(const json_t *message, const struct api_path *path,
                                   struct arena *arena, struct template_message *out,
                                   struct api_error *error)
{
    struct api_object object = { message, path, error };
    if (!json_is_object(message))
        return api_wrong(error, path, "an object with role and content", message);
    const json_t *role = api_field(&object, "role");
    if (!role)
        return api_field_missing(&object, "role");
    out->role = role_find(role);
    if (!out->role)
        return api_field_wrong(&object, "role", "system, developer, user, assistant or tool");
    out->role_len = strlen(out->role);
    enum base_err rc = parse_content(&object, arena, out);
    return rc ? rc : parse_extras(&object);
}

enum base_err chat_parse_messages(const struct api_object *body, struct arena *arena,
                                  struct chat_prompt *out)
{
    const json_t *messages = api_field(body, "messages");
    struct api_path path = { .key = "messages" };
    if (!messages)
        return api_field_missing(body, "messages");
    size_t count = json_array_size(messages);
    if (!json_is_array(messages) || !count)
        return api_field_wrong(body, "messages", "an array of at least one message");
    out->messages = arena_calloc(arena, count, sizeof *out->messages);
    if (!out->messages)
        return api_error_nomem(body->error);
    out->message_count = count;
    out->sources = messages;
    for (size_t i = 0; i < count; i++) {
        struct api_path item = { .up = &path, .index = i };
        enum base_err rc = parse_message(json_array_get(messages, i), &item, arena,
                                         &out->messages[i], body->error);
        if (rc)
            return rc;
    }
    return OK;
}
