#include "chat_render.h"

#include <string.h>

#include "base/clock.h"
#include "template/jinja.h"
#include "tokenizer/tokenizer.h"

static enum base_err add_text(struct arena *arena, struct jinja_value map, const char *key,
                              const char *text, size_t len, enum jinja_origin origin)
{
    struct jinja_value value;
    enum base_err rc = jinja_string(arena, text, len, origin, &value);
    return rc ? rc : jinja_map_add_str(arena, map, key, value);
}

static enum base_err add_token(struct arena *arena, struct jinja_value map, const char *key,
                               const struct tokenizer *t, int32_t id)
{
    if (id < 0)
        return OK;
    struct tokenizer_text text = tokenizer_bytes(t, id);
    return add_text(arena, map, key, text.data, text.len, JINJA_TRUSTED);
}

static enum base_err messages_value(struct arena *arena, const struct template_message *messages,
                                    size_t count, struct jinja_value *out)
{
    enum base_err rc = jinja_list(arena, out);
    for (size_t i = 0; !rc && i < count; i++) {
        const struct template_message *m = &messages[i];
        struct jinja_value message;
        rc = jinja_map(arena, &message);
        if (!rc)
            rc = add_text(arena, message, "role", m->role, m->role_len, JINJA_TRUSTED);
        if (!rc)
            rc = add_text(arena, message, "content", m->content, m->content_len, JINJA_USER);
        if (!rc)
            rc = jinja_list_add(arena, *out, message);
    }
    return rc;
}

static enum base_err variables_make(struct arena *arena, const struct tokenizer *t,
                                    const struct template_message *messages, size_t count,
                                    struct jinja_value *out)
{
    struct jinja_value list;
    enum base_err rc = messages_value(arena, messages, count, &list);
    if (!rc)
        rc = jinja_map(arena, out);
    if (!rc)
        rc = jinja_map_add_str(arena, *out, "messages", list);
    if (!rc)
        rc = jinja_map_add_str(arena, *out, "tools", jinja_none());
    if (!rc)
        rc = jinja_map_add_str(arena, *out, "add_generation_prompt", jinja_bool(true));
    if (!rc)
        rc = add_token(arena, *out, "bos_token", t, tokenizer_bos(t));
    return rc ? rc : add_token(arena, *out, "eos_token", t, tokenizer_eos(t));
}

enum base_err chat_render(const valet_model *model, const struct template_message *messages,
                          size_t count, struct arena *arena, struct template_span **spans,
                          size_t *span_count, struct base_err_info *info)
{
    struct valet_model_info about;
    valet_model_info(model, &about);
    if (about.chat_template[0] == '\0')
        return template_chatml(arena, messages, count, NULL, true, spans, span_count);
    struct jinja_limits limits;
    struct jinja_value variables;
    jinja_template *t;
    jinja_limits_init(&limits);
    enum base_err rc =
        jinja_compile(about.chat_template, strlen(about.chat_template), &limits, &t, info);
    if (rc)
        return rc;
    rc = variables_make(arena, valet_model_tokenizer(model), messages, count, &variables);
    if (!rc)
        rc = jinja_render(t, variables, clock_wall_seconds(), &limits, arena, spans, span_count,
                          info);
    jinja_destroy(t);
    return rc;
}
