#ifndef TENSOR_TEAM_H
#define TENSOR_TEAM_H

#include <stdint.h>

#include "base/err.h"

/*
 * The kernel threads: a fork-join team. A job is a number of tiles. Every member claims those
 * of its own share first, member i the i-th of the equal parts, then what is left of others',
 * until none is. Which member computes a tile never changes its bits.
 *
 * Threads: member 0 is whoever calls team_run, one caller at a time. Between jobs the other
 * members spin briefly, then sleep; an idle team uses no CPU.
 */
struct team; /* NULL: the calling thread alone */

typedef void (*team_fn)(void *arg, int64_t tile);

/* A team of `size` >= 1 members, the caller included. Gives: team_destroy. */
enum base_err team_create(int size, struct team **out);
void team_destroy(struct team *team);

int team_size(const struct team *team);

/* Which member of its team the calling thread is; 0 for every thread that no team has started. */
int team_member(void);

/* Runs fn(arg, 0 .. tile_count-1) and returns when all are done. One tile runs inline. */
void team_run(struct team *team, team_fn fn, void *arg, int64_t tile_count);

#endif
