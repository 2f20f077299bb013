/* verify/gates.h - what a conversion has to reach, as a CI job asks for it.
 *
 *     max-kl = 0.01            mean KL divergence, nats
 *     max-kl-p99 = 0.2         99th percentile of it
 *     min-top1 = 0.98          share of positions with the same likeliest token, or 98%
 *     max-ppl-ratio = 1.01     perplexity of CONVERTED over NATIVE's
 *     min-sqnr = 20            every parameter (dB, or "exact")
 *     min-sqnr expert = 12     parameters of a role; also "expert = 12"
 *     # a comment
 *
 * A gate file has one a line; options of the same names on the command line win. What reaches a
 * bound exactly passes. */
#ifndef RC_VERIFY_GATES_H
#define RC_VERIFY_GATES_H

#include "verify/behaviour.h"
#include "verify/thresholds.h"

typedef enum rc_gate_kind {
    RC_GATE_KL,
    RC_GATE_KL_P99,
    RC_GATE_TOP1,
    RC_GATE_PPL_RATIO,
    RC_GATE_KINDS
} rc_gate_kind;

typedef struct rc_gates {
    bool set[RC_GATE_KINDS];
    double bound[RC_GATE_KINDS];
    rc_thresholds sqnr;
} rc_gates;

#define RC_GATES_NONE ((rc_gates){ .sqnr = { .all = HUGE_VAL } })

const char *rc_gate_name(rc_gate_kind kind); /* "max-kl" */
/** A value for a gate: RC_E_USAGE when it is no number, negative, or a share above 1 (100%). What
 * is set already stays unless `wins`. */
RC_MUST_CHECK
rc_code rc_gates_set(rc_gates *g, rc_gate_kind kind, const char *value, bool wins, rc_err *err);
/** A whole file; what is set already stays. RC_E_USAGE also for a gate that is there twice, with
 * the line's number. */
RC_MUST_CHECK
rc_code rc_gates_file(rc_gates *g, const char *text, size_t len, rc_err *err);
/** Is any gate of behaviour set? (min-sqnr is of tensors: g->sqnr.given.) */
bool rc_gates_any(const rc_gates *g);

/* One gate held against what was measured. */
typedef struct rc_gate_result {
    rc_gate_kind kind;
    double bound, measured;
    bool passes; /* never where nothing was scored, or a position is broken: the figure says nothing
                    of it */
} rc_gate_result;
/** Of every gate that is set, in the order of the enum; returns how many. */
size_t rc_gates_hold(const rc_gates *g, const rc_behaviour *b, rc_gate_result out[RC_GATE_KINDS]);

#endif
