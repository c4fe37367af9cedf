#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

#include "api/api.h"
#include "config/keys.h"

/* Who has this key (api_options.authenticate): false if nobody has it, or it was not sent. */
bool server_auth(const struct keys *keys, const struct http_str *key, int64_t now_seconds,
                 struct api_caller *out);

#endif
