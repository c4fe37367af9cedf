/* What the engine is asked to do. Plain data: no JSON, no text of the prompt below here. */
#ifndef VALET_REQUEST_H
#define VALET_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a token is drawn. The draw depends on (seed, choice, position) and the logits alone. */
struct valet_sampling {
    float temperature; /* 0: the most likely token, lowest id on a tie */
    float top_p;       /* (0, 1]; 1: off */
    int32_t top_k;     /* 0: off */
    uint64_t seed;
};

/* A text that ends the answer; it is cut off. 1..256 bytes. */
struct valet_stop {
    const char *text;
    uint32_t len;
};

#define VALET_STOPS_MAX 16
#define VALET_STOP_BYTES_MAX 256

struct valet_request {
    const int32_t *prompt; /* [prompt_count] token ids, 0 <= id < vocabulary */
    int32_t prompt_count;  /* 1..context-1 */
    int32_t max_new;       /* tokens to generate at most, >= 1; prompt_count + max_new <= context */
    struct valet_sampling sampling;
    const struct valet_stop *stops; /* [stop_count] */
    uint32_t stop_count;
};

#ifdef __cplusplus
}
#endif

#endif
