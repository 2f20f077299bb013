/* runtime/sample.c - see sample.h. Sums are in double and in a fixed order. */
#include "runtime/sample.h"

#include <stdlib.h>

#include "kernels/exp.h"

uint32_t rc_sample_greedy(const float *logits, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return (uint32_t)best;
}

/* splitmix64: 53 random bits as a number in [0, 1). */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

typedef struct weighing {
    const float *logits;
    float most;
    double temperature;
} weighing;

static double weight(const weighing *w, uint32_t i)
{
    return rc_exp_f32((float)((double)(w->logits[i] - w->most) / w->temperature));
}

/* Sift the heap's root down: the likeliest on top, of equals the lower index. */
static int before(const float *logits, uint32_t a, uint32_t b)
{
    return logits[a] > logits[b] || (!(logits[a] < logits[b]) && a < b);
}

static void sift(const float *logits, uint32_t *heap, size_t n, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        const uint32_t v = heap[i];

        if (child + 1 < n && before(logits, heap[child + 1], heap[child]))
            child++;
        if (!before(logits, heap[child], v))
            return;
        heap[i] = heap[child];
        heap[child] = v;
    }
}

/* Move the likeliest tokens to the end of work[n], until they hold top_p of the total. Returns
 * how many, and their weight. */
static size_t nucleus(const weighing *w, uint32_t *work, size_t n, double enough, double *held)
{
    size_t left = n;

    for (size_t i = n / 2; i-- > 0;)
        sift(w->logits, work, n, i);
    *held = 0;
    while (left > 0 && (left == n || *held < enough)) {
        const uint32_t top = work[0];

        work[0] = work[--left];
        work[left] = top;
        sift(w->logits, work, left, 0);
        *held += weight(w, top);
    }
    return n - left;
}

uint32_t rc_sample(rc_sampler *s, const float *logits, size_t n, uint32_t *work)
{
    const weighing w = { logits, logits[rc_sample_greedy(logits, n)], s->temperature };
    double total = 0, at;
    size_t kept = n;

    if (!(s->temperature > 0))
        return rc_sample_greedy(logits, n);
    for (size_t i = 0; i < n; i++) {
        work[i] = (uint32_t)i;
        total += weight(&w, (uint32_t)i);
    }
    if (s->top_p < 1)
        kept = nucleus(&w, work, n, s->top_p * total, &total);
    at = uniform(&s->state) * total;
    for (size_t i = n - kept; i < n; i++) {
        at -= weight(&w, work[i]);
        if (at < 0)
            return work[i];
    }
    return work[n - 1];
}
