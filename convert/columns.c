/* convert/columns.c - see columns.h. */
#include "convert/columns.h"

#include <math.h>

enum { BLOCK = RC_INT4_BLOCK };
_Static_assert(RC_INT4_BLOCK == RC_CALIB_BLOCK,
               "moments come in the blocks that feedback works on");

static const double DAMP = 0.01; /* of the mean diagonal: GPTQ's */

/* -------------------------------------------------------------------- room */

static bool wants_feedback(const rc_job *job, const rc_recipe *recipe)
{
    return job->op == RC_OP_INT4 && recipe->int4.method == RC_METHOD_AWQ_PLUS &&
           recipe->int4.stats && rc_calib_origin_of(recipe->int4.stats)->moments == BLOCK;
}

static size_t feedback_bytes(const rc_job *job)
{
    const size_t whole = (size_t)job->cols / BLOCK, rest = (size_t)job->cols % BLOCK;

    return (whole * BLOCK * BLOCK + rest * rest) * sizeof(float);
}

static void at_least(size_t *room, size_t nbytes)
{
    if (nbytes > *room)
        *room = nbytes;
}

void rc_columns_need(rc_columns_room *room, const rc_job *job, const rc_recipe *recipe)
{
    if (job->importance != RC_IMPORTANCE_NONE)
        at_least(&room->importance, (size_t)job->cols * sizeof(float));
    if (!wants_feedback(job, recipe))
        return;
    at_least(&room->feedback, feedback_bytes(job));
    at_least(&room->block, (size_t)BLOCK * BLOCK * sizeof(double));
}

size_t rc_columns_bytes(const rc_columns_room *room)
{
    return room->importance + room->feedback + room->block + 3 * RC_PAGE;
}

rc_code rc_columns_make(rc_columns *c, const rc_columns_room *room, rc_mem *mem, rc_err *err)
{
    c->importance = rc_mem_get_pages(mem, room->importance);
    c->feedback = rc_mem_get_pages(mem, room->feedback);
    c->block = rc_mem_get_pages(mem, room->block);
    if (c->importance && c->feedback && c->block)
        return RC_OK;
    return rc_fail_nomem(err, mem, rc_columns_bytes(room));
}

void rc_columns_drop(rc_columns *c, rc_mem *mem)
{
    rc_mem_put(mem, c->importance);
    rc_mem_put(mem, c->feedback);
    rc_mem_put(mem, c->block);
}

/* -------------------------------------------------------------- statistics */

void rc_columns_weigh(float *squares, bool known, const float *factors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        squares[i] = known ? sqrtf(squares[i]) : 1;
        if (factors)
            squares[i] /= factors[i] * factors[i];
    }
}

static rc_code load_squares(rc_columns *c, const rc_calib *stats, const rc_config *config,
                            const rc_job *job, const float *factors, rc_err *err)
{
    bool found;

    RC_TRY(
        rc_calib_get(stats, job->param, config, RC_CALIB_SQUARES, 0, c->importance, &found, err));
    c->unknown = !found;
    rc_columns_weigh(c->importance, found, factors, (size_t)job->cols);
    return RC_OK;
}

/* One block of moments, of inputs that are divided by `factors`, to what feedback needs. */
static void prepare_block(rc_columns *c, float *u, size_t n, const float *factors)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const double by = factors ? (double)factors[i] * (double)factors[j] : 1;

            c->block[i * n + j] = (double)u[i * n + j] / by;
        }
    rc_int4_feedback_prepare(c->block, n, DAMP);
    for (size_t i = 0; i < n * n; i++)
        u[i] = (float)c->block[i];
}

/* Without the moments of every block there is no feedback at all. */
static rc_code load_moments(rc_columns *c, const rc_calib *stats, const rc_config *config,
                            const rc_job *job, const float *factors, rc_err *err)
{
    float *u = c->feedback;

    c->has_feedback = false;
    for (uint64_t col = 0; col < job->cols; col += BLOCK) {
        const size_t n = job->cols - col < BLOCK ? (size_t)(job->cols - col) : (size_t)BLOCK;
        bool found;

        RC_TRY(rc_calib_get(stats, job->param, config, RC_CALIB_MOMENTS, (size_t)(col / BLOCK), u,
                            &found, err));
        if (!found)
            return RC_OK;
        prepare_block(c, u, n, factors ? factors + col : NULL);
        u += n * n;
    }
    c->has_feedback = true;
    return RC_OK;
}

static rc_code load_stats(rc_columns *c, const rc_plan *plan, const rc_job *job,
                          const float *factors, rc_err *err)
{
    const rc_recipe *recipe = rc_plan_recipe(plan);
    const rc_config *config = rc_ckpt_config(rc_model_ckpt(rc_plan_model(plan)));

    if (c->loaded_of == job) /* an earlier chunk of it */
        return RC_OK;
    c->loaded_of = NULL;
    RC_TRY(load_squares(c, recipe->int4.stats, config, job, factors, err));
    c->has_feedback = false;
    if (wants_feedback(job, recipe))
        RC_TRY(load_moments(c, recipe->int4.stats, config, job, factors, err));
    c->loaded_of = job;
    return RC_OK;
}

/* ------------------------------------------------------- importance matrix */

static rc_code load_imatrix(rc_columns *c, const rc_plan *plan, const rc_job *job, rc_err *err)
{
    rc_imatrix_found found;

    RC_TRY(rc_imatrix_part(rc_plan_recipe(plan)->imatrix, job->imatrix_name, job->expert,
                           job->experts, job->pitch, job->col, job->cols, c->importance, &found,
                           err));
    if (found == RC_IMATRIX_FOUND)
        return RC_OK;
    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the importance matrix has changed");
    rc_err_tensor(err, job->imatrix_name);
    return RC_E_INTEGRITY;
}

rc_code rc_columns_load(rc_columns *c, const rc_plan *plan, const rc_chunk *chunk,
                        const rc_pieces *at, const float *factors, float *work, rc_err *err)
{
    const rc_job *job = chunk->job;

    if (job->importance == RC_IMPORTANCE_STATS)
        return load_stats(c, plan, job, factors, err);
    c->loaded_of = NULL;
    c->has_feedback = c->unknown = false;
    switch (job->importance) {
    case RC_IMPORTANCE_MATRIX:
        return load_imatrix(c, plan, job, err);
    case RC_IMPORTANCE_ENERGY:
        rc_cast_energy(chunk, at, c->importance, work);
        return RC_OK;
    case RC_IMPORTANCE_EQUAL:
        for (uint64_t i = 0; i < job->cols; i++)
            c->importance[i] = 1;
        return RC_OK;
    default:
        return RC_OK;
    }
}
