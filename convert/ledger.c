/* convert/ledger.c - see ledger.h. */
#include "convert/ledger.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "convert/ledger_int4.h"
#include "formats/base/json.h"

static bool is_cast(const rc_job *job)
{
    return job->tiles != 0;
}

/* Loss is the point of it: what counts is how much. */
static bool is_rounded(const rc_job *job)
{
    return job->op == RC_OP_INT4 || (job->op == RC_OP_ENCODE && job->tiles == 0);
}

double rc_sqnr_db(double signal, double noise)
{
    return noise > 0 ? 10 * log10(signal / noise) : (double)INFINITY;
}

/* Weight and scale always, as it was before there were more; then what else there is. */
static void hash_digests(rc_hasher *hasher, const rc_digest digests[RC_PART_COUNT],
                         const bool there[RC_PART_COUNT])
{
    for (unsigned part = 0; part < RC_PART_COUNT; part++)
        if (part <= RC_PART_SCALE || there[part])
            rc_hash_add(hasher, digests[part].bytes, 16);
}

static void hash_job(rc_hasher *source, rc_hasher *output, const rc_job *job, const rc_result *r)
{
    bool in[RC_PART_COUNT], out[RC_PART_COUNT];

    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        in[part] = rc_job_in(job, (rc_part)part) != NULL;
        out[part] = job->out[part].name != NULL;
    }
    hash_digests(source, r->in, in);
    hash_digests(output, r->out, out);
}

rc_code rc_totals_of(const rc_finished *done, rc_totals *t, rc_err *err)
{
    _Alignas(64) rc_hasher source, output;
    const rc_plan *plan = done->plan;

    memset(t, 0, sizeof *t);
    rc_hash_begin(&source);
    rc_hash_begin(&output);
    for (size_t i = 0; i < rc_plan_jobs(plan); i++) {
        const rc_job *job = rc_plan_job(plan, i);
        const rc_result *r = rc_journal_result(done->journal, i);

        if (!r) /* of another part of the work */
            continue;
        t->jobs++;
        t->nonfinite += r->verdict.nonfinite;
        hash_job(&source, &output, job, r);
        RC_TRY(rc_totals_int4(&t->int4, done, job, r, err));
        if (is_rounded(job)) {
            t->converted++;
            t->rounded++;
            t->signal[job->role] += r->verdict.signal;
            t->noise[job->role] += r->verdict.noise;
        }
        if (!is_cast(job))
            continue;
        t->converted++;
        t->tiles += r->verdict.tiles;
        t->exact += r->verdict.exact;
        if (r->verdict.widest_spread > t->widest_spread)
            t->widest_spread = r->verdict.widest_spread;
        if (r->verdict.exact == r->verdict.tiles)
            continue;
        if (!t->inexact_params++) {
            t->first_inexact = job;
            t->first_verdict = r->verdict;
        }
    }
    t->source = rc_hash_end(&source);
    t->output = rc_hash_end(&output);
    return RC_OK;
}

static void write_side(rc_jsonw *w, const char *key, const char *name, rc_dtype dtype,
                       unsigned rank, const uint64_t *shape, uint64_t nbytes,
                       const rc_digest *digest, const rc_dest *at)
{
    char hex[33];

    rc_jsonw_key(w, key);
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "tensor", name);
    rc_jsonw_kstr(w, "dtype", rc_dtype_name(dtype));
    rc_jsonw_key(w, "shape");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < rank; i++)
        rc_jsonw_u64(w, shape[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_ku64(w, "bytes", nbytes);
    rc_jsonw_kstr(w, "xxh3_128", rc_digest_hex(digest, hex));
    if (at)
        rc_jsonw_ku64(w, "begin", at->begin);
    if (at && at->stride) {
        rc_jsonw_ku64(w, "row_bytes", at->row_bytes);
        rc_jsonw_ku64(w, "stride", at->stride);
    }
    rc_jsonw_object_end(w);
}

static const char *part_word(rc_part part)
{
    static const char *const words[RC_PART_COUNT] = { "weight", "scale", "zero_point", "shape" };

    return words[part];
}

static void write_verdict(rc_jsonw *w, const rc_verdict *v)
{
    rc_jsonw_ku64(w, "tiles", v->tiles);
    rc_jsonw_ku64(w, "tiles_exact", v->exact);
    rc_jsonw_ku64(w, "widest_spread", v->widest_spread);
    if (v->exact == v->tiles)
        return;
    rc_jsonw_key(w, "first_inexact");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "row", v->row);
    rc_jsonw_ku64(w, "column", v->col);
    rc_jsonw_kf64(w, "source", v->source);
    rc_jsonw_kf64(w, "stored", v->stored);
    rc_jsonw_object_end(w);
}

/* How the columns' errors were weighted. */
static const char *importance_word(rc_importance importance)
{
    static const char *const words[] = { "none", "imatrix", "statistics", "equal", "energy" };

    return words[importance];
}

static void write_rounding(rc_jsonw *w, const rc_job *job, const rc_verdict *v)
{
    rc_jsonw_ku64(w, "changed", v->changed);
    if (v->noise > 0) { /* JSON has no infinity */
        rc_jsonw_kf64(w, "sqnr_db", rc_sqnr_db(v->signal, v->noise));
        rc_jsonw_kf64(w, "rel_error", sqrt(v->noise / v->signal));
    }
    rc_jsonw_kstr(w, "importance",
                  importance_word(v->unknown ? RC_IMPORTANCE_EQUAL : job->importance));
}

static void write_sources(rc_jsonw *w, const rc_job *job, const rc_digest in[RC_PART_COUNT])
{
    rc_jsonw_key(w, "in");
    rc_jsonw_object(w);
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        const rc_tensor *t = rc_job_in(job, (rc_part)part);

        if (t)
            write_side(w, part_word((rc_part)part), t->name, t->dtype, t->rank, t->shape, t->nbytes,
                       &in[part], NULL);
    }
    rc_jsonw_object_end(w);
}

static void write_dests(rc_jsonw *w, const rc_job *job, const rc_digest out[RC_PART_COUNT])
{
    rc_jsonw_key(w, "out");
    rc_jsonw_object(w);
    for (unsigned part = 0; part < RC_PART_COUNT; part++) {
        const rc_dest *d = &job->out[part];

        if (d->name)
            write_side(w, part_word((rc_part)part), d->name, d->dtype, d->rank, d->shape, d->nbytes,
                       &out[part], d);
    }
    rc_jsonw_object_end(w);
}

static rc_code write_job(rc_jsonw *w, const rc_finished *done, const rc_job *job,
                         const rc_result *r, rc_err *err)
{
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "tensor", job->name);
    rc_jsonw_kstr(w, "op", rc_op_name(job->op));
    rc_jsonw_kstr(w, "shard", rc_plan_shard_at(done->plan, job->shard)->name);
    if (is_cast(job))
        write_verdict(w, &r->verdict);
    if (is_rounded(job))
        write_rounding(w, job, &r->verdict);
    RC_TRY(rc_ledger_int4(w, done, job, r, err));
    if (job->experts > 1)
        rc_jsonw_ku64(w, "expert", job->expert);
    if (r->verdict.nonfinite)
        rc_jsonw_ku64(w, "nonfinite", r->verdict.nonfinite);
    write_sources(w, job, r->in);
    write_dests(w, job, r->out);
    rc_jsonw_object_end(w);
    return RC_OK;
}

rc_code rc_ledger_each(const rc_finished *done, rc_ledger_line_fn *fn, void *ctx, rc_mem *mem,
                       rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 0);
    rc_code rc = w ? RC_OK : rc_fail_nomem(err, mem, 1);

    for (size_t i = 0; i < rc_plan_jobs(done->plan) && rc == RC_OK; i++) {
        const char *line;
        size_t len;

        rc_jsonw_reset(w);
        rc = write_job(w, done, rc_plan_job(done->plan, i), rc_journal_result(done->journal, i),
                       err);
        if (rc != RC_OK)
            break;
        line = rc_jsonw_text(w, &len);
        rc = line ? fn(ctx, line, len, err) : rc_fail_nomem(err, mem, 1);
    }
    rc_jsonw_free(&w);
    return rc;
}

void rc_write_values_digest(rc_jsonw *w, const char *key, const rc_imatrix *imatrix)
{
    char hex[17];

    snprintf(hex, sizeof hex, "%016" PRIx64, rc_imatrix_digest(imatrix));
    rc_jsonw_kstr(w, key, hex);
}

static void write_recipe(rc_jsonw *w, const rc_recipe *recipe)
{
    rc_jsonw_key(w, "recipe");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "to", rc_recipe_to(recipe));
    if (recipe->target == RC_TO_FP8)
        rc_jsonw_kstr(w, "scale_dtype", recipe->scale_dtype == RC_DTYPE_F32 ? "f32" : "e8m0");
    if (recipe->target == RC_TO_GGUF) {
        rc_jsonw_kstr(w, "types", rc_gguf_recipe_text(recipe->gguf));
        rc_jsonw_kstr(w, "effort", recipe->effort == RC_EFFORT_BEST ? "best" : "reference");
        if (recipe->imatrix) {
            rc_jsonw_kstr(w, "imatrix", recipe->imatrix_name);
            rc_write_values_digest(w, "imatrix_digest", recipe->imatrix);
        }
    }
    if (rc_recipe_is_int4(recipe))
        rc_recipe_int4(w, recipe);
    rc_jsonw_kstr(w, "draft", rc_recipe_draft(recipe));
    rc_jsonw_ku64(w, "shard_size", recipe->shard_size);
    rc_jsonw_key(w, "tensors");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < recipe->nglobs; i++)
        rc_jsonw_str(w, recipe->globs[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static void write_sqnr(rc_jsonw *w, const rc_totals *t)
{
    rc_jsonw_key(w, "sqnr_db");
    rc_jsonw_object(w);
    for (unsigned i = 0; i < RC_ROLE_COUNT; i++)
        if (t->noise[i] > 0)
            rc_jsonw_kf64(w, rc_role_name((rc_role)i), rc_sqnr_db(t->signal[i], t->noise[i]));
    rc_jsonw_object_end(w);
}

static void write_totals(rc_jsonw *w, const rc_plan *plan, const rc_totals *t)
{
    rc_jsonw_key(w, "totals");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "parameters", t->jobs);
    rc_jsonw_ku64(w, "tensors", rc_plan_tensors(plan));
    rc_jsonw_ku64(w, "tensor_bytes", rc_plan_tensor_bytes(plan));
    rc_jsonw_ku64(w, "bytes_read", rc_plan_read_bytes(plan));
    rc_jsonw_ku64(w, "converted", t->converted);
    rc_jsonw_ku64(w, "tiles", t->tiles);
    rc_jsonw_ku64(w, "tiles_exact", t->exact);
    rc_jsonw_ku64(w, "widest_spread", t->widest_spread);
    rc_jsonw_ku64(w, "nonfinite", t->nonfinite);
    rc_jsonw_ku64(w, "rounded", t->rounded);
    if (t->rounded)
        write_sqnr(w, t);
    if (t->int4.tensors)
        rc_summary_int4(w, &t->int4);
    rc_jsonw_object_end(w);
}

static void write_shard(rc_jsonw *w, const rc_plan_shard *shard, bool head)
{
    const rc_digest digest = rc_hash(shard->head, shard->head_len);
    char hex[33];

    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "file", shard->name);
    rc_jsonw_ku64(w, "bytes", shard->nbytes);
    if (head) {
        rc_jsonw_ku64(w, "head_bytes", shard->head_len);
        rc_jsonw_kstr(w, "head_xxh3_128", rc_digest_hex(&digest, hex));
    }
    rc_jsonw_object_end(w);
}

static void write_shards(rc_jsonw *w, const rc_plan *plan, bool heads)
{
    rc_jsonw_key(w, "shards");
    rc_jsonw_array(w);
    for (size_t i = 0; i < rc_plan_shards(plan); i++)
        write_shard(w, rc_plan_shard_at(plan, i), heads);
    rc_jsonw_array_end(w);
}

void rc_write_shards(rc_jsonw *w, const rc_plan *plan)
{
    write_shards(w, plan, false);
}

static void write_ledger_sum(rc_jsonw *w, const rc_plan *plan, const rc_ledger_sum *sum)
{
    char hex[33], sha[RC_CONTENT_HEX];

    rc_jsonw_key(w, "ledger");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "file", rc_plan_names_of(plan)->ledger);
    rc_jsonw_ku64(w, "bytes", sum->nbytes);
    rc_jsonw_kstr(w, "xxh3_128", rc_digest_hex(&sum->digest, hex));
    rc_jsonw_kstr(w, "sha256", rc_content_hex(&sum->content, sha));
    rc_jsonw_object_end(w);
}

/* The last value of all is the digest of the text in which its own digits are zeros: damage to
 * the summary shows like damage to anything else. */
static const char no_digits[] = "00000000000000000000000000000000";

static void write_run(rc_jsonw *w, const rc_run *run)
{
    char hex[33];

    rc_jsonw_key(w, "run");
    rc_jsonw_object(w);
    rc_jsonw_kf64(w, "seconds", run->seconds);
    rc_jsonw_kbool(w, "resumed", run->resumed);
    rc_jsonw_kstr(w, "identity", rc_digest_hex(&run->identity, hex));
    rc_jsonw_kstr(w, "xxh3_128", no_digits);
    rc_jsonw_object_end(w);
}

static void sign(char *text, size_t len)
{
    const rc_digest digest = rc_hash(text, len);
    char hex[33];
    size_t at = len - strlen(no_digits);

    while (memcmp(text + at, no_digits, strlen(no_digits)) != 0)
        at--;
    memcpy(text + at, rc_digest_hex(&digest, hex), strlen(no_digits));
}

rc_code rc_summary_text(const rc_finished *done, const rc_totals *totals, const rc_ledger_sum *sum,
                        const rc_provenance *files, const rc_run *run, char **out, size_t *len,
                        rc_mem *mem, rc_err *err)
{
    const rc_plan *plan = done->plan;
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    char hex[33];
    rc_code rc;

    *out = NULL;
    if (!w)
        return rc_fail_nomem(err, mem, 1);
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "format", 2);
    rc_jsonw_kstr(w, "tool", "recast " RC_VERSION);
    rc_jsonw_kbool(w, "exact", totals->exact == totals->tiles && !totals->rounded);
    rc_jsonw_key(w, "source");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "model", rc_model_variant(rc_plan_model(plan)));
    rc_jsonw_kstr(w, "digest", rc_digest_hex(&totals->source, hex));
    rc_write_source(w, rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan))), files);
    rc_jsonw_object_end(w);
    write_recipe(w, rc_plan_recipe(plan));
    write_totals(w, plan, totals);
    rc_jsonw_kstr(w, "output_digest", rc_digest_hex(&totals->output, hex));
    write_ledger_sum(w, plan, sum);
    write_shards(w, plan, true);
    rc_write_outputs(w, files);
    write_run(w, run);
    rc_jsonw_object_end(w);
    rc = rc_jsonw_finish(w, out, len, mem, err);
    rc_jsonw_free(&w);
    if (rc == RC_OK)
        sign(*out, *len);
    return rc;
}
