/*
 * Loading models and making engines: what is refused and how, and that nothing is left behind
 * when memory is refused at any point. Memory is refused in builds with VALET_CHECKS only.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "engine/script.h"
#include "engine/suite.h"
#include "tiny_model.h"
#include "tokenizer/tokenizer.h"

static struct tiny_model g_tiny;

static void write_shape(struct tiny_shape shape)
{
    tiny_model_write(&g_tiny, &shape);
}

static void remove_shape(void)
{
    tiny_model_remove(&g_tiny);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* Loads and frees; whatever comes, nothing stays. */
static enum valet_err load(const char *path, const struct valet_model_options *options,
                           struct valet_error *error)
{
    valet_model *model = (valet_model *)&g_tiny; /* anything but NULL */
    *error = (struct valet_error){ .code = VALET_OK };
    enum valet_err rc = valet_model_load(path, options, &model, error);
    EXPECT((rc == VALET_OK) == (model != NULL), "rc %d with model %p", rc, (void *)model);
    EXPECT(rc == error->code && (rc == VALET_OK) == (error->message[0] == '\0'),
           "rc %d, error %d '%s'", rc, error->code, error->message);
    EXPECT(!strchr(error->message, '\n'), "more than one line: '%s'", error->message);
    EXPECT(rc == VALET_OK || valet_model_load(path, options, &model, NULL) == rc,
           "another error without room for a message");
    valet_model_free(model);
    EXPECT(mem_live_blocks() == 0, "%d blocks left behind", (int)mem_live_blocks());
    return rc;
}

/* ---- models ---- */

START_TEST(a_model_says_what_it_is)
{
    write_shape(tiny_nasty(TENSOR_Q4_1));
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    for (int i = 0; i < count; i++) {
        valet_model *model = script_load(g_tiny.path, isas[i], 2);
        struct valet_model_info info;
        valet_model_info(model, &info);
        ck_assert_str_eq(info.name, "nasty");
        ck_assert_str_eq(info.arch, "llama");
        ck_assert_str_eq(info.isa, isas[i]);
        ck_assert_str_eq(info.chat_template, "");
        ck_assert_int_eq(info.threads, 2);
        ck_assert_int_eq(info.context, g_tiny.shape.context);
        ck_assert_int_eq(info.vocab, g_tiny.shape.vocab);
        ck_assert_int_eq(info.layers, g_tiny.shape.layers);
        ck_assert_int_eq(info.width, g_tiny.shape.width);
        ck_assert_int_eq(info.heads, g_tiny.shape.heads);
        ck_assert_int_eq(info.kv_heads, g_tiny.shape.kv_heads);
        ck_assert_int_eq(info.head_dim, g_tiny.shape.head_dim);
        /* embedding and head; norms; per layer q, o, k, v and three of the ffn */
        uint64_t width = 96;
        uint64_t layer = 2 * 160 * width + 2 * 40 * width + 3 * 160 * width;
        uint64_t matrices = 2 * 283 * width + 3 * layer;
        uint64_t norms = width + 3 * 2 * width;
        ck_assert_uint_eq(info.parameters, matrices + norms);
        ck_assert_uint_eq(info.weight_bytes, matrices / 32 * 20 + norms * 4);
        const struct tokenizer *t = valet_model_tokenizer(model);
        ck_assert_int_eq(tokenizer_count(t), 283);
        ck_assert_int_eq(tokenizer_eos(t), 282);
        ck_assert_int_eq(tokenizer_find(t, "the", 3), 257);
        valet_model_free(model);
    }
    remove_shape();
}
END_TEST

START_TEST(what_cannot_be_loaded_is_refused)
{
    struct valet_model_options options;
    valet_model_options_init(&options);
    struct valet_error error;
    write_shape(tiny_plain(TENSOR_F32));
    ck_assert_int_eq(load(g_tiny.path, &options, &error), VALET_OK);
    enum valet_err rc = load("/nonexistent/model.gguf", &options, &error);
    ck_assert_msg(rc == VALET_E_IO || rc == VALET_E_NOT_FOUND, "%d", rc);
    ck_assert_ptr_nonnull(strstr(error.message, "/nonexistent/model.gguf"));
    ck_assert_int_ne(load("/tmp", &options, &error), VALET_OK);
    ck_assert_int_ne(load("/dev/null", &options, &error), VALET_OK);
    options.isa = "abacus";
    ck_assert_int_eq(load(g_tiny.path, &options, &error), VALET_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "ref")); /* what there is */
    valet_model_options_init(&options);
    options.threads = 100000;
    ck_assert_int_eq(load(g_tiny.path, &options, &error), VALET_E_INVALID);
    remove_shape();

    valet_model_options_init(&options);
    struct tiny_shape shape = tiny_plain(TENSOR_F32);
    shape.eos_id = shape.vocab; /* an end token beyond the vocabulary */
    write_shape(shape);
    ck_assert_int_eq(load(g_tiny.path, &options, &error), VALET_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(error.message, "eos_token_id"));
    remove_shape();

    shape = tiny_plain(TENSOR_F32);
    shape.extra_tensor = "blk.0.attn_sinks.weight"; /* would change the answers */
    write_shape(shape);
    ck_assert_int_eq(load(g_tiny.path, &options, &error), VALET_E_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "blk.0.attn_sinks.weight"));
    remove_shape();
}
END_TEST

/* A file that was cut off is never a model. */
START_TEST(a_file_that_was_cut_is_refused)
{
    struct valet_model_options options;
    valet_model_options_init(&options);
    options.threads = 1;
    struct valet_error error;
    write_shape(tiny_plain(TENSOR_Q8_0));
    FILE *f = fopen(g_tiny.path, "rb");
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    fclose(f);
    ck_assert_int_eq(load(g_tiny.path, &options, &error), VALET_OK);
    long step = suite_is_slow() ? size / 20 : size / 300;
    for (long len = size - 1; len >= 0; len -= step) {
        int rc = truncate(g_tiny.path, len);
        EXPECT(rc == 0, "cannot cut the file");
        enum valet_err loaded = load(g_tiny.path, &options, &error);
        EXPECT(loaded == VALET_E_CORRUPT || loaded == VALET_E_UNSUPPORTED,
               "cut to %ld of %ld bytes: %d '%s'", len, size, loaded, error.message);
    }
    remove_shape();
}
END_TEST

/* ---- engines ---- */

static enum valet_err make(valet_model *model, const struct valet_engine_options *options,
                           struct valet_engine_info *info)
{
    uint64_t blocks = mem_live_blocks();
    valet_engine *engine = (valet_engine *)&g_tiny;
    struct valet_error error = { .code = VALET_OK };
    enum valet_err rc = valet_engine_create(model, options, &engine, &error);
    EXPECT((rc == VALET_OK) == (engine != NULL), "rc %d with engine %p", rc, (void *)engine);
    EXPECT(rc == error.code && (rc == VALET_OK) == (error.message[0] == '\0'),
           "rc %d, error %d '%s'", rc, error.code, error.message);
    EXPECT(rc == VALET_OK || valet_engine_create(model, options, &engine, NULL) == rc,
           "another error without room for a message");
    if (engine)
        valet_engine_info(engine, info);
    valet_engine_destroy(engine);
    EXPECT(mem_live_blocks() == blocks, "the engine left something behind");
    return rc;
}

START_TEST(options_out_of_range_are_refused)
{
    write_shape(tiny_plain(TENSOR_Q8_0));
    valet_model *model = script_load(g_tiny.path, NULL, 1);
    struct valet_engine_info info;
    static const int32_t bad_rows[] = { 0, -1, 257, INT32_MAX, INT32_MIN };
    static const int32_t bad_chunks[] = { 0, -1, 8193, INT32_MAX, INT32_MIN };
    static const int32_t bad_contexts[] = { -1, 1, INT32_MIN };
    struct valet_engine_options options;
    for (int i = 0; i < 5; i++) {
        valet_engine_options_init(&options);
        options.rows_max = bad_rows[i];
        ck_assert_int_eq(make(model, &options, &info), VALET_E_INVALID);
        valet_engine_options_init(&options);
        options.chunk_max = bad_chunks[i];
        ck_assert_int_eq(make(model, &options, &info), VALET_E_INVALID);
    }
    for (int i = 0; i < 3; i++) {
        valet_engine_options_init(&options);
        options.context = bad_contexts[i];
        ck_assert_int_eq(make(model, &options, &info), VALET_E_INVALID);
    }
    valet_engine_options_init(&options);
    options.rows_max = 256;
    options.chunk_max = 8192;
    ck_assert_int_eq(make(model, &options, &info), VALET_OK);
    ck_assert_int_eq(info.rows_max, 256);
    ck_assert_int_eq(info.chunk_max, 8192);
    valet_model_free(model);
    remove_shape();
}
END_TEST

START_TEST(the_context_is_what_model_options_and_blocks_allow)
{
    write_shape(tiny_nasty(TENSOR_Q8_0)); /* context 200: 7 blocks */
    valet_model *model = script_load(g_tiny.path, NULL, 1);
    struct valet_engine_options options;
    struct valet_engine_info info;
    valet_engine_options_init(&options);
    options.rows_max = 3;
    ck_assert_int_eq(make(model, &options, &info), VALET_OK);
    ck_assert_int_eq(info.context, 200);
    ck_assert_uint_eq(info.block_count, 21);
    ck_assert_uint_gt(info.block_bytes, 0);
    uint64_t block_bytes = info.block_bytes;
    options.context = 1000;
    ck_assert_int_eq(make(model, &options, &info), VALET_OK);
    ck_assert_int_eq(info.context, 200);
    options.context = 50;
    ck_assert_int_eq(make(model, &options, &info), VALET_OK);
    ck_assert_int_eq(info.context, 50);
    ck_assert_uint_eq(info.block_count, 6);
    /* fewer blocks than the context needs */
    options.context = 0;
    options.kv_bytes = 3 * block_bytes;
    ck_assert_int_eq(make(model, &options, &info), VALET_OK);
    ck_assert_uint_eq(info.block_count, 3);
    ck_assert_int_eq(info.context, 96);
    options.kv_bytes = 3 * block_bytes - 1;
    ck_assert_int_eq(make(model, &options, &info), VALET_OK);
    ck_assert_int_eq(info.context, 64);
    options.kv_bytes = 7 * block_bytes; /* 224 tokens: the model's limit again */
    ck_assert_int_eq(make(model, &options, &info), VALET_OK);
    ck_assert_int_eq(info.context, 200);
    /* too small and too large */
    options.kv_bytes = block_bytes - 1;
    ck_assert_int_eq(make(model, &options, &info), VALET_E_TOO_BIG);
    options.kv_bytes = 1;
    ck_assert_int_eq(make(model, &options, &info), VALET_E_TOO_BIG);
    options.kv_bytes = UINT64_MAX;
    ck_assert_int_eq(make(model, &options, &info), VALET_E_TOO_BIG);
    valet_model_free(model);
    remove_shape();
}
END_TEST

/* ---- refused memory ---- */

#if VALET_CHECKS
START_TEST(refused_allocations_leave_nothing_behind)
{
    const char *isas[SCRIPT_ISAS_MAX];
    int count = script_isas(isas);
    for (int k = 0; k < count; k++) {
        write_shape(tiny_nasty(TENSOR_Q4_1));
        struct valet_model_options options;
        valet_model_options_init(&options);
        options.isa = isas[k];
        options.threads = 2;
        struct valet_engine_options engine_options;
        valet_engine_options_init(&engine_options);
        unsigned n = 1;
        int tolerated = 0; /* a tokenizer without machine code for its patterns interprets them */
        for (;; n++) {
            valet_model *model = NULL;
            valet_engine *engine = NULL;
            struct valet_error error = { .code = VALET_OK };
            fault_arm(FAULT_ALLOC, n);
            enum valet_err rc = valet_model_load(g_tiny.path, &options, &model, &error);
            if (!rc)
                rc = valet_engine_create(model, &engine_options, &engine, &error);
            bool fired = fault_disarm();
            EXPECT((rc == VALET_OK) == (engine != NULL), "rc %d with engine %p", rc,
                   (void *)engine);
            EXPECT(rc == VALET_OK || (fired && rc == VALET_E_NOMEM),
                   "allocation %u refused: rc %d '%s'", n, rc, error.message);
            tolerated += fired && rc == VALET_OK;
            EXPECT(rc == error.code, "rc %d, error %d", rc, error.code);
            valet_engine_destroy(engine);
            valet_model_free(model);
            EXPECT(mem_live_blocks() == 0, "allocation %u refused: %d blocks left behind", n,
                   (int)mem_live_blocks());
            if (!fired)
                break;
        }
        printf("%s: %u allocations, each refused once, %d of them tolerated\n", isas[k], n - 1,
               tolerated);
        ck_assert_uint_gt(n, 50);
        ck_assert_int_lt(tolerated, (int)n / 2);
        remove_shape();
    }
}
END_TEST
#endif

int main(void)
{
    TCase *t = tcase_create("fault");
    tcase_add_test(t, a_model_says_what_it_is);
    tcase_add_test(t, what_cannot_be_loaded_is_refused);
    tcase_add_test(t, a_file_that_was_cut_is_refused);
    tcase_add_test(t, options_out_of_range_are_refused);
    tcase_add_test(t, the_context_is_what_model_options_and_blocks_allow);
#if VALET_CHECKS
    tcase_add_test(t, refused_allocations_leave_nothing_behind);
#endif
    return suite_run("create", t);
}
