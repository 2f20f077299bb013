/* formats/bpe.h - text to ids and ids to bytes: byte-level BPE, as DeepSeek-V4's tokenizer.json
 * defines it.
 *
 *     text -> added tokens, verbatim                 trie.h
 *          -> pieces                                 splitter.h
 *          -> the tokens of single bytes             byte_level.h
 *          -> joined two by two, by rank             here
 *
 * Nothing is added: a beginning of sentence is in the text or is not there (chat.h puts it).
 * Ids are those of the `tokenizers` library (0.23; encode with add_special_tokens=False); of two
 * equal merges the later one counts, as there.
 *
 * Bytes are never lost: what comes out of the ids is what went in. A text need not be UTF-8: a run
 * of bytes that is not is a piece of its own (the library never sees such a text: Python puts
 * U+FFFD in their place). And where the library drops a byte that has no token, this refuses. */
#ifndef RC_FORMATS_BPE_H
#define RC_FORMATS_BPE_H

#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/tokenizer.h"

#define RC_BPE_MAX_TEXT (1u << 30) /* bytes in one call; ours */

typedef struct rc_bpe rc_bpe; /* immutable, shareable between threads */

/* A growing list of ids. Begin with { .mem = mem }; rc_mem_put(mem, ids.at) at the end. */
typedef struct rc_ids {
    rc_mem *mem;
    uint32_t *at;
    size_t n, room;
} rc_ids;
/** Append an id. False when memory runs out. */
RC_MUST_CHECK
bool rc_ids_add(rc_ids *ids, uint32_t id);

/** Take over a vocabulary, on failure too.
 *    RC_E_UNSUPPORTED  another pre-tokenizer than DeepSeek-V4's, or more than that and merges
 *    RC_E_OS           `mem` refuses */
RC_MUST_CHECK
rc_code rc_bpe_new(rc_bpe **out, rc_tokenizer **tokenizer, rc_mem *mem, rc_err *err);
void rc_bpe_free(rc_bpe **bpe);
const rc_tokenizer *rc_bpe_tokenizer(const rc_bpe *bpe);

/** Append the ids of a text. Time grows with len log(len) at worst, whatever the text.
 *    RC_E_DATA   a byte that the vocabulary has no token for
 *    RC_E_LIMIT  over RC_BPE_MAX_TEXT
 *    RC_E_OS     out of memory
 *  What was appended before an error stays. */
RC_MUST_CHECK
rc_code rc_bpe_encode(const rc_bpe *bpe, const char *text, size_t len, rc_ids *ids, rc_err *err);

/** The bytes of a token, wherever it stands; they may begin or end inside a character. None for
 *  an id that the vocabulary leaves unused, NULL for one beyond it. */
const char *rc_bpe_bytes(const rc_bpe *bpe, uint32_t id, size_t *len);

/** The id of an added token by its text, such as "</think>". False when there is none. */
bool rc_bpe_added(const rc_bpe *bpe, const char *text, uint32_t *id);

#endif
