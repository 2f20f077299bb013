/* convert/ledger.h - what is delivered beside the weights: recast.jsonl, one line
 * per parameter, and recast.json, the summary that is written last and makes a
 * converted checkpoint complete. Format: docs/ledger.md. */
#ifndef RC_CONVERT_LEDGER_H
#define RC_CONVERT_LEDGER_H

#include "convert/journal.h"
#include "convert/provenance.h"
#include "convert/smooth.h"
#include "formats/base/json.h"

/* A conversion all of whose jobs have a result. */
typedef struct rc_finished {
    const rc_plan *plan;
    rc_journal *journal;
    const rc_smooth *smooth; /* or NULL */
} rc_finished;

/* Of what became 4-bit integers. */
typedef struct rc_int4_totals {
    uint64_t tensors;
    rc_int4_tally tally;
    uint64_t by_moments;           /* tensors whose errors were fed back */
    uint64_t unknown;              /* tensors with statistics of nothing */
    uint64_t experts, few;         /* routed experts; those that fewer than RC_CALIB_ENOUGH tokens
                                      chose, where that is known */
    const rc_job *first_subnormal; /* or NULL */
    uint64_t scaled;               /* norms that were scaled */
} rc_int4_totals;

/* Totals over all jobs. */
typedef struct rc_totals {
    uint64_t jobs, converted; /* parameters; those whose values went through a cast */
    uint64_t tiles, exact;    /* of the converted ones that promise to be exact */
    uint64_t rounded;         /* parameters that went into a type that rounds */
    uint64_t inexact_params;
    uint64_t nonfinite;
    uint32_t widest_spread;
    double signal[RC_ROLE_COUNT], noise[RC_ROLE_COUNT]; /* of those, by role */
    rc_int4_totals int4;
    const rc_job *first_inexact; /* or NULL */
    rc_verdict first_verdict;    /* of it */
    rc_digest source, output;    /* over the digests of all parameters, in plan order */
} rc_totals;

/** Decibels of signal over noise; +inf where there is no noise. */
double rc_sqnr_db(double signal, double noise);

/** Over the jobs that have a result. Fails only where statistics cannot be read any more. */
RC_MUST_CHECK
rc_code rc_totals_of(const rc_finished *done, rc_totals *totals, rc_err *err);

/** The lines of recast.jsonl (without newline), one after the other. */
typedef rc_code rc_ledger_line_fn(void *ctx, const char *line, size_t len, rc_err *err);
RC_MUST_CHECK
rc_code rc_ledger_each(const rc_finished *done, rc_ledger_line_fn *fn, void *ctx, rc_mem *mem,
                       rc_err *err);

/* What of recast.json belongs to this run and not to the result. */
typedef struct rc_run {
    double seconds;
    bool resumed;
    rc_digest identity; /* of source as it lies there, recipe and version: the same command again
                           is told by it */
} rc_run;

/** A key with the digest of all names and values of an importance matrix, or of statistics. */
void rc_write_values_digest(rc_jsonw *w, const char *key, const rc_imatrix *imatrix);

/** The key "shards": file and bytes of each, in an object that is open. */
void rc_write_shards(rc_jsonw *w, const rc_plan *plan);

/* recast.jsonl as it was written. */
typedef struct rc_ledger_sum {
    uint64_t nbytes;
    rc_digest digest;
    rc_content_id content;
} rc_ledger_sum;

/** The text of recast.json. */
RC_MUST_CHECK
rc_code rc_summary_text(const rc_finished *done, const rc_totals *totals, const rc_ledger_sum *sum,
                        const rc_provenance *files, const rc_run *run, char **out, size_t *len,
                        rc_mem *mem, rc_err *err);

#endif
