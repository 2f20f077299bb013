/* tests/check/check_int4_row.c */
#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"
#include "tests/check/check_int4.h"

enum { MOST = 2304 };

typedef struct job {
    rc_int4_row_fn *fn;
    const float *x, *importance;
    size_t n, shift;
    rc_int4_kind kind;
} job;

typedef struct result {
    check_buf q, scale, zero;
    rc_int4_tally tally;
} result;

static result quantize(const job *j, rc_int4_row_fn *fn, const float *x, const float *importance)
{
    const size_t groups = j->n / j->kind.group;
    result r = { check_buf_new(j->n, j->shift),
                 check_buf_new(4 * groups, 4 * j->shift),
                 check_buf_new(groups, j->shift),
                 { .loss = 0.1 } };
    const rc_int4_row out = { r.q.data, (float *)(void *)r.scale.data, r.zero.data };

    fn(&out, x, importance, j->n, &j->kind, &r.tally);
    return r;
}

static bool equal(const check_buf *a, const check_buf *b)
{
    return memcmp(a->data, b->data, a->n) == 0 && check_buf_intact(b);
}

static void let_go(result *r)
{
    check_buf_free(&r->q);
    check_buf_free(&r->scale);
    check_buf_free(&r->zero);
}

static void run(void *arg)
{
    const job *j = arg;
    const size_t nbytes = j->n * sizeof *j->x;
    void *whole, *whole_weights;
    float *x = (float *)(void *)check_input_new(nbytes, 4 * (j->shift % 4), &whole);
    float *w = (float *)(void *)check_input_new(nbytes, 4 * (j->shift % 4), &whole_weights);

    memcpy(x, j->x, nbytes);
    if (j->importance)
        memcpy(w, j->importance, nbytes);
    result want = quantize(j, rc_int4_row_ref, x, j->importance ? w : NULL);
    result got = quantize(j, j->fn, x, j->importance ? w : NULL);
    check_that(equal(&want.q, &got.q) && equal(&want.scale, &got.scale) &&
                   equal(&want.zero, &got.zero) &&
                   memcmp(&want.tally, &got.tally, sizeof got.tally) == 0,
               "n %zu, group %u, search %d, symmetric %d, %s, importance %d: loss %a, %a", j->n,
               j->kind.group, j->kind.search, j->kind.symmetric, rc_dtype_name(j->kind.scale),
               j->importance != NULL, want.tally.loss, got.tally.loss);
    let_go(&want);
    let_go(&got);
    free(whole);
    free(whole_weights);
}

void check_int4_row(void)
{
    static float x[MOST], importance[MOST];

    for (const rc_int4_row_impl *row = rc_int4_row_impls + 1; row->fn; row++) {
        if (!check_begin("int4_row", row->name, row->need))
            continue;
        for (unsigned round = 0; round < 54 * 25; round++) {
            job j = { .fn = row->fn, .x = x, .kind = check_int4_kind(round) };
            j.n = j.kind.group * (1 + check_below(MOST / j.kind.group));
            j.shift = check_below(16);
            j.importance = check_below(2) ? importance : NULL;
            check_int4_fill(x, j.n);
            check_int4_weights(importance, j.n);
            if (check_below(10))
                run(&j);
            else
                check_in_rounding_modes(run, &j);
        }
        check_end();
    }
}
