/*
 * libvalet's model handle: puts kernels, weights and tokenizer of one file together. The
 * tokenizer knows no files and the model no text; what the one needs from the other is
 * carried here.
 */
#include "engine/loaded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

_Static_assert((int)VALET_E_NOMEM == (int)E_NOMEM, "one table of errors");
_Static_assert((int)VALET_E_INVALID == (int)E_INVALID, "one table of errors");
_Static_assert((int)VALET_E_NOT_FOUND == (int)E_NOT_FOUND, "one table of errors");
_Static_assert((int)VALET_E_IO == (int)E_IO, "one table of errors");
_Static_assert((int)VALET_E_CORRUPT == (int)E_CORRUPT, "one table of errors");
_Static_assert((int)VALET_E_UNSUPPORTED == (int)E_UNSUPPORTED, "one table of errors");
_Static_assert((int)VALET_E_TOO_BIG == (int)E_TOO_BIG, "one table of errors");

void valet_model_options_init(struct valet_model_options *options)
{
    *options = (struct valet_model_options){ .struct_size = sizeof *options };
}

/* An array of strings or integers of the tokenizer, or NULL with an error. */
static enum base_err find_array(const struct gguf *g, const char *key, enum gguf_kind kind,
                                const struct gguf_kv **out, struct base_err_info *info)
{
    const struct gguf_kv *kv = gguf_kv_find(g, key);
    if (!kv)
        return base_err_set(info, E_CORRUPT, "model file lacks the key '%s'", key);
    if (kv->kind != GGUF_ARRAY || kv->element_kind != kind || kv->count > MODEL_VOCAB_MAX * 4)
        return base_err_set_at(info, E_CORRUPT, kv->byte, "'%s' has the wrong type or size", key);
    *out = kv;
    return OK;
}

/* Gives: mem_free. */
static struct tokenizer_text *string_array(const struct gguf_kv *kv)
{
    struct tokenizer_text *texts = mem_alloc(MEM_ENGINE, (size_t)kv->count * sizeof *texts + 1);
    const uint8_t *cursor = kv->value;
    for (uint64_t i = 0; texts && i < kv->count; i++) {
        struct gguf_str s = gguf_array_next_str(&cursor);
        texts[i] = (struct tokenizer_text){ s.data, s.len };
    }
    return texts;
}

static int32_t *i32_array(const struct gguf_kv *kv)
{
    int32_t *values = mem_alloc(MEM_ENGINE, (size_t)kv->count * sizeof *values + 1);
    for (uint64_t i = 0; values && i < kv->count; i++)
        values[i] = (int32_t)gguf_array_i64(kv, i);
    return values;
}

/* A token id of the file, -1 where it names none. */
static enum base_err token_id(const struct gguf *g, const char *key, int32_t vocab, int32_t *out,
                              struct base_err_info *info)
{
    uint64_t id = 0;
    *out = -1;
    enum base_err rc = gguf_get_u64(g, key, &id, info);
    if (rc == E_NOT_FOUND)
        return OK;
    if (rc)
        return rc;
    if (id >= (uint64_t)vocab)
        return base_err_set(info, E_CORRUPT, "'%s' is %llu, beyond the vocabulary of %d", key,
                            (unsigned long long)id, vocab);
    *out = (int32_t)id;
    return OK;
}

static float *f32_array(const struct gguf_kv *kv)
{
    float *values = mem_alloc(MEM_ENGINE, (size_t)kv->count * sizeof *values + 1);
    for (uint64_t i = 0; values && i < kv->count; i++)
        values[i] = (float)gguf_array_f64(kv, i);
    return values;
}

/* A flag of the tokenizer, or what the file means by saying nothing. */
static enum base_err read_flag(const struct gguf *g, const char *key, bool missing, bool *out,
                               struct base_err_info *info)
{
    *out = missing;
    enum base_err rc = gguf_get_bool(g, key, out, info);
    return rc == E_NOT_FOUND ? OK : rc;
}

static enum base_err read_kind(const struct gguf *g, struct tokenizer_source *source,
                               struct base_err_info *info)
{
    struct gguf_str kind = { 0 };
    enum base_err rc = gguf_get_str(g, "tokenizer.ggml.model", &kind, info);
    if (rc == E_NOT_FOUND)
        return base_err_set(info, E_CORRUPT, "model file lacks the key 'tokenizer.ggml.model'");
    if (rc)
        return rc;
    if (kind.len == 4 && memcmp(kind.data, "gpt2", 4) == 0)
        source->kind = TOKENIZER_BPE;
    else if (kind.len == 5 && memcmp(kind.data, "llama", 5) == 0)
        source->kind = TOKENIZER_SPM;
    else
        return base_err_set(info, E_UNSUPPORTED,
                            "tokenizer '%.*s' is not supported; supported: gpt2, llama",
                            (int)(kind.len < 40 ? kind.len : 40), kind.data);
    return OK;
}

static enum base_err read_tokenizer_keys(const struct gguf *g, struct tokenizer_source *source,
                                         struct base_err_info *info)
{
    struct gguf_str pre = { "default", 7 };
    enum base_err rc = read_kind(g, source, info);
    if (rc)
        return rc;
    rc = gguf_get_str(g, "tokenizer.ggml.pre", &pre, info);
    if (rc && rc != E_NOT_FOUND)
        return rc;
    source->pre = (struct tokenizer_text){ pre.data, pre.len };
    rc = read_flag(g, "tokenizer.ggml.add_bos_token",
                   tokenizer_add_bos_default(source->kind, source->pre), &source->add_bos, info);
    if (!rc)
        rc = read_flag(g, "tokenizer.ggml.add_eos_token", false, &source->add_eos, info);
    if (!rc)
        rc = read_flag(g, "tokenizer.ggml.add_space_prefix", source->kind == TOKENIZER_SPM,
                       &source->add_space_prefix, info);
    return rc;
}

/* `missing`: the id that SentencePiece files mean by saying nothing, -1 for others. */
static int32_t id_or(int32_t id, const struct tokenizer_source *source, int32_t missing)
{
    return id < 0 && source->kind == TOKENIZER_SPM && missing < source->token_count ? missing : id;
}

static enum base_err read_token_ids(struct valet_model *m, struct tokenizer_source *source,
                                    struct base_err_info *info)
{
    static const char *const ends[] = { "tokenizer.ggml.eos_token_id",
                                        "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id" };
    const struct gguf *g = m->model->file;
    int32_t n = source->token_count;
    enum base_err rc = token_id(g, "tokenizer.ggml.bos_token_id", n, &source->bos_id, info);
    if (!rc)
        rc = token_id(g, "tokenizer.ggml.unknown_token_id", n, &source->unknown_id, info);
    source->bos_id = id_or(source->bos_id, source, 1);
    source->unknown_id = id_or(source->unknown_id, source, 0);
    source->eos_id = -1;
    for (size_t i = 0; !rc && i < sizeof ends / sizeof ends[0]; i++) {
        int32_t id;
        rc = token_id(g, ends[i], n, &id, info);
        if (i == 0)
            source->eos_id = id = id_or(id, source, 2);
        if (!rc && id >= 0)
            m->end_ids[m->end_count++] = id;
    }
    return rc;
}

/* The arrays that a tokenizer is made from; each NULL where its kind needs none. */
struct arrays {
    struct tokenizer_text *tokens;
    struct tokenizer_text *merges;
    int32_t *types;
    float *scores;
};

static enum base_err no_memory(struct base_err_info *info)
{
    return base_err_set(info, E_NOMEM, "out of memory for the tokenizer");
}

static enum base_err read_types(const struct gguf *g, struct tokenizer_source *source,
                                struct arrays *a, struct base_err_info *info)
{
    const struct gguf_kv *types = gguf_kv_find(g, "tokenizer.ggml.token_type");
    if (!types)
        return OK;
    if (types->kind != GGUF_ARRAY || types->element_kind != GGUF_I32 ||
        types->count != (uint64_t)source->token_count)
        return base_err_set_at(info, E_CORRUPT, types->byte,
                               "'tokenizer.ggml.token_type' has the wrong type or size");
    source->types = a->types = i32_array(types);
    return a->types ? OK : no_memory(info);
}

/* Merges of BPE, scores of SentencePiece. */
static enum base_err read_rules(const struct gguf *g, struct tokenizer_source *source,
                                struct arrays *a, struct base_err_info *info)
{
    const struct gguf_kv *kv;
    if (source->kind == TOKENIZER_BPE) {
        enum base_err rc = find_array(g, "tokenizer.ggml.merges", GGUF_STRING, &kv, info);
        if (rc)
            return rc;
        source->merges = a->merges = string_array(kv);
        source->merge_count = (int32_t)kv->count;
        return a->merges ? OK : no_memory(info);
    }
    enum base_err rc = find_array(g, "tokenizer.ggml.scores", GGUF_F32, &kv, info);
    if (rc)
        return rc;
    if (kv->count != (uint64_t)source->token_count)
        return base_err_set_at(info, E_CORRUPT, kv->byte,
                               "'tokenizer.ggml.scores' has %llu "
                               "entries for %d tokens",
                               (unsigned long long)kv->count, source->token_count);
    source->scores = a->scores = f32_array(kv);
    return a->scores ? OK : no_memory(info);
}

static enum base_err read_arrays(struct valet_model *m, struct tokenizer_source *source,
                                 struct arrays *a, struct base_err_info *info)
{
    const struct gguf *g = m->model->file;
    const struct gguf_kv *tokens;
    enum base_err rc = find_array(g, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, info);
    if (rc)
        return rc;
    if (tokens->count != (uint64_t)m->model->params.vocab)
        return base_err_set_at(info, E_CORRUPT, tokens->byte,
                               "%llu tokens, but the weights are for %d",
                               (unsigned long long)tokens->count, m->model->params.vocab);
    source->token_count = (int32_t)tokens->count;
    source->tokens = a->tokens = string_array(tokens);
    if (!a->tokens)
        return no_memory(info);
    rc = read_types(g, source, a, info);
    return rc ? rc : read_rules(g, source, a, info);
}

static enum base_err make_tokenizer(struct valet_model *m, struct base_err_info *info)
{
    struct tokenizer_source source = { 0 };
    struct arrays a = { 0 };
    enum base_err rc = read_tokenizer_keys(m->model->file, &source, info);
    if (!rc)
        rc = read_arrays(m, &source, &a, info);
    if (!rc)
        rc = read_token_ids(m, &source, info);
    if (!rc)
        rc = tokenizer_create(&source, &m->tokenizer, info);
    mem_free(a.tokens);
    mem_free(a.merges);
    mem_free(a.types);
    mem_free(a.scores);
    return rc;
}

/* A string of the file as a C string, "" where it is missing. Gives: mem_free. */
static enum base_err copy_string(const struct gguf *g, const char *key, char **out,
                                 struct base_err_info *info)
{
    struct gguf_str s = { "", 0 };
    enum base_err rc = gguf_get_str(g, key, &s, info);
    if (rc && rc != E_NOT_FOUND)
        return rc;
    *out = mem_strndup(MEM_ENGINE, s.data, s.len);
    return *out ? OK : base_err_set(info, E_NOMEM, "out of memory");
}

static enum base_err load(struct valet_model *m, const char *path,
                          const struct valet_model_options *options, struct base_err_info *info)
{
    const char *isa = options->isa ? options->isa : getenv("VALET_ISA");
    enum base_err rc = tensor_isa_find(isa, &m->isa, info);
    if (rc)
        return rc;
    rc = team_create(options->threads > 0 ? options->threads : thread_cpu_count(), &m->team);
    if (rc)
        return base_err_set(info, rc, "cannot start %d kernel threads", options->threads);
    rc = model_open(path, m->isa, m->team, &m->model, info);
    if (!rc)
        rc = make_tokenizer(m, info);
    if (!rc)
        rc = copy_string(m->model->file, "general.name", &m->name, info);
    if (!rc)
        rc = copy_string(m->model->file, "general.architecture", &m->arch, info);
    if (!rc)
        rc = copy_string(m->model->file, "tokenizer.chat_template", &m->chat_template, info);
    return rc;
}

/* A file's name in front of what is wrong with it. */
static enum valet_err report(struct valet_error *error, const char *path, enum base_err rc,
                             const struct base_err_info *info)
{
    if (error) {
        error->code = (enum valet_err)rc;
        const char *message = info->message[0] ? info->message : base_strerror(rc);
        if (info->byte >= 0)
            snprintf(error->message, sizeof error->message, "%.100s: byte %lld: %.120s", path,
                     (long long)info->byte, message);
        else
            snprintf(error->message, sizeof error->message, "%.100s: %.150s", path, message);
    }
    return (enum valet_err)rc;
}

enum valet_err valet_model_load(const char *path, const struct valet_model_options *options,
                                valet_model **out, struct valet_error *error)
{
    *out = NULL;
    struct base_err_info info = { .byte = -1 };
    struct valet_model *m = mem_calloc(MEM_ENGINE, 1, sizeof *m);
    if (!m)
        return report(error, path, E_NOMEM, &info);
    enum base_err rc = load(m, path, options, &info);
    if (rc) {
        valet_model_free(m);
        return report(error, path, rc, &info);
    }
    *out = m;
    return VALET_OK;
}

void valet_model_free(valet_model *m)
{
    if (!m)
        return;
    tokenizer_destroy(m->tokenizer);
    model_close(m->model);
    team_destroy(m->team);
    mem_free(m->name);
    mem_free(m->arch);
    mem_free(m->chat_template);
    mem_free(m);
}

void valet_model_info(const valet_model *m, struct valet_model_info *out)
{
    const struct model_params *p = &m->model->params;
    *out = (struct valet_model_info){
        .name = m->name,
        .arch = m->arch,
        .isa = tensor_isa_name(m->isa),
        .threads = team_size(m->team),
        .context = p->context,
        .vocab = p->vocab,
        .layers = p->layers,
        .width = p->width,
        .heads = p->heads,
        .kv_heads = p->kv_heads,
        .head_dim = p->head_dim,
        .parameters = m->model->parameters,
        .weight_bytes = m->model->weight_bytes,
        .packed_bytes = m->model->packed_bytes,
        .chat_template = m->chat_template,
    };
}

const struct tokenizer *valet_model_tokenizer(const valet_model *m)
{
    return m->tokenizer;
}
