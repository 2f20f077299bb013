/* convert/journal.c - see journal.h. */
#define _GNU_SOURCE
#include "convert/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RECORD = 320, PAYLOAD = 296 };
enum {
    KIND_ID = 1,
    KIND_JOB,
    KIND_SHARD,
    KIND_PUBLISH,
    KIND_FORGET_JOB,
    KIND_FORGET_SHARD,
    KIND_SMOOTH
};
static const char magic[4] = { 'R', 'C', 'J', '2' };

typedef struct record {
    char magic[4];
    uint32_t kind;
    uint64_t index;
    uint8_t payload[PAYLOAD];
    uint64_t check;
} record;
_Static_assert(sizeof(record) == RECORD, "records have one size");
_Static_assert(sizeof(rc_result) <= PAYLOAD, "a result fits a record");
_Static_assert(sizeof(rc_journal_id) <= PAYLOAD, "an identity fits a record");

struct rc_journal {
    rc_mem *mem;
    char name[RC_PLAN_NAME + 16];
    int fd;
    pthread_mutex_t lock;
    rc_result *results; /* by job */
    uint8_t *has_result;
    uint8_t *has_shard;
    size_t njobs, nshards, ndone;
    bool publish, resumed;
    bool bound; /* to scalings of this digest */
    uint64_t smooth;
};

static uint64_t checksum(const record *r)
{
    return XXH3_64bits(r, offsetof(record, check));
}

static rc_code append(rc_journal *j, uint32_t kind, uint64_t index, const void *payload,
                      size_t nbytes, bool sync, rc_err *err)
{
    record r;
    int e;

    memset(&r, 0, sizeof r);
    memcpy(r.magic, magic, sizeof magic);
    r.kind = kind;
    r.index = index;
    if (nbytes)
        memcpy(r.payload, payload, nbytes);
    r.check = checksum(&r);
    e = rc_write_all(j->fd, &r, sizeof r);
    if (e == 0 && sync && fsync(j->fd) != 0)
        e = errno;
    if (e == 0)
        return RC_OK;
    rc_fail_errno(err, e, "cannot write the journal");
    rc_err_file(err, j->name);
    return err ? err->code : RC_E_IO;
}

static void load(rc_journal *j, const record *r)
{
    if (r->kind == KIND_JOB && r->index < j->njobs) {
        memcpy(&j->results[r->index], r->payload, sizeof *j->results);
        j->ndone += !j->has_result[r->index];
        j->has_result[r->index] = 1;
    } else if (r->kind == KIND_SHARD && r->index < j->nshards) {
        j->has_shard[r->index] = 1;
    } else if (r->kind == KIND_FORGET_JOB && r->index < j->njobs) {
        j->ndone -= j->has_result[r->index];
        j->has_result[r->index] = 0;
    } else if (r->kind == KIND_FORGET_SHARD && r->index < j->nshards) {
        j->has_shard[r->index] = 0;
    } else if (r->kind == KIND_PUBLISH) {
        j->publish = true;
    } else if (r->kind == KIND_SMOOTH) {
        j->bound = true;
        j->smooth = r->index;
    }
}

static rc_code same_work(const char *name, const rc_journal_id *then, const rc_journal_id *now,
                         rc_err *err)
{
    const bool same_text = strncmp(then->recipe, now->recipe, sizeof now->recipe) == 0;
    const char *what = NULL;
    rc_code rc;

    if (strncmp(then->version, now->version, sizeof now->version) != 0)
        what = "another version of recast";
    else if (!rc_digest_equal(&then->recipe_digest, &now->recipe_digest))
        what = same_text ? "the same options, but of other rules, or with other statistics, "
                           "another importance "
                           "matrix, tokenizer or chat template"
                         : "other options";
    else if (!rc_digest_equal(&then->source_digest, &now->source_digest))
        what = "another source (its files have changed, or it is another checkpoint)";
    if (!what)
        return RC_OK;
    rc = rc_fail(err, RC_E_RESUME, RC_NO_OFFSET, "the unfinished conversion here is of %s", what);
    rc_err_file(err, name);
    if (strncmp(then->version, now->version, sizeof now->version) != 0) {
        rc_err_want(err, "%.24s", then->version);
        rc_err_got(err, "%.24s", now->version);
    } else if (!rc_digest_equal(&then->recipe_digest, &now->recipe_digest) && !same_text) {
        rc_err_want(err, "%.90s", then->recipe);
        rc_err_got(err, "%.90s", now->recipe);
    }
    rc_err_hint(err, "%s, or add --restart to discard what was done",
                rc_digest_equal(&then->recipe_digest, &now->recipe_digest)
                    ? "resuming needs the source and the program as they were"
                    : "repeat the earlier command to finish it");
    return rc;
}

/* Read what is there. A file whose first record is no identity holds nothing.
 * After a damaged record no shard is trusted unseen: the record may have been the
 * one that took a shard back. */
static rc_code replay(rc_journal *j, const rc_journal_id *id, bool *usable, const rc_log *log,
                      rc_err *err)
{
    uint64_t damaged = RC_NO_OFFSET;
    rc_journal_id then;
    record r;
    int e;

    *usable = false;
    for (uint64_t off = 0; (e = rc_pread_all(j->fd, &r, sizeof r, off, NULL)) == 0;
         off += sizeof r) {
        const bool valid = memcmp(r.magic, magic, sizeof magic) == 0 && r.check == checksum(&r);

        if (off == 0) {
            if (!valid || r.kind != KIND_ID) {
                rc_warn(log, j->name, NULL, 0, "damaged at its start: starting over");
                return RC_OK;
            }
            memcpy(&then, r.payload, sizeof then);
            RC_TRY(same_work(j->name, &then, id, err));
            *usable = true;
        } else if (valid) {
            load(j, &r);
        } else if (damaged == RC_NO_OFFSET) {
            damaged = off;
        }
    }
    if (e > 0) { /* not the end of the file: what follows may take back what was said */
        const rc_code rc = rc_fail_errno(err, e, "cannot read the journal");

        rc_err_file(err, j->name);
        return rc;
    }
    if (damaged != RC_NO_OFFSET) {
        memset(j->has_shard, 0, j->nshards);
        rc_warn(log, j->name, NULL, damaged,
                "damaged record: what was done is read back, what is not proven is done again");
    }
    return RC_OK;
}

/* Appends must start on a record: a torn tail is cut off. */
static rc_code begin(rc_journal *j, const rc_journal_id *id, bool usable, rc_err *err)
{
    const off_t end = lseek(j->fd, 0, SEEK_END);
    const off_t keep = usable ? end - end % RECORD : 0;

    if (end < 0 || ftruncate(j->fd, keep) != 0) {
        const rc_code rc = rc_fail_errno(err, errno, "cannot truncate the journal");

        rc_err_file(err, j->name);
        return rc;
    }
    if (usable)
        return RC_OK;
    return append(j, KIND_ID, 0, id, sizeof *id, true, err);
}

rc_code rc_journal_open(rc_journal **out, const rc_dir *dir, const char *name,
                        const rc_journal_id *id, size_t njobs, size_t nshards, bool restart,
                        const rc_log *log, rc_mem *mem, rc_err *err)
{
    rc_journal *j = rc_mem_get(mem, sizeof *j);
    bool usable = false;
    rc_code rc = RC_OK;

    *out = NULL;
    if (!j)
        return rc_fail_nomem(err, mem, sizeof *j);
    j->mem = mem;
    snprintf(j->name, sizeof j->name, "%s", name);
    j->njobs = njobs;
    j->nshards = nshards;
    j->fd = -1;
    pthread_mutex_init(&j->lock, NULL);
    *out = j;
    j->results = rc_mem_get(mem, njobs * sizeof *j->results);
    j->has_result = rc_mem_get(mem, njobs);
    j->has_shard = rc_mem_get(mem, nshards);
    if (!j->results || !j->has_result || !j->has_shard)
        RC_TRY_GOTO(rc, fail, rc_fail_nomem(err, mem, njobs * sizeof *j->results));
    if (restart)
        RC_TRY_GOTO(rc, fail, rc_dir_remove(dir, j->name, err));
    j->fd = openat(dir->fd, j->name, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (j->fd < 0) {
        rc = rc_fail_errno(err, errno, "cannot open the journal");
        rc_err_file(err, j->name);
        if (rc == RC_E_NOINPUT) /* the folder is gone */
            rc = rc_recode(err, RC_E_CANTCREATE);
        goto fail;
    }
    RC_TRY_GOTO(rc, fail, replay(j, id, &usable, log, err));
    RC_TRY_GOTO(rc, fail, begin(j, id, usable, err));
    j->resumed = usable;
    RC_TRY_GOTO(rc, fail, rc_dir_sync(dir, err));
    return RC_OK;
fail:
    rc_journal_close(out);
    return rc;
}

void rc_journal_close(rc_journal **journal)
{
    rc_journal *j = *journal;

    *journal = NULL;
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    pthread_mutex_destroy(&j->lock);
    rc_mem_put(j->mem, j->results);
    rc_mem_put(j->mem, j->has_result);
    rc_mem_put(j->mem, j->has_shard);
    rc_mem_put(j->mem, j);
}

rc_code rc_journal_bind(rc_journal *j, uint64_t smooth, rc_err *err)
{
    if (!j->bound || (j->smooth != smooth && !j->ndone)) {
        j->bound = true;
        j->smooth = smooth;
        return append(j, KIND_SMOOTH, smooth, NULL, 0, true, err);
    }
    if (j->smooth == smooth)
        return RC_OK;
    rc_fail(err, RC_E_RESUME, RC_NO_OFFSET,
            "what is done was made with other scalings of channels than are found now");
    rc_err_file(err, j->name);
    rc_err_hint(err, "add --restart to discard what was done");
    return RC_E_RESUME;
}

bool rc_journal_bound(const rc_journal *j, uint64_t *smooth)
{
    *smooth = j->smooth;
    return j->bound;
}

const rc_result *rc_journal_result(const rc_journal *j, size_t job)
{
    return j->has_result[job] ? &j->results[job] : NULL;
}

rc_code rc_journal_add(rc_journal *j, size_t job, const rc_result *result, rc_err *err)
{
    rc_code rc;

    pthread_mutex_lock(&j->lock);
    rc = append(j, KIND_JOB, job, result, sizeof *result, false, err);
    if (rc == RC_OK) {
        j->results[job] = *result;
        j->ndone += !j->has_result[job];
        j->has_result[job] = 1;
    }
    pthread_mutex_unlock(&j->lock);
    return rc;
}

rc_code rc_journal_forget(rc_journal *j, size_t job, rc_err *err)
{
    j->ndone -= j->has_result[job];
    j->has_result[job] = 0;
    return append(j, KIND_FORGET_JOB, job, NULL, 0, false, err);
}

rc_code rc_journal_add_shard(rc_journal *j, size_t shard, rc_err *err)
{
    rc_code rc;

    pthread_mutex_lock(&j->lock);
    rc = append(j, KIND_SHARD, shard, NULL, 0, true, err);
    if (rc == RC_OK)
        j->has_shard[shard] = 1;
    pthread_mutex_unlock(&j->lock);
    return rc;
}

rc_code rc_journal_forget_shard(rc_journal *j, size_t shard, rc_err *err)
{
    j->has_shard[shard] = 0;
    return append(j, KIND_FORGET_SHARD, shard, NULL, 0, true, err);
}

bool rc_journal_has_shard(const rc_journal *j, size_t shard)
{
    return j->has_shard[shard];
}

rc_code rc_journal_add_publish(rc_journal *j, rc_err *err)
{
    RC_TRY(append(j, KIND_PUBLISH, 0, NULL, 0, true, err));
    j->publish = true;
    return RC_OK;
}

bool rc_journal_has_publish(const rc_journal *j)
{
    return j->publish;
}

bool rc_journal_is_resumed(const rc_journal *j)
{
    return j->resumed;
}

size_t rc_journal_done(const rc_journal *j)
{
    return j->ndone;
}
