/* runtime/top_k.c - a radix selection: the k-th largest digit by digit, then one pass. */
#include "runtime/top_k.h"

#include <math.h>
#include <string.h>

/* An integer that is ordered as the scores are. */
static uint32_t rank_of(float score)
{
    const float v = score + 0.0f; /* -0 becomes +0 */
    uint32_t bits;

    if (isnan(v))
        return 0;
    memcpy(&bits, &v, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

enum { DIGIT = 8, DIGITS = 1 << DIGIT };

/* The rank of the k-th largest; *above: how many are larger. 0 < k <= n. */
static uint32_t rank_at(const float *score, size_t n, size_t k, size_t *above)
{
    uint32_t prefix = 0, known = 0;

    *above = 0;
    for (unsigned shift = 32; shift > 0;) {
        size_t count[DIGITS] = { 0 };
        unsigned digit = DIGITS - 1;

        shift -= DIGIT;
        for (size_t i = 0; i < n; i++) {
            const uint32_t rank = rank_of(score[i]);

            if ((rank & known) == prefix)
                count[rank >> shift & (DIGITS - 1)]++;
        }
        for (; *above + count[digit] < k; digit--)
            *above += count[digit];
        prefix |= (uint32_t)digit << shift;
        known |= (uint32_t)(DIGITS - 1) << shift;
    }
    return prefix;
}

size_t rc_top_k(uint32_t *out, const float *score, size_t n, size_t k)
{
    size_t above, equal, taken = 0;
    uint32_t least;

    if (k > n)
        k = n;
    if (k == 0)
        return 0;
    least = rank_at(score, n, k, &above);
    equal = k - above;
    for (size_t i = 0; i < n && taken < k; i++) {
        const uint32_t rank = rank_of(score[i]);

        if (rank > least || (rank == least && equal > 0)) {
            equal -= rank == least;
            out[taken++] = (uint32_t)i;
        }
    }
    return taken;
}
