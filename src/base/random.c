#include "base/random.h"

#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

#include "base/assert.h"

static void system_fill(void *arg, void *out, size_t len)
{
    (void)arg;
    unsigned char *p = out;
    while (len) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0)
            continue; /* interrupted; getrandom fails in no other way for a valid buffer */
        p += n;
        len -= (size_t)n;
    }
}

const struct base_random base_random_system = { system_fill, NULL };

uint64_t random_u64(const struct base_random *random)
{
    uint64_t x;
    random->fill(random->arg, &x, sizeof x);
    return x;
}

void random_id(const struct base_random *random, const char *prefix, char *out, size_t out_size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    enum {
        BYTES = 16,
        CHARS = 26 /* ceil(128 / 5) */
    };
    size_t n = strlen(prefix);
    ASSERT(out_size >= n + CHARS + 1);
    memcpy(out, prefix, n);
    unsigned char bytes[BYTES];
    random->fill(random->arg, bytes, sizeof bytes);
    unsigned acc = 0;
    int bits = 0;
    int next = 0;
    for (int i = 0; i < CHARS; i++) {
        if (bits < 5) {
            acc = (acc << 8) | (next < BYTES ? bytes[next] : 0u);
            next++;
            bits += 8;
        }
        bits -= 5;
        out[n++] = letters[(acc >> bits) & 31];
    }
    out[n] = '\0';
}
