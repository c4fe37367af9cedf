#ifndef CONFIG_KEYS_INT_H
#define CONFIG_KEYS_INT_H

#include "base/arena.h"
#include "config/keys.h"
#include "config/value.h"

void keys_init_key(struct key *key);
bool keys_hash(const char *key, size_t len, unsigned char out[KEYS_SHA256_BYTES]);

/* KEYS_KEY_MIN to KEYS_KEY_MAX printable ASCII characters without blanks. */
bool keys_is_key(const char *s, size_t len);

/*
 * One line, cut apart in place. *is_empty: blank or a comment. E_INVALID: `why` says what is
 * wrong without showing a key. Texts are copied into the arena. E_NOMEM.
 */
enum base_err keys_line_parse(char *line, struct arena *arena, struct key *out, bool *is_empty,
                              char why[VALUE_WHY_BYTES]);

#endif
