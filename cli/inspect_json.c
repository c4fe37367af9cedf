/* `valet inspect --json`. */
#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/text.h"
#include "inspect.h"
#include "tensor/types.h"

/*
 * JSON text is UTF-8, a string of a file need not be: what is ill-formed becomes U+FFFD. NULL:
 * no memory.
 */
static json_t *text_value(const char *data, size_t len)
{
    json_t *value = json_stringn(data, len);
    if (value)
        return value;
    char *repaired = mem_alloc(MEM_BASE, 3 * len + 1);
    size_t n = 0;
    for (size_t i = 0; repaired && i < len;) {
        int k = utf8_char_len(data + i, len - i);
        if (k > 0) {
            for (int j = 0; j < k; j++)
                repaired[n++] = data[i++];
        } else {
            i += (size_t)utf8_bad_len(data + i, len - i);
            repaired[n++] = '\xef';
            repaired[n++] = '\xbf';
            repaired[n++] = '\xbd';
        }
    }
    value = repaired ? json_stringn(repaired, n) : NULL;
    mem_free(repaired);
    return value;
}

/* Element i; strings are walked by `cursor`. */
static json_t *element_value(const struct gguf_kv *kv, uint64_t i, const uint8_t **cursor)
{
    if (kv->element_kind == GGUF_STRING) {
        struct gguf_str s = gguf_array_next_str(cursor);
        return text_value(s.data, s.len);
    }
    if (kv->element_kind == GGUF_BOOL)
        return json_boolean(gguf_array_i64(kv, i) != 0);
    if (kv->element_kind == GGUF_F32 || kv->element_kind == GGUF_F64) {
        json_t *number = json_real(gguf_array_f64(kv, i));
        return number ? number : json_null(); /* NaN and infinities are no JSON */
    }
    return json_integer(gguf_array_i64(kv, i));
}

static json_t *kv_value(const struct gguf_kv *kv)
{
    const uint8_t *cursor = kv->value;
    if (kv->kind != GGUF_ARRAY)
        return element_value(kv, 0, &cursor);
    json_t *array = json_array();
    for (uint64_t i = 0; array && i < kv->count; i++) {
        if (json_array_append_new(array, element_value(kv, i, &cursor)) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

/* In the order of the file. Takes nothing; NULL: no memory. */
static json_t *metadata_value(const struct gguf *g)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < gguf_kv_count(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        json_t *key = text_value(kv->key.data, kv->key.len); /* well-formed, with an end */
        if (!key || json_object_set_new(object, json_string_value(key), kv_value(kv)) != 0) {
            json_decref(object);
            object = NULL;
        }
        json_decref(key);
    }
    return object;
}

static json_t *tensor_value(const struct gguf_tensor *t)
{
    json_t *dims = json_array();
    for (uint32_t d = 0; d < t->dim_count; d++)
        json_array_append_new(dims, json_integer(t->dims[d]));
    return json_pack("{s:o*, s:s, s:o*, s:I}", "name", text_value(t->name.data, t->name.len),
                     "type", tensor_type_info((enum tensor_type)t->type)->name, "dims", dims,
                     "bytes", (json_int_t)t->bytes);
}

static json_t *tensors_value(const struct gguf *g)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < gguf_tensor_count(g); i++) {
        if (json_array_append_new(array, tensor_value(gguf_tensor_at(g, i))) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static json_t *plan_value(const struct memory_plan *p)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "isa", p->isa,
                     "weights_bytes", (json_int_t)p->weights, "packed_bytes", (json_int_t)p->packed,
                     "activations_bytes", (json_int_t)p->activations, "kv_token_bytes",
                     (json_int_t)p->kv_token, "kv_context_bytes", (json_int_t)p->kv_context,
                     "sequences", (json_int_t)p->sequences, "kv_sequences_bytes",
                     (json_int_t)p->kv_sequences, "machine_bytes", (json_int_t)p->machine);
}

static json_t *template_value(const struct inspected *seen)
{
    if (!seen->template.data)
        return json_null();
    return json_pack(
        "{s:o*, s:b, s:s*}", "text", text_value(seen->template.data, seen->template.len), "works",
        seen->template_works, "error", seen->template_works ? NULL : seen->template_info.message);
}

bool inspect_print_json(const struct inspected *seen)
{
    const struct gguf *g = seen->file;
    json_t *root =
        json_pack("{s:i, s:I, s:b, s:s*, s:o*, s:o, s:o, s:o}", "version", (int)gguf_version(g),
                  "bytes", (json_int_t)gguf_file_bytes(g), "can_serve", seen->can_serve, "error",
                  seen->can_serve ? NULL : seen->why_not.message, "memory",
                  seen->can_serve ? plan_value(&seen->plan) : NULL, "chat_template",
                  template_value(seen), "metadata", metadata_value(g), "tensors", tensors_value(g));
    if (!root) {
        fputs("valet: out of memory\n", stderr);
        return false;
    }
    json_dumpf(root, stdout, JSON_INDENT(2)); /* main() sees what could not be written */
    putchar('\n');
    json_decref(root);
    return true;
}
