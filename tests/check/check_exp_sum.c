/* tests/check/check_exp_sum.c */
#include <math.h>
#include <string.h>

#include "kernels/exp.h"
#include "tests/check/check.h"

typedef struct job {
    rc_exp_sum_fn *fn;
    const float *s;
    size_t n, shift;
    float m;
} job;

static void run(void *arg)
{
    const job *j = arg;
    check_buf want = check_buf_new(4 * j->n, 0), got = check_buf_new(4 * j->n, 4 * j->shift);
    float *p = (float *)(void *)got.data;
    const float expected = rc_exp_sum_ref((float *)(void *)want.data, j->s, j->n, j->m);
    float sum = j->fn(p, j->s, j->n, j->m);

    check_that(memcmp(want.data, p, 4 * j->n) == 0 && memcmp(&expected, &sum, 4) == 0 &&
                   check_buf_intact(&got),
               "n %zu, offset %zu, m %a: sums %a %a", j->n, j->shift, (double)j->m,
               (double)expected, (double)sum);
    memcpy(p, j->s, 4 * j->n);
    sum = j->fn(p, p, j->n, j->m);
    check_that(memcmp(want.data, p, 4 * j->n) == 0 && memcmp(&expected, &sum, 4) == 0,
               "n %zu, in place", j->n);
    check_buf_free(&want);
    check_buf_free(&got);
}

void check_exp_sum(void)
{
    static float s[65536];

    for (const rc_exp_sum_impl *row = rc_exp_sum_impls + 1; row->fn; row++) {
        if (!check_begin("exp_sum", row->name, row->need))
            continue;
        for (unsigned round = 0; round < 64; round++) { /* every 1021st f32 in all */
            for (uint32_t i = 0; i < 65536; i++) {
                const uint32_t bits = (round * 65536 + i) * 1021u;
                memcpy(s + i, &bits, sizeof bits);
            }
            run(&(job){ row->fn, s, 65536, 0, 0 });
        }
        for (unsigned round = 0; round < 600; round++) {
            const size_t n = round < 300 ? round : check_below(4000), at = check_below(64);
            for (size_t i = 0; i < at + n; i++)
                s[i] = round % 4 == 3 ? check_float() : -0x1p-24f * (float)check_below(1u << 31);
            check_in_rounding_modes(
                run, &(job){ row->fn, s + at, n, check_below(16), round % 8 ? 0.25f : -INFINITY });
        }
        check_end();
    }
}
