/*
 * Dequantisation against tests/golden/dequant_types.txt, the values of the gguf package: every
 * tensor type, bit for bit, at any address and wherever the block stands in a row.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/dequant.h"
#include "tensor/support.h"
#include "tensor/tensor.h"

static const char g_path[] = "tests/golden/dequant_types.txt";

enum {
    BLOCKS_MAX = 128,
    LINE_MAX_LEN = 8 * TENSOR_BLOCK_MAX
};

struct golden {
    char name[16];
    unsigned type;
    int block_len;
    int block_bytes;
    int n_blocks;
    uint8_t *bytes; /* [n_blocks][block_bytes] */
    float *values;  /* [n_blocks][block_len] */
};

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Two digits for each of `count` bytes. */
static void read_bytes(FILE *f, uint8_t *p, int count)
{
    char line[LINE_MAX_LEN + 1];
    ck_assert_int_eq(fscanf(f, "%2048s", line), 1);
    ck_assert_uint_eq(strlen(line), (size_t)count * 2);
    for (int i = 0; i < count; i++)
        p[i] = (uint8_t)(digit(line[2 * i]) << 4 | digit(line[2 * i + 1]));
}

/* Eight digits for each of `count` floats, the highest first. */
static void read_floats(FILE *f, float *p, int count)
{
    uint8_t bytes[4 * TENSOR_BLOCK_MAX];
    read_bytes(f, bytes, 4 * count);
    for (int i = 0; i < count; i++) {
        const uint8_t *b = bytes + 4 * i;
        uint32_t bits = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        memcpy(p + i, &bits, sizeof bits);
    }
}

/* False at the end of the file. Gives: give_type. */
static bool take_type(FILE *f, struct golden *g)
{
    *g = (struct golden){ .type = 0 };
    int got = fscanf(f, " type %15s %u %d %d %d", g->name, &g->type, &g->block_len, &g->block_bytes,
                     &g->n_blocks);
    if (got == EOF)
        return false;
    ck_assert_int_eq(got, 5);
    ck_assert_int_le(g->block_len, TENSOR_BLOCK_MAX);
    ck_assert_int_le(g->block_bytes, TENSOR_BLOCK_BYTES_MAX);
    ck_assert_int_le(g->n_blocks, BLOCKS_MAX);
    g->bytes = calloc((size_t)g->n_blocks, (size_t)g->block_bytes);
    g->values = calloc((size_t)(g->n_blocks * g->block_len), sizeof *g->values);
    ck_assert(g->bytes && g->values);
    for (int i = 0; i < g->n_blocks; i++) {
        read_bytes(f, g->bytes + i * g->block_bytes, g->block_bytes);
        read_floats(f, g->values + i * g->block_len, g->block_len);
    }
    return true;
}

static void give_type(struct golden *g)
{
    free(g->bytes);
    free(g->values);
}

static FILE *open_golden(void)
{
    FILE *f = fopen(g_path, "r");
    ck_assert_msg(f != NULL, "%s cannot be opened", g_path);
    int c;
    while ((c = fgetc(f)) == '#')
        while (c != '\n' && c != EOF)
            c = fgetc(f);
    ungetc(c, f);
    return f;
}

static void check_values(const struct golden *g, const float *got, int first, int n_blocks)
{
    const float *want = g->values + first * g->block_len;
    int64_t at = bits_differ(got, want, (int64_t)n_blocks * g->block_len);
    if (at >= 0)
        ck_abort_msg("%s: block %lld, element %lld is %a, not %a", g->name,
                     (long long)(first + at / g->block_len), (long long)(at % g->block_len),
                     (double)got[at], (double)want[at]);
}

/* All blocks as one row, each alone, both between pages that cannot be touched. */
static void check_type(const struct golden *g)
{
    const struct tensor_type_info *info = tensor_type_info(g->type);
    ck_assert_msg(info != NULL, "%s is not known", g->name);
    ck_assert_str_eq(info->name, g->name);
    ck_assert_int_eq(info->block_len, g->block_len);
    ck_assert_int_eq(info->block_bytes, g->block_bytes);
    enum tensor_type type = (enum tensor_type)g->type;
    size_t bytes = (size_t)(g->n_blocks * g->block_bytes);
    for (int n = g->n_blocks; n >= 1; n -= n > 1 ? n - 1 : 1) {
        for (int first = 0; first + n <= g->n_blocks; first += n) {
            enum guard_side side = first % 2 ? GUARD_BEFORE : GUARD_AFTER;
            struct guarded blocks = guarded_take(bytes / (size_t)g->n_blocks * (size_t)n, side);
            struct guarded y = guarded_take((size_t)(n * g->block_len) * sizeof(float), side);
            memcpy(blocks.p, g->bytes + first * g->block_bytes, blocks.bytes);
            tensor_dequant(type, blocks.p, (int64_t)n * g->block_len, y.p);
            check_values(g, y.p, first, n);
            guarded_give(&y);
            guarded_give(&blocks);
        }
    }
}

START_TEST(every_type_has_the_values_of_the_gguf_package)
{
    FILE *f = open_golden();
    struct golden g;
    int types = 0;
    for (; take_type(f, &g); types++) {
        check_type(&g);
        give_type(&g);
    }
    ck_assert_int_eq(types, 16);
    fclose(f);
}
END_TEST

START_TEST(every_known_type_is_in_the_file)
{
    for (uint32_t type = 0; type < 300; type++) {
        if (!tensor_type_info(type))
            continue;
        FILE *f = open_golden();
        struct golden g;
        bool found = false;
        while (!found && take_type(f, &g)) {
            found = g.type == type;
            give_type(&g);
        }
        ck_assert_msg(found, "%s is not tested", tensor_type_info(type)->name);
        fclose(f);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dequant");
    TCase *tc = tcase_create("dequant");
    tcase_add_test(tc, every_type_has_the_values_of_the_gguf_package);
    tcase_add_test(tc, every_known_type_is_in_the_file);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
