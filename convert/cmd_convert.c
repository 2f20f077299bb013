/* convert/cmd_convert.c - recast convert SRC DST --to FORMAT. */
#include "convert/cmd_convert.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "convert/cmd_convert_print.h"
#include "convert/cmd_join.h"
#include "convert/cmd_convert_to.h"
#include "convert/pin.h"
#include "formats/base/io.h"
#include "formats/base/par.h"
#include "formats/cmd_source.h"
#include "kernels/cpu.h"

typedef struct options {
    rc_opt_list to;
    rc_to_words words;
    const char *exact;
    uint64_t threads, mem_limit;
    bool dry_run, json, force, restart, allow_nonfinite, allow_zero;
    const char *part;
    rc_share share;
    const rc_join_how *join; /* not to convert, but to join */
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
    "tensor (of a large one, in the middle), and the result is the same to the byte.\n"
    "\n"
    "Several --to FORMAT=DST make several checkpoints in one pass over the source, each the same\n"
    "to the byte as from a run of its own; one that is complete already is left alone. Options\n"
    "apply to every target that they go with.\n"
    "\n"
    "--part 3/8 makes the third of eight shares of the output's shards, on this machine or\n"
    "another that sees SRC and DST; when all are made, recast join DST finishes.\n"
    "\n"
    "examples:\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-FP8 --to fp8\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-FP8 --to fp8 --dry-run\n"
    "  recast convert hf://deepseek-ai/DeepSeek-V4-Flash V4-Flash-FP8 --to fp8\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-FP8-sglang --to fp8 --scale-dtype e8m0\n"
    "  recast calibrate DeepSeek-V4-Flash --text domain.txt -o flash.stats\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-W4A16 --to w4a16 --stats flash.stats\n"
    "  recast convert V4-Flash-W4A16 V4-Flash-AWQ --to awq\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash.gguf --to gguf\n"
    "  recast convert DeepSeek-V4-Flash --to fp8=V4-Flash-FP8 --to gguf:mxfp4=V4-Flash.gguf\n"
    "  recast convert DeepSeek-V4-Flash V4-Flash-Q4_K.gguf --to gguf:q4_k --imatrix im.gguf \\\n"
    "      --type 'blk.[012].ffn_down_exps.weight=q6_k' --split-size 40G\n";

/* ---------------------------------------------------------------------- run */

/* What survives a failure, in the error's hint: the user's first question. */
static void say_what_is_left(const rc_convert_target *targets, size_t n, rc_err *err)
{
    size_t done = 0, jobs = 0;

    for (size_t i = 0; i < n; i++) {
        done += targets[i].report.jobs_done;
        jobs += targets[i].report.jobs;
    }
    if (done && rc_code_resumable(err->code))
        rc_err_hint(err, "kept %zu of %zu tensors, the same command resumes", done, jobs);
    else if (err->code == RC_E_STOPPED)
        rc_err_hint(err, "the same command resumes");
}

/* Scalings are found, then tensors converted: each with a progress of its own. */
typedef struct progress {
    rc_progress smoothing, converting;
    rc_ticker *smoother, *converter;
} progress;

static uint64_t fetched(const void *source)
{
    return rc_source_fetched(source);
}

static void start(progress *p, const rc_convert_target *targets, size_t n, rc_mem *mem)
{
    const rc_source *source = rc_ckpt_source(rc_model_ckpt(rc_plan_model(targets[0].plan)));
    size_t sites = 0;

    for (size_t i = 0; i < n; i++)
        sites += rc_smooth_sites(targets[i].plan, mem);
    p->smoothing.unit = "norms";
    p->smoothing.total = sites;
    if (sites)
        p->smoother = rc_ticker_start("searched scalings of", &p->smoothing);
    if (rc_source_is_remote(source)) {
        p->converting.fetched = fetched;
        p->converting.source = source;
    }
    p->converter = rc_ticker_start("converted", &p->converting);
}

static rc_code dry_run(rc_convert_target *targets, size_t n, const options *o,
                       const rc_convert_opts *opts, rc_mem *mem, rc_err *err)
{
    rc_code rc = rc_convert_preflight(targets, n, opts, mem, err), shown;

    if (rc != RC_OK && rc != RC_E_NOSPACE)
        return rc;
    if (rc != RC_OK) /* no space is the error, whatever comes now */
        err = NULL;
    shown = o->json ? rc_print_plans_json(targets, n, mem, err)
                    : rc_print_plans(targets, n, (unsigned)o->threads, mem, err);
    return rc == RC_OK ? shown : rc;
}

static rc_code hollow(const rc_convert_target *target, const rc_convert_opts *opts, rc_mem *mem,
                      rc_err *err)
{
    RC_TRY(rc_convert_hollow(target->plan, target->dst, opts, mem, err));
    if (!rc_cli.quiet)
        printf("hollow    %s: metadata of %zu tensors, their data are holes; a conversion needs "
               "--force\n",
               target->dst, rc_plan_tensors(target->plan));
    return RC_OK;
}

static rc_code convert(rc_convert_target *targets, size_t n, const options *o, rc_mem *mem,
                       rc_err *err)
{
    progress told = { 0 };
    const rc_convert_opts opts = {
        .execute = { .threads = (unsigned)o->threads,
                     .require_exact = !o->exact || strcmp(o->exact, "require") == 0,
                     .allow_nonfinite = o->allow_nonfinite,
                     .allow_zero = o->allow_zero,
                     .progress = &told.converting,
                     .connections = rc_cmd_sources()->connections,
                     .log = rc_cli_log() },
        .force = o->force,
        .restart = o->restart,
        .log = rc_cli_log(),
        .smoothed = &told.smoothing.done,
    };
    rc_code rc;

    if (o->join)
        return rc_join_and_tell((rc_plan *)targets[0].plan, targets[0].dst, o->join,
                                (unsigned)o->threads, mem, err);
    if (o->dry_run)
        return dry_run(targets, n, o, &opts, mem, err);
    if (o->words.hollow)
        return hollow(targets, &opts, mem, err);
    start(&told, targets, n, mem);
    rc = rc_convert_all(targets, n, &opts, mem, err);
    rc_ticker_stop(&told.smoother);
    rc_ticker_stop(&told.converter);
    if (rc != RC_OK) {
        say_what_is_left(targets, n, err);
        return rc;
    }
    for (size_t i = 0; i < n; i++)
        rc_int4_warn(targets[i].plan, &targets[i].report.totals.int4);
    if (o->json)
        return rc_print_summaries(targets, n, mem, err);
    if (!rc_cli.quiet)
        rc_print_verdicts(targets, n);
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

/* The commit that an unfinished run of one of the targets is of. */
static bool find_pin(const rc_to_list *to, rc_share share, const char *src,
                     char commit[RC_PIN_COMMIT], rc_mem *mem)
{
    for (size_t i = 0; i < to->n; i++) {
        const bool gguf = rc_to_is_gguf(&to->at[i]);
        char folder[PATH_MAX];
        rc_plan_names names;
        rc_dir dir;
        bool found;

        snprintf(folder, sizeof folder, "%s", to->at[i].dst);
        if (rc_dir_open(&dir, gguf ? dirname(folder) : folder, false, NULL) != RC_OK)
            continue;
        rc_plan_name_files(&names, gguf ? to->at[i].stem : NULL, share);
        found = rc_pin_find(&dir, names.source, src, commit, mem);
        rc_dir_close(&dir);
        if (found)
            return true;
    }
    return false;
}

/* What is held besides the slots' buffers differs: whole matrices, blocks of the source. */
static size_t default_limit(const rc_to_list *to, bool remote)
{
    bool large = to->n > 1 || remote;

    for (size_t i = 0; i < to->n; i++)
        large |= rc_int4_is_target(to->at[i].format);
    return (size_t)(large ? 1536 : 512) << 20;
}

/* `agreed`: the commit of the other parts, or NULL. */
static rc_code open_model(rc_ckpt **ckpt, rc_model **model, const char *src, const rc_to_list *to,
                          const options *o, const char *agreed, rc_mem *mem, rc_err *err)
{
    char commit[RC_PIN_COMMIT];
    rc_source_opts opts = *rc_cmd_sources();
    rc_source *source;

    if (agreed)
        opts.revision = agreed;
    else if (!o->restart && find_pin(to, o->share, src, commit, mem))
        opts.revision = commit;
    RC_TRY(rc_source_open(&source, src, &opts, mem, err));
    mem->limit =
        o->mem_limit ? (size_t)o->mem_limit : default_limit(to, rc_source_is_remote(source));
    RC_TRY(rc_ckpt_open(ckpt, source, rc_cli_log(), mem, err));
    if (rc_ckpt_gguf(*ckpt))
        return refuse_gguf_source(src, err);
    RC_TRY(rc_model_new(model, *ckpt, mem, err));
    return rc_model_require_whole(*model, err);
}

static rc_code plan_all(rc_convert_target *targets, rc_to_list *to, const rc_model *model,
                        rc_share share, rc_mem *mem, rc_err *err)
{
    rc_plan *plan;

    for (size_t i = 0; i < to->n; i++)
        RC_TRY(rc_to_resolve(&to->at[i], model, mem, err));
    if (rc_cli.strict && rc_cli_warned())
        return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "stopped at the warnings above (--strict)");
    for (size_t i = 0; i < to->n; i++) {
        RC_TRY(rc_plan_new(&plan, model, &to->at[i].recipe, rc_cli_log(), mem, err));
        targets[i].plan = plan;
        targets[i].dst = to->at[i].dst;
        RC_TRY(rc_plan_take_share(plan, share, err));
    }
    return RC_OK;
}

/* What join and the other parts have to know, and the commit that these agree on. */
static rc_code say_words(rc_part_words **words, rc_convert_target *targets, const rc_to_list *to,
                         const char *src, const char **agreed, rc_mem *mem, rc_err *err)
{
    *words = rc_mem_get(mem, to->n * sizeof **words);
    if (!*words)
        return rc_fail_nomem(err, mem, to->n * sizeof **words);
    for (size_t i = 0; i < to->n; i++) {
        rc_part_words *w = &(*words)[i];

        RC_TRY(rc_part_words_of(w, src, &to->at[i], mem, err));
        targets[i].origin = &w->origin;
        if (w->common.commit)
            *agreed = w->common.commit;
    }
    return RC_OK;
}

static rc_code run(const char *src, rc_to_list *to, const options *o, rc_mem *mem, rc_err *err)
{
    rc_convert_target targets[RC_CONVERT_TARGETS] = { 0 };
    rc_part_words *words = NULL; /* of each target */
    const char *agreed = o->join ? o->join->commit : NULL;
    rc_ckpt *ckpt = NULL;
    rc_model *model = NULL;
    rc_code rc = RC_OK;

    for (size_t i = 0; i < to->n && rc == RC_OK; i++)
        rc = rc_to_load(&to->at[i], mem, err);
    if (rc == RC_OK && o->share.count)
        rc = say_words(&words, targets, to, src, &agreed, mem, err);
    if (rc == RC_OK)
        rc = open_model(&ckpt, &model, src, to, o, agreed, mem, err);
    if (rc == RC_OK)
        rc = plan_all(targets, to, model, o->share, mem, err);
    if (rc == RC_OK)
        rc = convert(targets, to->n, o, mem, err);
    for (size_t i = 0; i < to->n; i++) {
        rc_plan *plan = (rc_plan *)targets[i].plan;

        rc_plan_free(&plan);
    }
    rc_model_free(&model);
    rc_ckpt_close(&ckpt);
    for (size_t i = 0; i < to->n && words; i++)
        rc_part_words_free(&words[i]);
    rc_mem_put(mem, words);
    for (size_t i = 0; i < to->n; i++)
        rc_to_drop(&to->at[i]);
    return rc;
}

int rc_cmd_convert(int argc, char **argv)
{
    return rc_cmd_convert_or_join(argc, argv, NULL);
}

int rc_cmd_convert_or_join(int argc, char **argv, const rc_join_how *join)
{
    options o = { .threads = rc_par_cpus(), .join = join };
    rc_to_words *w = &o.words;
    const rc_opt opts[] = {
        { "to", RC_OPT_LIST, "FORMAT[=DST]",
          "what to make (needed): fp8, bf16, awq, w4a16, gguf[:RECIPE]; may be repeated, each with "
          "a DST",
          &o.to, 0, 0 },
        { "scale-dtype", RC_OPT_CHOICE, "f32|e8m0",
          "scales of fp8: f32 as vLLM needs (default), e8m0 as published for SGLang",
          &w->scale_dtype, 0, 0 },
        { "exact", RC_OPT_CHOICE, "require|report",
          "refuse a model where a promise to be exact is broken (default), or deliver and report; "
          "what "
          "rounds by its type promises nothing",
          &o.exact, 0, 0 },
        { "draft", RC_OPT_CHOICE, "keep|drop|embed|separate",
          "the MTP or DSpark blocks: keep (safetensors) or drop them; gguf: in a separate file "
          "(default) or embedded in the same (MTP)",
          &w->draft, 0, 0 },
        { "recipe", RC_OPT_STR, "FILE", "gguf: types by rules, a line each: PATTERN = TYPE",
          &w->recipe, 0, 0 },
        { "type", RC_OPT_LIST, "PATTERN=TYPE",
          "gguf: a rule before those of the recipe (a glob over tensor names, or @ROLE)", &w->types,
          0, 0 },
        { "imatrix", RC_OPT_STR, "FILE", "gguf: importance matrix (GGUF or legacy .dat)",
          &w->imatrix, 0, 0 },
        { "effort", RC_OPT_CHOICE, "reference|best",
          "gguf: ggml's search (default), or a better one where there is one", &w->effort, 0, 0 },
        { "split-size", RC_OPT_SIZE, "BYTES", "gguf: tensor bytes per file (default: one file)",
          &w->split_size, 1 << 20, UINT64_MAX >> 1 },
        { "group", RC_OPT_CHOICE, "128|64|32", "awq, w4a16: columns under one scale (default 128)",
          &w->int4.group, 0, 0 },
        { "symmetric", RC_OPT_FLAG, NULL, "w4a16: no zero points (default)", &w->int4.symmetric, 0,
          0 },
        { "asymmetric", RC_OPT_FLAG, NULL, "w4a16: zero points, as awq always has them",
          &w->int4.asymmetric, 0, 0 },
        { "scope", RC_OPT_CHOICE, "experts|all",
          "awq, w4a16: what becomes 4-bit: routed experts (default), or attention, shared experts "
          "and drafts' projections too",
          &w->int4.scope, 0, 0 },
        { "stats", RC_OPT_STR, "FILE", "awq, w4a16: statistics of recast calibrate", &w->int4.stats,
          0, 0 },
        { "method", RC_OPT_CHOICE, "rtn|awq|awq+",
          "awq, w4a16: ranges by weights alone (default without --stats); AWQ's scaled channels "
          "and "
          "ranges by importance; or scale and zero point together, with error feedback where the "
          "statistics have moments (default with --stats)",
          &w->int4.method, 0, 0 },
        { "smooth", RC_OPT_CHOICE, "off|pow2|free",
          "awq, w4a16: scale channels not at all, by powers of two, which norms and router keep "
          "exactly (default), or by any number",
          &w->int4.smooth, 0, 0 },
        { "names", RC_OPT_CHOICE, "deepseek|hf",
          "awq, w4a16: tensor names of the release (default), or of transformers", &w->int4.names,
          0, 0 },
        { "tensors", RC_OPT_LIST, "GLOB", "only tensors that match (may be repeated)", &w->tensors,
          0, 0 },
        { "shard-size", RC_OPT_SIZE, "BYTES", "tensor bytes per shard (default: as the source)",
          &w->shard_size, 1 << 20, UINT64_MAX >> 1 },
        { "threads", RC_OPT_U64, "N", "computing threads (default: processors)", &o.threads, 1,
          RC_PAR_MAX_SLOTS },
        { "mem-limit", RC_OPT_SIZE, "BYTES",
          "memory to stay under (default: 512M; awq, w4a16, several targets, sources beyond this "
          "machine: 1536M)",
          &o.mem_limit, 1 << 20, UINT64_MAX >> 1 },
        { "allow-nonfinite", RC_OPT_FLAG, NULL, "copy NaN and Inf of BF16 and F32 tensors",
          &o.allow_nonfinite, 0, 0 },
        { "allow-zero", RC_OPT_FLAG, NULL, "accept weights that are all zero", &o.allow_zero, 0,
          0 },
        { "dry-run", RC_OPT_FLAG, NULL, "print the plan, write nothing", &o.dry_run, 0, 0 },
        { "hollow", RC_OPT_FLAG, NULL,
          "gguf: write the metadata only and leave the data as holes, to try a loader first",
          &w->hollow, 0, 0 },
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
        .usage = "SRC [DST] --to fp8|bf16|awq|w4a16|gguf[:RECIPE][=DST] [options]",
        .summary = "Convert a checkpoint, resumable and proven.",
        .about = about,
        .min_args = 1,
        .max_args = 2,
        .opts = opts,
        .group = &rc_source_group,
    };
    rc_mem mem = { 0 };
    rc_err err = { .offset = RC_NO_OFFSET };
    const char *args[2];
    rc_to_list to;
    unsigned nargs;
    int code = rc_cli_parse(&cmd, argc, argv, args, &nargs);

    if (code >= 0)
        return code;
    code = rc_to_parse(&to, &o.to, nargs > 1 ? args[1] : NULL, w, args[0]);
    if (code >= 0)
        return code;
    if (o.part && !rc_share_parse(o.part, &o.share))
        return rc_cli_usage("--part %s: the number of a part and how many there are, as in 3/8, "
                            "counted from 1",
                            o.part);
    if (o.part && w->hollow)
        return rc_cli_usage("--hollow writes metadata only: there is nothing to share out");
    if (rc_cli.cpu && !rc_cpu_force(rc_cli.cpu))
        return rc_cli_usage("--cpu %s: this machine does not have it", rc_cli.cpu);
    mem.limit = o.mem_limit ? (size_t)o.mem_limit : default_limit(&to, false);
    return run(args[0], &to, &o, &mem, &err) == RC_OK ? 0 : rc_cli_fail(&err);
}
