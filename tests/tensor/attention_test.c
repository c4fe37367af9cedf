/*
 * KV cache and attention, for every instruction set this machine has, against a plain
 * softmax in double precision written here.
 *
 * All cache memory starts as NaN (bytes 0xff), so a key or value that was not written and
 * reaches a result shows. Block tables are scattered over the cache.
 *
 * Tolerance: 4e-6 * (1 + the largest scale * sum|q k|) * max|v|. A score is a sum
 * of head_dim products in f32 in order and errs by less than 1e-6 of the sum of their
 * absolute values; e^x turns that into the same relative error of a weight, and out is an
 * average with those weights. The sets other than the reference keep keys and values as
 * f16, so the formula gets them rounded.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/support.h"
#include "tensor/tensor.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof(a)[0]))

enum {
    TEAMS = 2, /* of 1 and 2 members */
    LENGTH_MAX = 200,
    TABLE_MAX = LENGTH_MAX / TENSOR_KV_BLOCK + 1,
    SEQUENCES_MAX = 4,
    BATCH_MAX = 256, /* rows */
    LAYERS = 2
};

static const int64_t g_head_dims[] = { 4, 16, 20, 64, 80, 128, 256 };
static const int64_t g_lengths[] = { 1, 2, 31, 32, 33, 64, 65, 200 };

static const struct tensor_isa *g_isas[ISAS_MAX];
static int g_isa_count;
static struct team *g_teams[TEAMS];

static void set_up(void)
{
    g_isa_count = isas_find(g_isas);
    for (int i = 0; i < TEAMS; i++)
        ck_assert_int_eq(team_create(i + 1, &g_teams[i]), OK);
}

static void tear_down(void)
{
    for (int i = 0; i < TEAMS; i++)
        team_destroy(g_teams[i]);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}

/* ---- sequences and their cache ---- */

struct shape {
    int64_t head_dim;
    int64_t n_kv;
    int64_t group;
    int64_t window; /* 0: all keys */
    float scale;    /* 0: 1/sqrt(head_dim) */
};

static float scale_of(struct shape s)
{
    return s.scale > 0 ? s.scale : 1.0f / sqrtf((float)s.head_dim);
}

static int64_t q_len(struct shape s)
{
    return s.n_kv * s.group * s.head_dim;
}

static int64_t kv_len(struct shape s)
{
    return s.n_kv * s.head_dim;
}

/* One sequence: its inputs at every position and the outputs of the last run. */
struct sequence {
    struct shape shape;
    int64_t length;
    float *q;     /* [length][q_len] */
    float *k;     /* [length][kv_len] */
    float *v;     /* [length][kv_len] */
    float *out;   /* [length][q_len] */
    int64_t done; /* rows computed so far */
    uint32_t table[TABLE_MAX];
};

static float *take_floats(int64_t count)
{
    float *p = mem_calloc(MEM_TENSOR, (size_t)count, sizeof *p);
    ck_assert_ptr_nonnull(p);
    return p;
}

static struct sequence take_sequence(struct numbers *rnd, struct shape shape, int64_t length)
{
    struct sequence s = { .shape = shape, .length = length };
    s.q = take_floats(length * q_len(shape));
    s.k = take_floats(length * kv_len(shape));
    s.v = take_floats(length * kv_len(shape));
    s.out = take_floats(length * q_len(shape));
    numbers_fill(rnd, s.q, length * q_len(shape), 3.0f);
    numbers_fill(rnd, s.k, length * kv_len(shape), 3.0f);
    numbers_fill(rnd, s.v, length * kv_len(shape), 2.0f);
    return s;
}

static void give_sequence(struct sequence *s)
{
    mem_free(s->q);
    mem_free(s->k);
    mem_free(s->v);
    mem_free(s->out);
}

/* A cache of NaN at a forbidden page. */
struct cache {
    struct tensor_kv kv;
    struct guarded data;
};

static struct cache take_cache(const struct tensor_isa *isa, struct shape s, uint64_t block_count,
                               enum guard_side side)
{
    struct cache c;
    ck_assert_int_eq(tensor_kv_init(&c.kv, isa, LAYERS, s.n_kv, s.head_dim, block_count), OK);
    size_t bytes = c.kv.block_bytes * block_count;
    ck_assert_uint_eq(c.kv.block_bytes, tensor_kv_block_bytes(isa, LAYERS, s.n_kv, s.head_dim));
    ck_assert_uint_eq(c.kv.head_bytes % 64, 0);
    mem_unmap(MEM_TENSOR, c.kv.data, bytes);
    c.data = guarded_take(bytes, side);
    c.kv.data = c.data.p;
    return c;
}

static void give_cache(struct cache *c)
{
    guarded_give(&c->data);
}

/* Deals the cache's blocks to the sequences, each block to one of them, in random order. */
static void deal_blocks(struct numbers *rnd, const struct cache *c, struct sequence *seqs,
                        int count)
{
    uint32_t deck[SEQUENCES_MAX * TABLE_MAX];
    int64_t left = (int64_t)c->kv.block_count;
    ck_assert_int_le(left, COUNT(deck));
    for (int64_t i = 0; i < left; i++)
        deck[i] = (uint32_t)i;
    for (int i = 0; i < count; i++) {
        seqs[i].done = 0;
        for (int64_t b = 0; b * TENSOR_KV_BLOCK < seqs[i].length; b++) {
            ck_assert_int_gt(left, 0);
            int64_t at = numbers_below(rnd, left);
            seqs[i].table[b] = deck[at];
            deck[at] = deck[--left];
        }
    }
}

static uint64_t blocks_for(const struct sequence *seqs, int count)
{
    int64_t blocks = 0;
    for (int i = 0; i < count; i++)
        blocks += (seqs[i].length + TENSOR_KV_BLOCK - 1) / TENSOR_KV_BLOCK;
    return (uint64_t)blocks;
}

/* ---- running ---- */

/* A part of a batch: the next `rows` rows of a sequence. */
struct part {
    struct sequence *seq;
    int64_t rows;
};

/* One batch through the last layer; inputs and outputs lie at forbidden pages. */
static void run_batch(struct cache *c, struct team *team, const struct part *parts, int count)
{
    struct shape shape = parts[0].seq->shape;
    int32_t pos[BATCH_MAX];
    const uint32_t *blocks[BATCH_MAX];
    struct tensor_rows rows = { .pos = pos, .blocks = blocks };
    for (int i = 0; i < count; i++) {
        for (int64_t r = 0; r < parts[i].rows; r++, rows.n_rows++) {
            ck_assert_int_lt(rows.n_rows, BATCH_MAX);
            pos[rows.n_rows] = (int32_t)(parts[i].seq->done + r);
            blocks[rows.n_rows] = parts[i].seq->table;
        }
    }
    size_t q_bytes = (size_t)q_len(shape) * sizeof(float);
    size_t kv_bytes = (size_t)kv_len(shape) * sizeof(float);
    enum guard_side side = rows.n_rows % 2 ? GUARD_AFTER : GUARD_BEFORE;
    struct guarded q = guarded_take((size_t)rows.n_rows * q_bytes, side);
    struct guarded k = guarded_take((size_t)rows.n_rows * kv_bytes, side);
    struct guarded v = guarded_take((size_t)rows.n_rows * kv_bytes, side);
    struct guarded out = guarded_take((size_t)rows.n_rows * q_bytes, side);
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        const struct sequence *s = parts[i].seq;
        size_t n = (size_t)parts[i].rows;
        memcpy((char *)q.p + at * q_bytes, s->q + s->done * q_len(shape), n * q_bytes);
        memcpy((char *)k.p + at * kv_bytes, s->k + s->done * kv_len(shape), n * kv_bytes);
        memcpy((char *)v.p + at * kv_bytes, s->v + s->done * kv_len(shape), n * kv_bytes);
        at += n;
    }
    struct tensor_ctx ctx;
    ck_assert_int_eq(tensor_ctx_init(&ctx, c->kv.isa, team, 1, 32), OK);
    const struct tensor_attention_args args = {
        .layer = LAYERS - 1,
        .n_heads = shape.n_kv * shape.group,
        .scale = scale_of(shape),
        .window = shape.window,
    };
    tensor_kv_write(&ctx, &c->kv, args.layer, k.p, v.p, &rows, 0, rows.n_rows);
    tensor_attention(&ctx, out.p, q.p, &c->kv, &args, &rows);
    tensor_ctx_fini(&ctx);
    at = 0;
    for (int i = 0; i < count; i++) {
        struct sequence *s = parts[i].seq;
        size_t n = (size_t)parts[i].rows;
        memcpy(s->out + s->done * q_len(shape), (char *)out.p + at * q_bytes, n * q_bytes);
        s->done += parts[i].rows;
        at += n;
    }
    guarded_give(&out);
    guarded_give(&v);
    guarded_give(&k);
    guarded_give(&q);
}

/* A whole sequence alone, in chunks of `chunk` rows. */
static void run_alone(struct cache *c, struct team *team, struct sequence *s, int64_t chunk)
{
    s->done = 0;
    while (s->done < s->length) {
        struct part part = { s, s->length - s->done < chunk ? s->length - s->done : chunk };
        run_batch(c, team, &part, 1);
    }
}

/* All sequences together: batches of random parts in random order. */
static void run_mixed(struct numbers *rnd, struct cache *c, struct team *team,
                      struct sequence *seqs, int count)
{
    for (;;) {
        struct part parts[SEQUENCES_MAX];
        int n = 0;
        int first = (int)numbers_below(rnd, count);
        for (int i = 0; i < count; i++) {
            struct sequence *s = &seqs[(first + i) % count];
            int64_t left = s->length - s->done;
            int64_t rows = numbers_below(rnd, 4) ? numbers_below(rnd, 12) : numbers_below(rnd, 45);
            rows = rows < left ? rows : left;
            if (rows > 0)
                parts[n++] = (struct part){ s, rows };
        }
        if (n > 0)
            run_batch(c, team, parts, n);
        bool more = false;
        for (int i = 0; i < count; i++)
            more = more || seqs[i].done < seqs[i].length;
        if (!more)
            return;
    }
}

/* ---- what the result should be ---- */

static double stored(const struct tensor_isa *isa, float x)
{
    return isa == g_isas[0] ? (double)x : half_round((double)x);
}

static double score(const struct tensor_isa *isa, const float *q, const float *k,
                    struct shape shape, double *absolute)
{
    double sum = 0;
    double sum_absolute = 0;
    double scale = (double)scale_of(shape);
    for (int64_t i = 0; i < shape.head_dim; i++) {
        double product = (double)q[i] * stored(isa, k[i]);
        sum += product;
        sum_absolute += fabs(product);
    }
    *absolute = fmax(*absolute, sum_absolute * scale);
    return sum * scale;
}

/* Row `pos`, one query head. */
static void check_head(const struct tensor_isa *isa, const struct sequence *s, int64_t pos,
                       int64_t head)
{
    int64_t dim = s->shape.head_dim;
    const float *q = s->q + pos * q_len(s->shape) + head * dim;
    const float *out = s->out + pos * q_len(s->shape) + head * dim;
    int64_t kv_at = head / s->shape.group * dim;
    double p[LENGTH_MAX];
    double absolute = 0;
    double max = -INFINITY;
    int64_t window = s->shape.window;
    int64_t oldest = window > 0 && pos >= window ? pos - window + 1 : 0;
    for (int64_t t = oldest; t <= pos; t++) {
        p[t] = score(isa, q, s->k + t * kv_len(s->shape) + kv_at, s->shape, &absolute);
        max = fmax(max, p[t]);
    }
    double sum = 0;
    for (int64_t t = oldest; t <= pos; t++)
        sum += p[t] = exp(p[t] - max);
    for (int64_t i = 0; i < dim; i++) {
        double want = 0;
        double v_max = 0;
        for (int64_t t = oldest; t <= pos; t++) {
            double v = stored(isa, s->v[t * kv_len(s->shape) + kv_at + i]);
            want += p[t] / sum * v;
            v_max = fmax(v_max, fabs(v));
        }
        double allowed = 4e-6 * (1 + absolute) * v_max;
        if (!(fabs((double)out[i] - want) <= allowed))
            ck_abort_msg(
                "%s head_dim %lld n_kv %lld group %lld window %lld position %lld head %lld "
                "[%lld]: %.9g, not %.9g +- %.2g",
                isa->name, (long long)dim, (long long)s->shape.n_kv, (long long)s->shape.group,
                (long long)window, (long long)pos, (long long)head, (long long)i, (double)out[i],
                want, allowed);
    }
}

static void check_outputs(const struct tensor_isa *isa, const struct sequence *s)
{
    for (int i = 0; i < COUNT(g_lengths); i++)
        for (int64_t h = 0; h < s->shape.n_kv * s->shape.group && g_lengths[i] <= s->length; h++)
            check_head(isa, s, g_lengths[i] - 1, h);
}

static void check_same(const struct tensor_isa *isa, const struct sequence *s, const float *base,
                       const char *how)
{
    int64_t at = bits_differ(s->out, base, s->length * q_len(s->shape));
    if (at >= 0)
        ck_abort_msg("%s head_dim %lld n_kv %lld group %lld: %s changes the bits of row %lld",
                     isa->name, (long long)s->shape.head_dim, (long long)s->shape.n_kv,
                     (long long)s->shape.group, how, (long long)(at / q_len(s->shape)));
}

/* ---- tests ---- */

START_TEST(attention_is_near_its_formula)
{
    static const int64_t groups[] = { 1, 2, 3, 8 };
    int64_t head_dim = g_head_dims[_i];
    struct numbers rnd = numbers_start((uint64_t)_i);
    for (int s = 0; s < g_isa_count; s++) {
        for (int64_t n_kv = 1; n_kv <= 3; n_kv++) {
            for (int g = 0; g < (n_kv == 2 ? 1 : COUNT(groups)); g++) {
                struct shape shape = { head_dim, n_kv, groups[g], 0, 0 };
                int64_t length = n_kv == 1 && g == 2 ? LENGTH_MAX : 66;
                struct sequence seq = take_sequence(&rnd, shape, length);
                struct cache c = take_cache(g_isas[s], shape, blocks_for(&seq, 1),
                                            g ? GUARD_AFTER : GUARD_BEFORE);
                deal_blocks(&rnd, &c, &seq, 1);
                run_alone(&c, g_teams[g % TEAMS], &seq, 64);
                check_outputs(g_isas[s], &seq);
                give_cache(&c);
                give_sequence(&seq);
            }
        }
    }
}
END_TEST

/* Four sequences, alone in chunks and together, against each alone in one piece. */
static void check_chunks(const struct tensor_isa *isa, struct numbers *rnd, struct shape shape)
{
    static const int64_t chunks[] = { 1, 7, 8, 32, 33, 100 };
    static const int64_t lengths[SEQUENCES_MAX] = { 100, 33, 1, 71 };
    struct sequence seqs[SEQUENCES_MAX];
    float *base[SEQUENCES_MAX];
    for (int i = 0; i < SEQUENCES_MAX; i++)
        seqs[i] = take_sequence(rnd, shape, lengths[i]);
    uint64_t block_count = blocks_for(seqs, SEQUENCES_MAX);
    for (int i = 0; i < SEQUENCES_MAX; i++) {
        struct cache c = take_cache(isa, shape, block_count, GUARD_AFTER);
        deal_blocks(rnd, &c, seqs, SEQUENCES_MAX);
        run_alone(&c, g_teams[0], &seqs[i], lengths[i]);
        check_outputs(isa, &seqs[i]);
        give_cache(&c);
        base[i] = take_floats(lengths[i] * q_len(shape));
        memcpy(base[i], seqs[i].out, (size_t)(lengths[i] * q_len(shape)) * sizeof(float));
    }
    for (int t = 0; t < TEAMS; t++) {
        for (int i = 0; i < COUNT(chunks); i++) {
            struct cache c = take_cache(isa, shape, block_count, GUARD_BEFORE);
            deal_blocks(rnd, &c, seqs, SEQUENCES_MAX);
            run_alone(&c, g_teams[t], &seqs[0], chunks[i]);
            check_same(isa, &seqs[0], base[0], "a chunk length");
            give_cache(&c);
        }
        for (int round = 0; round < 2; round++) {
            struct cache c = take_cache(isa, shape, block_count, GUARD_AFTER);
            deal_blocks(rnd, &c, seqs, SEQUENCES_MAX);
            run_mixed(rnd, &c, g_teams[t], seqs, SEQUENCES_MAX);
            for (int i = 0; i < SEQUENCES_MAX; i++)
                check_same(isa, &seqs[i], base[i], "company in the batch");
            give_cache(&c);
        }
    }
    for (int i = 0; i < SEQUENCES_MAX; i++) {
        mem_free(base[i]);
        give_sequence(&seqs[i]);
    }
}

START_TEST(chunks_company_and_threads_change_no_bit)
{
    struct numbers rnd = numbers_start(100 + (uint64_t)_i);
    for (int s = 0; s < g_isa_count; s++) {
        check_chunks(g_isas[s], &rnd, (struct shape){ g_head_dims[_i], 3, 3, 0, 0 });
        if (_i % 2)
            check_chunks(g_isas[s], &rnd, (struct shape){ g_head_dims[_i], 1, 8, 0, 0 });
        else
            check_chunks(g_isas[s], &rnd, (struct shape){ g_head_dims[_i], 2, 1, 0, 0 });
    }
}
END_TEST

START_TEST(sets_that_share_bits_agree_on_attention)
{
    enum {
        LENGTH = 100
    };
    struct shape shape = { g_head_dims[_i], 2, 3, _i % 2 ? 40 : 0, 0 };
    struct numbers rnd = numbers_start(150 + (uint64_t)_i);
    struct sequence seq = take_sequence(&rnd, shape, LENGTH);
    float *base = take_floats(LENGTH * q_len(shape));
    for (int s = 1; s < g_isa_count; s++) {
        struct cache c = take_cache(g_isas[s], shape, 4, GUARD_AFTER);
        deal_blocks(&rnd, &c, &seq, 1);
        run_alone(&c, g_teams[0], &seq, LENGTH);
        if (s == 1)
            memcpy(base, seq.out, (size_t)(LENGTH * q_len(shape)) * sizeof *base);
        if (isas_share_bits(g_isas[1], g_isas[s]))
            check_same(g_isas[s], &seq, base, "another set for the same processors");
        give_cache(&c);
    }
    mem_free(base);
    give_sequence(&seq);
}
END_TEST

/* Finite or not, what a slot held before it was written makes no difference. */
START_TEST(old_contents_of_the_cache_reach_no_result)
{
    static const int bytes[] = { 0x00, 0x7b, 0x7c, 0xfc, 0x7f };
    struct shape shape = { g_head_dims[_i], 2, 3, 0, 0 };
    struct numbers rnd = numbers_start(200 + (uint64_t)_i);
    for (int s = 0; s < g_isa_count; s++) {
        struct sequence seq = take_sequence(&rnd, shape, 45);
        struct cache c = take_cache(g_isas[s], shape, 5, GUARD_AFTER);
        deal_blocks(&rnd, &c, &seq, 1);
        run_alone(&c, g_teams[0], &seq, 8);
        float *base = take_floats(45 * q_len(shape));
        memcpy(base, seq.out, (size_t)(45 * q_len(shape)) * sizeof *base);
        for (int i = 0; i < COUNT(bytes); i++) {
            memset(c.data.p, bytes[i], c.data.bytes);
            deal_blocks(&rnd, &c, &seq, 1);
            run_alone(&c, g_teams[1], &seq, i % 2 ? 45 : 9);
            check_same(g_isas[s], &seq, base, "old contents of the cache");
        }
        mem_free(base);
        give_cache(&c);
        give_sequence(&seq);
    }
}
END_TEST

/* Writing goes to the slot of the row's own position, layer and block, nowhere else. */
START_TEST(only_the_written_slots_of_the_layer_change)
{
    struct shape shape = { g_head_dims[_i], 2, 2, 0, 0 };
    struct numbers rnd = numbers_start(300 + (uint64_t)_i);
    for (int s = 0; s < g_isa_count; s++) {
        struct sequence seqs[2] = { take_sequence(&rnd, shape, 40),
                                    take_sequence(&rnd, shape, 40) };
        struct cache c = take_cache(g_isas[s], shape, 6, GUARD_AFTER);
        deal_blocks(&rnd, &c, seqs, 2);
        run_alone(&c, g_teams[0], &seqs[0], 40);
        size_t layer_bytes = (size_t)shape.n_kv * c.kv.head_bytes;
        uint8_t *before = mem_alloc(MEM_TENSOR, c.data.bytes);
        ck_assert_ptr_nonnull(before);
        memcpy(before, c.data.p, c.data.bytes);
        run_alone(&c, g_teams[1], &seqs[1], 9);
        const uint8_t *after = c.data.p;
        for (uint32_t b = 0; b < 6; b++) {
            bool own = b == seqs[1].table[0] || b == seqs[1].table[1];
            const uint8_t *first = after + b * c.kv.block_bytes;
            size_t same = own ? layer_bytes : c.kv.block_bytes; /* the first layer is not used */
            if (memcmp(first, before + b * c.kv.block_bytes, same) != 0)
                ck_abort_msg("%s: block %u changed", g_isas[s]->name, b);
        }
        mem_free(before);
        give_cache(&c);
        give_sequence(&seqs[0]);
        give_sequence(&seqs[1]);
    }
}
END_TEST

/*
 * A value too large for f16, or a NaN, belongs to its position: rows before it, in the same
 * chunk or not, keep their bits; rows from it on show it.
 */
START_TEST(a_damaged_value_or_key_reaches_no_earlier_row)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY, 1e6f };
    static const int64_t chunks[] = { 1, 8, 37, 80 };
    enum {
        LENGTH = 80,
        BAD = 37
    };
    struct shape shape = { g_head_dims[_i], 2, 3, 0, 0 };
    struct numbers rnd = numbers_start(400 + (uint64_t)_i);
    for (int s = 0; s < g_isa_count; s++) {
        struct sequence seq = take_sequence(&rnd, shape, LENGTH);
        struct cache c = take_cache(g_isas[s], shape, 3, GUARD_AFTER);
        deal_blocks(&rnd, &c, &seq, 1);
        run_alone(&c, g_teams[0], &seq, LENGTH);
        float *base = take_floats(LENGTH * q_len(shape));
        memcpy(base, seq.out, (size_t)(LENGTH * q_len(shape)) * sizeof *base);
        for (int i = s % 3; i < COUNT(bad) * 2 * COUNT(chunks); i += 3) { /* a third each */
            float *array = i % 2 ? seq.v : seq.k;
            float *x = array + BAD * kv_len(shape) + shape.head_dim; /* of KV head 1 */
            float value = bad[i / 2 % COUNT(bad)];
            float sound = *x;
            *x = value;
            run_alone(&c, g_teams[1], &seq, chunks[i / 2 / COUNT(bad)]);
            *x = sound;
            int64_t at = bits_differ(seq.out, base, BAD * q_len(shape));
            if (at >= 0)
                ck_abort_msg("%s head_dim %lld: %g in a %s of row %d, chunks of %lld, changes row "
                             "%lld",
                             g_isas[s]->name, (long long)shape.head_dim, (double)value,
                             i % 2 ? "value" : "key", BAD, (long long)chunks[i / 2 / COUNT(bad)],
                             (long long)(at / q_len(shape)));
            for (int64_t r = BAD; r < LENGTH; r++) {
                const float *head = seq.out + r * q_len(shape);
                ck_assert_int_eq(
                    bits_differ(head, base + r * q_len(shape), shape.group * shape.head_dim), -1);
                if (isnan(value) && !isnan(head[shape.group * shape.head_dim]))
                    ck_abort_msg("%s: a NaN in a %s of row %d does not show in row %lld",
                                 g_isas[s]->name, i % 2 ? "value" : "key", BAD, (long long)r);
            }
        }
        mem_free(base);
        give_cache(&c);
        give_sequence(&seq);
    }
}
END_TEST

START_TEST(a_nan_in_a_query_shows_in_its_head_and_nowhere_else)
{
    enum {
        LENGTH = 70,
        BAD = 35
    };
    struct shape shape = { g_head_dims[_i], 2, 2, 0, 0 };
    struct numbers rnd = numbers_start(500 + (uint64_t)_i);
    int64_t dim = shape.head_dim;
    for (int s = 0; s < g_isa_count; s++) {
        struct sequence seq = take_sequence(&rnd, shape, LENGTH);
        struct cache c = take_cache(g_isas[s], shape, 3, GUARD_AFTER);
        deal_blocks(&rnd, &c, &seq, 1);
        run_alone(&c, g_teams[0], &seq, LENGTH);
        float *base = take_floats(LENGTH * q_len(shape));
        memcpy(base, seq.out, (size_t)(LENGTH * q_len(shape)) * sizeof *base);
        seq.q[BAD * q_len(shape) + dim + dim - 1] = NAN; /* the last dimension of head 1 */
        run_alone(&c, g_teams[1], &seq, 16);
        for (int64_t i = 0; i < LENGTH * q_len(shape) / dim; i++) {
            const float *head = seq.out + i * dim;
            bool bad = i == BAD * q_len(shape) / dim + 1;
            if (!bad && bits_differ(head, base + i * dim, dim) >= 0)
                ck_abort_msg("%s: the NaN reached head %lld", g_isas[s]->name, (long long)i);
            for (int64_t d = 0; d < dim && bad; d++)
                if (!isnan(head[d]))
                    ck_abort_msg("%s: a NaN query gave %g", g_isas[s]->name, (double)head[d]);
        }
        mem_free(base);
        give_cache(&c);
        give_sequence(&seq);
    }
}
END_TEST

/* ---- windows ---- */

static const int64_t g_windows[] = { 1, 5, 32, 33, 64 };
static const int64_t g_window_dims[] = { 20, 64, 128 };

/* The windows begin and end at every place of a tile of keys, for some rows of a group first. */
START_TEST(windows_are_near_their_formula_whatever_the_chunks_and_the_company)
{
    struct numbers rnd = numbers_start(700 + (uint64_t)_i);
    for (int s = 0; s < g_isa_count; s++)
        for (int i = 0; i < COUNT(g_window_dims); i++)
            check_chunks(g_isas[s], &rnd,
                         (struct shape){ .head_dim = g_window_dims[i],
                                         .n_kv = 1 + i,
                                         .group = i == 1 ? 3 : 1,
                                         .window = g_windows[_i],
                                         .scale = i == 2 ? 0.25f : 0 });
}
END_TEST

/* What a key or a value outside a row's window holds makes no difference to that row. */
START_TEST(a_damaged_value_or_key_reaches_no_row_whose_window_it_has_left)
{
    static const float bad[] = { NAN, INFINITY, 1e6f };
    static const int64_t chunks[] = { 1, 8, 37, 150 };
    enum {
        LENGTH = 150,
        BAD = 37
    };
    struct shape shape = { 64, 2, 3, g_windows[_i], 0 };
    struct numbers rnd = numbers_start(800 + (uint64_t)_i);
    for (int s = 0; s < g_isa_count; s++) {
        struct sequence seq = take_sequence(&rnd, shape, LENGTH);
        struct cache c = take_cache(g_isas[s], shape, 5, GUARD_AFTER);
        deal_blocks(&rnd, &c, &seq, 1);
        run_alone(&c, g_teams[0], &seq, LENGTH);
        float *base = take_floats(LENGTH * q_len(shape));
        memcpy(base, seq.out, (size_t)(LENGTH * q_len(shape)) * sizeof *base);
        for (int i = s % 3; i < COUNT(bad) * 2 * COUNT(chunks); i += 3) { /* a third each */
            float *x = (i % 2 ? seq.v : seq.k) + BAD * kv_len(shape) + 5; /* of KV head 0 */
            float value = bad[i / 2 % COUNT(bad)];
            float sound = *x;
            *x = value;
            run_alone(&c, g_teams[1], &seq, chunks[i / 2 / COUNT(bad)]);
            *x = sound;
            for (int64_t r = 0; r < LENGTH; r++) {
                bool sees = r >= BAD && r < BAD + shape.window;
                const float *out = seq.out + r * q_len(shape);
                if (!sees && bits_differ(out, base + r * q_len(shape), q_len(shape)) >= 0)
                    ck_abort_msg("%s window %lld: %g in a %s of row %d, chunks of %lld, changes "
                                 "row %lld",
                                 g_isas[s]->name, (long long)shape.window, (double)value,
                                 i % 2 ? "value" : "key", BAD,
                                 (long long)chunks[i / 2 / COUNT(bad)], (long long)r);
                if (sees && isnan(value) && !isnan(out[5]))
                    ck_abort_msg("%s window %lld: a NaN in a %s does not show in row %lld",
                                 g_isas[s]->name, (long long)shape.window, i % 2 ? "value" : "key",
                                 (long long)r);
            }
        }
        mem_free(base);
        give_cache(&c);
        give_sequence(&seq);
    }
}
END_TEST

START_TEST(a_window_longer_than_the_context_changes_no_bit)
{
    enum {
        LENGTH = 100
    };
    static const int64_t windows[] = { LENGTH, LENGTH + 1, 1 << 30 };
    struct shape shape = { .head_dim = 64, .n_kv = 2, .group = 2 };
    struct numbers rnd = numbers_start(900);
    for (int s = 0; s < g_isa_count; s++) {
        struct sequence seq = take_sequence(&rnd, shape, LENGTH);
        struct cache c = take_cache(g_isas[s], shape, 4, GUARD_AFTER);
        deal_blocks(&rnd, &c, &seq, 1);
        run_alone(&c, g_teams[0], &seq, LENGTH);
        float *base = take_floats(LENGTH * q_len(shape));
        memcpy(base, seq.out, (size_t)(LENGTH * q_len(shape)) * sizeof *base);
        for (int i = 0; i < COUNT(windows); i++) {
            seq.shape.window = windows[i];
            run_alone(&c, g_teams[1], &seq, 9);
            check_same(g_isas[s], &seq, base, "a window longer than the context");
        }
        mem_free(base);
        give_cache(&c);
        give_sequence(&seq);
    }
}
END_TEST

/* ---- copies ---- */

/* A sequence goes on from a copy of its last, half full block with the bits of the original. */
START_TEST(a_copied_block_serves_like_the_original_and_no_other_changes)
{
    enum {
        LENGTH = 80,
        FORK = 45,
        BLOCKS = 5
    };
    struct shape shape = { .head_dim = 80, .n_kv = 3, .group = 2 };
    struct numbers rnd = numbers_start(1000);
    for (int s = 0; s < g_isa_count; s++) {
        struct sequence seq = take_sequence(&rnd, shape, LENGTH);
        struct cache c = take_cache(g_isas[s], shape, BLOCKS, GUARD_BEFORE);
        deal_blocks(&rnd, &c, &seq, 1);
        run_alone(&c, g_teams[0], &seq, LENGTH);
        float *base = take_floats(LENGTH * q_len(shape));
        memcpy(base, seq.out, (size_t)(LENGTH * q_len(shape)) * sizeof *base);

        seq.done = 0;
        run_batch(&c, g_teams[0], &(struct part){ &seq, FORK }, 1);
        uint32_t from = seq.table[FORK / TENSOR_KV_BLOCK];
        uint32_t to = 0;
        while (to == seq.table[0] || to == seq.table[1] || to == seq.table[2])
            to++;
        uint8_t *before = mem_alloc(MEM_TENSOR, c.data.bytes);
        ck_assert_ptr_nonnull(before);
        memcpy(before, c.data.p, c.data.bytes);
        tensor_kv_copy(&c.kv, to, from);
        for (uint32_t b = 0; b < BLOCKS; b++)
            ck_assert_int_eq(memcmp((uint8_t *)c.data.p + b * c.kv.block_bytes,
                                    before + (b == to ? from : b) * c.kv.block_bytes,
                                    c.kv.block_bytes),
                             0);
        /* What the original's owner writes from now on does not show. */
        memset((uint8_t *)c.data.p + from * c.kv.block_bytes, 0xff, c.kv.block_bytes);
        seq.table[FORK / TENSOR_KV_BLOCK] = to;
        run_batch(&c, g_teams[1], &(struct part){ &seq, LENGTH - FORK }, 1);
        check_same(g_isas[s], &seq, base, "a copied block");
        mem_free(before);
        mem_free(base);
        give_cache(&c);
        give_sequence(&seq);
    }
}
END_TEST

/* Scores of hundreds: the largest wins, wherever it stands, and nothing overflows. */
START_TEST(large_scores_do_not_overflow)
{
    enum {
        LENGTH = 70
    };
    struct shape shape = { 64, 1, 1, 0, 0 };
    struct numbers rnd = numbers_start(600);
    for (int s = 0; s < g_isa_count; s++) {
        for (int64_t top = 0; top < LENGTH; top += 23) {
            struct sequence seq = take_sequence(&rnd, shape, LENGTH);
            for (int64_t i = 0; i < LENGTH * 64; i++) {
                seq.q[i] = 16;
                seq.k[i] = i / 64 == top ? 8.0f : -8.0f;
            }
            struct cache c = take_cache(g_isas[s], shape, 3, GUARD_AFTER);
            deal_blocks(&rnd, &c, &seq, 1);
            run_alone(&c, g_teams[0], &seq, 33);
            for (int64_t r = top; r < LENGTH; r++)
                for (int64_t d = 0; d < 64; d++)
                    if (!(fabs((double)seq.out[r * 64 + d] -
                               stored(g_isas[s], seq.v[top * 64 + d])) <= 1e-6))
                        ck_abort_msg("%s: row %lld did not choose key %lld", g_isas[s]->name,
                                     (long long)r, (long long)top);
            give_cache(&c);
            give_sequence(&seq);
        }
    }
}
END_TEST

START_TEST(a_batch_of_no_rows_writes_nothing)
{
    struct shape shape = { 64, 3, 3, 0, 0 };
    for (int s = 0; s < g_isa_count; s++) {
        struct cache c = take_cache(g_isas[s], shape, 1, GUARD_AFTER);
        struct tensor_ctx ctx;
        ck_assert_int_eq(tensor_ctx_init(&ctx, g_isas[s], g_teams[1], 1, 32), OK);
        struct guarded none = guarded_take(0, GUARD_AFTER);
        struct tensor_rows rows = { 0 };
        const struct tensor_attention_args args = { .n_heads = 9, .scale = 1 };
        tensor_kv_write(&ctx, &c.kv, args.layer, none.p, none.p, &rows, 0, 0);
        tensor_attention(&ctx, none.p, none.p, &c.kv, &args, &rows);
        guarded_give(&none);
        tensor_ctx_fini(&ctx);
        give_cache(&c);
    }
}
END_TEST

int main(void)
{
    numbers_announce();
    Suite *s = suite_create("attention");
    TCase *tc = tcase_create("attention");
    tcase_set_timeout(tc, 90);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, attention_is_near_its_formula, 0, COUNT(g_head_dims));
    tcase_add_loop_test(tc, chunks_company_and_threads_change_no_bit, 0, COUNT(g_head_dims));
    tcase_add_loop_test(tc, sets_that_share_bits_agree_on_attention, 0, COUNT(g_head_dims));
    tcase_add_loop_test(tc, old_contents_of_the_cache_reach_no_result, 0, COUNT(g_head_dims));
    tcase_add_loop_test(tc, only_the_written_slots_of_the_layer_change, 0, COUNT(g_head_dims));
    tcase_add_loop_test(tc, a_damaged_value_or_key_reaches_no_earlier_row, 0, COUNT(g_head_dims));
    tcase_add_loop_test(tc, a_nan_in_a_query_shows_in_its_head_and_nowhere_else, 0,
                        COUNT(g_head_dims));
    tcase_add_loop_test(tc, windows_are_near_their_formula_whatever_the_chunks_and_the_company, 0,
                        COUNT(g_windows));
    tcase_add_loop_test(tc, a_damaged_value_or_key_reaches_no_row_whose_window_it_has_left, 0,
                        COUNT(g_windows));
    tcase_add_test(tc, a_window_longer_than_the_context_changes_no_bit);
    tcase_add_test(tc, a_copied_block_serves_like_the_original_and_no_other_changes);
    tcase_add_test(tc, large_scores_do_not_overflow);
    tcase_add_test(tc, a_batch_of_no_rows_writes_nothing);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
