/* kernels/unroll.h - before a short loop over an array of vectors.
 *
 * At -O2 such a loop stays one, and the array then lives in memory instead of in
 * registers. Only whole unrolling helps: trip counts are constants up to 16. */
#ifndef RC_KERNELS_UNROLL_H
#define RC_KERNELS_UNROLL_H

#if defined(__clang__)
#define RC_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define RC_UNROLL _Pragma("GCC unroll 16")
#else
#define RC_UNROLL
#endif

#endif
