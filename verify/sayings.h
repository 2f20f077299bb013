/* verify/sayings.h - what a model says at many positions: rows of logits, shared among threads.
 *
 * A position is one thread's work from end to end, so that its digits do not depend on how many
 * there are; sums over positions are for the caller, in the order of the text. */
#ifndef RC_VERIFY_SAYINGS_H
#define RC_VERIFY_SAYINGS_H

#include "verify/saying.h"

/** out[i] of row i of logits [n, vocab], after which token next[i] came. */
void rc_sayings_of(rc_saying *out, const float *logits, size_t n, size_t vocab,
                   const uint32_t *next, unsigned threads);
/** kl[i] of row i of b from that of a, both [n, vocab]; NAN where one of them is broken. */
void rc_sayings_kl(double *kl, const rc_saying *a, const float *logits_a, const rc_saying *b,
                   const float *logits_b, size_t n, size_t vocab, unsigned threads);

#endif
