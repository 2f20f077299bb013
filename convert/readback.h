/* convert/readback.h - are a job's bytes in the output those that were written? */
#ifndef RC_CONVERT_READBACK_H
#define RC_CONVERT_READBACK_H

#include "convert/journal.h"

#define RC_READBACK ((size_t)1 << 18) /* bytes at a time: where a chunk fits, this does */

/** Do the first nbytes of a tensor have this digest? buf holds RC_READBACK bytes. */
RC_MUST_CHECK
rc_code rc_readback_dest(rc_out *out, const rc_dest *dest, uint64_t nbytes, const rc_digest *want,
                         uint8_t *buf, bool *same, rc_err *err);

/** Read what the job wrote into its shard's file and compare with the digests of `result`.
 *  buf holds RC_READBACK bytes. *differs is the first tensor that is not as it was written, or
 *  NULL. What rc_out_read() reports; RC_E_STOPPED. */
RC_MUST_CHECK
rc_code rc_readback(rc_out *out, const rc_job *job, const rc_result *result, uint8_t *buf,
                    const rc_dest **differs, rc_err *err);

#endif
