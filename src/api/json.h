#ifndef API_JSON_H
#define API_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "api/errors.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * Reading bodies field by field, with errors that name the field, and writing answers.
 * null is the same as absent. Whole numbers may be written 1.0.
 */

enum {
    API_JSON_DEPTH_MAX = 128,
    API_JSON_VALUES_MAX = 1 << 20, /* of a body; an empty list or object counts as two */
    API_VALUE_BYTES_MAX = 200      /* of the caller's own input in a message */
};

/* Where a value stands in the body: a key, or an index where `key` is NULL. */
struct api_path {
    const struct api_path *up; /* NULL: the body itself */
    const char *key;
    size_t index;
};

/* "messages[2].content[0].type"; cut to fit. */
void api_path_print(const struct api_path *path, char *out, size_t size);

/* The value as JSON, at most API_VALUE_BYTES_MAX bytes and "..." if it was cut. */
#define API_VALUE_TEXT_SIZE (API_VALUE_BYTES_MAX + 4)
void api_value_print(const json_t *value, char out[API_VALUE_TEXT_SIZE]);

/* One object of the body while it is read. */
struct api_object {
    const json_t *json;
    const struct api_path *path; /* NULL: the body itself */
    struct api_error *error;
};

/*
 * A body: one JSON object, depth and number of values bounded, no key twice, UTF-8 checked.
 * *out is NULL on an error. Gives: json_decref.
 */
enum base_err api_json_parse(const char *data, size_t len, json_t **out, struct api_error *error);

/* The value of a field, NULL if absent or null. */
const json_t *api_field(const struct api_object *object, const char *key);

/* Refuses the value at `path`: API_INVALID_VALUE "path: expected …, got …". */
enum base_err api_wrong(struct api_error *error, const struct api_path *path, const char *expected,
                        const json_t *got);

/* The same for a field of an object. */
enum base_err api_field_wrong(const struct api_object *object, const char *key,
                              const char *expected);

enum base_err api_field_missing(const struct api_object *object, const char *key);

/* API_UNSUPPORTED: a field that is known and has no effect here but with the value `only`. */
enum base_err api_field_unsupported(const struct api_object *object, const char *key,
                                    const char *only);

/* Readers: an absent field leaves *out as it is. */
enum base_err api_field_bool(const struct api_object *object, const char *key, bool *out);
enum base_err api_field_i64(const struct api_object *object, const char *key, int64_t min,
                            int64_t max, int64_t *out);

/* A number without a fraction; 1.0 is one. */
bool api_whole_number(const json_t *value, int64_t *out);

/* Each item of an array as a token id, 0 <= id < token_count, to `out` [array size]. */
enum base_err api_array_ids(const json_t *array, const struct api_path *path, int32_t token_count,
                            int32_t *out, struct api_error *error);

struct api_range {
    double min;
    double max;
    bool above_min; /* min itself is outside */
    const char *expected;
};

enum base_err api_field_f64(const struct api_object *object, const char *key,
                            const struct api_range *range, double *out);

/* Text points into the body. */
enum base_err api_field_string(const struct api_object *object, const char *key, const char **text,
                               size_t *len);

/* Whether a JSON string is exactly `text`. */
bool api_string_is(const json_t *value, const char *text);

/* Appends the value, compact. E_NOMEM, E_TOO_BIG; value NULL (refused by jansson): E_NOMEM. */
enum base_err api_json_write(const json_t *value, struct base_buf *out);

#endif
