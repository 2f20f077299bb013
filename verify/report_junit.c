/* verify/report_junit.c - see report.h. XML 1.0, the dialect that CI servers read:
 * one <testsuite>, <testcase classname name>, <failure message>. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "verify/judge_impl.h"
#include "verify/report.h"

enum { MESSAGE = 900, LINE = 6 * MESSAGE + 200 }; /* the longest entity has 6 bytes */

struct text {
    char *at;
    size_t len, room;
    rc_mem *mem;
    bool nomem;
};

RC_PRINTF(2, 3)
static void put(struct text *t, const char *fmt, ...)
{
    char line[LINE];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0 || t->nomem)
        return;
    if ((size_t)n >= sizeof line)
        n = sizeof line - 1;
    if (t->room - t->len <= (size_t)n) {
        const size_t room = t->room ? 2 * t->room : 16384;
        char *grown = rc_mem_grow(t->mem, t->at, room);

        t->nomem = !grown;
        if (!grown)
            return;
        t->at = grown;
        t->room = room;
    }
    memcpy(t->at + t->len, line, (size_t)n + 1);
    t->len += (size_t)n;
}

/* Text of messages is printable already (rc_escape); XML wants five characters
 * spelled out. */
static const char *xml(char out[LINE], const char *s)
{
    size_t n = 0;

    for (; *s && n < LINE - 8; s++) {
        const char *e = *s == '&'   ? "&amp;"
                        : *s == '<' ? "&lt;"
                        : *s == '>' ? "&gt;"
                        : *s == '"' ? "&quot;"
                                    : NULL;

        if (e)
            n += (size_t)sprintf(out + n, "%s", e);
        else
            out[n++] = *s;
    }
    out[n] = '\0';
    return out;
}

/* One role in one block of the model. */
struct box {
    uint64_t params, failed;
    const rc_pair *worst;
};

static bool has_topic(const rc_findings *list, const char *topic, const rc_finding **first)
{
    *first = NULL;
    for (size_t i = 0; i < list->n && !*first; i++)
        if (list->at[i].level == RC_FAULT && strcmp(list->at[i].topic, topic) == 0)
            *first = &list->at[i];
    return *first != NULL;
}

static void put_topic(struct text *t, const rc_judge *j, const char *topic)
{
    const rc_finding *f;
    char line[MESSAGE], safe[LINE];

    put(t, "  <testcase classname=\"checkpoint\" name=\"%s\"", topic);
    if (!has_topic(&j->findings, topic, &f)) {
        put(t, "/>\n");
        return;
    }
    rc_err_line(&f->what, line, sizeof line);
    put(t, ">\n    <failure message=\"%s\"/>\n  </testcase>\n", xml(safe, line));
}

static void put_box(struct text *t, const char *block, long number, rc_role role,
                    const struct box *b)
{
    char says[300], name[256], line[MESSAGE], safe[LINE];

    if (!b->params)
        return;
    if (number < 0)
        put(t, "  <testcase classname=\"%s\" name=\"%s\"", block, rc_role_name(role));
    else
        put(t, "  <testcase classname=\"%s.%ld\" name=\"%s\"", block, number, rc_role_name(role));
    if (!b->failed) {
        put(t, "/>\n");
        return;
    }
    snprintf(line, sizeof line, "%" PRIu64 " of %" PRIu64 " parameters; worst %s: %s", b->failed,
             b->params, rc_escape(name, sizeof name, b->worst->name, strlen(b->worst->name)),
             rc_pair_says(b->worst, says, sizeof says));
    put(t, ">\n    <failure message=\"%s\"/>\n  </testcase>\n", xml(safe, line));
}

/* Boxes: main layers, then draft blocks, then what is outside both. */
struct boxes {
    struct box *at; /* [layers + drafts + 1][RC_ROLE_COUNT] */
    size_t layers, drafts;
};

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

rc_code rc_report_junit(char **out, size_t *out_len, const rc_judge *judge, rc_mem *mem,
                        rc_err *err)
{
    static const char *const topics[] = { "tensors", "config" };
    struct text t = { .mem = mem };
    struct boxes x = { 0 };
    const rc_finding *f;
    size_t cases = 2, failures = 0, nboxes;
    rc_code rc;

    *out = NULL;
    rc = fill_boxes(&x, judge, err);
    if (rc != RC_OK)
        return rc;
    nboxes = (x.layers + x.drafts + 1) * RC_ROLE_COUNT;
    for (size_t i = 0; i < 2; i++)
        failures += has_topic(&judge->findings, topics[i], &f);
    for (size_t i = 0; i < nboxes; i++) {
        cases += x.at[i].params != 0;
        failures += x.at[i].failed != 0;
    }
    put(&t, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    put(&t, "<testsuite name=\"recast verify\" tests=\"%zu\" failures=\"%zu\" errors=\"0\">\n",
        cases, failures);
    for (size_t i = 0; i < 2; i++)
        put_topic(&t, judge, topics[i]);
    for (size_t i = 0; i < nboxes; i++) {
        const size_t block = i / RC_ROLE_COUNT;
        const rc_role role = (rc_role)(i % RC_ROLE_COUNT);

        if (block < x.layers)
            put_box(&t, "layers", (long)block, role, &x.at[i]);
        else if (block < x.layers + x.drafts)
            put_box(&t, "mtp", (long)(block - x.layers), role, &x.at[i]);
        else
            put_box(&t, "globals", -1, role, &x.at[i]);
    }
    put(&t, "</testsuite>\n");
    rc_mem_put(judge->mem, x.at);
    if (t.nomem) {
        rc_mem_put(mem, t.at);
        return rc_fail_nomem(err, mem, 2 * t.room);
    }
    *out = t.at;
    *out_len = t.len;
    return RC_OK;
}
