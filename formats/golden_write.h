/* formats/golden_write.h - the other direction: an .rgf file, section by section in the file's
 * order. It has its name only when it is whole. */
#ifndef RC_FORMATS_GOLDEN_WRITE_H
#define RC_FORMATS_GOLDEN_WRITE_H

#include "formats/base/target.h"
#include "formats/golden.h"

typedef struct rc_golden_writer rc_golden_writer;

/** Make TARGET.partial with this header, which rc_golden_plan() has seen. The target must outlive
 * the writer. RC_E_NOSPACE, RC_E_DENIED, RC_E_CANTCREATE, RC_E_IO, RC_E_OS. */
RC_MUST_CHECK
rc_code rc_golden_writer_new(rc_golden_writer **out, const rc_target *target,
                             const rc_golden_head *head, rc_mem *mem, rc_err *err);
/** id[text_tokens]. */
RC_MUST_CHECK
rc_code rc_golden_put_tokens(rc_golden_writer *w, const uint32_t *id, rc_err *err);
/** The layer that comes next: sum[windows], sketch[sketched, RC_GOLDEN_DIMS]. */
RC_MUST_CHECK
rc_code rc_golden_put_layer(rc_golden_writer *w, const rc_golden_sum *sum, const float *sketch,
                            rc_err *err);
/** The next n <= run positions, with a top-k. Log-probabilities are rounded to 1 / RC_GOLDEN_STEPS.
 */
RC_MUST_CHECK
rc_code rc_golden_put_said(rc_golden_writer *w, const rc_golden_said *said, size_t n, rc_err *err);
/** The same with every logit: logits[n, vocab]. */
RC_MUST_CHECK
rc_code rc_golden_put_rows(rc_golden_writer *w, const rc_digest *digest, const float *logits,
                           size_t n, rc_err *err);
/** All on the disk, and named. RC_E_INTERNAL when sections are missing. */
RC_MUST_CHECK
rc_code rc_golden_finish(rc_golden_writer *w, rc_err *err);
/** What is not finished is removed. */
void rc_golden_writer_free(rc_golden_writer **w);

#endif
