/* formats/calibration_write.c - see calibration_write.h. */
#include "formats/calibration_write.h"

#include <stdio.h>
#include <string.h>

#include "formats/gguf_write.h"

/* What a tensor of the file holds. */
typedef enum part { SQUARES, COUNTS, ABS, SEEN, COV, SAMPLE_X, SAMPLE_EXPERT, SAMPLE_WEIGHT } part;

static const char *const suffix[] = {
    [SQUARES] = ".in_sum2",      [COUNTS] = ".counts",
    [ABS] = ".in_abs",           [SEEN] = ".seen",
    [COV] = ".in_cov",           [SAMPLE_X] = ".x",
    [SAMPLE_EXPERT] = ".expert", [SAMPLE_WEIGHT] = ".weight",
};

typedef struct slot {
    rc_input_at at; /* COUNT: a sample */
    uint32_t block;
    part part;
} slot;

struct rc_calib_writer {
    rc_mem *mem;
    rc_arena text;
    rc_calib_plan plan;
    const rc_config *config;
    rc_gguf_put *put; /* [n] */
    slot *slot;       /* [n] */
    size_t n, cap;
    uint64_t nbytes;
    rc_out *out;
    float *buf; /* [buf_n] */
    size_t buf_n;
};

/* -------------------------------------------------------------------- layout */

static rc_code grow(rc_calib_writer *w, rc_err *err)
{
    const size_t cap = w->cap ? 2 * w->cap : 256;
    rc_gguf_put *put;
    slot *at;

    if (w->n < w->cap)
        return RC_OK;
    put = rc_mem_grow(w->mem, w->put, cap * sizeof *put);
    if (put)
        w->put = put;
    at = rc_mem_grow(w->mem, w->slot, cap * sizeof *at);
    if (at)
        w->slot = at;
    if (!put || !at)
        return rc_fail_nomem(err, w->mem, cap * sizeof *put);
    w->cap = cap;
    return RC_OK;
}

static rc_code add(rc_calib_writer *w, const char *base, const slot *s, unsigned rank,
                   const uint64_t shape[3], rc_err *err)
{
    char name[2 * RC_GGUF_MAX_NAME];
    rc_gguf_put p = { .dtype = s->part == SAMPLE_EXPERT ? RC_DTYPE_I32 : RC_DTYPE_F32,
                      .rank = rank };

    RC_TRY(grow(w, err));
    snprintf(name, sizeof name, "%s%s", base, suffix[s->part]);
    p.name = rc_arena_strdup(&w->text, name, strlen(name));
    if (!p.name)
        return rc_fail_nomem(err, w->mem, strlen(name));
    memcpy(p.shape, shape, rank * sizeof *shape);
    w->put[w->n] = p;
    w->slot[w->n++] = *s;
    return RC_OK;
}

static rc_code add_param(rc_calib_writer *w, const rc_param *p, const rc_gguf_place *place,
                         rc_input_at at, rc_err *err)
{
    const uint64_t rows = p->expert >= 0 ? w->config->n_routed_experts : 1;
    const uint64_t cols = place->shape[place->rank - 1];
    const uint64_t values[3] = { rows, cols }, per_row[3] = { rows, 1 };
    const uint64_t cov[3] = { rows, rc_ceil_div(cols, RC_CALIB_BLOCK), RC_CALIB_TRIANGLE };
    slot s = { .at = at,
               .block = p->layer < 0 ? w->config->num_hidden_layers - 1 : (uint32_t)p->layer };
    char owner[RC_GGUF_MAX_NAME + 1];

    if (p->draft)
        s.block += w->config->num_hidden_layers;
    s.part = SQUARES;
    RC_TRY(add(w, place->name, &s, 2, values, err));
    s.part = COUNTS;
    RC_TRY(add(w, place->name, &s, 2, per_row, err));
    if (!rc_calib_owner(owner, p, w->config) || strcmp(owner, place->name) != 0)
        return RC_OK;
    s.part = ABS;
    RC_TRY(add(w, place->name, &s, 2, values, err));
    s.part = SEEN;
    RC_TRY(add(w, place->name, &s, 2, per_row, err));
    s.part = COV;
    return w->plan.moments && at != RC_INPUT_E_PROJ ? add(w, place->name, &s, 3, cov, err) : RC_OK;
}

static rc_code add_sample(rc_calib_writer *w, uint32_t block, size_t rows, rc_err *err)
{
    const uint64_t x[3] = { rows, w->config->hidden_size };
    const uint64_t k[3] = { rows, w->config->num_experts_per_tok };
    slot s = { .at = RC_INPUT_COUNT, .block = block, .part = SAMPLE_X };
    char base[32];

    if (rows == 0)
        return RC_OK;
    snprintf(base, sizeof base, "blk.%" PRIu32 ".ffn_sample", block);
    RC_TRY(add(w, base, &s, 2, x, err));
    s.part = SAMPLE_EXPERT;
    RC_TRY(add(w, base, &s, 2, k, err));
    s.part = SAMPLE_WEIGHT;
    return add(w, base, &s, 2, k, err);
}

/* Every GGUF tensor once: of a stack the first expert stands for all, of eh_proj e_proj. */
static rc_code list(rc_calib_writer *w, rc_err *err)
{
    const rc_schema *schema = rc_model_schema(w->plan.model);
    const rc_config *c = w->config;
    rc_gguf_place place;
    rc_input_at at;

    for (size_t i = 0; i < rc_schema_count(schema); i++) {
        const rc_param *p = rc_schema_at(schema, i);

        if (p->rank != 2 || p->expert > 0 || (p->draft && !w->plan.draft) ||
            !rc_input_of(p, c, &at) || at == RC_INPUT_H_PROJ ||
            !rc_gguf_place_of(&place, p, c, RC_GGUF_EMBED))
            continue;
        RC_TRY(add_param(w, p, &place, at, err));
        if (at == RC_INPUT_FFN && strstr(p->name, ".gate."))
            RC_TRY(add_sample(w, w->slot[w->n - 1].block,
                              p->draft ? w->plan.draft_sample : w->plan.sample, err));
    }
    return RC_OK;
}

static rc_ggufw *keys(const rc_calib_writer *w, uint32_t few)
{
    const rc_calib_plan *p = &w->plan;
    rc_ggufw *k = rc_ggufw_new(w->mem);

    if (!k)
        return NULL;
    rc_ggufw_str(k, "general.type", "imatrix");
    rc_ggufw_arr(k, "imatrix.datasets", RC_GGUF_STR, 1);
    rc_ggufw_put_str(k, p->dataset, strlen(p->dataset));
    rc_ggufw_u32(k, "imatrix.chunk_count", p->windows);
    rc_ggufw_u32(k, "imatrix.chunk_size", p->ctx);
    rc_ggufw_u32(k, "recast.calibration.version", 1);
    rc_ggufw_u64(k, "recast.calibration.tokens", p->tokens);
    rc_ggufw_str(k, "recast.calibration.tokens_digest", p->tokens_digest);
    rc_ggufw_str(k, "recast.calibration.model", p->model_digest);
    rc_ggufw_str(k, "recast.calibration.tokenizer", p->tokenizer);
    rc_ggufw_str(k, "recast.calibration.numerics", p->numerics);
    rc_ggufw_u32(k, "recast.calibration.moments", p->moments ? RC_CALIB_BLOCK : 0);
    rc_ggufw_u32(k, "recast.calibration.few", few);
    return k;
}

/* The head has the same length whatever `few` is. */
static rc_code lay_out(rc_calib_writer *w, uint32_t few, char **head, size_t *len, rc_err *err)
{
    rc_ggufw *k = keys(w, few);
    rc_code rc;

    if (!k)
        return rc_fail_nomem(err, w->mem, 0);
    rc = rc_gguf_layout(k, w->put, w->n, head, len, &w->nbytes, w->mem, err);
    rc_ggufw_free(&k);
    return rc;
}

/* ---------------------------------------------------------------- new and free */

rc_code rc_calib_writer_new(rc_calib_writer **out, const rc_calib_plan *plan, const rc_dir *dir,
                            const char *name, rc_out_mode mode, rc_mem *mem, rc_err *err)
{
    rc_calib_writer *w = rc_mem_get(mem, sizeof *w);
    char *head = NULL;
    size_t len;
    rc_code rc;

    *out = NULL;
    if (!w)
        return rc_fail_nomem(err, mem, sizeof *w);
    w->mem = w->text.mem = mem;
    w->plan = *plan;
    w->config = rc_ckpt_config(rc_model_ckpt(plan->model));
    RC_TRY_GOTO(rc, done, list(w, err));
    RC_TRY_GOTO(rc, done, lay_out(w, 0, &head, &len, err));
    RC_TRY_GOTO(rc, done, rc_out_open(&w->out, dir, name, w->nbytes, mode, mem, err));
done:
    rc_mem_put(mem, head);
    if (rc != RC_OK)
        rc_calib_writer_free(&w);
    *out = w;
    return rc;
}

void rc_calib_writer_free(rc_calib_writer **writer)
{
    rc_calib_writer *w = *writer;
    rc_err ignored;

    *writer = NULL;
    if (!w)
        return;
    if (rc_out_close(&w->out, &ignored) != RC_OK) {
        /* what was to survive has been synced */
    }
    rc_arena_free(&w->text);
    rc_mem_put(w->mem, w->put);
    rc_mem_put(w->mem, w->slot);
    rc_mem_put(w->mem, w->buf);
    rc_mem_put(w->mem, w);
}

uint64_t rc_calib_writer_nbytes(const rc_calib_writer *w)
{
    return w->nbytes;
}

/* -------------------------------------------------------------------- writing */

static rc_code room(rc_calib_writer *w, size_t n, rc_err *err)
{
    float *grown;

    if (n <= w->buf_n)
        return RC_OK;
    grown = rc_mem_grow(w->mem, w->buf, n * sizeof *grown);
    if (!grown)
        return rc_fail_nomem(err, w->mem, n * sizeof *grown);
    w->buf = grown;
    w->buf_n = n;
    return RC_OK;
}

/* n numbers as F32, from element `first` of a tensor. */
static rc_code put_floats(rc_calib_writer *w, size_t i, uint64_t first, const double *v, size_t n,
                          rc_err *err)
{
    RC_TRY(room(w, n, err));
    for (size_t k = 0; k < n; k++)
        w->buf[k] = (float)v[k];
    return rc_out_write(w->out, w->put[i].begin + 4 * first, w->buf, 4 * n, err);
}

/* Where the columns of `at` begin in a tensor. */
static uint64_t column(rc_input_at at, const rc_gguf_put *p)
{
    return at == RC_INPUT_H_PROJ ? p->shape[1] / 2 : 0;
}

static rc_code put_tensor(rc_calib_writer *w, size_t i, rc_input_at at, const rc_calib_sums *s,
                          rc_err *err)
{
    const rc_gguf_put *p = &w->put[i];
    const part kind = w->slot[i].part;
    const bool half = at == RC_INPUT_E_PROJ || at == RC_INPUT_H_PROJ;
    const uint64_t pitch = p->shape[1];

    if (kind == COUNTS || kind == SEEN)
        return put_floats(w, i, 0, kind == COUNTS ? s->counts : s->seen, s->rows, err);
    if (kind != SQUARES && kind != ABS)
        return RC_OK;
    if (p->shape[0] != s->rows || (half ? pitch / 2 : pitch) != s->cols)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "%s: sums of another size", p->name);
    for (size_t r = 0; r < s->rows; r++)
        RC_TRY(put_floats(w, i, r * pitch + column(at, p),
                          (kind == SQUARES ? s->squares : s->abs) + r * s->cols, s->cols, err));
    return RC_OK;
}

rc_code rc_calib_put(rc_calib_writer *w, uint32_t block, rc_input_at at, const rc_calib_sums *sums,
                     rc_err *err)
{
    const rc_input_at kept = at == RC_INPUT_H_PROJ ? RC_INPUT_E_PROJ : at;

    for (size_t i = 0; i < w->n; i++)
        if (w->slot[i].block == block && w->slot[i].at == kept)
            RC_TRY(put_tensor(w, i, at, sums, err));
    return RC_OK;
}

rc_code rc_calib_put_moments(rc_calib_writer *w, uint32_t block, rc_input_at at, size_t row,
                             const double *cov, rc_err *err)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->slot[i].block == block && w->slot[i].at == at && w->slot[i].part == COV) {
            const size_t n = (size_t)(w->put[i].shape[1] * w->put[i].shape[2]);

            return put_floats(w, i, row * n, cov, n, err);
        }
    return RC_OK;
}

rc_code rc_calib_put_sample(rc_calib_writer *w, uint32_t block, const float *x,
                            const uint32_t *expert, const float *weight, rc_err *err)
{
    for (size_t i = 0; i < w->n; i++) {
        const slot *s = &w->slot[i];
        const void *data = s->part == SAMPLE_X        ? (const void *)x
                           : s->part == SAMPLE_EXPERT ? (const void *)expert
                                                      : (const void *)weight;

        if (s->block == block && s->at == RC_INPUT_COUNT)
            RC_TRY(rc_out_write(w->out, w->put[i].begin, data, (size_t)w->put[i].nbytes, err));
    }
    return RC_OK;
}

rc_code rc_calib_writer_sync(rc_calib_writer *w, rc_err *err)
{
    return rc_out_sync(w->out, err);
}

/* Tensors are padded; what lies between them was never written. */
static rc_code pad(rc_calib_writer *w, rc_err *err)
{
    static const uint8_t zeros[RC_GGUF_ALIGNMENT];

    for (size_t i = 0; i < w->n; i++) {
        const uint64_t end = w->put[i].begin + w->put[i].nbytes;
        const uint64_t next = i + 1 < w->n ? w->put[i + 1].begin : w->nbytes;

        RC_TRY(rc_out_write(w->out, end, zeros, (size_t)(next - end), err));
    }
    return RC_OK;
}

rc_code rc_calib_writer_finish(rc_calib_writer *w, uint32_t few, rc_err *err)
{
    char *head;
    size_t len;
    rc_code rc;

    RC_TRY(pad(w, err));
    RC_TRY(lay_out(w, few, &head, &len, err));
    rc = rc_out_write(w->out, 0, head, len, err);
    rc_mem_put(w->mem, head);
    return rc == RC_OK ? rc_out_sync(w->out, err) : rc;
}
