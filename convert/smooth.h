/* convert/smooth.h - scalings of channels that make INT4 cost less, found before anything is
 * written.
 *
 * For each point of each block whose readers are all requantized (or exact under powers of two) the
 * scaling of quantize/awq.h with the least loss, or none. Losses are of the weights' error under
 * the experts' own mean squares first (all ratios, a sample of rows), then of the block's output on
 * the sample of activations (the best few, and no scaling): scaling is only taken where it lowers
 * that. What is found is kept in a file of the output's folder after each block, so that a killed
 * run goes on there. Depends on the source, the statistics and the recipe only. */
#ifndef RC_CONVERT_SMOOTH_H
#define RC_CONVERT_SMOOTH_H

#include "convert/plan.h"
#include "formats/base/io.h"

typedef struct rc_smooth rc_smooth; /* immutable once found */

/* What was found for one norm. */
typedef struct rc_smooth_point {
    const char *norm;     /* "layers.3.ffn_norm.weight" */
    double ratio;         /* of quantize/awq.h; -1: no scaling */
    double before, after; /* loss without and with it */
    float least, most;    /* of s */
} rc_smooth_point;

size_t rc_smooth_count(const rc_smooth *s);
const rc_smooth_point *rc_smooth_at(const rc_smooth *s, size_t i);
/** What the columns of a reader, or the one row of a norm, are multiplied by: [n], or NULL for
 *  nothing. (For a norm it is 1 / s.) s may be NULL. */
const float *rc_smooth_factors(const rc_smooth *s, const rc_param *param);
/** Takes in everything that decides the output's bytes. */
uint64_t rc_smooth_digest(const rc_smooth *s);

typedef struct rc_smooth_opts {
    unsigned threads;
    _Atomic uint64_t *steps; /* counts blocks done; or NULL */
    const rc_log *log;
} rc_smooth_opts;

/** Find, or take from what an earlier run left in `dir` under `name`; NULL where the recipe asks
 * for none. `plan` has jobs and recipe (with statistics). */
RC_MUST_CHECK
rc_code rc_smooth_find(rc_smooth **out, const rc_plan *plan, const rc_dir *dir, const char *name,
                       const rc_smooth_opts *opts, rc_mem *mem, rc_err *err);
void rc_smooth_free(rc_smooth **s);

#endif
