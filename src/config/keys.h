#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/config.h"
#include "config/report.h"

/*
 * API keys: who may do what. Only their SHA-256 is kept. A line of the file:
 *
 *   KEY TENANT [scopes=infer,admin,metrics] [max_class=high] [weight=2] [models=a,b]
 *       [rpm=60] [tpm=100000] [max_running=4] [max_in_flight=16] [expires=2027-01-31]
 *
 * KEY is the key itself, 16 to 512 printable characters, or "sha256:" and 64 hex digits.
 *
 * Threads: does not change once opened; any thread may look up.
 */
enum {
    KEYS_MAX = 4096,
    KEYS_SHA256_BYTES = 32,
    KEYS_KEY_MIN = 16, /* characters of a key */
    KEYS_KEY_MAX = 512,
    KEYS_TENANT_MAX = 63 /* [A-Za-z0-9._-] */
};

enum keys_scope {
    KEYS_INFER = 1,
    KEYS_ADMIN = 2,
    KEYS_METRICS = 4
};

struct key {
    unsigned char sha256[KEYS_SHA256_BYTES];
    const char *tenant;
    unsigned scopes;                /* enum keys_scope, infer unless said */
    enum config_class_id max_class; /* the most urgent one it may use; high unless said */
    double weight;                  /* > 0, share of the machine; 1 unless said */
    struct config_list models;      /* it may use; empty: all */
    int64_t requests_per_min;       /* this and the next: CONFIG_UNSET: no limit */
    int64_t tokens_per_min;
    int64_t running_max;
    int64_t in_flight_max;
    int64_t expires; /* seconds since 1970 from which it is void; CONFIG_UNSET: never */
};

struct keys;

/*
 * The keys of auth.keys_file and auth.api_key; without either none. E_INVALID: the errors are
 * in the report, with file and line, never with a key; *out is NULL. E_NOMEM.
 * Gives: keys_close.
 */
enum base_err keys_open(const struct config_auth *auth, struct keys **out,
                        struct config_report *report);
void keys_close(struct keys *keys);

size_t keys_count(const struct keys *keys);
const struct key *keys_at(const struct keys *keys, size_t i);

/*
 * The key that was presented, or NULL: unknown, or void at `now_seconds` (since 1970).
 * The time taken depends on the number of keys and the length presented, not on what matches.
 * Cost: one SHA-256 and 32 bytes a key.
 */
const struct key *keys_lookup(const struct keys *keys, const char *presented, size_t len,
                              int64_t now_seconds);

/* The line of a keys file for a key: "sha256:… TENANT". False if the hash cannot be made. */
bool keys_hash_text(const char *key, size_t len, char out[2 * KEYS_SHA256_BYTES + 1]);

/* Whether a tenant's name is 1..KEYS_TENANT_MAX of A-Z a-z 0-9 . _ - */
bool keys_is_tenant(const char *name);

/* "infer,metrics" to bits; 0 if a name is unknown or none is there. */
unsigned keys_parse_scopes(const char *text);

#endif
