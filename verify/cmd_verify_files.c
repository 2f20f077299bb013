/* verify/cmd_verify_files.c - see cmd_verify_files.h. */
#include "verify/cmd_verify_files.h"

#include <stdio.h>
#include <string.h>

#include "verify/report.h"

enum { JSON, JUNIT, HTML, MD, REPORTS };
_Static_assert((int)REPORTS == (int)RC_VERIFY_RECORD, "reports come first");

static rc_code json_text(char **text, size_t *len, const rc_outcome *o, rc_mem *mem, rc_err *err)
{
    rc_jsonw *w = rc_jsonw_new(mem, 2);
    const char *all;

    *text = NULL;
    if (!w)
        return rc_fail_nomem(err, mem, 0);
    rc_report_json(w, o);
    all = rc_jsonw_text(w, len);
    if (all)
        *text = rc_mem_strdup(mem, all, *len);
    rc_jsonw_free(&w);
    return *text ? RC_OK : rc_fail_nomem(err, mem, 0);
}

static rc_report_fn *const writers[REPORTS] = {
    [JSON] = json_text, [JUNIT] = rc_report_junit, [HTML] = rc_report_html, [MD] = rc_report_md
};

rc_code rc_verify_files_open(rc_verify_files *f, const rc_verify_paths *paths, rc_err *err)
{
    const char *const path[RC_VERIFY_FILES] = {
        [JSON] = paths->json,
        [JUNIT] = paths->junit,
        [HTML] = paths->html,
        [MD] = paths->md,
        [RC_VERIFY_RECORD] = paths->record,
    };

    for (unsigned i = 0; i < RC_VERIFY_FILES; i++) {
        RC_TRY(rc_target_open(&f->at[i], path[i], err));
        for (unsigned k = 0; k < i; k++)
            if (rc_target_same(&f->at[i], &f->at[k])) {
                rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "two reports go to the same file");
                rc_err_file(err, path[i]);
                return RC_E_USAGE;
            }
    }
    return RC_OK;
}

rc_code rc_verify_files_spare(const rc_verify_files *f, const char *path, rc_err *err)
{
    for (unsigned i = 0; i < RC_VERIFY_FILES; i++)
        if (rc_target_is(&f->at[i], path)) {
            rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "is read, and would be written over");
            rc_err_file(err, path);
            rc_err_hint(err, "give the output another name");
            return RC_E_USAGE;
        }
    return RC_OK;
}

void rc_verify_files_close(rc_verify_files *f)
{
    for (unsigned i = 0; i < RC_VERIFY_FILES; i++)
        rc_target_close(&f->at[i]);
}

rc_code rc_verify_files_write(const rc_verify_files *f, const rc_outcome *o, rc_mem *mem,
                              rc_err *err)
{
    for (unsigned i = 0; i < REPORTS; i++) {
        char *text = NULL;
        size_t len;
        rc_code rc;

        if (!f->at[i].name)
            continue;
        rc = writers[i](&text, &len, o, mem, err);
        if (rc == RC_OK)
            rc = rc_dir_put(&f->at[i].dir, f->at[i].name, text, len, err);
        rc_mem_put(mem, text);
        RC_TRY(rc);
    }
    return RC_OK;
}

rc_code rc_verify_annotate(const rc_outcome *o, rc_mem *mem, rc_err *err)
{
    char *text = NULL;
    size_t len;
    const rc_code rc = rc_report_ci(&text, &len, o, mem, err);

    if (rc == RC_OK)
        fputs(text, stdout);
    rc_mem_put(mem, text);
    return rc;
}
