/* formats/byte_level.h - the characters that byte-level BPE spells bytes with.
 *
 * Each of the 256 bytes has a printable character: itself where Latin-1 prints it, else the
 * next one from U+0100 on (a space is U+0120). Vocabularies hold tokens in that spelling.
 * Source: the `tokenizers` library, pre-tokenizer ByteLevel; GPT-2. */
#ifndef RC_FORMATS_BYTE_LEVEL_H
#define RC_FORMATS_BYTE_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Spell a byte: 1 or 2 bytes of UTF-8 and a NUL. Returns the length. */
size_t rc_byte_level_spell(char out[3], uint8_t byte);
/** Undo it for the character that text[*i] begins, and step over it. False, and *i stays,
 *  when the character spells no byte. */
bool rc_byte_level_read(const char *text, size_t len, size_t *i, uint8_t *byte);

#endif
