/* convert/smooth.h - scalings of channels that make INT4 cost less, found before anything is
 * written.
 *
 * A *site* is a norm that can take up a scaling (formats/absorb.h) and whose readers are all
 * requantized to INT4 or stored as BF16. For each the scaling of quantize/awq.h with the least
 * loss is searched, in two steps:
 *
 * By weights: all ratios and no scaling; loss = sum over INT4 readers and a sample of their rows of
 * tokens * sum_k E[x_k^2] (w - Q(w s) / s)^2, x being what that expert saw.
 *
 * By output: the best of them and no scaling; squared error of what the experts say to the sample
 * of activations that the statistics hold, under the search that will be used; of at most
 * RC_SMOOTH_EXPERTS experts, those with the most sampled tokens.
 *
 * A part of a conversion (plan.h) searches those sites only whose norm or readers it writes.
 *
 * It is taken only where it lowers the last of these that could be measured. What is found is kept
 * in a file of the output's folder after each site, so that a killed run goes on there. It depends
 * on the source, the statistics and the recipe only, not on threads or memory. */
#ifndef RC_CONVERT_SMOOTH_H
#define RC_CONVERT_SMOOTH_H

#include <stdatomic.h>

#include "convert/plan.h"
#include "formats/base/hash.h"
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
/** Takes in everything that decides the output's bytes, of the sites that were searched. */
uint64_t rc_smooth_digest(const rc_smooth *s);

enum { RC_SMOOTH_EXPERTS = 16 };

typedef struct rc_smooth_opts {
    unsigned threads;
    rc_digest identity;      /* of source, recipe and statistics: what a kept file must be of */
    _Atomic uint64_t *steps; /* counts sites done; or NULL */
    const rc_log *log;
} rc_smooth_opts;

/** Sites that rc_smooth_find() will look at, for progress. */
size_t rc_smooth_sites(const rc_plan *plan, rc_mem *mem);
/** Find, or take from what an earlier run left in `dir` under `name`; NULL where the recipe asks
 * for none. `plan` has jobs and recipe (with statistics). */
RC_MUST_CHECK
rc_code rc_smooth_find(rc_smooth **out, const rc_plan *plan, const rc_dir *dir, const char *name,
                       const rc_smooth_opts *opts, rc_mem *mem, rc_err *err);
void rc_smooth_free(rc_smooth **s);

/** All that the plan's share needs, as an earlier run left it in `dir`; NULL where the recipe asks
 *  for none. RC_E_NOINPUT: not all of it is there, or it is of another run. */
RC_MUST_CHECK
rc_code rc_smooth_kept(rc_smooth **out, const rc_plan *plan, const rc_dir *dir, const char *name,
                       const rc_digest *identity, rc_mem *mem, rc_err *err);
/** Add what another part found. RC_E_RESUME: both found something for a site, and not the same. */
RC_MUST_CHECK
rc_code rc_smooth_merge(rc_smooth *into, const rc_smooth *from, rc_err *err);

#endif
