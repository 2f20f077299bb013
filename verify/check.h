/* verify/check.h - are the bytes of a result still those that were delivered?
 *
 * Three things can say what a file has to be: recast.json with its ledger, a SHA256SUMS, and what
 * the hub, or the cache that a file lies in, calls it. Every byte is read once, past the page
 * cache, and given to all that know something of it. Nothing is interpreted: a check runs at the
 * speed of the disk, in memory that does not depend on the size. */
#ifndef RC_VERIFY_CHECK_H
#define RC_VERIFY_CHECK_H

#include "formats/base/cli.h"
#include "formats/source.h"
#include "verify/findings.h"

typedef enum rc_sums_way {
    RC_SUMS_AUTO, /* compare where there is a SHA256SUMS */
    RC_SUMS_CHECK,
    RC_SUMS_WRITE, /* if nothing else is wrong; a local folder only */
    RC_SUMS_OFF
} rc_sums_way;

typedef struct rc_check_opts {
    rc_sums_way sums;
    bool quick;            /* sizes, heads of shards and small files only */
    unsigned threads;      /* that digest at a time; at least 1 */
    rc_progress *progress; /* bytes read; may be NULL */
} rc_check_opts;

typedef struct rc_check_result {
    rc_findings findings;      /* faults: RC_E_INTEGRITY */
    size_t manifests;          /* recast.json, or NAME.recast.json of several GGUF files */
    unsigned format;           /* of the oldest of them */
    size_t files, tensors;     /* that were compared with something */
    uint64_t nbytes;           /* that were read */
    size_t by_sums, by_stated; /* files that SHA256SUMS knows; that the hub or its cache does */
    char sums[300];            /* name of the SHA256SUMS that was compared or written, or "" */
    bool wrote;
    bool compared; /* something was known of some file; false only where a SHA256SUMS is written */
} rc_check_result;

/** Check what lies at `where`: a result's folder or its GGUF file, or a folder with a SHA256SUMS;
 *  anything that rc_source_open() takes. Findings are no errors. Files beside those that are
 *  known are warnings. Whatever comes of it, rc_findings_free() the findings.
 *    RC_E_NOINPUT    nothing says what the files have to be; an unfinished conversion
 *    RC_E_USAGE      SHA256SUMS cannot be written there
 *    RC_E_DATA, RC_E_UNSUPPORTED, RC_E_UNSAFEPATH, RC_E_LIMIT  of recast.json, the ledger,
 *                    SHA256SUMS
 *  and whatever reading and writing report. */
RC_MUST_CHECK
rc_code rc_check(rc_check_result *out, const char *where, const rc_check_opts *opts,
                 const rc_source_opts *source, rc_mem *mem, rc_err *err);

#endif
