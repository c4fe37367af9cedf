/* What is shown loads again; what must not be shown is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/mem.h"
#include "config/rig.h"

static const struct config_show g_all = { 0 };

static void show(const struct config *config, const struct config_show *what, struct base_buf *out)
{
    buf_init(out, MEM_BASE, 1 << 20);
    ck_assert_int_eq(config_write_yaml(config, what, out), OK);
}

static void assert_same(const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        ck_assert_msg(config_value_equal(o, config_values(a), config_values(b)), "%s: %s", o->key,
                      rig_text(b, o->key));
    }
}

/* Each key at each of its samples, then texts that YAML could take for something else. */
START_TEST(test_show_round_trip)
{
    const struct config_sources none = { 0 };
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        for (int n = 0; n < 4; n++) {
            struct base_buf file;
            struct base_buf shown;
            struct rig first;
            struct rig second;
            char sample[64];
            if ((o->traits & CONFIG_SECRET) || strcmp(o->key, "models[].path") == 0)
                continue;
            buf_init(&file, MEM_BASE, 4096);
            rig_file_of(o->key, rig_sample(o, n, sample), &file);
            if (strncmp(o->key, "models[].", 9) == 0)
                buf_append_str(&file, "    path: m\n");
            rig_merge(&first, &none, file.data);
            show(first.config, &g_all, &shown);
            rig_merge(&second, &none, shown.data);
            ck_assert_msg(second.report.error_count == 0, "%s", second.report.errors[0]);
            assert_same(first.config, second.config);
            buf_fini(&file);
            buf_fini(&shown);
            config_destroy(first.config);
            config_destroy(second.config);
        }
    }
}
END_TEST

START_TEST(test_show_round_trip_of_odd_texts)
{
    static const char *const texts[] = {
        "null",         "~",
        "true",         "12",
        "a: b",         "# x",
        "${HOME}",      "a$b",
        "$$",           "\"q\" \\ 'r'",
        "\xc3\xa4",     "a\nb\tc",
        "\xc2\x85x",    " \xe2\x80\xa8 b",
        "\xef\xbb\xbf", "\xf0\x9f\x98\x80",
        "x\x7f\x01",    " pad ",
        "\xc2\xa0",     "[a]",
        "*a",           "&a",
        "!t",           "a,b",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char variable[128];
        snprintf(variable, sizeof variable, "T=%s", texts[i]);
        const char *env[] = { variable, NULL };
        const struct config_sources sources = { .env = env };
        const struct config_sources none = { 0 };
        struct rig first;
        struct rig second;
        struct base_buf shown;
        rig_merge(&first, &sources,
                  "server: { allowed_hosts: ['x${T}', b] }\n"
                  "auth: { keys_file: 'k${T}' }\n");
        show(first.config, &g_all, &shown);
        rig_merge(&second, &none, shown.data);
        ck_assert_msg(second.report.error_count == 0, "%s", second.report.errors[0]);
        assert_same(first.config, second.config);
        buf_fini(&shown);
        config_destroy(first.config);
        config_destroy(second.config);
    }
}
END_TEST

START_TEST(test_secret_masked)
{
    const char *env[] = { "VALET_API_KEY=secret-of-many-letters", NULL };
    const struct config_sources sources = { .env = env };
    const struct config_sources none = { 0 };
    struct rig r;
    struct rig again;
    struct base_buf out;
    rig_load(&r, &sources, NULL);
    ck_assert_str_eq(rig_values(&r)->auth.api_key, "secret-of-many-letters");
    show(r.config, &g_all, &out);
    ck_assert_ptr_null(strstr(out.data, "secret"));
    ck_assert_ptr_nonnull(strstr(out.data, "# api_key: \"***\"  # VALET_API_KEY"));
    rig_load(&again, &none, out.data); /* nobody gets in by the key "***" */
    ck_assert_ptr_null(rig_values(&again)->auth.api_key);
    config_destroy(again.config);
    buf_clear(&out);
    ck_assert_int_eq(config_write_json(r.config, &g_all, &out), OK);
    ck_assert_ptr_null(strstr(out.data, "secret"));
    ck_assert_ptr_nonnull(strstr(out.data, "{\"value\": \"***\", \"origin\": \"VALET_API_KEY\"}"));
    buf_fini(&out);
    rig_fini(&r);
}
END_TEST

/* Nor does a wrong value of a secret come out by a message. */
START_TEST(test_secret_is_not_in_messages)
{
    static const char *const files[] = {
        "auth: { api_key: 123456789 }",        "auth: { api_key: [123456789] }",
        "auth: { api_key: '123456789${' }",    "auth: { api_key: '123456789${NOT_SET}' }",
        "auth: { api_key: { a: 123456789 } }",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const struct config_sources none = { 0 };
        struct rig r;
        rig_load(&r, &none, files[i]);
        ck_assert_int_eq(r.rc, E_INVALID);
        ck_assert_msg(!strstr(r.report.errors[0], "1234"), "%s", r.report.errors[0]);
        rig_fini(&r);
    }
}
END_TEST

START_TEST(test_show_changed_and_one_key)
{
    struct rig r;
    struct base_buf out;
    rig_good(&r, "pool:\n  classes:\n    low:\n      budget_ms: 5\nmodels:\n  - path: m\n");
    const struct config_show changed = { .changed_only = true };
    show(r.config, &changed, &out);
    ck_assert_str_eq(out.data, "pool:\n  classes:\n    low:\n      budget_ms: 5  # valet.yaml:4\n"
                               "models:\n  - path: \"m\"  # valet.yaml:6 (models[0])\n");
    buf_fini(&out);
    const struct config_show port = { .key = "server.port" };
    show(r.config, &port, &out);
    ck_assert_str_eq(out.data, "server:\n  port: 2000  # default\n");
    buf_fini(&out);
    const struct config_show section = { .key = "log" };
    show(r.config, &section, &out);
    ck_assert_str_eq(out.data, "log:\n  level: info  # default\n  format: text  # default\n");
    buf_clear(&out);
    const struct config_show none = { .key = "lo" };
    ck_assert_int_eq(config_write_yaml(r.config, &none, &out), E_NOT_FOUND);
    ck_assert_int_eq(config_write_json(r.config, &none, &out), E_NOT_FOUND);
    buf_fini(&out);
    rig_fini(&r);
}
END_TEST

START_TEST(test_show_json_is_json)
{
    struct rig r;
    struct base_buf out;
    rig_good(&r, "auth: { keys_file: \"a\\\"b\\n\" }\nmodels: [{ path: m, aliases: [x, y] }]\n");
    buf_init(&out, MEM_BASE, 1 << 20);
    ck_assert_int_eq(config_write_json(r.config, &g_all, &out), OK);
    json_error_t error;
    json_t *root = json_loads(out.data, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(root != NULL, "%s", error.text);
    json_t *values = json_object_get(root, "values");
    ck_assert_str_eq(json_string_value(json_object_get(root, "file")), "valet.yaml");
    ck_assert_uint_eq(json_object_size(values), config_option_count());
    for (size_t i = 0; i < config_option_count(); i++) {
        json_t *entry = json_object_get(values, config_option_at(i)->key);
        ck_assert_ptr_nonnull(json_object_get(entry, "value"));
        ck_assert(json_is_string(json_object_get(entry, "origin")));
    }
    json_t *file = json_object_get(json_object_get(values, "auth.keys_file"), "value");
    ck_assert_str_eq(json_string_value(file), "a\"b\n");
    json_decref(root);
    buf_fini(&out);
    rig_fini(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config.show");
    TCase *tc = tcase_create("show");
    tcase_add_test(tc, test_show_round_trip);
    tcase_add_test(tc, test_show_round_trip_of_odd_texts);
    tcase_add_test(tc, test_secret_masked);
    tcase_add_test(tc, test_secret_is_not_in_messages);
    tcase_add_test(tc, test_show_changed_and_one_key);
    tcase_add_test(tc, test_show_json_is_json);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
