/* verify/findings.h - what the judge has to say besides figures.
 *
 * A list that stays small whatever the input: of each level the first
 * RC_FINDINGS_KEPT are kept, all are counted. */
#ifndef RC_VERIFY_FINDINGS_H
#define RC_VERIFY_FINDINGS_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

#define RC_FINDINGS_KEPT 100u

typedef enum rc_level { RC_NOTE, RC_WARNING, RC_FAULT, RC_LEVELS } rc_level;

typedef struct rc_finding {
    rc_level level;
    const char *topic; /* "tensors", "config", "index", "side files", "input" */
    rc_err what;       /* code: 0 below RC_FAULT, else RC_DIFFERS or RC_E_TENSORSET */
} rc_finding;

typedef struct rc_findings {
    rc_finding *at;
    size_t n, room;
    uint64_t total[RC_LEVELS];
    rc_mem *mem;
    bool nomem; /* something could not be kept: say so instead of going on */
} rc_findings;

/** Add one; file and tensor may be NULL. Returns it for want/got/hint, or NULL
 *  when it is only counted: the rc_err_ functions accept that. */
RC_PRINTF(7, 8)
rc_err *rc_findings_add(rc_findings *list, rc_level level, rc_code code, const char *topic,
                        const char *file, const char *tensor, const char *fmt, ...);
void rc_findings_free(rc_findings *list);

const char *rc_level_name(rc_level level); /* "note", "warning", "fault" */
/** The first fault with the highest code (a broken set before a difference), or NULL. */
const rc_finding *rc_findings_worst(const rc_findings *list);

#endif
