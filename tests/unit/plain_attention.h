/* tests/unit/plain_attention.h - the attention of one block in double, one position after the
 * other, from the description of the model alone: no kernel, no cache, no runs.
 *
 * `native` rounds where the reference does. Sums are then in another precision than
 * anybody's, so that now and then a value is rounded to the other neighbour. */
#ifndef RC_TESTS_UNIT_PLAIN_ATTENTION_H
#define RC_TESTS_UNIT_PLAIN_ATTENTION_H

#include "tests/unit/fixture.h"

#include <math.h>

#include "runtime/block.h"

enum { PLAIN_MATRICES = 24 };

typedef struct plain {
    rc_engine *e;
    const rc_config *c;
    const rc_block_id *id;
    bool native;
    size_t n;       /* positions */
    const float *x; /* [n, D] */
    /* what has been made so far */
    double *key;                   /* [n, C] */
    double *a, *z, *ia, *iz;       /* rows of both compressors */
    double *block_key, *index_key; /* [n / ratio, C], [n / ratio, c] */
    struct {
        char name[64];
        float *v;
    } matrix[PLAIN_MATRICES];
} plain;

static double *plain_get(size_t n)
{
    double *p = calloc(n ? n : 1, sizeof *p);

    assert_non_null(p);
    return p;
}

/* ---- rounding, by arithmetic ---- */

/* To the nearest multiple of a power of two that leaves `bits` bits, ties to even; below 2^least
 * the step stays. */
static double plain_round(double v, int bits, int least)
{
    int e;
    double step;

    if (v == 0)
        return v;
    frexp(v, &e); /* |v| in [2^(e-1), 2^e) */
    step = ldexp(1, (e - 1 > least ? e - 1 : least) - bits + 1);
    return nearbyint(v / step) * step;
}

static void plain_bf16(const plain *p, double *v, size_t n)
{
    for (size_t i = 0; p->native && i < n; i++)
        v[i] = plain_round(v[i], 8, -126);
}

static void plain_quant(double *v, size_t n, size_t block, double top, int bits, int least,
                        double floor_)
{
    for (size_t b = 0; b < n; b += block) {
        double most = floor_, s;

        for (size_t i = b; i < b + block; i++)
            most = fmax(most, fabs(v[i]));
        s = exp2(ceil(log2(most / top)));
        for (size_t i = b; i < b + block; i++)
            v[i] = plain_round(fmax(fmin(v[i] / s, top), -top), bits, least) * s;
    }
}

static void plain_fp8(const plain *p, double *v, size_t n, size_t block)
{
    if (p->native)
        plain_quant(v, n, block, 448, 4, -6, 1e-4);
}

static void plain_fp4(const plain *p, double *v, size_t n)
{
    if (p->native)
        plain_quant(v, n, 32, 6, 2, 0, 6 * 0x1p-126);
}

/* ---- pieces ---- */

/* The parameter [rows, cols], decoded whole. */
static const float *plain_matrix(plain *p, const char *name, size_t rows, size_t cols)
{
    const rc_bound *bound;
    uint32_t *row = calloc(rows, sizeof *row);
    size_t i = 0;
    rc_err err;

    for (; i < PLAIN_MATRICES && p->matrix[i].v; i++)
        if (strcmp(p->matrix[i].name, name) == 0) {
            free(row);
            return p->matrix[i].v;
        }
    assert_true(i < PLAIN_MATRICES);
    snprintf(p->matrix[i].name, sizeof p->matrix[i].name, "%s", name);
    p->matrix[i].v = calloc(rows * cols, sizeof(float));
    assert_int_equal(rc_block_find(p->e, p->id, name, &bound, &err), RC_OK);
    assert_int_equal(bound->param->shape[0], rows);
    assert_true(bound->param->rank == 1 ? cols == 1 : bound->param->shape[1] == cols);
    if (bound->param->rank == 1) {
        float *v;

        assert_int_equal(rc_block_small(p->e, p->id, name, rows, &v, &err), RC_OK);
        memcpy(p->matrix[i].v, v, rows * sizeof *v);
        rc_mem_put(p->e->mem, v);
    } else {
        for (size_t r = 0; r < rows; r++)
            row[r] = (uint32_t)r;
        assert_int_equal(
            rc_weights_rows(p->e->weights, bound, row, rows, p->matrix[i].v, cols, &err), RC_OK);
    }
    free(row);
    return p->matrix[i].v;
}

typedef enum plain_kind { PLAIN_FP8, PLAIN_BF16, PLAIN_F32 } plain_kind;

/* y[rows] = rows [row, row + rows) of the matrix [all, cols] times x. */
static void plain_linear(plain *p, plain_kind kind, double *y, const char *name, size_t all,
                         size_t row, size_t rows, const double *x, size_t cols)
{
    const float *w = plain_matrix(p, name, all, cols);
    double *in = plain_get(cols);

    memcpy(in, x, cols * sizeof *in);
    if (kind == PLAIN_FP8)
        plain_fp8(p, in, cols, 128);
    for (size_t r = 0; r < rows; r++) {
        y[r] = 0;
        for (size_t i = 0; i < cols; i++)
            y[r] += w[(row + r) * cols + i] * in[i];
    }
    if (kind != PLAIN_F32)
        plain_bf16(p, y, rows);
    free(in);
}

static void plain_norm(plain *p, double *v, const char *name, size_t n)
{
    const float *w = plain_matrix(p, name, n, 1);
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += v[i] * v[i];
    for (size_t i = 0; i < n; i++)
        v[i] *= w[i] / sqrt(sum / (double)n + p->c->rms_norm_eps);
    plain_bf16(p, v, n);
}

static void plain_norm_head(const plain *p, double *v, size_t n)
{
    double mean = 0;

    for (size_t i = 0; i < n; i++) {
        double square = v[i] * v[i];

        plain_bf16(p, &square, 1);
        mean += square;
    }
    mean /= (double)n;
    plain_bf16(p, &mean, 1);
    mean += p->c->rms_norm_eps;
    plain_bf16(p, &mean, 1);
    mean = 1 / sqrt(mean);
    plain_bf16(p, &mean, 1);
    for (size_t i = 0; i < n; i++)
        v[i] *= mean;
    plain_bf16(p, v, n);
}

/* The last dims of v[n] turn by the angle of the position, or back. */
static void plain_rope(const plain *p, double *v, size_t n, size_t pos, double way)
{
    const rc_config *c = p->c;
    const double dims = c->qk_rope_head_dim, length = c->rope_original_max_position;
    const double theta = p->id->ratio ? c->compress_rope_theta : c->rope_theta;
    const double turn = 2 * acos(-1), ln = 2 * log(theta);
    const double low = fmax(floor(dims * log(length / (c->rope_beta_fast * turn)) / ln), 0);
    const double high = fmin(ceil(dims * log(length / (c->rope_beta_slow * turn)) / ln), dims - 1);

    for (size_t i = 0; i < c->qk_rope_head_dim / 2; i++) {
        double *x = v + n - c->qk_rope_head_dim + 2 * i;
        double w = pow(theta, -2.0 * (double)i / dims), re, im;

        if (p->id->ratio) {
            const double ramp = fmin(fmax(((double)i - low) / (high - low), 0), 1);

            w = w / c->rope_factor * ramp + w * (1 - ramp);
        }
        re = x[0] * cos((double)pos * w) - way * x[1] * sin((double)pos * w);
        im = way * x[0] * sin((double)pos * w) + x[1] * cos((double)pos * w);
        x[0] = re;
        x[1] = im;
    }
    plain_bf16(p, v + n - c->qk_rope_head_dim, c->qk_rope_head_dim);
}

static void plain_hadamard(const plain *p, double *v, size_t n)
{
    double *y = plain_get(n);

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            y[i] += __builtin_parityll(i & j) ? -v[j] : v[j];
        y[i] /= sqrt((double)n);
    }
    memcpy(v, y, n * sizeof *v);
    free(y);
    plain_bf16(p, v, n);
}

/* ---- the compressors ---- */

/* Rows a and z of position t; the key of the block that ends there, if one does. */
static void plain_compress(plain *p, const char *where, size_t d, double *a, double *z,
                           const double *x, size_t t, double *keys)
{
    const size_t r = p->id->ratio, f = r == 4 ? 2 : 1, width = f * d, b = t / r;
    double *v = keys + b * d;
    char name[64];
    const float *ape;

    snprintf(name, sizeof name, "%scompressor.wkv.weight", where);
    plain_linear(p, PLAIN_F32, a + t * width, name, width, 0, width, x, p->c->hidden_size);
    snprintf(name, sizeof name, "%scompressor.wgate.weight", where);
    plain_linear(p, PLAIN_F32, z + t * width, name, width, 0, width, x, p->c->hidden_size);
    snprintf(name, sizeof name, "%scompressor.ape", where);
    ape = plain_matrix(p, name, r, width);
    for (size_t i = 0; i < width; i++)
        z[t * width + i] += ape[t % r * width + i];
    if ((t + 1) % r)
        return;
    for (size_t i = 0; i < d; i++) {
        double above = 0, below = 0;

        for (size_t u = f == 2 && b > 0 ? (b - 1) * r : b * r; u <= t; u++) {
            const size_t at = u * width + (f == 2 && u >= b * r ? d : 0) + i;

            above += exp(z[at]) * a[at];
            below += exp(z[at]);
        }
        v[i] = above / below;
    }
    plain_bf16(p, v, d);
    snprintf(name, sizeof name, "%scompressor.norm.weight", where);
    plain_norm(p, v, name, d);
    plain_rope(p, v, d, b * r, 1);
    if (strcmp(where, "attn.") == 0) {
        plain_fp8(p, v, d - p->c->qk_rope_head_dim, 64);
    } else {
        plain_hadamard(p, v, d);
        plain_fp4(p, v, d);
    }
}

/* ---- the indexer ---- */

/* takes[b]: is block b among the chosen of those that position t sees? */
static void plain_choose(plain *p, bool *takes, const double *x, const double *qr, size_t t)
{
    const rc_config *c = p->c;
    const size_t sees = (t + 1) / 4, heads = c->index_n_heads, d = c->index_head_dim;
    double *q = plain_get(heads * d), *w = plain_get(heads), *s = plain_get(sees);

    plain_linear(p, PLAIN_FP8, q, "attn.indexer.wq_b.weight", heads * d, 0, heads * d, qr,
                 c->q_lora_rank);
    plain_linear(p, PLAIN_BF16, w, "attn.indexer.weights_proj.weight", heads, 0, heads, x,
                 c->hidden_size);
    for (size_t h = 0; h < heads; h++) {
        plain_rope(p, q + h * d, d, t, 1);
        plain_hadamard(p, q + h * d, d);
        plain_fp4(p, q + h * d, d);
        w[h] *= 1 / sqrt((double)(d * heads));
    }
    plain_bf16(p, w, heads);
    for (size_t b = 0; b < sees; b++) {
        for (size_t h = 0; h < heads; h++) {
            double dot = 0;

            for (size_t i = 0; i < d; i++)
                dot += q[h * d + i] * p->index_key[b * d + i];
            plain_bf16(p, &dot, 1);
            dot = fmax(dot, 0) * w[h];
            plain_bf16(p, &dot, 1);
            s[b] += dot;
        }
        plain_bf16(p, &s[b], 1);
    }
    for (size_t b = 0; b < sees; b++) {
        size_t better = 0;

        for (size_t o = 0; o < sees; o++)
            better += s[o] > s[b] || (s[o] == s[b] && o < b);
        takes[b] = better < c->index_topk;
    }
    free(q);
    free(w);
    free(s);
}

/* ---- the whole ---- */

/* One head over a list of keys. */
static void plain_head(const plain *p, double *q, const double **key, size_t n, double sink)
{
    const size_t d = p->c->head_dim;
    double *s = plain_get(n), *o = plain_get(d), most = -INFINITY, below = 0;

    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < d; i++)
            s[j] += q[i] * key[j][i];
        s[j] /= sqrt((double)d);
        most = fmax(most, s[j]);
    }
    for (size_t j = 0; j < n; j++) {
        double e = exp(s[j] - most);

        below += e;
        plain_bf16(p, &e, 1);
        for (size_t i = 0; i < d; i++)
            o[i] += e * key[j][i];
    }
    for (size_t i = 0; i < d; i++)
        q[i] = o[i] / (below + exp(sink - most));
    plain_bf16(p, q, d);
    free(s);
    free(o);
}

static void plain_position(plain *p, size_t t, double *y)
{
    const rc_config *c = p->c;
    const size_t d = c->hidden_size, rank = c->q_lora_rank, dim = c->head_dim;
    const size_t all = c->num_attention_heads * dim, group = all / c->o_groups;
    const size_t r = p->id->ratio, low = (size_t)c->o_groups * c->o_lora_rank;
    double *x = plain_get(d), *qr = plain_get(rank), *q = plain_get(all), *mid = plain_get(low);
    double *kv = p->key + t * dim;
    const double **key = calloc(2 * p->n, sizeof *key);
    bool *takes = calloc(p->n, sizeof *takes);
    size_t n = 0;

    for (size_t i = 0; i < d; i++)
        x[i] = p->x[t * d + i];
    plain_linear(p, PLAIN_FP8, qr, "attn.wq_a.weight", rank, 0, rank, x, d);
    plain_norm(p, qr, "attn.q_norm.weight", rank);
    plain_linear(p, PLAIN_FP8, q, "attn.wq_b.weight", all, 0, all, qr, rank);
    plain_linear(p, PLAIN_FP8, kv, "attn.wkv.weight", dim, 0, dim, x, d);
    plain_norm(p, kv, "attn.kv_norm.weight", dim);
    plain_rope(p, kv, dim, t, 1);
    plain_fp8(p, kv, dim - c->qk_rope_head_dim, 64);
    for (size_t u = t + 1 < c->sliding_window ? 0 : t + 1 - c->sliding_window; u <= t; u++)
        key[n++] = p->key + u * dim;
    if (r) {
        plain_compress(p, "attn.", dim, p->a, p->z, x, t, p->block_key);
        memset(takes, 1, p->n);
    }
    if (r == 4) {
        plain_compress(p, "attn.indexer.", c->index_head_dim, p->ia, p->iz, x, t, p->index_key);
        plain_choose(p, takes, x, qr, t);
    }
    for (size_t b = 0; r && b < (t + 1) / r; b++)
        if (takes[b])
            key[n++] = p->block_key + b * dim;
    for (size_t h = 0; h < c->num_attention_heads; h++) {
        plain_norm_head(p, q + h * dim, dim);
        plain_rope(p, q + h * dim, dim, t, 1);
        plain_head(p, q + h * dim, key, n,
                   plain_matrix(p, "attn.attn_sink", c->num_attention_heads, 1)[h]);
        plain_rope(p, q + h * dim, dim, t, -1);
    }
    for (size_t g = 0; g < c->o_groups; g++)
        plain_linear(p, PLAIN_BF16, mid + g * c->o_lora_rank, "attn.wo_a.weight", low,
                     g * c->o_lora_rank, c->o_lora_rank, q + g * group, group);
    plain_linear(p, PLAIN_FP8, y, "attn.wo_b.weight", d, 0, d, mid, low);
    free(x);
    free(qr);
    free(q);
    free(mid);
    free(key);
    free(takes);
}

/** y[n, D] of the block for x[n, D], positions from 0 on. */
static void plain_attention(rc_engine *e, const rc_block_id *id, const float *x, size_t n,
                            double *y)
{
    const rc_config *c = e->config;
    const size_t blocks = id->ratio ? n / id->ratio + 1 : 1;
    plain p = { .e = e,
                .c = c,
                .id = id,
                .native = e->numerics == RC_NUMERICS_NATIVE,
                .n = n,
                .x = x,
                .key = plain_get(n * c->head_dim),
                .a = plain_get(2 * n * c->head_dim),
                .z = plain_get(2 * n * c->head_dim),
                .ia = plain_get(2 * n * c->index_head_dim),
                .iz = plain_get(2 * n * c->index_head_dim),
                .block_key = plain_get(blocks * c->head_dim),
                .index_key = plain_get(blocks * c->index_head_dim) };

    for (size_t t = 0; t < n; t++)
        plain_position(&p, t, y + t * c->hidden_size);
    free(p.key);
    free(p.a);
    free(p.z);
    free(p.ia);
    free(p.iz);
    free(p.block_key);
    free(p.index_key);
    for (size_t i = 0; i < PLAIN_MATRICES; i++)
        free(p.matrix[i].v);
}

#endif
