/* tests/check/check_dequant_blocks.c - every type, every variant. */
#include "kernels/dequant_blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

typedef struct job {
    rc_dtype dtype;
    rc_dequant_blocks_fn *fn;
    const uint8_t *blocks;
    size_t n, shift;
} job;

static void run(void *arg)
{
    const job *j = arg;
    const size_t nbytes = (size_t)rc_dtype_row_bytes(j->dtype, j->n);
    check_buf want = check_buf_new(4 * j->n, 0), got = check_buf_new(want.n, 4 * j->shift);
    void *whole;
    uint8_t *blocks = check_input_new(nbytes, j->shift, &whole);

    memcpy(blocks, j->blocks, nbytes);
    rc_dequant_blocks_impls(j->dtype)->fn((float *)(void *)want.data, blocks, j->n);
    j->fn((float *)(void *)got.data, blocks, j->n);
    check_that(memcmp(want.data, got.data, want.n) == 0 && check_buf_intact(&got),
               "n %zu, offset %zu", j->n, j->shift);
    free(whole);
    check_buf_free(&want);
    check_buf_free(&got);
}

/* Random bytes make any scale, one in 32 infinite or NaN; then one byte everywhere, so
 * that all fields are at their ends at once, and that byte among random ones. */
static void check_type(rc_dtype dtype, rc_dequant_blocks_fn *fn)
{
    enum { BLOCKS = 8 };
    const size_t nbytes = rc_dtype_block_bytes(dtype), nelems = rc_dtype_block(dtype);
    uint8_t blocks[BLOCKS * 256];
    job j = { .dtype = dtype, .fn = fn, .blocks = blocks };

    for (unsigned round = 0; round < 600; round++) {
        check_fill(blocks, sizeof blocks);
        j.n = nelems * check_below(BLOCKS + 1);
        j.shift = check_below(16);
        if (round % 10)
            run(&j);
        else
            check_in_rounding_modes(run, &j);
    }
    j.n = nelems * 2;
    for (unsigned byte = 0; byte < 256; byte++) {
        memset(blocks, (int)byte, nbytes);
        check_fill(blocks + nbytes, nbytes);
        blocks[nbytes + check_below(nbytes)] = (uint8_t)byte;
        check_in_rounding_modes(run, &j);
    }
}

void check_dequant_blocks(void)
{
    for (unsigned i = 0; i < RC_DTYPE_COUNT; i++) {
        const rc_dtype dtype = (rc_dtype)i;
        char name[48];

        if (!rc_dequant_blocks_impls(dtype))
            continue;
        snprintf(name, sizeof name, "dequant_blocks %s", rc_dtype_name(dtype));
        for (const rc_dequant_blocks_impl *row = rc_dequant_blocks_impls(dtype) + 1; row->fn; row++)
            if (check_begin(name, row->name, row->need)) {
                check_type(dtype, row->fn);
                check_end();
            }
    }
}
