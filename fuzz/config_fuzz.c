/*
 * Any bytes are a configuration or errors of one line each, never both. What loads is shown,
 * as YAML and as JSON, and what is shown loads again and is the same. Any line is a key of an
 * API or says what is wrong with it; what it may do is in range.
 *
 * The input: the text of a configuration file; behind the byte KEYS, lines of a keys file.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"
#include "config/config_int.h"
#include "config/keys_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    KEYS = 0xff, /* no UTF-8 begins with it */
    SHOWN_BYTES_MAX = 1 << 24
};

/* What ${…} and the environment's own level find. */
static const char *const g_env[] = { "A=5", "B=", "C=a: [b", "VALET_POOL_AGING_SHARE=7", NULL };

static void check_lines(const struct config_report *report)
{
    for (size_t i = 0; i < config_report_errors(report); i++)
        ASSERT(report->errors[i][0] && !strchr(report->errors[i], '\n'));
    for (size_t i = 0; i < config_report_warnings(report); i++)
        ASSERT(report->warnings[i][0] && !strchr(report->warnings[i], '\n'));
}

static void check_json(const struct config *config)
{
    const struct config_show all = { 0 };
    struct base_buf shown;
    buf_init(&shown, MEM_BASE, SHOWN_BYTES_MAX);
    ASSERT(config_write_json(config, &all, &shown) == OK);
    json_t *json = json_loadb(shown.data, shown.len, 0, NULL);
    ASSERT(json_object_size(json_object_get(json, "values")) > 0);
    json_decref(json);
    buf_fini(&shown);
}

static void check_yaml(const struct config *config)
{
    const struct config_sources none = { 0 };
    const struct config_show all = { 0 };
    struct base_buf shown;
    struct config *again;
    struct config_report report;
    buf_init(&shown, MEM_BASE, SHOWN_BYTES_MAX);
    ASSERT(config_write_yaml(config, &all, &shown) == OK);
    config_report_init(&report);
    ASSERT(config_merge(&none, "shown", shown.data, shown.len, &again, &report) == OK);
    ASSERT(report.error_count == 0);
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        ASSERT((o->traits & CONFIG_SECRET) ||
               config_value_equal(o, config_values(config), config_values(again)));
    }
    config_destroy(again);
    buf_fini(&shown);
}

static void check_config(const char *text, size_t len)
{
    const struct config_sources sources = { .env = g_env };
    struct config_report report;
    struct config *config;
    config_report_init(&report);
    enum base_err rc = config_parse(&sources, "f", text, len, &config, &report);
    ASSERT(rc == OK || rc == E_INVALID);
    ASSERT((rc == OK) == (config != NULL) && (rc == OK) == (report.error_count == 0));
    check_lines(&report);
    if (!config)
        return;
    check_json(config);
    check_yaml(config);
    config_destroy(config);
}

static void check_limit(int64_t limit)
{
    ASSERT(limit == CONFIG_UNSET || limit > 0);
}

static void check_key(const struct key *key)
{
    ASSERT(keys_is_tenant(key->tenant) && key->scopes != 0 && key->weight > 0);
    ASSERT(key->scopes <= (KEYS_INFER | KEYS_ADMIN | KEYS_METRICS));
    ASSERT((unsigned)key->max_class < CONFIG_CLASS_COUNT);
    for (size_t i = 0; i < key->models.count; i++)
        ASSERT(key->models.items[i][0]);
    check_limit(key->requests_per_min);
    check_limit(key->tokens_per_min);
    check_limit(key->running_max);
    check_limit(key->in_flight_max);
}

/* In memory of its own, so that one byte too far is seen. */
static void check_line(const char *text, size_t len)
{
    char *line = malloc(len + 1);
    char why[VALUE_WHY_BYTES] = "";
    struct arena arena;
    struct key key;
    bool is_empty;
    ASSERT(line);
    memcpy(line, text, len);
    line[len] = '\0';
    arena_init(&arena, MEM_CONFIG, CONFIG_ARENA_BYTES);
    enum base_err rc = keys_line_parse(line, &arena, &key, &is_empty, why);
    ASSERT(rc == OK || (rc == E_INVALID && why[0]));
    if (!rc && !is_empty)
        check_key(&key);
    arena_fini(&arena);
    free(line);
}

static void check_keys(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line_len = end ? (size_t)(end - text) - at : len - at;
        check_line(text + at, strnlen(text + at, line_len));
        at += line_len + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_keys = size > 0 && data[0] == KEYS;
    size_t len = size - is_keys;
    char *text = malloc(len ? len : 1);
    ASSERT(text);
    if (len)
        memcpy(text, data + is_keys, len);
    if (is_keys)
        check_keys(text, len);
    else
        check_config(text, len);
    free(text);
    ASSERT(mem_live_blocks() == 0);
    return 0;
}
