/* kernels/cpu.h - which variant of an operation runs.
 *
 * The machine has a set of RC_CPU_ flags; the *level* in force is a set too,
 * the machine's unless rc_cpu_force() lowered it. Every operation has a table
 * of variants that runs slow to fast; its _best() picks the last row whose
 * needs the level meets. All functions are safe to call from any thread;
 * forcing affects the _best() calls that come after it. */
#ifndef RC_KERNELS_CPU_H
#define RC_KERNELS_CPU_H

#include <stdbool.h>

#define RC_CPU_AVX2   1u /* AVX2, FMA and F16C */
#define RC_CPU_AVX512 2u /* AVX-512 F, BW, DQ, VL and VBMI; implies RC_CPU_AVX2 */
#define RC_CPU_BF16   4u /* AVX512-BF16; implies RC_CPU_AVX512 */

/** What the processor has and the operating system saves. */
unsigned rc_cpu_machine(void);

/** The level in force. */
unsigned rc_cpu_flags(void);

/** For `--cpu NAME`: "ref", "avx2", "avx512" or "avx512bf16" from now on; "auto" undoes it.
 *  False, and no change, when the name is unknown or the machine lacks it. */
bool rc_cpu_force(const char *name);

/** "ref", "avx2", "avx512" or "avx512bf16". */
const char *rc_cpu_level_name(void);

/* Defines rc_<op>_best(), the choice from rc_<op>_impls[]. */
#define RC_CPU_DEFINE_BEST(op)                                                                     \
    rc_##op##_fn *rc_##op##_best(void)                                                             \
    {                                                                                              \
        const unsigned have = rc_cpu_flags();                                                      \
        const rc_##op##_impl *best = rc_##op##_impls;                                              \
        for (const rc_##op##_impl *row = best; row->fn; row++)                                     \
            if ((row->need & ~have) == 0)                                                          \
                best = row;                                                                        \
        return best->fn;                                                                           \
    }

#endif
