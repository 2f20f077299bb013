/* tests/check/check_sum_squares.c */
#include <stdlib.h>
#include <string.h>

#include "kernels/act_round.h"
#include "tests/check/check.h"

typedef struct job {
    rc_sum_squares_fn *fn;
    const float *x;
    size_t n;
} job;

static void run(void *arg)
{
    const job *j = arg;
    const float want = rc_sum_squares_ref(j->x, j->n), got = j->fn(j->x, j->n);

    check_that(memcmp(&want, &got, sizeof want) == 0, "n %zu: %a, not %a", j->n, (double)got,
               (double)want);
}

void check_sum_squares(void)
{
    for (const rc_sum_squares_impl *row = rc_sum_squares_impls + 1; row->fn; row++)
        if (check_begin("sum_squares", row->name, row->need)) {
            for (unsigned round = 0; round < 2000; round++) {
                const size_t n = round < 300 ? round : check_below(8000);
                void *whole;
                float *x = (float *)(void *)check_input_new(4 * n, 4 * check_below(16), &whole);
                for (size_t i = 0; i < n; i++)
                    x[i] = 0x1p-63f * (float)(int64_t)check_random();
                if (n && round % 4 == 3)
                    x[check_below(n)] = check_float();
                check_in_rounding_modes(run, &(job){ row->fn, x, n });
                free(whole);
            }
            check_end();
        }
}
