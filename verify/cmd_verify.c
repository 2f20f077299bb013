/* verify/cmd_verify.c - `recast verify`: was anything lost?
 *
 *     NATIVE CONVERTED            values; with --logits what the two say about a text, too
 *     NATIVE --record FILE        what NATIVE says, kept for later
 *     --golden FILE CONVERTED     that, held against CONVERTED
 *
 * Here is the command line; cmd_verify_measure.c does the work, cmd_verify_print.c is the terminal,
 * cmd_verify_files.c the reports. */
#include "verify/cmd_verify.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/cmd_source.h"
#include "kernels/cpu.h"
#include "runtime/prompt.h"
#include "verify/cmd_verify_impl.h"
#include "verify/cmd_verify_print.h"

enum { MAX_THREADS = 256 };
#define THRESHOLD 0.1 /* relative error of a layer's streams that is worth a mark */

typedef rc_verify_session session;

static rc_verify_words want = { .max_rel_err = RC_NOT_GIVEN, .threshold = THRESHOLD };

static const rc_opt options[] = {
    { "logits", RC_OPT_FLAG, NULL,
      "also compare what the two say about a text: KL divergence, top tokens, perplexity",
      &want.logits, 0, 0 },
    { "text", RC_OPT_STR, "FILE", "the text; - is standard input", &want.text.text, 0, 0 },
    { "tokens", RC_OPT_STR, "FILE", "the text as token ids, decimal: needs no tokenizer",
      &want.text.tokens, 0, 0 },
    { "ctx", RC_OPT_U64, "N", "tokens in a window of the text (2048, or all of a shorter text)",
      &want.text.ctx, 2, 1u << 24 },
    { "stride", RC_OPT_U64, "N", "a window begins every N tokens (ctx: end to end)",
      &want.text.stride, 1, 1u << 24 },
    { "skip", RC_OPT_U64, "N", "the first N positions of a window are context only (0)",
      &want.text.skip, 0, 1u << 24 },
    { "bos", RC_OPT_FLAG, NULL, "begin each window with BOS even if the tokenizer does not",
      &want.text.bos, 0, 0 },
    { "numerics", RC_OPT_CHOICE, "f32|native",
      "f32: activations in float; native: rounded as the reference does (f32)", &want.numerics, 0,
      0 },
    { "layers", RC_OPT_FLAG, NULL,
      "compare hidden states after every sublayer, and the experts and blocks chosen", &want.layers,
      0, 0 },
    { "threshold", RC_OPT_F64, "X", "relative error of a layer that is worth a mark (0.1)",
      &want.threshold, 0, 0 },
    { "ablate", RC_OPT_FLAG, NULL,
      "put groups of parameters back to NATIVE, and say which are to blame", &want.ablate, 0, 0 },
    { "record", RC_OPT_STR, "FILE", "keep what NATIVE says about the text in a golden file",
      &want.files.record, 0, 0 },
    { "top-k", RC_OPT_STR, "N|all", "with --record: logits to keep of each position (32)",
      &want.top_k, 0, 0 },
    { "revision", RC_OPT_STR, "ID", "with --record: NATIVE's revision, to be kept in the file",
      &want.revision, 0, 0 },
    { "golden", RC_OPT_STR, "FILE", "compare CONVERTED with a golden file instead of NATIVE",
      &want.golden, 0, 0 },
    { "max-kl", RC_OPT_STR, "X", "gate: mean KL divergence at most X nats", &want.bound[RC_GATE_KL],
      0, 0 },
    { "max-kl-p99", RC_OPT_STR, "X", "gate: its 99th percentile", &want.bound[RC_GATE_KL_P99], 0,
      0 },
    { "min-top1", RC_OPT_STR, "X", "gate: share of positions with the same top token, 0.98 or 98%",
      &want.bound[RC_GATE_TOP1], 0, 0 },
    { "max-ppl-ratio", RC_OPT_STR, "X", "gate: perplexity of CONVERTED over NATIVE's",
      &want.bound[RC_GATE_PPL_RATIO], 0, 0 },
    { "min-sqnr", RC_OPT_LIST, "[ROLE=]DB",
      "gate: at least this SQNR for each parameter, or each of a role (may be repeated)",
      &want.min_sqnr, 0, 0 },
    { "max-rel-err", RC_OPT_F64, "X", "gate: at most this relative error for each parameter",
      &want.max_rel_err, 0, 0 },
    { "gate", RC_OPT_STR, "FILE", "gates from a file, a line 'max-kl = 0.01' for each", &want.gate,
      0, 0 },
    { "thresholds", RC_OPT_STR, "FILE", "SQNR gates from a file, a line 'role = dB' for each",
      &want.thresholds, 0, 0 },
    { "allow-missing-draft", RC_OPT_FLAG, NULL, "accept a conversion that left the draft out",
      &want.allow_missing_draft, 0, 0 },
    { "json", RC_OPT_STR, "FILE", "write the full report, one JSON object", &want.files.json, 0,
      0 },
    { "junit", RC_OPT_STR, "FILE", "write a JUnit report for CI", &want.files.junit, 0, 0 },
    { "html", RC_OPT_STR, "FILE", "write one page to look at, with plots", &want.files.html, 0, 0 },
    { "md", RC_OPT_STR, "FILE", "write Markdown for a model card", &want.files.md, 0, 0 },
    { "ci", RC_OPT_FLAG, NULL, "also print annotations in the manner of GitHub Actions", &want.ci,
      0, 0 },
    { "tensors", RC_OPT_LIST, "GLOB", "compare only parameters that match (may be repeated)",
      &want.tensors, 0, 0 },
    { "sample", RC_OPT_U64, "N", "compare only N parameters, drawn by chance, and read no others",
      &want.sample, 1, UINT32_MAX },
    { "seed", RC_OPT_U64, "S", "another S draws others (default: 0)", &want.seed, 0, 0 },
    { "skip-tensors", RC_OPT_FLAG, NULL, "with --logits: do not compare values", &want.skip_tensors,
      0, 0 },
    { "threads", RC_OPT_U64, "N", "processors to use (default: all)", &want.threads, 1,
      MAX_THREADS },
    { "mem-limit", RC_OPT_SIZE, "BYTES", "memory to use at most, such as 512M", &want.mem_limit,
      1 << 20, 0 },
    { "scratch", RC_OPT_STR, "DIR", "folder for state that does not fit (TMPDIR, or /var/tmp)",
      &want.scratch, 0, 0 },
    { 0 },
};

static const rc_cmd command = {
    .name = "verify",
    .usage = "NATIVE CONVERTED [options] | NATIVE --record FILE | --golden FILE CONVERTED",
    .summary = "Compares a converted checkpoint with its original: values, and what it says.",
    .about = "Every parameter of both sides is decoded, whatever its layout, and compared. It\n"
             "passes when every value is equal. The config is checked for what loaders will make\n"
             "of it. Either side may be a GGUF file, or the first of a set.\n\n"
             "--logits runs both models side by side on a text and reports how far apart their\n"
             "predictions are; --layers and --ablate say where that comes from. --record keeps\n"
             "NATIVE's predictions in a file of a few megabytes, which --golden takes instead of\n"
             "the native weights, in a CI job.\n\n"
             "Gates accept a measured loss: what has a gate passes when that holds. Where only\n"
             "some roles have an SQNR gate and behaviour has none, the others must be exact.\n\n"
             "Exit status 0 when it passes, 1 when values, config or behaviour differ or a gate\n"
             "does not hold, 82 when parameters are missing, extra or contradictory.\n\n"
             "  recast verify DeepSeek-V4-Flash DeepSeek-V4-Flash-FP8\n"
             "  recast verify DeepSeek-V4-Flash flash.gguf --min-sqnr expert=10 --min-sqnr 30\n"
             "  recast verify DeepSeek-V4-Flash flash.gguf --logits --text wiki.txt --layers \\\n"
             "      --max-kl 0.05 --min-top1 95% --html report.html\n"
             "  recast verify DeepSeek-V4-Flash --record flash.rgf --text wiki.txt\n"
             "  recast verify --golden flash.rgf flash.gguf --max-kl 0.05 --junit kl.xml\n",
    .min_args = 1,
    .max_args = 2,
    .opts = options,
    .group = &rc_source_group,
};

/* -- gates ----------------------------------------------------------------- */

/* The words are in already: they win over both files. */
static rc_code read_gate_files(session *s, rc_err *err)
{
    const char *const path[2] = { want.gate, want.thresholds };

    for (unsigned i = 0; i < 2; i++) {
        rc_text text = { .mem = &s->mem };
        rc_code rc;

        if (!path[i])
            continue;
        rc = rc_prompt_file(&text, path[i], err);
        if (rc == RC_OK)
            rc = i == 0 ? rc_gates_file(&s->gates, text.at, text.len, err)
                        : rc_thresholds_file(&s->gates.sqnr, text.at, text.len, err);
        if (rc != RC_OK)
            rc_err_file(err, path[i]);
        rc_text_free(&text);
        RC_TRY(rc);
    }
    return RC_OK;
}

/* A gate that nothing is held against would pass whatever comes. The words were looked at already.
 */
static rc_code require_measured(const session *s, rc_err *err)
{
    const bool behaviour = want.logits || want.golden, values = !want.golden && !want.skip_tensors;
    const bool sqnr = s->gates.sqnr.given && !values;

    if (!sqnr && (behaviour || !rc_gates_any(&s->gates)))
        return RC_OK;
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "a gate of %s, which %s not measured",
            sqnr ? "values" : "behaviour", sqnr ? "are" : "is");
    rc_err_file(err, want.gate);
    rc_err_hint(err, sqnr ? "min-sqnr needs NATIVE and CONVERTED, and no --skip-tensors"
                          : "gates of behaviour need --logits or --golden");
    return RC_E_USAGE;
}

/* -- the answer ------------------------------------------------------------ */

/* What was said while the sides were opened belongs to the findings, too. */
static void collect_findings(session *s)
{
    rc_findings *findings = s->judge ? rc_judge_findings(s->judge) : NULL;

    for (size_t i = 0; findings && i < s->input.n; i++) {
        rc_err *kept = rc_findings_add(findings, RC_WARNING, RC_OK, "input", NULL, NULL, "%s", "");

        if (kept)
            *kept = s->input.at[i].what;
    }
    s->outcome.findings = findings ? findings : &s->input;
}

static rc_code answer(session *s, rc_err *err)
{
    rc_outcome *o = &s->outcome;
    rc_judge_sample sample;

    collect_findings(s);
    o->judge = s->judge;
    o->windows = o->behaviour ? &s->windows : NULL;
    o->bpe = s->bpe;
    o->gates = &s->gates;
    o->sample = s->judge ? rc_judge_sample_says(s->judge, s->sample, sizeof s->sample) : "";
    if (s->judge && rc_judge_sampled(s->judge, &sample)) {
        o->sampled = sample.params;
        o->sampled_of = sample.of;
    } else {
        o->sample = NULL;
    }
    if (o->behaviour)
        o->ngates = rc_gates_hold(&s->gates, o->behaviour, o->gate);
    rc_verify_print(o);
    if (want.ci)
        RC_TRY(rc_verify_annotate(o, &s->mem, err));
    if (fflush(stdout) != 0 && errno != EPIPE) { /* before the reports, which may fail too */
        rc_fail_errno(err, errno, "cannot write to standard output");
        return rc_recode(err, RC_E_IO);
    }
    RC_TRY(rc_verify_files_write(&s->files, o, &s->mem, err));
    RC_TRY(rc_outcome_status(o, err));
    if (rc_cli.strict && rc_cli_warned())
        return rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "warnings are errors under --strict");
    return RC_OK;
}

static void tell_recorded(const session *s)
{
    struct stat st;
    char size[16];

    if (!rc_cli.quiet && stat(want.files.record, &st) == 0)
        printf("recorded %zu positions of %s: %s, %s\n", s->windows.scored, s->outcome.from.text,
               want.files.record, rc_human_bytes(size, (uint64_t)st.st_size));
}

static rc_code verify(session *s, rc_err *err)
{
    RC_TRY(read_gate_files(s, err));
    RC_TRY(require_measured(s, err));
    RC_TRY(rc_verify_files_open(&s->files, &want.files, err));
    RC_TRY(rc_verify_measure(s, err));
    if (!want.files.record) {
        const rc_code rc = answer(s, err);

        if (s->cut.code != RC_E_STOPPED)
            return rc;
        *err = s->cut;
        return RC_E_STOPPED;
    }
    tell_recorded(s);
    return RC_OK;
}

static void end(session *s)
{
    rc_twin_free(&s->twin); /* before what it borrows */
    rc_ablation_free(&s->ablation, &s->mem);
    rc_golden_result_free(&s->result, &s->mem);
    rc_golden_close(&s->golden);
    rc_windows_free(&s->windows);
    rc_mem_put(&s->mem, s->ids.at);
    rc_bpe_free(&s->bpe);
    rc_judge_free(&s->judge);
    rc_subject_close(&s->side[0]);
    rc_subject_close(&s->side[1]);
    rc_findings_free(&s->input);
    rc_text_free(&s->command);
    rc_verify_files_close(&s->files);
}

/* -- the command line ------------------------------------------------------ */

static bool is_same_folder(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Is there a reason to run a model? */
static bool runs_text(void)
{
    return want.logits || want.files.record;
}

/* Below 0: they go together. */
static int check_modes(unsigned nargs)
{
    const bool text = want.text.text || want.text.tokens;

    if (want.files.record && want.golden)
        return rc_cli_usage("--record makes a golden file, --golden takes one: not both");
    if ((want.files.record || want.golden) && nargs != 1)
        return rc_cli_usage(want.files.record ? "--record takes NATIVE alone"
                                              : "--golden takes CONVERTED alone");
    if (!want.files.record && !want.golden && nargs != 2)
        return rc_cli_usage("give NATIVE and CONVERTED, or one of them with --record or --golden");
    if (want.text.text && want.text.tokens)
        return rc_cli_usage("give --text or --tokens, not both");
    if (runs_text() && !text)
        return rc_cli_usage("%s needs a text: --text FILE or --tokens FILE",
                            want.files.record ? "--record" : "--logits");
    if (text && !runs_text())
        return rc_cli_usage(want.golden ? "--golden has its own text"
                                        : "a text is read with --logits or --record only");
    return -1;
}

/* What is about values; NULL when none of it was given. */
static const char *value_option(void)
{
    return want.min_sqnr.n                    ? "min-sqnr"
           : want.max_rel_err != RC_NOT_GIVEN ? "max-rel-err"
           : want.thresholds                  ? "thresholds"
           : want.sample                      ? "sample"
           : want.tensors.n                   ? "tensors"
                                              : NULL;
}

static int check_record(void)
{
    const rc_verify_paths *f = &want.files;

    if (want.files.record && (f->json || f->junit || f->html || f->md || want.ci))
        return rc_cli_usage("--record judges nothing: there is nothing to report");
    if (want.files.record && want.gate)
        return rc_cli_usage("--record judges nothing: no --gate");
    return -1;
}

static int check_measures(void)
{
    const char *values = value_option();
    rc_gates any = RC_GATES_NONE;

    for (unsigned i = 0; i < RC_GATE_KINDS; i++)
        any.set[i] = want.bound[i] != NULL;
    if (!want.logits && (want.ablate || want.skip_tensors))
        return rc_cli_usage("%s goes with --logits", want.ablate ? "--ablate" : "--skip-tensors");
    if (!want.logits && !want.golden && want.layers) /* a golden file always has them */
        return rc_cli_usage("--layers goes with --logits or --golden");
    if (!want.logits && !want.golden && rc_gates_any(&any))
        return rc_cli_usage("gates of behaviour need --logits or --golden");
    if (values && (want.golden || want.files.record || want.skip_tensors))
        return rc_cli_usage("--%s: values are not compared with --%s", values,
                            want.golden         ? "golden"
                            : want.files.record ? "record"
                                                : "skip-tensors");
    if (want.ablate && (want.skip_tensors || want.sample || want.tensors.n))
        return rc_cli_usage("--ablate needs all values compared: no --%s",
                            want.skip_tensors ? "skip-tensors"
                            : want.sample     ? "sample"
                                              : "tensors");
    if ((want.top_k || want.revision) && !want.files.record)
        return rc_cli_usage("--top-k and --revision go with --record");
    if (want.numerics && want.golden)
        return rc_cli_usage("--golden: the file says in which numerics it was recorded");
    if (want.seed && !want.sample)
        return rc_cli_usage("--seed: nothing is drawn without --sample N");
    if (want.max_rel_err != RC_NOT_GIVEN && want.max_rel_err < 0)
        return rc_cli_usage("--max-rel-err: an error is not negative");
    if (want.threshold <= 0)
        return rc_cli_usage("--threshold: above 0");
    return -1;
}

static int read_words(rc_gates *gates)
{
    rc_err err;

    for (unsigned i = 0; i < want.min_sqnr.n; i++)
        if (rc_thresholds_word(&gates->sqnr, want.min_sqnr.at[i], &err) != RC_OK)
            return rc_cli_usage("--min-sqnr: %s%s%s", err.msg, err.hint[0] ? "; " : "", err.hint);
    for (unsigned i = 0; i < RC_GATE_KINDS; i++)
        if (want.bound[i] &&
            rc_gates_set(gates, (rc_gate_kind)i, want.bound[i], true, &err) != RC_OK)
            return rc_cli_usage("--%s: %s%s%s", rc_gate_name((rc_gate_kind)i), err.msg,
                                err.hint[0] ? "; " : "", err.hint);
    return -1;
}

int rc_cmd_verify(int argc, char **argv)
{
    session s = { .want = &want, .gates = RC_GATES_NONE, .files = RC_VERIFY_FILES_NONE };
    const char *where[2] = { 0 };
    unsigned nargs;
    rc_err err = { 0 };
    int code = rc_cli_parse(&command, argc, argv, where, &nargs);
    rc_code rc;

    if (code < 0)
        code = check_modes(nargs);
    if (code < 0)
        code = check_measures();
    if (code < 0)
        code = check_record();
    if (code < 0)
        code = read_words(&s.gates);
    if (code >= 0)
        return code;
    if (nargs == 2 && is_same_folder(where[0], where[1]))
        return rc_cli_usage("NATIVE and CONVERTED are the same folder or file");
    if (rc_cli.cpu && !rc_cpu_force(rc_cli.cpu))
        return rc_cli_usage("--cpu %s: this machine has no such instructions", rc_cli.cpu);
    s.where[0] = want.golden ? NULL : where[0];
    s.where[1] = want.golden ? where[0] : where[1];
    s.sources = rc_cmd_sources();
    want.numerics = want.numerics ? want.numerics : "f32";
    s.mem.limit = (size_t)want.mem_limit;
    s.input.mem = s.command.mem = &s.mem;
    rc_verify_command(&s.command, argc, argv);
    s.outcome.from.command = s.command.at;
    rc = verify(&s, &err);
    end(&s);
    return rc == RC_OK ? 0 : rc_cli_fail(&err);
}
