/* tests/check/check_int4.c */
#include "tests/check/check_int4.h"

#include <math.h>

#include "kernels/codes.h"
#include "tests/check/check.h"

enum { NORMAL, OUTLIER, ZEROS, FP4, TIES, TINY, HUGE_ONES, POSITIVE, NEGATIVE, KINDS };

double check_normal(void)
{
    double sum = 0;

    for (unsigned i = 0; i < 12; i++)
        sum += (double)(check_random() >> 11) * 0x1p-53;
    return sum - 6;
}

rc_int4_kind check_int4_kind(unsigned round)
{
    static const rc_dtype types[] = { RC_DTYPE_F16, RC_DTYPE_BF16, RC_DTYPE_F32 };

    return (rc_int4_kind){ .group = 32u << round % 3,
                           .search = (rc_int4_search)(round / 3 % 3),
                           .symmetric = round / 9 % 2,
                           .scale = types[round / 18 % 3] };
}

static float value(unsigned kind, float size)
{
    const float x = (float)check_normal();

    switch (kind) {
    case OUTLIER:
        return check_below(32) ? x * size : 30 * x * size;
    case ZEROS:
        return check_below(2) ? 0.0f : -0.0f;
    case FP4:
        return rc_e2m1_value((unsigned)check_below(16)) * size;
    case TIES: /* of scales that are powers of two */
        return ((float)check_below(16) - 7.5f) * size;
    case TINY:
        return ldexpf(x, -100 - (int)check_below(49));
    case HUGE_ONES:
        return ldexpf(x, (int)check_below(124));
    case POSITIVE:
        return fabsf(x) * size + size;
    case NEGATIVE:
        return -fabsf(x) * size;
    default:
        return x * size;
    }
}

void check_int4_fill(float *x, size_t n)
{
    const bool mixed = check_below(2);
    const unsigned all = (unsigned)check_below(KINDS);

    for (size_t from = 0; from < n; from += 32) {
        const unsigned kind = mixed ? (unsigned)check_below(KINDS) : all;
        const float size = ldexpf(1, (int)check_below(3) - (int)check_below(30));
        for (size_t i = from; i < from + 32; i++)
            x[i] = value(kind, size);
    }
}

void check_int4_weights(float *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w[i] = check_below(20) ? expf(2 * (float)check_normal()) : 0;
}
