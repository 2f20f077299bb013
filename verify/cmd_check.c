/* verify/cmd_check.c - `recast check`: are the bytes still those that were delivered?
 *
 * --json prints one object. Its keys are an interface and only ever grow:
 *
 *   recast    version of the program
 *   result    what was checked, as named on the command line
 *   equal     true when there are no faults
 *   quick     only sizes, heads and small files were looked at
 *   manifests how many recast.json there are;  format: of the oldest, or null
 *   files, tensors, bytes   that were compared with something
 *   sums      {file, wrote, files} or null: the SHA256SUMS that was compared or written
 *   stated    files of which the hub, or its cache, says what they are
 *   faults, warnings   how many there are; the first 100 of each are in
 *   findings  [{level, message, file, tensor, offset, want, got, hint}]
 *   seconds   */
#include "verify/cmd_check.h"

#include <stdio.h>
#include <string.h>

#include "formats/base/json.h"
#include "formats/base/par.h"
#include "formats/cmd_source.h"
#include "verify/check.h"

static struct {
    const char *sums;
    uint64_t threads;
    bool quick, json;
} want;

static const rc_opt options[] = {
    { "sums", RC_OPT_CHOICE, "auto|check|write|off",
      "SHA256SUMS: compare it where there is one (auto, the default), insist on it, or write it",
      &want.sums, 0, 0 },
    { "quick", RC_OPT_FLAG, NULL, "sizes, heads of shards and small files only", &want.quick, 0,
      0 },
    { "threads", RC_OPT_U64, "N", "processors to use (default: all)", &want.threads, 1,
      RC_PAR_MAX_SLOTS },
    { "json", RC_OPT_FLAG, NULL, "print one JSON object instead", &want.json, 0, 0 },
    { 0 },
};

static const rc_cmd command = {
    .name = "check",
    .usage = "RESULT [--sums auto|check|write|off] [--quick]",
    .summary = "Says whether the bytes of a result are still those that were delivered.",
    .about =
        "Compares every byte with recast.json and its ledger, with a SHA256SUMS, and with what a\n"
        "hub, or its cache, calls a file: as many of them as there are. RESULT is a folder or a\n"
        "GGUF file. Nothing is interpreted, so it runs at the speed of the disk. It finds bytes,\n"
        "sizes and names that changed, what is missing and what was added, and says in which "
        "file,\n"
        "tensor and place. --sums write makes a SHA256SUMS for those who have no recast, of any\n"
        "folder; `sha256sum -c SHA256SUMS` reads it.\n\n"
        "  recast check DeepSeek-V4-Flash-FP8\n"
        "  recast check V4-Flash.gguf --quick\n"
        "  recast check DeepSeek-V4-Flash-FP8 --sums write     # before an upload\n"
        "  recast check hf://ORG/NAME                          # an upload, where it lies\n"
        "  recast check somebody/elses-download --sums check --json\n\n"
        "Exit status 0 when all is as it was, 80 when it is not; under --strict also when there\n"
        "are files that nobody knows.\n",
    .min_args = 1,
    .max_args = 1,
    .opts = options,
    .group = &rc_source_group,
};

static rc_sums_way sums_way(void)
{
    static const char *const words[] = { "auto", "check", "write", "off" };

    for (unsigned i = 0; want.sums && i < 4; i++)
        if (strcmp(want.sums, words[i]) == 0)
            return (rc_sums_way)i;
    return RC_SUMS_AUTO;
}

/* ------------------------------------------------------------------------------- text */

static void print_finding(const rc_finding *f)
{
    const rc_err *e = &f->what;

    printf("%-8s", rc_level_name(f->level));
    if (e->file[0])
        printf(" %s:", e->file);
    if (e->tensor[0])
        printf(" %s:", e->tensor);
    if (e->offset != RC_NO_OFFSET)
        printf(" @%" PRIu64 ":", e->offset);
    printf(" %s", e->msg);
    if (e->want[0])
        printf(" (want %s%s%s)", e->want, e->got[0] ? ", got " : "", e->got);
    putchar('\n');
    if (e->hint[0])
        printf("         %s\n", e->hint);
}

static void print_more(const rc_findings *findings)
{
    for (unsigned level = 0; level < RC_LEVELS; level++)
        if (findings->total[level] > RC_FINDINGS_KEPT)
            printf("%-8s and %" PRIu64 " more\n", rc_level_name((rc_level)level),
                   findings->total[level] - RC_FINDINGS_KEPT);
}

static void print_text(const rc_check_result *r, double seconds)
{
    char bytes[16], rate[16], took[24];

    for (size_t i = 0; i < r->findings.n; i++)
        print_finding(&r->findings.at[i]);
    print_more(&r->findings);
    printf("%zu files", r->files);
    if (r->tensors)
        printf(", %zu tensors", r->tensors);
    printf(", %s in %s (%s/s): %s\n", rc_human_bytes(bytes, r->nbytes),
           rc_human_time(took, seconds),
           rc_human_bytes(rate, seconds > 0 ? (uint64_t)((double)r->nbytes / seconds) : 0),
           r->findings.total[RC_FAULT] ? "DIFFERENT"
           : !r->compared              ? "there was nothing to compare them with"
           : want.quick                ? "sizes, heads and small files are as they were"
           : r->format == 1            ? "every tensor is as it was; format 1 knows of nothing else"
                                       : "every byte is as it was");
    if (r->wrote)
        printf("wrote %s, of %zu files\n", r->sums, r->by_sums);
}

/* ------------------------------------------------------------------------------- JSON */

static void put_finding(rc_jsonw *w, const rc_finding *f)
{
    const rc_err *e = &f->what;

    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "level", rc_level_name(f->level));
    rc_jsonw_kstr(w, "message", e->msg);
    rc_jsonw_kstr(w, "file", e->file);
    rc_jsonw_kstr(w, "tensor", e->tensor);
    rc_jsonw_key(w, "offset");
    if (e->offset != RC_NO_OFFSET)
        rc_jsonw_u64(w, e->offset);
    else
        rc_jsonw_null(w);
    rc_jsonw_kstr(w, "want", e->want);
    rc_jsonw_kstr(w, "got", e->got);
    rc_jsonw_kstr(w, "hint", e->hint);
    rc_jsonw_object_end(w);
}

static void put_sums(rc_jsonw *w, const rc_check_result *r)
{
    rc_jsonw_key(w, "sums");
    if (!r->sums[0]) {
        rc_jsonw_null(w);
        return;
    }
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "file", r->sums);
    rc_jsonw_kbool(w, "wrote", r->wrote);
    rc_jsonw_ku64(w, "files", r->by_sums);
    rc_jsonw_object_end(w);
}

static void put_result(rc_jsonw *w, const char *where, const rc_check_result *r, double seconds)
{
    rc_jsonw_kstr(w, "recast", RC_VERSION);
    rc_jsonw_kstr(w, "result", where);
    rc_jsonw_kbool(w, "equal", r->findings.total[RC_FAULT] == 0);
    rc_jsonw_kbool(w, "quick", want.quick);
    rc_jsonw_ku64(w, "manifests", r->manifests);
    rc_jsonw_key(w, "format");
    if (r->manifests)
        rc_jsonw_u64(w, r->format);
    else
        rc_jsonw_null(w);
    rc_jsonw_ku64(w, "files", r->files);
    rc_jsonw_ku64(w, "tensors", r->tensors);
    rc_jsonw_ku64(w, "bytes", r->nbytes);
    put_sums(w, r);
    rc_jsonw_ku64(w, "stated", r->by_stated);
    rc_jsonw_ku64(w, "faults", r->findings.total[RC_FAULT]);
    rc_jsonw_ku64(w, "warnings", r->findings.total[RC_WARNING]);
    rc_jsonw_key(w, "findings");
    rc_jsonw_array(w);
    for (size_t i = 0; i < r->findings.n; i++)
        put_finding(w, &r->findings.at[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_kf64(w, "seconds", seconds);
}

static rc_code print_json(const char *where, const rc_check_result *r, double seconds, rc_mem *mem,
                          rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *text;

    if (!w)
        return rc_fail_nomem(err, mem, 0);
    rc_jsonw_object(w);
    put_result(w, where, r, seconds);
    rc_jsonw_object_end(w);
    text = rc_jsonw_text(w, NULL);
    if (text)
        puts(text);
    rc_jsonw_free(&w);
    return text ? RC_OK : rc_fail_nomem(err, mem, 0);
}

/* --------------------------------------------------------------------------- command */

/* The worst of what was found is the error. */
static rc_code conclude(const rc_check_result *r, rc_err *err)
{
    const rc_finding *worst = rc_findings_worst(&r->findings);
    const uint64_t faults = r->findings.total[RC_FAULT];

    if (worst) {
        *err = worst->what;
        if (faults > 1)
            rc_err_hint(err, "%" PRIu64 " faults in all", faults);
        return err->code;
    }
    if (rc_cli.strict && r->findings.total[RC_WARNING])
        return rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "warnings are errors under --strict");
    return RC_OK;
}

static rc_code check(const char *where, rc_mem *mem, rc_err *err)
{
    rc_progress progress = { 0 };
    const rc_check_opts opts = { .sums = sums_way(),
                                 .quick = want.quick,
                                 .threads = want.threads ? (unsigned)want.threads : rc_par_cpus(),
                                 .progress = &progress };
    const double started = rc_now();
    rc_check_result result;
    rc_ticker *ticker = rc_ticker_start("checking", &progress);
    rc_code rc = rc_check(&result, where, &opts, rc_cmd_sources(), mem, err);

    rc_ticker_stop(&ticker);
    if (rc == RC_OK && want.json)
        rc = print_json(where, &result, rc_now() - started, mem, err);
    else if (rc == RC_OK && !rc_cli.quiet)
        print_text(&result, rc_now() - started);
    if (rc == RC_OK)
        rc = conclude(&result, err);
    rc_findings_free(&result.findings);
    return rc;
}

int rc_cmd_check(int argc, char **argv)
{
    rc_mem mem = { 0 };
    const char *where;
    unsigned nargs;
    rc_err err;
    int code = rc_cli_parse(&command, argc, argv, &where, &nargs);

    if (code >= 0)
        return code;
    if (want.quick && (sums_way() == RC_SUMS_CHECK || sums_way() == RC_SUMS_WRITE))
        return rc_cli_usage("--quick does not read whole files, as --sums %s has to", want.sums);
    return check(where, &mem, &err) == RC_OK ? 0 : rc_cli_fail(&err);
}
