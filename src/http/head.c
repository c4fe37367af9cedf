/*
 * Taking a complete head apart. http_scan_feed has seen every byte of it: lines end in CRLF,
 * each field line is a token, a colon and text, and there are no control characters but HT.
 */
#include <string.h>

#include "base/assert.h"
#include "http/parser.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool http_str_is_nocase(struct http_str s, const char *text)
{
    size_t i = 0;
    while (i < s.len && text[i] && lower(s.data[i]) == lower(text[i]))
        i++;
    return i == s.len && text[i] == '\0';
}

static struct http_str slice(const char *from, const char *to)
{
    return (struct http_str){ .data = from, .len = (size_t)(to - from) };
}

static struct http_str trim(struct http_str s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/*
 * host [":" port]: a name of letters, digits and "-._~", or an address in brackets. Names
 * with other characters are legal in a URI, but no client has them.
 */
static bool host_is_valid(struct http_str s)
{
    size_t i = 0;
    if (s.len && s.data[0] == '[') {
        for (i = 1; i < s.len && (is_hex(s.data[i]) || s.data[i] == ':' || s.data[i] == '.');)
            i++;
        if (i < 3 || i == s.len || s.data[i] != ']')
            return false;
        i++;
    } else {
        while (i < s.len && (is_alpha(s.data[i]) || is_digit(s.data[i]) || s.data[i] == '-' ||
                             s.data[i] == '.' || s.data[i] == '_' || s.data[i] == '~'))
            i++;
        if (i == 0)
            return false;
    }
    if (i == s.len)
        return true;
    if (s.data[i] != ':')
        return false;
    size_t digits = 0;
    uint32_t port = 0;
    for (i++; i < s.len && is_digit(s.data[i]) && digits < 5; i++, digits++)
        port = port * 10 + (uint32_t)(s.data[i] - '0');
    return i == s.len && digits >= 1 && port <= 65535;
}

/* One character of a path segment, which may be written as %2e. */
static size_t dot_len(struct http_str s)
{
    if (s.len && s.data[0] == '.')
        return 1;
    if (s.len >= 3 && s.data[0] == '%' && s.data[1] == '2' && lower(s.data[2]) == 'e')
        return 3;
    return 0;
}

static bool segment_is_dot_dot(struct http_str s)
{
    for (int dots = 0; dots < 2; dots++) {
        size_t n = dot_len(s);
        if (n == 0)
            return false;
        s.data += n;
        s.len -= n;
    }
    return s.len == 0;
}

static bool path_has_dot_dot(struct http_str path)
{
    const char *at = path.data;
    const char *end = path.data + path.len;
    for (;;) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        if (segment_is_dot_dot(slice(at, slash ? slash : end)))
            return true;
        if (!slash)
            return false;
        at = slash + 1;
    }
}

/* *authority is filled for the absolute form. */
static enum http_rule parse_target(struct http_str target, struct http_head *out,
                                   struct http_str *authority)
{
    static const char scheme[] = "http://";
    const char *end = target.data + target.len;
    for (const char *p = target.data; p < end; p++) {
        if (*p <= ' ' || *p > '~' || *p == '#')
            return HTTP_RULE_BAD_TARGET;
        if (end - p >= 3 && p[0] == '%' && p[1] == '0' && p[2] == '0')
            return HTTP_RULE_NUL_IN_TARGET;
    }
    if (http_str_is(target, "*")) {
        out->path = target;
        return http_str_is(out->method, "OPTIONS") ? HTTP_RULE_NONE : HTTP_RULE_BAD_TARGET;
    }
    const char *at = target.data;
    size_t scheme_len = sizeof scheme - 1;
    if (target.len > scheme_len && http_str_is_nocase(slice(at, at + scheme_len), scheme)) {
        const char *from = at + scheme_len;
        for (at = from; at < end && *at != '/' && *at != '?';)
            at++;
        *authority = slice(from, at);
        if (!host_is_valid(*authority))
            return HTTP_RULE_BAD_TARGET;
    } else if (*at != '/') {
        return HTTP_RULE_BAD_TARGET;
    }
    const char *mark = memchr(at, '?', (size_t)(end - at));
    out->path = slice(at, mark ? mark : end);
    if (out->path.len == 0)
        out->path = (struct http_str){ "/", 1 };
    if (mark)
        out->query = slice(mark + 1, end);
    return path_has_dot_dot(out->path) ? HTTP_RULE_DOT_SEGMENT : HTTP_RULE_NONE;
}

static enum http_rule parse_version(struct http_str s, struct http_head *out)
{
    if (s.len != 8 || memcmp(s.data, "HTTP/", 5) != 0 || !is_digit(s.data[5]) || s.data[6] != '.' ||
        !is_digit(s.data[7]))
        return HTTP_RULE_BAD_VERSION;
    if (s.data[5] != '1' || s.data[7] > '1')
        return HTTP_RULE_OTHER_VERSION;
    out->is_http_1_0 = s.data[7] == '0';
    return HTTP_RULE_NONE;
}

static enum http_rule parse_line(struct http_str line, struct http_head *out,
                                 struct http_str *authority)
{
    const char *at = line.data;
    const char *end = line.data + line.len;
    while (at < end && http_char_is_token(*at))
        at++;
    if (at == line.data || at == end || *at != ' ')
        return HTTP_RULE_BAD_METHOD;
    out->method = slice(line.data, at);
    if (http_str_is(out->method, "CONNECT"))
        return HTTP_RULE_CONNECT;
    at++;
    const char *space = memchr(at, ' ', (size_t)(end - at));
    if (space == at)
        return HTTP_RULE_DOUBLE_SPACE;
    if (!space)
        return HTTP_RULE_NO_VERSION;
    if (space + 1 < end && space[1] == ' ')
        return HTTP_RULE_DOUBLE_SPACE;
    enum http_rule rule = parse_version(slice(space + 1, end), out);
    return rule ? rule : parse_target(slice(at, space), out, authority);
}

/* What the fields say, before it is weighed. */
struct seen {
    struct http_str host;
    struct http_str length;
    struct http_str encoding;
    int host_count;
    int length_count;
    int encoding_count;
    bool tab_behind_length;
    bool tab_behind_encoding;
    bool close;
    bool keep_alive;
    bool expects_continue;
    bool expects_other;
};

static void see_connection(struct seen *seen, struct http_str value)
{
    const char *at = value.data;
    const char *end = value.data + value.len;
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct http_str option = trim(slice(at, comma ? comma : end));
        if (http_str_is_nocase(option, "close"))
            seen->close = true;
        else if (http_str_is_nocase(option, "keep-alive"))
            seen->keep_alive = true;
        if (!comma)
            return;
        at = comma + 1;
    }
}

/* Legal, but other parsers stumble over it where it matters most. */
static bool tab_follows(struct http_str value)
{
    const char *at = value.data + value.len; /* the line's CR is behind it */
    while (*at == ' ')
        at++;
    return *at == '\t';
}

static void see_field(struct seen *seen, const struct http_field *field)
{
    if (http_str_is_nocase(field->name, "host")) {
        seen->host = field->value;
        seen->host_count++;
    } else if (http_str_is_nocase(field->name, "content-length")) {
        seen->length = field->value;
        seen->tab_behind_length = tab_follows(field->value);
        seen->length_count++;
    } else if (http_str_is_nocase(field->name, "transfer-encoding")) {
        seen->encoding = field->value;
        seen->tab_behind_encoding = tab_follows(field->value);
        seen->encoding_count++;
    } else if (http_str_is_nocase(field->name, "connection")) {
        see_connection(seen, field->value);
    } else if (http_str_is_nocase(field->name, "expect")) {
        if (http_str_is_nocase(field->value, "100-continue"))
            seen->expects_continue = true;
        else
            seen->expects_other = true;
    }
}

static bool same_host(struct http_str a, struct http_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    }
    return true;
}

static enum http_rule weigh_host(const struct seen *seen, const struct http_head *head,
                                 struct http_str authority)
{
    if (seen->host_count > 1)
        return HTTP_RULE_TWO_HOST;
    if (seen->host_count == 0)
        return head->is_http_1_0 ? HTTP_RULE_NONE : HTTP_RULE_NO_HOST;
    if (!host_is_valid(seen->host))
        return HTTP_RULE_BAD_HOST;
    if (authority.data && !same_host(authority, seen->host))
        return HTTP_RULE_HOST_MISMATCH;
    return HTTP_RULE_NONE;
}

static enum http_rule weigh_framing(const struct seen *seen, struct http_head *out)
{
    if (seen->length_count > 1)
        return HTTP_RULE_TWO_LENGTH;
    if (seen->encoding_count > 1)
        return HTTP_RULE_TWO_ENCODING;
    if (seen->length_count && seen->encoding_count)
        return HTTP_RULE_LENGTH_AND_ENCODING;
    if (seen->encoding_count) {
        if (out->is_http_1_0)
            return HTTP_RULE_OLD_ENCODING;
        out->chunked = http_str_is_nocase(seen->encoding, "chunked") && !seen->tab_behind_encoding;
        return out->chunked ? HTTP_RULE_NONE : HTTP_RULE_BAD_ENCODING;
    }
    if (!seen->length_count)
        return HTTP_RULE_NONE;
    if (seen->length.len < 1 || seen->length.len > 18 || seen->tab_behind_length)
        return HTTP_RULE_BAD_LENGTH;
    for (size_t i = 0; i < seen->length.len; i++) {
        if (!is_digit(seen->length.data[i]))
            return HTTP_RULE_BAD_LENGTH;
        out->content_length = out->content_length * 10 + (uint64_t)(seen->length.data[i] - '0');
    }
    return HTTP_RULE_NONE;
}

static const char *line_end(const char *at, const char *end)
{
    const char *cr = memchr(at, '\r', (size_t)(end - at));
    ASSERT(cr && end - cr >= 2 && cr[1] == '\n');
    return cr;
}

bool http_head_has_body(const struct http_head *head)
{
    return head->chunked || head->content_length > 0;
}

enum http_rule http_head_parse(const char *block, size_t len, const struct http_limits *limits,
                               struct http_field *fields, struct http_head *out)
{
    *out = (struct http_head){ .query = { "", 0 } };
    struct http_str authority = { NULL, 0 };
    const char *end = block + len;
    const char *cr = line_end(block, end);
    enum http_rule rule = parse_line(slice(block, cr), out, &authority);
    if (rule)
        return rule;

    struct seen seen = { .close = false };
    for (const char *at = cr + 2; (cr = line_end(at, end)) != at; at = cr + 2) {
        const char *colon = memchr(at, ':', (size_t)(cr - at));
        ASSERT(colon);
        struct http_field *field = &fields[out->field_count++];
        field->name = slice(at, colon);
        field->value = trim(slice(colon + 1, cr));
        see_field(&seen, field);
    }
    rule = weigh_host(&seen, out, authority);
    if (!rule)
        rule = weigh_framing(&seen, out);
    if (rule)
        return rule;

    out->keep_alive = !seen.close && (!out->is_http_1_0 || seen.keep_alive);
    /* RFC 9110, 10.1.1: an expectation in HTTP/1.0 is ignored. */
    if (!out->is_http_1_0) {
        if (seen.expects_other)
            return HTTP_RULE_EXPECT;
        out->expects_continue = seen.expects_continue && http_head_has_body(out);
    }
    return out->content_length > limits->body_bytes_max ? HTTP_RULE_BODY_TOO_LARGE : HTTP_RULE_NONE;
}
