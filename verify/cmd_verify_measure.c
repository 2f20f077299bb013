/* verify/cmd_verify_measure.c - the work of `recast verify`: the sides are opened, compared, run,
 * recorded; it is told how far it has come. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/base/par.h"
#include "verify/cmd_verify_impl.h"
#include "verify/figures.h"

enum { MAX_TOP_K = RC_GOLDEN_MOST_K };
typedef rc_verify_session session;

/* -- the sides ------------------------------------------------------------- */

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

static rc_code open_side(session *s, unsigned i, rc_err *err)
{
    struct sink sink = { s->where[i], &s->input };
    const rc_log log = { .warn = keep_warning, .ctx = &sink };
    char path[512];
    rc_code rc;

    if (!s->where[i])
        return RC_OK;
    rc = rc_subject_open(&s->side[i], s->where[i], s->sources, &log, &s->mem, err);
    if (rc != RC_OK && strncmp(err->file, s->where[i], strlen(s->where[i])) != 0) {
        in_folder(path, s->where[i], err->file);
        err->file[0] = '\0';
        rc_err_file(err, path);
    }
    return rc;
}

/* -- values ---------------------------------------------------------------- */

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

/* What has a gate of its own is held to that; the others to nothing when behaviour has a gate, or
 * every parameter has one, else to being exact. */
static rc_judge_rules rules_of(const session *s)
{
    const bool rel = s->want->max_rel_err != RC_NOT_GIVEN, free = rel || rc_gates_any(&s->gates);
    rc_judge_rules rules = { .globs = s->want->tensors.at,
                             .nglobs = s->want->tensors.n,
                             .lossy = s->gates.sqnr.given || free,
                             .max_rel_err = rel ? s->want->max_rel_err : HUGE_VAL,
                             .allow_missing_draft = s->want->allow_missing_draft,
                             .sample = s->want->sample,
                             .seed = s->want->seed };

    for (unsigned r = 0; r < RC_ROLE_COUNT; r++) {
        const double db = rc_thresholds_of(&s->gates.sqnr, (rc_role)r);

        rules.min_sqnr[r] = free && isinf(db) && !s->gates.sqnr.set[r] ? -HUGE_VAL : db;
    }
    return rules;
}

static unsigned threads(const session *s)
{
    return s->want->threads ? (unsigned)s->want->threads : rc_par_cpus();
}

static rc_code compare_values(session *s, rc_err *err)
{
    const rc_judge_rules rules = rules_of(s);
    rc_progress progress = { 0 };
    rc_ticker *ticker;
    double started;
    rc_code rc;

    RC_TRY(rc_judge_new(&s->judge, &s->side[0], &s->side[1], &rules, &s->mem, err));
    progress.total = rc_judge_nbytes(s->judge);
    started = rc_now();
    ticker = rc_ticker_start("comparing", &progress);
    rc = rc_judge_run(s->judge, threads(s), &progress.done, err);
    rc_ticker_stop(&ticker);
    if (rc == RC_OK)
        tell_speed(s->judge, rc_now() - started);
    return rc;
}

/* -- behaviour ------------------------------------------------------------- */

static const char *scratch_folder(const session *s)
{
    const char *tmp = getenv("TMPDIR");

    return s->want->scratch ? s->want->scratch : tmp && *tmp ? tmp : "/var/tmp";
}

static rc_forward_options run_options(const session *s, const char *numerics)
{
    return (rc_forward_options){ .numerics = strcmp(numerics, "native") == 0 ? RC_NUMERICS_NATIVE
                                                                             : RC_NUMERICS_F32,
                                 .threads = threads(s),
                                 .mem_limit = s->want->mem_limit,
                                 .scratch = scratch_folder(s) };
}

/* How much work it is going to be. */
static void tell_text(const rc_windows *w)
{
    char a[RC_FIGURE], b[RC_FIGURE], c[RC_FIGURE];

    if (!rc_cli.quiet)
        fprintf(stderr, "text: %s tokens in %s window%s, %s positions to score\n",
                rc_figure_count(a, w->tokens), rc_figure_count(b, w->windows),
                w->windows == 1 ? "" : "s", rc_figure_count(c, w->scored));
}

/* The text, through NATIVE's tokenizer. Without one ids still can be given. */
static rc_code read_text(session *s, rc_err *err)
{
    const rc_ckpt *ckpt = s->side[0].ckpt;
    const rc_code rc = rc_bpe_of_ckpt(&s->bpe, ckpt, &s->mem, err);

    if (rc != RC_OK && !s->want->text.tokens)
        return rc;
    RC_TRY(rc_text_input_read(&s->windows, &s->ids, &s->want->text, s->bpe, rc_ckpt_config(ckpt),
                              &s->mem, err));
    rc_golden_tokens_digest(&s->windows, s->outcome.from.tokens);
    tell_text(&s->windows);
    return RC_OK;
}

static rc_code require_whole(const rc_subject *side, rc_err *err)
{
    const rc_code rc = rc_model_require_whole(side->model, err);

    if (rc != RC_OK)
        rc_subject_name(err, side);
    return rc;
}

static void tell_time(const char *what, double seconds)
{
    char t[24];

    if (!rc_cli.quiet)
        fprintf(stderr, "%s in %s\n", what, rc_human_time(t, seconds));
}

/* Is it a file of the model's? Errors of the runtime name the file alone. */
static bool is_shard(const rc_subject *side, const char *file)
{
    for (size_t i = 0; i < rc_ckpt_shards(side->ckpt); i++)
        if (strcmp(file, rc_ckpt_shard(side->ckpt, i)->name) == 0)
            return true;
    return strcmp(file, "config.json") == 0;
}

/* Of one model alone: put its folder in front of its files, and of what has no file. */
static rc_code named(const rc_subject *side, rc_code rc, rc_err *err)
{
    if (rc != RC_OK && (is_shard(side, err->file) || (rc == RC_E_USAGE && !err->file[0])))
        rc_subject_name(err, side);
    return rc;
}

static bool is_of(const char *where, const char *file)
{
    const size_t n = strlen(where);

    return strncmp(file, where, n) == 0 && (file[n] == '/' || !file[n] || where[n - 1] == '/');
}

/* A CONVERTED that cannot be run to its end for NaNs or infinities is judged all the same, as one
 * that differs: a report says where they are. */
static rc_code judge_numbers(session *s, rc_code rc, const rc_err *err)
{
    rc_findings *list = s->judge ? rc_judge_findings(s->judge) : &s->input;
    rc_err *kept;

    if (rc != RC_E_NUMERIC || !is_of(s->where[1], err->file))
        return rc;
    kept = rc_findings_add(list, RC_FAULT, RC_DIFFERS, "behaviour", NULL, NULL, "%s", "");
    if (!kept)
        return rc;
    *kept = *err;
    kept->code = RC_DIFFERS;
    return RC_OK;
}

static rc_code compare_behaviour(session *s, rc_err *err)
{
    rc_progress progress = { .unit = "layers" };
    rc_ticker *ticker;
    double started;
    rc_code rc;

    RC_TRY(require_whole(&s->side[0], err));
    RC_TRY(require_whole(&s->side[1], err));
    RC_TRY(read_text(s, err));
    RC_TRY(rc_alike_of(&s->alike, s->judge, &s->mem, err));
    s->twin_options = (rc_twin_options){ .run = run_options(s, s->want->numerics),
                                         .windows = &s->windows,
                                         .alike = &s->alike,
                                         .layers = s->want->layers,
                                         .own = s->want->layers,
                                         .threshold = s->want->threshold,
                                         .done = &progress.done };
    progress.total = rc_twin_steps(s->side[0].model, &s->twin_options);
    started = rc_now();
    ticker = rc_ticker_start("running both", &progress);
    rc = rc_twin_run(&s->twin, &s->side[0], &s->side[1], &s->twin_options, &s->mem, err);
    rc_ticker_stop(&ticker);
    s->twin_options.done = NULL;
    RC_TRY(judge_numbers(s, rc, err));
    if (rc != RC_OK)
        return RC_OK;
    tell_time("ran both", rc_now() - started);
    s->outcome.behaviour = rc_twin_behaviour(s->twin);
    s->outcome.layers = rc_twin_layers(s->twin);
    s->outcome.layers_shared = rc_twin_shared(s->twin);
    return RC_OK;
}

static rc_code ablate(session *s, rc_err *err)
{
    rc_progress progress = { .unit = "groups" };
    const double started = rc_now();
    rc_ticker *ticker = rc_ticker_start("ablating", &progress);
    const rc_code rc = rc_ablate(&s->ablation, s->twin, s->judge, &progress.done, &s->mem, err);

    rc_ticker_stop(&ticker);
    if (rc == RC_OK)
        tell_time("ablated", rc_now() - started);
    if (s->ablation.n)
        s->outcome.ablation = &s->ablation;
    if (rc != RC_E_STOPPED)
        return rc;
    s->cut = *err; /* what was measured before is hours of work: it is told, then this */
    return RC_OK;
}

/* -- golden files ---------------------------------------------------------- */

/* A snapshot of a hub lies in .../snapshots/COMMIT. */
static const char *revision_of(session *s)
{
    static const char snapshots[] = "snapshots/";
    const char *at = s->where[0] ? strstr(s->where[0], snapshots) : NULL;
    size_t n = 0;

    if (s->want->revision || !at)
        return s->want->revision;
    at += sizeof snapshots - 1;
    n = strspn(at, "0123456789abcdef");
    if (n != 40 || (at[n] && at[n] != '/'))
        return NULL;
    snprintf(s->revision, sizeof s->revision, "%.40s", at);
    return s->revision;
}

static const char *last_part(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;

    return slash && slash[1] ? slash + 1 : path;
}

static rc_code top_k(const session *s, uint32_t *k, rc_err *err)
{
    char *end;
    unsigned long n;

    *k = RC_GOLDEN_TOP_K;
    if (!s->want->top_k)
        return RC_OK;
    *k = 0;
    if (strcmp(s->want->top_k, "all") == 0)
        return RC_OK;
    n = strtoul(s->want->top_k, &end, 10);
    if (s->want->top_k[0] < '0' || s->want->top_k[0] > '9' || *end || n < RC_TOP || n > MAX_TOP_K) {
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "--top-k %.40s: no number of candidates",
                s->want->top_k);
        rc_err_want(err, "%d to %d, or all", RC_TOP, MAX_TOP_K);
        return RC_E_USAGE;
    }
    *k = (uint32_t)n;
    return RC_OK;
}

static rc_code record(session *s, rc_err *err)
{
    rc_progress progress = { .unit = "layers" };
    const rc_forward_options o = run_options(s, s->want->numerics);
    rc_ticker *ticker;
    uint32_t k;
    rc_code rc;

    RC_TRY(top_k(s, &k, err));
    RC_TRY(require_whole(&s->side[0], err));
    RC_TRY(read_text(s, err));
    progress.total = rc_ckpt_config(s->side[0].ckpt)->num_hidden_layers + 1;
    ticker = rc_ticker_start("recording", &progress);
    rc = rc_golden_record(&s->files.at[RC_VERIFY_RECORD], s->side[0].model, &s->windows, k, &o,
                          &s->outcome.from, &progress.done, &s->mem, err);
    rc_ticker_stop(&ticker);
    return named(&s->side[0], rc, err);
}

static rc_code compare_golden(session *s, rc_err *err)
{
    rc_progress progress = { .unit = "layers" };
    rc_ticker *ticker;
    rc_forward_options o;
    double started;
    rc_err none;
    rc_code rc;

    RC_TRY(rc_golden_open(&s->golden, s->want->golden, &s->mem, err));
    RC_TRY(require_whole(&s->side[1], err));
    rc = rc_golden_windows(s->golden, &s->windows, &s->mem, err);
    if (rc != RC_OK && err)
        rc_err_file(err, s->want->golden);
    RC_TRY(rc);
    s->outcome.from.golden = s->want->golden;
    rc_golden_provenance(s->golden, &s->outcome.from);
    (void)!rc_bpe_of_ckpt(&s->bpe, s->side[1].ckpt, &s->mem, &none); /* only to show tokens */
    o = run_options(s, s->want->numerics);
    progress.total = rc_ckpt_config(s->side[1].ckpt)->num_hidden_layers + 1;
    started = rc_now();
    ticker = rc_ticker_start("running", &progress);
    rc = rc_golden_compare(s->golden, s->side[1].model, &s->windows, &o, s->want->threshold,
                           &s->result, &progress.done, &s->mem, err);
    rc_ticker_stop(&ticker);
    RC_TRY(judge_numbers(s, named(&s->side[1], rc, err), err));
    if (rc != RC_OK)
        return RC_OK;
    tell_time("ran", rc_now() - started);
    s->outcome.behaviour = &s->result.behaviour;
    s->outcome.layers = &s->result.layers;
    s->outcome.same_logits = s->result.same_logits;
    s->outcome.same_streams = s->result.same_streams;
    s->outcome.first_differing = s->result.first_differing;
    return RC_OK;
}

/* -- all of it ------------------------------------------------------------- */

/* Of NATIVE and the text; CONVERTED and golden files add theirs. */
static void provenance(session *s)
{
    rc_provenance *p = &s->outcome.from;
    size_t len;
    const uint8_t *config;
    rc_digest digest;

    p->version = RC_VERSION;
    p->numerics = s->want->numerics;
    p->native = s->want->files.record ? last_part(s->where[0]) : s->where[0];
    p->converted = s->where[1];
    p->text =
        s->want->text.tokens ? last_part(s->want->text.tokens) : last_part(s->want->text.text);
    p->revision = revision_of(s);
    if (s->side[1].model)
        p->converted_variant = rc_model_variant(s->side[1].model);
    if (!s->side[0].model)
        return;
    p->native_variant = rc_model_variant(s->side[0].model);
    config = rc_ckpt_config_text(s->side[0].ckpt, &len);
    digest = rc_hash(config, len);
    rc_digest_hex(&digest, p->config);
}

/* No output takes the place of a model's file. */
static rc_code spare_side(const session *s, const rc_subject *side, rc_err *err)
{
    static const char *const names[] = { "config.json", "generation_config.json",
                                         "model.safetensors.index.json", "tokenizer.json",
                                         "tokenizer_config.json" };
    const rc_source *src = rc_ckpt_source(side->ckpt);
    char path[4096];

    for (size_t i = 0; i < rc_ckpt_shards(side->ckpt); i++)
        RC_TRY(rc_verify_files_spare(
            &s->files, rc_source_path(src, rc_ckpt_shard(side->ckpt, i)->name, path, sizeof path),
            err));
    for (size_t i = 0; i < sizeof names / sizeof *names && !rc_ckpt_gguf(side->ckpt); i++)
        RC_TRY(rc_verify_files_spare(&s->files, rc_source_path(src, names[i], path, sizeof path),
                                     err));
    return RC_OK;
}

/* Before hours of work, not after. */
static rc_code spare_inputs(const session *s, rc_err *err)
{
    const char *const read[] = { s->want->text.text, s->want->text.tokens, s->want->golden,
                                 s->want->gate, s->want->thresholds };

    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        RC_TRY(rc_verify_files_spare(&s->files, read[i], err));
    for (unsigned i = 0; i < 2; i++)
        if (s->side[i].ckpt)
            RC_TRY(spare_side(s, &s->side[i], err));
    return RC_OK;
}

rc_code rc_verify_measure(session *s, rc_err *err)
{
    for (unsigned i = 0; i < 2; i++)
        RC_TRY(open_side(s, i, err));
    RC_TRY(spare_inputs(s, err));
    provenance(s);
    if (s->want->files.record)
        return record(s, err);
    if (s->want->golden)
        return compare_golden(s, err);
    if (!s->want->skip_tensors)
        RC_TRY(compare_values(s, err));
    if (s->want->logits)
        RC_TRY(compare_behaviour(s, err));
    return s->want->ablate && s->twin ? ablate(s, err) : RC_OK;
}
