/* convert/gguf_recipe.h - which type each tensor of a GGUF file gets.
 *
 * Rules in order, first match wins: those of the command line, those of a recipe file, then
 * the preset's. A rule is PATTERN = TYPE; the pattern is a glob over GGUF tensor names
 * ("blk.3.ffn_down_exps.weight", "blk.*.attn_*"), or a role with an @ before it
 * ("@expert", see rc_role_name()). What loaders read in one type only is not for rules:
 * norms, sinks, biases and hc_* scales stay F32, the hash table is I32.
 * Presets name the experts' type. mxfp4 keeps every expert exactly, with the rest as llama.cpp's
 * converter has it: what was FP8 becomes Q8_0, which rounds. mxfp4-bf16 rounds nothing at all.
 * The source of what "the rest" is are llama.cpp's converter and ds4's type table. */
#ifndef RC_CONVERT_GGUF_RECIPE_H
#define RC_CONVERT_GGUF_RECIPE_H

#include "formats/base/mem.h"
#include "formats/schema.h"

#define RC_GGUF_RECIPE_MAX_RULES 4096u
#define RC_GGUF_RECIPE_MAX_BYTES (1u << 20) /* of a recipe file */

typedef struct rc_gguf_recipe rc_gguf_recipe;

/** Presets by name: mxfp4, mxfp4-bf16, q8_0, q6_k, q5_k, q4_k, q3_k, q2_k, iq4_xs, iq2_xxs, bf16,
 * f16, ds4-q2, ds4-q4. For a message or a help text: "mxfp4|q8_0|..". */
const char *rc_gguf_presets(void);

/** Make one.
 *    preset     by name
 *    file       a recipe file's text and its name for messages, or NULL
 *    rules      n command-line rules "PATTERN=TYPE"
 *  RC_E_USAGE   an unknown preset, or a rule of the command line that is none
 *  RC_E_DATA    a line of the file that is no rule; err->offset is its byte
 *  All strings are copied. */
RC_MUST_CHECK
rc_code rc_gguf_recipe_new(rc_gguf_recipe **out, const char *preset, const char *file_name,
                           const char *file, size_t file_len, const char *const *rules, unsigned n,
                           rc_mem *mem, rc_err *err);
void rc_gguf_recipe_free(rc_gguf_recipe **recipe);

const char *rc_gguf_recipe_preset(const rc_gguf_recipe *recipe);
/** ds4's table: its draft file and its keys go with it. */
bool rc_gguf_recipe_is_ds4(const rc_gguf_recipe *recipe);

/* The tensor that a type is wanted for. */
typedef struct rc_gguf_asked {
    const char *name;      /* in the file */
    const rc_param *param; /* one that it holds */
    rc_dtype source;       /* how the source stores it */
    uint64_t cols;         /* of one row */
} rc_gguf_asked;

typedef struct rc_gguf_choice {
    rc_dtype dtype;
    rc_dtype refused; /* what the preset would have, had its block divided the row; else
                         the same as dtype */
} rc_gguf_choice;

/** Choose. A type of the preset that the row does not divide into gives way to Q8_0, or to
 *  BF16 where that does not fit either; one that a rule names is an error:
 *  RC_E_UNSUPPORTED, with what would fit. */
RC_MUST_CHECK
rc_code rc_gguf_recipe_choose(rc_gguf_recipe *recipe, const rc_gguf_asked *asked,
                              rc_gguf_choice *out, rc_err *err);

/** After every tensor was asked for: RC_E_USAGE when a rule matched none of them. */
RC_MUST_CHECK
rc_code rc_gguf_recipe_check_used(const rc_gguf_recipe *recipe, rc_err *err);

/** The rules as one text, for the ledger and the journal. Lives as long as the recipe. */
const char *rc_gguf_recipe_text(const rc_gguf_recipe *recipe);

#endif
