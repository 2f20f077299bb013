/* tests/check/check_hadamard.c */
#include <string.h>

#include "kernels/act_round.h"
#include "tests/check/check.h"

typedef struct job {
    rc_hadamard_fn *fn;
    const float *x;
    size_t n, shift;
} job;

static void run(void *arg)
{
    const job *j = arg;
    check_buf want = check_buf_new(4 * j->n, 0), got = check_buf_new(4 * j->n, 4 * j->shift);
    float *y = (float *)(void *)got.data;

    rc_hadamard_ref((float *)(void *)want.data, j->x, j->n);
    j->fn(y, j->x, j->n);
    check_that(memcmp(want.data, y, 4 * j->n) == 0 && check_buf_intact(&got), "n %zu, offset %zu",
               j->n, j->shift);
    memcpy(y, j->x, 4 * j->n);
    j->fn(y, y, j->n);
    check_that(memcmp(want.data, y, 4 * j->n) == 0, "n %zu, in place", j->n);
    check_buf_free(&want);
    check_buf_free(&got);
}

void check_hadamard(void)
{
    static float x[RC_HADAMARD_MAX + 16];

    for (const rc_hadamard_impl *row = rc_hadamard_impls + 1; row->fn; row++)
        if (check_begin("hadamard", row->name, row->need)) {
            for (unsigned round = 0; round < 2000; round++) {
                const size_t n = (size_t)1 << check_below(10), at = check_below(16);
                for (size_t i = 0; i < at + n; i++) {
                    x[i] = 0x1p-63f * (float)(int64_t)check_random();
                    if (round % 8 == 7) /* rarely all finite */
                        x[i] = check_float();
                    if (round % 8 == 6)
                        x[i] = check_below(2) ? -0.0f : 0.0f;
                    if (round % 8 == 5)
                        x[i] *= 0x1p-126f;
                }
                if (round % 8 == 4)
                    x[at + check_below(n)] = check_float();
                check_in_rounding_modes(run, &(job){ row->fn, x + at, n, check_below(16) });
            }
            check_end();
        }
}
