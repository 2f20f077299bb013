/* tests/check/check_exp_sum64.c */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/divergence.h"
#include "tests/check/check.h"

typedef struct job {
    rc_exp_sum64_fn *fn;
    const float *s;
    size_t n;
    double m;
} job;

static void run(void *arg)
{
    const job *j = arg;
    const double want = rc_exp_sum64_ref(j->s, j->n, j->m), got = j->fn(j->s, j->n, j->m);

    check_that(memcmp(&want, &got, sizeof want) == 0, "n %zu, m %a: %a, not %a", j->n, j->m, got,
               want);
}

/* A row that ends where its allocation ends. Lanes of a short row hold one term each. */
static void check_row(rc_exp_sum64_fn *fn, size_t n, unsigned round)
{
    static const double most[] = { 0, 0.25, 0x1.23456789abcdep+3, -(double)INFINITY, 1e300, -700 };
    void *whole;
    float *s = (float *)(void *)check_input_new(4 * n, 4 * check_below(16), &whole);

    for (size_t i = 0; i < n; i++) {
        s[i] = 0x1p-24f * (float)check_below(1u << 28) - (float)(round % 3 * 700);
        if (round % 4 == 3)
            s[i] = check_float();
        else if (round % 4 == 2 && check_below(8) == 0)
            s[i] = -INFINITY;
    }
    check_in_rounding_modes(
        run, &(job){ fn, s, n, most[round % 8 < 6 ? 2 : check_below(sizeof most / sizeof *most)] });
    free(whole);
}

void check_exp_sum64(void)
{
    static float s[65536];

    for (const rc_exp_sum64_impl *row = rc_exp_sum64_impls + 1; row->fn; row++) {
        if (!check_begin("exp_sum64", row->name, row->need))
            continue;
        for (unsigned round = 0; round < 64; round++) { /* every 1021st f32 in all, one a lane */
            for (uint32_t i = 0; i < 65536; i++) {
                const uint32_t bits = (round * 65536 + i) * 1021u;
                memcpy(s + i, &bits, sizeof bits);
            }
            for (uint32_t i = 0; i < 65536; i += 16)
                run(&(job){ row->fn, s + i, 16, 0 });
        }
        for (unsigned round = 0; round < 1200; round++)
            check_row(row->fn, round < 300 ? round : check_below(round % 2 ? 16 : 4000), round);
        check_end();
    }
}
