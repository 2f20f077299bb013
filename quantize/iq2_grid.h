/* quantize/iq2_grid.h - IQ2_XXS: from eight wanted digits to a point of the grid.
 *
 * A run of eight weights wants the digits 0, 1, 2 that are nearest to each of them, but of
 * the 6561 *tuples* of eight digits only 256 are points. The others have *neighbours*: the
 * points at the smallest distance and those at the next larger one, in this order, each in
 * ascending order; who quantizes takes the one with the least weighted error.
 * Source: ggml/src/ggml-quants.c, iq2xs_init_impl(). */
#ifndef RC_QUANTIZE_IQ2_GRID_H
#define RC_QUANTIZE_IQ2_GRID_H

#include <stdint.h>

#define RC_IQ2_RUN        8u
#define RC_IQ2_TUPLES     6561u /* 3^8: digit j counts 3^j */
#define RC_IQ2_NEIGHBOURS 113157u

typedef struct rc_iq2_tuple {
    uint32_t first; /* its neighbours in rc_iq2_grid.neighbours */
    uint16_t count; /* 0: the tuple is a point */
    uint8_t point;  /* that point, else the first neighbour */
} rc_iq2_tuple;

typedef struct rc_iq2_grid {
    rc_iq2_tuple tuples[RC_IQ2_TUPLES];
    uint8_t neighbours[RC_IQ2_NEIGHBOURS];
} rc_iq2_grid;

/* The same for vectors. A neighbour of the outer distance is left out where one of the inner
 * distance lies between it and the tuple: equal or nearer to the tuple's digit in every place.
 * Its error is never the smaller one as long as errors grow with the distance from
 * the tuple's digit, which they do unless a weight lies within rounding of the middle
 * between two digits. Position p of a list of n vectors is lane p / n of vector p % n, so that
 * the first of equals is in the lowest lane; what is left at the end has digits 3. */
typedef struct rc_iq2_list {
    uint32_t first;    /* in rc_iq2_lists.digits */
    uint16_t nvectors; /* 0: the tuple is a point */
    uint16_t digits;   /* then its own, in the form of rc_iq2_xxs_digits */
} rc_iq2_list;

#define RC_IQ2_LISTED 131072u /* room for what both widths need */

typedef struct rc_iq2_lists {
    rc_iq2_list lists[RC_IQ2_TUPLES];
    uint16_t digits[RC_IQ2_LISTED]; /* of the neighbours */
    uint16_t all[256];              /* of all points, in the order of a list */
    uint16_t ones[256];             /* the tuple that has 1 where the index has a bit */
    uint8_t points[0xaaab];         /* by digits: the point that has them */
} rc_iq2_lists;

/** For vectors of 8 or 16 lanes. Filled and thread-safe as rc_iq2_grid_get() is. */
const rc_iq2_lists *rc_iq2_lists_get(unsigned lanes);

/** The tables, which the first call of the process fills. Thread-safe. */
const rc_iq2_grid *rc_iq2_grid_get(void);

#endif
