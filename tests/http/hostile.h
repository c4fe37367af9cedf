#ifndef TESTS_HTTP_HOSTILE_H
#define TESTS_HTTP_HOSTILE_H

#include <stddef.h>
#include <string.h>

/*
 * Requests that must be refused, each with its status and rule. Most of them are accepted by
 * one or another widely used parser. They come in rows, one for each promise; the parser's
 * test and the server's test have a test of that name for each row.
 */
#define HOSTILE_ROW_LIST(X)                                                                        \
    X(LENGTH_AND_ENCODING, content_length_and_transfer_encoding_exclude_each_other)                \
    X(TWO_LENGTHS, two_content_lengths_are_refused)                                                \
    X(BAD_LENGTH, content_length_is_plain_digits)                                                  \
    X(UNKNOWN_ENCODING, transfer_encoding_is_chunked_or_refused)                                   \
    X(ENCODINGS, transfer_encoding_in_a_list_or_twice_or_in_1_0_is_refused)                        \
    X(SPACE_BEFORE_COLON, space_before_the_colon_is_refused)                                       \
    X(OBS_FOLD, folded_header_line_is_refused)                                                     \
    X(LONE_CR, lone_cr_is_refused)                                                                 \
    X(BARE_LF, bare_lf_is_refused)                                                                 \
    X(CONTROL, control_character_is_refused)                                                       \
    X(FIELD_NAME, field_name_is_a_token_and_not_empty)                                             \
    X(HOST, host_is_there_once_and_valid)                                                          \
    X(REQUEST_LINE, request_line_has_its_form_and_version)                                         \
    X(TARGET, method_is_a_token_and_target_is_clean)                                               \
    X(EXPECT, other_expectation_is_417)                                                            \
    X(CHUNKS, malformed_chunk_is_refused)                                                          \
    X(TOO_LARGE, body_over_the_limit_is_refused_unread)                                            \
    X(ORDER, malformed_goes_before_417_and_417_before_413)

enum hostile_row {
#define X(row, name) HOSTILE_##row,
    HOSTILE_ROW_LIST(X)
#undef X
};

struct probe {
    enum hostile_row row;
    int status;
    const char *rule;
    const char *text;
    size_t len; /* 0: text is a C string */
};

enum {
    HOSTILE_BODY_MAX = 4096 /* the limit that the probes of a body's size expect */
};

#define H "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\n" H
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define WITH_NUL(s) s, sizeof s - 1

static const struct probe g_probes[] = {
    /* length and encoding */
    { HOSTILE_LENGTH_AND_ENCODING, 400, "length_and_encoding",
      POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_LENGTH_AND_ENCODING, 400, "length_and_encoding",
      POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_TWO_LENGTHS, 400, "two_content_length",
      POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 0 },
    { HOSTILE_TWO_LENGTHS, 400, "two_content_length",
      POST "Content-Length: 2\r\ncontent-length: 3\r\n\r\nab", 0 },
    { HOSTILE_TWO_LENGTHS, 400, "bad_content_length", POST "Content-Length: 2, 3\r\n\r\nab", 0 },
    { HOSTILE_TWO_LENGTHS, 400, "bad_content_length", POST "Content-Length: 2,2\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length", POST "Content-Length: +2\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length", POST "Content-Length: -1\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length", POST "Content-Length: 0x2\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length", POST "Content-Length: 2 2\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length", POST "Content-Length: 2\t\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length", POST "Content-Length: 2 \t\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length", POST "Content-Length: 2.0\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length", POST "Content-Length:\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length", POST "Content-Length: \t \r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length",
      POST "Content-Length: 9223372036854775808\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length",
      POST "Content-Length: 18446744073709551618\r\n\r\nab", 0 },
    { HOSTILE_BAD_LENGTH, 400, "bad_content_length",
      POST "Content-Length: 0000000000000000002\r\n\r\nab", 0 },
    { HOSTILE_UNKNOWN_ENCODING, 400, "bad_transfer_encoding",
      POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_ENCODINGS, 400, "bad_transfer_encoding",
      POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_ENCODINGS, 400, "bad_transfer_encoding",
      POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_UNKNOWN_ENCODING, 400, "bad_transfer_encoding",
      POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_UNKNOWN_ENCODING, 400, "bad_transfer_encoding",
      POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_UNKNOWN_ENCODING, 400, "bad_transfer_encoding",
      POST "Transfer-Encoding: identity\r\n\r\n", 0 },
    { HOSTILE_UNKNOWN_ENCODING, 400, "bad_transfer_encoding",
      POST "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_UNKNOWN_ENCODING, 400, "bad_transfer_encoding", POST "Transfer-Encoding:\r\n\r\n",
      0 },
    { HOSTILE_ENCODINGS, 400, "two_transfer_encoding",
      POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_ENCODINGS, 400, "two_transfer_encoding",
      POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 0 },
    { HOSTILE_ENCODINGS, 400, "transfer_encoding_in_1_0",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0 },
    /* lines and names */
    { HOSTILE_SPACE_BEFORE_COLON, 400, "space_before_colon", GET H "A : x\r\n\r\n", 0 },
    { HOSTILE_SPACE_BEFORE_COLON, 400, "space_before_colon", GET "Host : a\r\n\r\n", 0 },
    { HOSTILE_SPACE_BEFORE_COLON, 400, "space_before_colon", GET H "A\t: x\r\n\r\n", 0 },
    { HOSTILE_SPACE_BEFORE_COLON, 400, "space_before_colon", POST "Content-Length : 2\r\n\r\nab",
      0 },
    { HOSTILE_OBS_FOLD, 400, "obs_fold", GET H "A: x\r\n y\r\n\r\n", 0 },
    { HOSTILE_OBS_FOLD, 400, "obs_fold", GET H "A: x\r\n\ty\r\n\r\n", 0 },
    { HOSTILE_OBS_FOLD, 400, "obs_fold", POST "A: x\r\n Content-Length: 2\r\n\r\nab", 0 },
    { HOSTILE_OBS_FOLD, 400, "obs_fold", GET " Host: a\r\n\r\n", 0 },
    { HOSTILE_OBS_FOLD, 400, "obs_fold", GET H "A: x\r\n \r\n\r\n", 0 },
    { HOSTILE_LONE_CR, 400, "bare_cr", POST "A:\rContent-Length: 2\r\n\r\nab", 0 },
    { HOSTILE_LONE_CR, 400, "bare_cr", GET H "A: x\ry\r\n\r\n", 0 },
    { HOSTILE_LONE_CR, 400, "bare_cr", GET H "A: x\r\r\n\r\n", 0 },
    { HOSTILE_LONE_CR, 400, "bare_cr", "GET / HTTP/1.1\rHost: a\r\n\r\n", 0 },
    { HOSTILE_LONE_CR, 400, "bare_cr", GET H "\r\r\n", 0 },
    { HOSTILE_LONE_CR, 400, "bare_cr", GET H "\rGET", 0 },
    { HOSTILE_LONE_CR, 400, "bad_field_name", GET H "A\r: x\r\n\r\n", 0 },
    { HOSTILE_BARE_LF, 400, "bare_lf", "GET / HTTP/1.1\nHost: a\n\n", 0 },
    { HOSTILE_BARE_LF, 400, "bare_lf", GET "Host: a\n\r\n", 0 },
    { HOSTILE_BARE_LF, 400, "bare_lf", GET H "\n", 0 },
    { HOSTILE_BARE_LF, 400, "bare_lf", GET H "A: x\r\n\n", 0 },
    { HOSTILE_BARE_LF, 400, "bare_lf", GET H "A\n: x\r\n\r\n", 0 },
    { HOSTILE_BARE_LF, 400, "bare_lf", "\nGET / HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_BARE_LF, 400, "empty_request_line", "\r\nGET / HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_CONTROL, 400, "control_character", WITH_NUL(GET H "A: x\0y\r\n\r\n") },
    { HOSTILE_CONTROL, 400, "control_character", WITH_NUL(GET H "A\0: x\r\n\r\n") },
    { HOSTILE_CONTROL, 400, "control_character", WITH_NUL("GET /\0 HTTP/1.1\r\n" H "\r\n") },
    { HOSTILE_CONTROL, 400, "control_character", GET H "A: x\001y\r\n\r\n", 0 },
    { HOSTILE_CONTROL, 400, "control_character", GET H "A: x\x7fy\r\n\r\n", 0 },
    { HOSTILE_CONTROL, 400, "control_character", GET H "A: \x1b[2J\r\n\r\n", 0 },
    { HOSTILE_CONTROL, 400, "control_character", GET H "A: \vx\r\n\r\n", 0 },
    { HOSTILE_CONTROL, 400, "control_character", "\x16\x03\x01\x02\x01\x01", 0 },
    { HOSTILE_FIELD_NAME, 400, "empty_field_name", GET H ": x\r\n\r\n", 0 },
    { HOSTILE_FIELD_NAME, 400, "bad_field_name", GET H "A(: x\r\n\r\n", 0 },
    { HOSTILE_FIELD_NAME, 400, "bad_field_name", GET H "\"A\": x\r\n\r\n", 0 },
    { HOSTILE_FIELD_NAME, 400, "bad_field_name", GET H "A\xc3\xa4: x\r\n\r\n", 0 },
    { HOSTILE_SPACE_BEFORE_COLON, 400, "space_before_colon", GET H "no colon\r\n\r\n", 0 },
    { HOSTILE_FIELD_NAME, 400, "bad_field_name", GET H "nocolon\r\n\r\n", 0 },
    /* host */
    { HOSTILE_HOST, 400, "no_host", GET "\r\n", 0 },
    { HOSTILE_HOST, 400, "no_host", GET "X-Host: a\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "two_host", GET H "Host: a\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "two_host", GET H "host: b\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "two_host", "GET / HTTP/1.0\r\n" H H "\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host:\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: a b\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: a, b\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: a/b\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: user@a\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: a:\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: a:80x\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: a:65536\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: a:000080\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: :80\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: [::1\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: []\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: [::1]x\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: [g::1]\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", GET "Host: \xc3\xa4\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "bad_host", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 0 },
    { HOSTILE_HOST, 400, "host_mismatch", "GET http://b/ HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_HOST, 400, "host_mismatch", "GET http://a:81/ HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_HOST, 400, "no_host", "GET http://a/ HTTP/1.1\r\n\r\n", 0 },
    /* request line */
    { HOSTILE_REQUEST_LINE, 400, "double_space", "GET  / HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "double_space", "GET /  HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "no_version", "GET /\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET / \r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET / HTTP/1.1 \r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET / HTTP/1.1\t\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET / http/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET / HTTP/1\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET / HTTP/11.1\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET / HTTP/1.10\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET / HTTP/1,1\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET / ICE/1.0\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "bad_version", "GET /a b HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 505, "other_version", "GET / HTTP/2.0\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 505, "other_version", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 505, "other_version", "GET / HTTP/9.9\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 505, "other_version", "GET / HTTP/0.9\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 505, "other_version", "GET / HTTP/1.2\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "connect", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "connect", "CONNECT / HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_method", "G@T / HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_method", "G\xc3\x84T / HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_method", " GET / HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_method", "GET\t/ HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_method", "GET\r\n" H "\r\n", 0 },
    { HOSTILE_REQUEST_LINE, 400, "no_version", "GET \r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "dot_segment", "GET /.. HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "dot_segment", "GET /../x HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "dot_segment", "GET /a/../b HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "dot_segment", "GET /a/..?b HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "dot_segment", "GET /a/%2e%2E/b HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "dot_segment", "GET /a/.%2e HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "dot_segment", "GET http://a/.. HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "nul_in_target", "GET /a%00b HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "nul_in_target", "GET /a?b=%00 HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET /a\tb HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET /a#b HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET a HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET ?a HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET * HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "OPTIONS ** HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET ftp://a/ HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET https://a/ HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET http:// HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET http:///x HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_TARGET, 400, "bad_target", "GET http://u@a/ HTTP/1.1\r\n" H "\r\n", 0 },
    { HOSTILE_EXPECT, 417, "expect", GET H "Expect: 200-ok\r\n\r\n", 0 },
    { HOSTILE_EXPECT, 417, "expect", GET H "Expect:\r\n\r\n", 0 },
    { HOSTILE_EXPECT, 417, "expect", GET H "Expect: 100-continue, x\r\n\r\n", 0 },
    { HOSTILE_EXPECT, 417, "expect", GET H "Expect: 100-continue\r\nExpect: x\r\n\r\n", 0 },
    /* chunks */
    { HOSTILE_CHUNKS, 400, "bad_chunk_size", CHUNKED "0x2\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_size", CHUNKED "-1\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_size", CHUNKED "+2\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_size", CHUNKED " 2\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_size", CHUNKED "\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_size", CHUNKED "g\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_size", CHUNKED "000000002\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_size", CHUNKED "100000002\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_size", CHUNKED ";a\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "chunk_extension", CHUNKED "2;a\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "chunk_extension", CHUNKED "2;a\rb\r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "chunk_extension", CHUNKED "2 \r\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "chunk_extension", CHUNKED "2\r\nab\r\n0;x=y\r\n\r\n", 0 },
    { HOSTILE_LONE_CR, 400, "bare_cr", CHUNKED "2\rX\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_BARE_LF, 400, "bare_lf", CHUNKED "2\nab\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_end", CHUNKED "2\r\nabc\r\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_end", CHUNKED "2\r\nab0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_end", CHUNKED "2\r\nab\n0\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "bad_chunk_end", CHUNKED "2\r\nab\rX0\r\n\r\n", 0 },
    { HOSTILE_LONE_CR, 400, "bare_cr", CHUNKED "0\r\n\rX", 0 },
    { HOSTILE_BARE_LF, 400, "bare_lf", CHUNKED "0\r\n\n", 0 },
    { HOSTILE_OBS_FOLD, 400, "obs_fold", CHUNKED "0\r\n A: x\r\n\r\n", 0 },
    { HOSTILE_OBS_FOLD, 400, "obs_fold", CHUNKED "0\r\nA: x\r\n y\r\n\r\n", 0 },
    { HOSTILE_SPACE_BEFORE_COLON, 400, "space_before_colon", CHUNKED "0\r\nGET / HTTP/1.1\r\n\r\n",
      0 },
    { HOSTILE_CHUNKS, 400, "framing_trailer", CHUNKED "0\r\nContent-Length: 2\r\n\r\n", 0 },
    { HOSTILE_CHUNKS, 400, "framing_trailer", CHUNKED "0\r\nA: x\r\ntransfer-ENCODING:x\r\n\r\n",
      0 },
    /* too much */
    { HOSTILE_TOO_LARGE, 413, "body_too_large", POST "Content-Length: 4097\r\n\r\n", 0 },
    { HOSTILE_TOO_LARGE, 413, "body_too_large", POST "Content-Length: 999999999999999999\r\n\r\n",
      0 },
    { HOSTILE_TOO_LARGE, 413, "body_too_large", CHUNKED "1001\r\n", 0 },
    { HOSTILE_TOO_LARGE, 413, "body_too_large", CHUNKED "ffffffff\r\n", 0 },
    { HOSTILE_TOO_LARGE, 413, "body_too_large", CHUNKED "1\r\na\r\n1000\r\n", 0 },
    /* malformed goes before 417, and 417 before 413 */
    { HOSTILE_ORDER, 400, "two_content_length",
      POST "Content-Length: 9999\r\nContent-Length: 9999\r\nExpect: x\r\n\r\n", 0 },
    { HOSTILE_ORDER, 417, "expect", POST "Content-Length: 9999\r\nExpect: x\r\n\r\n", 0 },
};

enum {
    PROBE_COUNT = sizeof g_probes / sizeof g_probes[0]
};

static inline size_t probe_len(const struct probe *probe)
{
    return probe->len ? probe->len : strlen(probe->text);
}

#endif
