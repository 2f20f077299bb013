/* verify/judge_scaling.c - channels that are scaled, as part of the answer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "verify/figures.h"
#include "verify/judge_impl.h"

bool rc_pair_is_scaled_norm(const rc_pair *pair)
{
    return pair->scaled && pair->scaled->norm == pair->a->param;
}

static const char *norm_astray(const rc_scaled_point *p)
{
    return p->divided == 1     ? NULL
           : p->divided == 0   ? "its readers are scaled, and it is not divided by that"
           : p->divided == 0.5 ? "divided by the root only of what its readers are scaled by"
           : p->divided == 2   ? "divided twice by what its readers are scaled by"
                               : "multiplied by what its readers are scaled by, not divided";
}

const char *rc_pair_astray(const rc_pair *pair)
{
    static const char *const reader[RC_STATS_POWERS] = {
        [RC_SCALED_NONE] = "not scaled",
        [RC_SCALED_ROOT] = "scaled by the root only",
        [RC_SCALED_ONCE] = NULL,
        [RC_SCALED_TWICE] = "scaled twice",
        [RC_SCALED_INVERSE] = "divided where it should be multiplied",
    };

    if (!pair->scaled)
        return NULL;
    return rc_pair_is_scaled_norm(pair) ? norm_astray(pair->scaled)
                                        : reader[rc_scaled_power(&pair->stats.powers)];
}

void rc_judge_scaling_of(const rc_judge *judge, rc_judge_scaling *out)
{
    *out = (rc_judge_scaling){ .norms = rc_scaled_count(judge->scaled),
                               .least = INFINITY,
                               .exact = true };
    for (size_t i = 0; i < out->norms; i++) {
        const rc_scaled_point *p = rc_scaled_at(judge->scaled, i);

        out->least = fminf(out->least, p->least);
        out->most = fmaxf(out->most, p->most);
        out->exact = out->exact && p->exact;
    }
    for (size_t i = 0; i < judge->npairs; i++) {
        const rc_pair *p = &judge->pair[i];

        out->readers += p->scaled && !rc_pair_is_scaled_norm(p);
        out->astray += rc_pair_astray(p) != NULL;
    }
}

const char *rc_judge_scaling_says(const rc_judge *judge, char *buf, size_t n)
{
    char norms[RC_FIGURE], readers[RC_FIGURE], astray[RC_FIGURE], some[96];
    rc_judge_scaling s;

    rc_judge_scaling_of(judge, &s);
    buf[0] = '\0';
    if (!s.norms)
        return buf;
    rc_figure_count(readers, s.readers);
    if (s.astray)
        snprintf(some, sizeof some, "but %s of these and their %s readers not as the others",
                 rc_figure_count(astray, s.astray), readers);
    else
        snprintf(some, sizeof some, "and so are all %s of their readers", readers);
    snprintf(buf, n,
             "channels of %s norm%s are scaled, by %s from %.3g to %.3g, %s: compared with that "
             "undone",
             rc_figure_count(norms, s.norms), s.norms == 1 ? "" : "s",
             s.exact ? "powers of two" : "factors", (double)s.least, (double)s.most, some);
    return buf;
}

void rc_judge_report_scaling(rc_judge *j)
{
    char path[512];

    for (size_t i = 0; i < j->npairs; i++) {
        const rc_pair *p = &j->pair[i];
        const char *astray = rc_pair_astray(p);
        rc_err *e;

        if (!astray)
            continue;
        rc_judge_path(path, sizeof path, &j->b, rc_ckpt_shard(j->b.ckpt, p->tb->shard)->name);
        if (rc_pair_is_scaled_norm(p))
            e = rc_findings_add(&j->findings, RC_FAULT, RC_DIFFERS, "scaling", path, p->name, "%s",
                                astray);
        else
            e = rc_findings_add(&j->findings, RC_FAULT, RC_DIFFERS, "scaling", path, p->name,
                                "%s, where %s and its other readers are scaled", astray,
                                p->scaled->norm->name);
        rc_err_hint(e, "a norm and all that reads it are scaled together, or nothing is");
    }
}
