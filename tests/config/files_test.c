/* Where the file is looked for, what is read from files, and what may not be open to all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/rig.h"

static void load(struct rig *r, const struct config_sources *sources)
{
    config_report_init(&r->report);
    r->rc = config_load(sources, &r->config, &r->report);
}

static void make_config(const char *folder, const char *sub, int port, char path[256])
{
    char text[64];
    char dir[200];
    snprintf(dir, sizeof dir, "%s%s", folder, sub);
    mkdir(dir, 0700);
    snprintf(text, sizeof text, "server: { port: %d }\n", port);
    snprintf(path, 256, "%s", rig_write(dir, "valet.yaml", text, 0644));
}

/* In order: --config, VALET_CONFIG, ./valet.yaml, XDG_CONFIG_HOME, HOME. */
START_TEST(test_file_is_found_in_order)
{
    char folder[128];
    char flag[256];
    char variable[256];
    char here[256];
    char xdg[256];
    char home[256];
    char env_config[300];
    char env_xdg[300];
    char env_home[300];
    char dir[200];
    snprintf(folder, sizeof folder, "%s", rig_folder());
    make_config(folder, "/flag", 1, flag);
    make_config(folder, "/variable", 2, variable);
    make_config(folder, "/here", 3, here);
    snprintf(dir, sizeof dir, "%s/xdg", folder);
    mkdir(dir, 0700);
    make_config(folder, "/xdg/valet", 4, xdg);
    snprintf(dir, sizeof dir, "%s/.config", folder);
    mkdir(dir, 0700);
    make_config(folder, "/.config/valet", 5, home);
    snprintf(env_config, sizeof env_config, "VALET_CONFIG=%s", variable);
    snprintf(env_xdg, sizeof env_xdg, "XDG_CONFIG_HOME=%s/xdg", folder);
    snprintf(env_home, sizeof env_home, "HOME=%s", folder);
    snprintf(dir, sizeof dir, "%s/here", folder);
    ck_assert_int_eq(chdir(dir), 0);

    const char *all[] = { env_home, env_xdg, env_config, NULL };
    const char *no_config[] = { env_home, env_xdg, NULL };
    const char *no_xdg[] = { env_home, NULL };
    const struct {
        const char *file;
        const char *const *env;
        bool leave; /* no ./valet.yaml from here on */
        int port;
    } rows[] = {
        { flag, all, false, 1 },      { NULL, all, false, 2 },   { NULL, no_config, false, 3 },
        { NULL, no_config, true, 4 }, { NULL, no_xdg, true, 5 },
    };
    for (size_t i = 0; i < 5; i++) {
        struct rig r;
        if (rows[i].leave)
            ck_assert_int_eq(chdir("/"), 0);
        const struct config_sources sources = { .file = rows[i].file, .env = rows[i].env };
        load(&r, &sources);
        ck_assert_msg(r.rc == OK, "%s", r.report.errors[0]);
        ck_assert_int_eq(rig_values(&r)->server.port, rows[i].port);
        rig_fini(&r);
    }
}
END_TEST

START_TEST(test_named_file_must_exist)
{
    struct rig r;
    const struct config_sources by_flag = { .file = "/no/such/valet.yaml" };
    load(&r, &by_flag);
    ck_assert_int_eq(r.rc, E_INVALID);
    ck_assert_str_eq(r.report.errors[0],
                     "/no/such/valet.yaml: cannot be opened: No such file or directory");
    const char *env[] = { "VALET_CONFIG=/no/such", NULL };
    const struct config_sources by_env = { .env = env };
    load(&r, &by_env);
    ck_assert_int_eq(r.rc, E_INVALID);
    const struct config_sources folder = { .file = "/" };
    load(&r, &folder);
    ck_assert_int_eq(r.rc, E_INVALID);
    ck_assert_str_eq(r.report.errors[0], "/: cannot be read: Is a directory");
}
END_TEST

START_TEST(test_file_is_bounded)
{
    struct rig r;
    const struct config_sources endless = { .file = "/dev/zero" };
    load(&r, &endless);
    ck_assert_int_eq(r.rc, E_INVALID);
    ck_assert_str_eq(r.report.errors[0], "/dev/zero: larger than 1 MiB");
}
END_TEST

static void load_secret(struct rig *r, const char *path, const char *more)
{
    char text[512];
    snprintf(text, sizeof text, "auth:\n  api_key_file: %s\n%s", path, more);
    const struct config_sources none = { 0 };
    rig_load(r, &none, text);
}

START_TEST(test_secret_file_mode)
{
    char folder[128];
    char path[256];
    struct rig r;
    snprintf(folder, sizeof folder, "%s", rig_folder());
    snprintf(path, sizeof path, "%s", rig_write(folder, "key", "the-key-itself\nmore\n", 0600));
    load_secret(&r, path, "");
    ck_assert_msg(r.rc == OK, "%s", r.report.errors[0]);
    ck_assert_str_eq(rig_values(&r)->auth.api_key, "the-key-itself");
    ck_assert_str_eq(config_origin(r.config, "auth.api_key"), "valet.yaml:2");
    rig_fini(&r);

    chmod(path, 0644);
    load_secret(&r, path, "");
    ck_assert_int_eq(r.rc, E_INVALID);
    ck_assert_ptr_nonnull(strstr(r.report.errors[0], "everybody may read it"));

    chmod(path, 0600);
    load_secret(&r, path, "  api_key: another-key\n");
    ck_assert_str_eq(r.report.errors[0], "valet.yaml:2: auth.api_key_file: auth.api_key was given "
                                         "as well, in valet.yaml:3");

    rig_write(folder, "key", "\n", 0600);
    load_secret(&r, path, "");
    ck_assert_ptr_nonnull(strstr(r.report.errors[0], "has no first line"));
}
END_TEST

START_TEST(test_higher_level_wins_over_secret_file)
{
    char path[256];
    char text[512];
    snprintf(path, sizeof path, "%s", rig_write(rig_folder(), "key", "from-the-file\n", 0600));
    snprintf(text, sizeof text, "auth: { api_key_file: %s }", path);
    const char *env[] = { "VALET_API_KEY=from-the-environment", NULL };
    const struct config_sources sources = { .env = env };
    struct rig r;
    rig_load(&r, &sources, text);
    ck_assert_str_eq(rig_values(&r)->auth.api_key, "from-the-environment");
    rig_fini(&r);
}
END_TEST

START_TEST(test_named_files_are_looked_at)
{
    char folder[128];
    char text[1024];
    char cert[256];
    char key[256];
    struct rig r;
    snprintf(folder, sizeof folder, "%s", rig_folder());
    snprintf(cert, sizeof cert, "%s", rig_write(folder, "cert", "x", 0644));
    snprintf(key, sizeof key, "%s", rig_write(folder, "key", "x", 0644));
    snprintf(text, sizeof text,
             "server: { tls: { cert: %s, key: %s } }\n"
             "auth: { keys_file: /no/keys }\n"
             "models: [{ path: /no/model }]\n",
             cert, key);
    rig_good(&r, text);
    config_check_files(r.config, &r.report);
    ck_assert_uint_eq(r.report.error_count, 3);
    ck_assert_str_eq(r.report.errors[0],
                     "valet.yaml:3 (models[0]): models[].path: /no/model: no such file");
    ck_assert_ptr_nonnull(strstr(r.report.errors[1], "server.tls.key"));
    ck_assert_ptr_nonnull(strstr(r.report.errors[1], "everybody may read it"));
    ck_assert_ptr_nonnull(strstr(r.report.errors[2], "/no/keys"));
    rig_fini(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config.files");
    TCase *tc = tcase_create("files");
    tcase_add_test(tc, test_file_is_found_in_order);
    tcase_add_test(tc, test_named_file_must_exist);
    tcase_add_test(tc, test_file_is_bounded);
    tcase_add_test(tc, test_secret_file_mode);
    tcase_add_test(tc, test_higher_level_wins_over_secret_file);
    tcase_add_test(tc, test_named_files_are_looked_at);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
