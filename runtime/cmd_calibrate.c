/* runtime/cmd_calibrate.c - `recast calibrate`: a text through the model, its statistics to a file.
 */
#include "runtime/cmd_calibrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/cli.h"
#include "formats/base/json.h"
#include "formats/cmd_source.h"
#include "formats/calibration.h"
#include "kernels/cpu.h"
#include "runtime/calibrate.h"
#include "runtime/calibration_text.h"
#include "runtime/text_input.h"

enum { MAX_THREADS = 1024, MAX_SAMPLE = 1 << 16, SHOWN_LAYERS = 12 };

static struct {
    const char *text, *tokens, *out, *dat, *numerics, *scratch;
    uint64_t ctx, samples, rows, threads, mem_limit;
    bool moments, restart, force, json;
} want = { .rows = RC_CALIBRATE_SAMPLE };

static const rc_opt options[] = {
    { "text", RC_OPT_STR, "FILE", "the text to calibrate with, best of your own domain; - is stdin",
      &want.text, 0, 0 },
    { "tokens", RC_OPT_STR, "FILE", "the text as token ids: needs no tokenizer; - is stdin",
      &want.tokens, 0, 0 },
    { "ctx", RC_OPT_U64, "N", "tokens of a window (2048, or what the model or the text has)",
      &want.ctx, 2, UINT32_MAX },
    { "samples", RC_OPT_U64, "N", "windows to use, evenly spaced over the text (all)",
      &want.samples, 1, UINT32_MAX },
    { "sample-rows", RC_OPT_U64, "R", "tokens whose experts' input is kept as it is (512)",
      &want.rows, 0, MAX_SAMPLE },
    { "moments", RC_OPT_FLAG, NULL,
      "second moments in blocks of 128 channels too, for --method awq+: a large file",
      &want.moments, 0, 0 },
    { "numerics", RC_OPT_CHOICE, "native|f32",
      "native: rounded as the reference does; f32: activations in float (native)", &want.numerics,
      0, 0 },
    { "out", RC_OPT_STR, "STATS", "the file to write: a GGUF imatrix with more beside it",
      &want.out, 0, 0 },
    { "dat", RC_OPT_STR, "FILE", "the legacy imatrix format as well, for older programs", &want.dat,
      0, 0 },
    { "threads", RC_OPT_U64, "N", "processors to use (default: all)", &want.threads, 1,
      MAX_THREADS },
    { "mem-limit", RC_OPT_SIZE, "BYTES", "memory to use at most (default: half of the machine's)",
      &want.mem_limit, 64 << 20, 0 },
    { "scratch", RC_OPT_STR, "DIR", "folder for state that does not fit (TMPDIR, or /var/tmp)",
      &want.scratch, 0, 0 },
    { "restart", RC_OPT_FLAG, NULL, "throw away what an unfinished run left beside STATS",
      &want.restart, 0, 0 },
    { "force", RC_OPT_FLAG, NULL, "replace STATS, and what --dat names", &want.force, 0, 0 },
    { "json", RC_OPT_FLAG, NULL, "print one JSON object at the end instead of text", &want.json, 0,
      0 },
    { 0 },
};

static const rc_letter letters[] = { { 'o', "out" }, { 0 } };

static const rc_cmd command = {
    .name = "calibrate",
    .usage = "MODEL [--text FILE | --tokens FILE] -o STATS [options]",
    .summary = "Collects what activations are like, for AWQ and for GGUF recipes.",
    .about =
        "A text goes through the model once, layer by layer; of every matrix, and of every "
        "expert,\n"
        "the tokens, the mean of |x| and of x^2 of each input channel are kept. The draft's block\n"
        "(MTP) is run as well. STATS is a GGUF imatrix, which llama.cpp's tools read too.\n\n"
        "Give a text of your own domain: experts that it does not reach are not calibrated, and\n"
        "those that fewer than 64 tokens chose are listed and filled up with averages. Without\n"
        "--text a mixture is used that comes with recast: prose in two dozen languages, code,\n"
        "mathematics, conversations.\n\n"
        "A run that was ended, however it was, goes on after the last whole layer when the same\n"
        "command is given again. Until it is done it keeps two copies of the state of all tokens\n"
        "beside STATS: 64 KB a token each for Flash. docs/calibrate.md says more.\n\n"
        "  recast calibrate DeepSeek-V4-Flash --text mine.txt -o flash.stats.gguf\n"
        "  recast convert DeepSeek-V4-Flash Flash-AWQ --to awq --stats flash.stats.gguf\n"
        "  recast convert DeepSeek-V4-Flash Flash-IQ2.gguf --to gguf:iq2_xxs --imatrix "
        "flash.stats.gguf\n",
    .min_args = 1,
    .max_args = 1,
    .opts = options,
    .letters = letters,
    .group = &rc_source_group,
};

/* Everything that lives as long as the run. */
typedef struct session {
    rc_mem mem;
    rc_ckpt *ckpt;
    rc_model *model;
    rc_bpe *bpe; /* NULL: ids only */
    rc_text given;
    rc_ids ids;
    rc_windows windows;
    size_t all_windows;
    rc_target out, dat;
    rc_progress progress;
    rc_calibrate_report report;
    double seconds;
} session;

/* -- the text -------------------------------------------------------------- */

static const char *dataset(void)
{
    const char *path = want.text ? want.text : want.tokens;
    const char *slash = path ? strrchr(path, '/') : NULL;

    if (path && strcmp(path, "-") == 0)
        return "standard input";
    return slash ? slash + 1 : path ? path : RC_CALIBRATION_TEXT;
}

/* --samples: so many windows, evenly spaced. The last one stays the last: it may be shorter. */
static void thin_out(rc_windows *w, size_t n)
{
    size_t tokens = 0;

    if (n >= w->windows)
        return;
    for (size_t i = 0; i < n; i++) {
        const size_t from = (2 * i + 1) * w->windows / (2 * n);
        const size_t left = w->tokens - from * w->ctx, len = left < w->ctx ? left : w->ctx;

        memmove(w->token + tokens, w->token + from * w->ctx, len * sizeof *w->token);
        tokens += len;
    }
    w->windows = n;
    w->tokens = tokens;
}

static rc_code read_text(session *s, rc_err *err)
{
    rc_text_input in = { .text = want.text, .tokens = want.tokens, .ctx = want.ctx };
    rc_code rc = rc_bpe_of_ckpt(&s->bpe, s->ckpt, &s->mem, err);

    if (rc != RC_OK && !want.tokens)
        return rc;
    s->given.mem = s->ids.mem = s->windows.mem = &s->mem;
    if (!want.text && !want.tokens) {
        RC_TRY(rc_calibration_text(&s->given, err));
        in.given = s->given.at;
        in.given_len = s->given.len;
    }
    RC_TRY(rc_text_input_read(&s->windows, &s->ids, &in, s->bpe, rc_ckpt_config(s->ckpt), &s->mem,
                              err));
    rc_text_free(&s->given);
    s->all_windows = s->windows.windows;
    if (want.samples)
        thin_out(&s->windows, (size_t)want.samples);
    return RC_OK;
}

/* -- what came of it ------------------------------------------------------- */

/* Experts of one block that too few tokens chose. */
typedef struct rare {
    uint32_t block, n;
    uint64_t least;
} rare;

typedef rc_code rare_fn(void *ctx, const rare *layer, const rc_calib *c, rc_err *err);

/* The first of the routed experts' matrices of a block, w1 of each: the parameter of expert e. */
static const rc_param *expert_of(const session *s, uint32_t block, uint32_t e)
{
    const uint32_t layers = rc_ckpt_config(s->ckpt)->num_hidden_layers;
    char name[64];

    snprintf(name, sizeof name, "%s.%" PRIu32 ".ffn.experts.%" PRIu32 ".w1.weight",
             block < layers ? "layers" : "mtp", block < layers ? block : block - layers, e);
    return rc_schema_find(rc_model_schema(s->model), name);
}

static rc_code seen_by(const session *s, const rc_calib *c, uint32_t block, uint32_t e,
                       uint64_t *tokens, rc_err *err)
{
    return rc_calib_seen(c, expert_of(s, block, e), rc_ckpt_config(s->ckpt), tokens, err);
}

static rc_code each_rare(const session *s, const rc_calib *c, rare_fn *fn, void *ctx, rc_err *err)
{
    const uint32_t experts = rc_ckpt_config(s->ckpt)->n_routed_experts;

    for (uint32_t b = 0; b < s->report.steps; b++) {
        rare r = { .block = b, .least = UINT64_MAX };

        for (uint32_t e = 0; e < experts; e++) {
            uint64_t n;

            RC_TRY(seen_by(s, c, b, e, &n, err));
            r.n += n < RC_CALIB_ENOUGH;
            r.least = n < r.least ? n : r.least;
        }
        if (r.n)
            RC_TRY(fn(ctx, &r, c, err));
    }
    return RC_OK;
}

static void name_block(const session *s, uint32_t block, char buf[32])
{
    const uint32_t layers = rc_ckpt_config(s->ckpt)->num_hidden_layers;

    snprintf(buf, 32, block < layers ? "layer %" PRIu32 : "draft block %" PRIu32,
             block < layers ? block : block - layers);
}

typedef struct printer {
    const session *s;
    unsigned shown, more;
} printer;

static rc_code print_rare(void *ctx, const rare *r, const rc_calib *c, rc_err *err)
{
    printer *p = ctx;
    char name[32];

    (void)c;
    (void)err;
    if (p->shown == SHOWN_LAYERS) {
        p->more++;
        return RC_OK;
    }
    p->shown++;
    name_block(p->s, r->block, name);
    printf("  %-14s %5" PRIu32 " of %" PRIu32 ", the least with %" PRIu64 " token%s\n", name, r->n,
           rc_ckpt_config(p->s->ckpt)->n_routed_experts, r->least, r->least == 1 ? "" : "s");
    return RC_OK;
}

static rc_code print_text(const session *s, const rc_calib *c, rc_err *err)
{
    const rc_calibrate_report *r = &s->report;
    const uint32_t window =
        s->windows.ctx < s->windows.tokens ? s->windows.ctx : (uint32_t)s->windows.tokens;
    printer p = { .s = s };
    char read[16], peak[16], time[24];

    if (rc_cli.quiet)
        return RC_OK;
    printf("%zu tokens of \"%s\" in %zu window%s of %" PRIu32 ", %" PRIu32
           " layers%s, numerics %s\n",
           s->windows.tokens, dataset(), s->windows.windows, s->windows.windows == 1 ? "" : "s",
           window, rc_ckpt_config(s->ckpt)->num_hidden_layers,
           r->draft ? " and the draft's block" : "", rc_calib_origin_of(c)->numerics);
    if (r->no_draft)
        printf("%s\n", r->no_draft);
    if (r->few)
        printf("%" PRIu32
               " expert%s saw fewer than %u tokens and %s filled up with averages of the "
               "layer:\n",
               r->few, r->few == 1 ? "" : "s", RC_CALIB_ENOUGH, r->few == 1 ? "was" : "were");
    else
        printf("every expert saw %u tokens or more\n", RC_CALIB_ENOUGH);
    RC_TRY(each_rare(s, c, print_rare, &p, err));
    if (p.more)
        printf("  and %u more; --json names each\n", p.more);
    if (r->resumed)
        printf("%" PRIu32 " of %" PRIu32 " steps were done by an earlier run\n", r->resumed,
               r->steps);
    printf("wrote %s in %s; read %s, memory %s\n", want.out, rc_human_time(time, s->seconds),
           rc_human_bytes(read, r->bytes_read), rc_human_bytes(peak, s->mem.peak));
    return RC_OK;
}

typedef struct json_rare {
    const session *s;
    rc_jsonw *j;
} json_rare;

static rc_code write_rare(void *ctx, const rare *r, const rc_calib *c, rc_err *err)
{
    json_rare *w = ctx;
    const uint32_t experts = rc_ckpt_config(w->s->ckpt)->n_routed_experts;
    char name[32];

    name_block(w->s, r->block, name);
    rc_jsonw_object(w->j);
    rc_jsonw_kstr(w->j, "block", name);
    rc_jsonw_key(w->j, "experts");
    rc_jsonw_array(w->j);
    for (uint32_t e = 0; e < experts; e++) {
        uint64_t n;

        RC_TRY(seen_by(w->s, c, r->block, e, &n, err));
        if (n >= RC_CALIB_ENOUGH)
            continue;
        rc_jsonw_object(w->j);
        rc_jsonw_ku64(w->j, "expert", e);
        rc_jsonw_ku64(w->j, "tokens", n);
        rc_jsonw_object_end(w->j);
    }
    rc_jsonw_array_end(w->j);
    rc_jsonw_object_end(w->j);
    return RC_OK;
}

static rc_code write_json(const session *s, const rc_calib *c, rc_jsonw *j, rc_err *err)
{
    const rc_calib_origin *o = rc_calib_origin_of(c);
    const rc_calibrate_report *r = &s->report;
    json_rare w = { s, j };

    rc_jsonw_object(j);
    rc_jsonw_kstr(j, "text", dataset());
    rc_jsonw_ku64(j, "tokens", s->windows.tokens);
    rc_jsonw_ku64(j, "windows", s->windows.windows);
    rc_jsonw_ku64(j, "windows_of_text", s->all_windows);
    rc_jsonw_ku64(j, "ctx", s->windows.ctx);
    rc_jsonw_kstr(j, "tokens_digest", o->tokens_digest);
    rc_jsonw_kstr(j, "model", o->model);
    rc_jsonw_kstr(j, "tokenizer", o->tokenizer);
    rc_jsonw_kstr(j, "numerics", o->numerics);
    rc_jsonw_kbool(j, "moments", o->moments != 0);
    rc_jsonw_ku64(j, "layers", rc_ckpt_config(s->ckpt)->num_hidden_layers);
    rc_jsonw_kbool(j, "draft", r->draft);
    if (r->no_draft)
        rc_jsonw_kstr(j, "no_draft", r->no_draft);
    rc_jsonw_ku64(j, "enough_tokens", RC_CALIB_ENOUGH);
    rc_jsonw_ku64(j, "few", r->few);
    rc_jsonw_key(j, "few_by_block");
    rc_jsonw_array(j);
    RC_TRY(each_rare(s, c, write_rare, &w, err));
    rc_jsonw_array_end(j);
    rc_jsonw_ku64(j, "resumed_steps", r->resumed);
    rc_jsonw_kf64(j, "seconds", s->seconds);
    rc_jsonw_ku64(j, "bytes_read", r->bytes_read);
    rc_jsonw_kf64(j, "wait_seconds", r->wait_s);
    rc_jsonw_ku64(j, "memory_peak_bytes", s->mem.peak);
    rc_jsonw_ku64(j, "spilled_bytes", r->spilled);
    rc_jsonw_ku64(j, "state_bytes", r->state_nbytes);
    rc_jsonw_object_end(j);
    return RC_OK;
}

static rc_code print_json(const session *s, const rc_calib *c, rc_err *err)
{
    rc_mem mem = { 0 };
    rc_jsonw *j = rc_jsonw_new(&mem, 2);
    const char *text;
    size_t len;
    rc_code rc;

    if (!j)
        return rc_fail_nomem(err, &mem, 0);
    rc = write_json(s, c, j, err);
    text = rc_jsonw_text(j, &len);
    if (rc == RC_OK && text)
        fputs(text, stdout);
    rc_jsonw_free(&j);
    return rc;
}

/* -- running --------------------------------------------------------------- */

static const char *scratch_folder(void)
{
    const char *tmp = getenv("TMPDIR");

    return want.scratch ? want.scratch : tmp && *tmp ? tmp : "/var/tmp";
}

static rc_code calibrate(session *s, rc_err *err)
{
    const rc_calibrate_options o = {
        .run = { .numerics = want.numerics && strcmp(want.numerics, "f32") == 0
                                 ? RC_NUMERICS_F32
                                 : RC_NUMERICS_NATIVE,
                 .threads = (unsigned)want.threads,
                 .mem_limit = want.mem_limit,
                 .scratch = scratch_folder() },
        .windows = &s->windows,
        .dataset = dataset(),
        .moments = want.moments,
        .sample = (size_t)want.rows,
        .restart = want.restart,
        .replace = want.force,
        .done = &s->progress.done,
        .kept = &s->progress.kept,
    };
    const double begin = rc_now();
    rc_ticker *ticker;
    rc_code rc;

    s->progress.unit = "layers";
    s->progress.parts = rc_calibrate_parts(s->model, &s->windows);
    s->progress.total = rc_calibrate_steps(s->model) * s->progress.parts;
    ticker = rc_ticker_start("calibrate", &s->progress);
    rc = rc_calibrate(&s->out, &s->dat, s->model, &o, &s->report, &s->mem, err);
    rc_ticker_stop(&ticker);
    s->seconds = rc_now() - begin;
    if (rc == RC_E_STOPPED || rc == RC_E_NOSPACE)
        rc_err_hint(err, "%" PRIu64 " of %" PRIu64 " layers are kept: the same command resumes",
                    s->progress.done / s->progress.parts, s->progress.total / s->progress.parts);
    return rc;
}

/* With --force, too, a model is not to be lost. Other files beside it may be replaced. */
static rc_code spare_model(const session *s, rc_err *err)
{
    const rc_source *src = rc_ckpt_source(s->ckpt);

    for (size_t i = 0; i < rc_source_count(src); i++) {
        const char *name = rc_source_at(src, i)->name, *dot = strrchr(name, '.');
        bool reads = dot && strcmp(dot, ".json") == 0;
        char path[4096];

        for (size_t k = 0; k < rc_ckpt_shards(s->ckpt) && !reads; k++)
            reads = rc_ckpt_shard(s->ckpt, k)->file == i;
        (void)rc_source_path(src, name, path, sizeof path);
        if (!reads || !(rc_target_is(&s->out, path) || rc_target_is(&s->dat, path)))
            continue;
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "is read, and would be written over");
        rc_err_file(err, path);
        rc_err_hint(err, "give the statistics another name");
        return RC_E_USAGE;
    }
    return RC_OK;
}

static rc_code open_outputs(session *s, rc_err *err)
{
    RC_TRY(rc_target_open(&s->out, want.out, err));
    RC_TRY(rc_target_open(&s->dat, want.dat, err));
    if (rc_target_same(&s->out, &s->dat))
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "-o and --dat are the same file");
    if (rc_target_is(&s->out, want.text) || rc_target_is(&s->dat, want.text) ||
        rc_target_is(&s->out, want.tokens) || rc_target_is(&s->dat, want.tokens))
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "the result would replace the text");
    return spare_model(s, err);
}

static rc_code open_model(session *s, const char *where, rc_err *err)
{
    rc_source *src;

    RC_TRY(rc_source_open(&src, where, rc_cmd_sources(), &s->mem, err));
    RC_TRY(rc_ckpt_open(&s->ckpt, src, rc_cli_log(), &s->mem, err));
    RC_TRY(rc_model_new(&s->model, s->ckpt, &s->mem, err));
    return rc_model_require_whole(s->model, err);
}

static rc_code run(session *s, const char *where, rc_err *err)
{
    rc_mem mem = { 0 };
    rc_calib *c;
    rc_code rc;

    RC_TRY(open_model(s, where, err));
    RC_TRY(open_outputs(s, err));
    RC_TRY(read_text(s, err));
    RC_TRY(calibrate(s, err));
    RC_TRY(rc_calib_open(&c, want.out, rc_cli_log(), &mem, err));
    rc = want.json ? print_json(s, c, err) : print_text(s, c, err);
    rc_calib_free(&c);
    return rc;
}

static void end(session *s)
{
    rc_target_close(&s->out);
    rc_target_close(&s->dat);
    rc_windows_free(&s->windows);
    rc_text_free(&s->given);
    rc_mem_put(&s->mem, s->ids.at);
    rc_bpe_free(&s->bpe);
    rc_model_free(&s->model);
    rc_ckpt_close(&s->ckpt);
}

/* Below 0: they go together. */
static int check_options(void)
{
    if (want.text && want.tokens)
        return rc_cli_usage("--text and --tokens are two texts: give one");
    if (!want.out)
        return rc_cli_usage("-o STATS is missing: where shall the statistics go?");
    if (rc_cli.cpu && !rc_cpu_force(rc_cli.cpu))
        return rc_cli_usage("--cpu %s: this machine has no such instructions", rc_cli.cpu);
    return -1;
}

int rc_cmd_calibrate(int argc, char **argv)
{
    session s = { .out = RC_TARGET_NONE, .dat = RC_TARGET_NONE };
    const char *where;
    unsigned nargs;
    rc_err err = { 0 };
    int code = rc_cli_parse(&command, argc, argv, &where, &nargs);
    rc_code rc;

    if (code < 0)
        code = check_options();
    if (code >= 0)
        return code;
    rc = run(&s, where, &err);
    end(&s);
    return rc == RC_OK ? 0 : rc_cli_fail(&err);
}
