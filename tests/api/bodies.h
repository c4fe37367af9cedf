#ifndef TESTS_API_BODIES_H
#define TESTS_API_BODIES_H

#include "api/params.h"
#include "base/buf.h"

/* Tables of bodies: each is read, or refused for one of its fields. */

struct body_row {
    const char *body;  /* one that starts with ',' or '}' is put behind the table's prefix */
    const char *code;  /* NULL: accepted */
    const char *param; /* NULL: null */
    const char *has;   /* a part of the message, or of the description of what was read */
};

/* Parses a body; on success its description is in `out`. */
typedef enum base_err (*body_parse_fn)(const char *data, size_t len, struct base_buf *out,
                                       struct api_error *error);

void body_check(const struct body_row *row, const char *prefix, body_parse_fn parse);

/* What was read, one line, so that a row can name the part it is about. */
void body_describe(const struct api_params *p, struct base_buf *out);

/* The rows of the fields that chats and completions share. */
extern const struct body_row body_shared_rows[];
extern const size_t body_shared_count;

/* A model with the letters for tokens; destroy its tokenizer. */
struct api_model body_model(bool add_bos, int32_t context);

#endif
