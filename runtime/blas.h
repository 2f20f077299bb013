/* runtime/blas.h - f32 products by a BLAS library, BLIS: what our own are measured against.
 *
 * Its sums have an order of its own, which depends on the processor and the number of threads:
 * results are within a bound of ours, not the same bits. */
#ifndef RC_RUNTIME_BLAS_H
#define RC_RUNTIME_BLAS_H

#include <stddef.h>

/** y[t * ldy + r] = sum_i x[t * ldx + i] * w[r * ldw + i], 0 <= t < tokens, 0 <= r < rows, i < n;
 *  all natural row-major f32. y overlaps nothing; its gaps are not touched. `threads` is at least
 *  1 and holds for this call only; the threads are OpenMP's. From inside a parallel region pass 1.
 *
 *  An element is off by at most n * 2^-24 * sum_i |x w|, to first order.
 *
 *  BLIS 0.9 takes processors that are younger than itself for slow ones. So before its first use
 *  here the environment gets a BLIS_ARCH_TYPE, unless it has one: AVX-512 code on Intel's
 *  processors with AVX-512, that of Zen 3 on AMD's since. That is the one time the environment is
 *  written, so the first call belongs before the first thread that reads it. BLIS ends the process
 *  when it cannot allocate its buffers (a few MiB a thread). */
void rc_blas_sgemm(float *y, size_t ldy, const float *x, size_t ldx, size_t tokens, const float *w,
                   size_t ldw, size_t rows, size_t n, unsigned threads);

/** The processor whose code BLIS runs: "zen3", "skx", "haswell", .. Static. */
const char *rc_blas_arch(void);

#endif
