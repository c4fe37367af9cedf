/* ${NAME}, ${NAME:-default} and $$ in a text of the file. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "config/config_int.h"

static bool is_name_start(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static size_t name_len(const char *s)
{
    size_t n = 0;
    while (is_name_start(s[n]) || (n > 0 && s[n] >= '0' && s[n] <= '9'))
        n++;
    return n;
}

const char *config_env_get(const char *const *env, const char *name, size_t len)
{
    for (size_t i = 0; env && env[i]; i++) {
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
            return env[i] + len + 1;
    }
    return NULL;
}

/* `s` is behind "${"; `*end` gets the place behind "}". */
static enum base_err append_variable(const char *s, const char *const *env, struct base_buf *out,
                                     const char **end, char why[VALUE_WHY_BYTES])
{
    size_t n = name_len(s);
    const char *close = strchr(s + n, '}');
    bool has_default = strncmp(s + n, ":-", 2) == 0;
    if (n == 0 || !close || (!has_default && close != s + n)) {
        snprintf(why, VALUE_WHY_BYTES,
                 "'${' that begins no ${NAME} or ${NAME:-default}; a dollar is written $$");
        return E_INVALID; /* the text itself may be a secret */
    }
    *end = close + 1;
    const char *value = config_env_get(env, s, n);
    if (value && (value[0] || !has_default))
        return buf_append_str(out, value);
    if (has_default)
        return buf_append(out, s + n + 2, (size_t)(close - (s + n + 2)));
    snprintf(why, VALUE_WHY_BYTES, "the variable %.*s is not set", n < 100 ? (int)n : 100, s);
    return E_INVALID;
}

static enum base_err append_all(const char *text, const char *const *env, struct base_buf *out,
                                const char **from, size_t *from_len, char why[VALUE_WHY_BYTES])
{
    enum base_err rc = OK;
    for (const char *p = text; !rc && *p;) {
        size_t plain = strcspn(p, "$");
        rc = buf_append(out, p, plain);
        p += plain;
        if (rc || !*p)
            break;
        if (p[1] == '{') {
            const char *start = p;
            rc = append_variable(p + 2, env, out, &p, why);
            if (!rc && !*from) {
                *from = start;
                *from_len = 2 + name_len(start + 2);
            }
        } else {
            rc = buf_append(out, "$", 1);
            p += p[1] == '$' ? 2 : 1;
        }
    }
    return rc;
}

enum base_err config_interpolate(const char *text, const char *const *env, struct arena *arena,
                                 const char **out, const char **from, char why[VALUE_WHY_BYTES])
{
    *out = text;
    *from = NULL;
    if (!strchr(text, '$'))
        return OK;
    struct base_buf buf;
    const char *start = NULL;
    size_t start_len = 0;
    buf_init(&buf, MEM_CONFIG, VALUE_BYTES_MAX);
    enum base_err rc = append_all(text, env, &buf, &start, &start_len, why);
    if (rc == E_TOO_BIG) {
        snprintf(why, VALUE_WHY_BYTES, "longer than %d bytes", VALUE_BYTES_MAX);
        rc = E_INVALID;
    }
    if (!rc) {
        *out = arena_strndup(arena, buf.data ? buf.data : "", buf.len);
        rc = *out ? OK : E_NOMEM;
    }
    if (!rc && start) {
        char name[96];
        snprintf(name, sizeof name, "%.*s}", start_len < 90 ? (int)start_len : 90, start);
        *from = arena_strndup(arena, name, strlen(name));
        rc = *from ? OK : E_NOMEM;
    }
    buf_fini(&buf);
    return rc;
}
