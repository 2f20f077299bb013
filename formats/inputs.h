/* formats/inputs.h - where the matrices of the model read.
 *
 * Matrices that read the same activations share their statistics, and a scaling of their columns.
 * Source: the official model.py. */
#ifndef RC_FORMATS_INPUTS_H
#define RC_FORMATS_INPUTS_H

#include "formats/schema.h"

typedef enum rc_input_at {
    RC_INPUT_ATTN,   /* attn_norm's output [D]: wq_a, wkv, compressors, weights_proj */
    RC_INPUT_Q,      /* q_norm's output [Q]: wq_b, indexer.wq_b */
    RC_INPUT_O_A,    /* the heads' output, rotated back [H * C], a slice for each group: wo_a */
    RC_INPUT_O_B,    /* [o_groups * o_lora_rank]: wo_b */
    RC_INPUT_FFN,    /* ffn_norm's output [D], every token once: the router, shared w1 and w3 */
    RC_INPUT_EXPERT, /* the rows of that which chose an expert: its w1 and w3 */
    RC_INPUT_DOWN,   /* its hidden state, routing weight included [I]: its w2 */
    RC_INPUT_SHARED_DOWN, /* the shared expert's [I]: its w2 */
    RC_INPUT_E_PROJ,      /* of a draft: the normed embedding [D] */
    RC_INPUT_H_PROJ,      /* of a draft: the normed streams [D], a row each */
    RC_INPUT_HEAD,        /* the normed output [D]: head */
    RC_INPUT_COUNT
} rc_input_at;

/** In words: "the output of attn_norm". */
const char *rc_input_name(rc_input_at at);
/** Where a parameter reads; false for what is no linear: norms, sinks, tables, hyper-connections,
 *  an embedding that is no output matrix as well, what DSpark has beyond a layer. */
bool rc_input_of(const rc_param *param, const rc_config *config, rc_input_at *at);

/** Columns of the matrices that read it, of `at` but COUNT; of attn_output_a's, those of one group
 *  of heads. */
uint64_t rc_input_cols(rc_input_at at, const rc_config *config);

#endif
