#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "config/report.h"

/*
 * The subset of YAML that a configuration may use: maps, lists, scalars, comments, one
 * document. JSON is a part of it. Aliases, anchors, tags, merge keys, directives, further
 * documents and double keys are refused with their line.
 */
enum {
    YAML_BYTES_MAX = 1024 * 1024,
    YAML_DEPTH_MAX = 32,
    YAML_KEYS_MAX = 1000 /* of one map */
};

enum yaml_kind {
    YAML_SCALAR,
    YAML_MAP,
    YAML_LIST
};

struct yaml_node {
    enum yaml_kind kind;
    int line; /* both from 1 */
    int column;
    const char *text;        /* of a scalar */
    bool is_plain;           /* a scalar without quotes, not a block text */
    struct yaml_node *first; /* of a map or list */
    struct yaml_node *next;  /* in its map or list */
    const char *key;         /* in a map */
    int key_line;
    int key_column;
};

/*
 * Reads a document into the arena. *out is NULL for an empty one. E_INVALID: one error
 * "NAME:LINE:COLUMN: …" was added to the report; E_NOMEM.
 */
enum base_err config_yaml_parse(const char *name, const char *text, size_t len, struct arena *arena,
                                struct yaml_node **out, struct config_report *report);

#endif
