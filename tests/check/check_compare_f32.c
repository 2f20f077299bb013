/* tests/check/check_compare_f32.c */
#include "kernels/compare_f32.h"

#include <string.h>

#include "tests/check/check.h"

typedef struct job {
    rc_compare_f32_fn *fn;
    const float *a, *b;
    size_t n;
    unsigned kind;
} job;

static void run(void *arg)
{
    const job *j = arg;
    rc_comparison want, got;

    rc_compare_f32_ref(&want, j->a, j->b, j->n);
    j->fn(&got, j->a, j->b, j->n);
    check_that(memcmp(&want, &got, sizeof want) == 0,
               "n %zu, kind %u: aa %a %a, ab %a %a, dd %a %a, max %a %a, differ %u %u", j->n,
               j->kind, want.aa, got.aa, want.ab, got.ab, want.dd, got.dd, want.max_diff,
               got.max_diff, (unsigned)want.differ, (unsigned)got.differ);
}

void check_compare_f32(void)
{
    static float a[4200], b[4200];

    for (const rc_compare_f32_impl *row = rc_compare_f32_impls + 1; row->fn; row++) {
        if (!check_begin("compare_f32", row->name, row->need))
            continue;
        for (unsigned round = 0; round < 2000; round++) {
            const unsigned kind = round % 8;
            const size_t n = round < 400 ? round : check_below(4100), at = check_below(64);
            job j = { row->fn, a + at, b + at, n, kind };
            for (size_t i = 0; i < at + n; i++) {
                const float x = (float)((double)(int64_t)check_random() * 0x1p-63);
                a[i] = kind == 0 ? check_float() : x;
                b[i] = a[i];
                if (kind == 1 || (kind == 2 && i > n / 2))
                    b[i] += 0x1p-12f * (float)check_below(100);
                if (kind == 3)
                    b[i] = check_float();
                if (kind == 6)
                    a[i] = check_below(2) ? 0.0f : -0.0f;
                if (kind == 6)
                    b[i] = check_below(2) ? 0.0f : -0.0f;
            }
            if (n && kind == 4) /* equal but for one */
                b[at + check_below(n)] = check_float();
            if (n && kind == 5) /* the same strange value on both sides */
                a[at + check_below(n)] = b[at + check_below(n)] = check_float();
            if (n && kind == 7) { /* one outlier, and the largest difference twice */
                a[at + check_below(n)] = 3e38f;
                b[at + check_below(n)] = -3e38f;
            }
            check_in_rounding_modes(run, &j);
        }
        check_end();
    }
}
