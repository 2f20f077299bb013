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

#include "convert/part.h"
#include "convert/publish.h"

enum { STEM_MAX = 200 }; /* bytes; what is added to it must fit into a file name */

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

static bool is_file(const rc_plan *plan)
{
    return rc_plan_recipe(plan)->target == RC_TO_GGUF;
}

/* A file may lie beside the source, but not in it; a folder not around it either. */
static rc_code refuse_overlap(const rc_plan *plan, const char *src, const char *dst, rc_err *err)
{
    char *s = real_folder(src), *d = real_folder(dst);
    rc_code rc = RC_OK;

    if (s && d && (is_inside(d, s) || (!is_file(plan) && is_inside(s, d)))) {
        rc = rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                     is_file(plan) ? "the output would lie in the source folder"
                                   : "the output folder is the source, inside it, or around it");
        rc_err_file(err, dst);
    }
    free(s);
    free(d);
    return rc;
}

static bool is_shard(void *ctx, const char *name)
{
    const size_t n = strlen(name), k = strlen(".safetensors");

    (void)ctx;
    return n > k && strcmp(name + n - k, ".safetensors") == 0;
}

/* Nobody means to replace a checkpoint of others by a conversion: the arguments are
 * the wrong way round. No option allows it. */
static rc_code refuse_foreign(const rc_plan *plan, const rc_dir *dir, rc_err *err)
{
    if (is_file(plan) || rc_publish_is_complete(plan, dir) ||
        rc_dir_stat(dir, rc_plan_names_of(plan)->journal, NULL) || !rc_dir_any(dir, is_shard, NULL))
        return RC_OK;
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "holds a checkpoint that is no result of recast");
    rc_err_file(err, dir->path);
    rc_err_hint(err, "are SRC and DST the wrong way round? Name another folder, or empty this one");
    return RC_E_CANTCREATE;
}

static rc_code refuse_finished(const rc_plan *plan, const rc_dir *dir, rc_err *err)
{
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET,
            is_file(plan) ? "is a finished conversion" : "holds a finished conversion");
    rc_err_file(err, is_file(plan) ? rc_plan_shard_at(plan, 0)->name : dir->path);
    rc_err_hint(err, "--force replaces it");
    return RC_E_CANTCREATE;
}

/* Is something in the way that this conversion would replace or mix with? */
static rc_code refuse_others(const rc_plan *plan, const rc_dir *dir, rc_err *err)
{
    const char *what = "is not empty, and what is there is not ours", *file = dir->path;
    char stranger[RC_PLAN_NAME];

    if (is_file(plan)) {
        size_t i = 0;

        while (i < rc_plan_shards(plan) && !rc_dir_has(dir, rc_plan_shard_at(plan, i)->name, NULL))
            i++;
        if (i < rc_plan_shards(plan))
            file = rc_plan_shard_at(plan, i)->name;
        else if (rc_publish_finds_stranger(plan, dir, stranger))
            file = stranger; /* a loader would take it for a part of the new one */
        else
            return RC_OK;
        what = "is there already, and is no result of recast";
    } else if (rc_dir_is_empty(dir)) {
        return RC_OK;
    }
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "%s", what);
    rc_err_file(err, file);
    rc_err_hint(err,
                is_file(plan)
                    ? "name another file, or add --force to replace it"
                    : "name an empty or new folder, or add --force to write among these files");
    return RC_E_CANTCREATE;
}

/* A folder cannot be replaced by a file, and it would be found out after the last byte. */
static rc_code refuse_folders(const rc_plan *plan, const rc_dir *dir, rc_err *err)
{
    for (size_t i = 0; is_file(plan) && i < rc_plan_shards(plan); i++) {
        const char *name = rc_plan_shard_at(plan, i)->name;
        bool folder;

        if (rc_dir_has(dir, name, &folder) && folder) {
            rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "is a folder");
            rc_err_file(err, name);
            rc_err_hint(err, "--to gguf writes a file: name another");
            return RC_E_CANTCREATE;
        }
    }
    return RC_OK;
}

/* A journal beside a finished result is of a run that had --force, or has nothing left to
 * do: it may go on, but --restart would begin to replace the result. */
static rc_code refuse_occupied(const rc_plan *plan, const rc_dir *dir, const rc_convert_opts *opts,
                               rc_err *err)
{
    const rc_plan_names *names = rc_plan_names_of(plan);
    const bool complete = rc_publish_is_complete(plan, dir);
    /* the lock of a dead run says nothing about files that lie beside it */
    const bool ours = rc_dir_stat(dir, names->journal, NULL)
                          ? !(complete && opts->restart)
                          : !is_file(plan) && rc_dir_stat(dir, names->lock, NULL) && !complete;

    bool part;

    RC_TRY(rc_part_refuse(plan, dir, &part, err));
    if (!part)
        RC_TRY(refuse_foreign(plan, dir, err));
    RC_TRY(refuse_folders(plan, dir, err));
    if (opts->force || ours || part)
        return RC_OK;
    return complete ? refuse_finished(plan, dir, err) : refuse_others(plan, dir, err);
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

/* The folder that the output goes to: DST, or that of the file DST. */
const char *rc_convert_folder(const rc_plan *plan, const char *dst, char buf[PATH_MAX])
{
    snprintf(buf, PATH_MAX, "%s", dst);
    return is_file(plan) ? dirname(buf) : buf;
}

/* Does it end in "-00001-of-00004", for which loaders look for the others? */
static bool is_split_name(const char *stem)
{
    static const char like[] = "-00000-of-00000";
    const size_t n = strlen(stem), k = sizeof like - 1;

    for (size_t i = 0; i < k && n > k; i++) {
        const char c = stem[n - k + i];

        if (like[i] == '0' ? c < '0' || c > '9' : c != like[i])
            return false;
    }
    return n > k;
}

rc_code rc_convert_stem(const char *dst, char buf[RC_PLAN_NAME], rc_err *err)
{
    const char *base = strrchr(dst, '/') ? strrchr(dst, '/') + 1 : dst;
    const size_t n = strlen(base), k = strlen(".gguf");
    rc_code rc;

    if (n > k && n - k <= STEM_MAX && strcmp(base + n - k, ".gguf") == 0) {
        snprintf(buf, RC_PLAN_NAME, "%.*s", (int)(n - k), base);
        if (!is_split_name(buf))
            return RC_OK;
        rc = rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "the name of one split of several");
        rc_err_file(err, dst);
        rc_err_hint(err, "name the whole, as in NAME.gguf: --split-size adds the numbers");
        return rc;
    }
    rc = rc_fail(err, RC_E_USAGE, RC_NO_OFFSET,
                 n - k > STEM_MAX && n > k ? "a name of over 200 bytes"
                                           : "not the name of a .gguf file");
    rc_err_file(err, dst);
    rc_err_hint(err, "--to gguf writes a file: recast convert SRC NAME.gguf --to gguf");
    return rc;
}

static rc_code fail_no_folder(const char *dst, rc_err *err)
{
    rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "its folder does not exist");
    rc_err_file(err, dst);
    rc_err_hint(err, "make it first: mkdir -p");
    return RC_E_CANTCREATE;
}

rc_code rc_convert_preflight(const rc_plan *plan, const char *dst, const rc_convert_opts *opts,
                             rc_convert_report *report, rc_err *err)
{
    const char *src = rc_source_where(rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan))));
    char buf[PATH_MAX], folder[PATH_MAX]; /* buf holds dir.path */
    rc_dir dir = { .fd = -1 };
    bool exists;
    rc_code rc;

    RC_TRY(refuse_overlap(plan, src, dst, err));
    RC_TRY(open_for_asking(&dir, rc_convert_folder(plan, dst, folder), buf, &exists, err));
    if (!exists && is_file(plan)) {
        rc_dir_close(&dir);
        return fail_no_folder(dst, err);
    }
    rc = exists ? refuse_occupied(plan, &dir, opts, err) : RC_OK;
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

/* Types, names and metadata are all in the heads; what decides the bits besides is not. */
static void hash_gguf(rc_hasher *hasher, const rc_plan *plan)
{
    const rc_recipe *recipe = rc_plan_recipe(plan);
    const uint64_t imatrix = recipe->imatrix ? rc_imatrix_digest(recipe->imatrix) : 0;

    rc_hash_field(hasher, &recipe->effort, sizeof recipe->effort);
    rc_hash_field(hasher, &imatrix, sizeof imatrix);
    for (size_t i = 0; i < rc_plan_shards(plan); i++)
        rc_hash_field(hasher, rc_plan_shard_at(plan, i)->head, rc_plan_shard_at(plan, i)->head_len);
}

static void hash_int4(rc_hasher *hasher, const rc_int4_recipe *r)
{
    const uint64_t stats = r->stats ? rc_imatrix_digest(rc_calib_imatrix(r->stats)) : 0;
    const uint32_t words[] = { r->group,  r->symmetric, r->scale,    r->scope,
                               r->method, r->smooth,    r->hf_names, r->repack };

    rc_hash_field(hasher, words, sizeof words);
    rc_hash_field(hasher, &stats, sizeof stats);
}

rc_journal_id rc_convert_identity(const rc_plan *plan)
{
    _Alignas(64) rc_hasher hasher;
    rc_ckpt *ckpt = rc_model_ckpt(rc_plan_model(plan));
    const rc_recipe *recipe = rc_plan_recipe(plan);
    rc_journal_id id;

    memset(&id, 0, sizeof id);
    snprintf(id.version, sizeof id.version, "%s", RC_VERSION);
    rc_recipe_text(recipe, id.recipe, sizeof id.recipe);
    rc_hash_begin(&hasher);
    rc_hash_field(&hasher, &recipe->target, sizeof recipe->target);
    rc_hash_field(&hasher, &recipe->scale_dtype, sizeof recipe->scale_dtype);
    rc_hash_field(&hasher, &recipe->draft, sizeof recipe->draft);
    rc_hash_field(&hasher, &recipe->shard_size, sizeof recipe->shard_size);
    for (unsigned i = 0; i < recipe->nglobs; i++)
        rc_hash_field(&hasher, recipe->globs[i], strlen(recipe->globs[i]));
    if (recipe->target == RC_TO_GGUF)
        hash_gguf(&hasher, plan);
    if (rc_recipe_is_int4(recipe))
        hash_int4(&hasher, &recipe->int4);
    id.recipe_digest = rc_hash_end(&hasher);

    rc_hash_begin(&hasher);
    rc_ckpt_identity(ckpt, &hasher);
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
static bool only_journal_left(const rc_plan *plan, const rc_dir *dir, const rc_journal *journal)
{
    return rc_publish_is_complete(plan, dir) && rc_journal_has_publish(journal);
}

/* Scalings first: every tensor depends on them. */
static rc_code execute(const rc_plan *plan, const rc_dir *dir, rc_journal *journal,
                       const rc_journal_id *id, const rc_convert_opts *opts, rc_smooth **smooth,
                       rc_mem *mem, rc_err *err)
{
    const rc_smooth_opts find = { .threads = opts->execute.threads,
                                  .identity = rc_hash(id, sizeof *id),
                                  .steps = opts->smoothed,
                                  .log = opts->log };
    rc_execute_opts how = opts->execute;

    if (!rc_journal_is_resumed(journal)) /* what is left of a run that was given up */
        RC_TRY(rc_dir_remove(dir, rc_plan_names_of(plan)->smooth, err));
    RC_TRY(rc_smooth_find(smooth, plan, dir, rc_plan_names_of(plan)->smooth, &find, mem, err));
    if (*smooth)
        RC_TRY(rc_journal_bind(journal, rc_smooth_digest(*smooth), err));
    how.smooth = *smooth;
    return rc_execute(plan, dir, journal, &how, mem, err);
}

static rc_code run_locked(const rc_plan *plan, const rc_dir *dir, const rc_convert_opts *opts,
                          rc_convert_report *report, rc_mem *mem, rc_err *err)
{
    const double started = rc_now();
    const rc_journal_id id = rc_convert_identity(plan);
    rc_journal *journal;
    const bool part = rc_plan_share(plan).count != 0;
    rc_smooth *smooth = NULL;
    rc_code rc;

    /* Once more, under the lock: another run may have finished since the preflight. */
    RC_TRY(refuse_occupied(plan, dir, opts, err));
    RC_TRY(rc_publish_rehearse(plan, mem, err));
    RC_TRY(rc_journal_open(&journal, dir, rc_plan_names_of(plan)->journal, &id, rc_plan_jobs(plan),
                           rc_plan_shards(plan), opts->restart, opts->log, mem, err));
    if (!part && only_journal_left(plan, dir, journal)) {
        report->already_complete = true;
        rc_journal_close(&journal);
        return rc_dir_remove(dir, rc_plan_names_of(plan)->journal, err);
    }
    if (part) {
        report->already_complete = rc_part_is_finished(plan, dir, journal, false);
        if (!report->already_complete)
            RC_TRY_GOTO(rc, done, rc_part_spoil_join(plan, dir, err));
    } else if (rc_publish_is_complete(plan, dir) &&
               !opts->force) { /* a forced run began, this one is not */
        rc_journal_close(&journal);
        return refuse_finished(plan, dir, err);
    }
    report->run.resumed = rc_journal_is_resumed(journal);
    rc = execute(plan, dir, journal, &id, opts, &smooth, mem, err);
    report->jobs = rc_plan_share_size(plan).jobs;
    report->jobs_done = rc_journal_done(journal);
    report->run.seconds = rc_now() - started;
    if (rc == RC_OK) {
        const rc_finished done = { plan, journal, smooth };

        rc = rc_totals_of(&done, &report->totals, err);
        if (rc == RC_OK && !part)
            rc = rc_publish(&done, dir, &report->run, &report->totals, opts->force, opts->log, mem,
                            err);
    }
done:
    rc_smooth_free(&smooth);
    rc_journal_close(&journal);
    return rc;
}

static rc_code take_lock(const rc_plan *plan, const rc_dir *dir, const rc_convert_opts *opts,
                         int *lock, rc_mem *mem, rc_err *err)
{
    const rc_journal_id id = rc_convert_identity(plan);

    if (rc_plan_share(plan).count == 0)
        return rc_dir_lock(dir, rc_plan_names_of(plan)->lock, lock, err);
    RC_TRY(refuse_occupied(plan, dir, opts, err));
    return rc_part_enter(plan, dir, &id, opts->origin, opts->force, lock, mem, err);
}

rc_code rc_convert(const rc_plan *plan, const char *dst, const rc_convert_opts *opts,
                   rc_convert_report *report, rc_mem *mem, rc_err *err)
{
    const char *lock_name = rc_plan_names_of(plan)->lock;
    char folder[PATH_MAX];
    rc_dir dir;
    int lock;
    rc_code rc;

    memset(report, 0, sizeof *report);
    RC_TRY(rc_convert_preflight(plan, dst, opts, report, err));
    RC_TRY(rc_dir_open(&dir, rc_convert_folder(plan, dst, folder), !is_file(plan), err));
    rc = take_lock(plan, &dir, opts, &lock, mem, err);
    if (rc == RC_OK) {
        rc = run_locked(plan, &dir, opts, report, mem, err);
        rc_dir_unlock(&dir, lock_name, lock);
    }
    rc_dir_close(&dir);
    return rc;
}

static rc_code write_hollow(const rc_plan_shard *shard, const rc_dir *dir, rc_mem *mem, rc_err *err)
{
    char partial[RC_PARTIAL_NAME];
    rc_out *out;
    rc_err ignored;
    rc_code rc;

    rc_partial_name(shard, partial);
    RC_TRY(rc_out_open(&out, dir, partial, shard->nbytes, RC_OUT_HOLES, mem, err));
    rc = rc_out_write(out, 0, shard->head, shard->head_len, err);
    if (rc == RC_OK)
        rc = rc_out_sync(out, err);
    if (rc_out_close(&out, rc == RC_OK ? err : &ignored) != RC_OK && rc == RC_OK)
        rc = err ? err->code : RC_E_IO;
    return rc == RC_OK ? rc_dir_rename(dir, partial, shard->name, err) : rc;
}

/* Nothing may say of holes that they are a result: neither a summary from before, nor a
 * journal that has an unfinished file under the same name. */
static rc_code hollow_locked(const rc_plan *plan, const rc_dir *dir, const rc_convert_opts *opts,
                             rc_mem *mem, rc_err *err)
{
    const rc_plan_names *names = rc_plan_names_of(plan);

    if (rc_dir_stat(dir, names->journal, NULL)) {
        rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "is of an unfinished conversion to this file");
        rc_err_file(err, names->journal);
        rc_err_hint(err, "finish it without --hollow, or name another file");
        return RC_E_CANTCREATE;
    }
    RC_TRY(refuse_occupied(plan, dir, opts, err));
    RC_TRY(rc_dir_remove(dir, names->summary, err));
    RC_TRY(rc_dir_remove(dir, names->ledger, err));
    RC_TRY(rc_dir_sync(dir, err));
    for (size_t i = 0; i < rc_plan_shards(plan); i++)
        RC_TRY(write_hollow(rc_plan_shard_at(plan, i), dir, mem, err));
    return rc_dir_sync(dir, err);
}

rc_code rc_convert_hollow(const rc_plan *plan, const char *dst, const rc_convert_opts *opts,
                          rc_mem *mem, rc_err *err)
{
    const char *src = rc_source_where(rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan))));
    char folder[PATH_MAX];
    rc_dir dir;
    int lock;
    rc_code rc;

    RC_TRY(refuse_overlap(plan, src, dst, err));
    rc = rc_dir_open(&dir, rc_convert_folder(plan, dst, folder), false, err);
    if (rc != RC_OK)
        return rc == RC_E_NOINPUT ? fail_no_folder(dst, err) : rc;
    rc = rc_dir_lock(&dir, rc_plan_names_of(plan)->lock, &lock, err);
    if (rc == RC_OK) {
        rc = hollow_locked(plan, &dir, opts, mem, err);
        rc_dir_unlock(&dir, rc_plan_names_of(plan)->lock, lock);
    }
    rc_dir_close(&dir);
    return rc;
}
