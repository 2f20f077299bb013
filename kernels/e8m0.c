/* kernels/e8m0.c */
#include "kernels/e8m0.h"

#include "kernels/codes.h"

void rc_e8m0_to_f32(float *y, const uint8_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float scale = rc_e8m0_value(x[i]);
        memcpy(y + i, &scale, sizeof scale);
    }
}

size_t rc_f32_to_e8m0(uint8_t *y, const float *x, size_t n)
{
    size_t bad = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const uint32_t exponent = bits >> 23; /* with the sign: negatives are > 255 */
        if (bits == 0x00400000u) {
            y[i] = 0;
        } else if ((bits & 0x7fffff) == 0 && exponent >= 1 && exponent <= 254) {
            y[i] = (uint8_t)exponent;
        } else {
            y[i] = RC_E8M0_NAN;
            bad++;
        }
    }
    return bad;
}
