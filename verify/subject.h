/* verify/subject.h - a checkpoint opened to be looked at. */
#ifndef RC_VERIFY_SUBJECT_H
#define RC_VERIFY_SUBJECT_H

#include "formats/model.h"

typedef struct rc_subject {
    rc_ckpt *ckpt;
    rc_model *model;
} rc_subject;

/** Open `where` (`opts` may be NULL) and bind its tensors. Headers only; problems of the set are
 *  in the model, not errors. Errors: what rc_source_open(), rc_ckpt_open() and
 *  rc_model_new() report. On failure *out is empty. */
RC_MUST_CHECK
rc_code rc_subject_open(rc_subject *out, const char *where, const rc_source_opts *opts,
                        const rc_log *log, rc_mem *mem, rc_err *err);
void rc_subject_close(rc_subject *subject);

/** Put the side's folder in front of the file that `err` names: two sides are in play. */
void rc_subject_name(rc_err *err, const rc_subject *side);

/** Does the name match one of the n patterns (fnmatch)? None at all match everything. */
bool rc_glob_any(const char *const *globs, unsigned n, const char *name);

#endif
