/* formats/gguf_config.h - what config.json would say, from the keys of a GGUF file.
 *
 * The keys become a text in the words of config.json, which then goes through
 * rc_config_parse(): one set of bounds, whatever the model comes in, and one text to
 * compare. Only what the keys say is in it: a file says nothing about torch_dtype.
 * Source: llama.cpp conversion/deepseek.py (set_gguf_parameters) and
 * src/models/deepseek4.cpp, src/models/dflash.cpp (load_arch_hparams). */
#ifndef RC_FORMATS_GGUF_CONFIG_H
#define RC_FORMATS_GGUF_CONFIG_H

#include "formats/config.h"
#include "formats/gguf_names.h"

/* What the tensors have to say besides. */
typedef struct rc_gguf_facts {
    rc_gguf_kind kind;
    uint64_t vocab;       /* rows of the embedding, 0: no embedding here */
    uint64_t markov_rank; /* of a DSpark draft */
} rc_gguf_facts;

/** Which kind of file it is by its keys and tensors; has(ctx, name) says whether there is a
 *  tensor of that name.
 *    RC_E_UNSUPPORTED  another architecture
 *    RC_E_DATA         no general.architecture, or keys that make no sense */
RC_MUST_CHECK
rc_code rc_gguf_kind_of(rc_gguf_kind *out, const rc_gguf *g, bool (*has)(void *, const char *),
                        void *ctx, rc_err *err);
const char *rc_gguf_kind_name(rc_gguf_kind kind); /* "main", "main with draft", .. */

/** Fill *out, and *text with the JSON it came from (put it back to mem). A file of a DSpark
 *  draft says nothing about the main model: one layer stands for it.
 *    RC_E_DATA         a key is missing, of the wrong type, out of range; arrays of the
 *                      tokenizer differ in length
 *    RC_E_TENSORSET    the vocabulary and the embedding disagree
 *    RC_E_UNSUPPORTED  routing or stretching that V4 has not
 *    RC_E_OS */
RC_MUST_CHECK
rc_code rc_gguf_config(rc_config *out, uint8_t **text, size_t *len, const rc_gguf *g,
                       const rc_gguf_facts *facts, const rc_log *log, rc_mem *mem, rc_err *err);

#endif
