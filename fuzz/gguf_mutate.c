/*
 * Changes GGUF files so that most of what comes out still is one: takes a file apart, edits one
 * key or tensor, and writes it again. What is no file, and now and then one that is, is changed
 * byte by byte.
 */
#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/random.h"
#include "gguf_file.h"
#include "gguf_parts.h"
#include "model/gguf_int.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

enum {
    INPUT_BYTES_MAX = 1 << 20
};

static uint64_t g_state;

static uint64_t below(uint64_t n)
{
    g_state += 0x9e3779b97f4a7c15u;
    return random_mix(g_state) % n;
}

static const char *const g_names[] = {
    "general.alignment",
    "general.architecture",
    "general.name",
    "split.no",
    "split.count",
    "split.tensors.count",
    "tokenizer.chat_template",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.bos_token_id",
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.add_bos_token",
    "tokenizer.ggml.add_eos_token",
    "tokenizer.ggml.add_space_prefix",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.scale",
    "attention.causal",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attn_logit_softcapping",
    "expert_count",
    "logit_scale",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_log_multiplier",
};

static const char *const g_archs[] = { "llama", "qwen2", "qwen3", "gemma3" };

static const char *const g_tensors[] = {
    "token_embd",        "output",
    "output_norm",       "rope_freqs",
    "blk.0.attn_q",      "blk.0.attn_k",
    "blk.0.attn_v",      "blk.0.attn_output",
    "blk.0.ffn_up",      "blk.0.ffn_down",
    "blk.0.ffn_gate",    "blk.0.attn_norm",
    "blk.0.ffn_norm",    "blk.0.attn_q_norm",
    "blk.0.attn_k_norm", "blk.0.post_attention_norm",
    "blk.1.attn_q",      "blk.0.post_ffw_norm",
};

static const uint64_t g_wholes[] = {
    0,        1,         2,          3,          4,          7,         8,          12,
    16,       31,        32,         33,         64,         100,       128,        255,
    256,      257,       511,        512,        1024,       65535,     65536,      1u << 20,
    1u << 24, INT32_MAX, 1ull << 31, UINT32_MAX, 1ull << 32, INT64_MAX, 1ull << 63, UINT64_MAX,
};

static const double g_reals[] = { 0,     -0.0, 1,           -1,
                                  0.5,   1e-6, 1e-30,       1e30,
                                  2e38,  4e38, 10000,       1e12,
                                  1e300, 256,  (double)NAN, (double)INFINITY };

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static struct bytes scratch_text(struct file *f, const char *a, const char *b)
{
    int n = snprintf((char *)f->scratch, SCRATCH_BYTES, "%s%s", a, b);
    ASSERT(n > 0 && n < SCRATCH_BYTES);
    return (struct bytes){ f->scratch, (size_t)n };
}

static struct bytes key_name(struct file *f)
{
    const char *name = g_names[below(COUNT(g_names))];
    bool full = strncmp(name, "general", 7) == 0 || strncmp(name, "tokenizer", 9) == 0 ||
                strncmp(name, "split", 5) == 0;
    char arch[32] = "";
    for (size_t i = 0; i < f->key_count && !full; i++) {
        const struct key *k = &f->keys[i];
        if (k->name.len == 20 && memcmp(k->name.data, "general.architecture", 20) == 0 &&
            k->kind == GGUF_STRING && k->value.len < 8 + 16)
            snprintf(arch, sizeof arch, "%.*s.", (int)k->value.len - 8,
                     (const char *)k->value.data + 8);
    }
    return scratch_text(f, arch, name);
}

/* One value of a number's kind at `out`; now and then the length of a list of the file. */
static void make_number(const struct file *f, uint32_t kind, uint8_t *out)
{
    uint64_t whole =
        below(4) ? g_wholes[below(COUNT(g_wholes))] : f->keys[below(f->key_count)].count;
    double real = g_reals[below(COUNT(g_reals))];
    float single = (float)real;
    if (kind == GGUF_F32)
        memcpy(out, &single, sizeof single);
    else if (kind == GGUF_F64)
        memcpy(out, &real, sizeof real);
    else if (kind == GGUF_BOOL)
        *out = (uint8_t)below(2);
    else
        memcpy(out, &whole, gguf_kind_bytes(kind));
}

/* A number a little larger or smaller. */
static void nudge(uint32_t kind, uint8_t *out)
{
    uint64_t whole = 0;
    memcpy(&whole, out, gguf_kind_bytes(kind));
    whole += below(2) ? 1 + below(4) : -(1 + below(4));
    memcpy(out, &whole, gguf_kind_bytes(kind));
}

static void set_number(struct file *f, struct key *k)
{
    static const uint8_t kinds[] = { GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
                                     GGUF_U64, GGUF_I64, GGUF_U8,  GGUF_F64 };
    bool same = k->kind != GGUF_STRING && k->kind != GGUF_ARRAY && below(4);
    uint32_t kind = same ? k->kind : kinds[below(COUNT(kinds))];
    size_t bytes = gguf_kind_bytes(kind);
    if (same)
        memcpy(f->scratch, k->value.data, bytes);
    if (same && below(3) == 0)
        nudge(kind, f->scratch);
    else
        make_number(f, kind, f->scratch);
    *k = (struct key){ k->name, kind, kind, 1, { f->scratch, bytes } };
}

/* A changed copy of a text, with its length before it. */
static size_t mutate_text(struct file *f, const uint8_t *text)
{
    uint64_t len = gguf_read_u64(text);
    size_t max = SCRATCH_BYTES - sizeof len;
    if (len > max)
        len = max;
    memcpy(f->scratch + sizeof len, text + sizeof len, len);
    len = LLVMFuzzerMutate(f->scratch + sizeof len, (size_t)len, max);
    memcpy(f->scratch, &len, sizeof len);
    return sizeof len + (size_t)len;
}

/* Where element `index` of an array lies. */
static struct bytes element_at(const struct key *k, uint64_t index)
{
    const uint8_t *at = k->value.data;
    size_t bytes = gguf_kind_bytes(k->element_kind);
    if (k->element_kind != GGUF_STRING)
        return (struct bytes){ at + index * bytes, bytes };
    for (uint64_t i = 0; i < index; i++)
        (void)gguf_array_next_str(&at);
    const uint8_t *end = at;
    (void)gguf_array_next_str(&end);
    return (struct bytes){ at, (size_t)(end - at) };
}

/* The array with another element in place of one; with none or two of it if `times` says so. */
static void edit_element(struct file *f, struct key *k, struct base_buf *value)
{
    uint64_t index = below(k->count);
    struct bytes old = element_at(k, index);
    struct bytes new = { f->scratch, old.len };
    uint64_t times = below(8);
    if (k->element_kind == GGUF_STRING)
        new.len = mutate_text(f, old.data);
    else
        make_number(f, k->element_kind, f->scratch);
    const uint8_t *end = k->value.data + k->value.len;
    file_put(value, k->value.data, (size_t)(old.data - k->value.data));
    if (times != 0)
        file_put(value, new.data, new.len);
    if (times == 1)
        file_put(value, old.data, old.len);
    file_put(value, old.data + old.len, (size_t)(end - old.data) - old.len);
    k->count += (times == 1) - (uint64_t)(times == 0);
    k->value = (struct bytes){ (const uint8_t *)value->data, value->len };
}

static void edit_value(struct file *f, struct key *k, struct base_buf *value)
{
    if (k->kind == GGUF_ARRAY && k->count && below(16))
        edit_element(f, k, value);
    else if (k->kind == GGUF_STRING && below(16))
        k->value = (struct bytes){ f->scratch, mutate_text(f, k->value.data) };
    else
        set_number(f, k);
}

static void edit_key(struct file *f, struct base_buf *value)
{
    struct key *k = &f->keys[below(f->key_count)];
    struct key *other = &f->keys[below(f->key_count)];
    switch (below(10)) {
    case 0:
        *k = f->keys[--f->key_count];
        break;
    case 1:
        k->name = key_name(f);
        break;
    case 2:
        if (f->key_count < ENTRIES_MAX) {
            other = &f->keys[f->key_count++];
            *other = *k;
            other->name = key_name(f);
        }
        break;
    case 3: {
        struct bytes name = k->name;
        k->name = other->name;
        other->name = name;
        break;
    }
    default:
        edit_value(f, k, value);
    }
}

static void edit_tensor(struct file *f)
{
    struct tensor *t = &f->tensors[below(f->tensor_count)];
    struct tensor *other = &f->tensors[below(f->tensor_count)];
    switch (below(8)) {
    case 0:
        *t = f->tensors[--f->tensor_count];
        break;
    case 1:
        t->name =
            scratch_text(f, g_tensors[below(COUNT(g_tensors))], below(4) ? ".weight" : ".bias");
        break;
    case 2:
        if (f->tensor_count < ENTRIES_MAX) {
            f->tensors[f->tensor_count] = *t;
            f->tensors[f->tensor_count++].name =
                scratch_text(f, g_tensors[below(COUNT(g_tensors))], below(4) ? ".weight" : ".bias");
        }
        break;
    case 3:
        t->type = (uint32_t)below(42);
        break;
    case 4:
        t->dims[below(4)] = (int64_t)g_wholes[below(COUNT(g_wholes))];
        break;
    case 5:
        t->dim_count = (uint32_t)below(6);
        break;
    case 6: {
        struct bytes name = t->name;
        t->name = other->name;
        other->name = name;
        break;
    }
    default:
        t->shift = below(2) ? g_wholes[below(COUNT(g_wholes))] : (uint64_t)0 - 32 * below(8);
    }
}

/* The architecture under another name, in all keys. */
static void rename_arch(struct file *f)
{
    const char *arch = g_archs[below(COUNT(g_archs))];
    static uint8_t names[ENTRIES_MAX][96];
    for (size_t i = 0; i < f->key_count; i++) {
        struct key *k = &f->keys[i];
        const uint8_t *dot = memchr(k->name.data, '.', k->name.len);
        if (k->name.len == 20 && memcmp(k->name.data, "general.architecture", 20) == 0) {
            uint64_t len = strlen(arch);
            memcpy(f->scratch, &len, sizeof len);
            memcpy(f->scratch + sizeof len, arch, len);
            *k = (struct key){
                k->name, GGUF_STRING, GGUF_STRING, 1, { f->scratch, sizeof len + len }
            };
        } else if (dot && memcmp(k->name.data, "general", 7) != 0 &&
                   memcmp(k->name.data, "tokenizer", 9) != 0 && k->name.len < 80) {
            int rest = (int)(k->name.data + k->name.len - dot);
            int n = snprintf((char *)names[i], sizeof names[i], "%s%.*s", arch, rest,
                             (const char *)dot);
            k->name = (struct bytes){ names[i], (size_t)n };
        }
    }
}

/* Writes a changed copy of a part; false: it is no file. */
static bool edit_part(const struct part *part, struct base_buf *out)
{
    static struct file f;
    struct base_buf value;
    struct gguf *g;
    if (gguf_parse(part->data, part->size, &g, NULL))
        return false;
    bool small = gguf_kv_count(g) <= ENTRIES_MAX && gguf_tensor_count(g) <= ENTRIES_MAX;
    buf_init(&value, MEM_BASE, INPUT_BYTES_MAX);
    if (small) {
        file_read(g, &f);
        uint64_t what = below(16);
        if (what == 0)
            rename_arch(&f);
        else if (what < 5 && f.tensor_count)
            edit_tensor(&f);
        else if (f.key_count)
            edit_key(&f, &value);
        file_write(out, &f);
    }
    buf_fini(&value);
    gguf_close(g);
    return small;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    struct part parts[PARTS_MAX];
    struct base_buf out;
    g_state = seed;
    if (size > INPUT_BYTES_MAX || below(8) == 0)
        return LLVMFuzzerMutate(data, size, size_max);
    size_t count = parts_find(data, size, parts);
    size_t chosen = below(count);
    bool edited = false;
    buf_init(&out, MEM_BASE, size_max);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            file_pad(&out, PART_ALIGN);
        if (i == chosen && edit_part(&parts[i], &out))
            edited = true;
        else
            file_put(&out, parts[i].data, parts[i].size);
    }
    size_t len = out.len;
    if (edited && len)
        memcpy(data, out.data, len);
    buf_fini(&out);
    return edited && len ? len : LLVMFuzzerMutate(data, size, size_max);
}
