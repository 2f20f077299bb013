/* verify/judge.h - is CONVERTED the same model as NATIVE?
 *
 * The judge opens both sides for itself and believes what it reads there: no
 * ledger, no manifest, none of the converter's code. Parameters are paired by
 * name, whatever their layouts, decoded to values and compared value by value.
 *
 *     rc_judge_new()   pairs, sizes, agreement of sets, configs and side files
 *     rc_judge_run()   the comparison, chunk by chunk
 *     rc_judge_*()     what came out
 *
 * A parameter is compared in chunks of whole rows whose size depends on its shape
 * alone; the sums of a chunk are added up in order. So every digit of the
 * answer is the same for any number of threads and any memory limit. */
#ifndef RC_VERIFY_JUDGE_H
#define RC_VERIFY_JUDGE_H

#include <stdatomic.h>

#include "verify/findings.h"
#include "verify/scaled.h"
#include "verify/stats.h"
#include "verify/subject.h"

typedef struct rc_judge_rules {
    const char *const *globs; /* compare only parameters whose names match one of these */
    unsigned nglobs;
    bool lossy; /* false: every value must be equal; true: the two bounds count */
    double min_sqnr[RC_ROLE_COUNT]; /* dB, for each parameter of a role; -INFINITY: no bound,
                                       INFINITY: exact */
    double max_rel_err; /* relative Frobenius error of each parameter; INFINITY: no bound */
    bool allow_missing_draft;
    uint64_t sample, seed; /* compare only so many parameters, drawn by the seed (draw.h); 0: all */
} rc_judge_rules;

/* A parameter that both sides have. */
typedef struct rc_pair {
    const char *name;
    rc_role role;
    int32_t layer; /* or -1 */
    bool draft;
    const rc_bound *a, *b;    /* NULL for tensors outside the schema */
    const rc_tensor *ta, *tb; /* the weights */
    unsigned rank;
    uint64_t shape[RC_ST_MAX_RANK];
    uint64_t rows, cols;           /* as compared */
    bool values;                   /* false: integers or unknown, compared as such in elements of
                                      unit[] bytes; stats then has n, differ and bad_at only */
    unsigned unit[2];              /* of NATIVE and CONVERTED; unlike: integers of two widths */
    const rc_scaled_point *scaled; /* CONVERTED has its columns (a norm: its gains) scaled: compared
                                      with that undone; or NULL */
    rc_stats stats;                /* valid after rc_judge_run() */

    /* the judge's own, for a run */
    uint64_t chunk_rows, chunks, chunks_done;
    uint64_t first_item; /* of work: a chunk, or all where a side is only read whole */
    rc_stats *partial;   /* of each chunk, while the comparison is under way */
} rc_pair;

/* What the table by role adds up. */
typedef struct rc_judge_role {
    uint64_t params, exact, failed;
    uint64_t values, differ, incomparable; /* integers included */
    double aa, dd;                         /* sums over its parameters, in schema order */
    double worst_sqnr;                     /* of one parameter; +inf when all are exact */
    double max_err;
    char stored[2][64]; /* how, in NATIVE and CONVERTED: "FP4+E8M0", "Q8_0, F32" */
} rc_judge_role;

/* With rules.sample: what was drawn, and what follows for the rest. */
typedef struct rc_judge_sample {
    uint64_t params, of;        /* compared, of how many that --tensors lets through */
    uint64_t layers, layers_of; /* seen, the blocks of the draft included */
    size_t cover;               /* of params: chosen so that every role and many layers are seen */
    uint64_t failed;            /* of params */
    uint64_t fewer; /* when none failed: with 95 % confidence fewer than so many of those that were
                       not compared would; 0 where nothing can be said */
} rc_judge_sample;

enum { RC_JUDGE_SAYS = 300 }; /* room for a line of words */

/* Channels that CONVERTED has scaled: what was compared with that undone. */
typedef struct rc_judge_scaling {
    size_t norms;             /* whose readers are scaled; 0: nothing is */
    uint64_t readers, astray; /* compared; of them, and of the norms: not as the others */
    float least, most;        /* of the factors */
    bool exact;               /* all of them are powers of two */
} rc_judge_scaling;

typedef struct rc_judge rc_judge;

/** Pair up. `a` is NATIVE, `b` CONVERTED; both are borrowed, as are the rules'
 *  patterns. Differences of the sets, the configs and the side files become
 *  findings. What a GGUF file has no place for is left out, and a note.
 *    RC_E_USAGE      the two are the wrong way round, or no name matches a pattern
 *    RC_E_TENSORSET  NATIVE is not whole: it cannot be the measure
 *  and what reading side files reports. */
RC_MUST_CHECK
rc_code rc_judge_new(rc_judge **out, const rc_subject *a, const rc_subject *b,
                     const rc_judge_rules *rules, rc_mem *mem, rc_err *err);
void rc_judge_free(rc_judge **judge);

/** Compare everything with up to `threads` processors. Buffers come from the account
 *  of rc_judge_new(), as many as its limit allows; RC_E_OS, with the need, when not
 *  even one set fits. RC_E_INTEGRITY when a shard changed meanwhile. `done` counts
 *  bytes up to rc_judge_nbytes(); may be NULL. */
RC_MUST_CHECK
rc_code rc_judge_run(rc_judge *judge, unsigned threads, _Atomic uint64_t *done, rc_err *err);
uint64_t rc_judge_nbytes(const rc_judge *judge); /* that a run reads, of both sides */

size_t rc_judge_pairs(const rc_judge *judge);
const rc_pair *rc_judge_pair(const rc_judge *judge, size_t i); /* schema order */
rc_findings *rc_judge_findings(rc_judge *judge);
const rc_subject *rc_judge_native(const rc_judge *judge);
const rc_subject *rc_judge_converted(const rc_judge *judge);
const rc_judge_rules *rc_judge_rules_of(const rc_judge *judge);

/** Does this pair meet the rules? */
bool rc_judge_passes(const rc_judge *judge, const rc_pair *pair);
/** Sums by role, and over all roles in *all. */
void rc_judge_roles(const rc_judge *judge, rc_judge_role roles[RC_ROLE_COUNT], rc_judge_role *all);
/** The pairs that fail, worst first, at most n; returns how many fail. Worst is:
 *  incomparable values or unequal integers, then the lowest SQNR, then order. */
size_t rc_judge_worst(const rc_judge *judge, const rc_pair **worst, size_t n);

/** The pairs that are not exact, in the same order, whether they pass or fail; as many. */
size_t rc_judge_lowest(const rc_judge *judge, const rc_pair **lowest, size_t n);

/** After a run with rules.sample: false, and all 0, without. */
bool rc_judge_sampled(const rc_judge *judge, rc_judge_sample *out);
/** The same in words, one line: "a sample, 300 of 34,977 parameters, every role, 44 of 44 layers:
 * with 95 % confidence fewer than 349 of the others (1.01 %) differ". "" without rules.sample. */
const char *rc_judge_sample_says(const rc_judge *judge, char *buf, size_t n);

/** After a run; what is astray is among the findings, by name. */
void rc_judge_scaling_of(const rc_judge *judge, rc_judge_scaling *out);
/** The same in words, one line: "channels of 3 norms are scaled by powers of two from 0.25 to 4, as
 *  are all 57 of their readers: compared with that undone". "" where nothing is scaled. */
const char *rc_judge_scaling_says(const rc_judge *judge, char *buf, size_t n);
const rc_scaled *rc_judge_scaled(const rc_judge *judge); /* NULL: nothing is */
/** Of a pair that is scaled: the norm, not a reader. */
bool rc_pair_is_scaled_norm(const rc_pair *pair);
/** What of the scaling it lacks or has too much of, "scaled twice"; NULL when it is as it should.
 */
const char *rc_pair_astray(const rc_pair *pair);

/** The verdict as an error: RC_OK when the rules are met; RC_E_TENSORSET when the
 *  set of CONVERTED is broken, else RC_DIFFERS, naming shard, tensor and the byte
 *  of the largest error. */
rc_code rc_judge_verdict(const rc_judge *judge, rc_err *err);

/** The pair's SQNR in dB; -inf where no error can be measured: incomparable values,
 *  unequal integers. */
double rc_pair_sqnr(const rc_pair *pair);
/** The byte of CONVERTED's shard where the pair's worst place lies; RC_NO_OFFSET when
 *  it is exact. */
uint64_t rc_pair_offset(const rc_pair *pair);
/** What a pair's largest error is, in words: "max error 0.5 at row 3, column 17 (0.5
 *  became 1)". */
const char *rc_pair_says(const rc_pair *pair, char *buf, size_t n);

#endif
