/* convert/cmd_convert.c - recast convert SRC DST --to FORMAT. */
#include "convert/cmd_convert.h"

#include <stdio.h>
#include <string.h>

#include "convert/convert.h"
#include "convert/publish.h"
#include "formats/base/cli.h"
#include "formats/base/json.h"
#include "formats/base/par.h"
#include "kernels/cpu.h"

typedef struct options {
    const char *to, *scale_dtype, *exact, *draft;
    uint64_t threads, mem_limit, shard_size;
    rc_opt_list tensors;
    bool dry_run, json, force, restart, allow_nonfinite, allow_zero;
} options;

static const char about[] =
    "Reads the checkpoint once, in bounded memory, and writes another one beside it:\n"
    "  fp8   routed experts become F8_E4M3 with 128x128 scales (for Hopper: vLLM, SGLang);\n"
    "        everything else keeps its bytes\n"
    "  bf16  every quantized weight becomes BF16 (input of other quantizers)\n"
    "Every 128x128 tile is checked: exact means that the decoded value of every element is\n"
    "equal. DST/recast.jsonl holds the verdict and digests of every tensor, DST/recast.json\n"
    "the summary; it is written last, so a folder that has it is complete.\n"
    "\n"
    "Stopped or killed, run the same command again: it goes on after the last finished\n"
    "tensor, and the result is the same to the byte.\n"
    "\n"
    "examples:\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-FP8 --to fp8\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-FP8 --to fp8 --dry-run\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-FP8-sglang --to fp8 --scale-dtype e8m0\n";

/* ------------------------------------------------------------------ printing */

static rc_code print_plan_json(const rc_plan *plan, const rc_convert_report *report, rc_mem *mem,
                               rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *text;
    char recipe[512];
    rc_code rc = RC_OK;

    if (!w)
        return rc_fail_nomem(err, mem, 1);
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "model", rc_model_variant(rc_plan_model(plan)));
    rc_jsonw_kstr(w, "recipe", rc_recipe_text(rc_plan_recipe(plan), recipe, sizeof recipe));
    rc_jsonw_ku64(w, "source_tensors", rc_ckpt_count(rc_model_ckpt(rc_plan_model(plan))));
    rc_jsonw_ku64(w, "source_bytes", rc_plan_read_bytes(plan));
    rc_jsonw_ku64(w, "tensors", rc_plan_tensors(plan));
    rc_jsonw_ku64(w, "tensor_bytes", rc_plan_tensor_bytes(plan));
    rc_jsonw_ku64(w, "file_bytes", rc_plan_file_bytes(plan));
    rc_jsonw_ku64(w, "tiles", rc_plan_tiles(plan));
    rc_jsonw_ku64(w, "space_needed", report->need);
    rc_jsonw_ku64(w, "space_free", report->free);
    rc_jsonw_key(w, "shards");
    rc_jsonw_array(w);
    for (size_t i = 0; i < rc_plan_shards(plan); i++) {
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "file", rc_plan_shard_at(plan, i)->name);
        rc_jsonw_ku64(w, "bytes", rc_plan_shard_at(plan, i)->nbytes);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
    text = rc_jsonw_text(w, NULL);
    if (text)
        puts(text);
    else
        rc = rc_fail_nomem(err, mem, 1);
    rc_jsonw_free(&w);
    return rc;
}

static void print_plan(const rc_plan *plan, const rc_convert_report *report)
{
    const rc_ckpt *ckpt = rc_model_ckpt(rc_plan_model(plan));
    const uint64_t moved = rc_plan_read_bytes(plan) + rc_plan_tensor_bytes(plan);
    char a[16], b[16], t[24], recipe[512];

    for (size_t i = 0; i < rc_plan_shards(plan); i++)
        printf("  %-34s %16" PRIu64 "\n", rc_plan_shard_at(plan, i)->name,
               rc_plan_shard_at(plan, i)->nbytes);
    printf("plan      %s\n", rc_recipe_text(rc_plan_recipe(plan), recipe, sizeof recipe));
    printf("model     %s\n", rc_model_variant(rc_plan_model(plan)));
    printf("read      %zu tensors, %" PRIu64 " bytes (%s), %zu shards\n", rc_ckpt_count(ckpt),
           rc_plan_read_bytes(plan), rc_human_bytes(a, rc_plan_read_bytes(plan)),
           rc_ckpt_shards(ckpt));
    printf("write     %zu tensors, %" PRIu64 " bytes (%s), %zu shards\n", rc_plan_tensors(plan),
           rc_plan_tensor_bytes(plan), rc_human_bytes(a, rc_plan_tensor_bytes(plan)),
           rc_plan_shards(plan));
    printf("convert   %" PRIu64 " tiles of 128x128\n", rc_plan_tiles(plan));
    printf("space     %s needed, %s free\n", rc_human_bytes(a, report->need),
           rc_human_bytes(b, report->free));
    printf("time      about %s on a disk that moves 1 GB/s\n",
           rc_human_time(t, (double)moved / 1e9));
}

static void print_verdict(const rc_plan *plan, const char *dst, const rc_convert_report *report,
                          uint64_t kept)
{
    const rc_totals *t = &report->totals;
    const double seconds = report->run.seconds > 1e-3 ? report->run.seconds : 1e-3;
    const uint64_t now = rc_plan_tensor_bytes(plan) - kept;
    char a[16], b[24], c[16];

    if (!t->tiles)
        printf("exact     no weight had to be encoded anew: all keep their bytes\n");
    else if (t->exact == t->tiles)
        printf("exact     all %" PRIu64 " tiles of %" PRIu64
               " tensors keep every value (widest spread %u binades)\n",
               t->tiles, t->converted, t->widest_spread);
    else
        printf("INEXACT   %" PRIu64 " of %" PRIu64 " tiles in %" PRIu64
               " tensors; the first: %s, row %" PRIu64 ", column %" PRIu64 ": %.9g became %.9g\n",
               t->tiles - t->exact, t->tiles, t->inexact_params, t->first_inexact->name,
               t->first_verdict.row, t->first_verdict.col, t->first_verdict.source,
               t->first_verdict.stored);
    if (t->nonfinite)
        printf("note      %" PRIu64 " NaN or Inf were copied as they are\n", t->nonfinite);
    printf("wrote     %s: %zu tensors, %s in %zu shards, ledger %s\n", dst, rc_plan_tensors(plan),
           rc_human_bytes(a, rc_plan_tensor_bytes(plan)), rc_plan_shards(plan), RC_LEDGER_NAME);
    printf("time      %s, %s written now (%s/s)", rc_human_time(b, report->run.seconds),
           rc_human_bytes(a, now), rc_human_bytes(c, (uint64_t)((double)now / seconds)));
    if (kept)
        printf(", %s kept from an earlier run", rc_human_bytes(a, kept));
    putchar('\n');
}

/* DST/recast.json, for whoever asked for JSON. */
static rc_code print_summary(const char *dst, rc_mem *mem, rc_err *err)
{
    rc_dir dir;
    char *text;
    size_t len;
    rc_code rc;

    RC_TRY(rc_dir_open(&dir, dst, false, err));
    rc = rc_dir_slurp(&dir, RC_SUMMARY_NAME, 64 << 20, &text, &len, mem, err);
    rc_dir_close(&dir);
    RC_TRY(rc);
    fwrite(text, 1, len, stdout);
    rc_mem_put(mem, text);
    return RC_OK;
}

/* What survives a failure, in the error's hint: the user's first question. */
static void say_what_is_left(const rc_convert_report *report, rc_err *err)
{
    if (report->jobs_done && (rc_code_resumable(err->code)))
        rc_err_hint(err, "kept %zu of %zu tensors, the same command resumes", report->jobs_done,
                    report->jobs);
}

/* ----------------------------------------------------------------------- run */

static rc_recipe recipe_of(const options *o)
{
    rc_recipe r = { .target = strcmp(o->to, "fp8") == 0 ? RC_TO_FP8 : RC_TO_BF16,
                    .scale_dtype = RC_DTYPE_F32,
                    .drop_draft = o->draft && strcmp(o->draft, "drop") == 0,
                    .shard_size = o->shard_size,
                    .globs = o->tensors.at,
                    .nglobs = o->tensors.n };

    if (o->scale_dtype && strcmp(o->scale_dtype, "e8m0") == 0)
        r.scale_dtype = RC_DTYPE_F8_E8M0;
    return r;
}

static rc_code run_plan(const rc_plan *plan, const char *dst, const options *o, rc_mem *mem,
                        rc_err *err)
{
    rc_progress progress = { 0 };
    const rc_convert_opts opts = {
        .execute = { .threads = (unsigned)o->threads,
                     .require_exact = !o->exact || strcmp(o->exact, "require") == 0,
                     .allow_nonfinite = o->allow_nonfinite,
                     .allow_zero = o->allow_zero,
                     .progress = &progress },
        .force = o->force,
        .restart = o->restart,
        .log = rc_cli_log(),
    };
    rc_convert_report report = { 0 };
    rc_ticker *ticker;
    rc_code rc;

    if (o->dry_run) {
        rc = rc_convert_preflight(plan, dst, &opts, &report, err);
        if (rc == RC_OK || rc == RC_E_NOSPACE) {
            if (!o->json)
                print_plan(plan, &report);
            else if (rc == RC_OK)
                rc = print_plan_json(plan, &report, mem, err);
            else
                (void)!print_plan_json(plan, &report, mem, NULL); /* no space is the error */
        }
        return rc;
    }
    ticker = rc_ticker_start("converted", &progress);
    rc = rc_convert(plan, dst, &opts, &report, mem, err);
    rc_ticker_stop(&ticker);
    if (rc != RC_OK) {
        say_what_is_left(&report, err);
        return rc;
    }
    if (o->json)
        return print_summary(dst, mem, err);
    if (rc_cli.quiet)
        return RC_OK;
    if (report.already_complete)
        printf("%s was complete already\n", dst);
    else
        print_verdict(plan, dst, &report, progress.kept);
    return RC_OK;
}

static rc_code run(const char *src, const char *dst, const options *o, rc_mem *mem, rc_err *err)
{
    const rc_recipe recipe = recipe_of(o);
    rc_source *source;
    rc_ckpt *ckpt = NULL;
    rc_model *model = NULL;
    rc_plan *plan = NULL;
    rc_code rc;

    RC_TRY(rc_source_open(&source, src, mem, err));
    RC_TRY(rc_ckpt_open(&ckpt, source, rc_cli_log(), mem, err));
    rc = rc_model_new(&model, ckpt, mem, err);
    if (rc == RC_OK)
        rc = rc_model_require_whole(model, err);
    if (rc == RC_OK && rc_cli.strict && rc_cli_warned())
        rc = rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "stopped at the warnings above (--strict)");
    if (rc == RC_OK)
        rc = rc_plan_new(&plan, model, &recipe, mem, err);
    if (rc == RC_OK)
        rc = run_plan(plan, dst, o, mem, err);
    rc_plan_free(&plan);
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    return rc;
}

int rc_cmd_convert(int argc, char **argv)
{
    options o = { .threads = rc_par_cpus() };
    const rc_opt opts[] = {
        { "to", RC_OPT_CHOICE, "fp8|bf16", "what to make (needed)", &o.to, 0, 0 },
        { "scale-dtype", RC_OPT_CHOICE, "f32|e8m0",
          "scales of fp8: f32 as vLLM needs (default), e8m0 as published for SGLang",
          &o.scale_dtype, 0, 0 },
        { "exact", RC_OPT_CHOICE, "require|report",
          "refuse a model with an inexact tile (default), or deliver and report", &o.exact, 0, 0 },
        { "draft", RC_OPT_CHOICE, "keep|drop", "the MTP or DSpark blocks (default: keep)", &o.draft,
          0, 0 },
        { "tensors", RC_OPT_LIST, "GLOB", "only tensors that match (may be repeated)", &o.tensors,
          0, 0 },
        { "shard-size", RC_OPT_SIZE, "BYTES", "tensor bytes per shard (default: as the source)",
          &o.shard_size, 1 << 20, UINT64_MAX >> 1 },
        { "threads", RC_OPT_U64, "N", "computing threads (default: processors)", &o.threads, 1,
          RC_PAR_MAX_SLOTS },
        { "mem-limit", RC_OPT_SIZE, "BYTES", "memory to stay under (default: 512M)", &o.mem_limit,
          1 << 20, UINT64_MAX >> 1 },
        { "allow-nonfinite", RC_OPT_FLAG, NULL, "copy NaN and Inf of BF16 and F32 tensors",
          &o.allow_nonfinite, 0, 0 },
        { "allow-zero", RC_OPT_FLAG, NULL, "accept weights that are all zero", &o.allow_zero, 0,
          0 },
        { "dry-run", RC_OPT_FLAG, NULL, "print the plan, write nothing", &o.dry_run, 0, 0 },
        { "json", RC_OPT_FLAG, NULL, "print the plan or the summary as JSON", &o.json, 0, 0 },
        { "force", RC_OPT_FLAG, NULL, "replace a finished result, or write among other files",
          &o.force, 0, 0 },
        { "restart", RC_OPT_FLAG, NULL, "discard an unfinished run", &o.restart, 0, 0 },
        { 0 },
    };
    const rc_cmd cmd = { "convert",
                         "SRC DST --to fp8|bf16 [options]",
                         "Convert a checkpoint, resumable and proven.",
                         about,
                         2,
                         2,
                         opts };
    rc_mem mem = { 0 };
    rc_err err = { .offset = RC_NO_OFFSET };
    const char *args[2];
    unsigned nargs;
    int code = rc_cli_parse(&cmd, argc, argv, args, &nargs);

    if (code >= 0)
        return code;
    if (!o.to)
        return rc_cli_usage("convert needs --to fp8 or --to bf16");
    if (o.scale_dtype && strcmp(o.to, "fp8") != 0)
        return rc_cli_usage("--scale-dtype goes with --to fp8, not with --to %s", o.to);
    if (rc_cli.cpu && !rc_cpu_force(rc_cli.cpu))
        return rc_cli_usage("--cpu %s: this machine does not have it", rc_cli.cpu);
    mem.limit = o.mem_limit ? (size_t)o.mem_limit : (size_t)512 << 20;
    return run(args[0], args[1], &o, &mem, &err) == RC_OK ? 0 : rc_cli_fail(&err);
}
