/* tests/check/check_int4_feedback.c */
#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"
#include "tests/check/check_int4.h"

enum { MOST = 320, ROWS = 37, GAP = 3 };

typedef struct job {
    rc_int4_feedback_fn *fn;
    const float *x, *importance, *u;
    size_t rows, n, shift;
    rc_int4_kind kind;
} job;

typedef struct result {
    check_buf q, scale, zero;
    rc_int4_tally tally;
} result;

static result quantize(const job *j, rc_int4_feedback_fn *fn)
{
    const size_t groups = j->rows * j->n / j->kind.group;
    result r = { check_buf_new(j->rows * j->n, j->shift),
                 check_buf_new(4 * groups, 4 * j->shift),
                 check_buf_new(groups, j->shift),
                 { .loss = 0.1 } };
    const rc_int4_row out = { r.q.data, (float *)(void *)r.scale.data, r.zero.data };

    fn(&out, j->rows, j->x, j->n + GAP, j->importance, j->u, j->n, &j->kind, &r.tally);
    return r;
}

static bool equal(const check_buf *a, const check_buf *b)
{
    return memcmp(a->data, b->data, a->n) == 0 && check_buf_intact(b);
}

static void run(void *arg)
{
    const job *j = arg;
    result want = quantize(j, rc_int4_feedback_ref), got = quantize(j, j->fn);

    check_that(equal(&want.q, &got.q) && equal(&want.scale, &got.scale) &&
                   equal(&want.zero, &got.zero) &&
                   memcmp(&want.tally, &got.tally, sizeof got.tally) == 0,
               "%zu rows of %zu, group %u, search %d, symmetric %d, %s: loss %a, %a", j->rows, j->n,
               j->kind.group, j->kind.search, j->kind.symmetric, rc_dtype_name(j->kind.scale),
               want.tally.loss, got.tally.loss);
    for (result *r = &want; r; r = r == &want ? &got : NULL) {
        check_buf_free(&r->q);
        check_buf_free(&r->scale);
        check_buf_free(&r->zero);
    }
}

void check_int4_feedback(void)
{
    static float x[ROWS * (MOST + GAP)], importance[MOST], u[MOST * RC_INT4_BLOCK];

    for (const rc_int4_feedback_impl *row = rc_int4_feedback_impls + 1; row->fn; row++) {
        if (!check_begin("int4_feedback", row->name, row->need))
            continue;
        for (unsigned round = 0; round < 54 * 4; round++) {
            job j = { .fn = row->fn, .x = x, .u = u, .kind = check_int4_kind(round) };
            j.n = j.kind.group * (1 + check_below(MOST / j.kind.group));
            j.rows = 1 + check_below(ROWS);
            j.shift = check_below(16);
            j.importance = check_below(2) ? importance : NULL;
            for (size_t r = 0; r < j.rows; r++)
                check_int4_fill(x + r * (j.n + GAP), j.n);
            check_int4_weights(importance, j.n);
            for (size_t i = 0; i < j.n * RC_INT4_BLOCK; i++)
                u[i] = 0.05f * (float)check_normal();
            if (check_below(10))
                run(&j);
            else
                check_in_rounding_modes(run, &j);
        }
        check_end();
    }
}
