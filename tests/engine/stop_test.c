/*
 * Stop strings: what is released must be a function of the text, however it came in pieces.
 * The reference reads the text byte by byte: it ends at the first byte that completes a stop
 * string, and of several completed there the longest is cut off.
 */
#include <stdio.h>
#include <string.h>

#include "engine/stop.h"
#include "engine/suite.h"
#include "tiny_model.h"

enum {
    TEXT_MAX = 64,
    PIECE_MAX = 64,
    STOPS_MAX = VALET_STOPS_MAX
};

struct answer {
    size_t len; /* bytes of the text that are released in all */
    bool stopped;
    size_t consumed; /* bytes that had come when it stopped */
};

static struct answer expected_of(const char *text, size_t len, const struct valet_stop *stops,
                                 uint32_t count)
{
    for (size_t end = 1; end <= len; end++) {
        size_t longest = 0;
        for (uint32_t i = 0; i < count; i++) {
            size_t n = stops[i].len;
            if (n <= end && n > longest && memcmp(text + end - n, stops[i].text, n) == 0)
                longest = n;
        }
        if (longest > 0)
            return (struct answer){ end - longest, true, end };
    }
    return (struct answer){ len, false, len };
}

/* The longest end of text[0..len) that a stop string could still begin with. */
static size_t held_of(const char *text, size_t len, const struct valet_stop *stops, uint32_t count)
{
    for (size_t n = len; n > 0; n--) {
        for (uint32_t i = 0; i < count; i++) {
            if (n < stops[i].len && memcmp(text + len - n, stops[i].text, n) == 0)
                return n;
        }
    }
    return 0;
}

struct feed {
    struct engine_stop stop;
    char buffer[VALET_STOP_BYTES_MAX + PIECE_MAX];
    char out[TEXT_MAX];
    size_t out_len;
};

static void feed_open(struct feed *f, const struct valet_stop *stops, uint32_t count)
{
    EXPECT(engine_stop_bytes(PIECE_MAX) <= sizeof f->buffer, "the buffer is too small");
    memset(f->buffer, 'a', sizeof f->buffer); /* what was there must not matter */
    engine_stop_init(&f->stop, stops, count, f->buffer, PIECE_MAX);
    f->out_len = 0;
}

static void feed_release(struct feed *f, size_t n)
{
    memcpy(f->out + f->out_len, f->stop.text, n);
    f->out_len += n;
    engine_stop_released(&f->stop, n);
}

/* Feeds the text cut where `cuts` has a bit; checks each step and the whole. */
static void check_split(const char *text, size_t len, const struct valet_stop *stops,
                        uint32_t count, uint64_t cuts)
{
    struct answer expected = expected_of(text, len, stops, count);
    struct feed f;
    feed_open(&f, stops, count);
    bool stopped = false;
    size_t begin = 0;
    while (begin < len && !stopped) {
        size_t end = begin + 1;
        while (end < len && !(cuts >> (end - 1) & 1))
            end++;
        struct engine_stop_result result = engine_stop_add(&f.stop, text + begin, end - begin);
        stopped = result.matched;
        EXPECT(result.release <= f.stop.len, "releases what is not there");
        if (stopped)
            EXPECT(result.match_end <= f.stop.len && result.index < count &&
                       result.match_end - result.release == stops[result.index].len &&
                       memcmp(f.stop.text + result.release, stops[result.index].text,
                              stops[result.index].len) == 0,
                   "'%.*s' names another stop string", (int)len, text);
        feed_release(&f, result.release);
        if (stopped)
            EXPECT(expected.consumed > begin && expected.consumed <= end,
                   "'%.*s' stopped in the wrong piece", (int)len, text);
        else
            EXPECT(f.stop.len == held_of(text, end, stops, count),
                   "'%.*s' holds %zu bytes, expected %zu", (int)end, text, f.stop.len,
                   held_of(text, end, stops, count));
        begin = end;
    }
    if (!stopped)
        feed_release(&f, f.stop.len); /* the text ends */
    EXPECT(stopped == expected.stopped, "'%.*s' cut by %llx: stopped %d", (int)len, text,
           (unsigned long long)cuts, stopped);
    EXPECT(f.out_len == expected.len && memcmp(f.out, text, f.out_len) == 0,
           "'%.*s' cut by %llx: released '%.*s', expected '%.*s'", (int)len, text,
           (unsigned long long)cuts, (int)f.out_len, f.out, (int)expected.len, text);
}

static void check_all_splits(const char *text, const struct valet_stop *stops, uint32_t count)
{
    size_t len = strlen(text);
    for (uint64_t cuts = 0; cuts < UINT64_C(1) << (len - 1); cuts++)
        check_split(text, len, stops, count, cuts);
}

START_TEST(any_split_releases_the_same_text)
{
    static const struct valet_stop one[] = { { "END", 3 } };
    static const struct valet_stop selfish[] = { { "aab", 3 } };
    static const struct valet_stop nested[] = { { "abab", 4 }, { "ba", 2 } };
    static const struct valet_stop inside[] = { { "xaby", 4 }, { "b", 1 } };
    static const struct valet_stop prefix[] = { { "aaaa", 4 }, { "aa", 2 } };
    check_all_splits("no stop in E EN", one, 1);
    check_all_splits("some ENENDmore", one, 1);
    check_all_splits("END", one, 1);
    check_all_splits("aaaaaab", selfish, 1);
    check_all_splits("aabaab", selfish, 1);
    check_all_splits("cababab", nested, 2);
    check_all_splits("wxabyz", inside, 2);
    check_all_splits("aaaaaa", prefix, 2);
    check_all_splits("trailing EN", one, 1);
    check_all_splits("without any", NULL, 0);
}
END_TEST

START_TEST(utf8_characters_are_bytes_like_others)
{
    static const struct valet_stop stops[] = { { "\xc3\xa9\xe2\x82\xac", 5 }, { "\n\n", 2 } };
    check_all_splits("a\xc3\xa9\xc3\xa9\xe2\x82\xac!", stops, 2);
    check_all_splits("a\n \n\n", stops, 2);
}
END_TEST

/* Random texts over two letters: every overlap there can be. */
START_TEST(random_texts_equal_the_reference)
{
    struct tiny_random r = { 21 };
    int stops_hit = 0;
    int rounds = suite_is_slow() ? 10000 : 60000;
    for (int round = 0; round < rounds; round++) {
        char texts[STOPS_MAX][8];
        struct valet_stop stops[STOPS_MAX];
        uint32_t count = 1 + (uint32_t)tiny_random_below(&r, round % 50 ? 4 : STOPS_MAX);
        for (uint32_t i = 0; i < count; i++) {
            stops[i] = (struct valet_stop){ texts[i], 1 + (uint32_t)tiny_random_below(&r, 7) };
            if (round % 3)
                stops[i].len = 3 + stops[i].len / 2; /* fewer that match at once */
            for (uint32_t j = 0; j < stops[i].len; j++)
                texts[i][j] = (char)('a' + tiny_random_below(&r, 2));
        }
        char text[TEXT_MAX];
        size_t len = 1 + (size_t)tiny_random_below(&r, 40);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + tiny_random_below(&r, 2));
        uint64_t cuts = tiny_random_u64(&r) | (round % 2 ? 0 : tiny_random_u64(&r));
        check_split(text, len, stops, count, cuts);
        stops_hit += expected_of(text, len, stops, count).stopped;
    }
    printf("%d of %d texts stopped (seed 21)\n", stops_hit, rounds);
    ck_assert_int_gt(stops_hit, rounds / 10);
    ck_assert_int_lt(stops_hit, rounds - rounds / 20);
}
END_TEST

START_TEST(the_longest_stop_fits_beside_the_longest_piece)
{
    static char stop_text[VALET_STOP_BYTES_MAX];
    memset(stop_text, 'a', sizeof stop_text);
    stop_text[sizeof stop_text - 1] = 'b';
    struct valet_stop stop = { stop_text, sizeof stop_text };
    char piece[PIECE_MAX];
    memset(piece, 'a', sizeof piece);
    struct engine_stop s;
    char *buffer = malloc(engine_stop_bytes(PIECE_MAX)); /* exactly: sanitizers see one more */
    engine_stop_init(&s, &stop, 1, buffer, PIECE_MAX);
    size_t total = 0;
    for (int i = 0; i < 20; i++) {
        struct engine_stop_result result = engine_stop_add(&s, piece, sizeof piece);
        ck_assert(!result.matched);
        total += result.release;
        engine_stop_released(&s, result.release);
    }
    ck_assert_uint_eq(s.len, sizeof stop_text - 1); /* 255 letters a could begin it */
    ck_assert_uint_eq(total + s.len, 20 * sizeof piece);
    struct engine_stop_result result = engine_stop_add(&s, "b", 1);
    ck_assert(result.matched);
    ck_assert_uint_eq(result.release, 0);
    free(buffer);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("unit");
    tcase_add_test(t, any_split_releases_the_same_text);
    tcase_add_test(t, utf8_characters_are_bytes_like_others);
    tcase_add_test(t, random_texts_equal_the_reference);
    tcase_add_test(t, the_longest_stop_fits_beside_the_longest_piece);
    return suite_run("stop", t);
}
