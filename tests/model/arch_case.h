#ifndef TESTS_MODEL_ARCH_CASE_H
#define TESTS_MODEL_ARCH_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Tiny models in words, from tests/golden/arch_*.txt (tests/golden/README.md), made into GGUF
 * files. Tests change them before: a key, a tensor, a type. Memory is from libc, so that the
 * counters of base/mem.h do not see it; what goes wrong aborts.
 */
enum {
    ARCH_IDS_MAX = 128,
    ARCH_VALUES_MAX = 64,
    ARCH_KEYS_MAX = 64,
    ARCH_TENSORS_MAX = 1024
};

struct arch_key {
    char kind[8]; /* u32, i32, f32, bool, str; i32s, f32s, bools: an array */
    char name[96];
    int count; /* of values; 0: the key is left out */
    char values[ARCH_VALUES_MAX][32];
};

struct arch_tensor {
    char name[64]; /* "": the tensor is left out */
    uint32_t type;
    uint32_t dim_count;
    int64_t dims[2];
    double center;
    double spread;
    int value_count; /* above 0: these values, nothing drawn */
    float values[ARCH_VALUES_MAX];
};

struct arch_case {
    char name[48];
    uint64_t seed;
    int count; /* positions */
    int vocab;
    int32_t ids[ARCH_IDS_MAX];
    int key_count;
    struct arch_key keys[ARCH_KEYS_MAX];
    int tensor_count;
    struct arch_tensor *tensors; /* [ARCH_TENSORS_MAX] */
    float *logits;               /* [count][vocab], the oracle's */
};

/* The file of an architecture, its comments skipped. Gives: fclose. */
FILE *arch_cases_open(const char *arch);

/* The next case of the file; false at its end. Gives: arch_case_fini. */
bool arch_case_read(FILE *f, struct arch_case *c);

/* The case of that name. Gives: arch_case_fini. */
void arch_case_load(const char *arch, const char *name, struct arch_case *c);
void arch_case_fini(struct arch_case *c);

/* The key or tensor of that name; it is there, or added (a key without values). */
struct arch_key *arch_case_key(struct arch_case *c, const char *name);
struct arch_tensor *arch_case_tensor(struct arch_case *c, const char *name);

/* Sets a key to one value. */
void arch_case_set(struct arch_case *c, const char *name, const char *kind, const char *value);

/* The GGUF file. Gives: free. */
void *arch_case_build(const struct arch_case *c, size_t *size);

/* Part `index` of a model in `count` files, with its share of the tensors. Gives: free. */
void *arch_case_build_part(const struct arch_case *c, int index, int count, size_t *size);

/* Writes bytes to a file. */
void arch_write(const char *path, const void *data, size_t size);

#endif
