/*
 * Editing by libedit. Its reading is replaced: bytes are waited for by signals_wait, so that
 * Ctrl-C ends the wait, and are read as UTF-8 whatever the locale says.
 *
 * A terminal that can marks what is pasted (mode 2004): the lines of a paste are one input.
 */
#include "line_editor.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <histedit.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "signals.h"
#include "state_file.h"

enum {
    HISTORY_FILE_MAX = LINE_HISTORY_COUNT * LINE_HISTORY_BYTES_MAX * 4, /* escaped */
    REPLACEMENT = 0xfffd
};

#define PASTE_END L"\033[201~"
#define PASTE_ON "\033[?2004h"
#define PASTE_OFF "\033[?2004l"

struct line_editor {
    struct line_options options;
    EditLine *el;
    History *history;
    const char *prompt;
    char prompt_text[64]; /* with colours */
    size_t typed_len;     /* when Ctrl-C came, wide characters */
    char *line;           /* that was read last */
    bool is_interrupted;
    bool has_byte; /* that was read and belongs to the next character */
    char byte;
};

/* ---- input ---- */

/* One byte: 1, 0 at the end, -1 when Ctrl-C or a signal ends the line. */
static int read_byte(struct line_editor *e, char *out)
{
    for (;;) {
        switch (signals_wait(STDIN_FILENO, -1)) {
        case SIGNALS_INTERRUPT:
            e->is_interrupted = true;
            return -1;
        case SIGNALS_END:
            return -1;
        case SIGNALS_REDRAW:
            el_resize(e->el);
            el_set(e->el, EL_PREP_TERM, 1);
            el_set(e->el, EL_REFRESH);
            continue;
        case SIGNALS_INPUT:
        case SIGNALS_TIMEOUT:
            break;
        }
        ssize_t n = read(STDIN_FILENO, out, 1);
        e->is_interrupted = false;
        if (n >= 0 || (errno != EINTR && errno != EAGAIN))
            return n > 0 ? 1 : 0;
    }
}

static wchar_t decode(const char *s, int len)
{
    static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    wchar_t c = (unsigned char)s[0] & masks[len];
    for (int i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3f);
    return c;
}

/* One character; what is no UTF-8 is U+FFFD. Fits EL_GETCFN. */
static int read_char(EditLine *el, wchar_t *out)
{
    struct line_editor *e;
    char bytes[4];
    size_t len = 0;
    el_get(el, EL_CLIENTDATA, &e);
    if (e->has_byte)
        bytes[len++] = e->byte;
    e->has_byte = false;
    while (len == 0 || utf8_is_cut(bytes, len)) {
        int n = read_byte(e, &bytes[len]);
        if (n <= 0 && e->is_interrupted) {
            const LineInfoW *line = el_wline(el);
            e->typed_len = (size_t)(line->lastchar - line->buffer);
        }
        if (n <= 0)
            return n;
        len++;
    }
    int whole = utf8_char_len(bytes, len);
    *out = whole ? decode(bytes, whole) : REPLACEMENT;
    e->has_byte = !whole && (size_t)utf8_bad_len(bytes, len) < len;
    e->byte = bytes[len - 1];
    return 1;
}

/* ---- pastes and new lines ---- */

static bool ends_with(const wchar_t *text, size_t len, const wchar_t *end)
{
    size_t n = wcslen(end);
    return len >= n && wmemcmp(text + len - n, end, n) == 0;
}

/*
 * What may stand in a line: tabs and newlines, and no other control character. libedit has the
 * terminal swap CR and LF, so a line that ended in both ends in LF and CR here.
 */
static size_t clean(wchar_t *text, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == L'\r' && i > 0 && text[i - 1] == L'\n')
            continue;
        wchar_t c = text[i] == L'\r' ? L'\n' : text[i];
        if (c == L'\n' || c == L'\t' || (c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0)))
            text[kept++] = c;
    }
    return kept;
}

/* Takes all up to the mark of a paste's end; what has no room is dropped. */
static unsigned char insert_paste(EditLine *el, int ch)
{
    enum {
        COUNT_MAX = LINE_BYTES_MAX / 4
    };
    (void)ch;
    wchar_t *text = mem_alloc(MEM_SERVER, COUNT_MAX * sizeof *text);
    size_t len = 0;
    wchar_t c;
    if (!text)
        return CC_ERROR;
    while (!ends_with(text, len, PASTE_END) && el_wgetc(el, &c) == 1) {
        if (len == COUNT_MAX - 1)
            len--; /* the mark is still found */
        text[len++] = c;
    }
    if (ends_with(text, len, PASTE_END))
        len -= wcslen(PASTE_END);
    len = clean(text, len);
    text[len] = L'\0';
    int rc = len > 0 ? el_winsertstr(el, text) : 0;
    mem_free(text);
    return rc == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char insert_newline(EditLine *el, int ch)
{
    (void)ch;
    return el_winsertstr(el, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
}

/* ---- set-up ---- */

static char *prompt_of(EditLine *el)
{
    struct line_editor *e;
    el_get(el, EL_CLIENTDATA, &e);
    bool is_coloured = e->options.is_coloured;
    snprintf(e->prompt_text, sizeof e->prompt_text, "%s%s%s", is_coloured ? "\1\033[1;32m\1" : "",
             e->prompt, is_coloured ? "\1\033[0m\1" : "");
    return e->prompt_text;
}

/* Characters are UTF-8, whatever the environment says. */
static void use_utf8(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static void bind_keys(EditLine *el)
{
    static const char *const keys[][2] = {
        { "^R", "em-inc-search-prev" },       { "^W", "ed-delete-prev-word" },
        { "\033[H", "ed-move-to-beg" },       { "\033[F", "ed-move-to-end" },
        { "\033[1~", "ed-move-to-beg" },      { "\033[4~", "ed-move-to-end" },
        { "\033[3~", "ed-delete-next-char" }, { "\033[1;5D", "ed-prev-word" },
        { "\033[1;5C", "em-next-word" },      { "\033[200~", "valet-paste" },
        { "\033\r", "valet-newline" },        { "\033\n", "valet-newline" },
    };
    el_set(el, EL_ADDFN, "valet-paste", "insert what is pasted", insert_paste);
    el_set(el, EL_ADDFN, "valet-newline", "insert a newline", insert_newline);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        el_set(el, EL_BIND, keys[i][0], keys[i][1], NULL);
}

static void set_up(struct line_editor *e)
{
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_GETCFN, read_char);
    el_set(e->el, EL_PROMPT_ESC, prompt_of, '\1');
    el_set(e->el, EL_SIGNAL, 0);
    el_set(e->el, EL_EDITOR, "emacs");
    el_set(e->el, EL_HIST, history, e->history);
    bind_keys(e->el);
    el_source(e->el, NULL); /* the user's own ~/.editrc */
}

/* ---- history ---- */

/* Only a file of a size that this program may have written is read. */
static void load_history(struct line_editor *e)
{
    HistEvent event;
    struct stat info;
    if (!e->options.history || stat(e->options.history, &info) != 0 || !S_ISREG(info.st_mode) ||
        info.st_size > HISTORY_FILE_MAX)
        return;
    history(e->history, &event, H_LOAD, e->options.history);
}

static bool write_history(FILE *file, void *arg)
{
    HistEvent event;
    return history(arg, &event, H_SAVE_FP, file) >= 0;
}

void line_editor_remember(struct line_editor *e, const char *text)
{
    HistEvent event;
    if (strlen(text) <= LINE_HISTORY_BYTES_MAX)
        history(e->history, &event, H_ENTER, text);
}

/* ---- life ---- */

struct line_editor *line_editor_open(const struct line_options *options)
{
    struct line_editor *e = mem_calloc(MEM_SERVER, 1, sizeof *e);
    HistEvent event;
    if (!e)
        return NULL;
    use_utf8();
    e->options = *options;
    e->prompt = "";
    e->history = history_init();
    if (e->history)
        e->el = el_init_fd("valet", stdin, options->out, options->out, STDIN_FILENO,
                           fileno(options->out), fileno(options->out));
    if (!e->el) {
        if (e->history)
            history_end(e->history);
        mem_free(e);
        return NULL;
    }
    history(e->history, &event, H_SETSIZE, LINE_HISTORY_COUNT);
    history(e->history, &event, H_SETUNIQUE, 1);
    set_up(e);
    load_history(e);
    return e;
}

bool line_editor_close(struct line_editor *e)
{
    bool ok =
        !e->options.history || state_file_write(e->options.history, write_history, e->history);
    el_end(e->el);
    history_end(e->history);
    mem_free(e->line);
    mem_free(e);
    return ok;
}

/* Keeps a copy without the newline at its end. */
static enum line_result keep_line(struct line_editor *e, const char *line, size_t len)
{
    len -= line[len - 1] == '\n';
    mem_free(e->line);
    e->line = mem_strndup(MEM_SERVER, line, len);
    return e->line ? LINE_READ : LINE_END;
}

enum line_result line_editor_read(struct line_editor *e, const char *prompt, const char **text,
                                  size_t *len)
{
    int count = 0;
    enum line_result result;
    e->prompt = prompt;
    e->is_interrupted = false;
    el_set(e->el, EL_PREP_TERM, 1); /* before the prompt is seen, so that nothing is echoed twice */
    fputs(PASTE_ON, e->options.out);
    const char *line = el_gets(e->el, &count);
    fputs(PASTE_OFF, e->options.out);
    if (line && count > 0)
        result = keep_line(e, line, (size_t)count);
    else
        result = e->is_interrupted ? LINE_INTERRUPTED : LINE_END;
    if (result != LINE_READ)
        putc('\n', e->options.out);
    fflush(e->options.out);
    *text = result == LINE_READ ? e->line : NULL;
    *len = result == LINE_READ ? strlen(e->line) : e->typed_len;
    return result;
}
