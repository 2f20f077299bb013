/* formats/bpe_load.h - where the tokenizer of a model lies. */
#ifndef RC_FORMATS_BPE_LOAD_H
#define RC_FORMATS_BPE_LOAD_H

#include "formats/bpe.h"
#include "formats/checkpoint.h"

/** The tokenizer of an open checkpoint: tokenizer.json in its folder, or the keys of its GGUF
 *  file. The caller owns *out: rc_bpe_free(). Errors name the file:
 *    RC_E_NOINPUT  there is none; the hint says that ids can be given instead (--tokens)
 *  and what rc_tokenizer_parse(), rc_tokenizer_from_gguf(), rc_bpe_new() and the source report. */
RC_MUST_CHECK
rc_code rc_bpe_of_ckpt(rc_bpe **out, const rc_ckpt *ckpt, rc_mem *mem, rc_err *err);

/** The same by name, without a model: a folder with a tokenizer.json, a tokenizer.json of any
 *  name, or a GGUF file; `opts` of the source, or NULL. The vocabulary is as large as it says. */
RC_MUST_CHECK
rc_code rc_bpe_open(rc_bpe **out, const char *where, const rc_source_opts *opts, const rc_log *log,
                    rc_mem *mem, rc_err *err);

#endif
