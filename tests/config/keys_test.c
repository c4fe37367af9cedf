/* The keys file, and who is found by what they present. */
#include "config/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/mem.h"
#include "config/rig.h"

/* SHA-256 of "abcdefghijklmnop", from sha256sum. */
#define HASH "f39dac6cbaba535e2c207cd0cd8f154974223c848f727f98b3564cea569b41cf"

static enum base_err open_text(const char *text, struct keys **out, struct config_report *report)
{
    static char folder[128];
    if (!folder[0])
        snprintf(folder, sizeof folder, "%s", rig_folder());
    const struct config_auth auth = { .keys_file = rig_write(folder, "keys", text, 0600) };
    config_report_init(report);
    return keys_open(&auth, out, report);
}

static const struct key *find(const struct keys *keys, const char *presented, int64_t now)
{
    return keys_lookup(keys, presented, strlen(presented), now);
}

START_TEST(test_key_line_has_everything)
{
    struct keys *keys;
    struct config_report report;
    enum base_err rc = open_text("# who may come in\n\n"
                                 "  sha256:" HASH
                                 " team-a scopes=infer,admin,metrics max_class=critical weight=2.5 "
                                 "models=a,b/c rpm=60 tpm=100000 max_running=4 max_in_flight=16 "
                                 "expires=2027-01-31 # trailing\r\n"
                                 "plain-key-of-20-chars\tteam.b",
                                 &keys, &report);
    ck_assert_msg(rc == OK, "%s", report.errors[0]);
    ck_assert_uint_eq(keys_count(keys), 2);
    const struct key *a = find(keys, "abcdefghijklmnop", 0);
    ck_assert_ptr_eq(a, keys_at(keys, 0));
    ck_assert_str_eq(a->tenant, "team-a");
    ck_assert_uint_eq(a->scopes, KEYS_INFER | KEYS_ADMIN | KEYS_METRICS);
    ck_assert_int_eq(a->max_class, CONFIG_CLASS_CRITICAL);
    ck_assert(a->weight == 2.5);
    ck_assert_uint_eq(a->models.count, 2);
    ck_assert_str_eq(a->models.items[1], "b/c");
    ck_assert_int_eq(a->requests_per_min, 60);
    ck_assert_int_eq(a->tokens_per_min, 100000);
    ck_assert_int_eq(a->running_max, 4);
    ck_assert_int_eq(a->in_flight_max, 16);
    ck_assert_int_eq(a->expires, 1801440000); /* 2027-02-01T00:00:00Z */
    const struct key *b = find(keys, "plain-key-of-20-chars", 0);
    ck_assert_ptr_eq(b, keys_at(keys, 1));
    ck_assert_str_eq(b->tenant, "team.b");
    ck_assert_uint_eq(b->scopes, KEYS_INFER);
    ck_assert_int_eq(b->max_class, CONFIG_CLASS_HIGH);
    ck_assert(b->weight == 1);
    ck_assert_int_eq(b->requests_per_min, CONFIG_UNSET);
    ck_assert_int_eq(b->expires, CONFIG_UNSET);
    keys_close(keys);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(test_only_the_whole_key_is_found)
{
    struct keys *keys;
    struct config_report report;
    ck_assert_int_eq(open_text("abcdefghijklmnop a\nabcdefghijklmnoq b\n", &keys, &report), OK);
    ck_assert_str_eq(find(keys, "abcdefghijklmnop", 0)->tenant, "a");
    ck_assert_str_eq(find(keys, "abcdefghijklmnoq", 0)->tenant, "b");
    ck_assert_ptr_null(find(keys, "", 0));
    ck_assert_ptr_null(find(keys, "abcdefghijklmno", 0));
    ck_assert_ptr_null(find(keys, "abcdefghijklmnopp", 0));
    ck_assert_ptr_null(find(keys, "ABCDEFGHIJKLMNOP", 0));
    ck_assert_ptr_null(find(keys, "sha256:" HASH, 0)); /* the hash is no key */
    ck_assert_ptr_null(keys_lookup(keys, "abcdefghijklmnop\0x", 18, 0));
    static char large[KEYS_KEY_MAX + 2];
    memset(large, 'a', sizeof large - 1);
    ck_assert_ptr_null(find(keys, large, 0));
    keys_close(keys);
}
END_TEST

START_TEST(test_expired_key_is_void)
{
    struct keys *keys;
    struct config_report report;
    ck_assert_int_eq(open_text("abcdefghijklmnop a expires=2024-02-29\n", &keys, &report), OK);
    ck_assert_int_eq(keys_at(keys, 0)->expires, 1709251200); /* 2024-03-01T00:00:00Z */
    ck_assert_ptr_nonnull(find(keys, "abcdefghijklmnop", 1709251199));
    ck_assert_ptr_null(find(keys, "abcdefghijklmnop", 1709251200));
    keys_close(keys);
}
END_TEST

START_TEST(test_wrong_lines_are_refused)
{
    static const struct {
        const char *line;
        const char *error;
    } rows[] = {
        { "short a", "a key has 16 to 512 printable characters" },
        { "abcdefghijklmnop", "behind the key comes a tenant of A-Z a-z 0-9 . _ -" },
        { "abcdefghijklmnop a/b", "behind the key comes a tenant of A-Z a-z 0-9 . _ -" },
        { "abcdefghijklmnop scopes=infer", "behind the key comes a tenant of A-Z a-z 0-9 . _ -" },
        { "sha256:123 a", "'sha256:' wants 64 hex digits" },
        { "abcdefghijklmnop a scopes=root", "scopes: 'root' is not valid" },
        { "abcdefghijklmnop a scopes=", "scopes: '' is not valid" },
        { "abcdefghijklmnop a scopes=infer,", "scopes: 'infer,' is not valid" },
        { "abcdefghijklmnop a max_class=top", "max_class: 'top' is not valid" },
        { "abcdefghijklmnop a weight=0", "weight: '0' is not valid" },
        { "abcdefghijklmnop a weight=nan", "weight: 'nan' is not valid" },
        { "abcdefghijklmnop a weight=0x1", "weight: '0x1' is not valid" },
        { "abcdefghijklmnop a models=a,,b", "models: 'a,,b' is not valid" },
        { "abcdefghijklmnop a rpm=-1", "rpm: '-1' is not valid" },
        { "abcdefghijklmnop a max_running=0", "max_running: '0' is not valid" },
        { "abcdefghijklmnop a tpm=1e5", "tpm: '1e5' is not valid" },
        { "abcdefghijklmnop a expires=2027-02-29", "expires: '2027-02-29' is not valid" },
        { "abcdefghijklmnop a expires=2027-13-01", "expires: '2027-13-01' is not valid" },
        { "abcdefghijklmnop a expires=tomorrow", "expires: 'tomorrow' is not valid" },
        { "abcdefghijklmnop a rpm=1 rpm=2", "'rpm=2' is there twice" },
        { "abcdefghijklmnop a admin", "'admin' is no name=value" },
        { "abcdefghijklmnop a color=red", "unknown field 'color'" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        struct keys *keys;
        struct config_report report;
        snprintf(text, sizeof text, "# x\n%s\n", rows[i].line);
        ck_assert_msg(open_text(text, &keys, &report) == E_INVALID, "%s", rows[i].line);
        ck_assert_ptr_null(keys);
        ck_assert_uint_eq(report.error_count, 1);
        const char *place = strstr(report.errors[0], "keys:2: ");
        ck_assert_ptr_nonnull(place);
        ck_assert_str_eq(place + 8, rows[i].error);
        ck_assert_ptr_null(strstr(report.errors[0], "abcdefghijklmnop"));
    }
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(test_duplicate_keys_are_refused)
{
    struct keys *keys;
    struct config_report report;
    ck_assert_int_eq(open_text("sha256:" HASH " a\nother-key-of-sixteen b\nabcdefghijklmnop c\n",
                               &keys, &report),
                     E_INVALID);
    ck_assert_ptr_nonnull(strstr(report.errors[0], "keys:3: this key is there twice"));
}
END_TEST

START_TEST(test_keys_file_open_to_others_is_refused)
{
    static const struct {
        unsigned mode;
        enum base_err rc;
    } rows[] = {
        { 0600, OK },        { 0640, OK },        { 0400, OK },        { 0644, E_INVALID },
        { 0604, E_INVALID }, { 0620, E_INVALID }, { 0602, E_INVALID }, { 0601, E_INVALID }
    };
    char folder[128];
    snprintf(folder, sizeof folder, "%s", rig_folder());
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct keys *keys;
        struct config_report report;
        char name[32];
        snprintf(name, sizeof name, "keys-%zu", i);
        const struct config_auth auth = { .keys_file = rig_write(
                                              folder, name, "abcdefghijklmnop a\n", rows[i].mode) };
        config_report_init(&report);
        ck_assert_int_eq(keys_open(&auth, &keys, &report), rows[i].rc);
        if (rows[i].rc)
            ck_assert_ptr_nonnull(strstr(report.errors[0], "too open for keys; chmod 600 or 640"));
        keys_close(keys);
    }
}
END_TEST

START_TEST(test_single_key_of_the_configuration)
{
    struct keys *keys;
    struct config_report report;
    const struct config_auth auth = { .api_key = "abcdefghijklmnop" };
    config_report_init(&report);
    ck_assert_int_eq(keys_open(&auth, &keys, &report), OK);
    const struct key *key = find(keys, "abcdefghijklmnop", 0);
    ck_assert_str_eq(key->tenant, "default");
    ck_assert_uint_eq(key->scopes, KEYS_INFER | KEYS_METRICS);
    keys_close(keys);
    const struct config_auth too_short = { .api_key = "short" };
    ck_assert_int_eq(keys_open(&too_short, &keys, &report), E_INVALID);
    const struct config_auth none = { 0 };
    config_report_init(&report);
    ck_assert_int_eq(keys_open(&none, &keys, &report), OK);
    ck_assert_uint_eq(keys_count(keys), 0);
    ck_assert_ptr_null(find(keys, "abcdefghijklmnop", 0));
    keys_close(keys);
}
END_TEST

START_TEST(test_hash_text_makes_a_line)
{
    char hash[2 * KEYS_SHA256_BYTES + 1];
    ck_assert(keys_hash_text("abcdefghijklmnop", 16, hash));
    ck_assert_str_eq(hash, HASH);
}
END_TEST

START_TEST(test_number_of_keys_is_bounded)
{
    struct base_buf text;
    struct keys *keys;
    struct config_report report;
    buf_init(&text, MEM_BASE, 1 << 20);
    for (int i = 0; i < KEYS_MAX; i++)
        buf_printf(&text, "key-of-some-length-%06d t models=a,b\n", i);
    ck_assert_int_eq(open_text(text.data, &keys, &report), OK);
    ck_assert_uint_eq(keys_count(keys), KEYS_MAX);
    ck_assert_ptr_eq(find(keys, "key-of-some-length-004095", 0), keys_at(keys, KEYS_MAX - 1));
    keys_close(keys);
    buf_append_str(&text, "one-more-key-of-length t\n");
    ck_assert_int_eq(open_text(text.data, &keys, &report), E_INVALID);
    ck_assert_ptr_nonnull(strstr(report.errors[0], "more than 4096 keys"));
    buf_fini(&text);
}
END_TEST

START_TEST(test_keys_survive_refused_memory)
{
    char path[256];
    snprintf(path, sizeof path, "%s",
             rig_write(rig_folder(), "keys", "abcdefghijklmnop a models=x,y\n", 0600));
    for (unsigned n = 1;; n++) {
        struct keys *keys;
        struct config_report report;
        const struct config_auth auth = { .keys_file = path, .api_key = "another-key-of-16" };
        config_report_init(&report);
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = keys_open(&auth, &keys, &report);
        bool fired = fault_disarm();
        if (!fired) {
            ck_assert_int_eq(rc, OK);
            keys_close(keys);
            break;
        }
        ck_assert_int_eq(rc, E_NOMEM);
        ck_assert_ptr_null(keys);
        ck_assert_uint_eq(mem_live_blocks(), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config.keys");
    TCase *tc = tcase_create("keys");
    tcase_add_test(tc, test_key_line_has_everything);
    tcase_add_test(tc, test_only_the_whole_key_is_found);
    tcase_add_test(tc, test_expired_key_is_void);
    tcase_add_test(tc, test_wrong_lines_are_refused);
    tcase_add_test(tc, test_duplicate_keys_are_refused);
    tcase_add_test(tc, test_keys_file_open_to_others_is_refused);
    tcase_add_test(tc, test_single_key_of_the_configuration);
    tcase_add_test(tc, test_hash_text_makes_a_line);
    tcase_add_test(tc, test_number_of_keys_is_bounded);
    tcase_add_test(tc, test_keys_survive_refused_memory);
    suite_add_tcase(suite, tc);
    return rig_run(suite);
}
