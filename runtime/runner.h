/* runtime/runner.h - the two ways through a model behind one face: the fast pass (forward.h) in its
 * two numerics, and the scalar one in double precision (plain.h). */
#ifndef RC_RUNTIME_RUNNER_H
#define RC_RUNTIME_RUNNER_H

#include "runtime/forward.h"

typedef struct rc_runner rc_runner;

/** `plain`: in double precision, a token at a time; of the options it heeds mem_limit, watch and
 * steps. Errors as rc_forward_new() and rc_plain_new(); with keep_streams RC_E_UNSUPPORTED where
 * there is no draft that rc_runner_draft() could run. */
RC_MUST_CHECK
rc_code rc_runner_new(rc_runner **out, rc_model *model, const rc_forward_options *options,
                      bool plain, rc_err *err);
void rc_runner_free(rc_runner **r);

/** As rc_forward_feed(). */
RC_MUST_CHECK
rc_code rc_runner_feed(rc_runner *r, const uint32_t *token, size_t n, size_t tail, rc_logits_fn *fn,
                       void *ctx, rc_err *err);

/** What the draft block takes for the token after the next, for each position but the last of a
 * first feed of n tokens: guess [n - 1]; guess[p] is for position p + 2. Options need keep_streams.
 * With `plain` this must be asked for before the feed (it is done on the way, `guess` is borrowed
 * until then); without, after it, and the tokens fed must still be there. */
RC_MUST_CHECK
rc_code rc_runner_draft(rc_runner *r, uint32_t *guess, rc_err *err);

/* What it cost; zeros with `plain`, but for the peak. */
typedef struct rc_runner_cost {
    rc_weights_stats weights;
    uint64_t spilled;
    size_t peak;
} rc_runner_cost;
rc_runner_cost rc_runner_cost_of(const rc_runner *r);

#endif
