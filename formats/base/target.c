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
    bool folder;

    *t = RC_TARGET_NONE;
    if (!path)
        return RC_OK;
    t->name = slash ? slash + 1 : path;
    folder = stat(path, &there) == 0 && S_ISDIR(there.st_mode);
    if (!*t->name || strlen(path) >= sizeof t->folder || folder) {
        rc_fail(e, RC_E_CANTCREATE, RC_NO_OFFSET,
                folder ? "is a folder, not a name for a file" : "is not a name for a file");
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

void rc_target_close(rc_target *t)
{
    rc_dir_close(&t->dir);
}
