/* The subset of YAML: what it has, and what is refused with its line. */
#include "config/yaml.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/rig.h"

START_TEST(test_yaml_alias_refused)
{
    rig_one_error("server: { port: *p }", "valet.yaml:1:17: aliases ('*') are not supported");
    rig_one_error("server: { port: &p 80 }", "valet.yaml:1:17: anchors ('&') are not supported");
    rig_one_error("server: &s { port: 80 }", "valet.yaml:1:9: anchors ('&') are not supported");
    rig_one_error("models: &s []", "valet.yaml:1:9: anchors ('&') are not supported");
    rig_one_error("? &k server\n: {}", "valet.yaml:1:3: anchors ('&') are not supported");
    rig_one_error("server:\n  <<: { port: 80 }", "valet.yaml:2:3: merge keys ('<<') are not "
                                                 "supported");
    rig_one_error("server: !x { port: 80 }", "valet.yaml:1:9: tags ('!') are not supported");
    rig_one_error("server: { port: !!int 80 }", "valet.yaml:1:17: tags ('!') are not supported");
    rig_one_error("%YAML 1.1\n---\nserver: {}", "valet.yaml:1:1: directives ('%') are not "
                                                "supported");
    rig_one_error("log: {}\n---\nlog: {}\n",
                  "valet.yaml:2:1: a second document; one file, one document");
    rig_one_error("? [a]\n: b", "valet.yaml:1:3: a key must be a text");
}
END_TEST

START_TEST(test_yaml_duplicate_key)
{
    rig_one_error("server: {}\nlog: {}\nserver: {}",
                  "valet.yaml:3:1: the key 'server' is there twice");
    rig_one_error("server: { port: 1, 'port': 1 }",
                  "valet.yaml:1:20: the key 'port' is there twice");
}
END_TEST

START_TEST(test_yaml_tab_is_no_indent)
{
    rig_one_error("server:\n\tport: 80\n", "valet.yaml:2:1: a tab where YAML wants spaces");
    rig_one_error("# \xc3\xa4\xc3\xa4\xc3\xa4\nserver:\n  tls:\n  \tcert: x\n",
                  "valet.yaml:4:3: a tab where YAML wants spaces");
}
END_TEST

/* Depth and size are bounded before anything is built from them. */
START_TEST(test_yaml_is_bounded)
{
    char deep[200] = "models: ";
    memset(deep + 8, '[', 100);
    rig_one_error(deep, "valet.yaml:1:40: nested more than 32 deep");
    static char large[YAML_BYTES_MAX + 2];
    memset(large, '#', sizeof large - 1);
    rig_one_error(large, "valet.yaml: larger than 1 MiB");
    large[YAML_BYTES_MAX] = '\0';
    struct rig r;
    rig_good(&r, large);
    rig_fini(&r);
    struct base_buf many;
    buf_init(&many, MEM_BASE, 1 << 20);
    buf_append_str(&many, "server: { allowed_hosts: [");
    for (int i = 0; i < 1001; i++)
        buf_append_str(&many, "a,");
    buf_append_str(&many, "] }");
    rig_one_error(many.data, "valet.yaml:1:2027: more than 1000 entries");
    buf_fini(&many);
    rig_one_error("server: { allowed_hosts: ["
                  "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
                  "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
                  "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
                  "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
                  "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
                  "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
                  "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a] }",
                  "valet.yaml:1:26: server.allowed_hosts: more than 256 entries");
}
END_TEST

START_TEST(test_yaml_syntax_errors_have_a_line)
{
    static const char *const texts[] = { "server: {", "a: b: c",   "server: [",
                                         "\"a",       "- a\nb: c", "server:\n port: 1\n  host: x",
                                         "a: \x01",   "a: \xff" };
    const struct config_sources none = { 0 };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct rig r;
        rig_load(&r, &none, texts[i]);
        ck_assert_int_eq(r.rc, E_INVALID);
        ck_assert_uint_eq(r.report.error_count, 1);
        ck_assert(strncmp(r.report.errors[0], "valet.yaml:", 11) == 0);
        rig_fini(&r);
    }
    rig_one_error("auth: { keys_file: \"a\\0b\" }",
                  "valet.yaml:1:20: a text with a zero character");
}
END_TEST

START_TEST(test_empty_files_and_sections_say_nothing)
{
    static const char *const texts[] = {
        "",   "# nothing\n", "---\n",        "server:\npool:\n  classes:\n",
        "{}", "models:\n",   "models: []\n", "server: {}\n...\n"
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct rig r;
        rig_good(&r, texts[i]);
        ck_assert_uint_eq(config_set_count(r.config), 0);
        rig_fini(&r);
    }
}
END_TEST

START_TEST(test_json_loads)
{
    struct rig r;
    rig_good(&r, "{\n\t\"server\": {\"port\": 81, \"host\": [\"127.0.0.1\"],\n"
                 "\t\t\"strict_max_tokens\": true},\n\t\"auth\": {\"keys_file\": null}\n}\n");
    ck_assert_int_eq(rig_values(&r)->server.port, 81);
    ck_assert(rig_values(&r)->server.strict_max_tokens);
    rig_fini(&r);
}
END_TEST

START_TEST(test_block_texts_are_texts)
{
    struct rig r;
    rig_good(&r, "auth:\n  keys_file: |-\n    2000\n");
    ck_assert_str_eq(rig_values(&r)->auth.keys_file, "2000");
    rig_fini(&r);
}
END_TEST

/* Cut anywhere, a file loads or is refused with one line. The text ends where the memory does. */
START_TEST(test_yaml_cut_at_every_byte)
{
    static const char text[] = "# x\nserver:\n  port: 80 # y\n  host: [127.0.0.1, \"::1\"]\n"
                               "auth: { keys_file: 'a''b', metrics_public: true }\n"
                               "models:\n  - path: >\n      m\n    params: { threads: 3 }\n";
    const struct config_sources none = { 0 };
    for (size_t len = 0; len < sizeof text; len++) {
        char *copy = malloc(len ? len : 1);
        struct config *config;
        struct config_report report;
        memcpy(copy, text, len);
        config_report_init(&report);
        enum base_err rc = config_parse(&none, "f", copy, len, &config, &report);
        ck_assert(rc == OK || (rc == E_INVALID && report.error_count > 0));
        config_destroy(config);
        free(copy);
    }
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config.yaml");
    TCase *tc = tcase_create("yaml");
    tcase_add_test(tc, test_yaml_alias_refused);
    tcase_add_test(tc, test_yaml_duplicate_key);
    tcase_add_test(tc, test_yaml_tab_is_no_indent);
    tcase_add_test(tc, test_yaml_is_bounded);
    tcase_add_test(tc, test_yaml_syntax_errors_have_a_line);
    tcase_add_test(tc, test_empty_files_and_sections_say_nothing);
    tcase_add_test(tc, test_json_loads);
    tcase_add_test(tc, test_block_texts_are_texts);
    tcase_add_test(tc, test_yaml_cut_at_every_byte);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
