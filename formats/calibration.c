/* formats/calibration.c - see calibration.h. */
#include "formats/calibration.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/names.h"

struct rc_calib {
    rc_mem *mem;
    rc_imatrix *imatrix;
    const rc_gguf *head; /* NULL: a .dat */
    rc_names names;      /* of its tensors */
    rc_calib_origin origin;
};

/* ---------------------------------------------------------------------- open */

static const char *tensor_name(const void *owner, size_t i)
{
    return rc_gguf_tensor_at(owner, i)->name;
}

static void read_origin(rc_calib *c)
{
    rc_calib_origin *o = &c->origin;
    uint64_t version, moments = 0;

    if (!c->head || !rc_gguf_get_u64(c->head, "recast.calibration.version", &version))
        return;
    o->ours = true;
    (void)rc_gguf_get_u64(c->head, "recast.calibration.tokens", &o->tokens);
    (void)rc_gguf_get_u64(c->head, "recast.calibration.moments", &moments);
    o->moments = moments <= RC_CALIB_BLOCK ? (uint32_t)moments : 0;
    (void)rc_gguf_get_str(c->head, "recast.calibration.model", o->model, sizeof o->model);
    (void)rc_gguf_get_str(c->head, "recast.calibration.tokenizer", o->tokenizer,
                          sizeof o->tokenizer);
    (void)rc_gguf_get_str(c->head, "recast.calibration.tokens_digest", o->tokens_digest,
                          sizeof o->tokens_digest);
    (void)rc_gguf_get_str(c->head, "recast.calibration.numerics", o->numerics, sizeof o->numerics);
}

static rc_code index_tensors(rc_calib *c, rc_err *err)
{
    const size_t n = c->head ? rc_gguf_tensors(c->head) : 0;

    rc_names_init(&c->names, c->mem, tensor_name, c->head);
    if (!rc_names_reserve(&c->names, n))
        return rc_fail_nomem(err, c->mem, n * sizeof(uint32_t));
    for (size_t i = 0; i < n; i++)
        if (!rc_names_add(&c->names, i))
            return rc_fail_nomem(err, c->mem, sizeof(uint32_t));
    return RC_OK;
}

/* Around an imatrix; NULL bytes: the file at `path`. */
static rc_code open_either(rc_calib **out, const char *path, const uint8_t *bytes, size_t len,
                           const rc_log *log, rc_mem *mem, rc_err *err)
{
    rc_calib *c = rc_mem_get(mem, sizeof *c);
    rc_code rc;

    *out = NULL;
    if (!c)
        return rc_fail_nomem(err, mem, sizeof *c);
    c->mem = mem;
    rc = bytes ? rc_imatrix_parse(&c->imatrix, bytes, len, log, mem, err)
               : rc_imatrix_open(&c->imatrix, path, log, mem, err);
    if (rc == RC_OK) {
        c->head = rc_imatrix_gguf(c->imatrix);
        read_origin(c);
        rc = index_tensors(c, err);
    }
    if (rc != RC_OK)
        rc_calib_free(&c);
    *out = c;
    return rc;
}

rc_code rc_calib_open(rc_calib **out, const char *path, const rc_log *log, rc_mem *mem, rc_err *err)
{
    return open_either(out, path, NULL, 0, log, mem, err);
}

rc_code rc_calib_parse(rc_calib **out, const uint8_t *bytes, size_t len, const rc_log *log,
                       rc_mem *mem, rc_err *err)
{
    static const uint8_t nothing[1];

    return open_either(out, NULL, bytes ? bytes : nothing, len, log, mem, err);
}

void rc_calib_free(rc_calib **calib)
{
    rc_calib *c = *calib;

    *calib = NULL;
    if (!c)
        return;
    rc_names_free(&c->names);
    rc_imatrix_free(&c->imatrix);
    rc_mem_put(c->mem, c);
}

const rc_imatrix *rc_calib_imatrix(const rc_calib *c)
{
    return c->imatrix;
}

const rc_calib_origin *rc_calib_origin_of(const rc_calib *c)
{
    return &c->origin;
}

/* --------------------------------------------------------------------- places */

static const char *const owners[RC_INPUT_COUNT] = {
    [RC_INPUT_ATTN] = "attn_q_a.weight",
    [RC_INPUT_Q] = "attn_q_b.weight",
    [RC_INPUT_O_A] = "attn_output_a.weight",
    [RC_INPUT_O_B] = "attn_output_b.weight",
    [RC_INPUT_FFN] = "ffn_gate_shexp.weight",
    [RC_INPUT_EXPERT] = "ffn_gate_exps.weight",
    [RC_INPUT_DOWN] = "ffn_down_exps.weight",
    [RC_INPUT_SHARED_DOWN] = "ffn_down_shexp.weight",
    [RC_INPUT_E_PROJ] = "nextn.eh_proj.weight",
    [RC_INPUT_H_PROJ] = "nextn.eh_proj.weight",
    [RC_INPUT_HEAD] = NULL, /* itself */
};

/* The statistics of one parameter. */
typedef struct spot {
    rc_input_at at;
    rc_gguf_place place;
    char owner[RC_GGUF_MAX_NAME + 1];
    uint64_t row, rows;        /* of the stack */
    uint64_t cols, col, pitch; /* its own; where they begin, and the columns of the tensor */
} spot;

static bool find_spot(spot *s, const rc_param *p, const rc_config *c)
{
    const char *below;

    if (p->rank != 2 || !rc_input_of(p, c, &s->at) ||
        !rc_gguf_place_of(&s->place, p, c, RC_GGUF_EMBED))
        return false;
    below = p->layer < 0 ? NULL : strchr(s->place.name + strlen("blk."), '.');
    snprintf(s->owner, sizeof s->owner, "%.*s%s", (int)(below ? below + 1 - s->place.name : 0),
             s->place.name, below ? owners[s->at] : s->place.name);
    s->rows = p->expert >= 0 ? c->n_routed_experts : 1;
    s->row = p->expert >= 0 ? (uint64_t)p->expert : 0;
    s->cols = p->shape[1];
    s->col = s->place.col;
    s->pitch = s->place.shape[s->place.rank - 1];
    return true;
}

bool rc_calib_owner(char name[RC_GGUF_MAX_NAME + 1], const rc_param *param, const rc_config *config)
{
    spot s;

    if (!find_spot(&s, param, config))
        return false;
    memcpy(name, s.owner, sizeof s.owner);
    return true;
}

/* -------------------------------------------------------------------- reading */

static rc_code fail_other(const rc_calib *c, const char *name, rc_err *err)
{
    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET,
            "the statistics are of another model: an entry has another size");
    rc_err_file(err, rc_imatrix_path(c->imatrix));
    rc_err_tensor(err, name);
    rc_err_hint(err, "run recast calibrate on this model, or on one of the same sizes");
    return RC_E_TENSORSET;
}

/* "NAME.what" with `n` elements of 4 bytes; *t NULL when it is not there. */
static rc_code find_extra(const rc_calib *c, const char *name, const char *what, rc_dtype dtype,
                          uint64_t n, const rc_gguf_tensor **t, rc_err *err)
{
    char full[RC_GGUF_MAX_NAME + 32];
    size_t i;

    *t = NULL;
    if (!c->head)
        return RC_OK;
    snprintf(full, sizeof full, "%s.%s", name, what);
    i = rc_names_find(&c->names, full, strlen(full));
    if (i == RC_NAMES_NONE)
        return RC_OK;
    *t = rc_gguf_tensor_at(c->head, i);
    if ((*t)->type->dtype != dtype || (*t)->nbytes / 4 != n)
        return fail_other(c, full, err);
    return RC_OK;
}

static rc_code bad_number(const rc_calib *c, const rc_gguf_tensor *t, uint64_t i, rc_err *err)
{
    rc_fail(err, RC_E_DATA, t->begin + 4 * i, "value %" PRIu64 " cannot be", i);
    rc_err_file(err, rc_imatrix_path(c->imatrix));
    rc_err_tensor(err, t->name);
    return RC_E_DATA;
}

/* n finite values from element `at` on, none below `least`. */
static rc_code read_floats(const rc_calib *c, const rc_gguf_tensor *t, uint64_t at, size_t n,
                           float least, float *out, rc_err *err)
{
    RC_TRY(rc_imatrix_read(c->imatrix, t->begin + 4 * at, out, n * sizeof *out, err));
    for (size_t i = 0; i < n; i++)
        if (!(isfinite(out[i]) && out[i] >= least))
            return bad_number(c, t, at + i, err);
    return RC_OK;
}

static rc_code squares_of(const rc_calib *c, const spot *s, float *out, bool *found, rc_err *err)
{
    rc_imatrix_found how;

    RC_TRY(rc_imatrix_part(c->imatrix, s->place.name, s->row, s->rows, s->pitch, s->col, s->cols,
                           out, &how, err));
    *found = how == RC_IMATRIX_FOUND;
    return how == RC_IMATRIX_MISMATCH ? fail_other(c, s->place.name, err) : RC_OK;
}

/* One number of a row of the owner's; *v 0 when there is none. */
static rc_code per_row(const rc_calib *c, const spot *s, const char *what, float *v, rc_err *err)
{
    const rc_gguf_tensor *t;

    *v = 0;
    RC_TRY(find_extra(c, s->owner, what, RC_DTYPE_F32, s->rows, &t, err));
    if (t)
        RC_TRY(read_floats(c, t, s->row, 1, 0, v, err));
    *v = roundf(*v);
    return RC_OK;
}

static rc_code abs_of(const rc_calib *c, const spot *s, float *out, bool *found, rc_err *err)
{
    const rc_gguf_tensor *t;
    float n;

    RC_TRY(find_extra(c, s->owner, "in_abs", RC_DTYPE_F32, s->rows * s->pitch, &t, err));
    RC_TRY(per_row(c, s, "counts", &n, err));
    if (!t || n == 0.0f) {
        RC_TRY(squares_of(c, s, out, found, err));
        for (uint64_t i = 0; *found && i < s->cols; i++)
            out[i] = sqrtf(out[i]);
        return RC_OK;
    }
    RC_TRY(read_floats(c, t, s->row * s->pitch + s->col, s->cols, 0, out, err));
    for (uint64_t i = 0; i < s->cols; i++)
        out[i] /= n;
    *found = true;
    return RC_OK;
}

/* The triangle of a block lies in the file; here it becomes a square of means. */
static rc_code moments_of(const rc_calib *c, const spot *s, size_t block, float *out, bool *found,
                          rc_err *err)
{
    const size_t b = c->origin.moments, blocks = b ? (s->pitch + b - 1) / b : 0;
    const size_t wide = b * (b + 1) / 2, left = block < blocks ? s->cols - block * b : 0;
    const size_t m = left < b ? left : b;
    const rc_gguf_tensor *t;
    float n;

    *found = false;
    if (m == 0 || s->pitch != s->cols)
        return RC_OK;
    RC_TRY(find_extra(c, s->owner, "in_cov", RC_DTYPE_F32, s->rows * blocks * wide, &t, err));
    RC_TRY(per_row(c, s, "seen", &n, err));
    if (!t || n == 0.0f)
        return RC_OK;
    for (size_t i = 0; i < m; i++) {
        const uint64_t at = (s->row * blocks + block) * wide + i * (i + 1) / 2;

        RC_TRY(read_floats(c, t, at, i + 1, -INFINITY, out + i * m, err));
        for (size_t j = 0; j <= i; j++) {
            out[i * m + j] /= n;
            out[j * m + i] = out[i * m + j];
        }
    }
    *found = true;
    return RC_OK;
}

rc_code rc_calib_get(const rc_calib *c, const rc_param *param, const rc_config *config,
                     rc_calib_what what, size_t block, float *out, bool *found, rc_err *err)
{
    spot s;

    *found = false;
    if (!find_spot(&s, param, config))
        return RC_OK;
    switch (what) {
    case RC_CALIB_SQUARES:
        return squares_of(c, &s, out, found, err);
    case RC_CALIB_ABS:
        return abs_of(c, &s, out, found, err);
    case RC_CALIB_MOMENTS:
        break;
    }
    return moments_of(c, &s, block, out, found, err);
}

rc_code rc_calib_seen(const rc_calib *c, const rc_param *param, const rc_config *config,
                      uint64_t *tokens, rc_err *err)
{
    float n = 0;
    spot s;

    *tokens = 0;
    if (!find_spot(&s, param, config))
        return RC_OK;
    RC_TRY(per_row(c, &s, "seen", &n, err));
    if (n == 0.0f && !c->origin.ours)
        RC_TRY(per_row(c, &s, "counts", &n, err));
    else if (s.at == RC_INPUT_O_A)
        n /= (float)config->o_groups;
    *tokens = n < 0x1p63f ? (uint64_t)n : UINT64_MAX; /* beyond, a cast is undefined */
    return RC_OK;
}

/* --------------------------------------------------------------------- sample */

static rc_code check_experts(const rc_calib *c, const rc_gguf_tensor *t, const rc_calib_sample *s,
                             uint32_t experts, rc_err *err)
{
    for (size_t i = 0; i < s->rows * s->k; i++)
        if (s->expert[i] >= experts)
            return bad_number(c, t, i, err);
    return RC_OK;
}

static rc_code read_sample(const rc_calib *c, const rc_gguf_tensor *const t[3], uint32_t experts,
                           rc_calib_sample *s, rc_mem *mem, rc_err *err)
{
    const size_t all = s->rows * s->cols, chosen = s->rows * s->k;

    s->x = rc_mem_get(mem, all * sizeof *s->x);
    s->expert = rc_mem_get(mem, chosen * sizeof *s->expert);
    s->weight = rc_mem_get(mem, chosen * sizeof *s->weight);
    if (!s->x || !s->expert || !s->weight)
        return rc_fail_nomem(err, mem, all * sizeof *s->x);
    RC_TRY(read_floats(c, t[0], 0, all, -INFINITY, s->x, err));
    RC_TRY(rc_imatrix_read(c->imatrix, t[1]->begin, s->expert, chosen * sizeof *s->expert, err));
    RC_TRY(check_experts(c, t[1], s, experts, err));
    return read_floats(c, t[2], 0, chosen, 0, s->weight, err);
}

rc_code rc_calib_sample_get(const rc_calib *c, uint32_t block, const rc_config *config,
                            rc_calib_sample *out, rc_mem *mem, rc_err *err)
{
    const rc_gguf_tensor *t[3];
    char name[32], full[48];
    size_t i;
    rc_code rc;

    *out = (rc_calib_sample){ .cols = config->hidden_size, .k = config->num_experts_per_tok };
    snprintf(name, sizeof name, "blk.%" PRIu32 ".ffn_sample", block);
    snprintf(full, sizeof full, "%s.x", name);
    i = c->head ? rc_names_find(&c->names, full, strlen(full)) : RC_NAMES_NONE;
    if (i == RC_NAMES_NONE)
        return RC_OK;
    out->rows = (size_t)(rc_gguf_tensor_at(c->head, i)->nbytes / 4 / out->cols);
    RC_TRY(find_extra(c, name, "x", RC_DTYPE_F32, out->rows * out->cols, &t[0], err));
    RC_TRY(find_extra(c, name, "expert", RC_DTYPE_I32, out->rows * out->k, &t[1], err));
    RC_TRY(find_extra(c, name, "weight", RC_DTYPE_F32, out->rows * out->k, &t[2], err));
    if (!t[1] || !t[2])
        return fail_other(c, full, err);
    rc = read_sample(c, t, config->n_routed_experts, out, mem, err);
    if (rc != RC_OK)
        rc_calib_sample_free(out, mem);
    return rc;
}

void rc_calib_sample_free(rc_calib_sample *s, rc_mem *mem)
{
    rc_mem_put(mem, s->x);
    rc_mem_put(mem, s->expert);
    rc_mem_put(mem, s->weight);
    *s = (rc_calib_sample){ 0 };
}
