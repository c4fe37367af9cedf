#include "tokenizer/alphabet.h"

enum {
    SHIFTED = 0x100,  /* the first character that does not stand for itself */
    LOW_COUNT = 0x21, /* bytes 0x00-0x20 */
    HIGH_FIRST = 0x7f,
    HIGH_COUNT = 0x22, /* bytes 0x7f-0xa0 */
    HYPHEN = 0xad      /* the soft hyphen, alone */
};

static unsigned letter_of(uint8_t byte)
{
    if (byte < LOW_COUNT)
        return SHIFTED + byte;
    if (byte >= HIGH_FIRST && byte < HIGH_FIRST + HIGH_COUNT)
        return SHIFTED + LOW_COUNT + (byte - HIGH_FIRST);
    if (byte == HYPHEN)
        return SHIFTED + LOW_COUNT + HIGH_COUNT;
    return byte;
}

/* The byte that a character stands for, or -1. */
static int byte_of(unsigned letter)
{
    if (letter < SHIFTED)
        return letter_of((uint8_t)letter) == letter ? (int)letter : -1;
    unsigned n = letter - SHIFTED;
    if (n < LOW_COUNT)
        return (int)n;
    if (n < LOW_COUNT + HIGH_COUNT)
        return (int)(HIGH_FIRST + (n - LOW_COUNT));
    return n == LOW_COUNT + HIGH_COUNT ? HYPHEN : -1;
}

int tokenizer_alphabet_letter(uint8_t byte, char out[2])
{
    unsigned letter = letter_of(byte);
    if (letter < 0x80) {
        out[0] = (char)letter;
        return 1;
    }
    out[0] = (char)(0xc0 | (letter >> 6));
    out[1] = (char)(0x80 | (letter & 0x3f));
    return 2;
}

int64_t tokenizer_alphabet_decode(const char *text, size_t len, char *out)
{
    int64_t count = 0;
    size_t i = 0;
    while (i < len) {
        unsigned char c = (unsigned char)text[i++];
        unsigned letter = c;
        if (c >= 0x80) {
            /* Every letter fits in two bytes of UTF-8. */
            if (c < 0xc2 || c > 0xdf || i == len || ((unsigned char)text[i] & 0xc0) != 0x80)
                return -1;
            letter = (c & 0x1fu) << 6 | ((unsigned char)text[i++] & 0x3fu);
        }
        int byte = byte_of(letter);
        if (byte < 0)
            return -1;
        out[count++] = (char)byte;
    }
    return count;
}
