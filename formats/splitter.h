/* formats/splitter.h - text into the pieces that byte-pair merging never crosses.
 *
 * Runs the expressions of pre_tokenizer.h, each inside the pieces that the one before left: a
 * match is a piece, and so is what lies between two matches. A lookahead sees the end of the
 * piece as the end of the text.
 *
 * Classes of characters are those of Unicode 16, whatever older version PCRE2 was built with,
 * and \s is White_Space: as in the `tokenizers` library 0.23, whose engine is Oniguruma. */
#ifndef RC_FORMATS_SPLITTER_H
#define RC_FORMATS_SPLITTER_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

typedef struct rc_splitter rc_splitter; /* immutable, shareable between threads */

/** Compile the expressions; `jit`: to machine code, where PCRE2 can. The pieces are the same.
 *    RC_E_OS        `mem` refuses
 *    RC_E_INTERNAL  PCRE2 does not take them (one built without Unicode) */
RC_MUST_CHECK
rc_code rc_splitter_new(rc_splitter **out, bool jit, rc_mem *mem, rc_err *err);
void rc_splitter_free(rc_splitter **s);

/** Called for each piece, from left to right; len > 0. */
typedef rc_code rc_piece_fn(void *ctx, const char *piece, size_t len, rc_err *err);

/** Cut `text`, which must be UTF-8. The pieces put together are the text. Takes time
 *  proportional to len; PCRE2's own limits stand behind that (RC_E_LIMIT). Passes on what `fn`
 *  returns; RC_E_OS. */
RC_MUST_CHECK
rc_code rc_splitter_run(const rc_splitter *s, const char *text, size_t len, rc_piece_fn *fn,
                        void *ctx, rc_err *err);

#endif
