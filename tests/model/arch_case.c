#include "model/arch_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/blocks.h"
#include "model/gguf_build.h"
#include "tensor/types.h"

/* ---- numbers: as in tests/golden/arch_make.py, bit for bit ---- */

static const uint64_t g_gamma = 0x9e3779b97f4a7c15u;

static uint64_t mix(uint64_t z)
{
    z += g_gamma;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t tensor_seed(uint64_t seed, const char *name)
{
    for (; *name; name++)
        seed = mix(seed ^ (uint8_t)*name);
    return seed;
}

static uint64_t word(uint64_t seed, uint64_t index)
{
    return mix(seed + index * g_gamma);
}

/* About N(0, 1). */
static double normal(uint64_t w)
{
    double sum = 0;
    for (int shift = 0; shift < 64; shift += 16)
        sum += (double)(w >> shift & 0xffff);
    return (sum - 131070) / 65536 * sqrt(3.0);
}

static void *take(size_t bytes)
{
    void *p = calloc(1, bytes);
    ASSERT(p);
    return p;
}

/* One number of a type without blocks; returns its bytes. Halves are cut, not rounded. */
static size_t put_number(uint32_t type, float value, uint8_t *to)
{
    uint16_t half = block_half(value);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (type == TENSOR_BF16)
        half = (uint16_t)(bits >> 16);
    size_t size = type == TENSOR_F32 ? sizeof bits : sizeof half;
    memcpy(to, type == TENSOR_F32 ? (const void *)&bits : (const void *)&half, size);
    return size;
}

static void *draw_numbers(const struct arch_tensor *t, uint64_t seed, uint64_t count, size_t *bytes)
{
    uint8_t *data = take((size_t)count * sizeof(float));
    *bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        float value =
            t->value_count ? t->values[i] : (float)(t->center + t->spread * normal(word(seed, i)));
        *bytes += put_number(t->type, value, data + *bytes);
    }
    return data;
}

static void *draw_blocks(const struct arch_tensor *t, uint64_t seed, uint64_t count, size_t *bytes)
{
    const struct tensor_type_info *info = tensor_type_info(t->type);
    uint64_t blocks = count / (uint64_t)info->block_len;
    uint64_t n = block_words(t->type);
    uint64_t words[BLOCK_WORDS_MAX];
    *bytes = (size_t)blocks * (size_t)info->block_bytes;
    uint8_t *data = take(*bytes);
    for (uint64_t b = 0; b < blocks; b++) {
        for (uint64_t i = 0; i < n; i++)
            words[i] = word(seed, b * n + i);
        block_make(t->type, words, t->spread, data + b * (uint64_t)info->block_bytes);
    }
    return data;
}

/* ---- reading ---- */

FILE *arch_cases_open(const char *arch)
{
    char path[128];
    snprintf(path, sizeof path, "tests/golden/arch_%s.txt", arch);
    FILE *f = fopen(path, "re");
    ASSERT(f);
    char line[256];
    long at = 0;
    while (fgets(line, sizeof line, f) && line[0] == '#')
        at = ftell(f);
    int rc = fseek(f, at, SEEK_SET);
    ASSERT(rc == 0);
    return f;
}

static void read_key(FILE *f, struct arch_key *key)
{
    int n = fscanf(f, "%7s %95s %d", key->kind, key->name, &key->count);
    ASSERT(n == 3 && key->count <= ARCH_VALUES_MAX);
    for (int i = 0; i < key->count; i++) {
        n = fscanf(f, "%31s", key->values[i]);
        ASSERT(n == 1);
    }
}

static void read_tensor(FILE *f, struct arch_tensor *t)
{
    long long dim;
    int n = fscanf(f, "%63s %u %u", t->name, &t->type, &t->dim_count);
    ASSERT(n == 3 && t->dim_count <= 2);
    t->dims[1] = 1;
    for (uint32_t i = 0; i < t->dim_count; i++) {
        n = fscanf(f, "%lld", &dim);
        ASSERT(n == 1);
        t->dims[i] = dim;
    }
    n = fscanf(f, "%lf %lf", &t->center, &t->spread);
    ASSERT(n == 2);
}

static void read_values(FILE *f, struct arch_tensor *t)
{
    t->type = TENSOR_F32;
    t->dim_count = 1;
    int n = fscanf(f, "%63s %d", t->name, &t->value_count);
    ASSERT(n == 2 && t->value_count <= ARCH_VALUES_MAX);
    t->dims[0] = t->value_count;
    t->dims[1] = 1;
    for (int i = 0; i < t->value_count; i++) {
        n = fscanf(f, "%f", &t->values[i]);
        ASSERT(n == 1);
    }
}

bool arch_case_read(FILE *f, struct arch_case *c)
{
    *c = (struct arch_case){ 0 };
    unsigned long long seed;
    char what[16];
    int n = fscanf(f, " case %47s %llu %d %d", c->name, &seed, &c->count, &c->vocab);
    if (n == EOF)
        return false;
    ASSERT(n == 4 && c->count <= ARCH_IDS_MAX);
    c->seed = seed;
    c->tensors = take(ARCH_TENSORS_MAX * sizeof *c->tensors);
    c->logits = take((size_t)c->count * (size_t)c->vocab * sizeof *c->logits);
    while ((n = fscanf(f, "%15s", what)) == 1 && strcmp(what, "logits") != 0) {
        if (strcmp(what, "ids") == 0) {
            for (int i = 0; i < c->count; i++) {
                n = fscanf(f, "%d", &c->ids[i]);
                ASSERT(n == 1);
            }
        } else if (strcmp(what, "key") == 0) {
            ASSERT(c->key_count < ARCH_KEYS_MAX);
            read_key(f, &c->keys[c->key_count++]);
        } else if (strcmp(what, "tensor") == 0) {
            ASSERT(c->tensor_count < ARCH_TENSORS_MAX);
            read_tensor(f, &c->tensors[c->tensor_count++]);
        } else {
            ASSERT(strcmp(what, "values") == 0 && c->tensor_count < ARCH_TENSORS_MAX);
            read_values(f, &c->tensors[c->tensor_count++]);
        }
    }
    for (int i = 0; i < c->count * c->vocab; i++) {
        n = fscanf(f, "%f", &c->logits[i]);
        ASSERT(n == 1);
    }
    return true;
}

void arch_case_load(const char *arch, const char *name, struct arch_case *c)
{
    FILE *f = arch_cases_open(arch);
    while (arch_case_read(f, c) && strcmp(c->name, name) != 0)
        arch_case_fini(c);
    fclose(f);
    ASSERT(c->tensors);
}

void arch_case_fini(struct arch_case *c)
{
    free(c->tensors);
    free(c->logits);
    *c = (struct arch_case){ 0 };
}

/* ---- changing ---- */

struct arch_key *arch_case_key(struct arch_case *c, const char *name)
{
    for (int i = 0; i < c->key_count; i++) {
        if (strcmp(c->keys[i].name, name) == 0)
            return &c->keys[i];
    }
    ASSERT(c->key_count < ARCH_KEYS_MAX);
    struct arch_key *key = &c->keys[c->key_count++];
    *key = (struct arch_key){ 0 };
    snprintf(key->name, sizeof key->name, "%s", name);
    return key;
}

struct arch_tensor *arch_case_tensor(struct arch_case *c, const char *name)
{
    for (int i = 0; i < c->tensor_count; i++) {
        if (strcmp(c->tensors[i].name, name) == 0)
            return &c->tensors[i];
    }
    ASSERT(c->tensor_count < ARCH_TENSORS_MAX);
    struct arch_tensor *t = &c->tensors[c->tensor_count++];
    *t = (struct arch_tensor){ .dim_count = 1, .dims = { 8, 1 }, .spread = 1 };
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

void arch_case_set(struct arch_case *c, const char *name, const char *kind, const char *value)
{
    struct arch_key *key = arch_case_key(c, name);
    snprintf(key->kind, sizeof key->kind, "%s", kind);
    snprintf(key->values[0], sizeof key->values[0], "%s", value);
    key->count = 1;
}

/* ---- building ---- */

static void build_key(struct gguf_build *b, const struct arch_key *key)
{
    const char *kind = key->kind;
    if (strcmp(kind, "str") == 0) {
        gguf_build_str(b, key->name, key->values[0]);
        return;
    }
    uint8_t bools[ARCH_VALUES_MAX];
    int32_t ints[ARCH_VALUES_MAX];
    float floats[ARCH_VALUES_MAX];
    for (int i = 0; i < key->count; i++) {
        ints[i] = (int32_t)strtol(key->values[i], NULL, 10);
        bools[i] = ints[i] != 0;
        floats[i] = strtof(key->values[i], NULL);
    }
    uint64_t count = (uint64_t)key->count;
    if (strcmp(kind, "u32") == 0)
        gguf_build_u32(b, key->name, (uint32_t)ints[0]);
    else if (strcmp(kind, "i32") == 0)
        gguf_build_kv(b, key->name, GGUF_I32, ints, sizeof ints[0]);
    else if (strcmp(kind, "f32") == 0)
        gguf_build_f32(b, key->name, floats[0]);
    else if (strcmp(kind, "bool") == 0)
        gguf_build_bool(b, key->name, bools[0]);
    else if (strcmp(kind, "i32s") == 0)
        gguf_build_array(b, key->name, GGUF_I32, count, ints, count * sizeof ints[0]);
    else if (strcmp(kind, "f32s") == 0)
        gguf_build_array(b, key->name, GGUF_F32, count, floats, count * sizeof floats[0]);
    else {
        ASSERT(strcmp(kind, "bools") == 0);
        gguf_build_array(b, key->name, GGUF_BOOL, count, bools, count);
    }
}

static void build_tensor(struct gguf_build *b, const struct arch_case *c,
                         const struct arch_tensor *t)
{
    uint64_t seed = tensor_seed(c->seed, t->name);
    uint64_t count = (uint64_t)t->dims[0] * (uint64_t)t->dims[1];
    bool plain = tensor_type_info(t->type)->block_len == 1;
    size_t bytes;
    void *data = plain ? draw_numbers(t, seed, count, &bytes) : draw_blocks(t, seed, count, &bytes);
    gguf_build_tensor(b, t->name, t->type, t->dim_count, t->dims, data, bytes);
    free(data);
}

static void *build(const struct arch_case *c, bool with_keys, int tensor_first, int tensor_end,
                   struct gguf_build *b, size_t *size)
{
    for (int i = 0; with_keys && i < c->key_count; i++) {
        if (c->keys[i].count)
            build_key(b, &c->keys[i]);
    }
    for (int i = tensor_first; i < tensor_end; i++) {
        if (c->tensors[i].name[0])
            build_tensor(b, c, &c->tensors[i]);
    }
    return gguf_build_finish(b, size);
}

void *arch_case_build(const struct arch_case *c, size_t *size)
{
    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    return build(c, true, 0, c->tensor_count, &b, size);
}

void *arch_case_build_part(const struct arch_case *c, int index, int count, size_t *size)
{
    struct gguf_build b;
    gguf_build_init(&b, 3, 32);
    gguf_build_kv(&b, "split.no", GGUF_U16, &(uint16_t){ (uint16_t)index }, 2);
    gguf_build_kv(&b, "split.count", GGUF_U16, &(uint16_t){ (uint16_t)count }, 2);
    gguf_build_kv(&b, "split.tensors.count", GGUF_I32, &(int32_t){ c->tensor_count }, 4);
    return build(c, index == 0, c->tensor_count * index / count,
                 c->tensor_count * (index + 1) / count, &b, size);
}

void arch_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wbe");
    ASSERT(f);
    size_t written = fwrite(data, 1, size, f);
    ASSERT(written == size);
    int rc = fclose(f);
    ASSERT(rc == 0);
}
