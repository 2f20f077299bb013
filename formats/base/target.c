/* formats/base/target.c - see target.h. */
#include "formats/base/target.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

rc_code rc_target_open(rc_target *t, const char *path, rc_err *err)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    rc_err local = { 0 };
    rc_err *e = err ? err : &local;

    struct stat there;
    bool folder, other;

    *t = RC_TARGET_NONE;
    if (!path)
        return RC_OK;
    t->name = slash ? slash + 1 : path;
    other = stat(path, &there) == 0 && !S_ISREG(there.st_mode); /* a device would be replaced */
    folder = other && S_ISDIR(there.st_mode);
    if (!*t->name || strlen(path) >= sizeof t->folder || other) {
        rc_fail(e, RC_E_CANTCREATE, RC_NO_OFFSET, "%s",
                folder  ? "is a folder, not a name for a file"
                : other ? "is there, and is no file that could be replaced"
                        : "is not a name for a file");
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
