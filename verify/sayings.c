/* verify/sayings.c - see sayings.h. */
#include "verify/sayings.h"

#include "runtime/threads.h"

void rc_sayings_of(rc_saying *out, const float *logits, size_t n, size_t vocab,
                   const uint32_t *next, unsigned threads)
{
    const unsigned team = rc_threads_for(threads, n);

    RC_PARALLEL(team, for schedule(static))
    for (size_t i = 0; i < n; i++)
        rc_saying_of(&out[i], logits + i * vocab, vocab, next[i]);
}

void rc_sayings_kl(double *kl, const rc_saying *a, const float *logits_a, const rc_saying *b,
                   const float *logits_b, size_t n, size_t vocab, unsigned threads)
{
    const unsigned team = rc_threads_for(threads, n);

    RC_PARALLEL(team, for schedule(static))
    for (size_t i = 0; i < n; i++)
        kl[i] = rc_saying_kl(&a[i], logits_a + i * vocab, &b[i], logits_b + i * vocab, vocab);
}
