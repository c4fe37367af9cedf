#ifndef FUZZ_REQUEST_CHECK_H
#define FUZZ_REQUEST_CHECK_H

#include <stdint.h>

#include "valet/request.h"

/* Aborts unless every value is in the range that valet/request.h and the engine expect. */
void request_check(const struct valet_request *r, int32_t context, int32_t vocab);

#endif
