#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http.h"

/*
 * The strict HTTP/1.1 parser: no I/O, no allocation, no time. A request is read in three
 * steps, and each step refuses what it does not know for certain:
 *
 *   http_scan_feed    finds the end of the head in bytes that come in pieces. It checks
 *                     everything that can be said of single bytes: line ends, control
 *                     characters, field names, limits.
 *   http_head_parse   takes the whole head apart: request line, fields, framing.
 *   http_framing_feed takes the framing off the body, in pieces again.
 *
 * Threads: pure functions on the caller's structs.
 */

/* What refuses a request, and how it is answered: rule, status, text for the client. */
#define HTTP_RULE_LIST(X)                                                                          \
    X(NONE, 0, "none", "")                                                                         \
    /* bytes and lines */                                                                          \
    X(BARE_LF, 400, "bare_lf", "a line ends with LF alone; CRLF was expected")                     \
    X(BARE_CR, 400, "bare_cr", "a CR is not followed by LF")                                       \
    X(CONTROL, 400, "control_character", "the head contains a control character")                  \
    X(EMPTY_LINE, 400, "empty_request_line", "the request line is empty")                          \
    X(OBS_FOLD, 400, "obs_fold", "a header line starts with a blank")                              \
    X(EMPTY_NAME, 400, "empty_field_name", "a header has no name")                                 \
    X(SPACE_BEFORE_COLON, 400, "space_before_colon", "a header name is followed by a blank")       \
    X(BAD_NAME, 400, "bad_field_name", "a header name contains a character that is not allowed")   \
    X(LINE_TOO_LONG, 414, "request_line_too_long", "the request line is too long")                 \
    X(HEAD_TOO_LARGE, 431, "headers_too_large", "the headers are too large")                       \
    X(TOO_MANY_FIELDS, 431, "too_many_headers", "there are too many headers")                      \
    /* request line */                                                                             \
    X(BAD_METHOD, 400, "bad_method", "the method is not a token")                                  \
    X(CONNECT, 400, "connect", "CONNECT is not served here")                                       \
    X(DOUBLE_SPACE, 400, "double_space", "the request line has more than one space in a row")      \
    X(NO_VERSION, 400, "no_version", "the request line has no HTTP version")                       \
    X(BAD_VERSION, 400, "bad_version", "the HTTP version is malformed")                            \
    X(OTHER_VERSION, 505, "other_version", "only HTTP/1.1 and HTTP/1.0 are served")                \
    X(BAD_TARGET, 400, "bad_target", "the request target is malformed")                            \
    X(DOT_SEGMENT, 400, "dot_segment", "the path contains a '..' segment")                         \
    X(NUL_IN_TARGET, 400, "nul_in_target", "the request target contains %00")                      \
    /* fields with a meaning */                                                                    \
    X(NO_HOST, 400, "no_host", "the Host header is missing")                                       \
    X(TWO_HOST, 400, "two_host", "there is more than one Host header")                             \
    X(BAD_HOST, 400, "bad_host", "the Host header is malformed")                                   \
    X(HOST_MISMATCH, 400, "host_mismatch", "the request target and the Host header differ")        \
    X(TWO_LENGTH, 400, "two_content_length", "there is more than one Content-Length header")       \
    X(BAD_LENGTH, 400, "bad_content_length", "Content-Length is not a number of 1 to 18 digits")   \
    X(TWO_ENCODING, 400, "two_transfer_encoding", "there is more than one Transfer-Encoding")      \
    X(BAD_ENCODING, 400, "bad_transfer_encoding", "Transfer-Encoding is not 'chunked'")            \
    X(OLD_ENCODING, 400, "transfer_encoding_in_1_0", "HTTP/1.0 has no Transfer-Encoding")          \
    X(LENGTH_AND_ENCODING, 400, "length_and_encoding",                                             \
      "Content-Length and Transfer-Encoding exclude each other")                                   \
    X(EXPECT, 417, "expect", "only 'Expect: 100-continue' is understood")                          \
    /* body */                                                                                     \
    X(BODY_TOO_LARGE, 413, "body_too_large", "the body is too large")                              \
    X(BAD_CHUNK_SIZE, 400, "bad_chunk_size", "a chunk size is not 1 to 8 hexadecimal digits")      \
    X(CHUNK_EXTENSION, 400, "chunk_extension", "chunk extensions are not served")                  \
    X(FRAMING_TRAILER, 400, "framing_trailer", "a trailer would change the framing")               \
    X(BAD_CHUNK_END, 400, "bad_chunk_end", "a chunk's data is not followed by CRLF")               \
    /* the server's own */                                                                         \
    X(HEADER_TIMEOUT, 408, "header_timeout", "the headers did not come in time")                   \
    X(BODY_TIMEOUT, 408, "body_timeout", "the body did not come in time")                          \
    X(BAD_TLS, 400, "bad_tls", "the TLS handshake or a TLS record failed")                         \
    X(PLAIN_HTTP, 400, "plain_http", "this port speaks TLS; use https")                            \
    X(HOST_DENIED, 403, "host_denied", "the Host header is neither local nor a listed name")       \
    X(ORIGIN_DENIED, 403, "origin_denied", "pages of this origin may not send such requests here") \
    X(OVERLOADED, 503, "overloaded", "there are too many connections")                             \
    X(ADDRESS_FULL, 503, "address_full", "there are too many connections from this address")       \
    X(DRAINING, 503, "draining", "the server is shutting down")

enum http_rule {
#define X(name, status, text, message) HTTP_RULE_##name,
    HTTP_RULE_LIST(X)
#undef X
};

struct http_rule_info {
    int status;
    const char *name;    /* for the log */
    const char *code;    /* for the client's program: one for each status, but for 503 */
    const char *message; /* for a person */
};

struct http_rule_info http_rule_describe(enum http_rule rule);

struct http_limits {
    size_t request_line_bytes_max; /* without its CRLF */
    size_t header_bytes_max;       /* behind the request line, every CRLF counted */
    size_t field_count_max;
    uint64_t body_bytes_max; /* without framing */
};

enum http_parse {
    HTTP_PARSE_MORE,   /* everything was used; more is needed */
    HTTP_PARSE_DONE,   /* the end is the last byte used */
    HTTP_PARSE_REFUSED /* `rule` says why; feed no more */
};

struct http_scan {
    size_t line_bytes;
    size_t header_bytes;
    size_t field_count; /* field lines begun so far */
    size_t name_len;    /* of the field name so far; of trailers only */
    unsigned like;      /* bits: which names that a trailer must not have begin like it */
    bool is_trailers;
    int state; /* enum scan_state */
    enum http_rule rule;
};

/* Expects a head, from the first byte of the request line on. */
void http_scan_init(struct http_scan *s);

/* Expects field lines up to an empty one, as behind the last chunk. */
void http_scan_init_trailers(struct http_scan *s);

/* Reads up to the end of the head and not beyond; *used <= len. */
enum http_parse http_scan_feed(struct http_scan *s, const struct http_limits *limits,
                               const char *data, size_t len, size_t *used);

/* A head taken apart. The texts are borrowed from the block. */
struct http_head {
    struct http_str method;
    struct http_str path;
    struct http_str query;
    size_t field_count;
    uint64_t content_length; /* 0 without one */
    bool chunked;
    bool is_http_1_0;
    bool keep_alive;
    bool expects_continue; /* the client waits for a 100 before it sends the body */
};

/*
 * Takes a head apart that http_scan_feed has found complete. `fields` has room for the
 * scan's field_count. Gives the rule that refuses the request, HTTP_RULE_NONE if none does.
 * Where several do, malformed framing goes before 417, and 417 before 413.
 */
enum http_rule http_head_parse(const char *block, size_t len, const struct http_limits *limits,
                               struct http_field *fields, struct http_head *out);

struct http_framing {
    uint64_t left;       /* of the body or the chunk */
    uint64_t body_bytes; /* so far, without framing */
    uint32_t size;       /* of the chunk, while its digits come */
    int digits;
    int state; /* enum framing_state */
    enum http_rule rule;
    struct http_scan trailers;
};

/* Whether a body follows the head at all; without one the framing is done at once. */
bool http_head_has_body(const struct http_head *head);

void http_framing_init(struct http_framing *f, const struct http_head *head);

/*
 * Reads framing, or one run of body bytes, and gives the latter as *piece: part of `data`,
 * may be empty. Call again while data is left and the answer is HTTP_PARSE_MORE.
 */
enum http_parse http_framing_feed(struct http_framing *f, const struct http_limits *limits,
                                  const char *data, size_t len, size_t *used,
                                  struct http_str *piece);

/* Character classes, for what is checked elsewhere. */
bool http_char_is_token(char c);

/* Equality in any case of ASCII letters. */
bool http_str_is_nocase(struct http_str s, const char *text);

#endif
