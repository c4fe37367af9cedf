/* `valet inspect`: metadata and tensors of a GGUF file, without loading the model. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "commands.h"
#include "model/gguf.h"
#include "options.h"
#include "tensor/types.h"

enum {
    TEXT_SHOWN = 60,  /* bytes of a string */
    ITEMS_SHOWN = 4   /* elements of an array */
};

struct inspect_options {
    int32_t tensors;
};

static const struct option_spec g_options[] = {
    { "tensors", OPTION_FLAG, NULL, offsetof(struct inspect_options, tensors), 0, 0,
      "list every tensor" },
};

static const struct command g_command = {
    .usage = "valet inspect MODEL [options]",
    .about = "Shows the metadata of a GGUF file, and how many tensors of which type it has.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 1,
    .operands_max = 1,
};

/* In quotes, cut, with what a terminal must not see replaced. */
static void print_text(const char *data, size_t len)
{
    size_t shown = len < TEXT_SHOWN ? len : TEXT_SHOWN;
    putchar('"');
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c == '\n')
            fputs("\\n", stdout);
        else
            putchar(c < 0x20 || c == 0x7f ? '?' : c);
    }
    printf(len > shown ? "\"... (%zu bytes)" : "\"", len);
}

static bool is_float(enum gguf_kind kind)
{
    return kind == GGUF_F32 || kind == GGUF_F64;
}

static void print_value(const struct gguf *g, const struct gguf_kv *kv)
{
    if (kv->kind == GGUF_ARRAY) {
        printf("[%" PRIu64 "]", kv->count);
        const uint8_t *cursor = kv->value;
        for (uint64_t i = 0; i < kv->count && i < ITEMS_SHOWN; i++) {
            putchar(' ');
            if (kv->element_kind == GGUF_STRING) {
                struct gguf_str s = gguf_array_next_str(&cursor);
                print_text(s.data, s.len);
            } else if (is_float(kv->element_kind)) {
                printf("%g", gguf_array_f64(kv, i));
            } else {
                printf("%" PRId64, gguf_array_i64(kv, i));
            }
        }
        fputs(kv->count > ITEMS_SHOWN ? " ..." : "", stdout);
        return;
    }
    char key[256];
    snprintf(key, sizeof key, "%.*s", (int)(kv->key.len < 255 ? kv->key.len : 255), kv->key.data);
    struct gguf_str text;
    bool flag;
    float number;
    uint64_t whole;
    if (kv->kind == GGUF_STRING && gguf_get_str(g, key, &text, NULL) == OK)
        print_text(text.data, text.len);
    else if (kv->kind == GGUF_BOOL && gguf_get_bool(g, key, &flag, NULL) == OK)
        fputs(flag ? "true" : "false", stdout);
    else if (!is_float(kv->kind) && gguf_get_u64(g, key, &whole, NULL) == OK)
        printf("%" PRIu64, whole);
    else if (gguf_get_f32(g, key, &number, NULL) == OK)
        printf("%g", (double)number);
}

static void print_metadata(const struct gguf *g)
{
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        printf("%-44.*s ", (int)kv->key.len, kv->key.data);
        print_value(g, kv);
        putchar('\n');
    }
}

static void print_tensor(const struct gguf_tensor *t)
{
    printf("%-32.*s %-6s", (int)t->name.len, t->name.data, tensor_type_info(t->type)->name);
    for (uint32_t d = 0; d < t->dim_count; d++)
        printf("%s%" PRId64, d ? " x " : " ", t->dims[d]);
    printf("  %" PRIu64 " bytes\n", t->bytes);
}

/* "210 of q4_1 (66355200 bytes)", in the order in which the types appear. */
static void print_types(const struct gguf *g)
{
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        uint32_t type = gguf_tensor_at(g, i)->type;
        uint64_t bytes = 0;
        size_t count = 0;
        bool seen = false;
        for (size_t j = 0; j < gguf_tensor_count(g); j++) {
            const struct gguf_tensor *t = gguf_tensor_at(g, j);
            seen = seen || (j < i && t->type == type);
            count += t->type == type;
            bytes += t->type == type ? t->bytes : 0;
        }
        if (!seen)
            printf("  %-6s %4zu tensors, %" PRIu64 " bytes\n", tensor_type_info(type)->name, count,
                   bytes);
    }
}

int command_inspect(int argc, char **argv)
{
    struct inspect_options options = { 0 };
    const char *path;
    int operand_count;
    switch (options_parse(&g_command, argc, argv, &options, &path, &operand_count)) {
    case OPTIONS_HELP:
        return EXIT_OK;
    case OPTIONS_WRONG:
        return EXIT_USAGE;
    case OPTIONS_OK:
        break;
    }
    struct gguf *g;
    struct base_err_info info = { 0 };
    if (gguf_open(path, &g, &info) != OK) {
        fprintf(stderr, "valet: %s: %s\n", path, info.message);
        return EXIT_FAILED;
    }
    printf("GGUF version %u, %" PRIu64 " bytes, %zu keys, %zu tensors\n\n", gguf_version(g),
           gguf_file_bytes(g), gguf_kv_count(g), gguf_tensor_count(g));
    print_metadata(g);
    putchar('\n');
    print_types(g);
    for (size_t i = 0; options.tensors && i < gguf_tensor_count(g); i++)
        print_tensor(gguf_tensor_at(g, i));
    gguf_close(g);
    return EXIT_OK;
}
