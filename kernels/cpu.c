/* kernels/cpu.c - detection and `--cpu`. */
#include "kernels/cpu.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define UNKNOWN 0x80000000u /* the machine has not been asked yet */

static const struct {
    const char *name;
    unsigned flags;
} levels[] = {
    { "ref", 0 },
    { "avx2", RC_CPU_AVX2 },
    { "avx512", RC_CPU_AVX2 | RC_CPU_AVX512 },
    { "avx512bf16", RC_CPU_AVX2 | RC_CPU_AVX512 | RC_CPU_BF16 },
};

/* Racing first calls all store the same answer. */
static _Atomic unsigned machine_flags = UNKNOWN;
static _Atomic unsigned level_flags = UNKNOWN;

/* The compiler's __builtin_cpu_supports() also asks XGETBV whether the system
 * saves the wide registers. It has no name for F16C in older compilers. */
static unsigned detect(void)
{
    unsigned flags = 0;
#if defined(__x86_64__)
    unsigned a, b, c, d;

    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C))
        flags |= RC_CPU_AVX2;
    if (flags && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi"))
        flags |= RC_CPU_AVX512;
    if (flags & RC_CPU_AVX512 && __builtin_cpu_supports("avx512bf16"))
        flags |= RC_CPU_BF16;
#endif
    return flags;
}

unsigned rc_cpu_machine(void)
{
    unsigned flags = atomic_load_explicit(&machine_flags, memory_order_relaxed);

    if (flags == UNKNOWN) {
        flags = detect();
        atomic_store_explicit(&machine_flags, flags, memory_order_relaxed);
    }
    return flags;
}

unsigned rc_cpu_flags(void)
{
    const unsigned flags = atomic_load_explicit(&level_flags, memory_order_relaxed);

    return flags == UNKNOWN ? rc_cpu_machine() : flags;
}

bool rc_cpu_force(const char *name)
{
    if (strcmp(name, "auto") == 0) {
        atomic_store_explicit(&level_flags, UNKNOWN, memory_order_relaxed);
        return true;
    }
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(name, levels[i].name) == 0 && (levels[i].flags & ~rc_cpu_machine()) == 0) {
            atomic_store_explicit(&level_flags, levels[i].flags, memory_order_relaxed);
            return true;
        }
    return false;
}

const char *rc_cpu_level_name(void)
{
    const unsigned flags = rc_cpu_flags();
    size_t i = sizeof levels / sizeof *levels - 1;

    while (levels[i].flags & ~flags)
        i--;
    return levels[i].name;
}
