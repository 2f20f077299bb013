/* kernels/rounding.h - results that do not depend on the caller's rounding mode.
 *
 * A kernel that computes in floating point puts its body between these two: to
 * nearest, subnormals kept, whatever a caller or a library set. It costs some
 * twenty cycles a call, so once per row. The barriers keep every load and store
 * of the body, hence the arithmetic between them, inside. */
#ifndef RC_KERNELS_ROUNDING_H
#define RC_KERNELS_ROUNDING_H

#if defined(__x86_64__)
#include <xmmintrin.h>

typedef unsigned rc_rounding;

static inline rc_rounding rc_rounding_enter(void)
{
    const rc_rounding saved = _mm_getcsr();

    _mm_setcsr(0x1f80); /* nearest, no flush to zero, exceptions masked */
    __asm__ volatile("" ::: "memory");
    return saved;
}

/** The same with subnormal operands and results as zeros: the arithmetic of VDPBF16PS. */
static inline rc_rounding rc_rounding_enter_flushed(void)
{
    const rc_rounding saved = _mm_getcsr();

    _mm_setcsr(0x1f80 | 0x8040);
    __asm__ volatile("" ::: "memory");
    return saved;
}

static inline void rc_rounding_leave(rc_rounding saved)
{
    __asm__ volatile("" ::: "memory");
    _mm_setcsr(saved);
}
#else
#include <fenv.h>

typedef int rc_rounding;

static inline rc_rounding rc_rounding_enter(void)
{
    const rc_rounding saved = fegetround();

    fesetround(FE_TONEAREST);
    __asm__ volatile("" ::: "memory");
    return saved;
}

static inline void rc_rounding_leave(rc_rounding saved)
{
    __asm__ volatile("" ::: "memory");
    fesetround(saved);
}
#endif

/* The barriers order loads and stores only: what comes in a register, and a result that leaves
 * in one, passes through memory here, else the compiler may compute beyond them. */
static inline float rc_rounding_pin(float x)
{
    __asm__ volatile("" : "+m"(x));
    return x;
}

static inline double rc_rounding_pin_f64(double x)
{
    __asm__ volatile("" : "+m"(x));
    return x;
}

#endif
