/* The table itself: nothing is missing, nothing is there twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/rig.h"

START_TEST(test_env_names_unique)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *a = config_option_at(i);
        char name[CONFIG_ENV_NAME_MAX];
        config_option_env(a, name);
        ck_assert_int_eq(name[0] == '\0', (a->traits & CONFIG_FILE_ONLY) != 0);
        for (size_t j = 0; j < config_option_count(); j++) {
            const struct config_option *b = config_option_at(j);
            char other[CONFIG_ENV_NAME_MAX];
            config_option_env(b, other);
            if (name[0] && i != j)
                ck_assert_str_ne(name, other);
            if (name[0] && b->short_env)
                ck_assert_str_ne(name, b->short_env);
            if (a->short_env && b->short_env && i != j)
                ck_assert_str_ne(a->short_env, b->short_env);
        }
    }
}
END_TEST

START_TEST(test_keys_and_flags_unique)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *a = config_option_at(i);
        ck_assert_ptr_eq(config_option_find(a->key), a);
        ck_assert_uint_eq(config_option_index(a), i);
        if (a->flag)
            ck_assert_ptr_eq(config_option_by_flag(a->flag), a);
    }
    ck_assert_ptr_null(config_option_find("server"));
    ck_assert_ptr_null(config_option_by_flag("no-such"));
}
END_TEST

START_TEST(test_every_key_is_complete)
{
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        char type[128];
        config_option_describe(o, type, sizeof type);
        ck_assert(type[0] && strchr(o->key, '.'));
        ck_assert_msg(o->help && o->help[0] && !strchr(o->help, '|'), "%s: help", o->key);
        ck_assert_msg(o->fallback && o->fallback[0], "%s: default", o->key);
        bool has_range = o->type == CONFIG_INT || o->type == CONFIG_SECS ||
                         o->type == CONFIG_REAL || o->type == CONFIG_SIZE || o->type == CONFIG_MEM;
        ck_assert_msg(has_range == (o->max > o->min), "%s: range", o->key);
        ck_assert_msg((o->type == CONFIG_WORD) == (o->words != NULL), "%s: words", o->key);
        ck_assert_msg(!(o->traits & CONFIG_NULLABLE) == (strcmp(o->fallback, "null") != 0),
                      "%s: null", o->key);
        if (o->flag)
            ck_assert_msg((o->type == CONFIG_BOOL) == !o->value_name, "%s: flag", o->key);
    }
}
END_TEST

START_TEST(test_every_secret_has_a_file_twin)
{
    size_t count = 0;
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        char name[CONFIG_KEY_BYTES];
        if (!(o->traits & CONFIG_SECRET))
            continue;
        snprintf(name, sizeof name, "%s_file", o->key);
        const struct config_option *twin = config_option_find(name);
        ck_assert_ptr_nonnull(twin);
        ck_assert(o->type == CONFIG_TEXT && twin->type == CONFIG_TEXT);
        count++;
    }
    ck_assert_uint_gt(count, 0);
}
END_TEST

/* Setting one key changes that key's value and no other's: no two share a field. */
START_TEST(test_every_key_has_a_field_of_its_own)
{
    const struct config_sources none = { 0 };
    struct rig before;
    rig_merge(&before, &none, NULL);
    for (size_t i = 0; i < config_option_count(); i++) {
        const struct config_option *o = config_option_at(i);
        char sample[64];
        struct base_buf file;
        struct rig after;
        buf_init(&file, MEM_BASE, 4096);
        for (int n = 0; n < 2; n++) {
            rig_file_of(o->key, rig_sample(o, n, sample), &file);
            rig_merge(&after, &none, file.data);
            ck_assert_msg(after.report.error_count == 0, "%s", after.report.errors[0]);
            if (!config_value_equal(o, rig_values(&before), rig_values(&after)))
                break;
            ck_assert_msg(n == 0, "%s has no effect", o->key);
            config_destroy(after.config);
            buf_clear(&file);
        }
        for (size_t j = 0; j < config_option_count(); j++)
            ck_assert_int_eq(
                config_value_equal(config_option_at(j), rig_values(&before), rig_values(&after)),
                i != j);
        config_destroy(after.config);
        buf_fini(&file);
    }
    rig_fini(&before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config.options");
    TCase *tc = tcase_create("table");
    tcase_add_test(tc, test_env_names_unique);
    tcase_add_test(tc, test_keys_and_flags_unique);
    tcase_add_test(tc, test_every_key_is_complete);
    tcase_add_test(tc, test_every_secret_has_a_file_twin);
    tcase_add_test(tc, test_every_key_has_a_field_of_its_own);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
