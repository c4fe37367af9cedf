/* The chat on a terminal: lines and texts of several lines in, commands, answers. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "chat.h"
#include "commands.h"
#include "line_editor.h"
#include "signals.h"
#include "state_file.h"
#include "terminal.h"

enum {
    PATH_BYTES = 4096,
    NAME_BYTES = 32
};

#define QUOTES "\"\"\""

struct talk {
    struct chat *chat;
    struct line_editor *editor;
    struct base_buf input; /* what was typed since the last answer */
    bool is_open;          /* input began with three quotes and goes on */
    bool was_interrupted;  /* Ctrl-C at an empty prompt, just now */
    bool is_over;
    int code;
};

/* ---- commands ---- */

static void show_help(void)
{
    fputs("  /set                  show the settings\n"
          "  /set NAME VALUE       change one, as /set temperature 0.5\n"
          "  /set system TEXT      change the system message; no TEXT: none\n"
          "  /clear                forget the conversation\n"
          "  /help                 show this\n"
          "  /bye                  end; so do Ctrl-D and Ctrl-C twice\n"
          "\n"
          "  \"\"\"                   begins and ends a text of several lines; Alt-Enter begins a\n"
          "                        new line, and the lines of a paste are one text\n"
          "  Ctrl-C                stops an answer, or drops what was typed\n"
          "  Up, Down, Ctrl-R      what was typed before\n",
          stderr);
}

static void do_set(struct talk *t, const char *args)
{
    struct chat *c = t->chat;
    char name[NAME_BYTES];
    size_t len = strcspn(args, " \t");
    const char *value = args + len + strspn(args + len, " \t");
    snprintf(name, sizeof name, "%.*s", (int)len, args);
    if (len == 0) {
        run_options_print(&c->options, stderr);
        fprintf(stderr, "  %-20s %s\n", "system", conversation_system(&c->conversation));
    } else if (strcmp(name, "parameter") == 0) {
        do_set(t, value);
    } else if (strcmp(name, "system") == 0) {
        if (conversation_set_system(&c->conversation, value))
            fputs("the system message could not be set\n", stderr);
    } else {
        run_options_set(&c->options, name, value, stderr);
    }
}

static void do_clear(struct talk *t, const char *args)
{
    (void)args;
    conversation_clear(&t->chat->conversation);
    terminal_note(stderr, "(the conversation is forgotten)");
}

static void do_help(struct talk *t, const char *args)
{
    (void)t;
    (void)args;
    show_help();
}

static void do_bye(struct talk *t, const char *args)
{
    (void)args;
    t->is_over = true;
}

static const struct {
    const char *name;
    void (*run)(struct talk *t, const char *args);
} g_chat_commands[] = {
    { "set", do_set }, { "clear", do_clear }, { "help", do_help }, { "?", do_help },
    { "bye", do_bye }, { "exit", do_bye },    { "quit", do_bye },
};

/*
 * Whether a line is a command: a slash, a word and nothing, or a space. So "/usr/bin" is text.
 */
static bool is_command(const char *line)
{
    if (line[0] != '/')
        return false;
    size_t len = strspn(line + 1, "abcdefghijklmnopqrstuvwxyz?");
    return line[len + 1] == '\0' || strchr(" \t", line[len + 1]);
}

static void run_command(struct talk *t, const char *line)
{
    size_t len = strcspn(line + 1, " \t");
    const char *args = line + 1 + len;
    for (size_t i = 0; i < sizeof g_chat_commands / sizeof g_chat_commands[0]; i++) {
        const char *name = g_chat_commands[i].name;
        if (strlen(name) == len && memcmp(name, line + 1, len) == 0) {
            g_chat_commands[i].run(t, args + strspn(args, " \t"));
            return;
        }
    }
    fprintf(stderr, "there is no command %.*s; /help shows them\n", (int)len + 1, line);
}

/* ---- input ---- */

static void forget_input(struct talk *t)
{
    buf_clear(&t->input);
    t->is_open = false;
}

/* The text that was meant: without quotes around it, and the space at its ends. */
static void answer_input(struct talk *t)
{
    char *text = t->input.data;
    size_t len = t->input.len;
    while (len > 0 && strchr(" \t\n", text[len - 1]))
        len--;
    text[len] = '\0';
    size_t space = strspn(text, " \t\n");
    text += space;
    len -= space;
    if (len > 0) {
        line_editor_remember(t->editor, text);
        if (chat_answer(t->chat, text, len) == CHAT_BROKEN) {
            t->code = EXIT_FAILED;
            t->is_over = true;
        }
    }
    forget_input(t);
}

static bool ends_in_quotes(const char *text, size_t len)
{
    return len >= strlen(QUOTES) && memcmp(text + len - strlen(QUOTES), QUOTES, 3) == 0;
}

/* Takes three quotes away from the begin of a text and, if it ends here, from its end. */
static void take_line(struct talk *t, const char *text, size_t len)
{
    bool begins = !t->is_open && strncmp(text, QUOTES, strlen(QUOTES)) == 0;
    if (begins) {
        text += strlen(QUOTES);
        len -= strlen(QUOTES);
        t->is_open = true;
    }
    bool ends = t->is_open && ends_in_quotes(text, len);
    if (ends) {
        len -= strlen(QUOTES);
        t->is_open = false;
    }
    if (buf_append(&t->input, text, len) || buf_append_str(&t->input, "\n")) {
        fputs("valet: this text is too long\n", stderr);
        forget_input(t);
    } else if (!t->is_open) {
        answer_input(t);
    }
}

static void on_line(struct talk *t, const char *text, size_t len)
{
    t->was_interrupted = false;
    if (!t->is_open && is_command(text)) {
        line_editor_remember(t->editor, text);
        run_command(t, text);
    } else {
        take_line(t, text, len);
    }
}

/* Ctrl-C drops what was typed; where that was nothing, the second one ends the chat. */
static void on_interrupt(struct talk *t, size_t typed_len)
{
    bool is_empty = typed_len == 0 && !t->is_open;
    t->is_over = is_empty && t->was_interrupted;
    t->was_interrupted = is_empty;
    forget_input(t);
    if (is_empty && !t->is_over)
        terminal_note(stderr, "(Ctrl-C again, Ctrl-D or /bye ends the chat)");
}

static void talk_loop(struct talk *t)
{
    while (!t->is_over) {
        const char *text;
        size_t len;
        switch (line_editor_read(t->editor, t->is_open ? "... " : "> ", &text, &len)) {
        case LINE_READ:
            on_line(t, text, len);
            break;
        case LINE_INTERRUPTED:
            on_interrupt(t, len);
            break;
        case LINE_END:
            t->is_over = true;
            break;
        }
    }
}

/* ---- begin and end ---- */

static void greet(const struct chat *c)
{
    struct valet_model_info model;
    struct valet_engine_info engine;
    valet_model_info(c->model, &model);
    valet_engine_info(c->engine, &engine);
    terminal_note(stderr, "%s, context %d tokens. /help shows the commands, Ctrl-D ends.",
                  model.name[0] ? model.name : model.arch, (int)engine.context);
}

int chat_talk(struct chat *c)
{
    struct talk t = { .chat = c, .code = EXIT_OK };
    char path[PATH_BYTES];
    FILE *out = terminal_is(stderr) ? stderr : stdout;
    const struct line_options options = {
        .out = out,
        .history =
            !c->options.no_history && state_file_path("history", path, sizeof path) ? path : NULL,
        .is_coloured = terminal_has_colours(out),
    };
    c->is_talk = true;
    signals_start();
    t.editor = line_editor_open(&options);
    if (t.editor) {
        buf_init(&t.input, MEM_SERVER, LINE_BYTES_MAX);
        greet(c);
        talk_loop(&t);
        buf_fini(&t.input);
        if (!line_editor_close(t.editor))
            fprintf(stderr, "valet: %s: the history could not be saved\n", path);
    } else {
        fputs("valet: the terminal cannot be used for a chat\n", stderr);
        t.code = EXIT_FAILED;
    }
    signals_stop();
    return t.code;
}
