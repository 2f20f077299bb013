/* formats/hub_cache.c - see hub_cache.h.
 *
 * The lock guards the table of open files and their lists of blocks; it is not held while bytes
 * move. Two threads that miss the same block both fetch it, and write the same. */
#define _GNU_SOURCE /* flock */
#include "formats/hub_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/stop.h"
#include "formats/hub_cache_room.h"
#include "formats/hub_cache_sums.h"

enum {
    OPEN_FILES = 32,
    SEGMENT = 8,           /* blocks that are looked at together */
    COUNT_AGAIN = 64 << 20 /* bytes written before others' are counted again */
};

typedef enum mode {
    PAST,  /* not ours to keep */
    WHOLE, /* there, with a shared lock */
    OURS   /* being filled, with an exclusive one */
} mode;

typedef struct entry {
    size_t file; /* SIZE_MAX: free */
    unsigned users;
    uint64_t stamp;
    mode mode;
    bool full;      /* no room, or the disk does not take it: nothing more is kept */
    bool finishing; /* somebody compares its content */
    int data, sums_fd;
    rc_cache_sums sums;
    char name[RC_CACHE_NAME + 1];
} entry;

struct rc_hub_cache {
    rc_mem *mem;
    const rc_source *src;
    const rc_log *log;
    char *path, *owner, *version;
    rc_dir root, owner_dir, dir;
    uint64_t limit;
    pthread_mutex_t lock;      /* guards entries and told */
    pthread_mutex_t room_lock; /* guards held and since; taken first */
    entry entries[OPEN_FILES];
    uint64_t clock, held, since;
    bool told;
};

/* -------------------------------------------------------------------------- names */

/* Any text as one name: what might mean something to a file system, or end as ours do, becomes
 * %XX; of what is too long for that, its beginning and its digest. */
static void plain_name(char out[RC_CACHE_NAME + 1], const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const rc_digest digest = rc_hash(text, strlen(text));
    enum { BEGINNING = RC_CACHE_NAME - 36 };
    size_t n = 0, beginning = 0;

    for (const char *p = text; *p; p++) {
        const bool dot = *p == '.' && (p == text || strcmp(p, RC_CACHE_PART) == 0 ||
                                       strcmp(p, RC_CACHE_SUMS) == 0);
        const bool same = strchr(plain, *p) && !dot;

        if (n + 3 > RC_CACHE_NAME) {
            out[beginning] = '-';
            rc_digest_hex(&digest, out + beginning + 1);
            return;
        }
        if (same)
            out[n++] = *p;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned)(unsigned char)*p);
        beginning = n <= BEGINNING ? n : beginning;
    }
    out[n] = '\0';
}

static const char *with(const entry *e, const char *ending, char buf[RC_CACHE_NAME + 16])
{
    snprintf(buf, RC_CACHE_NAME + 16, "%s%s", e->name, ending);
    return buf;
}

/* --------------------------------------------------------------- opening, closing */

static rc_code check_folder(const rc_hub_cache *c, rc_err *err)
{
    rc_code rc;

    if (faccessat(c->dir.fd, ".", W_OK | X_OK, 0) != 0) {
        rc = rc_fail_errno(err, errno, "cannot write to the cache");
    } else if (flock(c->dir.fd, LOCK_SH | LOCK_NB) != 0 && errno != EWOULDBLOCK) {
        rc_fail_errno(err, errno, "this file system cannot lock; two runs could mix their caches");
        rc = rc_recode(err, RC_E_CONFIG);
        rc_err_hint(err, "name a folder on another file system with --cache");
    } else {
        flock(c->dir.fd, LOCK_UN);
        return RC_OK;
    }
    rc_err_file(err, c->path);
    return rc;
}

static rc_code open_folders(rc_hub_cache *c, const char *path, const char *owner,
                            const char *version, rc_err *err)
{
    char plain[RC_CACHE_NAME + 1];

    c->path = rc_mem_strdup(c->mem, path, strlen(path));
    plain_name(plain, owner);
    c->owner = rc_mem_strdup(c->mem, plain, strlen(plain));
    plain_name(plain, version);
    c->version = rc_mem_strdup(c->mem, plain, strlen(plain));
    if (!c->path || !c->owner || !c->version)
        return rc_fail_nomem(err, c->mem, strlen(path) + 1);
    RC_TRY(rc_dir_open(&c->root, c->path, true, err));
    RC_TRY(rc_dir_sub(&c->owner_dir, &c->root, c->owner, err));
    RC_TRY(rc_dir_sub(&c->dir, &c->owner_dir, c->version, err));
    return check_folder(c, err);
}

rc_code rc_hub_cache_open(rc_hub_cache **out, const char *path, uint64_t limit, const char *owner,
                          const char *version, const rc_source *src, const rc_log *log, rc_mem *mem,
                          rc_err *err)
{
    rc_hub_cache *c = rc_mem_get(mem, sizeof *c);
    rc_code rc;

    *out = NULL;
    if (!c)
        return rc_fail_nomem(err, mem, sizeof *c);
    c->mem = mem;
    c->src = src;
    c->log = log;
    c->limit = limit;
    c->since = COUNT_AGAIN; /* nothing was counted yet */
    c->root.fd = c->owner_dir.fd = c->dir.fd = -1;
    for (entry *e = c->entries; e < c->entries + OPEN_FILES; e++)
        *e = (entry){ .file = SIZE_MAX, .data = -1, .sums_fd = -1 };
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->room_lock, NULL);
    *out = c;
    rc = open_folders(c, path, owner, version, err);
    if (rc != RC_OK)
        rc_hub_cache_close(out);
    return rc;
}

/* The lock goes with the descriptor. */
static void let_go(const rc_hub_cache *c, entry *e)
{
    if (e->mode != PAST)
        futimens(e->sums_fd, NULL); /* used until now; failing is harmless */
    if (e->data >= 0)
        close(e->data);
    if (e->sums_fd >= 0)
        close(e->sums_fd);
    rc_cache_sums_drop(&e->sums, c->mem);
    *e = (entry){ .file = SIZE_MAX, .data = -1, .sums_fd = -1 };
}

void rc_hub_cache_close(rc_hub_cache **cache)
{
    rc_hub_cache *c = *cache;

    *cache = NULL;
    if (!c)
        return;
    for (entry *e = c->entries; e < c->entries + OPEN_FILES; e++)
        let_go(c, e);
    rc_dir_close(&c->dir);
    rc_dir_close(&c->owner_dir);
    rc_dir_close(&c->root);
    pthread_mutex_destroy(&c->room_lock);
    pthread_mutex_destroy(&c->lock);
    rc_mem_put(c->mem, c->path);
    rc_mem_put(c->mem, c->owner);
    rc_mem_put(c->mem, c->version);
    rc_mem_put(c->mem, c);
}

/* Under the lock. The folder is of no more use for this file; the run goes on without. */
static void give_up(rc_hub_cache *c, entry *e, int errnum, const char *what)
{
    rc_err err;

    e->mode = PAST;
    if (!c->told && errnum) {
        rc_fail_errno(&err, errnum, "%s", what);
        rc_warn(c->log, c->path, NULL, RC_NO_OFFSET, "%s; reading past the cache", err.msg);
        c->told = true;
    }
}

/* ------------------------------------------------------------------------- a file */

/* Whoever lets go of a file removes its name before the lock. */
static bool is_named(const rc_hub_cache *c, const char *name, int fd)
{
    struct stat opened, named;

    return fstat(fd, &opened) == 0 && fstatat(c->dir.fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

static void lock_sums(rc_hub_cache *c, entry *e)
{
    char name[RC_CACHE_NAME + 16];

    with(e, RC_CACHE_SUMS, name);
    do {
        if (e->sums_fd >= 0)
            close(e->sums_fd);
        e->sums_fd =
            openat(c->dir.fd, name, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (e->sums_fd < 0) {
            give_up(c, e, errno, "cannot write to the cache");
            return;
        }
        e->mode = flock(e->sums_fd, LOCK_EX | LOCK_NB) == 0   ? OURS
                  : flock(e->sums_fd, LOCK_SH | LOCK_NB) == 0 ? WHOLE
                                                              : PAST;
    } while (e->mode != PAST && !is_named(c, name, e->sums_fd));
}

static bool has_size(int fd, uint64_t nbytes)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == nbytes;
}

/* Fill, or fill on. */
static void open_partial(rc_hub_cache *c, entry *e)
{
    char name[RC_CACHE_NAME + 16];

    e->data = openat(c->dir.fd, with(e, RC_CACHE_PART, name),
                     O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (e->data < 0 || ftruncate(e->data, (off_t)e->sums.nbytes) != 0)
        give_up(c, e, errno, "cannot write to the cache");
}

static void open_data(rc_hub_cache *c, entry *e)
{
    char partial[RC_CACHE_NAME + 16];
    const int fd = openat(c->dir.fd, e->name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && e->sums.have == e->sums.nblocks && has_size(fd, e->sums.nbytes)) {
        e->data = fd;
        e->mode = flock(e->sums_fd, LOCK_SH | LOCK_NB) == 0 ? WHOLE : PAST;
        return;
    }
    if (fd >= 0)
        close(fd);
    if (e->mode == WHOLE) { /* its owner has just gone: next time */
        e->mode = PAST;
        return;
    }
    with(e, RC_CACHE_PART, partial);
    if (fd >= 0 && renameat(c->dir.fd, e->name, c->dir.fd, partial) != 0)
        give_up(c, e, errno, "cannot write to the cache");
    else
        open_partial(c, e);
}

/* Under the lock. Afterwards its mode says how it may be used. */
static void open_entry(rc_hub_cache *c, entry *e, size_t file)
{
    const rc_source_file *f = rc_source_at(c->src, file);
    rc_err ignored;
    int errnum;

    *e = (entry){ .file = file, .data = -1, .sums_fd = -1 };
    plain_name(e->name, f->name);
    if ((c->limit && f->nbytes > c->limit) ||
        rc_cache_sums_make(&e->sums, f->nbytes, &f->content, c->mem, &ignored) != RC_OK)
        return;
    lock_sums(c, e);
    if (e->mode == PAST)
        return;
    if (!rc_cache_sums_load(&e->sums, e->sums_fd, c->mem)) {
        if (e->mode == WHOLE) { /* nothing there yet, or of something else */
            e->mode = PAST;
            return;
        }
        unlinkat(c->dir.fd, e->name, 0);
        errnum = rc_cache_sums_restart(&e->sums, e->sums_fd);
    } else {
        errnum = e->mode == OURS ? rc_cache_sums_trim(e->sums_fd) : 0;
    }
    if (errnum)
        give_up(c, e, errnum, "cannot write to the cache");
    else
        open_data(c, e);
    if (e->mode != PAST)
        futimens(e->sums_fd, NULL); /* used now; failing is harmless */
}

static entry *free_slot(const rc_hub_cache *c, entry *entries)
{
    entry *oldest = NULL;

    for (entry *e = entries; e < entries + OPEN_FILES; e++) {
        if (e->file == SIZE_MAX)
            return e;
        if (e->users == 0 && (!oldest || e->stamp < oldest->stamp))
            oldest = e;
    }
    if (oldest)
        let_go(c, oldest);
    return oldest;
}

/* NULL when too many are in use. */
static entry *borrow(rc_hub_cache *c, size_t file)
{
    entry *e = NULL;

    pthread_mutex_lock(&c->lock);
    for (entry *at = c->entries; at < c->entries + OPEN_FILES; at++)
        if (at->file == file)
            e = at;
    if (!e) {
        e = free_slot(c, c->entries);
        if (e)
            open_entry(c, e, file);
    }
    if (e) {
        e->users++;
        e->stamp = ++c->clock;
    }
    pthread_mutex_unlock(&c->lock);
    return e;
}

static void give_back(rc_hub_cache *c, entry *e)
{
    pthread_mutex_lock(&c->lock);
    e->users--;
    pthread_mutex_unlock(&c->lock);
}

/* -------------------------------------------------------------------------- blocks */

/* A run of blocks of one file, and the memory that holds all of them. */
typedef struct segment {
    size_t file;
    uint64_t off; /* of the first */
    size_t first, n, nbytes;
    uint8_t *at;
    bool has[SEGMENT];
    rc_digest sums[SEGMENT];
} segment;

static size_t bytes_of(const segment *s, size_t i)
{
    const size_t before = i * RC_CACHE_BLOCK;

    return s->nbytes - before < RC_CACHE_BLOCK ? s->nbytes - before : RC_CACHE_BLOCK;
}

/* Under the lock: what a disk has spoilt is filled in again, by whoever may. */
static void spoilt(rc_hub_cache *c, entry *e, size_t block)
{
    char partial[RC_CACHE_NAME + 16];

    if (e->mode == WHOLE && flock(e->sums_fd, LOCK_EX | LOCK_NB) == 0)
        e->mode = renameat(c->dir.fd, e->name, c->dir.fd, with(e, RC_CACHE_PART, partial)) == 0
                      ? OURS
                      : PAST;
    else if (e->mode == WHOLE && flock(e->sums_fd, LOCK_SH | LOCK_NB) != 0)
        e->mode = PAST; /* changing a lock gives it up first: somebody else was there */
    if (e->mode == OURS && e->sums.has[block]) {
        e->sums.has[block] = 0;
        e->sums.have--;
    }
}

/* Which blocks are there, and as they were? */
static void read_kept(rc_hub_cache *c, entry *e, segment *s)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < s->n; i++) {
        s->has[i] = e->mode != PAST && e->sums.has[s->first + i];
        if (s->has[i])
            s->sums[i] = e->sums.sums[s->first + i];
    }
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < s->n; i++) {
        uint8_t *at = s->at + i * RC_CACHE_BLOCK;
        rc_digest sum;

        if (!s->has[i])
            continue;
        if (rc_pread_all(e->data, at, bytes_of(s, i), s->off + i * RC_CACHE_BLOCK, NULL) == 0) {
            sum = rc_hash(at, bytes_of(s, i));
            if (rc_digest_equal(&sum, &s->sums[i]))
                continue;
        }
        s->has[i] = false;
        pthread_mutex_lock(&c->lock);
        spoilt(c, e, s->first + i);
        pthread_mutex_unlock(&c->lock);
    }
}

/* Files that nobody reads just now are let go, so that the oldest of them may be removed. */
static bool make_room(rc_hub_cache *c, size_t nbytes)
{
    bool fits;

    if (!c->limit)
        return true;
    pthread_mutex_lock(&c->room_lock);
    if (c->held + nbytes > c->limit || c->since >= COUNT_AGAIN) {
        pthread_mutex_lock(&c->lock);
        for (entry *e = c->entries; e < c->entries + OPEN_FILES; e++)
            if (e->users == 0)
                let_go(c, e);
        pthread_mutex_unlock(&c->lock);
        rc_cache_make_room(&c->root, c->limit > nbytes ? c->limit - nbytes : 0, &c->held);
        c->since = 0;
    }
    fits = c->held + nbytes <= c->limit;
    if (fits) {
        c->held += nbytes;
        c->since += nbytes;
    }
    pthread_mutex_unlock(&c->room_lock);
    return fits;
}

/* First the bytes, then the word that they are there. No sync: the sum finds what was lost. */
static void keep(rc_hub_cache *c, entry *e, const segment *s, size_t i)
{
    const uint8_t *at = s->at + i * RC_CACHE_BLOCK;
    const size_t block = s->first + i;
    rc_digest sum;
    bool wanted;
    int errnum;

    pthread_mutex_lock(&c->lock);
    wanted = e->mode == OURS && !e->full && !e->sums.has[block];
    pthread_mutex_unlock(&c->lock);
    if (!wanted)
        return;
    sum = rc_hash(at, bytes_of(s, i));
    if (!make_room(c, bytes_of(s, i))) {
        pthread_mutex_lock(&c->lock);
        e->full = true;
        pthread_mutex_unlock(&c->lock);
        return;
    }
    errnum = rc_pwrite_all(e->data, at, bytes_of(s, i), s->off + i * RC_CACHE_BLOCK);
    pthread_mutex_lock(&c->lock);
    if (!errnum && e->mode == OURS && !e->sums.has[block])
        errnum = rc_cache_sums_append(e->sums_fd, block, &sum);
    if (errnum) {
        give_up(c, e, errnum, "cannot write to the cache");
    } else if (!e->sums.has[block]) {
        e->sums.has[block] = 1;
        e->sums.sums[block] = sum;
        e->sums.have++;
    }
    pthread_mutex_unlock(&c->lock);
}

/* What is not there, in runs as long as may be. */
static rc_code fetch_rest(rc_hub_cache *c, entry *e, segment *s, rc_hub_fetch *fetch, void *ctx,
                          rc_err *err)
{
    for (size_t i = 0, end; i < s->n; i = end) {
        size_t nbytes = 0;

        for (end = i; end < s->n && !s->has[end]; end++)
            nbytes += bytes_of(s, end);
        if (end == i) {
            end++;
            continue;
        }
        RC_TRY(fetch(ctx, s->file, s->off + i * RC_CACHE_BLOCK, s->at + i * RC_CACHE_BLOCK, nbytes,
                     err));
        for (size_t k = i; k < end; k++)
            keep(c, e, s, k);
    }
    return RC_OK;
}

/* ----------------------------------------------------------------------- the whole */

static rc_code fail_content(const rc_content_id *want, const rc_content_id *got, rc_err *err)
{
    char hex[RC_CONTENT_HEX];

    rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "the bytes that came are not the file's");
    rc_err_want(err, "%s", rc_content_hex(want, hex));
    rc_err_got(err, "%s", rc_content_hex(got, hex));
    rc_err_hint(err, "it is gone from the cache; the same command fetches it again");
    return RC_E_INTEGRITY;
}

/* *same: as stated, and as its sums say. *spoilt_at: a block that is not as its sum says. */
static rc_code compare(rc_hub_cache *c, const entry *e, bool *same, size_t *spoilt_at, rc_err *err)
{
    const rc_content_id *want = &e->sums.content;
    rc_content_hasher hasher;
    rc_content_id got;
    uint8_t *buf;
    rc_code rc = RC_OK;

    *same = want->kind == RC_CONTENT_UNKNOWN;
    *spoilt_at = SIZE_MAX;
    if (*same)
        return RC_OK;
    buf = rc_mem_get(c->mem, RC_CACHE_BLOCK);
    if (!buf)
        return RC_OK; /* some other time */
    rc_content_begin(&hasher, want->kind, e->sums.nbytes);
    for (size_t b = 0; b < e->sums.nblocks && rc == RC_OK && *spoilt_at == SIZE_MAX; b++) {
        const uint64_t off = (uint64_t)b * RC_CACHE_BLOCK, left = e->sums.nbytes - off;
        const size_t n = left < RC_CACHE_BLOCK ? (size_t)left : RC_CACHE_BLOCK;
        rc_digest sum = { { 0 } }, kept;

        pthread_mutex_lock(&c->lock);
        kept = e->sums.sums[b];
        pthread_mutex_unlock(&c->lock);
        if (rc_pread_all(e->data, buf, n, off, NULL) == 0)
            sum = rc_hash(buf, n);
        if (!rc_digest_equal(&sum, &kept))
            *spoilt_at = b;
        rc_content_add(&hasher, buf, n);
        rc = rc_stop_check(err);
    }
    rc_mem_put(c->mem, buf);
    if (rc != RC_OK || *spoilt_at != SIZE_MAX)
        return rc;
    got = rc_content_end(&hasher);
    *same = rc_content_equal(&got, want);
    return *same ? RC_OK : fail_content(want, &got, err);
}

/* Whoever brings the last block compares the content, and gives the file its name. */
static rc_code finish(rc_hub_cache *c, entry *e, rc_err *err)
{
    char partial[RC_CACHE_NAME + 16];
    size_t spoilt_at;
    bool same, mine;
    rc_code rc;

    pthread_mutex_lock(&c->lock);
    mine = e->mode == OURS && !e->finishing && e->sums.have == e->sums.nblocks;
    e->finishing |= mine;
    pthread_mutex_unlock(&c->lock);
    if (!mine)
        return RC_OK;
    rc = compare(c, e, &same, &spoilt_at, err);
    pthread_mutex_lock(&c->lock);
    e->finishing = false;
    if (e->mode == OURS && spoilt_at != SIZE_MAX)
        spoilt(c, e, spoilt_at);
    if (e->mode == OURS && rc == RC_E_INTEGRITY) {
        rc_cache_remove(c->dir.fd, e->name);
        e->mode = PAST;
    }
    if (e->mode == OURS && same && e->sums.have == e->sums.nblocks) {
        if (renameat(c->dir.fd, with(e, RC_CACHE_PART, partial), c->dir.fd, e->name) != 0)
            give_up(c, e, errno, "cannot write to the cache");
        else
            e->mode = flock(e->sums_fd, LOCK_SH | LOCK_NB) == 0 ? WHOLE : PAST;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* ------------------------------------------------------------------------- reading */

/* Bytes [off, off + nbytes), which `s` covers. Where that is all of it they come where they
 * belong at once. */
static rc_code read_segment(rc_hub_cache *c, entry *e, segment *s, uint64_t off, uint8_t *buf,
                            size_t nbytes, rc_hub_fetch *fetch, void *ctx, rc_err *err)
{
    const bool at_once = off == s->off && nbytes == s->nbytes;
    uint8_t *own = at_once ? NULL : rc_mem_get_pages(c->mem, s->nbytes);
    rc_code rc;

    if (!at_once && !own)
        return fetch(ctx, s->file, off, buf, nbytes, err);
    s->at = at_once ? buf : own;
    read_kept(c, e, s);
    rc = fetch_rest(c, e, s, fetch, ctx, err);
    if (rc == RC_OK && own)
        memcpy(buf, own + (off - s->off), nbytes);
    rc_mem_put(c->mem, own);
    return rc;
}

static rc_code read_blocks(rc_hub_cache *c, entry *e, uint64_t off, uint8_t *buf, size_t nbytes,
                           rc_hub_fetch *fetch, void *ctx, rc_err *err)
{
    const uint64_t size = e->sums.nbytes;

    while (nbytes) {
        const size_t first = (size_t)(off / RC_CACHE_BLOCK);
        const uint64_t begin = (uint64_t)first * RC_CACHE_BLOCK;
        const uint64_t most = begin + SEGMENT * (uint64_t)RC_CACHE_BLOCK;
        const uint64_t wanted = rc_ceil_div(off + nbytes, RC_CACHE_BLOCK) * RC_CACHE_BLOCK;
        uint64_t end = wanted < most ? wanted : most;
        segment s = { .file = e->file, .off = begin, .first = first };
        size_t now;

        end = end < size ? end : size;
        s.nbytes = (size_t)(end - begin);
        s.n = (size_t)rc_ceil_div(s.nbytes, RC_CACHE_BLOCK);
        now = end - off < nbytes ? (size_t)(end - off) : nbytes;
        RC_TRY(read_segment(c, e, &s, off, buf, now, fetch, ctx, err));
        buf += now;
        off += now;
        nbytes -= now;
    }
    return RC_OK;
}

rc_code rc_hub_cache_read(rc_hub_cache *c, size_t file, uint64_t off, void *buf, size_t nbytes,
                          rc_hub_fetch *fetch, void *ctx, rc_err *err)
{
    const uint64_t size = rc_source_at(c->src, file)->nbytes;
    const bool inside = nbytes && off <= size && nbytes <= size - off;
    entry *e = inside ? borrow(c, file) : NULL;
    bool past;
    rc_code rc;

    if (!e)
        return fetch(ctx, file, off, buf, nbytes, err);
    pthread_mutex_lock(&c->lock);
    past = e->mode == PAST;
    pthread_mutex_unlock(&c->lock);
    rc = past ? fetch(ctx, file, off, buf, nbytes, err)
              : read_blocks(c, e, off, buf, nbytes, fetch, ctx, err);
    if (rc == RC_OK && !past)
        rc = finish(c, e, err);
    give_back(c, e);
    if (rc != RC_OK)
        rc_err_file(err, rc_source_at(c->src, file)->name);
    return rc;
}
