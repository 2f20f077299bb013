/* verify/census.c - see census.h. */
#include "verify/census.h"

#include <string.h>

#include "formats/base/json.h"
#include "formats/index.h"
#include "verify/figures.h"

static void add(rc_tally *t, uint64_t tensors, uint64_t params, uint64_t values, uint64_t nbytes)
{
    t->tensors += tensors;
    t->params += params;
    t->values += values;
    t->nbytes += nbytes;
}

static uint64_t elements(unsigned rank, const uint64_t *shape)
{
    uint64_t n = 1;

    for (unsigned i = 0; i < rank; i++)
        n *= shape[i]; /* bounded: the header's sizes were multiplied before */
    return n;
}

/* How many of a parameter's values take part in one token. An expert's share
 * is counted at the first expert, for all: divisions stay exact. */
static uint64_t active_values(const rc_param *p, const rc_config *c, uint64_t values)
{
    if (p->draft)
        return 0;
    if (p->role == RC_ROLE_EMBED)
        return p->rank == 2 ? p->shape[1] : values;
    if (p->role == RC_ROLE_EXPERT)
        return p->expert == 0 ? values * c->num_experts_per_tok : 0;
    return values;
}

static void count_bound(rc_census *c, const rc_model *model, size_t i, uint64_t *placed)
{
    const rc_bound *b = rc_model_at(model, i);
    const rc_param *p = b->param;
    const uint64_t values = p->dtype == RC_DTYPE_I64 ? 0 : elements(p->rank, p->shape);
    const bool first = b->row == 0 && b->col == 0; /* a stack is counted once */
    const rc_tensor *part[] = { first ? b->weight : NULL, b->scale, b->zero, b->shape };
    uint64_t tensors = 0, nbytes = 0;
    char label[RC_FIGURE];

    if (!b->weight)
        return;
    for (unsigned k = 0; k < sizeof part / sizeof *part; k++) {
        tensors += part[k] != NULL;
        nbytes += part[k] ? part[k]->nbytes : 0;
    }
    rc_figure_add(c->stored[p->role], rc_figure_layout(label, b));
    *placed += tensors;
    add(&c->by_role[p->role], tensors, 1, values, nbytes);
    *(p->draft ? &c->values_draft : &c->values_main) += values;
    c->values_active += active_values(p, rc_ckpt_config(rc_model_ckpt(model)), values);
}

static void count_layers(rc_census *c, const rc_config *config)
{
    for (uint32_t i = 0; i < config->num_hidden_layers && i < config->n_compress_ratios; i++)
        switch (config->compress_ratios[i]) {
        case 0:
            c->window++;
            break;
        case 4:
            c->csa++;
            break;
        case 128:
            c->hca++;
            break;
        default: /* the schema refuses the others */
            break;
        }
    c->hashed = config->num_hash_layers < config->num_hidden_layers ? config->num_hash_layers
                                                                    : config->num_hidden_layers;
    c->scored = config->num_hidden_layers - c->hashed;
}

const char *rc_index_says_name(rc_index_says says)
{
    static const char *const names[] = { "none", "silent", "agrees", "differs" };

    return names[says];
}

/* Of the whole index only root.metadata.total_size is wanted here: its names were
 * checked against the headers when the checkpoint was opened. */
struct total {
    bool in_metadata, at_total, found;
    uint64_t value;
};

static rc_code on_event(void *ctx, const rc_json_event *e, rc_err *err)
{
    struct total *t = ctx;

    (void)err;
    if (t->at_total && e->type == RC_JSON_NUMBER)
        t->found = rc_json_u64(e, &t->value);
    t->at_total = false;
    if (e->type == RC_JSON_KEY && e->depth == 1)
        t->in_metadata = e->len == 8 && memcmp(e->text, "metadata", 8) == 0;
    else if (e->type == RC_JSON_KEY && e->depth == 2 && t->in_metadata)
        t->at_total = e->len == 10 && memcmp(e->text, "total_size", 10) == 0;
    return RC_OK;
}

rc_code rc_census_index(rc_index_says *says, uint64_t *total, rc_ckpt *ckpt, rc_mem *mem,
                        rc_err *err)
{
    rc_source *src = rc_ckpt_source(ckpt);
    struct total t = { 0 };
    uint8_t *text = NULL;
    size_t file, len;
    rc_code rc;

    *says = RC_INDEX_NONE;
    *total = 0;
    if (!rc_source_find(src, RC_INDEX_NAME, &file))
        return RC_OK;
    RC_TRY(rc_source_slurp(src, file, RC_INDEX_MAX_BYTES, &text, &len, mem, err));
    rc = rc_json_parse(text, len, 0, on_event, &t, mem, err);
    rc_mem_put(mem, text);
    if (rc != RC_OK) {
        rc_err_file(err, RC_INDEX_NAME);
        return rc;
    }
    *says = !t.found                          ? RC_INDEX_SILENT
            : t.value == rc_ckpt_nbytes(ckpt) ? RC_INDEX_AGREES
                                              : RC_INDEX_DIFFERS;
    *total = t.value;
    return RC_OK;
}

rc_code rc_census_take(rc_census *out, const rc_model *model, rc_mem *mem, rc_err *err)
{
    rc_ckpt *ckpt = rc_model_ckpt(model);
    uint64_t placed = 0;

    *out = (rc_census){ 0 };
    for (size_t i = 0; i < rc_ckpt_count(ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(ckpt, i);

        add(&out->all, 1, 0, 0, t->nbytes);
        add(&out->by_dtype[t->dtype], 1, 0, 0, t->nbytes);
    }
    for (size_t i = 0; i < rc_model_count(model); i++)
        count_bound(out, model, i, &placed);
    for (size_t i = 0; i < rc_model_opaque_count(model); i++) {
        const rc_tensor *t = rc_model_opaque(model, i);
        const uint64_t values = elements(t->rank, t->shape);

        placed++;
        add(&out->by_role[RC_ROLE_VISION], 1, 1, values, t->nbytes);
        rc_figure_add(out->stored[RC_ROLE_VISION], rc_tensor_type(t));
        out->values_main += values;
    }
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++) {
        out->all.params += out->by_role[r].params;
        out->all.values += out->by_role[r].values;
    }
    out->unplaced = out->all.tensors - placed;
    for (size_t i = 0; i < rc_ckpt_shards(ckpt); i++)
        out->file_bytes += rc_ckpt_shard(ckpt, i)->nbytes;
    count_layers(out, rc_ckpt_config(ckpt));
    return rc_census_index(&out->index, &out->index_total, ckpt, mem, err);
}
