/* tests/check/check_fp4_q8_0.c */
#include "quantize/fp4_q8_0.h"

#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

typedef struct job {
    rc_fp4_q8_0_fn *fn;
    const uint8_t *q, *scale;
    size_t groups, shift;
} job;

static void run(void *arg)
{
    const job *j = arg;
    check_buf want = check_buf_new(34 * j->groups, 0), got = check_buf_new(want.n, j->shift);
    void *whole, *whole_scales;
    uint8_t *q = check_input_new(16 * j->groups, j->shift, &whole);
    uint8_t *scale = check_input_new(j->groups, j->shift, &whole_scales);

    memcpy(q, j->q, 16 * j->groups);
    memcpy(scale, j->scale, j->groups);
    const size_t expected = rc_fp4_q8_0_ref(want.data, q, scale, 32 * j->groups);
    const size_t counted = j->fn(got.data, q, scale, 32 * j->groups);

    check_that(memcmp(want.data, got.data, want.n) == 0 && expected == counted &&
                   check_buf_intact(&got),
               "%zu groups, offset %zu, first scale %u, counted %zu of %zu", j->groups, j->shift,
               j->groups ? j->scale[0] : 0, counted, expected);
    free(whole);
    free(whole_scales);
    check_buf_free(&want);
    check_buf_free(&got);
}

/* Group k of eight has all sixteen codes but those above k. */
static void every_largest(uint8_t q[8 * 16])
{
    for (unsigned k = 0; k < 8; k++)
        for (unsigned i = 0; i < 16; i++) {
            const unsigned code = i % 8 <= k ? i % 8 : k;
            q[16 * k + i] = (uint8_t)(code | (code | 8) << 4);
        }
}

void check_fp4_q8_0(void)
{
    uint8_t q[64 * 16], scale[64];

    for (const rc_fp4_q8_0_impl *row = rc_fp4_q8_0_impls + 1; row->fn; row++) {
        if (!check_begin("fp4_q8_0", row->name, row->need))
            continue;
        every_largest(q);
        for (unsigned s = 0; s < 256; s++) {
            memset(scale, (int)s, sizeof scale);
            check_in_rounding_modes(run, &(job){ row->fn, q, scale, 8, s % 64 });
        }
        for (unsigned round = 0; round < 1000; round++) {
            const uint8_t base = (uint8_t)check_random(), mask = check_below(2) ? 0xff : 0x33;
            check_fill(q, sizeof q);
            for (size_t i = 0; i < sizeof q; i++) /* without large codes, every second time */
                q[i] &= mask;
            for (size_t i = 0; i < sizeof scale; i++)
                scale[i] = (uint8_t)(check_below(8) ? base + check_below(8) : check_random());
            run(&(job){ row->fn, q, scale, check_below(65), check_below(64) });
        }
        check_end();
    }
}
