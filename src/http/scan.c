/*
 * Finding the end of a head, byte by byte. What is accepted here:
 *
 *   head     = line CRLF *field CRLF
 *   line     = 1*text                           (taken apart in head.c)
 *   field    = 1*token ":" *text CRLF
 *   text     = HT / SP..~ / 0x80..0xff
 *
 *   LINE_START --> LINE --CR--> LINE_LF --LF--> FIELD_START
 *   FIELD_START --token--> NAME --:--> VALUE --CR--> VALUE_LF --LF--> FIELD_START
 *   FIELD_START --CR--> END_LF --LF--> done
 *
 * Every CR leads to a state that accepts LF alone, and no other state accepts LF: so every
 * CR is followed by LF, and every LF preceded by CR.
 */
#include "http/parser.h"

enum scan_state {
    SCAN_LINE_START,
    SCAN_LINE,
    SCAN_LINE_LF,
    SCAN_FIELD_START,
    SCAN_NAME,
    SCAN_VALUE,
    SCAN_VALUE_LF,
    SCAN_END_LF
};

bool http_char_is_token(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    switch (c) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~':
        return true;
    default:
        return false;
    }
}

static bool is_text(char c)
{
    unsigned char u = (unsigned char)c;
    return u == '\t' || (u >= ' ' && u != 0x7f);
}

void http_scan_init(struct http_scan *s)
{
    *s = (struct http_scan){ .state = SCAN_LINE_START };
}

void http_scan_init_trailers(struct http_scan *s)
{
    *s = (struct http_scan){ .state = SCAN_FIELD_START, .is_trailers = true };
}

/*
 * RFC 9110, 6.5.1: fields that decide on framing have no place behind the body.
 * Trailers are dropped here, but someone else on the way may not drop them.
 */
static const char *const g_no_trailers[] = { "content-length", "transfer-encoding" };

enum {
    NO_TRAILER_COUNT = sizeof g_no_trailers / sizeof g_no_trailers[0]
};

/* Follows a field name with one more character. */
static void see_name(struct http_scan *s, char c)
{
    char lower = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    for (unsigned i = 0; i < NO_TRAILER_COUNT; i++) {
        /* While the bit is set, all before equals the name's beginning: so it is that long. */
        if (s->like & 1u << i && g_no_trailers[i][s->name_len] != lower)
            s->like &= ~(1u << i);
    }
    s->name_len++;
}

/* The whole name is seen. */
static bool is_no_trailer(const struct http_scan *s)
{
    for (unsigned i = 0; i < NO_TRAILER_COUNT; i++) {
        if (s->like & 1u << i && g_no_trailers[i][s->name_len] == '\0')
            return true;
    }
    return false;
}

/* The rule that a byte breaks which is neither text nor the CR that could stand there. */
static enum http_rule rule_of(char c)
{
    if (c == '\n')
        return HTTP_RULE_BARE_LF;
    if (c == '\r')
        return HTTP_RULE_BARE_CR;
    return HTTP_RULE_CONTROL;
}

static enum http_rule in_line(struct http_scan *s, const struct http_limits *limits, char c)
{
    if (c == '\r') {
        if (s->state == SCAN_LINE_START)
            return HTTP_RULE_EMPTY_LINE;
        s->state = SCAN_LINE_LF;
        return HTTP_RULE_NONE;
    }
    if (!is_text(c))
        return rule_of(c);
    s->state = SCAN_LINE;
    return ++s->line_bytes > limits->request_line_bytes_max ? HTTP_RULE_LINE_TOO_LONG
                                                            : HTTP_RULE_NONE;
}

static enum http_rule at_field_start(struct http_scan *s, const struct http_limits *limits, char c)
{
    if (c == '\r') {
        s->state = SCAN_END_LF;
        return HTTP_RULE_NONE;
    }
    if (c == ' ' || c == '\t')
        return HTTP_RULE_OBS_FOLD;
    if (c == ':')
        return HTTP_RULE_EMPTY_NAME;
    if (!http_char_is_token(c))
        return is_text(c) ? HTTP_RULE_BAD_NAME : rule_of(c);
    if (s->field_count == limits->field_count_max)
        return HTTP_RULE_TOO_MANY_FIELDS;
    s->field_count++;
    s->state = SCAN_NAME;
    s->name_len = 0;
    s->like = s->is_trailers ? (1u << NO_TRAILER_COUNT) - 1 : 0;
    see_name(s, c);
    return HTTP_RULE_NONE;
}

static enum http_rule in_name(struct http_scan *s, char c)
{
    if (c == ':') {
        s->state = SCAN_VALUE;
        return is_no_trailer(s) ? HTTP_RULE_FRAMING_TRAILER : HTTP_RULE_NONE;
    }
    if (c == ' ' || c == '\t')
        return HTTP_RULE_SPACE_BEFORE_COLON;
    if (http_char_is_token(c)) {
        see_name(s, c);
        return HTTP_RULE_NONE;
    }
    return is_text(c) || c == '\r' ? HTTP_RULE_BAD_NAME : rule_of(c);
}

static enum http_rule in_value(struct http_scan *s, char c)
{
    if (c == '\r')
        s->state = SCAN_VALUE_LF;
    else if (!is_text(c))
        return rule_of(c);
    return HTTP_RULE_NONE;
}

static enum http_rule step(struct http_scan *s, const struct http_limits *limits, char c)
{
    enum scan_state state = (enum scan_state)s->state;
    if (state >= SCAN_FIELD_START && ++s->header_bytes > limits->header_bytes_max)
        return HTTP_RULE_HEAD_TOO_LARGE;
    switch (state) {
    case SCAN_LINE_START:
    case SCAN_LINE:
        return in_line(s, limits, c);
    case SCAN_FIELD_START:
        return at_field_start(s, limits, c);
    case SCAN_NAME:
        return in_name(s, c);
    case SCAN_VALUE:
        return in_value(s, c);
    case SCAN_LINE_LF:
    case SCAN_VALUE_LF:
        s->state = SCAN_FIELD_START;
        return c == '\n' ? HTTP_RULE_NONE : HTTP_RULE_BARE_CR;
    case SCAN_END_LF:
        return c == '\n' ? HTTP_RULE_NONE : HTTP_RULE_BARE_CR;
    }
    return HTTP_RULE_CONTROL;
}

enum http_parse http_scan_feed(struct http_scan *s, const struct http_limits *limits,
                               const char *data, size_t len, size_t *used)
{
    for (size_t i = 0; i < len; i++) {
        bool last = s->state == SCAN_END_LF;
        s->rule = step(s, limits, data[i]);
        if (s->rule || last) {
            *used = i + 1;
            return s->rule ? HTTP_PARSE_REFUSED : HTTP_PARSE_DONE;
        }
    }
    *used = len;
    return HTTP_PARSE_MORE;
}
