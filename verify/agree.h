/* verify/agree.h - what surrounds the weights: config.json and side files.
 *
 * Loaders decide by config.json how the tensors are read, so a converted
 * checkpoint with perfect weights and a wrong config is a broken one. */
#ifndef RC_VERIFY_AGREE_H
#define RC_VERIFY_AGREE_H

#include "verify/findings.h"
#include "verify/subject.h"

/** Compare the configs: every key that loaders read must say the same, the keys about
 *  storage must say what CONVERTED's tensors are. `dropped_draft` excuses the
 *  keys about the draft. A GGUF file is held to what its keys say; what it does not say is
 *  no difference. */
RC_MUST_CHECK
rc_code rc_agree_config(rc_findings *out, const rc_subject *a, const rc_subject *b,
                        bool dropped_draft, rc_mem *mem, rc_err *err);

/** Tokenizer, generation settings and the other files beside the weights: NATIVE's
 *  that are missing or different in CONVERTED. Never a fault: the weights are
 *  what is judged. Nothing to say about a GGUF file. */
RC_MUST_CHECK
rc_code rc_agree_side_files(rc_findings *out, const rc_subject *a, const rc_subject *b, rc_mem *mem,
                            rc_err *err);

#endif
