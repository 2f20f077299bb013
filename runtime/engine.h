/* runtime/engine.h - what every part of the forward pass works with. */
#ifndef RC_RUNTIME_ENGINE_H
#define RC_RUNTIME_ENGINE_H

#include "runtime/numerics.h"
#include "runtime/watch.h"
#include "runtime/weights.h"

typedef struct rc_engine {
    const rc_config *config;
    rc_weights *weights;
    rc_numerics numerics;
    unsigned threads; /* of OpenMP loops */
    bool blas;        /* dense products of many tokens by BLIS: faster or not, not the same bits */
    rc_mem *mem;
    const rc_watch *watch; /* or NULL */
} rc_engine;

#endif
