/*
 * `valet perplexity`: how well a model predicts a text. The text is cut into windows; of each
 * window every token but the first is predicted from those before it.
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/mem.h"
#include "commands.h"
#include "options.h"
#include "text_input.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

struct perplexity_options {
    const char *file;
    int32_t context;
    int32_t threads;
    int32_t logprobs;
};

#define FIELD(name) offsetof(struct perplexity_options, name)

static const struct option_spec g_options[] = {
    { "file", OPTION_TEXT, "FILE", FIELD(file), 0, 0, "the text (default '-': stdin)" },
    { "ctx-size", OPTION_I32, "N", FIELD(context), 2, 1 << 24, "tokens of a window (default 512)" },
    { "threads", OPTION_I32, "N", FIELD(threads), 1, 256, "kernel threads (default: all CPUs)" },
    { "logprobs", OPTION_FLAG, NULL, FIELD(logprobs), 0, 0,
      "print a line for each token: id and logprob" },
};

static const struct command g_command = {
    .usage = "valet perplexity MODEL [options]",
    .about = "Prints the mean negative log-likelihood of a text's tokens and its exponential.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 1,
    .operands_max = 1,
};

/* The source: one window after another. */
struct windows {
    const struct perplexity_options *options;
    const int32_t *ids;
    size_t count;
    size_t next;
    int32_t window;
    struct valet_request request;
    bool running;
    double nll; /* sum */
    uint64_t scored;
    const char *error;
};

static size_t windows_take(void *arg, struct valet_start *starts, size_t room)
{
    struct windows *w = arg;
    size_t left = w->count - w->next;
    if (w->running || room == 0 || left < 2 || w->error)
        return 0;
    int32_t n = left < (size_t)w->window ? (int32_t)left : w->window;
    w->request = (struct valet_request){ .prompt = w->ids + w->next,
                                         .prompt_count = n,
                                         .prompt_logprobs = true };
    w->next += (size_t)n;
    w->running = true;
    starts[0] = (struct valet_start){ .work = w,
                                      .request = &w->request,
                                      .blocks = valet_engine_blocks(n, 0) };
    return 1;
}

static bool windows_wait(void *arg)
{
    (void)arg;
    return false; /* take gave nothing: all is done */
}

static bool windows_cancelled(void *arg, void *work)
{
    (void)arg;
    (void)work;
    return false;
}

static bool windows_emit(void *arg, void *work, const struct valet_event *event)
{
    (void)work;
    struct windows *w = arg;
    if (event->type != VALET_EVENT_PROMPT || isnan(event->logprob))
        return true;
    w->nll -= (double)event->logprob;
    w->scored++;
    if (w->options->logprobs)
        printf("%" PRId32 " %.9g\n", event->id, (double)event->logprob);
    return true;
}

static void windows_end(void *arg, void *work, enum valet_end end, const char *error)
{
    (void)work;
    struct windows *w = arg;
    w->running = false;
    if (end == VALET_END_FAILED)
        w->error = error;
}

static int report(const struct windows *w)
{
    if (w->error)
        return command_failed(w->error);
    if (w->scored == 0)
        return command_failed("the text is too short: two tokens are needed");
    double mean = w->nll / (double)w->scored;
    printf("tokens %" PRIu64 "\nmean_nll %.6f\nperplexity %.4f\n", w->scored, mean, exp(mean));
    return EXIT_OK;
}

static int score(valet_model *model, const struct tokenizer_ids *ids,
                 const struct perplexity_options *options)
{
    struct valet_error error = { 0 };
    struct valet_engine_options engine_options;
    valet_engine_options_init(&engine_options);
    engine_options.rows_max = 1;
    engine_options.context = options->context;
    engine_options.prefix_cache = false;
    valet_engine *engine;
    if (valet_engine_create(model, &engine_options, &engine, &error) != VALET_OK)
        return command_failed(error.message);
    struct valet_engine_info info;
    valet_engine_info(engine, &info);
    struct windows w = {
        .options = options, .ids = ids->ids, .count = ids->count, .window = info.context
    };
    const struct valet_engine_source source = {
        .arg = &w,
        .take = windows_take,
        .wait = windows_wait,
        .cancelled = windows_cancelled,
        .emit = windows_emit,
        .end = windows_end,
    };
    valet_engine_run(engine, &source);
    valet_engine_destroy(engine);
    return report(&w);
}

static int with_text(const char *path, const struct base_buf *text,
                     const struct perplexity_options *options)
{
    struct valet_error error = { 0 };
    struct valet_model_options model_options;
    valet_model_options_init(&model_options);
    model_options.threads = options->threads;
    valet_model *model;
    if (valet_model_load(path, &model_options, &model, &error) != VALET_OK)
        return command_failed(error.message);
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, TEXT_INPUT_MAX);
    const struct tokenizer_span span = { text->len ? text->data : "", text->len, true };
    enum base_err rc = tokenizer_encode(valet_model_tokenizer(model), &span, 1, &ids);
    int code = rc ? command_failed(base_strerror(rc)) : score(model, &ids, options);
    tokenizer_ids_fini(&ids);
    valet_model_free(model);
    return code;
}

int command_perplexity(int argc, char **argv)
{
    struct perplexity_options options = { .file = "-", .context = 512 };
    const char *path;
    int operand_count;
    int rc = options_parse(&g_command, argc, argv, &options, &path, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    struct base_buf text;
    buf_init(&text, MEM_SERVER, TEXT_INPUT_MAX);
    int code = EXIT_FAILED;
    if (text_input_read(options.file, &text))
        code = with_text(path, &text, &options);
    buf_fini(&text);
    return code;
}
