#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include <stdbool.h>

#include "api/api.h"
#include "config/config.h"
#include "http/http.h"
#include "park/park.h"
#include "valet/engine.h"

/* The configuration in the words of the folders below. Lists and texts are borrowed from it. */

/* The lot's word for a class. */
enum park_class settings_class(enum config_class_id id);

void settings_api(const struct valet_config *config, struct api_settings *out);
void settings_engine(const struct valet_config *config, struct valet_engine_options *out);

/* `has_keys`: whoever asks has a key, so that names of other sites need no guard. */
void settings_http(const struct valet_config *config, bool has_keys, struct http_options *out);

/* Dimension 0: KV blocks, 1: slots. Callbacks and name are the caller's to set. */
void settings_park(const struct valet_config *config, const struct valet_engine_info *engine,
                   struct park_options *out);

#endif
