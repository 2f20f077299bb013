/* verify/golden_record.c - a golden file is made: see golden_run.h. */
#include <stdlib.h>
#include <string.h>

#include "formats/golden_write.h"
#include "kernels/divergence.h"
#include "runtime/threads.h"
#include "runtime/top_k.h"
#include "verify/golden_pass.h"
#include "verify/golden_text.h"
#include "verify/sayings.h"

typedef struct ranked {
    float logit;
    uint32_t id;
} ranked;

typedef struct recorder {
    rc_mem *mem;
    const rc_windows *windows;
    rc_golden_head head;
    rc_golden_writer *writer;
    rc_golden_pass pass;
    rc_saying *saying; /* [run] */
    float *rows;       /* [run, vocab], with every logit */
    rc_golden_said said;
    ranked *ranked; /* [run, k] */
} recorder;

/* -------------------------------------------------------------------- header */

/* The last part of a path, without the slashes behind it. */
static void put_name(char *out, size_t n, const char *path)
{
    size_t end = path ? strlen(path) : 0, begin;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin && path[begin - 1] != '/'; begin--)
        ;
    end = end - begin < n ? end : begin + n - 1;
    if (end > begin)
        memcpy(out, path + begin, end - begin);
    out[end - begin] = '\0';
}

static void put_text(char *out, size_t n, const char *text)
{
    const size_t len = text ? strlen(text) : 0, kept = len < n ? len : n - 1;

    if (kept)
        memcpy(out, text, kept);
    out[kept] = '\0';
}

static void describe(rc_golden_head *h, const rc_config *c, const rc_windows *w,
                     const rc_forward_options *run, const rc_provenance *from)
{
    put_text(h->version, sizeof h->version, from->version);
    put_name(h->native, sizeof h->native, from->native);
    put_text(h->variant, sizeof h->variant, from->native_variant);
    put_text(h->revision, sizeof h->revision, from->revision);
    put_text(h->config, sizeof h->config, from->config);
    put_name(h->text, sizeof h->text, from->text);
    put_text(h->numerics, sizeof h->numerics,
             run->numerics == RC_NUMERICS_NATIVE ? "native" : "f32");
    rc_golden_tokens_digest(w, h->tokens);
    h->vocab = c->vocab_size;
    h->layers = c->num_hidden_layers;
    h->streams = c->hc_mult;
    h->hidden = c->hidden_size;
    h->ctx = w->ctx;
    h->stride = w->stride;
    h->skip = w->skip;
    h->bos = w->bos;
    h->text_tokens = rc_golden_text_length(w);
    h->windows = w->windows;
    h->window_tokens = w->tokens;
    h->scored = w->scored;
}

static rc_code set_top_k(rc_golden_head *h, uint32_t top_k, rc_err *err)
{
    h->top_k = top_k < h->vocab ? top_k : h->vocab;
    if (top_k == 0 || (top_k >= RC_GOLDEN_LEAST_K && top_k <= RC_GOLDEN_MOST_K))
        return RC_OK;
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "a golden file cannot keep so many candidates");
    rc_err_want(err, "%u to %u, or all", RC_GOLDEN_LEAST_K, RC_GOLDEN_MOST_K);
    rc_err_got(err, "%" PRIu32, top_k);
    return RC_E_USAGE;
}

/* -------------------------------------------------------------------- layers */

static rc_code record_layer(recorder *r, rc_err *err)
{
    const rc_golden_sum *sum;
    const float *sketch;

    RC_TRY(rc_golden_pass_layer(&r->pass, err));
    RC_TRY(rc_golden_look_layer(r->pass.look, &sum, &sketch, err));
    return rc_golden_put_layer(r->writer, sum, sketch, err);
}

/* -------------------------------------------------------------------- logits */

/* Likeliest first, of equals the lowest id. */
static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;

    if (x->logit > y->logit || x->logit < y->logit)
        return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* m tokens past the candidates, of those one with its share of their probability `rest`: the first
 * at which the sum over tokens in the order of ids passes a point of the j-th m-th of `rest`.
 * `top`: the candidates, ascending. */
static void draw(const recorder *r, size_t i, uint64_t token, const float *logits,
                 const uint32_t *top, double rest)
{
    const size_t m = r->head.draws, k = r->head.top_k;
    uint32_t *id = r->said.drawn + i * m, last = 0;
    double *logprob = r->said.drawn_logprob + i * m;
    double sum = 0;
    size_t j = 0, past = 0;

    for (uint32_t v = 0; v < r->head.vocab && j < m; v++) {
        if (past < k && top[past] == v) {
            past++;
            continue;
        }
        last = v;
        sum += rc_exp_f64((double)logits[v] - r->saying[i].log_sum);
        while (j < m && sum > rest * ((double)j + rc_golden_uniform(token * m + j)) / (double)m)
            id[j++] = v;
    }
    while (j < m) /* what rounding left */
        id[j++] = last;
    for (j = 0; j < m; j++)
        logprob[j] = (double)logits[id[j]] - r->saying[i].log_sum;
}

/* Position i of the section, `token` of the windows, from its logits and what is said of them. */
static void keep(const recorder *r, size_t i, uint64_t token, const float *logits)
{
    const size_t k = r->head.top_k, vocab = r->head.vocab;
    const rc_saying *s = &r->saying[i];
    const rc_golden_said *out = &r->said;
    ranked *best = r->ranked + i * k;
    uint32_t *id = out->id + i * k;
    double rest = 1;

    rc_top_k(id, logits, vocab, k);
    for (size_t j = 0; j < k; j++)
        best[j] = (ranked){ logits[id[j]], id[j] };
    qsort(best, k, sizeof *best, by_rank);
    for (size_t j = 0; j < k; j++) {
        const double lp = (double)best[j].logit - s->log_sum;

        out->logprob[i * k + j] = lp;
        rest -= rc_exp_f64(lp);
    }
    rest = k < vocab && rest > 0 ? rest : 0;
    draw(r, i, token, logits, id, rest);
    for (size_t j = 0; j < k; j++)
        id[j] = best[j].id;
    out->tail[i] = (float)rest;
    out->next[i] = s->logprob < 0 ? (float)s->logprob : 0.0f;
}

/* Rows [from, from + n) of the section. */
static rc_code take_rows(recorder *r, const rc_golden_run *run, size_t from, const float *rows,
                         size_t n, rc_err *err)
{
    const size_t vocab = r->head.vocab, at = run->at + from;
    const unsigned team = rc_threads_for(r->pass.threads, n);

    rc_sayings_of(r->saying + from, rows, n, vocab, r->windows->token + at + 1, r->pass.threads);
    for (size_t i = 0; i < n; i++)
        if (r->saying[from + i].broken) {
            rc_fail(err, RC_E_NUMERIC, RC_NO_OFFSET,
                    "the logits after token %zu of the windows are no numbers", at + i);
            rc_err_hint(err, "a golden file of this model would be no measure");
            return RC_E_NUMERIC;
        }
    if (r->rows) {
        memcpy(r->rows + from * vocab, rows, n * vocab * sizeof *rows);
        return RC_OK;
    }
    RC_PARALLEL(team, for schedule(static))
    for (size_t i = 0; i < n; i++)
        keep(r, from + i, at + i, rows + i * vocab);
    return RC_OK;
}

static rc_code record_run(recorder *r, const rc_golden_run *run, rc_err *err)
{
    const size_t vocab = r->head.vocab;
    const float *rows;
    rc_hasher hasher;
    rc_digest digest;

    rc_hash_begin(&hasher);
    for (size_t from = 0, n = 0; from < run->n; from += n) {
        RC_TRY(rc_golden_pass_rows(&r->pass, run->at + from, run->end, &rows, &n, err));
        n = n < run->n - from ? n : run->n - from;
        rc_hash_add(&hasher, rows, n * vocab * sizeof *rows);
        RC_TRY(take_rows(r, run, from, rows, n, err));
    }
    digest = rc_hash_end(&hasher);
    if (r->rows)
        return rc_golden_put_rows(r->writer, &digest, r->rows, run->n, err);
    r->said.digest = digest;
    return rc_golden_put_said(r->writer, &r->said, run->n, err);
}

/* ---------------------------------------------------------------------- whole */

static rc_code get_room(recorder *r, rc_err *err)
{
    const size_t run = r->head.run, many = run * r->head.top_k, drawn = run * r->head.draws;

    r->saying = rc_mem_get(r->mem, run * sizeof *r->saying);
    if (r->head.top_k == 0)
        r->rows = rc_mem_get(r->mem, run * r->head.vocab * sizeof *r->rows);
    r->ranked = rc_mem_get(r->mem, many * sizeof *r->ranked);
    r->said = (rc_golden_said){ .id = rc_mem_get(r->mem, many * sizeof *r->said.id),
                                .logprob = rc_mem_get(r->mem, many * sizeof *r->said.logprob),
                                .drawn = rc_mem_get(r->mem, drawn * sizeof *r->said.drawn),
                                .drawn_logprob =
                                    rc_mem_get(r->mem, drawn * sizeof *r->said.drawn_logprob),
                                .tail = rc_mem_get(r->mem, run * sizeof *r->said.tail),
                                .next = rc_mem_get(r->mem, run * sizeof *r->said.next) };
    return r->saying && (r->rows || r->head.top_k) && r->ranked && r->said.id && r->said.logprob &&
                   r->said.drawn && r->said.drawn_logprob && r->said.tail && r->said.next
               ? RC_OK
               : rc_fail_nomem(err, r->mem, 0);
}

static rc_code record_text(recorder *r, rc_err *err)
{
    const size_t n = (size_t)r->head.text_tokens;
    uint32_t *id = rc_mem_get(r->mem, n * sizeof *id);
    rc_code rc = id ? RC_OK : rc_fail_nomem(err, r->mem, n * sizeof *id);

    if (rc == RC_OK) {
        rc_golden_text_ids(r->windows, id, n);
        rc = rc_golden_put_tokens(r->writer, id, err);
    }
    rc_mem_put(r->mem, id);
    return rc;
}

static rc_code record(recorder *r, _Atomic uint64_t *done, rc_err *err)
{
    rc_golden_run run = { 0 };

    RC_TRY(record_text(r, err));
    for (uint32_t l = 0; l < r->head.layers; l++) {
        RC_TRY(record_layer(r, err));
        if (done)
            (*done)++;
    }
    while (rc_golden_run_next(&run, &r->pass))
        RC_TRY(record_run(r, &run, err));
    if (done)
        (*done)++;
    return rc_golden_finish(r->writer, err);
}

rc_code rc_golden_record(const rc_target *target, rc_model *model, const rc_windows *windows,
                         uint32_t top_k, const rc_forward_options *run, const rc_provenance *from,
                         _Atomic uint64_t *done, rc_mem *mem, rc_err *err)
{
    recorder r = { .mem = mem, .windows = windows, .pass.mem = mem };
    rc_code rc;

    describe(&r.head, rc_ckpt_config(rc_model_ckpt(model)), windows, run, from);
    RC_TRY(set_top_k(&r.head, top_k, err));
    RC_TRY(rc_golden_plan(&r.head, err));
    rc = get_room(&r, err);
    if (rc == RC_OK)
        rc = rc_golden_pass_open(&r.pass, model, &r.head, windows, run, mem, err);
    if (rc == RC_OK)
        rc = rc_golden_writer_new(&r.writer, target, &r.head, mem, err);
    if (rc == RC_OK)
        rc = record(&r, done, err);
    rc_golden_writer_free(&r.writer);
    rc_golden_pass_close(&r.pass);
    rc_mem_put(mem, r.saying);
    rc_mem_put(mem, r.rows);
    rc_mem_put(mem, r.ranked);
    rc_mem_put(mem, r.said.id);
    rc_mem_put(mem, r.said.logprob);
    rc_mem_put(mem, r.said.drawn);
    rc_mem_put(mem, r.said.drawn_logprob);
    rc_mem_put(mem, r.said.tail);
    rc_mem_put(mem, r.said.next);
    return rc;
}
