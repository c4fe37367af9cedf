/* What the model and its parts are called outside. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "server/server_int.h"
#include "tokenizer/tokenizer.h"

/* The name it was given, or "smollm2-135m" for "models/smollm2-135m.gguf". */
static void make_model_id(struct server *s)
{
    const struct config_model *model = &server_values(s)->model;
    const char *path = model->name ? model->name : model->path;
    const char *base = model->name ? NULL : strrchr(path, '/');
    base = base ? base + 1 : path;
    size_t len = strlen(base);
    if (len > 5 && strcmp(base + len - 5, ".gguf") == 0)
        len -= 5;
    if (len > SERVER_MODEL_ID_MAX)
        len = SERVER_MODEL_ID_MAX;
    for (size_t i = 0; i < len; i++) {
        char c = base[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("._:-", c);
        s->model_id[i] = plain ? c : '-';
    }
    s->model_id[len] = '\0';
}

/* "b" + version + a hash of the file's first bytes and size. */
static void make_fingerprint(struct server *s)
{
    unsigned char head[4096];
    uint64_t hash = 0;
    int fd = open(server_values(s)->model.path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, head, sizeof head);
        off_t size = lseek(fd, 0, SEEK_END);
        hash = random_mix((uint64_t)size);
        for (ssize_t i = 0; i < n; i++)
            hash = random_mix(hash ^ head[i]);
        close(fd);
    }
    snprintf(s->fingerprint, sizeof s->fingerprint, "b%s-%08x", VALET_VERSION,
             (unsigned)(hash >> 32));
}

void server_name_model(struct server *s)
{
    make_model_id(s);
    make_fingerprint(s);
}

/* A token's text as a template names it, "" for none or one that is no C string. */
static void copy_token_text(const struct tokenizer *t, int32_t id,
                            char out[SERVER_TOKEN_TEXT_MAX + 1])
{
    out[0] = '\0';
    if (id < 0)
        return;
    struct tokenizer_text text = tokenizer_bytes(t, id);
    if (text.len > SERVER_TOKEN_TEXT_MAX || memchr(text.data, '\0', text.len))
        return;
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

void server_name_tokens(struct server *s)
{
    const struct tokenizer *tokenizer = valet_model_tokenizer(s->model);
    copy_token_text(tokenizer, tokenizer_bos(tokenizer), s->bos_text);
    copy_token_text(tokenizer, tokenizer_eos(tokenizer), s->eos_text);
}
