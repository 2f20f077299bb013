/* verify/lint_llamacpp.c - what llama.cpp's loader of deepseek4 takes.
 *
 * It raises on what it misses and on what is left over, so most of what is wrong is said at once;
 * keys of another type are not converted, and some absent ones have defaults of other models. */
#include <stdio.h>
#include <string.h>

#include "verify/lint_rules.h"

#define LLAMA    "ggml-org/llama.cpp"
#define VERSION  "llama-cpp-python 0.3.36 (libllama 0.5.0)"
#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { SQRTSOFTPLUS = 4, HC = 4 };

static const rc_lint_source arch = { LLAMA, "src/models/deepseek4.cpp", VERSION },
                            loader = { LLAMA, "src/llama-model-loader.cpp", VERSION },
                            hparams = { LLAMA, "src/llama-model.cpp (load_hparams)", VERSION },
                            vocab = { LLAMA, "src/llama-vocab.cpp", VERSION },
                            ggml = { LLAMA, "ggml/include/ggml.h, ggml/src/gguf.cpp", VERSION },
                            chat = { LLAMA, "common/chat.cpp, src/llama-chat.cpp", VERSION };

/* Refused without. */
static const rc_lint_key required[] = {
    { "block_count", RC_LINT_U32 },
    { "context_length", RC_LINT_U32 },
    { "embedding_length", RC_LINT_U32 },
    { "attention.layer_norm_rms_epsilon", RC_LINT_F32 },
    { "attention.q_lora_rank", RC_LINT_U32 },
    { "attention.sliding_window", RC_LINT_U32 },
    { "attention.indexer.head_count", RC_LINT_U32 },
    { "attention.indexer.key_length", RC_LINT_U32 },
    { "attention.indexer.top_k", RC_LINT_U32 },
    { "attention.output_group_count", RC_LINT_U32 },
    { "attention.output_lora_rank", RC_LINT_U32 },
    { "attention.compress_ratios", RC_LINT_INT_LIST },
    { "attention.compress_rope_freq_base", RC_LINT_F32 },
    { "expert_feed_forward_length", RC_LINT_U32_OR_LIST },
    { "expert_shared_count", RC_LINT_U32 },
    { "expert_weights_scale", RC_LINT_F32 },
    { "expert_weights_norm", RC_LINT_BOOL },
    { "expert_gating_func", RC_LINT_U32 },
    { "swiglu_clamp_exp", RC_LINT_F32_OR_LIST },
    { "hyper_connection.count", RC_LINT_U32 },
    { "hyper_connection.sinkhorn_iterations", RC_LINT_U32 },
    { "hyper_connection.epsilon", RC_LINT_F32 },
    { "hash_layer_count", RC_LINT_U32 },
};

/* Read if they are there; what stands in for them is another model's. */
static const rc_lint_key defaulted[] = {
    { "attention.head_count", RC_LINT_U32_OR_LIST },
    { "attention.head_count_kv", RC_LINT_U32_OR_LIST },
    { "attention.key_length", RC_LINT_U32 },
    { "attention.value_length", RC_LINT_U32 },
    { "rope.dimension_count", RC_LINT_U32 },
    { "expert_count", RC_LINT_U32 },
    { "expert_used_count", RC_LINT_U32_OR_LIST },
};

/* The same, where a model without long contexts would not need them. */
static const rc_lint_key stretching[] = {
    { "rope.freq_base", RC_LINT_F32 },
    { "rope.scaling.factor", RC_LINT_F32 },
    { "rope.scaling.original_context_length", RC_LINT_U32 },
};

static const rc_gguf *head(const rc_lint_facts *f)
{
    return rc_ckpt_gguf(f->ckpt);
}

/* Rules of the main architecture; a DSpark draft has another. */
static bool is_main(const rc_lint_facts *f, rc_lint_finding *out)
{
    char buf[64];

    if (strcmp(rc_lint_arch(f, buf), "deepseek4") == 0)
        return true;
    rc_lint_skip(out, "not judged: the architecture is not deepseek4");
    return false;
}

static void check_arch(const rc_lint_facts *f, rc_lint_finding *out)
{
    char buf[64], shown[80];
    const char *got = rc_lint_arch(f, buf);
    rc_err *e;

    if (strcmp(got, "deepseek4") == 0)
        return;
    if (strcmp(got, "dflash") == 0 && rc_ckpt_kind(f->ckpt) == RC_GGUF_DSPARK) {
        rc_lint_say(out, RC_LINT_NOTE, "a DSpark draft: to be named beside the model, not alone");
        return;
    }
    e = rc_lint_say(out, RC_LINT_FAILS, "general.architecture is not that of V4");
    rc_err_want(e, "deepseek4");
    rc_err_got(e, "%s", got[0] ? rc_escape(shown, sizeof shown, got, strlen(got)) : "nothing");
}

static void check_required(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (is_main(f, out))
        rc_lint_keys(f, out, required, COUNT(required), RC_LINT_FAILS);
}

static void check_defaulted(const rc_lint_facts *f, rc_lint_finding *out)
{
    if (!is_main(f, out))
        return;
    rc_lint_keys(f, out, defaulted, COUNT(defaulted), RC_LINT_FAILS);
    rc_lint_keys(f, out, stretching, COUNT(stretching), RC_LINT_WARNING);
    if (!rc_gguf_find(head(f), "deepseek4.rope.scaling.type"))
        rc_lint_say(out, RC_LINT_WARNING,
                    "key deepseek4.rope.scaling.type is missing: positions are stretched linearly");
}

/* A list that stands for a number has one entry a block, drafts included: no more, no less. */
static void check_lists(const rc_lint_facts *f, rc_lint_finding *out)
{
    static const char *const lists[] = { "swiglu_clamp_exp", "swiglu_clamp_shexp",
                                         "expert_feed_forward_length", "expert_used_count" };
    uint64_t blocks;

    if (!is_main(f, out) || !rc_gguf_get_u64(head(f), "deepseek4.block_count", &blocks))
        return;
    for (size_t i = 0; i < COUNT(lists); i++) {
        const rc_gguf_kv *kv;
        char name[96];
        rc_err *e;

        snprintf(name, sizeof name, "deepseek4.%s", lists[i]);
        kv = rc_gguf_find(head(f), name);
        if (!kv || kv->type != RC_GGUF_ARR || kv->count == blocks)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "key %s has not one entry a block", name);
        rc_err_want(e, "%" PRIu64, blocks);
        rc_err_got(e, "%" PRIu64, kv->count);
    }
}

static void check_ratios(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_gguf_kv *kv = rc_gguf_find(head(f), "deepseek4.attention.compress_ratios");
    uint64_t blocks = 0, v;
    rc_err *e;

    if (!is_main(f, out) || !kv || kv->type != RC_GGUF_ARR)
        return;
    (void)rc_gguf_get_u64(head(f), "deepseek4.block_count", &blocks);
    if (kv->count < blocks) {
        e = rc_lint_say(out, RC_LINT_FAILS, "compress_ratios is shorter than block_count");
        rc_err_want(e, "at least %" PRIu64, blocks);
        rc_err_got(e, "%" PRIu64, kv->count);
    }
    for (uint64_t i = 0; i < kv->count && i < blocks; i++)
        if (!rc_gguf_arr_u64(kv, i, &v) || (v != 0 && v != 4 && v != 128)) {
            e = rc_lint_say(out, RC_LINT_FAILS, "compress_ratios[%" PRIu64 "] is no ratio of V4",
                            i);
            rc_err_want(e, "0, 4 or 128");
        }
}

static void must_equal(const rc_lint_facts *f, rc_lint_finding *out, const char *key, uint64_t want)
{
    uint64_t got;
    rc_err *e;

    if (!is_main(f, out) || !rc_gguf_get_u64(head(f), key, &got) || got == want)
        return;
    e = rc_lint_say(out, RC_LINT_FAILS, "%s is not the one that is implemented", key);
    rc_err_want(e, "%" PRIu64, want);
    rc_err_got(e, "%" PRIu64, got);
}

static void check_gating(const rc_lint_facts *f, rc_lint_finding *out)
{
    must_equal(f, out, "deepseek4.expert_gating_func", SQRTSOFTPLUS);
}

static void check_streams(const rc_lint_facts *f, rc_lint_finding *out)
{
    must_equal(f, out, "deepseek4.hyper_connection.count", HC);
}

/* --------------------------------------------------------------------- types of tensors */

static bool is_table(const rc_tensor *t)
{
    return rc_lint_ends_with(t->name, ".ffn_gate_tid2eid.weight");
}

static void check_table(const rc_lint_facts *f, rc_lint_finding *out)
{
    for (size_t i = 0; i < rc_ckpt_count(f->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(f->ckpt, i);
        rc_err *e;

        if (!is_table(t) || t->dtype == RC_DTYPE_I32)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "the table of experts by token is read as I32");
        if (!e)
            continue;
        rc_lint_at(e, f, t);
        rc_err_want(e, "I32");
        rc_err_got(e, "%s", rc_tensor_type(t));
        rc_err_hint(e, "recast convert RELEASE NAME.gguf --to gguf casts I64 to it");
    }
}

/* Vectors are added and multiplied with, which the backends do in F32. */
static void check_vectors(const rc_lint_facts *f, rc_lint_finding *out)
{
    for (size_t i = 0; i < rc_ckpt_count(f->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(f->ckpt, i);
        rc_err *e;

        if (t->rank > 1 || t->dtype == RC_DTYPE_F32)
            continue;
        e = rc_lint_say(out, RC_LINT_FAILS, "norms, sinks, scales and biases are read as F32");
        if (!e)
            continue;
        rc_lint_at(e, f, t);
        rc_err_want(e, "F32");
        rc_err_got(e, "%s", rc_tensor_type(t));
    }
}

/* Numbers that a fork gave to types of its own. */
static void check_types(const rc_lint_facts *f, rc_lint_finding *out)
{
    enum { FORK_FILE_TYPE = 41, TAKEN = 42 };
    uint64_t file_type = 0;
    rc_err *e;

    (void)rc_gguf_get_u64(head(f), "general.file_type", &file_type);
    for (size_t i = 0; i < rc_ckpt_count(f->ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(f->ckpt, i);

        if (t->ggml->id != TAKEN)
            continue;
        e = file_type == FORK_FILE_TYPE
                ? rc_lint_say(out, RC_LINT_FAILS,
                              "type 42 is a fork's FP8 here, and Q2_0 to llama.cpp")
                : rc_lint_say(out, RC_LINT_WARNING,
                              "type 42 is Q2_0 to llama.cpp, and FP8 to a fork");
        if (!e)
            continue;
        rc_lint_at(e, f, t);
        rc_err_hint(e, "recast convert RELEASE NAME.gguf --to gguf uses no type of forks");
    }
}

/* ------------------------------------------------------------------------------- draft */

static void check_draft(const rc_lint_facts *f, rc_lint_finding *out)
{
    uint64_t nextn = 0, blocks = 0;
    char name[64];
    rc_err *e;

    if (rc_ckpt_find(f->ckpt, "mtp.0.attn_norm.weight")) {
        e = rc_lint_say(out, RC_LINT_FAILS, "names mtp.0.* are those of ds4's drafts");
        rc_err_tensor(e, "mtp.0.attn_norm.weight");
        rc_err_want(e, "blk.N.nextn.*");
        rc_err_hint(e, "recast convert RELEASE NAME.gguf --to gguf --draft separate");
        return;
    }
    if (!rc_gguf_get_u64(head(f), "deepseek4.nextn_predict_layers", &nextn) || !nextn)
        return;
    (void)rc_gguf_get_u64(head(f), "deepseek4.block_count", &blocks);
    snprintf(name, sizeof name, "blk.%" PRIu64 ".nextn.eh_proj.weight",
             blocks > nextn ? blocks - nextn : 0);
    if (rc_ckpt_find(f->ckpt, name)) {
        rc_lint_say(out, RC_LINT_NOTE, "an MTP draft is in the file: used when it is asked for");
        return;
    }
    e = rc_lint_say(
        out, RC_LINT_FAILS,
        "nextn_predict_layers announces a draft that is not there: its blocks are taken for "
        "main ones");
    rc_err_want(e, "%s", name);
}

/* --------------------------------------------------------------------------- tokenizer */

static void check_tokenizer(const rc_lint_facts *f, rc_lint_finding *out)
{
    char text[64], shown[80];
    const rc_gguf_kv *tokens = rc_gguf_find(head(f), "tokenizer.ggml.tokens");
    const rc_gguf_kv *merges = rc_gguf_find(head(f), "tokenizer.ggml.merges");
    rc_err *e;

    if (!rc_gguf_get_str(head(f), "tokenizer.ggml.model", text, sizeof text) ||
        strcmp(text, "gpt2") != 0) {
        e = rc_lint_say(out, RC_LINT_FAILS, "tokenizer.ggml.model");
        rc_err_want(e, "gpt2");
        rc_err_hint(e, "convert from a folder that has tokenizer.json");
    }
    if (!tokens || !merges)
        rc_lint_say(out, RC_LINT_FAILS, "tokenizer.ggml.%s is missing",
                    tokens ? "merges" : "tokens");
    if (rc_gguf_get_str(head(f), "tokenizer.ggml.pre", text, sizeof text) &&
        (strcmp(text, "joyai-llm") == 0 || strcmp(text, "deepseek-v3") == 0))
        return;
    e = rc_lint_say(out, RC_LINT_WARNING, "tokenizer.ggml.pre does not cut text as V4 does");
    rc_err_want(e, "joyai-llm");
    if (rc_gguf_find(head(f), "tokenizer.ggml.pre"))
        rc_err_got(e, "%s", rc_escape(shown, sizeof shown, text, strlen(text)));
}

static void check_chat(const rc_lint_facts *f, rc_lint_finding *out)
{
    const rc_gguf_kind kind = rc_ckpt_kind(f->ckpt);
    rc_err *e;

    if (kind != RC_GGUF_MAIN && kind != RC_GGUF_EMBED) {
        rc_lint_skip(out, "a draft");
        return;
    }
    if (rc_gguf_find(head(f), "tokenizer.chat_template"))
        return;
    e = rc_lint_say(out, RC_LINT_WARNING,
                    "no tokenizer.chat_template: conversations get the form of another model");
    rc_err_hint(e, "recast convert writes one; or --chat-template-file");
}

const rc_lint_rule rc_lint_rules_llamacpp[] = {
    { "llama.cpp/container", "a folder where a GGUF file is read", &loader, rc_lint_is_gguf },
    { "llama.cpp/split", "files of a set that disagree", &loader, rc_lint_gguf_set },
    { "llama.cpp/architecture", "general.architecture other than deepseek4", &arch, check_arch },
    { "llama.cpp/keys", "keys without which the file is refused, or of another type", &arch,
      check_required },
    { "llama.cpp/keys-defaulted", "keys whose absence means values of other models", &hparams,
      check_defaulted },
    { "llama.cpp/list-length", "lists that have not one entry a block", &loader, check_lists },
    { "llama.cpp/compress-ratios", "a list that is too short, or a ratio other than 0, 4, 128",
      &arch, check_ratios },
    { "llama.cpp/gating", "expert_gating_func other than 4", &arch, check_gating },
    { "llama.cpp/streams", "hyper_connection.count other than 4", &arch, check_streams },
    { "llama.cpp/missing", "missing tensors", &arch, rc_lint_gguf_missing },
    { "llama.cpp/extra", "tensors that are left over: the count must agree", &loader,
      rc_lint_gguf_extra },
    { "llama.cpp/shapes", "wrong shapes", &arch, rc_lint_gguf_shapes },
    { "llama.cpp/table-type", "tid2eid that is not I32", &arch, check_table },
    { "llama.cpp/vector-type", "norms, sinks, scales and biases that are not F32", &arch,
      check_vectors },
    { "llama.cpp/fork-types", "types whose numbers mean another type in a fork", &ggml,
      check_types },
    { "llama.cpp/draft", "a draft that is announced and absent, or of ds4", &arch, check_draft },
    { "llama.cpp/tokenizer", "tokenizer keys missing, or of another model", &vocab,
      check_tokenizer },
    { "llama.cpp/vocabulary", "more or fewer tokens than rows of the embedding", &arch,
      rc_lint_gguf_vocabulary },
    { "llama.cpp/chat-template", "no chat template", &chat, check_chat },
    { 0 },
};
