#include "formats.h"

#include <check.h>
#include <string.h>

#include "letters.h"

struct api_params formats_params(void)
{
    return (struct api_params){ .max_new = 16, .n = 1, .best_of = 1 };
}

enum base_err formatted_init(struct formatted *f, const struct api_params *params,
                             const struct api_prompt *prompts, size_t prompt_count)
{
    return formatted_init_with(f, letters_create(false), params, prompts, prompt_count);
}

enum base_err formatted_init_with(struct formatted *f, struct tokenizer *tokenizer,
                                  const struct api_params *params, const struct api_prompt *prompts,
                                  size_t prompt_count)
{
    struct api_error error;
    *f = (struct formatted){
        .model = { .id = "m", .fingerprint = "b0", .context = 4096, .tokenizer = tokenizer }
    };
    buf_init(&f->out, MEM_API, 1 << 20);
    enum base_err rc = api_job_make(&f->model, params, prompts, prompt_count, &f->job, &error);
    if (!rc)
        rc = format_init(&f->format, &f->model, params, prompts, f->job);
    if (rc) {
        formatted_fini(f);
        return rc;
    }
    f->format.created = 1763900000;
    strcpy(f->format.id, "x");
    return OK;
}

void formatted_fini(struct formatted *f)
{
    if (f->job)
        api_job_destroy(f->job);
    format_fini(&f->format);
    buf_fini(&f->out);
    tokenizer_destroy((struct tokenizer *)(uintptr_t)f->model.tokenizer);
}

enum base_err formatted_stream(struct formatted *f, const struct format_kind *kind,
                               const struct valet_event *events, size_t count)
{
    enum base_err rc = OK;
    for (size_t i = 0; !rc && i < count; i++) {
        rc = format_note(&f->format, &events[i]);
        if (!rc)
            rc = kind->event(&f->format, &events[i], &f->out);
    }
    return rc ? rc : kind->end(&f->format, &f->out);
}

enum base_err formatted_whole(struct formatted *f, const struct format_kind *kind,
                              const struct valet_event *events, size_t count)
{
    enum base_err rc = OK;
    for (size_t i = 0; !rc && i < count; i++) {
        rc = format_note(&f->format, &events[i]);
        if (!rc)
            rc = format_collect(&f->format, kind, &events[i]);
    }
    return rc ? rc : kind->whole(&f->format, &f->out);
}

struct valet_event formats_start(uint32_t choice, int32_t cached)
{
    return (struct valet_event){
        .type = VALET_EVENT_START, .choice = choice, .id = -1, .cached = cached
    };
}

struct valet_event formats_token(uint32_t choice, int32_t generated, int32_t id, const char *text,
                                 float logprob, enum valet_finish finish)
{
    return (struct valet_event){ .type = VALET_EVENT_TOKEN,
                                 .choice = choice,
                                 .id = id,
                                 .finish = finish,
                                 .generated = generated,
                                 .logprob = logprob,
                                 .text_len = (uint32_t)strlen(text),
                                 .text = text };
}
