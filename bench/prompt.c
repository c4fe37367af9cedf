#include "prompt.h"

#include <assert.h>
#include <string.h>

static const char *const g_words[] = {
    "time",    "year",    "people",   "way",    "day",    "man",     "thing",   "woman",
    "life",    "child",   "world",    "school", "state",  "family",  "student", "group",
    "country", "problem", "hand",     "part",   "place",  "case",    "week",    "company",
    "system",  "program", "question", "work",   "number", "night",   "point",   "home",
    "water",   "room",    "mother",   "area",   "money",  "story",   "fact",    "month",
    "lot",     "right",   "study",    "book",   "eye",    "job",     "word",    "business",
    "issue",   "side",    "kind",     "head",   "house",  "service", "friend",  "father",
    "power",   "hour",    "game",     "line",   "end",    "law",     "car",     "city",
};

enum {
    WORD_COUNT = sizeof g_words / sizeof g_words[0]
};

uint64_t prompt_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

size_t prompt_write(char *out, size_t size, uint64_t seed, uint64_t number, int words, int shared)
{
    assert(size > (size_t)words * PROMPT_WORD_BYTES);
    uint64_t common = seed;
    uint64_t own = seed;
    own = prompt_random(&own) + number;
    size_t len = 0;
    for (int i = 0; i < words; i++) {
        const char *word = g_words[prompt_random(i < shared ? &common : &own) % WORD_COUNT];
        size_t n = strlen(word);
        if (i > 0)
            out[len++] = ' ';
        memcpy(out + len, word, n);
        len += n;
    }
    out[len] = '\0';
    return len;
}
