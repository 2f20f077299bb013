/* verify/ablate.h - which parameters are to blame: groups of those that differ are put back to
 * NATIVE's, one group at a time, and the divergence is measured again.
 *
 * What differs is split by the first of these that tells its members apart: role, layer, kind (w1,
 * wq_b, ..), expert; more than a few parts become a few ranges. Every part is tried; the one that
 * wins back most is split in turn, as long as its best part wins at least half of what it does
 * itself. NATIVE's config is a part of its own where the runtime would compute otherwise with it.
 */
#ifndef RC_VERIFY_ABLATE_H
#define RC_VERIFY_ABLATE_H

#include <stdatomic.h>

#include "verify/judge.h"
#include "verify/twin.h"

enum { RC_ABLATE_NAMES = 8 };

typedef enum rc_ablation_level {
    RC_ABLATE_ROLES,
    RC_ABLATE_LAYERS,
    RC_ABLATE_KINDS,
    RC_ABLATE_EXPERTS,
    RC_ABLATE_LEVELS
} rc_ablation_level;

typedef struct rc_ablation_group {
    rc_ablation_level level; /* what its parent was split by */
    char label[128];         /* "expert", "attention, layers 8-15", "layers.7.attn.wq_b.weight" */
    bool config;             /* NATIVE's config, all of CONVERTED's parameters */
    uint64_t params;         /* put back; 0 for the config */
    double kl;               /* mean KL with them put back */
    double won;   /* 1 - kl / kl_all: share of the divergence won back; may be negative */
    size_t names; /* parameters, the lowest SQNR first; borrowed from NATIVE's model */
    const char *name[RC_ABLATE_NAMES];
} rc_ablation_group;

typedef struct rc_ablation {
    double kl_all; /* with nothing put back; infinity where CONVERTED gave no numbers */
    uint64_t positions;
    size_t n, room;
    rc_ablation_group *group; /* in the order tried */
    int32_t blamed;           /* the last group on the way down, or -1 when none wins anything */
} rc_ablation;

/** After the twin's own run. The judge must have compared everything. `done` counts groups tried.
 * An outcome without divergence has no groups. rc_ablation_free() also after an error. */
RC_MUST_CHECK
rc_code rc_ablate(rc_ablation *out, rc_twin *twin, const rc_judge *judge, _Atomic uint64_t *done,
                  rc_mem *mem, rc_err *err);
void rc_ablation_free(rc_ablation *a, rc_mem *mem);

#endif
