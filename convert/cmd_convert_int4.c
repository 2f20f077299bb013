/* convert/cmd_convert_int4.c - see cmd_convert_int4.h. */
#include "convert/cmd_convert_int4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/plan_int4.h"

static bool is(const char *word, const char *what)
{
    return word && strcmp(word, what) == 0;
}

bool rc_int4_is_target(const char *to)
{
    return is(to, "awq") || is(to, "w4a16");
}

/* The first option that was given of those that choose integers, or NULL. */
static const char *first_given(const rc_int4_words *w)
{
    return w->group        ? "--group"
           : w->symmetric  ? "--symmetric"
           : w->asymmetric ? "--asymmetric"
           : w->scope      ? "--scope"
           : w->stats      ? "--stats"
           : w->method     ? "--method"
           : w->smooth     ? "--smooth"
                           : NULL;
}

static int check_statistics(const rc_int4_words *w, const char *src)
{
    const bool searches = is(w->method, "awq") || is(w->method, "awq+");
    const bool smooths = w->smooth && !is(w->smooth, "off");

    if (!w->stats && searches)
        return rc_cli_usage("--method %s needs --stats FILE: recast calibrate %s --text TEXT -o "
                            "FILE makes one",
                            w->method, src);
    if (!w->stats && smooths)
        return rc_cli_usage("--smooth %s needs --stats FILE: recast calibrate %s --text TEXT -o "
                            "FILE makes one",
                            w->smooth, src);
    if (w->stats && is(w->method, "rtn"))
        return rc_cli_usage("--method rtn uses no statistics: without --stats, or --method awq");
    return -1;
}

int rc_int4_check(const rc_int4_words *w, const char *to, const char *src)
{
    const char *given = first_given(w);

    if (!rc_int4_is_target(to)) {
        given = given ? given : w->names ? "--names" : NULL;
        return given ? rc_cli_usage("%s goes with --to awq and --to w4a16, not with --to %s%s",
                                    given, to,
                                    w->stats && strncmp(to, "gguf", 4) == 0
                                        ? "; --imatrix takes the same file"
                                        : "")
                     : -1;
    }
    if (w->symmetric && is(to, "awq"))
        return rc_cli_usage("--symmetric: AutoAWQ's container always has zero points; --to w4a16 "
                            "can do without");
    if (w->symmetric && w->asymmetric)
        return rc_cli_usage("--symmetric and --asymmetric exclude each other");
    return check_statistics(w, src);
}

static rc_code refuse_words(const char *given, rc_err *err)
{
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
            "%s decides nothing here: the source holds 4-bit integers already, they are kept",
            given);
    rc_err_hint(err, "leave it out, or convert from the original release");
    return RC_E_USAGE;
}

rc_code rc_int4_recipe_of(rc_int4_recipe *out, rc_calib **stats, const rc_int4_words *w,
                          const char *to, const rc_model *model, rc_mem *mem, rc_err *err)
{
    const bool awq = is(to, "awq");

    *out = (rc_int4_recipe){
        .group = w->group ? (uint32_t)strtoul(w->group, NULL, 10) : 128,
        .symmetric = !awq && !w->asymmetric,
        .scale = awq ? RC_DTYPE_F16 : RC_DTYPE_BF16,
        .scope = is(w->scope, "all") ? RC_SCOPE_ALL : RC_SCOPE_EXPERTS,
        .method = !w->stats              ? RC_METHOD_RTN
                  : is(w->method, "awq") ? RC_METHOD_AWQ
                                         : RC_METHOD_AWQ_PLUS,
        .smooth = is(w->smooth, "off") || !w->stats ? RC_SMOOTH_OFF
                  : is(w->smooth, "free")           ? RC_SMOOTH_FREE
                                                    : RC_SMOOTH_POW2,
        .hf_names = is(w->names, "hf"),
    };
    if (rc_plan_is_repack(model))
        return first_given(w) ? refuse_words(first_given(w), err) : RC_OK;
    if (!w->stats) {
        if (!w->method)
            rc_warn(rc_cli_log(), NULL, NULL, RC_NO_OFFSET,
                    "rtn: no statistics, ranges by weights alone; recast calibrate makes better "
                    "ones");
        return RC_OK;
    }
    RC_TRY(rc_calib_open(stats, w->stats, rc_cli_log(), mem, err));
    out->stats = *stats;
    return rc_calib_check(*stats, model, rc_cli_log(), err);
}

/* ----------------------------------------------------------------- results */

static void print_method(const rc_recipe *recipe, const rc_int4_totals *t)
{
    const rc_int4_recipe *r = &recipe->int4;

    printf("int4      %" PRIu64 " tensors in groups of %u, %s", t->tensors, r->group,
           r->symmetric ? "symmetric" : "with zero points");
    if (r->repack)
        printf(": the same integers as in the source\n");
    else if (!r->stats)
        printf("; %s without statistics, ranges by weights alone\n", rc_recipe_method(recipe));
    else if (t->by_moments)
        printf("; %s, %" PRIu64 " with error feedback\n", rc_recipe_method(recipe), t->by_moments);
    else
        printf("; %s\n", rc_recipe_method(recipe));
}

static void print_statistics(const rc_recipe *recipe, const rc_int4_totals *t)
{
    if (recipe->int4.smooth != RC_SMOOTH_OFF && t->scaled)
        printf("scaling   channels of %" PRIu64 " norm%s (%s)\n", t->scaled,
               t->scaled == 1 ? "" : "s", rc_recipe_smooth(recipe));
    else if (recipe->int4.smooth != RC_SMOOTH_OFF)
        printf("scaling   none: no norm's made the error smaller (%s)\n", rc_recipe_smooth(recipe));
    if (!recipe->int4.stats)
        return;
    if (t->few)
        printf("experts   %" PRIu64 " of %" PRIu64
               " saw fewer than %u tokens: topped up with their layer's statistics\n",
               t->few, t->experts, RC_CALIB_ENOUGH);
    if (t->unknown)
        printf("note      of %" PRIu64
               " tensors the statistics know nothing: columns count alike\n",
               t->unknown);
}

void rc_int4_print(const rc_plan *plan, const rc_int4_totals *t)
{
    const rc_recipe *recipe = rc_plan_recipe(plan);
    const rc_int4_tally *tally = &t->tally;

    if (!rc_recipe_is_int4(recipe))
        return;
    print_method(recipe, t);
    if (!tally->groups)
        return;
    printf("loss      %s error %.4f of that of rounding to nearest; %.1f %% of groups clipped\n",
           recipe->int4.stats ? "weighted" : "squared",
           tally->loss_nearest > 0 ? tally->loss / tally->loss_nearest : 1,
           100 * (double)tally->clipped / (double)tally->groups);
    if (t->by_moments) /* or a larger number is taken for a worse model */
        printf("          feedback lets single weights err more, so that outputs err less: verify "
               "--logits compares\n");
    print_statistics(recipe, t);
}

void rc_int4_warn(const rc_plan *plan, const rc_int4_totals *t)
{
    const rc_recipe *recipe = rc_plan_recipe(plan);

    if (!t->first_subnormal)
        return;
    rc_warn(rc_cli_log(), NULL, t->first_subnormal->name, RC_NO_OFFSET,
            "%" PRIu64 " of %" PRIu64 " scales are below what %s holds with all its bits; this "
            "tensor has the first%s",
            t->tally.subnormal, t->tally.groups, rc_dtype_name(recipe->int4.scale),
            recipe->target == RC_TO_AWQ ? ". --to w4a16 has BF16 scales, which reach lower" : "");
}
