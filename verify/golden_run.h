/* verify/golden_run.h - what a model says about a text, recorded once, and held against others
 * later without it. The file is formats/golden.h's (docs/golden.md).
 *
 * Recorded: the text's tokens and how they are cut; of every scored position the k likeliest
 * tokens, the probability of the rest and that of the token that came; of every layer a checksum of
 * the streams for each window, and sketches (random projections) of some positions; a checksum of
 * the logits for each run of positions. In f32 numerics checksums that agree prove that two models
 * are the same function on this text: then every kl is 0, exactly. */
#ifndef RC_VERIFY_GOLDEN_RUN_H
#define RC_VERIFY_GOLDEN_RUN_H

#include <stdatomic.h>

#include "formats/base/target.h"
#include "formats/golden.h"
#include "runtime/forward.h"
#include "verify/outcome.h"

#define RC_GOLDEN_TOP_K 32u

/** Run `model` over the windows and write the file; it appears when it is whole. `top_k` 0 keeps
 *  every logit; more than the vocabulary is the vocabulary. `run`: numerics, threads, memory,
 * scratch are heeded, nothing else (products are exact). `from`: native, text (of both the last
 * part of the path), native_variant, version, revision and config are kept in the file. `done` (may
 * be NULL) counts layers, then one for the logits. RC_E_USAGE    top_k below RC_GOLDEN_LEAST_K or
 * above RC_GOLDEN_MOST_K RC_E_LIMIT    a text, vocabulary or number of layers beyond what the
 * format takes RC_E_NUMERIC  the model itself gives no numbers: a golden file of that would be no
 * measure and as rc_forward_new(), rc_forward_begin(), writing. */
RC_MUST_CHECK
rc_code rc_golden_record(const rc_target *target, rc_model *model, const rc_windows *windows,
                         uint32_t top_k, const rc_forward_options *run, const rc_provenance *from,
                         _Atomic uint64_t *done, rc_mem *mem, rc_err *err);

/** The text of a file, cut again; rc_windows_free(). RC_E_DATA when that does not give what the
 *  header says; RC_E_OS. */
RC_MUST_CHECK
rc_code rc_golden_windows(rc_golden *golden, rc_windows *out, rc_mem *mem, rc_err *err);
/** What the file says of itself: native, native_variant, text, numerics, golden_version, revision,
 *  config, tokens; NULL where it says nothing. The rest of *out stays. Borrowed from `golden`. */
void rc_golden_provenance(const rc_golden *golden, rc_provenance *out);
/** The digest that a file and a provenance have of the tokens: of all windows', as u32. */
void rc_golden_tokens_digest(const rc_windows *windows, char hex[33]);

/* What came of a comparison. */
typedef struct rc_golden_result {
    rc_behaviour behaviour;
    rc_layers layers;               /* estimated; rc_golden_result_free() */
    bool same_logits, same_streams; /* every checksum agreed */
    int32_t first_differing;        /* the first layer whose checksum differs, or -1 */
} rc_golden_result;

/** Run `model` over the file's windows (rc_golden_windows()) and hold it against what was recorded.
 *  `run` as above, but in the file's numerics. `threshold` goes into the layers. Where the checksum
 * of a run of logits agrees, its kl is 0, exactly, and nothing of it counts as truncated.
 *    RC_E_TENSORSET    another vocabulary, number of layers or streams: cannot be the same model
 *    RC_E_UNSUPPORTED  numerics that this program does not know
 *  and as above. After an error there is nothing to free. */
RC_MUST_CHECK
rc_code rc_golden_compare(rc_golden *golden, rc_model *model, const rc_windows *windows,
                          const rc_forward_options *run, double threshold, rc_golden_result *out,
                          _Atomic uint64_t *done, rc_mem *mem, rc_err *err);
void rc_golden_result_free(rc_golden_result *r, rc_mem *mem);

#endif
