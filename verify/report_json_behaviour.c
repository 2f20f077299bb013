/* verify/report_json_behaviour.c - see report.h: gates, behaviour, layers, ablation. */
#include <math.h>

#include "verify/report_parts.h"

static void put_figure(rc_jsonw *w, const char *key, rc_figure_se f)
{
    rc_jsonw_key(w, key);
    rc_jsonw_object(w);
    rc_jsonw_kf64(w, "value", f.value);
    rc_jsonw_kf64(w, "se", f.se);
    rc_jsonw_object_end(w);
}

static void put_gates(rc_jsonw *w, const rc_outcome *o)
{
    rc_outcome_gate gates[RC_OUTCOME_GATES];
    const size_t n = rc_outcome_gates(o, gates);

    rc_jsonw_key(w, "gates");
    rc_jsonw_array(w);
    for (size_t i = 0; i < n; i++) {
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "gate", gates[i].name);
        rc_jsonw_kf64(w, "bound", gates[i].bound);
        rc_jsonw_kf64(w, "measured", gates[i].measured);
        rc_jsonw_kbool(w, "passes", gates[i].passes);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_array_end(w);
}

/* behaviour */

static void put_token(rc_jsonw *w, const rc_bpe *bpe, uint32_t id)
{
    size_t len = 0;
    const char *bytes = bpe ? rc_bpe_bytes(bpe, id, &len) : NULL;

    rc_jsonw_ku64(w, "id", id);
    rc_jsonw_key(w, "text");
    if (bytes)
        rc_jsonw_strn(w, bytes, len);
    else
        rc_jsonw_null(w);
}

static void put_saying(rc_jsonw *w, const char *key, const rc_saying *s, const rc_bpe *bpe)
{
    rc_jsonw_key(w, key);
    rc_jsonw_object(w);
    rc_jsonw_kf64(w, "probability", exp(s->logprob));
    rc_jsonw_key(w, "top");
    rc_jsonw_array(w);
    for (size_t i = 0; i < RC_TOP && s->top[i].id != RC_NO_TOKEN; i++) {
        rc_jsonw_object(w);
        put_token(w, bpe, s->top[i].id);
        rc_jsonw_kf64(w, "probability", exp((double)s->top[i].logprob));
        rc_jsonw_object_end(w);
    }
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

/* The token at place i of the windows, if there is one. */
static void put_token_at(rc_jsonw *w, const char *key, const rc_outcome *o, uint64_t i)
{
    rc_jsonw_key(w, key);
    if (!o->windows || i >= o->windows->tokens) {
        rc_jsonw_null(w);
        return;
    }
    rc_jsonw_object(w);
    put_token(w, o->bpe, o->windows->token[i]);
    rc_jsonw_object_end(w);
}

static void put_worst(rc_jsonw *w, const rc_outcome *o)
{
    rc_jsonw_key(w, "worst");
    rc_jsonw_array(w);
    for (size_t i = 0; i < o->behaviour->nworst; i++) {
        const rc_moment *m = &o->behaviour->worst[i];

        rc_jsonw_object(w);
        rc_jsonw_ku64(w, "index", m->index);
        rc_jsonw_kf64(w, "kl", m->kl);
        put_token_at(w, "token", o, m->index);
        put_token_at(w, "came", o, m->index + 1);
        put_saying(w, "native", &m->said[0], o->bpe);
        put_saying(w, "converted", &m->said[1], o->bpe);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_array_end(w);
}

static void put_kl(rc_jsonw *w, const rc_behaviour *b)
{
    rc_jsonw_key(w, "kl");
    rc_jsonw_object(w);
    rc_jsonw_kf64(w, "mean", b->kl.value);
    rc_jsonw_kf64(w, "se", b->kl.se);
    rc_jsonw_kf64(w, "median", b->kl_median);
    rc_jsonw_kf64(w, "p90", b->kl_p90);
    rc_jsonw_kf64(w, "p95", b->kl_p95);
    rc_jsonw_kf64(w, "p99", b->kl_p99);
    rc_jsonw_kf64(w, "p999", b->kl_p999);
    rc_jsonw_kf64(w, "max", b->kl_max);
    rc_jsonw_ku64(w, "zero", b->kl_zero);
    rc_jsonw_object_end(w);
}

static void put_shift(rc_jsonw *w, const rc_behaviour *b)
{
    rc_jsonw_key(w, "probability_shift");
    rc_jsonw_object(w);
    put_figure(w, "mean", b->mean_dp);
    put_figure(w, "rms", b->rms_dp);
    rc_jsonw_kf64(w, "min", b->dp_min);
    rc_jsonw_kf64(w, "p1", b->dp_p1);
    rc_jsonw_kf64(w, "p5", b->dp_p5);
    rc_jsonw_kf64(w, "median", b->dp_median);
    rc_jsonw_kf64(w, "p95", b->dp_p95);
    rc_jsonw_kf64(w, "p99", b->dp_p99);
    rc_jsonw_kf64(w, "max", b->dp_max);
    rc_jsonw_object_end(w);
}

static void put_histogram(rc_jsonw *w, const rc_behaviour *b)
{
    rc_jsonw_key(w, "histogram");
    rc_jsonw_object(w);
    rc_jsonw_kf64(w, "log10_first", -10);
    rc_jsonw_kf64(w, "log10_step", 0.25);
    rc_jsonw_key(w, "counts");
    rc_jsonw_array(w);
    for (size_t i = 0; i < RC_KL_BINS; i++)
        rc_jsonw_u64(w, b->kl_bins[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static void put_truncated(rc_jsonw *w, const rc_behaviour *b)
{
    rc_jsonw_key(w, "truncated");
    if (!b->truncated) {
        rc_jsonw_null(w);
        return;
    }
    rc_jsonw_object(w);
    rc_jsonw_kf64(w, "tail_mean", b->tail_mean);
    rc_jsonw_kf64(w, "tail_max", b->tail_max);
    rc_jsonw_object_end(w);
}

static void put_behaviour(rc_jsonw *w, const rc_outcome *o)
{
    const rc_behaviour *b = o->behaviour;

    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "positions", b->positions);
    rc_jsonw_ku64(w, "broken", b->broken);
    rc_jsonw_ku64(w, "vocabulary", b->vocab);
    put_kl(w, b);
    put_figure(w, "same_top", b->same_top);
    put_figure(w, "overlap5", b->overlap5);
    put_figure(w, "overlap10", b->overlap10);
    rc_jsonw_key(w, "perplexity");
    rc_jsonw_object(w);
    put_figure(w, "native", b->ppl[0]);
    put_figure(w, "converted", b->ppl[1]);
    put_figure(w, "ratio", b->ppl_ratio);
    rc_jsonw_object_end(w);
    put_shift(w, b);
    put_truncated(w, b);
    put_histogram(w, b);
    put_worst(w, o);
    rc_jsonw_object_end(w);
}

/* layers */

static void put_sublayer(rc_jsonw *w, const char *key, const rc_sublayer_figures *f, unsigned n)
{
    rc_jsonw_key(w, key);
    rc_jsonw_object(w);
    rc_jsonw_kf64(w, "rel_err", f->rel_err);
    rc_jsonw_kf64(w, "own", f->own);
    rc_jsonw_key(w, "cosine");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < n; i++)
        rc_jsonw_f64(w, f->cosine[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_kf64(w, "cosine_min", f->cosine_min);
    rc_jsonw_kbool(w, "nonfinite", f->nonfinite);
    rc_jsonw_object_end(w);
}

static void put_place(rc_jsonw *w, const char *key, int32_t layer, unsigned sub)
{
    rc_jsonw_key(w, key);
    if (layer < 0) {
        rc_jsonw_null(w);
        return;
    }
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "layer", (uint64_t)layer);
    rc_jsonw_kstr(w, "sublayer", sub ? "experts" : "attention");
    rc_jsonw_object_end(w);
}

static void put_layer(rc_jsonw *w, const rc_layers *l, const rc_layer_figures *f)
{
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "layer", f->layer);
    rc_jsonw_ku64(w, "ratio", f->ratio);
    rc_jsonw_kbool(w, "hash", f->hash);
    rc_jsonw_kbool(w, "shared", f->shared);
    put_sublayer(w, "attention", &f->sub[0], l->streams);
    put_sublayer(w, "experts", &f->sub[1], l->streams);
    rc_jsonw_ku64(w, "chosen", f->experts);
    rc_jsonw_ku64(w, "flipped", f->experts_flipped);
    rc_jsonw_ku64(w, "blocks", f->blocks);
    rc_jsonw_ku64(w, "blocks_flipped", f->blocks_flipped);
    rc_jsonw_object_end(w);
}

static void put_layers(rc_jsonw *w, const rc_layers *l, uint32_t shared)
{
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "streams", l->streams);
    rc_jsonw_kbool(w, "estimated", l->estimated);
    rc_jsonw_kf64(w, "threshold", l->threshold);
    rc_jsonw_ku64(w, "shared", shared);
    put_place(w, "first", l->first, l->first_sub);
    put_place(w, "worst_own", l->worst_own, l->worst_own_sub);
    rc_jsonw_key(w, "at");
    rc_jsonw_array(w);
    for (size_t i = 0; i < l->n; i++)
        put_layer(w, l, &l->at[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

/* ablation */

static void put_group(rc_jsonw *w, const rc_ablation_group *g)
{
    static const char *const levels[RC_ABLATE_LEVELS] = { "role", "layer", "kind", "expert" };

    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "by", levels[g->level]);
    rc_jsonw_kstr(w, "label", g->label);
    rc_jsonw_kbool(w, "config", g->config);
    rc_jsonw_ku64(w, "parameters", g->params);
    rc_jsonw_kf64(w, "kl", g->kl);
    rc_jsonw_kf64(w, "won", g->won);
    rc_jsonw_key(w, "tensors");
    rc_jsonw_array(w);
    for (size_t i = 0; i < g->names && i < RC_ABLATE_NAMES; i++)
        rc_jsonw_str(w, g->name[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static void put_ablation(rc_jsonw *w, const rc_ablation *a)
{
    rc_jsonw_object(w);
    rc_jsonw_kf64(w, "kl", a->kl_all);
    rc_jsonw_ku64(w, "positions", a->positions);
    rc_jsonw_key(w, "blamed");
    if (a->blamed < 0)
        rc_jsonw_null(w);
    else
        rc_jsonw_i64(w, a->blamed);
    rc_jsonw_key(w, "groups");
    rc_jsonw_array(w);
    for (size_t i = 0; i < a->n; i++)
        put_group(w, &a->group[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

void rc_report_json_behaviour(rc_jsonw *w, const rc_outcome *o)
{
    put_gates(w, o);
    rc_jsonw_key(w, "behaviour");
    if (o->behaviour)
        put_behaviour(w, o);
    else
        rc_jsonw_null(w);
    rc_jsonw_key(w, "layers");
    if (o->layers)
        put_layers(w, o->layers, o->layers_shared);
    else
        rc_jsonw_null(w);
    rc_jsonw_key(w, "ablation");
    if (o->ablation)
        put_ablation(w, o->ablation);
    else
        rc_jsonw_null(w);
}
