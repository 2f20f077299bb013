/* verify/ablate.h - which parameters are to blame: groups of them are put back to NATIVE, one group
 * at a time, and the divergence is measured again.
 *
 * Groups are tried level by level: first the roles (and "config", when it differs in what the runtime
 * reads), then of the role that wins most its layers, of that layer its parameters, of experts each
 * expert. It goes down while one child wins back at least `descend` of what its parent does. */
#ifndef RC_VERIFY_ABLATE_H
#define RC_VERIFY_ABLATE_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

enum { RC_ABLATE_NAMES = 8 };

typedef struct rc_ablation_group {
    unsigned level;        /* 0: roles, 1: layers of one, 2: kinds, 3: single parameters */
    char label[96];        /* "expert", "expert, layer 7", "layers.7.ffn.experts.3.w1.weight" */
    uint64_t params, differ; /* that it puts back; of these differing from NATIVE's */
    double kl;             /* mean KL with the group put back */
    double won;            /* share of the divergence that this wins back: 1 - kl / kl_all, may be
                              negative */
    size_t names;          /* parameters that differ, worst SQNR first */
    const char *name[RC_ABLATE_NAMES];
} rc_ablation_group;

typedef struct rc_ablation {
    double kl_all;         /* with nothing put back, on the same positions */
    uint64_t positions;
    size_t n;
    rc_ablation_group *group; /* in the order tried */
    int32_t blamed;        /* the deepest group that wins most, or -1 when nothing wins */
} rc_ablation;

#endif
