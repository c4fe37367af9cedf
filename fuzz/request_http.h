#ifndef FUZZ_REQUEST_HTTP_H
#define FUZZ_REQUEST_HTTP_H

#include "api/api.h"

/*
 * What the api uses of http, without a connection: an answer is collected. Every function of
 * http/http.h that the api calls is defined here; with one missing the linker takes the real
 * ones and finds all of them twice.
 */
struct http_exchange {
    void *user;
    int status;           /* 0: nothing was sent yet */
    struct base_buf body; /* of all chunks */
    bool streamed;
    bool ended;
    bool aborted;
};

/* Makes the exchange of a POST of JSON and gives it to the api. Gives: request_http_fini. */
void request_http_post(struct api *api, struct http_exchange *x, const char *path, const char *body,
                       size_t len);
void request_http_fini(struct http_exchange *x);

#endif
