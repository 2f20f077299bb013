/* verify/outcome.h - everything that `verify` found out, for those who write it down: the terminal,
 * JSON, JUnit, annotations, Markdown, HTML. Parts that were not asked for are NULL. All borrowed. */
#ifndef RC_VERIFY_OUTCOME_H
#define RC_VERIFY_OUTCOME_H

#include "formats/bpe.h"
#include "verify/ablate.h"
#include "verify/gates.h"
#include "verify/judge.h"
#include "verify/layers.h"
#include "verify/windows.h"

/* Where the text and the reference came from. */
typedef struct rc_provenance {
    const char *native, *converted;          /* paths or names as given; NATIVE's as recorded */
    const char *native_variant, *converted_variant;
    const char *text;                        /* file name, or "--tokens" */
    const char *numerics;                    /* "f32", "native" */
    const char *version;                     /* of the program */
    const char *golden;                      /* file, or NULL: NATIVE itself was there */
    const char *golden_version, *revision;   /* program that recorded it; of the source; or NULL */
    char config[33], tokens[33];             /* digests of NATIVE's config.json and of the tokens */
} rc_provenance;

typedef struct rc_outcome {
    rc_provenance from;
    const rc_judge *judge;         /* tensor by tensor; NULL with a golden file, or when skipped */
    uint64_t sampled, sampled_of;  /* with --sample: parameters compared, of how many; else 0 */
    const rc_windows *windows;     /* with behaviour or layers */
    const rc_bpe *bpe;             /* to show tokens; NULL: ids are shown */
    const rc_behaviour *behaviour;
    const rc_layers *layers;
    const rc_ablation *ablation;
    const rc_findings *findings;   /* the judge's, or of the golden comparison */
    const rc_gates *gates;
    rc_gate_result gate[RC_GATE_KINDS];
    size_t ngates;
    uint32_t layers_shared;        /* run once for both, because they were equal */
} rc_outcome;

/** "exact", "within bounds", "differs", "broken set": of the tensors, the findings and the
 *  behaviour together. Behaviour alone (a golden file) is "exact" when every kl is 0 and every
 *  checksum agreed. */
const char *rc_outcome_verdict(const rc_outcome *o);
/** The verdict as a status: RC_OK, RC_DIFFERS (naming the gate that failed with its figures, or the
 *  worst parameter), RC_E_TENSORSET. */
RC_MUST_CHECK
rc_code rc_outcome_status(const rc_outcome *o, rc_err *err);

#endif
