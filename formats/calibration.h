/* formats/calibration.h - statistics of activations, in a file that llama.cpp and ds4 read too.
 *
 * A GGUF imatrix (formats/imatrix.h) with more beside it. For a GGUF tensor NAME of `rows` matrices
 * (1, or the experts of a layer):
 *
 *     NAME.in_sum2  F32 [rows, cols]  sums of x^2          as llama.cpp's imatrix tool writes them
 *     NAME.counts   F32 [rows, 1]     tokens
 *     NAME.in_abs   F32 [rows, cols]  sums of |x|          ours; llama.cpp passes over it
 *     NAME.seen     F32 [rows, 1]     tokens that were really there, before topping up
 *     NAME.in_cov   F32 [rows, cols / B, B (B + 1) / 2]    sums of x_i x_j, j <= i, within blocks
 * of B = 128 columns (the last may be narrower and is padded with 0); only when asked for
 *     blk.L.ffn_sample.x       F32 [R, D]   ffn_norm's output at R tokens, evenly spaced
 *     blk.L.ffn_sample.expert  I32 [R, K]   what they chose, and
 *     blk.L.ffn_sample.weight  F32 [R, K]   with which weight
 *
 * Tensors that read the same input share one: in_abs, seen and in_cov are only there for the first
 * of them (ffn_gate_exps for gate and up, ffn_gate_shexp, attn_q_a, attn_q_b, attn_output_a,
 * attn_output_b, ffn_down_exps, ffn_down_shexp, output, nextn.eh_proj): rc_calib_owner(). Rows are
 * tokens, but for attn_output_a a slice for each group of heads. eh_proj has e_proj's columns, then
 * h_proj's, which are means over a token's streams; it has no in_cov.
 *
 * An expert that fewer than RC_CALIB_ENOUGH tokens chose is topped up to that many: w1 and w3 with
 * the layer's mean input, w2 with the layer's mean over experts and channels. in_sum2, in_abs and
 * counts are topped up, `seen` says so; in_cov is as it was seen. A draft's block is
 * blk.<layers + i>; its positions are one fewer in each window.
 *
 * Keys: general.type "imatrix", imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size; and
 * recast.calibration.{version u32, tokens u64, tokens_digest str, model str, tokenizer str,
 * numerics str, moments u32, few u32}. `model` is "SIZES-WEIGHTS", two digests: of what makes the
 * statistics fit, and of the embedding's first values (zeros: not to be told); `tokenizer` is one
 * of the vocabulary ("" unknown). Source of the common part: llama.cpp tools/imatrix. */
#ifndef RC_FORMATS_CALIBRATION_H
#define RC_FORMATS_CALIBRATION_H

#include "formats/config.h"
#include "formats/imatrix.h"
#include "formats/inputs.h"
#include "formats/model.h"

#define RC_CALIB_ENOUGH   64u
#define RC_CALIB_BLOCK    128u
#define RC_CALIB_TRIANGLE ((size_t)RC_CALIB_BLOCK * (RC_CALIB_BLOCK + 1) / 2) /* of a block */

typedef struct rc_calib rc_calib; /* immutable, shareable; keeps its file open */

/* Where the statistics come from. */
typedef struct rc_calib_origin {
    bool ours; /* false: a plain imatrix, in_sum2 and counts only; the rest is then empty */
    uint64_t tokens;
    char model[40], tokenizer[40], tokens_digest[40], numerics[16];
    uint32_t moments; /* block width of in_cov; 0: none */
} rc_calib_origin;

/** Open any imatrix; the same errors as rc_imatrix_open(). */
RC_MUST_CHECK
rc_code rc_calib_open(rc_calib **out, const char *path, const rc_log *log, rc_mem *mem,
                      rc_err *err);
/** The same from bytes, for the fuzzer and for tests; `bytes` may be freed afterwards. */
RC_MUST_CHECK
rc_code rc_calib_parse(rc_calib **out, const uint8_t *bytes, size_t len, const rc_log *log,
                       rc_mem *mem, rc_err *err);
void rc_calib_free(rc_calib **calib);
const rc_imatrix *rc_calib_imatrix(const rc_calib *c);
const rc_calib_origin *rc_calib_origin_of(const rc_calib *c);

/** The GGUF tensor beside which the input of a parameter has in_abs, seen and in_cov; false when it
 *  reads none (rc_input_of()). */
bool rc_calib_owner(char name[RC_GGUF_MAX_NAME + 1], const rc_param *param,
                    const rc_config *config);

/* Statistics of the input of one parameter; means, not sums. */
typedef enum rc_calib_what {
    RC_CALIB_SQUARES, /* E[x^2], [cols] */
    RC_CALIB_ABS,     /* E[|x|], [cols]; where only squares are known: the root of their mean */
    RC_CALIB_MOMENTS  /* E[x x^T] of block `block`, full and symmetric [B, B]; the last block [m, m]
                       */
} rc_calib_what;

/** For `param` (a matrix of the schema) into out. *found false: nothing is known (no entry, or an
 *  expert nobody saw in a file of others, or no moments). `block` for MOMENTS, else 0. wo_a: by the
 *  groups' mean (its rows read different slices of the input).
 *    RC_E_TENSORSET  an entry of another size: statistics of another model (names the entry)
 *    RC_E_IO, RC_E_INTEGRITY */
RC_MUST_CHECK
rc_code rc_calib_get(const rc_calib *c, const rc_param *param, const rc_config *config,
                     rc_calib_what what, size_t block, float *out, bool *found, rc_err *err);
/** Tokens that its input was seen with; 0 unknown. */
RC_MUST_CHECK
rc_code rc_calib_seen(const rc_calib *c, const rc_param *param, const rc_config *config,
                      uint64_t *tokens, rc_err *err);

/* The sample of a block's experts' input. */
typedef struct rc_calib_sample {
    size_t rows, cols, k; /* rows 0: there is none */
    float *x;             /* [rows, cols] */
    uint32_t *expert;     /* [rows, k] */
    float *weight;        /* [rows, k] */
} rc_calib_sample;
RC_MUST_CHECK
rc_code rc_calib_sample_get(const rc_calib *c, uint32_t block, const rc_config *config,
                            rc_calib_sample *out, rc_mem *mem, rc_err *err);
void rc_calib_sample_free(rc_calib_sample *s, rc_mem *mem);

/** The digests that a file has for a checkpoint (rc_calib_origin). A model without a tokenizer
 *  gives ""; one that cannot be read, an error. */
RC_MUST_CHECK
rc_code rc_calib_model_digest(char out[40], const rc_model *model, rc_err *err);
RC_MUST_CHECK
rc_code rc_calib_tokenizer_digest(char out[40], const rc_model *model, rc_err *err);
/** Do the statistics fit the checkpoint?
 *    RC_E_TENSORSET  of a model of other sizes, or of another tokenizer (says what, and what to do)
 *  Warns when the weights are others, or the tokens are few (under RC_CALIB_ENOUGH * experts /
 *  chosen). */
RC_MUST_CHECK
rc_code rc_calib_check(const rc_calib *c, const rc_model *model, const rc_log *log, rc_err *err);

#endif
