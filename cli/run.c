/* `valet run`: answers one prompt, or chats. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "chat.h"
#include "commands.h"
#include "run_options.h"
#include "terminal.h"
#include "text_input.h"

static int answer_once(struct chat *c, const char *text, size_t len)
{
    return chat_answer(c, text, len) == CHAT_ANSWERED ? EXIT_OK : EXIT_FAILED;
}

static int answer_stdin(struct chat *c)
{
    struct base_buf text;
    buf_init(&text, MEM_SERVER, TEXT_INPUT_MAX);
    int rc = text_input_read("-", &text) ? EXIT_OK : EXIT_FAILED;
    while (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    if (rc == EXIT_OK)
        rc = text.len > 0 ? answer_once(c, text.data, text.len) : command_failed("stdin is empty");
    buf_fini(&text);
    return rc;
}

static bool is_at_terminal(void)
{
    return terminal_is(stdin) && (terminal_is(stderr) || terminal_is(stdout));
}

static int converse(struct chat *c, const char *prompt)
{
    const char *system = c->options.system;
    if (system && conversation_set_system(&c->conversation, system))
        return command_failed("the system message is too long");
    if (prompt)
        return answer_once(c, prompt, strlen(prompt));
    return is_at_terminal() ? chat_talk(c) : answer_stdin(c);
}

static int with_engine(struct chat *c, valet_model *model, const char *prompt)
{
    struct valet_error error = { 0 };
    struct valet_engine_options options;
    valet_engine_options_init(&options);
    options.rows_max = 1;
    options.context = c->options.context;
    if (valet_engine_create(model, &options, &c->engine, &error) != VALET_OK)
        return command_failed(error.message);
    int rc = converse(c, prompt);
    conversation_fini(&c->conversation);
    valet_engine_destroy(c->engine);
    return rc;
}

static int with_model(struct chat *c, const char *path, const char *prompt)
{
    struct valet_error error = { 0 };
    struct valet_model_options options;
    valet_model *model;
    valet_model_options_init(&options);
    options.threads = c->options.threads;
    if (valet_model_load(path, &options, &model, &error) != VALET_OK)
        return command_failed(error.message);
    c->model = model;
    int rc = with_engine(c, model, prompt);
    valet_model_free(model);
    return rc;
}

int command_run(int argc, char **argv)
{
    const struct command command = {
        .usage = "valet run MODEL [PROMPT] [options]",
        .about =
            "Answers PROMPT, or what comes on stdin. On a terminal without PROMPT: a chat, with\n"
            "line editing and history; /help shows its commands, Ctrl-C stops an answer and\n"
            "Ctrl-D ends the chat. What was typed is kept in $XDG_STATE_HOME/valet/history\n"
            "(~/.local/state).",
        .options = g_run_options,
        .option_count = g_run_option_count,
        .operands_min = 1,
        .operands_max = 2,
    };
    struct run_options options;
    const char *operands[2] = { 0 };
    int operand_count;
    run_options_init(&options);
    int rc = options_parse(&command, argc, argv, &options, operands, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    size_t stop_len = options.stop ? strlen(options.stop) : 1;
    if (stop_len < 1 || stop_len > VALET_STOP_BYTES_MAX)
        return command_wrong("--stop: expected 1 to %d bytes", VALET_STOP_BYTES_MAX);
    struct chat *c = mem_calloc(MEM_SERVER, 1, sizeof *c);
    if (!c)
        return command_failed("out of memory");
    c->options = options;
    rc = with_model(c, operands[0], operands[1]);
    mem_free(c);
    return rc;
}
