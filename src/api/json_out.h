#ifndef API_JSON_OUT_H
#define API_JSON_OUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * Writing JSON straight into a buffer, for answers that may be large. The caller writes the
 * punctuation. The first error sticks: nothing is written after it, and api_out_end takes
 * back what was written since api_out_begin.
 */
struct api_out {
    struct base_buf *buf;
    enum base_err rc; /* OK, E_NOMEM or E_TOO_BIG */
    size_t start;
};

struct api_out api_out_begin(struct base_buf *buf);
enum base_err api_out_end(struct api_out *o);

/* Text that is JSON already. */
void api_out_raw(struct api_out *o, const char *json);
void api_out_bytes(struct api_out *o, const void *json, size_t len);

/* A string in quotes. Ill-formed UTF-8 becomes U+FFFD, one for each maximal subpart. */
void api_out_string(struct api_out *o, const char *s, size_t len);

/* The same for a C string; NULL becomes null. */
void api_out_str(struct api_out *o, const char *s);

void api_out_int(struct api_out *o, int64_t n);

/* The shortest text that reads back as the same float; what is no number is -9999.0. */
void api_out_float(struct api_out *o, float x);

#endif
