#ifndef CLI_GENERATION_H
#define CLI_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "valet/engine.h"

/* One answer of an engine that serves nobody else, made in the calling thread. */

enum generation_finish {
    GENERATION_STOP,       /* the model's end, or a stop string */
    GENERATION_LENGTH,     /* max_new tokens */
    GENERATION_INTERRUPTED /* should_stop said so */
};

struct generation_sink {
    void *arg;
    /* Takes whole UTF-8 characters as they come; false: the answer is given up. */
    bool (*write)(void *arg, const char *text, size_t len);
    bool (*should_stop)(void *arg); /* asked before each step */
};

struct generation {
    struct base_buf text; /* all of the answer; generation_fini */
    enum generation_finish finish;
    int32_t prompt_tokens;
    int32_t cached_tokens; /* of the prompt: not computed again */
    int32_t generated_tokens;
    uint64_t prompt_ns; /* from the start to the first token */
    uint64_t answer_ns; /* from there to the end */
};

/*
 * Fills *out, which is given in any case. E_IO: the sink refused, E_NOMEM, E_INVALID: the
 * engine failed; `info` says why.
 */
enum base_err generation_run(valet_engine *engine, const struct valet_request *request,
                             const struct generation_sink *sink, struct generation *out,
                             struct base_err_info *info);
void generation_fini(struct generation *g);

/* "stop", "length", "interrupted". */
const char *generation_finish_name(enum generation_finish finish);

/* Tokens of the prompt that were computed, and of the answer, in a second; 0: none. */
double generation_prompt_speed(const struct generation *g);
double generation_answer_speed(const struct generation *g);

/* One line of JSON: text, finish_reason, seed, usage and timings. E_NOMEM, E_IO. */
enum base_err generation_print_json(const struct generation *g, uint64_t seed);

#endif
