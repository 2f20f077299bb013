/* verify/judge_impl.h - the judge from inside; for judge*.c only. */
#ifndef RC_VERIFY_JUDGE_IMPL_H
#define RC_VERIFY_JUDGE_IMPL_H

#include "verify/judge.h"

struct rc_judge {
    rc_mem *mem;
    rc_subject a, b; /* borrowed */
    rc_judge_rules rules;
    rc_pair *pair;
    size_t npairs;
    uint64_t nitems, nbytes;
    rc_findings findings;
    rc_scaled *scaled;
    bool dropped_draft;     /* NATIVE has one, CONVERTED has none */
    uint64_t elsewhere;     /* parameters that one side's kind of file has no place for */
    rc_judge_sample sample; /* failed and fewer: not filled in here */
};

/** Where in the matrix element `at` is. */
static inline void rc_pair_place(const rc_pair *pair, uint64_t at, uint64_t *row, uint64_t *col)
{
    const uint64_t last = pair->rank ? pair->shape[pair->rank - 1] : 1;

    *row = at / last;
    *col = at % last;
}

/** After a run: name what has not taken part in a scaling. */
void rc_judge_report_scaling(rc_judge *judge);

/** "folder/file", for messages: two sides are in play. */
const char *rc_judge_path(char *buf, size_t n, const rc_subject *side, const char *file);

#endif
