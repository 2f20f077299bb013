/* convert/synth_tokenizer.h - a small but real tokenizer for a synthetic checkpoint.
 *
 * Byte-level BPE with the releases' pre-tokenizer and special tokens in their true spelling,
 * trained on the spot (synth_text.h): the same for everybody, every time.
 *
 * A vocabulary of the releases' size has the special tokens at their true ids, unused ones
 * where a release has most of its merges, and no token at the last few ids; a smaller one is
 * bytes, merges, and then the special tokens that chats need. */
#ifndef RC_CONVERT_SYNTH_TOKENIZER_H
#define RC_CONVERT_SYNTH_TOKENIZER_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_SYNTH_MIN_VOCAB 320u /* ids of the smallest vocabulary */

/** tokenizer.json. NUL-terminated; put it back to mem. */
RC_MUST_CHECK
rc_code rc_synth_tokenizer(char **text, size_t *len, uint32_t vocab_size, rc_mem *mem, rc_err *err);
/** tokenizer_config.json of the same, with `comment` in it. */
RC_MUST_CHECK
rc_code rc_synth_tokenizer_config(char **text, size_t *len, const char *comment,
                                  uint32_t max_length, rc_mem *mem, rc_err *err);

#endif
