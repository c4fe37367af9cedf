#include "terminal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

bool terminal_is(FILE *file)
{
    return isatty(fileno(file)) == 1;
}

bool terminal_has_colours(FILE *file)
{
    const char *none = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return terminal_is(file) && !(none && *none) && term && *term && strcmp(term, "dumb") != 0;
}

void terminal_size(FILE *file, int *columns, int *rows)
{
    struct winsize size = { 0 };
    bool is_known = ioctl(fileno(file), TIOCGWINSZ, &size) == 0;
    *columns = is_known && size.ws_col > 0 ? size.ws_col : 80;
    *rows = is_known && size.ws_row > 0 ? size.ws_row : 24;
}

/* Bytes of the control character at `s`, 0: none. Those of U+0080 to U+009F have two. */
static size_t control_len(const char *s, size_t len)
{
    unsigned char c = (unsigned char)s[0];
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
        return 1;
    return len > 1 && c == 0xc2 && (unsigned char)s[1] < 0xa0 ? 2 : 0;
}

static bool write_safe(FILE *file, const char *text, size_t len)
{
    size_t begin = 0;
    for (size_t i = 0; i < len;) {
        size_t n = control_len(text + i, len - i);
        if (n > 0) {
            fwrite(text + begin, 1, i - begin, file);
            putc('?', file);
            begin = i + n;
        }
        i += n > 0 ? n : 1;
    }
    fwrite(text + begin, 1, len - begin, file);
    return fflush(file) == 0 && !ferror(file);
}

bool terminal_write(FILE *file, const char *text, size_t len)
{
    if (terminal_is(file))
        return write_safe(file, text, len);
    return fwrite(text, 1, len, file) == len && fflush(file) == 0;
}

void terminal_note(FILE *file, const char *format, ...)
{
    bool dim = terminal_has_colours(file);
    va_list args;
    va_start(args, format);
    fputs(dim ? "\033[2m" : "", file);
    vfprintf(file, format, args);
    fputs(dim ? "\033[0m\n" : "\n", file);
    va_end(args);
    fflush(file);
}

/* ---- keys ---- */

static struct termios g_before;
static bool g_has_before;

void terminal_keys_start(void)
{
    g_has_before = tcgetattr(STDIN_FILENO, &g_before) == 0;
    if (!g_has_before)
        return;
    struct termios keys = g_before;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &keys);
}

void terminal_keys_stop(void)
{
    if (g_has_before)
        tcsetattr(STDIN_FILENO, TCSANOW, &g_before);
}

int terminal_key(void)
{
    unsigned char key;
    return read(STDIN_FILENO, &key, 1) == 1 ? key : -1;
}
