/* tests/check/check_bf16.c */
#include "kernels/bf16.h"

#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

static void widen(rc_bf16_to_f32_fn *fn, const uint16_t *x, size_t n, size_t shift)
{
    check_buf want = check_buf_new(4 * n, 0), got = check_buf_new(4 * n, 4 * shift);

    rc_bf16_to_f32_ref((float *)(void *)want.data, x, n);
    fn((float *)(void *)got.data, x, n);
    check_that(memcmp(want.data, got.data, 4 * n) == 0 && check_buf_intact(&got),
               "n %zu, offset %zu", n, shift);
    check_buf_free(&want);
    check_buf_free(&got);
}

void check_bf16_to_f32(void)
{
    static uint16_t all[65536];

    for (unsigned i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    for (const rc_bf16_to_f32_impl *row = rc_bf16_to_f32_impls + 1; row->fn; row++)
        if (check_begin("bf16_to_f32", row->name, row->need)) {
            widen(row->fn, all, 65536, 0);
            for (size_t n = 0; n < 300; n++)
                widen(row->fn, all + check_below(65000), n, check_below(16));
            check_end();
        }
}

typedef struct job {
    rc_f32_to_bf16_fn *fn;
    const float *x;
    size_t n, shift;
} job;

static void narrow(void *arg)
{
    const job *j = arg;
    check_buf want = check_buf_new(2 * j->n, 0), got = check_buf_new(2 * j->n, 2 * j->shift);
    const size_t expected = rc_f32_to_bf16_ref((uint16_t *)(void *)want.data, j->x, j->n);
    const size_t counted = j->fn((uint16_t *)(void *)got.data, j->x, j->n);

    check_that(memcmp(want.data, got.data, 2 * j->n) == 0 && expected == counted &&
                   check_buf_intact(&got),
               "n %zu, offset %zu", j->n, j->shift);
    check_buf_free(&want);
    check_buf_free(&got);
}

void check_f32_to_bf16(void)
{
    /* every upper half with each of these lower halves: all ties and neighbours */
    static const uint16_t below[] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff };
    static float x[65536];

    for (const rc_f32_to_bf16_impl *row = rc_f32_to_bf16_impls + 1; row->fn; row++)
        if (check_begin("f32_to_bf16", row->name, row->need)) {
            for (unsigned k = 0; k < sizeof below / sizeof *below; k++) {
                for (unsigned i = 0; i < 65536; i++) {
                    const uint32_t bits = (uint32_t)i << 16 | below[k];
                    memcpy(x + i, &bits, sizeof bits);
                }
                check_in_rounding_modes(narrow, &(job){ row->fn, x, 65536, 0 });
            }
            for (unsigned i = 0; i < 65536; i++)
                x[i] = check_float();
            for (size_t n = 0; n < 300; n++)
                narrow(&(job){ row->fn, x + check_below(65000), n, check_below(16) });
            check_end();
        }
}
