/* A reload changes what may change, all of it or nothing, and says what it did not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "config/keys.h"
#include "config/rig.h"

/* A server that was started with a file, a flag and an environment. */
struct running {
    char folder[128];
    char path[256];
    struct config *config;
    struct config_report report;
};

static const char *const g_env[] = { "VALET_POOL_AGING_SHARE=9", NULL };

static void write_file(struct running *s, const char *text)
{
    snprintf(s->path, sizeof s->path, "%s", rig_write(s->folder, "valet.yaml", text, 0600));
}

static void start(struct running *s, const char *text)
{
    const struct config_flag flags[] = { { "log.level", "debug", "--log-level" } };
    snprintf(s->folder, sizeof s->folder, "%s", rig_folder());
    write_file(s, text);
    const struct config_sources sources = {
        .file = s->path, .flags = flags, .flag_count = 1, .env = g_env
    };
    config_report_init(&s->report);
    ck_assert_int_eq(config_load(&sources, &s->config, &s->report), OK);
}

static void stop(struct running *s)
{
    config_destroy(s->config);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

START_TEST(test_reload_lists_restart_keys)
{
    struct running s;
    struct config *fresh;
    struct config_changes changes;
    start(&s,
          "server: { port: 81, watchdog_ms: 500, host: 127.0.0.1 }\npool: { timeout_secs: 7 }\n");
    write_file(&s, "server: { port: 82, watchdog_ms: 600, host: 127.0.0.2 }\npool: {}\n");
    ck_assert_int_eq(config_reload(s.config, g_env, &fresh, &changes, &s.report), OK);
    ck_assert_uint_eq(changes.applied_count, 2);
    ck_assert_str_eq(changes.applied[0], "server.watchdog_ms");
    ck_assert_str_eq(changes.applied[1], "pool.timeout_secs");
    ck_assert_uint_eq(changes.needs_restart_count, 2);
    ck_assert_str_eq(changes.needs_restart[0], "server.host");
    ck_assert_str_eq(changes.needs_restart[1], "server.port");
    ck_assert_uint_eq(changes.unchanged_count, config_option_count() - 4);
    const struct valet_config *v = config_values(fresh);
    ck_assert_int_eq(v->server.watchdog_ms, 600);
    ck_assert_int_eq(v->pool.timeout_ms, 600000);
    ck_assert_int_eq(v->server.port, 81); /* still in force */
    ck_assert_str_eq(v->server.hosts.items[0], "127.0.0.1");
    config_destroy(s.config); /* nothing of the new one lives in the old one */
    s.config = fresh;
    ck_assert_str_eq(config_values(fresh)->server.hosts.items[0], "127.0.0.1");

    /* What needs a restart is named again, until the file agrees with what runs. */
    ck_assert_int_eq(config_reload(s.config, g_env, &fresh, &changes, &s.report), OK);
    ck_assert_uint_eq(changes.applied_count, 0);
    ck_assert_uint_eq(changes.needs_restart_count, 2);
    config_destroy(fresh);
    stop(&s);
}
END_TEST

START_TEST(test_reload_bad_file_keeps_old)
{
    static const char *const bad[] = { "server: { watchdog_ms: 1 }", "server: [", "x: 1",
                                       "server: { host: 0.0.0.0 }" };
    struct running s;
    start(&s, "server: { watchdog_ms: 500 }\n");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct config *fresh;
        struct config_changes changes;
        write_file(&s, bad[i]);
        config_report_init(&s.report);
        ck_assert_int_eq(config_reload(s.config, g_env, &fresh, &changes, &s.report), E_INVALID);
        ck_assert_ptr_null(fresh);
        ck_assert_uint_ge(s.report.error_count, 1);
        ck_assert_uint_eq(changes.applied_count + changes.needs_restart_count, 0);
        ck_assert_int_eq(config_values(s.config)->server.watchdog_ms, 500);
    }
    remove(s.path);
    struct config *fresh;
    struct config_changes changes;
    ck_assert_int_eq(config_reload(s.config, g_env, &fresh, &changes, &s.report), E_INVALID);
    stop(&s);
}
END_TEST

/* One wrong key among good ones: none of the good ones is applied. */
START_TEST(test_reload_atomic)
{
    struct running s;
    struct config *fresh;
    struct config_changes changes;
    start(&s, "server: { watchdog_ms: 500 }\npool: { max_queue_depth: 5 }\n");
    write_file(&s, "server: { watchdog_ms: 600 }\npool: { max_queue_depth: -1 }\n");
    ck_assert_int_eq(config_reload(s.config, g_env, &fresh, &changes, &s.report), E_INVALID);
    ck_assert_ptr_null(fresh);
    ck_assert_int_eq(config_values(s.config)->server.watchdog_ms, 500);
    stop(&s);
}
END_TEST

START_TEST(test_flags_and_environment_win_after_a_reload)
{
    struct running s;
    struct config *fresh;
    struct config_changes changes;
    start(&s, "server: {}\n");
    write_file(&s, "log: { level: warn }\npool: { aging_share: 3 }\n");
    ck_assert_int_eq(config_reload(s.config, g_env, &fresh, &changes, &s.report), OK);
    ck_assert_str_eq(rig_text(fresh, "log.level"), "debug");
    ck_assert_int_eq(config_values(fresh)->pool.aging_share, 9);
    ck_assert_uint_eq(changes.applied_count, 0);
    config_destroy(fresh);
    ck_assert_int_eq(config_reload(s.config, NULL, &fresh, &changes, &s.report), OK);
    ck_assert_int_eq(config_values(fresh)->pool.aging_share, 3);
    config_destroy(fresh);
    stop(&s);
}
END_TEST

/* A reload that runs out of memory anywhere leaves nothing behind and the old one as it was. */
START_TEST(test_reload_survives_refused_memory)
{
    struct running s;
    start(&s, "server: { watchdog_ms: 500, host: [127.0.0.1] }\n");
    write_file(&s, "server: { watchdog_ms: 600, host: [127.0.0.2, 127.0.0.3] }\n");
    uint64_t before = mem_live_blocks();
    for (unsigned n = 1;; n++) {
        struct config *fresh;
        struct config_changes changes;
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = config_reload(s.config, g_env, &fresh, &changes, &s.report);
        bool fired = fault_disarm();
        ck_assert_int_eq(config_values(s.config)->server.watchdog_ms, 500);
        if (!fired) {
            ck_assert_int_eq(rc, OK);
            config_destroy(fresh);
            break;
        }
        ck_assert_int_eq(rc, E_NOMEM);
        ck_assert_ptr_null(fresh);
        ck_assert_uint_eq(mem_live_blocks(), before);
    }
    stop(&s);
}
END_TEST

/* The keys file is read anew: who was taken out does not come in any more. */
START_TEST(test_removed_key_stops)
{
    static const char text[] = "first-key-of-sixteen a\nsecond-key-of-sixteen b\n";
    struct config_report report;
    struct keys *keys;
    char folder[128];
    char path[256];
    snprintf(folder, sizeof folder, "%s", rig_folder());
    snprintf(path, sizeof path, "%s", rig_write(folder, "keys", text, 0600));
    const struct config_auth auth = { .keys_file = path };
    config_report_init(&report);
    ck_assert_int_eq(keys_open(&auth, &keys, &report), OK);
    ck_assert_ptr_nonnull(keys_lookup(keys, "first-key-of-sixteen", 20, 0));
    keys_close(keys);
    rig_write(folder, "keys", strchr(text, '\n') + 1, 0600);
    ck_assert_int_eq(keys_open(&auth, &keys, &report), OK);
    ck_assert_ptr_null(keys_lookup(keys, "first-key-of-sixteen", 20, 0));
    ck_assert_ptr_nonnull(keys_lookup(keys, "second-key-of-sixteen", 21, 0));
    keys_close(keys);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config.reload");
    TCase *tc = tcase_create("reload");
    tcase_add_test(tc, test_reload_lists_restart_keys);
    tcase_add_test(tc, test_reload_bad_file_keeps_old);
    tcase_add_test(tc, test_reload_atomic);
    tcase_add_test(tc, test_flags_and_environment_win_after_a_reload);
    tcase_add_test(tc, test_reload_survives_refused_memory);
    tcase_add_test(tc, test_removed_key_stops);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
