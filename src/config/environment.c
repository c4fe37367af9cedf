/* VALET_* variables. */
#include <stdio.h>
#include <string.h>

#include "config/config_int.h"

/* Read elsewhere: the place of the file, the model, and the kernels' instruction set. */
static const char *const g_others[] = { "VALET_CONFIG", "VALET_MODEL", "VALET_ISA" };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/*
 * Kubernetes describes a service called "valet" to every container beside it:
 * VALET_PORT=tcp://10.0.0.1:80, VALET_PORT_80_TCP=…, VALET_SERVICE_HOST=….
 */
static bool is_service_name(const char *name)
{
    return strncmp(name, "VALET_SERVICE_", 14) == 0 ||
           (strncmp(name, "VALET_PORT_", 11) == 0 && is_digit(name[11]));
}

static bool is_service_value(const char *value)
{
    return strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0;
}

static bool is_name_of(const struct config_option *o, const char *name)
{
    char long_name[CONFIG_ENV_NAME_MAX];
    config_option_env(o, long_name);
    return strcmp(name, long_name) == 0 || (o->short_env && strcmp(name, o->short_env) == 0);
}

static const struct config_option *find(const char *name)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        if (is_name_of(config_option_at(i), name))
            return config_option_at(i);
    }
    return NULL;
}

static void nearer(const char *name, const char *candidate, size_t *best,
                   char out[CONFIG_ENV_NAME_MAX])
{
    size_t distance;
    size_t prefix = strlen("VALET_");
    if (strncmp(candidate, "VALET_", prefix) == 0 &&
        config_is_near(name + prefix, candidate + prefix, &distance) && distance < *best) {
        *best = distance;
        snprintf(out, CONFIG_ENV_NAME_MAX, "%s", candidate);
    }
}

static void warn_unknown(struct loader *l, const char *name)
{
    size_t best = SIZE_MAX;
    char near[CONFIG_ENV_NAME_MAX] = "";
    for (size_t i = 0; i < config_option_count(); i++) {
        char candidate[CONFIG_ENV_NAME_MAX];
        config_option_env(config_option_at(i), candidate);
        nearer(name, candidate, &best, near);
        if (config_option_at(i)->short_env)
            nearer(name, config_option_at(i)->short_env, &best, near);
    }
    config_warning(l->report, "%.100s: unknown, ignored%s%s%s", name,
                   near[0] ? "; did you mean " : "", near, near[0] ? "?" : "");
}

static bool is_other(const char *name)
{
    for (size_t i = 0; i < sizeof g_others / sizeof g_others[0]; i++) {
        if (strcmp(name, g_others[i]) == 0)
            return true;
    }
    return is_service_name(name);
}

static enum base_err take(struct loader *l, const char *name, const char *value)
{
    if (is_other(name))
        return OK;
    const struct config_option *o = find(name);
    if (!o) {
        warn_unknown(l, name);
        return OK;
    }
    if (is_service_value(value)) {
        config_warning(l->report, "%s: '%.60s' looks like a Kubernetes service, ignored", name,
                       value);
        return OK;
    }
    const struct config_origin *old = &l->config->origins[config_option_index(o)];
    if (old->level == LEVEL_ENV) {
        config_error(l->report, "%s: %s is set by %s too", name, o->key, old->text);
        return OK;
    }
    const struct value v = { .kind = VALUE_FREE, .text = value };
    return loader_assign(l, o, &v, LEVEL_ENV, name, name);
}

enum base_err loader_read_env(struct loader *l)
{
    enum base_err rc = OK;
    for (size_t i = 0; l->env && l->env[i] && !rc; i++) {
        const char *equals = strchr(l->env[i], '=');
        char name[CONFIG_ENV_NAME_MAX];
        if (strncmp(l->env[i], "VALET_", 6) != 0 || !equals)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(equals - l->env[i]), l->env[i]);
        rc = take(l, name, equals + 1);
    }
    return rc;
}
