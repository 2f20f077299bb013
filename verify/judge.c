/* verify/judge.c - pairing: what is compared with what, and what has no partner.
 * The comparison is in judge_run.c, the answer in judge_verdict.c. */
#include "verify/judge_impl.h"

#include <stdio.h>
#include <string.h>

#include "verify/agree.h"
#include "runtime/decode.h"
#include "verify/draw.h"
#include "verify/figures.h"

enum { CHUNK_VALUES = 1 << 22, BAND = 128 };

const char *rc_judge_path(char *buf, size_t n, const rc_subject *side, const char *file)
{
    return rc_source_path(rc_ckpt_source(side->ckpt), file, buf, n);
}

static bool wanted(const rc_judge *j, const char *name)
{
    return rc_glob_any(j->rules.globs, j->rules.nglobs, name);
}

static const char *shard_path(char buf[512], const rc_subject *side, const rc_tensor *t)
{
    return rc_judge_path(buf, 512, side, rc_ckpt_shard(side->ckpt, t->shard)->name);
}

/* the two sides as wholes */

/* Of two layouts of one model the original holds the fewer bits a value; but 4-bit integers are
 * nobody's original. */
static int closeness(rc_store store)
{
    return store == RC_STORE_FP4 ? 3 : store == RC_STORE_NVFP4 ? 2 : store == RC_STORE_FP8 ? 1 : 0;
}

static const char *layout_name(rc_store store)
{
    return store == RC_STORE_FP4      ? "FP4"
           : store == RC_STORE_FP8    ? "FP8"
           : store == RC_STORE_NVFP4  ? "NVFP4"
           : store == RC_STORE_PACKED ? "INT4"
           : store == RC_STORE_AWQ    ? "AWQ"
           : store == RC_STORE_BLOCKS ? "blocks"
                                      : "BF16";
}

/* A converted model given as NATIVE would be measured against a copy of itself, and
 * the loss of the real conversion never be seen. A lossy comparison may go that way. */
static rc_code refuse_swapped(const rc_judge *j, rc_err *err)
{
    const rc_traits *a = rc_model_traits(j->a.model), *b = rc_model_traits(j->b.model);
    const bool experts = closeness(a->experts) < closeness(b->experts);

    if (j->rules.lossy || (!experts && closeness(a->dense) >= closeness(b->dense)))
        return RC_OK;
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
            "NATIVE stores its %s as %s, CONVERTED as %s: are the folders the wrong way round?",
            experts ? "experts" : "dense matrices", layout_name(experts ? a->experts : a->dense),
            layout_name(experts ? b->experts : b->dense));
    rc_err_file(err, rc_source_where(rc_ckpt_source(j->a.ckpt)));
    rc_err_hint(err, "recast verify NATIVE CONVERTED: the original comes first");
    return RC_E_USAGE;
}

static rc_code require_whole_native(const rc_judge *j, rc_err *err)
{
    if (rc_model_require_whole(j->a.model, err) == RC_OK)
        return RC_OK;
    rc_subject_name(err, &j->a);
    rc_err_hint(err, "NATIVE cannot be the measure: recast inspect lists its problems");
    return RC_E_TENSORSET;
}

static void report_problems_of_converted(rc_judge *j)
{
    const rc_model *m = j->b.model;
    char path[512];

    for (size_t i = 0; i < rc_model_problems(m); i++) {
        const rc_problem *p = rc_model_problem(m, i);
        rc_err *e;

        if (p->tensor[0] && !wanted(j, p->tensor))
            continue;
        rc_judge_path(path, sizeof path, &j->b, p->what.file);
        e = rc_findings_add(&j->findings, RC_FAULT, RC_E_TENSORSET,
                            p->tensor[0] ? "tensors" : "config", p->what.file[0] ? path : NULL,
                            p->tensor[0] ? p->tensor : NULL, "%s", p->what.msg);
        if (e && p->what.want[0]) {
            rc_err_want(e, "%s", p->what.want);
            rc_err_got(e, "%s", p->what.got);
        }
        if (e)
            e->offset = p->what.offset;
    }
    for (size_t i = 0; i < rc_model_notes(m); i++)
        rc_findings_add(&j->findings, RC_NOTE, RC_OK, "tensors",
                        rc_source_where(rc_ckpt_source(j->b.ckpt)), NULL, "%s",
                        rc_model_note(m, i)->msg);
    if (j->rules.nglobs == 0) /* problems that the model counted but did not keep */
        j->findings.total[RC_FAULT] += rc_model_problems_total(m) - rc_model_problems(m);
}

static void report_draft(rc_judge *j)
{
    const rc_traits *a = rc_model_traits(j->a.model), *b = rc_model_traits(j->b.model);
    const bool gguf = rc_ckpt_gguf(j->b.ckpt) != NULL; /* has its draft in another file */
    const bool fine = j->rules.allow_missing_draft || gguf;
    size_t n = 0;
    rc_err *e;

    j->dropped_draft = a->draft != RC_DRAFT_NONE && b->draft == RC_DRAFT_NONE;
    for (size_t i = 0; i < rc_model_count(j->a.model) && j->dropped_draft; i++) {
        const rc_param *p = rc_model_at(j->a.model, i)->param;

        n += p->draft && wanted(j, p->name);
    }
    if (n == 0)
        return;
    e = rc_findings_add(&j->findings, fine ? RC_NOTE : RC_FAULT, fine ? RC_OK : RC_E_TENSORSET,
                        "tensors", rc_source_where(rc_ckpt_source(j->b.ckpt)), NULL,
                        gguf ? "the draft (%s, %zu parameters under mtp.*) has a file of its own"
                             : "the draft (%s, %zu parameters under mtp.*) was left out",
                        rc_draft_name(a->draft), n);
    if (!fine)
        rc_err_hint(e, "--allow-missing-draft accepts that");
}

/* pairs */

/* What cannot be decoded is said when it is paired. */
static bool is_sound_in_gguf(const rc_bound *b)
{
    const uint64_t rows = b->param->rank == 2 ? b->param->shape[0] : 1, nbytes = b->weight->nbytes;
    rc_want want[2];
    rc_extent e;

    if (rc_decoder_of(b)) {
        e = rc_decoder_extent(b, 0, rows);
        return e.weight_off <= nbytes && e.weight_len <= nbytes - e.weight_off;
    }
    if (b->store == RC_STORE_BLOCKS)
        return true;
    (void)rc_param_layout(b->param, b->store, b->weight->dtype, b->weight->dtype, want);
    return want[0].nbytes == nbytes;
}

/* Does the tensor have the bytes that its layout calls for? The model reported it
 * when not; nothing here may read past a tensor's end. */
static bool is_sound(const rc_bound *b)
{
    rc_want want[2];
    unsigned n;

    if (b->weight->ggml)
        return is_sound_in_gguf(b);
    if (b->store == RC_STORE_PACKED || b->store == RC_STORE_AWQ)
        return b->group != 0; /* the model held every part against its shape */
    n = rc_param_layout(b->param, b->store, b->weight->dtype,
                        b->scale ? b->scale->dtype : RC_DTYPE_F8_E8M0, want);
    return b->weight->nbytes == want[0].nbytes &&
           (n == 1 || (b->scale && b->scale->nbytes == want[1].nbytes));
}

/* Of one side: of a stack its share. */
static uint64_t bytes_read(const rc_pair *p, const rc_bound *b, const rc_tensor *t)
{
    rc_extent e;

    if (!p->values)
        return t->nbytes;
    e = rc_decoder_extent(b, 0, p->rows);
    return (uint64_t)e.weight_len + e.scale_len + e.zero_len;
}

/* Sizes of the pieces: from the shape alone, so that sums do not depend on the layout. */
static void plan_chunks(rc_judge *j, rc_pair *p)
{
    const uint64_t n = p->cols ? CHUNK_VALUES / p->cols : 1;
    const bool whole = p->values && (rc_decoder_whole(p->a) || rc_decoder_whole(p->b));

    p->chunk_rows = n >= BAND ? n - n % BAND : n ? n : 1;
    p->first_item = j->nitems;
    p->chunks = rc_ceil_div(p->rows, p->chunk_rows);
    j->nitems += whole ? 1 : p->chunks;
    j->nbytes += bytes_read(p, p->a, p->ta) + bytes_read(p, p->b, p->tb);
}

static void set_shape(rc_pair *p, unsigned rank, const uint64_t *shape)
{
    uint64_t n = 1;

    p->rank = rank;
    for (unsigned i = 0; i < rank; i++) {
        p->shape[i] = shape[i];
        n *= shape[i];
    }
    if (p->values) { /* a vector is one row */
        p->cols = rank ? shape[rank - 1] : 1;
        p->rows = p->cols ? n / p->cols : 0;
    } else {
        p->rows = n;
        p->cols = 1;
    }
}

static bool is_integer(rc_dtype dtype)
{
    return dtype == RC_DTYPE_I64 || dtype == RC_DTYPE_I32;
}

/* Can the two be compared element by element, and how wide is one? */
static bool match_elements(rc_pair *p)
{
    const rc_dtype a = p->ta->dtype, b = p->tb->dtype;

    if (a == RC_DTYPE_COUNT || b == RC_DTYPE_COUNT || p->a->scale || p->b->scale)
        return false;
    p->unit[0] = rc_dtype_bits(a) / 8;
    p->unit[1] = rc_dtype_bits(b) / 8;
    return p->unit[0] && p->unit[1] && (a == b || (is_integer(a) && is_integer(b)));
}

/* A side that is a GGUF file of a kind that never holds such a parameter. */
static bool has_no_place(const rc_subject *side, const rc_param *param)
{
    rc_gguf_place place;

    return rc_ckpt_gguf(side->ckpt) &&
           !rc_gguf_place_of(&place, param, rc_ckpt_config(side->ckpt), rc_ckpt_kind(side->ckpt));
}

static bool same_shape(const rc_param *a, const rc_param *b)
{
    return a->rank == b->rank && memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
}

static void report_shape(rc_judge *j, const rc_param *want, const rc_bound *b)
{
    char x[64], y[64], path[512];
    rc_err *e = rc_findings_add(&j->findings, RC_FAULT, RC_E_TENSORSET, "tensors",
                                shard_path(path, &j->b, b->weight), want->name,
                                "not the shape that it has in NATIVE");

    rc_err_want(e, "%s", rc_figure_shape(x, sizeof x, want->rank, want->shape));
    rc_err_got(e, "%s", rc_figure_shape(y, sizeof y, b->param->rank, b->param->shape));
}

static void pair_param(rc_judge *j, const rc_bound *a)
{
    const rc_param *param = a->param;
    const rc_bound *b = rc_model_find(j->b.model, param->name);
    rc_pair *p = &j->pair[j->npairs];
    char path[512];

    if (!wanted(j, param->name) || (param->draft && j->dropped_draft))
        return;
    if (a->elsewhere || has_no_place(&j->b, param)) {
        j->elsewhere++;
        return;
    }
    if (!b) {
        rc_findings_add(&j->findings, RC_FAULT, RC_E_TENSORSET, "tensors",
                        rc_source_where(rc_ckpt_source(j->b.ckpt)), param->name,
                        "missing: NATIVE has it");
        return;
    }
    if (!b->weight || !is_sound(b) || !is_sound(a)) {
        /* A problem of the set, told as such; but a pattern may hide it: it need not
         * match the scale that is missing. */
        if (j->rules.nglobs)
            rc_findings_add(&j->findings, RC_FAULT, RC_E_TENSORSET, "tensors",
                            rc_source_where(rc_ckpt_source(j->b.ckpt)), param->name,
                            "missing or malformed: recast inspect tells more");
        return;
    }
    if (!same_shape(param, b->param)) {
        report_shape(j, param, b);
        return;
    }
    *p = (rc_pair){ .name = param->name,
                    .role = param->role,
                    .layer = param->layer,
                    .draft = param->draft,
                    .a = a,
                    .b = b,
                    .ta = a->weight,
                    .tb = b->weight,
                    .stats = RC_STATS_NONE };
    p->values = rc_decoder_of(a) && rc_decoder_of(b);
    if (!p->values && !match_elements(p)) {
        rc_err *e = rc_findings_add(&j->findings, RC_FAULT, RC_E_TENSORSET, "tensors",
                                    shard_path(path, &j->b, b->weight), param->name,
                                    "stored in a way that cannot be compared with NATIVE's");

        rc_err_want(e, "%s", rc_tensor_type(a->weight));
        rc_err_got(e, "%s", rc_tensor_type(b->weight));
        return;
    }
    set_shape(p, param->rank, param->shape);
    j->npairs++;
}

/* Vision and the like: no shapes to hold them against, but the same bytes they must be. */
static void pair_opaque(rc_judge *j, const rc_tensor *a)
{
    const rc_tensor *b = rc_ckpt_find(j->b.ckpt, a->name);
    rc_pair *p = &j->pair[j->npairs];
    char path[512];

    if (!wanted(j, a->name))
        return;
    if (!b && rc_ckpt_gguf(j->b.ckpt)) { /* vision has a file of its own */
        j->elsewhere++;
        return;
    }
    if (!b) {
        rc_findings_add(&j->findings, RC_FAULT, RC_E_TENSORSET, "tensors",
                        rc_source_where(rc_ckpt_source(j->b.ckpt)), a->name,
                        "missing: NATIVE has it");
        return;
    }
    if (a->dtype != b->dtype || a->nbytes != b->nbytes || a->rank != b->rank ||
        memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) != 0) {
        rc_findings_add(&j->findings, RC_FAULT, RC_E_TENSORSET, "tensors",
                        shard_path(path, &j->b, b), a->name,
                        "not the dtype and shape that it has in NATIVE");
        return;
    }
    *p = (rc_pair){ .name = a->name,
                    .role = RC_ROLE_VISION,
                    .layer = -1,
                    .ta = a,
                    .tb = b,
                    .stats = RC_STATS_NONE };
    p->unit[0] = p->unit[1] = rc_dtype_bits(a->dtype) % 8 == 0 ? rc_dtype_bits(a->dtype) / 8 : 1;
    set_shape(p, a->rank, a->shape);
    if (p->rows * p->unit[0] != a->nbytes) { /* packed below a byte: count bytes */
        p->unit[0] = p->unit[1] = 1;
        p->rows = a->nbytes;
    }
    j->npairs++;
}

static void report_extra(rc_judge *j)
{
    char path[512];

    for (size_t i = 0; i < rc_model_count(j->b.model); i++) {
        const rc_bound *b = rc_model_at(j->b.model, i);

        if (b->weight && wanted(j, b->param->name) && !rc_model_find(j->a.model, b->param->name) &&
            !has_no_place(&j->a, b->param))
            rc_findings_add(&j->findings, RC_FAULT, RC_E_TENSORSET, "tensors",
                            shard_path(path, &j->b, b->weight), b->param->name,
                            "extra: NATIVE has no such parameter");
    }
    for (size_t i = 0; i < rc_model_opaque_count(j->b.model); i++) {
        const rc_tensor *t = rc_model_opaque(j->b.model, i);

        if (wanted(j, t->name) && !rc_ckpt_find(j->a.ckpt, t->name))
            rc_findings_add(&j->findings, RC_FAULT, RC_E_TENSORSET, "tensors",
                            shard_path(path, &j->b, t), t->name,
                            "extra: NATIVE has no such tensor");
    }
}

/* Leave only those that were drawn. */
static rc_code draw_sample(rc_judge *j, rc_err *err)
{
    const size_t all = j->npairs;
    bool *taken;
    rc_code rc;

    if (j->rules.sample == 0)
        return RC_OK;
    j->sample = (rc_judge_sample){ .params = all, .of = all, .cover = all };
    j->sample.layers = j->sample.layers_of = rc_draw_layers(j->pair, all, NULL);
    if (j->rules.sample >= all)
        return RC_OK;
    taken = rc_mem_get(j->mem, all * sizeof *taken);
    if (!taken)
        return rc_fail_nomem(err, j->mem, all * sizeof *taken);
    rc = rc_draw(taken, &j->sample.cover, j->pair, all, (size_t)j->rules.sample, j->rules.seed,
                 j->mem, err);
    j->sample.layers = rc_draw_layers(j->pair, all, taken);
    j->npairs = 0;
    for (size_t i = 0; i < all; i++)
        if (taken[i])
            j->pair[j->npairs++] = j->pair[i];
    j->sample.params = j->npairs;
    rc_mem_put(j->mem, taken);
    return rc;
}

static rc_code pair_up(rc_judge *j, rc_err *err)
{
    const size_t room = rc_model_count(j->a.model) + rc_model_opaque_count(j->a.model);

    j->pair = rc_mem_get(j->mem, (room + 1) * sizeof *j->pair);
    if (!j->pair)
        return rc_fail_nomem(err, j->mem, room * sizeof *j->pair);
    for (size_t i = 0; i < rc_model_count(j->a.model); i++)
        pair_param(j, rc_model_at(j->a.model, i));
    for (size_t i = 0; i < rc_model_opaque_count(j->a.model); i++)
        pair_opaque(j, rc_model_opaque(j->a.model, i));
    report_extra(j);
    if (j->elsewhere)
        rc_findings_add(&j->findings, RC_NOTE, RC_OK, "tensors",
                        rc_source_where(rc_ckpt_source(j->b.ckpt)), NULL,
                        "%" PRIu64 " parameters have no place in this kind of file", j->elsewhere);
    if (j->findings.nomem)
        return rc_fail_nomem(err, j->mem, sizeof(rc_finding));
    if (j->npairs == 0 && j->findings.total[RC_FAULT] == 0 && j->elsewhere)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                       "the two have no parameter in common that --tensors lets through");
    if (j->npairs == 0 && j->findings.total[RC_FAULT] == 0)
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "--tensors matches no parameter of NATIVE");
    RC_TRY(draw_sample(j, err));
    for (size_t i = 0; i < j->npairs; i++)
        plan_chunks(j, &j->pair[i]);
    return RC_OK;
}

static rc_code find_scaling(rc_judge *j, rc_err *err)
{
    RC_TRY(rc_scaled_find(&j->scaled, &j->a, &j->b, is_sound, j->mem, err));
    for (size_t i = 0; i < j->npairs; i++)
        if (j->pair[i].a && j->pair[i].values)
            j->pair[i].scaled = rc_scaled_of(j->scaled, j->pair[i].a);
    return RC_OK;
}

rc_code rc_judge_new(rc_judge **out, const rc_subject *a, const rc_subject *b,
                     const rc_judge_rules *rules, rc_mem *mem, rc_err *err)
{
    rc_judge *j = rc_mem_get(mem, sizeof *j);
    rc_code rc;

    *out = NULL;
    if (!j)
        return rc_fail_nomem(err, mem, sizeof *j);
    j->mem = j->findings.mem = mem;
    j->a = *a;
    j->b = *b;
    j->rules = *rules;
    RC_TRY_GOTO(rc, done, refuse_swapped(j, err));
    RC_TRY_GOTO(rc, done, require_whole_native(j, err));
    report_problems_of_converted(j);
    report_draft(j);
    RC_TRY_GOTO(rc, done, pair_up(j, err));
    RC_TRY_GOTO(rc, done, find_scaling(j, err));
    RC_TRY_GOTO(rc, done, rc_agree_config(&j->findings, a, b, j->dropped_draft, mem, err));
    RC_TRY_GOTO(rc, done, rc_agree_side_files(&j->findings, a, b, mem, err));
    *out = j;
    return RC_OK;
done:
    rc_judge_free(&j);
    return rc;
}

void rc_judge_free(rc_judge **judge)
{
    rc_judge *j = *judge;

    if (!j)
        return;
    rc_findings_free(&j->findings);
    rc_scaled_free(&j->scaled);
    rc_mem_put(j->mem, j->pair);
    rc_mem_put(j->mem, j);
    *judge = NULL;
}

size_t rc_judge_pairs(const rc_judge *judge)
{
    return judge->npairs;
}

const rc_pair *rc_judge_pair(const rc_judge *judge, size_t i)
{
    return &judge->pair[i];
}

rc_findings *rc_judge_findings(rc_judge *judge)
{
    return &judge->findings;
}

const rc_subject *rc_judge_native(const rc_judge *judge)
{
    return &judge->a;
}

const rc_subject *rc_judge_converted(const rc_judge *judge)
{
    return &judge->b;
}

const rc_judge_rules *rc_judge_rules_of(const rc_judge *judge)
{
    return &judge->rules;
}

const rc_scaled *rc_judge_scaled(const rc_judge *judge)
{
    return rc_scaled_count(judge->scaled) ? judge->scaled : NULL;
}

uint64_t rc_judge_nbytes(const rc_judge *judge)
{
    return judge->nbytes;
}
