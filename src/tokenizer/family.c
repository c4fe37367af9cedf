#include "tokenizer/family.h"

#include <string.h>

/*
 * White space as Unicode's White_Space property has it. PCRE2's \s also takes U+180E, which
 * lost that property in Unicode 6.3; the implementations that vocabularies were made with
 * follow Unicode.
 */
#define WHITE "\\p{Z}\\x09-\\x0d\\x{85}"

/* Contractions; a word, a number or signs, each with at most one space before; white space,
 * whose last character is left to what follows. */
#define GPT2                                                                                       \
    "'(?:[smdt]|re|ve|ll)"                                                                         \
    "| ?\\p{L}+"                                                                                   \
    "| ?\\p{N}+"                                                                                   \
    "| ?[^" WHITE "\\p{L}\\p{N}]+"                                                                 \
    "|[" WHITE "]+(?![^" WHITE "])"                                                                \
    "|[" WHITE "]+"

static const struct tokenizer_family families[] = {
    { "gpt-2", { GPT2 } }, { "smollm", { "\\p{N}", GPT2 } }, /* every digit on its own, first */
};

const struct tokenizer_family *tokenizer_family_find(struct tokenizer_text name)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const char *s = families[i].name;
        if (strlen(s) == name.len && memcmp(s, name.data, name.len) == 0)
            return &families[i];
    }
    return NULL;
}
