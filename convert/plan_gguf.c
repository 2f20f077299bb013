/* convert/plan_gguf.c - the plan of a GGUF file: tensors stacked, typed and placed.
 *
 * A *file* is one model for a loader: the main one and, with --draft separate, the draft's.
 * Each may be split. Splits are what the rest of convert/ calls shards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/gguf_meta.h"
#include "convert/plan_impl.h"
#include "formats/base/names.h"

enum { SIDE_MAX = 64 << 20, MAX_FILES = 2, MAX_SPLITS = 65535 };

/* A tensor of the output. */
typedef struct tensor {
    rc_gguf_put put;
    uint64_t row_bytes;
    size_t split;    /* of its file */
    uint64_t filled; /* elements that jobs put there */
    bool expert;
} tensor;

/* One parameter and where it goes. */
typedef struct piece {
    const rc_bound *bound;
    size_t tensor;
    uint64_t row, col;
    uint32_t experts; /* in the stack, or 1 */
} piece;

typedef struct file {
    rc_gguf_kind kind;
    char stem[RC_PLAN_NAME];
    tensor *tensors;
    size_t ntensors;
    piece *pieces;
    size_t npieces, nsplits, first_shard;
    rc_names names;
} file;

typedef struct build {
    rc_plan *plan;
    const rc_log *log;
    const rc_config *config;
    file files[MAX_FILES];
    unsigned nfiles;
    rc_tokenizer *tokenizer;
    char *chat_template; /* of the source, or NULL */
    size_t nfallbacks, nfound, nabsent, nunseen, nenergy, nsqueezed;
} build;

/* ------------------------------------------------------------- which files */

static rc_code refuse_draft(const build *b, const char *why, const char *hint, rc_err *err)
{
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "--draft %s: %s", rc_recipe_draft(&b->plan->recipe),
            why);
    rc_err_hint(err, "%s", hint);
    return RC_E_USAGE;
}

static rc_code choose_files(build *b, rc_err *err)
{
    rc_recipe *r = &b->plan->recipe;
    const rc_traits *t = rc_model_traits(b->plan->model);
    const bool ds4 = rc_gguf_recipe_is_ds4(r->gguf), dspark = t->draft == RC_DRAFT_DSPARK;
    file *main_file = &b->files[b->nfiles++], *draft;

    main_file->kind = RC_GGUF_MAIN;
    snprintf(main_file->stem, sizeof main_file->stem, "%s", r->stem);
    if (r->draft == RC_DRAFT_AUTO) {
        r->draft = ds4 && dspark ? RC_DRAFT_DROP : RC_DRAFT_SEPARATE;
        if (ds4 && dspark)
            rc_warn(b->log, NULL, NULL, RC_NO_OFFSET, "ds4 knows no DSpark: the draft is left out");
    }
    if (t->draft == RC_DRAFT_NONE || r->draft == RC_DRAFT_DROP)
        return RC_OK;
    if (r->draft == RC_DRAFT_EMBED) {
        if (dspark || ds4)
            return refuse_draft(b,
                                dspark ? "DSpark blocks have no place in the model's own file"
                                       : "ds4 reads the draft from a file of its own",
                                "--draft separate writes them beside it", err);
        main_file->kind = RC_GGUF_EMBED;
        rc_warn(b->log, NULL, NULL, RC_NO_OFFSET,
                "an embedded draft shares the model's output_hc_*: its own hc_head_* are left out");
        return RC_OK;
    }
    if (ds4 && dspark)
        return refuse_draft(b, "ds4 knows no DSpark", "--draft drop leaves it out", err);
    draft = &b->files[b->nfiles++];
    draft->kind = dspark ? RC_GGUF_DSPARK : ds4 ? RC_GGUF_MTP_DS4 : RC_GGUF_MTP;
    snprintf(draft->stem, sizeof draft->stem, "%s-%.200s", dspark ? "dspark" : "mtp", r->stem);
    return RC_OK;
}

/* ----------------------------------------------------------------- tensors */

static const char *tensor_name(const void *owner, size_t i)
{
    const file *f = owner;

    return f->tensors[i].put.name;
}

static rc_code add_tensor(build *b, file *f, const rc_bound *bound, const rc_gguf_place *place,
                          rc_err *err)
{
    tensor *t = &f->tensors[f->ntensors];
    const rc_gguf_asked asked = { .name = place->name,
                                  .param = bound->param,
                                  .source = bound->weight->dtype,
                                  .cols = place->part && bound->param->rank
                                              ? bound->param->shape[bound->param->rank - 1]
                                              : place->shape[place->rank - 1] };
    rc_gguf_choice choice;

    RC_TRY(rc_gguf_recipe_choose(b->plan->recipe.gguf, &asked, &choice, err));
    if (choice.dtype != choice.refused && b->nfallbacks++ < 8)
        rc_warn(b->log, NULL, place->name, RC_NO_OFFSET,
                "rows of %" PRIu64 " do not divide into blocks of %s: it becomes %s", asked.cols,
                rc_dtype_name(choice.refused), rc_dtype_name(choice.dtype));
    t->put.name = rc_arena_strdup(&b->plan->arena, place->name, strlen(place->name));
    if (!t->put.name)
        return rc_fail_nomem(err, b->plan->mem, strlen(place->name));
    t->put.dtype = choice.dtype;
    t->put.rank = place->rank;
    memcpy(t->put.shape, place->shape, sizeof place->shape);
    t->row_bytes = rc_dtype_row_bytes(choice.dtype, place->shape[place->rank - 1]);
    t->expert = bound->param->expert >= 0;
    if (!rc_names_add(&f->names, f->ntensors))
        return rc_fail_nomem(err, b->plan->mem, sizeof(uint32_t));
    f->ntensors++;
    return RC_OK;
}

static uint64_t elements(const rc_param *p)
{
    uint64_t n = 1;

    for (unsigned i = 0; i < p->rank; i++)
        n *= p->shape[i];
    return n;
}

static rc_code add_piece(build *b, file *f, const rc_bound *bound, rc_err *err)
{
    rc_gguf_place place;
    size_t i;

    if (!rc_gguf_place_of(&place, bound->param, b->config, f->kind))
        return RC_OK;
    i = rc_names_find(&f->names, place.name, strlen(place.name));
    if (i == RC_NAMES_NONE) {
        i = f->ntensors;
        RC_TRY(add_tensor(b, f, bound, &place, err));
    }
    f->tensors[i].filled += elements(bound->param);
    f->pieces[f->npieces++] =
        (piece){ .bound = bound,
                 .tensor = i,
                 .row = place.row,
                 .col = place.col,
                 .experts = bound->param->expert >= 0 ? (uint32_t)place.shape[0] : 1 };
    return RC_OK;
}

static rc_code list_tensors(build *b, file *f, rc_err *err)
{
    const size_t n = rc_model_count(b->plan->model);
    rc_mem *mem = b->plan->mem;

    rc_names_init(&f->names, mem, tensor_name, f);
    f->tensors = rc_mem_get(mem, n * sizeof *f->tensors);
    f->pieces = rc_mem_get(mem, n * sizeof *f->pieces);
    if (!f->tensors || !f->pieces)
        return rc_fail_nomem(err, mem, n * sizeof *f->pieces);
    for (size_t i = 0; i < n; i++)
        RC_TRY(add_piece(b, f, rc_model_at(b->plan->model, i), err));
    for (size_t i = 0; i < f->ntensors; i++) {
        uint64_t want = 1;

        for (unsigned d = 0; d < f->tensors[i].put.rank; d++)
            want *= f->tensors[i].put.shape[d];
        if (want != f->tensors[i].filled) {
            rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "a part of it is not in the source");
            rc_err_tensor(err, f->tensors[i].put.name);
            return RC_E_TENSORSET;
        }
    }
    return RC_OK;
}

/* Tensors in order, each split full before the next begins. */
static rc_code assign_splits(build *b, file *f, rc_err *err)
{
    const uint64_t most = b->plan->recipe.shard_size;
    uint64_t filled = 0;

    for (size_t i = 0; i < f->ntensors; i++) {
        tensor *t = &f->tensors[i];
        uint64_t nbytes = t->row_bytes;

        for (unsigned d = 0; d + 1 < t->put.rank; d++)
            nbytes *= t->put.shape[d];
        if (most && filled && nbytes > most - filled) {
            f->nsplits++;
            filled = 0;
        }
        t->split = f->nsplits;
        filled += nbytes < most - filled ? nbytes : most - filled;
    }
    f->nsplits++;
    if (f->nsplits > MAX_SPLITS)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET,
                       "more than %d splits: --split-size is too small", MAX_SPLITS);
    return RC_OK;
}

/* ----------------------------------------------------------------- metadata */

static rc_code slurp(const build *b, const char *name, uint8_t **text, size_t *len, rc_err *err)
{
    rc_source *src = rc_ckpt_source(rc_model_ckpt(b->plan->model));
    size_t i;

    *text = NULL;
    *len = 0;
    if (!rc_source_find(src, name, &i))
        return RC_OK;
    return rc_source_slurp(src, i, SIDE_MAX, text, len, b->plan->mem, err);
}

/* Loaders know a pre-tokenizer by name; text cut in another way would be other tokens. */
static rc_code refuse_pre_tokenizer(const rc_tokenizer *t, rc_err *err)
{
    const rc_digest digest = rc_tokenizer_pre_digest(t);
    char hex[33];

    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
            "its pre-tokenizer (definition %s) is not DeepSeek-V4's, for which GGUF has a name",
            rc_digest_hex(&digest, hex));
    rc_err_file(err, "tokenizer.json");
    rc_err_hint(err, "use the tokenizer.json of the release that the weights are of");
    return RC_E_UNSUPPORTED;
}

static rc_code load_tokenizer(build *b, rc_err *err)
{
    rc_mem *mem = b->plan->mem;
    uint8_t *json = NULL, *config = NULL, *template = NULL;
    size_t json_len, config_len, template_len;
    rc_code rc;

    RC_TRY_GOTO(rc, done, slurp(b, "tokenizer.json", &json, &json_len, err));
    if (!json) {
        rc = rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET,
                     "not there: a GGUF file carries its tokenizer");
        rc_err_file(err, "tokenizer.json");
        rc_err_hint(err,
                    "fetch it from the release that the weights are of, into the source folder");
        goto done;
    }
    RC_TRY_GOTO(rc, done, slurp(b, "tokenizer_config.json", &config, &config_len, err));
    RC_TRY_GOTO(rc, done, slurp(b, "chat_template.jinja", &template, &template_len, err));
    b->chat_template = (char *)template; /* NUL-terminated by the slurp */
    template = NULL;
    rc = rc_tokenizer_parse(&b->tokenizer, json, json_len, config, config_len,
                            b->config->vocab_size, b->log, mem, err);
    if (rc == RC_OK && !rc_tokenizer_pre(b->tokenizer))
        rc = refuse_pre_tokenizer(b->tokenizer, err);
done:
    rc_mem_put(mem, json);
    rc_mem_put(mem, config);
    rc_mem_put(mem, template);
    return rc;
}

static void count_params(const file *f, rc_gguf_meta *m)
{
    for (size_t i = 0; i < f->ntensors; i++) {
        const rc_gguf_put *t = &f->tensors[i].put;

        m->params += f->tensors[i].filled;
        m->quantized |= rc_dtype_block(t->dtype) > 1;
        if (!f->tensors[i].expert)
            continue;
        m->expert_params += f->tensors[i].filled / t->shape[0];
        m->experts = t->dtype;
    }
}

static const char *model_name(const build *b)
{
    char name[96];

    snprintf(name, sizeof name, "DeepSeek-%.80s", rc_model_variant(b->plan->model));
    return rc_arena_strdup(&b->plan->arena, name, strlen(name));
}

static rc_code write_meta(build *b, const file *f, rc_ggufw *w, rc_err *err)
{
    const rc_imatrix *im = b->plan->recipe.imatrix;
    rc_gguf_meta m = {
        .config = b->config,
        .tokenizer = b->tokenizer,
        .chat_template = b->chat_template,
        .name = model_name(b),
        .license = "mit",
        .kind = f->kind,
        .draft_blocks = rc_model_traits(b->plan->model)->draft_blocks,
    };

    if (!m.name)
        return rc_fail_nomem(err, b->plan->mem, 1);
    if (im) {
        m.imatrix_file = b->plan->recipe.imatrix_name;
        m.imatrix_dataset = rc_imatrix_dataset(im);
        m.imatrix_entries = (uint32_t)rc_imatrix_count(im);
        m.imatrix_chunks = rc_imatrix_chunks(im);
    }
    count_params(f, &m);
    rc_gguf_meta_write(w, &m);
    return RC_OK;
}

/* -------------------------------------------------------------------- layout */

static rc_code lay_out_split(build *b, file *f, size_t split, rc_err *err)
{
    rc_plan_shard *shard = &b->plan->shards[f->first_shard + split];
    rc_mem *mem = b->plan->mem;
    rc_gguf_put *puts = rc_mem_get(mem, f->ntensors * sizeof *puts);
    rc_ggufw *w = rc_ggufw_new(mem);
    size_t n = 0;
    rc_code rc = puts && w ? RC_OK : rc_fail_nomem(err, mem, f->ntensors * sizeof *puts);

    if (rc == RC_OK && split == 0)
        rc = write_meta(b, f, w, err);
    if (rc == RC_OK && f->nsplits > 1)
        rc_gguf_meta_split(w, (uint16_t)split, (uint16_t)f->nsplits, (int32_t)f->ntensors);
    for (size_t i = 0; i < f->ntensors && rc == RC_OK; i++)
        if (f->tensors[i].split == split)
            puts[n++] = f->tensors[i].put;
    if (rc == RC_OK)
        rc = rc_gguf_layout(w, puts, n, &shard->head, &shard->head_len, &shard->nbytes, mem, err);
    for (size_t i = 0, k = 0; i < f->ntensors && rc == RC_OK; i++)
        if (f->tensors[i].split == split) {
            f->tensors[i].put = puts[k++];
            shard->tensor_bytes += f->tensors[i].put.nbytes;
        }
    rc_ggufw_free(&w);
    rc_mem_put(mem, puts);
    return rc;
}

static rc_code lay_out(build *b, rc_err *err)
{
    rc_plan *p = b->plan;

    for (unsigned i = 0; i < b->nfiles; i++) {
        b->files[i].first_shard = p->nshards;
        p->nshards += b->files[i].nsplits;
        p->ntensors += b->files[i].ntensors;
    }
    p->shards = rc_mem_get(p->mem, p->nshards * sizeof *p->shards);
    if (!p->shards)
        return rc_fail_nomem(err, p->mem, p->nshards * sizeof *p->shards);
    for (unsigned i = 0; i < b->nfiles; i++) {
        file *f = &b->files[i];

        for (size_t s = 0; s < f->nsplits; s++) {
            char *name = p->shards[f->first_shard + s].name;

            if (f->nsplits > 1)
                snprintf(name, RC_PLAN_NAME, "%.200s-%05u-of-%05u.gguf", f->stem, (unsigned)s + 1,
                         (unsigned)f->nsplits);
            else
                snprintf(name, RC_PLAN_NAME, "%.240s.gguf", f->stem);
            RC_TRY(lay_out_split(b, f, s, err));
        }
    }
    return RC_OK;
}

/* --------------------------------------------------------------------- jobs */

static rc_code choose_importance(build *b, rc_job *job, const tensor *t, rc_err *err)
{
    const rc_quantizer *q = rc_quantizer_of(t->put.dtype);
    const rc_imatrix *im = b->plan->recipe.imatrix;
    rc_imatrix_found found = RC_IMATRIX_ABSENT;

    if (job->op != RC_OP_ENCODE || !q || !q->searches)
        return RC_OK;
    if (im && job->imatrix_name)
        RC_TRY(rc_imatrix_part(im, job->imatrix_name, job->expert, job->experts, job->pitch,
                               job->col, job->cols, NULL, &found, err));
    if (found == RC_IMATRIX_MISMATCH) {
        rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET,
                "the importance matrix is of another model: its entry has another size");
        rc_err_tensor(err, job->imatrix_name);
        rc_err_want(err, "%u matrices of %" PRIu64 " columns", job->experts, job->pitch);
        return RC_E_TENSORSET;
    }
    b->nfound += found == RC_IMATRIX_FOUND;
    b->nabsent += im && found == RC_IMATRIX_ABSENT;
    b->nunseen += found == RC_IMATRIX_UNSEEN;
    job->importance = found == RC_IMATRIX_FOUND    ? RC_IMPORTANCE_MATRIX
                      : found == RC_IMATRIX_UNSEEN ? RC_IMPORTANCE_EQUAL
                      : q->needs_importance        ? RC_IMPORTANCE_ENERGY
                                                   : RC_IMPORTANCE_NONE;
    b->nenergy += job->importance == RC_IMPORTANCE_ENERGY;
    return RC_OK;
}

/* A copy is of bytes side by side; rows with gaps between them go the way of rows. */
static rc_op op_of(const rc_bound *b, rc_dtype to, bool gaps)
{
    if (b->store == RC_STORE_FP4 && to == RC_DTYPE_MXFP4)
        return RC_OP_FP4_TO_MXFP4;
    if (b->store == RC_STORE_PLAIN && b->weight->dtype == to && !gaps)
        return RC_OP_COPY;
    return b->weight->dtype == RC_DTYPE_I64 ? RC_OP_I64_TO_I32 : RC_OP_ENCODE;
}

/* Pieces whose exactness is promised: a block type that searches or rounds promises none. */
static uint64_t promises(const rc_job *job, rc_dtype to)
{
    switch (job->op) {
    case RC_OP_FP4_TO_MXFP4:
        return job->rows * (job->cols / rc_dtype_block(to));
    case RC_OP_ENCODE:
        return to == RC_DTYPE_F32 || to == RC_DTYPE_BF16 ? job->rows : 0;
    default:
        return 0;
    }
}

/* Rows side by side with another parameter's have gaps between them. */
static void place_out(rc_dest *d, const piece *at, const tensor *t, const rc_param *p)
{
    const uint64_t row = rc_dtype_row_bytes(t->put.dtype, p->rank ? p->shape[p->rank - 1] : 1);

    *d = (rc_dest){ .name = t->put.name, .dtype = t->put.dtype, .rank = p->rank };
    d->nbytes = row;
    for (unsigned i = 0; i < p->rank; i++) {
        d->shape[i] = p->shape[i];
        d->nbytes *= i + 1 < p->rank ? p->shape[i] : 1;
    }
    d->begin = t->put.begin + at->row * t->row_bytes + rc_dtype_row_bytes(t->put.dtype, at->col);
    if (row != t->row_bytes) {
        d->row_bytes = row;
        d->stride = t->row_bytes;
    }
}

/* Importance matrices speak of one file: a draft's blocks come after the last layer there, whatever
 * its own file calls them. DSpark's blk.0 is not the model's. */
static rc_code find_statistics(build *b, rc_job *job, const file *f, const piece *at, rc_err *err)
{
    const rc_param *p = at->bound->param;
    rc_gguf_place place;

    if (!rc_gguf_place_of(&place, p, b->config, p->draft ? RC_GGUF_EMBED : f->kind))
        return RC_OK;
    job->imatrix_name = rc_arena_strdup(&b->plan->arena, place.name, strlen(place.name));
    job->col = place.col;
    job->pitch = place.rank ? place.shape[place.rank - 1] : 1;
    return job->imatrix_name ? RC_OK : rc_fail_nomem(err, b->plan->mem, sizeof place.name);
}

static rc_code add_job(build *b, const file *f, const piece *at, rc_err *err)
{
    rc_job *job = &b->plan->jobs[b->plan->njobs++];
    const tensor *t = &f->tensors[at->tensor];
    const rc_param *p = at->bound->param;

    place_out(&job->out[RC_PART_WEIGHT], at, t, p);
    job->op = op_of(at->bound, t->put.dtype, job->out[RC_PART_WEIGHT].stride != 0);
    if (job->op == RC_OP_COPY) {
        rc_plan_copy(job, at->bound->weight);
    } else {
        job->name = at->bound->weight->name;
        job->weight = at->bound->weight;
        job->scale = at->bound->scale;
        job->cols = p->rank ? p->shape[p->rank - 1] : 1;
        job->rows = elements(p) / (job->cols ? job->cols : 1);
        RC_TRY(find_statistics(b, job, f, at, err));
    }
    job->shard = f->first_shard + t->split;
    job->role = p->role;
    job->expert = p->expert >= 0 ? (uint32_t)p->expert : 0;
    job->experts = at->experts;
    job->tiles = promises(job, t->put.dtype);
    b->nsqueezed += p->role == RC_ROLE_EXPERT && t->put.dtype == RC_DTYPE_MXFP4 &&
                    job->op != RC_OP_FP4_TO_MXFP4;
    return choose_importance(b, job, t, err);
}

static rc_code list_jobs(build *b, rc_err *err)
{
    size_t n = 0;

    for (unsigned i = 0; i < b->nfiles; i++)
        n += b->files[i].npieces;
    RC_TRY(rc_plan_room(b->plan, n, err));
    for (unsigned i = 0; i < b->nfiles; i++)
        for (size_t k = 0; k < b->files[i].npieces; k++)
            RC_TRY(add_job(b, &b->files[i], &b->files[i].pieces[k], err));
    rc_plan_sort(b->plan);
    return RC_OK;
}

/* -------------------------------------------------------------------- whole */

static void tell(const build *b)
{
    const size_t nopaque = rc_model_opaque_count(b->plan->model);

    if (rc_model_traits(b->plan->model)->draft == RC_DRAFT_DSPARK && !b->chat_template &&
        !rc_tokenizer_template(b->tokenizer))
        rc_warn(
            b->log, NULL, NULL, RC_NO_OFFSET,
            "the chat template is that of the first release; put a chat_template.jinja into the "
            "source folder if this one prompts in another way");
    if (b->nfallbacks > 8)
        rc_warn(b->log, NULL, NULL, RC_NO_OFFSET, "%zu tensors in all have rows of such a length",
                b->nfallbacks);
    if (b->nsqueezed) /* the default recipe's name promises more than it keeps here */
        rc_warn(b->log, NULL, NULL, RC_NO_OFFSET,
                "%zu expert matrices are not FP4 in the source: MXFP4 rounds them, q8_0 or bf16 "
                "would keep more",
                b->nsqueezed);
    if (b->plan->recipe.imatrix && !b->nfound)
        rc_warn(b->log, NULL, NULL, RC_NO_OFFSET,
                "the importance matrix is of no use here: no type of this recipe searches, or no "
                "name fits");
    else if (b->nabsent)
        rc_warn(b->log, NULL, NULL, RC_NO_OFFSET,
                "%zu matrices have no entry in the importance matrix: quantized without weights",
                b->nabsent);
    if (b->nenergy)
        rc_warn(b->log, NULL, NULL, RC_NO_OFFSET,
                "%zu matrices become a type that needs an importance matrix and have none: columns "
                "are weighted by their own energy; --imatrix gives better models",
                b->nenergy);
    if (b->nunseen)
        rc_warn(b->log, NULL, NULL, RC_NO_OFFSET,
                "no token reached %zu experts when the importance matrix was made: all their "
                "columns count the same",
                b->nunseen);
    if (nopaque)
        rc_warn(b->log, NULL, NULL, RC_NO_OFFSET,
                "%zu tensors of the vision tower are left out: llama.cpp keeps them in a file of "
                "its own (mmproj)",
                nopaque);
}

static rc_code check_model(const build *b, rc_err *err)
{
    if (strcmp(b->config->scoring_func, "sqrtsoftplus") == 0)
        return RC_OK;
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
            "scoring_func '%.30s': GGUF loaders know sqrtsoftplus only", b->config->scoring_func);
    rc_err_file(err, "config.json");
    return RC_E_UNSUPPORTED;
}

static rc_code fill(build *b, rc_err *err)
{
    RC_TRY(check_model(b, err));
    RC_TRY(choose_files(b, err));
    RC_TRY(load_tokenizer(b, err));
    for (unsigned i = 0; i < b->nfiles; i++) {
        RC_TRY(list_tensors(b, &b->files[i], err));
        RC_TRY(assign_splits(b, &b->files[i], err));
    }
    RC_TRY(rc_gguf_recipe_check_used(b->plan->recipe.gguf, err));
    RC_TRY(lay_out(b, err));
    return list_jobs(b, err);
}

rc_code rc_plan_fill_gguf(rc_plan *p, const rc_log *log, rc_err *err)
{
    build b = { .plan = p, .log = log, .config = rc_ckpt_config(rc_model_ckpt(p->model)) };
    const rc_code rc = fill(&b, err);

    if (rc == RC_OK)
        tell(&b);
    for (unsigned i = 0; i < b.nfiles; i++) {
        rc_names_free(&b.files[i].names);
        rc_mem_put(p->mem, b.files[i].tensors);
        rc_mem_put(p->mem, b.files[i].pieces);
    }
    rc_tokenizer_free(&b.tokenizer);
    rc_mem_put(p->mem, b.chat_template);
    return rc;
}
