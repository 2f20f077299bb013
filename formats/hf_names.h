/* formats/hf_names.h - DeepSeek's names and those of transformers, one table for both ways.
 *
 *     layers.3.ffn.experts.7.w1.weight_packed
 *     model.layers.3.mlp.experts.7.gate_proj.weight_packed
 *
 * What comes behind a module (".weight", ".qzeros", ..) is the same on both sides. Experts have
 * a tensor each; transformers itself stacks them into one while loading. Drafts (mtp.*) and vision
 * keep DeepSeek's names: transformers has no others for them.
 * Source: transformers, conversion_mapping.py ("deepseek_v4") and its state_dict(); names of single
 * experts as llm-compressor and GPTQModel write them. */
#ifndef RC_FORMATS_HF_NAMES_H
#define RC_FORMATS_HF_NAMES_H

#include <stdbool.h>

#define RC_HF_NAME 256 /* bytes of a name, with its NUL */

/** DeepSeek's name of a tensor or module to that of transformers; a name that is the same
 *  on both sides is copied. False, and the name copied, when it does not fit or is none of the
 *  model's. */
bool rc_hf_from_native(const char *native, char out[RC_HF_NAME]);
/** The way back. */
bool rc_hf_to_native(const char *hf, char out[RC_HF_NAME]);

#endif
