#ifndef TESTS_ENGINE_LEND_H
#define TESTS_ENGINE_LEND_H

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "valet/request.h"

/*
 * Copies of requests that are overwritten and released as soon as the contract allows, so that
 * an engine that looks at one too late sees nonsense, and a sanitizer sees it look.
 */
enum {
    LENT_ITEMS_MAX = 4096 /* longer arrays are out of range, and not all there */
};

struct script_lent {
    struct valet_request request;
    int refs;
    int piece_count;
    struct {
        void *data;
        size_t size;
    } pieces[6 + VALET_STOPS_MAX];
};

/* A copy that is gone when the request is. Memory of libc: the engine's own is counted. */
static inline const void *lend(struct script_lent *lent, const void *data, size_t count,
                               size_t size)
{
    if (count == 0 || count > LENT_ITEMS_MAX)
        return data;
    void *copy = malloc(count * size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, count * size);
    lent->pieces[lent->piece_count].data = copy;
    lent->pieces[lent->piece_count++].size = count * size;
    return copy;
}

static inline struct script_lent *lent_create(const struct valet_request *r)
{
    struct script_lent *lent = calloc(1, sizeof *lent);
    ck_assert_ptr_nonnull(lent);
    lent->request = *r;
    struct valet_request *copy = &lent->request;
    /* exactly the tokens there are, so that sanitizers see one more */
    if (r->prompt_count > 0 && r->prompt_count <= LENT_ITEMS_MAX)
        copy->prompt = lend(lent, r->prompt, (size_t)r->prompt_count, sizeof *r->prompt);
    copy->stop_ids = lend(lent, r->stop_ids, r->stop_id_count, sizeof *r->stop_ids);
    copy->sampling.bias =
        lend(lent, r->sampling.bias, r->sampling.bias_count, sizeof *r->sampling.bias);
    if (r->stop_count > 0 && r->stop_count <= VALET_STOPS_MAX) {
        struct valet_stop stops[VALET_STOPS_MAX];
        for (uint32_t i = 0; i < r->stop_count; i++)
            stops[i] = (struct valet_stop){ lend(lent, r->stops[i].text, r->stops[i].len, 1),
                                            r->stops[i].len };
        copy->stops = lend(lent, stops, r->stop_count, sizeof *stops);
    }
    return lent;
}

static inline void lent_unref(struct script_lent *lent)
{
    if (--lent->refs > 0)
        return;
    for (int i = 0; i < lent->piece_count; i++) {
        memset(lent->pieces[i].data, 0xa5, lent->pieces[i].size);
        free(lent->pieces[i].data);
    }
    memset(lent, 0xa5, sizeof *lent);
    free(lent);
}

#endif
