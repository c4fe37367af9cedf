/* Which of several values wins, and what is said about where it came from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/rig.h"

/* One key set on some of the levels, each with a sample of its own. */
struct levels {
    bool defaults; /* model_defaults, for keys that a model may overrule */
    bool file;
    bool env;
    bool flag;
};

static bool is_model_key(const char *key)
{
    return strncmp(key, "models[].", 9) == 0;
}

/* The place at which the file's strongest word on a key is spoken. */
static void strongest_place(const char *key, char out[CONFIG_KEY_BYTES])
{
    const char *shared = "model_defaults.";
    if (strncmp(key, shared, strlen(shared)) == 0)
        snprintf(out, CONFIG_KEY_BYTES, "models[].%s", key + strlen(shared));
    else if (strncmp(key, "pool.", 5) == 0)
        snprintf(out, CONFIG_KEY_BYTES, "models[].%s", key);
    else
        snprintf(out, CONFIG_KEY_BYTES, "%s", key);
}

static void load_levels(const struct config_option *o, const struct levels *on, struct rig *r)
{
    char s[4][64];
    char name[CONFIG_ENV_NAME_MAX];
    char place[CONFIG_KEY_BYTES];
    char variable[256];
    struct base_buf file;
    buf_init(&file, MEM_BASE, 4096);
    strongest_place(o->key, place);
    if (on->defaults)
        rig_file_of(o->key, rig_sample(o, 0, s[0]), &file);
    if (on->file)
        rig_file_of(place, rig_sample(o, 1, s[1]), &file);
    config_option_env(o, name);
    snprintf(variable, sizeof variable, "%s=%s", name, rig_sample(o, 2, s[2]));
    const char *env[] = { on->env ? variable : NULL, NULL };
    const struct config_flag flag = { o->key, rig_sample(o, 3, s[3]), "--set" };
    const struct config_sources sources = { .env = env, .flags = &flag, .flag_count = on->flag };
    rig_merge(r, &sources, file.len ? file.data : NULL);
    ck_assert_msg(r->report.error_count == 0, "%s\n%s", r->report.errors[0], file.data);
    buf_fini(&file);
}

/* What the key is when only the i-th sample is said, by a flag or in the file. */
static void expect_sample(const struct config_option *o, int i, struct rig *r)
{
    char sample[64];
    const struct config_flag flag = { o->key, rig_sample(o, i, sample), "--set" };
    const struct config_sources sources = { .flags = &flag, .flag_count = 1 };
    rig_merge(r, &sources, NULL);
    ck_assert_msg(r->report.error_count == 0, "%s", r->report.errors[0]);
}

static void assert_level(const struct config_option *o, const struct levels *on, int sample,
                         const char *origin)
{
    struct rig is;
    struct rig wanted;
    load_levels(o, on, &is);
    expect_sample(o, sample, &wanted);
    ck_assert_msg(config_value_equal(o, rig_values(&is), rig_values(&wanted)),
                  "%s: %s, not sample %d", o->key, rig_text(is.config, o->key), sample);
    ck_assert_msg(strncmp(config_origin(is.config, o->key), origin, strlen(origin)) == 0,
                  "%s: origin %s, not %s", o->key, config_origin(is.config, o->key), origin);
    config_destroy(is.config);
    config_destroy(wanted.config);
}

START_TEST(test_precedence_each_key)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        char name[CONFIG_ENV_NAME_MAX];
        char place[CONFIG_KEY_BYTES];
        if (is_model_key(o->key))
            continue; /* of the file alone; MODEL has tests of its own */
        config_option_env(o, name);
        strongest_place(o->key, place);
        bool has_two = strcmp(place, o->key) != 0;
        assert_level(o, &(struct levels){ has_two, true, true, true }, 3, "--set");
        assert_level(o, &(struct levels){ has_two, true, true, false }, 2, name);
        assert_level(o, &(struct levels){ has_two, true, false, false }, 1, "valet.yaml:");
        if (has_two)
            assert_level(o, &(struct levels){ .defaults = true }, 0, "valet.yaml:");
        assert_level(o, &(struct levels){ has_two, false, false, true }, 3, "--set");
        struct rig r;
        load_levels(o, &(struct levels){ 0 }, &r);
        ck_assert_str_eq(config_origin(r.config, o->key), "default");
        config_destroy(r.config);
    }
}
END_TEST

/* Each flag's name and each short name in the environment stand for their key. */
START_TEST(test_short_names_stand_for_their_keys)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        char sample[64];
        char variable[256];
        struct rig wanted;
        struct rig is;
        if (!o->short_env || is_model_key(o->key))
            continue;
        snprintf(variable, sizeof variable, "%s=%s", o->short_env, rig_sample(o, 1, sample));
        const char *env[] = { variable, NULL };
        const struct config_sources sources = { .env = env };
        rig_merge(&is, &sources, NULL);
        expect_sample(o, 1, &wanted);
        ck_assert(config_value_equal(o, rig_values(&is), rig_values(&wanted)));
        ck_assert_str_eq(config_origin(is.config, o->key), o->short_env);
        config_destroy(is.config);
        config_destroy(wanted.config);
    }
}
END_TEST

START_TEST(test_config_deep_merge)
{
    struct rig r;
    rig_good(&r, "pool:\n"
                 "  max_queue_depth: 7\n"
                 "  classes: { high: { budget_ms: 11 }, low: { aging_ms: 12 } }\n"
                 "model_defaults:\n"
                 "  context: 1024\n"
                 "  params: { threads: 3, max_num_seqs: 5 }\n"
                 "models:\n"
                 "  - path: m.gguf\n"
                 "    params: { max_num_seqs: 6 }\n"
                 "    pool: { timeout_secs: 9, classes: { high: { aging_ms: 13 } } }\n");
    const struct valet_config *v = rig_values(&r);
    ck_assert_int_eq(v->pool.queue_count_max, 7);
    ck_assert_int_eq(v->pool.timeout_ms, 9000);
    ck_assert_int_eq(v->pool.classes[CONFIG_CLASS_HIGH].budget_ms, 11);
    ck_assert_int_eq(v->pool.classes[CONFIG_CLASS_HIGH].aging_ms, 13);
    ck_assert_int_eq(v->pool.classes[CONFIG_CLASS_LOW].aging_ms, 12);
    ck_assert_int_eq(v->pool.classes[CONFIG_CLASS_LOW].budget_ms, 300000);
    ck_assert_int_eq(v->model.context, 1024);
    ck_assert_int_eq(v->model.threads, 3);
    ck_assert_int_eq(v->model.rows_max, 6);
    ck_assert_int_eq(v->model.chunk_max, 256);
    rig_fini(&r);
}
END_TEST

/* What stands later in the file does not matter: the model's own word wins. */
START_TEST(test_model_wins_whatever_the_order)
{
    struct rig r;
    rig_good(&r, "models: [{ path: m, params: { threads: 2 }, pool: { max_queue_depth: 2 } }]\n"
                 "model_defaults: { params: { threads: 3 } }\n"
                 "pool: { max_queue_depth: 3 }\n");
    ck_assert_int_eq(rig_values(&r)->model.threads, 2);
    ck_assert_int_eq(rig_values(&r)->pool.queue_count_max, 2);
    ck_assert_str_eq(config_origin(r.config, "pool.max_queue_depth"),
                     "valet.yaml:1 (models[0].pool)");
    rig_fini(&r);
}
END_TEST

START_TEST(test_null_resets_to_default)
{
    struct rig r;
    rig_good(&r, "server: { port: null, host: ~ }\n"
                 "model_defaults: { params: { threads: 3, mem: 1GiB } }\n"
                 "models: [{ path: m, params: { threads: null, mem: } }]\n");
    ck_assert_int_eq(rig_values(&r)->server.port, 2000);
    ck_assert_str_eq(rig_values(&r)->server.hosts.items[0], "localhost");
    ck_assert_int_eq(rig_values(&r)->model.threads, CONFIG_UNSET);
    ck_assert_uint_eq(rig_values(&r)->model.kv_bytes, 0);
    rig_fini(&r);
    const char *env[] = { "VALET_SERVER_PORT=null", NULL };
    const struct config_sources sources = { .env = env };
    rig_load(&r, &sources, "server: { port: 80 }");
    ck_assert_int_eq(rig_values(&r)->server.port, 2000);
    rig_fini(&r);
}
END_TEST

START_TEST(test_lists_replace)
{
    const char *env[] = { "VALET_SERVER_ALLOWED_HOSTS=c", "VALET_SERVER_CORS_ORIGINS=", NULL };
    const struct config_sources sources = { .env = env };
    struct rig r;
    rig_load(&r, &sources, "server: { allowed_hosts: [a, b], cors: { origins: [x] } }");
    ck_assert_uint_eq(rig_values(&r)->server.allowed_hosts.count, 1);
    ck_assert_str_eq(rig_values(&r)->server.allowed_hosts.items[0], "c");
    ck_assert_uint_eq(rig_values(&r)->server.cors_origins.count, 0);
    rig_fini(&r);
}
END_TEST

START_TEST(test_flag_in_ms_for_a_key_in_seconds)
{
    const struct config_flag flags[] = { { "pool.drain.timeout_secs", "1500", "--drain-ms" } };
    const struct config_sources sources = { .flags = flags, .flag_count = 1 };
    struct rig r;
    rig_load(&r, &sources, NULL);
    ck_assert_int_eq(rig_values(&r)->pool.drain_timeout_ms, 1500);
    rig_fini(&r);
    const struct config_flag set[] = { { "pool.drain.timeout_secs", "1.5", "--set" } };
    const struct config_sources by_set = { .flags = set, .flag_count = 1 };
    rig_load(&r, &by_set, NULL);
    ck_assert_int_eq(rig_values(&r)->pool.drain_timeout_ms, 1500);
    rig_fini(&r);
    const struct config_flag bad[] = { { "pool.drain.timeout_secs", "3600001", "--drain-ms" } };
    const struct config_sources too_long = { .flags = bad, .flag_count = 1 };
    rig_load(&r, &too_long, NULL);
    ck_assert_str_eq(r.report.errors[0], "--drain-ms: 3600001 is not in 0..3600000");
    rig_fini(&r);
}
END_TEST

START_TEST(test_later_flag_wins)
{
    const struct config_flag flags[] = { { "server.port", "1", "--port" },
                                         { "server.port", "2", "--set" } };
    const struct config_sources sources = { .flags = flags, .flag_count = 2 };
    struct rig r;
    rig_load(&r, &sources, NULL);
    ck_assert_int_eq(rig_values(&r)->server.port, 2);
    rig_fini(&r);
}
END_TEST

/* ---- MODEL ---- */

static const char g_model_file[] = "models:\n"
                                   "  - path: dir/chat.gguf\n"
                                   "    name: chat\n"
                                   "    aliases: [talk]\n"
                                   "    context: 77\n"
                                   "    pool: { max_queue_depth: 5 }\n";

START_TEST(test_serve_without_file)
{
    const struct config_sources sources = { .model = "m.gguf" };
    struct rig r;
    rig_load(&r, &sources, NULL);
    ck_assert_str_eq(rig_values(&r)->model.path, "m.gguf");
    ck_assert_ptr_null(rig_values(&r)->model.name);
    ck_assert_str_eq(config_origin(r.config, "models[].path"), "MODEL");
    ck_assert_ptr_null(config_file(r.config));
    rig_fini(&r);
}
END_TEST

START_TEST(test_model_may_be_named_as_in_the_file)
{
    static const char *const names[] = { "chat", "talk", "dir/chat.gguf" };
    for (size_t i = 0; i < 3; i++) {
        const struct config_sources sources = { .model = names[i] };
        struct rig r;
        rig_load(&r, &sources, g_model_file);
        ck_assert_str_eq(rig_values(&r)->model.path, "dir/chat.gguf");
        ck_assert_int_eq(rig_values(&r)->model.context, 77);
        ck_assert_uint_eq(r.report.warning_count, 0);
        rig_fini(&r);
    }
}
END_TEST

START_TEST(test_another_model_does_not_take_the_files_settings)
{
    const char *env[] = { "VALET_MODEL=b.gguf", "VALET_POOL_MAX_QUEUE_UNITS=9", NULL };
    for (int by_env = 0; by_env < 2; by_env++) {
        const struct config_sources sources = { .model = by_env ? NULL : "b.gguf", .env = env };
        struct rig r;
        rig_load(&r, &sources, g_model_file);
        ck_assert_int_eq(r.rc, OK);
        ck_assert_str_eq(rig_values(&r)->model.path, "b.gguf");
        ck_assert_ptr_null(rig_values(&r)->model.name);
        ck_assert_int_eq(rig_values(&r)->model.context, CONFIG_UNSET);
        ck_assert_int_eq(rig_values(&r)->pool.queue_count_max, 1000);
        ck_assert_int_eq(rig_values(&r)->pool.queue_units_max, 9);
        ck_assert_uint_eq(r.report.warning_count, 1);
        rig_fini(&r);
    }
}
END_TEST

/* ---- where from ---- */

START_TEST(test_show_origin_each_level)
{
    const char *env[] = { "VALET_PORT=1", "DEPTH=5", NULL };
    const struct config_flag flags[] = { { "log.level", "warn", "--log-level" } };
    const struct config_sources sources = {
        .env = env, .flags = flags, .flag_count = 1, .model = NULL
    };
    struct rig r;
    rig_load(&r, &sources,
             "server:\n"
             "  host: 127.0.0.1\n"
             "pool:\n"
             "  max_queue_depth: ${DEPTH}\n"
             "models:\n"
             "  - path: m\n"
             "    pool:\n"
             "      aging_share: 5\n");
    ck_assert_int_eq(r.rc, OK);
    ck_assert_str_eq(config_origin(r.config, "server.idle_timeout_secs"), "default");
    ck_assert_str_eq(config_origin(r.config, "server.host"), "valet.yaml:2");
    ck_assert_str_eq(config_origin(r.config, "server.port"), "VALET_PORT");
    ck_assert_str_eq(config_origin(r.config, "log.level"), "--log-level");
    ck_assert_str_eq(config_origin(r.config, "pool.max_queue_depth"),
                     "valet.yaml:4 (from ${DEPTH})");
    ck_assert_str_eq(config_origin(r.config, "pool.aging_share"), "valet.yaml:8 (models[0].pool)");
    ck_assert_uint_eq(config_set_count(r.config), 6);
    rig_fini(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config.merge");
    TCase *tc = tcase_create("merge");
    tcase_add_test(tc, test_precedence_each_key);
    tcase_add_test(tc, test_short_names_stand_for_their_keys);
    tcase_add_test(tc, test_config_deep_merge);
    tcase_add_test(tc, test_model_wins_whatever_the_order);
    tcase_add_test(tc, test_null_resets_to_default);
    tcase_add_test(tc, test_lists_replace);
    tcase_add_test(tc, test_flag_in_ms_for_a_key_in_seconds);
    tcase_add_test(tc, test_later_flag_wins);
    tcase_add_test(tc, test_serve_without_file);
    tcase_add_test(tc, test_model_may_be_named_as_in_the_file);
    tcase_add_test(tc, test_another_model_does_not_take_the_files_settings);
    tcase_add_test(tc, test_show_origin_each_level);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
