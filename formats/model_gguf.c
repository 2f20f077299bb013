/* formats/model_gguf.c - binding in a GGUF file: each parameter has a place in a tensor, and
 * a tensor in which nobody has a place is one too many. */
#include <stdio.h>
#include <string.h>

#include "formats/gguf_config.h"
#include "formats/model_impl.h"

static bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);

    return n >= k && strcmp(s + n - k, suffix) == 0;
}

static const char *file_of(const rc_model *m, const rc_tensor *t)
{
    return rc_ckpt_shard(m->ckpt, t ? t->shard : 0)->name;
}

/* ---------------------------------------------------------------------- traits */

static rc_store store_of(const rc_tensor *t)
{
    const bool plain = t->dtype == RC_DTYPE_F32 || t->dtype == RC_DTYPE_F16 ||
                       t->dtype == RC_DTYPE_BF16 || t->dtype == RC_DTYPE_I32 ||
                       t->dtype == RC_DTYPE_I64;

    return plain ? RC_STORE_PLAIN : RC_STORE_BLOCKS;
}

/* How the first tensor of a name is stored; binding looks at each for itself. */
static rc_store probe(const rc_model *m, const char *suffix)
{
    for (size_t i = 0; i < rc_ckpt_count(m->ckpt); i++)
        if (ends_with(rc_ckpt_at(m->ckpt, i)->name, suffix))
            return store_of(rc_ckpt_at(m->ckpt, i));
    return RC_STORE_BLOCKS;
}

static void read_traits(rc_model *m)
{
    const rc_config *c = rc_ckpt_config(m->ckpt);
    rc_traits *t = &m->traits;

    switch (rc_ckpt_kind(m->ckpt)) {
    case RC_GGUF_MAIN:
        t->draft = RC_DRAFT_NONE;
        break;
    case RC_GGUF_DSPARK:
        t->draft = RC_DRAFT_DSPARK;
        t->draft_blocks = c->n_compress_ratios - c->num_hidden_layers;
        break;
    default:
        t->draft = RC_DRAFT_MTP;
        t->draft_blocks = c->num_nextn_predict_layers;
        break;
    }
    t->experts = probe(m, ".ffn_gate_exps.weight");
    t->dense = probe(m, ".attn_q_a.weight");
    t->expert_scale = t->dense_scale = RC_DTYPE_F8_E8M0; /* of none: for whoever asks */
    for (size_t i = 0; i < rc_ckpt_count(m->ckpt) && !t->vision; i++)
        t->vision = ends_with(rc_ckpt_at(m->ckpt, i)->name, ".exp_probs_b_vl.bias");
}

/* --------------------------------------------------------------------- binding */

/* Outermost dimensions of 1 are left out by some writers. */
static unsigned significant(unsigned rank, const uint64_t *shape, const uint64_t **from)
{
    *from = shape;
    while (rank > 1 && **from == 1) {
        ++*from;
        rank--;
    }
    return rank;
}

static uint64_t rows_of(unsigned rank, const uint64_t *shape)
{
    uint64_t n = 1;

    for (unsigned i = 0; i + 1 < rank; i++)
        n *= shape[i];
    return n;
}

/* attn_output_a may be written by groups, a matrix each: the same bytes. */
static bool same_shape(const rc_tensor *t, const rc_gguf_place *p)
{
    const uint64_t *a, *b;
    const unsigned n = significant(t->rank, t->shape, &a);

    if (ends_with(p->name, ".attn_output_a.weight") && t->rank == 3)
        return t->shape[2] == p->shape[1] && rows_of(t->rank, t->shape) == p->shape[0];
    return n == significant(p->rank, p->shape, &b) && memcmp(a, b, n * sizeof *a) == 0;
}

static bool is_integer(rc_dtype dtype)
{
    return dtype == RC_DTYPE_I64 || dtype == RC_DTYPE_I32 || dtype == RC_DTYPE_I16 ||
           dtype == RC_DTYPE_I8;
}

static void wrong_shape(rc_model *m, const rc_tensor *t, const rc_gguf_place *place)
{
    rc_err *e = rc_model_add_problem(m, RC_MALFORMED, t->name, t);
    char a[96], b[96];

    rc_model_say(e, "wrong shape");
    rc_err_want(e, "%s", rc_model_spell_shape(a, place->rank, place->shape));
    rc_err_got(e, "%s", rc_model_spell_shape(b, t->rank, t->shape));
}

static void check_dtype(rc_model *m, const rc_param *p, const rc_tensor *t)
{
    const bool table = p->dtype == RC_DTYPE_I64;
    rc_err *e;

    if (table ? t->dtype == RC_DTYPE_I32 || t->dtype == RC_DTYPE_I64 : !is_integer(t->dtype))
        return;
    e = rc_model_add_problem(m, RC_MALFORMED, t->name, t);
    rc_model_say(e, "wrong type");
    rc_err_want(e, "%s", table ? "I32" : "floats or blocks");
    rc_err_got(e, "%s", rc_tensor_type(t));
}

/* A stack is complained of once, by the first that lies in it. */
static void bind(rc_model *m, rc_bound *b, bool *used)
{
    rc_gguf_place place;
    const rc_tensor *t;
    bool first;

    b->elsewhere =
        !rc_gguf_place_of(&place, b->param, rc_ckpt_config(m->ckpt), rc_ckpt_kind(m->ckpt));
    b->store = RC_STORE_BLOCKS;
    if (b->elsewhere)
        return;
    b->row = place.row;
    b->col = place.col;
    b->pitch = place.shape[place.rank - 1];
    first = b->row == 0 && b->col == 0;
    t = rc_ckpt_find(m->ckpt, place.name);
    if (!t) {
        if (first) {
            rc_err *e = rc_model_add_problem(m, RC_MISSING, place.name, NULL);

            rc_err_file(e, file_of(m, NULL));
            rc_model_say(e, "missing");
        }
        return;
    }
    b->weight = t;
    b->store = store_of(t);
    used[t - rc_ckpt_at(m->ckpt, 0)] = true;
    if (!first)
        return;
    check_dtype(m, b->param, t);
    if (!same_shape(t, &place))
        wrong_shape(m, t, &place);
}

/* Copies of the model's own tables that a draft may carry: no parameters of the release. */
static bool is_copy(const rc_model *m, const char *name)
{
    if (rc_ckpt_kind(m->ckpt) == RC_GGUF_DSPARK)
        return strcmp(name, "token_embd.weight") == 0 || strcmp(name, "output.weight") == 0;
    return ends_with(name, ".nextn.embed_tokens.weight") ||
           ends_with(name, ".nextn.shared_head_head.weight");
}

static void check_extra(rc_model *m, const bool *used)
{
    size_t copies = 0;

    for (size_t i = 0; i < rc_ckpt_count(m->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(m->ckpt, i);

        if (used[i])
            continue;
        if (is_copy(m, t->name))
            copies++;
        else
            rc_model_say(rc_model_add_problem(m, RC_EXTRA, t->name, t), "unknown tensor");
    }
    if (copies)
        rc_model_say(rc_model_add_note(m),
                     "%zu cop%s of the model's embedding or head: not looked at", copies,
                     copies == 1 ? "y" : "ies");
}

static rc_code bind_all(rc_model *m, rc_err *err)
{
    bool *used = rc_mem_get(m->mem, rc_ckpt_count(m->ckpt) * sizeof *used);

    if (!used)
        return rc_fail_nomem(err, m->mem, rc_ckpt_count(m->ckpt) * sizeof *used);
    for (size_t i = 0; i < rc_schema_count(m->schema); i++)
        bind(m, &m->bound[i], used);
    check_extra(m, used);
    rc_mem_put(m->mem, used);
    return RC_OK;
}

static void write_variant(rc_model *m)
{
    const rc_config *c = rc_ckpt_config(m->ckpt);
    const uint32_t D = c->hidden_size, E = c->n_routed_experts;
    const rc_tensor *experts = NULL;

    for (size_t i = 0; i < rc_schema_count(m->schema) && !experts; i++)
        if (m->bound[i].param->role == RC_ROLE_EXPERT)
            experts = m->bound[i].weight;
    snprintf(m->variant, sizeof m->variant, "%s%s, GGUF, %s%s%s",
             D == 4096 && E == 256   ? "V4-Flash"
             : D == 7168 && E == 384 ? "V4-Pro"
                                     : "V4 (custom sizes)",
             m->traits.vision ? "-Vision" : "", rc_gguf_kind_name(rc_ckpt_kind(m->ckpt)),
             experts ? ", experts " : "", experts ? rc_tensor_type(experts) : "");
}

rc_code rc_model_bind_gguf(rc_model *m, rc_err *err)
{
    read_traits(m);
    RC_TRY(rc_model_expand(m, file_of(m, NULL), err));
    RC_TRY(bind_all(m, err));
    write_variant(m);
    return RC_OK;
}
