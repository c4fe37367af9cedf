/*
 * `valet run`: answers one prompt, or chats. The engine runs in the calling thread with a
 * source of one request at a time; the answer goes to stdout as it is generated.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "chat_render.h"
#include "commands.h"
#include "options.h"
#include "text_input.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

enum {
    MESSAGES_MAX = 1024,
    TEXT_BYTES_MAX = TEXT_INPUT_MAX,
    DEFAULT_MAX_TOKENS = 1024
};

struct run_options {
    int32_t threads;
    int32_t context;
    int32_t max_tokens;
    float temperature;
    float top_p;
    int32_t top_k;
    uint64_t seed;
    const char *system;
};

#define FIELD(name) offsetof(struct run_options, name)

static const struct option_spec g_options[] = {
    { "system", OPTION_TEXT, "TEXT", FIELD(system), 0, 0, "a system message" },
    { "max-tokens", OPTION_I32, "N", FIELD(max_tokens), 1, 1 << 24,
      "length of an answer at most (default 1024)" },
    { "temperature", OPTION_F32, "T", FIELD(temperature), 0, 2,
      "0: always the most likely token (default 1)" },
    { "top-p", OPTION_F32, "P", FIELD(top_p), 1e-6, 1, "keep the most likely mass P (default 1)" },
    { "top-k", OPTION_I32, "K", FIELD(top_k), 0, 1 << 24, "keep the K most likely (default: all)" },
    { "seed", OPTION_U64, "N", FIELD(seed), 0, 9e18, "for the same answer again (default: random)" },
    { "threads", OPTION_I32, "N", FIELD(threads), 1, 256, "kernel threads (default: all CPUs)" },
    { "ctx-size", OPTION_I32, "N", FIELD(context), 2, 1 << 24,
      "longest conversation in tokens (default: the model's)" },
};

static const struct command g_command = {
    .usage = "valet run MODEL [PROMPT] [options]",
    .about = "Answers PROMPT, or what comes on stdin. On a terminal without PROMPT: a chat;\n"
             "an empty line or Ctrl-D ends it.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 1,
    .operands_max = 2,
};

/* One conversation; messages of system, user and assistant in turn. */
struct chat {
    const struct run_options *options;
    valet_model *model;
    valet_engine *engine;
    struct arena texts;
    struct template_message messages[MESSAGES_MAX];
    size_t message_count;
};

/* The source of one request. */
struct answer {
    const struct valet_request *request; /* NULL once taken */
    struct base_buf text;
    const char *error;
    bool write_failed;
};

static size_t answer_take(void *arg, struct valet_start *starts, size_t room)
{
    struct answer *a = arg;
    if (!a->request || room == 0)
        return 0;
    starts[0] = (struct valet_start){
        .work = a,
        .request = a->request,
        .blocks = valet_engine_blocks(a->request->prompt_count, a->request->max_new),
    };
    a->request = NULL;
    return 1;
}

static bool answer_wait(void *arg)
{
    (void)arg;
    return false; /* nothing more comes */
}

static bool answer_cancelled(void *arg, void *work)
{
    (void)work;
    return ((struct answer *)arg)->write_failed;
}

static bool answer_emit(void *arg, void *work, const struct valet_event *event)
{
    (void)work;
    struct answer *a = arg;
    if (event->text_len == 0)
        return true;
    if (fwrite(event->text, 1, event->text_len, stdout) != event->text_len || fflush(stdout) != 0)
        a->write_failed = true;
    if (buf_append(&a->text, event->text, event->text_len) != OK)
        a->error = "out of memory";
    return true;
}

static void answer_end(void *arg, void *work, enum valet_end end, const char *error)
{
    (void)work;
    struct answer *a = arg;
    if (end == VALET_END_FAILED)
        a->error = error;
}

static int failed(const char *message)
{
    fprintf(stderr, "valet: %s\n", message);
    return EXIT_FAILED;
}

/* Keeps a copy of the text. */
static bool add_message(struct chat *c, const char *role, const char *text, size_t len)
{
    char *copy = c->message_count < MESSAGES_MAX ? arena_strndup(&c->texts, text, len) : NULL;
    if (!copy)
        return false;
    c->messages[c->message_count++] = (struct template_message){ role, strlen(role), copy, len };
    return true;
}

/* The conversation so far as token ids, ready for an answer. */
static enum base_err render(struct chat *c, struct tokenizer_ids *ids, struct base_err_info *info)
{
    struct arena arena;
    struct template_span *spans;
    size_t count;
    arena_init(&arena, MEM_TEMPLATE, TEXT_BYTES_MAX);
    enum base_err rc =
        chat_render(c->model, c->messages, c->message_count, &arena, &spans, &count, info);
    struct tokenizer_span *parts = NULL;
    if (!rc) {
        parts = arena_calloc(&arena, count, sizeof *parts);
        rc = parts ? OK : E_NOMEM;
    }
    for (size_t i = 0; !rc && i < count; i++)
        parts[i] = (struct tokenizer_span){ spans[i].data, spans[i].len, spans[i].trusted };
    if (!rc)
        rc = tokenizer_encode_marked(valet_model_tokenizer(c->model), parts, count, ids);
    arena_fini(&arena);
    return rc;
}

/* Generates one answer to the conversation and adds it; an exit code. */
static int generate(struct chat *c, const struct tokenizer_ids *ids)
{
    struct valet_engine_info info;
    valet_engine_info(c->engine, &info);
    if (ids->count >= (size_t)info.context)
        return failed("the conversation does not fit the context; see --ctx-size");
    int32_t room = info.context - (int32_t)ids->count;
    const struct run_options *o = c->options;
    struct valet_request request = {
        .prompt = ids->ids,
        .prompt_count = (int32_t)ids->count,
        .max_new = o->max_tokens < room ? o->max_tokens : room,
        .sampling = { .temperature = o->temperature,
                      .top_p = o->top_p,
                      .top_k = o->top_k,
                      .seed = o->seed ? o->seed : random_u64(&base_random_system) },
    };
    struct answer answer = { .request = &request };
    buf_init(&answer.text, MEM_SERVER, TEXT_BYTES_MAX);
    const struct valet_engine_source source = {
        .arg = &answer,
        .take = answer_take,
        .wait = answer_wait,
        .cancelled = answer_cancelled,
        .emit = answer_emit,
        .end = answer_end,
    };
    valet_engine_run(c->engine, &source);
    putchar('\n');
    int rc = EXIT_OK;
    if (answer.write_failed)
        rc = failed("cannot write to stdout");
    else if (answer.error)
        rc = failed(answer.error);
    else if (!add_message(c, "assistant", answer.text.data ? answer.text.data : "",
                          answer.text.len))
        rc = failed("the conversation is too long");
    buf_fini(&answer.text);
    return rc;
}

static int answer_to(struct chat *c, const char *text, size_t len)
{
    if (!add_message(c, "user", text, len))
        return failed("the conversation is too long");
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, INT32_MAX);
    struct base_err_info info = { 0 };
    enum base_err rc = render(c, &ids, &info);
    int code;
    if (rc)
        code = failed(info.message[0] ? info.message : base_strerror(rc));
    else
        code = generate(c, &ids);
    tokenizer_ids_fini(&ids);
    return code;
}

static int chat_on_terminal(struct chat *c)
{
    char *line = NULL;
    size_t cap = 0;
    int rc = EXIT_OK;
    while (rc == EXIT_OK) {
        fputs("> ", stderr);
        ssize_t len = getline(&line, &cap, stdin);
        if (len > 0 && line[len - 1] == '\n')
            len--;
        if (len <= 0)
            break;
        rc = answer_to(c, line, (size_t)len);
    }
    free(line); /* allow: free getline's own memory */
    return rc;
}

static int answer_stdin(struct chat *c)
{
    struct base_buf text;
    buf_init(&text, MEM_SERVER, TEXT_BYTES_MAX);
    int rc = text_input_read("-", &text) ? EXIT_OK : EXIT_FAILED;
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    if (rc == EXIT_OK)
        rc = text.len > 0 ? answer_to(c, text.data, text.len) : failed("stdin is empty");
    buf_fini(&text);
    return rc;
}

static int converse(struct chat *c, const char *prompt)
{
    const char *system = c->options->system;
    if (system && !add_message(c, "system", system, strlen(system)))
        return failed("the system message is too long");
    if (prompt)
        return answer_to(c, prompt, strlen(prompt));
    return isatty(STDIN_FILENO) ? chat_on_terminal(c) : answer_stdin(c);
}

static int with_engine(struct chat *c, const char *path, const char *prompt)
{
    struct valet_error error = { 0 };
    struct valet_model_options model_options;
    valet_model_options_init(&model_options);
    model_options.threads = c->options->threads;
    if (valet_model_load(path, &model_options, &c->model, &error) != VALET_OK)
        return failed(error.message);
    struct valet_engine_options engine_options;
    valet_engine_options_init(&engine_options);
    engine_options.rows_max = 1;
    engine_options.context = c->options->context;
    int rc = EXIT_FAILED;
    if (valet_engine_create(c->model, &engine_options, &c->engine, &error) == VALET_OK)
        rc = converse(c, prompt);
    else
        failed(error.message);
    valet_engine_destroy(c->engine);
    valet_model_free(c->model);
    return rc;
}

int command_run(int argc, char **argv)
{
    struct run_options options = { .max_tokens = DEFAULT_MAX_TOKENS,
                                   .temperature = 1,
                                   .top_p = 1 };
    const char *operands[2] = { 0 };
    int operand_count;
    switch (options_parse(&g_command, argc, argv, &options, operands, &operand_count)) {
    case OPTIONS_HELP:
        return EXIT_OK;
    case OPTIONS_WRONG:
        return EXIT_USAGE;
    case OPTIONS_OK:
        break;
    }
    struct chat *c = mem_calloc(MEM_SERVER, 1, sizeof *c);
    if (!c)
        return failed("out of memory");
    c->options = &options;
    arena_init(&c->texts, MEM_SERVER, TEXT_BYTES_MAX);
    int rc = with_engine(c, operands[0], operands[1]);
    arena_fini(&c->texts);
    mem_free(c);
    return rc;
}
