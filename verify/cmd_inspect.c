/* verify/cmd_inspect.c - `recast inspect`: what a checkpoint is.
 *
 * --json prints one object. Its keys are an interface and only ever grow:
 *
 *   recast             version of the program
 *   source             the folder or file as named on the command line
 *   commit             of a hub: the commit that the revision is, 40 hex digits; absent elsewhere
 *   fetched_bytes      bytes that came in over a network so far; 0 for local files
 *   variant            label for people, from sizes and layout
 *   whole              true when the tensor set has no problem
 *   model              hidden_size, vocab_size, num_hidden_layers, num_attention_heads,
 *                      head_dim, n_routed_experts, n_shared_experts,
 *                      num_experts_per_tok, moe_intermediate_size
 *   layers             window, csa, hca (attention); hash, scored (routing)
 *   draft              kind ("none", "MTP", "DSpark"), blocks
 *   storage            experts, expert_scale, dense, dense_scale (a scale is null
 *                      where weights are plain, or blocks that hold their own)
 *   parameters         main, draft, active: logical elements, integer tables left out
 *   tensors, bytes     stored tensors and their bytes;  file_bytes  shards in all
 *   index              says ("none", "silent", "agrees", "differs"), total_size or null
 *   gguf               null, or of a GGUF file: kind, architecture, name, file_type,
 *                      alignment, keys, tokenizer {model, pre, tokens, merges},
 *                      chat_template; absent keys are null
 *   shards             [{name, bytes, tensors}]
 *   dtypes             {NAME: {tensors, bytes}}
 *   roles              {NAME: {parameters, tensors, values, bytes, stored}}
 *   notes              [text]
 *   problems           {total, first: [{kind, tensor, file, offset, message, want, got}]}
 *
 * With --tensors: an array [{name, dtype, shape, bytes, shard, offset}] instead. */
#include "verify/cmd_inspect.h"

#include <stdio.h>
#include <string.h>

#include "formats/base/cli.h"
#include "formats/base/json.h"
#include "formats/cmd_source.h"
#include "formats/gguf_config.h"
#include "verify/census.h"
#include "verify/figures.h"
#include "verify/subject.h"

enum { SHOWN = 20 }; /* problems */

static struct {
    bool json;
    rc_opt_list tensors;
} want;

static const rc_opt options[] = {
    { "json", RC_OPT_FLAG, NULL, "print one JSON object instead of the tables", &want.json, 0, 0 },
    { "tensors", RC_OPT_LIST, "GLOB",
      "list the tensors whose names match, instead (may be repeated)", &want.tensors, 0, 0 },
    { 0 },
};

static const rc_cmd command = {
    .name = "inspect",
    .usage = "SRC [--json] [--tensors GLOB]...",
    .summary = "Says what a checkpoint is and what is missing, extra or malformed in it.",
    .about =
        "Reads config.json, the index and the headers of the shards, never the weights.\n"
        "SRC is a folder, a GGUF file or the first of a set, an archive (.rcz), or an address:\n"
        "of that a few megabytes are fetched.\n"
        "Exit status 82 when the tensor set is not whole.\n\n"
        "  recast inspect DeepSeek-V4-Flash\n"
        "  recast inspect hf://deepseek-ai/DeepSeek-V4-Flash\n"
        "  recast inspect DeepSeek-V4-Flash --tensors 'layers.3.attn.*'\n"
        "  recast inspect DeepSeek-V4-Flash-MXFP4.gguf\n",
    .min_args = 1,
    .max_args = 1,
    .opts = options,
    .group = &rc_source_group,
};

/* the tables */

static const char *scale_name(rc_store store, rc_dtype scale)
{
    if (store == RC_STORE_PLAIN || store == RC_STORE_BLOCKS)
        return NULL;
    return rc_dtype_name(store == RC_STORE_FP4 ? RC_DTYPE_F8_E8M0 : scale);
}

static void print_storage(const char *label, rc_store store, rc_dtype scale, const char *more)
{
    printf("  %-11s%s", label, more);
    if (store == RC_STORE_PLAIN)
        printf("BF16\n");
    else if (store == RC_STORE_PACKED || store == RC_STORE_AWQ)
        printf("4-bit integers, %s scales per group (%s)\n", rc_dtype_name(scale),
               store == RC_STORE_AWQ ? "AWQ" : "compressed-tensors");
    else if (store == RC_STORE_NVFP4)
        printf("NVFP4 (E2M1), E4M3 scales per 16 weights, one F32 scale each (ModelOpt)\n");
    else
        printf("%s, %s scales per %s\n", store == RC_STORE_FP4 ? "packed FP4 (E2M1)" : "FP8 (E4M3)",
               store == RC_STORE_FP4 || scale == RC_DTYPE_F8_E8M0 ? "E8M0" : rc_dtype_name(scale),
               store == RC_STORE_FP4 ? "32 weights" : "128 x 128 tile");
}

static void print_layers(const rc_config *c, const rc_census *n)
{
    const char *comma = "";

    printf("  layers     %" PRIu32 ": ", c->num_hidden_layers);
    if (n->window) {
        printf("%" PRIu32 " window", n->window);
        comma = ", ";
    }
    if (n->csa) {
        printf("%s%" PRIu32 " CSA (ratio 4)", comma, n->csa);
        comma = ", ";
    }
    if (n->hca)
        printf("%s%" PRIu32 " HCA (ratio 128)", comma, n->hca);
    printf("; routing: %" PRIu32 " by hash, %" PRIu32 " by score\n", n->hashed, n->scored);
}

/* A key's string, or a dash. */
static const char *text_of(const rc_gguf *g, const char *key, char out[200])
{
    char raw[120];

    if (!rc_gguf_get_str(g, key, raw, sizeof raw))
        return "-";
    return rc_escape(out, 200, raw, strlen(raw));
}

static uint64_t length_of(const rc_gguf *g, const char *key)
{
    const rc_gguf_kv *kv = rc_gguf_find(g, key);

    return kv && kv->type == RC_GGUF_ARR ? kv->count : 0;
}

static uint64_t alignment_of(const rc_gguf *g)
{
    uint64_t v;

    return rc_gguf_get_u64(g, "general.alignment", &v) ? v : RC_GGUF_ALIGNMENT;
}

static void print_gguf(const rc_gguf *g, rc_gguf_kind kind)
{
    char a[200], b[200], n[RC_FIGURE], m[RC_FIGURE];
    uint64_t type;

    printf("  file       GGUF version 3, %s; %s, \"%s\"\n", rc_gguf_kind_name(kind),
           text_of(g, "general.architecture", a), text_of(g, "general.name", b));
    printf("  keys       %zu, alignment %" PRIu64, rc_gguf_kvs(g), alignment_of(g));
    if (rc_gguf_get_u64(g, "general.file_type", &type))
        printf(", file type %" PRIu64, type);
    if (!rc_gguf_find(g, "tokenizer.ggml.model"))
        printf("\n  tokenizer  none\n");
    else
        printf("\n  tokenizer  %s, %s: %s tokens, %s merges; %s template\n",
               text_of(g, "tokenizer.ggml.model", a), text_of(g, "tokenizer.ggml.pre", b),
               rc_figure_count(n, length_of(g, "tokenizer.ggml.tokens")),
               rc_figure_count(m, length_of(g, "tokenizer.ggml.merges")),
               rc_gguf_find(g, "tokenizer.chat_template") ? "a chat" : "no chat");
}

static void print_index(const rc_census *n)
{
    printf("  index      %s\n", n->index == RC_INDEX_NONE     ? "none (a single file)"
                                : n->index == RC_INDEX_SILENT ? "names every tensor, no total_size"
                                : n->index == RC_INDEX_AGREES
                                    ? "names every tensor, total_size agrees"
                                    : "names every tensor, total_size is WRONG");
}

/* How weights are stored. In a GGUF file each role may have several types. */
static void print_stored(const rc_subject *s, const rc_census *n)
{
    const rc_config *c = rc_ckpt_config(s->ckpt);
    const rc_traits *t = rc_model_traits(s->model);
    char text[64];

    snprintf(text, sizeof text, "%" PRIu32 " routed, %" PRIu32 " a token; ", c->n_routed_experts,
             c->num_experts_per_tok);
    if (rc_ckpt_gguf(s->ckpt)) {
        printf("  experts    %s%s\n  dense      %s\n", text, n->stored[RC_ROLE_EXPERT],
               n->stored[RC_ROLE_ATTN]);
        return;
    }
    print_storage("experts", t->experts, t->expert_scale, text);
    print_storage("dense", t->dense, t->dense_scale, "");
}

static void print_identity(const rc_subject *s, const rc_census *n)
{
    const rc_config *c = rc_ckpt_config(s->ckpt);
    const rc_traits *t = rc_model_traits(s->model);
    char a[RC_FIGURE], b[RC_FIGURE], d[RC_FIGURE], bytes[16], shown[512];

    rc_escape(shown, sizeof shown, rc_source_where(rc_ckpt_source(s->ckpt)),
              strlen(rc_source_where(rc_ckpt_source(s->ckpt))));
    printf("%s: %s\n\n", shown, rc_model_variant(s->model));
    printf("  model      hidden %" PRIu32 ", vocabulary %" PRIu32 ", %" PRIu32 " heads of %" PRIu32
           "\n",
           c->hidden_size, c->vocab_size, c->num_attention_heads, c->head_dim);
    if (!rc_ckpt_gguf(s->ckpt) || rc_ckpt_kind(s->ckpt) != RC_GGUF_DSPARK)
        print_layers(c, n); /* the draft's file does not know them */
    print_stored(s, n);
    if (t->draft == RC_DRAFT_NONE)
        printf("  draft      none\n");
    else
        printf("  draft      %s, %" PRIu32 " block%s, %s parameters\n",
               t->draft == RC_DRAFT_MTP ? "MTP" : "DSpark", t->draft_blocks,
               t->draft_blocks == 1 ? "" : "s", rc_figure_params(a, n->values_draft));
    printf("  parameters %s, %s active a token\n", rc_figure_params(a, n->values_main),
           rc_figure_params(b, n->values_active));
    printf("  tensors    %s in %zu shard%s, %s (%s bytes)\n", rc_figure_count(a, n->all.tensors),
           rc_ckpt_shards(s->ckpt), rc_ckpt_shards(s->ckpt) == 1 ? "" : "s",
           rc_human_bytes(bytes, n->all.nbytes), rc_figure_count(d, n->all.nbytes));
    if (rc_ckpt_gguf(s->ckpt))
        print_gguf(rc_ckpt_gguf(s->ckpt), rc_ckpt_kind(s->ckpt));
    else
        print_index(n);
    putchar('\n');
}

static double share(uint64_t part, uint64_t all)
{
    return all ? 100.0 * (double)part / (double)all : 0;
}

static const char *dtype_name(unsigned dtype)
{
    return dtype < RC_DTYPE_COUNT ? rc_dtype_name((rc_dtype)dtype) : "others";
}

static void print_tallies(const rc_census *n)
{
    char a[RC_FIGURE], b[RC_FIGURE], bytes[16];

    printf("  %-17s%12s%12s%14s%7s  %s\n", "role", "tensors", "parameters", "bytes", "share",
           "stored as");
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++) {
        const rc_tally *t = &n->by_role[r];

        if (t->tensors)
            printf("  %-17s%12s%12s%14s%6.1f%%  %s\n", rc_role_name((rc_role)r),
                   rc_figure_count(a, t->tensors), rc_figure_params(b, t->values),
                   rc_human_bytes(bytes, t->nbytes), share(t->nbytes, n->all.nbytes), n->stored[r]);
    }
    if (n->unplaced)
        printf("  %-17s%12s\n", "(no place)", rc_figure_count(a, n->unplaced));
    printf("  %-17s%12s%12s%14s\n\n", "all", rc_figure_count(a, n->all.tensors),
           rc_figure_params(b, n->all.values), rc_human_bytes(bytes, n->all.nbytes));
    printf("  %-17s%12s%12s%14s%7s\n", "dtype", "tensors", "", "bytes", "share");
    for (unsigned d = 0; d <= RC_DTYPE_COUNT; d++) {
        const rc_tally *t = &n->by_dtype[d];

        if (t->tensors)
            printf("  %-17s%12s%12s%14s%6.1f%%\n", dtype_name(d), rc_figure_count(a, t->tensors),
                   "", rc_human_bytes(bytes, t->nbytes), share(t->nbytes, n->all.nbytes));
    }
    putchar('\n');
}

static const char *kind_name(rc_problem_kind kind)
{
    return kind == RC_MISSING ? "missing" : kind == RC_EXTRA ? "extra" : "malformed";
}

static void print_state(const rc_model *m)
{
    const size_t total = rc_model_problems_total(m);
    char a[RC_FIGURE];

    for (size_t i = 0; i < rc_model_notes(m); i++)
        printf("  note: %s\n", rc_model_note(m, i)->msg);
    if (!total) {
        printf("  whole: every tensor that the config calls for is here, and nothing else\n");
        return;
    }
    printf("  NOT WHOLE: %s problem%s\n", rc_figure_count(a, total), total == 1 ? "" : "s");
    for (size_t i = 0; i < rc_model_problems(m) && i < SHOWN; i++) {
        const rc_problem *p = rc_model_problem(m, i);

        printf("    %-10s%s%s%s", kind_name(p->kind),
               p->what.tensor[0] ? p->what.tensor : p->what.file, ": ", p->what.msg);
        if (p->what.want[0])
            printf(" (want %s, got %s)", p->what.want, p->what.got);
        putchar('\n');
    }
    if (total > SHOWN)
        printf("    ... and %s more\n", rc_figure_count(a, total - SHOWN));
}

/* the JSON object */

static void put_name(rc_jsonw *w, const char *key, const char *name)
{
    rc_jsonw_key(w, key);
    if (name)
        rc_jsonw_str(w, name);
    else
        rc_jsonw_null(w);
}

static void put_model(rc_jsonw *w, const rc_subject *s, const rc_census *n)
{
    const rc_config *c = rc_ckpt_config(s->ckpt);
    const rc_traits *t = rc_model_traits(s->model);

    rc_jsonw_key(w, "model");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "hidden_size", c->hidden_size);
    rc_jsonw_ku64(w, "vocab_size", c->vocab_size);
    rc_jsonw_ku64(w, "num_hidden_layers", c->num_hidden_layers);
    rc_jsonw_ku64(w, "num_attention_heads", c->num_attention_heads);
    rc_jsonw_ku64(w, "head_dim", c->head_dim);
    rc_jsonw_ku64(w, "n_routed_experts", c->n_routed_experts);
    rc_jsonw_ku64(w, "n_shared_experts", c->n_shared_experts);
    rc_jsonw_ku64(w, "num_experts_per_tok", c->num_experts_per_tok);
    rc_jsonw_ku64(w, "moe_intermediate_size", c->moe_intermediate_size);
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "layers");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "window", n->window);
    rc_jsonw_ku64(w, "csa", n->csa);
    rc_jsonw_ku64(w, "hca", n->hca);
    rc_jsonw_ku64(w, "hash", n->hashed);
    rc_jsonw_ku64(w, "scored", n->scored);
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "draft");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "kind", rc_draft_name(t->draft));
    rc_jsonw_ku64(w, "blocks", t->draft_blocks);
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "storage");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "experts", rc_store_name(t->experts));
    put_name(w, "expert_scale", scale_name(t->experts, t->expert_scale));
    rc_jsonw_kstr(w, "dense", rc_store_name(t->dense));
    put_name(w, "dense_scale", scale_name(t->dense, t->dense_scale));
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "parameters");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "main", n->values_main);
    rc_jsonw_ku64(w, "draft", n->values_draft);
    rc_jsonw_ku64(w, "active", n->values_active);
    rc_jsonw_object_end(w);
}

static void put_key(rc_jsonw *w, const rc_gguf *g, const char *field, const char *key)
{
    char text[200];

    put_name(w, field, rc_gguf_get_str(g, key, text, sizeof text) ? text : NULL);
}

static void put_gguf(rc_jsonw *w, const rc_ckpt *ckpt)
{
    const rc_gguf *g = rc_ckpt_gguf(ckpt);
    uint64_t type;

    rc_jsonw_key(w, "gguf");
    if (!g) {
        rc_jsonw_null(w);
        return;
    }
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "kind", rc_gguf_kind_name(rc_ckpt_kind(ckpt)));
    put_key(w, g, "architecture", "general.architecture");
    put_key(w, g, "name", "general.name");
    rc_jsonw_key(w, "file_type");
    if (rc_gguf_get_u64(g, "general.file_type", &type))
        rc_jsonw_u64(w, type);
    else
        rc_jsonw_null(w);
    rc_jsonw_ku64(w, "alignment", alignment_of(g));
    rc_jsonw_ku64(w, "keys", rc_gguf_kvs(g));
    rc_jsonw_key(w, "tokenizer");
    rc_jsonw_object(w);
    put_key(w, g, "model", "tokenizer.ggml.model");
    put_key(w, g, "pre", "tokenizer.ggml.pre");
    rc_jsonw_ku64(w, "tokens", length_of(g, "tokenizer.ggml.tokens"));
    rc_jsonw_ku64(w, "merges", length_of(g, "tokenizer.ggml.merges"));
    rc_jsonw_object_end(w);
    rc_jsonw_kbool(w, "chat_template", rc_gguf_find(g, "tokenizer.chat_template") != NULL);
    rc_jsonw_object_end(w);
}

static void put_shards(rc_jsonw *w, const rc_ckpt *ckpt)
{
    size_t at = 0;

    rc_jsonw_key(w, "shards");
    rc_jsonw_array(w);
    for (size_t i = 0; i < rc_ckpt_shards(ckpt); i++) {
        const size_t first = at;

        while (at < rc_ckpt_count(ckpt) && rc_ckpt_at(ckpt, at)->shard == i)
            at++;
        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "name", rc_ckpt_shard(ckpt, i)->name);
        rc_jsonw_ku64(w, "bytes", rc_ckpt_shard(ckpt, i)->nbytes);
        rc_jsonw_ku64(w, "tensors", at - first);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_array_end(w);
}

static void put_tallies(rc_jsonw *w, const rc_census *n)
{
    rc_jsonw_key(w, "dtypes");
    rc_jsonw_object(w);
    for (unsigned d = 0; d <= RC_DTYPE_COUNT; d++)
        if (n->by_dtype[d].tensors) {
            rc_jsonw_key(w, dtype_name(d));
            rc_jsonw_object(w);
            rc_jsonw_ku64(w, "tensors", n->by_dtype[d].tensors);
            rc_jsonw_ku64(w, "bytes", n->by_dtype[d].nbytes);
            rc_jsonw_object_end(w);
        }
    rc_jsonw_object_end(w);
    rc_jsonw_key(w, "roles");
    rc_jsonw_object(w);
    for (unsigned r = 0; r < RC_ROLE_COUNT; r++) {
        const rc_tally *t = &n->by_role[r];

        if (!t->tensors)
            continue;
        rc_jsonw_key(w, rc_role_name((rc_role)r));
        rc_jsonw_object(w);
        rc_jsonw_ku64(w, "parameters", t->params);
        rc_jsonw_ku64(w, "tensors", t->tensors);
        rc_jsonw_ku64(w, "values", t->values);
        rc_jsonw_ku64(w, "bytes", t->nbytes);
        rc_jsonw_kstr(w, "stored", n->stored[r]);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_object_end(w);
}

static void put_state(rc_jsonw *w, const rc_model *m)
{
    rc_jsonw_key(w, "notes");
    rc_jsonw_array(w);
    for (size_t i = 0; i < rc_model_notes(m); i++)
        rc_jsonw_str(w, rc_model_note(m, i)->msg);
    rc_jsonw_array_end(w);
    rc_jsonw_key(w, "problems");
    rc_jsonw_object(w);
    rc_jsonw_ku64(w, "total", rc_model_problems_total(m));
    rc_jsonw_key(w, "first");
    rc_jsonw_array(w);
    for (size_t i = 0; i < rc_model_problems(m); i++) {
        const rc_problem *p = rc_model_problem(m, i);

        rc_jsonw_object(w);
        rc_jsonw_kstr(w, "kind", kind_name(p->kind));
        rc_jsonw_kstr(w, "tensor", p->tensor);
        rc_jsonw_kstr(w, "file", p->what.file);
        rc_jsonw_key(w, "offset");
        if (p->what.offset == RC_NO_OFFSET)
            rc_jsonw_null(w);
        else
            rc_jsonw_u64(w, p->what.offset);
        rc_jsonw_kstr(w, "message", p->what.msg);
        rc_jsonw_kstr(w, "want", p->what.want);
        rc_jsonw_kstr(w, "got", p->what.got);
        rc_jsonw_object_end(w);
    }
    rc_jsonw_array_end(w);
    rc_jsonw_object_end(w);
}

static void put_report(rc_jsonw *w, const rc_subject *s, const rc_census *n)
{
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "recast", RC_VERSION);
    rc_jsonw_kstr(w, "source", rc_source_where(rc_ckpt_source(s->ckpt)));
    if (rc_source_origin_of(rc_ckpt_source(s->ckpt))->commit)
        rc_jsonw_kstr(w, "commit", rc_source_origin_of(rc_ckpt_source(s->ckpt))->commit);
    rc_jsonw_ku64(w, "fetched_bytes", rc_source_fetched(rc_ckpt_source(s->ckpt)));
    rc_jsonw_kstr(w, "variant", rc_model_variant(s->model));
    rc_jsonw_kbool(w, "whole", rc_model_problems_total(s->model) == 0);
    put_model(w, s, n);
    rc_jsonw_ku64(w, "tensors", n->all.tensors);
    rc_jsonw_ku64(w, "bytes", n->all.nbytes);
    rc_jsonw_ku64(w, "file_bytes", n->file_bytes);
    rc_jsonw_key(w, "index");
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "says", rc_index_says_name(n->index));
    rc_jsonw_key(w, "total_size");
    if (n->index == RC_INDEX_AGREES || n->index == RC_INDEX_DIFFERS)
        rc_jsonw_u64(w, n->index_total);
    else
        rc_jsonw_null(w);
    rc_jsonw_object_end(w);
    put_gguf(w, s->ckpt);
    put_shards(w, s->ckpt);
    put_tallies(w, n);
    put_state(w, s->model);
    rc_jsonw_object_end(w);
}

/* the listing of --tensors */

static void put_tensor(rc_jsonw *w, const rc_ckpt *ckpt, const rc_tensor *t)
{
    rc_jsonw_object(w);
    rc_jsonw_kstr(w, "name", t->name);
    rc_jsonw_kstr(w, "dtype", rc_tensor_type(t));
    rc_jsonw_key(w, "shape");
    rc_jsonw_array(w);
    for (unsigned i = 0; i < t->rank; i++)
        rc_jsonw_u64(w, t->shape[i]);
    rc_jsonw_array_end(w);
    rc_jsonw_ku64(w, "bytes", t->nbytes);
    rc_jsonw_kstr(w, "shard", rc_ckpt_shard(ckpt, t->shard)->name);
    rc_jsonw_ku64(w, "offset", t->begin);
    rc_jsonw_object_end(w);
}

static void print_tensor(const rc_ckpt *ckpt, const rc_tensor *t)
{
    char name[256], shape[64];

    rc_figure_shape(shape, sizeof shape, t->rank, t->shape);
    printf("%-48s %-8s %-16s %14" PRIu64 "  %s @%" PRIu64 "\n",
           rc_escape(name, sizeof name, t->name, strlen(t->name)), rc_tensor_type(t), shape,
           t->nbytes, rc_ckpt_shard(ckpt, t->shard)->name, t->begin);
}

/* Returns how many there are. */
static size_t list_tensors(rc_jsonw *w, const rc_ckpt *ckpt)
{
    size_t n = 0;

    if (w)
        rc_jsonw_array(w);
    for (size_t i = 0; i < rc_ckpt_count(ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(ckpt, i);

        if (!rc_glob_any(want.tensors.at, want.tensors.n, t->name))
            continue;
        n++;
        if (w)
            put_tensor(w, ckpt, t);
        else
            print_tensor(ckpt, t);
    }
    if (w)
        rc_jsonw_array_end(w);
    return n;
}

static void print_fetched(const rc_source *src)
{
    const char *commit = rc_source_origin_of(src)->commit;
    char text[16];

    if (rc_source_is_remote(src) && commit)
        printf("commit:  %s\n", commit);
    if (rc_source_is_remote(src))
        printf("fetched: %s\n", rc_human_bytes(text, rc_source_fetched(src)));
}

static rc_code show(const rc_subject *s, const rc_census *n, rc_mem *mem, rc_err *err)
{
    rc_jsonw *w = want.json ? rc_jsonw_new(mem, 2) : NULL;
    const char *text;
    rc_code rc = RC_OK;

    if (want.json && !w)
        return rc_fail_nomem(err, mem, 0);
    if (want.tensors.n) {
        if (!list_tensors(w, s->ckpt))
            rc = rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "--tensors matches no tensor");
    } else if (w) {
        put_report(w, s, n);
    } else if (!rc_cli.quiet) {
        print_identity(s, n);
        print_tallies(n);
        print_state(s->model);
        print_fetched(rc_ckpt_source(s->ckpt));
    }
    if (w) {
        text = rc_jsonw_text(w, NULL);
        if (text)
            puts(text);
        else
            rc = rc_fail_nomem(err, mem, 0);
    }
    rc_jsonw_free(&w);
    return rc;
}

/* The report above says what is wrong; what is left to say is where the rest is. */
static rc_code require_whole(const rc_model *m, rc_err *err)
{
    const rc_code rc = rc_model_require_whole(m, err);

    if (rc != RC_OK) {
        err->hint[0] = '\0';
        if (rc_model_problems_total(m) > SHOWN)
            rc_err_hint(err, "--json lists more of them");
    }
    return rc;
}

int rc_cmd_inspect(int argc, char **argv)
{
    rc_mem mem = { 0 };
    rc_subject subject;
    rc_census census;
    rc_err err;
    const char *where;
    unsigned nargs;
    rc_code rc;
    int code = rc_cli_parse(&command, argc, argv, &where, &nargs);

    if (code >= 0)
        return code;
    rc = rc_subject_open(&subject, where, rc_cmd_sources(), rc_cli_log(), &mem, &err);
    if (rc != RC_OK)
        return rc_cli_fail(&err);
    rc = rc_census_take(&census, subject.model, &mem, &err);
    if (rc == RC_OK)
        rc = show(&subject, &census, &mem, &err);
    if (rc == RC_OK)
        rc = require_whole(subject.model, &err);
    if (rc == RC_OK && rc_cli.strict && rc_cli_warned())
        rc = rc_fail(&err, RC_E_TENSORSET, RC_NO_OFFSET, "warnings are errors under --strict");
    if (rc != RC_OK)
        code = rc_cli_fail(&err);
    else
        code = 0;
    rc_subject_close(&subject);
    return code;
}
