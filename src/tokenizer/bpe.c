/*
 * Merging the symbols of a piece: the tokens of its bytes, for SentencePiece of its
 * characters. Short pieces, which are nearly all, are merged in an array:
 * look for the best pair, merge it, look again. Long ones are a linked list with a heap of
 * the pairs in it, best rank first, then leftmost.
 *
 * Invariants of the heap:
 *  1. Every pair of neighbours that has a merge is in the heap, under the position of its
 *     left symbol.
 *  2. An entry may be stale: its symbols have changed since. It is valid if the pair at its
 *     position has its rank now. If that is another pair of the same rank, which only scores
 *     can have, the entry is as good as that pair's own.
 *  3. It never holds more than two entries a symbol: one for each pair at the start, and
 *     each merge takes one out and puts at most two in.
 */
#include "tokenizer/tokenizer_int.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    SHORT_MAX = 32
};

void tokenizer_bpe_work_fini(struct tokenizer_bpe_work *w)
{
    mem_free(w->ids);
    mem_free(w->symbols);
    mem_free(w->heap);
    *w = (struct tokenizer_bpe_work){ 0 };
}

/* Takes out the pair at `at`: found[i] is the merge of ids[i] and ids[i + 1]. */
static void merge_at(const struct tokenizer_merges *m, int32_t *ids,
                     const struct tokenizer_merge **found, size_t count, size_t at)
{
    size_t behind = count - at - 2; /* symbols to the right of the pair */
    ids[at] = found[at]->id;
    memmove(ids + at + 1, ids + at + 2, behind * sizeof *ids);
    if (behind > 1)
        memmove(found + at + 1, found + at + 2, (behind - 1) * sizeof *found);
    if (behind > 0)
        found[at] = tokenizer_merges_find(m, ids[at], ids[at + 1]);
    if (at > 0)
        found[at - 1] = tokenizer_merges_find(m, ids[at - 1], ids[at]);
}

/* Merges ids[count], 1 <= count <= SHORT_MAX; returns how many are left. */
static size_t merge_short(const struct tokenizer_merges *m, int32_t *ids, size_t count)
{
    const struct tokenizer_merge *found[SHORT_MAX];
    for (size_t i = 0; i + 1 < count; i++)
        found[i] = tokenizer_merges_find(m, ids[i], ids[i + 1]);
    for (;;) {
        size_t best = SHORT_MAX;
        for (size_t i = 0; i + 1 < count; i++) {
            if (found[i] && (best == SHORT_MAX || found[i]->rank < found[best]->rank))
                best = i;
        }
        if (best == SHORT_MAX)
            return count;
        merge_at(m, ids, found, count, best);
        count--;
    }
}

static void heap_push(struct tokenizer_bpe_work *w, uint64_t entry)
{
    DCHECK(w->heap_count < 2 * w->cap);
    size_t i = w->heap_count++;
    while (i > 0 && w->heap[(i - 1) / 2] > entry) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = entry;
}

/* The least entry. heap_count > 0. */
static uint64_t heap_pop(struct tokenizer_bpe_work *w)
{
    uint64_t least = w->heap[0];
    uint64_t moved = w->heap[--w->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->heap_count)
            break;
        if (child + 1 < w->heap_count && w->heap[child + 1] < w->heap[child])
            child++;
        if (w->heap[child] >= moved)
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = moved;
    return least;
}

/* The merge of the symbol at `at` and the one behind it, or NULL. */
static const struct tokenizer_merge *merge_of(const struct tokenizer_merges *m,
                                              const struct tokenizer_bpe_work *w, int32_t at)
{
    const struct tokenizer_symbol *s = &w->symbols[at];
    if (s->id < 0 || s->next < 0)
        return NULL;
    return tokenizer_merges_find(m, s->id, w->symbols[s->next].id);
}

static void offer(const struct tokenizer_merges *m, struct tokenizer_bpe_work *w, int32_t at)
{
    const struct tokenizer_merge *merge = merge_of(m, w, at);
    if (merge)
        heap_push(w, (uint64_t)merge->rank << 32 | (uint32_t)at);
}

static void merge_long(const struct tokenizer_merges *m, struct tokenizer_bpe_work *w,
                       int32_t count)
{
    w->heap_count = 0;
    for (int32_t at = 0; at < count; at++)
        offer(m, w, at);
    while (w->heap_count > 0) {
        uint64_t entry = heap_pop(w);
        int32_t at = (int32_t)(uint32_t)entry;
        const struct tokenizer_merge *merge = merge_of(m, w, at);
        if (!merge || merge->rank != entry >> 32)
            continue;
        struct tokenizer_symbol *left = &w->symbols[at];
        struct tokenizer_symbol *right = &w->symbols[left->next];
        left->id = merge->id;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0)
            w->symbols[left->next].prev = at;
        offer(m, w, at);
        if (left->prev >= 0)
            offer(m, w, left->prev);
    }
}

/* Merges ids[count] through the list; returns how many are left. */
static size_t merge_listed(const struct tokenizer_merges *m, struct tokenizer_bpe_work *w,
                           int32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        w->symbols[i] = (struct tokenizer_symbol){ ids[i], (int32_t)i - 1, (int32_t)i + 1 };
    w->symbols[count - 1].next = -1;
    merge_long(m, w, (int32_t)count);
    size_t left = 0;
    for (int32_t at = 0; at >= 0; at = w->symbols[at].next)
        ids[left++] = w->symbols[at].id;
    return left;
}

static enum base_err list_reserve(struct tokenizer_bpe_work *w, size_t count)
{
    if (count <= w->cap)
        return OK;
    mem_free(w->symbols);
    mem_free(w->heap);
    w->cap = 0;
    w->symbols = mem_calloc(MEM_TOKENIZER, count, sizeof *w->symbols);
    w->heap = mem_calloc(MEM_TOKENIZER, 2 * count, sizeof *w->heap);
    if (!w->symbols || !w->heap)
        return E_NOMEM;
    w->cap = count;
    return OK;
}

enum base_err tokenizer_bpe_merge(const struct tokenizer_merges *m, struct tokenizer_bpe_work *w,
                                  int32_t *ids, size_t *count)
{
    if (*count <= 1)
        return OK;
    if (*count <= SHORT_MAX) {
        *count = merge_short(m, ids, *count);
        return OK;
    }
    if (*count > INT32_MAX)
        return E_TOO_BIG;
    enum base_err rc = list_reserve(w, *count);
    if (!rc)
        *count = merge_listed(m, w, ids, *count);
    return rc;
}

enum base_err tokenizer_bpe_work_ids(struct tokenizer_bpe_work *w, size_t count)
{
    if (count <= w->ids_cap)
        return OK;
    size_t bytes;
    if (__builtin_mul_overflow(count, sizeof *w->ids, &bytes))
        return E_NOMEM;
    int32_t *grown = mem_realloc(MEM_TOKENIZER, w->ids, bytes);
    if (!grown)
        return E_NOMEM;
    w->ids = grown;
    w->ids_cap = count;
    return OK;
}

/* The tokens of the bytes that have one. `out` has room for `piece.len`. */
static size_t fill_bytes(const struct tokenizer *t, struct tokenizer_text piece, int32_t *out)
{
    size_t count = 0;
    for (size_t i = 0; i < piece.len; i++) {
        int32_t id = t->byte_ids[(unsigned char)piece.data[i]];
        if (id >= 0)
            out[count++] = id;
    }
    return count;
}

static enum base_err encode_bytes(const struct tokenizer *t, struct tokenizer_text piece,
                                  struct tokenizer_bpe_work *w, int32_t *symbols,
                                  struct tokenizer_ids *ids)
{
    size_t count = fill_bytes(t, piece, symbols);
    /* Even if it were all longest tokens there would be no room: no need to try. This also
     * bounds the memory of merging by the caller's maximum. */
    if (count / t->vocab.bytes_max > ids->count_max - ids->count)
        return E_TOO_BIG;
    enum base_err rc = tokenizer_bpe_merge(&t->merges, w, symbols, &count);
    for (size_t i = 0; i < count && !rc; i++)
        rc = tokenizer_ids_push(ids, symbols[i]);
    return rc;
}

enum base_err tokenizer_bpe_encode(const struct tokenizer *t, struct tokenizer_text piece,
                                   struct tokenizer_bpe_work *w, struct tokenizer_ids *ids)
{
    if (t->vocab.byte_slots) {
        int32_t id = tokenizer_vocab_find_bytes(&t->vocab, piece.data, piece.len);
        if (id >= 0)
            return tokenizer_ids_push(ids, id);
    }
    if (piece.len <= SHORT_MAX) {
        int32_t symbols[SHORT_MAX];
        return encode_bytes(t, piece, w, symbols, ids);
    }
    enum base_err rc = tokenizer_bpe_work_ids(w, piece.len);
    return rc ? rc : encode_bytes(t, piece, w, w->ids, ids);
}
