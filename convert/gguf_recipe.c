/* convert/gguf_recipe.c - see gguf_recipe.h. */
#include "convert/gguf_recipe.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SHOWN = 240 }; /* bytes of the text that the ledger shows */

typedef struct rule {
    const char *pattern;
    rc_dtype dtype;
    bool exact; /* names one tensor: it must fit */
    bool used;
} rule;

/* What a preset gives: experts first, then what surrounds them. */
typedef struct preset {
    const char *name;
    rc_dtype gate_up, down; /* of routed experts */
    rc_dtype dense;         /* of what the native release has in FP8 */
    bool ds4;
} preset;

#define EXPERTS(type, dense) type, type, dense, false

static const preset presets[] = {
    { "mxfp4", EXPERTS(RC_DTYPE_MXFP4, RC_DTYPE_Q8_0) },
    { "mxfp4-bf16", EXPERTS(RC_DTYPE_MXFP4, RC_DTYPE_BF16) },
    { "q8_0", EXPERTS(RC_DTYPE_Q8_0, RC_DTYPE_Q8_0) },
    { "q6_k", EXPERTS(RC_DTYPE_Q6_K, RC_DTYPE_Q8_0) },
    { "q5_k", EXPERTS(RC_DTYPE_Q5_K, RC_DTYPE_Q8_0) },
    { "q4_k", EXPERTS(RC_DTYPE_Q4_K, RC_DTYPE_Q8_0) },
    { "q3_k", EXPERTS(RC_DTYPE_Q3_K, RC_DTYPE_Q8_0) },
    { "q2_k", EXPERTS(RC_DTYPE_Q2_K, RC_DTYPE_Q8_0) },
    { "iq4_xs", EXPERTS(RC_DTYPE_IQ4_XS, RC_DTYPE_Q8_0) },
    { "iq2_xxs", EXPERTS(RC_DTYPE_IQ2_XXS, RC_DTYPE_Q8_0) },
    { "bf16", EXPERTS(RC_DTYPE_BF16, RC_DTYPE_BF16) },
    { "f16", EXPERTS(RC_DTYPE_F16, RC_DTYPE_F16) },
    { "ds4-q2", RC_DTYPE_IQ2_XXS, RC_DTYPE_Q2_K, RC_DTYPE_Q8_0, true },
    { "ds4-q4", RC_DTYPE_Q4_K, RC_DTYPE_Q4_K, RC_DTYPE_Q8_0, true },
};

struct rc_gguf_recipe {
    rc_arena arena;
    rc_mem *mem;
    const preset *preset;
    rule *rules;
    unsigned nrules;
    char text[SHOWN];
};

const char *rc_gguf_presets(void)
{
    return "mxfp4|mxfp4-bf16|q8_0|q6_k|q5_k|q4_k|q3_k|q2_k|iq4_xs|iq2_xxs|bf16|f16|ds4-q2|ds4-q4";
}

/* ------------------------------------------------------------------- rules */

/* The types that a rule may name. */
static bool type_of(const char *name, size_t len, rc_dtype *out)
{
    static const rc_dtype allowed[] = {
        RC_DTYPE_F32,     RC_DTYPE_F16,    RC_DTYPE_BF16,  RC_DTYPE_Q4_0, RC_DTYPE_Q8_0,
        RC_DTYPE_Q2_K,    RC_DTYPE_Q3_K,   RC_DTYPE_Q4_K,  RC_DTYPE_Q5_K, RC_DTYPE_Q6_K,
        RC_DTYPE_IQ2_XXS, RC_DTYPE_IQ4_XS, RC_DTYPE_MXFP4,
    };

    for (unsigned i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        const char *want = rc_dtype_name(allowed[i]);

        if (strlen(want) == len && strncasecmp(want, name, len) == 0) {
            *out = allowed[i];
            return true;
        }
    }
    return false;
}

static void trim(const char **s, size_t *len)
{
    while (*len && isspace((unsigned char)**s)) {
        (*s)++;
        (*len)--;
    }
    while (*len && isspace((unsigned char)(*s)[*len - 1]))
        (*len)--;
}

/* "PATTERN = TYPE"; says in `why` what is wrong with it. */
static bool parse_rule(rc_gguf_recipe *r, const char *line, size_t len, char *why, size_t nwhy)
{
    const char *eq = memchr(line, '=', len), *type;
    size_t pattern_len, type_len;
    rule *to = &r->rules[r->nrules];
    char *pattern;

    if (!eq) {
        snprintf(why, nwhy, "no '=' in it; a rule is PATTERN = TYPE");
        return false;
    }
    pattern_len = (size_t)(eq - line);
    type = eq + 1;
    type_len = len - pattern_len - 1;
    trim(&line, &pattern_len);
    trim(&type, &type_len);
    if (!pattern_len || !type_of(type, type_len, &to->dtype)) {
        snprintf(why, nwhy, pattern_len ? "'%.*s' is no type that recast writes" : "no pattern%.*s",
                 (int)(type_len < 40 ? type_len : 40), type);
        return false;
    }
    pattern = rc_arena_strdup(&r->arena, line, pattern_len);
    if (!pattern) {
        snprintf(why, nwhy, "no memory");
        return false;
    }
    to->pattern = pattern;
    to->exact = pattern[0] != '@' && !strpbrk(pattern, "*?[");
    r->nrules++;
    return true;
}

static bool is_role(const char *pattern)
{
    for (unsigned i = 0; i < RC_ROLE_COUNT; i++)
        if (strcmp(pattern + 1, rc_role_name((rc_role)i)) == 0)
            return true;
    return false;
}

static rc_code add_rule(rc_gguf_recipe *r, const char *line, size_t len, rc_code code,
                        uint64_t offset, rc_err *err)
{
    char why[160];

    if (r->nrules == RC_GGUF_RECIPE_MAX_RULES)
        return rc_fail(err, RC_E_LIMIT, offset, "more than %u rules", RC_GGUF_RECIPE_MAX_RULES);
    if (!parse_rule(r, line, len, why, sizeof why))
        return rc_fail(err, code, offset, "%.*s: %s", (int)(len < 60 ? len : 60), line, why);
    if (r->rules[r->nrules - 1].pattern[0] == '@' && !is_role(r->rules[r->nrules - 1].pattern)) {
        rc_fail(err, code, offset, "'%.60s' is no role", r->rules[r->nrules - 1].pattern);
        rc_err_hint(err, "roles are those of the table of recast inspect: @expert, @attn, ..");
        return code;
    }
    return RC_OK;
}

static rc_code add_lines(rc_gguf_recipe *r, const char *text, size_t len, rc_err *err)
{
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at), *line = text + at;
        size_t n = end ? (size_t)(end - line) : len - at;
        const char *comment = memchr(line, '#', n);
        const size_t whole = n;

        if (comment)
            n = (size_t)(comment - line);
        trim(&line, &n);
        if (n)
            RC_TRY(add_rule(r, line, n, RC_E_DATA, (uint64_t)(line - text), err));
        at += whole + 1;
    }
    return RC_OK;
}

/* A preset with the rules that come before it, as far as they fit. */
static void describe(rc_gguf_recipe *r)
{
    int at = snprintf(r->text, sizeof r->text, "%s", r->preset->name);

    for (unsigned i = 0; i < r->nrules && (size_t)at < sizeof r->text; i++)
        at += snprintf(r->text + at, sizeof r->text - (size_t)at, " %s=%s", r->rules[i].pattern,
                       rc_dtype_name(r->rules[i].dtype));
}

static rc_code fill(rc_gguf_recipe *r, const char *name, const char *file_name, const char *file,
                    size_t file_len, const char *const *rules, unsigned n, rc_err *err)
{
    for (unsigned i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcasecmp(presets[i].name, name) == 0)
            r->preset = &presets[i];
    if (!r->preset) {
        rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "'%.40s' is no recipe of gguf", name);
        rc_err_want(err, "%s", rc_gguf_presets());
        for (unsigned i = 0; i < sizeof presets / sizeof *presets; i++)
            if (strncasecmp(presets[i].name, name, strlen(presets[i].name)) == 0)
                rc_err_hint(err,
                            "mixes such as Q4_K_M are llama-quantize's; %s gives all experts one "
                            "type, --type changes some of them",
                            presets[i].name);
        return RC_E_USAGE;
    }
    r->rules = rc_arena_get(&r->arena, RC_GGUF_RECIPE_MAX_RULES * sizeof *r->rules);
    if (!r->rules)
        return rc_fail_nomem(err, r->mem, RC_GGUF_RECIPE_MAX_RULES * sizeof *r->rules);
    for (unsigned i = 0; i < n; i++)
        RC_TRY(add_rule(r, rules[i], strlen(rules[i]), RC_E_USAGE, RC_NO_OFFSET, err));
    if (file && add_lines(r, file, file_len, err) != RC_OK) {
        rc_err_file(err, file_name);
        return err ? err->code : RC_E_DATA;
    }
    describe(r);
    return RC_OK;
}

rc_code rc_gguf_recipe_new(rc_gguf_recipe **out, const char *name, const char *file_name,
                           const char *file, size_t file_len, const char *const *rules, unsigned n,
                           rc_mem *mem, rc_err *err)
{
    rc_gguf_recipe *r = rc_mem_get(mem, sizeof *r);
    rc_code rc;

    *out = r;
    if (!r)
        return rc_fail_nomem(err, mem, sizeof *r);
    r->mem = mem;
    r->arena.mem = mem;
    rc = fill(r, name, file_name, file, file_len, rules, n, err);
    if (rc != RC_OK)
        rc_gguf_recipe_free(out);
    return rc;
}

void rc_gguf_recipe_free(rc_gguf_recipe **rp)
{
    rc_gguf_recipe *r = *rp;

    *rp = NULL;
    if (!r)
        return;
    rc_arena_free(&r->arena);
    rc_mem_put(r->mem, r);
}

const char *rc_gguf_recipe_preset(const rc_gguf_recipe *r)
{
    return r->preset->name;
}

bool rc_gguf_recipe_is_ds4(const rc_gguf_recipe *r)
{
    return r->preset->ds4;
}

const char *rc_gguf_recipe_text(const rc_gguf_recipe *r)
{
    return r->text;
}

/* ------------------------------------------------------------------ choice */

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);

    return n >= k && strcmp(s + n - k, end) == 0;
}

/* Read in one type by every loader. */
static bool fixed(const rc_gguf_asked *a, rc_dtype *dtype)
{
    *dtype = a->param->dtype == RC_DTYPE_I64 ? RC_DTYPE_I32 : RC_DTYPE_F32;
    return a->param->rank < 2 || *dtype == RC_DTYPE_I32;
}

/* Small matrices that steer the model: never in blocks. */
static bool is_control(const rc_gguf_asked *a)
{
    return a->param->role == RC_ROLE_HC || ends_with(a->name, "_ape.weight");
}

/* The type table of ds4: HC, compressors, indexer, router and embedding in F16. */
static rc_dtype ds4_type(const rc_gguf_asked *a)
{
    switch (a->param->role) {
    case RC_ROLE_EMBED:
    case RC_ROLE_HC:
    case RC_ROLE_COMPRESSOR:
    case RC_ROLE_INDEXER:
    case RC_ROLE_ROUTER:
        return RC_DTYPE_F16;
    default:
        return RC_DTYPE_Q8_0;
    }
}

static rc_dtype preset_type(const preset *p, const rc_gguf_asked *a)
{
    if (a->param->role == RC_ROLE_EXPERT)
        return ends_with(a->name, "ffn_down_exps.weight") ? p->down : p->gate_up;
    if (p->ds4)
        return ds4_type(a);
    if (a->param->quant == RC_QUANT_DENSE)
        return p->dense;
    return a->param->dtype; /* BF16 and F32 as they are */
}

static bool fits(rc_dtype dtype, uint64_t cols)
{
    return cols % rc_dtype_block(dtype) == 0;
}

static bool rule_matches(const rule *r, const rc_gguf_asked *a)
{
    if (r->pattern[0] == '@')
        return strcmp(r->pattern + 1, rc_role_name(a->param->role)) == 0;
    return fnmatch(r->pattern, a->name, 0) == 0;
}

static rc_code refuse_rule(const rule *r, const rc_gguf_asked *a, rc_err *err)
{
    rc_dtype only;

    rc_fail(err, RC_E_UNSUPPORTED, RC_NO_OFFSET, "cannot be %s, which '%.60s' asks for",
            rc_dtype_name(r->dtype), r->pattern);
    rc_err_tensor(err, a->name);
    if (fixed(a, &only)) {
        rc_err_want(err, "%s: loaders read it in no other type", rc_dtype_name(only));
        return RC_E_UNSUPPORTED;
    }
    if (is_control(a)) {
        rc_err_want(err, "F32, F16 or BF16: it steers the model");
        return RC_E_UNSUPPORTED;
    }
    rc_err_want(err, "rows of a multiple of %u", rc_dtype_block(r->dtype));
    rc_err_got(err, "%" PRIu64 "; %s would fit", a->cols,
               fits(RC_DTYPE_Q8_0, a->cols) ? "Q8_0, Q4_0, BF16, F16" : "BF16, F16, F32");
    return RC_E_UNSUPPORTED;
}

rc_code rc_gguf_recipe_choose(rc_gguf_recipe *recipe, const rc_gguf_asked *a, rc_gguf_choice *out,
                              rc_err *err)
{
    const bool by_format = fixed(a, &out->dtype);
    bool decided = by_format;

    for (unsigned i = 0; i < recipe->nrules; i++) {
        rule *r = &recipe->rules[i];

        if (!rule_matches(r, a))
            continue;
        r->used = true;
        if (decided && by_format && r->exact && r->dtype != out->dtype)
            return refuse_rule(r, a, err);
        if (decided)
            continue; /* by the format, or by an earlier rule */
        if (is_control(a) && rc_dtype_block(r->dtype) > 1) {
            if (r->exact)
                return refuse_rule(r, a, err);
            continue; /* a pattern that means other tensors */
        }
        if (!fits(r->dtype, a->cols))
            return refuse_rule(r, a, err);
        out->dtype = r->dtype;
        decided = true;
    }
    out->refused = out->dtype;
    if (decided)
        return RC_OK;
    out->refused = out->dtype = preset_type(recipe->preset, a);
    if (!fits(out->dtype, a->cols))
        out->dtype = fits(RC_DTYPE_Q8_0, a->cols) ? RC_DTYPE_Q8_0 : RC_DTYPE_BF16;
    return RC_OK;
}

rc_code rc_gguf_recipe_check_used(const rc_gguf_recipe *r, rc_err *err)
{
    for (unsigned i = 0; i < r->nrules; i++)
        if (!r->rules[i].used) {
            rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "the rule '%.80s = %s' matches no tensor",
                    r->rules[i].pattern, rc_dtype_name(r->rules[i].dtype));
            rc_err_hint(err, "names are GGUF's (blk.3.ffn_down_exps.weight); --dry-run lists them");
            return RC_E_USAGE;
        }
    return RC_OK;
}
