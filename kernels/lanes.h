/* kernels/lanes.h - the end of every sum: sixteen lanes to one, always in this order. */
#ifndef RC_KERNELS_LANES_H
#define RC_KERNELS_LANES_H

#define RC_LANES 16u

static inline double rc_lanes_fold(double lane[RC_LANES])
{
    for (unsigned half = RC_LANES / 2; half > 0; half /= 2)
        for (unsigned i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

static inline float rc_lanes_fold_f32(float lane[RC_LANES])
{
    for (unsigned half = RC_LANES / 2; half > 0; half /= 2)
        for (unsigned i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

#endif
