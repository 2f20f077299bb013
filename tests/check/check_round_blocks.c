/* tests/check/check_round_blocks.c - fp8 and fp4, which have one shape. */
#include <math.h>
#include <string.h>

#include "kernels/act_round.h"
#include "tests/check/check.h"

enum { MAX = 2048 };

typedef struct job {
    rc_round_fp8_fn *ref, *fn;
    const float *x;
    size_t n, block, shift;
} job;

static void run(void *arg)
{
    const job *j = arg;
    check_buf want = check_buf_new(4 * j->n, 0), got = check_buf_new(4 * j->n, 4 * j->shift);
    float *y = (float *)(void *)got.data;

    j->ref((float *)(void *)want.data, j->x, j->n, j->block);
    j->fn(y, j->x, j->n, j->block);
    check_that(memcmp(want.data, y, 4 * j->n) == 0 && check_buf_intact(&got),
               "n %zu, blocks of %zu, offset %zu", j->n, j->block, j->shift);
    memcpy(y, j->x, 4 * j->n);
    j->fn(y, y, j->n, j->block);
    check_that(memcmp(want.data, y, 4 * j->n) == 0, "n %zu, blocks of %zu, in place", j->n,
               j->block);
    check_buf_free(&want);
    check_buf_free(&got);
}

/* Blocks around every power of two, on the half steps of the formats and beside them; blocks of
 * any finite numbers, and of any at all. */
static void fill(float *x, size_t n, unsigned kind)
{
    const float scale = ldexpf(1, (int)check_below(250) - 140);

    for (size_t i = 0; i < n; i++) {
        const float step = (float)((int)check_below(129) - 64) * 0.25f;
        x[i] = step * scale;
        if (kind % 4 == 1)
            x[i] = nextafterf(x[i], check_below(2) ? INFINITY : -INFINITY);
        if (kind % 4 >= 2)
            x[i] = check_float();
        if (kind % 4 == 2 && !isfinite(x[i]))
            x[i] = -0.0f;
        if (kind % 8 == 2)
            x[i] *= 0x1p-110f;
    }
}

static void check_rounds(rc_round_fp8_fn *ref, rc_round_fp8_fn *fn, const size_t *blocks,
                         size_t nblocks)
{
    static float x[MAX + 16];

    for (unsigned round = 0; round < 3000; round++) {
        const size_t block = blocks[check_below(nblocks)];
        const size_t n = check_below(MAX / block + 1) * block, at = check_below(16);
        fill(x + at, n, round);
        check_in_rounding_modes(run, &(job){ ref, fn, x + at, n, block, check_below(16) });
    }
}

void check_round_fp8(void)
{
    static const size_t blocks[] = { 128, 64, 128, 64, 16, 32, 48, 80, 96, 112 };

    for (const rc_round_fp8_impl *row = rc_round_fp8_impls + 1; row->fn; row++)
        if (check_begin("round_fp8", row->name, row->need)) {
            check_rounds(rc_round_fp8_ref, row->fn, blocks, sizeof blocks / sizeof *blocks);
            check_end();
        }
}

void check_round_fp4(void)
{
    static const size_t block = 32;

    for (const rc_round_fp4_impl *row = rc_round_fp4_impls + 1; row->fn; row++)
        if (check_begin("round_fp4", row->name, row->need)) {
            check_rounds(rc_round_fp4_ref, row->fn, &block, 1);
            check_end();
        }
}
