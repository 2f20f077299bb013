/* tests/check/check_weighted_sum.c */
#include "kernels/weighted_sum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

#define MOST 700u /* rows of k */

typedef struct job {
    rc_weighted_sum_fn *fn;
    const float *p;
    const float *k[MOST];
    size_t heads, count, n, ldp, ldy;
} job;

static void run(void *arg)
{
    const job *j = arg;
    const size_t all = 4 * ((j->heads - 1) * j->ldy + j->n);
    check_buf want = check_buf_new(all, 0), got = check_buf_new(all, 4 * check_below(16));
    float *a = (float *)(void *)want.data, *b = (float *)(void *)got.data;
    bool same = true;

    rc_weighted_sum_ref(a, j->ldy, j->p, j->ldp, j->heads, j->k, j->count, j->n);
    j->fn(b, j->ldy, j->p, j->ldp, j->heads, j->k, j->count, j->n);
    for (size_t i = 0; i < all / 4; i++) /* what lies between the rows is compared as well */
        same &= memcmp(a + i, b + i, 4) == 0 || (isnan(a[i]) && isnan(b[i]));
    check_that(same && check_buf_intact(&got), "%zu heads, %zu rows, n %zu", j->heads, j->count,
               j->n);
    check_buf_free(&want);
    check_buf_free(&got);
}

static float random_float(bool strange)
{
    if (strange && check_below(64) == 0)
        return check_float();
    return (float)((double)(int64_t)check_random() * 0x1p-63) * (check_below(8) ? 1 : 0x1p-126f);
}

static void compare(job *j, bool strange)
{
    const size_t rows = j->count ? j->count : 1;
    void *p_whole, *k_whole;

    j->ldp = j->count + check_below(3);
    j->ldy = j->n + check_below(3);
    const size_t np = (j->heads - 1) * j->ldp + j->count;
    float *p = (float *)(void *)check_input_new(4 * np, 4 * check_below(4), &p_whole);
    float *k = (float *)(void *)check_input_new(4 * rows * j->n, 4 * check_below(4), &k_whole);
    for (size_t i = 0; i < np; i++)
        p[i] = random_float(strange);
    for (size_t i = 0; i < rows * j->n; i++)
        k[i] = random_float(strange);
    for (size_t c = 0; c < j->count; c++)
        j->k[c] = k + (check_below(8) ? rows - 1 - c : check_below(rows)) * j->n;
    j->p = p;
    if (j->heads * j->count * j->n < 10000)
        check_in_rounding_modes(run, j);
    else
        run(j);
    free(p_whole);
    free(k_whole);
}

void check_weighted_sum(void)
{
    for (const rc_weighted_sum_impl *row = rc_weighted_sum_impls + 1; row->fn; row++) {
        job j = { .fn = row->fn };
        if (!check_begin("weighted_sum", row->name, row->need))
            continue;
        for (j.heads = 1; j.heads <= 17; j.heads++)
            for (j.n = 16; j.n <= 160; j.n += 16) {
                j.count = check_below(9);
                compare(&j, check_below(2));
            }
        for (unsigned i = 0; i < 8; i++) {
            j.heads = 1 + check_below(20);
            j.n = 16 * (1 + check_below(40));
            j.count = 1 + check_below(MOST);
            compare(&j, i % 2);
        }
        check_end();
    }
}
