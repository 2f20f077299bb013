/* runtime/threads.h - loops shared among threads, by OpenMP where the compiler has it. */
#ifndef RC_RUNTIME_THREADS_H
#define RC_RUNTIME_THREADS_H

#include <stdint.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* RC_PARALLEL(threads, for schedule(static)) before a loop. */
#ifdef _OPENMP
#define RC_PRAGMA_(text)           _Pragma(#text)
#define RC_PRAGMA(text)            RC_PRAGMA_(text)
#define RC_PARALLEL(threads, what) RC_PRAGMA(omp parallel what num_threads(threads))
#else
#define RC_PARALLEL(threads, what) (void)(threads);
#endif

/** Threads for n items of a loop: no more than there are items. Waking one for nothing costs as
 * much as a small product. */
static inline unsigned rc_threads_for(unsigned threads, uint64_t n)
{
    return n < threads ? (n ? (unsigned)n : 1) : threads;
}

/** This thread within its team: 0 .. threads - 1. */
static inline unsigned rc_thread(void)
{
#ifdef _OPENMP
    return (unsigned)omp_get_thread_num();
#else
    return 0;
#endif
}

#endif
