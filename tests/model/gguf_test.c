#include "model/gguf.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "model/gguf_build.h"
#include "model/gguf_walk.h"
#include "tensor/types.h"

enum {
    HEADER_BYTES = 24 /* magic, version, two counts */
};

/* Bytes that end where a page ends that nobody may touch. */
struct guard {
    uint8_t *map;
    size_t map_bytes;
    uint8_t *end;
};

static struct guard guard_create(size_t size_max)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (size_max + page) & ~(page - 1);
    struct guard guard = { .map_bytes = room + page };
    void *map =
        mmap(NULL, guard.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    guard.map = map;
    guard.end = guard.map + room;
    ck_assert_int_eq(mprotect(guard.end, page, PROT_NONE), 0);
    return guard;
}

static uint8_t *guard_put(const struct guard *guard, const void *data, size_t size)
{
    return memcpy(guard->end - size, data, size);
}

static void guard_destroy(struct guard *guard)
{
    munmap(guard->map, guard->map_bytes);
}

static void assert_str(struct gguf_str s, const char *want)
{
    ck_assert_uint_eq(s.len, strlen(want));
    ck_assert_int_eq(memcmp(s.data, want, s.len), 0);
}

/* One key of each kind, arrays of each, and tensors of each known type. */
static void *build_everything(uint32_t version, size_t *size)
{
    struct gguf_build b;
    gguf_build_init(&b, version, 32);
    gguf_build_str(&b, "general.architecture", "llama");
    gguf_build_kv(&b, "k.u8", GGUF_U8, &(uint8_t){ 200 }, 1);
    gguf_build_kv(&b, "k.i8", GGUF_I8, &(int8_t){ -100 }, 1);
    gguf_build_kv(&b, "k.u16", GGUF_U16, &(uint16_t){ 60000 }, 2);
    gguf_build_kv(&b, "k.i16", GGUF_I16, &(int16_t){ 1234 }, 2);
    gguf_build_u32(&b, "k.u32", 4000000000u);
    gguf_build_kv(&b, "k.i32", GGUF_I32, &(int32_t){ -7 }, 4);
    gguf_build_f32(&b, "k.f32", 1e-5f);
    gguf_build_bool(&b, "k.true", true);
    gguf_build_bool(&b, "k.false", false);
    gguf_build_kv(&b, "k.u64", GGUF_U64, &(uint64_t){ UINT64_MAX }, 8);
    gguf_build_kv(&b, "k.i64", GGUF_I64, &(int64_t){ INT64_MIN }, 8);
    gguf_build_kv(&b, "k.f64", GGUF_F64, &(double){ 0.5 }, 8);
    gguf_build_str(&b, "k.empty", "");
    gguf_build_kv(&b, "k.f64_huge", GGUF_F64, &(double){ 1e300 }, 8);
    gguf_build_f32(&b, "k.nan", NAN);
    gguf_build_array(&b, "a.u8", GGUF_U8, 3, (uint8_t[]){ 1, 2, 255 }, 3);
    gguf_build_array(&b, "a.i8", GGUF_I8, 2, (int8_t[]){ -128, 127 }, 2);
    gguf_build_array(&b, "a.u16", GGUF_U16, 2, (uint16_t[]){ 0, 65535 }, 4);
    gguf_build_array(&b, "a.i16", GGUF_I16, 2, (int16_t[]){ -32768, 5 }, 4);
    gguf_build_array(&b, "a.u32", GGUF_U32, 2, (uint32_t[]){ 1, UINT32_MAX }, 8);
    gguf_build_array(&b, "a.i32", GGUF_I32, 3, (int32_t[]){ INT32_MIN, -1, 6 }, 12);
    gguf_build_array(&b, "a.f32", GGUF_F32, 2, (float[]){ 0.25f, -8.0f }, 8);
    gguf_build_array(&b, "a.bool", GGUF_BOOL, 3, (uint8_t[]){ 1, 0, 1 }, 3);
    gguf_build_array(&b, "a.u64", GGUF_U64, 2, (uint64_t[]){ 9, UINT64_MAX }, 16);
    gguf_build_array(&b, "a.i64", GGUF_I64, 2, (int64_t[]){ INT64_MIN, INT64_MAX }, 16);
    gguf_build_array(&b, "a.f64", GGUF_F64, 2, (double[]){ 1e300, -0.125 }, 16);
    gguf_build_array(&b, "a.none", GGUF_I32, 0, NULL, 0);
    gguf_build_strs(&b, "a.strings", 4, (const char *const[]){ "<s>", "", "the", "end" });
    gguf_build_strs(&b, "a.no_strings", 0, NULL);

    uint8_t data[640];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    gguf_build_tensor(&b, "norm", TENSOR_F32, 1, (int64_t[]){ 5 }, data, 20);
    gguf_build_tensor(&b, "embd", TENSOR_F16, 2, (int64_t[]){ 3, 4 }, data, 24);
    gguf_build_tensor(&b, "q4", TENSOR_Q4_1, 3, (int64_t[]){ 64, 2, 3 }, data, 240);
    gguf_build_tensor(&b, "q8", TENSOR_Q8_0, 4, (int64_t[]){ 32, 2, 1, 3 }, data, 204);
    return gguf_build_finish(&b, size);
}

static struct gguf *parse_ok(const void *file, size_t size)
{
    struct gguf *g;
    struct base_err_info info = { .code = OK };
    enum base_err rc = gguf_parse(file, size, &g, &info);
    ck_assert_msg(rc == OK, "%s", info.message);
    ck_assert_ptr_nonnull(g);
    return g;
}

/* Parses, expects the error and a message that holds `fragment`; gives the byte. */
static int64_t parse_fails(const void *file, size_t size, enum base_err want, const char *fragment)
{
    struct guard guard = guard_create(size);
    struct gguf *g = (struct gguf *)1;
    struct base_err_info info = { .code = OK };
    enum base_err rc = gguf_parse(guard_put(&guard, file, size), size, &g, &info);
    ck_assert_int_eq(rc, want);
    ck_assert_ptr_null(g);
    ck_assert_int_eq(info.code, want);
    ck_assert_msg(strstr(info.message, fragment) != NULL, "'%s' lacks '%s'", info.message,
                  fragment);
    ck_assert_int_ge(info.byte, 0);
    ck_assert_int_le(info.byte, (int64_t)size);
    ck_assert_int_eq(gguf_parse(guard.end - size, size, &g, NULL), want);
    guard_destroy(&guard);
    ck_assert_uint_eq(mem_live_blocks(), 0);
    return info.byte;
}

/* The same for what a builder wrote. */
static int64_t built_fails(struct gguf_build *b, enum base_err want, const char *fragment)
{
    size_t size;
    void *file = gguf_build_finish(b, &size);
    int64_t byte = parse_fails(file, size, want, fragment);
    free(file);
    return byte;
}

static int64_t kv_fails(const char *key, uint32_t kind, const void *value, size_t bytes,
                        const char *fragment)
{
    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    gguf_build_kv(&b, key, kind, value, bytes);
    return built_fails(&b, E_CORRUPT, fragment);
}

static int64_t tensor_fails(uint32_t type, uint32_t dim_count, const int64_t *dims, uint64_t offset,
                            enum base_err want, const char *fragment)
{
    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    uint8_t data[64] = { 0 };
    gguf_build_tensor(&b, "first", TENSOR_F32, 1, (int64_t[]){ 16 }, data, sizeof data);
    gguf_build_tensor_at(&b, "blk.0.odd", type, dim_count, dims, offset);
    return built_fails(&b, want, fragment);
}

/* ---- what is right ---- */

START_TEST(every_kind_is_read_in_both_versions)
{
    size_t size;
    void *file = build_everything((uint32_t)_i, &size);
    struct gguf *g = parse_ok(file, size);
    ck_assert_uint_eq(gguf_version(g), (uint32_t)_i);
    ck_assert_uint_eq(gguf_file_bytes(g), size);
    ck_assert_uint_eq(gguf_kv_count(g), 30);

    const struct gguf_kv *kv = gguf_kv_at(g, 0);
    assert_str(kv->key, "general.architecture");
    ck_assert_int_eq(kv->kind, GGUF_STRING);
    ck_assert_uint_eq(kv->count, 1);
    ck_assert_int_eq(kv->byte, HEADER_BYTES);
    ck_assert_ptr_eq(gguf_kv_find(g, "general.architecture"), kv);
    ck_assert_ptr_null(gguf_kv_find(g, "general.architectur"));
    ck_assert_ptr_null(gguf_kv_find(g, "norm"));
    ck_assert_ptr_null(gguf_kv_find(g, ""));
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        char key[64] = { 0 };
        kv = gguf_kv_at(g, i);
        memcpy(key, kv->key.data, kv->key.len);
        ck_assert_ptr_eq(gguf_kv_find(g, key), kv);
    }
    gguf_walk(g);
    gguf_close(g);
    free(file);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(arrays_give_their_elements)
{
    size_t size;
    void *file = build_everything(3, &size);
    struct gguf *g = parse_ok(file, size);
    static const struct {
        const char *key;
        enum gguf_kind kind;
        uint64_t count;
        int64_t last;
        double last_f;
    } wanted[] = {
        { "a.u8", GGUF_U8, 3, 255, 255 },
        { "a.i8", GGUF_I8, 2, 127, 127 },
        { "a.u16", GGUF_U16, 2, 65535, 65535 },
        { "a.i16", GGUF_I16, 2, 5, 5 },
        { "a.u32", GGUF_U32, 2, UINT32_MAX, UINT32_MAX },
        { "a.i32", GGUF_I32, 3, 6, 6 },
        { "a.bool", GGUF_BOOL, 3, 1, 1 },
        { "a.u64", GGUF_U64, 2, INT64_MAX, 18446744073709551616.0 },
        { "a.i64", GGUF_I64, 2, INT64_MAX, 9223372036854775808.0 },
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const struct gguf_kv *kv = gguf_kv_find(g, wanted[i].key);
        ck_assert_ptr_nonnull(kv);
        ck_assert_int_eq(kv->kind, GGUF_ARRAY);
        ck_assert_int_eq(kv->element_kind, wanted[i].kind);
        ck_assert_uint_eq(kv->count, wanted[i].count);
        ck_assert_int_eq(gguf_array_i64(kv, kv->count - 1), wanted[i].last);
        ck_assert_double_eq(gguf_array_f64(kv, kv->count - 1), wanted[i].last_f);
    }
    ck_assert_int_eq(gguf_array_i64(gguf_kv_find(g, "a.i8"), 0), -128);
    ck_assert_int_eq(gguf_array_i64(gguf_kv_find(g, "a.i16"), 0), -32768);
    ck_assert_int_eq(gguf_array_i64(gguf_kv_find(g, "a.i32"), 0), INT32_MIN);
    ck_assert_int_eq(gguf_array_i64(gguf_kv_find(g, "a.i64"), 0), INT64_MIN);
    ck_assert_double_eq(gguf_array_f64(gguf_kv_find(g, "a.i32"), 1), -1);
    ck_assert_double_eq(gguf_array_f64(gguf_kv_find(g, "a.f32"), 0), 0.25);
    ck_assert_double_eq(gguf_array_f64(gguf_kv_find(g, "a.f32"), 1), -8);
    ck_assert_double_eq(gguf_array_f64(gguf_kv_find(g, "a.f64"), 0), 1e300);
    ck_assert_double_eq(gguf_array_f64(gguf_kv_find(g, "a.f64"), 1), -0.125);
    ck_assert_uint_eq(gguf_kv_find(g, "a.none")->count, 0);
    ck_assert_uint_eq(gguf_kv_find(g, "a.no_strings")->count, 0);

    /* a single value is an array of one */
    ck_assert_int_eq(gguf_array_i64(gguf_kv_find(g, "k.i32"), 0), -7);
    ck_assert_double_eq(gguf_array_f64(gguf_kv_find(g, "k.f64"), 0), 0.5);

    const struct gguf_kv *strings = gguf_kv_find(g, "a.strings");
    ck_assert_uint_eq(strings->count, 4);
    const uint8_t *cursor = strings->value;
    assert_str(gguf_array_next_str(&cursor), "<s>");
    assert_str(gguf_array_next_str(&cursor), "");
    assert_str(gguf_array_next_str(&cursor), "the");
    assert_str(gguf_array_next_str(&cursor), "end");
    gguf_close(g);
    free(file);
}
END_TEST

START_TEST(tensors_lie_where_the_file_says)
{
    size_t size;
    uint8_t *file = build_everything(3, &size);
    struct gguf *g = parse_ok(file, size);
    ck_assert_uint_eq(gguf_tensor_count(g), 4);
    static const struct gguf_tensor wanted[] = {
        { { "norm", 4 }, TENSOR_F32, 1, { 5, 1, 1, 1 }, NULL, 20, 0 },
        { { "embd", 4 }, TENSOR_F16, 2, { 3, 4, 1, 1 }, NULL, 24, 0 },
        { { "q4", 2 }, TENSOR_Q4_1, 3, { 64, 2, 3, 1 }, NULL, 240, 0 },
        { { "q8", 2 }, TENSOR_Q8_0, 4, { 32, 2, 1, 3 }, NULL, 204, 0 },
    };
    for (size_t i = 0; i < 4; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        ck_assert_ptr_eq(gguf_tensor_find(g, wanted[i].name.data), t);
        assert_str(t->name, wanted[i].name.data);
        ck_assert_uint_eq(t->type, wanted[i].type);
        ck_assert_uint_eq(t->dim_count, wanted[i].dim_count);
        ck_assert_int_eq(memcmp(t->dims, wanted[i].dims, sizeof t->dims), 0);
        ck_assert_uint_eq(t->bytes, wanted[i].bytes);
        ck_assert_uint_eq((uintptr_t)t->data % 32, 0);
        for (size_t k = 0; k < t->bytes; k++)
            ck_assert_uint_eq(t->data[k], (uint8_t)(k * 7));
    }
    const struct gguf_tensor *last = gguf_tensor_at(g, 3);
    ck_assert_ptr_eq(last->data + last->bytes, file + size);
    ck_assert_ptr_null(gguf_tensor_find(g, "k.u8"));
    ck_assert_ptr_null(gguf_tensor_find(g, "q"));
    gguf_drop_pages(g, last->data, last->bytes); /* nothing is mapped: nothing happens */
    gguf_close(g);
    gguf_close(NULL);
    free(file);
}
END_TEST

START_TEST(a_file_without_keys_or_tensors_is_one)
{
    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    size_t size;
    void *file = gguf_build_finish(&b, &size);
    ck_assert_uint_eq(size, HEADER_BYTES);
    struct gguf *g = parse_ok(file, size);
    ck_assert_uint_eq(gguf_kv_count(g), 0);
    ck_assert_uint_eq(gguf_tensor_count(g), 0);
    ck_assert_ptr_null(gguf_kv_find(g, "general.architecture"));
    ck_assert_ptr_null(gguf_tensor_find(g, "norm"));
    gguf_close(g);
    free(file);
}
END_TEST

START_TEST(every_alignment_places_the_data)
{
    for (uint32_t alignment = 8; alignment <= 65536; alignment *= 2) {
        struct gguf_build b;
        gguf_build_init(&b, 3, alignment);
        gguf_build_u32(&b, "general.alignment", alignment);
        gguf_build_tensor(&b, "a", TENSOR_F32, 1, (int64_t[]){ 1 }, "abcd", 4);
        gguf_build_tensor(&b, "b", TENSOR_F32, 1, (int64_t[]){ 1 }, "efgh", 4);
        size_t size;
        uint8_t *file = gguf_build_finish(&b, &size);
        struct gguf *g = parse_ok(file, size);
        const struct gguf_tensor *t = gguf_tensor_find(g, "b");
        ck_assert_int_eq(memcmp(t->data, "efgh", 4), 0);
        ck_assert_uint_eq((size_t)(t->data - file) % alignment, 0);
        gguf_close(g);
        free(file);
    }
}
END_TEST

START_TEST(thousands_of_names_are_found)
{
    enum {
        COUNT = 5000
    };
    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    char name[32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "key.%d", i);
        gguf_build_u32(&b, name, (uint32_t)i);
        snprintf(name, sizeof name, "blk.%d.weight", i);
        gguf_build_tensor(&b, name, TENSOR_F32, 1, (int64_t[]){ 1 }, &i, sizeof i);
    }
    size_t size;
    void *file = gguf_build_finish(&b, &size);
    struct gguf *g = parse_ok(file, size);
    for (int i = 0; i < COUNT; i++) {
        uint64_t v = 0;
        snprintf(name, sizeof name, "key.%d", i);
        ck_assert_int_eq(gguf_get_u64(g, name, &v, NULL), OK);
        ck_assert_uint_eq(v, (uint64_t)i);
        snprintf(name, sizeof name, "blk.%d.weight", i);
        ck_assert_int_eq(memcmp(gguf_tensor_find(g, name)->data, &i, sizeof i), 0);
    }
    gguf_close(g);
    free(file);
}
END_TEST

/* ---- typed reading ---- */

struct getters {
    void *file;
    struct gguf *g;
    struct base_err_info info;
};

static void assert_get_fails(const struct getters *t, enum base_err rc, enum base_err want,
                             const char *key, const char *fragment)
{
    ck_assert_int_eq(rc, want);
    ck_assert_int_eq(t->info.code, want);
    ck_assert_msg(strstr(t->info.message, key) != NULL, "%s", t->info.message);
    ck_assert_msg(strstr(t->info.message, fragment) != NULL, "%s", t->info.message);
    if (want == E_CORRUPT)
        ck_assert_int_eq(t->info.byte, gguf_kv_find(t->g, key)->byte);
}

START_TEST(integers_of_every_kind_are_read_if_they_fit)
{
    size_t size;
    struct getters t = { .file = build_everything(3, &size) };
    t.g = parse_ok(t.file, size);
    static const struct {
        const char *key;
        uint64_t value;
    } good[] = {
        { "k.u8", 200 },          { "k.u16", 60000 },      { "k.i16", 1234 },
        { "k.u32", 4000000000u }, { "k.u64", UINT64_MAX },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t v = 1;
        ck_assert_int_eq(gguf_get_u64(t.g, good[i].key, &v, NULL), OK);
        ck_assert_uint_eq(v, good[i].value);
    }
    uint64_t v = 42;
    static const char *const below_zero[] = { "k.i8", "k.i32", "k.i64" };
    for (size_t i = 0; i < 3; i++)
        assert_get_fails(&t, gguf_get_u64(t.g, below_zero[i], &v, &t.info), E_CORRUPT,
                         below_zero[i], "expected 0 or more");
    static const char *const others[] = { "k.f32", "k.f64", "k.true", "k.empty", "a.u32" };
    for (size_t i = 0; i < 5; i++)
        assert_get_fails(&t, gguf_get_u64(t.g, others[i], &v, &t.info), E_CORRUPT, others[i],
                         "expected an integer");
    assert_get_fails(&t, gguf_get_u64(t.g, "k.absent", &v, &t.info), E_NOT_FOUND, "k.absent",
                     "missing");
    ck_assert_uint_eq(v, 42);
    gguf_close(t.g);
    free(t.file);
}
END_TEST

START_TEST(floats_are_read_from_every_number)
{
    size_t size;
    struct getters t = { .file = build_everything(3, &size) };
    t.g = parse_ok(t.file, size);
    static const struct {
        const char *key;
        float value;
    } good[] = {
        { "k.f32", 1e-5f },
        { "k.f64", 0.5f },
        { "k.u8", 200.0f },
        { "k.i8", -100.0f },
        { "k.i32", -7.0f },
        { "k.u64", 18446744073709551616.0f },
        { "k.i64", -9223372036854775808.0f },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        float v = 1;
        ck_assert_int_eq(gguf_get_f32(t.g, good[i].key, &v, NULL), OK);
        ck_assert_float_eq(v, good[i].value);
    }
    float v = 42;
    static const char *const others[] = { "k.true", "k.empty", "a.f32", "a.none" };
    for (size_t i = 0; i < 4; i++)
        assert_get_fails(&t, gguf_get_f32(t.g, others[i], &v, &t.info), E_CORRUPT, others[i],
                         "expected a number");
    assert_get_fails(&t, gguf_get_f32(t.g, "k.f64_huge", &v, &t.info), E_CORRUPT, "k.f64_huge",
                     "finite");
    assert_get_fails(&t, gguf_get_f32(t.g, "k.nan", &v, &t.info), E_CORRUPT, "k.nan", "finite");
    assert_get_fails(&t, gguf_get_f32(t.g, "k.absent", &v, &t.info), E_NOT_FOUND, "k.absent",
                     "missing");
    ck_assert_float_eq(v, 42);
    gguf_close(t.g);
    free(t.file);
}
END_TEST

START_TEST(bools_and_strings_are_read_from_their_own_kind)
{
    size_t size;
    struct getters t = { .file = build_everything(3, &size) };
    t.g = parse_ok(t.file, size);
    bool b = false;
    ck_assert_int_eq(gguf_get_bool(t.g, "k.true", &b, NULL), OK);
    ck_assert(b);
    assert_get_fails(&t, gguf_get_bool(t.g, "k.u8", &b, &t.info), E_CORRUPT, "k.u8",
                     "kind is u8, expected a bool");
    assert_get_fails(&t, gguf_get_bool(t.g, "a.bool", &b, &t.info), E_CORRUPT, "a.bool",
                     "kind is array");
    assert_get_fails(&t, gguf_get_bool(t.g, "k.absent", &b, &t.info), E_NOT_FOUND, "k.absent",
                     "missing");
    ck_assert(b);
    ck_assert_int_eq(gguf_get_bool(t.g, "k.false", &b, NULL), OK);
    ck_assert(!b);

    struct gguf_str s = { NULL, 0 };
    ck_assert_int_eq(gguf_get_str(t.g, "k.empty", &s, NULL), OK);
    assert_str(s, "");
    ck_assert_int_eq(gguf_get_str(t.g, "general.architecture", &s, NULL), OK);
    assert_get_fails(&t, gguf_get_str(t.g, "a.strings", &s, &t.info), E_CORRUPT, "a.strings",
                     "expected a string");
    assert_get_fails(&t, gguf_get_str(t.g, "k.f32", &s, &t.info), E_CORRUPT, "k.f32",
                     "kind is f32");
    assert_get_fails(&t, gguf_get_str(t.g, "k.absent", &s, &t.info), E_NOT_FOUND, "k.absent",
                     "missing");
    assert_str(s, "llama");
    gguf_close(t.g);
    free(t.file);
}
END_TEST

/* ---- what is wrong ---- */

START_TEST(a_cut_file_is_an_error_at_every_length)
{
    size_t size;
    uint8_t *file = build_everything(3, &size);
    struct guard guard = guard_create(size);
    for (size_t n = 0; n < size; n++) {
        struct gguf *g;
        struct base_err_info info = { .code = OK };
        enum base_err rc = gguf_parse(guard_put(&guard, file, n), n, &g, &info);
        ck_assert_msg(rc == E_CORRUPT, "cut at %zu: %d", n, rc);
        ck_assert_ptr_null(g);
        const char *fragment = n == 0 ? "empty" : "ends early";
        ck_assert_msg(strstr(info.message, fragment) != NULL, "cut at %zu: %s", n, info.message);
        ck_assert_int_ge(info.byte, 0);
        ck_assert_int_le(info.byte, (int64_t)n);
    }
    struct gguf *g = parse_ok(guard_put(&guard, file, size), size);
    gguf_walk(g);
    gguf_close(g);
    guard_destroy(&guard);
    free(file);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(any_byte_changed_is_read_or_refused)
{
    size_t size;
    uint8_t *file = build_everything(3, &size);
    struct gguf *whole = parse_ok(file, size);
    size_t header = (size_t)(gguf_tensor_at(whole, 0)->data - file);
    gguf_close(whole);
    struct guard guard = guard_create(size);
    uint8_t *copy = guard_put(&guard, file, size);
    unsigned refused = 0;
    unsigned read = 0;
    for (size_t i = 0; i < header; i++) {
        uint8_t was = file[i];
        const uint8_t tries[] = {
            0,       1,       2,       9,       0x7f,     0x80,     0xff,
            was ^ 1, was ^ 2, was ^ 4, was ^ 8, was ^ 16, was ^ 64, was ^ 128,
        };
        for (size_t k = 0; k < sizeof tries; k++) {
            copy[i] = tries[k];
            struct gguf *g;
            struct base_err_info info = { .code = OK };
            enum base_err rc = gguf_parse(copy, size, &g, &info);
            if (rc) {
                ck_assert_ptr_null(g);
                ck_assert(rc == E_CORRUPT || rc == E_UNSUPPORTED);
                ck_assert_int_eq(info.code, rc);
                ck_assert_uint_gt(strlen(info.message), 10);
                ck_assert_int_ge(info.byte, 0);
                refused++;
            } else {
                gguf_walk(g);
                gguf_close(g);
                read++;
            }
        }
        copy[i] = was;
    }
    ck_assert_uint_gt(refused, 1000);
    ck_assert_uint_gt(read, 1000);
    guard_destroy(&guard);
    free(file);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(other_files_are_told_apart)
{
    uint8_t file[HEADER_BYTES] = { 'G', 'G', 'U', 'F', 3 };
    parse_fails("", 0, E_CORRUPT, "not a GGUF file: it is empty");
    parse_fails("PK\3\4.....................", HEADER_BYTES, E_CORRUPT, "not a GGUF file");
    parse_fails("G{", 2, E_CORRUPT, "not a GGUF file");
    parse_fails("GGU", 3, E_CORRUPT, "header: the file ends early");
    ck_assert_int_eq(
        parse_fails("FUGG\0\0\0\3................", HEADER_BYTES, E_UNSUPPORTED, "big-endian"), 0);
    static const struct {
        uint32_t version;
        const char *fragment;
    } versions[] = {
        { 0, "GGUF version 0 is not supported" },
        { 1, "GGUF version 1 is not supported" },
        { 4, "GGUF version 4 is not supported" },
        { UINT32_MAX, "GGUF version 4294967295 is not supported" },
        { 0x01000000, "big-endian" },
        { 0x02000000, "big-endian" },
        { 0x03000000, "big-endian" },
    };
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        memcpy(file + 4, &versions[i].version, 4);
        ck_assert_int_eq(parse_fails(file, sizeof file, E_UNSUPPORTED, versions[i].fragment), 4);
    }
}
END_TEST

START_TEST(counts_are_compared_with_the_bytes_left)
{
    static const uint64_t counts[] = { 1, 1u << 20, 1ull << 32, 1ull << 60, UINT64_MAX };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct gguf_build b;
        gguf_build_init(&b, 3, 32);
        b.kv_count = counts[i];
        ck_assert_int_eq(built_fails(&b, E_CORRUPT, "keys announced, 0 bytes are left"), 16);
        gguf_build_init(&b, 3, 32);
        b.tensor_count = counts[i];
        ck_assert_int_eq(built_fails(&b, E_CORRUPT, "tensors announced, 0 bytes are left"), 8);
    }
}
END_TEST

START_TEST(counts_have_limits_of_their_own)
{
    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    size_t bytes = (size_t)40 << 20;
    void *zeroes = calloc(1, bytes);
    gguf_build_tensor(&b, "t", TENSOR_F32, 1, (int64_t[]){ 1 }, zeroes, bytes);
    b.tensor_count = (1 << 20) + 1;
    built_fails(&b, E_UNSUPPORTED, "1048577 tensors, more than 1048576");
    gguf_build_init(&b, 3, 32);
    gguf_build_tensor(&b, "t", TENSOR_F32, 1, (int64_t[]){ 1 }, zeroes, bytes);
    b.kv_count = (1 << 16) + 1;
    built_fails(&b, E_UNSUPPORTED, "65537 keys, more than 65536");
    free(zeroes);
}
END_TEST

START_TEST(names_are_unique_and_bounded)
{
    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    gguf_build_u32(&b, "k.one", 1);
    gguf_build_u32(&b, "k.two", 2);
    gguf_build_bool(&b, "k.one", true);
    ck_assert_int_eq(built_fails(&b, E_CORRUPT, "key 'k.one': the key is there twice"),
                     HEADER_BYTES + 2 * (8 + 5 + 4 + 4));

    gguf_build_init(&b, 3, 32);
    gguf_build_tensor(&b, "w", TENSOR_F32, 1, (int64_t[]){ 1 }, "abcd", 4);
    gguf_build_tensor(&b, "w", TENSOR_F32, 1, (int64_t[]){ 1 }, "abcd", 4);
    ck_assert_int_eq(built_fails(&b, E_CORRUPT, "tensor 'w': the tensor is there twice"),
                     HEADER_BYTES + 8 + 1 + 4 + 8 + 4 + 8);

    kv_fails("", GGUF_STRING, "\0\0\0\0\0\0\0", 8, "key number 0: its name has 0 bytes");
    static char longest[65537 + 1];
    memset(longest, 'k', 65536);
    kv_fails(longest, GGUF_U8, "", 1, "its name has 65536 bytes, expected 1 to 65535");
    gguf_build_init(&b, 3, 32);
    gguf_build_u32(&b, longest + 1, 5);
    longest[65] = '\0';
    gguf_build_tensor(&b, longest + 1, TENSOR_F32, 1, (int64_t[]){ 1 }, "abcd", 4);
    size_t size;
    void *file = gguf_build_finish(&b, &size);
    struct gguf *g = parse_ok(file, size);
    ck_assert_ptr_nonnull(gguf_tensor_find(g, longest + 1));
    gguf_close(g);
    free(file);
    gguf_build_init(&b, 3, 32);
    gguf_build_tensor(&b, longest, TENSOR_F32, 1, (int64_t[]){ 1 }, "abcd", 4);
    built_fails(&b, E_CORRUPT, "tensor number 0: its name has 65 bytes, expected 1 to 64");
}
END_TEST

START_TEST(messages_show_names_cut_and_printable)
{
    kv_fails("k\nk\x1bk\x80k\xff'", 99, NULL, 0, "key 'k?k?k?k?'': its kind is 99");
    char key[200];
    memset(key, 'x', sizeof key);
    key[199] = '\0';
    kv_fails(key, 13, "", 0, "xxx...': its kind is 13, which is no known kind");
}
END_TEST

START_TEST(values_are_checked)
{
    const int64_t value_byte = HEADER_BYTES + 8 + 1 + 4;
    ck_assert_int_eq(kv_fails("k", 13, "\0\0\0\0", 4, "key 'k': its kind is 13"), value_byte - 4);
    kv_fails("k", UINT32_MAX, "\0\0\0\0", 4, "its kind is 4294967295");
    ck_assert_int_eq(kv_fails("k", GGUF_BOOL, "\2", 1, "a bool is 2, expected 0 or 1"), value_byte);
    kv_fails("k", GGUF_BOOL, "\xff", 1, "a bool is 255");
    kv_fails("k", GGUF_U64, "1234567", 7, "key 'k': the file ends early: 1 values of kind u64");

    uint64_t len = UINT64_MAX;
    ck_assert_int_eq(kv_fails("k", GGUF_STRING, &len, 8,
                              "the file ends early: a string takes 18446744073709551615 bytes"),
                     value_byte + 8);
    len = 1;
    kv_fails("k", GGUF_STRING, &len, 8, "a string takes 1 bytes, 0 are left");

    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    gguf_build_array(&b, "a", GGUF_ARRAY, 1, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    ck_assert_int_eq(built_fails(&b, E_CORRUPT, "key 'a': an array of arrays is not allowed"),
                     value_byte);
    gguf_build_init(&b, 3, 32);
    gguf_build_array(&b, "a", (enum gguf_kind)13, 0, NULL, 0);
    built_fails(&b, E_CORRUPT, "its element kind is 13");
    gguf_build_init(&b, 3, 32);
    gguf_build_array(&b, "a", GGUF_BOOL, 3, "\0\1\2", 3);
    ck_assert_int_eq(built_fails(&b, E_CORRUPT, "a bool is 2"), value_byte + 12 + 2);

    static const uint64_t counts[] = { 3, 1ull << 61, 1ull << 62, 1ull << 63, UINT64_MAX };
    static const enum gguf_kind kinds[] = { GGUF_I32, GGUF_F64, GGUF_STRING, GGUF_BOOL };
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 4; k++) {
            gguf_build_init(&b, 3, 32);
            gguf_build_array(&b, "a", kinds[k], counts[i], "\0", 2);
            built_fails(&b, E_CORRUPT, "key 'a': the file ends early");
        }
    }

    uint64_t lens[3] = { 0, 9, 0 }; /* the second string goes one byte too far */
    gguf_build_init(&b, 3, 32);
    gguf_build_array(&b, "a", GGUF_STRING, 2, lens, sizeof lens);
    built_fails(&b, E_CORRUPT, "a string takes 9 bytes, 8 are left");
}
END_TEST

START_TEST(alignment_is_a_power_of_two_within_bounds)
{
    static const uint32_t bad[] = { 0, 1, 4, 7, 9, 24, 33, 65535, 131072, UINT32_MAX };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(kv_fails("general.alignment", GGUF_U32, &bad[i], 4,
                                  "key 'general.alignment': the alignment is"),
                         HEADER_BYTES);
    kv_fails("general.alignment", GGUF_I32, &(int32_t){ -32 }, 4, "expected 0 or more");
    kv_fails("general.alignment", GGUF_F32, &(float){ 32 }, 4, "kind is f32");
}
END_TEST

START_TEST(tensor_shapes_are_checked)
{
    /* the odd tensor's entry, behind that of "first" */
    const int64_t entry = HEADER_BYTES + 8 + 5 + 4 + 8 + 4 + 8;
    const int64_t dims_byte = entry + 8 + 9 + 4;
    ck_assert_int_eq(tensor_fails(TENSOR_F32, 0, NULL, 0, E_CORRUPT,
                                  "tensor 'blk.0.odd': it has 0 dimensions, expected 1 to 4"),
                     dims_byte - 4);
    tensor_fails(TENSOR_F32, 5, (int64_t[]){ 1, 1, 1, 1, 1 }, 0, E_CORRUPT, "it has 5 dimensions");
    ck_assert_int_eq(
        tensor_fails(TENSOR_F32, 2, (int64_t[]){ 4, 0 }, 0, E_CORRUPT, "dimension 1 is 0"),
        dims_byte + 8);
    tensor_fails(TENSOR_F32, 1, (int64_t[]){ -1 }, 0, E_CORRUPT,
                 "dimension 0 is 18446744073709551615");
    tensor_fails(TENSOR_F32, 1, (int64_t[]){ 1ll << 31 }, 0, E_CORRUPT,
                 "dimension 0 is 2147483648, expected 1 to 2147483647");
    tensor_fails(TENSOR_F32, 4, (int64_t[]){ INT32_MAX, INT32_MAX, INT32_MAX, 1 }, 0, E_CORRUPT,
                 "the product of its dimensions is too large");
    tensor_fails(TENSOR_F32, 4, (int64_t[]){ 1 << 30, 1 << 30, 4, 2 }, 0, E_CORRUPT,
                 "the product of its dimensions is too large"); /* 2^63 elements */
    tensor_fails(TENSOR_F32, 4, (int64_t[]){ 1 << 30, 1 << 30, 4, 1 }, 0, E_CORRUPT,
                 "the product of its dimensions is too large"); /* 2^64 bytes */
    ck_assert_int_eq(tensor_fails(TENSOR_Q4_1, 2, (int64_t[]){ 33, 32 }, 0, E_CORRUPT,
                                  "rows of 33 elements are no whole number of q4_1 blocks of 32"),
                     dims_byte);
    tensor_fails(TENSOR_Q8_0, 2, (int64_t[]){ 16, 2 }, 0, E_CORRUPT, "q8_0 blocks");
    ck_assert_int_eq(tensor_fails(15, 2, (int64_t[]){ 256, 1 }, 0, E_UNSUPPORTED,
                                  "tensor 'blk.0.odd': tensor type 15 is not supported"),
                     dims_byte + 16);
    tensor_fails(UINT32_MAX, 1, (int64_t[]){ 1 }, 0, E_UNSUPPORTED, "tensor type 4294967295");
}
END_TEST

START_TEST(tensor_data_lies_within_the_file)
{
    const int64_t entry = HEADER_BYTES + 8 + 5 + 4 + 8 + 4 + 8;
    const int64_t one = 1;
    ck_assert_int_eq(tensor_fails(TENSOR_F32, 1, &one, 8, E_CORRUPT,
                                  "its offset 8 is no multiple of the alignment 32"),
                     entry);
    tensor_fails(TENSOR_F32, 1, &one, 33, E_CORRUPT, "no multiple");
    ck_assert_int_eq(tensor_fails(TENSOR_F32, 1, &one, 64, E_CORRUPT,
                                  "the file ends early: 4 bytes at offset 64 of 64 bytes of data"),
                     entry);
    tensor_fails(TENSOR_F32, 1, (int64_t[]){ 9 }, 32, E_CORRUPT, "36 bytes at offset 32 of 64");
    tensor_fails(TENSOR_F32, 1, &one, 1ull << 40, E_CORRUPT, "ends early");
    tensor_fails(TENSOR_F32, 1, &one, UINT64_MAX - 31, E_CORRUPT, "ends early");
    tensor_fails(TENSOR_F32, 1, (int64_t[]){ 8 }, UINT64_MAX - 31, E_CORRUPT, "ends early");

    struct gguf_build b; /* entries without any data behind them */
    gguf_build_init(&b, 3, 32);
    gguf_build_tensor_at(&b, "w", TENSOR_F32, 1, &one, 0);
    built_fails(&b, E_CORRUPT, "4 bytes at offset 0 of 0 bytes of data");
}
END_TEST

/* Else a small file could have the same bytes packed for thousands of tensors. */
START_TEST(tensors_have_no_more_bytes_than_the_file)
{
    tensor_fails(TENSOR_F32, 1, (int64_t[]){ 1 }, 0, E_CORRUPT,
                 "tensor 'blk.0.odd': it overlaps others: the tensors up to it have 68 bytes, "
                 "the file 64");
    struct gguf_build b; /* all of them by name, and a gap that nobody has */
    gguf_build_init(&b, 3, 32);
    uint8_t data[64] = { 0 };
    gguf_build_tensor(&b, "a", TENSOR_F32, 1, (int64_t[]){ 1 }, data, 4);
    gguf_build_tensor(&b, "b", TENSOR_F32, 1, (int64_t[]){ 16 }, data, 64);
    size_t size;
    void *file = gguf_build_finish(&b, &size);
    gguf_close(parse_ok(file, size));
    free(file);
}
END_TEST

#if VALET_CHECKS
START_TEST(refused_allocations_are_survived)
{
    size_t size;
    void *file = build_everything(3, &size);
    unsigned n = 1;
    for (;; n++) {
        fault_arm(FAULT_ALLOC, n);
        struct gguf *g;
        struct base_err_info info = { .code = OK };
        enum base_err rc = gguf_parse(file, size, &g, &info);
        bool fired = fault_disarm();
        if (!fired) {
            ck_assert_int_eq(rc, OK);
            gguf_close(g);
            break;
        }
        ck_assert_int_eq(rc, E_NOMEM);
        ck_assert_ptr_null(g);
        ck_assert_int_eq(info.code, E_NOMEM);
        ck_assert_ptr_nonnull(strstr(info.message, "no memory"));
        ck_assert_uint_eq(mem_live_blocks(), 0);
    }
    ck_assert_uint_gt(n, 5);
    ck_assert_uint_eq(mem_live_blocks(), 0);
    free(file);
}
END_TEST
#endif

/* ---- files ---- */

static char g_dir[] = "/tmp/valet-gguf-XXXXXX";
static char g_path[sizeof g_dir + 16];

static void make_dir(void)
{
    memcpy(g_dir + sizeof g_dir - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(g_dir));
    snprintf(g_path, sizeof g_path, "%s/file.gguf", g_dir);
}

static void remove_dir(void)
{
    (void)unlink(g_path);
    ck_assert_int_eq(rmdir(g_dir), 0);
}

static void write_file(const void *data, size_t size)
{
    FILE *f = fopen(g_path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(data, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

/* Nothing of g_path is mapped, and no descriptor has stayed open since `fd_free` was the next. */
static void assert_released(int fd_free)
{
    int fd = dup(STDERR_FILENO);
    ck_assert_int_eq(fd, fd_free);
    close(fd);
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    char line[4352];
    while (fgets(line, sizeof line, maps))
        ck_assert_msg(strstr(line, g_dir) == NULL, "%s", line);
    fclose(maps);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static int next_fd(void)
{
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

static void open_fails(const char *path, enum base_err want, int sys_errno, const char *fragment)
{
    int fd_free = next_fd();
    struct gguf *g = (struct gguf *)1;
    struct base_err_info info = { .code = OK };
    ck_assert_int_eq(gguf_open(path, &g, &info), want);
    ck_assert_ptr_null(g);
    ck_assert_int_eq(info.code, want);
    ck_assert_int_eq(info.sys_errno, sys_errno);
    ck_assert_msg(strstr(info.message, fragment) != NULL, "%s", info.message);
    ck_assert_int_eq(gguf_open(path, &g, NULL), want);
    assert_released(fd_free);
}

START_TEST(a_file_is_opened)
{
    size_t size;
    void *file = build_everything(3, &size);
    write_file(file, size);
    int fd_free = next_fd();
    struct gguf *g;
    struct base_err_info info = { .code = OK };
    ck_assert_msg(gguf_open(g_path, &g, &info) == OK, "%s", info.message);
    ck_assert_int_eq(next_fd(), fd_free); /* the mapping needs no descriptor */
    ck_assert_uint_eq(gguf_file_bytes(g), size);
    ck_assert_uint_eq(gguf_tensor_find(g, "q8")->data[1], 7);
    gguf_walk(g);
    gguf_close(g);
    assert_released(fd_free);
    write_file(file, size - 1);
    open_fails(g_path, E_CORRUPT, 0, "tensor 'q8': the file ends early");
    free(file);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    open_fails(g_path, E_IO, ENOENT, "file.gguf': No such file");
    open_fails(g_dir, E_IO, 0, "is a directory");
    open_fails("", E_IO, ENOENT, "cannot open ''");
    write_file("", 0);
    open_fails(g_path, E_CORRUPT, 0, "empty");
    write_file("{}", 2);
    open_fails(g_path, E_CORRUPT, 0, "not a GGUF file");
    ck_assert_int_eq(unlink(g_path), 0);
    ck_assert_int_eq(mkfifo(g_path, 0600), 0);
    open_fails(g_path, E_IO, 0, "not a regular file"); /* and does not wait for a writer */
}
END_TEST

/* Whether the page at p is in memory for this process; -1 where the system does not say. */
static int page_is_present(const uint8_t *p)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    uint64_t entry = 0;
    off_t at = (off_t)((uintptr_t)p / (uintptr_t)sysconf(_SC_PAGESIZE) * sizeof entry);
    ssize_t n = pread(fd, &entry, sizeof entry, at);
    close(fd);
    return n == sizeof entry ? (int)(entry >> 63) : -1;
}

START_TEST(dropped_pages_are_read_again)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = 8 * page;
    uint8_t *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(i % 251);
    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    gguf_build_tensor(&b, "w", TENSOR_F32, 1, (int64_t[]){ (int64_t)bytes / 4 }, data, bytes);
    gguf_build_tensor(&b, "v", TENSOR_F32, 1, (int64_t[]){ 16 }, data, 64);
    size_t size;
    void *file = gguf_build_finish(&b, &size);
    write_file(file, size);
    struct gguf *g;
    ck_assert_int_eq(gguf_open(g_path, &g, NULL), OK);
    const struct gguf_tensor *t = gguf_tensor_find(g, "w");
    ck_assert_uint_ne((uintptr_t)t->data % page, 0);
    ck_assert_int_eq(memcmp(t->data, data, bytes), 0);
    bool can_see = page_is_present(t->data + page) == 1;

    gguf_drop_pages(g, t->data, page / 2); /* less than a page: nothing goes */
    gguf_drop_pages(g, t->data, 0);
    if (can_see)
        ck_assert_int_eq(page_is_present(t->data), 1);
    gguf_drop_pages(g, t->data, t->bytes);
    if (can_see) {
        ck_assert_int_eq(page_is_present(t->data), 1); /* shared with the header */
        for (size_t i = 1; i < 8; i++)
            ck_assert_int_eq(page_is_present(t->data + i * page), 0);
        ck_assert_int_eq(page_is_present(t->data + bytes), 1); /* shared with "v" */
    }
    ck_assert_int_eq(memcmp(t->data, data, bytes), 0);
    const struct gguf_tensor *v = gguf_tensor_find(g, "v");
    gguf_drop_pages(g, v->data, v->bytes); /* up to the end of the file */
    ck_assert_int_eq(memcmp(v->data, data, 64), 0);
    gguf_close(g);
    free(file);
    free(data);
}
END_TEST

#if VALET_CHECKS
START_TEST(a_refused_allocation_leaves_nothing_open)
{
    size_t size;
    void *file = build_everything(3, &size);
    write_file(file, size);
    free(file);
    int fd_free = next_fd();
    for (unsigned n = 1;; n++) {
        fault_arm(FAULT_ALLOC, n);
        struct gguf *g;
        enum base_err rc = gguf_open(g_path, &g, NULL);
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
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return tc;
}

int main(void)
{
    Suite *suite = suite_create("gguf");
    TCase *tc = tcase(suite, "right");
    tcase_add_loop_test(tc, every_kind_is_read_in_both_versions, 2, 4);
    tcase_add_test(tc, arrays_give_their_elements);
    tcase_add_test(tc, tensors_lie_where_the_file_says);
    tcase_add_test(tc, a_file_without_keys_or_tensors_is_one);
    tcase_add_test(tc, every_alignment_places_the_data);
    tcase_add_test(tc, thousands_of_names_are_found);

    tc = tcase(suite, "getters");
    tcase_add_test(tc, integers_of_every_kind_are_read_if_they_fit);
    tcase_add_test(tc, floats_are_read_from_every_number);
    tcase_add_test(tc, bools_and_strings_are_read_from_their_own_kind);

    tc = tcase(suite, "wrong");
    tcase_add_test(tc, a_cut_file_is_an_error_at_every_length);
    tcase_add_test(tc, any_byte_changed_is_read_or_refused);
    tcase_add_test(tc, other_files_are_told_apart);
    tcase_add_test(tc, counts_are_compared_with_the_bytes_left);
    tcase_add_test(tc, counts_have_limits_of_their_own);
    tcase_add_test(tc, names_are_unique_and_bounded);
    tcase_add_test(tc, messages_show_names_cut_and_printable);
    tcase_add_test(tc, values_are_checked);
    tcase_add_test(tc, alignment_is_a_power_of_two_within_bounds);
    tcase_add_test(tc, tensor_shapes_are_checked);
    tcase_add_test(tc, tensor_data_lies_within_the_file);
    tcase_add_test(tc, tensors_have_no_more_bytes_than_the_file);
#if VALET_CHECKS
    tcase_add_test(tc, refused_allocations_are_survived);
#endif

    tc = tcase(suite, "files");
    tcase_add_checked_fixture(tc, make_dir, remove_dir);
    tcase_add_test(tc, a_file_is_opened);
    tcase_add_test(tc, what_is_no_file_is_refused);
    tcase_add_test(tc, dropped_pages_are_read_again);
#if VALET_CHECKS
    tcase_add_test(tc, a_refused_allocation_leaves_nothing_open);
#endif

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
