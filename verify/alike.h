/* verify/alike.h - which parts of two models are known to be equal, so that they need to run only
 * once.
 *
 * The reference runtime gives the same bits for the same values, however they are stored. A layer
 * whose parameters the judge found equal, fed with equal streams under an equal config, gives equal
 * streams. */
#ifndef RC_VERIFY_ALIKE_H
#define RC_VERIFY_ALIKE_H

#include "verify/judge.h"

typedef struct rc_alike {
    bool config;      /* all that the runtime reads of it */
    bool embed, head; /* the embedding; all between the last layer and the logits */
    bool layer[RC_CONFIG_MAX_LAYERS];
} rc_alike;

/** All that the runtime computes with is the same in both: sizes, thetas, limits. */
bool rc_alike_config(const rc_config *a, const rc_config *b);
/** Do the sizes agree that two models run side by side must share? */
bool rc_alike_sizes(const rc_config *a, const rc_config *b);
/** After rc_judge_run(). What was not compared is not alike. NULL: nothing is known. */
RC_MUST_CHECK
rc_code rc_alike_of(rc_alike *out, const rc_judge *judge, rc_mem *mem, rc_err *err);

#endif
