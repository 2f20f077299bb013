/* formats/byte_level.c - the spelling as arithmetic: no table to keep in step. */
#include "formats/byte_level.h"

static bool prints(unsigned byte)
{
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 255 && byte != 173);
}

/* The bytes that do not print, in order: 0..32, 127..160, 173. */
static unsigned nth_unprintable(unsigned n)
{
    return n <= 32 ? n : n <= 66 ? n + 94 : 173;
}

static unsigned rank_of_unprintable(unsigned byte)
{
    return byte <= 32 ? byte : byte <= 160 ? byte - 94 : 67;
}

size_t rc_byte_level_spell(char out[3], uint8_t byte)
{
    const unsigned code = prints(byte) ? byte : 256 + rank_of_unprintable(byte);

    if (code < 128) {
        out[0] = (char)code;
        out[1] = '\0';
        return 1;
    }
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 63));
    out[2] = '\0';
    return 2;
}

bool rc_byte_level_read(const char *text, size_t len, size_t *i, uint8_t *byte)
{
    const unsigned lead = (uint8_t)text[*i];
    unsigned code = lead;

    if (lead >= 128) {
        if (lead < 0xc2 || lead > 0xc5 || *i + 1 >= len)
            return false;
        code = (lead & 31) << 6 | ((uint8_t)text[*i + 1] & 63);
    }
    if (code >= 256 + 68 || (code < 256 && !prints(code)))
        return false;
    *byte = (uint8_t)(code < 256 ? code : nth_unprintable(code - 256));
    *i += lead < 128 ? 1 : 2;
    return true;
}
