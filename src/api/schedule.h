#ifndef API_SCHEDULE_H
#define API_SCHEDULE_H

#include "api/api_int.h"
#include "api/params.h"

/* When a request is to run: what its body, its headers and the rights of its caller say. */
struct schedule {
    enum park_class klass;
    uint64_t deadline_ns; /* on the pool's clock; 0: none */
    uint64_t queue_timeout_ms;
};

/*
 * X-Valet-Priority goes before the body, and nothing above the caller's class: what asks for
 * more is lowered and counted. X-Valet-Deadline-Ms counts from now. A wrong header is
 * API_INVALID_VALUE with its name as param; X-Valet-On-Disconnect: keep is API_UNSUPPORTED.
 */
enum base_err schedule_read(struct api_call *call, const struct api_params *params,
                            struct schedule *out, struct api_error *error);

/* "critical", "high", "normal", "low"; false: none of them. */
bool schedule_parse_class(const char *text, size_t len, enum park_class *out);

/* The service tier that a class is: "priority", "default", "flex". */
const char *schedule_tier(enum park_class klass);

#endif
