/* runtime/plain.h - DeepSeek-V4 in scalar double precision, one token at a time.
 *
 * The forward pass as it is described, with nothing done for speed: what the fast runtime is
 * tested against, and the text to learn the model from. Weights are the stored ones, decoded
 * without loss; activations are never quantized and never rounded to less than a double.
 *
 *   read in this order             what is there
 *   plain.c                        the way of a token: embedding, layers, logits; the MTP block
 *   plain_streams.c                hyper-connections: N residual streams instead of one
 *   plain_attention.c              window, compressed blocks, the choice among them
 *   plain_experts.c                router, experts
 *   plain_dspark.c                 the DSpark draft: a block of tokens at once
 *   plain_math.c, plain_weights.c  norms and rotations; from a checkpoint to numbers
 *
 *   symbol  config                    Flash     symbol  config                    Flash
 *   D       hidden_size               4096      N       hc_mult                   4
 *   V       vocab_size                129280    W       sliding_window            128
 *   H       num_attention_heads       64        J       index_n_heads             64
 *   C       head_dim                  512       c       index_head_dim            128
 *   R       qk_rope_head_dim          64        T       index_topk                512
 *   Q       q_lora_rank               1024      E       n_routed_experts          256
 *   G, O    o_groups, o_lora_rank     8, 1024   K       num_experts_per_tok       6
 *   r       compress_ratios[layer]    0|4|128   I       moe_intermediate_size     2048
 *
 * Source: the release's inference/model.py (of 2026-04 for the model and its MTP block, of
 * 2026-07-31 for DSpark). Where that leaves a choice open, ties of a top-k, the lowest index wins.
 */
#ifndef RC_RUNTIME_PLAIN_H
#define RC_RUNTIME_PLAIN_H

#include "formats/model.h"

typedef struct rc_plain rc_plain;

/* Whoever wants to see inside. Any function may be NULL; what is passed is valid during the
 * call. `layer` counts main layers, then draft blocks; `pos` is the token's position. */
typedef struct rc_plain_watch {
    void *ctx;
    /* h [N, D]: the streams after the layer */
    void (*streams)(void *ctx, uint32_t layer, uint64_t pos, const double *h);
    /* expert, weight [K]: ascending experts, and what each is weighted by */
    void (*experts)(void *ctx, uint32_t layer, uint64_t pos, const uint32_t *expert,
                    const double *weight);
    /* block [n]: the compressed blocks that the indexer chose, ascending (layers with r = 4) */
    void (*blocks)(void *ctx, uint32_t layer, uint64_t pos, const uint32_t *block, size_t n);
} rc_plain_watch;

/** A model at position 0.
 *
 *  model  whole (rc_model_require_whole); borrowed
 *  keep   bytes of decoded weights that may be kept in memory, 4 a value: as many matrices as fit,
 *         in the order of their first use. The others are read and decoded for every token.
 *  mem    pays for those, and for the caches: 8 bytes a value, (W + positions / r) * C values a
 *         layer
 *
 *  RC_E_UNSUPPORTED  a router that is not sqrtsoftplus, vision, index heads whose size is no power
 *                    of two; parameters that lie in another file (a draft alone)
 *  RC_E_TENSORSET    the model is not whole
 *  RC_E_OS           `mem` refused */
RC_MUST_CHECK
rc_code rc_plain_new(rc_plain **out, rc_model *model, size_t keep, rc_mem *mem, rc_err *err);
void rc_plain_free(rc_plain **p);
void rc_plain_set_watch(rc_plain *p, const rc_plain_watch *watch); /* copied; NULL: nobody */
/** Back to position 0. What was decoded stays. */
void rc_plain_rewind(rc_plain *p);

/** The next position: `token` is its input, `logits` [V] what the model expects to follow; NULL
 *  leaves the output matrix out. After a failure only rewind and free make sense.
 *  RC_E_USAGE    a token past the vocabulary
 *  RC_E_DATA     a token table that names an expert past the last
 *  RC_E_NUMERIC  a weight that is NaN or infinite (tensor, offset)
 *  RC_E_OS       `mem` refused
 *  and what reading reports */
RC_MUST_CHECK
rc_code rc_plain_step(rc_plain *p, uint32_t token, double *logits, rc_err *err);

/** [N, D] after the last layer, at the last position; zero before the first step. */
const double *rc_plain_streams(const rc_plain *p);

/** The next position of the MTP block, which counts its own. `streams` [N, D] are a position's
 *  after the last layer (or the block's own of the step before), `token` the one that is joined to
 *  them: normally the next. `logits` [V] or NULL; `out` [N, D] or NULL: the block's own streams.
 *  RC_E_UNSUPPORTED when the checkpoint has none, or not all of it (a GGUF file that holds the
 *  layer, but not the hc_head_* of its output); else as rc_plain_step(). */
RC_MUST_CHECK
rc_code rc_plain_mtp_step(rc_plain *p, const double *streams, uint32_t token, double *logits,
                          double *out, rc_err *err);

/** Tokens that rc_plain_draft() proposes: dspark_block_size; 0 without a DSpark draft. */
uint32_t rc_plain_draft_size(const rc_plain *p);
/** What DSpark proposes after the last position's token was chosen: `token` follows the positions
 *  stepped through so far, tokens [B] follow it, each the likeliest one. May be asked again, for
 *  another `token`.
 *
 *  tokens      [B]
 *  logits      [B, V] that they were chosen by, or NULL
 *  confidence  [B] or NULL: the draft's own opinion, before any sigmoid
 *
 *  RC_E_UNSUPPORTED without a DSpark draft, RC_E_USAGE before the first step; else as
 *  rc_plain_step(). */
RC_MUST_CHECK
rc_code rc_plain_draft(rc_plain *p, uint32_t token, uint32_t *tokens, double *logits,
                       double *confidence, rc_err *err);

#endif
