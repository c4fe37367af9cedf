#ifndef TOKENIZER_NFC_H
#define TOKENIZER_NFC_H

#include <stdint.h>

#include "base/buf.h"
#include "tokenizer/tokenizer.h"

/*
 * Unicode normalisation form C. Most text is in that form and seen to be at a glance; only
 * around characters that may change is anything done.
 */

/* Memory for normalising; grows to the longest stretch that may change. Starts zeroed. */
struct tokenizer_nfc_work {
    int32_t *points; /* [cap] code points */
    int32_t *spare;  /* [cap] */
    size_t cap;
};

void tokenizer_nfc_work_fini(struct tokenizer_nfc_work *w);

/* Where the first stretch begins that may change; `text.len` if the text is in form C. The
 * text is well-formed. */
size_t tokenizer_nfc_first(struct tokenizer_text text);

/* Appends the text in form C. The text is well-formed. E_TOO_BIG, E_NOMEM; `out` may then
 * hold a part. */
enum base_err tokenizer_nfc_append(struct base_buf *out, struct tokenizer_text text,
                                   struct tokenizer_nfc_work *w);

#endif
