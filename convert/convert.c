/* convert/convert.c - see convert.h. */
#define _GNU_SOURCE /* canonicalize through realpath(path, NULL) */
#include "convert/convert.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/publish.h"

#define LOCK_NAME ".recast.lock"

/* -------------------------------------------------------------- preflight */

/* The real path of a folder that may not exist yet, through its parent. */
static char *real_folder(const char *path)
{
    char *real = realpath(path, NULL), *dir_copy, *base_copy, *parent, *joined = NULL;

    if (real || errno != ENOENT)
        return real;
    dir_copy = strdup(path);
    base_copy = strdup(path);
    parent = dir_copy && base_copy ? realpath(dirname(dir_copy), NULL) : NULL;
    if (parent && (joined = malloc(PATH_MAX)))
        snprintf(joined, PATH_MAX, "%s/%s", parent, basename(base_copy));
    free(parent);
    free(dir_copy);
    free(base_copy);
    return joined;
}

static bool is_inside(const char *inner, const char *outer)
{
    const size_t n = strlen(outer);

    return strncmp(inner, outer, n) == 0 && (inner[n] == '/' || inner[n] == '\0');
}

static rc_code refuse_overlap(const char *src, const char *dst, rc_err *err)
{
    char *s = real_folder(src), *d = real_folder(dst);
    rc_code rc = RC_OK;

    if (s && d && (is_inside(d, s) || is_inside(s, d))) {
        rc = rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                     "the output folder is the source, inside it, or around it");
        rc_err_file(err, dst);
    }
    free(s);
    free(d);
    return rc;
}

static bool is_shard(const char *name)
{
    const size_t n = strlen(name), k = strlen(".safetensors");

    return n > k && strcmp(name + n - k, ".safetensors") == 0;
}

/* Nobody means to replace a checkpoint of others by a conversion: the arguments are
 * the wrong way round. No option allows it. */
static rc_code refuse_foreign(const rc_dir *dir, rc_err *err)
{
    if (rc_publish_is_complete(dir) || rc_dir_stat(dir, RC_JOURNAL_NAME, NULL) ||
        !rc_dir_any(dir, is_shard))
        return RC_OK;
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "holds a checkpoint that is no result of recast");
    rc_err_file(err, dir->path);
    rc_err_hint(err, "are SRC and DST the wrong way round? Name another folder, or empty this one");
    return RC_E_CANTCREATE;
}

static rc_code refuse_finished(const rc_dir *dir, rc_err *err)
{
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "holds a finished conversion");
    rc_err_file(err, dir->path);
    rc_err_hint(err, "--force replaces it");
    return RC_E_CANTCREATE;
}

/* A journal beside a finished result is of a run that had --force, or has nothing left to
 * do: it may go on, but --restart would begin to replace the result. */
static rc_code refuse_occupied(const rc_dir *dir, const rc_convert_opts *opts, rc_err *err)
{
    const bool complete = rc_publish_is_complete(dir);
    const bool ours = rc_dir_stat(dir, RC_JOURNAL_NAME, NULL)
                          ? !(complete && opts->restart)
                          : rc_dir_stat(dir, LOCK_NAME, NULL) && !complete;
    rc_code rc;

    RC_TRY(refuse_foreign(dir, err));
    if (opts->force || ours || rc_dir_is_empty(dir))
        return RC_OK;
    if (complete)
        return refuse_finished(dir, err);
    rc = rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "is not empty, and what is there is not ours");
    rc_err_file(err, dir->path);
    rc_err_hint(err, "name an empty or new folder, or add --force to write among these files");
    return rc;
}

/* Journal, ledger, index and config: small, but a full disk stops there too. */
static uint64_t small_files(const rc_plan *plan)
{
    return rc_publish_side_bytes(plan) + rc_plan_jobs(plan) * (256 + 1024) +
           rc_plan_tensors(plan) * 128 + (1u << 20);
}

static rc_code check_space(const rc_plan *plan, const rc_dir *dir, const char *dst,
                           rc_convert_report *report, rc_err *err)
{
    char need[16], available[16];
    rc_code rc;

    report->need = rc_execute_space(plan, dir) + small_files(plan);
    RC_TRY(rc_dir_free(dir, &report->free, err));
    if (report->need <= report->free)
        return RC_OK;
    rc = rc_fail(err, RC_E_NOSPACE, RC_NO_OFFSET, "not enough space on its disk");
    rc_err_file(err, dst);
    rc_err_want(err, "%" PRIu64 " bytes = %s", report->need, rc_human_bytes(need, report->need));
    rc_err_got(err, "%" PRIu64 " free = %s", report->free, rc_human_bytes(available, report->free));
    rc_err_hint(err, "free some space or name a folder on another disk; nothing was written");
    return rc;
}

static rc_code check_writable(const rc_dir *dir, const char *dst, rc_err *err)
{
    rc_code rc;

    if (faccessat(dir->fd, ".", W_OK | X_OK, AT_EACCESS) == 0)
        return RC_OK;
    rc = rc_fail_errno(err, errno, "cannot be written");
    rc_err_file(err, dst);
    return rc;
}

/* Open DST if it is there, else its parent, to ask about the disk. */
static rc_code open_for_asking(rc_dir *dir, const char *dst, char buf[PATH_MAX], bool *exists,
                               rc_err *err)
{
    struct stat st;
    rc_code rc;

    *exists = stat(dst, &st) == 0;
    if (*exists) {
        rc = rc_dir_open(dir, dst, false, err);
        return rc == RC_E_NOINPUT ? rc_recode(err, RC_E_CANTCREATE) : rc;
    }
    snprintf(buf, PATH_MAX, "%s", dst);
    rc = rc_dir_open(dir, dirname(buf), false, err);
    if (rc == RC_E_NOINPUT) {
        rc = rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "its parent folder does not exist");
        rc_err_file(err, dst);
        rc_err_hint(err, "make it first: mkdir -p");
    }
    return rc;
}

rc_code rc_convert_preflight(const rc_plan *plan, const char *dst, const rc_convert_opts *opts,
                             rc_convert_report *report, rc_err *err)
{
    const char *src = rc_source_where(rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan))));
    char buf[PATH_MAX]; /* holds dir.path */
    rc_dir dir = { .fd = -1 };
    bool exists;
    rc_code rc;

    RC_TRY(refuse_overlap(src, dst, err));
    RC_TRY(open_for_asking(&dir, dst, buf, &exists, err));
    rc = exists ? refuse_occupied(&dir, opts, err) : RC_OK;
    if (rc == RC_OK)
        rc = rc_publish_check_sides(plan, err);
    if (rc == RC_OK)
        rc = check_writable(&dir, dst, err);
    if (rc == RC_OK)
        rc = check_space(plan, &dir, dst, report, err);
    rc_dir_close(&dir);
    return rc;
}

/* ------------------------------------------------------------------ resume */

static rc_journal_id identity(const rc_plan *plan)
{
    _Alignas(64) rc_hasher hasher;
    rc_ckpt *ckpt = rc_model_ckpt(rc_plan_model(plan));
    const rc_recipe *recipe = rc_plan_recipe(plan);
    rc_journal_id id;
    size_t len;
    const uint8_t *config = rc_ckpt_config_text(ckpt, &len);

    memset(&id, 0, sizeof id);
    snprintf(id.version, sizeof id.version, "%s", RC_VERSION);
    rc_recipe_text(recipe, id.recipe, sizeof id.recipe);
    rc_hash_begin(&hasher);
    rc_hash_field(&hasher, &recipe->target, sizeof recipe->target);
    rc_hash_field(&hasher, &recipe->scale_dtype, sizeof recipe->scale_dtype);
    rc_hash_field(&hasher, &recipe->drop_draft, sizeof recipe->drop_draft);
    rc_hash_field(&hasher, &recipe->shard_size, sizeof recipe->shard_size);
    for (unsigned i = 0; i < recipe->nglobs; i++)
        rc_hash_field(&hasher, recipe->globs[i], strlen(recipe->globs[i]));
    id.recipe_digest = rc_hash_end(&hasher);

    rc_hash_begin(&hasher);
    rc_hash_field(&hasher, config, len);
    for (size_t i = 0; i < rc_ckpt_shards(ckpt); i++) {
        const rc_source_file *f = rc_source_at(rc_ckpt_source(ckpt), rc_ckpt_shard(ckpt, i)->file);

        rc_hash_field(&hasher, f->name, strlen(f->name));
        rc_hash_field(&hasher, &f->nbytes, sizeof f->nbytes);
        rc_hash_field(&hasher, &f->mtime_ns, sizeof f->mtime_ns);
    }
    for (size_t i = 0; i < rc_ckpt_count(ckpt); i++) {
        const rc_tensor *t = rc_ckpt_at(ckpt, i);

        rc_hash_field(&hasher, t->name, strlen(t->name));
        rc_hash_field(&hasher, &t->dtype, sizeof t->dtype);
        rc_hash_field(&hasher, &t->begin, sizeof t->begin);
        rc_hash_field(&hasher, &t->nbytes, sizeof t->nbytes);
    }
    id.source_digest = rc_hash_end(&hasher);
    return id;
}

/* --------------------------------------------------------------------- run */

/* Nothing is left but to take the journal away: publishing begins by removing an older
 * summary, so one that is there beside the record of it is this run's. */
static bool only_journal_left(const rc_dir *dir, const rc_journal *journal)
{
    return rc_publish_is_complete(dir) && rc_journal_has_publish(journal);
}

static rc_code run_locked(const rc_plan *plan, const rc_dir *dir, const rc_convert_opts *opts,
                          rc_convert_report *report, rc_mem *mem, rc_err *err)
{
    const double started = rc_now();
    const rc_journal_id id = identity(plan);
    rc_journal *journal;
    rc_code rc;

    /* Once more, under the lock: another run may have finished since the preflight. */
    RC_TRY(refuse_occupied(dir, opts, err));
    RC_TRY(rc_publish_rehearse(plan, mem, err));
    RC_TRY(rc_journal_open(&journal, dir, &id, rc_plan_jobs(plan), rc_plan_shards(plan),
                           opts->restart, opts->log, mem, err));
    if (only_journal_left(dir, journal)) {
        report->already_complete = true;
        rc_journal_close(&journal);
        return rc_dir_remove(dir, RC_JOURNAL_NAME, err);
    }
    if (rc_publish_is_complete(dir) && !opts->force) { /* a forced run began, this one is not */
        rc_journal_close(&journal);
        return refuse_finished(dir, err);
    }
    report->run.resumed = rc_journal_is_resumed(journal);
    rc = rc_execute(plan, dir, journal, &opts->execute, mem, err);
    report->jobs = rc_plan_jobs(plan);
    report->jobs_done = rc_journal_done(journal);
    report->run.seconds = rc_now() - started;
    if (rc == RC_OK) {
        rc_totals_of(plan, journal, &report->totals);
        rc = rc_publish(plan, dir, journal, &report->run, &report->totals, opts->log, mem, err);
    }
    rc_journal_close(&journal);
    return rc;
}

rc_code rc_convert(const rc_plan *plan, const char *dst, const rc_convert_opts *opts,
                   rc_convert_report *report, rc_mem *mem, rc_err *err)
{
    rc_dir dir;
    int lock;
    rc_code rc;

    memset(report, 0, sizeof *report);
    RC_TRY(rc_convert_preflight(plan, dst, opts, report, err));
    RC_TRY(rc_dir_open(&dir, dst, true, err));
    rc = rc_dir_lock(&dir, LOCK_NAME, &lock, err);
    if (rc == RC_OK) {
        rc = run_locked(plan, &dir, opts, report, mem, err);
        rc_dir_unlock(&dir, LOCK_NAME, lock);
    }
    rc_dir_close(&dir);
    return rc;
}
