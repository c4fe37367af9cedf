#ifndef TESTS_TEMPLATE_JSON_CONTEXT_H
#define TESTS_TEMPLATE_JSON_CONTEXT_H

#include "template/jinja.h"

/*
 * A context from JSON text, in `arena`: strings are user text, but for the top-level bos_token
 * and eos_token. Aborts if the text is no object.
 */
struct jinja_value json_context(struct arena *arena, const char *json);

#endif
