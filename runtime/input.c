/* runtime/input.c - activations in the layouts that products want. See linear.h. */
#include "runtime/input.h"

#include <string.h>

#include "kernels/act_round.h"
#include "kernels/bf16.h"
#include "kernels/pairs.h"
#include "runtime/threads.h"

#define FP8_BLOCK   128u
#define BLAS_TOKENS 32u /* below it a library's product is no faster */

rc_code rc_input_new(rc_input **out, rc_engine *e, rc_err *err)
{
    *out = rc_mem_get(e->mem, sizeof **out);
    if (!*out)
        return rc_fail_nomem(err, e->mem, sizeof **out);
    (*out)->e = e;
    return RC_OK;
}

void rc_input_free(rc_input **in)
{
    rc_input *x = *in;

    if (!x)
        return;
    rc_mem_put(x->e->mem, x->half);
    rc_mem_put(x->e->mem, x->half_row);
    rc_mem_put(x->e->mem, x->pairs);
    rc_mem_put(x->e->mem, x->pair_row);
    rc_mem_put(x->e->mem, x->flat);
    rc_mem_put(x->e->mem, x->panel);
    rc_mem_put(x->e->mem, x->scratch);
    rc_mem_put(x->e->mem, x);
    *in = NULL;
}

/* Contents need not survive. */
static rc_code renew(rc_mem *mem, void *pp, size_t nbytes, size_t *room, size_t want, rc_err *err)
{
    void **p = pp;

    if (want <= *room)
        return RC_OK;
    rc_mem_put(mem, *p);
    *room = 0;
    *p = rc_mem_get_pages(mem, nbytes);
    if (!*p)
        return rc_fail_nomem(err, mem, nbytes);
    *room = want;
    return RC_OK;
}

rc_code rc_input_scratch(rc_input *in, size_t nbytes, rc_err *err)
{
    const size_t all = nbytes * in->e->threads;

    in->stride = nbytes;
    return renew(in->e->mem, &in->scratch, all, &in->scratch_room, all, err);
}

rc_code rc_input_panel(rc_input *in, size_t n, rc_err *err)
{
    return renew(in->e->mem, &in->panel, n * sizeof *in->panel, &in->panel_room, n, err);
}

static rc_code rows_for(rc_input *in, size_t tokens, rc_err *err)
{
    size_t halves = in->rows_room, pairs = in->rows_room;

    in->rows_room = 0; /* until both are there */
    RC_TRY(renew(in->e->mem, &in->half_row, tokens * sizeof *in->half_row, &halves, tokens, err));
    RC_TRY(renew(in->e->mem, &in->pair_row, tokens * sizeof *in->pair_row, &pairs, tokens, err));
    in->rows_room = halves < pairs ? halves : pairs;
    return RC_OK;
}

static rc_code pairs_for(rc_input *in, rc_err *err)
{
    const size_t all = in->tokens * in->n;

    RC_TRY(renew(in->e->mem, &in->pairs, all * sizeof *in->pairs, &in->pairs_room, all, err));
    for (size_t t = 0; t < in->tokens; t++)
        in->pair_row[t] = in->pairs + t * in->n;
    return RC_OK;
}

/* As the reference quantizes: blocks of 128, the last one shorter where n is no multiple. */
static void round_fp8(float *y, const float *x, size_t n)
{
    const size_t whole = n / FP8_BLOCK * FP8_BLOCK;

    rc_round_fp8_best()(y, x, whole, FP8_BLOCK);
    if (n > whole)
        rc_round_fp8_best()(y + whole, x + whole, n - whole, n - whole);
}

static rc_code take_native(rc_input *in, const float *x, size_t ldx, const uint32_t *t, rc_err *err)
{
    const size_t n = in->n, all = in->tokens * n;

    RC_TRY(renew(in->e->mem, &in->half, all * sizeof *in->half, &in->half_room, all, err));
    RC_TRY(rc_input_scratch(in, (n * sizeof(float) + 63) / 64 * 64, err));
    RC_PARALLEL(rc_threads_for(in->e->threads, in->tokens), for schedule(static))
    for (size_t k = 0; k < in->tokens; k++) {
        float *tmp = (float *)(void *)(in->scratch + rc_thread() * in->stride);
        const float *from = x + (t ? t[k] : k) * ldx;

        if (in->kind == RC_LINEAR_FP8) {
            round_fp8(tmp, from, n);
            from = tmp;
        }
        rc_f32_to_bf16_best()(in->half + k * n, from, n);
        in->half_row[k] = in->half + k * n;
    }
    return RC_OK;
}

static rc_code take_f32(rc_input *in, const float *x, size_t ldx, const uint32_t *t, rc_err *err)
{
    RC_TRY(pairs_for(in, err));
    RC_PARALLEL(rc_threads_for(in->e->threads, in->tokens), for schedule(static))
    for (size_t k = 0; k < in->tokens; k++)
        rc_pair_f32_best()(in->pairs + k * in->n, x + (t ? t[k] : k) * ldx, in->n);
    in->has_pairs = true;
    return RC_OK;
}

static rc_code take_flat(rc_input *in, const float *x, size_t ldx, const uint32_t *t, rc_err *err)
{
    const size_t all = in->tokens * in->n;

    RC_TRY(renew(in->e->mem, &in->flat, all * sizeof *in->flat, &in->flat_room, all, err));
    for (size_t k = 0; k < in->tokens; k++)
        memcpy(in->flat + k * in->n, x + (t ? t[k] : k) * ldx, in->n * sizeof *in->flat);
    in->has_flat = true;
    return RC_OK;
}

rc_code rc_input_gather(rc_input *in, rc_linear_kind kind, const float *x, size_t ldx,
                        const uint32_t *t, size_t tokens, size_t n, rc_err *err)
{
    in->kind = kind;
    in->tokens = tokens;
    in->n = n;
    in->has_pairs = in->has_flat = false;
    RC_TRY(rows_for(in, tokens, err));
    if (in->e->blas && in->e->numerics == RC_NUMERICS_F32 && tokens >= BLAS_TOKENS)
        return take_flat(in, x, ldx, t, err);
    return in->e->numerics == RC_NUMERICS_NATIVE ? take_native(in, x, ldx, t, err)
                                                 : take_f32(in, x, ldx, t, err);
}

rc_code rc_input_set(rc_input *in, rc_linear_kind kind, const float *x, size_t ldx, size_t tokens,
                     size_t n, rc_err *err)
{
    return rc_input_gather(in, kind, x, ldx, NULL, tokens, n, err);
}

rc_code rc_input_need_pairs(rc_input *in, rc_err *err)
{
    if (in->has_pairs)
        return RC_OK;
    RC_TRY(pairs_for(in, err));
    RC_TRY(rc_input_scratch(in, (in->n * sizeof(float) + 63) / 64 * 64, err));
    RC_PARALLEL(rc_threads_for(in->e->threads, in->tokens), for schedule(static))
    for (size_t k = 0; k < in->tokens; k++) {
        float *tmp = (float *)(void *)(in->scratch + rc_thread() * in->stride);

        rc_bf16_to_f32_best()(tmp, in->half_row[k], in->n);
        rc_pair_f32_best()(in->pairs + k * in->n, tmp, in->n);
    }
    in->has_pairs = true;
    return RC_OK;
}
