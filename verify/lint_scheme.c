/* verify/lint_scheme.c - see lint_scheme.h. */
#include "verify/lint_scheme.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "verify/pattern.h"

/* -- names ------------------------------------------------------------------ */

typedef enum match { NO, YES, UNKNOWN } match;

/* vLLM maps plain names as it maps the checkpoint's: "layers.0" is "model.layers.0". SGLang's
 * `ignore` may be the end of a name. */
static bool same_name(const char *target, const char *name, rc_engine engine, bool ignore)
{
    const size_t n = strlen(name), k = strlen(target);

    if (strcmp(target, name) == 0)
        return true;
    if (engine == RC_ENGINE_SGLANG)
        return ignore && n > k && name[n - k - 1] == '.' && strcmp(name + n - k, target) == 0;
    return strncmp(target, "layers.", 7) == 0 && strncmp(name, "model.", 6) == 0 &&
           strcmp(name + 6, target) == 0;
}

static match matches(const rc_json_node *target, const char *name, rc_engine engine, bool ignore)
{
    if (!rc_json_is(target, RC_JSON_STRING))
        return NO;
    if (strncmp(target->text, "re:", 3) != 0)
        return same_name(target->text, name, engine, ignore) ? YES : NO;
    switch (rc_pattern_match(target->text + 3, name)) {
    case RC_PATTERN_YES:
        return YES;
    case RC_PATTERN_NO:
        return NO;
    default:
        return UNKNOWN;
    }
}

static const rc_json_node *items(const rc_json_node *list)
{
    return rc_json_is(list, RC_JSON_ARRAY) ? list->child : NULL;
}

/* Is the name in a list? An unknown pattern counts when nothing else is there. */
static match in_list(const rc_json_node *list, const char *name, rc_engine engine, bool ignore,
                     const char **pattern)
{
    match found = NO;

    for (const rc_json_node *t = items(list); t; t = t->next) {
        const match m = matches(t, name, engine, ignore);

        if (m == YES)
            return YES;
        if (m == UNKNOWN && found == NO) {
            *pattern = t->text;
            found = UNKNOWN;
        }
    }
    return found;
}

/* -- compressed-tensors -------------------------------------------------------- */

static bool is_text(const rc_json_node *object, const char *key, const char *want)
{
    const char *got;

    return rc_lint_str(object, key, &got) && strcmp(got, want) == 0;
}

static bool is_block_128(const rc_json_node *weights)
{
    const rc_json_node *b = items(rc_json_member(weights, "block_structure"));

    return b && b->next && !b->next->next && b->text && b->next->text &&
           strcmp(b->text, "128") == 0 && strcmp(b->next->text, "128") == 0;
}

void rc_lint_read_group(rc_lint_answer *out, const rc_json_node *group)
{
    const rc_json_node *w = rc_json_member(group, "weights");
    uint64_t bits = 8;

    *out = (rc_lint_answer){ .scheme = RC_LINT_OTHER, .group = group, .symmetric = true };
    (void)rc_lint_u64(w, "num_bits", &bits);
    if (rc_json_is(rc_json_member(w, "symmetric"), RC_JSON_FALSE))
        out->symmetric = false;
    if (bits == 4 && !is_text(w, "type", "float") && !rc_json_member(group, "input_activations") &&
        rc_lint_u64(w, "group_size", &out->size))
        out->scheme = RC_LINT_INT4;
    else if (bits == 8 && is_text(w, "type", "float") && is_text(w, "strategy", "block") &&
             is_block_128(w) && rc_json_member(group, "input_activations"))
        out->scheme = RC_LINT_FP8;
}

/* `ignore`: the module itself, or all of its shards. */
static match is_ignored(const rc_lint_facts *f, rc_engine engine, const rc_lint_module *m,
                        rc_lint_answer *out)
{
    const rc_json_node *ignore = rc_json_member(f->quant, "ignore");
    const match whole = in_list(ignore, m->name, engine, true, &out->pattern);
    match a, b;

    if (whole != NO || !m->shard[0])
        return whole;
    a = in_list(ignore, m->shard[0], engine, true, &out->pattern);
    b = in_list(ignore, m->shard[1], engine, true, &out->pattern);
    if (a == UNKNOWN || b == UNKNOWN)
        return UNKNOWN;
    if (a != b)
        out->scheme = RC_LINT_SPLIT;
    return a == YES && b == YES ? YES : NO;
}

/* The first group one of whose targets matches, in one of the three ways that are tried in turn. */
enum { BY_NAME, BY_SHARDS, BY_CLASS };

static match targeted(const rc_json_node *list, const rc_lint_module *m, rc_engine engine,
                      unsigned way, const char **pattern)
{
    if (way == BY_NAME)
        return in_list(list, m->name, engine, false, pattern);
    if (way == BY_SHARDS) {
        match a, b;

        if (!m->shard[0])
            return NO;
        a = in_list(list, m->shard[0], engine, false, pattern);
        b = in_list(list, m->shard[1], engine, false, pattern);
        return a == YES && b == YES ? YES : a == UNKNOWN || b == UNKNOWN ? UNKNOWN : NO;
    }
    for (const rc_json_node *t = items(list); t; t = t->next)
        if (rc_json_is(t, RC_JSON_STRING) && strcasecmp(t->text, "Linear") == 0)
            return YES;
    return NO;
}

static void look_up_ct(rc_lint_answer *out, const rc_lint_facts *f, rc_engine engine,
                       const rc_lint_module *m)
{
    const rc_json_node *groups = rc_json_member(f->quant, "config_groups");
    match found;

    if (engine == RC_ENGINE_SGLANG && !m->moe && rc_json_member(f->quant, "linear_fp8_config")) {
        out->scheme = RC_LINT_FP8_NATIVE;
        return;
    }
    found = is_ignored(f, engine, m, out);
    if (out->scheme == RC_LINT_SPLIT)
        return;
    if (found != NO) {
        out->scheme = found == YES ? RC_LINT_LEFT : RC_LINT_UNCLEAR;
        return;
    }
    for (unsigned way = BY_NAME; way <= BY_CLASS; way++)
        for (const rc_json_node *g = rc_json_is(groups, RC_JSON_OBJECT) ? groups->child : NULL; g;
             g = g->next) {
            const char *pattern = NULL;

            found = targeted(rc_json_member(g, "targets"), m, engine, way, &pattern);
            if (found == NO)
                continue;
            rc_lint_read_group(out, g);
            if (found == UNKNOWN) {
                out->scheme = RC_LINT_UNCLEAR;
                out->pattern = pattern;
            }
            return;
        }
    out->scheme = RC_LINT_UNNAMED;
}

/* -- AWQ ------------------------------------------------------------------------- */

/* Experts are one module there: "e_proj" is part of "gate_proj", but not of their name. */
static void cut_experts(char out[256], const rc_lint_module *m)
{
    const char *end = m->moe ? strstr(m->name, ".experts.") : NULL;

    snprintf(out, 256, "%.*s", (int)(end ? (size_t)(end - m->name) + strlen(".experts") : 255),
             m->name);
}

static bool contains(const char *part, const char *name, rc_engine engine)
{
    char mapped[256];

    if (engine == RC_ENGINE_VLLM && strncmp(part, "layers.", 7) == 0) {
        snprintf(mapped, sizeof mapped, "model.%s", part);
        return strstr(name, mapped) != NULL;
    }
    return strstr(name, part) != NULL;
}

static void look_up_awq(rc_lint_answer *out, const rc_lint_facts *f, rc_engine engine,
                        const rc_lint_module *m)
{
    char name[256];

    cut_experts(name, m);
    *out = (rc_lint_answer){ .scheme = RC_LINT_INT4 };
    if (!rc_lint_u64(f->quant, "group_size", &out->size))
        (void)rc_lint_u64(f->quant, "q_group_size", &out->size);
    for (const rc_json_node *t = items(rc_json_member(f->quant, "modules_to_not_convert")); t;
         t = t->next)
        if (rc_json_is(t, RC_JSON_STRING) && contains(t->text, name, engine))
            out->scheme = RC_LINT_LEFT;
}

void rc_lint_look_up(rc_lint_answer *out, const rc_lint_facts *f, rc_engine engine,
                     const rc_lint_module *m)
{
    *out = (rc_lint_answer){ .scheme = RC_LINT_UNNAMED };
    if (f->layout == RC_LINT_AWQ)
        look_up_awq(out, f, engine, m);
    else
        look_up_ct(out, f, engine, m);
}

const char *rc_lint_scheme_says(const rc_lint_answer *a, char buf[96])
{
    static const char *const says[] = {
        [RC_LINT_LEFT] = "not quantized",
        [RC_LINT_INT4] = "",
        [RC_LINT_FP8] = "FP8 in blocks, .weight_scale",
        [RC_LINT_FP8_NATIVE] = "FP8 in blocks, .scale",
        [RC_LINT_OTHER] = "another scheme",
        [RC_LINT_UNNAMED] = "no group, and not in ignore",
        [RC_LINT_SPLIT] = "parts of one module in and not in ignore",
        [RC_LINT_UNCLEAR] = "a pattern that is not understood",
    };

    if (a->scheme == RC_LINT_INT4)
        snprintf(buf, 96, "4-bit integers, groups of %" PRIu64 "%s", a->size,
                 a->symmetric ? ", symmetric" : ", zero points");
    else
        snprintf(buf, 96, "%s", says[a->scheme]);
    return buf;
}
