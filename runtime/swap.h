/* runtime/swap.h - a model some of whose parameters are another model's: what would it say if
 * these had not been converted?
 *
 * Everything that is read under a parameter's name goes through it, norms and tables included.
 * Sizes and all else that the config says stay the model's own. */
#ifndef RC_RUNTIME_SWAP_H
#define RC_RUNTIME_SWAP_H

#include "formats/model.h"

typedef struct rc_swap {
    rc_model *from; /* whole, of the same shapes; borrowed */
    /** Is the parameter of that name to come from there? Asked more than once for each: the answer
     *  may not change. */
    bool (*takes)(const void *ctx, const rc_param *param);
    const void *ctx;
    /** What columns of that parameter are multiplied by when it comes from there: [cols], or NULL
     * for nothing; the model's own has taken up a scaling of its input (formats/absorb.h).
     * `columns` itself may be NULL. Norms come from there too then, multiplied in the same way (one
     * row). */
    const float *(*columns)(const void *ctx, const rc_param *param);
} rc_swap;

#endif
