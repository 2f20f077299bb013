/* formats/stream_log.c - see stream_log.h. */
#define _GNU_SOURCE
#include "formats/stream_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KIND_HEADER = 1, KIND_BLOCK, KIND_STATE, KIND_FORGET };
enum { PAYLOAD = 136, AT_A_TIME = 390 /* records that are read or written with one call */ };
static const char magic[4] = { 'R', 'C', 'S', '1' };

typedef struct record {
    char magic[4];
    uint32_t kind, file, generation;
    uint64_t index;
    uint8_t payload[PAYLOAD];
    uint64_t check;
} record;
_Static_assert(sizeof(record) == RC_STREAM_RECORD, "records have one size");
_Static_assert(sizeof(rc_content_hasher) <= PAYLOAD, "a digest's state fits a record");

struct rc_stream_log {
    rc_mem *mem;
    const rc_dir *dirs;
    const char *const *names;
    size_t ndirs;
    const rc_log *log;
    rc_digest source;
    size_t block;
    uint8_t *of_it; /* by folder: a log that is of this source, with blocks of this size */
    int *fds;
    pthread_mutex_t lock; /* guards appending, and `broken` */
    bool broken;
    rc_err why;
};

static uint64_t checksum(const record *r)
{
    return XXH3_64bits(r, offsetof(record, check));
}

static bool is_whole(const record *r)
{
    return memcmp(r->magic, magic, sizeof magic) == 0 && r->check == checksum(r);
}

static record make(uint32_t kind, uint32_t file, uint32_t generation, uint64_t index,
                   const void *payload, size_t nbytes)
{
    record r;

    memset(&r, 0, sizeof r);
    memcpy(r.magic, magic, sizeof magic);
    r.kind = kind;
    r.file = file;
    r.generation = generation;
    r.index = index;
    if (nbytes)
        memcpy(r.payload, payload, nbytes);
    r.check = checksum(&r);
    return r;
}

/* ------------------------------------------------------------------ what is known */

rc_code rc_stream_known_make(rc_stream_known *k, size_t nfiles, const uint32_t *first, size_t block,
                             rc_mem *mem, rc_err *err)
{
    *k = (rc_stream_known){
        .nfiles = nfiles, .nblocks = first[nfiles], .block = block, .first = first
    };
    k->generation = rc_mem_get(mem, nfiles * sizeof *k->generation);
    k->hasher = rc_mem_get(mem, nfiles * sizeof *k->hasher);
    k->sums = rc_mem_get(mem, k->nblocks * sizeof *k->sums);
    k->has = rc_mem_get(mem, k->nblocks);
    if (k->generation && k->hasher && k->sums && k->has)
        return RC_OK;
    rc_stream_known_drop(k, mem);
    return rc_fail_nomem(err, mem, first[nfiles] * sizeof *k->sums);
}

void rc_stream_known_drop(rc_stream_known *k, rc_mem *mem)
{
    rc_mem_put(mem, k->generation);
    rc_mem_put(mem, k->hasher);
    rc_mem_put(mem, k->sums);
    rc_mem_put(mem, k->has);
    *k = (rc_stream_known){ 0 };
}

static void clear(rc_stream_known *k, size_t file, uint32_t generation)
{
    k->generation[file] = generation;
    k->hasher[file] = (rc_content_hasher){ 0 };
    memset(k->has + k->first[file], 0, k->first[file + 1] - k->first[file]);
}

void rc_stream_known_forget(rc_stream_known *k, size_t file)
{
    clear(k, file, k->generation[file] + 1);
}

/* Two sums of one block: nobody knows which bytes were used. */
static void take_sum(rc_stream_known *k, const record *r)
{
    const size_t b = k->first[r->file] + (size_t)r->index;
    rc_digest sum;

    memcpy(&sum, r->payload, sizeof sum);
    if (k->has[b] && !rc_digest_equal(&sum, &k->sums[b])) {
        rc_stream_known_forget(k, r->file);
        return;
    }
    k->sums[b] = sum;
    k->has[b] = 1;
}

static void take_state(rc_stream_known *k, const record *r)
{
    rc_content_hasher h;

    memcpy(&h, r->payload, sizeof h);
    if (rc_content_resumable(&h) && h.nbytes >= k->hasher[r->file].nbytes)
        k->hasher[r->file] = h;
}

static void take(rc_stream_known *k, const record *r)
{
    if (r->kind == KIND_HEADER || r->file >= k->nfiles || r->generation < k->generation[r->file])
        return;
    if (r->generation > k->generation[r->file])
        clear(k, r->file, r->generation);
    if (r->kind == KIND_BLOCK && r->index < k->first[r->file + 1] - k->first[r->file])
        take_sum(k, r);
    else if (r->kind == KIND_STATE)
        take_state(k, r);
}

bool rc_stream_log_replay(rc_stream_known *k, const uint8_t *bytes, size_t nbytes)
{
    bool whole = true;

    for (size_t at = 0; nbytes - at >= sizeof(record); at += sizeof(record)) {
        record r;

        memcpy(&r, bytes + at, sizeof r);
        if (is_whole(&r))
            take(k, &r);
        else
            whole = false;
    }
    return whole;
}

void rc_stream_known_settle(rc_stream_known *k)
{
    for (size_t f = 0; f < k->nfiles; f++) {
        const uint64_t covered = rc_ceil_div(k->hasher[f].nbytes, k->block);
        bool all = covered <= k->first[f + 1] - k->first[f];

        for (uint64_t b = 0; all && b < covered; b++)
            all = k->has[k->first[f] + b];
        if (!all)
            k->hasher[f] = (rc_content_hasher){ 0 };
    }
}

/* ---------------------------------------------------------------------- the files */

static rc_code fail_log(const rc_stream_log *l, size_t d, int errnum, const char *what, rc_err *err)
{
    char path[512];
    rc_code rc = rc_fail_errno(err, errnum, "%s", what);

    snprintf(path, sizeof path, "%s/%s", l->dirs[d].path, l->names[d]);
    rc_err_file(err, path);
    return rc == RC_E_NOINPUT ? rc_recode(err, RC_E_CANTCREATE) : rc; /* the folder is gone */
}

static rc_code another_source(const rc_stream_log *l, size_t d, rc_err *err)
{
    rc_fail(err, RC_E_RESUME, RC_NO_OFFSET,
            "the unfinished run here read another source (its files have changed, or it is "
            "another checkpoint)");
    rc_err_file(err, l->names[d]);
    rc_err_hint(err, "resuming needs the source as it was, or add --restart to discard what "
                     "was done");
    return RC_E_RESUME;
}

/* Is the log in folder d there, and of this source? One that is damaged at its start is none. */
static rc_code look(rc_stream_log *l, size_t d, size_t *block, rc_err *err)
{
    const int fd = openat(l->dirs[d].fd, l->names[d], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    rc_code rc = RC_OK;
    record r;
    int e;

    if (fd < 0)
        return errno == ENOENT ? RC_OK : fail_log(l, d, errno, "cannot open the log", err);
    e = rc_pread_all(fd, &r, sizeof r, 0, NULL);
    if (e > 0) {
        rc = fail_log(l, d, e, "cannot read the log", err);
    } else if (e < 0 || !is_whole(&r) || r.kind != KIND_HEADER || r.index == 0 ||
               r.index > SIZE_MAX || r.index % RC_PAGE) {
        rc_warn(l->log, l->names[d], NULL, 0, "damaged at its start: starting over");
    } else if (memcmp(r.payload, &l->source, sizeof l->source) != 0) {
        rc = another_source(l, d, err);
    } else if (!l->block || l->block == r.index) {
        l->of_it[d] = 1;
        l->block = *block = (size_t)r.index;
    }
    close(fd);
    return rc;
}

rc_code rc_stream_log_open(rc_stream_log **out, const rc_dir *dirs, const char *const *names,
                           size_t ndirs, const rc_digest *source, size_t *block, const rc_log *log,
                           rc_mem *mem, rc_err *err)
{
    rc_stream_log *l = rc_mem_get(mem, sizeof *l);
    rc_code rc = RC_OK;

    *out = NULL;
    if (!l)
        return rc_fail_nomem(err, mem, sizeof *l);
    *l = (rc_stream_log){ .mem = mem, .dirs = dirs, .names = names, .ndirs = ndirs, .log = log };
    l->source = *source;
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    l->fds = rc_mem_get(mem, ndirs * sizeof *l->fds);
    l->of_it = rc_mem_get(mem, ndirs);
    for (size_t d = 0; l->fds && d < ndirs; d++)
        l->fds[d] = -1;
    if (!l->fds || !l->of_it)
        rc = rc_fail_nomem(err, mem, ndirs * sizeof *l->fds);
    for (size_t d = 0; d < ndirs && rc == RC_OK; d++)
        rc = look(l, d, block, err);
    if (rc != RC_OK)
        rc_stream_log_close(out);
    return rc;
}

void rc_stream_log_close(rc_stream_log **log)
{
    rc_stream_log *l = *log;

    *log = NULL;
    if (!l)
        return;
    for (size_t d = 0; l->fds && d < l->ndirs; d++)
        if (l->fds[d] >= 0)
            close(l->fds[d]);
    pthread_mutex_destroy(&l->lock);
    rc_mem_put(l->mem, l->fds);
    rc_mem_put(l->mem, l->of_it);
    rc_mem_put(l->mem, l);
}

static rc_code read_one(rc_stream_log *l, size_t d, rc_stream_known *known, record *room,
                        rc_err *err)
{
    const int fd = openat(l->dirs[d].fd, l->names[d], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool whole = true;
    size_t got;
    int e;

    if (fd < 0)
        return fail_log(l, d, errno, "cannot open the log", err);
    for (uint64_t off = 0;; off += got) {
        got = 0;
        e = rc_pread_all(fd, room, AT_A_TIME * sizeof *room, off, &got);
        whole &= rc_stream_log_replay(known, (const uint8_t *)room, got);
        if (e)
            break;
        got = AT_A_TIME * sizeof *room;
    }
    close(fd);
    if (!whole)
        rc_warn(l->log, l->names[d], NULL, RC_NO_OFFSET,
                "damaged records: what they said is fetched again");
    return e > 0 ? fail_log(l, d, e, "cannot read the log", err) : RC_OK;
}

/* Records on their way into a file. */
typedef struct writer {
    int fd, errnum;
    size_t n;
    record *room;
} writer;

static void flush(writer *w)
{
    if (!w->errnum && w->n)
        w->errnum = rc_write_all(w->fd, w->room, w->n * sizeof *w->room);
    w->n = 0;
}

static void put(writer *w, const record *r)
{
    w->room[w->n++] = *r;
    if (w->n == AT_A_TIME)
        flush(w);
}

static void put_file(writer *w, const rc_stream_known *k, size_t f)
{
    record r;

    if (k->generation[f]) {
        r = make(KIND_FORGET, (uint32_t)f, k->generation[f], 0, NULL, 0);
        put(w, &r);
    }
    for (size_t b = k->first[f]; b < k->first[f + 1]; b++)
        if (k->has[b]) {
            r = make(KIND_BLOCK, (uint32_t)f, k->generation[f], b - k->first[f], &k->sums[b],
                     sizeof k->sums[b]);
            put(w, &r);
        }
    if (k->hasher[f].kind) {
        r = make(KIND_STATE, (uint32_t)f, k->generation[f], 0, &k->hasher[f], sizeof k->hasher[f]);
        put(w, &r);
    }
}

static rc_code write_one(rc_stream_log *l, size_t d, const rc_stream_known *known, record *room,
                         rc_err *err)
{
    const record head = make(KIND_HEADER, 0, 0, l->block, &l->source, sizeof l->source);
    writer w = { .fd = -1, .room = room };
    char partial[256];

    snprintf(partial, sizeof partial, "%.240s.partial", l->names[d]);
    RC_TRY(rc_dir_create(&l->dirs[d], partial, &w.fd, err));
    put(&w, &head);
    for (size_t f = 0; f < known->nfiles; f++)
        put_file(&w, known, f);
    flush(&w);
    if (!w.errnum && fsync(w.fd) != 0)
        w.errnum = errno;
    l->fds[d] = w.fd; /* closed with the log, whatever comes */
    if (w.errnum)
        return fail_log(l, d, w.errnum, "cannot write the log", err);
    RC_TRY(rc_dir_rename(&l->dirs[d], partial, l->names[d], err));
    return rc_dir_sync(&l->dirs[d], err);
}

rc_code rc_stream_log_load(rc_stream_log *l, rc_stream_known *known, rc_err *err)
{
    record *room = rc_mem_get(l->mem, AT_A_TIME * sizeof *room);
    rc_code rc = RC_OK;

    if (!room)
        return rc_fail_nomem(err, l->mem, AT_A_TIME * sizeof *room);
    for (size_t d = 0; d < l->ndirs && rc == RC_OK; d++)
        if (l->of_it[d] && l->block == known->block)
            rc = read_one(l, d, known, room, err);
    l->block = known->block;
    rc_stream_known_settle(known);
    for (size_t d = 0; d < l->ndirs && rc == RC_OK; d++)
        rc = write_one(l, d, known, room, err);
    rc_mem_put(l->mem, room);
    return rc;
}

/* ----------------------------------------------------------------------- appending */

/* To every copy, under the lock. */
static rc_code append(rc_stream_log *l, const record *r, bool sync, rc_err *err)
{
    for (size_t d = 0; d < l->ndirs && !l->broken; d++) {
        int e = r ? rc_write_all(l->fds[d], r, sizeof *r) : 0;

        if (e == 0 && sync && fsync(l->fds[d]) != 0)
            e = errno;
        if (e) {
            l->broken = true;
            fail_log(l, d, e, "cannot write the log", &l->why);
        }
    }
    if (l->broken && err)
        *err = l->why;
    return l->broken ? l->why.code : RC_OK;
}

static rc_code append_locked(rc_stream_log *l, const record *r, bool sync, rc_err *err)
{
    rc_code rc;

    pthread_mutex_lock(&l->lock);
    rc = append(l, r, sync, err);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

rc_code rc_stream_log_block(rc_stream_log *l, uint32_t file, uint32_t generation, uint64_t block,
                            const rc_digest *sum, rc_err *err)
{
    const record r = make(KIND_BLOCK, file, generation, block, sum, sizeof *sum);

    return append_locked(l, &r, false, err);
}

rc_code rc_stream_log_state(rc_stream_log *l, uint32_t file, uint32_t generation,
                            const rc_content_hasher *hasher, rc_err *err)
{
    const record r = make(KIND_STATE, file, generation, 0, hasher, sizeof *hasher);

    return append_locked(l, &r, false, err);
}

rc_code rc_stream_log_forget(rc_stream_log *l, uint32_t file, uint32_t generation, rc_err *err)
{
    const record r = make(KIND_FORGET, file, generation, 0, NULL, 0);

    return append_locked(l, &r, true, err);
}

rc_code rc_stream_log_sync(rc_stream_log *l, rc_err *err)
{
    return append_locked(l, NULL, true, err);
}
