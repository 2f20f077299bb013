/* verify/report_junit.c - see report.h. XML 1.0, the dialect that CI servers read:
 * one <testsuite>, <properties>, <testcase classname name>, <failure message>. */
#include <stdio.h>
#include <string.h>

#include "verify/judge_impl.h"
#include "verify/markup.h"
#include "verify/report_parts.h"

enum { MESSAGE = 900 };

struct suite {
    rc_text cases;
    size_t n, failures;
};

/* A test case that failed when `failure` says how; `number` below 0 is left out. */
static void put_case(struct suite *s, const char *class, long number, const char *name,
                     const char *failure)
{
    char dotted[24] = "";

    if (number >= 0)
        snprintf(dotted, sizeof dotted, ".%ld", number);
    rc_text_printf(&s->cases, "  <testcase classname=\"%s%s\" name=\"", class, dotted);
    rc_markup_xml(&s->cases, name, strlen(name));
    s->n++;
    if (!failure) {
        rc_text_put(&s->cases, "\"/>\n");
        return;
    }
    s->failures++;
    rc_text_put(&s->cases, "\">\n    <failure message=\"");
    rc_markup_xml(&s->cases, failure, strlen(failure));
    rc_text_put(&s->cases, "\"/>\n  </testcase>\n");
}

/* behaviour */

static void put_gates(struct suite *s, const rc_outcome *o)
{
    rc_outcome_gate gates[RC_OUTCOME_GATES];
    const size_t n = rc_outcome_gates(o, gates);
    char line[MESSAGE];

    for (size_t i = 0; i < n; i++) {
        snprintf(line, sizeof line, "%s, wanted %s", gates[i].got, gates[i].wants);
        put_case(s, "gates", -1, gates[i].name, gates[i].passes ? NULL : line);
    }
}

/* The layers as a whole: where it went wrong, if it did and one knows; a layer past the threshold
 * of a model that passes is no failure. */
static void put_layers(struct suite *s, const rc_outcome *o, bool passes)
{
    rc_text where = { .mem = s->cases.mem };

    rc_outcome_where(o, &where);
    put_case(s, "behaviour", -1, "layers", passes || !where.len ? NULL : where.at);
    s->cases.failed = s->cases.failed || where.failed;
    rc_text_free(&where);
}

static void put_behaviour(struct suite *s, const rc_outcome *o)
{
    const rc_behaviour *b = o->behaviour;
    rc_err err;
    const bool passes = rc_outcome_status(o, &err) == RC_OK;
    char line[MESSAGE];

    if (b) {
        snprintf(line, sizeof line, "%" PRIu64 " of %" PRIu64 " positions have none", b->broken,
                 b->positions);
        put_case(s, "behaviour", -1, "numbers", b->broken ? line : NULL);
        if (rc_outcome_wants_exact(o))
            put_case(s, "behaviour", -1, "equal logits",
                     rc_outcome_behaves_exactly(o) ? NULL : err.msg);
    }
    if (o->layers)
        put_layers(s, o, passes);
}

static void put_property(rc_text *t, const char *name, double value)
{
    rc_text_printf(t, "    <property name=\"%s\" value=\"%.9g\"/>\n", name, value);
}

static void put_properties(rc_text *t, const rc_behaviour *b)
{
    rc_text_put(t, "  <properties>\n");
    put_property(t, "positions", (double)b->positions);
    put_property(t, "kl_mean", b->kl.value);
    put_property(t, "kl_se", b->kl.se);
    put_property(t, "kl_p99", b->kl_p99);
    put_property(t, "kl_max", b->kl_max);
    put_property(t, "same_top", b->same_top.value);
    put_property(t, "ppl_native", b->ppl[0].value);
    put_property(t, "ppl_converted", b->ppl[1].value);
    put_property(t, "ppl_ratio", b->ppl_ratio.value);
    put_property(t, "rms_dp", b->rms_dp.value);
    rc_text_put(t, "  </properties>\n");
}

/* findings */

static const char *const topics[] = { "tensors", "config" };

static bool is_of(const rc_finding *f, const char *topic)
{
    const bool sets = strcmp(f->topic, topics[0]) == 0 || strcmp(f->topic, topics[1]) == 0;

    return f->level == RC_FAULT && (topic ? strcmp(f->topic, topic) == 0 : !sets);
}

/* The first fault of a topic fails its case. NULL: all other topics. Not judged: a case only when
 * it fails. */
static void put_topic(struct suite *s, const rc_findings *list, const char *topic, bool judged)
{
    char line[MESSAGE];

    for (size_t i = 0; list && i < list->n; i++)
        if (is_of(&list->at[i], topic)) {
            put_case(s, "checkpoint", -1, list->at[i].topic,
                     rc_err_line(&list->at[i].what, line, sizeof line));
            return;
        }
    if (judged)
        put_case(s, "checkpoint", -1, topic, NULL);
}

/* One role in one block of the model. */
struct box {
    uint64_t params, failed;
    const rc_pair *worst;
};

/* Boxes: main layers, then draft blocks, then what is outside both. */
struct boxes {
    struct box *at; /* [layers + drafts + 1][RC_ROLE_COUNT] */
    size_t layers, drafts;
};

static void put_box(struct suite *s, const char *block, long number, rc_role role,
                    const struct box *b)
{
    char says[300], name[256], line[MESSAGE];

    if (!b->params)
        return;
    if (b->failed)
        snprintf(line, sizeof line, "%" PRIu64 " of %" PRIu64 " parameters; worst %s: %s",
                 b->failed, b->params,
                 rc_escape(name, sizeof name, b->worst->name, strlen(b->worst->name)),
                 rc_pair_says(b->worst, says, sizeof says));
    put_case(s, block, number, rc_role_name(role), b->failed ? line : NULL);
}

static struct box *box_of(const struct boxes *x, const rc_pair *p)
{
    size_t block = x->layers + x->drafts;

    if (p->layer >= 0)
        block = (size_t)p->layer + (p->draft ? x->layers : 0);
    return &x->at[block * RC_ROLE_COUNT + p->role];
}

static rc_code fill_boxes(struct boxes *x, const rc_judge *j, rc_err *err)
{
    size_t nbytes;

    for (size_t i = 0; i < j->npairs; i++) {
        const rc_pair *p = &j->pair[i];
        size_t *most = p->draft ? &x->drafts : &x->layers;

        if (p->layer >= 0 && (size_t)p->layer + 1 > *most)
            *most = (size_t)p->layer + 1;
    }
    nbytes = (x->layers + x->drafts + 1) * RC_ROLE_COUNT * sizeof *x->at;
    x->at = rc_mem_get(j->mem, nbytes);
    if (!x->at)
        return rc_fail_nomem(err, j->mem, nbytes);
    for (size_t i = 0; i < j->npairs; i++) {
        const rc_pair *p = &j->pair[i];
        struct box *b = box_of(x, p);

        b->params++;
        if (rc_judge_passes(j, p))
            continue;
        b->failed++;
        if (!b->worst || rc_pair_sqnr(p) < rc_pair_sqnr(b->worst))
            b->worst = p;
    }
    return RC_OK;
}

static rc_code put_boxes(struct suite *s, const rc_judge *judge, rc_err *err)
{
    struct boxes x = { 0 };

    RC_TRY(fill_boxes(&x, judge, err));
    for (size_t i = 0; i < (x.layers + x.drafts + 1) * RC_ROLE_COUNT; i++) {
        const size_t block = i / RC_ROLE_COUNT;
        const rc_role role = (rc_role)(i % RC_ROLE_COUNT);

        if (block < x.layers)
            put_box(s, "layers", (long)block, role, &x.at[i]);
        else if (block < x.layers + x.drafts)
            put_box(s, "mtp", (long)(block - x.layers), role, &x.at[i]);
        else
            put_box(s, "globals", -1, role, &x.at[i]);
    }
    rc_mem_put(judge->mem, x.at);
    return RC_OK;
}

rc_code rc_report_junit(char **out, size_t *out_len, const rc_outcome *o, rc_mem *mem, rc_err *err)
{
    struct suite s = { .cases = { .mem = mem } };
    rc_text t = { .mem = mem };
    rc_code rc = RC_OK;

    *out = NULL;
    put_gates(&s, o);
    put_behaviour(&s, o);
    put_topic(&s, o->findings, topics[0], o->judge != NULL); /* a golden file has no tensors */
    put_topic(&s, o->findings, topics[1], true);
    put_topic(&s, o->findings, NULL, false);
    if (o->judge)
        rc = put_boxes(&s, o->judge, err);
    if (rc == RC_OK) {
        rc_text_put(&t, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        rc_text_printf(
            &t, "<testsuite name=\"recast verify\" tests=\"%zu\" failures=\"%zu\" errors=\"0\">\n",
            s.n, s.failures);
        if (o->behaviour)
            put_properties(&t, o->behaviour);
        rc_text_add(&t, s.cases.at, s.cases.len);
        rc_text_put(&t, "</testsuite>\n");
        t.failed = t.failed || s.cases.failed;
        rc = rc_text_take(&t, out, out_len, err);
    }
    rc_text_free(&s.cases);
    return rc;
}
