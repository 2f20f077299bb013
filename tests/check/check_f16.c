/* tests/check/check_f16.c */
#include "kernels/f16.h"

#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

typedef struct job {
    rc_f16_to_f32_fn *widen;
    rc_f32_to_f16_fn *narrow;
    const void *x;
    size_t n, shift; /* elements */
} job;

static void run(void *arg)
{
    const job *j = arg;
    const size_t in = j->widen ? 2 : 4, out = 6 - in;
    check_buf want = check_buf_new(out * j->n, 0), got = check_buf_new(want.n, out * j->shift);
    size_t expected = 0, counted = 0;
    void *whole;
    uint8_t *x = check_input_new(in * j->n, in * j->shift, &whole);

    memcpy(x, j->x, in * j->n);
    if (j->widen) {
        rc_f16_to_f32_ref((float *)(void *)want.data, (uint16_t *)(void *)x, j->n);
        j->widen((float *)(void *)got.data, (uint16_t *)(void *)x, j->n);
    } else {
        expected = rc_f32_to_f16_ref((uint16_t *)(void *)want.data, (float *)(void *)x, j->n);
        counted = j->narrow((uint16_t *)(void *)got.data, (float *)(void *)x, j->n);
    }
    check_that(memcmp(want.data, got.data, want.n) == 0 && expected == counted &&
                   check_buf_intact(&got),
               "n %zu, offset %zu, counted %zu of %zu", j->n, j->shift, counted, expected);
    free(whole);
    check_buf_free(&want);
    check_buf_free(&got);
}

void check_f16_to_f32(void)
{
    static uint16_t all[65536];

    for (unsigned i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    for (const rc_f16_to_f32_impl *row = rc_f16_to_f32_impls + 1; row->fn; row++)
        if (check_begin("f16_to_f32", row->name, row->need)) {
            check_in_rounding_modes(run, &(job){ .widen = row->fn, .x = all, .n = 65536 });
            for (size_t n = 0; n < 300; n++)
                run(&(job){
                    .widen = row->fn, .x = all + check_below(65000), .n = n, .shift = n % 16 });
            check_end();
        }
}

/* Every upper half of an f32 with lower halves that make ties, their neighbours and none. */
static void narrow_ties(rc_f32_to_f16_fn *fn)
{
    static const uint16_t below[] = {
        0, 1, 0x0fff, 0x1000, 0x1001, 0x2000, 0x3000, 0xefff, 0xf000
    };
    static uint32_t x[65536];

    for (unsigned k = 0; k < sizeof below / sizeof *below; k++) {
        for (unsigned i = 0; i < 65536; i++)
            x[i] = (uint32_t)i << 16 | below[k];
        check_in_rounding_modes(run, &(job){ .narrow = fn, .x = x, .n = 65536 });
    }
}

void check_f32_to_f16(void)
{
    float x[300];

    for (const rc_f32_to_f16_impl *row = rc_f32_to_f16_impls + 1; row->fn; row++)
        if (check_begin("f32_to_f16", row->name, row->need)) {
            narrow_ties(row->fn);
            for (size_t n = 0; n < 300; n++) {
                for (size_t i = 0; i < n; i++)
                    x[i] = check_float();
                run(&(job){ .narrow = row->fn, .x = x, .n = n, .shift = n % 16 });
            }
            check_end();
        }
}
