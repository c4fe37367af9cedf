/* `valet inspect`: what a GGUF file holds and what serving it takes, without loading it. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "inspect.h"
#include "options.h"
#include "template/jinja.h"
#include "tensor/types.h"

enum {
    TEXT_SHOWN = 60, /* bytes of a string */
    ITEMS_SHOWN = 4  /* elements of an array */
};

struct inspect_options {
    int32_t tensors;
    int32_t template;
    int32_t json;
};

static const struct option_spec g_options[] = {
    { "tensors", OPTION_FLAG, NULL, offsetof(struct inspect_options, tensors), 0, 0,
      "list every tensor" },
    { "template", OPTION_FLAG, NULL, offsetof(struct inspect_options, template), 0, 0,
      "print the chat template and nothing else" },
    { "json", OPTION_FLAG, NULL, offsetof(struct inspect_options, json), 0, 0,
      "print everything as JSON" },
};

static const struct command g_command = {
    .usage = "valet inspect MODEL [options]",
    .about =
        "Shows the metadata of a GGUF file, how many tensors of which type it has, the memory\n"
        "that serving it takes on this machine, and whether its chat template works.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 1,
    .operands_max = 1,
};

/* A byte, or '?' for what a terminal must not see. */
static void print_byte(char c)
{
    putchar((unsigned char)c < 0x20 || c == 0x7f ? '?' : c);
}

/* In a column. */
static void print_name(struct gguf_str name, size_t width)
{
    for (size_t i = 0; i < name.len; i++)
        print_byte(name.data[i]);
    for (size_t i = name.len; i < width; i++)
        putchar(' ');
    putchar(' ');
}

/* In quotes, cut. */
static void print_text(const char *data, size_t len)
{
    size_t shown = len < TEXT_SHOWN ? len : TEXT_SHOWN;
    putchar('"');
    for (size_t i = 0; i < shown; i++) {
        if (data[i] == '\n')
            fputs("\\n", stdout);
        else
            print_byte(data[i]);
    }
    printf(len > shown ? "\"... (%zu bytes)" : "\"", len);
}

static bool is_float(enum gguf_kind kind)
{
    return kind == GGUF_F32 || kind == GGUF_F64;
}

/* Element i of an array, or the value; strings are walked by `cursor`. */
static void print_element(const struct gguf_kv *kv, uint64_t i, const uint8_t **cursor)
{
    if (kv->element_kind == GGUF_STRING) {
        struct gguf_str s = gguf_array_next_str(cursor);
        print_text(s.data, s.len);
    } else if (kv->element_kind == GGUF_BOOL) {
        fputs(gguf_array_i64(kv, i) ? "true" : "false", stdout);
    } else if (is_float(kv->element_kind)) {
        printf("%g", gguf_array_f64(kv, i));
    } else {
        printf("%" PRId64, gguf_array_i64(kv, i));
    }
}

static void print_value(const struct gguf_kv *kv)
{
    const uint8_t *cursor = kv->value;
    if (kv->kind != GGUF_ARRAY) {
        print_element(kv, 0, &cursor);
        return;
    }
    printf("[%" PRIu64 "]", kv->count);
    for (uint64_t i = 0; i < kv->count && i < ITEMS_SHOWN; i++) {
        putchar(' ');
        print_element(kv, i, &cursor);
    }
    fputs(kv->count > ITEMS_SHOWN ? " ..." : "", stdout);
}

static void print_metadata(const struct gguf *g)
{
    for (size_t i = 0; i < gguf_kv_count(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        print_name(kv->key, 44);
        print_value(kv);
        putchar('\n');
    }
}

static void print_tensor(const struct gguf_tensor *t)
{
    print_name(t->name, 32);
    printf("%-6s", tensor_type_info(t->type)->name);
    for (uint32_t d = 0; d < t->dim_count; d++)
        printf("%s%" PRId64, d ? " x " : " ", t->dims[d]);
    printf("  %" PRIu64 " bytes\n", t->bytes);
}

/* "210 of q4_1 (66355200 bytes)", in the order in which the types appear. */
static void print_types(const struct gguf *g)
{
    uint64_t seen = 0; /* bits of types; an open file has known ones only, which are below 64 */
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        uint32_t type = gguf_tensor_at(g, i)->type;
        uint64_t bytes = 0;
        size_t count = 0;
        if (seen >> type & 1)
            continue;
        seen |= UINT64_C(1) << type;
        for (size_t j = i; j < gguf_tensor_count(g); j++) {
            const struct gguf_tensor *t = gguf_tensor_at(g, j);
            count += t->type == type;
            bytes += t->type == type ? t->bytes : 0;
        }
        printf("  %-6s %4zu tensors, %" PRIu64 " bytes\n", tensor_type_info(type)->name, count,
               bytes);
    }
}

static void print_line(const char *what, uint64_t bytes, const char *note)
{
    char text[32];
    memory_plan_text(bytes, text);
    printf("  %-28s %12s%s%s\n", what, text, *note ? "  " : "", note);
}

static void print_plan(const struct memory_plan *plan)
{
    char note[64];
    char what[64];
    printf("\nmemory to serve it (%s)\n", plan->isa);
    print_line("weights in the file", plan->weights, plan->packed ? "given back once packed" : "");
    print_line("packed weights", plan->packed, "");
    print_line("activations of a step", plan->activations, "");
    print_line("KV cache, one token", plan->kv_token, "");
    print_line("KV cache, one whole context", plan->kv_context, "");
    snprintf(what, sizeof what, "KV cache, %" PRIu64 " of those", plan->sequences);
    snprintf(note, sizeof note, "--kv-mem and --ctx-size bound it");
    print_line(what, plan->kv_sequences, note);
    if (plan->machine)
        print_line("this machine", plan->machine, "");
}

static void print_template(const struct inspected *seen)
{
    if (!seen->template.data)
        puts("\nchat template: none; ChatML is used");
    else if (seen->template_works)
        printf("\nchat template: %zu bytes, understood; --template prints it\n",
               seen->template.len);
    else
        printf("\nchat template: %zu bytes, not understood: %s\n", seen->template.len,
               seen->template_info.message);
}

static void print_all(const struct inspected *seen, bool tensors)
{
    const struct gguf *g = seen->file;
    printf("GGUF version %u, %" PRIu64 " bytes, %zu keys, %zu tensors\n\n", gguf_version(g),
           gguf_file_bytes(g), gguf_kv_count(g), gguf_tensor_count(g));
    print_metadata(g);
    putchar('\n');
    print_types(g);
    for (size_t i = 0; tensors && i < gguf_tensor_count(g); i++)
        print_tensor(gguf_tensor_at(g, i));
    if (seen->can_serve)
        print_plan(&seen->plan);
    else
        printf("\ncannot be served: %s\n", seen->why_not.message);
    print_template(seen);
}

static void look_at_template(struct inspected *seen)
{
    if (gguf_get_str(seen->file, "tokenizer.chat_template", &seen->template, NULL) != OK) {
        seen->template = (struct gguf_str){ 0 };
        return;
    }
    struct jinja_limits limits;
    jinja_template *t;
    jinja_limits_init(&limits);
    seen->template_works = jinja_compile(seen->template.data, seen->template.len, &limits, &t,
                                         &seen->template_info) == OK;
    jinja_destroy(t);
}

/* Exit code. */
static int inspect(const char *path, const struct inspect_options *options)
{
    struct gguf *g;
    struct base_err_info info = { 0 };
    if (gguf_open(path, &g, &info) != OK) {
        fprintf(stderr, "valet: %s: %s\n", path, info.message);
        return EXIT_FAILED;
    }
    struct inspected seen = { .file = g };
    const struct tensor_isa *isa;
    struct model *model = NULL;
    seen.can_serve = tensor_isa_find(getenv("VALET_ISA"), &isa, &seen.why_not) == OK &&
                     model_open(path, isa, NULL, &model, &seen.why_not) == OK;
    if (seen.can_serve)
        memory_plan_make(model, &seen.plan);
    look_at_template(&seen);
    int code = EXIT_OK;
    if (options->template && !seen.template.data) {
        fprintf(stderr, "valet: %s: the file has no chat template\n", path);
        code = EXIT_FAILED;
    } else if (options->template) {
        printf("%.*s\n", (int)seen.template.len, seen.template.data);
    } else if (options->json) {
        code = inspect_print_json(&seen) ? EXIT_OK : EXIT_FAILED;
    } else {
        print_all(&seen, options->tensors);
    }
    model_close(model);
    gguf_close(g);
    return code;
}

int command_inspect(int argc, char **argv)
{
    struct inspect_options options = { 0 };
    const char *path;
    int operand_count;
    int rc = options_parse(&g_command, argc, argv, &options, &path, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    return inspect(path, &options);
}
