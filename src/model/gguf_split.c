/*
 * Models in several files. Each file says which part it is (split.no, from 0), of how many
 * (split.count), and how many tensors there are in all (split.tensors.count). Their names end
 * in "-00001-of-00003.gguf", so the first leads to the others beside it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "model/gguf_int.h"

enum {
    PART_COUNT_MAX = 1024,
    SUFFIX_BYTES = sizeof "-00001-of-00003.gguf"
};

/* The end of a path, fit for a message. */
static const char *shown_end(const char *path, char out[static GGUF_SHOWN_BYTES])
{
    size_t len = strlen(path);
    size_t len_max = GGUF_SHOWN_BYTES - 4;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (strlen(name) > len_max)
        name = path + len - len_max;
    return gguf_shown((struct gguf_str){ name, strlen(name) }, out);
}

static void put_suffix(char out[static SUFFIX_BYTES], unsigned number, unsigned count)
{
    snprintf(out, SUFFIX_BYTES, "-%05u-of-%05u.gguf", number % 100000, count % 100000);
}

/* The key if it is there, else *out stays. */
static enum base_err optional_u64(const struct gguf *g, const char *key, uint64_t *out,
                                  struct base_err_info *info)
{
    enum base_err rc = gguf_get_u64(g, key, out, info);
    return rc == E_NOT_FOUND ? OK : rc;
}

/* A copy of `path` with the suffix of part `number` (from 1); NULL: no memory. */
static char *part_path(const char *path, unsigned number, unsigned count)
{
    char suffix[SUFFIX_BYTES];
    put_suffix(suffix, number, count);
    size_t len = strlen(path);
    char *copy = mem_strndup(MEM_MODEL, path, len);
    if (copy)
        memcpy(copy + len - strlen(suffix), suffix, strlen(suffix));
    return copy;
}

/* Whether the name is that of part `number`. */
static bool has_suffix(const char *path, unsigned number, unsigned count)
{
    char suffix[SUFFIX_BYTES];
    put_suffix(suffix, number, count);
    size_t len = strlen(path);
    return len >= strlen(suffix) && strcmp(path + len - strlen(suffix), suffix) == 0;
}

static enum base_err fail_part(struct base_err_info *info, enum base_err code, const char *path,
                               const char *message)
{
    char shown[GGUF_SHOWN_BYTES];
    return base_err_set(info, code, "'%s': %s", shown_end(path, shown), message);
}

/* Opens a part and compares what it says about itself. Gives: gguf_close. */
static enum base_err open_part(const char *path, unsigned index, unsigned count, struct gguf **out,
                               struct base_err_info *info)
{
    struct base_err_info inner = { .code = OK, .byte = -1 };
    enum base_err rc = gguf_open_one(path, out, &inner);
    if (rc) {
        fail_part(info, rc, path, inner.message);
        if (info) {
            info->byte = inner.byte;
            info->sys_errno = inner.sys_errno;
        }
        return rc;
    }
    uint64_t said_no = UINT64_MAX;
    uint64_t said_count = 0;
    rc = optional_u64(*out, "split.no", &said_no, NULL);
    if (!rc)
        rc = optional_u64(*out, "split.count", &said_count, NULL);
    if (!rc && said_no == index && said_count == count)
        return OK;
    gguf_close(*out);
    *out = NULL;
    char message[96];
    snprintf(message, sizeof message, "expected part %u of %u, by split.no and split.count",
             index + 1, count);
    return fail_part(info, E_CORRUPT, path, message);
}

static enum base_err open_others(struct gguf *g, const char *path, unsigned count,
                                 struct base_err_info *info)
{
    g->others = mem_calloc(MEM_MODEL, count - 1, sizeof *g->others);
    if (!g->others)
        return base_err_set(info, E_NOMEM, "no memory for %u files", count);
    for (unsigned i = 1; i < count; i++) {
        char *other = part_path(path, i + 1, count);
        if (!other)
            return base_err_set(info, E_NOMEM, "no memory for a file name");
        enum base_err rc = open_part(other, i, count, &g->others[i - 1], info);
        mem_free(other);
        if (rc)
            return rc;
        g->other_count++;
    }
    return OK;
}

/* Replaces g's list of tensors by that of all parts. */
static enum base_err join_tensors(struct gguf *g, struct base_err_info *info)
{
    size_t total = g->tensor_count;
    for (size_t i = 0; i < g->other_count; i++)
        total += g->others[i]->tensor_count; /* each below 2^20, so no overflow */
    if (total > GGUF_TENSOR_COUNT_MAX)
        return base_err_set(info, E_UNSUPPORTED, "%zu tensors, more than %d", total,
                            GGUF_TENSOR_COUNT_MAX);
    uint64_t said = total;
    enum base_err rc = optional_u64(g, "split.tensors.count", &said, info);
    if (rc)
        return rc;
    if (said != total)
        return base_err_set(info, E_CORRUPT,
                            "the parts have %zu tensors, but split.tensors.count is %" PRIu64,
                            total, said);
    struct gguf_tensor *tensors = mem_calloc(MEM_MODEL, total, sizeof *tensors);
    if (!tensors)
        return base_err_set(info, E_NOMEM, "no memory for %zu tensors", total);
    size_t n = 0;
    for (size_t i = 0; i < g->tensor_count; i++)
        tensors[n++] = g->tensors[i];
    for (size_t k = 0; k < g->other_count; k++) {
        for (size_t i = 0; i < g->others[k]->tensor_count; i++)
            tensors[n++] = g->others[k]->tensors[i];
    }
    mem_free(g->tensors);
    g->tensors = tensors;
    g->tensor_count = total;

    gguf_index_fini(&g->tensor_index);
    rc = gguf_index_init(&g->tensor_index, total);
    if (rc)
        return base_err_set(info, rc, "no memory for %zu tensors", total);
    for (size_t i = 0; i < total; i++) {
        char shown[GGUF_SHOWN_BYTES];
        if (!gguf_index_add(&g->tensor_index, &tensors[i].name))
            return base_err_set(info, E_CORRUPT, "tensor '%s': it is in two parts of the model",
                                gguf_shown(tensors[i].name, shown));
    }
    return OK;
}

enum base_err gguf_split_join(struct gguf *g, const char *path, struct base_err_info *info)
{
    uint64_t count = 0;
    uint64_t no = 0;
    enum base_err rc = optional_u64(g, "split.count", &count, info);
    if (rc || count <= 1)
        return rc;
    rc = optional_u64(g, "split.no", &no, info);
    if (rc)
        return rc;
    if (count > PART_COUNT_MAX)
        return base_err_set(info, E_UNSUPPORTED, "a model in %" PRIu64 " files, more than %d",
                            count, PART_COUNT_MAX);
    unsigned parts = (unsigned)count;
    char shown[GGUF_SHOWN_BYTES];
    char first[SUFFIX_BYTES];
    put_suffix(first, 1, parts);
    if (no != 0)
        return base_err_set(info, E_INVALID,
                            "'%s' is part %" PRIu64 " of a model in %u files; give the first one, "
                            "whose name ends in %s",
                            shown_end(path, shown), no + 1, parts, first);
    if (!has_suffix(path, 1, parts))
        return base_err_set(info, E_INVALID,
                            "'%s' is the first of %u files of a model, so its name must end in %s",
                            shown_end(path, shown), parts, first);
    rc = open_others(g, path, parts, info);
    return rc ? rc : join_tensors(g, info);
}
