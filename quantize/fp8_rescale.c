/* quantize/fp8_rescale.c - see fp8_rescale.h. Rare, so plain: 256 codes a tile. */
#include "quantize/fp8_rescale.h"

#include <math.h>

#include "kernels/codes.h"

uint8_t rc_e4m3_nearest(double x)
{
    const double v = fabs(x);
    unsigned lo = 0, hi = RC_E4M3_MAX;

    while (lo < hi) { /* the largest code that is not above v */
        const unsigned mid = (lo + hi + 1) / 2;

        if ((double)rc_e4m3_value(mid) <= v)
            lo = mid;
        else
            hi = mid - 1;
    }
    if (lo < RC_E4M3_MAX) {
        const double below = v - (double)rc_e4m3_value(lo);
        const double above = (double)rc_e4m3_value(lo + 1) - v;

        if (above < below || (above == below && (lo & 1)))
            lo++;
    }
    return (uint8_t)lo;
}

uint8_t rc_fp8_rescale_map(uint8_t map[256], float scale)
{
    int exponent;
    const double significand =
        frexp((double)scale, &exponent); /* scale = significand * 2^exponent */
    int byte = exponent + RC_E8M0_BIAS - (significand == 0.5);
    double ratio;

    if (scale == 0 || byte < 0)
        byte = 0;
    if (byte > 254)
        byte = 254;
    ratio = ldexp((double)scale, RC_E8M0_BIAS - byte);
    for (unsigned code = 0; code < 256; code++) {
        const double value = (double)rc_e4m3_value(code & 0x7f);

        map[code] = isnan(value) ? (uint8_t)code
                                 : (uint8_t)((code & 0x80) | rc_e4m3_nearest(value * ratio));
    }
    return (uint8_t)byte;
}
