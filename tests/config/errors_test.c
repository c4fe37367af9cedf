/* What is wrong is said with its place, and what was meant is guessed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/rig.h"

START_TEST(test_unknown_key_line_column)
{
    rig_one_error("server: {}\n\npool:\n  timeout_secs: 9\n  max_que_depth: 5\n",
                  "valet.yaml:5:3: unknown key 'max_que_depth' in pool; did you mean "
                  "'max_queue_depth'?");
    rig_one_error("server: { tls: { certt: x } }",
                  "valet.yaml:1:18: unknown key 'certt' in server.tls; did you mean 'cert'?");
    rig_one_error("log: {}\nstore: { backend: sqlite }",
                  "valet.yaml:2:1: unknown key 'store' in the top level");
}
END_TEST

START_TEST(test_suggestion_nearest_key)
{
    rig_one_error("sever: {}",
                  "valet.yaml:1:1: unknown key 'sever' in the top level; did you mean 'server'?");
    rig_one_error("modells: []",
                  "valet.yaml:1:1: unknown key 'modells' in the top level; did you mean 'models'?");
    rig_one_error("models: [{ path: m, parms: {} }]",
                  "valet.yaml:1:21: unknown key 'parms' in models[0]; did you mean 'params'?");
    rig_one_error("models: [{ path: m, alias: [] }]",
                  "valet.yaml:1:21: unknown key 'alias' in models[0]; did you mean 'aliases'?");
    rig_one_error("models: [{ path: m, params: { max_num_seq: 1 } }]",
                  "valet.yaml:1:31: unknown key 'max_num_seq' in models[0].params; did you mean "
                  "'max_num_seqs'?");
    rig_one_error("pool: { xyzzy: 1 }", "valet.yaml:1:9: unknown key 'xyzzy' in pool");
    rig_one_error("pool: { drain: { xx: 1 } }", "valet.yaml:1:18: unknown key 'xx' in pool.drain");
}
END_TEST

START_TEST(test_key_in_wrong_section_suggested)
{
    rig_one_error("server: { max_queue_depth: 5 }",
                  "valet.yaml:1:11: unknown key 'max_queue_depth' in server; did you mean "
                  "'pool.max_queue_depth'?");
    rig_one_error("threads: 5", "valet.yaml:1:1: unknown key 'threads' in the top level; did you "
                                "mean 'model_defaults.params.threads'?");
}
END_TEST

START_TEST(test_all_errors_at_once)
{
    const char *env[] = { "VALET_POOL_AGING_SHARE=1", NULL };
    const struct config_flag flags[] = { { "log.level", "loud", "--log-level" },
                                         { "server.port", "x", "--set" } };
    const struct config_sources sources = { .env = env, .flags = flags, .flag_count = 2 };
    struct rig r;
    rig_load(&r, &sources,
             "server:\n  port: 70000\n  prot: 5\npool: 7\nlog: { format: xml }\nauth: []\n");
    static const char *const expected[] = {
        "valet.yaml:2:9: server.port: 70000 is not in 0..65535",
        "valet.yaml:3:3: unknown key 'prot' in server; did you mean 'port'?",
        "valet.yaml:4:7: pool: expected a map, got a value",
        "valet.yaml:5:16: log.format: expected text or json, got 'xml'",
        "valet.yaml:6:7: auth: expected a map, got a list",
        "VALET_POOL_AGING_SHARE: pool.aging_share: 1 is not in 2..1000",
        "--log-level: expected error, warn, info or debug, got 'loud'",
        "--set: server.port: expected a whole number, got 'x'",
    };
    ck_assert_uint_eq(r.report.error_count, 8);
    for (size_t i = 0; i < 8; i++)
        ck_assert_str_eq(r.report.errors[i], expected[i]);
    rig_fini(&r);
}
END_TEST

START_TEST(test_at_most_twenty_errors_are_kept)
{
    struct base_buf file;
    buf_init(&file, MEM_BASE, 65536);
    for (int i = 0; i < 50; i++)
        buf_printf(&file, "unknown_%d: 1\n", i);
    const struct config_sources none = { 0 };
    struct rig r;
    rig_load(&r, &none, file.data);
    ck_assert_uint_eq(r.report.error_count, 50);
    ck_assert_uint_eq(config_report_errors(&r.report), 20);
    ck_assert_str_eq(r.report.errors[19],
                     "valet.yaml:20:1: unknown key 'unknown_19' in the top level");
    rig_fini(&r);
    buf_fini(&file);
}
END_TEST

/* ---- types ---- */

static void assert_value(const char *key, const char *value, const char *is)
{
    struct base_buf file;
    struct rig r;
    buf_init(&file, MEM_BASE, 4096);
    rig_file_of(key, value, &file);
    rig_good(&r, file.data);
    ck_assert_str_eq(rig_text(r.config, key), is);
    config_destroy(r.config);
    buf_fini(&file);
}

static void assert_wrong(const char *key, const char *value, const char *why)
{
    struct base_buf file;
    struct rig r;
    char error[CONFIG_MESSAGE_BYTES];
    const struct config_sources none = { 0 };
    buf_init(&file, MEM_BASE, 4096);
    rig_file_of(key, value, &file);
    rig_load(&r, &none, file.data);
    ck_assert_msg(r.rc == E_INVALID, "%s: %s was taken", key, value);
    snprintf(error, sizeof error, "%s: %s", key, why);
    ck_assert_msg(strstr(r.report.errors[0], error), "%s, not %s", r.report.errors[0], error);
    ck_assert_uint_eq(r.report.error_count, 1);
    buf_fini(&file);
}

START_TEST(test_sizes_and_ranges)
{
    assert_value("server.max_body_bytes", "4096", "4KiB");
    assert_value("server.max_body_bytes", "512KiB", "512KiB");
    assert_value("server.max_body_bytes", "1GiB", "1GiB");
    assert_value("server.max_body_bytes", "1MB", "1000000B");
    assert_wrong("server.max_body_bytes", "2GiB", "2GiB is not in 1KiB..1GiB");
    assert_wrong("server.max_body_bytes", "1023", "1023 is not in 1KiB..1GiB");
    assert_wrong("server.max_body_bytes", "8 MiB", "expected a number of bytes");
    assert_wrong("server.max_body_bytes", "-8", "expected a number of bytes");
    assert_wrong("server.max_body_bytes", "010000", "expected a number of bytes");
    assert_wrong("server.max_body_bytes", "18446744073709551616", "expected a number of bytes");
    assert_value("model_defaults.params.mem", "auto", "auto");
    assert_value("model_defaults.params.mem", "512", "512MiB");
    assert_value("model_defaults.params.mem", "1GiB", "1GiB");
    assert_value("model_defaults.params.mem", "1048577B", "1048577B");
    assert_wrong("model_defaults.params.mem", "0", "0 is not in 1MiB..16TiB");
    assert_wrong("model_defaults.params.mem", "536870912", "536870912 is not in 1MiB..16TiB");
    assert_wrong("model_defaults.params.mem", "18446744073709551615",
                 "18446744073709551615 is not in 1MiB..16TiB");
    assert_value("server.port", "0", "0");
    assert_value("server.port", "65535", "65535");
    assert_wrong("server.port", "65536", "65536 is not in 0..65535");
    assert_wrong("server.port", "-1", "-1 is not in 0..65535");
    assert_wrong("server.port", "80.0", "expected a whole number, got '80.0'");
    assert_wrong("server.port", "99999999999999999999", "99999999999999999999 is not in");
    assert_value("server.idle_timeout_secs", "1.5", "1.500");
    assert_value("server.idle_timeout_secs", "3600", "3600");
    assert_wrong("server.idle_timeout_secs", "3600.1", "3600.1 is not in 1..3600");
    assert_wrong("server.idle_timeout_secs", "60s", "expected a number, got '60s'");
    assert_value("pool.retry_after.jitter", "0.1", "0.1");
    assert_value("pool.retry_after.jitter", "1e-2", "0.01");
    assert_wrong("pool.retry_after.jitter", "1e999", "1e999 is not in 0..1");
    assert_wrong("pool.retry_after.jitter", ".nan", "expected a number, got '.nan'");
    assert_wrong("server.tls", "5", "expected a map, got a value");
}
END_TEST

START_TEST(test_yaml_no_is_a_string)
{
    static const char *const strings[] = { "no", "yes", "on", "off", "True", "TRUE", "0", "1" };
    for (size_t i = 0; i < 8; i++)
        assert_wrong("server.strict_max_tokens", strings[i], "expected true or false, got '");
    assert_value("server.strict_max_tokens", "true", "true");
    assert_value("server.strict_max_tokens", "false", "false");
    static const char *const no_numbers[] = { "010", "0x10", "1_000", "1:30", "+5", ".5", "Null" };
    for (size_t i = 0; i < 7; i++)
        assert_wrong("pool.aging_share", no_numbers[i], "expected a whole number, got '");
    assert_value("auth.keys_file", "no", "\"no\"");
    assert_value("auth.keys_file", "010", "\"010\"");
    assert_value("auth.keys_file", "1:30", "\"1:30\"");
    assert_value("server.allowed_hosts", "no, Null", "[\"no\", \"Null\"]");
}
END_TEST

START_TEST(test_quotes_make_a_text)
{
    assert_wrong("server.port", "\"2000\"",
                 "expected a whole number, got the text in quotes '2000'");
    assert_wrong("server.strict_max_tokens", "'true'", "expected true or false, got the text in");
    assert_wrong("auth.keys_file", "2000", "expected a text, in quotes, got '2000'");
    assert_wrong("auth.keys_file", "true", "expected a text, in quotes, got 'true'");
    assert_wrong("auth.keys_file", "''", "expected a text, got the text in quotes ''");
    assert_value("auth.keys_file", "'2000'", "\"2000\"");
    assert_value("auth.keys_file", "'null'", "\"null\"");
    assert_wrong("server.allowed_hosts", "a, null", "expected a text, in quotes, got null");
}
END_TEST

START_TEST(test_lists_are_lists)
{
    rig_one_error("server: { allowed_hosts: a }",
                  "valet.yaml:1:26: server.allowed_hosts: expected a list, as [a, b], got 'a'");
    rig_one_error(
        "server: { allowed_hosts: [[a]] }",
        "valet.yaml:1:26: server.allowed_hosts: expected a list of texts, got a list in it");
    rig_one_error("server: { allowed_hosts: { a: b } }",
                  "valet.yaml:1:26: server.allowed_hosts: expected a value, got a map");
    rig_one_error("server: { port: [1] }",
                  "valet.yaml:1:17: server.port: expected a whole number, got a list");
    rig_one_error("server: { host: [] }",
                  "valet.yaml:1:17: server.host: expected at least one address, got a list");
    rig_one_error("models: { a: { path: m } }",
                  "valet.yaml:1:9: models: expected a list of maps, got a map");
    rig_one_error("models: [m.gguf]", "valet.yaml:1:10: models[0]: expected a map, got a value");
    rig_one_error("[server]", "valet.yaml:1:1: the file: expected a map of keys, got a list");
    struct rig r;
    rig_good(&r, "server: { host: [127.0.0.1, '::1', 'unix:/run/valet.sock'] }");
    ck_assert_uint_eq(rig_values(&r)->server.hosts.count, 3);
    rig_fini(&r);
    rig_good(&r, "server:\n  host: ::1\n");
    ck_assert_uint_eq(rig_values(&r)->server.hosts.count, 1);
    rig_fini(&r);
}
END_TEST

START_TEST(test_one_model_only)
{
    rig_one_error("models:\n  - path: a\n  - path: b\n",
                  "valet.yaml:3:5: models: only one model can be served");
    rig_one_error("models: [{ path: a, local_path: b }]",
                  "valet.yaml:1:33: models[0].local_path: the same was set in valet.yaml:1 "
                  "(models[0])");
    rig_one_error("models: [{ name: a }]",
                  "valet.yaml:1 (models[0]): models[].name: the model has no path");
    rig_one_error("models: [{ path: a, name: chat, aliases: [chat] }]",
                  "valet.yaml:1 (models[0]): models[].aliases: 'chat' names it twice");
    rig_one_error("models: [{ path: a, name: 'a b' }]",
                  "valet.yaml:1 (models[0]): models[].name: 'a b' is not 1 to 128 of A-Z a-z 0-9 . "
                  "_ : / -");
}
END_TEST

/* ---- ${NAME} ---- */

static void load_with(struct rig *r, const char *text)
{
    static const char *const env[] = { "PORT=81", "EMPTY=",         "YAML=[a, b]", "HOSTS=a,b",
                                       "B=true",  "T=a: {b: ${B}}", "N=null",      NULL };
    const struct config_sources sources = { .env = env };
    rig_load(r, &sources, text);
}

START_TEST(test_interpolation)
{
    struct rig r;
    load_with(&r, "server: { port: '${PORT}', watchdog_ms: \"${W:-123}\", "
                  "strict_max_tokens: '${B}' }\n"
                  "auth: { keys_file: 'x$$${PORT}-${EMPTY:-e}-${NONE:-a:b}-$x$' }\n"
                  "log: { level: '${EMPTY:-warn}' }\n"
                  "models: [{ path: '${NONE:-}m${EMPTY}' }]\n");
    ck_assert_msg(r.rc == OK, "%s", r.report.errors[0]);
    ck_assert_int_eq(rig_values(&r)->server.port, 81);
    ck_assert_int_eq(rig_values(&r)->server.watchdog_ms, 123);
    ck_assert(rig_values(&r)->server.strict_max_tokens);
    ck_assert_str_eq(rig_values(&r)->auth.keys_file, "x$81-e-a:b-$x$");
    ck_assert_str_eq(rig_values(&r)->model.path, "m");
    ck_assert_str_eq(rig_text(r.config, "log.level"), "warn");
    rig_fini(&r);
}
END_TEST

START_TEST(test_interpolation_unset)
{
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        { "auth: { keys_file: 'a${NOT_SET}' }",
          "valet.yaml:1:20: auth.keys_file: the variable NOT_SET is not set" },
        { "auth: { keys_file: 'a${NOT' }", "valet.yaml:1:20: auth.keys_file: '${' that begins no" },
        { "auth: { keys_file: '${}' }", "valet.yaml:1:20: auth.keys_file: '${' that begins no" },
        { "auth: { keys_file: '${1A}' }", "valet.yaml:1:20: auth.keys_file: '${' that begins no" },
        { "auth: { keys_file: '${A-b}' }", "valet.yaml:1:20: auth.keys_file: '${' that begins no" },
        { "auth: { keys_file: '${EMPTY}' }",
          "valet.yaml:1:20: auth.keys_file: expected a text, got ''" },
        { "server: { port: '${EMPTY}' }", "valet.yaml:1:17: server.port: expected a whole number" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rig r;
        load_with(&r, rows[i].text);
        ck_assert_msg(r.rc == E_INVALID, "%s", rows[i].text);
        ck_assert_msg(strncmp(r.report.errors[0], rows[i].error, strlen(rows[i].error)) == 0,
                      "%s, not %s", r.report.errors[0], rows[i].error);
        rig_fini(&r);
    }
}
END_TEST

/* A value is a value: it becomes neither structure nor another interpolation. */
START_TEST(test_interpolation_is_not_reparsed)
{
    struct rig r;
    load_with(&r, "auth: { keys_file: '${T}' }\nserver: { allowed_hosts: ['${YAML}'] }");
    ck_assert_msg(r.rc == OK, "%s", r.report.errors[0]);
    ck_assert_str_eq(rig_values(&r)->auth.keys_file, "a: {b: ${B}}");
    ck_assert_uint_eq(rig_values(&r)->server.allowed_hosts.count, 1);
    ck_assert_str_eq(rig_values(&r)->server.allowed_hosts.items[0], "[a, b]");
    rig_fini(&r);
    load_with(&r, "server: { allowed_hosts: '${HOSTS}' }"); /* typed by the key: a list */
    ck_assert_uint_eq(rig_values(&r)->server.allowed_hosts.count, 2);
    rig_fini(&r);
}
END_TEST

START_TEST(test_interpolation_is_bounded)
{
    static char variable[60000] = "BIG=";
    memset(variable + 4, 'x', sizeof variable - 5);
    const char *env[] = { variable, NULL };
    const struct config_sources sources = { .env = env };
    struct rig r;
    rig_load(&r, &sources, "auth: { keys_file: '${BIG}${BIG}' }");
    ck_assert_str_eq(r.report.errors[0],
                     "valet.yaml:1:20: auth.keys_file: longer than 65536 bytes");
    rig_fini(&r);
}
END_TEST

/* ---- pairs that cannot stand together ---- */

START_TEST(test_public_bind_needs_keys)
{
    rig_one_error("server: { host: 0.0.0.0 }",
                  "valet.yaml:1: server.host: '0.0.0.0' is open to others and there are no API "
                  "keys; set auth.keys_file, or use 127.0.0.1");
    rig_one_error("server: { host: ['127.0.0.1', '::'] }",
                  "valet.yaml:1: server.host: '::' is open to others and there are no API keys; "
                  "set auth.keys_file, or use 127.0.0.1");
    rig_one_error(
        "server: { host: example.org }",
        "valet.yaml:1: server.host: 'example.org' is no address, localhost or unix:/path");
    rig_one_error("server: { host: 127.evil.example }", "valet.yaml:1: server.host: "
                                                        "'127.evil.example' is no address, "
                                                        "localhost or unix:/path");
    struct rig r;
    rig_good(&r, "server: { host: 0.0.0.0 }\nauth: { keys_file: k }");
    rig_fini(&r);
    rig_good(&r, "server: { host: [127.3.4.5, '::1', localhost, 'unix:/x'] }");
    rig_fini(&r);
}
END_TEST

START_TEST(test_contradictions_are_errors)
{
    rig_one_error("server: { tls: { key: k } }",
                  "valet.yaml:1: server.tls.key: needs server.tls.cert");
    rig_one_error("server: { tls: { cert: k } }",
                  "valet.yaml:1: server.tls.cert: needs server.tls.key");
    rig_one_error("pool: { run_timeout_secs: 601 }",
                  "valet.yaml:1: pool.run_timeout_secs: is above pool.timeout_secs");
    rig_one_error("pool: { retry_after: { max_ms: 999 } }",
                  "pool.retry_after.min_ms: is above pool.retry_after.max_ms");
    rig_one_error("server: { stream_pause_bytes: 5MiB }",
                  "valet.yaml:1: server.stream_pause_bytes: is above server.stream_drop_bytes");
    rig_one_error("server: { cors: { origins: ['*'], credentials: true } }",
                  "valet.yaml:1: server.cors.credentials: cannot be true where "
                  "server.cors.origins has '*'");
    struct rig r;
    rig_good(&r, "pool: { run_timeout_secs: 601, timeout_secs: 0 }");
    rig_fini(&r);
}
END_TEST

/* ---- environment ---- */

static void load_env(struct rig *r, const char *a, const char *b)
{
    const char *env[] = { a, b, NULL };
    const struct config_sources sources = { .env = env };
    rig_load(r, &sources, NULL);
}

START_TEST(test_env_kubernetes_port_ignored)
{
    struct rig r;
    load_env(&r, "VALET_PORT=tcp://10.0.0.1:80", "VALET_SERVICE_HOST=10.0.0.1");
    ck_assert_int_eq(rig_values(&r)->server.port, 2000);
    ck_assert_uint_eq(r.report.warning_count, 1);
    ck_assert_str_eq(r.report.warnings[0],
                     "VALET_PORT: 'tcp://10.0.0.1:80' looks like a Kubernetes service, ignored");
    rig_fini(&r);
    load_env(&r, "VALET_PORT_80_TCP=tcp://10.0.0.1:80", "VALET_PORT_80_TCP_PROTO=tcp");
    ck_assert_uint_eq(r.report.warning_count, 0);
    rig_fini(&r);
}
END_TEST

START_TEST(test_unknown_environment_is_a_warning)
{
    struct rig r;
    load_env(&r, "VALET_SERVER_PROT=1", "VALETUDO=1");
    ck_assert_int_eq(r.rc, OK);
    ck_assert_uint_eq(r.report.warning_count, 1);
    ck_assert_str_eq(r.report.warnings[0],
                     "VALET_SERVER_PROT: unknown, ignored; did you mean VALET_SERVER_PORT?");
    rig_fini(&r);
    load_env(&r, "VALET_ISA=ref", "VALET_CONFIG=x");
    ck_assert_uint_eq(r.report.warning_count, 0);
    rig_fini(&r);
    load_env(&r, "VALET_PORT=1", "VALET_SERVER_PORT=2");
    ck_assert_str_eq(r.report.errors[0], "VALET_SERVER_PORT: server.port is set by VALET_PORT too");
    rig_fini(&r);
}
END_TEST

START_TEST(test_set_of_an_unknown_key)
{
    static const struct {
        const char *key;
        const char *error;
    } rows[] = {
        { "pool.max_que_depth", "--set: unknown key 'pool.max_que_depth'; did you mean "
                                "'max_queue_depth'?" },
        { "port", "--set: unknown key 'port'; did you mean 'server.port'?" },
        { "models[].path", "--set: only a file may set 'models[].path'" },
        { "xyzzy", "--set: unknown key 'xyzzy'" },
    };
    for (size_t i = 0; i < 4; i++) {
        const struct config_flag flag = { rows[i].key, "5", "--set" };
        const struct config_sources sources = { .flags = &flag, .flag_count = 1 };
        struct rig r;
        rig_load(&r, &sources, NULL);
        ck_assert_int_eq(r.rc, E_INVALID);
        ck_assert_str_eq(r.report.errors[0], rows[i].error);
        rig_fini(&r);
    }
}
END_TEST

START_TEST(test_messages_are_plain_lines)
{
    rig_one_error("\"a\\e[31m\\u0007\\n\": 1", "valet.yaml:1:1: unknown key 'a?[31m?"
                                               "?' in the top level");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config.errors");
    TCase *tc = tcase_create("errors");
    tcase_add_test(tc, test_unknown_key_line_column);
    tcase_add_test(tc, test_suggestion_nearest_key);
    tcase_add_test(tc, test_key_in_wrong_section_suggested);
    tcase_add_test(tc, test_all_errors_at_once);
    tcase_add_test(tc, test_at_most_twenty_errors_are_kept);
    tcase_add_test(tc, test_sizes_and_ranges);
    tcase_add_test(tc, test_yaml_no_is_a_string);
    tcase_add_test(tc, test_quotes_make_a_text);
    tcase_add_test(tc, test_lists_are_lists);
    tcase_add_test(tc, test_one_model_only);
    tcase_add_test(tc, test_interpolation);
    tcase_add_test(tc, test_interpolation_unset);
    tcase_add_test(tc, test_interpolation_is_not_reparsed);
    tcase_add_test(tc, test_interpolation_is_bounded);
    tcase_add_test(tc, test_public_bind_needs_keys);
    tcase_add_test(tc, test_contradictions_are_errors);
    tcase_add_test(tc, test_env_kubernetes_port_ignored);
    tcase_add_test(tc, test_unknown_environment_is_a_warning);
    tcase_add_test(tc, test_set_of_an_unknown_key);
    tcase_add_test(tc, test_messages_are_plain_lines);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
