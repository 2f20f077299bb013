/* verify/findings.c - see findings.h. */
#include "verify/findings.h"

#include <stdarg.h>
#include <stdio.h>

rc_err *rc_findings_add(rc_findings *list, rc_level level, rc_code code, const char *topic,
                        const char *file, const char *tensor, const char *fmt, ...)
{
    rc_finding *f;
    char msg[256];
    va_list ap;

    if (list->total[level]++ >= RC_FINDINGS_KEPT)
        return NULL;
    if (list->n == list->room) {
        const size_t room = list->room ? 2 * list->room : 16;
        void *grown = rc_mem_grow(list->mem, list->at, room * sizeof *list->at);

        if (!grown) {
            list->nomem = true;
            return NULL;
        }
        list->at = grown;
        list->room = room;
    }
    f = &list->at[list->n++];
    f->level = level;
    f->topic = topic;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    rc_fail(&f->what, code, RC_NO_OFFSET, "%s", msg);
    if (file)
        rc_err_file(&f->what, file);
    if (tensor)
        rc_err_tensor(&f->what, tensor);
    return &f->what;
}

void rc_findings_free(rc_findings *list)
{
    if (list->mem)
        rc_mem_put(list->mem, list->at);
    *list = (rc_findings){ .mem = list->mem };
}

const char *rc_level_name(rc_level level)
{
    return level == RC_NOTE ? "note" : level == RC_WARNING ? "warning" : "fault";
}

const rc_finding *rc_findings_worst(const rc_findings *list)
{
    const rc_finding *worst = NULL;

    for (size_t i = 0; i < list->n; i++)
        if (list->at[i].level == RC_FAULT && (!worst || list->at[i].what.code > worst->what.code))
            worst = &list->at[i];
    return worst;
}
