/* The configuration as YAML and as JSON, with the origin of each value. */
#include <string.h>

#include "config/config_int.h"

/* ---- which keys ---- */

static bool is_below(const char *key, const char *section)
{
    size_t len = strlen(section);
    return strncmp(key, section, len) == 0 &&
           (key[len] == '\0' || key[len] == '.' || key[len] == '[');
}

static bool is_shown(const struct config *c, const struct config_show *show, size_t i)
{
    if (show->key && !is_below(config_option_at(i)->key, show->key))
        return false;
    return !show->changed_only || c->origins[i].level != LEVEL_DEFAULT;
}

static bool exists(const struct config_show *show)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        if (!show->key || is_below(config_option_at(i)->key, show->key))
            return true;
    }
    return false;
}

static bool is_set_secret(const struct config *c, const struct config_option *o)
{
    return (o->traits & CONFIG_SECRET) &&
           *(const char *const *)((const char *)&c->values + o->offset);
}

/* ---- YAML ---- */

struct yaml_writer {
    const struct config *config;
    struct base_buf *out;
    char section[CONFIG_KEY_BYTES]; /* whose entries come now */
    bool in_model;                  /* the item of `models` has begun */
};

/* The length of what two keys' sections have in common, in whole parts. */
static size_t common_len(const char *a, const char *b)
{
    size_t same = 0;
    for (size_t i = 0;; i++) {
        bool a_ends = a[i] == '\0' || a[i] == '.';
        bool b_ends = b[i] == '\0' || b[i] == '.';
        if (a_ends && b_ends)
            same = i;
        if (a[i] != b[i] || a[i] == '\0')
            return same;
    }
}

static size_t depth_of(const char *section, size_t len)
{
    size_t depth = len > 0;
    for (size_t i = 0; i < len; i++)
        depth += section[i] == '.';
    return depth;
}

/* The headers of the sections that lead to `section` and are not open yet. */
static enum base_err open_sections(struct yaml_writer *w, const char *section)
{
    size_t done = common_len(w->section, section);
    enum base_err rc = OK;
    while (!rc && section[done] != '\0') {
        const char *part = section + done + (section[done] == '.');
        size_t len = strcspn(part, ".");
        size_t name_len = strcspn(part, ".[");
        size_t depth = depth_of(section, done);
        rc = buf_printf(w->out, "%*s%.*s:\n", (int)(2 * depth), "", (int)name_len, part);
        done = (size_t)(part - section) + len;
    }
    memcpy(w->section, section, strlen(section) + 1);
    return rc;
}

static enum base_err write_indent(struct yaml_writer *w, const struct config_option *o)
{
    size_t depth = depth_of(w->section, strlen(w->section));
    if (strncmp(o->key, "models[]", 8) != 0)
        return buf_printf(w->out, "%*s", (int)(2 * depth), "");
    enum base_err rc = buf_append_str(w->out, w->in_model ? "    " : "  - ");
    w->in_model = true;
    return rc;
}

static enum base_err write_entry(struct yaml_writer *w, size_t i)
{
    const struct config_option *o = config_option_at(i);
    const char *dot = strrchr(o->key, '.');
    char section[CONFIG_KEY_BYTES] = "";
    memcpy(section, o->key, (size_t)(dot - o->key));
    bool is_hidden = is_set_secret(w->config, o);
    enum base_err rc = open_sections(w, section);
    if (!rc)
        rc = write_indent(w, o);
    if (!rc)
        rc = buf_printf(w->out, "%s%s: ", is_hidden ? "# " : "", dot + 1);
    if (!rc)
        rc = is_hidden ? buf_append_str(w->out, "\"***\"")
                       : config_value_write(o, &w->config->values, VALUE_YAML, w->out);
    return rc ? rc : buf_printf(w->out, "  # %s\n", w->config->origins[i].text);
}

enum base_err config_write_yaml(const struct config *c, const struct config_show *show,
                                struct base_buf *out)
{
    if (!exists(show))
        return E_NOT_FOUND;
    struct yaml_writer w = { .config = c, .out = out };
    enum base_err rc = OK;
    for (size_t i = 0; i < config_option_count() && !rc; i++) {
        bool is_model = strncmp(config_option_at(i)->key, "models[]", 8) == 0;
        if (is_shown(c, show, i) && (!is_model || c->values.model.path))
            rc = write_entry(&w, i);
    }
    return rc;
}

/* ---- JSON ---- */

static enum base_err write_json_entry(const struct config *c, size_t i, bool is_first,
                                      struct base_buf *out)
{
    const struct config_option *o = config_option_at(i);
    enum base_err rc = buf_printf(out, "%s\n    \"%s\": {\"value\": ", is_first ? "" : ",", o->key);
    if (!rc)
        rc = is_set_secret(c, o) ? buf_append_str(out, "\"***\"")
                                 : config_value_write(o, &c->values, VALUE_JSON, out);
    if (!rc)
        rc = buf_append_str(out, ", \"origin\": ");
    if (!rc)
        rc = config_value_write_quoted(c->origins[i].text, VALUE_JSON, out);
    return rc ? rc : buf_append_str(out, "}");
}

enum base_err config_write_json(const struct config *c, const struct config_show *show,
                                struct base_buf *out)
{
    if (!exists(show))
        return E_NOT_FOUND;
    enum base_err rc = buf_append_str(out, "{\n  \"file\": ");
    if (!rc)
        rc = c->file ? config_value_write_quoted(c->file, VALUE_JSON, out)
                     : buf_append_str(out, "null");
    if (!rc)
        rc = buf_append_str(out, ",\n  \"values\": {");
    bool is_first = true;
    for (size_t i = 0; i < config_option_count() && !rc; i++) {
        if (!is_shown(c, show, i))
            continue;
        rc = write_json_entry(c, i, is_first, out);
        is_first = false;
    }
    return rc ? rc : buf_append_str(out, "\n  }\n}\n");
}
