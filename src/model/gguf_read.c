/*
 * Looking things up in a GGUF file that gguf.c has checked: all sizes and kinds are known to
 * be right, so nothing here compares with the end of the file.
 */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/random.h"
#include "model/gguf_int.h"

_Static_assert(offsetof(struct gguf_kv, key) == 0, "the index points at names and entries");
_Static_assert(offsetof(struct gguf_tensor, name) == 0, "the index points at names and entries");

const char *gguf_kind_name(enum gguf_kind kind)
{
    static const char *const names[GGUF_KIND_COUNT] = {
        "u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
        "bool", "string", "array", "u64", "i64", "f64",
    };
    return names[kind];
}

size_t gguf_kind_bytes(enum gguf_kind kind)
{
    static const uint8_t bytes[GGUF_KIND_COUNT] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return bytes[kind];
}

const char *gguf_shown(struct gguf_str s, char out[static GGUF_SHOWN_BYTES])
{
    static const char dots[] = "...";
    size_t len_max = GGUF_SHOWN_BYTES - sizeof dots;
    size_t len = s.len < len_max ? s.len : len_max;
    for (size_t i = 0; i < len; i++)
        out[i] = s.data[i] >= 0x20 && s.data[i] < 0x7f ? s.data[i] : '?';
    if (len < s.len)
        memcpy(out + len, dots, sizeof dots);
    else
        out[len] = '\0';
    return out;
}

static uint64_t name_hash(uint64_t seed, struct gguf_str s)
{
    uint64_t h = seed ^ s.len;
    for (size_t i = 0; i < s.len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, s.data + i, s.len - i < 8 ? s.len - i : 8);
        h = random_mix(h ^ word);
    }
    return h;
}

/* The slot that holds `name`, or the free one where it belongs. */
static size_t name_slot(const struct gguf_index *index, struct gguf_str name)
{
    size_t i = (size_t)name_hash(index->seed, name) & index->mask;
    for (;;) {
        const struct gguf_str *there = index->slots[i];
        if (!there || (there->len == name.len && memcmp(there->data, name.data, name.len) == 0))
            return i;
        i = (i + 1) & index->mask;
    }
}

enum base_err gguf_index_init(struct gguf_index *index, size_t count)
{
    size_t slot_count = 2;
    while (slot_count < 2 * count)
        slot_count *= 2;
    index->slots = mem_calloc(MEM_MODEL, slot_count, sizeof *index->slots);
    if (!index->slots)
        return E_NOMEM;
    index->mask = slot_count - 1;
    index->seed = random_u64(&base_random_system);
    return OK;
}

void gguf_index_fini(struct gguf_index *index)
{
    mem_free(index->slots);
    index->slots = NULL;
}

bool gguf_index_add(struct gguf_index *index, const struct gguf_str *name)
{
    size_t i = name_slot(index, *name);
    if (index->slots[i])
        return false;
    index->slots[i] = name;
    return true;
}

const struct gguf_str *gguf_index_find(const struct gguf_index *index, struct gguf_str name)
{
    return index->slots[name_slot(index, name)];
}

uint32_t gguf_version(const struct gguf *g)
{
    return g->version;
}

uint64_t gguf_file_bytes(const struct gguf *g)
{
    uint64_t bytes = g->size;
    for (size_t i = 0; i < g->other_count; i++)
        bytes += g->others[i]->size;
    return bytes;
}

size_t gguf_kv_count(const struct gguf *g)
{
    return g->kv_count;
}

const struct gguf_kv *gguf_kv_at(const struct gguf *g, size_t index)
{
    ASSERT(index < g->kv_count);
    return &g->kvs[index];
}

const struct gguf_kv *gguf_kv_find(const struct gguf *g, const char *key)
{
    const void *kv = gguf_index_find(&g->kv_index, (struct gguf_str){ key, strlen(key) });
    return kv;
}

size_t gguf_tensor_count(const struct gguf *g)
{
    return g->tensor_count;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t index)
{
    ASSERT(index < g->tensor_count);
    return &g->tensors[index];
}

const struct gguf_tensor *gguf_tensor_find(const struct gguf *g, const char *name)
{
    const void *tensor = gguf_index_find(&g->tensor_index, (struct gguf_str){ name, strlen(name) });
    return tensor;
}

/* A number of any kind, widened: an integer below zero in i, one from zero on in u, else f. */
struct number {
    enum {
        NUMBER_NONE,
        NUMBER_NEGATIVE,
        NUMBER_NATURAL,
        NUMBER_FLOAT
    } form;
    int64_t i;
    uint64_t u;
    double f;
};

static struct number number_signed(int64_t v)
{
    if (v < 0)
        return (struct number){ .form = NUMBER_NEGATIVE, .i = v };
    return (struct number){ .form = NUMBER_NATURAL, .u = (uint64_t)v };
}

static struct number number_natural(uint64_t v)
{
    return (struct number){ .form = NUMBER_NATURAL, .u = v };
}

static struct number number_float(double v)
{
    return (struct number){ .form = NUMBER_FLOAT, .f = v };
}

/* The unaligned value of `kind` at p. Bools are 0 and 1; strings and arrays are no numbers. */
static struct number number_read(enum gguf_kind kind, const uint8_t *p)
{
    union {
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        float f32;
        uint64_t u64;
        int64_t i64;
        double f64;
    } v;
    memcpy(&v, p, gguf_kind_bytes(kind));
    switch (kind) {
    case GGUF_U8:
    case GGUF_BOOL:
        return number_natural(*p);
    case GGUF_I8:
        return number_signed(v.i8);
    case GGUF_U16:
        return number_natural(v.u16);
    case GGUF_I16:
        return number_signed(v.i16);
    case GGUF_U32:
        return number_natural(v.u32);
    case GGUF_I32:
        return number_signed(v.i32);
    case GGUF_F32:
        return number_float((double)v.f32);
    case GGUF_U64:
        return number_natural(v.u64);
    case GGUF_I64:
        return number_signed(v.i64);
    case GGUF_F64:
        return number_float(v.f64);
    case GGUF_STRING:
    case GGUF_ARRAY:
        break;
    }
    return (struct number){ .form = NUMBER_NONE };
}

static enum base_err missing(const char *key, struct base_err_info *info)
{
    char shown[GGUF_SHOWN_BYTES];
    return base_err_set(info, E_NOT_FOUND, "key '%s' is missing",
                        gguf_shown((struct gguf_str){ key, strlen(key) }, shown));
}

static enum base_err wrong_kind(const struct gguf_kv *kv, const char *wanted,
                                struct base_err_info *info)
{
    char shown[GGUF_SHOWN_BYTES];
    return base_err_set_at(info, E_CORRUPT, kv->byte, "key '%s': its kind is %s, expected %s",
                           gguf_shown(kv->key, shown), gguf_kind_name(kv->kind), wanted);
}

enum base_err gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out,
                           struct base_err_info *info)
{
    const struct gguf_kv *kv = gguf_kv_find(g, key);
    if (!kv)
        return missing(key, info);
    struct number n = number_read(kv->kind, kv->value);
    char shown[GGUF_SHOWN_BYTES];
    if (n.form == NUMBER_NEGATIVE)
        return base_err_set_at(info, E_CORRUPT, kv->byte,
                               "key '%s': its value is %" PRId64 ", expected 0 or more",
                               gguf_shown(kv->key, shown), n.i);
    if (n.form != NUMBER_NATURAL || kv->kind == GGUF_BOOL)
        return wrong_kind(kv, "an integer", info);
    *out = n.u;
    return OK;
}

enum base_err gguf_get_f32(const struct gguf *g, const char *key, float *out,
                           struct base_err_info *info)
{
    const struct gguf_kv *kv = gguf_kv_find(g, key);
    if (!kv)
        return missing(key, info);
    if (kv->kind == GGUF_BOOL || kv->kind == GGUF_STRING || kv->kind == GGUF_ARRAY)
        return wrong_kind(kv, "a number", info);
    double v = gguf_array_f64(kv, 0);
    char shown[GGUF_SHOWN_BYTES];
    if (!(fabs(v) <= (double)FLT_MAX)) /* a NaN too */
        return base_err_set_at(info, E_CORRUPT, kv->byte,
                               "key '%s': its value is %g, expected a finite f32",
                               gguf_shown(kv->key, shown), v);
    *out = (float)v;
    return OK;
}

enum base_err gguf_get_bool(const struct gguf *g, const char *key, bool *out,
                            struct base_err_info *info)
{
    const struct gguf_kv *kv = gguf_kv_find(g, key);
    if (!kv)
        return missing(key, info);
    if (kv->kind != GGUF_BOOL)
        return wrong_kind(kv, "a bool", info);
    *out = *kv->value != 0;
    return OK;
}

enum base_err gguf_get_str(const struct gguf *g, const char *key, struct gguf_str *out,
                           struct base_err_info *info)
{
    const struct gguf_kv *kv = gguf_kv_find(g, key);
    if (!kv)
        return missing(key, info);
    if (kv->kind != GGUF_STRING)
        return wrong_kind(kv, "a string", info);
    const uint8_t *cursor = kv->value;
    *out = gguf_array_next_str(&cursor);
    return OK;
}

struct gguf_str gguf_array_next_str(const uint8_t **cursor)
{
    size_t len = (size_t)gguf_read_u64(*cursor);
    struct gguf_str s = { (const char *)*cursor + sizeof(uint64_t), len };
    *cursor += sizeof(uint64_t) + len;
    return s;
}

static struct number number_at(const struct gguf_kv *kv, uint64_t index)
{
    ASSERT(index < kv->count);
    return number_read(kv->element_kind, kv->value + index * gguf_kind_bytes(kv->element_kind));
}

int64_t gguf_array_i64(const struct gguf_kv *kv, uint64_t index)
{
    struct number n = number_at(kv, index);
    ASSERT(n.form == NUMBER_NEGATIVE || n.form == NUMBER_NATURAL);
    if (n.form == NUMBER_NEGATIVE)
        return n.i;
    return n.u < INT64_MAX ? (int64_t)n.u : INT64_MAX;
}

double gguf_array_f64(const struct gguf_kv *kv, uint64_t index)
{
    struct number n = number_at(kv, index);
    ASSERT(n.form != NUMBER_NONE);
    if (n.form == NUMBER_FLOAT)
        return n.f;
    return n.form == NUMBER_NEGATIVE ? (double)n.i : (double)n.u;
}
