/* verify/lint_facts.c - read once what the rules look at. */
#include "verify/lint_facts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { MAX_SIDE = 64 << 20 /* bytes of tokenizer_config.json */ };

bool rc_lint_ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);

    return n >= k && strcmp(s + n - k, suffix) == 0;
}

/* ------------------------------------------------------------------- what rules say */

rc_err *rc_lint_say(rc_lint_finding *out, rc_lint_verdict verdict, const char *fmt, ...)
{
    va_list ap;

    if (verdict < out->verdict)
        return NULL;
    if (verdict == out->verdict && out->count) {
        out->count++;
        return NULL;
    }
    out->verdict = verdict;
    out->count = 1;
    rc_fail(&out->what, RC_OK, RC_NO_OFFSET, "%s", "");
    va_start(ap, fmt);
    vsnprintf(out->what.msg, sizeof out->what.msg, fmt, ap);
    va_end(ap);
    return &out->what;
}

void rc_lint_skip(rc_lint_finding *out, const char *fmt, ...)
{
    va_list ap;

    if (out->count)
        return;
    out->verdict = RC_LINT_SKIPPED;
    va_start(ap, fmt);
    vsnprintf(out->what.msg, sizeof out->what.msg, fmt, ap);
    va_end(ap);
}

void rc_lint_quote(rc_lint_finding *out, rc_lint_verdict verdict, const rc_err *err)
{
    rc_err *e = rc_lint_say(out, verdict, "%s", err->msg);

    if (!e)
        return;
    *e = *err;
    e->code = RC_OK;
}

void rc_lint_at(rc_err *e, const rc_lint_facts *f, const rc_tensor *t)
{
    rc_err_tensor(e, t->name);
    rc_err_file(e, rc_ckpt_shard(f->ckpt, t->shard)->name);
}

/* ---------------------------------------------------------------------- config.json */

bool rc_lint_str(const rc_json_node *object, const char *key, const char **out)
{
    const rc_json_node *n = object ? rc_json_member(object, key) : NULL;

    if (!rc_json_is(n, RC_JSON_STRING))
        return false;
    *out = n->text;
    return true;
}

bool rc_lint_u64(const rc_json_node *object, const char *key, uint64_t *out)
{
    const rc_json_node *n = object ? rc_json_member(object, key) : NULL;
    rc_json_event ev = { .type = RC_JSON_NUMBER };

    if (!rc_json_is(n, RC_JSON_NUMBER))
        return false;
    ev.text = n->text;
    ev.len = n->len;
    return rc_json_u64(&ev, out);
}

bool rc_lint_expert_dtype(const rc_lint_facts *f, const char **out)
{
    return rc_lint_str(f->config, "expert_dtype", out);
}

bool rc_lint_has_file(const rc_lint_facts *f, const char *name)
{
    size_t i;

    return rc_source_find(rc_ckpt_source(f->ckpt), name, &i);
}

bool rc_lint_has_folder(const rc_lint_facts *f, const char *name)
{
    const rc_source *src = rc_ckpt_source(f->ckpt);
    const size_t n = strlen(name);

    for (size_t i = 0; i < rc_source_count(src); i++) {
        const char *file = rc_source_at(src, i)->name;

        if (strncmp(file, name, n) == 0 && file[n] == '/')
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------ the layout */

/* The telling marks first: NVFP4 has .weight_scale, too. */
static const struct {
    const char *mark;
    bool prefix;
    rc_lint_layout layout;
} marks[] = {
    { ".weight_scale_2", false, RC_LINT_NVFP4 }, { ".weight_packed", false, RC_LINT_CT },
    { ".g_idx", false, RC_LINT_GPTQ },           { ".qzeros", false, RC_LINT_AWQ },
    { ".qweight", false, RC_LINT_AWQ },          { ".absmax", false, RC_LINT_BNB },
    { ".weight_scale", false, RC_LINT_CT_FP8 },  { "model.layers.", true, RC_LINT_HF },
    { "model.embed_tokens.", true, RC_LINT_HF },
};

static bool matches(const char *name, size_t k)
{
    return marks[k].prefix ? strncmp(name, marks[k].mark, strlen(marks[k].mark)) == 0
                           : rc_lint_ends_with(name, marks[k].mark);
}

static void tell_layout(rc_lint_facts *f)
{
    const rc_tensor *seen[COUNT(marks)] = { 0 }, *stacked = NULL;

    for (size_t i = 0; i < rc_ckpt_count(f->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(f->ckpt, i);

        for (size_t k = 0; k < COUNT(marks); k++)
            if (!seen[k] && matches(t->name, k))
                seen[k] = t;
        if (!stacked && t->rank == 3 && strstr(t->name, ".experts"))
            stacked = t;
    }
    f->layout = RC_LINT_NATIVE;
    for (size_t k = COUNT(marks); k-- > 0;)
        if (seen[k]) {
            f->layout = marks[k].layout;
            f->mark = seen[k];
        }
    if (stacked && (f->layout == RC_LINT_NATIVE || f->layout == RC_LINT_HF)) {
        f->layout = RC_LINT_STACKED;
        f->mark = stacked;
    }
}

const char *rc_lint_layout_name(rc_lint_layout layout)
{
    static const char *const names[] = {
        "the release's",
        "AWQ",
        "GPTQ",
        "compressed-tensors, packed (W4A16)",
        "FP8 with .weight_scale (compressed-tensors or ModelOpt)",
        "ModelOpt NVFP4",
        "bitsandbytes",
        "names of transformers",
        "experts stacked in one tensor",
    };

    return names[layout];
}

rc_store rc_lint_experts(const rc_lint_facts *f)
{
    const rc_tensor *t = NULL;
    char name[96];

    if (f->model)
        return rc_model_traits(f->model)->experts;
    for (unsigned layer = 0; layer < 8 && !t; layer++) { /* one layer at least is there, or none */
        snprintf(name, sizeof name, "layers.%u.ffn.experts.0.w1.weight", layer);
        t = rc_ckpt_find(f->ckpt, name);
    }
    return !t                                                   ? RC_STORE_COUNT
           : t->dtype == RC_DTYPE_F8_E4M3                       ? RC_STORE_FP8
           : t->dtype == RC_DTYPE_I8 || t->dtype == RC_DTYPE_U8 ? RC_STORE_FP4
           : t->dtype == RC_DTYPE_BF16                          ? RC_STORE_PLAIN
                                                                : RC_STORE_COUNT;
}

bool rc_lint_is_inv(const char *name)
{
    return rc_lint_ends_with(name, ".weight_scale_inv");
}

bool rc_lint_is_int4(const rc_lint_facts *f)
{
    return f->model && (f->layout == RC_LINT_AWQ || f->layout == RC_LINT_CT);
}

bool rc_lint_bound(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (f->model)
        return true;
    rc_lint_skip(out, "not judged: %s", f->unbound.msg);
    return false;
}

/* ---------------------------------------------------------------- the shards' metadata */

/* Ends the parse: everything that is looked for was seen. */
#define ENOUGH RC_DIFFERS

struct format_search {
    bool in_metadata, at_format, found;
};

static rc_code on_event(void *ctx, const rc_json_event *ev, rc_err *err)
{
    struct format_search *s = ctx;

    (void)err;
    if (ev->type == RC_JSON_KEY && ev->depth == 1)
        s->in_metadata = ev->len == 12 && memcmp(ev->text, "__metadata__", 12) == 0;
    else if (s->in_metadata && ev->type == RC_JSON_KEY)
        s->at_format = ev->len == 6 && memcmp(ev->text, "format", 6) == 0;
    else if (s->in_metadata && s->at_format && ev->type == RC_JSON_STRING)
        s->found = ev->len == 2 && memcmp(ev->text, "pt", 2) == 0;
    else if (s->in_metadata && ev->type == RC_JSON_OBJECT_END && ev->depth == 1)
        return ENOUGH;
    return RC_OK;
}

/* Writers put __metadata__ first, so this mostly ends after a few bytes; reading them is all
 * that it costs. */
static rc_code look_for_format(rc_lint_facts *f, const rc_shard *s, rc_err *err)
{
    const size_t len = (size_t)s->data_off - 8;
    struct format_search search = { 0 };
    uint8_t *head = rc_mem_get(f->mem, len);
    rc_code rc;

    if (!head)
        return rc_fail_nomem(err, f->mem, len);
    rc = rc_source_read(rc_ckpt_source(f->ckpt), s->file, 8, head, len, err);
    if (rc == RC_OK)
        rc = rc_json_parse(head, len, 8, on_event, &search, f->mem, err);
    rc_mem_put(f->mem, head);
    if (rc != RC_OK && rc != ENOUGH)
        return rc;
    if (!search.found && f->no_formats++ == 0)
        f->no_format = s->name;
    return RC_OK;
}

/* ---------------------------------------------------------------------------- opening */

static void on_warning(void *ctx, const rc_err *warning)
{
    rc_lint_facts *f = ctx;

    if (f->warnings++ == 0)
        f->warning = *warning;
}

static rc_code read_tokenizer_config(rc_lint_facts *f, rc_err *err)
{
    static const char name[] = "tokenizer_config.json";
    rc_source *src = rc_ckpt_source(f->ckpt);
    uint8_t *text;
    size_t i, len;
    rc_code rc;

    if (!rc_source_find(src, name, &i))
        return RC_OK;
    RC_TRY(rc_source_slurp(src, i, MAX_SIDE, &text, &len, f->mem, err));
    rc = rc_json_tree(&f->tokenizer_config, text, len, &f->text, err);
    rc_mem_put(f->mem, text);
    if (rc != RC_OK)
        rc_err_file(err, name);
    return rc;
}

/* V4.1 is another layout, with loaders of its own: no rule here is about it. */
static bool is_v41(const rc_json_node *config)
{
    const char *type;

    return rc_json_member(config, "text_config") ||
           (rc_lint_str(config, "model_type", &type) && strcmp(type, "deepseek_v41") == 0);
}

static rc_code read_folder(rc_lint_facts *f, rc_err *err)
{
    size_t len;
    const uint8_t *text = rc_ckpt_config_text(f->ckpt, &len);
    const rc_code rc = rc_json_tree(&f->config, text, len, &f->text, err);

    if (rc != RC_OK || !rc_json_is(f->config, RC_JSON_OBJECT)) {
        if (rc == RC_OK)
            rc_fail(err, RC_E_DATA, 0, "not a JSON object");
        rc_err_file(err, "config.json");
        return err->code;
    }
    if (is_v41(f->config) && f->faults.config.code != RC_OK) {
        *err = f->faults.config;
        return err->code;
    }
    f->quant = rc_json_member(f->config, "quantization_config");
    for (size_t i = 0; i < rc_ckpt_shards(f->ckpt); i++)
        RC_TRY(look_for_format(f, rc_ckpt_shard(f->ckpt, i), err));
    tell_layout(f);
    return read_tokenizer_config(f, err);
}

/* Bind what can be bound. Why not is no error here: rules say it. */
static rc_code bind(rc_lint_facts *f, rc_err *err)
{
    rc_code rc;

    if (f->faults.config.code != RC_OK) {
        rc_fail(&f->unbound, RC_E_DATA, RC_NO_OFFSET, "%s cannot be understood",
                f->config ? "config.json" : "the keys");
        return RC_OK;
    }
    rc = rc_model_new(&f->model, f->ckpt, f->mem, &f->unbound);
    if (rc == RC_OK || rc == RC_E_UNSUPPORTED || rc == RC_E_TENSORSET)
        return RC_OK;
    *err = f->unbound;
    return rc;
}

rc_code rc_lint_open(rc_lint_facts **out, const char *where, const rc_source_opts *opts,
                     uint32_t tp, rc_mem *mem, rc_err *err)
{
    rc_lint_facts *f = rc_mem_get(mem, sizeof *f);
    const rc_log log = { .warn = on_warning, .ctx = f };
    rc_source *src;
    rc_code rc;

    *out = NULL;
    if (!f)
        return rc_fail_nomem(err, mem, sizeof *f);
    f->mem = f->text.mem = mem;
    f->tp = tp;
    RC_TRY_GOTO(rc, done, rc_source_open(&src, where, opts, mem, err));
    RC_TRY_GOTO(rc, done, rc_ckpt_open_lax(&f->ckpt, &f->faults, src, &log, mem, err));
    if (!rc_ckpt_gguf(f->ckpt))
        RC_TRY_GOTO(rc, done, read_folder(f, err));
    rc = bind(f, err);
done:
    if (rc == RC_OK) {
        *out = f;
    } else {
        if (f->ckpt)
            rc_err_file(err, rc_source_where(rc_ckpt_source(f->ckpt)));
        rc_lint_close(&f);
    }
    return rc;
}

void rc_lint_close(rc_lint_facts **facts)
{
    rc_lint_facts *f = *facts;

    *facts = NULL;
    if (!f)
        return;
    rc_model_free(&f->model);
    rc_ckpt_close(&f->ckpt);
    rc_arena_free(&f->text);
    rc_mem_put(f->mem, f);
}
