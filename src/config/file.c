/*
 * The file's tree against the table of keys. The recursion follows the sections of the table,
 * not the file: what the table does not know is not entered.
 */
#include <stdio.h>
#include <string.h>

#include "config/config_int.h"
#include "config/yaml.h"

/* A map of the file, and what it is in the table. */
struct place {
    char shown[CONFIG_KEY_BYTES]; /* "models[0].params", as messages have it */
    char real[CONFIG_KEY_BYTES];  /* "model_defaults.params", as the table has it */
    enum config_level level;
};

/* Second names of keys. */
static const char *const g_aliases[][2] = {
    { "models[].local_path", "models[].path" },
    { "model_defaults.params.kv_mem", "model_defaults.params.mem" },
    { "model_defaults.params.kvcache_mem_gpu", "model_defaults.params.mem" },
};

/* Sections are those of the table, short; a key is cut where it cannot be one any more. */
static void join(char out[CONFIG_KEY_BYTES], const char *section, const char *key)
{
    snprintf(out, CONFIG_KEY_BYTES, "%.56s%s%.100s", section, section[0] ? "." : "", key);
}

static bool is_section(const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < config_option_count(); i++) {
        const char *known = config_option_at(i)->key;
        if (strncmp(known, key, len) == 0 && known[len] == '.')
            return true;
    }
    return false;
}

static bool is_known(const char *key)
{
    return config_option_find(key) || is_section(key);
}

/* What `key` of a map is; false if the table has no such thing. */
static bool find_place(const struct place *map, const char *key, struct place *out)
{
    *out = (struct place){ .level = map->level };
    join(out->shown, map->shown, key);
    join(out->real, map->real, key);
    bool in_model = strcmp(map->real, "models[]") == 0;
    for (size_t i = 0; i < sizeof g_aliases / sizeof g_aliases[0]; i++) {
        if (strcmp(out->real, g_aliases[i][0]) == 0)
            snprintf(out->real, sizeof out->real, "%s", g_aliases[i][1]);
    }
    if (in_model && !is_known(out->real))
        join(out->real, strcmp(key, "pool") == 0 ? "" : "model_defaults", key);
    return is_known(out->real);
}

static const char *kind_name(const struct yaml_node *node)
{
    return node->kind == YAML_MAP ? "a map" : node->kind == YAML_LIST ? "a list" : "a value";
}

static void wrong_kind(struct loader *l, const struct yaml_node *node, const char *shown,
                       const char *wanted)
{
    config_error(l->report, "%s:%d:%d: %s: expected %s, got %s", l->file_name, node->line,
                 node->column, shown, wanted, kind_name(node));
}

static void unknown_key(struct loader *l, const struct place *map, const struct yaml_node *node)
{
    char near[CONFIG_KEY_BYTES];
    config_suggest_key(map->real, node->key, near);
    config_error(l->report, "%s:%d:%d: unknown key '%.60s' in %s%s%s%s", l->file_name,
                 node->key_line, node->key_column, node->key,
                 map->shown[0] ? map->shown : "the top level", near[0] ? "; did you mean '" : "",
                 near, near[0] ? "'?" : "");
}

static enum base_err scalar_value(struct loader *l, const struct yaml_node *node, struct value *v,
                                  const char **from, char why[VALUE_WHY_BYTES])
{
    v->kind = node->is_plain ? VALUE_PLAIN : VALUE_QUOTED;
    enum base_err rc =
        config_interpolate(node->text, l->env, &l->config->arena, &v->text, from, why);
    if (*from)
        v->kind = VALUE_FREE;
    return rc;
}

static enum base_err list_value(struct loader *l, const struct yaml_node *list, struct value *v,
                                const char **from, char why[VALUE_WHY_BYTES])
{
    size_t count = 0;
    for (const struct yaml_node *n = list->first; n; n = n->next)
        count++;
    struct value *items = arena_calloc(&l->config->arena, count + 1, sizeof *items);
    if (!items)
        return E_NOMEM;
    enum base_err rc = OK;
    struct value *item = items;
    for (const struct yaml_node *n = list->first; n && !rc; n = n->next, item++) {
        const char *item_from = NULL;
        if (n->kind == YAML_SCALAR) {
            rc = scalar_value(l, n, item, &item_from, why);
        } else {
            snprintf(why, VALUE_WHY_BYTES, "expected a list of texts, got %s in it", kind_name(n));
            rc = E_INVALID;
        }
        if (!*from)
            *from = item_from;
    }
    *v = (struct value){ .kind = VALUE_LIST, .items = items, .item_count = count };
    return rc;
}

static void describe_origin(const struct loader *l, const struct yaml_node *node,
                            const struct place *place, const char *from,
                            char out[CONFIG_ORIGIN_BYTES])
{
    const char *dot = strrchr(place->shown, '.');
    int section = place->level == LEVEL_MODEL && dot ? (int)(dot - place->shown) : 0;
    snprintf(out, CONFIG_ORIGIN_BYTES, "%.180s:%d%s%.*s%s%s%s%s", l->file_name, node->line,
             section ? " (" : "", section, place->shown, section ? ")" : "", from ? " (from " : "",
             from ? from : "", from ? ")" : "");
}

static enum base_err read_value(struct loader *l, const struct yaml_node *node,
                                const struct place *place, const struct config_option *o)
{
    struct value v = { 0 };
    const char *from = NULL;
    char where[CONFIG_ORIGIN_BYTES];
    char origin[CONFIG_ORIGIN_BYTES];
    char why[VALUE_WHY_BYTES];
    snprintf(where, sizeof where, "%.180s:%d:%d", l->file_name, node->line, node->column);
    if (node->kind == YAML_MAP) {
        wrong_kind(l, node, place->shown, "a value");
        return OK;
    }
    const struct config_origin *old = &l->config->origins[config_option_index(o)];
    if (old->level == place->level && old->level != LEVEL_DEFAULT) {
        config_error(l->report, "%s: %s: the same was set in %s", where, place->shown, old->text);
        return OK;
    }
    enum base_err rc = node->kind == YAML_LIST ? list_value(l, node, &v, &from, why)
                                               : scalar_value(l, node, &v, &from, why);
    if (rc == E_INVALID) {
        config_error(l->report, "%s: %s: %s", where, place->shown, why);
        return OK;
    }
    if (rc)
        return rc;
    describe_origin(l, node, place, from, origin);
    return loader_assign(l, o, &v, place->level, where, origin);
}

static enum base_err read_map(struct loader *l, const struct yaml_node *map,
                              const struct place *place);

static enum base_err read_models(struct loader *l, const struct yaml_node *list)
{
    if (list->kind == YAML_SCALAR && list->is_plain && list->text[0] == '\0')
        return OK;
    if (list->kind != YAML_LIST) {
        wrong_kind(l, list, "models", "a list of maps");
        return OK;
    }
    const struct yaml_node *model = list->first;
    if (!model)
        return OK;
    if (model->next)
        config_error(l->report, "%s:%d:%d: models: only one model can be served", l->file_name,
                     model->next->line, model->next->column);
    if (model->kind != YAML_MAP) {
        wrong_kind(l, model, "models[0]", "a map");
        return OK;
    }
    const struct place place = { .shown = "models[0]", .real = "models[]", .level = LEVEL_MODEL };
    return read_map(l, model, &place);
}

static enum base_err read_entry(struct loader *l, const struct yaml_node *node,
                                const struct place *map)
{
    if (map->real[0] == '\0' && strcmp(node->key, "models") == 0)
        return l->skip_models ? OK : read_models(l, node);
    struct place place;
    if (!find_place(map, node->key, &place)) {
        unknown_key(l, map, node);
        return OK;
    }
    const struct config_option *o = config_option_find(place.real);
    if (o)
        return read_value(l, node, &place, o);
    if (node->kind == YAML_MAP)
        return read_map(l, node, &place);
    bool is_empty = node->kind == YAML_SCALAR && node->is_plain && node->text[0] == '\0';
    if (!is_empty) /* a section of which everything is commented out says nothing */
        wrong_kind(l, node, place.shown, "a map");
    return OK;
}

static enum base_err read_map(struct loader *l, const struct yaml_node *map,
                              const struct place *place)
{
    enum base_err rc = OK;
    for (const struct yaml_node *n = map->first; n && !rc; n = n->next)
        rc = read_entry(l, n, place);
    return rc;
}

enum base_err loader_read_file(struct loader *l, const char *text, size_t len)
{
    struct arena arena;
    struct yaml_node *root;
    arena_init(&arena, MEM_CONFIG, CONFIG_ARENA_BYTES);
    enum base_err rc = config_yaml_parse(l->file_name, text, len, &arena, &root, l->report);
    if (rc == E_INVALID) {
        rc = OK; /* reported */
    } else if (!rc && root && root->kind == YAML_MAP) {
        const struct place top = { .level = LEVEL_FILE };
        rc = read_map(l, root, &top);
    } else if (!rc && root && !(root->kind == YAML_SCALAR && root->is_plain && !root->text[0])) {
        wrong_kind(l, root, "the file", "a map of keys");
    }
    arena_fini(&arena);
    return rc;
}
