/* convert/cmd_convert.c - recast convert SRC DST --to FORMAT. */
#include "convert/cmd_convert.h"

#include <stdio.h>
#include <string.h>

#include "convert/cmd_convert_int4.h"
#include "convert/cmd_convert_print.h"
#include "convert/cmd_join.h"
#include "convert/convert.h"
#include "formats/base/cli.h"
#include "formats/base/io.h"
#include "formats/base/par.h"
#include "formats/cmd_source.h"
#include "kernels/cpu.h"

typedef struct options {
    const char *to, *scale_dtype, *exact, *draft, *recipe, *imatrix, *effort;
    uint64_t threads, mem_limit, shard_size, split_size;
    rc_opt_list tensors, types;
    rc_int4_words int4;
    bool dry_run, hollow, json, force, restart, allow_nonfinite, allow_zero;
    const char *part;
    rc_share share;
    const rc_part_origin *origin; /* for --part */
    const char *commit;           /* of the other parts, or NULL */
    const rc_join_how *join;      /* not to convert, but to join */
} options;

static const char about[] =
    "Reads the checkpoint once, in bounded memory, and writes another one beside it:\n"
    "  fp8   routed experts become F8_E4M3 with 128x128 scales (for Hopper: vLLM, SGLang);\n"
    "        everything else keeps its bytes\n"
    "  bf16  every quantized weight becomes BF16 (input of other quantizers)\n"
    "  awq, w4a16  experts (--scope all: attention, too) become 4-bit integers, in AutoAWQ's "
    "container\n"
    "        or compressed-tensors'; --stats of recast calibrate make them better. A checkpoint of "
    "one\n"
    "        of the two becomes the other with the same integers\n"
    "  gguf:RECIPE  one file for llama.cpp or ds4, DST.gguf; recipes (the experts' type):\n"
    "        mxfp4 (default: experts exact, what was FP8 in Q8_0), mxfp4-bf16 (all exact), q8_0 "
    "q6_k\n"
    "        q5_k q4_k q3_k q2_k iq4_xs iq2_xxs bf16 f16, and ds4-q2 ds4-q4, which ds4 loads too\n"
    "Every piece is checked: exact means that the decoded value of every element is equal.\n"
    "recast.jsonl in DST (beside a GGUF file: NAME.recast.jsonl) holds the verdict and digests\n"
    "of every tensor, recast.json the summary; it is written last: what has it is complete.\n"
    "\n"
    "Stopped or killed, run the same command again: it goes on after the last finished\n"
    "tensor, and the result is the same to the byte.\n"
    "\n"
    "--part 3/8 makes the third of eight shares of the output's shards, on this machine or\n"
    "another that sees SRC and DST; when all are made, recast join DST finishes.\n"
    "\n"
    "examples:\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-FP8 --to fp8\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-FP8 --to fp8 --dry-run\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-FP8-sglang --to fp8 --scale-dtype e8m0\n"
    "  recast calibrate DeepSeek-V4-Flash --text domain.txt -o flash.stats\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-W4A16 --to w4a16 --stats flash.stats\n"
    "  recast convert V4-Flash-W4A16 V4-Flash-AWQ --to awq\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash.gguf --to gguf\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-Q4_K.gguf --to gguf:q4_k --imatrix im.gguf \\\n"
    "      --type 'blk.[012].ffn_down_exps.weight=q6_k' --split-size 40G\n";

/* What survives a failure, in the error's hint: the user's first question. */
static void say_what_is_left(const rc_convert_report *report, rc_err *err)
{
    if (report->jobs_done && rc_code_resumable(err->code))
        rc_err_hint(err, "kept %zu of %zu tensors, the same command resumes", report->jobs_done,
                    report->jobs);
    else if (err->code == RC_E_STOPPED)
        rc_err_hint(err, "the same command resumes");
}

/* ----------------------------------------------------------------------- run */

/* What the recipe points to, for the time of the run. */
typedef struct held {
    rc_gguf_recipe *gguf;
    rc_imatrix *imatrix;
    rc_calib *stats;
    char stem[RC_PLAN_NAME];
} held;

static bool to_gguf(const options *o)
{
    return strcmp(o->to, "gguf") == 0 || strncmp(o->to, "gguf:", 5) == 0;
}

static rc_draft_way draft_of(const options *o)
{
    static const char *const words[] = { "keep", "drop", "embed", "separate" };

    for (unsigned i = 0; o->draft && i < sizeof words / sizeof *words; i++)
        if (strcmp(o->draft, words[i]) == 0)
            return (rc_draft_way)i;
    return to_gguf(o) ? RC_DRAFT_AUTO : RC_DRAFT_KEEP;
}

/* A recipe file, wherever it lies. */
static rc_code slurp(const char *path, char **text, size_t *len, rc_mem *mem, rc_err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char folder[4096];
    rc_dir dir;
    rc_code rc;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    RC_TRY(rc_dir_open(&dir, folder, false, err));
    if (rc_dir_stat(&dir, name, NULL)) {
        rc = rc_dir_slurp(&dir, name, RC_GGUF_RECIPE_MAX_BYTES, text, len, mem, err);
    } else {
        rc = rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "there is no such file");
        rc_err_file(err, path);
    }
    rc_dir_close(&dir);
    return rc;
}

static rc_code load_gguf(held *h, const options *o, const char *dst, rc_mem *mem, rc_err *err)
{
    char *text = NULL;
    size_t len = 0;
    rc_code rc;

    RC_TRY(rc_convert_stem(dst, h->stem, err));
    if (o->recipe)
        RC_TRY(slurp(o->recipe, &text, &len, mem, err));
    rc = rc_gguf_recipe_new(&h->gguf, o->to[4] ? o->to + 5 : "mxfp4", o->recipe, text, len,
                            o->types.at, o->types.n, mem, err);
    rc_mem_put(mem, text);
    if (rc == RC_OK && o->imatrix)
        rc = rc_imatrix_open(&h->imatrix, o->imatrix, rc_cli_log(), mem, err);
    return rc;
}

static rc_plan_target target_of(const options *o)
{
    static const char *const words[] = { "fp8", "bf16", "awq", "w4a16" };

    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(o->to, words[i]) == 0)
            return (rc_plan_target)i;
    return RC_TO_GGUF;
}

static rc_recipe recipe_of(const options *o, const held *h)
{
    const char *slash = o->imatrix ? strrchr(o->imatrix, '/') : NULL;
    rc_recipe r = { .target = target_of(o),
                    .scale_dtype = RC_DTYPE_F32,
                    .draft = draft_of(o),
                    .shard_size = o->shard_size ? o->shard_size : o->split_size,
                    .globs = o->tensors.at,
                    .nglobs = o->tensors.n };

    if (o->scale_dtype && strcmp(o->scale_dtype, "e8m0") == 0)
        r.scale_dtype = RC_DTYPE_F8_E8M0;
    if (!to_gguf(o))
        return r;
    r.gguf = h->gguf;
    r.imatrix = h->imatrix;
    r.imatrix_name = slash ? slash + 1 : o->imatrix;
    r.effort = o->effort && strcmp(o->effort, "best") == 0 ? RC_EFFORT_BEST : RC_EFFORT_REFERENCE;
    r.stem = h->stem;
    return r;
}

/* Scalings are found, then tensors converted: each with a progress of its own. */
typedef struct progress {
    rc_progress smoothing, converting;
    rc_ticker *smoother, *converter;
} progress;

static void start(progress *p, const rc_plan *plan, rc_mem *mem)
{
    const size_t sites = rc_smooth_sites(plan, mem);

    p->smoothing.unit = "norms";
    p->smoothing.total = sites;
    if (sites)
        p->smoother = rc_ticker_start("searched scalings of", &p->smoothing);
    p->converter = rc_ticker_start("converted", &p->converting);
}

static rc_code run_plan(rc_plan *plan, const char *dst, const options *o, rc_mem *mem, rc_err *err)
{
    progress told = { 0 };
    const rc_convert_opts opts = {
        .execute = { .threads = (unsigned)o->threads,
                     .require_exact = !o->exact || strcmp(o->exact, "require") == 0,
                     .allow_nonfinite = o->allow_nonfinite,
                     .allow_zero = o->allow_zero,
                     .progress = &told.converting },
        .force = o->force,
        .restart = o->restart,
        .origin = o->origin,
        .log = rc_cli_log(),
        .smoothed = &told.smoothing.done,
    };
    rc_convert_report report = { 0 };
    rc_code rc;

    if (o->join)
        return rc_join_and_tell(plan, dst, o->join, (unsigned)o->threads, mem, err);
    if (o->dry_run) {
        rc = rc_convert_preflight(plan, dst, &opts, &report, err);
        if (rc == RC_OK || rc == RC_E_NOSPACE) {
            if (!o->json)
                rc_print_plan(plan, &report, (unsigned)o->threads);
            else if (rc == RC_OK)
                rc = rc_print_plan_json(plan, &report, mem, err);
            else
                (void)!rc_print_plan_json(plan, &report, mem, NULL); /* no space is the error */
        }
        return rc;
    }
    if (o->hollow) {
        rc = rc_convert_hollow(plan, dst, &opts, mem, err);
        if (rc == RC_OK && !rc_cli.quiet)
            printf(
                "hollow    %s: metadata of %zu tensors, their data are holes; a conversion needs "
                "--force\n",
                dst, rc_plan_tensors(plan));
        return rc;
    }
    start(&told, plan, mem);
    rc = rc_convert(plan, dst, &opts, &report, mem, err);
    rc_ticker_stop(&told.smoother);
    rc_ticker_stop(&told.converter);
    if (rc != RC_OK) {
        say_what_is_left(&report, err);
        return rc;
    }
    rc_int4_warn(plan, &report.totals.int4);
    if (o->share.count)
        return rc_print_part(plan, dst, &report, told.converting.kept, o->json, mem, err);
    if (o->json)
        return rc_print_summary(plan, dst, mem, err);
    if (rc_cli.quiet)
        return RC_OK;
    if (report.already_complete)
        printf("%s was complete already\n", dst);
    else
        rc_print_verdict(plan, dst, &report, told.converting.kept);
    return RC_OK;
}

/* What was rounded stays rounded, and a stack of experts is no tensor that the others read. */
static rc_code refuse_gguf_source(const char *src, rc_err *err)
{
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "a GGUF file is a result, not a source");
    rc_err_file(err, src);
    rc_err_hint(err, "convert from the safetensors checkpoint that it was made of");
    return RC_E_UNSUPPORTED;
}

static rc_code run(const char *src, const char *dst, const options *o, rc_mem *mem, rc_err *err)
{
    rc_source_opts how = *rc_cmd_sources();
    rc_source *source;
    rc_ckpt *ckpt = NULL;
    rc_model *model = NULL;
    rc_plan *plan = NULL;
    held h = { 0 };
    rc_recipe recipe;
    rc_code rc = RC_OK;

    if (to_gguf(o))
        RC_TRY_GOTO(rc, done, load_gguf(&h, o, dst, mem, err));
    recipe = recipe_of(o, &h);
    how.revision = o->commit ? o->commit : how.revision;
    RC_TRY_GOTO(rc, done, rc_source_open(&source, src, &how, mem, err));
    RC_TRY_GOTO(rc, done, rc_ckpt_open(&ckpt, source, rc_cli_log(), mem, err));
    if (rc_ckpt_gguf(ckpt))
        RC_TRY_GOTO(rc, done, refuse_gguf_source(src, err));
    rc = rc_model_new(&model, ckpt, mem, err);
    if (rc == RC_OK)
        rc = rc_model_require_whole(model, err);
    if (rc == RC_OK && rc_int4_is_target(o->to))
        rc = rc_int4_recipe_of(&recipe.int4, &h.stats, &o->int4, o->to, model, mem, err);
    if (rc == RC_OK && rc_cli.strict && rc_cli_warned())
        rc = rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "stopped at the warnings above (--strict)");
    if (rc == RC_OK)
        rc = rc_plan_new(&plan, model, &recipe, rc_cli_log(), mem, err);
    if (rc == RC_OK)
        rc = rc_plan_take_share(plan, o->share, err);
    if (rc == RC_OK)
        rc = run_plan(plan, dst, o, mem, err);
done:
    rc_plan_free(&plan);
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    rc_gguf_recipe_free(&h.gguf);
    rc_imatrix_free(&h.imatrix);
    rc_calib_free(&h.stats);
    return rc;
}

/* What goes with one target and not with another: -1, or the exit code of a usage error. */
static int check_options(const options *o, const char *src)
{
    int code;

    const bool gguf = o->to && to_gguf(o);

    if (!o->to)
        return rc_cli_usage("convert needs --to fp8, bf16, awq, w4a16 or gguf:RECIPE");
    if (!gguf && target_of(o) == RC_TO_GGUF)
        return rc_cli_usage("--to %s: there are fp8, bf16, awq, w4a16 and gguf:RECIPE", o->to);
    code = rc_int4_check(&o->int4, o->to, src);
    if (code >= 0)
        return code;
    if (o->scale_dtype && strcmp(o->to, "fp8") != 0)
        return rc_cli_usage("--scale-dtype goes with --to fp8, not with --to %s", o->to);
    if (!gguf && (o->hollow || o->recipe || o->types.n || o->imatrix || o->effort || o->split_size))
        return rc_cli_usage(
            "--recipe, --type, --imatrix, --effort, --split-size and --hollow go "
            "with --to gguf, not with --to %s%s",
            o->to, o->imatrix && rc_int4_is_target(o->to) ? "; --stats takes the same file" : "");
    if (gguf && (o->tensors.n || o->shard_size))
        return rc_cli_usage(
            "%s does not go with --to gguf%s", o->tensors.n ? "--tensors" : "--shard-size",
            o->tensors.n ? ": a part of a model is no GGUF file" : "; --split-size does");
    if (o->draft && gguf != (draft_of(o) > RC_DRAFT_DROP) && draft_of(o) != RC_DRAFT_DROP)
        return rc_cli_usage("--draft %s does not go with --to %s", o->draft, o->to);
    if (o->part && !rc_share_parse(o->part, &(rc_share){ 0 }))
        return rc_cli_usage("--part %s: the number of a part and how many there are, as in 3/8, "
                            "counted from 1",
                            o->part);
    if (o->part && o->hollow)
        return rc_cli_usage("--hollow writes metadata only: there is nothing to share out");
    if (rc_cli.cpu && !rc_cpu_force(rc_cli.cpu))
        return rc_cli_usage("--cpu %s: this machine does not have it", rc_cli.cpu);
    return -1;
}

/* With what join and the other parts have to know. */
static rc_code run_part(const char *src, const char *dst, const options *whole, const rc_opt *opts,
                        rc_mem *mem, rc_err *err)
{
    options o = *whole;
    rc_part_words words = { 0 };
    rc_code rc;

    rc_share_parse(o.part, &o.share);
    rc = rc_part_words_of(&words, src, dst, opts, to_gguf(&o), mem, err);
    o.origin = &words.origin;
    o.commit = words.common.commit;
    if (rc == RC_OK)
        rc = run(src, dst, &o, mem, err);
    rc_part_words_free(&words);
    return rc;
}

int rc_cmd_convert(int argc, char **argv)
{
    return rc_cmd_convert_or_join(argc, argv, NULL);
}

int rc_cmd_convert_or_join(int argc, char **argv, const rc_join_how *join)
{
    options o = { .threads = rc_par_cpus(), .join = join, .commit = join ? join->commit : NULL };
    const rc_opt opts[] = {
        { "to", RC_OPT_STR, "fp8|bf16|awq|w4a16|gguf:RECIPE", "what to make (needed)", &o.to, 0,
          0 },
        { "scale-dtype", RC_OPT_CHOICE, "f32|e8m0",
          "scales of fp8: f32 as vLLM needs (default), e8m0 as published for SGLang",
          &o.scale_dtype, 0, 0 },
        { "exact", RC_OPT_CHOICE, "require|report",
          "refuse a model where a promise to be exact is broken (default), or deliver and report; "
          "what "
          "rounds by its type promises nothing",
          &o.exact, 0, 0 },
        { "draft", RC_OPT_CHOICE, "keep|drop|embed|separate",
          "the MTP or DSpark blocks: keep (safetensors) or drop them; gguf: in a separate file "
          "(default) or embedded in the same (MTP)",
          &o.draft, 0, 0 },
        { "recipe", RC_OPT_STR, "FILE", "gguf: types by rules, a line each: PATTERN = TYPE",
          &o.recipe, 0, 0 },
        { "type", RC_OPT_LIST, "PATTERN=TYPE",
          "gguf: a rule before those of the recipe (a glob over tensor names, or @ROLE)", &o.types,
          0, 0 },
        { "imatrix", RC_OPT_STR, "FILE", "gguf: importance matrix (GGUF or legacy .dat)",
          &o.imatrix, 0, 0 },
        { "effort", RC_OPT_CHOICE, "reference|best",
          "gguf: ggml's search (default), or a better one where there is one", &o.effort, 0, 0 },
        { "split-size", RC_OPT_SIZE, "BYTES", "gguf: tensor bytes per file (default: one file)",
          &o.split_size, 1 << 20, UINT64_MAX >> 1 },
        { "group", RC_OPT_CHOICE, "128|64|32", "awq, w4a16: columns under one scale (default 128)",
          &o.int4.group, 0, 0 },
        { "symmetric", RC_OPT_FLAG, NULL, "w4a16: no zero points (default)", &o.int4.symmetric, 0,
          0 },
        { "asymmetric", RC_OPT_FLAG, NULL, "w4a16: zero points, as awq always has them",
          &o.int4.asymmetric, 0, 0 },
        { "scope", RC_OPT_CHOICE, "experts|all",
          "awq, w4a16: what becomes 4-bit: routed experts (default), or attention, shared experts "
          "and drafts' projections too",
          &o.int4.scope, 0, 0 },
        { "stats", RC_OPT_STR, "FILE", "awq, w4a16: statistics of recast calibrate", &o.int4.stats,
          0, 0 },
        { "method", RC_OPT_CHOICE, "rtn|awq|awq+",
          "awq, w4a16: ranges by weights alone (default without --stats); AWQ's scaled channels "
          "and "
          "ranges by importance; or scale and zero point together, with error feedback where the "
          "statistics have moments (default with --stats)",
          &o.int4.method, 0, 0 },
        { "smooth", RC_OPT_CHOICE, "off|pow2|free",
          "awq, w4a16: scale channels not at all, by powers of two, which norms and router keep "
          "exactly (default), or by any number",
          &o.int4.smooth, 0, 0 },
        { "names", RC_OPT_CHOICE, "deepseek|hf",
          "awq, w4a16: tensor names of the release (default), or of transformers", &o.int4.names, 0,
          0 },
        { "tensors", RC_OPT_LIST, "GLOB", "only tensors that match (may be repeated)", &o.tensors,
          0, 0 },
        { "shard-size", RC_OPT_SIZE, "BYTES", "tensor bytes per shard (default: as the source)",
          &o.shard_size, 1 << 20, UINT64_MAX >> 1 },
        { "threads", RC_OPT_U64, "N", "computing threads (default: processors)", &o.threads, 1,
          RC_PAR_MAX_SLOTS },
        { "mem-limit", RC_OPT_SIZE, "BYTES",
          "memory to stay under (default: 512M; awq, w4a16: 1536M)", &o.mem_limit, 1 << 20,
          UINT64_MAX >> 1 },
        { "allow-nonfinite", RC_OPT_FLAG, NULL, "copy NaN and Inf of BF16 and F32 tensors",
          &o.allow_nonfinite, 0, 0 },
        { "allow-zero", RC_OPT_FLAG, NULL, "accept weights that are all zero", &o.allow_zero, 0,
          0 },
        { "dry-run", RC_OPT_FLAG, NULL, "print the plan, write nothing", &o.dry_run, 0, 0 },
        { "hollow", RC_OPT_FLAG, NULL,
          "gguf: write the metadata only and leave the data as holes, to try a loader first",
          &o.hollow, 0, 0 },
        { "json", RC_OPT_FLAG, NULL, "print the plan or the summary as JSON", &o.json, 0, 0 },
        { "force", RC_OPT_FLAG, NULL, "replace a finished result, or write among other files",
          &o.force, 0, 0 },
        { "restart", RC_OPT_FLAG, NULL, "discard an unfinished run (with --part: of this part)",
          &o.restart, 0, 0 },
        { "part", RC_OPT_STR, "I/N",
          "only the I-th of N shares of the output's shards; then recast join DST", &o.part, 0, 0 },
        { 0 },
    };
    const rc_cmd cmd = {
        .name = "convert",
        .usage = "SRC DST --to fp8|bf16|awq|w4a16|gguf[:RECIPE] [options]",
        .summary = "Convert a checkpoint, resumable and proven.",
        .about = about,
        .min_args = 2,
        .max_args = 2,
        .opts = opts,
        .group = &rc_source_group,
    };
    rc_mem mem = { 0 };
    rc_err err = { .offset = RC_NO_OFFSET };
    const char *args[2];
    unsigned nargs;
    rc_code rc;
    int code = rc_cli_parse(&cmd, argc, argv, args, &nargs);

    if (code >= 0)
        return code;
    code = check_options(&o, args[0]);
    if (code >= 0)
        return code;
    mem.limit =
        o.mem_limit ? (size_t)o.mem_limit : (size_t)(rc_int4_is_target(o.to) ? 1536 : 512) << 20;
    if (o.part)
        rc = run_part(args[0], args[1], &o, opts, &mem, &err);
    else
        rc = run(args[0], args[1], &o, &mem, &err);
    return rc == RC_OK ? 0 : rc_cli_fail(&err);
}
