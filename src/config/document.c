/* The option table as people read it: a reference in Markdown, and an example file. */
#include <stdio.h>
#include <string.h>

#include "config/config_int.h"

static size_t top_len(const char *key)
{
    return strcspn(key, ".[");
}

static bool starts_section(size_t i)
{
    if (i == 0)
        return true;
    const char *key = config_option_at(i)->key;
    const char *before = config_option_at(i - 1)->key;
    size_t len = top_len(key);
    return len != top_len(before) || strncmp(key, before, len) != 0;
}

/* ---- Markdown ---- */

static enum base_err write_names(const struct config_option *o, struct base_buf *out)
{
    enum base_err rc = OK;
    if (o->flag)
        rc = buf_printf(out, "`--%s%s%s`", o->flag, o->value_name ? " " : "",
                        o->value_name ? o->value_name : "");
    if (!rc && o->short_env)
        rc = buf_printf(out, "%s`%s`", o->flag ? ", " : "", o->short_env);
    return rc;
}

static enum base_err write_row(const struct config_option *o, struct base_buf *out)
{
    char type[128];
    config_option_describe(o, type, sizeof type);
    enum base_err rc = buf_printf(out, "| `%s` | %s | %s | %s | ", o->key, type, o->fallback,
                                  o->traits & CONFIG_RELOADABLE ? "R" : "");
    if (!rc)
        rc = write_names(o, out);
    return rc ? rc : buf_printf(out, " | %s |\n", o->help);
}

enum base_err config_write_table(struct base_buf *out)
{
    enum base_err rc = OK;
    for (size_t i = 0; i < config_option_count() && !rc; i++) {
        const struct config_option *o = config_option_at(i);
        if (starts_section(i))
            rc = buf_printf(out,
                            "%s### %.*s\n\n| key | type, range | default | | flag, short name | "
                            "meaning |\n|---|---|---|---|---|---|\n",
                            i ? "\n" : "", (int)top_len(o->key), o->key);
        if (!rc)
            rc = write_row(o, out);
    }
    return rc;
}

/* ---- example ---- */

static enum base_err write_sections(const char *key, const char *before, struct base_buf *out)
{
    enum base_err rc = OK;
    size_t depth = 0;
    bool same = true;
    for (const char *p = key; !rc && strchr(p, '.'); depth++) {
        size_t len = strcspn(p, ".") + 1;
        size_t offset = (size_t)(p - key);
        same = same && strncmp(before, key, offset + len) == 0;
        if (!same)
            rc = buf_printf(out, "%s%*s%.*s:\n", depth == 0 ? "\n" : "", (int)(2 * depth), "",
                            (int)strcspn(p, ".["), p);
        p += len;
    }
    return rc;
}

static int depth_of(const char *key)
{
    int depth = 0;
    for (; (key = strchr(key, '.')); key++)
        depth++;
    return depth;
}

/* Help as "# text", the key as "#key: default", so that taking a '#' away makes it count. */
static enum base_err write_example_key(const struct config_option *o, bool is_first_of_model,
                                       struct base_buf *out)
{
    char type[128];
    bool in_model = strncmp(o->key, "models[]", 8) == 0;
    int indent = 2 * depth_of(o->key) + (in_model && !is_first_of_model ? 2 : 0);
    config_option_describe(o, type, sizeof type);
    enum base_err rc = buf_printf(out, "%*s# %s (%s)\n", indent, "", o->help, type);
    if (rc)
        return rc;
    return buf_printf(out, "%*s#%s%s: %s\n", indent, "", is_first_of_model ? "- " : "",
                      strrchr(o->key, '.') + 1, o->fallback);
}

enum base_err config_write_example(struct base_buf *out)
{
    enum base_err rc = buf_append_str(
        out, "# valet.yaml with every key at its default. Take away the '#' in front "
             "of a key to set it.\n");
    const char *before = "";
    bool had_model = false;
    for (size_t i = 0; i < config_option_count() && !rc; i++) {
        const struct config_option *o = config_option_at(i);
        bool in_model = strncmp(o->key, "models[]", 8) == 0;
        rc = write_sections(o->key, before, out);
        if (!rc)
            rc = write_example_key(o, in_model && !had_model, out);
        had_model = had_model || in_model;
        before = o->key;
    }
    return rc;
}
