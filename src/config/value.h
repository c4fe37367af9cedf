#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/config.h"
#include "config/options.h"

/* How a value was written, which decides what it may be. */
enum value_kind {
    VALUE_PLAIN,  /* in a file, without quotes: null, true, numbers and words */
    VALUE_QUOTED, /* in a file, in quotes: a text, whatever it looks like */
    VALUE_FREE,   /* environment, command line, or interpolated: the key's type decides */
    VALUE_LIST    /* in a file */
};

struct value {
    enum value_kind kind;
    const char *text;
    const struct value *items; /* of VALUE_LIST; none is a list */
    size_t item_count;
};

enum {
    VALUE_WHY_BYTES = 200,
    VALUE_LIST_MAX = 256, /* texts of a list */
    VALUE_BYTES_MAX = 65536
};

/* "null", "~" or nothing at all, not in quotes. */
bool config_value_is_null(const struct value *v);

/*
 * Checks `v` against the option's type and range and stores it in its field; texts are copied
 * into the arena. E_INVALID: `why` says what was expected and what came (a secret's value is
 * not shown), and the field is as it was. E_NOMEM.
 */
enum base_err config_value_store(const struct config_option *option, const struct value *v,
                                 struct valet_config *config, struct arena *arena,
                                 char why[VALUE_WHY_BYTES]);

/* Stores the built-in default. E_NOMEM. */
enum base_err config_value_store_default(const struct config_option *option,
                                         struct valet_config *config, struct arena *arena);

/* Copies a field from one configuration to another; texts into the arena. E_NOMEM. */
enum base_err config_value_copy(const struct config_option *option, const struct valet_config *from,
                                struct valet_config *to, struct arena *arena);

enum value_style {
    VALUE_YAML, /* as config_value_store takes it from a file */
    VALUE_JSON
};

/* Appends the value of a field. E_NOMEM, E_TOO_BIG. */
enum base_err config_value_write(const struct config_option *option,
                                 const struct valet_config *config, enum value_style style,
                                 struct base_buf *out);

/* Whether a field is the same in two configurations. */
bool config_value_equal(const struct config_option *option, const struct valet_config *a,
                        const struct valet_config *b);

/* Appends a text in double quotes, as JSON and YAML both read it. Ill-formed bytes become '?'. */
enum base_err config_value_write_quoted(const char *text, enum value_style style,
                                        struct base_buf *out);

#endif
