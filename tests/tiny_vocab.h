#ifndef TESTS_TINY_VOCAB_H
#define TESTS_TINY_VOCAB_H

#include "model/gguf_build.h"
#include "tiny_model.h"

/* Adds the vocabulary of a tiny model: all keys of tokenizer.ggml. */
void tiny_vocab_add(struct gguf_build *g, const struct tiny_shape *s);

#endif
