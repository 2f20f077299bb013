/* convert/gguf_meta.h - the keys of a GGUF file: what the model is, how its text becomes
 * tokens, what the file holds.
 *
 * Keys and value types as llama.cpp's converter writes them, with what ds4 asks for besides.
 * Source: llama.cpp conversion/{base,deepseek}.py, src/llama-arch.cpp; ds4.c. */
#ifndef RC_CONVERT_GGUF_META_H
#define RC_CONVERT_GGUF_META_H

#include "formats/gguf_names.h"
#include "formats/gguf_write.h"
#include "formats/tokenizer.h"

typedef struct rc_gguf_meta {
    const rc_config *config;
    const rc_tokenizer *tokenizer; /* with a known pre-tokenizer */
    const char *chat_template;     /* or NULL: ours */
    const char *name;              /* of the model, for people */
    const char *license;           /* or NULL */
    rc_gguf_kind kind;
    uint32_t draft_blocks;
    rc_dtype experts;               /* what most weights are: decides general.file_type */
    bool quantized;                 /* some tensor is in blocks */
    uint64_t params, expert_params; /* in this file; those of one expert in all layers */
    const char *imatrix_file, *imatrix_dataset; /* NULL: none was used */
    uint32_t imatrix_entries, imatrix_chunks;
} rc_gguf_meta;

/** Every key of the first (or only) file. */
void rc_gguf_meta_write(rc_ggufw *w, const rc_gguf_meta *meta);

/** The three keys that tell splits apart: `no` of `count`, `tensors` over all of them. */
void rc_gguf_meta_split(rc_ggufw *w, uint16_t no, uint16_t count, int32_t tensors);

#endif
