/* tests/check/check_dequant_int4.c */
#include "kernels/dequant_int4.h"

#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

typedef struct job {
    rc_dequant_int4_fn *fn;
    const uint8_t *q, *zero;
    const float *scale;
    size_t group, n, shift;
} job;

static void run(void *arg)
{
    const job *j = arg;
    const size_t groups = j->n / j->group;
    check_buf want = check_buf_new(j->n * 4, 0), got = check_buf_new(want.n, j->shift * 4);
    void *whole, *whole_scales, *whole_zeros;
    uint8_t *q = check_input_new(j->n / 2, j->shift, &whole);
    uint8_t *scale = check_input_new(groups * 4, j->shift * 4, &whole_scales);
    uint8_t *zero = check_input_new(groups, j->shift, &whole_zeros);
    const float *s = (const float *)(const void *)scale;

    memcpy(q, j->q, j->n / 2);
    memcpy(scale, j->scale, groups * 4);
    if (j->zero)
        memcpy(zero, j->zero, groups);
    rc_dequant_int4_ref((float *)(void *)want.data, q, s, j->zero ? zero : NULL, j->group, j->n);
    j->fn((float *)(void *)got.data, q, s, j->zero ? zero : NULL, j->group, j->n);
    check_that(memcmp(want.data, got.data, want.n) == 0 && check_buf_intact(&got),
               "n %zu, group %zu, offset %zu, %s", j->n, j->group, j->shift,
               j->zero ? "zero points" : "symmetric");
    free(whole);
    free(whole_scales);
    free(whole_zeros);
    check_buf_free(&want);
    check_buf_free(&got);
}

static void check_all(job j)
{
    uint8_t q[4096 / 2], zero[4096 / 32];
    float scale[4096 / 32];

    for (unsigned round = 0; round < 300; round++) {
        check_fill(q, sizeof q);
        for (size_t g = 0; g < sizeof zero; g++) {
            zero[g] = (uint8_t)check_below(16);
            scale[g] = check_float();
        }
        j.q = q;
        j.scale = scale;
        j.zero = round % 3 ? zero : NULL;
        j.group = (size_t)32 << round % 3;
        j.n = j.group * check_below(4096 / j.group + 1);
        j.shift = check_below(16);
        if (round < 30)
            check_in_rounding_modes(run, &j);
        else
            run(&j);
    }
}

void check_dequant_int4(void)
{
    for (const rc_dequant_int4_impl *row = rc_dequant_int4_impls + 1; row->fn; row++)
        if (check_begin("dequant_int4", row->name, row->need)) {
            check_all((job){ .fn = row->fn });
            check_end();
        }
}
