/* tests/check/check_awq_losses.c */
#include <math.h>
#include <string.h>

#include "quantize/awq.h"
#include "tests/check/check.h"
#include "tests/check/check_int4.h"

enum { MOST = 1152, SCALINGS = 4 };

typedef struct job {
    rc_awq_losses_fn *fn;
    const float *w, *power, *const *scales;
    size_t nscales, n;
    rc_int4_kind kind;
} job;

static void run(void *arg)
{
    const job *j = arg;
    double want[SCALINGS + 1] = { 0.1, 0.2 }, got[SCALINGS + 1] = { 0.1, 0.2 };
    static float work[2 * MOST];

    rc_awq_losses_ref(want, j->w, j->power, j->scales, j->nscales, j->n, &j->kind, work);
    j->fn(got, j->w, j->power, j->scales, j->nscales, j->n, &j->kind, work);
    check_that(memcmp(want, got, sizeof want) == 0,
               "n %zu, group %u, search %d, symmetric %d, %s: loss %a, %a", j->n, j->kind.group,
               j->kind.search, j->kind.symmetric, rc_dtype_name(j->kind.scale), want[0], got[0]);
}

void check_awq_losses(void)
{
    static float w[MOST], power[MOST], s[SCALINGS][MOST];
    const float *scales[SCALINGS];

    for (const rc_awq_losses_impl *row = rc_awq_losses_impls + 1; row->fn; row++) {
        if (!check_begin("awq_losses", row->name, row->need))
            continue;
        for (unsigned round = 0; round < 54 * 5; round++) {
            job j = { .fn = row->fn,
                      .w = w,
                      .power = power,
                      .scales = scales,
                      .nscales = check_below(SCALINGS + 1),
                      .kind = check_int4_kind(round) };
            j.n = j.kind.group * (1 + check_below(MOST / j.kind.group));
            check_int4_fill(w, j.n);
            check_int4_weights(power, j.n);
            for (unsigned i = 0; i < SCALINGS; i++) {
                scales[i] = s[i];
                for (size_t k = 0; k < j.n; k++)
                    s[i][k] = i == 0 ? 1 : expf((float)check_normal());
            }
            if (check_below(10))
                run(&j);
            else
                check_in_rounding_modes(run, &j);
        }
        check_end();
    }
}
