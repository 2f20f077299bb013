/* tests/check/check_matmul.c - both products: every count of rows and tokens around the tiles,
 * rows in any order, several kinds of numbers. */
#include "kernels/matmul.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

#define MOST 80u /* rows, tokens */

enum { PLAIN, SPREAD, TINY, STRANGE, KINDS };

/* One side of a product: rows that lie in any order, some of them given twice. */
typedef struct side {
    void *whole;
    uint8_t *data;
    const void *row[MOST];
} side;

typedef struct job {
    rc_matmul_f32_fn *f32; /* or: */
    rc_matmul_bf16_fn *bf16;
    unsigned kind;
    size_t rows, tokens, n, gap;
    side w, x;
} job;

static void side_new(side *s, size_t count, size_t row_bytes, size_t alignment)
{
    s->data =
        check_input_new(count * row_bytes, alignment * check_below(16 / alignment), &s->whole);
    for (size_t i = 0; i < count; i++)
        s->row[i] = s->data + (check_below(8) ? count - 1 - i : check_below(count)) * row_bytes;
}

static float random_float(unsigned kind)
{
    const float x = (float)((double)(int64_t)check_random() * 0x1p-63);

    switch (kind) {
    case SPREAD: /* sums that cancel and absorb */
        return ldexpf(x, (int)check_below(40) - 20);
    case TINY: /* products and sums on both sides of 2^-126 */
        return check_below(16) ? ldexpf(x, -63 + (int)check_below(8)) : ldexpf(x, -126);
    case STRANGE:
        return check_below(64) ? x : check_float();
    default:
        return x;
    }
}

static void run(void *arg)
{
    const job *j = arg;
    const size_t ldy = j->rows + j->gap, all = 4 * ((j->tokens - 1) * ldy + j->rows);
    check_buf want = check_buf_new(all, 0), got = check_buf_new(all, 4 * check_below(16));
    float *a = (float *)(void *)want.data, *b = (float *)(void *)got.data;
    bool same = true;

    if (j->f32) {
        const float *const *w = (const float *const *)j->w.row;
        const float *const *x = (const float *const *)j->x.row;
        rc_matmul_f32_ref(a, ldy, w, j->rows, x, j->tokens, j->n);
        j->f32(b, ldy, w, j->rows, x, j->tokens, j->n);
    } else {
        const uint16_t *const *w = (const uint16_t *const *)j->w.row;
        const uint16_t *const *x = (const uint16_t *const *)j->x.row;
        rc_matmul_bf16_ref(a, ldy, w, j->rows, x, j->tokens, j->n);
        j->bf16(b, ldy, w, j->rows, x, j->tokens, j->n);
    }
    for (size_t i = 0; i < all / 4; i++) /* what lies between the rows is compared as well */
        same &= memcmp(a + i, b + i, 4) == 0 || (isnan(a[i]) && isnan(b[i]));
    check_that(same && check_buf_intact(&got), "%zu rows, %zu tokens, n %zu, kind %u", j->rows,
               j->tokens, j->n, j->kind);
    check_buf_free(&want);
    check_buf_free(&got);
}

static void fill(const side *s, size_t count, const job *j)
{
    for (size_t i = 0; i < count * j->n; i++) {
        const float x = random_float(j->kind);
        if (j->f32)
            memcpy(s->data + 4 * i, &x, 4);
        else
            memcpy(s->data + 2 * i, (const uint8_t *)&x + 2, 2); /* the upper half */
    }
}

static void compare(job *j)
{
    const size_t size = j->f32 ? sizeof(float) : sizeof(uint16_t);

    side_new(&j->w, j->rows, j->n * size, size);
    side_new(&j->x, j->tokens, j->n * size, size);
    j->gap = check_below(3);
    fill(&j->w, j->rows, j);
    fill(&j->x, j->tokens, j);
    if (j->rows * j->tokens * j->n < 10000)
        check_in_rounding_modes(run, j);
    else
        run(j);
    free(j->w.whole);
    free(j->x.whole);
}

static void compare_all(rc_matmul_f32_fn *f32, rc_matmul_bf16_fn *bf16)
{
    static const size_t widths[] = { 32, 64, 96, 512, 1024, 1056, 2048, 4096, 4128 };
    job j = { .f32 = f32, .bf16 = bf16 };

    for (size_t rows = 1; rows <= 17; rows++)
        for (size_t tokens = 1; tokens <= 17; tokens++) {
            j.rows = rows;
            j.tokens = tokens;
            j.n = RC_CHUNK * (1 + check_below(3));
            j.kind = (unsigned)check_below(KINDS);
            compare(&j);
        }
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (j.kind = 0; j.kind < KINDS; j.kind++) {
            j.n = widths[i];
            j.rows = 1 + check_below(20);
            j.tokens = 1 + check_below(20);
            compare(&j);
        }
    j.kind = PLAIN; /* more than one block of everything */
    j.n = 1024;
    j.rows = MOST - 1;
    j.tokens = MOST - 3;
    compare(&j);
}

void check_matmul_f32(void)
{
    for (const rc_matmul_f32_impl *row = rc_matmul_f32_impls + 1; row->fn; row++)
        if (check_begin("matmul_f32", row->name, row->need)) {
            compare_all(row->fn, NULL);
            check_end();
        }
}

void check_matmul_bf16(void)
{
    for (const rc_matmul_bf16_impl *row = rc_matmul_bf16_impls + 1; row->fn; row++)
        if (check_begin("matmul_bf16", row->name, row->need)) {
            compare_all(NULL, row->fn);
            check_end();
        }
}
