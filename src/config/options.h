#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The one table of keys. What reads, merges, shows, explains and completes the configuration
 * walks it; nothing else knows a key by name.
 */
enum config_type {
    CONFIG_BOOL, /* bool */
    CONFIG_INT,  /* int64_t */
    CONFIG_SECS, /* int64_t in ms; written in seconds, decimals allowed */
    CONFIG_REAL, /* double */
    CONFIG_SIZE, /* uint64_t, bytes; written as bytes or with a unit */
    CONFIG_MEM,  /* the same, but a plain number means MiB, and "auto" is 0 */
    CONFIG_TEXT, /* const char *, NULL: none */
    CONFIG_WORD, /* int64_t, the place in `words` */
    CONFIG_LIST, /* struct config_list of texts; on the command line with commas */
    CONFIG_HOSTS /* the same, and a single text is a list of one */
};

enum {
    CONFIG_RELOADABLE = 1, /* may change while the program runs */
    CONFIG_SECRET = 2,     /* never shown */
    CONFIG_NULLABLE = 4,   /* the default is "none"; numbers are CONFIG_UNSET then */
    CONFIG_FILE_ONLY = 8   /* describes one model: neither environment nor --set */
};

struct config_option {
    const char *key; /* "pool.max_queue_depth"; "models[].path" for what one model alone has */
    enum config_type type;
    size_t offset; /* of the field in struct valet_config */
    double min;    /* of a number, in the unit of the key */
    double max;
    const char *const *words; /* of CONFIG_WORD, ends with NULL */
    const char *fallback;     /* the default as a file would have it */
    unsigned traits;
    const char *flag;       /* of `valet serve`, without dashes; NULL: by --set only */
    const char *value_name; /* of the flag in the help; NULL for one without value */
    const char *short_env;  /* a second, shorter name in the environment; NULL: none */
    const char *help;       /* one line */
};

size_t config_option_count(void);
const struct config_option *config_option_at(size_t i);

/* The place of a row in the table. */
size_t config_option_index(const struct config_option *option);

/* By key, exactly; NULL: none. */
const struct config_option *config_option_find(const char *key);

/* By the name of a flag, without dashes; NULL: none. */
const struct config_option *config_option_by_flag(const char *flag);

/* The nearest of the flags, for "did you mean"; NULL: none is near. */
const struct config_option *config_option_nearest_flag(const char *flag);

/* "VALET_" and the key in upper case, dots as underscores; "" for a key of the file alone. */
enum {
    CONFIG_ENV_NAME_MAX = 96
};
void config_option_env(const struct config_option *option, char out[CONFIG_ENV_NAME_MAX]);

/* What the flag without a value stands for: "false" for --no-…, else "true". */
const char *config_option_flag_value(const struct config_option *option);

/* "integer, 0..65535", "true or false", "a, b or c", "size": type and range for people. */
void config_option_describe(const struct config_option *option, char *out, size_t out_size);

#endif
