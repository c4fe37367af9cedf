/* Finding and reading the file; what a loaded configuration answers. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "config/config_int.h"
#include "config/yaml.h"

/* ---- the file ---- */

static enum base_err read_open(int fd, const char *path, struct base_buf *out,
                               struct config_report *report)
{
    for (;;) {
        enum base_err rc = buf_reserve(out, 65536);
        if (rc == E_TOO_BIG) {
            config_error(report, "%s: larger than 1 MiB", path);
            return E_INVALID;
        }
        if (rc)
            return rc;
        ssize_t n = read(fd, out->data + out->len, 65536);
        if (n == 0) {
            out->data[out->len] = '\0';
            return OK;
        }
        if (n < 0 && errno != EINTR) {
            config_error(report, "%s: cannot be read: %s", path, strerror(errno));
            return E_IO;
        }
        if (n > 0)
            out->len += (size_t)n;
    }
}

enum base_err config_read_text(const char *path, struct base_buf *out, unsigned *mode,
                               struct config_report *report)
{
    struct stat st;
    buf_init(out, MEM_CONFIG, YAML_BYTES_MAX + 65536);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        config_error(report, "%s: cannot be opened: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return E_IO;
    }
    if (mode)
        *mode = st.st_mode & 07777;
    enum base_err rc = read_open(fd, path, out, report);
    close(fd);
    return rc;
}

static const char *env_get(const char *const *env, const char *name)
{
    const char *value = config_env_get(env, name, strlen(name));
    return value && value[0] ? value : NULL;
}

enum {
    PATH_BYTES = 4096
};

/* The next usual place of the file that exists; false: none of them does. */
static bool find_usual(const char *const *env, char out[PATH_BYTES])
{
    const char *config_home = env_get(env, "XDG_CONFIG_HOME");
    const char *home = env_get(env, "HOME");
    int n = 0;
    snprintf(out, PATH_BYTES, "valet.yaml");
    if (access(out, F_OK) == 0)
        return true;
    if (config_home)
        n = snprintf(out, PATH_BYTES, "%s/valet/valet.yaml", config_home);
    else if (home)
        n = snprintf(out, PATH_BYTES, "%s/.config/valet/valet.yaml", home);
    if (n > 0 && n < PATH_BYTES && access(out, F_OK) == 0)
        return true;
    snprintf(out, PATH_BYTES, "/etc/valet/valet.yaml");
    return access(out, F_OK) == 0;
}

/* *path is NULL when there is none. */
static void find_file(const struct config_sources *s, char buffer[PATH_BYTES], const char **path)
{
    *path = s->file ? s->file : env_get(s->env, "VALET_CONFIG");
    if (!*path && find_usual(s->env, buffer))
        *path = buffer;
}

/* ---- secrets from files ---- */

static void take_secret(struct config *c, const struct config_option *o, const char *path,
                        struct config_report *report, enum base_err *rc)
{
    struct base_buf text;
    unsigned mode = 0;
    *rc = config_read_text(path, &text, &mode, report);
    if (*rc == OK && (mode & S_IROTH)) {
        config_error(report, "%s: everybody may read it; chmod 600 or 640", path);
        *rc = E_INVALID;
    }
    if (*rc == OK) {
        size_t len = text.len ? strcspn(text.data, "\r\n") : 0;
        const char *secret = len ? arena_strndup(&c->arena, text.data, len) : NULL;
        if (len == 0)
            config_error(report, "%s: has no first line", path);
        else if (!secret)
            *rc = E_NOMEM;
        else
            *(const char **)((char *)&c->values + o->offset) = secret;
    }
    if (text.data)
        explicit_bzero(text.data, text.len);
    buf_fini(&text);
    if (*rc == E_IO || *rc == E_INVALID)
        *rc = OK; /* reported */
}

/* The twin "…_file" of a secret, where it was said at a higher level than the secret itself. */
static enum base_err read_secrets(struct config *c, struct config_report *report)
{
    enum base_err rc = OK;
    for (size_t i = 0; i < config_option_count() && !rc; i++) {
        const struct config_option *o = config_option_at(i);
        char name[CONFIG_KEY_BYTES];
        if (!(o->traits & CONFIG_SECRET))
            continue;
        snprintf(name, sizeof name, "%s_file", o->key);
        const struct config_option *twin = config_option_find(name);
        ASSERT(twin && twin->type == CONFIG_TEXT);
        const struct config_origin *file = &c->origins[config_option_index(twin)];
        const char *path = *(const char *const *)((const char *)&c->values + twin->offset);
        if (!path || file->level < c->origins[i].level)
            continue;
        if (file->level == c->origins[i].level)
            config_error(report, "%s: %s: %s was given as well, in %s", file->text, name, o->key,
                         c->origins[i].text);
        else
            take_secret(c, o, path, report, &rc);
        c->origins[i] = *file;
    }
    return rc;
}

/* ---- a whole configuration ---- */

enum base_err config_parse(const struct config_sources *sources, const char *name, const char *text,
                           size_t len, struct config **out, struct config_report *report)
{
    size_t errors_before = report->error_count;
    enum base_err rc = config_merge(sources, name, text, len, out, report);
    if (!rc)
        rc = read_secrets(*out, report);
    if (!rc && report->error_count == errors_before)
        config_check_values(*out, report);
    if (!rc && report->error_count > errors_before)
        rc = E_INVALID;
    if (rc) {
        config_destroy(*out);
        *out = NULL;
    }
    return rc;
}

enum base_err config_load(const struct config_sources *sources, struct config **out,
                          struct config_report *report)
{
    char buffer[PATH_BYTES];
    const char *path;
    *out = NULL;
    find_file(sources, buffer, &path);
    if (!path)
        return config_parse(sources, "", NULL, 0, out, report);
    struct base_buf text;
    enum base_err rc = config_read_text(path, &text, NULL, report);
    if (!rc)
        rc = config_parse(sources, path, text.data ? text.data : "", text.len, out, report);
    buf_fini(&text);
    return rc == E_IO ? E_INVALID : rc;
}

void config_destroy(struct config *c)
{
    if (!c)
        return;
    arena_fini(&c->arena);
    mem_free(c);
}

const struct valet_config *config_values(const struct config *c)
{
    return &c->values;
}

const char *config_file(const struct config *c)
{
    return c->file;
}

size_t config_set_count(const struct config *c)
{
    size_t count = 0;
    for (size_t i = 0; i < config_option_count(); i++)
        count += c->origins[i].level != LEVEL_DEFAULT;
    return count;
}

const char *config_origin(const struct config *c, const char *key)
{
    const struct config_option *o = config_option_find(key);
    ASSERT(o);
    return c->origins[config_option_index(o)].text;
}
