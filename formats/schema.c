/* formats/schema.c - the tensor tables of DeepSeek-V4, and their expansion.
 *
 * The tables below are the model read aloud: one row a parameter, in the order
 * in which the forward pass meets them. A shape is a pair of symbols; the
 * symbols that depend on the layer (`r`, `f`) are set before each layer.
 *
 * Expansion runs twice over the same code: first it counts and checks, then it
 * fills arrays of exactly that size. */
#include "formats/schema.h"

#include <stdio.h>
#include <string.h>

#include "formats/base/names.h"

/* Symbols of shapes: config keys, and the products that shapes are made of. */
enum sym {
    S_NONE, /* no such axis */
    S_1,
    S_3,
    S_D,   /* hidden_size */
    S_V,   /* vocab_size */
    S_H,   /* num_attention_heads */
    S_C,   /* head_dim */
    S_HC,  /* H * C */
    S_Q,   /* q_lora_rank */
    S_GO,  /* o_groups * o_lora_rank */
    S_HCG, /* H * C / o_groups */
    S_J,   /* index_n_heads */
    S_Jc,  /* J * index_head_dim */
    S_c,   /* index_head_dim */
    S_2c,
    S_E,   /* n_routed_experts */
    S_K,   /* num_experts_per_tok */
    S_I,   /* moe_intermediate_size */
    S_N,   /* hc_mult */
    S_ND,  /* N * D */
    S_MIX, /* (2 + N) * N: pre, post and the N x N comb of a hyper-connection */
    S_TD,  /* target layers of the DSpark draft * D */
    S_M,   /* dspark_markov_rank */
    S_DM,  /* D + M */
    S_r,   /* this layer's compress_ratio */
    S_fC,  /* f * C; f = 2 where windows overlap (r = 4), else 1 */
    S_COUNT
};

static const char *const sym_says[S_COUNT] = {
    [S_D] = "hidden_size",
    [S_V] = "vocab_size",
    [S_H] = "num_attention_heads",
    [S_C] = "head_dim",
    [S_HC] = "num_attention_heads * head_dim",
    [S_Q] = "q_lora_rank",
    [S_GO] = "o_groups * o_lora_rank",
    [S_HCG] = "num_attention_heads * head_dim / o_groups",
    [S_J] = "index_n_heads",
    [S_Jc] = "index_n_heads * index_head_dim",
    [S_c] = "index_head_dim",
    [S_2c] = "2 * index_head_dim",
    [S_E] = "n_routed_experts",
    [S_K] = "num_experts_per_tok",
    [S_I] = "moe_intermediate_size",
    [S_N] = "hc_mult",
    [S_ND] = "hc_mult * hidden_size",
    [S_MIX] = "(2 + hc_mult) * hc_mult",
    [S_TD] = "dspark_target_layer_ids",
    [S_M] = "dspark_markov_rank",
    [S_DM] = "hidden_size + dspark_markov_rank",
    [S_r] = "compress_ratios",
    [S_fC] = "head_dim",
};

/* When a block has a parameter. */
enum when {
    ALWAYS,
    COMPRESSED, /* r != 0 */
    INDEXED,    /* r == 4 */
    HASHED,     /* the first num_hash_layers main layers route by token id */
    BIASED,     /* every other block; with vision, the hashed ones too */
    SEEING,     /* with vision */
    UNTIED      /* tie_word_embeddings is false */
};

struct row {
    const char *name; /* within its block; '#' is the expert's number */
    rc_role role;
    rc_quant quant;
    rc_dtype dtype;
    enum sym shape[2];
    enum when when;
};

#define NO   RC_QUANT_NONE
#define FP8  RC_QUANT_DENSE
#define FP4  RC_QUANT_EXPERT
#define BF16 RC_DTYPE_BF16
#define F32  RC_DTYPE_F32
#define I64  RC_DTYPE_I64

/* clang-format off */
static const struct row input_rows[] = {
    { "embed.weight", RC_ROLE_EMBED, NO, BF16, { S_V, S_D }, ALWAYS },
};

static const struct row block_rows[] = {
    { "hc_attn_fn",            RC_ROLE_HC,   NO,  F32,  { S_MIX, S_ND }, ALWAYS },
    { "hc_attn_base",          RC_ROLE_HC,   NO,  F32,  { S_MIX },       ALWAYS },
    { "hc_attn_scale",         RC_ROLE_HC,   NO,  F32,  { S_3 },         ALWAYS },
    { "attn_norm.weight",      RC_ROLE_NORM, NO,  BF16, { S_D },         ALWAYS },
    { "attn.wq_a.weight",      RC_ROLE_ATTN, FP8, BF16, { S_Q, S_D },    ALWAYS },
    { "attn.q_norm.weight",    RC_ROLE_NORM, NO,  BF16, { S_Q },         ALWAYS },
    { "attn.wq_b.weight",      RC_ROLE_ATTN, FP8, BF16, { S_HC, S_Q },   ALWAYS },
    { "attn.wkv.weight",       RC_ROLE_ATTN, FP8, BF16, { S_C, S_D },    ALWAYS },
    { "attn.kv_norm.weight",   RC_ROLE_NORM, NO,  BF16, { S_C },         ALWAYS },

    { "attn.compressor.wkv.weight",   RC_ROLE_COMPRESSOR, NO, BF16, { S_fC, S_D }, COMPRESSED },
    { "attn.compressor.wgate.weight", RC_ROLE_COMPRESSOR, NO, BF16, { S_fC, S_D }, COMPRESSED },
    { "attn.compressor.ape",          RC_ROLE_COMPRESSOR, NO, F32,  { S_r, S_fC }, COMPRESSED },
    { "attn.compressor.norm.weight",  RC_ROLE_NORM,       NO, BF16, { S_C },       COMPRESSED },

    { "attn.indexer.wq_b.weight",             RC_ROLE_INDEXER, FP8, BF16, { S_Jc, S_Q }, INDEXED },
    { "attn.indexer.weights_proj.weight",     RC_ROLE_INDEXER, NO,  BF16, { S_J, S_D },  INDEXED },
    { "attn.indexer.compressor.wkv.weight",   RC_ROLE_INDEXER, NO,  BF16, { S_2c, S_D }, INDEXED },
    { "attn.indexer.compressor.wgate.weight", RC_ROLE_INDEXER, NO,  BF16, { S_2c, S_D }, INDEXED },
    { "attn.indexer.compressor.ape",          RC_ROLE_INDEXER, NO,  F32,  { S_r, S_2c }, INDEXED },
    { "attn.indexer.compressor.norm.weight",  RC_ROLE_NORM,    NO,  BF16, { S_c },       INDEXED },

    { "attn.attn_sink",        RC_ROLE_ATTN, NO,  F32,  { S_H },         ALWAYS },
    { "attn.wo_a.weight",      RC_ROLE_ATTN, FP8, BF16, { S_GO, S_HCG }, ALWAYS },
    { "attn.wo_b.weight",      RC_ROLE_ATTN, FP8, BF16, { S_D, S_GO },   ALWAYS },

    { "hc_ffn_fn",             RC_ROLE_HC,     NO, F32,  { S_MIX, S_ND }, ALWAYS },
    { "hc_ffn_base",           RC_ROLE_HC,     NO, F32,  { S_MIX },       ALWAYS },
    { "hc_ffn_scale",          RC_ROLE_HC,     NO, F32,  { S_3 },         ALWAYS },
    { "ffn_norm.weight",       RC_ROLE_NORM,   NO, BF16, { S_D },         ALWAYS },
    { "ffn.gate.weight",       RC_ROLE_ROUTER, NO, BF16, { S_E, S_D },    ALWAYS },
    { "ffn.gate.bias",         RC_ROLE_ROUTER, NO, F32,  { S_E },         BIASED },
    { "ffn.gate.bias_vl",      RC_ROLE_ROUTER, NO, F32,  { S_E },         SEEING },
    { "ffn.gate.tid2eid",      RC_ROLE_ROUTER, NO, I64,  { S_V, S_K },    HASHED },

    { "ffn.shared_experts.w1.weight", RC_ROLE_SHARED, FP8, BF16, { S_I, S_D }, ALWAYS },
    { "ffn.shared_experts.w3.weight", RC_ROLE_SHARED, FP8, BF16, { S_I, S_D }, ALWAYS },
    { "ffn.shared_experts.w2.weight", RC_ROLE_SHARED, FP8, BF16, { S_D, S_I }, ALWAYS },
};

static const struct row expert_rows[] = { /* w1 gate, w3 up, w2 down */
    { "ffn.experts.#.w1.weight", RC_ROLE_EXPERT, FP4, BF16, { S_I, S_D }, ALWAYS },
    { "ffn.experts.#.w3.weight", RC_ROLE_EXPERT, FP4, BF16, { S_I, S_D }, ALWAYS },
    { "ffn.experts.#.w2.weight", RC_ROLE_EXPERT, FP4, BF16, { S_D, S_I }, ALWAYS },
};

static const struct row output_rows[] = {
    { "hc_head_fn",    RC_ROLE_HC,   NO, F32,  { S_N, S_ND }, ALWAYS },
    { "hc_head_base",  RC_ROLE_HC,   NO, F32,  { S_N },       ALWAYS },
    { "hc_head_scale", RC_ROLE_HC,   NO, F32,  { S_1 },       ALWAYS },
    { "norm.weight",   RC_ROLE_NORM, NO, BF16, { S_D },       ALWAYS },
    { "head.weight",   RC_ROLE_HEAD, NO, BF16, { S_V, S_D },  UNTIED },
};

/* Beyond a block: what joins the hidden state to the next token's embedding,
 * and an output of its own. embed.weight and head.weight are shared. */
static const struct row mtp_rows[] = {
    { "enorm.weight",  RC_ROLE_NORM,  NO,  BF16, { S_D },       ALWAYS },
    { "hnorm.weight",  RC_ROLE_NORM,  NO,  BF16, { S_D },       ALWAYS },
    { "e_proj.weight", RC_ROLE_DRAFT, FP8, BF16, { S_D, S_D },  ALWAYS },
    { "h_proj.weight", RC_ROLE_DRAFT, FP8, BF16, { S_D, S_D },  ALWAYS },
    { "hc_head_fn",    RC_ROLE_HC,    NO,  F32,  { S_N, S_ND }, ALWAYS },
    { "hc_head_base",  RC_ROLE_HC,    NO,  F32,  { S_N },       ALWAYS },
    { "hc_head_scale", RC_ROLE_HC,    NO,  F32,  { S_1 },       ALWAYS },
    { "norm.weight",   RC_ROLE_NORM,  NO,  BF16, { S_D },       ALWAYS },
};

/* DSpark: the first block reads the hidden states of several main layers, the
 * last one predicts. markov_w1 and markov_w2 are tables, not experts. */
static const struct row dspark_first_rows[] = {
    { "main_proj.weight", RC_ROLE_DRAFT, FP8, BF16, { S_D, S_TD }, ALWAYS },
    { "main_norm.weight", RC_ROLE_NORM,  NO,  BF16, { S_D },       ALWAYS },
};

static const struct row dspark_last_rows[] = {
    { "hc_head_fn",                   RC_ROLE_HC,    NO, F32,  { S_N, S_ND }, ALWAYS },
    { "hc_head_base",                 RC_ROLE_HC,    NO, F32,  { S_N },       ALWAYS },
    { "hc_head_scale",                RC_ROLE_HC,    NO, F32,  { S_1 },       ALWAYS },
    { "norm.weight",                  RC_ROLE_NORM,  NO, BF16, { S_D },       ALWAYS },
    { "markov_head.markov_w1.weight", RC_ROLE_DRAFT, NO, BF16, { S_V, S_M },  ALWAYS },
    { "markov_head.markov_w2.weight", RC_ROLE_DRAFT, NO, BF16, { S_V, S_M },  ALWAYS },
    { "confidence_head.proj.weight",  RC_ROLE_DRAFT, NO, BF16, { S_1, S_DM }, ALWAYS },
};
/* clang-format on */

#undef NO
#undef FP8
#undef FP4
#undef BF16
#undef F32
#undef I64

#define COUNT(a) (sizeof(a) / sizeof *(a))

struct rc_schema {
    rc_mem *mem;
    rc_param *params;
    size_t n;
    char *names; /* of all parameters, one after the other */
    rc_names by_name;
};

/* The state of one pass over the tables. */
struct expansion {
    const rc_config *config;
    const rc_traits *traits;
    uint64_t dim[S_COUNT];
    rc_schema *fill; /* NULL while counting */
    size_t n, name_bytes;

    /* the block being expanded */
    char prefix[24];
    int32_t layer;
    bool draft, hashed;
    rc_err *err;
};

/* Dimensions come from rc_config_parse() below 2^24, so products of two fit. */
static void set_dims(struct expansion *x)
{
    const rc_config *c = x->config;
    uint64_t *d = x->dim;
    const uint64_t D = c->hidden_size, H = c->num_attention_heads, C = c->head_dim;
    const uint64_t N = c->hc_mult, M = c->dspark_markov_rank;

    d[S_1] = 1;
    d[S_3] = 3;
    d[S_D] = D;
    d[S_V] = c->vocab_size;
    d[S_H] = H;
    d[S_C] = C;
    d[S_HC] = H * C;
    d[S_Q] = c->q_lora_rank;
    d[S_GO] = (uint64_t)c->o_groups * c->o_lora_rank;
    d[S_HCG] = c->o_groups ? H * C / c->o_groups : 0;
    d[S_J] = c->index_n_heads;
    d[S_Jc] = (uint64_t)c->index_n_heads * c->index_head_dim;
    d[S_c] = c->index_head_dim;
    d[S_2c] = 2 * (uint64_t)c->index_head_dim;
    d[S_E] = c->n_routed_experts;
    d[S_K] = c->num_experts_per_tok;
    d[S_I] = c->moe_intermediate_size;
    d[S_N] = N;
    d[S_ND] = N * D;
    d[S_MIX] = (2 + N) * N;
    d[S_TD] = c->n_dspark_targets * D;
    d[S_M] = M;
    d[S_DM] = M ? D + M : 0;
}

static bool present(const struct expansion *x, enum when when)
{
    switch (when) {
    case ALWAYS:
        return true;
    case COMPRESSED:
        return x->dim[S_r] != 0;
    case INDEXED:
        return x->dim[S_r] == 4;
    case HASHED:
        return x->hashed;
    case BIASED:
        return !x->hashed || x->traits->vision;
    case SEEING:
        return x->traits->vision;
    case UNTIED:
        return !x->config->tie_word_embeddings;
    }
    return false;
}

static size_t spell(char out[128], const char *prefix, const char *pattern, int32_t expert)
{
    const char *hash = strchr(pattern, '#');
    int n;

    if (hash)
        n = snprintf(out, 128, "%s%.*s%" PRId32 "%s", prefix, (int)(hash - pattern), pattern,
                     expert, hash + 1);
    else
        n = snprintf(out, 128, "%s%s", prefix, pattern);
    return (size_t)n;
}

static const char *name_at(const void *owner, size_t i)
{
    const rc_schema *s = owner;

    return s->params[i].name;
}

/* What no layout can hold is refused here, once: an empty axis, packed FP4
 * whose rows are not whole groups, more bytes than an offset can count. */
static rc_code check_shape(struct expansion *x, const struct row *row, const char *name)
{
    const rc_store experts = x->traits->experts;
    const bool packed = experts == RC_STORE_FP4 || experts == RC_STORE_NVFP4;
    uint64_t bytes = 8;

    for (unsigned i = 0; i < 2 && row->shape[i] != S_NONE; i++) {
        const uint64_t d = x->dim[row->shape[i]];
        rc_code rc = RC_OK;

        if (d == 0)
            rc = rc_fail(x->err, RC_E_TENSORSET, RC_NO_OFFSET,
                         "the config gives this tensor no size: %s is 0 or absent",
                         sym_says[row->shape[i]]);
        else if (!rc_mul_u64(bytes, d, &bytes) || bytes >> 60)
            rc = rc_fail(x->err, RC_E_TENSORSET, RC_NO_OFFSET,
                         "the config makes this tensor too large for any file");
        else if (i == 1 && row->quant == RC_QUANT_EXPERT && packed && d % 32 != 0) {
            rc = rc_fail(x->err, RC_E_TENSORSET, RC_NO_OFFSET,
                         "rows are not whole groups of 32: packed FP4 cannot hold them");
            rc_err_want(x->err, "%s divisible by 32", sym_says[row->shape[i]]);
            rc_err_got(x->err, "%" PRIu64, d);
        }
        if (rc != RC_OK) {
            rc_err_tensor(x->err, name);
            return rc;
        }
    }
    return RC_OK;
}

static rc_code emit(struct expansion *x, const struct row *row, int32_t expert)
{
    char name[128];
    size_t len;

    if (!present(x, row->when))
        return RC_OK;
    len = spell(name, x->prefix, row->name, expert) + 1;

    if (x->fill) {
        rc_schema *s = x->fill;
        rc_param *p = &s->params[x->n];

        p->name = memcpy(s->names + x->name_bytes, name, len);
        p->role = row->role;
        p->quant = row->quant;
        p->dtype = row->dtype;
        for (; p->rank < 2 && row->shape[p->rank] != S_NONE; p->rank++)
            p->shape[p->rank] = x->dim[row->shape[p->rank]];
        p->layer = x->layer;
        p->expert = expert;
        p->draft = x->draft;
        if (!rc_names_add(&s->by_name, x->n)) /* never: there is room for all */
            return rc_fail_nomem(x->err, s->mem, 1);
    } else {
        if (expert <= 0)
            RC_TRY(check_shape(x, row, name));
        if (x->n == RC_SCHEMA_MAX_PARAMS) {
            rc_fail(x->err, RC_E_LIMIT, RC_NO_OFFSET,
                    "the config describes more than %u parameters", RC_SCHEMA_MAX_PARAMS);
            rc_err_got(x->err, "%" PRIu32 " layers of %" PRIu32 " experts",
                       x->config->num_hidden_layers, x->config->n_routed_experts);
            return RC_E_LIMIT;
        }
    }
    x->n++;
    x->name_bytes += len;
    return RC_OK;
}

static rc_code emit_all(struct expansion *x, const struct row *rows, size_t n, int32_t expert)
{
    for (size_t i = 0; i < n; i++)
        RC_TRY(emit(x, &rows[i], expert));
    return RC_OK;
}

/* A transformer block: main layer `i`, or draft block `i` when `draft`. A draft
 * block takes the ratio that follows those of the main layers. */
static rc_code emit_block(struct expansion *x, uint32_t i, bool draft)
{
    const rc_config *c = x->config;
    const uint32_t ratio = c->compress_ratios[draft ? c->num_hidden_layers + i : i];

    if (ratio != 0 && ratio != 4 && ratio != 128) {
        rc_fail(x->err, RC_E_TENSORSET, RC_NO_OFFSET, "compress_ratios of %s %" PRIu32,
                draft ? "draft block" : "layer", i);
        rc_err_want(x->err, "0, 4 or 128");
        rc_err_got(x->err, "%" PRIu32, ratio);
        return RC_E_TENSORSET;
    }
    x->dim[S_r] = ratio;
    x->dim[S_fC] = (ratio == 4 ? 2 : 1) * x->dim[S_C];
    x->layer = (int32_t)i;
    x->draft = draft;
    x->hashed = !draft && i < c->num_hash_layers;
    snprintf(x->prefix, sizeof x->prefix, "%s.%" PRIu32 ".", draft ? "mtp" : "layers", i);

    RC_TRY(emit_all(x, block_rows, COUNT(block_rows), -1));
    for (uint32_t e = 0; e < c->n_routed_experts; e++)
        RC_TRY(emit_all(x, expert_rows, COUNT(expert_rows), (int32_t)e));
    return RC_OK;
}

static rc_code emit_globals(struct expansion *x, const struct row *rows, size_t n)
{
    x->prefix[0] = '\0';
    x->layer = -1;
    x->draft = x->hashed = false;
    return emit_all(x, rows, n, -1);
}

static rc_code emit_model(struct expansion *x)
{
    const rc_traits *t = x->traits;
    const uint32_t blocks = t->draft == RC_DRAFT_NONE ? 0 : t->draft_blocks;

    x->n = x->name_bytes = 0;
    RC_TRY(emit_globals(x, input_rows, COUNT(input_rows)));
    for (uint32_t i = 0; i < x->config->num_hidden_layers; i++)
        RC_TRY(emit_block(x, i, false));
    RC_TRY(emit_globals(x, output_rows, COUNT(output_rows)));

    for (uint32_t i = 0; i < blocks; i++) {
        RC_TRY(emit_block(x, i, true));
        if (t->draft == RC_DRAFT_MTP)
            RC_TRY(emit_all(x, mtp_rows, COUNT(mtp_rows), -1));
        if (t->draft == RC_DRAFT_DSPARK && i == 0)
            RC_TRY(emit_all(x, dspark_first_rows, COUNT(dspark_first_rows), -1));
        if (t->draft == RC_DRAFT_DSPARK && i == blocks - 1)
            RC_TRY(emit_all(x, dspark_last_rows, COUNT(dspark_last_rows), -1));
    }
    return RC_OK;
}

/* What the tables take for granted. */
static rc_code check_config(const rc_config *c, const rc_traits *t, rc_err *err)
{
    const uint32_t blocks = t->draft == RC_DRAFT_NONE ? 0 : t->draft_blocks;
    const uint32_t slots = c->num_hidden_layers + blocks;

    if (c->n_compress_ratios < slots) {
        rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "compress_ratios is too short");
        rc_err_want(err, "%" PRIu32 " layers and %" PRIu32 " draft blocks", c->num_hidden_layers,
                    blocks);
        rc_err_got(err, "%" PRIu32 " entries", c->n_compress_ratios);
        return RC_E_TENSORSET;
    }
    if (c->num_key_value_heads != 1 || c->n_shared_experts != 1) {
        rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET,
                "the layout has one key-value head and one shared expert");
        rc_err_got(err, "num_key_value_heads %" PRIu32 ", n_shared_experts %" PRIu32,
                   c->num_key_value_heads, c->n_shared_experts);
        return RC_E_TENSORSET;
    }
    if (c->o_groups == 0 || (uint64_t)c->num_attention_heads * c->head_dim % c->o_groups != 0) {
        rc_fail(err, RC_E_TENSORSET, RC_NO_OFFSET, "o_groups does not divide the attention width");
        rc_err_want(err, "a divisor of %" PRIu64, (uint64_t)c->num_attention_heads * c->head_dim);
        rc_err_got(err, "%" PRIu32, c->o_groups);
        return RC_E_TENSORSET;
    }
    return RC_OK;
}

rc_code rc_schema_new(rc_schema **out, const rc_config *config, const rc_traits *traits,
                      rc_mem *mem, rc_err *err)
{
    struct expansion x = { .config = config, .traits = traits, .err = err };
    rc_schema *s = NULL;
    rc_code rc;

    *out = NULL;
    RC_TRY(check_config(config, traits, err));
    set_dims(&x);
    RC_TRY(emit_model(&x));

    s = rc_mem_get(mem, sizeof *s);
    if (!s)
        return rc_fail_nomem(err, mem, sizeof *s);
    s->mem = mem;
    s->n = x.n;
    rc_names_init(&s->by_name, mem, name_at, s);
    s->params = rc_mem_get(mem, s->n * sizeof *s->params);
    s->names = rc_mem_get(mem, x.name_bytes);
    if (!s->params || !s->names || !rc_names_reserve(&s->by_name, s->n)) {
        rc = rc_fail_nomem(err, mem, s->n * sizeof *s->params + x.name_bytes);
        rc_schema_free(&s);
        return rc;
    }
    x.fill = s;
    rc = emit_model(&x);
    if (rc != RC_OK) {
        rc_schema_free(&s);
        return rc;
    }
    *out = s;
    return RC_OK;
}

void rc_schema_free(rc_schema **schema)
{
    rc_schema *s = *schema;

    if (!s)
        return;
    rc_mem_put(s->mem, s->params);
    rc_mem_put(s->mem, s->names);
    rc_names_free(&s->by_name);
    rc_mem_put(s->mem, s);
    *schema = NULL;
}

size_t rc_schema_count(const rc_schema *schema)
{
    return schema->n;
}

const rc_param *rc_schema_at(const rc_schema *schema, size_t i)
{
    return &schema->params[i];
}

const rc_param *rc_schema_find(const rc_schema *schema, const char *name)
{
    const size_t i = rc_names_find(&schema->by_name, name, strlen(name));

    return i == RC_NAMES_NONE ? NULL : &schema->params[i];
}

const char *rc_role_name(rc_role role)
{
    static const char *const names[RC_ROLE_COUNT] = {
        "embedding", "head",   "norm",   "hyper-connection", "attention", "compressor",
        "indexer",   "router", "shared", "expert",           "draft",     "vision",
    };

    return names[role];
}

const char *rc_store_name(rc_store store)
{
    static const char *const names[RC_STORE_COUNT] = { "plain", "fp8",    "fp4", "blocks",
                                                       "nvfp4", "packed", "awq" };

    return names[store];
}

const char *rc_draft_name(rc_draft draft)
{
    static const char *const names[] = { "none", "MTP", "DSpark" };

    return names[draft];
}

static void describe(rc_want *w, const char *name, rc_dtype dtype, unsigned rank, uint64_t rows,
                     uint64_t cols)
{
    snprintf(w->name, sizeof w->name, "%s", name);
    w->dtype = dtype;
    w->rank = rank;
    w->shape[0] = rank > 0 ? rows : 0;
    w->shape[1] = rank > 1 ? cols : 0;
    w->nbytes = rc_dtype_bits(dtype) / 8;
    for (unsigned i = 0; i < rank; i++)
        w->nbytes *= w->shape[i];
}

unsigned rc_param_layout(const rc_param *param, rc_store store, rc_dtype dtype, rc_dtype scale,
                         rc_want want[2])
{
    const uint64_t rows = param->shape[0], cols = param->shape[1];
    const size_t len = strlen(param->name);
    const bool weight = len > 7 && strcmp(param->name + len - 7, ".weight") == 0;
    char partner[256];

    snprintf(partner, sizeof partner, "%.*s.scale", (int)(weight ? len - 7 : len), param->name);
    switch (store) {
    case RC_STORE_FP8:
        describe(&want[0], param->name, RC_DTYPE_F8_E4M3, 2, rows, cols);
        describe(&want[1], partner, scale, 2, rc_ceil_div(rows, 128), rc_ceil_div(cols, 128));
        return 2;
    case RC_STORE_NVFP4:
        snprintf(partner, sizeof partner, "%s_scale", param->name);
        describe(&want[0], param->name, RC_DTYPE_U8, 2, rows, cols / 2);
        describe(&want[1], partner, RC_DTYPE_F8_E4M3, 2, rows, rc_ceil_div(cols, 16));
        return 2;
    case RC_STORE_FP4:
        describe(&want[0], param->name, RC_DTYPE_I8, 2, rows, cols / 2);
        describe(&want[1], partner, RC_DTYPE_F8_E8M0, 2, rows, rc_ceil_div(cols, 32));
        return 2;
    default:
        describe(&want[0], param->name, dtype, param->rank, rows, cols);
        return 1;
    }
}

/* "a.weight" with another end. */
static void describe_part(rc_want *w, const rc_param *param, const char *end, rc_dtype dtype,
                          uint64_t rows, uint64_t cols)
{
    char name[256];

    snprintf(name, sizeof name, "%.*s%s", (int)(strlen(param->name) - strlen(".weight")),
             param->name, end);
    describe(w, name, dtype, cols ? 2 : 1, rows, cols);
}

unsigned rc_param_int4(const rc_param *param, const rc_int4_layout *layout,
                       rc_want want[RC_WANT_MAX])
{
    const uint64_t rows = param->shape[0], cols = param->shape[1], groups = cols / layout->group;
    unsigned n = 2;

    if (layout->store == RC_STORE_AWQ) {
        describe_part(&want[0], param, ".qweight", RC_DTYPE_I32, cols, rows / 8);
        describe_part(&want[1], param, ".scales", layout->scale, groups, rows);
        describe_part(&want[2], param, ".qzeros", RC_DTYPE_I32, groups, rows / 8);
        return 3;
    }
    describe_part(&want[0], param, ".weight_packed", RC_DTYPE_I32, rows, cols / 8);
    describe_part(&want[1], param, ".weight_scale", layout->scale, rows, groups);
    if (layout->zeros)
        describe_part(&want[n++], param, ".weight_zero_point", RC_DTYPE_I32, rows / 8, groups);
    describe_part(&want[n++], param, ".weight_shape", RC_DTYPE_I64, 2, 0);
    return n;
}

unsigned rc_param_native(const rc_param *param, const rc_traits *traits, rc_want want[2])
{
    switch (param->quant) {
    case RC_QUANT_DENSE:
        return rc_param_layout(param, traits->dense, param->dtype, traits->dense_scale, want);
    case RC_QUANT_EXPERT:
        return rc_param_layout(param, traits->experts, param->dtype, traits->expert_scale, want);
    default:
        return rc_param_layout(param, RC_STORE_PLAIN, param->dtype, param->dtype, want);
    }
}
