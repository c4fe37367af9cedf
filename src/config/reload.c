/*
 * A second load beside the first. The old configuration is never touched: what comes out is
 * complete and whoever holds the old one takes it, or leaves it, in one step.
 */
#include <string.h>

#include "config/config_int.h"

/* The old value stays in force where the new one would need a restart. */
static enum base_err keep_old(struct config *fresh, const struct config *old, size_t i)
{
    const struct config_option *o = config_option_at(i);
    enum base_err rc = config_value_copy(o, &old->values, &fresh->values, &fresh->arena);
    if (rc)
        return rc;
    const char *origin = old->origins[i].text;
    fresh->origins[i].level = old->origins[i].level;
    fresh->origins[i].text = arena_strndup(&fresh->arena, origin, strlen(origin));
    return fresh->origins[i].text ? OK : E_NOMEM;
}

static enum base_err compare(struct config *fresh, const struct config *old,
                             struct config_changes *changes)
{
    enum base_err rc = OK;
    for (size_t i = 0; i < config_option_count() && !rc; i++) {
        const struct config_option *o = config_option_at(i);
        if (config_value_equal(o, &old->values, &fresh->values)) {
            changes->unchanged_count++;
        } else if (o->traits & CONFIG_RELOADABLE) {
            changes->applied[changes->applied_count++] = o->key;
        } else {
            changes->needs_restart[changes->needs_restart_count++] = o->key;
            rc = keep_old(fresh, old, i);
        }
    }
    return rc;
}

enum base_err config_reload(const struct config *old, const char *const *env, struct config **out,
                            struct config_changes *changes, struct config_report *report)
{
    struct config_sources sources = old->sources;
    sources.env = env;
    *out = NULL;
    *changes = (struct config_changes){ 0 };
    struct config *fresh;
    enum base_err rc = config_load(&sources, &fresh, report);
    if (rc)
        return rc;
    rc = compare(fresh, old, changes);
    if (rc) {
        config_destroy(fresh);
        *changes = (struct config_changes){ 0 };
        return rc;
    }
    *out = fresh;
    return OK;
}
