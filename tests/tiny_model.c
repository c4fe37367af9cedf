#include "tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "model/blocks.h"
#include "tensor/dequant.h"
#include "tiny_vocab.h"

enum {
    BLOCK = 32,
    NAME_BYTES = 64
};

/* ---- numbers ---- */

uint64_t tiny_random_u64(struct tiny_random *r)
{
    uint64_t x = r->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

int32_t tiny_random_below(struct tiny_random *r, int32_t n)
{
    return (int32_t)(tiny_random_u64(r) % (uint64_t)n);
}

double tiny_random_unit(struct tiny_random *r)
{
    return (double)(tiny_random_u64(r) >> 11) * 0x1p-53;
}

double tiny_random_normal(struct tiny_random *r)
{
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += tiny_random_unit(r);
    return (sum - 2) * sqrt(3.0);
}

/* ---- shapes ---- */

struct tiny_shape tiny_plain(enum tensor_type type)
{
    return (struct tiny_shape){ .name = "plain",
                                .layers = 2,
                                .width = 64,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 16,
                                .rope_dim = 16,
                                .ffn = 96,
                                .vocab = 288,
                                .context = 256,
                                .type = type,
                                .tied = true,
                                .seed = 11,
                                .eos_id = -1,
                                .poisoned_id = -1 };
}

struct tiny_shape tiny_nasty(enum tensor_type type)
{
    return (struct tiny_shape){ .name = "nasty",
                                .layers = 3,
                                .width = 96,
                                .heads = 4,
                                .kv_heads = 1,
                                .head_dim = 40,
                                .rope_dim = 28,
                                .ffn = 160,
                                .vocab = 283,
                                .context = 200,
                                .type = type,
                                .tied = false,
                                .seed = 12,
                                .eos_id = -1,
                                .poisoned_id = -1 };
}

struct tiny_shape tiny_wide(enum tensor_type type)
{
    return (struct tiny_shape){ .name = "wide",
                                .layers = 1,
                                .width = 256,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 64,
                                .rope_dim = 64,
                                .ffn = 256,
                                .vocab = 273,
                                .context = 200,
                                .type = type,
                                .tied = false,
                                .seed = 14,
                                .eos_id = -1,
                                .poisoned_id = -1 };
}

struct tiny_shape tiny_odd(void)
{
    return (struct tiny_shape){ .name = "odd",
                                .layers = 2,
                                .width = 50,
                                .heads = 3,
                                .kv_heads = 3,
                                .head_dim = 21,
                                .rope_dim = 14,
                                .ffn = 77,
                                .vocab = 271,
                                .context = 131,
                                .type = TENSOR_F32,
                                .tied = false,
                                .seed = 13,
                                .eos_id = -1,
                                .poisoned_id = -1 };
}

/* ---- weights ---- */

static void *take(size_t bytes)
{
    void *p = malloc(bytes);
    ASSERT(p);
    return p;
}

/* x cut to a number of half precision, whose form is *half. 2^-14 < |x| < 2^15. */
static float to_half(float x, uint16_t *half)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= ~UINT32_C(0x1fff);
    int32_t exponent = (int32_t)((bits >> 23) & 255) - 112;
    ASSERT(exponent > 0 && exponent < 31);
    *half = (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff));
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void make_f32(struct tiny_random *r, double deviation, uint8_t *block, float *values)
{
    for (int i = 0; i < BLOCK; i++)
        values[i] = (float)(deviation * tiny_random_normal(r));
    memcpy(block, values, BLOCK * sizeof *values);
}

static void make_q8_0(struct tiny_random *r, double deviation, uint8_t *block, float *values)
{
    struct tensor_q8_0 b;
    float d = to_half((float)(deviation * (0.7 + 0.6 * tiny_random_unit(r)) / 36), &b.d);
    for (int i = 0; i < BLOCK; i++) {
        b.qs[i] = (int8_t)lrint(36 * tiny_random_normal(r));
        values[i] = d * (float)b.qs[i];
    }
    memcpy(block, &b, sizeof b);
}

/* 16 steps, evenly spread; the middle is not quite 0. */
static void make_q4_1(struct tiny_random *r, double deviation, uint8_t *block, float *values)
{
    struct tensor_q4_1 b = { 0 };
    float d = to_half((float)(deviation * (0.7 + 0.6 * tiny_random_unit(r)) / 4.6), &b.d);
    float m = to_half(d * (float)(-7.5 + tiny_random_unit(r)), &b.m);
    for (int i = 0; i < BLOCK; i++) {
        int q = tiny_random_below(r, 16);
        b.n4[i % 16] = (uint8_t)(b.n4[i % 16] | (i < 16 ? q : q << 4));
        values[i] = d * (float)q + m;
    }
    memcpy(block, &b, sizeof b);
}

/* A number of a type that is the beginning of a float's or a half's bits. */
static void make_number(struct tiny_random *r, double deviation, enum tensor_type type,
                        uint8_t *number)
{
    float value = (float)(deviation * tiny_random_normal(r));
    uint16_t bits = block_half(value);
    if (type == TENSOR_BF16)
        memcpy(&bits, (const uint8_t *)&value + 2, sizeof bits); /* little endian */
    memcpy(number, &bits, sizeof bits);
}

/* `count` values of any type but those above; the golden test of tensor_dequant vouches for it. */
static void make_others(struct tiny_random *r, double deviation, enum tensor_type type,
                        uint8_t *data, float *values, size_t count)
{
    const struct tensor_type_info *info = tensor_type_info(type);
    uint64_t words[BLOCK_WORDS_MAX];
    for (size_t i = 0; i < count / (size_t)info->block_len; i++) {
        uint8_t *at = data + i * (size_t)info->block_bytes;
        if (info->block_len == 1) {
            make_number(r, deviation, type, at);
            continue;
        }
        for (size_t w = 0; w < block_words(type); w++)
            words[w] = tiny_random_u64(r);
        block_make(type, words, deviation, at);
    }
    tensor_dequant(type, data, (int64_t)count, values);
}

/* The bytes of `count` values, a multiple of BLOCK or of the block's length. */
static void make_values(struct tiny_random *r, double deviation, enum tensor_type type,
                        uint8_t *data, float *values, size_t count)
{
    void (*make)(struct tiny_random *, double, uint8_t *, float *) =
        type == TENSOR_F32    ? make_f32
        : type == TENSOR_Q8_0 ? make_q8_0
        : type == TENSOR_Q4_1 ? make_q4_1
                              : NULL;
    if (!make) {
        make_others(r, deviation, type, data, values, count);
        return;
    }
    size_t bytes = tensor_row_bytes(type, BLOCK);
    for (size_t i = 0; i < count / BLOCK; i++)
        make(r, deviation, data + i * bytes, values + i * BLOCK);
}

/* Adds a matrix [n_out][n_in] of values with about this deviation; returns the values. */
static float *add_matrix(struct gguf_build *g, const char *name, const struct tiny_shape *s,
                         int32_t n_out, int32_t n_in, double deviation, struct tiny_random *r)
{
    size_t count = (size_t)n_out * (size_t)n_in;
    ASSERT(n_in % tensor_type_info(s->type)->block_len == 0);
    size_t padded = (count + BLOCK - 1) / BLOCK * BLOCK; /* only F32 may end inside one */
    float *values = take(padded * sizeof *values);
    uint8_t *data = take(padded * sizeof *values);
    make_values(r, deviation, s->type, data, values, padded);
    if (strcmp(name, "token_embd.weight") == 0 && s->poisoned_id >= 0) {
        ASSERT(s->type == TENSOR_F32 && !s->tied);
        size_t at = (size_t)s->poisoned_id * (size_t)n_in;
        for (int32_t i = 0; i < n_in; i++)
            values[at + (size_t)i] = NAN;
        memcpy(data, values, count * sizeof *values);
    }
    gguf_build_tensor(g, name, s->type, 2, (int64_t[]){ n_in, n_out }, data,
                      (size_t)n_out * tensor_row_bytes(s->type, n_in));
    free(data);
    return values;
}

static float *add_norm(struct gguf_build *g, const char *name, int32_t n, struct tiny_random *r)
{
    float *values = take((size_t)n * sizeof *values);
    for (int32_t i = 0; i < n; i++)
        values[i] = (float)(0.5 + tiny_random_unit(r));
    gguf_build_tensor(g, name, TENSOR_F32, 1, (int64_t[]){ n }, values, (size_t)n * sizeof *values);
    return values;
}

static const char *part(char *name, int32_t layer, const char *what)
{
    snprintf(name, NAME_BYTES, "blk.%d.%s.weight", layer, what);
    return name;
}

static void add_layer(struct gguf_build *g, struct tiny_model *m, int32_t i, struct tiny_random *r)
{
    const struct tiny_shape *s = &m->shape;
    struct tiny_layer *l = &m->layers[i];
    char name[NAME_BYTES];
    int32_t q = s->heads * s->head_dim;
    int32_t kv = s->kv_heads * s->head_dim;
    double in = 1 / sqrt(s->width);
    l->attn_norm = add_norm(g, part(name, i, "attn_norm"), s->width, r);
    l->q = add_matrix(g, part(name, i, "attn_q"), s, q, s->width, 1.4 * in, r);
    l->k = add_matrix(g, part(name, i, "attn_k"), s, kv, s->width, 1.4 * in, r);
    l->v = add_matrix(g, part(name, i, "attn_v"), s, kv, s->width, in, r);
    l->o = add_matrix(g, part(name, i, "attn_output"), s, s->width, q, 2 / sqrt(q), r);
    l->ffn_norm = add_norm(g, part(name, i, "ffn_norm"), s->width, r);
    l->gate = add_matrix(g, part(name, i, "ffn_gate"), s, s->ffn, s->width, 1.5 * in, r);
    l->up = add_matrix(g, part(name, i, "ffn_up"), s, s->ffn, s->width, in, r);
    l->down = add_matrix(g, part(name, i, "ffn_down"), s, s->width, s->ffn, 1 / sqrt(s->ffn), r);
}

/* ---- the file ---- */

static void add_params(struct gguf_build *g, const struct tiny_shape *s)
{
    gguf_build_str(g, "general.architecture", "llama");
    gguf_build_str(g, "general.name", s->name);
    gguf_build_u32(g, "llama.block_count", (uint32_t)s->layers);
    gguf_build_u32(g, "llama.embedding_length", (uint32_t)s->width);
    gguf_build_u32(g, "llama.feed_forward_length", (uint32_t)s->ffn);
    gguf_build_u32(g, "llama.context_length", (uint32_t)s->context);
    gguf_build_u32(g, "llama.attention.head_count", (uint32_t)s->heads);
    gguf_build_u32(g, "llama.attention.head_count_kv", (uint32_t)s->kv_heads);
    gguf_build_u32(g, "llama.attention.key_length", (uint32_t)s->head_dim);
    gguf_build_u32(g, "llama.attention.value_length", (uint32_t)s->head_dim);
    gguf_build_u32(g, "llama.rope.dimension_count", (uint32_t)s->rope_dim);
    gguf_build_f32(g, "llama.rope.freq_base", 5000.0f);
    gguf_build_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

static void write_file(struct tiny_model *m, const void *data, size_t size)
{
    const char *dir = getenv("TMPDIR");
    snprintf(m->path, sizeof m->path, "%s/valet-tiny-XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(m->path);
    ASSERT(fd >= 0);
    FILE *f = fdopen(fd, "wb");
    ASSERT(f);
    size_t written = fwrite(data, 1, size, f);
    ASSERT(written == size);
    int rc = fclose(f);
    ASSERT(rc == 0);
}

void tiny_model_write(struct tiny_model *m, const struct tiny_shape *shape)
{
    *m = (struct tiny_model){ .shape = *shape };
    const struct tiny_shape *s = &m->shape;
    ASSERT(s->layers <= TINY_LAYERS_MAX && s->vocab >= TINY_MERGE_FIRST + TINY_MERGE_COUNT + 3);
    struct tiny_random r = { s->seed };
    struct gguf_build g;
    gguf_build_init(&g, 3, 32);
    add_params(&g, s);
    tiny_vocab_add(&g, s);
    double sharp = 2.5 / sqrt(s->width); /* logits deviate by about 2.5 */
    m->embed =
        add_matrix(&g, "token_embd.weight", s, s->vocab, s->width, s->tied ? sharp : 1.0, &r);
    m->head = m->embed;
    if (!s->tied)
        m->head = add_matrix(&g, "output.weight", s, s->vocab, s->width, sharp, &r);
    m->out_norm = add_norm(&g, "output_norm.weight", s->width, &r);
    for (int32_t i = 0; i < s->layers; i++)
        add_layer(&g, m, i, &r);
    if (s->extra_tensor)
        free(add_norm(&g, s->extra_tensor, s->head_dim / 2, &r));
    size_t size;
    void *file = gguf_build_finish(&g, &size);
    write_file(m, file, size);
    free(file);
}

void tiny_model_remove(struct tiny_model *m)
{
    unlink(m->path);
    for (int32_t i = 0; i < m->shape.layers; i++) {
        struct tiny_layer *l = &m->layers[i];
        float *const arrays[] = { l->attn_norm, l->q,    l->k,  l->v,   l->o,
                                  l->ffn_norm,  l->gate, l->up, l->down };
        for (size_t j = 0; j < sizeof arrays / sizeof arrays[0]; j++)
            free(arrays[j]);
    }
    if (m->head != m->embed)
        free(m->head);
    free(m->embed);
    free(m->out_norm);
    *m = (struct tiny_model){ 0 };
}

/* ---- the teacher ---- */

static void norm(double *y, const double *x, const float *w, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (int32_t i = 0; i < n; i++)
        y[i] = x[i] / sqrt(sum / n + 1e-5) * (double)w[i];
}

static void multiply(double *y, const float *w, const double *x, int32_t n_out, int32_t n_in)
{
    for (int32_t o = 0; o < n_out; o++) {
        y[o] = 0;
        for (int32_t i = 0; i < n_in; i++)
            y[o] += (double)w[(size_t)o * (size_t)n_in + (size_t)i] * x[i];
    }
}

static void rotate(double *x, int32_t heads, const struct tiny_shape *s, int32_t pos)
{
    for (int32_t h = 0; h < heads; h++) {
        for (int32_t i = 0; i < s->rope_dim / 2; i++) {
            double *pair = x + h * s->head_dim + 2 * i;
            double angle = pos * pow(5000.0, -2.0 * i / s->rope_dim);
            double a = pair[0];
            double b = pair[1];
            pair[0] = a * cos(angle) - b * sin(angle);
            pair[1] = a * sin(angle) + b * cos(angle);
        }
    }
}

/* One query head over the keys 0..pos; k and v point at its KV head in row 0. */
static void attend(double *out, const double *q, const double *k, const double *v, int32_t stride,
                   int32_t pos, int32_t dim, double *weights)
{
    double max = -INFINITY;
    double sum = 0;
    for (int32_t t = 0; t <= pos; t++) {
        weights[t] = 0;
        for (int32_t i = 0; i < dim; i++)
            weights[t] += q[i] * k[t * stride + i] / sqrt(dim);
        max = weights[t] > max ? weights[t] : max;
    }
    for (int32_t t = 0; t <= pos; t++)
        sum += weights[t] = exp(weights[t] - max);
    for (int32_t i = 0; i < dim; i++) {
        out[i] = 0;
        for (int32_t t = 0; t <= pos; t++)
            out[i] += weights[t] / sum * v[t * stride + i];
    }
}

struct teacher {
    const struct tiny_shape *s;
    int32_t count;
    double *x; /* [count][width] */
    double *h; /* [max of all widths] */
    double *q; /* [count][heads*head_dim] */
    double *k; /* [count][kv_heads*head_dim] */
    double *v;
    double *out;     /* [widest] */
    double *up;      /* [ffn] */
    double *weights; /* [count] */
};

static void teach_attention(struct teacher *t, const struct tiny_layer *l)
{
    const struct tiny_shape *s = t->s;
    int32_t q = s->heads * s->head_dim;
    int32_t kv = s->kv_heads * s->head_dim;
    for (int32_t p = 0; p < t->count; p++) {
        norm(t->h, t->x + p * s->width, l->attn_norm, s->width);
        multiply(t->q + p * q, l->q, t->h, q, s->width);
        multiply(t->k + p * kv, l->k, t->h, kv, s->width);
        multiply(t->v + p * kv, l->v, t->h, kv, s->width);
        rotate(t->q + p * q, s->heads, s, p);
        rotate(t->k + p * kv, s->kv_heads, s, p);
    }
    for (int32_t p = 0; p < t->count; p++) {
        for (int32_t h = 0; h < s->heads; h++) {
            int32_t at = h / (s->heads / s->kv_heads) * s->head_dim;
            attend(t->out + h * s->head_dim, t->q + p * q + h * s->head_dim, t->k + at, t->v + at,
                   kv, p, s->head_dim, t->weights);
        }
        multiply(t->h, l->o, t->out, s->width, q);
        for (int32_t i = 0; i < s->width; i++)
            t->x[p * s->width + i] += t->h[i];
    }
}

static void teach_ffn(struct teacher *t, const struct tiny_layer *l)
{
    const struct tiny_shape *s = t->s;
    for (int32_t p = 0; p < t->count; p++) {
        norm(t->h, t->x + p * s->width, l->ffn_norm, s->width);
        multiply(t->out, l->gate, t->h, s->ffn, s->width);
        multiply(t->up, l->up, t->h, s->ffn, s->width);
        for (int32_t i = 0; i < s->ffn; i++)
            t->out[i] = t->out[i] / (1 + exp(-t->out[i])) * t->up[i];
        multiply(t->h, l->down, t->out, s->width, s->ffn);
        for (int32_t i = 0; i < s->width; i++)
            t->x[p * s->width + i] += t->h[i];
    }
}

void tiny_model_logits(const struct tiny_model *m, const int32_t *ids, int32_t count,
                       double *logits)
{
    const struct tiny_shape *s = &m->shape;
    size_t rows = (size_t)count;
    size_t q = (size_t)(s->heads * s->head_dim);
    size_t widest = q + (size_t)s->ffn + (size_t)s->width;
    struct teacher t = {
        .s = s,
        .count = count,
        .x = take(rows * (size_t)s->width * sizeof(double)),
        .h = take(widest * sizeof(double)),
        .q = take(rows * q * sizeof(double)),
        .k = take(rows * q * sizeof(double)),
        .v = take(rows * q * sizeof(double)),
        .out = take(widest * sizeof(double)),
        .up = take(widest * sizeof(double)),
        .weights = take(rows * sizeof(double)),
    };
    for (int32_t p = 0; p < count; p++) {
        for (int32_t i = 0; i < s->width; i++)
            t.x[p * s->width + i] = (double)m->embed[ids[p] * s->width + i];
    }
    for (int32_t i = 0; i < s->layers; i++) {
        teach_attention(&t, &m->layers[i]);
        teach_ffn(&t, &m->layers[i]);
    }
    for (int32_t p = 0; p < count; p++) {
        norm(t.h, t.x + p * s->width, m->out_norm, s->width);
        multiply(logits + (size_t)p * (size_t)s->vocab, m->head, t.h, s->vocab, s->width);
    }
    double *const arrays[] = { t.x, t.h, t.q, t.k, t.v, t.out, t.up, t.weights };
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        free(arrays[i]);
}
