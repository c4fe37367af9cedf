#ifndef ENGINE_STOP_H
#define ENGINE_STOP_H

#include <stdbool.h>
#include <stddef.h>

#include "valet/request.h"

/*
 * Stop strings over the text of one answer. They match the text, not the tokens: what could
 * still begin one is held back until the next piece decides. Engine thread only.
 */
struct engine_stop {
    const struct valet_stop *stops; /* borrowed from the request */
    uint32_t count;
    char *text; /* held text, then the piece just added */
    size_t len;
    size_t cap;
};

/* Bytes a matcher needs for pieces of at most `piece_max` bytes. */
size_t engine_stop_bytes(size_t piece_max);

/* Uses `buffer` of engine_stop_bytes(piece_max) bytes, borrowed until the next init. */
void engine_stop_init(struct engine_stop *s, const struct valet_stop *stops, uint32_t count,
                      char *buffer, size_t piece_max);

/* What adding a piece made clear. */
struct engine_stop_result {
    size_t release;   /* bytes of s->text that may go out; engine_stop_released when they did */
    bool matched;     /* a stop string begins right behind them */
    uint32_t index;   /* which one */
    size_t match_end; /* where in s->text it ends */
};

/* Adds a piece of the answer. */
struct engine_stop_result engine_stop_add(struct engine_stop *s, const char *piece, size_t len);

/* Drops the first `n` bytes. */
void engine_stop_released(struct engine_stop *s, size_t n);

#endif
