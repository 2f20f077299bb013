/* convert/cmd_convert_to.c - see cmd_convert_to.h. */
#include "convert/cmd_convert_to.h"

#include <stdio.h>
#include <string.h>

#include "formats/base/io.h"
#include "formats/cmd_source.h"

bool rc_to_is_gguf(const rc_to *to)
{
    return strcmp(to->format, "gguf") == 0 || strncmp(to->format, "gguf:", 5) == 0;
}

static rc_plan_target target_of(const rc_to *to)
{
    static const char *const words[] = { "fp8", "bf16", "awq", "w4a16" };

    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(to->format, words[i]) == 0)
            return (rc_plan_target)i;
    return RC_TO_GGUF;
}

static rc_draft_way draft_of(const rc_to *to)
{
    static const char *const words[] = { "keep", "drop", "embed", "separate" };

    for (unsigned i = 0; to->words.draft && i < sizeof words / sizeof *words; i++)
        if (strcmp(to->words.draft, words[i]) == 0)
            return (rc_draft_way)i;
    return rc_to_is_gguf(to) ? RC_DRAFT_AUTO : RC_DRAFT_KEEP;
}

/* --------------------------------------------------------------- what fits */

/* Options in groups that go with the same formats. */
enum {
    SCALES = 1,
    GGUF = 2,
    FOLDER = 4,
    INT4 = 8,
    SYMMETRIC = 16,
    DRAFT_IN = 32,     /* keep */
    DRAFT_BESIDE = 64, /* embed, separate */
    ALL = 127
};

static unsigned groups_of(const rc_to *to)
{
    switch (target_of(to)) {
    case RC_TO_FP8:
        return SCALES | FOLDER | DRAFT_IN;
    case RC_TO_BF16:
        return FOLDER | DRAFT_IN;
    case RC_TO_AWQ:
        return INT4 | FOLDER | DRAFT_IN;
    case RC_TO_W4A16:
        return INT4 | SYMMETRIC | FOLDER | DRAFT_IN;
    default:
        return GGUF | DRAFT_BESIDE;
    }
}

static bool draft_is_in(const rc_to_words *w)
{
    return w->draft && strcmp(w->draft, "keep") == 0;
}

static bool draft_is_beside(const rc_to_words *w)
{
    return w->draft && (strcmp(w->draft, "embed") == 0 || strcmp(w->draft, "separate") == 0);
}

/* Leave out the options of these groups. */
static void leave_out(rc_to_words *w, unsigned groups)
{
    if (groups & SCALES)
        w->scale_dtype = NULL;
    if (groups & GGUF) {
        w->recipe = w->imatrix = w->effort = NULL;
        w->types.n = 0;
        w->split_size = 0;
        w->hollow = false;
    }
    if (groups & FOLDER) {
        w->tensors.n = 0;
        w->shard_size = 0;
    }
    if (groups & SYMMETRIC)
        w->int4.symmetric = false;
    if (groups & INT4)
        w->int4 = (rc_int4_words){ .symmetric = w->int4.symmetric };
    if ((groups & DRAFT_IN && draft_is_in(w)) || (groups & DRAFT_BESIDE && draft_is_beside(w)))
        w->draft = NULL;
}

/* What goes with one format and not with another: -1, or the exit code of a usage error. */
static int check_words(const rc_to *to, const char *src)
{
    const rc_to_words *w = &to->words;
    const bool gguf = rc_to_is_gguf(to);
    int code;

    if (!gguf && target_of(to) == RC_TO_GGUF)
        return rc_cli_usage("--to %s: there are fp8, bf16, awq, w4a16 and gguf:RECIPE", to->format);
    code = rc_int4_check(&w->int4, to->format, src);
    if (code >= 0)
        return code;
    if (w->scale_dtype && strcmp(to->format, "fp8") != 0)
        return rc_cli_usage("--scale-dtype goes with --to fp8, not with --to %s", to->format);
    if (!gguf && (w->hollow || w->recipe || w->types.n || w->imatrix || w->effort || w->split_size))
        return rc_cli_usage(
            "--recipe, --type, --imatrix, --effort, --split-size and --hollow go "
            "with --to gguf, not with --to %s%s",
            to->format,
            w->imatrix && rc_int4_is_target(to->format) ? "; --stats takes the same file" : "");
    if (gguf && (w->tensors.n || w->shard_size))
        return rc_cli_usage(
            "%s does not go with --to gguf%s", w->tensors.n ? "--tensors" : "--shard-size",
            w->tensors.n ? ": a part of a model is no GGUF file" : "; --split-size does");
    if (gguf ? draft_is_in(w) : draft_is_beside(w))
        return rc_cli_usage("--draft %s does not go with --to %s", w->draft, to->format);
    return -1;
}

/* Each target gets what goes with it; what goes with none is told as of the first. */
static int share_words(rc_to_list *list, const rc_to_words *words, const char *src)
{
    unsigned used = 0;
    rc_to rest;

    for (size_t i = 0; i < list->n; i++) {
        rc_to *to = &list->at[i];
        int code;

        to->words = *words;
        if (list->n > 1)
            leave_out(&to->words, ALL & ~groups_of(to));
        used |= groups_of(to);
        code = check_words(to, src);
        if (code >= 0)
            return code;
    }
    if (list->n > 1 && words->hollow)
        return rc_cli_usage("--hollow goes with one --to");
    rest = list->at[0];
    rest.words = *words;
    leave_out(&rest.words, used);
    return list->n > 1 ? check_words(&rest, src) : -1;
}

/* "FORMAT=DST", or "FORMAT" with the second argument for DST. */
static int parse_one(rc_to *to, const char *value, const char **dst, unsigned nto)
{
    const char *equals = strchr(value, '=');
    const size_t len = equals ? (size_t)(equals - value) : strlen(value);

    if (!len || len >= sizeof to->format)
        return rc_cli_usage("--to %.80s: FORMAT, or FORMAT=DST", value);
    memcpy(to->format, value, len);
    if (equals && !equals[1])
        return rc_cli_usage("--to %s: nothing follows the '='", value);
    to->dst = equals ? equals + 1 : *dst;
    if (!equals)
        *dst = NULL;
    if (!to->dst)
        return nto > 1 ? rc_cli_usage("--to %s needs a DST of its own: --to %s=DST", value, value)
                       : rc_cli_usage("convert needs a DST: recast convert SRC DST --to %s", value);
    return rc_cmd_refuse_address(to->dst);
}

int rc_to_parse(rc_to_list *out, const rc_opt_list *to, const char *dst, const rc_to_words *words,
                const char *src)
{
    *out = (rc_to_list){ 0 };
    if (!to->n)
        return rc_cli_usage("convert needs --to fp8, bf16, awq, w4a16 or gguf:RECIPE");
    if (to->n > RC_CONVERT_TARGETS)
        return rc_cli_usage("more than %u targets", RC_CONVERT_TARGETS);
    for (; out->n < to->n; out->n++) {
        const int code = parse_one(&out->at[out->n], to->at[out->n], &dst, to->n);

        if (code >= 0)
            return code;
    }
    if (dst)
        return rc_cli_usage("every --to has its own DST; what is %s for?", dst);
    return share_words(out, words, src);
}

/* ----------------------------------------------------------------- recipes */

/* A recipe file, wherever it lies. */
static rc_code slurp(const char *path, char **text, size_t *len, rc_mem *mem, rc_err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char folder[4096];
    rc_dir dir;
    rc_code rc;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    RC_TRY(rc_dir_open(&dir, folder, false, err));
    if (rc_dir_stat(&dir, name, NULL)) {
        rc = rc_dir_slurp(&dir, name, RC_GGUF_RECIPE_MAX_BYTES, text, len, mem, err);
    } else {
        rc = rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "there is no such file");
        rc_err_file(err, path);
    }
    rc_dir_close(&dir);
    return rc;
}

static rc_code load_gguf(rc_to *to, rc_mem *mem, rc_err *err)
{
    const rc_to_words *w = &to->words;
    char *text = NULL;
    size_t len = 0;
    rc_code rc;

    RC_TRY(rc_convert_stem(to->dst, to->stem, err));
    if (w->recipe)
        RC_TRY(slurp(w->recipe, &text, &len, mem, err));
    rc = rc_gguf_recipe_new(&to->gguf, to->format[4] ? to->format + 5 : "mxfp4", w->recipe, text,
                            len, w->types.at, w->types.n, mem, err);
    rc_mem_put(mem, text);
    if (rc == RC_OK && w->imatrix)
        rc = rc_imatrix_open(&to->imatrix, w->imatrix, rc_cli_log(), mem, err);
    return rc;
}

rc_code rc_to_load(rc_to *to, rc_mem *mem, rc_err *err)
{
    const rc_to_words *w = &to->words;
    const char *slash = w->imatrix ? strrchr(w->imatrix, '/') : NULL;
    rc_recipe *r = &to->recipe;

    *r = (rc_recipe){ .target = target_of(to),
                      .scale_dtype = RC_DTYPE_F32,
                      .draft = draft_of(to),
                      .shard_size = w->shard_size ? w->shard_size : w->split_size,
                      .globs = w->tensors.at,
                      .nglobs = w->tensors.n };
    if (w->scale_dtype && strcmp(w->scale_dtype, "e8m0") == 0)
        r->scale_dtype = RC_DTYPE_F8_E8M0;
    if (!rc_to_is_gguf(to))
        return RC_OK;
    RC_TRY(load_gguf(to, mem, err));
    r->gguf = to->gguf;
    r->imatrix = to->imatrix;
    r->imatrix_name = slash ? slash + 1 : w->imatrix;
    r->effort = w->effort && strcmp(w->effort, "best") == 0 ? RC_EFFORT_BEST : RC_EFFORT_REFERENCE;
    r->stem = to->stem;
    return RC_OK;
}

rc_code rc_to_resolve(rc_to *to, const rc_model *model, rc_mem *mem, rc_err *err)
{
    if (!rc_int4_is_target(to->format))
        return RC_OK;
    return rc_int4_recipe_of(&to->recipe.int4, &to->stats, &to->words.int4, to->format, model, mem,
                             err);
}

void rc_to_drop(rc_to *to)
{
    rc_gguf_recipe_free(&to->gguf);
    rc_imatrix_free(&to->imatrix);
    rc_calib_free(&to->stats);
}
