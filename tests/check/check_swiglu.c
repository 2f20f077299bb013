/* tests/check/check_swiglu.c */
#include <math.h>
#include <string.h>

#include "kernels/exp.h"
#include "tests/check/check.h"

typedef struct job {
    rc_swiglu_fn *fn;
    const float *a, *b;
    size_t n, shift;
    float limit, scale;
} job;

static void run(void *arg)
{
    const job *j = arg;
    check_buf want = check_buf_new(4 * j->n, 0), got = check_buf_new(4 * j->n, 4 * j->shift);
    float *v = (float *)(void *)got.data;

    rc_swiglu_ref((float *)(void *)want.data, j->a, j->b, j->n, j->limit, j->scale);
    j->fn(v, j->a, j->b, j->n, j->limit, j->scale);
    check_that(memcmp(want.data, v, 4 * j->n) == 0 && check_buf_intact(&got),
               "n %zu, offset %zu, limit %g", j->n, j->shift, (double)j->limit);
    memcpy(v, j->a, 4 * j->n);
    j->fn(v, v, j->b, j->n, j->limit, j->scale);
    check_that(memcmp(want.data, v, 4 * j->n) == 0, "n %zu, v is a", j->n);
    memcpy(v, j->b, 4 * j->n);
    j->fn(v, j->a, v, j->n, j->limit, j->scale);
    check_that(memcmp(want.data, v, 4 * j->n) == 0, "n %zu, v is b", j->n);
    check_buf_free(&want);
    check_buf_free(&got);
}

void check_swiglu(void)
{
    static float a[4200], b[4200];

    for (const rc_swiglu_impl *row = rc_swiglu_impls + 1; row->fn; row++) {
        if (!check_begin("swiglu", row->name, row->need))
            continue;
        for (unsigned round = 0; round < 1200; round++) {
            const size_t n = round < 300 ? round : check_below(4000), at = check_below(64);
            for (size_t i = 0; i < at + n; i++) {
                a[i] = 0x1p-58f * (float)(int64_t)check_random(); /* to 32 and back */
                b[i] = 0x1p-58f * (float)(int64_t)check_random();
                if (round % 3 == 2) {
                    a[i] = check_float();
                    b[i] = check_float();
                }
            }
            check_in_rounding_modes(run, &(job){ row->fn, a + at, b + at, n, check_below(16),
                                                 round % 2 ? 10 : INFINITY, round % 5 ? 1.5f : 1 });
        }
        check_end();
    }
}
