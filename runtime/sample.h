/* runtime/sample.h - the next token from logits. */
#ifndef RC_RUNTIME_SAMPLE_H
#define RC_RUNTIME_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct rc_sampler {
    double temperature; /* 0: the most likely token */
    double top_p;       /* of the most likely tokens that together have this probability; 1: all */
    uint64_t state;     /* the seed to begin with */
} rc_sampler;

/** The index of the largest logit; the lowest of equal ones. */
uint32_t rc_sample_greedy(const float *logits, size_t n);
/** Draw. `work`: n values of room. The same seed and logits give the same tokens. */
uint32_t rc_sample(rc_sampler *s, const float *logits, size_t n, uint32_t *work);

#endif
