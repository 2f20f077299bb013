/* tests/check/check_block_quant.c - every variant of every quantizer against its reference. */
#include "quantize/block_quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"

enum { MAX_ROW = 8 * 256 };

/* What a run of 32 values looks like. */
enum { NORMAL, OUTLIER, ZEROS, ONE, FP4, TIES, POWERS, EQUAL, TINY, BITS, KINDS };

static float uniform(void) /* -1 .. 1 */
{
    return (float)((double)(check_random() >> 11) * 0x1p-52 - 1);
}

static float normal(void)
{
    float sum = 0;

    for (unsigned i = 0; i < 6; i++)
        sum += uniform();
    return sum * 0.7071f;
}

static float fp4(void)
{
    static const float magnitude[8] = { 0, 0.5f, 1, 1.5f, 2, 3, 4, 6 };

    return check_below(2) ? magnitude[check_below(8)] : -magnitude[check_below(8)];
}

static float any_bits(void)
{
    const uint32_t bits = (uint32_t)check_random() % 0x5f000000u | (uint32_t)check_below(2) << 31;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static void fill_run(float x[32], unsigned kind)
{
    const float size = ldexpf(1, (int)check_below(40) - 30);
    const size_t steps = 1 + check_below(130), special = check_below(32);

    for (size_t i = 0; i < 32; i++)
        switch (kind) {
        case OUTLIER:
            x[i] = normal() * (i == special ? 50 * size : size);
            break;
        case ZEROS:
            x[i] = check_below(2) ? 0.0f : -0.0f;
            break;
        case ONE:
            x[i] = i == special ? normal() * size : 0;
            break;
        case FP4:
            x[i] = fp4() * size;
            break;
        case TIES: /* halves of steps below a largest value of a whole number of them */
            x[i] = i == 0 ? (float)steps * size
                          : ((float)check_below(2 * steps) - (float)steps + 0.5f) * size;
            break;
        case POWERS: /* and their neighbours below and above */
            x[i] = nextafterf(ldexpf(1, (int)check_below(8)), uniform()) * size;
            break;
        case EQUAL:
            x[i] = special & 1 ? size : -size;
            break;
        case TINY:
            x[i] = ldexpf(normal(), -100 - (int)check_below(49));
            break;
        case BITS:
            x[i] = any_bits();
            break;
        default:
            x[i] = normal() * size;
        }
}

typedef struct job {
    const rc_quantizer *q;
    rc_quant_row_fn *ref, *fn;
    const float *x, *importance;
    size_t n, shift;
    unsigned kind;
} job;

static void run(void *arg)
{
    const job *j = arg;
    check_buf want = check_buf_new((size_t)rc_dtype_row_bytes(j->q->dtype, j->n), 0);
    check_buf got = check_buf_new(want.n, j->shift);
    void *whole, *whole_weights;
    const size_t nbytes = j->n * sizeof *j->x;
    float *x = (float *)(void *)check_input_new(nbytes, 4 * (j->shift % 4), &whole);
    float *w = (float *)(void *)check_input_new(nbytes, 4 * (j->shift % 4), &whole_weights);

    memcpy(x, j->x, nbytes);
    if (j->importance)
        memcpy(w, j->importance, nbytes);
    j->ref(want.data, x, j->importance ? w : NULL, j->n);
    j->fn(got.data, x, j->importance ? w : NULL, j->n);
    check_that(memcmp(want.data, got.data, want.n) == 0 && check_buf_intact(&got),
               "n %zu, offset %zu, kind %u, importance %d", j->n, j->shift, j->kind,
               j->importance != NULL);
    free(whole);
    free(whole_weights);
    check_buf_free(&want);
    check_buf_free(&got);
}

static void check_variant(const rc_quantizer *q, rc_quant_row_fn *ref, rc_quant_row_fn *fn)
{
    const size_t block = rc_dtype_block(q->dtype);
    static float x[MAX_ROW], importance[MAX_ROW];
    job j = { .q = q, .ref = ref, .fn = fn, .x = x };

    for (unsigned round = 0; round < 40u * KINDS; round++) {
        const bool mixed = check_below(2);
        j.kind = round % KINDS;
        j.n = block * check_below(1 + (block < 256 ? 40 : 8));
        j.shift = check_below(64);
        j.importance = q->needs_importance || (q->searches && check_below(2)) ? importance : NULL;
        for (size_t i = 0; i < j.n; i += 32)
            fill_run(x + i, mixed ? (unsigned)check_below(KINDS - 1) : j.kind);
        for (size_t i = 0; i < j.n; i++)
            importance[i] = check_below(20) ? expf(2 * normal()) : 0;
        if (round % 16)
            run(&j);
        else
            check_in_rounding_modes(run, &j);
    }
}

static void check_table(const rc_quantizer *q, const rc_quant_impl *impls, const char *what)
{
    char name[48];

    snprintf(name, sizeof name, "block_quant %s%s", rc_dtype_name(q->dtype), what);
    for (const rc_quant_impl *row = impls + 1; row->fn; row++)
        if (check_begin(name, row->name, row->need)) {
            check_variant(q, impls->fn, row->fn);
            check_end();
        }
}

void check_block_quant(void)
{
    for (unsigned i = 0; i < RC_DTYPE_COUNT; i++) {
        const rc_quantizer *q = rc_quantizer_of((rc_dtype)i);
        if (!q)
            continue;
        check_table(q, q->impls, "");
        if (q->better)
            check_table(q, q->better, ", better");
    }
}
