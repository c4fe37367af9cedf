#ifndef TESTS_API_FORMATS_H
#define TESTS_API_FORMATS_H

#include "api/format.h"

/* An answer to format, without http and lot. */
struct formatted {
    struct api_model model;
    struct api_job *job;
    struct format format;
    struct base_buf out;
};

/* Params with n = 1 and an answer of 16 tokens. */
struct api_params formats_params(void);

/* E_NOMEM leaves nothing behind. The answer's id is "x". Takes the tokenizer. */
enum base_err formatted_init_with(struct formatted *f, struct tokenizer *tokenizer,
                                  const struct api_params *params, const struct api_prompt *prompts,
                                  size_t prompt_count);
enum base_err formatted_init(struct formatted *f, const struct api_params *params,
                             const struct api_prompt *prompts, size_t prompt_count);
void formatted_fini(struct formatted *f);

/* Puts the events through a stream, or into a plain answer; then its end. */
enum base_err formatted_stream(struct formatted *f, const struct format_kind *kind,
                               const struct valet_event *events, size_t count);
enum base_err formatted_whole(struct formatted *f, const struct format_kind *kind,
                              const struct valet_event *events, size_t count);

struct valet_event formats_start(uint32_t choice, int32_t cached);
struct valet_event formats_token(uint32_t choice, int32_t generated, int32_t id, const char *text,
                                 float logprob, enum valet_finish finish);

#endif
