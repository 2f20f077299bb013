/* tests/check/check_row_product.c - every type, every variant, 1 to 8 tokens. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"
#include "tests/check/check_rows.h"

typedef struct job {
    rc_dtype dtype;
    rc_row_product_fn *f32; /* or: */
    rc_row_product_bf16_fn *bf16;
    size_t rows, tokens, n, gap;
    unsigned kind;
    check_rows w;
    const void *x[RC_ROW_PRODUCT_TOKENS];
} job;

static void run(void *arg)
{
    const job *j = arg;
    const size_t ldy = j->rows + j->gap, all = (j->tokens - 1) * ldy + j->rows;
    check_buf want = check_buf_new(4 * all, 0), got = check_buf_new(4 * all, 4 * check_below(16));
    float *a = (float *)(void *)want.data, *b = (float *)(void *)got.data;
    size_t wrong = 0, first = 0;

    if (j->f32) {
        const float *const *x = (const float *const *)j->x;
        rc_row_product_impls(j->dtype)->fn(a, ldy, &j->w.w, j->rows, x, j->tokens, j->n);
        j->f32(b, ldy, &j->w.w, j->rows, x, j->tokens, j->n);
    } else {
        const uint16_t *const *x = (const uint16_t *const *)j->x;
        rc_row_product_bf16_impls(j->dtype)->fn(a, ldy, &j->w.w, j->rows, x, j->tokens, j->n);
        j->bf16(b, ldy, &j->w.w, j->rows, x, j->tokens, j->n);
    }
    for (size_t i = 0; i < all; i++) /* what lies between the rows is compared as well */
        if (memcmp(a + i, b + i, 4) != 0 && !(isnan(a[i]) && isnan(b[i])) && wrong++ == 0)
            first = i;
    check_that(wrong == 0 && check_buf_intact(&got),
               "%zu rows, %zu tokens, n %zu, kind %u: y[%zu] is %a, not %a", j->rows, j->tokens,
               j->n, j->kind, first, (double)b[first], (double)a[first]);
    check_buf_free(&want);
    check_buf_free(&got);
}

static void compare(job *j)
{
    const size_t size = j->f32 ? sizeof(float) : sizeof(uint16_t);
    void *whole[RC_ROW_PRODUCT_TOKENS];

    for (size_t t = 0; t < j->tokens; t++) {
        uint8_t *p = check_input_new(j->n * size, size * check_below(16 / size), whole + t);
        for (size_t i = 0; i < j->n; i++) {
            const float x = check_rows_x(j->kind);
            memcpy(p + size * i, (const uint8_t *)&x + (4 - size), size); /* the upper bytes */
        }
        j->x[t] = p;
    }
    j->w = check_rows_new(j->dtype, j->rows, j->n, j->kind, j->bf16 != NULL);
    j->gap = check_below(3);
    if (check_below(8))
        run(j);
    else
        check_in_rounding_modes(run, j);
    check_rows_free(&j->w);
    for (size_t t = 0; t < j->tokens; t++)
        free(whole[t]);
}

static void compare_all(job j)
{
    const size_t step = check_rows_step(j.dtype);

    for (unsigned round = 0; round < 12; round++)
        for (j.tokens = 1; j.tokens <= RC_ROW_PRODUCT_TOKENS; j.tokens++) {
            j.rows = 1 + check_below(10);
            j.n = step * (1 + check_below(step < 256 ? 20 : 4));
            j.kind = round % CHECK_ROWS_KINDS;
            compare(&j);
        }
    j.rows = 16;
    for (j.kind = 0; j.kind < CHECK_ROWS_KINDS; j.kind++)
        for (j.n = 2048; j.n <= 4096; j.n += 2048) {
            j.tokens = 1 + check_below(2);
            compare(&j);
        }
}

void check_row_product(void)
{
    for (unsigned i = 0; i < RC_DTYPE_COUNT; i++) {
        const rc_dtype dtype = (rc_dtype)i;
        const rc_row_product_impl *row = rc_row_product_impls(dtype);
        char name[48];

        snprintf(name, sizeof name, "row_product %s", rc_dtype_name(dtype));
        for (row = row ? row + 1 : NULL; row && row->fn; row++)
            if (check_begin(name, row->name, row->need)) {
                compare_all((job){ .dtype = dtype, .f32 = row->fn });
                check_end();
            }
    }
}

void check_row_product_bf16(void)
{
    for (unsigned i = 0; i < RC_DTYPE_COUNT; i++) {
        const rc_dtype dtype = (rc_dtype)i;
        const rc_row_product_bf16_impl *row = rc_row_product_bf16_impls(dtype);
        char name[48];

        snprintf(name, sizeof name, "row_product_bf16 %s", rc_dtype_name(dtype));
        for (row = row ? row + 1 : NULL; row && row->fn; row++)
            if (check_begin(name, row->name, row->need)) {
                compare_all((job){ .dtype = dtype, .bf16 = row->fn });
                check_end();
            }
    }
}
