#include "api/render.h"

#include <string.h>

#include "base/clock.h"

/* ---- variables of a template ---- */

static enum base_err add_text(struct arena *arena, struct jinja_value map, const char *key,
                              const char *text, size_t len, enum jinja_origin origin)
{
    struct jinja_value value;
    enum base_err rc = jinja_string(arena, text, len, origin, &value);
    return rc ? rc : jinja_map_add_str(arena, map, key, value);
}

/* A field of a message that is a string, under `name`. */
static enum base_err add_field(struct arena *arena, struct jinja_value map, const char *name,
                               const json_t *source, const char *key)
{
    const json_t *text = json_object_get(source, key);
    if (!json_is_string(text))
        return OK;
    return add_text(arena, map, name, json_string_value(text), json_string_length(text),
                    JINJA_USER);
}

static enum base_err message_value(struct arena *arena, const struct template_message *message,
                                   const json_t *source, struct jinja_value *out)
{
    bool reasons = json_is_string(json_object_get(source, "reasoning_content"));
    enum base_err rc = jinja_map(arena, out);
    if (!rc)
        rc = add_text(arena, *out, "role", message->role, message->role_len, JINJA_TRUSTED);
    if (!rc)
        rc = add_text(arena, *out, "content", message->content, message->content_len, JINJA_USER);
    if (!rc)
        rc = add_field(arena, *out, "name", source, "name");
    if (!rc)
        rc = add_field(arena, *out, "tool_call_id", source, "tool_call_id");
    if (!rc)
        rc = add_field(arena, *out, "reasoning_content", source,
                       reasons ? "reasoning_content" : "reasoning");
    return rc;
}

static enum base_err messages_value(struct arena *arena, const struct api_model *model,
                                    const struct chat_prompt *prompt, struct jinja_value *out)
{
    const char *system = model->default_system;
    struct jinja_value value;
    enum base_err rc = jinja_list(arena, out);
    if (!rc && system && strcmp(prompt->messages[0].role, "system") != 0) {
        struct template_message message = { "system", 6, system, strlen(system) };
        rc = message_value(arena, &message, NULL, &value);
        if (!rc)
            rc = jinja_list_add(arena, *out, value);
    }
    for (size_t i = 0; !rc && i < prompt->message_count; i++) {
        rc = message_value(arena, &prompt->messages[i], json_array_get(prompt->sources, i), &value);
        if (!rc)
            rc = jinja_list_add(arena, *out, value);
    }
    return rc;
}

static enum base_err add_kwargs(struct arena *arena, struct jinja_value variables, json_t *kwargs)
{
    enum base_err rc = OK;
    for (void *at = json_object_iter(kwargs); at && !rc; at = json_object_iter_next(kwargs, at)) {
        struct jinja_value value;
        struct jinja_value name;
        const char *key = json_object_iter_key(at);
        rc = render_json(json_object_iter_value(at), arena, &value);
        if (!rc)
            rc = jinja_string(arena, key, strlen(key), JINJA_USER, &name);
        if (!rc)
            rc = jinja_map_add(arena, variables, name, value);
    }
    return rc;
}

/* A flag beside the kwargs; what stands in them goes first. */
static enum base_err add_flag(struct arena *arena, struct jinja_value variables,
                              const struct chat_prompt *prompt, const char *name,
                              const json_t *flag)
{
    if (!flag || json_object_get(prompt->kwargs, name))
        return OK;
    return jinja_map_add_str(arena, variables, name, jinja_bool(json_is_true(flag)));
}

/* How much the model shall think, in the words of different templates. */
static enum base_err add_thinking(struct arena *arena, struct jinja_value variables,
                                  const struct chat_prompt *prompt)
{
    const json_t *effort = prompt->reasoning_effort;
    const json_t *enable = prompt->enable_thinking;
    if (!enable && api_string_is(effort, "none"))
        enable = json_false();
    enum base_err rc = add_flag(arena, variables, prompt, "enable_thinking", enable);
    if (!rc)
        rc = add_flag(arena, variables, prompt, "thinking", prompt->thinking);
    if (!rc && effort && !json_object_get(prompt->kwargs, "reasoning_effort"))
        rc = add_text(arena, variables, "reasoning_effort", json_string_value(effort),
                      json_string_length(effort), JINJA_USER);
    return rc;
}

static enum base_err add_token(struct arena *arena, struct jinja_value variables, const char *name,
                               const char *text)
{
    return text ? add_text(arena, variables, name, text, strlen(text), JINJA_TRUSTED) : OK;
}

static enum base_err variables_make(const struct api_model *model, const struct chat_prompt *prompt,
                                    struct arena *arena, struct jinja_value *out)
{
    struct jinja_value messages;
    enum base_err rc = jinja_map(arena, out);
    if (!rc)
        rc = messages_value(arena, model, prompt, &messages);
    if (!rc)
        rc = jinja_map_add_str(arena, *out, "messages", messages);
    if (!rc)
        rc = jinja_map_add_str(arena, *out, "tools", jinja_none());
    if (!rc)
        rc = jinja_map_add_str(arena, *out, "add_generation_prompt",
                               jinja_bool(prompt->add_generation_prompt));
    if (!rc)
        rc = add_token(arena, *out, "bos_token", model->bos_text);
    if (!rc)
        rc = add_token(arena, *out, "eos_token", model->eos_text);
    if (!rc)
        rc = add_kwargs(arena, *out, prompt->kwargs);
    if (!rc)
        rc = add_thinking(arena, *out, prompt);
    return rc;
}

/* ---- rendering ---- */

static enum base_err render_jinja(const struct api_render *render, const struct chat_prompt *prompt,
                                  struct arena *arena, struct template_span **spans, size_t *count,
                                  struct api_error *error)
{
    struct jinja_limits limits;
    struct jinja_value variables;
    struct base_err_info info = { 0 };
    jinja_limits_init(&limits);
    enum base_err rc = variables_make(render->model, prompt, arena, &variables);
    if (rc)
        return api_error_nomem(error);
    rc = jinja_render(render->chat_template, variables, clock_wall_seconds(), &limits, arena, spans,
                      count, &info);
    if (rc == E_NOMEM)
        return api_error_nomem(error);
    if (rc == E_INVALID || rc == E_TOO_BIG)
        return api_error_set(error, API_INVALID_VALUE, "messages",
                             "messages: the model's chat template does not take them: %s",
                             info.message);
    if (rc)
        return api_error_set(error, API_INTERNAL, NULL, "the prompt could not be rendered: %s",
                             info.message);
    return OK;
}

enum base_err render_chat(const struct api_render *render, const struct chat_prompt *prompt,
                          struct arena *arena, struct template_span **spans, size_t *count,
                          struct api_error *error)
{
    const struct api_model *model = render->model;
    if (render->chat_template)
        return render_jinja(render, prompt, arena, spans, count, error);
    enum base_err rc =
        template_chatml(arena, prompt->messages, prompt->message_count, model->default_system,
                        prompt->add_generation_prompt, spans, count);
    return rc ? api_error_nomem(error) : OK;
}
