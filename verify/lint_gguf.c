/* verify/lint_gguf.c - what the engines that read GGUF have in common. */
#include <stdio.h>
#include <string.h>

#include "verify/lint_rules.h"

void rc_lint_is_gguf(const rc_lint_facts *f, rc_lint_finding *out)
{
    rc_err *e;

    if (rc_ckpt_gguf(f->ckpt))
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "a folder of safetensors: this engine reads a GGUF file");
    rc_err_hint(e, "recast convert RELEASE NAME.gguf --to gguf");
}

const char *rc_lint_arch(const rc_lint_facts *f, char buf[64])
{
    return rc_gguf_get_str(rc_ckpt_gguf(f->ckpt), "general.architecture", buf, 64) ? buf : "";
}

/* ------------------------------------------------------------------------------- keys */

static bool is_int_list(const rc_gguf_kv *kv)
{
    return kv->type == RC_GGUF_ARR && (kv->elem == RC_GGUF_I32 || kv->elem == RC_GGUF_U32);
}

static bool is_f32_list(const rc_gguf_kv *kv)
{
    return kv->type == RC_GGUF_ARR && kv->elem == RC_GGUF_F32;
}

static bool fits(const rc_gguf_kv *kv, rc_lint_key_type type)
{
    switch (type) {
    case RC_LINT_U32:
        return kv->type == RC_GGUF_U32;
    case RC_LINT_F32:
        return kv->type == RC_GGUF_F32;
    case RC_LINT_BOOL:
        return kv->type == RC_GGUF_BOOL;
    case RC_LINT_U32_OR_LIST:
        return kv->type == RC_GGUF_U32 || is_int_list(kv);
    case RC_LINT_F32_OR_LIST:
        return kv->type == RC_GGUF_F32 || is_f32_list(kv);
    case RC_LINT_INT_LIST:
        return is_int_list(kv);
    case RC_LINT_F32_LIST:
        return is_f32_list(kv) || (kv->type == RC_GGUF_ARR && kv->elem == RC_GGUF_F64);
    case RC_LINT_F32_LOOSE:
        return kv->type == RC_GGUF_F32 || kv->type == RC_GGUF_F64 || kv->type == RC_GGUF_U32 ||
               kv->type == RC_GGUF_I32;
    case RC_LINT_U64_LOOSE:
        return kv->type == RC_GGUF_U32 || kv->type == RC_GGUF_U64;
    }
    return false;
}

static const char *want_of(rc_lint_key_type type)
{
    static const char *const names[] = { "u32",
                                         "f32",
                                         "bool",
                                         "u32, or an array of them",
                                         "f32, or an array of them",
                                         "array of i32",
                                         "array of f32",
                                         "f32",
                                         "u32" };

    return names[type];
}

static const char *type_name(rc_gguf_type type)
{
    static const char *const names[] = { "u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64" };

    return type < RC_GGUF_TYPES ? names[type] : "?";
}

static void check_key(const rc_lint_facts *f, rc_lint_finding *out, const rc_lint_key *key,
                      rc_lint_verdict missing)
{
    const rc_gguf_kv *kv;
    char name[96];
    rc_err *e;

    snprintf(name, sizeof name, "deepseek4.%s", key->name);
    kv = rc_gguf_find(rc_ckpt_gguf(f->ckpt), name);
    if (!kv) {
        e = rc_lint_say(out, missing, "key %s is missing", name);
        rc_err_want(e, "%s", want_of(key->type));
        rc_err_hint(e, "recast convert writes the keys of all loaders");
    } else if (!fits(kv, key->type)) {
        e = rc_lint_say(out, RC_LINT_FAILS, "key %s is of another type", name);
        rc_err_want(e, "%s", want_of(key->type));
        rc_err_got(e, "%s%s%s", type_name(kv->type), kv->type == RC_GGUF_ARR ? " of " : "",
                   kv->type == RC_GGUF_ARR ? type_name(kv->elem) : "");
    }
}

void rc_lint_keys(const rc_lint_facts *f, rc_lint_finding *out, const rc_lint_key *keys, size_t n,
                  rc_lint_verdict missing)
{
    for (size_t i = 0; i < n; i++)
        check_key(f, out, &keys[i], missing);
}

/* ---------------------------------------------------------------------------- tensors */

static void quote_problems(const rc_lint_facts *f, rc_lint_finding *out, rc_problem_kind kind)
{
    if (!rc_lint_bound(f, out))
        return;
    for (size_t i = 0; i < rc_model_problems(f->model); i++)
        if (rc_model_problem(f->model, i)->kind == kind)
            rc_lint_quote(out, RC_LINT_FAILS, &rc_model_problem(f->model, i)->what);
}

void rc_lint_gguf_missing(const rc_lint_facts *f, rc_lint_finding *out)
{
    quote_problems(f, out, RC_MISSING);
}

void rc_lint_gguf_extra(const rc_lint_facts *f, rc_lint_finding *out)
{
    quote_problems(f, out, RC_EXTRA);
}

void rc_lint_gguf_shapes(const rc_lint_facts *f, rc_lint_finding *out)
{
    quote_problems(f, out, RC_MALFORMED);
}

/* A GGUF file that is one of several, or says so. */
void rc_lint_gguf_set(const rc_lint_facts *f, rc_lint_finding *out)
{
    for (size_t i = 0; i < f->faults.n && i < RC_CKPT_FAULTS; i++)
        rc_lint_quote(out, RC_LINT_FAILS, &f->faults.at[i]);
}

/* ------------------------------------------------------------------------- vocabulary */

void rc_lint_gguf_vocabulary(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_gguf_kv *tokens = rc_gguf_find(rc_ckpt_gguf(f->ckpt), "tokenizer.ggml.tokens");
    const rc_tensor *embed = rc_ckpt_find(f->ckpt, "token_embd.weight");
    rc_err *e;

    if (!tokens || tokens->type != RC_GGUF_ARR || !embed || embed->rank != 2) {
        rc_lint_skip(out, "not judged: no tokens, or no embedding");
        return;
    }
    if (tokens->count == embed->shape[0])
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "as many tokens as the embedding has rows");
    rc_lint_at(e, f, embed);
    rc_err_want(e, "%" PRIu64 " tokens", embed->shape[0]);
    rc_err_got(e, "%" PRIu64, tokens->count);
}
