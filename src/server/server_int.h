#ifndef SERVER_SERVER_INT_H
#define SERVER_SERVER_INT_H

#include <stdbool.h>

#include <uv.h>

#include "api/api.h"
#include "base/thread.h"
#include "config/config.h"
#include "config/keys.h"
#include "http/http.h"
#include "park/park.h"
#include "server/source.h"
#include "valet/engine.h"

#ifndef VALET_VERSION
#define VALET_VERSION "0"
#endif

enum {
    SERVER_MODEL_ID_MAX = 128,
    SERVER_TOKEN_TEXT_MAX = 63
};

/* All of it belongs to the loop thread; the engine thread has `engine` and `source`. */
struct server {
    const struct config *first; /* as at the start; borrowed */
    struct config *reloaded;    /* what replaced it, or NULL */
    struct keys *keys;          /* NULL: the server has none */
    uv_loop_t loop;
    uv_signal_t term;
    uv_signal_t interrupt;
    uv_signal_t hangup;
    uv_timer_t drain_timer;
    uv_check_t drained_check; /* runs after each turn of the loop while draining */
    uv_poll_t inbox_poll;
    uv_prepare_t before_sleep;
    uv_timer_t tick_timer;  /* ends the sleep when a timer of api or lot is due */
    uv_async_t timer_moved; /* the lot's next timer has become an earlier one */

    valet_model *model;
    valet_engine *engine;
    park_pool *pool;
    park_inbox *inbox;
    struct server_source source;
    struct base_thread engine_thread;
    struct http_server *http;
    struct api *api;

    char model_id[SERVER_MODEL_ID_MAX + 1];
    char bos_text[SERVER_TOKEN_TEXT_MAX + 1];
    char eos_text[SERVER_TOKEN_TEXT_MAX + 1];
    char fingerprint[48];
    bool draining;
};

/* The configuration in force. */
const struct config *server_config(const struct server *s);
const struct valet_config *server_values(const struct server *s);

/* names.c: fill model_id, fingerprint, and the texts of BOS and EOS (once the model is loaded). */
void server_name_model(struct server *s);
void server_name_tokens(struct server *s);

/* listen.c: opens every address of the configuration. E_INVALID, E_IO with one line. */
enum base_err server_listen(struct server *s, struct base_err_info *info);

/* reload.c */

/* What of the lot's options is not the configuration's. */
void server_set_lot(struct server *s, struct park_options *options);

/* Reads configuration, keys and certificate again; on any error nothing changes. */
void server_reload(struct server *s);

#endif
