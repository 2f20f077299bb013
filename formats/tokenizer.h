/* formats/tokenizer.h - the vocabulary of a checkpoint: its tables, as GGUF wants them.
 *
 * Read from tokenizer.json (byte-level BPE as the `tokenizers` library writes it) and
 * tokenizer_config.json, or from the keys of a GGUF file. Nothing is tokenized here: that is
 * bpe.h. Source: llama.cpp conversion/base.py (get_vocab_base, SpecialVocab). */
#ifndef RC_FORMATS_TOKENIZER_H
#define RC_FORMATS_TOKENIZER_H

#include "formats/base/hash.h"
#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/gguf.h"

#define RC_TOKENIZER_MAX_BYTES    (64u << 20) /* of tokenizer.json, and of its config; ours */
#define RC_TOKENIZER_MAX_TOKEN    4096u       /* bytes of a token's text; ours */
#define RC_TOKENIZER_MAX_IDS      (1u << 19)  /* where no model says how many there are; ours */
#define RC_TOKENIZER_MAX_TEMPLATE (1u << 20)  /* bytes of the chat template; ours */

/* GGUF token types. */
typedef enum rc_token_type {
    RC_TOKEN_NORMAL = 1,
    RC_TOKEN_UNKNOWN,
    RC_TOKEN_CONTROL,
    RC_TOKEN_USER,
    RC_TOKEN_UNUSED,
    RC_TOKEN_BYTE
} rc_token_type;

typedef struct rc_tokenizer rc_tokenizer; /* immutable */

/** Parse. `config` may be NULL (config_len 0). vocab_size is the model's: ids without a
 *  token become "[PAD<id>]", unused, with one warning that counts them. 0: there is no model,
 *  and the vocabulary ends behind the largest id it names (below RC_TOKENIZER_MAX_IDS); ids
 *  without a token are then "[PAD]", all of them.
 *    RC_E_DATA         malformed; an id or a text twice; a merge of unknown tokens
 *    RC_E_TENSORSET    an id that the model does not have
 *    RC_E_UNSUPPORTED  not byte-level BPE (says what it is)
 *    RC_E_LIMIT        over one of the bounds above
 *  Errors name tokenizer.json or tokenizer_config.json. */
RC_MUST_CHECK
rc_code rc_tokenizer_parse(rc_tokenizer **out, const uint8_t *json, size_t len,
                           const uint8_t *config, size_t config_len, uint32_t vocab_size,
                           const rc_log *log, rc_mem *mem, rc_err *err);
/** The same from the keys tokenizer.ggml.* of a GGUF file, for a model of vocab_size ids.
 *    RC_E_NOINPUT      the file carries no tokenizer
 *    RC_E_DATA         a key missing or of another type; a text twice; a merge of unknown tokens
 *    RC_E_TENSORSET    more tokens than the model has
 *    RC_E_UNSUPPORTED  not byte-level BPE, or cut by another pre-tokenizer than DeepSeek-V4's
 *  rc_tokenizer_template() and rc_tokenizer_pre_digest() have nothing to say of it. */
RC_MUST_CHECK
rc_code rc_tokenizer_from_gguf(rc_tokenizer **out, const rc_gguf *g, uint32_t vocab_size,
                               const rc_log *log, rc_mem *mem, rc_err *err);
void rc_tokenizer_free(rc_tokenizer **t);

/** == vocab_size, if that was not 0; of a GGUF file, as many as it lists. */
uint32_t rc_tokenizer_count(const rc_tokenizer *t);
/** Text as GGUF wants it: bytes spelled as in byte_level.h, and in RC_TOKEN_USER plain spaces
 *  where tokenizer.json has U+2581. NUL-terminated. */
const char *rc_tokenizer_token(const rc_tokenizer *t, uint32_t id, size_t *len,
                               rc_token_type *type);
size_t rc_tokenizer_merges(const rc_tokenizer *t);
const char *rc_tokenizer_merge(const rc_tokenizer *t, size_t i, size_t *len); /* "A B" */

/* The tokens that a merge joins, and the one that comes of it. */
typedef struct rc_merge_ids {
    uint32_t left, right, made;
} rc_merge_ids;
void rc_tokenizer_merge_ids(const rc_tokenizer *t, size_t i, rc_merge_ids *ids);

/** Does the model know the token, spelled in bytes? Merges are of these. */
bool rc_tokenizer_in_vocab(const rc_tokenizer *t, uint32_t id);
/** An added token as it stands in texts (NUL-terminated), or NULL when id is none. Those that
 *  are `early` ("normalized": false) are looked for in the whole text, the others in what is
 *  then left; in a GGUF file, which does not say, all are early. */
const char *rc_tokenizer_added(const rc_tokenizer *t, uint32_t id, size_t *len, bool *early);
/** What it does to a text besides added tokens, splits and merges, in words: "a normalizer".
 *  NULL when that is all. */
const char *rc_tokenizer_extras(const rc_tokenizer *t);

/** Special ids by what tokenizer_config.json names; false when it names none (llama.cpp's
 *  converter then takes config.json's bos_token_id and eos_token_id). */
bool rc_tokenizer_bos(const rc_tokenizer *t, uint32_t *id);
bool rc_tokenizer_eos(const rc_tokenizer *t, uint32_t *id);
bool rc_tokenizer_pad(const rc_tokenizer *t, uint32_t *id);
/** add_bos_token and add_eos_token: -1 when absent, else 0 or 1. A ByteLevel post-processor
 *  adds nothing, whatever the config says. */
int rc_tokenizer_add_bos(const rc_tokenizer *t);
int rc_tokenizer_add_eos(const rc_tokenizer *t);
/** The name that llama.cpp knows the pre-tokenizer by, from its definition: "joyai-llm" for
 *  DeepSeek-V4's; NULL when it is another one. */
const char *rc_tokenizer_pre(const rc_tokenizer *t);
/** Names the definition of any pre-tokenizer: for the message that it is not a known one. */
rc_digest rc_tokenizer_pre_digest(const rc_tokenizer *t);
/** chat_template of tokenizer_config.json, or NULL. */
const char *rc_tokenizer_template(const rc_tokenizer *t);

/** The chat template to use when the checkpoint brings none: ours, in Jinja, with the same
 *  text as the release's encoding/ for the messages it covers. Static. */
const char *rc_chat_template(void);

#endif
