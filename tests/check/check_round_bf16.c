/* tests/check/check_round_bf16.c */
#include <string.h>

#include "kernels/act_round.h"
#include "tests/check/check.h"

typedef struct job {
    rc_round_bf16_fn *fn;
    const float *x;
    size_t n, shift;
} job;

static void run(void *arg)
{
    const job *j = arg;
    check_buf want = check_buf_new(4 * j->n, 0), got = check_buf_new(4 * j->n, 4 * j->shift);
    float *y = (float *)(void *)got.data;

    rc_round_bf16_ref((float *)(void *)want.data, j->x, j->n);
    j->fn(y, j->x, j->n);
    check_that(memcmp(want.data, y, 4 * j->n) == 0 && check_buf_intact(&got), "n %zu, offset %zu",
               j->n, j->shift);
    memcpy(y, j->x, 4 * j->n);
    j->fn(y, y, j->n);
    check_that(memcmp(want.data, y, 4 * j->n) == 0, "n %zu, in place", j->n);
    check_buf_free(&want);
    check_buf_free(&got);
}

void check_round_bf16(void)
{
    /* every upper half with each of these lower halves: all ties and neighbours */
    static const uint16_t below[] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff };
    static float x[65536];

    for (const rc_round_bf16_impl *row = rc_round_bf16_impls + 1; row->fn; row++)
        if (check_begin("round_bf16", row->name, row->need)) {
            for (unsigned k = 0; k < sizeof below / sizeof *below; k++) {
                for (uint32_t i = 0; i < 65536; i++) {
                    const uint32_t bits = i << 16 | below[k];
                    memcpy(x + i, &bits, sizeof bits);
                }
                check_in_rounding_modes(run, &(job){ row->fn, x, 65536, 0 });
            }
            for (size_t n = 0; n < 300; n++)
                run(&(job){ row->fn, x + check_below(65000), n, check_below(16) });
            check_end();
        }
}
