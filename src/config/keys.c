/* The set of keys, and finding the one that was presented. Lines are read in keys_line.c. */
#include "config/keys.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/arena.h"
#include "base/mem.h"
#include "config/config_int.h"
#include "config/keys_int.h"

struct keys {
    struct arena arena;
    struct key *items;
    size_t count;
};

enum {
    ARENA_BYTES = 8 * 1024 * 1024
};

bool keys_hash(const char *key, size_t len, unsigned char out[KEYS_SHA256_BYTES])
{
    unsigned size = 0;
    return EVP_Digest(key, len, out, &size, EVP_sha256(), NULL) == 1 && size == KEYS_SHA256_BYTES;
}

bool keys_hash_text(const char *key, size_t len, char out[2 * KEYS_SHA256_BYTES + 1])
{
    unsigned char hash[KEYS_SHA256_BYTES];
    if (!keys_hash(key, len, hash))
        return false;
    for (size_t i = 0; i < KEYS_SHA256_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
    return true;
}

void keys_init_key(struct key *key)
{
    *key = (struct key){ .scopes = KEYS_INFER,
                         .max_class = CONFIG_CLASS_HIGH,
                         .weight = 1,
                         .requests_per_min = CONFIG_UNSET,
                         .tokens_per_min = CONFIG_UNSET,
                         .running_max = CONFIG_UNSET,
                         .in_flight_max = CONFIG_UNSET,
                         .expires = CONFIG_UNSET };
}

static const struct key *find_same(const struct keys *keys, const struct key *key)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (memcmp(keys->items[i].sha256, key->sha256, KEYS_SHA256_BYTES) == 0)
            return &keys->items[i];
    }
    return NULL;
}

static void add(struct keys *keys, const struct key *key, const char *where,
                struct config_report *report)
{
    if (find_same(keys, key))
        config_error(report, "%s: this key is there twice", where);
    else if (keys->count == KEYS_MAX)
        config_error(report, "%s: more than %d keys", where, KEYS_MAX);
    else
        keys->items[keys->count++] = *key;
}

static enum base_err add_line(struct keys *keys, const char *path, size_t number, char *line,
                              struct config_report *report)
{
    char where[CONFIG_ORIGIN_BYTES];
    char why[VALUE_WHY_BYTES];
    struct key key;
    snprintf(where, sizeof where, "%.180s:%zu", path, number);
    bool is_empty;
    enum base_err rc = keys_line_parse(line, &keys->arena, &key, &is_empty, why);
    if (rc == E_INVALID)
        config_error(report, "%s: %s", where, why);
    else if (!rc && !is_empty)
        add(keys, &key, where, report);
    return rc == E_INVALID ? OK : rc;
}

static enum base_err add_lines(struct keys *keys, const char *path, struct base_buf *text,
                               struct config_report *report)
{
    enum base_err rc = OK;
    size_t number = 0;
    if (memchr(text->data, '\0', text->len)) {
        config_error(report, "%s: has a zero byte", path);
        return OK;
    }
    for (char *line = text->data; line && *line && !rc;) {
        char *end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        rc = add_line(keys, path, ++number, line, report);
        line = end;
    }
    return rc;
}

static enum base_err add_file(struct keys *keys, const char *path, struct config_report *report)
{
    struct base_buf text;
    unsigned mode = 0;
    enum base_err rc = config_read_text(path, &text, &mode, report);
    if (!rc && (mode & (S_IRWXO | S_IWGRP | S_IXGRP)))
        config_error(report, "%s: mode %04o is too open for keys; chmod 600 or 640", path, mode);
    else if (!rc)
        rc = add_lines(keys, path, &text, report);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    buf_fini(&text);
    return rc;
}

/* auth.api_key: tenant "default", may infer and read metrics. */
static void add_single(struct keys *keys, const char *text, struct config_report *report)
{
    struct key key;
    size_t len = strlen(text);
    keys_init_key(&key);
    key.tenant = "default";
    key.scopes = KEYS_INFER | KEYS_METRICS;
    if (!keys_is_key(text, len))
        config_error(report, "auth.api_key: a key has %d to %d characters without blanks",
                     KEYS_KEY_MIN, KEYS_KEY_MAX);
    else if (!keys_hash(text, len, key.sha256))
        config_error(report, "auth.api_key: cannot be hashed");
    else
        add(keys, &key, "auth.api_key", report);
}

enum base_err keys_open(const struct config_auth *auth, struct keys **out,
                        struct config_report *report)
{
    size_t errors_before = report->error_count;
    *out = NULL;
    struct keys *keys = mem_calloc(MEM_CONFIG, 1, sizeof *keys);
    if (!keys)
        return E_NOMEM;
    arena_init(&keys->arena, MEM_CONFIG, ARENA_BYTES);
    keys->items = arena_calloc(&keys->arena, KEYS_MAX, sizeof *keys->items);
    enum base_err rc = keys->items ? OK : E_NOMEM;
    if (!rc && auth->keys_file)
        rc = add_file(keys, auth->keys_file, report);
    if (!rc && auth->api_key)
        add_single(keys, auth->api_key, report);
    if (!rc && report->error_count > errors_before)
        rc = E_INVALID;
    if (rc) {
        keys_close(keys);
        return rc == E_IO ? E_INVALID : rc;
    }
    *out = keys;
    return OK;
}

void keys_close(struct keys *keys)
{
    if (!keys)
        return;
    arena_fini(&keys->arena);
    mem_free(keys);
}

size_t keys_count(const struct keys *keys)
{
    return keys->count;
}

const struct key *keys_at(const struct keys *keys, size_t i)
{
    return &keys->items[i];
}

const struct key *keys_lookup(const struct keys *keys, const char *presented, size_t len,
                              int64_t now_seconds)
{
    unsigned char hash[KEYS_SHA256_BYTES];
    const struct key *found = NULL;
    if (len > KEYS_KEY_MAX || !keys_hash(presented, len, hash))
        return NULL;
    for (size_t i = 0; i < keys->count; i++) { /* all of them, whatever matches */
        bool same = CRYPTO_memcmp(hash, keys->items[i].sha256, sizeof hash) == 0;
        found = same ? &keys->items[i] : found;
    }
    if (found && found->expires != CONFIG_UNSET && now_seconds >= found->expires)
        return NULL;
    return found;
}
