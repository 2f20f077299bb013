/* convert/cmd_pack.c - recast pack SRC ARCHIVE.rcz. */
#include "convert/cmd_pack.h"

#include <stdio.h>

#include "convert/pack.h"
#include "formats/base/json.h"
#include "formats/base/par.h"
#include "formats/cmd_source.h"

typedef struct options {
    uint64_t threads, level, mem_limit;
    bool dry_run, json, force, restart;
} options;

static const char about[] =
    "Every file of the folder goes in, and comes out of `recast unpack` with the same bytes: that\n"
    "is checked piece by piece while packing. Tensors are taken apart into planes that\n"
    "compress: exponents of BF16 and FP8; FP8 and BF16 that hold FP4 values become FP4 again.\n"
    "An archive is a source for every command (`recast verify A.rcz B`), and a sequence of zstd\n"
    "frames with a seek table: `zstd -l` and `zstd -t` know it. docs/archive.md is its format.\n"
    "\n"
    "Stopped or killed, run the same command again: it goes on where it was.\n"
    "\n"
    "examples:\n"
    "  recast pack DeepSeek-V4-Flash-FP8 flash-fp8.rcz\n"
    "  recast pack hf://deepseek-ai/DeepSeek-V4-Flash flash.rcz --dry-run\n"
    "  recast unpack flash-fp8.rcz DeepSeek-V4-Flash-FP8\n";

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 1;
}

static void print_text(const rc_pack_report *r, const char *archive, bool dry_run, double seconds)
{
    char in[16], out[16], rate[16], time[24];

    printf("%s  %s: %zu files, %s in %s, %.3f of their size%s\n", dry_run ? "estimate" : "packed  ",
           archive, r->files, rc_human_bytes(in, r->nbytes), rc_human_bytes(out, r->archive),
           ratio(r->archive, r->nbytes), dry_run ? " (from a sample)" : "");
    for (unsigned m = 0; m < RC_PACK_MODES; m++)
        if (r->by_mode[m][0])
            printf("  %-10s %10s  %.3f\n", rc_pack_mode_name((rc_pack_mode)m),
                   rc_human_bytes(in, r->by_mode[m][0]), ratio(r->by_mode[m][1], r->by_mode[m][0]));
    if (dry_run)
        printf("  free there %10s\n", rc_human_bytes(in, r->free));
    else
        printf("  %s, %s/s\n", rc_human_time(time, seconds),
               rc_human_bytes(rate, (uint64_t)((double)r->nbytes / (seconds > 0 ? seconds : 1))));
}

static rc_code print_json(const rc_pack_report *r, const char *archive, bool dry_run,
                          double seconds, rc_mem *mem, rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *text = NULL;
    size_t len;

    if (!w)
        return rc_fail_nomem(err, mem, 4096);
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "archive", archive);
    rc_jsonw_kbool(w, "estimate", dry_run);
    rc_jsonw_ku64(w, "files", r->files);
    rc_jsonw_ku64(w, "pieces", r->pieces);
    rc_jsonw_ku64(w, "pieces_kept", r->kept);
    rc_jsonw_ku64(w, "bytes", r->nbytes);
    rc_jsonw_ku64(w, "archive_bytes", r->archive);
    rc_jsonw_kf64(w, "ratio", ratio(r->archive, r->nbytes));
    if (dry_run)
        rc_jsonw_ku64(w, "free", r->free);
    rc_jsonw_key(w, "modes");
    rc_jsonw_object(w);
    for (unsigned m = 0; m < RC_PACK_MODES; m++)
        if (r->by_mode[m][0]) {
            rc_jsonw_key(w, rc_pack_mode_name((rc_pack_mode)m));
            rc_jsonw_object(w);
            rc_jsonw_ku64(w, "bytes", r->by_mode[m][0]);
            rc_jsonw_ku64(w, "packed", r->by_mode[m][1]);
            rc_jsonw_object_end(w);
        }
    rc_jsonw_object_end(w);
    rc_jsonw_kf64(w, "seconds", seconds);
    rc_jsonw_object_end(w);
    text = rc_jsonw_text(w, &len);
    if (text)
        puts(text);
    rc_jsonw_free(&w);
    return text ? RC_OK : rc_fail_nomem(err, mem, 4096);
}

static rc_code run(const char *from, const char *archive, const options *o, rc_mem *mem,
                   rc_err *err)
{
    rc_progress progress = { 0 };
    const rc_pack_opts opts = { .threads = (unsigned)o->threads,
                                .level = (int)o->level,
                                .force = o->force,
                                .restart = o->restart,
                                .progress = &progress,
                                .log = rc_cli_log() };
    const double start = rc_now();
    rc_source_opts reach = *rc_cmd_sources();
    char commit[RC_PIN_COMMIT];
    rc_pack_report report;
    rc_ticker *ticker;
    rc_source *src;
    rc_code rc;

    if (!o->restart && rc_pack_find_pin(archive, from, commit, mem))
        reach.revision = commit; /* of the run that is gone on with */
    RC_TRY(rc_source_open(&src, from, &reach, mem, err));
    if (o->dry_run) {
        rc = rc_pack_estimate(src, archive, &opts, &report, mem, err);
    } else {
        ticker = rc_ticker_start("packed", &progress);
        rc = rc_pack_run(src, archive, &opts, &report, mem, err);
        rc_ticker_stop(&ticker);
        if (rc != RC_OK && rc_code_resumable(rc))
            rc_err_hint(err, "the same command resumes");
    }
    rc_source_close(&src);
    if (rc != RC_OK)
        return rc;
    if (o->json)
        return print_json(&report, archive, o->dry_run, rc_now() - start, mem, err);
    if (!rc_cli.quiet || o->dry_run)
        print_text(&report, archive, o->dry_run, rc_now() - start);
    return RC_OK;
}

int rc_cmd_pack(int argc, char **argv)
{
    options o = { .threads = rc_par_cpus(), .mem_limit = (uint64_t)1 << 30 };
    const rc_opt opts[] = {
        { "threads", RC_OPT_U64, "N", "compute on N threads (all processors)", &o.threads, 1,
          RC_PAR_MAX_SLOTS },
        { "level", RC_OPT_U64, "N",
          "zstd's level, 1 to 19 (default: entropy coding of planes that have some, no search)",
          &o.level, 1, 19 },
        { "mem-limit", RC_OPT_SIZE, "BYTES", "memory to stay under (1G)", &o.mem_limit, 1 << 20,
          UINT64_MAX >> 1 },
        { "dry-run", RC_OPT_FLAG, NULL, "estimate the size from a sample, write nothing",
          &o.dry_run, 0, 0 },
        { "json", RC_OPT_FLAG, NULL, "print the summary as JSON", &o.json, 0, 0 },
        { "force", RC_OPT_FLAG, NULL, "replace an archive of that name", &o.force, 0, 0 },
        { "restart", RC_OPT_FLAG, NULL, "discard an unfinished run", &o.restart, 0, 0 },
        { 0 },
    };
    const rc_cmd cmd = {
        .name = "pack",
        .usage = "SRC ARCHIVE.rcz [options]",
        .summary =
            "Put a checkpoint away in one archive: half of FP8, nine tenths of FP4, bit for bit.",
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
    int code = rc_cli_parse(&cmd, argc, argv, args, &nargs);

    if (code >= 0)
        return code;
    code = rc_cmd_refuse_address(args[1]);
    if (code >= 0)
        return code;
    if (!rc_archive_is_name(args[1]))
        return rc_cli_usage("an archive's name ends in .rcz");
    mem.limit = (size_t)o.mem_limit;
    return run(args[0], args[1], &o, &mem, &err) == RC_OK ? 0 : rc_cli_fail(&err);
}
