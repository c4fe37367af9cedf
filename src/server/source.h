#ifndef SERVER_SOURCE_H
#define SERVER_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "park/park.h"
#include "valet/engine.h"

/*
 * The engine's source on top of the lot: tickets become requests, token events go to the
 * ticket's ring. The only place where engine and lot meet.
 */
struct server_source {
    park_pool *pool;  /* borrowed */
    atomic_bool stop; /* set by the loop thread, read by the engine thread */
    char *event;      /* engine thread: one encoded event */
    size_t event_bytes;
};

/* `text_bytes_max`: the longest text of one event. Gives: server_source_fini. E_NOMEM. */
enum base_err server_source_init(struct server_source *s, park_pool *pool, size_t text_bytes_max);
void server_source_fini(struct server_source *s);

/* The functions for valet_engine_run. */
void server_source_bind(struct server_source *s, struct valet_engine_source *out);

/* Lets the engine's loop end. Any thread. */
void server_source_stop(struct server_source *s);

#endif
