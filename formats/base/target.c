/* formats/base/target.c - see target.h. */
#include "formats/base/target.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/** Why a file cannot be put at `path`; NULL if it can. What is written takes the place of what is
 * there (rc_dir_put), so that nothing but a file may be: /dev/stdout would cease to be a link. */
static const char *unfit(const char *path, const char *name)
{
    struct stat there;

    if (strcmp(path, "-") == 0)
        return "standard output is not written to: give a name for a file";
    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode))
        return "is a folder, not a name for a file";
    if (!*name || strlen(path) >= sizeof((rc_target *)0)->folder)
        return "is not a name for a file";
    if (lstat(path, &there) == 0 && !S_ISREG(there.st_mode))
        return "is a link or a device, not a file that can be replaced: give a name for a file";
    return NULL;
}

rc_code rc_target_open(rc_target *t, const char *path, rc_err *err)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    rc_err local = { 0 };
    rc_err *e = err ? err : &local;
    const char *why;

    *t = RC_TARGET_NONE;
    if (!path)
        return RC_OK;
    t->name = slash ? slash + 1 : path;
    why = unfit(path, t->name);
    if (why) {
        rc_fail(e, RC_E_CANTCREATE, RC_NO_OFFSET, "%s", why);
        rc_err_file(e, path);
        return RC_E_CANTCREATE;
    }
    if (slash)
        snprintf(t->folder, sizeof t->folder, "%.*s", slash == path ? 1 : (int)(slash - path),
                 path);
    else
        strcpy(t->folder, ".");
    if (rc_dir_open(&t->dir, t->folder, false, e) == RC_OK)
        return RC_OK;
    return e->code == RC_E_NOINPUT ? rc_recode(e, RC_E_CANTCREATE) : e->code;
}

bool rc_target_same(const rc_target *a, const rc_target *b)
{
    struct stat x, y;

    return a->name && b->name && strcmp(a->name, b->name) == 0 && fstat(a->dir.fd, &x) == 0 &&
           fstat(b->dir.fd, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool rc_target_is(const rc_target *t, const char *path)
{
    rc_target named = RC_TARGET_NONE;
    const bool same =
        t->name && path && rc_target_open(&named, path, NULL) == RC_OK && rc_target_same(t, &named);

    rc_target_close(&named);
    return same;
}

void rc_target_close(rc_target *t)
{
    rc_dir_close(&t->dir);
}
