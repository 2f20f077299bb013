/* verify/outcome.h - everything that `verify` found out, for those who write it down: the terminal,
 * JSON, JUnit, annotations, Markdown, HTML. Parts that were not asked for are NULL. All borrowed.
 */
#ifndef RC_VERIFY_OUTCOME_H
#define RC_VERIFY_OUTCOME_H

#include "formats/base/text.h"
#include "formats/bpe.h"
#include "verify/ablate.h"
#include "verify/figures.h"
#include "verify/gates.h"
#include "verify/judge.h"
#include "verify/layers.h"
#include "runtime/windows.h"

/* Where the text and the reference came from. */
typedef struct rc_provenance {
    const char *native, *converted; /* paths or names as given; NATIVE's as recorded */
    const char *native_variant, *converted_variant;
    const char *text;                      /* file name, or "--tokens" */
    const char *numerics;                  /* "f32", "native" */
    const char *version;                   /* of the program */
    const char *golden;                    /* file, or NULL: NATIVE itself was there */
    const char *golden_version, *revision; /* program that recorded it; of the source; or NULL */
    const char *command;                   /* what was run, quoted for a shell; or NULL */
    char config[33], tokens[33];           /* digests of NATIVE's config.json and of the tokens */
} rc_provenance;

typedef struct rc_outcome {
    rc_provenance from;
    const rc_judge *judge;        /* tensor by tensor; NULL with a golden file, or when skipped */
    uint64_t sampled, sampled_of; /* with --sample: parameters compared, of how many; else 0 */
    const char *sample;           /* the same in words, what follows for the rest; or NULL */
    const rc_windows *windows;    /* with behaviour or layers */
    const rc_bpe *bpe;            /* to show tokens; NULL: ids are shown */
    const rc_behaviour *behaviour;
    const rc_layers *layers;
    const rc_ablation *ablation;
    const rc_findings *findings; /* the judge's; without one, of the golden comparison, or NULL */
    const rc_gates *gates;
    rc_gate_result gate[RC_GATE_KINDS];
    size_t ngates;
    uint32_t layers_shared;         /* run once for both, because they were equal */
    bool same_logits, same_streams; /* of a golden file (from.golden): all checksums agreed */
    int32_t first_differing;        /* the first layer whose checksum did not, or -1 */
} rc_outcome;

/** "exact", "within bounds", "differs", "broken set": of the tensors, the findings and the
 *  behaviour together. Exact is: every value that was compared is equal, every kl is 0, every
 *  checksum agreed. */
const char *rc_outcome_verdict(const rc_outcome *o);
/** The verdict as a status. In this order:
 *    RC_E_TENSORSET  the set of CONVERTED is broken
 *    RC_DIFFERS      positions without numbers; a gate that failed, with its figures, and where it
 * goes wrong as far as that is known; the judge's; a fault among the findings; logits that differ
 * where nothing (no gate, no bound) accepts a loss */
RC_MUST_CHECK
rc_code rc_outcome_status(const rc_outcome *o, rc_err *err);

/** Does nothing accept a loss of behaviour: no gate that measures it, no bound of the values? */
bool rc_outcome_wants_exact(const rc_outcome *o);
/** Every kl is 0, every position has numbers, and of a golden file the logits' checksums agreed. */
bool rc_outcome_behaves_exactly(const rc_outcome *o);

/** Where it goes wrong, a line: "first past an error of 0.05: layer 7, attention; putting 'expert,
 *  layer 7' back wins 93 %". Nothing when nothing is known. */
void rc_outcome_where(const rc_outcome *o, rc_text *out);
/** What stands behind the verdict, a sentence or two: figures, or what failed. */
void rc_outcome_summary(const rc_outcome *o, rc_text *out);

/** What a layer attends to: "window", "CSA", "HCA"; with ", hash" when its experts go by token. */
const char *rc_outcome_kind(const rc_layer_figures *layer);
/** The groups of a level that win most, at most n of them, best first; returns how many it has. */
size_t rc_outcome_groups(const rc_ablation *a, rc_ablation_level level,
                         const rc_ablation_group **best, size_t n);

/* A gate as a line of a table: those of behaviour, then the bounds of SQNR and of the error. */
typedef struct rc_outcome_gate {
    char name[48]; /* "max-kl", "min-sqnr expert" */
    double bound, measured;
    char wants[RC_FIGURE_MEAN],
        got[RC_FIGURE_MEAN]; /* in words: "at least 98 %", "98.7 % +- 0.1" */
    bool passes;
} rc_outcome_gate;

enum { RC_OUTCOME_GATES = RC_GATE_KINDS + RC_ROLE_COUNT + 1 };
size_t rc_outcome_gates(const rc_outcome *o, rc_outcome_gate out[RC_OUTCOME_GATES]);

#endif
