#include "config/rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

void rig_load(struct rig *r, const struct config_sources *sources, const char *text)
{
    config_report_init(&r->report);
    r->rc =
        config_parse(sources, "valet.yaml", text, text ? strlen(text) : 0, &r->config, &r->report);
    ck_assert_int_eq(r->rc == OK, r->config != NULL);
    ck_assert_int_eq(r->rc == OK, r->report.error_count == 0);
}

void rig_merge(struct rig *r, const struct config_sources *sources, const char *text)
{
    config_report_init(&r->report);
    r->rc =
        config_merge(sources, "valet.yaml", text, text ? strlen(text) : 0, &r->config, &r->report);
    ck_assert_int_eq(r->rc, OK);
}

void rig_good(struct rig *r, const char *text)
{
    const struct config_sources none = { 0 };
    rig_load(r, &none, text);
    ck_assert_msg(r->rc == OK, "%s", r->report.errors[0]);
    ck_assert_msg(r->report.warning_count == 0, "%s", r->report.warnings[0]);
}

void rig_one_error(const char *text, const char *error)
{
    const struct config_sources none = { 0 };
    struct rig r;
    rig_load(&r, &none, text);
    ck_assert_msg(r.rc == E_INVALID, "loads: %s", text);
    ck_assert_str_eq(r.report.errors[0], error);
    ck_assert_uint_eq(r.report.error_count, 1);
    rig_fini(&r);
}

void rig_fini(struct rig *r)
{
    config_destroy(r->config);
    r->config = NULL;
    ck_assert_uint_eq(mem_live_bytes(MEM_CONFIG), 0);
}

const struct valet_config *rig_values(const struct rig *r)
{
    return config_values(r->config);
}

const char *rig_text(const struct config *config, const char *key)
{
    static char text[512];
    const struct config_option *o = config_option_find(key);
    struct base_buf out;
    ck_assert_msg(o != NULL, "no key %s", key);
    buf_init(&out, MEM_CONFIG, 4096);
    ck_assert_int_eq(config_value_write(o, config_values(config), VALUE_YAML, &out), OK);
    snprintf(text, sizeof text, "%s", out.data);
    buf_fini(&out);
    return text;
}

const char *rig_sample(const struct config_option *o, int i, char out[64])
{
    bool is_file = strstr(o->key, "_file") != NULL;
    switch (o->type) {
    case CONFIG_BOOL:
        return i % 2 == 0 ? "true" : "false";
    case CONFIG_INT:
    case CONFIG_SECS:
        snprintf(out, 64, "%.0f", o->min + i + 1);
        return out;
    case CONFIG_REAL:
        snprintf(out, 64, "%g", o->min + (o->max - o->min) * (i + 1) / 8);
        return out;
    case CONFIG_SIZE:
    case CONFIG_MEM:
        snprintf(out, 64, "%.0fB", o->min + 4096 * (i + 1));
        return out;
    case CONFIG_TEXT:
        snprintf(out, 64, "%s-%d", is_file ? "file" : "a-text-of-some-length", i);
        return out;
    case CONFIG_WORD:
        for (int n = 0; n <= i; n++) {
            if (!o->words[n])
                return o->words[i % n];
        }
        return o->words[i];
    case CONFIG_LIST:
        snprintf(out, 64, "a%d,b%d", i, i);
        return out;
    case CONFIG_HOSTS:
        snprintf(out, 64, "127.0.0.%d,127.0.1.1", i + 1);
        return out;
    }
    ck_abort_msg("a type without a sample");
    return NULL;
}

/* "a,b" is [a, b] in a file. */
static void add_value(const char *key, const char *value, struct base_buf *out)
{
    const struct config_option *o = config_option_find(key);
    bool is_list = o && (o->type == CONFIG_LIST || o->type == CONFIG_HOSTS);
    buf_printf(out, is_list ? " [%s]\n" : " %s\n", value);
}

void rig_file_of(const char *key, const char *value, struct base_buf *out)
{
    const char *p = key;
    int indent = 0;
    if (strncmp(key, "models[].", 9) == 0) {
        buf_append_str(out, "models:\n  - ");
        p += 9;
        if (!strchr(p, '.')) {
            buf_printf(out, "%s:", p);
            add_value(key, value, out);
            return;
        }
        buf_append_str(out, "path: m\n");
        indent = 4;
    }
    for (; strchr(p, '.'); indent += 2) {
        size_t len = strcspn(p, ".");
        buf_printf(out, "%*s%.*s:\n", indent, "", (int)len, p);
        p += len + 1;
    }
    buf_printf(out, "%*s%s:", indent, "", p);
    add_value(key, value, out);
}

static char g_folder[128];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(g_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *rig_folder(void)
{
    static char path[160];
    static int count;
    const char *base = getenv("TMPDIR");
    if (!g_folder[0]) {
        snprintf(g_folder, sizeof g_folder, "%.80s/valet-config-XXXXXX", base ? base : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(g_folder));
        ck_assert_int_eq(atexit(remove_folder), 0);
    }
    snprintf(path, sizeof path, "%s/%d", g_folder, count++);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    return path;
}

const char *rig_write(const char *folder, const char *name, const char *text, unsigned mode)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), f), strlen(text));
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
    return path;
}

int rig_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
