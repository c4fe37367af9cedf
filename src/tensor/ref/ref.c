/*
 * The reference kernels: plain C, f32 in and out, sums in double precision, weights read
 * as they lie in the file. Slow, short and kept for ever: every other instruction set is
 * tested against these.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "tensor/dequant.h"
#include "tensor/isa.h"

enum {
    TILE = 16,                /* outputs */
    ROWS = 8,                 /* rows that share a dequantised piece of a weight row */
    PIECE = TENSOR_BLOCK_MAX, /* elements of such a piece: whole blocks of every type */
    LANES = 8,                /* partial sums of a product: enough to hide an addition's latency */
    HEAD_DIM_MAX = 256
};

static bool ref_is_available(void)
{
    return true;
}

static bool ref_supports(enum tensor_type type)
{
    return tensor_type_info(type) != NULL;
}

static size_t ref_pack_bytes(enum tensor_type type, int64_t n_out, int64_t n_in)
{
    (void)type;
    (void)n_out;
    (void)n_in;
    return 0;
}

static void ref_pack_tile(struct tensor_matrix *m, int64_t tile)
{
    (void)m;
    (void)tile;
}

static size_t ref_act_row_bytes(int64_t n)
{
    (void)n;
    return 0;
}

static void ref_act_prepare(void *act, const float *x, int64_t n)
{
    (void)act;
    (void)x;
    (void)n;
}

static double dot(const double *a, const float *b, int64_t n)
{
    double lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++)
            lane[l] += a[i + l] * (double)b[i + l];
    }
    for (; i < n; i++)
        lane[0] += a[i] * (double)b[i];
    double sum = 0;
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

/* One output for up to ROWS rows. */
static void dot_rows(float *y, int64_t ldy, const struct tensor_matrix *W, int64_t o,
                     const float *x, int64_t n_rows)
{
    const uint8_t *w = (const uint8_t *)W->rows + (size_t)o * tensor_row_bytes(W->type, W->n_in);
    double sum[ROWS] = { 0 };
    for (int64_t k = 0; k < W->n_in; k += PIECE) {
        float piece[PIECE];
        double wide[PIECE];
        int64_t n = W->n_in - k < PIECE ? W->n_in - k : PIECE;
        tensor_dequant(W->type, w + tensor_row_bytes(W->type, k), n, piece);
        for (int64_t i = 0; i < n; i++)
            wide[i] = (double)piece[i];
        for (int64_t r = 0; r < n_rows; r++)
            sum[r] += dot(wide, x + r * W->n_in + k, n);
    }
    for (int64_t r = 0; r < n_rows; r++)
        y[r * ldy + o] = (float)sum[r];
}

static void ref_matmul(float *y, const struct tensor_matrix *W, int64_t tile_first,
                       int64_t tile_end, const void *act, const float *x, int64_t n_rows)
{
    (void)act;
    int64_t end = tile_end * TILE < W->n_out ? tile_end * TILE : W->n_out;
    for (int64_t o = tile_first * TILE; o < end; o++) {
        for (int64_t r = 0; r < n_rows; r += ROWS)
            dot_rows(y + r * W->n_out, W->n_out, W, o, x + r * W->n_in,
                     n_rows - r < ROWS ? n_rows - r : ROWS);
    }
}

static void ref_rmsnorm(float *y, const float *x, const float *w, int64_t n, float eps)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    double scale = 1.0 / sqrt(sum / (double)n + (double)eps);
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)((double)x[i] * scale * (double)w[i]);
}

static void ref_add(float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
}

static double gate_of(enum tensor_gate kind, double g)
{
    if (kind == TENSOR_GATE_SILU)
        return g / (1.0 + exp(-g));
    return 0.5 * g * (1.0 + tanh(0.79788456080286535588 * (g + 0.044715 * g * g * g)));
}

static void ref_gated(enum tensor_gate kind, float *y, const float *gate, const float *up,
                      int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(gate_of(kind, (double)gate[i]) * (double)up[i]);
}

static void ref_rope(enum tensor_rope_kind kind, float *x, const float *rot, int64_t n_heads,
                     int64_t head_dim, int64_t n_pairs)
{
    for (int64_t h = 0; h < n_heads; h++) {
        float *head = x + h * head_dim;
        for (int64_t i = 0; i < n_pairs; i++) {
            float *first = kind == TENSOR_ROPE_NORM ? head + 2 * i : head + i;
            float *second = kind == TENSOR_ROPE_NORM ? head + 2 * i + 1 : head + i + n_pairs;
            double a = (double)*first;
            double b = (double)*second;
            double c = (double)rot[2 * i];
            double s = (double)rot[2 * i + 1];
            *first = (float)(a * c - b * s);
            *second = (float)(a * s + b * c);
        }
    }
}

/* A head's part of a block: keys [32][head_dim] f32, then values [32][head_dim] f32. */
static size_t ref_kv_head_bytes(int64_t head_dim)
{
    return 2 * TENSOR_KV_BLOCK * (size_t)head_dim * sizeof(float);
}

static void ref_kv_write(void *head, int64_t slot, const float *k, const float *v, int64_t head_dim)
{
    float *keys = head;
    float *values = keys + TENSOR_KV_BLOCK * head_dim;
    memcpy(keys + slot * head_dim, k, (size_t)head_dim * sizeof *k);
    memcpy(values + slot * head_dim, v, (size_t)head_dim * sizeof *v);
}

struct softmax {
    double max;
    double sum;
    double out[HEAD_DIM_MAX];
};

/* Takes the keys and values `begin`..`end`-1 of one block into the running softmax. */
static void attend_block(struct softmax *s, const float *q, const float *keys, int64_t begin,
                         int64_t end, const struct tensor_heads *heads)
{
    int64_t head_dim = heads->head_dim;
    const float *values = keys + TENSOR_KV_BLOCK * head_dim;
    double score[TENSOR_KV_BLOCK];
    double max = s->max;
    for (int64_t t = begin; t < end; t++) {
        double dot = 0;
        for (int64_t i = 0; i < head_dim; i++)
            dot += (double)q[i] * (double)keys[t * head_dim + i];
        score[t] = dot * (double)heads->scale;
        if (score[t] > max)
            max = score[t];
    }
    double keep = exp(s->max - max); /* 0 for the first block, where s->max is -inf */
    s->max = max;
    s->sum *= keep;
    for (int64_t i = 0; i < head_dim; i++)
        s->out[i] *= keep;
    for (int64_t t = begin; t < end; t++) {
        double p = exp(score[t] - max);
        s->sum += p;
        for (int64_t i = 0; i < head_dim; i++)
            s->out[i] += p * (double)values[t * head_dim + i];
    }
}

static void attend(float *out, const float *q, int64_t pos, const struct tensor_heads *heads)
{
    struct softmax s = { .max = -INFINITY };
    int64_t oldest = heads->window > 0 && pos >= heads->window ? pos - heads->window + 1 : 0;
    int64_t first = oldest / TENSOR_KV_BLOCK * TENSOR_KV_BLOCK;
    for (; first <= pos; first += TENSOR_KV_BLOCK) {
        int64_t begin = oldest > first ? oldest - first : 0;
        int64_t end = pos + 1 - first < TENSOR_KV_BLOCK ? pos + 1 - first : TENSOR_KV_BLOCK;
        const void *keys =
            heads->kv_head + heads->blocks[first / TENSOR_KV_BLOCK] * heads->block_bytes;
        attend_block(&s, q, keys, begin, end, heads);
    }
    for (int64_t i = 0; i < heads->head_dim; i++)
        out[i] = (float)(s.out[i] / s.sum);
}

static void ref_attention(float *out, const float *q, int64_t n_rows, int64_t pos,
                          const struct tensor_heads *heads)
{
    ASSERT(heads->head_dim <= HEAD_DIM_MAX);
    for (int64_t r = 0; r < n_rows; r++) {
        for (int64_t h = 0; h < heads->group; h++) {
            int64_t at = r * heads->stride + h * heads->head_dim;
            attend(out + at, q + at, pos + r, heads);
        }
    }
}

/* Its products are in double precision, whatever the weights. */
static uint64_t ref_limit(uint64_t rounds)
{
    double sum[8] = { 0 };
    double a = 0.5;
    for (uint64_t n = 0; n < rounds * 64; n++) {
        __asm__ volatile("" : "+m"(a));
        for (int i = 0; i < 8; i++)
            sum[i] += a * 0.25;
    }
    for (int i = 0; i < 8; i++)
        __asm__ volatile("" : "+m"(sum[i]));
    return rounds * 64 * 8 * 2;
}

static void ref_limit_read(const void *data, size_t bytes)
{
    uint64_t sum[4] = { 0 };
    for (size_t at = 0; at < bytes; at += sizeof sum) {
        uint64_t v[4];
        memcpy(v, (const uint8_t *)data + at, sizeof v);
        for (int i = 0; i < 4; i++)
            sum[i] ^= v[i];
    }
    for (int i = 0; i < 4; i++)
        __asm__ volatile("" : "+m"(sum[i]));
}

const struct tensor_isa tensor_isa_ref = {
    .name = "ref",
    .is_available = ref_is_available,
    .supports = ref_supports,
    .tile_len = TILE,
    .pack_bytes = ref_pack_bytes,
    .pack_tile = ref_pack_tile,
    .act_row_bytes = ref_act_row_bytes,
    .act_prepare = ref_act_prepare,
    .matmul = ref_matmul,
    .rmsnorm = ref_rmsnorm,
    .add = ref_add,
    .gated = ref_gated,
    .rope = ref_rope,
    .kv_head_bytes = ref_kv_head_bytes,
    .kv_write = ref_kv_write,
    .attention = ref_attention,
    .attention_rows = 8,
    .limit_int8 = ref_limit,
    .limit_f32 = ref_limit,
    .limit_read = ref_limit_read,
};
