#ifndef HTTP_POLICY_H
#define HTTP_POLICY_H

#include "base/buf.h"
#include "http/parser.h"

/* What struct http_policy says of one request, before its body is read. */
struct http_verdict {
    enum http_rule rule;         /* HTTP_RULE_NONE: it may go on */
    struct http_str cors_origin; /* of a listed origin, to be echoed; no data: none */
    bool is_preflight;           /* to be answered with 204 and not by the handler */
};

/* `is_tls`: the connection's, for what counts as the server's own origin. */
struct http_verdict http_policy_judge(const struct http_policy *policy,
                                      const struct http_request *request, bool is_tls);

/* Appends the lines that an answer's head gets from the policy. E_NOMEM. */
enum base_err http_policy_headers(const struct http_policy *policy, struct http_str cors_origin,
                                  bool is_preflight, struct base_buf *out);

#endif
