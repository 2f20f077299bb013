/* verify/report_ci.c - see report.h. Source: GitHub's documentation, "Workflow commands for GitHub
 * Actions", and that it shows ten annotations of a kind a step. */
#include <stdio.h>
#include <string.h>

#include "verify/markup.h"
#include "verify/report_parts.h"

enum { SHOWN = 10, LINE = 900 };

struct commands {
    rc_text text;
    unsigned told[RC_LEVELS];
};

/* Level RC_FAULT is ::error, RC_WARNING ::warning, RC_NOTE ::notice. */
static void tell(struct commands *c, rc_level level, const char *title, const char *message)
{
    static const char *const words[RC_LEVELS] = { "notice", "warning", "error" };
    char whole[LINE];

    if (c->told[level]++ >= SHOWN)
        return;
    snprintf(whole, sizeof whole, "recast verify: %s", title);
    rc_text_printf(&c->text, "::%s title=", words[level]);
    rc_markup_command(&c->text, whole, strlen(whole), true);
    rc_text_put(&c->text, "::");
    rc_markup_command(&c->text, message, strlen(message), false);
    rc_text_put(&c->text, "\n");
}

static void tell_verdict(struct commands *c, const rc_outcome *o)
{
    rc_text says = { .mem = c->text.mem };

    rc_outcome_summary(o, &says);
    rc_text_add(&says, "", 0);
    if (!says.failed)
        tell(c, rc_outcome_status(o, NULL) == RC_OK ? RC_NOTE : RC_FAULT, rc_outcome_verdict(o),
             says.at);
    c->text.failed = c->text.failed || says.failed;
    rc_text_free(&says);
}

static void tell_gates(struct commands *c, const rc_outcome *o)
{
    rc_outcome_gate gates[RC_OUTCOME_GATES];
    const size_t n = rc_outcome_gates(o, gates);
    char line[LINE];

    for (size_t i = 0; i < n; i++) {
        snprintf(line, sizeof line, "%s, wanted %s", gates[i].got, gates[i].wants);
        if (!gates[i].passes)
            tell(c, RC_FAULT, gates[i].name, line);
    }
}

static void tell_findings(struct commands *c, const rc_findings *list)
{
    char line[LINE];

    for (size_t i = 0; list && i < list->n; i++) {
        const rc_finding *f = &list->at[i];

        if (f->level != RC_NOTE)
            tell(c, f->level, f->topic, rc_err_line(&f->what, line, sizeof line));
    }
}

static void tell_worst(struct commands *c, const rc_judge *judge)
{
    const rc_pair *worst[SHOWN];
    const size_t failed = rc_judge_worst(judge, worst, SHOWN);
    char says[300];

    for (size_t i = 0; i < failed && i < SHOWN; i++)
        tell(c, RC_FAULT, worst[i]->name, rc_pair_says(worst[i], says, sizeof says));
}

rc_code rc_report_ci(char **out, size_t *out_len, const rc_outcome *o, rc_mem *mem, rc_err *err)
{
    struct commands c = { .text = { .mem = mem } };

    tell_verdict(&c, o);
    tell_gates(&c, o);
    tell_findings(&c, o->findings);
    if (o->judge)
        tell_worst(&c, o->judge);
    return rc_text_take(&c.text, out, out_len, err);
}
