/* convert/cmd_convert_print.c - see cmd_convert_print.h. */
#include "convert/cmd_convert_print.h"

#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "convert/cmd_convert_int4.h"
#include "convert/cmd_join.h"
#include "formats/base/cli.h"
#include "formats/base/json.h"

static bool is_gguf(const rc_plan *plan)
{
    return rc_plan_recipe(plan)->target == RC_TO_GGUF;
}

/* Several types side by side: worth a table. */
static bool is_mixed(const rc_plan *plan)
{
    return is_gguf(plan) || rc_recipe_is_int4(rc_plan_recipe(plan));
}

/* ---------------------------------------------------------- a plan by role */

/* Output bytes and weights of one role in one type. */
typedef struct share {
    uint64_t bytes, weights;
} share;

typedef share shares[RC_ROLE_COUNT][RC_DTYPE_COUNT];

static void add_shares(const rc_plan *plan, shares by)
{
    for (size_t i = 0; i < rc_plan_jobs(plan); i++) {
        const rc_job *job = rc_plan_job(plan, i);
        share *s = &by[job->role][job->out[RC_PART_WEIGHT].dtype];
        uint64_t n = job->int4.group ? job->rows * job->cols : 1; /* eight in a word */

        for (unsigned d = 0; d < job->out[RC_PART_WEIGHT].rank && !job->int4.group; d++)
            n *= job->out[RC_PART_WEIGHT].shape[d];
        for (unsigned part = 0; part < RC_PART_COUNT; part++)
            s->bytes += job->out[part].nbytes;
        s->weights += n;
    }
}

static void print_shares(const rc_plan *plan)
{
    shares by = { 0 };
    char size[16];

    add_shares(plan, by);
    printf("  %-16s %-8s %18s %12s %8s\n", "role", "type", "weights", "size", "bits");
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++)
        for (unsigned d = 0; d < RC_DTYPE_COUNT; d++)
            if (by[r][d].weights)
                printf("  %-16s %-8s %18" PRIu64 " %12s %8.4f\n", rc_role_name((rc_role)r),
                       rc_dtype_name((rc_dtype)d), by[r][d].weights,
                       rc_human_bytes(size, by[r][d].bytes),
                       8 * (double)by[r][d].bytes / (double)by[r][d].weights);
}

static void write_shares(rc_jsonw *w, const rc_plan *plan)
{
    shares by = { 0 };

    add_shares(plan, by);
    rc_jsonw_key(w, "roles");
    rc_jsonw_array(w);
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++)
        for (unsigned d = 0; d < RC_DTYPE_COUNT; d++) {
            if (!by[r][d].weights)
                continue;
            rc_jsonw_object(w);
            rc_jsonw_kstr(w, "role", rc_role_name((rc_role)r));
            rc_jsonw_kstr(w, "dtype", rc_dtype_name((rc_dtype)d));
            rc_jsonw_ku64(w, "weights", by[r][d].weights);
            rc_jsonw_ku64(w, "bytes", by[r][d].bytes);
            rc_jsonw_object_end(w);
        }
    rc_jsonw_array_end(w);
}

/* ------------------------------------------------------------------ a plan */

static rc_source *source_of(const rc_plan *plan)
{
    return rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan)));
}

/* Bytes of the tensors that the targets read, each once: what has to come over a network. */
static rc_code fetch_bytes(const rc_convert_target *targets, size_t n, uint64_t *nbytes,
                           rc_mem *mem, rc_err *err)
{
    const rc_ckpt *ckpt = rc_model_ckpt(rc_plan_model(targets[0].plan));
    const rc_tensor *first = rc_ckpt_at(ckpt, 0);
    bool *seen = rc_mem_get(mem, rc_ckpt_count(ckpt) * sizeof *seen);

    *nbytes = 0;
    if (!seen)
        return rc_fail_nomem(err, mem, rc_ckpt_count(ckpt));
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < rc_plan_jobs(targets[k].plan); i++)
            for (unsigned part = 0; part < RC_PART_COUNT; part++) {
                const rc_tensor *t = rc_job_in(rc_plan_job(targets[k].plan, i), (rc_part)part);

                if (!t || seen[t - first] || targets[k].report.already_complete)
                    continue; /* `t` is of the checkpoint's array: all targets have one source */
                seen[t - first] = true;
                *nbytes += t->nbytes;
            }
    rc_mem_put(mem, seen);
    return RC_OK;
}

static rc_code write_plan(rc_jsonw *w, const rc_convert_target *t, bool several, rc_mem *mem,
                          rc_err *err)
{
    const rc_plan *plan = t->plan;
    uint64_t fetched = 0;
    char recipe[512];

    if (rc_source_is_remote(source_of(plan)))
        RC_TRY(fetch_bytes(t, 1, &fetched, mem, err));
    rc_jsonw_object(w);
    if (several) {
        rc_jsonw_kstr(w, "dst", t->dst);
        rc_jsonw_kbool(w, "complete", t->report.already_complete);
    }
    rc_jsonw_kstr(w, "model", rc_model_variant(rc_plan_model(plan)));
    rc_jsonw_kstr(w, "recipe", rc_recipe_text(rc_plan_recipe(plan), recipe, sizeof recipe));
    rc_jsonw_ku64(w, "source_tensors", rc_ckpt_count(rc_model_ckpt(rc_plan_model(plan))));
    rc_jsonw_ku64(w, "source_bytes", rc_plan_read_bytes(plan));
    rc_jsonw_ku64(w, "fetch_bytes", fetched);
    rc_jsonw_ku64(w, "tensors", rc_plan_tensors(plan));
    rc_jsonw_ku64(w, "tensor_bytes", rc_plan_tensor_bytes(plan));
    rc_jsonw_ku64(w, "file_bytes", rc_plan_file_bytes(plan));
    rc_jsonw_ku64(w, "tiles", rc_plan_tiles(plan));
    rc_jsonw_ku64(w, "space_needed", t->report.need);
    rc_jsonw_ku64(w, "space_free", t->report.free);
    rc_jsonw_ku64(w, "mem_limit", mem->limit);
    if (is_mixed(plan))
        write_shares(w, plan);
    rc_write_part(w, plan);
    rc_write_shards(w, plan);
    rc_jsonw_object_end(w);
    return RC_OK;
}

rc_code rc_print_plans_json(const rc_convert_target *targets, size_t n, rc_mem *mem, rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *text;
    rc_code rc = RC_OK;

    if (!w)
        return rc_fail_nomem(err, mem, 1);
    if (n > 1)
        rc_jsonw_array(w);
    for (size_t i = 0; i < n && rc == RC_OK; i++)
        rc = write_plan(w, &targets[i], n > 1, mem, err);
    if (n > 1)
        rc_jsonw_array_end(w);
    text = rc == RC_OK ? rc_jsonw_text(w, NULL) : NULL;
    if (text)
        puts(text);
    else if (rc == RC_OK)
        rc = rc_fail_nomem(err, mem, 1);
    rc_jsonw_free(&w);
    return rc;
}

/* M weights/s that one processor encodes, roughly: the AVX-512 figures of docs/performance.md,
 * with importance; and with --effort best. */
static double encode_rate(rc_dtype dtype, rc_effort effort)
{
    static const struct {
        rc_dtype dtype;
        double rates[2];
    } known[] = {
        { RC_DTYPE_Q2_K, { 90, 49 } },    { RC_DTYPE_Q3_K, { 260, 50 } },
        { RC_DTYPE_Q4_K, { 100, 32 } },   { RC_DTYPE_Q5_K, { 100, 100 } },
        { RC_DTYPE_Q6_K, { 300, 100 } },  { RC_DTYPE_IQ2_XXS, { 30, 7 } },
        { RC_DTYPE_IQ4_XS, { 300, 60 } },
    };

    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].dtype == dtype)
            return known[i].rates[effort] * 1e6;
    return 1e9;
}

/* The same for 4-bit integers, of the methods in order; feedback and scalings come on top. */
static double int4_rate(rc_int4_method method)
{
    static const double rates[] = { 300e6, 300e6, 140e6 };

    return rates[method];
}

static double encode_seconds(const rc_plan *plan)
{
    double seconds = 0;

    for (size_t i = 0; i < rc_plan_jobs(plan); i++) {
        const rc_job *job = rc_plan_job(plan, i);

        if (job->op == RC_OP_ENCODE)
            seconds += (double)job->rows * (double)job->cols /
                       encode_rate(job->out[RC_PART_WEIGHT].dtype, rc_plan_recipe(plan)->effort);
        if (job->op == RC_OP_INT4)
            seconds += (double)job->rows * (double)job->cols /
                       int4_rate(rc_plan_recipe(plan)->int4.method);
    }
    return seconds;
}

static void print_time(const rc_plan *plan, unsigned threads)
{
    const uint64_t here = rc_source_is_remote(source_of(plan)) ? 0 : rc_plan_read_bytes(plan);
    const uint64_t moved = here + rc_plan_tensor_bytes(plan);
    const double disk = (double)moved / 1e9, search = encode_seconds(plan) / threads;
    const char *on_top =
        rc_plan_recipe(plan)->int4.stats ? "; scalings and feedback take more" : "";
    char t[24];

    if (search > disk)
        printf("time      about %s for the search, with %u threads%s\n", rc_human_time(t, search),
               threads, on_top);
    else
        printf("time      about %s on a disk that moves 1 GB/s%s%s\n", rc_human_time(t, disk),
               here ? "" : ", if the network keeps up", on_top);
}

static void print_plan(const rc_plan *plan, const rc_convert_report *report, unsigned threads)
{
    const rc_ckpt *ckpt = rc_model_ckpt(rc_plan_model(plan));
    char a[16], b[16], recipe[512];

    for (size_t i = 0; i < rc_plan_shards(plan); i++)
        printf("  %-34s %16" PRIu64 "\n", rc_plan_shard_at(plan, i)->name,
               rc_plan_shard_at(plan, i)->nbytes);
    if (is_mixed(plan))
        print_shares(plan);
    printf("plan      %s\n", rc_recipe_text(rc_plan_recipe(plan), recipe, sizeof recipe));
    printf("model     %s\n", rc_model_variant(rc_plan_model(plan)));
    printf("read      %zu tensors, %" PRIu64 " bytes (%s), %zu shards\n", rc_ckpt_count(ckpt),
           rc_plan_read_bytes(plan), rc_human_bytes(a, rc_plan_read_bytes(plan)),
           rc_ckpt_shards(ckpt));
    printf("write     %zu tensors, %" PRIu64 " bytes (%s), %zu shards\n", rc_plan_tensors(plan),
           rc_plan_tensor_bytes(plan), rc_human_bytes(a, rc_plan_tensor_bytes(plan)),
           rc_plan_shards(plan));
    if (!is_gguf(plan))
        printf("convert   %" PRIu64 " tiles of 128x128\n", rc_plan_tiles(plan));
    printf("space     %s needed, %s free\n", rc_human_bytes(a, report->need),
           rc_human_bytes(b, report->free));
    print_time(plan, threads);
    rc_print_share(plan);
}

/* Of all targets together: what comes over the network, and the memory. */
static rc_code print_resources(const rc_convert_target *targets, size_t n, rc_mem *mem, rc_err *err)
{
    uint64_t nbytes;
    char a[16], b[24];

    if (n > 1)
        putchar('\n');
    if (rc_source_is_remote(source_of(targets[0].plan)) && !rc_plan_share(targets[0].plan).count) {
        RC_TRY(fetch_bytes(targets, n, &nbytes, mem, err));
        printf("fetch     %s%s: about %s at 1 Gbit/s\n", rc_human_bytes(a, nbytes),
               n > 1 ? ", once for all of them" : "", rc_human_time(b, (double)nbytes / 125e6));
    }
    printf("memory    stays under %s (--mem-limit)\n", rc_human_bytes(a, mem->limit));
    return RC_OK;
}

rc_code rc_print_plans(const rc_convert_target *targets, size_t n, unsigned threads, rc_mem *mem,
                       rc_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (n > 1)
            printf("%s%s%s\n", i ? "\n" : "", targets[i].dst,
                   targets[i].report.already_complete ? ": complete already" : ":");
        if (!targets[i].report.already_complete)
            print_plan(targets[i].plan, &targets[i].report, threads);
    }
    return print_resources(targets, n, mem, err);
}

/* ------------------------------------------------------------------ verdict */

/* "tiles", "blocks": what is counted. */
static const char *pieces(const rc_plan *plan)
{
    return is_gguf(plan) ? "blocks and rows" : "tiles";
}

static void print_exactness(const rc_plan *plan, const rc_totals *t)
{
    const uint64_t exact_params = t->converted - t->rounded;

    if (t->tiles && t->exact == t->tiles) {
        printf("exact     all %" PRIu64 " %s of %" PRIu64 " tensors keep every value", t->tiles,
               pieces(plan), exact_params);
        if (!is_gguf(plan))
            printf(" (widest spread %u binades)", t->widest_spread);
        putchar('\n');
    } else if (t->tiles) {
        printf("INEXACT   %" PRIu64 " of %" PRIu64 " %s in %" PRIu64
               " tensors; the first: %s, row %" PRIu64 ", column %" PRIu64 ": %.9g became %.9g\n",
               t->tiles - t->exact, t->tiles, pieces(plan), t->inexact_params,
               t->first_inexact->name, t->first_verdict.row, t->first_verdict.col,
               t->first_verdict.source, t->first_verdict.stored);
    } else if (!t->rounded) {
        printf("exact     no weight had to be encoded anew: all keep their bytes\n");
    }
}

/* Signal over noise of what was rounded, role by role. */
static void print_rounding(const rc_totals *t)
{
    if (!t->rounded)
        return;
    printf("rounded   %" PRIu64 " tensors;", t->rounded);
    for (unsigned i = 0; i < RC_ROLE_COUNT; i++)
        if (t->noise[i] > 0)
            printf(" %s %.1f dB", rc_role_name((rc_role)i), rc_sqnr_db(t->signal[i], t->noise[i]));
    printf(" (signal to noise)\n");
}

void rc_print_totals(const rc_plan *plan, const rc_totals *t)
{
    print_exactness(plan, t);
    print_rounding(t);
    rc_int4_print(plan, &t->int4);
    if (t->nonfinite)
        printf("note      %" PRIu64 " NaN or Inf were copied as they are\n", t->nonfinite);
}

/* `alone`: the only target, all that was fetched was for it. */
static void print_verdict(const rc_convert_target *target, bool alone)
{
    const rc_plan *plan = target->plan;
    const rc_convert_report *report = &target->report;
    const uint64_t kept = report->kept;
    const double seconds = report->run.seconds > 1e-3 ? report->run.seconds : 1e-3;
    const uint64_t now = rc_plan_tensor_bytes(plan) - kept;
    char a[16], b[24], c[16];

    rc_print_totals(plan, &report->totals);
    printf("wrote     %s: %zu tensors, %s in %zu shards, ledger %s\n", target->dst,
           rc_plan_tensors(plan), rc_human_bytes(a, rc_plan_tensor_bytes(plan)),
           rc_plan_shards(plan), rc_plan_names_of(plan)->ledger);
    printf("time      %s, %s written now (%s/s)", rc_human_time(b, report->run.seconds),
           rc_human_bytes(a, now), rc_human_bytes(c, (uint64_t)((double)now / seconds)));
    if (kept)
        printf(", %s kept from an earlier run", rc_human_bytes(a, kept));
    if (alone && rc_source_is_remote(source_of(plan)))
        printf(", %s fetched", rc_human_bytes(a, rc_source_fetched(source_of(plan))));
    putchar('\n');
}

void rc_print_verdicts(const rc_convert_target *targets, size_t n)
{
    char a[16];

    for (size_t i = 0; i < n; i++) {
        if (n > 1)
            printf("%s%s:\n", i ? "\n" : "", targets[i].dst);
        if (rc_plan_share(targets[i].plan).count)
            rc_print_part(&targets[i]);
        else if (targets[i].report.already_complete)
            printf("%s was complete already\n", targets[i].dst);
        else
            print_verdict(&targets[i], n == 1);
    }
    if (n > 1 && rc_source_is_remote(source_of(targets[0].plan)))
        printf("\nfetched   %s, once for all\n",
               rc_human_bytes(a, rc_source_fetched(source_of(targets[0].plan))));
}

rc_code rc_print_summary_file(const rc_dir *dir, const rc_plan_names *names, rc_mem *mem,
                              rc_err *err)
{
    char *text;
    size_t len;

    RC_TRY(rc_dir_slurp(dir, names->summary, 64 << 20, &text, &len, mem, err));
    fwrite(text, 1, len, stdout);
    rc_mem_put(mem, text);
    return RC_OK;
}

static rc_code print_summary(const rc_plan *plan, const char *dst, rc_mem *mem, rc_err *err)
{
    char folder[PATH_MAX];
    rc_dir dir;
    rc_code rc;

    snprintf(folder, sizeof folder, "%s", dst);
    RC_TRY(rc_dir_open(&dir, is_gguf(plan) ? dirname(folder) : folder, false, err));
    rc = rc_print_summary_file(&dir, rc_plan_names_of(plan), mem, err);
    rc_dir_close(&dir);
    return rc;
}

rc_code rc_print_summaries(const rc_convert_target *targets, size_t n, rc_mem *mem, rc_err *err)
{
    if (n > 1)
        puts("[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            puts(",");
        if (rc_plan_share(targets[i].plan).count)
            RC_TRY(rc_print_part_json(targets[i].plan, mem, err));
        else
            RC_TRY(print_summary(targets[i].plan, targets[i].dst, mem, err));
    }
    if (n > 1)
        puts("]");
    return RC_OK;
}
