/* verify/cmd_verify.c - `recast verify`: was anything lost? */
#include "verify/cmd_verify.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/base/cli.h"
#include "formats/base/io.h"
#include "formats/base/par.h"
#include "formats/base/target.h"
#include "kernels/cpu.h"
#include "verify/cmd_verify_print.h"
#include "verify/report.h"
#include "verify/thresholds.h"

enum { MAX_THREADS = 256, MAX_THRESHOLDS = 65536 /* bytes */ };
#define NOT_GIVEN (-HUGE_VAL) /* no number on a command line reads as this */

static struct {
    const char *json, *junit;
    uint64_t threads, mem_limit;
    rc_opt_list tensors, min_sqnr;
    const char *thresholds;
    double max_rel_err;
    bool allow_missing_draft;
    uint64_t sample, seed;
} want = { .max_rel_err = NOT_GIVEN };

static const rc_opt options[] = {
    { "json", RC_OPT_STR, "FILE", "write the full report, one JSON object", &want.json, 0, 0 },
    { "junit", RC_OPT_STR, "FILE", "write a JUnit report for CI", &want.junit, 0, 0 },
    { "tensors", RC_OPT_LIST, "GLOB", "compare only parameters that match (may be repeated)",
      &want.tensors, 0, 0 },
    { "min-sqnr", RC_OPT_LIST, "[ROLE=]DB",
      "accept loss: at least this SQNR for each parameter, or each of a role (may be repeated)",
      &want.min_sqnr, 0, 0 },
    { "thresholds", RC_OPT_STR, "FILE", "the same from a file, a line 'role = dB' for each",
      &want.thresholds, 0, 0 },
    { "max-rel-err", RC_OPT_F64, "X", "accept loss: at most this relative error for each parameter",
      &want.max_rel_err, 0, 0 },
    { "allow-missing-draft", RC_OPT_FLAG, NULL, "accept a conversion that left the draft out",
      &want.allow_missing_draft, 0, 0 },
    { "sample", RC_OPT_U64, "N", "compare only N parameters, drawn by chance, and read no others",
      &want.sample, 1, UINT32_MAX },
    { "seed", RC_OPT_U64, "S", "another S draws others (default: 0)", &want.seed, 0, 0 },
    { "threads", RC_OPT_U64, "N", "processors to use (default: all)", &want.threads, 1,
      MAX_THREADS },
    { "mem-limit", RC_OPT_SIZE, "BYTES", "memory to use at most, such as 512M", &want.mem_limit,
      1 << 20, 0 },
    { 0 },
};

static const rc_cmd command = {
    .name = "verify",
    .usage = "NATIVE CONVERTED [options]",
    .summary = "Compares a converted checkpoint with its original, value by value.",
    .about = "Every parameter of both sides is decoded, whatever its layout, and compared. It\n"
             "passes when every value is equal; --min-sqnr and --max-rel-err accept a measured\n"
             "loss instead; a role without a bound of its own must then be exact, unless\n"
             "--min-sqnr DB or --max-rel-err speaks for all. The config is checked for what\n"
             "loaders will make of it.\n\n"
             "Either side may be a GGUF file, or the first of a set.\n\n"
             "Exit status 0 when it passes, 1 when values or config differ, 82 when parameters\n"
             "are missing, extra or contradictory.\n\n"
             "  recast verify DeepSeek-V4-Flash DeepSeek-V4-Flash-FP8\n"
             "  recast verify DeepSeek-V4-Flash flash.gguf --min-sqnr expert=10 --min-sqnr 30\n",
    .min_args = 2,
    .max_args = 2,
    .opts = options,
};

/* the two folders */

/* Warnings while a side is opened: told at once with the side's name in front, and
 * kept for the report. */
struct sink {
    const char *where;
    rc_findings *list;
};

/* Bytes of `where` that stand before the names of its files: all, or a GGUF file's folder. */
static bool is_one_file(const char *where, size_t *folder)
{
    const char *slash = strrchr(where, '/');
    struct stat st;

    *folder = slash ? (size_t)(slash + 1 - where) : 0;
    return stat(where, &st) == 0 && S_ISREG(st.st_mode);
}

static const char *in_folder(char path[512], const char *where, const char *file)
{
    size_t folder;

    if (strcmp(file, where) == 0 || !file[0])
        snprintf(path, 512, "%s", where);
    else if (is_one_file(where, &folder))
        snprintf(path, 512, "%.*s%s", (int)folder, where, file);
    else
        snprintf(path, 512, "%s/%s", where, file);
    return path;
}

static void keep_warning(void *ctx, const rc_err *warning)
{
    const struct sink *s = ctx;
    rc_err told = *warning, *kept;
    char path[512];

    told.file[0] = '\0'; /* rc_err_file() keeps the first answer */
    rc_err_file(&told, in_folder(path, s->where, warning->file));
    kept = rc_findings_add(s->list, RC_WARNING, RC_OK, "input", NULL, NULL, "%s", told.msg);
    if (kept)
        *kept = told;
    rc_cli_log()->warn(rc_cli_log()->ctx, &told);
}

static rc_code open_side(rc_subject *out, const char *where, rc_findings *list, rc_mem *mem,
                         rc_err *err)
{
    struct sink sink = { where, list };
    const rc_log log = { keep_warning, &sink };
    char path[512];
    const rc_code rc = rc_subject_open(out, where, &log, mem, err);

    if (rc != RC_OK && strncmp(err->file, where, strlen(where)) != 0) {
        in_folder(path, where, err->file);
        err->file[0] = '\0';
        rc_err_file(err, path);
    }
    return rc;
}

static bool is_same_folder(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* report files */

static rc_code write_json(const rc_target *t, const rc_outcome *o, rc_mem *mem, rc_err *err)
{
    rc_jsonw *w;
    const char *text;
    size_t len;
    rc_code rc;

    if (!t->name)
        return RC_OK;
    w = rc_jsonw_new(mem, 2);
    if (!w)
        return rc_fail_nomem(err, mem, 0);
    rc_report_json(w, o);
    text = rc_jsonw_text(w, &len);
    rc = text ? rc_dir_put(&t->dir, t->name, text, len, err) : rc_fail_nomem(err, mem, 0);
    rc_jsonw_free(&w);
    return rc;
}

/* Any of the others. */
static rc_code write_report(const rc_target *t, rc_report_fn *report, const rc_outcome *o,
                            rc_mem *mem, rc_err *err)
{
    char *text;
    size_t len;
    rc_code rc;

    if (!t->name)
        return RC_OK;
    rc = report(&text, &len, o, mem, err);
    if (rc == RC_OK)
        rc = rc_dir_put(&t->dir, t->name, text, len, err);
    rc_mem_put(mem, text);
    return rc;
}

/* the terminal */

static void tell_speed(const rc_judge *judge, double seconds)
{
    rc_judge_role roles[RC_ROLE_COUNT], all;
    char a[16], b[16], c[24], d[RC_FIGURE];

    if (rc_cli.quiet || seconds < 1)
        return;
    rc_judge_roles(judge, roles, &all);
    fprintf(stderr, "compared %s in %s: %s/s, %s values/s\n",
            rc_human_bytes(a, rc_judge_nbytes(judge)), rc_human_time(c, seconds),
            rc_human_bytes(b, (uint64_t)((double)rc_judge_nbytes(judge) / seconds)),
            rc_figure_params(d, (uint64_t)((double)all.values / seconds)));
}

/* the command */

static rc_code compare(rc_judge *judge, rc_err *err)
{
    rc_progress progress = { .total = rc_judge_nbytes(judge) };
    rc_ticker *ticker = rc_ticker_start("comparing", &progress);
    const unsigned threads = want.threads ? (unsigned)want.threads : rc_par_cpus();
    const double started = rc_now();
    const rc_code rc = rc_judge_run(judge, threads, &progress.done, err);

    rc_ticker_stop(&ticker);
    if (rc == RC_OK)
        tell_speed(judge, rc_now() - started);
    return rc;
}

static rc_code answer(rc_judge *judge, const rc_findings *input, const rc_target *json,
                      const rc_target *junit, rc_mem *mem, rc_err *err)
{
    rc_findings *findings = rc_judge_findings(judge);
    char says[300];
    rc_judge_sample sample;
    rc_outcome outcome = { .judge = judge, .findings = findings, .first_differing = -1 };

    outcome.sample = rc_judge_sample_says(judge, says, sizeof says);
    if (rc_judge_sampled(judge, &sample)) {
        outcome.sampled = sample.params;
        outcome.sampled_of = sample.of;
    }
    for (size_t i = 0; i < input->n; i++) {
        rc_err *kept = rc_findings_add(findings, RC_WARNING, RC_OK, "input", NULL, NULL, "%s", "");

        if (kept)
            *kept = input->at[i].what;
    }
    rc_verify_print(&outcome);
    if (fflush(stdout) != 0 && errno != EPIPE) { /* before the reports, which may fail too */
        rc_fail_errno(err, errno, "cannot write to standard output");
        return rc_recode(err, RC_E_IO);
    }
    RC_TRY(write_json(json, &outcome, mem, err));
    RC_TRY(write_report(junit, rc_report_junit, &outcome, mem, err));
    RC_TRY(rc_outcome_status(&outcome, err));
    if (rc_cli.strict && rc_cli_warned())
        return rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "warnings are errors under --strict");
    return RC_OK;
}

/* The command line's words, which `t` holds, and the file's lines as rules; words win. */
static rc_code read_rules(rc_judge_rules *rules, rc_thresholds t, rc_mem *mem, rc_err *err)
{
    const bool rel = want.max_rel_err != NOT_GIVEN;
    rc_target file = RC_TARGET_NONE;
    char *text = NULL;
    size_t len;

    if (want.thresholds) {
        rc_code rc = rc_target_open(&file, want.thresholds, err);

        if (rc == RC_OK)
            rc = rc_dir_slurp(&file.dir, file.name, MAX_THRESHOLDS, &text, &len, mem, err);
        if (rc == RC_OK)
            rc = rc_thresholds_file(&t, text, len, err);
        rc_mem_put(mem, text);
        rc_target_close(&file);
        if (rc != RC_OK) {
            rc_err_file(err, want.thresholds);
            return rc == RC_E_CANTCREATE ? rc_recode(err, RC_E_NOINPUT) : rc;
        }
    }
    *rules = (rc_judge_rules){ .globs = want.tensors.at,
                               .nglobs = want.tensors.n,
                               .lossy = t.given || rel,
                               .max_rel_err = rel ? want.max_rel_err : HUGE_VAL,
                               .allow_missing_draft = want.allow_missing_draft,
                               .sample = want.sample,
                               .seed = want.seed };
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++) {
        const double db = rc_thresholds_of(&t, (rc_role)r);

        rules->min_sqnr[r] = rel && isinf(db) && !t.set[r] ? -HUGE_VAL : db;
    }
    return RC_OK;
}

static rc_code verify(const char *const folder[2], rc_thresholds words, rc_mem *mem, rc_err *err)
{
    rc_judge_rules rules;
    rc_target json = RC_TARGET_NONE, junit = RC_TARGET_NONE;
    rc_findings input = { .mem = mem };
    rc_subject side[2] = { 0 };
    rc_judge *judge = NULL;
    rc_code rc;

    RC_TRY_GOTO(rc, done, read_rules(&rules, words, mem, err));
    RC_TRY_GOTO(rc, done, rc_target_open(&json, want.json, err));
    RC_TRY_GOTO(rc, done, rc_target_open(&junit, want.junit, err));
    for (unsigned i = 0; i < 2; i++)
        RC_TRY_GOTO(rc, done, open_side(&side[i], folder[i], &input, mem, err));
    RC_TRY_GOTO(rc, done, rc_judge_new(&judge, &side[0], &side[1], &rules, mem, err));
    RC_TRY_GOTO(rc, done, compare(judge, err));
    rc = answer(judge, &input, &json, &junit, mem, err);
done:
    rc_judge_free(&judge);
    rc_subject_close(&side[0]);
    rc_subject_close(&side[1]);
    rc_findings_free(&input);
    rc_target_close(&json);
    rc_target_close(&junit);
    return rc;
}

int rc_cmd_verify(int argc, char **argv)
{
    rc_thresholds words = RC_THRESHOLDS_NONE;
    rc_mem mem = { 0 };
    const char *folder[2];
    unsigned nargs;
    rc_err err;
    const int code = rc_cli_parse(&command, argc, argv, folder, &nargs);

    if (code >= 0)
        return code;
    if (want.max_rel_err != NOT_GIVEN && want.max_rel_err < 0)
        return rc_cli_usage("--max-rel-err: an error is not negative");
    if (want.seed && !want.sample)
        return rc_cli_usage("--seed: nothing is drawn without --sample N");
    for (unsigned i = 0; i < want.min_sqnr.n; i++)
        if (rc_thresholds_word(&words, want.min_sqnr.at[i], &err) != RC_OK)
            return rc_cli_usage("--min-sqnr: %s%s%s", err.msg, err.hint[0] ? "; " : "", err.hint);
    if (is_same_folder(folder[0], folder[1]))
        return rc_cli_usage("NATIVE and CONVERTED are the same folder or file");
    if (rc_cli.cpu && !rc_cpu_force(rc_cli.cpu))
        return rc_cli_usage("--cpu %s: this machine has no such instructions", rc_cli.cpu);
    mem.limit = (size_t)want.mem_limit;
    return verify(folder, words, &mem, &err) == RC_OK ? 0 : rc_cli_fail(&err);
}
