/*
 * Models in several files: opened by the first they are one model, and what is wrong with any
 * of them gives one line that names the file.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "model/arch_run.h"
#include "model/gguf.h"
#include "model/gguf_build.h"
#include "model/gguf_walk.h"

enum {
    PARTS_MAX = 100,
    CUTS = 200
};

static char g_dir[64];
static struct arch_case g_case;
static int g_parts;

static const char *part_name(int index, int count)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/tiny-%05d-of-%05d.gguf", g_dir, index + 1, count);
    return path;
}

/* Writes the model in `count` files. */
static void write_parts(int count)
{
    g_parts = count;
    for (int i = 0; i < count; i++) {
        size_t size;
        void *part = arch_case_build_part(&g_case, i, count, &size);
        arch_write(part_name(i, count), part, size);
        free(part);
    }
}

static void remove_parts(void)
{
    for (int i = 0; i < g_parts; i++)
        unlink(part_name(i, g_parts));
    g_parts = 0;
}

static void setup(void)
{
    snprintf(g_dir, sizeof g_dir, "/tmp/valet-split-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(g_dir));
    arch_case_load("gemma3", "q8_0", &g_case);
}

static void teardown(void)
{
    remove_parts();
    ck_assert_int_eq(rmdir(g_dir), 0);
    arch_case_fini(&g_case);
}

static void assert_released(int fd_free)
{
    int fd = dup(STDERR_FILENO);
    close(fd);
    ck_assert_int_eq(fd, fd_free);
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    char line[4352];
    while (fgets(line, sizeof line, maps))
        ck_assert_msg(strstr(line, g_dir) == NULL, "%s", line);
    fclose(maps);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* Opening `path` gives the error and a line with both fragments. Gives its byte. */
static int64_t refuses(const char *path, enum base_err want, const char *fragment,
                       const char *other)
{
    int fd_free = dup(STDERR_FILENO);
    close(fd_free);
    struct gguf *g = (struct gguf *)1;
    struct base_err_info info = { .code = OK };
    ck_assert_msg(gguf_open(path, &g, &info) == want, "%d: %s", info.code, info.message);
    ck_assert_ptr_null(g);
    ck_assert_int_eq(info.code, want);
    ck_assert_msg(strstr(info.message, fragment) && strstr(info.message, other), "%s",
                  info.message);
    ck_assert_int_eq(gguf_open(path, &g, NULL), want);
    assert_released(fd_free);
    return info.byte;
}

/* ---- right ---- */

static void compare_with_whole(const char *isa, int count)
{
    static float whole[ARCH_IDS_MAX * 64];
    static float split[ARCH_IDS_MAX * 64];
    const struct tensor_isa *found;
    if (tensor_isa_find(isa, &found, NULL) != OK)
        return;
    struct arch_run r;
    struct base_err_info info = { 0 };
    ck_assert_msg(arch_run_open(&r, &g_case, isa, &info) == OK, "%s", info.message);
    arch_run_logits(&r, &g_case, g_case.count, whole);
    uint64_t parameters = r.model->parameters;
    arch_run_close(&r);

    write_parts(count);
    ck_assert_msg(arch_run_open_path(&r, part_name(0, count), isa, &info) == OK, "%s",
                  info.message);
    remove_parts(); /* the mappings stay */
    ck_assert_uint_eq(r.model->parameters, parameters);
    arch_run_logits(&r, &g_case, g_case.count, split);
    arch_run_close(&r);
    ck_assert_int_eq(memcmp(whole, split, sizeof whole), 0);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* The last: more parts than tensors, and the first part has none. */
static const int g_counts[] = { 1, 2, 3, 7, 98 };

START_TEST(a_split_model_answers_like_the_whole)
{
    compare_with_whole("ref", g_counts[_i]);
    compare_with_whole("avx512vnni", g_counts[_i]);
    compare_with_whole("amx", g_counts[_i]);
}
END_TEST

START_TEST(parts_look_like_one_file)
{
    write_parts(3);
    uint64_t bytes = 0;
    for (int i = 0; i < 3; i++) {
        FILE *f = fopen(part_name(i, 3), "re");
        ck_assert_ptr_nonnull(f);
        fseek(f, 0, SEEK_END);
        bytes += (uint64_t)ftell(f);
        fclose(f);
    }
    struct gguf *g;
    struct base_err_info info = { 0 };
    ck_assert_msg(gguf_open(part_name(0, 3), &g, &info) == OK, "%s", info.message);
    ck_assert_uint_eq(gguf_file_bytes(g), bytes);
    ck_assert_uint_eq(gguf_tensor_count(g), (size_t)g_case.tensor_count);
    for (int i = 0; i < g_case.tensor_count; i++) {
        const struct gguf_tensor *t = gguf_tensor_find(g, g_case.tensors[i].name);
        ck_assert_ptr_eq(t, gguf_tensor_at(g, (size_t)i));
        ck_assert_int_eq(t->dims[0], g_case.tensors[i].dims[0]);
    }
    ck_assert_ptr_nonnull(gguf_kv_find(g, "gemma3.block_count"));
    uint64_t sum = gguf_walk(g);
    for (size_t i = 0; i < gguf_tensor_count(g); i++)
        gguf_drop_pages(g, gguf_tensor_at(g, i)->data, gguf_tensor_at(g, i)->bytes);
    ck_assert_uint_eq(gguf_walk(g), sum); /* read again from the right files */
    gguf_close(g);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

/* ---- wrong ---- */

START_TEST(a_missing_part_is_named)
{
    write_parts(3);
    unlink(part_name(1, 3));
    refuses(part_name(0, 3), E_IO, "tiny-00002-of-00003.gguf", "No such file");
    write_parts(3);
    unlink(part_name(2, 3));
    refuses(part_name(0, 3), E_IO, "tiny-00003-of-00003.gguf", "No such file");
}
END_TEST

START_TEST(another_part_than_the_first_asks_for_the_first)
{
    write_parts(3);
    refuses(part_name(2, 3), E_INVALID, "'tiny-00003-of-00003.gguf' is part 3",
            "-00001-of-00003.gguf");
}
END_TEST

START_TEST(a_first_part_of_another_name_is_refused)
{
    size_t size;
    void *part = arch_case_build_part(&g_case, 0, 3, &size);
    char path[128];
    snprintf(path, sizeof path, "%s/tiny.gguf", g_dir);
    arch_write(path, part, size);
    refuses(path, E_INVALID, "'tiny.gguf' is the first of 3", "-00001-of-00003.gguf");
    unlink(path);
    snprintf(path, sizeof path, "%s/00003.gguf", g_dir); /* shorter than the ending */
    arch_write(path, part, size);
    refuses(path, E_INVALID, "00003.gguf", "-00001-of-00003.gguf");
    unlink(path);
    snprintf(path, sizeof path, "%s/a-00001-of-00004.gguf", g_dir);
    arch_write(path, part, size);
    refuses(path, E_INVALID, "first of 3", "-00001-of-00003.gguf");
    unlink(path);
    free(part);
}
END_TEST

/* Replaces a part of three by another. */
static void write_other(int index, int said_index, int said_count)
{
    size_t size;
    void *part = arch_case_build_part(&g_case, said_index, said_count, &size);
    arch_write(part_name(index, 3), part, size);
    free(part);
}

START_TEST(a_part_that_says_it_is_another_is_named)
{
    write_parts(3);
    write_other(1, 2, 3);
    refuses(part_name(0, 3), E_CORRUPT, "'tiny-00002-of-00003.gguf'", "expected part 2 of 3");
    write_other(1, 1, 4);
    refuses(part_name(0, 3), E_CORRUPT, "'tiny-00002-of-00003.gguf'", "expected part 2 of 3");
    size_t size;
    void *whole = arch_case_build(&g_case, &size);
    arch_write(part_name(1, 3), whole, size);
    free(whole);
    refuses(part_name(0, 3), E_CORRUPT, "'tiny-00002-of-00003.gguf'", "expected part 2 of 3");
}
END_TEST

START_TEST(a_tensor_in_two_parts_is_named)
{
    write_parts(3);
    struct arch_tensor *last = &g_case.tensors[g_case.tensor_count - 1];
    struct arch_tensor kept = *last;
    *last = g_case.tensors[0];
    write_other(2, 2, 3);
    *last = kept;
    refuses(part_name(0, 3), E_CORRUPT, g_case.tensors[0].name, "two parts");
}
END_TEST

START_TEST(the_number_of_tensors_is_checked)
{
    write_parts(3);
    struct arch_tensor *last = &g_case.tensors[g_case.tensor_count - 1];
    char first = last->name[0];
    last->name[0] = '\0';
    write_other(2, 2, 3);
    last->name[0] = first;
    refuses(part_name(0, 3), E_CORRUPT, "split.tensors.count", "93");
}
END_TEST

START_TEST(split_keys_are_checked)
{
    static const struct {
        uint32_t kind;
        int64_t no;
        int64_t count;
        enum base_err want;
        const char *fragment;
    } cases[] = {
        { GGUF_I64, 0, -1, E_CORRUPT, "split.count" },
        { GGUF_I64, -1, 3, E_CORRUPT, "split.no" },
        { GGUF_F64, 0, 3, E_CORRUPT, "split.count" },
        { GGUF_I64, 0, 1025, E_UNSUPPORTED, "1025" },
        { GGUF_I64, INT64_MAX, 3, E_INVALID, "part 9223372036854775808" },
        { GGUF_I64, 0, INT64_MAX, E_UNSUPPORTED, "9223372036854775807" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gguf_build b;
        gguf_build_init(&b, 3, 32);
        gguf_build_kv(&b, "split.no", GGUF_I64, &cases[i].no, 8);
        gguf_build_kv(&b, "split.count", cases[i].kind, &cases[i].count, 8);
        size_t size;
        void *file = gguf_build_finish(&b, &size);
        g_parts = 3;
        arch_write(part_name(0, 3), file, size);
        free(file);
        refuses(part_name(0, 3), cases[i].want, cases[i].fragment, "");
    }
}
END_TEST

START_TEST(a_cut_part_is_named)
{
    write_parts(3);
    for (int index = 0; index < 3; index++) {
        size_t size;
        uint8_t *part = arch_case_build_part(&g_case, index, 3, &size);
        for (size_t i = 0; i < CUTS; i++) {
            size_t cut = i < CUTS / 2 ? i * 23 : size * (i - CUTS / 2) / (CUTS / 2);
            cut = i == CUTS - 1 ? size - 1 : cut;
            arch_write(part_name(index, 3), part, cut);
            char name[32];
            snprintf(name, sizeof name, "tiny-%05d-of-00003.gguf", index + 1);
            struct arch_run r;
            struct base_err_info info = { 0 };
            ck_assert_int_eq(arch_run_open_path(&r, part_name(0, 3), "ref", &info), E_CORRUPT);
            ck_assert_msg(strstr(info.message, "ends early") || strstr(info.message, "is empty"),
                          "cut at %zu: %s", cut, info.message);
            ck_assert_msg(index == 0 || strstr(info.message, name), "%s", info.message);
            ck_assert(info.byte >= 0 && (size_t)info.byte <= cut);
            ck_assert_uint_eq(mem_live_blocks(), 0);
        }
        arch_write(part_name(index, 3), part, size);
        free(part);
    }
}
END_TEST

#if VALET_CHECKS
START_TEST(a_refused_allocation_leaves_nothing_open)
{
    write_parts(3);
    int fd_free = dup(STDERR_FILENO);
    close(fd_free);
    for (unsigned n = 1;; n++) {
        fault_arm(FAULT_ALLOC, n);
        struct gguf *g;
        enum base_err rc = gguf_open(part_name(0, 3), &g, NULL);
        bool fired = fault_disarm();
        gguf_close(g);
        assert_released(fd_free);
        if (!fired) {
            ck_assert_int_eq(rc, OK);
            break;
        }
        ck_assert_int_eq(rc, E_NOMEM);
    }
}
END_TEST
#endif

static TCase *tcase(Suite *suite, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    suite_add_tcase(suite, t);
    return t;
}

int main(void)
{
    Suite *s = suite_create("split");
    TCase *t = tcase(s, "right");
    tcase_add_loop_test(t, a_split_model_answers_like_the_whole, 0,
                        sizeof g_counts / sizeof g_counts[0]);
    tcase_add_test(t, parts_look_like_one_file);
    t = tcase(s, "wrong");
    tcase_add_test(t, a_missing_part_is_named);
    tcase_add_test(t, another_part_than_the_first_asks_for_the_first);
    tcase_add_test(t, a_first_part_of_another_name_is_refused);
    tcase_add_test(t, a_part_that_says_it_is_another_is_named);
    tcase_add_test(t, a_tensor_in_two_parts_is_named);
    tcase_add_test(t, the_number_of_tensors_is_checked);
    tcase_add_test(t, split_keys_are_checked);
    tcase_add_test(t, a_cut_part_is_named);
#if VALET_CHECKS
    tcase_add_test(t, a_refused_allocation_leaves_nothing_open);
#endif
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
