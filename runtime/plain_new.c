/* runtime/plain_new.c - a model made ready: each parameter to its place, and room for caches. */
#include <stdio.h>
#include <string.h>

#include "runtime/plain_impl.h"

/* Which parameter goes where. `when` is false for what this block has not. */
struct bind {
    rc_pl_weight *w;
    const char *name;
    bool when;
};

static rc_code bind_all(rc_plain *p, const char *prefix, const struct bind *b, size_t n,
                        rc_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (b[i].when)
            RC_TRY(rc_pl_bind(p, b[i].w, prefix, b[i].name, err));
    return RC_OK;
}

#define BIND(p, prefix, table, err) bind_all(p, prefix, table, sizeof table / sizeof *table, err)

static rc_code get(rc_plain *p, double **out, size_t n, rc_err *err)
{
    *out = rc_mem_get(p->mem, n * sizeof **out);
    return *out ? RC_OK : rc_fail_nomem(err, p->mem, n * sizeof **out);
}

static rc_code bind_compressor(rc_plain *p, rc_pl_compressor *c, const char *block,
                               const char *name, size_t ratio, size_t width, rc_err *err)
{
    const struct bind table[] = {
        { &c->wkv, "wkv.weight", true },
        { &c->wgate, "wgate.weight", true },
        { &c->ape, "ape", true },
        { &c->norm, "norm.weight", true },
    };
    char prefix[64];

    snprintf(prefix, sizeof prefix, "%s%s", block, name);
    RC_TRY(BIND(p, prefix, table, err));
    c->ratio = ratio;
    c->factor = ratio == 4 ? 2 : 1;
    c->width = width;
    RC_TRY(get(p, &c->value, c->factor * ratio * c->factor * width, err));
    return get(p, &c->gate, c->factor * ratio * c->factor * width, err);
}

static rc_code bind_attention(rc_plain *p, rc_pl_attention *a, const char *prefix, size_t ratio,
                              rc_err *err)
{
    const struct bind table[] = {
        { &a->wq_a, "attn.wq_a.weight", true },
        { &a->q_norm, "attn.q_norm.weight", true },
        { &a->wq_b, "attn.wq_b.weight", true },
        { &a->wkv, "attn.wkv.weight", true },
        { &a->kv_norm, "attn.kv_norm.weight", true },
        { &a->sink, "attn.attn_sink", true },
        { &a->wo_a, "attn.wo_a.weight", true },
        { &a->wo_b, "attn.wo_b.weight", true },
        { &a->index_wq_b, "attn.indexer.wq_b.weight", ratio == 4 },
        { &a->index_weights, "attn.indexer.weights_proj.weight", ratio == 4 },
    };

    RC_TRY(BIND(p, prefix, table, err));
    a->ratio = ratio;
    a->turn = ratio ? p->turn_compressed : p->turn_window;
    if (ratio)
        RC_TRY(bind_compressor(p, &a->compressor, prefix, "attn.compressor.", ratio, p->C, err));
    if (ratio == 4)
        RC_TRY(bind_compressor(p, &a->index, prefix, "attn.indexer.compressor.", ratio,
                               p->config->index_head_dim, err));
    return get(p, &a->window, p->W * p->C, err);
}

static rc_code bind_expert(rc_plain *p, rc_pl_expert *e, const char *block, const char *name,
                           rc_err *err)
{
    const struct bind table[] = {
        { &e->w1, "w1.weight", true },
        { &e->w3, "w3.weight", true },
        { &e->w2, "w2.weight", true },
    };
    char prefix[64];

    snprintf(prefix, sizeof prefix, "%s%s", block, name);
    return BIND(p, prefix, table, err);
}

static rc_code bind_experts(rc_plain *p, rc_pl_experts *f, const char *prefix, bool hashed,
                            rc_err *err)
{
    const struct bind table[] = {
        { &f->gate, "ffn.gate.weight", true },
        { &f->bias, "ffn.gate.bias", !hashed },
        { &f->tid2eid, "ffn.gate.tid2eid", hashed },
    };
    const uint32_t E = p->config->n_routed_experts;

    RC_TRY(BIND(p, prefix, table, err));
    RC_TRY(bind_expert(p, &f->shared, prefix, "ffn.shared_experts.", err));
    f->routed = rc_mem_get(p->mem, E * sizeof *f->routed);
    if (!f->routed)
        return rc_fail_nomem(err, p->mem, E * sizeof *f->routed);
    for (uint32_t e = 0; e < E; e++) {
        char name[40];

        snprintf(name, sizeof name, "ffn.experts.%" PRIu32 ".", e);
        RC_TRY(bind_expert(p, &f->routed[e], prefix, name, err));
    }
    return RC_OK;
}

static rc_code bind_block(rc_plain *p, size_t i, rc_err *err)
{
    rc_pl_block *b = &p->layers[i];
    const struct bind table[] = {
        { &b->attn_mix.fn, "hc_attn_fn", true },       { &b->attn_mix.base, "hc_attn_base", true },
        { &b->attn_mix.scale, "hc_attn_scale", true }, { &b->attn_norm, "attn_norm.weight", true },
        { &b->ffn_mix.fn, "hc_ffn_fn", true },         { &b->ffn_mix.base, "hc_ffn_base", true },
        { &b->ffn_mix.scale, "hc_ffn_scale", true },   { &b->ffn_norm, "ffn_norm.weight", true },
    };
    const bool draft = i >= p->nlayers;
    char prefix[32];

    b->layer = (uint32_t)i;
    snprintf(prefix, sizeof prefix, "%s.%zu.", draft ? "mtp" : "layers",
             draft ? i - p->nlayers : i);
    RC_TRY(BIND(p, prefix, table, err));
    RC_TRY(bind_attention(p, &b->attn, prefix, p->config->compress_ratios[i], err));
    return bind_experts(p, &b->ffn, prefix, !draft && i < p->config->num_hash_layers, err);
}

static rc_code bind_output(rc_plain *p, rc_pl_output *o, const char *prefix, rc_err *err)
{
    const struct bind table[] = {
        { &o->mix.fn, "hc_head_fn", true },
        { &o->mix.base, "hc_head_base", true },
        { &o->mix.scale, "hc_head_scale", true },
        { &o->norm, "norm.weight", true },
    };

    return BIND(p, prefix, table, err);
}

static rc_code bind_mtp(rc_plain *p, rc_err *err)
{
    rc_pl_mtp *m = &p->mtp;
    const struct bind table[] = {
        { &m->enorm, "enorm.weight", true },
        { &m->hnorm, "hnorm.weight", true },
        { &m->e_proj, "e_proj.weight", true },
        { &m->h_proj, "h_proj.weight", true },
    };

    RC_TRY(BIND(p, "mtp.0.", table, err));
    return bind_output(p, &m->output, "mtp.0.", err);
}

static rc_code bind_dspark(rc_plain *p, rc_err *err)
{
    rc_pl_dspark *d = &p->dspark;
    const struct bind first[] = {
        { &d->main_proj, "main_proj.weight", true },
        { &d->main_norm, "main_norm.weight", true },
    };
    const struct bind last[] = {
        { &d->markov_w1, "markov_head.markov_w1.weight", true },
        { &d->markov_w2, "markov_head.markov_w2.weight", true },
        { &d->confidence, "confidence_head.proj.weight", true },
    };
    char prefix[32];

    snprintf(prefix, sizeof prefix, "mtp.%zu.", p->nblocks - p->nlayers - 1);
    RC_TRY(BIND(p, "mtp.0.", first, err));
    RC_TRY(BIND(p, prefix, last, err));
    RC_TRY(bind_output(p, &d->output, prefix, err));
    return get(p, &d->hidden, p->config->n_dspark_targets * p->D, err);
}

static rc_code bind_model(rc_plain *p, rc_err *err)
{
    const struct bind table[] = {
        { &p->embed, "embed.weight", true },
        { &p->head, p->config->tie_word_embeddings ? "embed.weight" : "head.weight", true },
    };

    RC_TRY(get(p, &p->streams, p->N * p->D, err));
    RC_TRY(BIND(p, "", table, err));
    RC_TRY(bind_output(p, &p->output, "", err));
    for (size_t i = 0; i < p->nblocks; i++)
        RC_TRY(bind_block(p, i, err));
    if (p->draft == RC_DRAFT_MTP)
        RC_TRY(bind_mtp(p, err));
    return p->draft == RC_DRAFT_DSPARK ? bind_dspark(p, err) : RC_OK;
}

/* What a config can say and this text does not describe. */
static rc_code check(const rc_plain *p, rc_err *err)
{
    const rc_config *c = p->config;
    const uint32_t n = c->index_head_dim;

    if (strcmp(c->scoring_func, "sqrtsoftplus") != 0 || !c->norm_topk_prob)
        return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                       "the router must be sqrtsoftplus with norm_topk_prob");
    if (rc_model_traits(p->model)->vision)
        return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                       "the forward pass of a model that sees is not described");
    for (uint32_t i = 0; p->draft == RC_DRAFT_DSPARK && i < c->n_dspark_targets; i++)
        for (uint32_t j = 0; j <= i; j++)
            if (c->dspark_target_layer_ids[i] >= p->nlayers ||
                (j < i && c->dspark_target_layer_ids[i] == c->dspark_target_layer_ids[j]))
                return rc_fail(err, RC_E_DATA, RC_NO_OFFSET,
                               "dspark_target_layer_ids names a layer twice, or one past the last");
    for (size_t i = 0; i < p->nblocks; i++)
        if (c->compress_ratios[i] == 4 && (n & (n - 1)))
            return rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                           "index_head_dim must be a power of two");
    return RC_OK;
}

static rc_code make_turns(rc_plain *p, rc_err *err)
{
    const size_t nbytes = p->R / 2 * sizeof(double);

    p->turn_window = rc_mem_get(p->mem, nbytes);
    p->turn_compressed = rc_mem_get(p->mem, nbytes);
    if (!p->turn_window || !p->turn_compressed)
        return rc_fail_nomem(err, p->mem, nbytes);
    rc_pl_turns(p->config, false, p->turn_window);
    rc_pl_turns(p->config, true, p->turn_compressed);
    return RC_OK;
}

/* A GGUF file that holds the draft's layer may lack what its output needs: the model runs without
 * the draft then. */
static void find_draft(rc_plain *p)
{
    const rc_traits *traits = rc_model_traits(p->model);

    for (size_t i = 0; i < rc_model_count(p->model) && !p->draft_lacks; i++) {
        const rc_bound *b = rc_model_at(p->model, i);

        if (b->param->draft && b->elsewhere)
            p->draft_lacks = b->param;
    }
    p->draft = p->draft_lacks ? RC_DRAFT_NONE : traits->draft;
    p->nblocks = p->nlayers + (p->draft_lacks ? 0 : traits->draft_blocks);
}

static rc_code make(rc_plain *p, rc_err *err)
{
    RC_TRY(rc_model_require_whole(p->model, err));
    find_draft(p);
    RC_TRY(check(p, err));
    p->layers = rc_mem_get(p->mem, p->nblocks * sizeof *p->layers);
    if (!p->layers)
        return rc_fail_nomem(err, p->mem, p->nblocks * sizeof *p->layers);
    RC_TRY(make_turns(p, err));
    return bind_model(p, err);
}

rc_code rc_plain_new(rc_plain **out, rc_model *model, size_t keep, rc_mem *mem, rc_err *err)
{
    const rc_config *c = rc_ckpt_config(rc_model_ckpt(model));
    rc_plain *p = rc_mem_get(mem, sizeof *p);
    rc_code rc;

    *out = NULL;
    if (!p)
        return rc_fail_nomem(err, mem, sizeof *p);
    *p = (rc_plain){ .mem = mem,
                     .model = model,
                     .config = c,
                     .N = c->hc_mult,
                     .D = c->hidden_size,
                     .C = c->head_dim,
                     .R = c->qk_rope_head_dim,
                     .W = c->sliding_window,
                     .nlayers = c->num_hidden_layers,
                     .keep = keep,
                     .scratch = { .mem = mem } };
    rc = make(p, err);
    if (rc != RC_OK)
        rc_plain_free(&p);
    *out = p;
    return rc;
}

/* --------------------------------------------------------------- rewind, and the end */

static void forget(rc_pl_compressor *c)
{
    c->n = 0;
}

/* Windows and waiting tokens need no clearing: what is read of them was written since. */
void rc_plain_rewind(rc_plain *p)
{
    for (size_t i = 0; i < p->nblocks; i++) {
        forget(&p->layers[i].attn.compressor);
        forget(&p->layers[i].attn.index);
    }
    memset(p->streams, 0, p->N * p->D * sizeof *p->streams);
    p->pos = p->mtp.pos = 0;
}

static void free_all(rc_plain *p, rc_pl_weight *const *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rc_pl_weight_free(p, w[i]);
}

#define FREE(p, ...)                                                                               \
    do {                                                                                           \
        rc_pl_weight *const list_[] = { __VA_ARGS__ };                                             \
        free_all(p, list_, sizeof list_ / sizeof *list_);                                          \
    } while (0)

static void free_compressor(rc_plain *p, rc_pl_compressor *c)
{
    FREE(p, &c->wkv, &c->wgate, &c->ape, &c->norm);
    rc_mem_put(p->mem, c->value);
    rc_mem_put(p->mem, c->gate);
    rc_mem_put(p->mem, c->blocks);
}

static void free_block(rc_plain *p, rc_pl_block *b)
{
    rc_pl_attention *a = &b->attn;
    rc_pl_experts *f = &b->ffn;

    FREE(p, &b->attn_mix.fn, &b->attn_mix.base, &b->attn_mix.scale, &b->attn_norm, &b->ffn_mix.fn,
         &b->ffn_mix.base, &b->ffn_mix.scale, &b->ffn_norm);
    FREE(p, &a->wq_a, &a->q_norm, &a->wq_b, &a->wkv, &a->kv_norm, &a->sink, &a->wo_a, &a->wo_b,
         &a->index_wq_b, &a->index_weights);
    free_compressor(p, &a->compressor);
    free_compressor(p, &a->index);
    rc_mem_put(p->mem, a->window);
    FREE(p, &f->gate, &f->bias, &f->tid2eid, &f->shared.w1, &f->shared.w3, &f->shared.w2);
    for (uint32_t e = 0; f->routed && e < p->config->n_routed_experts; e++)
        FREE(p, &f->routed[e].w1, &f->routed[e].w3, &f->routed[e].w2);
    rc_mem_put(p->mem, f->routed);
}

static void free_output(rc_plain *p, rc_pl_output *o)
{
    FREE(p, &o->mix.fn, &o->mix.base, &o->mix.scale, &o->norm);
}

void rc_plain_free(rc_plain **owner)
{
    rc_plain *p = *owner;
    rc_pl_mtp *m;
    rc_pl_dspark *d;

    if (!p)
        return;
    m = &p->mtp;
    d = &p->dspark;
    for (size_t i = 0; p->layers && i < p->nblocks; i++)
        free_block(p, &p->layers[i]);
    FREE(p, &p->embed, &p->head, &m->enorm, &m->hnorm, &m->e_proj, &m->h_proj, &d->main_proj,
         &d->main_norm, &d->markov_w1, &d->markov_w2, &d->confidence);
    free_output(p, &p->output);
    free_output(p, &m->output);
    free_output(p, &d->output);
    rc_mem_put(p->mem, d->hidden);
    rc_mem_put(p->mem, p->layers);
    rc_mem_put(p->mem, p->turn_window);
    rc_mem_put(p->mem, p->turn_compressed);
    rc_mem_put(p->mem, p->streams);
    rc_mem_put(p->mem, p->raw.at);
    rc_mem_put(p->mem, p->scratch_of_piece.at);
    rc_mem_put(p->mem, p->work.at);
    rc_mem_put(p->mem, p->rows.at);
    rc_arena_free(&p->scratch);
    rc_mem_put(p->mem, p);
    *owner = NULL;
}
