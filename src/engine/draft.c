/*
 * Speculation without a second model: what followed the last tokens when they stood in this
 * sequence before is taken for a draft of what comes next (prompt lookup decoding, Saxena 2023).
 * The step computes it in rows of its own and draws behind each row as if it were alone, so a
 * draft that is wrong costs its row and changes nothing (step.c).
 */
#include <string.h>

#include "engine/engine_int.h"

enum {
    NGRAM = 3, /* tokens that must be the same */
    WAIT_MIN = 4,
    WAIT_MAX = 64
};

/* Where what followed begins, in the latest place that looks the same; -1: nowhere. */
static int32_t find_same(const int32_t *ids, int32_t known)
{
    const int32_t *last = ids + known - NGRAM;
    for (int32_t at = known - NGRAM - 1; at >= 0; at--) {
        if (ids[at] == last[0] && memcmp(ids + at, last, NGRAM * sizeof *ids) == 0)
            return at + NGRAM;
    }
    return -1;
}

int32_t engine_draft(struct engine_seq *s, int32_t most)
{
    int32_t held = s->block_count * TENSOR_KV_BLOCK - s->known; /* no block for a guess */
    int32_t wanted = s->request->max_new - s->generated - 1;
    int32_t n = most < ENGINE_DRAFT_MAX ? most : ENGINE_DRAFT_MAX;
    n = n < held ? n : held;
    n = n < wanted ? n : wanted;
    if (n <= 0 || s->generated == 0 || s->generated < s->draft_from)
        return 0;
    int32_t from = find_same(s->ids, s->known);
    if (from < 0)
        return 0;
    for (int32_t i = 0; i < n; i++) /* where few followed, the draft follows itself */
        s->ids[s->known + i] = s->ids[from + i];
    return n;
}

void engine_draft_note(struct engine_seq *s, int32_t drafted, int32_t accepted)
{
    if (2 * accepted >= drafted) {
        s->draft_wait = 0;
        return;
    }
    s->draft_wait = s->draft_wait == 0 ? WAIT_MIN : 2 * s->draft_wait;
    if (s->draft_wait > WAIT_MAX)
        s->draft_wait = WAIT_MAX;
    s->draft_from = s->generated + s->draft_wait;
}
