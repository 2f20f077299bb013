/* runtime/numerics.c - see numerics.h. */
#include "runtime/numerics.h"

#include "kernels/act_round.h"

void rc_round_bf16(rc_numerics nm, float *x, size_t n)
{
    if (nm == RC_NUMERICS_NATIVE)
        rc_round_bf16_best()(x, x, n);
}

void rc_round_key(rc_numerics nm, float *x, size_t n)
{
    if (nm == RC_NUMERICS_NATIVE)
        rc_round_fp8_best()(x, x, n, 64);
}

void rc_round_index(rc_numerics nm, float *x, size_t n)
{
    if (nm == RC_NUMERICS_NATIVE)
        rc_round_fp4_best()(x, x, n, 32);
}
