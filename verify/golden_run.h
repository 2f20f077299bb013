/* verify/golden_run.h - what a model says about a text, recorded once, and held against others later
 * without it. The file is formats/golden.h's (docs/golden.md).
 *
 * Recorded: the text's tokens and how they are cut; of every scored position the k likeliest tokens,
 * the probability of the rest and that of the token that came; of every layer a checksum of the
 * streams for each window, and sketches (random projections) of some positions; a checksum of the
 * logits for each run of positions. In f32 numerics checksums that agree prove that two models are
 * the same function on this text: then every kl is 0, exactly. */
#ifndef RC_VERIFY_GOLDEN_RUN_H
#define RC_VERIFY_GOLDEN_RUN_H

#include <stdatomic.h>

#include "formats/base/target.h"
#include "formats/golden.h"
#include "runtime/forward.h"
#include "verify/outcome.h"

#define RC_GOLDEN_TOP_K 32u

/** Run `model` over the windows and write the file; it appears when it is whole. `top_k` 0 keeps
 *  every logit. `run`: numerics, threads, memory, scratch; watch, swap, first and end are not heeded.
 *  `from`: native, native_variant, text, numerics, version, revision, config are kept in the file.
 *  `done` (may be NULL) counts layers, then one for the logits. Errors: as rc_forward_new(),
 *  rc_forward_begin(), writing. RC_E_NUMERIC when the model itself gives no numbers: a golden file of
 *  that would be no measure. */
RC_MUST_CHECK
rc_code rc_golden_record(const rc_target *target, rc_model *model, const rc_windows *windows,
                         uint32_t top_k, const rc_forward_options *run, const rc_provenance *from,
                         _Atomic uint64_t *done, rc_mem *mem, rc_err *err);

/* What came of a comparison. */
typedef struct rc_golden_result {
    rc_behaviour behaviour;
    rc_layers layers;             /* estimated; rc_golden_result_free() */
    bool same_logits, same_streams; /* every checksum agreed */
    int32_t first_differing;      /* the first layer whose checksum differs, or -1 */
} rc_golden_result;

/** Run `model` over the file's windows and hold it against what was recorded. `run` as above, in the
 *  file's numerics. `threshold` goes into the layers.
 *    RC_E_TENSORSET  another vocabulary, number of layers or streams: cannot be the same model
 *  and as above. */
RC_MUST_CHECK
rc_code rc_golden_compare(rc_golden *golden, rc_model *model, const rc_windows *windows,
                          const rc_forward_options *run, double threshold, rc_golden_result *out,
                          _Atomic uint64_t *done, rc_mem *mem, rc_err *err);
void rc_golden_result_free(rc_golden_result *r, rc_mem *mem);

#endif
