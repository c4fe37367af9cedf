/* Documents, examples and the unit file agree with the table of keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/rig.h"

/* A file of the tree; tests run in its root. */
static void read_tree(const char *path, struct base_buf *out)
{
    struct config_report report;
    config_report_init(&report);
    enum base_err rc = config_read_text(path, out, NULL, &report);
    ck_assert_msg(rc == OK, "%s", report.errors[0]);
}

START_TEST(test_reference_is_that_of_the_table)
{
    struct base_buf doc;
    struct base_buf table;
    read_tree("docs/configuration.md", &doc);
    buf_init(&table, MEM_BASE, 1 << 20);
    ck_assert_int_eq(config_write_table(&table), OK);
    const char *place = strstr(doc.data, "### ");
    ck_assert_ptr_nonnull(place);
    ck_assert_msg(strcmp(place, table.data) == 0,
                  "docs/configuration.md is not what 'valet config keys' prints");
    for (size_t i = 0; i < config_option_count(); i++) {
        char key[CONFIG_KEY_BYTES];
        snprintf(key, sizeof key, "| `%s` |", config_option_at(i)->key);
        ck_assert_msg(strstr(table.data, key), "%s is missing", key);
    }
    buf_fini(&doc);
    buf_fini(&table);
}
END_TEST

/* As it is, and with every key switched on: both give exactly the defaults. */
START_TEST(test_example_file_loads)
{
    struct base_buf example;
    struct base_buf all;
    struct rig plain;
    struct rig on;
    size_t keys = 0;
    buf_init(&example, MEM_BASE, 1 << 20);
    buf_init(&all, MEM_BASE, 1 << 20);
    ck_assert_int_eq(config_write_example(&example), OK);
    for (const char *line = example.data; *line;) {
        size_t len = strcspn(line, "\n") + 1;
        size_t indent = strspn(line, " ");
        bool is_key = line[indent] == '#' && line[indent + 1] != ' ';
        buf_append(&all, line, indent);
        buf_append(&all, line + indent + is_key, len - indent - is_key);
        keys += is_key;
        line += len;
    }
    ck_assert_uint_eq(keys, config_option_count());
    rig_good(&plain, example.data);
    rig_good(&on, all.data);
    ck_assert_uint_eq(config_set_count(plain.config), 0);
    ck_assert_uint_eq(config_set_count(on.config), config_option_count());
    for (size_t i = 0; i < config_option_count(); i++)
        ck_assert(config_value_equal(config_option_at(i), rig_values(&plain), rig_values(&on)));
    config_destroy(plain.config);
    config_destroy(on.config);
    buf_fini(&example);
    buf_fini(&all);
}
END_TEST

/* The YAML block of the document loads and gives what the document shows. */
START_TEST(test_config_examples_load)
{
    static const char begin[] = "$ cat valet.yaml\n";
    static const char shown[] = "valet config show --changed --port 9000\n";
    static const char *const env[] = { "VALET_POOL_TIMEOUT_SECS=120", NULL };
    const struct config_flag flag = { "server.port", "9000", "--port" };
    const struct config_sources sources = { .env = env, .flags = &flag, .flag_count = 1 };
    const struct config_show changed = { .changed_only = true };
    struct base_buf doc;
    struct base_buf out;
    struct rig r;
    read_tree("docs/configuration.md", &doc);
    char *file = strstr(doc.data, begin);
    ck_assert_ptr_nonnull(file);
    file += strlen(begin);
    char *end = strstr(file, "$ ");
    char *expected = strstr(end, shown) + strlen(shown);
    *end = '\0';
    *strstr(expected, "```") = '\0';
    rig_load(&r, &sources, file);
    ck_assert_msg(r.rc == OK, "%s", r.report.errors[0]);
    buf_init(&out, MEM_BASE, 1 << 20);
    ck_assert_int_eq(config_write_yaml(r.config, &changed, &out), OK);
    ck_assert_str_eq(out.data, expected);
    buf_fini(&out);
    buf_fini(&doc);
    config_destroy(r.config);
}
END_TEST

/* systemd kills only what a drain has not ended. */
START_TEST(test_unit_waits_longer_than_a_drain)
{
    static const char name[] = "\nTimeoutStopSec=";
    struct base_buf unit;
    struct rig r;
    read_tree("packaging/valet.service", &unit);
    const char *place = strstr(unit.data, name);
    ck_assert_ptr_nonnull(place);
    rig_good(&r, "");
    ck_assert_int_ge(strtol(place + strlen(name), NULL, 10) * 1000,
                     rig_values(&r)->pool.drain_timeout_ms + 5000);
    config_destroy(r.config);
    buf_fini(&unit);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config.docs");
    TCase *tc = tcase_create("docs");
    tcase_add_test(tc, test_reference_is_that_of_the_table);
    tcase_add_test(tc, test_example_file_loads);
    tcase_add_test(tc, test_config_examples_load);
    tcase_add_test(tc, test_unit_waits_longer_than_a_drain);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
