/* tests/check/check_divergence.c */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/divergence.h"
#include "tests/check/check.h"

typedef struct job {
    rc_divergence_fn *fn;
    const float *a, *b;
    size_t n;
    double la, lb;
} job;

static void run(void *arg)
{
    const job *j = arg;
    const double want = rc_divergence_ref(j->a, j->b, j->n, j->la, j->lb);
    const double got = j->fn(j->a, j->b, j->n, j->la, j->lb);

    check_that(memcmp(&want, &got, sizeof want) == 0, "n %zu, la %a, lb %a: %a, not %a", j->n,
               j->la, j->lb, got, want);
}

static float logit(void)
{
    return 0x1p-24f * (float)check_below(1u << 29) - 16;
}

/* Beside a: equal, a little off, elsewhere, far below, nowhere, anything. */
static float beside(float a, unsigned kind)
{
    switch (kind) {
    case 0:
        return a;
    case 1:
        return a + 0x1p-30f * (float)check_below(1u << 20);
    case 2:
        return logit();
    case 3:
        return a - 0.01f * (float)check_below(200000);
    case 4:
        return check_below(4) ? logit() : -INFINITY;
    default:
        return check_float();
    }
}

static double log_sum(const float *s, size_t n)
{
    const double sum = rc_exp_sum64_ref(s, n, 16);

    return 16 + rc_log_f64(sum);
}

static void check_pair(rc_divergence_fn *fn, size_t n, unsigned round)
{
    void *whole[2];
    float *a = (float *)(void *)check_input_new(4 * n, 4 * check_below(16), whole);
    float *b = (float *)(void *)check_input_new(4 * n, 4 * check_below(16), whole + 1);
    job j = { .fn = fn, .a = a, .b = b, .n = n };

    for (size_t i = 0; i < n; i++) {
        const bool odd = check_below(16) == 0;
        a[i] = round % 7 == 5 && odd   ? check_float()
               : round % 7 == 3 && odd ? -INFINITY
               : round % 7 == 4 && odd ? -0.01f * (float)check_below(100000)
                                       : logit();
        b[i] = beside(a[i], round % 6);
    }
    j.la = log_sum(a, n);
    j.lb = log_sum(b, n);
    if (round % 16 == 9) /* no contract, but bits all the same */
        j.lb = (double)check_float();
    check_in_rounding_modes(run, &j);
    if (round % 6 == 0 && isfinite(j.la) && j.la == j.lb) {
        const double zero = fn(a, b, n, j.la, j.lb);
        check_that(zero == 0 && !signbit(zero), "n %zu: equal rows give %a", n, zero);
    }
    free(whole[0]);
    free(whole[1]);
}

void check_divergence(void)
{
    for (const rc_divergence_impl *row = rc_divergence_impls + 1; row->fn; row++)
        if (check_begin("divergence", row->name, row->need)) {
            for (unsigned round = 0; round < 4000; round++)
                check_pair(row->fn, round < 300 ? round : check_below(round % 2 ? 17 : 2000),
                           round);
            check_end();
        }
}
