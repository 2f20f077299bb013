/* runtime/blas.c */
#include "runtime/blas.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <blis.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernels/cpu.h"

#define AMD_ZEN3 0x19u /* the family, also of Zen 4 */

/* The best of those in BLIS 0.9 for this processor, or -1: as BLIS thinks. Measured on Zen 4, where
 * AVX-512 code runs at the same width as AVX2's: skx has 0.85 of zen3's rate. */
static int arch_of_machine(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d;
    char vendor[12];

    if (!__get_cpuid(0, &a, &b, &c, &d))
        return -1;
    memcpy(vendor, &b, 4);
    memcpy(vendor + 4, &d, 4);
    memcpy(vendor + 8, &c, 4);
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return -1;
#if defined(BLIS_CONFIG_SKX)
    if (memcmp(vendor, "GenuineIntel", sizeof vendor) == 0 && rc_cpu_machine() & RC_CPU_AVX512)
        return BLIS_ARCH_SKX;
#endif
#if defined(BLIS_CONFIG_ZEN3)
    const unsigned family = (a >> 8 & 15) + (a >> 20 & 255); /* 15 and more, for these */
    if (memcmp(vendor, "AuthenticAMD", sizeof vendor) == 0 && rc_cpu_machine() & RC_CPU_AVX2 &&
        family >= AMD_ZEN3)
        return BLIS_ARCH_ZEN3;
#endif
#endif
    return -1;
}

/* BLIS reads the variable once, when it is first called: the only way to tell it. A number, which
 * belongs to the version that we were compiled against, as does the library's name. */
static void choose_arch(void)
{
    const int arch = arch_of_machine();
    char number[16];

    if (arch < 0)
        return;
    snprintf(number, sizeof number, "%d", arch);
    (void)setenv("BLIS_ARCH_TYPE", number, 0); /* what the user has set stays; so does a failure */
}

static void choose_arch_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, choose_arch);
}

void rc_blas_sgemm(float *y, size_t ldy, const float *x, size_t ldx, size_t tokens, const float *w,
                   size_t ldw, size_t rows, size_t n, unsigned threads)
{
    float one = 1, zero = 0;
    rntm_t how;

    choose_arch_once();
    bli_rntm_init(&how);
    bli_rntm_set_num_threads((dim_t)threads, &how);
    /* Up to some 500 tokens BLIS would else take rows where they lie. Those of a power of two of
     * elements share cache sets: 35 GFLOP/s against 87 (256 tokens, 2048 rows of 4096, Zen 4). */
    bli_rntm_set_pack_a(true, &how);
    bli_rntm_set_pack_b(true, &how);
    /* BLIS takes what it does not write without const */
    bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_TRANSPOSE, (dim_t)tokens, (dim_t)rows, (dim_t)n, &one,
                 (float *)(uintptr_t)x, (inc_t)ldx, 1, (float *)(uintptr_t)w, (inc_t)ldw, 1, &zero,
                 y, (inc_t)ldy, 1, NULL, &how);
}

const char *rc_blas_arch(void)
{
    choose_arch_once();
    bli_init(); /* the question alone, before any work, ends the process when the variable is set */
    return bli_arch_string(bli_arch_query_id());
}
