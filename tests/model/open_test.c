/*
 * Opening models: what a file may say in more than one way gives the same answers, and what is
 * wrong or not built gives one clear line. The files are those of tests/golden/arch_*.txt,
 * changed in one place.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "model/arch_run.h"

enum {
    CUTS = 200
};

static float g_logits[2][ARCH_IDS_MAX * 64];

static void answers(const struct arch_case *c, float *logits)
{
    struct arch_run r;
    struct base_err_info info = { 0 };
    ck_assert_msg(arch_run_open(&r, c, "ref", &info) == OK, "%s", info.message);
    arch_run_logits(&r, c, c->count, logits);
    arch_run_close(&r);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

static bool same_answers(const struct arch_case *a, const struct arch_case *b)
{
    answers(a, g_logits[0]);
    answers(b, g_logits[1]);
    return memcmp(g_logits[0], g_logits[1], (size_t)a->count * (size_t)a->vocab * sizeof(float)) ==
           0;
}

/* The error is `want`, and its message has both fragments. */
static void refuses(const struct arch_case *c, enum base_err want, const char *fragment,
                    const char *other)
{
    struct arch_run r;
    struct base_err_info info = { 0 };
    ck_assert_msg(arch_run_open(&r, c, "ref", &info) == want, "%s: %d, expected %d: %s", fragment,
                  info.code, want, info.message);
    ck_assert_int_eq(info.code, want);
    ck_assert_msg(strstr(info.message, fragment) && strstr(info.message, other), "%s: %s", fragment,
                  info.message);
    ck_assert_ptr_null(strchr(info.message, '\n'));
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* ---- the same in other words ---- */

struct change {
    const char *arch;
    const char *name;
    const char *key;
    const char *kind; /* NULL: the key is left out */
    const char *value;
};

/* Kinds that end in s are arrays, with the value for each layer. */
static void apply(struct arch_case *c, const struct change *change)
{
    struct arch_key *key = arch_case_key(c, change->key);
    key->count = 0;
    if (!change->kind)
        return;
    char layers[96];
    snprintf(layers, sizeof layers, "%s.block_count", change->arch);
    int count = 1;
    if (change->kind[strlen(change->kind) - 1] == 's')
        count = (int)strtol(arch_case_key(c, layers)->values[0], NULL, 10);
    snprintf(key->kind, sizeof key->kind, "%s", change->kind);
    for (int i = 0; i < count; i++)
        snprintf(key->values[i], sizeof key->values[i], "%s", change->value);
    key->count = count;
}

static const struct change g_same[] = {
    { "llama", "plain", "llama.feed_forward_length", "i32s", "56" },
    { "llama", "plain", "llama.attention.head_count", "i32s", "4" },
    { "llama", "plain", "llama.attention.head_count_kv", "i32s", "1" },
    { "llama", "plain", "llama.attention.head_count_kv", "i32", "1" },
    { "llama", "plain", "llama.rope.freq_base", "f32s", "10000" },
    { "llama", "plain", "llama.rope.freq_base", NULL, NULL },
    { "llama", "plain", "llama.rope.dimension_count", NULL, NULL },
    { "llama", "plain", "llama.attention.value_length", NULL, NULL },
    { "llama", "plain", "llama.attention.sliding_window", "u32", "256" },
    { "llama", "plain", "llama.attention.sliding_window", "u32", "0" },
    { "llama", "plain", "llama.rope.scaling.type", "str", "none" },
    { "llama", "plain", "llama.final_logit_softcapping", "f32", "0" },
    { "llama", "plain", "llama.logit_scale", "f32", "1" },
    { "llama", "plain", "llama.expert_count", "u32", "0" },
    { "llama", "plain", "llama.attention.causal", "bool", "1" },
    { "llama", "plain", "llama.attention.scale", "f32", "0.22360679774997896" },
    { "llama", "linear", "llama.rope.scaling.type", NULL, NULL },
    { "llama", "yarn", "llama.rope.scaling.yarn_beta_fast", "f32", "32" },
    { "llama", "yarn", "llama.rope.scaling.yarn_beta_slow", "f32", "1" },
    { "llama", "yarn", "llama.rope.scaling.yarn_log_multiplier", "f32", "0" },
    { "llama", "yarn", "llama.rope.scaling.yarn_ext_factor", "f32", "1" },
    { "llama", "yarn", "llama.rope.scaling.yarn_attn_factor", "f32", "1.1386294361119891" },
    { "llama", "yarn", "llama.rope.scaling.attn_factor", "f32", "1" },
    { "gemma3", "pattern_of_six", "gemma3.attention.sliding_window_pattern", "u32", "6" },
    { "gemma3", "pattern_of_six", "gemma3.rope.freq_base_swa", "f32", "10000" },
    { "gemma3", "pattern_of_six", "gemma3.rope.scaling.type", NULL, NULL },
    { "gemma3", "no_window", "gemma3.attention.sliding_window", "u32", "0" },
    { "gemma3", "layers_of_27b", "gemma3.attention.scale", "f32", "0.28867513459481287" },
};

START_TEST(another_way_to_say_it_gives_the_same)
{
    struct arch_case a;
    struct arch_case b;
    arch_case_load(g_same[_i].arch, g_same[_i].name, &a);
    arch_case_load(g_same[_i].arch, g_same[_i].name, &b);
    apply(&b, &g_same[_i]);
    ck_assert_msg(same_answers(&a, &b), "%s", g_same[_i].key);
    arch_case_fini(&a);
    arch_case_fini(&b);
}
END_TEST

START_TEST(an_old_name_of_the_factor_is_read)
{
    struct arch_case a;
    struct arch_case b;
    arch_case_load("llama", "linear", &a);
    arch_case_load("llama", "linear", &b);
    arch_case_key(&b, "llama.rope.scaling.factor")->count = 0;
    ck_assert(!same_answers(&a, &b));
    arch_case_set(&b, "llama.rope.scale_linear", "f32", "4");
    ck_assert(same_answers(&a, &b));
    arch_case_set(&b, "llama.rope.scaling.type", "str", "none");
    ck_assert(!same_answers(&a, &b));
    arch_case_fini(&a);
    arch_case_fini(&b);
}
END_TEST

static const struct change g_other[] = {
    { "llama", "plain", "llama.rope.freq_base", "f32", "10100" },
    { "llama", "plain", "llama.attention.scale", "f32", "0.23" },
    { "llama", "plain", "llama.attention.layer_norm_rms_epsilon", "f32", "0.001" },
    { "llama", "plain", "llama.rope.dimension_count", "u32", "18" },
    { "llama", "linear", "llama.rope.scaling.attn_factor", "f32", "1.05" },
    { "llama", "yarn", "llama.rope.scaling.factor", "f32", "4.1" },
    { "llama", "yarn", "llama.rope.scaling.original_context_length", "u32", "128" },
    { "llama", "yarn", "llama.rope.scaling.yarn_beta_fast", "f32", "1.5" },
    { "llama", "yarn", "llama.rope.scaling.yarn_beta_slow", "f32", "0.2" },
    { "llama", "yarn", "llama.rope.scaling.yarn_log_multiplier", "f32", "0.5" },
    { "llama", "yarn", "llama.rope.scaling.yarn_attn_factor", "f32", "1.1" },
    { "gemma3", "pattern_of_six", "gemma3.attention.sliding_window", "u32", "10" },
    { "gemma3", "pattern_of_six", "gemma3.attention.sliding_window_pattern", "u32", "1" },
    { "gemma3", "pattern_of_six", "gemma3.rope.freq_base_swa", "f32", "10100" },
};

START_TEST(another_value_gives_other_answers)
{
    struct arch_case a;
    struct arch_case b;
    arch_case_load(g_other[_i].arch, g_other[_i].name, &a);
    arch_case_load(g_other[_i].arch, g_other[_i].name, &b);
    apply(&b, &g_other[_i]);
    ck_assert_msg(!same_answers(&a, &b), "%s", g_other[_i].key);
    arch_case_fini(&a);
    arch_case_fini(&b);
}
END_TEST

/* ---- wrong, or not built ---- */

struct wrong {
    struct change change;
    enum base_err want;
    const char *fragment; /* of the message */
};

/* The message names the key, too. */
static const struct wrong g_wrong[] = {
    { { "llama", "plain", "general.architecture", NULL, NULL }, E_CORRUPT, "lacks" },
    { { "llama", "plain", "llama.block_count", NULL, NULL }, E_CORRUPT, "lacks" },
    { { "llama", "plain", "llama.block_count", "i32s", "3" }, E_CORRUPT, "expected one" },
    { { "llama", "plain", "llama.block_count", "u32", "0" }, E_UNSUPPORTED, "is 0" },
    { { "llama", "plain", "llama.block_count", "u32", "1025" }, E_UNSUPPORTED, "1 to 1024" },
    { { "llama", "plain", "llama.embedding_length", NULL, NULL }, E_CORRUPT, "lacks" },
    { { "llama", "plain", "llama.feed_forward_length", "f32", "56" }, E_CORRUPT, "an integer" },
    { { "llama", "plain", "llama.feed_forward_length", "f32s", "56" }, E_CORRUPT, "wrong kind" },
    { { "llama", "plain", "llama.feed_forward_length", "i32s", "-1" }, E_UNSUPPORTED, "expected" },
    { { "llama", "plain", "llama.attention.head_count", "i32", "-4" }, E_CORRUPT, "-4" },
    { { "llama", "plain", "llama.attention.key_length", "u32", "257" }, E_UNSUPPORTED, "257" },
    { { "llama", "plain", "llama.rope.dimension_count", "u32", "22" }, E_UNSUPPORTED, "22" },
    { { "llama", "plain", "llama.rope.freq_base", "f32", "0" }, E_UNSUPPORTED, "is 0" },
    { { "llama", "plain", "llama.rope.freq_base", "str", "x" }, E_CORRUPT, "a number" },
    { { "llama", "plain", "llama.attention.layer_norm_rms_epsilon", NULL, NULL },
      E_CORRUPT,
      "lacks" },
    { { "llama", "plain", "llama.attention.sliding_window", "u32", "64" }, E_UNSUPPORTED, "64" },
    { { "llama", "plain", "llama.rope.scaling.type", "str", "longrope" },
      E_UNSUPPORTED,
      "longrope" },
    { { "llama", "plain", "llama.rope.scaling.type", "u32", "1" }, E_CORRUPT, "a string" },
    { { "llama", "linear", "llama.rope.scaling.factor", "f32", "0.5" }, E_UNSUPPORTED, "0.5" },
    { { "llama", "linear", "llama.rope.scaling.factor", "f32", "nan" }, E_CORRUPT, "finite" },
    { { "llama", "yarn", "llama.rope.scaling.original_context_length", "u32", "0" },
      E_UNSUPPORTED,
      "is 0" },
    { { "llama", "yarn", "llama.rope.scaling.yarn_ext_factor", "f32", "0.5" },
      E_UNSUPPORTED,
      "0.5" },
    { { "llama", "yarn", "llama.rope.scaling.yarn_attn_factor", "f32", "0" },
      E_UNSUPPORTED,
      "is 0" },
    { { "llama", "plain", "llama.attn_logit_softcapping", "f32", "50" }, E_UNSUPPORTED, "50" },
    { { "llama", "plain", "llama.expert_count", "u32", "8" }, E_UNSUPPORTED, "8" },
    { { "llama", "plain", "llama.logit_scale", "f32", "0.5" }, E_UNSUPPORTED, "0.5" },
    { { "llama", "plain", "llama.attention.causal", "bool", "0" }, E_UNSUPPORTED, "false" },
    { { "gemma3", "no_window", "gemma3.final_logit_softcapping", "f32", "30" },
      E_UNSUPPORTED,
      "30" },
    { { "gemma3", "pattern_of_six", "gemma3.attention.sliding_window_pattern", "u32", "0" },
      E_UNSUPPORTED,
      "is 0" },
    { { "gemma3", "pattern_of_six", "gemma3.attention.sliding_window_pattern", "i32s", "1" },
      E_CORRUPT,
      "7 bools" },
};

START_TEST(a_wrong_key_is_named)
{
    struct arch_case c;
    arch_case_load(g_wrong[_i].change.arch, g_wrong[_i].change.name, &c);
    apply(&c, &g_wrong[_i].change);
    refuses(&c, g_wrong[_i].want, g_wrong[_i].fragment, g_wrong[_i].change.key);
    arch_case_fini(&c);
}
END_TEST

static const struct wrong g_misfits[] = {
    { { "llama", "plain", "general.architecture", "str", "lama" },
      E_UNSUPPORTED,
      "supported: gemma3, llama, qwen2, qwen3" },
    { { "llama", "plain", "llama.attention.head_count_kv", "u32", "3" }, E_CORRUPT, "share" },
    { { "llama", "plain", "llama.attention.value_length", "u32", "10" }, E_UNSUPPORTED, "values" },
    { { "llama", "plain", "llama.rope.dimension_count", "u32", "19" }, E_UNSUPPORTED, "19" },
};

START_TEST(what_does_not_fit_is_refused)
{
    struct arch_case c;
    arch_case_load(g_misfits[_i].change.arch, g_misfits[_i].change.name, &c);
    apply(&c, &g_misfits[_i].change);
    refuses(&c, g_misfits[_i].want, g_misfits[_i].fragment, "");
    arch_case_fini(&c);
}
END_TEST

START_TEST(layers_that_differ_are_refused)
{
    struct arch_case c;
    arch_case_load("llama", "plain", &c);
    struct arch_key *key = arch_case_key(&c, "llama.feed_forward_length");
    *key = (struct arch_key){ .kind = "i32s",
                              .name = "llama.feed_forward_length",
                              .count = 3,
                              .values = { "56", "56", "48" } };
    refuses(&c, E_UNSUPPORTED, "llama.feed_forward_length", "differs from layer to layer");
    key->count = 2;
    refuses(&c, E_CORRUPT, "llama.feed_forward_length", "2 values");
    arch_case_fini(&c);
}
END_TEST

START_TEST(a_pattern_has_one_bool_for_each_layer)
{
    struct arch_case c;
    arch_case_load("gemma3", "pattern_listed", &c);
    arch_case_key(&c, "gemma3.attention.sliding_window_pattern")->count = 3;
    refuses(&c, E_CORRUPT, "gemma3.attention.sliding_window_pattern", "4 bools");
    arch_case_fini(&c);
}
END_TEST

/* ---- tensors ---- */

static const struct {
    const char *arch;
    const char *name;
} g_models[] = {
    { "llama", "plain" }, { "llama", "factors" },    { "qwen2", "plain" },
    { "qwen3", "plain" }, { "gemma3", "no_window" }, { "gemma3", "pattern_listed" },
};

/* What a file may lack: the model is another one then. */
static bool is_optional(const char *arch, const char *name)
{
    return strcmp(name, "rope_freqs.weight") == 0 || strcmp(name, "output.weight") == 0 ||
           (strcmp(arch, "qwen2") != 0 && strstr(name, ".bias"));
}

START_TEST(a_missing_tensor_is_named)
{
    struct arch_case c;
    arch_case_load(g_models[_i].arch, g_models[_i].name, &c);
    for (int i = 0; i < c.tensor_count; i++) {
        char name[sizeof c.tensors[i].name];
        memcpy(name, c.tensors[i].name, sizeof name);
        if (is_optional(g_models[_i].arch, name))
            continue;
        c.tensors[i].name[0] = '\0';
        refuses(&c, E_CORRUPT, name, "lacks the tensor");
        memcpy(c.tensors[i].name, name, sizeof name);
    }
    arch_case_fini(&c);
}
END_TEST

START_TEST(a_tensor_of_another_shape_is_named)
{
    struct arch_case c;
    arch_case_load(g_models[_i].arch, g_models[_i].name, &c);
    for (int i = 0; i < c.tensor_count; i++) {
        for (uint32_t d = 0; d < c.tensors[i].dim_count; d++) {
            if (strcmp(c.tensors[i].name, "token_embd.weight") == 0 && d == 1)
                continue; /* says how large the vocabulary is */
            c.tensors[i].dims[d]++;
            refuses(&c, E_CORRUPT, c.tensors[i].name, "expected");
            c.tensors[i].dims[d]--;
        }
    }
    arch_case_fini(&c);
}
END_TEST

START_TEST(a_tensor_that_nobody_asks_for_is_refused)
{
    static const struct {
        const char *arch;
        const char *name;
        const char *tensor;
    } extras[] = {
        { "llama", "plain", "blk.1.attn_sinks.weight" },
        { "llama", "plain", "blk.0.attn_q_norm.weight" },
        { "llama", "plain", "blk.2.ffn_up.bias" },
        { "llama", "plain", "blk.3.attn_norm.weight" },
        { "qwen2", "plain", "blk.0.attn_k_norm.weight" },
        { "qwen3", "plain", "blk.0.post_attention_norm.weight" },
        { "gemma3", "no_window", "rope_freqs.weight" },
    };
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++) {
        struct arch_case c;
        arch_case_load(extras[i].arch, extras[i].name, &c);
        arch_case_tensor(&c, extras[i].tensor);
        refuses(&c, E_UNSUPPORTED, extras[i].tensor, "not supported");
        arch_case_fini(&c);
    }
}
END_TEST

START_TEST(a_factor_of_rotation_is_above_zero)
{
    static const float factors[] = { 0, -1, 1e30f * 1e30f };
    for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
        struct arch_case c;
        arch_case_load("llama", "factors", &c);
        arch_case_tensor(&c, "rope_freqs.weight")->values[3] = factors[i];
        refuses(&c, E_CORRUPT, "rope_freqs.weight", "element 3");
        arch_case_fini(&c);
    }
}
END_TEST

/* ---- whole files ---- */

START_TEST(a_cut_file_is_an_error)
{
    struct arch_case c;
    arch_case_load(g_models[_i].arch, g_models[_i].name, &c);
    size_t size;
    uint8_t *file = arch_case_build(&c, &size);
    char path[] = "/tmp/valet-cut-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    for (size_t i = 0; i < CUTS; i++) {
        /* the first half of them in the header, the others everywhere */
        size_t cut = i < CUTS / 2 ? i * 40 : size * (i - CUTS / 2) / (CUTS / 2);
        cut = i == CUTS - 1 ? size - 1 : cut;
        arch_write(path, file, cut);
        struct arch_run r;
        struct base_err_info info = { 0 };
        ck_assert_msg(arch_run_open_path(&r, path, "ref", &info) == E_CORRUPT, "cut at %zu", cut);
        ck_assert_int_eq(info.code, E_CORRUPT);
        ck_assert_msg(strstr(info.message, "ends early") || strstr(info.message, "empty"),
                      "cut at %zu: %s", cut, info.message);
        ck_assert(info.byte >= 0 && (size_t)info.byte <= cut);
        ck_assert_uint_eq(mem_live_blocks(), 0);
    }
    unlink(path);
    free(file);
    arch_case_fini(&c);
}
END_TEST

/* Keys, names, dimensions, offsets: wherever a byte changes, it is a model or it is not. */
START_TEST(a_changed_byte_is_a_model_or_an_error)
{
    struct arch_case c;
    arch_case_load(g_models[_i].arch, g_models[_i].name, &c);
    size_t size;
    uint8_t *file = arch_case_build(&c, &size);
    char path[] = "/tmp/valet-byte-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    const struct tensor_isa *isa;
    struct team *team;
    ck_assert_int_eq(tensor_isa_find("ref", &isa, NULL), OK);
    ck_assert_int_eq(team_create(1, &team), OK);
    ck_assert_int_eq(write(fd, file, size), size);
    uint64_t blocks = mem_live_blocks();
    static const uint8_t flips[] = { 0x01, 0x80, 0xff };
    for (size_t at = 0; at < size && at < 4096; at++) {
        uint8_t changed = file[at] ^ flips[at % 3];
        ck_assert_int_eq(pwrite(fd, &changed, 1, (off_t)at), 1);
        struct model *m;
        struct base_err_info info = { 0 };
        enum base_err rc = model_open(path, isa, team, &m, &info);
        ck_assert(rc == OK || (rc == info.code && info.message[0]));
        model_close(m);
        ck_assert_uint_eq(mem_live_blocks(), blocks);
        ck_assert_int_eq(pwrite(fd, &file[at], 1, (off_t)at), 1);
    }
    team_destroy(team);
    close(fd);
    unlink(path);
    free(file);
    arch_case_fini(&c);
}
END_TEST

#if VALET_CHECKS
START_TEST(a_refused_allocation_leaves_nothing)
{
    static const char *const isas[] = { "ref", "avx512vnni", "amx" };
    struct arch_case c;
    arch_case_load(g_models[_i / 3].arch, g_models[_i / 3].name, &c);
    size_t size;
    void *file = arch_case_build(&c, &size);
    char path[] = "/tmp/valet-fault-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    arch_write(path, file, size);
    free(file);
    arch_case_fini(&c);
    const struct tensor_isa *isa;
    struct team *team;
    if (tensor_isa_find(isas[_i % 3], &isa, NULL) == OK) {
        ck_assert_int_eq(team_create(1, &team), OK);
        uint64_t blocks = mem_live_blocks();
        for (unsigned n = 1;; n++) {
            struct model *m;
            struct base_err_info info = { 0 };
            fault_arm(FAULT_ALLOC, n);
            enum base_err rc = model_open(path, isa, team, &m, &info);
            bool fired = fault_disarm();
            model_close(m);
            ck_assert_uint_eq(mem_live_blocks(), blocks);
            if (!fired) {
                ck_assert_int_eq(rc, OK);
                break;
            }
            ck_assert_int_eq(rc, E_NOMEM);
            ck_assert_ptr_null(m);
            ck_assert_int_eq(info.code, E_NOMEM);
        }
        team_destroy(team);
    }
    unlink(path);
}
END_TEST
#endif

static TCase *tcase(Suite *suite, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 60);
    suite_add_tcase(suite, t);
    return t;
}

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

int main(void)
{
    Suite *s = suite_create("open");
    TCase *t = tcase(s, "same");
    tcase_add_loop_test(t, another_way_to_say_it_gives_the_same, 0, COUNT(g_same));
    tcase_add_test(t, an_old_name_of_the_factor_is_read);
    tcase_add_loop_test(t, another_value_gives_other_answers, 0, COUNT(g_other));
    t = tcase(s, "keys");
    tcase_add_loop_test(t, a_wrong_key_is_named, 0, COUNT(g_wrong));
    tcase_add_loop_test(t, what_does_not_fit_is_refused, 0, COUNT(g_misfits));
    tcase_add_test(t, layers_that_differ_are_refused);
    tcase_add_test(t, a_pattern_has_one_bool_for_each_layer);
    t = tcase(s, "tensors");
    tcase_add_loop_test(t, a_missing_tensor_is_named, 0, COUNT(g_models));
    tcase_add_loop_test(t, a_tensor_of_another_shape_is_named, 0, COUNT(g_models));
    tcase_add_test(t, a_tensor_that_nobody_asks_for_is_refused);
    tcase_add_test(t, a_factor_of_rotation_is_above_zero);
    t = tcase(s, "files");
    tcase_add_loop_test(t, a_cut_file_is_an_error, 0, COUNT(g_models));
    tcase_add_loop_test(t, a_changed_byte_is_a_model_or_an_error, 0, COUNT(g_models));
#if VALET_CHECKS
    tcase_add_loop_test(t, a_refused_allocation_leaves_nothing, 0, 3 * COUNT(g_models));
#endif
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
