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

#include "convert/pin.h"
#include "convert/publish.h"
#include "formats/base/json.h"
#include "formats/stream.h"

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
static rc_code refuse_overlap(const rc_plan *plan, const char *dst, rc_err *err)
{
    const rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(plan)));
    char *s = rc_source_is_remote(src) ? NULL : real_folder(rc_source_where(src));
    char *d = real_folder(dst);
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

/* Would one file be of two targets? Names beside a GGUF file are judged as publishing does. */
static bool clash(const rc_plan *a, const rc_plan *b)
{
    if (!is_file(a) || !is_file(b))
        return false;
    for (size_t i = 0; i < rc_plan_shards(b); i++)
        if (rc_publish_owns(a, rc_plan_shard_at(b, i)->name))
            return true;
    return false;
}

static bool same_folder(const rc_convert_target *a, const rc_convert_target *b)
{
    char x[PATH_MAX], y[PATH_MAX];
    struct stat s, t;

    return stat(rc_convert_folder(a->plan, a->dst, x), &s) == 0 &&
           stat(rc_convert_folder(b->plan, b->dst, y), &t) == 0 && s.st_dev == t.st_dev &&
           s.st_ino == t.st_ino;
}

static rc_code refuse_pair(const rc_convert_target *a, const rc_convert_target *b, rc_err *err)
{
    char *x = real_folder(a->dst), *y = real_folder(b->dst);
    /* where one has no parent yet, as they are written */
    const char *at = x && y ? x : a->dst, *other = x && y ? y : b->dst;
    const bool nested = is_inside(at, other) || is_inside(other, at);

    free(x);
    free(y);
    if (!nested && !(same_folder(a, b) && (clash(a->plan, b->plan) || clash(b->plan, a->plan))))
        return RC_OK;
    rc_fail(err, RC_E_USAGE, RC_NO_OFFSET, "%s",
            nested ? "is another target, lies inside it, or around it"
                   : "its files would be taken for those of another target");
    rc_err_file(err, b->dst);
    return RC_E_USAGE;
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

static rc_code measure_space(const rc_plan *plan, const rc_dir *dir, rc_convert_report *report,
                             rc_err *err)
{
    struct stat st;

    report->need = rc_execute_space(plan, dir) + small_files(plan);
    if (fstat(dir->fd, &st) == 0)
        report->disk = st.st_dev;
    return rc_dir_free(dir, &report->free, err);
}

/* Targets on one file system share what it has. */
static rc_code check_space(const rc_convert_target *targets, size_t n, rc_err *err)
{
    char want[16], available[16];
    rc_code rc;

    for (size_t i = 0; i < n; i++) {
        const rc_convert_report *report = &targets[i].report;
        uint64_t need = 0;

        for (size_t k = 0; k < n; k++)
            if (targets[k].report.disk == report->disk)
                need += targets[k].report.need;
        if (need <= report->free)
            continue;
        rc = rc_fail(err, RC_E_NOSPACE, RC_NO_OFFSET, "not enough space on its disk");
        rc_err_file(err, targets[i].dst);
        rc_err_want(err, "%" PRIu64 " bytes = %s%s", need, rc_human_bytes(want, need),
                    need > report->need ? " for all targets there" : "");
        rc_err_got(err, "%" PRIu64 " free = %s", report->free,
                   rc_human_bytes(available, report->free));
        rc_err_hint(err, "free some space or name a folder on another disk; nothing was written");
        return rc;
    }
    return RC_OK;
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

/* What is known of the shards' bytes: a file beyond this machine has no time. */
static void hash_contents(rc_hasher *hasher, const rc_ckpt *ckpt)
{
    for (size_t i = 0; i < rc_ckpt_shards(ckpt); i++) {
        const size_t file = rc_ckpt_shard(ckpt, i)->file;
        const rc_content_id *id = &rc_source_at(rc_ckpt_source(ckpt), file)->content;

        if (id->kind != RC_CONTENT_UNKNOWN)
            rc_hash_field(hasher, id->bytes, sizeof id->bytes);
    }
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
    hash_contents(&hasher, ckpt);
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

/* ----------------------------------------------------------- what is complete */

typedef struct looked_for {
    bool in_run, found;
    char hex[33];
} looked_for;

/* The key "identity" of the object "run". */
static rc_code note_identity(void *ctx, const rc_json_event *e, rc_err *err)
{
    static const char run[] = "run", identity[] = "identity";
    looked_for *l = ctx;

    (void)err;
    if (e->type == RC_JSON_KEY && e->depth == 1)
        l->in_run = e->len == strlen(run) && memcmp(e->text, run, e->len) == 0;
    else if (e->type == RC_JSON_KEY && e->depth == 2 && l->in_run)
        l->found = e->len == strlen(identity) && memcmp(e->text, identity, e->len) == 0;
    else if (e->type == RC_JSON_STRING && l->found && !l->hex[0] && e->len < sizeof l->hex)
        memcpy(l->hex, e->text, e->len);
    return RC_OK;
}

/* Is what lies there complete, and the result of the very same conversion? */
static bool is_same_result(const rc_plan *plan, const rc_dir *dir, const rc_journal_id *id,
                           rc_mem *mem)
{
    const rc_plan_names *names = rc_plan_names_of(plan);
    const rc_digest digest = rc_hash(id, sizeof *id);
    looked_for l = { 0 };
    char *text, hex[33];
    size_t len;
    bool same;

    if (!rc_publish_is_complete(plan, dir) || rc_dir_stat(dir, names->journal, NULL) ||
        rc_dir_slurp(dir, names->summary, 64 << 20, &text, &len, mem, NULL) != RC_OK)
        return false;
    same = rc_json_parse((const uint8_t *)text, len, 0, note_identity, &l, mem, NULL) == RC_OK &&
           strcmp(l.hex, rc_digest_hex(&digest, hex)) == 0;
    rc_mem_put(mem, text);
    return same;
}

/* ----------------------------------------------------------------- preflight */

static rc_code ask(rc_convert_target *t, bool several, const rc_convert_opts *opts, rc_mem *mem,
                   rc_err *err)
{
    const rc_journal_id id = rc_convert_identity(t->plan);
    char buf[PATH_MAX], folder[PATH_MAX]; /* buf holds dir.path */
    rc_dir dir = { .fd = -1 };
    bool exists;
    rc_code rc = RC_OK;

    RC_TRY(refuse_overlap(t->plan, t->dst, err));
    RC_TRY(open_for_asking(&dir, rc_convert_folder(t->plan, t->dst, folder), buf, &exists, err));
    if (!exists && is_file(t->plan)) {
        rc_dir_close(&dir);
        return fail_no_folder(t->dst, err);
    }
    if (several && exists && !opts->force && is_same_result(t->plan, &dir, &id, mem)) {
        t->report.already_complete = true;
        rc = measure_space(t->plan, &dir, &t->report, err);
        t->report.need = 0;
        rc_dir_close(&dir);
        return rc;
    }
    if (exists)
        rc = refuse_occupied(t->plan, &dir, opts, err);
    if (rc == RC_OK)
        rc = rc_publish_check_sides(t->plan, err);
    if (rc == RC_OK)
        rc = check_writable(&dir, t->dst, err);
    if (rc == RC_OK)
        rc = measure_space(t->plan, &dir, &t->report, err);
    rc_dir_close(&dir);
    return rc;
}

rc_code rc_convert_preflight(rc_convert_target *targets, size_t n, const rc_convert_opts *opts,
                             rc_mem *mem, rc_err *err)
{
    for (size_t i = 0; i < n; i++) {
        targets[i].report = (rc_convert_report){ 0 };
        for (size_t k = 0; k < i; k++)
            RC_TRY(refuse_pair(&targets[k], &targets[i], err));
    }
    for (size_t i = 0; i < n; i++)
        RC_TRY(ask(&targets[i], n > 1, opts, mem, err));
    return check_space(targets, n, err);
}

/* --------------------------------------------------------------------- run */

/* One target of a run. */
typedef struct conversion {
    rc_convert_target *t;
    const rc_plan *plan;
    char folder[PATH_MAX];
    rc_dir dir;
    int lock;
    rc_journal_id id;
    rc_journal *journal; /* NULL: nothing to do, or not begun */
    rc_smooth *smooth;
} conversion;

/* Nothing is left but to take the journal away: publishing begins by removing an older
 * summary, so one that is there beside the record of it is this run's. */
static bool only_journal_left(const conversion *c)
{
    return rc_publish_is_complete(c->plan, &c->dir) && rc_journal_has_publish(c->journal);
}

static bool is_part(const conversion *c)
{
    return rc_plan_share(c->plan).count != 0;
}

static rc_code take_lock(conversion *c, const rc_convert_opts *opts, rc_mem *mem, rc_err *err)
{
    if (!is_part(c))
        return rc_dir_lock(&c->dir, rc_plan_names_of(c->plan)->lock, &c->lock, err);
    RC_TRY(refuse_occupied(c->plan, &c->dir, opts, err));
    return rc_part_enter(c->plan, &c->dir, &c->id, c->t->origin, opts->force, &c->lock, mem, err);
}

static rc_code open_target(conversion *c, const rc_convert_opts *opts, rc_mem *mem, rc_err *err)
{
    rc_code rc;

    c->id = rc_convert_identity(c->plan);
    RC_TRY(rc_dir_open(&c->dir, rc_convert_folder(c->plan, c->t->dst, c->folder), !is_file(c->plan),
                       err));
    rc = take_lock(c, opts, mem, err);
    if (rc != RC_OK)
        rc_dir_close(&c->dir);
    return rc;
}

static void close_target(conversion *c)
{
    rc_smooth_free(&c->smooth);
    rc_journal_close(&c->journal);
    if (c->dir.fd < 0)
        return;
    rc_dir_unlock(&c->dir, rc_plan_names_of(c->plan)->lock, c->lock);
    rc_dir_close(&c->dir);
}

/* A journal beside a result that its run is done with. */
static rc_code drop_journal(conversion *c, rc_err *err)
{
    c->t->report.already_complete = true;
    rc_journal_close(&c->journal);
    return rc_publish_clean_up(c->plan, &c->dir, err);
}

/* The commit is kept before the journal, which a run that finds another one would refuse; but not
 * in place of that of a run which may have to be refused. */
static rc_code open_journal(conversion *c, const rc_convert_opts *opts, rc_mem *mem, rc_err *err)
{
    const rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(c->plan)));
    const rc_plan_names *names = rc_plan_names_of(c->plan);
    const bool first = opts->restart || !rc_dir_stat(&c->dir, names->journal, NULL);

    if (first)
        RC_TRY(rc_pin_put(&c->dir, names->source, src, mem, err));
    RC_TRY(rc_journal_open(&c->journal, &c->dir, names->journal, &c->id, rc_plan_jobs(c->plan),
                           rc_plan_shards(c->plan), opts->restart, opts->log, mem, err));
    if (!first)
        RC_TRY(rc_pin_put(&c->dir, names->source, src, mem, err));
    if (rc_journal_is_resumed(c->journal))
        return RC_OK;
    /* what is left of a run that was given up */
    RC_TRY(rc_dir_remove(&c->dir, names->smooth, err));
    RC_TRY(rc_dir_remove(&c->dir, names->state, err));
    return rc_dir_remove(&c->dir, names->blocks, err);
}

/* A part that is finished is gone through once more all the same: this run's rules may be
 * stricter. */
static rc_code begin_part(conversion *c, rc_err *err)
{
    c->t->report.already_complete = rc_part_is_finished(c->plan, &c->dir, c->journal, false);
    return c->t->report.already_complete ? RC_OK : rc_part_spoil_join(c->plan, &c->dir, err);
}

static rc_code begin_target(conversion *c, bool several, const rc_convert_opts *opts, rc_mem *mem,
                            rc_err *err)
{
    c->t->report.run.identity = rc_hash(&c->id, sizeof c->id);
    if (several && !opts->force && is_same_result(c->plan, &c->dir, &c->id, mem)) {
        c->t->report.already_complete = true;
        return RC_OK;
    }
    c->t->report.already_complete = false;
    /* Once more, under the lock: another run may have finished since the preflight. */
    RC_TRY(refuse_occupied(c->plan, &c->dir, opts, err));
    RC_TRY(rc_publish_rehearse(c->plan, mem, err));
    RC_TRY(open_journal(c, opts, mem, err));
    if (is_part(c)) {
        RC_TRY(begin_part(c, err));
    } else if (only_journal_left(c)) {
        return drop_journal(c, err);
    } else if (rc_publish_is_complete(c->plan, &c->dir) && !opts->force) {
        rc_journal_close(&c->journal); /* a forced run began, this one is not */
        return refuse_finished(c->plan, &c->dir, err);
    }
    c->t->report.run.resumed = rc_journal_is_resumed(c->journal);
    c->t->report.jobs = rc_plan_share_size(c->plan).jobs;
    c->t->report.jobs_done = rc_journal_done(c->journal);
    return RC_OK;
}

/* Scalings first: every tensor depends on them. */
static rc_code find_scalings(conversion *c, const rc_convert_opts *opts, rc_mem *mem, rc_err *err)
{
    const rc_smooth_opts find = { .threads = opts->execute.threads,
                                  .identity = c->t->report.run.identity,
                                  .steps = opts->smoothed,
                                  .log = opts->log };

    RC_TRY(rc_smooth_find(&c->smooth, c->plan, &c->dir, rc_plan_names_of(c->plan)->smooth, &find,
                          mem, err));
    return c->smooth ? rc_journal_bind(c->journal, rc_smooth_digest(c->smooth), err) : RC_OK;
}

/* What all targets that there is something to do for have in common. */
typedef struct together {
    rc_work works[RC_CONVERT_TARGETS];
    rc_dir dirs[RC_CONVERT_TARGETS];
    const char *names[RC_CONVERT_TARGETS]; /* of the stream's log */
    size_t n;
} together;

static void gather(together *g, conversion *all, size_t n)
{
    g->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (!all[i].journal)
            continue;
        g->works[g->n] = (rc_work){ .plan = all[i].plan,
                                    .dir = &all[i].dir,
                                    .journal = all[i].journal,
                                    .smooth = all[i].smooth,
                                    .identity = all[i].t->report.run.identity,
                                    .name = all[i].t->dst };
        g->dirs[g->n] = all[i].dir;
        g->names[g->n++] = rc_plan_names_of(all[i].plan)->blocks;
    }
}

/* Bytes that are others than before may have made the plan wrong: where nothing was done by it,
 * the next run is to make its own. */
static void forget_plan(conversion *c)
{
    rc_err ignored;
    rc_code rc;

    if (is_part(c) || rc_journal_is_resumed(c->journal) || rc_journal_done(c->journal))
        return;
    rc = rc_publish_clean_up(c->plan, &c->dir, &ignored);
    (void)rc; /* what came is the error to tell */
}

/* All of them in one pass over the source. */
static rc_code execute(conversion *all, size_t n, together *g, const rc_convert_opts *opts,
                       rc_mem *mem, rc_err *err)
{
    rc_execute_opts how = opts->execute;
    rc_code rc;

    gather(g, all, n);
    if (g->n == 0)
        return RC_OK;
    how.log_dirs = g->dirs;
    how.log_names = g->names;
    how.nlogs = g->n;
    rc = rc_execute(g->works, g->n, &how, mem, err);
    for (size_t i = 0, k = 0; i < n; i++)
        if (all[i].journal)
            all[i].t->report.kept = g->works[k++].kept;
    for (size_t i = 0; i < n; i++)
        if (all[i].journal && rc == RC_E_INTEGRITY)
            forget_plan(&all[i]);
    return rc;
}

static rc_code publish(conversion *c, const rc_convert_opts *opts, rc_mem *mem, rc_err *err)
{
    const rc_finished done = { c->plan, c->journal, c->smooth };

    RC_TRY(rc_totals_of(&done, &c->t->report.totals, err));
    if (is_part(c)) /* join gives names */
        return RC_OK;
    return rc_publish(&done, &c->dir, &c->t->report.run, &c->t->report.totals, opts->force,
                      opts->log, mem, err);
}

/* Which of several an error is about. */
static rc_code name_target(const conversion *c, bool several, rc_code rc, rc_err *err)
{
    if (several && rc != RC_OK)
        rc_err_for(err, c->t->dst);
    return rc;
}

static rc_code run_locked(conversion *all, size_t n, together *g, const rc_convert_opts *opts,
                          rc_mem *mem, rc_err *err)
{
    const double started = rc_now();
    rc_code rc = RC_OK;

    for (size_t i = 0; i < n; i++)
        RC_TRY(name_target(&all[i], n > 1, begin_target(&all[i], n > 1, opts, mem, err), err));
    for (size_t i = 0; i < n && rc == RC_OK; i++)
        if (all[i].journal)
            rc = name_target(&all[i], n > 1, find_scalings(&all[i], opts, mem, err), err);
    if (rc == RC_OK)
        rc = execute(all, n, g, opts, mem, err);
    for (size_t i = 0; i < n; i++) {
        rc_convert_report *report = &all[i].t->report;

        if (!all[i].journal)
            continue;
        report->jobs_done = rc_journal_done(all[i].journal);
        report->run.seconds = rc_now() - started;
        if (rc == RC_OK)
            rc = name_target(&all[i], n > 1, publish(&all[i], opts, mem, err), err);
    }
    return rc;
}

rc_code rc_convert_all(rc_convert_target *targets, size_t n, const rc_convert_opts *opts,
                       rc_mem *mem, rc_err *err)
{
    rc_source *src = rc_ckpt_source(rc_model_ckpt(rc_plan_model(targets[0].plan)));
    conversion *all;
    together g;
    rc_code rc = RC_OK;

    if (n > RC_CONVERT_TARGETS)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "more than %u targets", RC_CONVERT_TARGETS);
    RC_TRY(rc_convert_preflight(targets, n, opts, mem, err));
    all = rc_mem_get(mem, n * sizeof *all);
    if (!all)
        return rc_fail_nomem(err, mem, n * sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i].t = &targets[i];
        all[i].plan = targets[i].plan;
        all[i].dir.fd = -1;
    }
    for (size_t i = 0; i < n && rc == RC_OK; i++)
        rc = name_target(&all[i], n > 1, open_target(&all[i], opts, mem, err), err);
    if (rc == RC_OK)
        rc = run_locked(all, n, &g, opts, mem, err);
    rc_source_unstream(src);
    for (size_t i = 0; i < n; i++)
        close_target(&all[i]);
    rc_mem_put(mem, all);
    return rc;
}

rc_code rc_convert(const rc_plan *plan, const char *dst, const rc_convert_opts *opts,
                   rc_convert_report *report, rc_mem *mem, rc_err *err)
{
    rc_convert_target target = { .plan = plan, .dst = dst };
    const rc_code rc = rc_convert_all(&target, 1, opts, mem, err);

    *report = target.report;
    return rc;
}

/* ------------------------------------------------------------------- hollow */

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
    char folder[PATH_MAX];
    rc_dir dir;
    int lock;
    rc_code rc;

    RC_TRY(refuse_overlap(plan, dst, err));
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
