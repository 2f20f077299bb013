/* verify/subject.c - see subject.h. */
#include "verify/subject.h"

#include <fnmatch.h>

rc_code rc_subject_open(rc_subject *out, const char *where, const rc_source_opts *opts,
                        const rc_log *log, rc_mem *mem, rc_err *err)
{
    rc_source *src;
    rc_code rc;

    *out = (rc_subject){ 0 };
    RC_TRY(rc_source_open(&src, where, opts, mem, err));
    RC_TRY(rc_ckpt_open(&out->ckpt, src, log, mem, err));
    rc = rc_model_new(&out->model, out->ckpt, mem, err);
    if (rc != RC_OK)
        rc_subject_close(out);
    return rc;
}

void rc_subject_close(rc_subject *subject)
{
    rc_model_free(&subject->model);
    rc_ckpt_close(&subject->ckpt);
}

void rc_subject_name(rc_err *err, const rc_subject *side)
{
    char path[512];

    if (!err)
        return;
    rc_source_path(rc_ckpt_source(side->ckpt),
                   err->file[0]               ? err->file
                   : rc_ckpt_gguf(side->ckpt) ? rc_ckpt_shard(side->ckpt, 0)->name
                                              : "config.json",
                   path, sizeof path);
    err->file[0] = '\0'; /* rc_err_file() keeps the first answer */
    rc_err_file(err, path);
}

bool rc_glob_any(const char *const *globs, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (fnmatch(globs[i], name, 0) == 0)
            return true;
    return n == 0;
}
