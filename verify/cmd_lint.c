/* verify/cmd_lint.c - `recast lint`: will an engine's loader take this model?
 *
 * --json prints one object. Its keys are an interface and only ever grow:
 *
 *   recast    version of the program
 *   source    the folder or file as named on the command line
 *   tp        ranks of --tp, or null
 *   accepted  true when every engine that was named accepts (none named: at least one)
 *   engines   [{engine, accepted, worst, warnings, failures, rules}]
 *     rules   [{id, verdict, catches, message, file, tensor, want, got, count, hint,
 *               source {repo, path, version}}]; verdict is "ok", "note", "warning", "fails" or
 *             "skipped"; count says for how many tensors or keys it holds
 *
 * With --rules: {recast, engines: [{engine, rules: [{id, catches, source}]}]} instead. */
#include "verify/cmd_lint.h"

#include <stdio.h>
#include <string.h>

#include "formats/base/cli.h"
#include "formats/base/json.h"
#include "formats/cmd_source.h"
#include "verify/lint.h"

#define ENGINES "vllm|sglang|llama.cpp|ds4|all"
#define MAX_TP  4096u

static struct {
    rc_opt_list engines;
    uint64_t tp;
    bool json, verbose, rules;
} want;

static const rc_opt options[] = {
    { "for", RC_OPT_LIST, ENGINES,
      "judge for this engine (may be repeated); without it: for all that read such files",
      &want.engines, 0, 0 },
    { "tp", RC_OPT_U64, "N", "tensor-parallel ranks that the engine is to be started with",
      &want.tp, 1, MAX_TP },
    { "verbose", RC_OPT_FLAG, NULL, "list every rule, those that found nothing too", &want.verbose,
      0, 0 },
    { "rules", RC_OPT_FLAG, NULL, "list the rules and their sources, and judge nothing",
      &want.rules, 0, 0 },
    { "json", RC_OPT_FLAG, NULL, "print one JSON object instead", &want.json, 0, 0 },
    { 0 },
};

static const rc_cmd command = {
    .name = "lint",
    .usage = "MODEL [--for ENGINE].. [--tp N]",
    .summary = "Says whether an engine's loader will take a model, rule by rule.",
    .about =
        "Reads headers and config.json, or the keys of a GGUF file: a few megabytes of any model,\n"
        "hollow ones too. A rule fails when the loader refuses the model or loads garbage without\n"
        "a word; a warning is for what some versions stumble over. Each rule names what it saw,\n"
        "what to do, and with --verbose where it was read; docs/lint.md has them all.\n\n"
        "  recast lint DeepSeek-V4-Flash-FP8 --for vllm --tp 8\n"
        "  recast lint V4-Flash.gguf --for llama.cpp --for ds4\n"
        "  recast lint hf://somebody/elses-upload          # who reads it, and what is wrong?\n"
        "  recast lint V4-Flash-FP8 --for vllm --strict    # before an upload, in CI\n"
        "  recast lint --rules --for sglang\n\n"
        "Exit status 0 when every named engine accepts the model (none named: when one does), 1\n"
        "when a rule fails, 82 under --strict when there are warnings.\n",
    .min_args = 0,
    .max_args = 1,
    .opts = options,
    .group = &rc_source_group,
};

/* An engine's findings. */
typedef struct verdicts {
    rc_lint_finding *at;
    size_t n, warnings, failures;
    rc_lint_verdict worst;
} verdicts;

/* ---------------------------------------------------------------------- which engines */

static bool named(rc_engine engine)
{
    for (unsigned i = 0; i < want.engines.n; i++)
        if (strcmp(want.engines.at[i], "all") == 0 ||
            strcmp(want.engines.at[i], rc_engine_name(engine)) == 0)
            return true;
    return false;
}

/* 64 for an engine that nobody knows, else 0. */
static int check_engines(void)
{
    char shown[64];

    for (unsigned i = 0; i < want.engines.n; i++) {
        const char *name = want.engines.at[i];
        bool known = strcmp(name, "all") == 0;

        for (unsigned k = 0; k < RC_ENGINES; k++)
            known = known || strcmp(name, rc_engine_name((rc_engine)k)) == 0;
        if (!known)
            return rc_cli_usage("--for %s: want one of " ENGINES,
                                rc_escape(shown, sizeof shown, name, strlen(name)));
    }
    return 0;
}

static bool is_judged(const rc_lint_facts *facts, rc_engine engine)
{
    return want.engines.n ? named(engine) : rc_lint_reads(facts, engine);
}

/* --------------------------------------------------------------------------- judging */

static rc_code judge(verdicts *v, const rc_lint_facts *facts, rc_engine engine, rc_mem *mem,
                     rc_err *err)
{
    (void)rc_lint_rules(engine, &v->n);
    v->at = rc_mem_get(mem, v->n * sizeof *v->at);
    if (!v->at)
        return rc_fail_nomem(err, mem, v->n * sizeof *v->at);
    v->worst = rc_lint_judge(v->at, facts, engine);
    for (size_t i = 0; i < v->n; i++) {
        v->warnings += v->at[i].verdict == RC_LINT_WARNING;
        v->failures += v->at[i].verdict == RC_LINT_FAILS;
    }
    return RC_OK;
}

/* What is said of all engines together: one that was named and fails, fails; with none named one
 * that accepts is enough. */
static bool all_accept(const verdicts v[RC_ENGINES])
{
    bool any = false, all = true;

    for (unsigned i = 0; i < RC_ENGINES; i++)
        if (v[i].at) {
            any = any || !v[i].failures;
            all = all && !v[i].failures;
        }
    return want.engines.n ? all : any;
}

/* ------------------------------------------------------------------------------- text */

static void print_count(size_t n, const char *what)
{
    printf(", %zu %s%s", n, what, n == 1 ? "" : "s");
}

static void print_engine(rc_engine engine, const verdicts *v)
{
    printf("%-10s%s", rc_engine_name(engine), v->failures ? "FAILS" : "accepts");
    if (v->failures)
        printf(": %zu of %zu rules", v->failures, v->n);
    else
        printf(": %zu rules", v->n);
    if (v->warnings)
        print_count(v->warnings, "warning");
    putchar('\n');
}

static void print_evidence(const rc_lint_finding *f)
{
    const rc_err *e = &f->what;
    const char *colon = e->file[0] && e->tensor[0] ? ": " : "";

    if (e->file[0] || e->tensor[0]) {
        printf("             %s%s%s", e->file, colon, e->tensor);
        if (f->count > 1)
            printf(" and %zu more", f->count - 1);
        putchar('\n');
    } else if (f->count > 1) {
        printf("             and %zu more like it\n", f->count - 1);
    }
    if (e->want[0])
        printf("             want %s%s%s\n", e->want, e->got[0] ? ", got " : "", e->got);
    if (e->hint[0])
        printf("             do: %s\n", e->hint);
}

static void print_finding(const rc_lint_finding *f)
{
    const rc_lint_source *s = f->rule->source;

    printf("  %-8s %s", rc_lint_verdict_name(f->verdict), f->rule->id);
    if (f->what.msg[0])
        printf(": %s", f->what.msg);
    putchar('\n');
    if (f->count)
        print_evidence(f);
    if (want.verbose)
        printf("             %s: %s (%s)\n", s->repo, s->path, s->version);
}

/* Interesting: what fails or warns; with one engine asked for, its notes too. */
static bool is_shown(const rc_lint_finding *f)
{
    if (want.verbose)
        return true;
    return f->verdict >= (want.engines.n ? RC_LINT_NOTE : RC_LINT_WARNING);
}

static void print_all(const verdicts v[RC_ENGINES])
{
    for (unsigned k = 0; k < RC_ENGINES; k++) {
        if (!v[k].at)
            continue;
        print_engine((rc_engine)k, &v[k]);
        for (size_t i = 0; i < v[k].n; i++)
            if (is_shown(&v[k].at[i]))
                print_finding(&v[k].at[i]);
    }
}

/* ------------------------------------------------------------------------------- JSON */

static void put_source(rc_jsonw *w, const rc_lint_source *s)
{
    rc_jsonw_key(w, "source");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "repo", s->repo);
    rc_jsonw_kstr(w, "path", s->path);
    rc_jsonw_kstr(w, "version", s->version);
    rc_jsonw_object_end(w);
}

static void put_finding(rc_jsonw *w, const rc_lint_finding *f)
{
    const rc_err *e = &f->what;

    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "id", f->rule->id);
    rc_jsonw_kstr(w, "verdict", rc_lint_verdict_name(f->verdict));
    rc_jsonw_kstr(w, "catches", f->rule->catches);
    rc_jsonw_kstr(w, "message", e->msg);
    rc_jsonw_kstr(w, "file", e->file);
    rc_jsonw_kstr(w, "tensor", e->tensor);
    rc_jsonw_kstr(w, "want", e->want);
    rc_jsonw_kstr(w, "got", e->got);
    rc_jsonw_ku64(w, "count", f->count);
    rc_jsonw_kstr(w, "hint", e->hint);
    put_source(w, f->rule->source);
    rc_jsonw_object_end(w);
}

static void put_engine(rc_jsonw *w, rc_engine engine, const verdicts *v)
{
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "engine", rc_engine_name(engine));
    rc_jsonw_kbool(w, "accepted", !v->failures);
    rc_jsonw_kstr(w, "worst", rc_lint_verdict_name(v->worst));
    rc_jsonw_ku64(w, "warnings", v->warnings);
    rc_jsonw_ku64(w, "failures", v->failures);
    rc_jsonw_key(w, "rules");
    rc_jsonw_array(w);
    for (size_t i = 0; i < v->n; i++)
        put_finding(w, &v->at[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static void put_verdicts(rc_jsonw *w, const char *where, const verdicts v[RC_ENGINES])
{
    rc_jsonw_kstr(w, "source", where);
    rc_jsonw_key(w, "tp");
    if (want.tp)
        rc_jsonw_u64(w, want.tp);
    else
        rc_jsonw_null(w);
    rc_jsonw_kbool(w, "accepted", all_accept(v));
    rc_jsonw_key(w, "engines");
    rc_jsonw_array(w);
    for (unsigned k = 0; k < RC_ENGINES; k++)
        if (v[k].at)
            put_engine(w, (rc_engine)k, &v[k]);
    rc_jsonw_array_end(w);
}

static void put_rules(rc_jsonw *w, rc_engine engine)
{
    size_t n;
    const rc_lint_rule *rules = rc_lint_rules(engine, &n);

    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "engine", rc_engine_name(engine));
    rc_jsonw_key(w, "rules");
    rc_jsonw_array(w);
    for (size_t i = 0; i < n; i++) {
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "id", rules[i].id);
        rc_jsonw_kstr(w, "catches", rules[i].catches);
        put_source(w, rules[i].source);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

/* `v` NULL: the rules themselves. */
static rc_code print_json(const char *where, const verdicts *v, rc_mem *mem, rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *text;

    if (!w)
        return rc_fail_nomem(err, mem, 0);
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "recast", RC_VERSION);
    if (v) {
        put_verdicts(w, where, v);
    } else {
        rc_jsonw_key(w, "engines");
        rc_jsonw_array(w);
        for (unsigned k = 0; k < RC_ENGINES; k++)
            if (!want.engines.n || named((rc_engine)k))
                put_rules(w, (rc_engine)k);
        rc_jsonw_array_end(w);
    }
    rc_jsonw_object_end(w);
    text = rc_jsonw_text(w, NULL);
    if (text)
        puts(text);
    rc_jsonw_free(&w);
    return text ? RC_OK : rc_fail_nomem(err, mem, 0);
}

/* ---------------------------------------------------------------------------- commands */

static void print_rules(void)
{
    for (unsigned k = 0; k < RC_ENGINES; k++) {
        size_t n;
        const rc_lint_rule *rules = rc_lint_rules((rc_engine)k, &n);

        for (size_t i = 0; i < n && (!want.engines.n || named((rc_engine)k)); i++)
            printf("%-28s%s\n%-28s%s: %s (%s)\n", rules[i].id, rules[i].catches, "",
                   rules[i].source->repo, rules[i].source->path, rules[i].source->version);
    }
}

static int list_rules(rc_mem *mem)
{
    rc_err err;

    if (!want.json) {
        print_rules();
        return 0;
    }
    return print_json(NULL, NULL, mem, &err) == RC_OK ? 0 : rc_cli_fail(&err);
}

/* What the exit status says beyond an error. */
static rc_code conclude(const verdicts v[RC_ENGINES], rc_err *err)
{
    size_t warnings = 0;

    for (unsigned k = 0; k < RC_ENGINES; k++)
        warnings += v[k].at && !v[k].failures ? v[k].warnings : 0;
    if (!all_accept(v))
        return RC_DIFFERS;
    if (rc_cli.strict && warnings)
        return rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "warnings are errors under --strict");
    return RC_OK;
}

static rc_code lint(const char *where, rc_mem *mem, rc_err *err)
{
    verdicts v[RC_ENGINES] = { 0 };
    rc_lint_facts *facts;
    rc_code rc;

    RC_TRY(rc_lint_open(&facts, where, rc_cmd_sources(), (uint32_t)want.tp, mem, err));
    rc = RC_OK;
    for (unsigned k = 0; k < RC_ENGINES && rc == RC_OK; k++)
        if (is_judged(facts, (rc_engine)k))
            rc = judge(&v[k], facts, (rc_engine)k, mem, err);
    if (rc == RC_OK && want.json)
        rc = print_json(where, v, mem, err);
    else if (rc == RC_OK && !rc_cli.quiet)
        print_all(v);
    if (rc == RC_OK)
        rc = conclude(v, err);
    for (unsigned k = 0; k < RC_ENGINES; k++)
        rc_mem_put(mem, v[k].at);
    rc_lint_close(&facts);
    return rc;
}

int rc_cmd_lint(int argc, char **argv)
{
    rc_mem mem = { 0 };
    rc_err err;
    const char *where = NULL;
    unsigned nargs;
    rc_code rc;
    int code = rc_cli_parse(&command, argc, argv, &where, &nargs);

    if (code >= 0)
        return code;
    code = check_engines();
    if (code)
        return code;
    if (want.rules)
        return nargs ? rc_cli_usage("--rules lists the rules: it takes no model")
                     : list_rules(&mem);
    if (!nargs)
        return rc_cli_usage("which model? recast lint MODEL --for ENGINE");
    rc = lint(where, &mem, &err);
    return rc == RC_OK || rc == RC_DIFFERS ? (int)rc : rc_cli_fail(&err);
}
