/* formats/absorb.h - where the architecture can take up a scaling of activations.
 *
 * A linear reads x = norm(u) * gain. With s > 0, one number a channel,
 *
 *     gain' = gain / s,   W'[r][k] = W[r][k] * s[k]   for every W that reads x
 *
 * leaves the model's function as it was, provided that *all* readers of x are scaled:
 *
 *     attn_norm    attn.wq_a, attn.wkv, attn.compressor.{wkv,wgate}, attn.indexer.weights_proj,
 *                  attn.indexer.compressor.{wkv,wgate}
 *     attn.q_norm  attn.wq_b, attn.indexer.wq_b
 *     ffn_norm     ffn.gate (the router), w1 and w3 of every routed and of the shared expert
 *
 * Nothing else in the architecture can take it up: kv_norm feeds keys and values, and the
 * weightless norm of each head destroys it in queries; between w3 and w2 stands the clamp of
 * SwiGLU; hyper-connections read the streams before any gain. Source: the official model.py;
 * AutoAWQ and llm-compressor for the idea. */
#ifndef RC_FORMATS_ABSORB_H
#define RC_FORMATS_ABSORB_H

#include "formats/schema.h"

typedef enum rc_absorb { RC_ABSORB_ATTN, RC_ABSORB_Q, RC_ABSORB_FFN, RC_ABSORB_COUNT } rc_absorb;

/** The name of a point within its block: "attn_norm.weight", .. */
const char *rc_absorb_norm(rc_absorb point);
/** Is the parameter the norm of a point? */
bool rc_absorb_is_norm(const rc_param *param, rc_absorb *point);
/** Does the parameter read the output of a point's norm? Its columns are the norm's channels. */
bool rc_absorb_reads(const rc_param *param, rc_absorb *point);
/** The name of the norm that a reader belongs to, "layers.3.ffn_norm.weight" or
 *  "mtp.0.attn.q_norm.weight", into buf; returns buf. */
const char *rc_absorb_norm_name(const rc_param *reader, rc_absorb point, char buf[64]);

#endif
