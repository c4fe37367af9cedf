/* `valet tokenize`: text to token ids, as the model file's tokenizer has it. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "commands.h"
#include "options.h"
#include "text_input.h"
#include "tokenizer/tokenizer.h"
#include "valet/engine.h"

struct tokenize_options {
    const char *file;
    int32_t pieces;
    int32_t special;
    int32_t count;
};

#define FIELD(name) offsetof(struct tokenize_options, name)

static const struct option_spec g_options[] = {
    { "file", OPTION_TEXT, "FILE", FIELD(file), 0, 0, "read the text from FILE, '-': stdin" },
    { "pieces", OPTION_FLAG, NULL, FIELD(pieces), 0, 0, "one line for each token: id and bytes" },
    { "special", OPTION_FLAG, NULL, FIELD(special), 0, 0,
      "control tokens in the text are such, not plain text" },
    { "count", OPTION_FLAG, NULL, FIELD(count), 0, 0, "only how many tokens there are" },
};

static const struct command g_command = {
    .usage = "valet tokenize MODEL [TEXT] [options]",
    .about = "Shows the token ids of TEXT, of a file, or of stdin.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 1,
    .operands_max = 2,
};

/* The bytes of a token with what a terminal must not see escaped. */
static void print_piece(struct tokenizer_text bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (c == '\\')
            fputs("\\\\", stdout);
        else if (c < 0x20 || c == 0x7f)
            printf("\\x%02x", c);
        else
            putchar(c);
    }
}

static void print_ids(const struct tokenizer *t, const struct tokenizer_ids *ids,
                      const struct tokenize_options *options)
{
    if (options->count) {
        printf("%zu\n", ids->count);
        return;
    }
    for (size_t i = 0; i < ids->count; i++) {
        if (!options->pieces) {
            printf("%s%" PRId32, i ? " " : "", ids->ids[i]);
            continue;
        }
        printf("%7" PRId32 "  ", ids->ids[i]);
        print_piece(tokenizer_bytes(t, ids->ids[i]));
        putchar('\n');
    }
    if (!options->pieces)
        putchar('\n');
}

static int tokenize(const struct tokenizer *t, const struct base_buf *text,
                    const struct tokenize_options *options)
{
    struct tokenizer_ids ids;
    tokenizer_ids_init(&ids, TEXT_INPUT_MAX);
    const struct tokenizer_span span = { text->len ? text->data : "", text->len,
                                         options->special != 0 };
    enum base_err rc = tokenizer_encode(t, &span, 1, &ids);
    if (rc)
        fprintf(stderr, "valet: the text cannot be tokenised: %s\n", base_strerror(rc));
    else
        print_ids(t, &ids, options);
    tokenizer_ids_fini(&ids);
    return rc ? EXIT_FAILED : EXIT_OK;
}

int command_tokenize(int argc, char **argv)
{
    struct tokenize_options options = { 0 };
    const char *operands[2] = { 0 };
    int operand_count;
    int rc = options_parse(&g_command, argc, argv, &options, operands, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    struct base_buf text;
    buf_init(&text, MEM_SERVER, TEXT_INPUT_MAX);
    bool ok = operands[1] && !options.file
                  ? buf_append_str(&text, operands[1]) == OK
                  : text_input_read(options.file ? options.file : "-", &text);
    int code = EXIT_FAILED;
    struct valet_error error = { 0 };
    struct valet_model_options model_options;
    valet_model_options_init(&model_options);
    valet_model *model = NULL;
    if (ok && valet_model_load(operands[0], &model_options, &model, &error) == VALET_OK)
        code = tokenize(valet_model_tokenizer(model), &text, &options);
    else if (ok)
        fprintf(stderr, "valet: %s\n", error.message);
    valet_model_free(model);
    buf_fini(&text);
    return code;
}
