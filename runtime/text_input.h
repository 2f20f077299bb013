/* runtime/text_input.h - the text that models are judged on, or calibrated with. */
#ifndef RC_RUNTIME_TEXT_INPUT_H
#define RC_RUNTIME_TEXT_INPUT_H

#include "formats/bpe_load.h"
#include "runtime/windows.h"

typedef struct rc_text_input {
    const char *text, *tokens;  /* files, "-" is standard input; one of the two, or .. */
    const char *given;          /* .. a text in memory, of .. */
    size_t given_len;           /* .. so many bytes */
    uint64_t ctx, stride, skip; /* 0: the default; see windows.h */
    bool bos;                   /* also where the tokenizer does not put one */
} rc_text_input;

enum { RC_TEXT_CTX = 2048 }; /* by default, or what the model or the text has */

/** Read, make ids of it with `bpe` (may be NULL with tokens), and cut. `ids` gets the text's ids.
 * BOS stands before a text when the tokenizer says so (add_bos_token), as in llama.cpp. RC_E_USAGE
 * ids past the vocabulary, windows that contradict the text; what reading reports. */
RC_MUST_CHECK
rc_code rc_text_input_read(rc_windows *out, rc_ids *ids, const rc_text_input *in, const rc_bpe *bpe,
                           const rc_config *config, rc_mem *mem, rc_err *err);

#endif
