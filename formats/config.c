/* formats/config.c - one table: what a config.json may say, and within which bounds. */
#include "formats/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "formats/base/json.h"

typedef enum kind { U32, F64, BOOL, STR, U32_LIST, FIRST_STR, ONLY } kind;

typedef struct row {
    const char *path; /* "key" or "key.inner_key" */
    kind kind;
    bool required;
    size_t offset;       /* into rc_config */
    double min, max;     /* U32, F64, each of a U32_LIST; STR: max bytes with the NUL */
    size_t count_offset; /* U32_LIST: where its length goes, or NOWHERE */
    uint32_t min_n, max_n;
    const char *only; /* ONLY: the one string that every V4 config has here */
} row;

#define NOWHERE SIZE_MAX

/* clang-format off */
#define AT(f)               .offset = offsetof(rc_config, f)
#define ROOM(f)             .max = sizeof((rc_config *)0)->f
#define NUMBER(f, lo, hi)   { .path = #f, U32, true, AT(f), .min = lo, .max = hi }
#define MAYBE(p, f, lo, hi) { .path = p, U32, false, AT(f), .min = lo, .max = hi }
#define REAL(f, lo, hi)     { .path = #f, F64, true, AT(f), .min = lo, .max = hi }
#define MAYBE_REAL(p, f, lo, hi) { .path = p, F64, false, AT(f), .min = lo, .max = hi }
#define MAYBE_FLAG(f)       { .path = #f, BOOL, false, AT(f) }
#define TEXT(f)             { .path = #f, STR, true, AT(f), ROOM(f) }
#define MAYBE_TEXT(p, f)    { .path = p, STR, false, AT(f), ROOM(f) }
#define MAYBE_ONLY(p, s)    { .path = p, ONLY, .only = s }
#define LIST(p, need, f, count, lo, hi, least, most)                            \
    { .path = p, U32_LIST, need, AT(f), .min = lo, .max = hi,                   \
      .count_offset = count, .min_n = least, .max_n = most }
/* clang-format on */

/* Bounds are far above any model there is, and low enough that the product of
 * the sizes of one tensor, times 8, fits 64 bits. */
enum { DIM = RC_CONFIG_MAX_DIM, HEADS = 65536, EXPERTS = RC_CONFIG_MAX_EXPERTS };
enum { LAYERS = RC_CONFIG_MAX_LAYERS, RATIOS = RC_CONFIG_MAX_LAYERS + 16 };

static const row rows[] = {
    NUMBER(vocab_size, 1, DIM),
    NUMBER(hidden_size, 1, DIM),
    NUMBER(num_hidden_layers, 1, LAYERS),
    NUMBER(num_hash_layers, 0, LAYERS),
    MAYBE("num_nextn_predict_layers", num_nextn_predict_layers, 0, 16),
    NUMBER(num_attention_heads, 1, HEADS),
    MAYBE("num_key_value_heads", num_key_value_heads, 1, HEADS),
    NUMBER(head_dim, 1, HEADS),
    NUMBER(qk_rope_head_dim, 1, HEADS),
    NUMBER(q_lora_rank, 1, DIM),
    NUMBER(o_groups, 1, HEADS),
    NUMBER(o_lora_rank, 1, DIM),
    NUMBER(sliding_window, 1, DIM),
    NUMBER(index_n_heads, 1, HEADS),
    NUMBER(index_head_dim, 1, HEADS),
    NUMBER(index_topk, 1, DIM),
    NUMBER(n_routed_experts, 1, EXPERTS),
    NUMBER(n_shared_experts, 1, 64),
    NUMBER(num_experts_per_tok, 1, EXPERTS),
    NUMBER(moe_intermediate_size, 1, DIM),
    NUMBER(hc_mult, 1, 16),
    NUMBER(hc_sinkhorn_iters, 1, 1000),
    MAYBE("max_position_embeddings", max_position_embeddings, 1, 2147483647),
    MAYBE("bos_token_id", bos_token_id, 0, DIM),
    MAYBE("eos_token_id", eos_token_id, 0, DIM),
    MAYBE_FLAG(tie_word_embeddings),
    MAYBE_FLAG(norm_topk_prob),
    LIST("compress_ratios", true, compress_ratios, offsetof(rc_config, n_compress_ratios), 0, DIM,
         0, RATIOS),
    REAL(rms_norm_eps, 0, 1),
    REAL(hc_eps, 0, 1),
    REAL(rope_theta, 1, 1e15),
    REAL(compress_rope_theta, 1, 1e15),
    REAL(routed_scaling_factor, 0, 1e6),
    REAL(swiglu_limit, 0, 1e6),
    MAYBE_REAL("rope_scaling.factor", rope_factor, 1, 1e6),
    MAYBE_REAL("rope_scaling.beta_fast", rope_beta_fast, 0, 1e6),
    MAYBE_REAL("rope_scaling.beta_slow", rope_beta_slow, 0, 1e6),
    MAYBE("rope_scaling.original_max_position_embeddings", rope_original_max_position, 1,
          2147483647),
    MAYBE_ONLY("rope_scaling.type", "yarn"),
    MAYBE_ONLY("rope_scaling.rope_type", "yarn"),
    MAYBE_ONLY("hidden_act", "silu"),
    TEXT(model_type),
    { .path = "architectures", FIRST_STR, false, AT(architecture), ROOM(architecture) },
    MAYBE_TEXT("quantization_config.expert_dtype", expert_dtype), /* the root's wins */
    MAYBE_TEXT("expert_dtype", expert_dtype),
    TEXT(scoring_func),
    MAYBE_TEXT("topk_method", topk_method),
    MAYBE_TEXT("quantization_config.quant_method", quant_method),
    MAYBE_TEXT("quantization_config.fmt", quant_fmt),
    MAYBE_TEXT("quantization_config.scale_fmt", quant_scale_fmt),
    MAYBE_TEXT("quantization_config.activation_scheme", quant_activation),
    LIST("quantization_config.weight_block_size", false, weight_block, NOWHERE, 1, HEADS, 2, 2),
    MAYBE("dspark_block_size", dspark_block_size, 0, 1024),
    MAYBE("dspark_markov_rank", dspark_markov_rank, 0, DIM),
    MAYBE("dspark_noise_token_id", dspark_noise_token_id, 0, DIM),
    LIST("dspark_target_layer_ids", false, dspark_target_layer_ids,
         offsetof(rc_config, n_dspark_targets), 0, LAYERS, 0, RC_CONFIG_MAX_TARGETS),
};

enum { NROWS = sizeof rows / sizeof *rows };

/* What a model is may stand anywhere in the file, and a field that is odd here
 * may be right in another model: so the first bad field is kept aside, and
 * model_type is judged before it. */
typedef struct builder {
    rc_config *c;
    const rc_log *log;
    rc_err first;      /* the first bad field; code RC_OK when none */
    char path[96];     /* of the current key; "" when too long to be known */
    size_t parent_len; /* of its first part */
    const row *row;    /* of the current key, or NULL */
    unsigned key_depth;
    bool in_list; /* inside the row's array */
    uint32_t n;   /* elements seen there */
    bool seen[NROWS];
    bool has_text_config, warned;
} builder;

static bool is(const rc_json_event *ev, const char *s)
{
    return ev->len == strlen(s) && memcmp(ev->text, s, ev->len) == 0;
}

RC_PRINTF(5, 6)
static void bad_field(builder *b, rc_code code, const rc_json_event *ev, const char *what,
                      const char *want, ...)
{
    const bool quoted = ev->type == RC_JSON_STRING;
    char shown[64];
    va_list ap;

    if (b->first.code == RC_OK) {
        rc_fail(&b->first, code, ev->offset, "%s %s", b->path, what);
        va_start(ap, want);
        vsnprintf(b->first.want, sizeof b->first.want, want, ap);
        va_end(ap);
        rc_escape(shown, sizeof shown, ev->text, ev->len);
        rc_err_got(&b->first, quoted ? "\"%s\"" : "%s", shown);
    }
    b->row = NULL;
    b->in_list = false;
}

static void find_row(builder *b, unsigned depth)
{
    b->key_depth = depth;
    b->in_list = false;
    b->row = NULL;
    for (size_t i = 0; i < NROWS; i++)
        if (strcmp(rows[i].path, b->path) == 0)
            b->row = &rows[i];
}

static void on_key(builder *b, const rc_json_event *ev)
{
    static const char *const code_keys[] = { "auto_map", "custom_pipelines",
                                             "_attn_implementation_internal" };
    const size_t at = ev->depth == 1 ? 0 : b->parent_len + 1;

    if (ev->depth > 2) /* in something unknown, or in an object in a list */
        return;
    b->row = NULL;
    if (ev->depth == 1) {
        for (size_t i = 0; i < sizeof code_keys / sizeof *code_keys; i++)
            if (is(ev, code_keys[i]) && !b->warned) {
                rc_warn(b->log, NULL, NULL, ev->offset,
                        "%s names code; recast ignores it and runs nothing", code_keys[i]);
                b->warned = true;
            }
        b->has_text_config = b->has_text_config || is(ev, "text_config");
        b->parent_len = ev->len;
    }
    if ((ev->depth == 2 && b->parent_len == 0) || at + ev->len >= sizeof b->path ||
        memchr(ev->text, '.', ev->len)) {
        if (ev->depth == 1) {
            b->parent_len = 0; /* nothing below it is known either */
            b->path[0] = '\0';
        }
        return;
    }
    if (ev->depth == 2)
        b->path[b->parent_len] = '.';
    memcpy(b->path + at, ev->text, ev->len);
    b->path[at + ev->len] = '\0';
    find_row(b, ev->depth);
}

/* One number, for a U32 or an element of a U32_LIST. */
static void set_u32(builder *b, const rc_json_event *ev, size_t i)
{
    const row *r = b->row;
    uint32_t *out = (uint32_t *)(void *)((char *)b->c + r->offset);
    const bool number = ev->type == RC_JSON_NUMBER;
    uint64_t v = 0;

    if (!number || memchr(ev->text, '.', ev->len) || memchr(ev->text, 'e', ev->len) ||
        memchr(ev->text, 'E', ev->len))
        bad_field(b, RC_E_DATA, ev, "is not a whole number", "%.0f to %.0f", r->min, r->max);
    else if (!rc_json_u64(ev, &v) || (double)v < r->min || (double)v > r->max)
        bad_field(b, RC_E_DATA, ev, "is out of range", "%.0f to %.0f", r->min, r->max);
    else
        out[i] = (uint32_t)v;
}

static void set_f64(builder *b, const rc_json_event *ev)
{
    const row *r = b->row;
    double v;

    if (ev->type != RC_JSON_NUMBER)
        bad_field(b, RC_E_DATA, ev, "is not a number", "%g to %g", r->min, r->max);
    else if (!rc_json_f64(ev, &v) || !(v >= r->min && v <= r->max))
        bad_field(b, RC_E_DATA, ev, "is out of range", "%g to %g", r->min, r->max);
    else
        memcpy((char *)b->c + r->offset, &v, sizeof v);
}

static void set_str(builder *b, const rc_json_event *ev)
{
    const row *r = b->row;
    char *out = (char *)b->c + r->offset;

    if (ev->type != RC_JSON_STRING)
        bad_field(b, RC_E_DATA, ev, "is not a string", "a string");
    else if (ev->len >= (size_t)r->max)
        bad_field(b, RC_E_DATA, ev, "is too long", "under %.0f bytes", r->max);
    else {
        memcpy(out, ev->text, ev->len);
        out[ev->len] = '\0';
    }
}

static void end_list(builder *b, const rc_json_event *ev)
{
    const row *r = b->row;

    if (r->kind == U32_LIST && b->n < r->min_n)
        bad_field(b, RC_E_DATA, ev, "has too few elements", "%u", r->min_n);
    else if (r->count_offset != NOWHERE && r->kind == U32_LIST)
        memcpy((char *)b->c + r->count_offset, &b->n, sizeof b->n);
    b->row = NULL;
    b->in_list = false;
}

static void set_element(builder *b, const rc_json_event *ev)
{
    if (b->row->kind == FIRST_STR) {
        if (b->n++ == 0)
            set_str(b, ev);
    } else if (b->n == b->row->max_n) {
        bad_field(b, RC_E_DATA, ev, "has too many elements", "at most %u", b->row->max_n);
    } else {
        set_u32(b, ev, b->n++);
    }
}

static void set_field(builder *b, const rc_json_event *ev)
{
    const row *r = b->row;

    if ((ev->type == RC_JSON_NULL && !r->required) ||
        (r->offset == offsetof(rc_config, expert_dtype) && b->key_depth == 2 &&
         b->c->expert_dtype[0])) {
        b->row = NULL;
        return;
    }
    b->seen[r - rows] = true;
    switch (r->kind) {
    case U32:
        set_u32(b, ev, 0);
        break;
    case F64:
        set_f64(b, ev);
        break;
    case BOOL:
        if (ev->type == RC_JSON_TRUE || ev->type == RC_JSON_FALSE)
            *(bool *)((char *)b->c + r->offset) = ev->type == RC_JSON_TRUE;
        else
            bad_field(b, RC_E_DATA, ev, "is not true or false", "true or false");
        break;
    case STR:
        set_str(b, ev);
        break;
    case ONLY:
        if (!is(ev, r->only) || ev->type != RC_JSON_STRING)
            bad_field(b, RC_E_UNSUPPORTED, ev, "is not supported", "\"%s\"", r->only);
        break;
    case U32_LIST:
    case FIRST_STR:
        b->in_list = ev->type == RC_JSON_ARRAY;
        b->n = 0;
        if (!b->in_list)
            bad_field(b, RC_E_DATA, ev, "is not a list", "a list");
        break;
    }
    if (!b->in_list)
        b->row = NULL;
}

static rc_code on_event(void *ctx, const rc_json_event *ev, rc_err *err)
{
    builder *b = ctx;
    const bool end = ev->type == RC_JSON_OBJECT_END || ev->type == RC_JSON_ARRAY_END;

    if (ev->depth == 0) {
        if (ev->type != RC_JSON_OBJECT && !end)
            return rc_fail(err, RC_E_DATA, ev->offset, "config.json is not a JSON object");
        return RC_OK;
    }
    if (ev->type == RC_JSON_KEY) {
        on_key(b, ev);
        return RC_OK;
    }
    if (b->in_list) {
        if (ev->depth == b->key_depth + 1 && !end)
            set_element(b, ev);
        else if (ev->depth == b->key_depth)
            end_list(b, ev);
        return RC_OK;
    }
    if (b->row) {
        set_field(b, ev);
        return RC_OK;
    }
    if (end || ev->depth != 1)
        return RC_OK;
    if (strcmp(b->path, "quantization_config") == 0 || strcmp(b->path, "rope_scaling") == 0) {
        if (ev->type == RC_JSON_OBJECT)
            b->c->has_quantization |= b->path[0] == 'q';
        else if (ev->type != RC_JSON_NULL)
            bad_field(b, RC_E_DATA, ev, "is not an object", "an object");
    }
    return RC_OK;
}

static rc_code judge_model_type(const builder *b, rc_err *err)
{
    const char *type = b->c->model_type;
    char shown[64];

    const bool v4 = strcmp(type, "deepseek_v4") == 0;
    const bool nested = b->has_text_config && b->c->num_hidden_layers == 0;

    if (v4 && !nested)
        return RC_OK;
    if (strcmp(type, "deepseek_v41") == 0 || ((v4 || !type[0]) && nested)) {
        rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET,
                "a DeepSeek-V4.1 checkpoint (nested config, other layout): recognised, but not "
                "handled by this version");
        rc_err_want(err, "model_type deepseek_v4, flat");
        rc_err_got(err, "%s", v4 || !type[0] ? "a nested text_config" : type);
        return RC_E_UNSUPPORTED;
    }
    if (!type[0])
        return RC_OK; /* a missing field like any other */
    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "model_type is not supported");
    rc_err_want(err, "deepseek_v4");
    rc_err_got(err, "%s", rc_escape(shown, sizeof shown, type, strlen(type)));
    return RC_E_UNSUPPORTED;
}

/* Bounds that involve two fields. */
static rc_code judge_pairs(const rc_config *c, rc_err *err)
{
    const struct {
        bool bad;
        const char *what;
    } pairs[] = {
        { c->qk_rope_head_dim > c->head_dim, "qk_rope_head_dim is larger than head_dim" },
        { c->qk_rope_head_dim > c->index_head_dim,
          "qk_rope_head_dim is larger than index_head_dim" },
        { c->qk_rope_head_dim % 2 != 0, "qk_rope_head_dim is odd" },
        { c->num_attention_heads % c->o_groups != 0,
          "num_attention_heads is not a multiple of o_groups" },
        { c->num_experts_per_tok > c->n_routed_experts,
          "num_experts_per_tok is larger than n_routed_experts" },
        { c->num_hash_layers > c->num_hidden_layers,
          "num_hash_layers is larger than num_hidden_layers" },
        { c->n_compress_ratios < c->num_hidden_layers,
          "compress_ratios has fewer entries than num_hidden_layers" },
    };

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i].bad)
            return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "%s", pairs[i].what);
    return RC_OK;
}

static rc_code judge(const builder *b, rc_err *err)
{
    RC_TRY(judge_model_type(b, err));
    if (b->first.code != RC_OK) {
        if (err)
            *err = b->first;
        return b->first.code;
    }
    for (size_t i = 0; i < NROWS; i++)
        if (rows[i].required && !b->seen[i])
            return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "%s is missing", rows[i].path);
    return judge_pairs(b->c, err);
}

rc_code rc_config_parse(rc_config *out, const uint8_t *text, size_t len, const rc_log *log,
                        rc_mem *mem, rc_err *err)
{
    builder b = { .c = out, .log = log };

    memset(out, 0, sizeof *out);
    out->num_key_value_heads = 1;
    out->eos_token_id = 1;
    out->norm_topk_prob = true;
    out->rope_factor = out->rope_beta_slow = 1; /* without rope_scaling: no stretching */
    out->rope_beta_fast = 32;
    if (len > RC_CONFIG_MAX_BYTES) {
        rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "config.json is too large");
        rc_err_want(err, "at most %u bytes", RC_CONFIG_MAX_BYTES);
        rc_err_got(err, "%zu", len);
        return RC_E_LIMIT;
    }
    RC_TRY(rc_json_parse(text, len, 0, on_event, &b, mem, err));
    if (!out->rope_original_max_position)
        out->rope_original_max_position = out->max_position_embeddings;
    return judge(&b, err);
}
