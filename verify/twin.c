/* verify/twin.c - see twin.h. */
#include "verify/twin.h"

#include <math.h>

#include "formats/base/par.h"
#include "verify/sayings.h"

enum { LOGITS_BYTES = 32 << 20 }; /* of one model's logits at a time, at most */

struct rc_twin {
    rc_mem *mem;
    const rc_twin_options *o;
    rc_subject side[2];
    unsigned threads;
    rc_forward *f[2];
    rc_layers_watch *watch;
    rc_behaviour_sum *sum;
    rc_behaviour behaviour;
    bool equal; /* streams, so far */
    uint32_t shared;
    size_t peak;

    size_t most; /* positions at a time */
    float *logits[2];
    rc_saying *saying[2];
    double *kl;
};

/* -- sizes ----------------------------------------------------------------- */

uint64_t rc_twin_steps(const rc_model *a, const rc_twin_options *o)
{
    const uint64_t layers =
        rc_ckpt_config(rc_model_ckpt((rc_model *)(uintptr_t)a))->num_hidden_layers;

    return layers * (o->own ? 3 : 2) + 1;
}

static rc_code require_same_sizes(const rc_subject *a, const rc_subject *b, rc_err *err)
{
    const rc_config *x = rc_ckpt_config(a->ckpt), *y = rc_ckpt_config(b->ckpt);
    const struct {
        const char *name;
        uint32_t a, b;
    } want[] = {
        { "vocab_size", x->vocab_size, y->vocab_size },
        { "hidden_size", x->hidden_size, y->hidden_size },
        { "num_hidden_layers", x->num_hidden_layers, y->num_hidden_layers },
        { "hc_mult", x->hc_mult, y->hc_mult },
    };

    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (want[i].a != want[i].b) {
            rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET,
                    "'%s' is not NATIVE's: the two cannot be compared by what they say",
                    want[i].name);
            rc_err_file(err, rc_source_where(rc_ckpt_source(b->ckpt)));
            rc_err_want(err, "%u", want[i].a);
            rc_err_got(err, "%u", want[i].b);
            return RC_E_TENSORSET;
        }
    return RC_OK;
}

/* Files of two sides may have the same name. */
static rc_code named(const rc_subject *side, rc_code rc, rc_err *err)
{
    if (rc != RC_OK && err && (err->file[0] || rc == RC_E_USAGE))
        rc_subject_name(err, side);
    return rc;
}

static rc_code step(const rc_twin *t, unsigned side, rc_err *err)
{
    return named(&t->side[side], rc_forward_step(t->f[side], err), err);
}

/* -- layers ---------------------------------------------------------------- */

static void count(const rc_twin *t, uint64_t n)
{
    if (t->o->done)
        *t->o->done += n;
}

static bool is_equal_layer(const rc_twin *t, uint32_t layer)
{
    return t->equal && t->o->alike->layer[layer];
}

static rc_code shared_layer(rc_twin *t, uint32_t layer, rc_err *err)
{
    RC_TRY(step(t, 0, err));
    RC_TRY(rc_forward_follow(t->f[1], t->f[0], err));
    if (t->watch)
        rc_layers_shared(t->watch, layer);
    t->shared++;
    return RC_OK;
}

static rc_code both_layers(rc_twin *t, uint32_t layer, rc_err *err)
{
    t->equal = false;
    if (t->watch)
        rc_layers_begin(t->watch, t->f[0], layer);
    if (t->o->own) {
        rc_layers_probing(t->watch, true);
        RC_TRY(named(&t->side[1], rc_forward_probe(t->f[1], t->f[0], err), err));
        rc_layers_probing(t->watch, false);
        count(t, 1);
    }
    RC_TRY(step(t, 0, err));
    count(t, 1);
    RC_TRY(step(t, 1, err));
    count(t, 1);
    if (t->watch)
        rc_layers_end(t->watch);
    return RC_OK;
}

static rc_code through_layers(rc_twin *t, rc_err *err)
{
    t->equal = t->o->alike->config && t->o->alike->embed;
    for (uint32_t l; (l = rc_forward_next_layer(t->f[0])) < rc_forward_end_layer(t->f[0]);)
        if (is_equal_layer(t, l)) {
            RC_TRY(shared_layer(t, l, err));
            count(t, t->o->own ? 3 : 2);
        } else {
            RC_TRY(both_layers(t, l, err));
        }
    return RC_OK;
}

/* -- logits ---------------------------------------------------------------- */

static rc_code room_for_logits(rc_twin *t, rc_err *err)
{
    const size_t row = rc_ckpt_config(t->side[0].ckpt)->vocab_size * sizeof(float);
    const uint64_t share = rc_forward_memory(t->o->run.mem_limit) / 24;
    const size_t fit = (size_t)(share < LOGITS_BYTES ? share : LOGITS_BYTES) / row;
    const size_t run = rc_forward_run(t->f[0]);

    t->most = fit < 1 ? 1 : fit < run ? fit : run;
    if (rc_forward_run(t->f[1]) < t->most)
        t->most = rc_forward_run(t->f[1]);
    for (unsigned i = 0; i < 2; i++) {
        t->logits[i] = rc_mem_get_pages(t->mem, t->most * row);
        t->saying[i] = rc_mem_get(t->mem, t->most * sizeof *t->saying[i]);
    }
    t->kl = rc_mem_get(t->mem, t->most * sizeof *t->kl);
    return t->logits[0] && t->logits[1] && t->saying[0] && t->saying[1] && t->kl
               ? RC_OK
               : rc_fail_nomem(err, t->mem, 2 * t->most * row);
}

/* NATIVE's logits and sayings of n positions from `at`. */
static rc_code native_says(rc_twin *t, size_t at, size_t n, rc_err *err)
{
    const size_t vocab = rc_ckpt_config(t->side[0].ckpt)->vocab_size;

    RC_TRY(named(&t->side[0], rc_forward_logits(t->f[0], at, n, t->logits[0], err), err));
    rc_sayings_of(t->saying[0], t->logits[0], n, vocab, t->o->windows->token + at + 1, t->threads);
    for (size_t i = 0; i < n; i++)
        if (t->saying[0][i].broken)
            return rc_fail(err, RC_E_NUMERIC, RC_NO_OFFSET,
                           "NATIVE's logits at position %zu of the text are no numbers: it cannot "
                           "be the measure",
                           (size_t)t->o->windows->text[at + i]);
    return RC_OK;
}

/* What model f says at n positions: divergences from NATIVE in kl[]. */
static rc_code other_says(rc_twin *t, rc_forward *f, size_t at, size_t n, rc_err *err)
{
    const size_t vocab = rc_ckpt_config(t->side[0].ckpt)->vocab_size;

    RC_TRY(named(&t->side[1], rc_forward_logits(f, at, n, t->logits[1], err), err));
    rc_sayings_of(t->saying[1], t->logits[1], n, vocab, t->o->windows->token + at + 1, t->threads);
    rc_sayings_kl(t->kl, t->saying[0], t->logits[0], t->saying[1], t->logits[1], n, vocab,
                  t->threads);
    return RC_OK;
}

/* fn for every few positions, NATIVE's sayings being ready. */
typedef rc_code says_fn(rc_twin *t, void *ctx, size_t at, size_t n, rc_err *err);

static rc_code over_positions(rc_twin *t, says_fn *fn, void *ctx, rc_err *err)
{
    for (size_t w = 0; w < t->o->windows->windows; w++) {
        size_t begin, end;

        rc_windows_scored(t->o->windows, w, &begin, &end);
        for (size_t at = begin; at < end; at += t->most) {
            const size_t n = end - at < t->most ? end - at : t->most;

            RC_TRY(native_says(t, at, n, err));
            RC_TRY(fn(t, ctx, at, n, err));
        }
    }
    return RC_OK;
}

/* Equal streams before equal heads: CONVERTED says what NATIVE says. */
static rc_code take_figures(rc_twin *t, void *ctx, size_t at, size_t n, rc_err *err)
{
    const bool same = t->equal && t->o->alike->head;
    const rc_saying *said = t->saying[same ? 0 : 1];

    (void)ctx;
    if (!same)
        RC_TRY(other_says(t, t->f[1], at, n, err));
    for (size_t i = 0; i < n; i++)
        rc_behaviour_add(t->sum, at + i, same ? 0 : t->kl[i], &t->saying[0][i], &said[i], -1);
    return RC_OK;
}

/* -- the run --------------------------------------------------------------- */

/* A share of the memory goes to each model; a sixth stays for the tables of the comparison. */
static rc_forward_options side_options(const rc_twin *t, unsigned side)
{
    rc_forward_options o = t->o->run;

    o.mem_limit = rc_forward_memory(o.mem_limit) / 12 * 5;
    o.mem = NULL;
    o.first = o.end = 0;
    o.keep_streams = false;
    o.watch = t->watch ? rc_layers_side(t->watch, side) : NULL;
    o.swap = NULL;
    o.steps = NULL;
    return o;
}

static rc_code new_watch(rc_twin *t, rc_err *err)
{
    const rc_config *c = rc_ckpt_config(t->side[0].ckpt);
    const uint64_t row = ((uint64_t)c->hc_mult + 2) * c->hidden_size + c->index_topk;
    const bool spill =
        t->o->windows->tokens * row * sizeof(float) > rc_forward_memory(t->o->run.mem_limit) / 8;
    const rc_layers_options o = { .own = t->o->own,
                                  .threshold = t->o->threshold,
                                  .tokens = t->o->windows->tokens,
                                  .scratch = spill ? t->o->run.scratch : NULL };

    return t->o->layers ? rc_layers_new(&t->watch, c, &o, t->mem, err) : RC_OK;
}

static rc_code begin(rc_forward **f, const rc_subject *side, const rc_forward_options *o,
                     const rc_windows *w, rc_err *err)
{
    rc_code rc = rc_forward_new(f, side->model, o, err);

    if (rc == RC_OK)
        rc = rc_forward_begin(*f, w->token, w->tokens, w->ctx, err);
    return named(side, rc, err);
}

static rc_code run(rc_twin *t, rc_err *err)
{
    RC_TRY(require_same_sizes(&t->side[0], &t->side[1], err));
    RC_TRY(new_watch(t, err));
    for (unsigned i = 0; i < 2; i++) {
        const rc_forward_options o = side_options(t, i);

        RC_TRY(begin(&t->f[i], &t->side[i], &o, t->o->windows, err));
    }
    RC_TRY(rc_behaviour_new(&t->sum, t->o->windows->scored,
                            rc_ckpt_config(t->side[0].ckpt)->vocab_size, t->mem, err));
    RC_TRY(room_for_logits(t, err));
    RC_TRY(through_layers(t, err));
    RC_TRY(over_positions(t, take_figures, NULL, err));
    rc_behaviour_finish(t->sum, &t->behaviour);
    t->peak = rc_forward_peak(t->f[0]) + rc_forward_peak(t->f[1]);
    count(t, 1);
    return RC_OK;
}

rc_code rc_twin_run(rc_twin **out, const rc_subject *a, const rc_subject *b,
                    const rc_twin_options *o, rc_mem *mem, rc_err *err)
{
    rc_twin *t = rc_mem_get(mem, sizeof *t);
    rc_code rc;

    *out = NULL;
    if (!t)
        return rc_fail_nomem(err, mem, sizeof *t);
    t->mem = mem;
    t->o = o;
    t->threads = o->run.threads ? o->run.threads : rc_par_cpus();
    t->side[0] = *a;
    t->side[1] = *b;
    rc = run(t, err);
    if (rc != RC_OK)
        rc_twin_free(&t);
    *out = t;
    return rc;
}

void rc_twin_free(rc_twin **twin)
{
    rc_twin *t = *twin;

    if (!t)
        return;
    for (unsigned i = 0; i < 2; i++) {
        rc_forward_free(&t->f[i]);
        rc_mem_put(t->mem, t->logits[i]);
        rc_mem_put(t->mem, t->saying[i]);
    }
    rc_layers_free(&t->watch);
    rc_behaviour_free(&t->sum);
    rc_mem_put(t->mem, t->kl);
    rc_mem_put(t->mem, t);
    *twin = NULL;
}

const rc_behaviour *rc_twin_behaviour(const rc_twin *t)
{
    return &t->behaviour;
}

const rc_layers *rc_twin_layers(const rc_twin *t)
{
    return t->watch ? rc_layers_figures(t->watch) : NULL;
}

uint32_t rc_twin_shared(const rc_twin *t)
{
    return t->shared;
}

size_t rc_twin_peak(const rc_twin *t)
{
    return t->peak;
}

/* -- a third model --------------------------------------------------------- */

typedef struct mean {
    rc_forward *f;
    double sum;
    uint64_t n;
} mean;

static rc_code add_divergences(rc_twin *t, void *ctx, size_t at, size_t n, rc_err *err)
{
    mean *m = ctx;

    RC_TRY(other_says(t, m->f, at, n, err));
    for (size_t i = 0; i < n; i++)
        m->sum += t->saying[1][i].broken ? HUGE_VAL : t->kl[i];
    m->n += n;
    return RC_OK;
}

rc_code rc_twin_swapped(rc_twin *t, const rc_swap *swap, bool config_of_a, double *kl, rc_err *err)
{
    rc_forward_options o = side_options(t, 1);
    mean m = { 0 };
    rc_code rc;

    rc_forward_free(&t->f[1]);
    o.watch = NULL;
    o.swap = swap;
    rc = begin(&m.f, &t->side[config_of_a ? 0 : 1], &o, t->o->windows, err);
    while (rc == RC_OK && rc_forward_next_layer(m.f) < rc_forward_end_layer(m.f))
        rc = rc_forward_step(m.f, err);
    if (rc == RC_OK)
        rc = over_positions(t, add_divergences, &m, err);
    rc_forward_free(&m.f);
    *kl = m.n ? m.sum / (double)m.n : 0;
    return rc;
}
