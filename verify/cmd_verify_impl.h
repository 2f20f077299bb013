/* verify/cmd_verify_impl.h - what the parts of `recast verify` share; for cmd_verify*.c only. */
#ifndef RC_VERIFY_CMD_VERIFY_IMPL_H
#define RC_VERIFY_CMD_VERIFY_IMPL_H

#include "formats/base/cli.h"
#include "verify/ablate.h"
#include "verify/cmd_verify_files.h"
#include "verify/golden_run.h"
#include "runtime/text_input.h"

#define RC_NOT_GIVEN (-HUGE_VAL) /* no number on a command line reads as this */

/* The command line. */
typedef struct rc_verify_words {
    rc_verify_paths files;
    bool ci;
    /* values */
    rc_opt_list tensors, min_sqnr;
    const char *thresholds;
    double max_rel_err;
    bool allow_missing_draft, skip_tensors;
    uint64_t sample, seed;
    /* behaviour */
    bool logits, layers, ablate;
    rc_text_input text;
    const char *numerics, *golden, *top_k, *revision;
    double threshold;
    /* gates */
    const char *gate, *bound[RC_GATE_KINDS];
    /* means */
    uint64_t threads, mem_limit;
    const char *scratch;
} rc_verify_words;

/* Everything that lives as long as the command. */
typedef struct rc_verify_session {
    const rc_verify_words *want;
    rc_mem mem;
    const char *where[2]; /* as given; NULL: no such side */
    const rc_source_opts *sources;
    rc_findings input; /* what was said while the sides were opened */
    rc_subject side[2];
    rc_verify_files files;
    rc_gates gates;
    rc_judge *judge;
    rc_bpe *bpe;
    rc_ids ids;
    rc_windows windows;
    rc_alike alike;
    rc_twin_options twin_options;
    rc_twin *twin;
    rc_ablation ablation;
    rc_err cut; /* RC_E_STOPPED: the ablation was not finished */
    rc_golden *golden;
    rc_golden_result result;
    rc_outcome outcome;
    char revision[64], sample[300]; /* in words */
    rc_text command;                /* as given */
} rc_verify_session;

/** Open the sides (warnings are told, and kept), and measure all that was asked for: the session's
 *  outcome is filled but for its gates. */
RC_MUST_CHECK
rc_code rc_verify_measure(rc_verify_session *s, rc_err *err);

#endif
