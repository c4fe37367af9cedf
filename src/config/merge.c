/* Defaults, file, environment and command line laid over each other, key by key. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "config/config_int.h"

enum base_err loader_assign(struct loader *l, const struct config_option *o, const struct value *v,
                            enum config_level level, const char *where, const char *origin)
{
    struct config *c = l->config;
    struct config_origin *old = &c->origins[config_option_index(o)];
    bool wins = level >= old->level;
    char why[VALUE_WHY_BYTES];
    enum base_err rc = config_value_store(o, v, wins ? &c->values : &l->scratch, &c->arena, why);
    if (rc == E_INVALID) {
        bool names_key = level == LEVEL_FLAG && strcmp(where, "--set") != 0;
        config_error(l->report, "%s: %s%s%s", where, names_key ? "" : o->key, names_key ? "" : ": ",
                     why);
        return OK;
    }
    if (rc || !wins)
        return rc;
    const char *copy = arena_strndup(&c->arena, origin, strlen(origin));
    if (!copy)
        return E_NOMEM;
    *old = (struct config_origin){ level, copy };
    return OK;
}

static enum base_err assign_defaults(struct config *c)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        enum base_err rc = config_value_store_default(config_option_at(i), &c->values, &c->arena);
        if (rc)
            return rc;
        c->origins[i] = (struct config_origin){ LEVEL_DEFAULT, "default" };
    }
    return OK;
}

/* ---- the command line ---- */

/* "30000" of a flag in milliseconds for a key in seconds: "30.000". */
static enum base_err assign_ms(struct loader *l, const struct config_option *o,
                               const struct config_flag *flag)
{
    struct config_option in_ms = *o;
    struct value v = { .kind = VALUE_FREE, .text = flag->text };
    struct valet_config ms;
    char why[VALUE_WHY_BYTES];
    in_ms.type = CONFIG_INT;
    in_ms.min *= 1000;
    in_ms.max *= 1000;
    if (config_value_is_null(&v))
        return loader_assign(l, o, &v, LEVEL_FLAG, flag->from, flag->from);
    if (config_value_store(&in_ms, &v, &ms, &l->config->arena, why) != OK) {
        config_error(l->report, "%s: %s", flag->from, why);
        return OK;
    }
    int64_t number = *(const int64_t *)((const char *)&ms + o->offset);
    char secs[48];
    snprintf(secs, sizeof secs, "%lld.%03d", (long long)(number / 1000), (int)(number % 1000));
    v.text = secs;
    return loader_assign(l, o, &v, LEVEL_FLAG, flag->from, flag->from);
}

/* Whether the value came by the key's own flag and that ends in "-ms". */
static bool is_ms_flag(const struct config_option *o, const char *from)
{
    const char *end = o->flag ? strrchr(o->flag, '-') : NULL;
    return end && strcmp(end, "-ms") == 0 && strncmp(from, "--", 2) == 0 &&
           strcmp(from + 2, o->flag) == 0;
}

static enum base_err assign_flag(struct loader *l, const struct config_flag *flag)
{
    const struct config_option *o = config_option_find(flag->key);
    if (!o || (o->traits & CONFIG_FILE_ONLY)) {
        char near[CONFIG_KEY_BYTES];
        const char *dot = strrchr(flag->key, '.');
        char section[CONFIG_KEY_BYTES];
        snprintf(section, sizeof section, "%.*s", dot ? (int)(dot - flag->key) : 0, flag->key);
        config_suggest_key(section, dot ? dot + 1 : flag->key, near);
        config_error(l->report, "%s: %s '%.80s'%s%s%s", flag->from,
                     o ? "only a file may set" : "unknown key", flag->key,
                     near[0] && !o ? "; did you mean '" : "", o ? "" : near,
                     near[0] && !o ? "'?" : "");
        return OK;
    }
    if (o->type == CONFIG_SECS && is_ms_flag(o, flag->from))
        return assign_ms(l, o, flag);
    const struct value v = { .kind = VALUE_FREE, .text = flag->text };
    return loader_assign(l, o, &v, LEVEL_FLAG, flag->from, flag->from);
}

static enum base_err assign_flags(struct loader *l, const struct config_sources *sources)
{
    enum base_err rc = OK;
    for (size_t i = 0; i < sources->flag_count && !rc; i++)
        rc = assign_flag(l, &sources->flags[i]);
    return rc;
}

/* ---- MODEL ---- */

static bool is_file_model(const struct config_model *m, const char *model)
{
    if ((m->path && strcmp(m->path, model) == 0) || (m->name && strcmp(m->name, model) == 0))
        return true;
    for (size_t i = 0; i < m->aliases.count; i++) {
        if (strcmp(m->aliases.items[i], model) == 0)
            return true;
    }
    return false;
}

static bool has_file_model(const struct config *c)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        if (c->origins[i].level == LEVEL_MODEL)
            return true;
    }
    return false;
}

/*
 * MODEL of the command line or of the environment: a name of the file's model means that one;
 * else it is a model of its own, and what the file says of its model alone is not for it.
 */
static enum base_err assign_model(struct loader *l, const char *model, enum config_level level,
                                  const char *text, size_t len)
{
    const char *from = level == LEVEL_FLAG ? "MODEL" : "VALET_MODEL";
    if (has_file_model(l->config)) {
        if (is_file_model(&l->config->values.model, model))
            return OK;
        struct config_report again;
        struct config_report *report = l->report;
        config_report_init(&again);
        enum base_err rc = assign_defaults(l->config);
        l->skip_models = true;
        l->report = &again; /* everything was reported in the first round */
        if (!rc)
            rc = loader_read_file(l, text, len);
        l->report = report;
        if (rc)
            return rc;
        config_warning(l->report, "%s: models[0] does not apply to %s %.160s", l->file_name, from,
                       model);
    }
    const struct value v = { .kind = VALUE_FREE, .text = model };
    return loader_assign(l, config_option_find("models[].path"), &v, level, from, from);
}

static enum base_err assign_any_model(struct loader *l, const struct config_sources *s,
                                      const char *text, size_t len)
{
    const char *name = "VALET_MODEL";
    const char *model = config_env_get(l->env, name, strlen(name));
    if (s->model)
        return assign_model(l, s->model, LEVEL_FLAG, text, len);
    return model ? assign_model(l, model, LEVEL_ENV, text, len) : OK;
}

/* ---- the whole ---- */

/* Texts that a reload needs again. */
static enum base_err keep_sources(struct config *c, const struct config_sources *s)
{
    struct config_flag *flags = arena_calloc(&c->arena, s->flag_count + 1, sizeof *flags);
    c->sources = (struct config_sources){ .flags = flags, .flag_count = s->flag_count };
    const char *const from[] = { s->file, s->model };
    const char **const to[] = { &c->sources.file, &c->sources.model };
    bool ok = flags;
    for (size_t i = 0; i < 2 && ok; i++) {
        if (from[i])
            ok = (*to[i] = arena_strndup(&c->arena, from[i], strlen(from[i]))) != NULL;
    }
    for (size_t i = 0; i < s->flag_count && ok; i++) {
        const struct config_flag *f = &s->flags[i];
        flags[i].key = arena_strndup(&c->arena, f->key, strlen(f->key));
        flags[i].text = arena_strndup(&c->arena, f->text, strlen(f->text));
        flags[i].from = arena_strndup(&c->arena, f->from, strlen(f->from));
        ok = flags[i].key && flags[i].text && flags[i].from;
    }
    return ok ? OK : E_NOMEM;
}

static enum base_err merge_into(struct loader *l, const struct config_sources *s, const char *text,
                                size_t len)
{
    struct config *c = l->config;
    enum base_err rc = keep_sources(c, s);
    if (!rc)
        rc = assign_defaults(c);
    if (!rc && text) {
        c->file = arena_strndup(&c->arena, l->file_name, strlen(l->file_name));
        rc = c->file ? loader_read_file(l, text, len) : E_NOMEM;
    }
    if (!rc)
        rc = assign_any_model(l, s, text, len);
    if (!rc)
        rc = loader_read_env(l);
    return rc ? rc : assign_flags(l, s);
}

enum base_err config_merge(const struct config_sources *sources, const char *name, const char *text,
                           size_t len, struct config **out, struct config_report *report)
{
    *out = NULL;
    struct config *c = mem_calloc(MEM_CONFIG, 1, sizeof *c);
    if (!c)
        return E_NOMEM;
    arena_init(&c->arena, MEM_CONFIG, CONFIG_ARENA_BYTES);
    struct loader l = { .config = c, .env = sources->env, .report = report, .file_name = name };
    enum base_err rc = merge_into(&l, sources, text, len);
    if (rc) {
        config_destroy(c);
        return rc;
    }
    *out = c;
    return OK;
}

enum base_err config_check_flags(const struct config_flag *flags, size_t flag_count,
                                 struct config_report *report)
{
    const struct config_sources sources = { .flags = flags, .flag_count = flag_count };
    size_t errors_before = report->error_count;
    struct config *config;
    enum base_err rc = config_merge(&sources, "", NULL, 0, &config, report);
    config_destroy(config);
    return !rc && report->error_count > errors_before ? E_INVALID : rc;
}
