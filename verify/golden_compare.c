/* verify/golden_compare.c - a model is held against a golden file: see golden_run.h. */
#include <math.h>
#include <string.h>

#include "kernels/divergence.h"
#include "runtime/threads.h"
#include "verify/golden_pass.h"
#include "verify/golden_run.h"
#include "verify/sayings.h"

typedef struct comparer {
    rc_mem *mem;
    rc_golden *golden;
    const rc_golden_head *head;
    const rc_windows *windows;
    rc_golden_pass pass;
    rc_golden_result *out;
    rc_behaviour_sum *sum;
    rc_golden_sum *sums; /* [windows], of the file */
    float *sketch;       /* [sketched, RC_GOLDEN_DIMS], of the file */
    uint64_t section;    /* of logits, in the file */
    rc_saying *said[2];  /* [run] NATIVE, CONVERTED */
    double *kl;          /* [run] */
    float *rows;         /* [run, vocab] NATIVE's, with every logit */
    rc_golden_said kept; /* with a top-k */
} comparer;

/* --------------------------------------------------------------------- sizes */

static rc_code same_size(const char *what, uint64_t want, uint64_t got, rc_err *err)
{
    if (want == got)
        return RC_OK;
    rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET,
            "this is not the model that the golden file was recorded of: %s", what);
    rc_err_want(err, "%" PRIu64, want);
    rc_err_got(err, "%" PRIu64, got);
    return RC_E_TENSORSET;
}

static rc_code same_sizes(const rc_golden_head *h, const rc_config *c, rc_err *err)
{
    RC_TRY(same_size("vocab_size", h->vocab, c->vocab_size, err));
    RC_TRY(same_size("num_hidden_layers", h->layers, c->num_hidden_layers, err));
    RC_TRY(same_size("hc_mult", h->streams, c->hc_mult, err));
    return same_size("hidden_size", h->hidden, c->hidden_size, err);
}

static rc_code numerics_of(const rc_golden_head *h, rc_numerics *out, rc_err *err)
{
    *out = RC_NUMERICS_F32;
    if (strcmp(h->numerics, "f32") == 0)
        return RC_OK;
    *out = RC_NUMERICS_NATIVE;
    if (strcmp(h->numerics, "native") == 0)
        return RC_OK;
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
            "the golden file was recorded in numerics that this program does not have");
    rc_err_want(err, "f32 or native");
    rc_err_got(err, "%s", h->numerics);
    return RC_E_UNSUPPORTED;
}

/* -------------------------------------------------------------------- layers */

/* sqrt(sum |S(a - b)|^2 / sum |S a|^2): NAN where b holds one. */
static double sketched_error(const float *a, const float *b, uint64_t n)
{
    double of = 0, off = 0;

    for (uint64_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];

        of += (double)a[i] * (double)a[i];
        off += d * d;
    }
    return off == 0 ? 0 : sqrt(off / of);
}

static void describe_layer(rc_layer_figures *f, uint32_t layer, const rc_config *c)
{
    *f = (rc_layer_figures){ .layer = layer,
                             .ratio = c->compress_ratios[layer],
                             .hash = layer < c->num_hash_layers };
    for (unsigned s = 0; s < 2; s++) {
        f->sub[s].rel_err = f->sub[s].own = f->sub[s].cosine_min = (double)NAN;
        for (unsigned n = 0; n < RC_STREAMS; n++)
            f->sub[s].cosine[n] = (double)NAN;
    }
}

static rc_code compare_layer(comparer *c, uint32_t layer, rc_err *err)
{
    rc_layers *layers = &c->out->layers;
    rc_sublayer_figures *after = &layers->at[layer].sub[1];
    const rc_golden_sum *sum;
    const float *sketch;

    RC_TRY(rc_golden_layer(c->golden, layer, c->sums, c->sketch, err));
    RC_TRY(rc_golden_pass_layer(&c->pass, err));
    RC_TRY(rc_golden_look_layer(c->pass.look, &sum, &sketch, err));
    after->rel_err =
        sketched_error(c->sketch, sketch, rc_golden_sketched(c->head) * RC_GOLDEN_DIMS);
    after->nonfinite = !isfinite(after->rel_err);
    if (memcmp(sum, c->sums, (size_t)c->head->windows * sizeof *sum) != 0 &&
        c->out->first_differing < 0) {
        c->out->same_streams = false;
        c->out->first_differing = (int32_t)layer;
    }
    if (layers->first < 0 && !(after->rel_err <= layers->threshold)) {
        layers->first = (int32_t)layer;
        layers->first_sub = 1;
    }
    return RC_OK;
}

static rc_code begin_layers(comparer *c, const rc_config *config, double threshold, rc_err *err)
{
    rc_layers *l = &c->out->layers;

    *l = (rc_layers){ .n = c->head->layers,
                      .streams = c->head->streams < RC_STREAMS ? c->head->streams : RC_STREAMS,
                      .estimated = true,
                      .threshold = threshold,
                      .first = -1,
                      .worst_own = -1 };
    l->at = rc_mem_get(c->mem, l->n * sizeof *l->at);
    if (!l->at)
        return rc_fail_nomem(err, c->mem, l->n * sizeof *l->at);
    for (uint32_t i = 0; i < l->n; i++)
        describe_layer(&l->at[i], i, config);
    return RC_OK;
}

/* ------------------------------------------------- a position, from a top-k */

/* p log(p / q) + q - p >= 0, of a candidate: over all tokens the q - p add up to nothing. */
static double term(double p, double log_p, double log_q)
{
    return p * (log_p - log_q) + rc_exp_f64(log_q) - p;
}

/* The same of all that is past the candidates, from draws among them: with d = log(p / q) a term is
 * p (d + exp(-d) - 1), whose sum is the tail times its mean under p / tail. Every draw is at least
 * 0, and about d^2 / 2: it has no noise of first order in d. */
static double drawn_kl(const comparer *c, size_t i, const float *logits, const rc_saying *s)
{
    const size_t m = c->head->draws;
    double sum = 0;

    for (size_t j = i * m; j < (i + 1) * m; j++) {
        const double log_q = (double)logits[c->kept.drawn[j]] - s->log_sum;
        const double d = c->kept.drawn_logprob[j] - log_q;

        sum += d + rc_exp_f64(-d) - 1;
    }
    return m ? sum / (double)m : 0;
}

/* KL of CONVERTED's row from what is kept of position i: exact over the candidates but for the
 * rounding of NATIVE's probabilities (brought to a sum of 1), estimated without bias past them. */
static double kept_kl(const comparer *c, size_t i, const float *logits, const rc_saying *s)
{
    const size_t k = c->head->top_k;
    const double *lp = c->kept.logprob + i * k;
    const uint32_t *id = c->kept.id + i * k;
    const double tail = (double)c->kept.tail[i];
    double all = tail, kl, log_all;

    if (s->broken)
        return (double)NAN;
    for (size_t j = 0; j < k; j++)
        all += rc_exp_f64(lp[j]);
    log_all = rc_log_f64(all);
    kl = tail / all * drawn_kl(c, i, logits, s);
    for (size_t j = 0; j < k; j++)
        kl +=
            term(rc_exp_f64(lp[j] - log_all), lp[j] - log_all, (double)logits[id[j]] - s->log_sum);
    return kl < 0 ? 0 : kl; /* by rounding only */
}

/* What NATIVE said, as far as the file knows: log_sum is not in it, its numbers are logarithms of
 * probabilities already. */
static void recall(const comparer *c, size_t i, rc_saying *out)
{
    const size_t k = c->head->top_k;

    *out = (rc_saying){ .log_sum = 0, .logprob = (double)c->kept.next[i] };
    for (size_t j = 0; j < RC_TOP; j++)
        out->top[j] =
            j < k ? (rc_candidate){ c->kept.id[i * k + j], (float)c->kept.logprob[i * k + j] }
                  : (rc_candidate){ RC_NO_TOKEN, -INFINITY };
}

/* -------------------------------------------------------------------- logits */

/* CONVERTED's rows [from, from + n) of the section. */
static void take_rows(comparer *c, const rc_golden_run *run, size_t from, const float *rows,
                      size_t n)
{
    const size_t vocab = c->head->vocab;
    const uint32_t *next = c->windows->token + run->at + from + 1;
    const unsigned threads = c->pass.threads, team = rc_threads_for(threads, n);

    rc_sayings_of(c->said[1] + from, rows, n, vocab, next, threads);
    if (c->rows) {
        const float *native = c->rows + from * vocab;

        rc_sayings_of(c->said[0] + from, native, n, vocab, next, threads);
        rc_sayings_kl(c->kl + from, c->said[0] + from, native, c->said[1] + from, rows, n, vocab,
                      threads);
        return;
    }
    RC_PARALLEL(team, for schedule(static))
    for (size_t i = 0; i < n; i++) {
        recall(c, from + i, &c->said[0][from + i]);
        c->kl[from + i] = kept_kl(c, from + i, rows + i * vocab, &c->said[1][from + i]);
    }
}

static rc_code read_section(comparer *c, const rc_golden_run *run, rc_digest *digest, rc_err *err)
{
    const uint64_t i = c->section++;
    size_t n = 0;

    if (i < rc_golden_runs(c->golden))
        RC_TRY(rc_golden_positions(c->golden, i, &n, err));
    if (n != run->n)
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                       "the golden file's logits are not cut as its windows are");
    if (c->rows)
        return rc_golden_read_rows(c->golden, i, digest, c->rows, err);
    RC_TRY(rc_golden_read_said(c->golden, i, &c->kept, err));
    *digest = c->kept.digest;
    return RC_OK;
}

/* Equal logits: what CONVERTED says is what NATIVE said, to the last digit. */
static void add_run(comparer *c, const rc_golden_run *run, bool same)
{
    for (size_t i = 0; i < run->n; i++) {
        const rc_saying *b = &c->said[1][i];
        const bool truncated = !c->rows && !same;

        rc_behaviour_add(c->sum, run->at + i, same && !b->broken ? 0 : c->kl[i],
                         same ? b : &c->said[0][i], b, truncated ? (double)c->kept.tail[i] : -1);
    }
}

static rc_code compare_run(comparer *c, const rc_golden_run *run, rc_err *err)
{
    const size_t vocab = c->head->vocab;
    rc_digest want, got;
    const float *rows;
    rc_hasher hasher;
    bool same;

    RC_TRY(read_section(c, run, &want, err));
    rc_hash_begin(&hasher);
    for (size_t from = 0, n = 0; from < run->n; from += n) {
        RC_TRY(rc_golden_pass_rows(&c->pass, run->at + from, run->end, &rows, &n, err));
        n = n < run->n - from ? n : run->n - from;
        rc_hash_add(&hasher, rows, n * vocab * sizeof *rows);
        take_rows(c, run, from, rows, n);
    }
    got = rc_hash_end(&hasher);
    same = rc_digest_equal(&want, &got);
    c->out->same_logits = c->out->same_logits && same;
    add_run(c, run, same);
    return RC_OK;
}

/* --------------------------------------------------------------------- whole */

static rc_code get_room(comparer *c, rc_err *err)
{
    const rc_golden_head *h = c->head;
    const size_t run = h->run, many = run * h->top_k, drawn = run * h->draws;
    rc_mem *mem = c->mem;

    c->sums = rc_mem_get(mem, (size_t)h->windows * sizeof *c->sums);
    c->sketch = rc_mem_get(mem, (size_t)rc_golden_sketched(h) * RC_GOLDEN_DIMS * sizeof(float));
    c->said[0] = rc_mem_get(mem, 2 * run * sizeof *c->said[0]);
    c->said[1] = c->said[0] ? c->said[0] + run : NULL;
    c->kl = rc_mem_get(mem, run * sizeof *c->kl);
    if (h->top_k == 0)
        c->rows = rc_mem_get(mem, run * h->vocab * sizeof *c->rows);
    c->kept =
        (rc_golden_said){ .id = rc_mem_get(mem, many * sizeof *c->kept.id),
                          .logprob = rc_mem_get(mem, many * sizeof *c->kept.logprob),
                          .drawn = rc_mem_get(mem, drawn * sizeof *c->kept.drawn),
                          .drawn_logprob = rc_mem_get(mem, drawn * sizeof *c->kept.drawn_logprob),
                          .tail = rc_mem_get(mem, run * sizeof *c->kept.tail),
                          .next = rc_mem_get(mem, run * sizeof *c->kept.next) };
    return c->sums && c->sketch && c->said[0] && c->kl && (c->rows || h->top_k) && c->kept.id &&
                   c->kept.logprob && c->kept.drawn && c->kept.drawn_logprob && c->kept.tail &&
                   c->kept.next
               ? RC_OK
               : rc_fail_nomem(err, mem, 0);
}

static void put_room(comparer *c)
{
    rc_mem_put(c->mem, c->sums);
    rc_mem_put(c->mem, c->sketch);
    rc_mem_put(c->mem, c->said[0]);
    rc_mem_put(c->mem, c->kl);
    rc_mem_put(c->mem, c->rows);
    rc_mem_put(c->mem, c->kept.id);
    rc_mem_put(c->mem, c->kept.logprob);
    rc_mem_put(c->mem, c->kept.drawn);
    rc_mem_put(c->mem, c->kept.drawn_logprob);
    rc_mem_put(c->mem, c->kept.tail);
    rc_mem_put(c->mem, c->kept.next);
}

static rc_code compare(comparer *c, _Atomic uint64_t *done, rc_err *err)
{
    rc_golden_run run = { 0 };

    for (uint32_t l = 0; l < c->head->layers; l++) {
        RC_TRY(compare_layer(c, l, err));
        if (done)
            (*done)++;
    }
    while (rc_golden_run_next(&run, &c->pass))
        RC_TRY(compare_run(c, &run, err));
    if (done)
        (*done)++;
    rc_behaviour_finish(c->sum, &c->out->behaviour);
    return RC_OK;
}

rc_code rc_golden_compare(rc_golden *golden, rc_model *model, const rc_windows *windows,
                          const rc_forward_options *run, double threshold, rc_golden_result *out,
                          _Atomic uint64_t *done, rc_mem *mem, rc_err *err)
{
    const rc_config *config = rc_ckpt_config(rc_model_ckpt(model));
    comparer c = { .mem = mem,
                   .golden = golden,
                   .head = rc_golden_head_of(golden),
                   .windows = windows,
                   .pass.mem = mem,
                   .out = out };
    rc_forward_options o = *run;
    rc_code rc;

    *out = (rc_golden_result){ .same_logits = true, .same_streams = true, .first_differing = -1 };
    RC_TRY(same_sizes(c.head, config, err));
    RC_TRY(numerics_of(c.head, &o.numerics, err));
    rc = get_room(&c, err);
    if (rc == RC_OK)
        rc = rc_behaviour_new(&c.sum, windows->scored, c.head->vocab, mem, err);
    if (rc == RC_OK)
        rc = begin_layers(&c, config, threshold, err);
    if (rc == RC_OK)
        rc = rc_golden_pass_open(&c.pass, model, c.head, windows, &o, mem, err);
    if (rc == RC_OK)
        rc = compare(&c, done, err);
    rc_golden_pass_close(&c.pass);
    rc_behaviour_free(&c.sum);
    put_room(&c);
    if (rc != RC_OK)
        rc_golden_result_free(out, mem);
    return rc;
}

void rc_golden_result_free(rc_golden_result *r, rc_mem *mem)
{
    rc_mem_put(mem, r->layers.at);
    r->layers = (rc_layers){ .first = -1, .worst_own = -1 };
}
