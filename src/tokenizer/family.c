/*
 * The families, by the names of tokenizer.ggml.pre. The patterns are those of the models'
 * own tokenizer files, where llama.cpp has a simplified one too; the names are grouped as
 * llama.cpp groups them.
 */
#include "tokenizer/family.h"

#include <string.h>

/*
 * White space as Unicode's White_Space property has it. PCRE2's \s also takes U+180E, which
 * lost that property in Unicode 6.3; the implementations that vocabularies were made with
 * follow Unicode.
 */
#define WHITE "\\p{Z}\\x09-\\x0d\\x{85}"

/* White space, whose last character is left to what follows. */
#define BLANKS "[" WHITE "]+(?![^" WHITE "])|[" WHITE "]+"

/* The same, but line ends are apart, with what blank comes before them. */
#define LINES "[" WHITE "]*[\\r\\n]+|" BLANKS

/* Contractions; a word, a number or signs, each with at most one space before. */
#define GPT2                                                                                       \
    "'(?:[smdt]|re|ve|ll)"                                                                         \
    "| ?\\p{L}+"                                                                                   \
    "| ?\\p{N}+"                                                                                   \
    "| ?[^" WHITE "\\p{L}\\p{N}]+"                                                                 \
    "|" BLANKS

/* In any case, the long s included. */
#define SUFFIX "(?i:'s|'t|'re|'ve|'m|'ll|'d)"

/* One character that is neither letter nor number may lead a word. */
#define LEAD "[^\\r\\n\\p{L}\\p{N}]?"

#define SIGNS " ?[^" WHITE "\\p{L}\\p{N}]+[\\r\\n]*"

/* cl100k and its kin. They differ in how many digits go together, and Qwen 3.5 in that
 * combining marks belong to words. */
#define CL100K(digits) SUFFIX "|" LEAD "\\p{L}+|" digits "|" SIGNS "|" LINES
#define QWEN35                                                                                     \
    SUFFIX "|" LEAD "[\\p{L}\\p{M}]+|\\p{N}"                                                       \
           "| ?[^" WHITE "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES

/* o200k and its kin: a word ends where small letters end. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(upper, lower, suffix)                                                                \
    LEAD upper "*" lower "+" suffix "|" LEAD upper "+" lower "*" suffix
#define O200K(suffix, digits)                                                                      \
    CASED(UPPER, LOWER, suffix)                                                                    \
    "|" digits "| ?[^" WHITE "\\p{L}\\p{N}]+[\\r\\n/]*|" LINES

/*
 * Kimi K2 is o200k with Han apart. Han is the script of Unicode 15.1, spelled out: PCRE2's
 * \p{Han} means the script or its extensions, depending on the version. The intersections
 * "UPPER and not Han" are written as the complement of everything else.
 */
#define HAN                                                                                        \
    "\\x{2e80}-\\x{2e99}\\x{2e9b}-\\x{2ef3}\\x{2f00}-\\x{2fd5}\\x{3005}\\x{3007}"                  \
    "\\x{3021}-\\x{3029}\\x{3038}-\\x{303b}\\x{3400}-\\x{4dbf}\\x{4e00}-\\x{9fff}"                 \
    "\\x{f900}-\\x{fa6d}\\x{fa70}-\\x{fad9}\\x{16fe2}\\x{16fe3}\\x{16ff0}\\x{16ff1}"               \
    "\\x{20000}-\\x{2a6df}\\x{2a700}-\\x{2b739}\\x{2b740}-\\x{2b81d}\\x{2b820}-\\x{2cea1}"         \
    "\\x{2ceb0}-\\x{2ebe0}\\x{2ebf0}-\\x{2ee5d}\\x{2f800}-\\x{2fa1d}\\x{30000}-\\x{3134a}"         \
    "\\x{31350}-\\x{323af}"
#define NO_WORD "\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}" HAN
#define KIMI                                                                                       \
    "[" HAN "]+|" CASED("[^\\p{Ll}" NO_WORD "]", "[^\\p{Lu}\\p{Lt}" NO_WORD "]",                   \
                        SUFFIX "?") "|\\p{N}{1,3}|" SIGNS "|" LINES

/* DeepSeek V3: numbers; Chinese and kana; then an ASCII sign may lead an ASCII word. */
#define CJK "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{30ff}]+"
#define DEEPSEEK3                                                                                  \
    "[!-/:-@\\[-`{-~][A-Za-z]+"                                                                    \
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"                                                 \
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*"                                                                  \
    "|" LINES

/* The older DeepSeek files: letters are those of scripts that have case, listed. */
#define ASIAN "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define WHITE_ONE "[" WHITE "]?"
#define DEEPSEEK_LETTERS                                                                           \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"                 \
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}"         \
    "\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}"                  \
    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"                       \
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"                 \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"                 \
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}"        \
    "\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}"         \
    "\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"                 \
    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}"                  \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}"                   \
    "\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}"        \
    "\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}"         \
    "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"                  \
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}"                 \
    "\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}"               \
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}"         \
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"
/* At the end of a piece; the lookbehind only spares a search from every blank of a run. */
#define TAIL "(?<![" WHITE "])[" WHITE "]+\\z"
#define DEEPSEEK_SIGNS                                                                             \
    "!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}"
#define DEEPSEEK_LLM                                                                               \
    "[\\r\\n]", WHITE_ONE "[" DEEPSEEK_LETTERS "]+", WHITE_ONE "[" DEEPSEEK_SIGNS "]+", TAIL,      \
        ASIAN, "\\p{N}"
#define DEEPSEEK_CODER "[\\r\\n]", WHITE_ONE "\\p{L}+", WHITE_ONE "\\p{P}+", ASIAN, "\\p{N}"

/* Everything up to a stop. The file means a group, but the class takes its signs as well. */
#define BLOOM " ?[^(" WHITE "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"

/* What a file without a name gets. */
#define DEFAULT "[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"

#define LLAMA3 CL100K("\\p{N}{1,3}")
#define QWEN2 CL100K("\\p{N}")
#define GPT4O O200K(SUFFIX "?", "\\p{N}{1,3}")
#define DEEPSEEKV3 "\\p{N}{1,3}", CJK, DEEPSEEK3
#define DIGITS "\\p{N}", GPT2 /* every digit on its own, first */

enum {
    NFC = TOKENIZER_FAMILY_NFC,
    WHOLE = TOKENIZER_FAMILY_WHOLE,
    BOS = TOKENIZER_FAMILY_ADD_BOS
};

static const struct tokenizer_family families[] = {
    { "default", 0, { DEFAULT } },

    { "gpt-2", 0, { GPT2 } },
    { "a.x-4.0", 0, { GPT2 } },
    { "exaone4", 0, { GPT2 } },
    { "gigachat", 0, { GPT2 } },
    { "granite-docling", 0, { GPT2 } },
    { "jais", 0, { GPT2 } },
    { "mellum", 0, { GPT2 } },
    { "mpt", NFC, { GPT2 } },
    { "olmo", NFC, { GPT2 } },
    { "phi-2", 0, { GPT2 } },
    { "trillion", 0, { GPT2 } },

    { "smollm", 0, { DIGITS } },
    { "codeshell", 0, { DIGITS } },
    { "command-r", NFC, { DIGITS } },
    { "exaone", 0, { DIGITS } },
    { "mellum2", 0, { DIGITS } },
    { "minerva-7b", 0, { DIGITS } },
    { "refact", 0, { DIGITS } },
    { "starcoder", 0, { DIGITS } },

    { "llama-bpe", WHOLE | BOS, { LLAMA3 } },
    { "falcon-h1", WHOLE | BOS, { LLAMA3 } },
    { "falcon3", WHOLE | BOS, { LLAMA3 } },
    { "lfm2", WHOLE | BOS, { LLAMA3 } },
    { "llama-v3", WHOLE | BOS, { LLAMA3 } },
    { "llama3", WHOLE | BOS, { LLAMA3 } },
    { "midm-2.0", WHOLE | BOS, { LLAMA3 } },
    { "pixtral", WHOLE | BOS, { LLAMA3 } },
    { "chatglm-bpe", WHOLE, { LLAMA3 } },
    { "dbrx", WHOLE, { LLAMA3 } },
    { "glm4", WHOLE, { LLAMA3 } },
    { "smaug-bpe", WHOLE, { LLAMA3 } },

    { "qwen2", NFC, { QWEN2 } },
    { "deepseek-r1-qwen", NFC, { QWEN2 } },
    { "kormo", NFC, { QWEN2 } },
    { "megrez", NFC, { QWEN2 } },
    { "stablelm2", NFC, { QWEN2 } },
    { "grok-2", 0, { QWEN2 } },
    { "hunyuan", 0, { QWEN2 } },
    { "solar-open", 0, { QWEN2 } },
    { "qwen35", NFC, { QWEN35 } },

    { "gpt-4o", WHOLE, { GPT4O } },
    { "kanana2", WHOLE, { GPT4O } },
    { "llama4", WHOLE, { GPT4O } },
    { "minimax-m2", NFC, { GPT4O } },
    { "tekken", WHOLE | BOS, { O200K("", "\\p{N}") } },
    { "kimi-k2", WHOLE, { KIMI } },

    { "deepseek-v3", 0, { DEEPSEEKV3 } },
    { "hunyuan-dense", 0, { DEEPSEEKV3 } },
    { "joyai-llm", 0, { DEEPSEEKV3 } },
    { "deepseek-llm", 0, { DEEPSEEK_LLM } },
    { "deepseek-coder", 0, { DEEPSEEK_CODER } },

    { "bloom", 0, { BLOOM } },
    { "gpt3-finnish", 0, { BLOOM } },
    { "poro-chat", 0, { BLOOM } },
    { "viking", 0, { BLOOM, "\\p{N}" } },
};

const struct tokenizer_family *tokenizer_family_find(struct tokenizer_text name)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const char *s = families[i].name;
        if (strlen(s) == name.len && memcmp(s, name.data, name.len) == 0)
            return &families[i];
    }
    return NULL;
}

bool tokenizer_add_bos_default(enum tokenizer_kind kind, struct tokenizer_text pre)
{
    if (kind == TOKENIZER_SPM)
        return true;
    const struct tokenizer_family *family = tokenizer_family_find(pre);
    return family && (family->flags & TOKENIZER_FAMILY_ADD_BOS);
}
