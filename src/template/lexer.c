/*
 * Jinja's lexer, with trim_blocks and lstrip_blocks on.
 *
 * States:  TEXT --"{{"--> OUTPUT --"}}"--> TEXT
 *               --"{%"--> BLOCK  --"%}"--> TEXT
 *               --"{% raw %}"--> RAW --"{% endraw %}"--> TEXT
 *          a comment is skipped within TEXT
 */
#include "template/lexer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "template/text.h"

enum {
    NUMBER_BYTES_MAX = 64
};

void lexer_init(struct lexer *lexer, const char *source, size_t len)
{
    *lexer = (struct lexer){ .source = source, .len = len, .line_starting = true };
}

static bool fail(struct lexer *lexer, size_t at, const char *text)
{
    lexer->fail_pos = (uint32_t)at;
    lexer->fail_text = text;
    return false;
}

static bool looking_at(const struct lexer *lexer, size_t at, const char *text)
{
    size_t n = strlen(text);
    return n <= lexer->len - at && memcmp(lexer->source + at, text, n) == 0;
}

static size_t skip_space(const struct lexer *lexer, size_t at)
{
    while (at < lexer->len) {
        size_t n;
        if (!text_is_space(text_decode(lexer->source + at, lexer->len - at, &n)))
            break;
        at += n;
    }
    return at;
}

/* Goes behind a tag; the next text may begin a line. */
static void pass(struct lexer *lexer, size_t end)
{
    lexer->line_starting = end > lexer->at && lexer->source[end - 1] == '\n';
    lexer->at = end;
}

/*
 * Where the tag's end that begins at `at` ends: "+%}", "-%}" with the white space behind it,
 * "%}" with a line end behind it if `trim`. 0: no end there.
 */
static size_t tag_end(const struct lexer *lexer, size_t at, const char *closing, bool plus,
                      bool trim)
{
    char sign = at < lexer->len ? lexer->source[at] : '\0';
    if (sign == '-' && looking_at(lexer, at + 1, closing))
        return skip_space(lexer, at + 3);
    if (plus && sign == '+' && looking_at(lexer, at + 1, closing))
        return at + 3;
    if (!looking_at(lexer, at, closing))
        return 0;
    at += 2;
    return at + (trim && at < lexer->len && lexer->source[at] == '\n');
}

/* ---- Text ---- */

/* A text that ends before a tag, without what the tag's sign and lstrip_blocks remove. */
static size_t strip_before_tag(const struct lexer *lexer, size_t from, size_t end, char sign,
                               bool lstrip)
{
    const char *s = lexer->source;
    size_t stripped = end;
    while (stripped > from) {
        size_t at = stripped - 1;
        while (at > from && ((unsigned char)s[at] & 0xc0) == 0x80)
            at--;
        size_t n;
        uint32_t c = text_decode(s + at, end - at, &n);
        if (at + n != stripped || !text_is_space(c) || (sign != '-' && c == '\n'))
            break;
        stripped = at;
    }
    if (sign == '-')
        return stripped;
    if (sign == '+' || !lstrip)
        return end;
    bool line = stripped > from ? s[stripped - 1] == '\n' : lexer->line_starting;
    return line ? stripped : end;
}

static bool is_sign(char c)
{
    return c == '-' || c == '+';
}

/* Whether "{% name %}" is at `at`; `*end` is then behind its name, at the closing. */
static bool is_keyword_tag(const struct lexer *lexer, size_t at, const char *name, size_t *end)
{
    at += 2;
    if (at < lexer->len && is_sign(lexer->source[at]))
        at++;
    at = skip_space(lexer, at);
    if (!looking_at(lexer, at, name))
        return false;
    *end = skip_space(lexer, at + strlen(name));
    return true;
}

/* Skips the comment that begins at `at`. */
static bool skip_comment(struct lexer *lexer, size_t at)
{
    size_t first = at + 2;
    if (first < lexer->len && is_sign(lexer->source[first]))
        first++;
    for (size_t i = first; i < lexer->len; i++) {
        size_t end = tag_end(lexer, i, "#}", true, true);
        if (end > 0) {
            lexer->at = at;
            pass(lexer, end);
            return true;
        }
    }
    return fail(lexer, at, "the comment has no end");
}

static size_t find_tag(const struct lexer *lexer)
{
    for (size_t i = lexer->at; i + 1 < lexer->len; i++) {
        char next = lexer->source[i + 1];
        if (lexer->source[i] == '{' && (next == '{' || next == '%' || next == '#'))
            return i;
    }
    return lexer->len;
}

/* Enters the tag at `at`. */
static bool begin_tag(struct lexer *lexer, size_t at)
{
    const char *s = lexer->source;
    if (s[at + 1] == '#')
        return skip_comment(lexer, at);
    size_t end;
    if (s[at + 1] == '%' && is_keyword_tag(lexer, at, "raw", &end)) {
        size_t behind = tag_end(lexer, end, "%}", false, false);
        if (behind > 0) {
            pass(lexer, behind);
            lexer->mode = LEX_RAW;
            return true;
        }
    }
    lexer->mode = s[at + 1] == '%' ? LEX_BLOCK : LEX_OUTPUT;
    lexer->pending = s[at + 1] == '%' ? TOKEN_BLOCK_BEGIN : TOKEN_OUTPUT_BEGIN;
    lexer->pending_pos = (uint32_t)at;
    end = at + 2;
    pass(lexer, end < lexer->len && is_sign(s[end]) ? end + 1 : end);
    return true;
}

static void set_text(struct token *out, const struct lexer *lexer, size_t from, size_t end)
{
    out->kind = TOKEN_TEXT;
    out->pos = (uint32_t)from;
    out->text = lexer->source + from;
    out->len = end - from;
}

/* The text up to the next tag (maybe empty); the tag's beginning is the next token. */
static bool next_text(struct lexer *lexer, struct token *out)
{
    size_t from = lexer->at;
    size_t tag = find_tag(lexer);
    if (tag == lexer->len) {
        set_text(out, lexer, from, tag);
        lexer->at = tag;
        return true;
    }
    char sign = tag + 2 < lexer->len ? lexer->source[tag + 2] : '\0';
    bool lstrip = lexer->source[tag + 1] != '{';
    set_text(out, lexer, from, strip_before_tag(lexer, from, tag, sign, lstrip));
    return begin_tag(lexer, tag);
}

static bool next_raw(struct lexer *lexer, struct token *out)
{
    size_t from = lexer->at;
    for (size_t i = from; i + 1 < lexer->len; i++) {
        size_t end;
        if (!looking_at(lexer, i, "{%") || !is_keyword_tag(lexer, i, "endraw", &end))
            continue;
        size_t behind = tag_end(lexer, end, "%}", true, true);
        if (behind == 0)
            continue;
        set_text(out, lexer, from, strip_before_tag(lexer, from, i, lexer->source[i + 2], true));
        pass(lexer, behind);
        lexer->mode = LEX_TEXT;
        return true;
    }
    return fail(lexer, from, "the raw block has no end");
}

/* ---- Inside of tags ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

/* Behind the digits at `at`, with single underscores between them; `at` if there are none. */
static size_t skip_digits(const struct lexer *lexer, size_t at)
{
    const char *s = lexer->source;
    size_t i = at;
    while (is_digit(s[i]) || (i > at && s[i] == '_' && is_digit(s[i + 1])))
        i++;
    return i;
}

/* Behind the float at `at`, or 0 where there is none. */
static size_t float_end(const struct lexer *lexer, size_t at)
{
    const char *s = lexer->source;
    if (at > 0 && s[at - 1] == '.')
        return 0;
    size_t i = skip_digits(lexer, at);
    bool fraction = s[i] == '.' && is_digit(s[i + 1]);
    if (fraction)
        i = skip_digits(lexer, i + 1);
    if (s[i] == 'e' || s[i] == 'E') {
        size_t digits = i + 1 + is_sign(s[i + 1]);
        if (is_digit(s[digits]))
            return skip_digits(lexer, digits);
    }
    return fraction ? i : 0;
}

static bool is_base_digit(char c, int base)
{
    int value = is_digit(c)                          ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                     : 99;
    return value < base;
}

/* Behind the integer at `at`, and its base. */
static size_t integer_end(const struct lexer *lexer, size_t at, int *base)
{
    const char *s = lexer->source;
    char letter = s[at] == '0' ? (char)(s[at + 1] | 32) : '\0';
    *base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
    size_t first = at + 2 + (s[at + 1] != '\0' && s[at + 2] == '_');
    if (*base != 10 && is_base_digit(s[first], *base)) {
        size_t i = first;
        while (is_base_digit(s[i], *base) || (s[i] == '_' && is_base_digit(s[i + 1], *base)))
            i++;
        return i;
    }
    *base = 10;
    if (s[at] != '0')
        return skip_digits(lexer, at);
    size_t i = at + 1;
    while (s[i] == '0' || (s[i] == '_' && s[i + 1] == '0'))
        i++;
    return i;
}

/* The number's text without underscores and, for a base but 10, without "0x". */
static bool copy_number(const struct lexer *lexer, size_t at, size_t end,
                        char out[NUMBER_BYTES_MAX])
{
    size_t n = 0;
    for (; at < end; at++) {
        if (lexer->source[at] == '_')
            continue;
        if (n + 1 == NUMBER_BYTES_MAX)
            return false;
        out[n++] = lexer->source[at];
    }
    out[n] = '\0';
    return true;
}

static bool next_number(struct lexer *lexer, struct token *out)
{
    char text[NUMBER_BYTES_MAX];
    size_t at = lexer->at;
    size_t end = float_end(lexer, at);
    int base = 10;
    out->kind = end > 0 ? TOKEN_FLOAT : TOKEN_INT;
    if (end == 0)
        end = integer_end(lexer, at, &base);
    if (!copy_number(lexer, base == 10 ? at : at + 2, end, text))
        return fail(lexer, at, "the number is too long");
    lexer->at = end;
    if (out->kind == TOKEN_FLOAT) {
        out->real = strtod(text, NULL);
        return true;
    }
    errno = 0;
    out->integer = strtoll(text, NULL, base);
    return errno == 0 || fail(lexer, at, "the integer has more than 63 bits");
}

static void next_name(struct lexer *lexer, struct token *out)
{
    size_t end = lexer->at;
    while (is_name_byte(lexer->source[end]) || is_digit(lexer->source[end]))
        end++;
    out->kind = TOKEN_NAME;
    out->text = lexer->source + lexer->at;
    out->len = end - lexer->at;
    lexer->at = end;
}

static bool next_string(struct lexer *lexer, struct token *out)
{
    size_t at = lexer->at;
    char quote = lexer->source[at];
    size_t i = at + 1;
    while (i < lexer->len && lexer->source[i] != quote)
        i += lexer->source[i] == '\\' ? 2 : 1;
    if (i >= lexer->len)
        return fail(lexer, at, "the string has no end");
    out->kind = TOKEN_STRING;
    out->text = lexer->source + at + 1;
    out->len = i - at - 1;
    lexer->at = i + 1;
    return true;
}

static bool track_brackets(struct lexer *lexer, char c)
{
    char closing = c == '(' ? ')' : c == '[' ? ']' : c == '{' ? '}' : '\0';
    if (closing) {
        if (lexer->bracket_count == BRACKETS_MAX)
            return fail(lexer, lexer->at, "too many open brackets");
        lexer->brackets[lexer->bracket_count++] = closing;
    } else if (c == ')' || c == ']' || c == '}') {
        if (lexer->bracket_count == 0)
            return fail(lexer, lexer->at, "a bracket is closed that is not open");
        if (lexer->brackets[--lexer->bracket_count] != c)
            return fail(lexer, lexer->at, "another bracket is open");
    }
    return true;
}

static bool next_operator(struct lexer *lexer, struct token *out)
{
    static const char *const two[] = { "//", "**", "==", "!=", ">=", "<=" };
    size_t at = lexer->at;
    size_t n = 0;
    for (size_t i = 0; i < sizeof two / sizeof two[0]; i++) {
        if (looking_at(lexer, at, two[i]))
            n = 2;
    }
    if (n == 0 && lexer->source[at] != '\0' && strchr("+-/*%~[](){}><=.:|,;", lexer->source[at]))
        n = 1;
    if (n == 0)
        return fail(lexer, at, "unexpected character");
    if (n == 1 && !track_brackets(lexer, lexer->source[at]))
        return false;
    out->kind = TOKEN_OPERATOR;
    out->text = lexer->source + at;
    out->len = n;
    lexer->at += n;
    return true;
}

static bool next_in_tag(struct lexer *lexer, struct token *out)
{
    bool block = lexer->mode == LEX_BLOCK;
    for (;;) {
        size_t end = lexer->bracket_count > 0 ? 0
                     : block                  ? tag_end(lexer, lexer->at, "%}", true, true)
                                              : tag_end(lexer, lexer->at, "}}", false, false);
        out->pos = (uint32_t)lexer->at;
        if (end > 0) {
            out->kind = block ? TOKEN_BLOCK_END : TOKEN_OUTPUT_END;
            pass(lexer, end);
            lexer->mode = LEX_TEXT;
            return true;
        }
        size_t behind = skip_space(lexer, lexer->at);
        if (behind == lexer->at)
            break;
        lexer->at = behind;
    }
    if (lexer->at >= lexer->len)
        return fail(lexer, lexer->at, "the tag has no end");
    char c = lexer->source[lexer->at];
    if (is_digit(c))
        return next_number(lexer, out);
    if (is_name_byte(c)) {
        next_name(lexer, out);
        return true;
    }
    if (c == '\'' || c == '"')
        return next_string(lexer, out);
    return next_operator(lexer, out);
}

bool lexer_next(struct lexer *lexer, struct token *out)
{
    *out = (struct token){ .pos = (uint32_t)lexer->at };
    if (lexer->pending != TOKEN_END) {
        out->kind = lexer->pending;
        out->pos = lexer->pending_pos;
        lexer->pending = TOKEN_END;
        return true;
    }
    enum lexer_mode mode = lexer->mode;
    if (mode == LEX_OUTPUT || mode == LEX_BLOCK)
        return next_in_tag(lexer, out);
    if (mode == LEX_RAW)
        return next_raw(lexer, out);
    if (lexer->at >= lexer->len)
        return true; /* TOKEN_END */
    return next_text(lexer, out);
}
