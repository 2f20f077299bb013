/* quantize/iq2_grid.c */
#include "quantize/iq2_grid.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>

#include "kernels/block_tables.h"

#define POINTS 256u
#define FAR    33u /* more than the distance of any two tuples, 8 * 2^2 */

static rc_iq2_grid grid;
static rc_iq2_lists lists[2]; /* for 8 and 16 lanes */
static pthread_once_t filled = PTHREAD_ONCE_INIT;
static pthread_once_t listed = PTHREAD_ONCE_INIT;

/* The squared distance from a tuple to every point. */
static void measure(unsigned distance[POINTS], unsigned tuple)
{
    int digits[RC_IQ2_RUN];

    for (unsigned j = 0; j < RC_IQ2_RUN; j++, tuple /= 3)
        digits[j] = (int)(tuple % 3);
    for (unsigned p = 0; p < POINTS; p++) {
        distance[p] = 0;
        for (unsigned j = 0; j < RC_IQ2_RUN; j++) {
            const int apart = (rc_iq2_xxs_digits[p] >> 2 * j & 3) - digits[j];
            distance[p] += (unsigned)(apart * apart);
        }
    }
}

/* The least distance that is at least `floor`. */
static unsigned least(const unsigned distance[POINTS], unsigned floor)
{
    unsigned found = FAR;

    for (unsigned p = 0; p < POINTS; p++)
        if (distance[p] >= floor && distance[p] < found)
            found = distance[p];
    return found;
}

static uint32_t add_shell(uint32_t at, const unsigned distance[POINTS], unsigned shell)
{
    for (unsigned p = 0; p < POINTS; p++)
        if (distance[p] == shell) {
            assert(at < RC_IQ2_NEIGHBOURS);
            grid.neighbours[at++] = (uint8_t)p;
        }
    return at;
}

static void fill(void)
{
    unsigned distance[POINTS];
    uint32_t at = 0;

    for (unsigned t = 0; t < RC_IQ2_TUPLES; t++) {
        rc_iq2_tuple *tuple = &grid.tuples[t];

        measure(distance, t);
        const unsigned near = least(distance, 0);
        tuple->first = at;
        for (unsigned p = POINTS; p-- > 0;)
            if (distance[p] == near)
                tuple->point = (uint8_t)p;
        if (near > 0) {
            at = add_shell(at, distance, near);
            at = add_shell(at, distance, least(distance, near + 1));
        }
        tuple->count = (uint16_t)(at - tuple->first);
    }
    assert(at == RC_IQ2_NEIGHBOURS);
}

const rc_iq2_grid *rc_iq2_grid_get(void)
{
    (void)pthread_once(&filled, fill);
    return &grid;
}

/* Is point a, seen from the digits, nowhere nearer than point b? */
static bool behind(unsigned a, unsigned b, uint16_t digits)
{
    for (unsigned shift = 0; shift < 2 * RC_IQ2_RUN; shift += 2) {
        const int own = digits >> shift & 3, at = rc_iq2_xxs_digits[a] >> shift & 3,
                  before = rc_iq2_xxs_digits[b] >> shift & 3;
        if (at < own ? before < at || before > own : before > at || before < own)
            return false;
    }
    return true;
}

/* The neighbours of a tuple that can win; returns how many. */
static unsigned prune(uint16_t kept[POINTS], const rc_iq2_tuple *tuple, uint16_t digits)
{
    const uint8_t *all = grid.neighbours + tuple->first;
    unsigned n = 0;

    for (unsigned a = 0; a < tuple->count; a++) {
        bool hidden = false;
        for (unsigned b = 0; b < a && !hidden; b++)
            hidden = behind(all[a], all[b], digits);
        if (!hidden)
            kept[n++] = rc_iq2_xxs_digits[all[a]];
    }
    return n;
}

static uint16_t digits_of(unsigned tuple)
{
    unsigned digits = 0;

    for (unsigned j = 0; j < RC_IQ2_RUN; j++, tuple /= 3)
        digits |= tuple % 3 << 2 * j;
    return (uint16_t)digits;
}

/* Returns where the next list begins. */
static uint32_t add_list(rc_iq2_lists *to, uint32_t at, unsigned lanes, unsigned t,
                         const uint16_t *kept, unsigned n)
{
    const unsigned nvectors = (n + lanes - 1) / lanes;

    to->lists[t] = (rc_iq2_list){ at, (uint16_t)nvectors, digits_of(t) };
    assert(at + nvectors * lanes <= RC_IQ2_LISTED);
    for (unsigned p = 0; p < nvectors * lanes; p++)
        to->digits[at + p % nvectors * lanes + p / nvectors] = p < n ? kept[p] : 0xffff;
    return at + nvectors * lanes;
}

static void list(void)
{
    uint16_t kept[POINTS];
    uint32_t at[2] = { 0, 0 };

    (void)rc_iq2_grid_get();
    for (unsigned t = 0; t < RC_IQ2_TUPLES; t++) {
        const unsigned n = prune(kept, &grid.tuples[t], digits_of(t));
        at[0] = add_list(&lists[0], at[0], 8, t, kept, n);
        at[1] = add_list(&lists[1], at[1], 16, t, kept, n);
    }
    for (unsigned w = 0; w < 2; w++) {
        const unsigned lanes = 8u << w, n = POINTS / lanes;
        for (unsigned p = 0; p < POINTS; p++) {
            lists[w].points[rc_iq2_xxs_digits[p]] = (uint8_t)p;
            lists[w].all[p % n * lanes + p / n] = rc_iq2_xxs_digits[p];
        }
        for (unsigned bits = 0; bits < 256; bits++)
            for (unsigned j = RC_IQ2_RUN; j-- > 0;)
                lists[w].ones[bits] = (uint16_t)(3 * lists[w].ones[bits] + (bits >> j & 1));
    }
}

const rc_iq2_lists *rc_iq2_lists_get(unsigned lanes)
{
    (void)pthread_once(&listed, list);
    return &lists[lanes == 16];
}
