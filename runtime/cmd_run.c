/* runtime/cmd_run.c - `recast run`: tokens in, text, logits and traces out. */
#include "runtime/cmd_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/cli.h"
#include "formats/base/json.h"
#include "formats/base/par.h"
#include "formats/base/target.h"
#include "formats/cmd_source.h"
#include "formats/bpe_load.h"
#include "formats/model.h"
#include "kernels/cpu.h"
#include "runtime/prompt.h"
#include "runtime/runner.h"
#include "runtime/sample.h"
#include "runtime/tensor_file.h"
#include "runtime/trace.h"

#define MAX_THREADS 1024
#define NEW_TOKENS  128u /* generated when nothing else is asked for */
#define NOT_GIVEN   UINT64_MAX

static struct {
    rc_prompt_words prompt;
    const char *tokens;
    uint64_t n, seed, threads, mem_limit;
    double temp, top_p;
    const char *logits, *trace, *numerics, *layers, *products, *scratch;
    bool json, ids, draft;
} want = { .n = NOT_GIVEN, .top_p = 1 };

static const rc_opt options[] = {
    { "prompt", RC_OPT_STR, "TEXT", "the prompt", &want.prompt.text, 0, 0 },
    { "file", RC_OPT_STR, "FILE", "the prompt from a file, as it is; - is standard input",
      &want.prompt.file, 0, 0 },
    { "tokens", RC_OPT_STR, "ID,ID,..", "the prompt as token ids: needs no tokenizer", &want.tokens,
      0, 0 },
    { "chat", RC_OPT_FLAG, NULL, "the prompt is what a user says: encode it as a conversation",
      &want.prompt.chat, 0, 0 },
    { "messages", RC_OPT_STR, "FILE",
      "the prompt is a conversation in JSON: [{\"role\": .., \"content\": ..}]",
      &want.prompt.messages, 0, 0 },
    { "system", RC_OPT_STR, "TEXT", "with --chat: the system message", &want.prompt.system, 0, 0 },
    { "think", RC_OPT_FLAG, NULL, "with --chat or --messages: let it think first",
      &want.prompt.opts.thinking, 0, 0 },
    { "n", RC_OPT_U64, "N", "tokens to generate at most (128; 0 with --logits or --trace)", &want.n,
      0, 1u << 24 },
    { "temp", RC_OPT_F64, "T", "temperature; 0 takes the most likely token (0)", &want.temp, 0, 0 },
    { "top-p", RC_OPT_F64, "P", "draw from the likeliest tokens that hold P together (1)",
      &want.top_p, 0, 0 },
    { "seed", RC_OPT_U64, "S", "other draws for another S (0)", &want.seed, 0, 0 },
    { "logits", RC_OPT_STR, "FILE",
      "write `logits` F32 [positions, vocabulary] of the prompt (safetensors)", &want.logits, 0,
      0 },
    { "trace", RC_OPT_STR, "FILE",
      "write hidden states, experts and index blocks of the prompt, layer by layer", &want.trace, 0,
      0 },
    { "draft", RC_OPT_FLAG, NULL,
      "run the draft block on the prompt, and say how often it guesses what the model says",
      &want.draft, 0, 0 },
    { "numerics", RC_OPT_CHOICE, "f32|native|f64",
      "f32: activations in float; native: rounded as the reference does; f64: scalar, slow (f32)",
      &want.numerics, 0, 0 },
    { "layers", RC_OPT_STR, "A..B", "run layers A to B only", &want.layers, 0, 0 },
    { "products", RC_OPT_CHOICE, "exact|blas",
      "exact: the same bits on every machine; blas: large products by BLIS (exact)", &want.products,
      0, 0 },
    { "ids", RC_OPT_FLAG, NULL, "print token ids instead of text", &want.ids, 0, 0 },
    { "threads", RC_OPT_U64, "N", "processors to use (default: all)", &want.threads, 1,
      MAX_THREADS },
    { "mem-limit", RC_OPT_SIZE, "BYTES", "memory to use at most (default: half of the machine's)",
      &want.mem_limit, 64 << 20, 0 },
    { "scratch", RC_OPT_STR, "DIR", "folder for state that does not fit (TMPDIR, or /var/tmp)",
      &want.scratch, 0, 0 },
    { "json", RC_OPT_FLAG, NULL, "print one JSON object at the end instead of text", &want.json, 0,
      0 },
    { 0 },
};

static const rc_letter letters[] = {
    { 'p', "prompt" }, { 'f', "file" }, { 'n', "n" }, { 's', "system" }, { 0 }
};

static const rc_cmd command = {
    .name = "run",
    .usage = "MODEL -p TEXT | -f FILE | --tokens ID,ID,.. [options]",
    .summary = "Runs a model: text, logits, traces, on any machine with a disk.",
    .about =
        "MODEL is any checkpoint that recast reads: the release itself, an FP8 or BF16\n"
        "conversion, a GGUF file. All of them go through the same plain forward pass, layer by\n"
        "layer: of a model of 160 GB only a layer's share is in memory, and of the experts only\n"
        "those that were chosen are read. What memory allows stays for the next token.\n\n"
        "The logits are the same to the bit for any number of threads, any memory limit and\n"
        "any processor, and for two checkpoints that hold the same values.\n\n"
        "  recast run DeepSeek-V4-Flash -p 'The capital of France is' -n 8\n"
        "  recast run flash.gguf --chat -p 'Why is the sky blue?' --temp 0.6 --seed 1\n"
        "  recast run DeepSeek-V4-Flash -f text.txt --logits native.safetensors\n",
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
    rc_bpe *bpe; /* NULL: ids in, ids out */
    rc_ids ids;  /* the prompt, then what was generated */
    size_t prompt;
    uint32_t first, end; /* layers */
    rc_runner *runner;
    bool plain;
    uint32_t *said, *guess; /* for --draft, by position of the prompt; else NULL */
    rc_target logits_at, trace_at;
    rc_tensor_file *logits;
    rc_trace *trace;
    rc_progress progress;
    rc_sampler sampler;
    uint32_t *work, next; /* [vocabulary]; the token drawn last */
    double prompt_s, generate_s;
} session;

/* -- logits ---------------------------------------------------------------- */

/* Logits of the prompt go to the file; those of its last position choose a token. */
static rc_code take_logits(void *ctx, uint64_t pos, size_t n, const float *logits, rc_err *err)
{
    session *s = ctx;
    const size_t vocab = rc_ckpt_config(s->ckpt)->vocab_size;

    if (s->logits && pos < s->prompt)
        RC_TRY(rc_tensor_file_write(s->logits, 0, pos * vocab * sizeof *logits, logits,
                                    n * vocab * sizeof *logits, err));
    for (size_t t = 0; s->said && t < n && pos + t < s->prompt; t++)
        s->said[pos + t] = rc_sample_greedy(logits + t * vocab, vocab);
    if (pos + n >= s->prompt)
        s->next = rc_sample(&s->sampler, logits + (n - 1) * vocab, vocab, s->work);
    return RC_OK;
}

/* -- text ------------------------------------------------------------------ */

/* False when nobody reads any more, or it cannot be written: main() says which. */
static bool print_token(const session *s, uint32_t id, bool first)
{
    const char *bytes;
    size_t len;

    if (want.json)
        return true;
    if (!s->bpe || want.ids) {
        printf(first ? "%u" : ",%u", id);
    } else {
        bytes = rc_bpe_bytes(s->bpe, id, &len);
        if (bytes)
            fwrite(bytes, 1, len, stdout);
    }
    return fflush(stdout) == 0;
}

static bool is_end(const session *s, uint32_t id)
{
    return id == rc_ckpt_config(s->ckpt)->eos_token_id;
}

static rc_code generate(session *s, uint64_t n, rc_err *err)
{
    rc_code rc = RC_OK;

    for (uint64_t i = 0; rc == RC_OK && i < n && !is_end(s, s->next); i++) {
        const uint32_t id = s->next;

        if (!rc_ids_add(&s->ids, id))
            rc = rc_fail_nomem(err, &s->mem, sizeof id);
        else if (!print_token(s, id, i == 0))
            break;
        else if (i + 1 < n)
            rc = rc_runner_feed(s->runner, &id, 1, 1, take_logits, s, err);
    }
    if (!want.json && s->ids.n > s->prompt) { /* also before an error's line */
        putchar('\n');
        fflush(stdout);
    }
    return rc;
}

/* -- what it cost ---------------------------------------------------------- */

/* Positions of the prompt for which there is a guess and what the model says. */
static size_t draft_positions(const session *s)
{
    return s->prompt - 1;
}

static size_t draft_agrees(const session *s)
{
    size_t n = 0;

    for (size_t p = 0; p + 1 < s->prompt; p++)
        n += s->guess[p] == s->said[p + 1];
    return n;
}

static void print_json(const session *s)
{
    const rc_runner_cost cost = rc_runner_cost_of(s->runner);
    rc_mem mem = { 0 };
    rc_jsonw *j = rc_jsonw_new(&mem, 2);
    size_t len;

    if (!j)
        return;
    rc_jsonw_object(j);
    rc_jsonw_ku64(j, "prompt_tokens", s->prompt);
    rc_jsonw_key(j, "generated");
    rc_jsonw_array(j);
    for (size_t i = s->prompt; i < s->ids.n; i++)
        rc_jsonw_u64(j, s->ids.at[i]);
    rc_jsonw_array_end(j);
    if (s->bpe) {
        rc_text text = { .mem = &mem };

        rc_text_add(&text, "", 0);
        for (size_t i = s->prompt; i < s->ids.n; i++) {
            const char *bytes = rc_bpe_bytes(s->bpe, s->ids.at[i], &len);

            rc_text_add(&text, bytes, bytes ? len : 0);
        }
        rc_jsonw_key(j, "text");
        rc_jsonw_strn(j, text.at ? text.at : "", text.len);
        rc_text_free(&text);
    }
    if (s->said) {
        rc_jsonw_ku64(j, "draft_positions", draft_positions(s));
        rc_jsonw_ku64(j, "draft_agrees", draft_agrees(s));
    }
    rc_jsonw_kf64(j, "prompt_seconds", s->prompt_s);
    rc_jsonw_kf64(j, "generate_seconds", s->generate_s);
    if (!s->plain) {
        rc_jsonw_ku64(j, "bytes_read", cost.weights.bytes_read);
        rc_jsonw_kf64(j, "waited_for_weights_seconds", cost.weights.wait_s);
    }
    rc_jsonw_ku64(j, "memory_peak_bytes", cost.peak);
    rc_jsonw_ku64(j, "spilled_bytes", cost.spilled);
    rc_jsonw_object_end(j);
    fputs(rc_jsonw_text(j, &len), stdout);
    rc_jsonw_free(&j);
}

static const char *took(char buf[24], double seconds)
{
    if (seconds >= 10)
        return rc_human_time(buf, seconds);
    snprintf(buf, 24, "%.2f s", seconds);
    return buf;
}

static void print_cost(const session *s)
{
    const rc_runner_cost cost = rc_runner_cost_of(s->runner);
    const size_t made = s->ids.n - s->prompt;
    char read[16], peak[16], spilled[16], time[24];

    if (want.json) {
        print_json(s);
        return;
    }
    if (s->said && draft_positions(s))
        fprintf(stderr, "draft: it guesses what the model says at %zu of %zu positions (%.1f%%)\n",
                draft_agrees(s), draft_positions(s),
                100.0 * (double)draft_agrees(s) / (double)draft_positions(s));
    if (rc_cli.quiet)
        return;
    fprintf(stderr, "prompt: %zu token%s in %s", s->prompt, s->prompt == 1 ? "" : "s",
            took(time, s->prompt_s));
    if (made)
        fprintf(stderr, "; generated %zu in %s (%.2f/s)", made, took(time, s->generate_s),
                (double)made / (s->generate_s > 0 ? s->generate_s : 1e-9));
    if (!s->plain) /* which does not count it */
        fprintf(stderr, "; read %s, waited %.1f s for it",
                rc_human_bytes(read, cost.weights.bytes_read), cost.weights.wait_s);
    fprintf(stderr, "; memory %s", rc_human_bytes(peak, cost.peak));
    if (cost.spilled)
        fprintf(stderr, ", scratch file %s", rc_human_bytes(spilled, cost.spilled));
    fputc('\n', stderr);
}

/* -- beginning ------------------------------------------------------------- */

static rc_code open_model(session *s, const char *where, rc_err *err)
{
    rc_source *src;

    RC_TRY(rc_source_open(&src, where, rc_cmd_sources(), &s->mem, err));
    RC_TRY(rc_ckpt_open(&s->ckpt, src, rc_cli_log(), &s->mem, err));
    RC_TRY(rc_model_new(&s->model, s->ckpt, &s->mem, err));
    return rc_model_require_whole(s->model, err);
}

/* "A..B", "A.." or "B" layers. */
static rc_code choose_layers(session *s, rc_err *err)
{
    const uint32_t all = rc_ckpt_config(s->ckpt)->num_hidden_layers;
    unsigned long a = 0, b = all - 1;
    char *end;

    if (want.layers) {
        a = strtoul(want.layers, &end, 10);
        b = a;
        if (end != want.layers && end[0] == '.' && end[1] == '.')
            b = end[2] ? strtoul(end + 2, &end, 10) : (end += 2, all - 1);
        if (end == want.layers || *end || a > b || b >= all) {
            rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "--layers %.40s: not layers of this model",
                    want.layers);
            rc_err_want(err, "A..B with 0 <= A <= B <= %u", all - 1);
            return RC_E_USAGE;
        }
    }
    s->first = (uint32_t)a;
    s->end = (uint32_t)b + 1;
    return RC_OK;
}

static rc_code open_outputs(session *s, rc_err *err)
{
    const rc_config *c = rc_ckpt_config(s->ckpt);
    const rc_tensor_spec logits = { "logits", RC_DTYPE_F32, 2, { s->prompt, c->vocab_size, 0 } };

    RC_TRY(rc_target_open(&s->logits_at, want.logits, err));
    RC_TRY(rc_target_open(&s->trace_at, want.trace, err));
    if (rc_target_same(&s->logits_at, &s->trace_at))
        return rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "--logits and --trace are the same file");
    if (want.logits)
        RC_TRY(rc_tensor_file_new(&s->logits, &s->logits_at, &logits, 1, &s->mem, err));
    if (want.trace)
        RC_TRY(rc_trace_new(&s->trace, &s->trace_at, c, s->first, s->end, s->ids.at, s->prompt,
                            &s->mem, err));
    return RC_OK;
}

static const char *scratch_folder(void)
{
    const char *tmp = getenv("TMPDIR");

    return want.scratch ? want.scratch : tmp && *tmp ? tmp : "/var/tmp";
}

static rc_code room_for_draft(session *s, rc_err *err)
{
    const size_t nbytes = s->prompt * sizeof *s->said;

    s->said = rc_mem_get(&s->mem, nbytes);
    s->guess = rc_mem_get(&s->mem, nbytes);
    return s->said && s->guess ? RC_OK : rc_fail_nomem(err, &s->mem, nbytes);
}

static rc_code start(session *s, rc_err *err)
{
    const rc_forward_options o = {
        .numerics = want.numerics && strcmp(want.numerics, "native") == 0 ? RC_NUMERICS_NATIVE
                                                                          : RC_NUMERICS_F32,
        .threads = (unsigned)want.threads,
        .mem_limit = want.mem_limit,
        .scratch = scratch_folder(),
        .first = s->first,
        .end = s->end,
        .blas = want.products && strcmp(want.products, "blas") == 0,
        .keep_streams = want.draft,
        .watch = s->trace ? rc_trace_watch(s->trace) : NULL,
        .steps = &s->progress.done,
    };

    s->sampler = (rc_sampler){ want.temp, want.top_p, want.seed };
    s->work = rc_mem_get(&s->mem, rc_ckpt_config(s->ckpt)->vocab_size * sizeof *s->work);
    if (!s->work)
        return rc_fail_nomem(err, &s->mem, rc_ckpt_config(s->ckpt)->vocab_size);
    if (want.draft)
        RC_TRY(room_for_draft(s, err));
    s->plain = want.numerics && strcmp(want.numerics, "f64") == 0;
    return rc_runner_new(&s->runner, s->model, &o, s->plain, err);
}

static rc_code feed_prompt(session *s, uint64_t n, rc_err *err)
{
    const size_t tail = s->logits || want.draft ? s->prompt : n ? 1 : 0;
    rc_ticker *ticker = NULL;
    rc_code rc = RC_OK;

    s->progress.unit = s->plain ? "tokens" : "layers";
    s->progress.total = s->plain ? s->prompt : s->end - s->first;
    ticker = rc_ticker_start("run", &s->progress);
    if (want.draft && s->plain)
        rc = rc_runner_draft(s->runner, s->guess, err);
    if (rc == RC_OK)
        rc = rc_runner_feed(s->runner, s->ids.at, s->prompt, tail, take_logits, s, err);
    if (rc == RC_OK && want.draft && !s->plain)
        rc = rc_runner_draft(s->runner, s->guess, err);
    rc_ticker_stop(&ticker);
    RC_TRY(rc);
    if (s->logits)
        RC_TRY(rc_tensor_file_finish(s->logits, err));
    return s->trace ? rc_trace_finish(s->trace, err) : RC_OK;
}

/* The prompt's ids. Without a tokenizer ids go in and ids come out. */
static rc_code read_prompt(session *s, rc_err *err)
{
    const rc_config *c = rc_ckpt_config(s->ckpt);
    rc_text text = { .mem = &s->mem };
    rc_code rc = rc_bpe_of_ckpt(&s->bpe, s->ckpt, &s->mem, err);

    s->ids.mem = &s->mem;
    if (want.tokens) {
        rc = rc_prompt_ids(&s->ids, want.tokens, "--tokens", c->vocab_size, err);
    } else {
        if (rc == RC_OK)
            rc = rc_prompt_text(&text, &want.prompt, err);
        if (rc == RC_OK)
            rc = rc_bpe_encode(s->bpe, text.at, text.len, &s->ids, err);
    }
    rc_text_free(&text);
    s->prompt = s->ids.n;
    if (rc == RC_OK && s->prompt == 0)
        rc = rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "the prompt is empty: there is nothing to run");
    return rc;
}

/* At most what was asked for, and no more than the model has positions: what is generated last is
 * not fed. */
static uint64_t tokens_to_generate(const session *s)
{
    const uint64_t n = want.n != NOT_GIVEN ? want.n : want.logits || want.trace ? 0 : NEW_TOKENS;
    const uint64_t positions = rc_ckpt_config(s->ckpt)->max_position_embeddings;
    const uint64_t left = s->prompt <= positions ? positions - s->prompt + 1 : 0;

    return n < left || !left ? n : left;
}

static rc_code run(session *s, const char *where, rc_err *err)
{
    uint64_t n;
    double begin;

    RC_TRY(open_model(s, where, err));
    RC_TRY(choose_layers(s, err));
    RC_TRY(read_prompt(s, err));
    n = tokens_to_generate(s);
    RC_TRY(open_outputs(s, err));
    RC_TRY(start(s, err));
    begin = rc_now();
    RC_TRY(feed_prompt(s, n, err));
    s->prompt_s = rc_now() - begin;
    begin = rc_now();
    RC_TRY(generate(s, n, err));
    s->generate_s = rc_now() - begin;
    print_cost(s);
    return RC_OK;
}

static void end(session *s)
{
    rc_tensor_file_free(&s->logits);
    rc_trace_free(&s->trace);
    rc_target_close(&s->logits_at);
    rc_target_close(&s->trace_at);
    rc_runner_free(&s->runner);
    rc_mem_put(&s->mem, s->work);
    rc_mem_put(&s->mem, s->said);
    rc_mem_put(&s->mem, s->guess);
    rc_mem_put(&s->mem, s->ids.at);
    rc_bpe_free(&s->bpe);
    rc_model_free(&s->model);
    rc_ckpt_close(&s->ckpt);
}

/* Below 0: they go together. */
static int check_options(void)
{
    const rc_prompt_words *p = &want.prompt;
    const bool words = p->text || p->file;

    if (!!p->text + !!p->file + !!p->messages + !!want.tokens != 1)
        return rc_cli_usage(
            "give one prompt: -p TEXT, -f FILE, --messages FILE or --tokens ID,ID,..");
    if (p->chat && !words)
        return rc_cli_usage("--chat needs -p or -f: what the user says");
    if (p->system && !p->chat)
        return rc_cli_usage("--system goes with --chat");
    if (p->opts.thinking && !p->chat && !p->messages)
        return rc_cli_usage("--think goes with --chat or --messages");
    if (want.temp < 0 || want.top_p <= 0 || want.top_p > 1)
        return rc_cli_usage("--temp is at least 0, --top-p above 0 and at most 1");
    if (want.layers && want.numerics && strcmp(want.numerics, "f64") == 0)
        return rc_cli_usage("--numerics f64 runs all layers: leave out --layers");
    if (rc_cli.cpu && !rc_cpu_force(rc_cli.cpu))
        return rc_cli_usage("--cpu %s: this machine has no such instructions", rc_cli.cpu);
    return -1;
}

int rc_cmd_run(int argc, char **argv)
{
    session s = { .logits_at = RC_TARGET_NONE, .trace_at = RC_TARGET_NONE };
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
