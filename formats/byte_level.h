/* formats/byte_level.h - how byte-level BPE sees text: the characters that bytes are spelled
 * with, and how DeepSeek-V4 cuts text before merging.
 *
 * Each of the 256 bytes has a printable character: itself where Latin-1 prints it, else the
 * next one from U+0100 on (a space is U+0120). Vocabularies hold tokens in that spelling.
 * Source: the `tokenizers` library, pre-tokenizer ByteLevel; GPT-2. */
#ifndef RC_FORMATS_BYTE_LEVEL_H
#define RC_FORMATS_BYTE_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_SPLITS 3u

/** The regular expressions of DeepSeek-V3's and V4's pre-tokenizer, each Isolated and applied
 *  inside the pieces that the one before left; ByteLevel follows. llama.cpp: "joyai-llm". */
extern const char *const rc_joyai_splits[RC_SPLITS];

/** Spell a byte: 1 or 2 bytes of UTF-8 and a NUL. Returns the length. */
size_t rc_byte_level_spell(char out[3], uint8_t byte);
/** Undo it for the character that text[*i] begins, and step over it. False, and *i stays,
 *  when the character spells no byte. */
bool rc_byte_level_read(const char *text, size_t len, size_t *i, uint8_t *byte);

#endif
