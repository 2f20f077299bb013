/* formats/source_local.c - a local folder, or some files in one, as a source.
 *
 * Names are hostile. A file is reached from the folder's descriptor, component by
 * component, with O_NOFOLLOW; a link is resolved to its real path first, that path is
 * judged, and then walked in the same way, so that a link swapped in between is an
 * error and never a way out. What is opened must have the identity that was listed.
 *
 * Files are read with pread(), never mapped: a mapped file that is cut short kills the
 * process (SIGBUS), a short read is an answer. */
#define _GNU_SOURCE /* O_DIRECT, O_NOATIME, O_PATH */
#include "formats/archive.h"
#include "formats/source_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MAX_OPEN = 8 }; /* descriptors kept; with 16 in all, the rest of the program has 7 */

/* What tells one file from another, beyond rc_source_file. */
typedef struct node {
    bool is_link;
    bool listed;    /* false: a link that could not be followed when it was listed */
    bool no_direct; /* the file system refused O_DIRECT; under `lock` */
    dev_t dev;
    ino_t ino;
} node;

typedef struct slot {
    int fd; /* -1: free */
    bool direct;
    unsigned users;
    size_t file;
    uint64_t stamp; /* larger: used later */
} slot;

typedef struct local {
    rc_source base;
    rc_split_name split; /* of the file that was named; count 0: it stands alone */
    char real[PATH_MAX]; /* of the folder, "" for "/" */
    bool follows;        /* `real` is known */
    size_t repo_len;     /* real[0..repo_len) is the repository of a hub cache */
    int root, blobs;     /* blobs: -1 outside a hub cache */

    node *nodes; /* of file i: nodes[files[i].own] */
    size_t capacity;

    pthread_mutex_t lock; /* of slots, clock, no_direct */
    pthread_cond_t idle;  /* a slot lost its last user */
    slot slots[MAX_OPEN];
    uint64_t clock;
} local;

static local *local_of(rc_source *src)
{
    return (local *)src; /* its first member */
}

static node *node_of(const local *src, size_t i)
{
    return &src->nodes[src->base.files[i].own];
}

/* A name in an open folder, with no link on the way there. */
typedef struct place {
    int dir;
    bool owned; /* close dir */
    char leaf[NAME_MAX + 1];
} place;

static void leave(place *at)
{
    if (at->owned)
        close(at->dir);
    at->owned = false;
}

static uint64_t mtime_ns(const struct stat *st)
{
    return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

/* ------------------------------------------------------------ finding a file */

static rc_code fail_path(rc_err *err, int errnum)
{
    if (errnum == ELOOP || errnum == ENAMETOOLONG)
        return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "cannot be reached: %s",
                       errnum == ELOOP ? "links go in a circle" : "its path is too long");
    return rc_fail_errno(err, errnum, "cannot be opened");
}

/* From folder `dir` along `path`, without following anything. */
static rc_code walk(place *at, int dir, const char *path, rc_err *err)
{
    *at = (place){ .dir = dir };
    for (;;) {
        const size_t len = strcspn(path, "/");
        int next;

        if (len > NAME_MAX) {
            leave(at);
            return fail_path(err, ENAMETOOLONG);
        }
        memcpy(at->leaf, path, len);
        at->leaf[len] = '\0';
        if (!path[len])
            return RC_OK;
        next = openat(at->dir, at->leaf, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0) {
            const int errnum = errno;
            leave(at);
            return fail_path(err, errnum);
        }
        leave(at);
        at->dir = next;
        at->owned = true;
        path += len + 1;
    }
}

static rc_code follow(place *at, const local *src, const char *name, rc_err *err)
{
    static const char blobs[] = "/blobs/";
    const size_t real_len = strlen(src->real), blobs_len = sizeof blobs - 1;
    char path[PATH_MAX], target[PATH_MAX];
    int n;

    if (!src->follows)
        return rc_fail(err, RC_E_UNSAFEPATH, RC_NO_OFFSET,
                       "is a link, and the folder's own path is too long to follow it");
    n = snprintf(path, sizeof path, "%s/%s", src->real, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return fail_path(err, ENAMETOOLONG);
    if (!realpath(path, target)) {
        if (errno == ENOENT)
            return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "is a link to a file that is missing");
        return fail_path(err, errno);
    }
    if (strncmp(target, src->real, real_len) == 0 && target[real_len] == '/')
        return walk(at, src->root, target + real_len + 1, err);
    if (src->blobs >= 0 && strncmp(target, src->real, src->repo_len) == 0 &&
        strncmp(target + src->repo_len, blobs, blobs_len) == 0 &&
        !strchr(target + src->repo_len + blobs_len, '/'))
        return walk(at, src->blobs, target + src->repo_len + blobs_len, err);
    rc_fail(err, RC_E_UNSAFEPATH, RC_NO_OFFSET, "is a link that leaves the folder");
    rc_err_hint(err, "put the file itself in its place");
    return RC_E_UNSAFEPATH;
}

/* A place for file i, and what lies there now. */
static rc_code locate(place *at, struct stat *st, const local *src, const char *name, bool is_link,
                      rc_err *err)
{
    RC_TRY(is_link ? follow(at, src, name, err) : walk(at, src->root, name, err));
    if (fstatat(at->dir, at->leaf, st, AT_SYMLINK_NOFOLLOW) != 0) {
        const int errnum = errno;
        leave(at);
        return fail_path(err, errnum);
    }
    return RC_OK;
}

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a folder";
    case S_IFLNK:
        return "a link";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

/* Is `st` a file, and the one that was listed as i? */
static rc_code same_file(const local *src, size_t i, const struct stat *st, rc_err *err)
{
    const rc_source_file *f = &src->base.files[i];
    const node *n = node_of(src, i);

    if (!n->listed || st->st_dev != n->dev || st->st_ino != n->ino)
        return rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "file was replaced during the run");
    if (!S_ISREG(st->st_mode))
        return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "is %s, not a file", kind_of(st->st_mode));
    if ((uint64_t)st->st_size != f->nbytes) {
        rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "file changed size during the run");
        rc_err_want(err, "%" PRIu64 " bytes", f->nbytes);
        rc_err_got(err, "%" PRIu64, (uint64_t)st->st_size);
        return RC_E_INTEGRITY;
    }
    if (mtime_ns(st) != f->mtime_ns)
        return rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "file was written to during the run");
    return RC_OK;
}

/* A file that was listed and is gone now is not a wrong path but a changed input. */
static rc_code relocate(place *at, struct stat *st, const local *src, size_t i, rc_err *err)
{
    const node *n = node_of(src, i);
    rc_code rc = locate(at, st, src, src->base.files[i].name, n->is_link, err);

    if (rc == RC_E_NOINPUT && n->listed)
        return rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "file was removed during the run");
    RC_TRY(rc);
    rc = same_file(src, i, st, err);
    if (rc != RC_OK)
        leave(at);
    return rc;
}

/* ------------------------------------------------------------------- listing */

static rc_code grow_nodes(local *src, rc_err *err)
{
    const size_t capacity = src->capacity ? 2 * src->capacity : 128;
    node *grown;

    if (src->base.count < src->capacity)
        return RC_OK;
    grown = rc_mem_grow(src->base.mem, src->nodes, capacity * sizeof *src->nodes);
    if (!grown)
        return rc_fail_nomem(err, src->base.mem, capacity * sizeof *src->nodes);
    src->nodes = grown;
    src->capacity = capacity;
    return RC_OK;
}

static rc_code add(local *src, const char *prefix, const char *name, const struct stat *st,
                   rc_err *err)
{
    const rc_source_file file = { .name = name };
    rc_source_file *f;
    struct stat target;
    node *n;

    RC_TRY(grow_nodes(src, err));
    RC_TRY(rc_source_add(&src->base, prefix, &file, err));
    f = &src->base.files[src->base.count - 1];
    n = &src->nodes[f->own];
    *n = (node){ .is_link = S_ISLNK(st->st_mode) };
    if (n->is_link) {
        /* A link that cannot be followed is listed all the same: whoever reads it
         * is told why, and nobody else has to care. */
        place at;
        rc_err why;
        const rc_code rc = locate(&at, &target, src, f->name, true, &why);

        if (rc == RC_E_OS) {
            if (err)
                *err = why;
            return rc;
        }
        st = rc == RC_OK ? &target : NULL;
        if (rc == RC_OK) {
            if (at.dir == src->blobs) /* the cache calls a blob by what is in it */
                (void)rc_content_parse(&f->content, at.leaf, strlen(at.leaf));
            leave(&at);
        }
        if (st && S_ISDIR(st->st_mode)) {
            src->base.count--; /* a folder after all */
            return RC_OK;
        }
    }
    if (st) {
        f->nbytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
        f->mtime_ns = mtime_ns(st);
        n->listed = true;
        n->dev = st->st_dev;
        n->ino = st->st_ino;
    }
    return RC_OK;
}

/* Is this entry of the folder part of the source? */
static bool belongs(const local *src, const char *name)
{
    rc_split_name other;

    if (!src->base.named)
        return name[0] != '.';
    if (strcmp(name, src->base.named) == 0)
        return true;
    return src->split.count && rc_split_name_of(&other, name) && other.count == src->split.count &&
           other.prefix == src->split.prefix && memcmp(name, src->base.named, other.prefix) == 0;
}

/* List the folder `fd`, which it closes. `prefix` is "" or "folder/". */
static rc_code scan(local *src, int fd, const char *prefix, rc_err *err)
{
    DIR *dir = fdopendir(fd);
    rc_code rc = RC_OK;

    if (!dir) {
        rc = rc_fail_errno(err, errno, "cannot be listed");
        close(fd);
        return rc;
    }
    while (rc == RC_OK) {
        const struct dirent *e;
        struct stat st;

        errno = 0;
        e = readdir(dir);
        if (!e) {
            if (errno)
                rc = rc_fail_errno(err, errno, "cannot be listed");
            break;
        }
        if (!belongs(src, e->d_name))
            continue;
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno != ENOENT) /* it just went away */
                rc = rc_fail_errno(err, errno, "cannot be listed");
        } else if (!S_ISDIR(st.st_mode)) {
            rc = add(src, prefix, e->d_name, &st, err);
        } else if (!prefix[0] && !src->base.named) {
            const int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            char sub_prefix[NAME_MAX + 2];

            if (sub >= 0) {
                snprintf(sub_prefix, sizeof sub_prefix, "%s/", e->d_name);
                rc = scan(src, sub, sub_prefix, err);
            } else if (errno != EACCES && errno != ENOENT) { /* lost+found is no fault */
                rc = rc_fail_errno(err, errno, "cannot be listed");
            }
        }
    }
    closedir(dir);
    return rc;
}

/* .../snapshots/REV beside .../blobs is a hub cache, and REV the commit. */
static rc_code find_blobs(local *src, rc_err *err)
{
    static const char snapshots[] = "/snapshots";
    const size_t len = sizeof snapshots - 1;
    const char *rev = strrchr(src->real, '/');
    char path[PATH_MAX];
    int n;

    if (!rev || (size_t)(rev - src->real) <= len || memcmp(rev - len, snapshots, len) != 0)
        return RC_OK;
    src->repo_len = (size_t)(rev - src->real) - len;
    n = snprintf(path, sizeof path, "%.*s/blobs", (int)src->repo_len, src->real);
    if (n > 0 && (size_t)n < sizeof path)
        src->blobs = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (src->blobs < 0 || strlen(rev + 1) != 40 || strspn(rev + 1, "0123456789abcdef") != 40)
        return RC_OK;
    src->base.origin.commit = rc_arena_strdup(&src->base.arena, rev + 1, 40);
    return src->base.origin.commit ? RC_OK : rc_fail_nomem(err, src->base.mem, 41);
}

/* The folder of a path that names a GGUF file: "" stands for the current one. */
static const char *folder_of(const local *src, char buf[PATH_MAX])
{
    const size_t len = (size_t)(src->base.named - src->base.where);

    if (len == 0)
        return ".";
    if (len >= PATH_MAX)
        return src->base.where; /* fails as too long when it is opened */
    memcpy(buf, src->base.where, len);
    buf[len] = '\0';
    return buf;
}

/* Does the path name a file that ends in .gguf or .rcz? */
static void recognise_file(local *src)
{
    const char *slash = strrchr(src->base.where, '/'), *name = slash ? slash + 1 : src->base.where;
    const size_t len = strlen(name);
    struct stat st;

    if ((len <= 5 || strcmp(name + len - 5, ".gguf") != 0) && !rc_archive_is_name(name))
        return;
    if (stat(src->base.where, &st) != 0 || S_ISDIR(st.st_mode))
        return;
    src->base.named = name;
    (void)rc_split_name_of(&src->split, name);
}

static rc_code open_folder(local *src, const char *where, rc_err *err)
{
    int again;

    src->root = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (src->root < 0) {
        const int errnum = errno;
        const rc_code rc = fail_path(err, errnum);

        if (errnum == ENOTDIR)
            rc_err_hint(err, "name the folder that holds config.json and the shards, a .gguf file "
                             "or an archive (.rcz)");
        return rc;
    }
    if (realpath(where, src->real)) {
        if (strcmp(src->real, "/") == 0)
            src->real[0] = '\0';
        src->follows = true;
        RC_TRY(find_blobs(src, err));
    }
    again = openat(src->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (again < 0)
        return rc_fail_errno(err, errno, "cannot be listed");
    RC_TRY(scan(src, again, "", err));
    return rc_source_sort(&src->base, err);
}

static rc_code open_where(local *src, rc_err *err)
{
    char folder[PATH_MAX];

    recognise_file(src);
    src->base.origin.kind = src->base.named ? "file" : "folder";
    return open_folder(src, src->base.named ? folder_of(src, folder) : src->base.where, err);
}

/* --------------------------------------------------------------- descriptors */

/* Open file i. *fd is -1, with RC_OK, when O_DIRECT was asked for and refused. */
static rc_code open_file(local *src, size_t i, bool direct, int *fd, rc_err *err)
{
    /* O_NONBLOCK: should a FIFO have taken the place of the file that was just
     * looked at, open() must not wait for its writer. */
    const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | (direct ? O_DIRECT : 0);
    struct stat st;
    place at;
    rc_code rc;
    int errnum;

    RC_TRY(relocate(&at, &st, src, i, err));
    *fd = openat(at.dir, at.leaf, flags | O_NONBLOCK | O_NOATIME);
    if (*fd < 0 && errno == EPERM) /* O_NOATIME is for owners */
        *fd = openat(at.dir, at.leaf, flags | O_NONBLOCK);
    errnum = errno;
    leave(&at);
    if (*fd < 0)
        return direct && errnum == EINVAL ? RC_OK : fail_path(err, errnum);
    rc = fstat(*fd, &st) == 0 ? same_file(src, i, &st, err) : rc_fail_errno(err, errno, "fstat");
    if (rc != RC_OK) {
        close(*fd);
        *fd = -1;
        return rc;
    }
    fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) & ~O_NONBLOCK);
    if (!direct)
        posix_fadvise(*fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice: failing is harmless */
    return RC_OK;
}

/* Close the idle descriptor that was used longest ago. Its slot, or NULL. */
static slot *evict(local *src)
{
    slot *oldest = NULL;

    for (slot *s = src->slots; s < src->slots + MAX_OPEN; s++)
        if (s->fd >= 0 && s->users == 0 && (!oldest || s->stamp < oldest->stamp))
            oldest = s;
    if (oldest) {
        close(oldest->fd);
        oldest->fd = -1;
    }
    return oldest;
}

/* A slot for another file, or NULL while all are in use. */
static slot *spare(local *src)
{
    for (slot *s = src->slots; s < src->slots + MAX_OPEN; s++)
        if (s->fd < 0)
            return s;
    return evict(src);
}

static bool in_use(const local *src)
{
    for (const slot *s = src->slots; s < src->slots + MAX_OPEN; s++)
        if (s->users)
            return true;
    return false;
}

static slot *find_slot(local *src, size_t i, bool direct)
{
    for (slot *s = src->slots; s < src->slots + MAX_OPEN; s++)
        if (s->fd >= 0 && s->file == i && s->direct == direct)
            return s;
    return NULL;
}

/* Borrow a descriptor of file i. *direct says what is wanted, and on return what
 * it is. A thread borrows one at a time, so waiting for one cannot deadlock. */
static rc_code borrow(local *src, size_t i, bool *direct, slot **out, rc_err *err)
{
    rc_code rc;
    slot *s;

    pthread_mutex_lock(&src->lock);
    for (;;) {
        int fd;

        rc = RC_OK; /* a failure to open was waited for, and is over */
        *direct = *direct && !node_of(src, i)->no_direct;
        s = find_slot(src, i, *direct);
        if (s)
            break;
        s = spare(src);
        if (!s) {
            pthread_cond_wait(&src->idle, &src->lock);
            continue;
        }
        rc = open_file(src, i, *direct, &fd, err);
        if (rc == RC_E_OS) { /* EMFILE, ENFILE or memory: give back what we can do without */
            if (evict(src))
                continue;
            if (in_use(src)) {
                pthread_cond_wait(&src->idle, &src->lock);
                continue;
            }
            rc_err_hint(err, "raise the limit of open files (ulimit -n); 16 are enough");
        }
        if (rc != RC_OK)
            break;
        if (fd < 0) {
            node_of(src, i)->no_direct = true;
            continue;
        }
        *s = (slot){ .fd = fd, .direct = *direct, .file = i };
        break;
    }
    if (rc == RC_OK) {
        s->users++;
        s->stamp = ++src->clock;
        *out = s;
    }
    pthread_mutex_unlock(&src->lock);
    return rc;
}

static void give_back(local *src, slot *s)
{
    pthread_mutex_lock(&src->lock);
    if (--s->users == 0)
        pthread_cond_broadcast(&src->idle);
    pthread_mutex_unlock(&src->lock);
}

/* ------------------------------------------------------------------- reading */

/* A file with no bytes because it could not be followed says that, not "past the end". */
static rc_code check_range(const local *src, size_t i, uint64_t off, size_t nbytes, rc_err *err)
{
    const uint64_t size = src->base.files[i].nbytes;
    struct stat st;
    place at;

    if (off <= size && nbytes <= size - off)
        return RC_OK;
    RC_TRY(relocate(&at, &st, src, i, err));
    leave(&at);
    rc_fail(err, RC_E_INTERNAL, off, "asked for bytes past the end of the file");
    rc_err_want(err, "at most %" PRIu64, size);
    rc_err_got(err, "%" PRIu64 " + %zu", off, nbytes);
    return RC_E_INTERNAL;
}

static rc_code fail_read(int errnum, uint64_t at, rc_err *err)
{
    const rc_code rc = rc_fail_errno(err, errnum, "read failed");

    rc_err_offset(err, at);
    return rc;
}

static rc_code read_buffered(local *src, size_t i, uint64_t off, uint8_t *buf, size_t nbytes,
                             rc_err *err)
{
    bool direct = false;
    rc_code rc = RC_OK;
    size_t done = 0;
    slot *s;

    RC_TRY(borrow(src, i, &direct, &s, err));
    while (done < nbytes && rc == RC_OK) {
        const ssize_t n = pread(s->fd, buf + done, nbytes - done, (off_t)(off + done));

        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            rc =
                rc_fail(err, RC_E_INTEGRITY, off + done, "file is shorter than when it was opened");
            rc_err_want(err, "%" PRIu64 " bytes", src->base.files[i].nbytes);
            rc_err_got(err, "at most %" PRIu64, off + done);
        } else if (errno != EINTR) {
            rc = fail_read(errno, off + done, err);
        }
    }
    give_back(src, s);
    return rc;
}

/* Read whole pages from `begin` (a page's start) on, until `end` is covered or direct
 * reading cannot go on: at *done, which may be 0, an ordinary read takes over. */
static rc_code read_pages(local *src, size_t i, uint64_t begin, uint64_t end, uint8_t *buf,
                          size_t *done, rc_err *err)
{
    const size_t whole = (size_t)((end - begin + RC_PAGE - 1) / RC_PAGE * RC_PAGE);
    bool direct = true, refused = false;
    rc_code rc = RC_OK;
    slot *s;

    *done = 0;
    RC_TRY(borrow(src, i, &direct, &s, err));
    /* An odd length is the end of the file, or a file system that moves less than it
     * was asked for: either way the next direct read would not be aligned. */
    while (direct && !refused && rc == RC_OK && begin + *done < end && *done % RC_PAGE == 0) {
        const ssize_t n = pread(s->fd, buf + *done, whole - *done, (off_t)(begin + *done));

        if (n == 0)
            break;
        if (n > 0)
            *done += (size_t)n;
        else if (errno == EINVAL)
            refused = true;
        else if (errno != EINTR)
            rc = fail_read(errno, begin + *done, err);
    }
    give_back(src, s);
    if (refused) {
        pthread_mutex_lock(&src->lock);
        node_of(src, i)->no_direct = true;
        pthread_mutex_unlock(&src->lock);
    }
    return rc;
}

static rc_code read_at(rc_source *base, size_t i, uint64_t off, void *buf, size_t nbytes,
                       rc_err *err)
{
    local *src = local_of(base);

    RC_TRY(check_range(src, i, off, nbytes, err));
    return read_buffered(src, i, off, buf, nbytes, err);
}

static rc_code read_direct(rc_source *base, size_t i, uint64_t off, size_t nbytes, uint8_t *buf,
                           rc_err *err)
{
    local *src = local_of(base);
    const uint64_t begin = off - off % RC_PAGE, end = off + nbytes;
    size_t done = 0;

    RC_TRY(check_range(src, i, off, nbytes, err));
    if (nbytes == 0)
        return RC_OK;
    RC_TRY(read_pages(src, i, begin, end, buf, &done, err));
    if (begin + done < end)
        RC_TRY(read_buffered(src, i, begin + done, buf + done, (size_t)(end - begin) - done, err));
    return RC_OK;
}

static rc_code recheck(rc_source *base, size_t i, rc_err *err)
{
    struct stat st;
    place at;

    RC_TRY(relocate(&at, &st, local_of(base), i, err));
    leave(&at);
    return RC_OK;
}

/* -------------------------------------------------------------- opening, closing */

static bool in_memory(const rc_source *base)
{
    enum { TMPFS = 0x01021994, RAMFS = 0x858458f6 - (1ll << 32) }; /* statfs(2) */
    struct statfs fs;

    return fstatfs(((const local *)base)->root, &fs) == 0 &&
           ((int32_t)fs.f_type == TMPFS || (int32_t)fs.f_type == RAMFS);
}

static void close_local(rc_source *base)
{
    local *src = local_of(base);

    for (size_t s = 0; s < MAX_OPEN; s++)
        if (src->slots[s].fd >= 0)
            close(src->slots[s].fd);
    if (src->blobs >= 0)
        close(src->blobs);
    if (src->root >= 0)
        close(src->root);
    pthread_cond_destroy(&src->idle);
    pthread_mutex_destroy(&src->lock);
    rc_mem_put(base->mem, src->nodes);
}

/* "ORG/NAME" as hubs have them, or an address with a slash too few. */
static void hint_at_hub(const char *where, rc_err *err)
{
    static const char in_names[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
    const char *slash = strchr(where, '/');

    if (strncmp(where, "hf:", 3) == 0 || strncmp(where, "http:", 5) == 0 ||
        strncmp(where, "https:", 6) == 0)
        rc_err_hint(err, "addresses look like this: hf://ORG/NAME, https://HOST/FOLDER");
    else if (slash && slash != where && slash[1] && !strchr(slash + 1, '/') &&
             !strchr("./~", where[0]) && !where[strspn(where, in_names)])
        rc_err_hint(err, "if it is a repository of a hub: hf://%s", where);
}

rc_code rc_source_open_local(rc_source **out, const char *where, rc_mem *mem, rc_err *err)
{
    static const rc_source_ops ops = {
        .close = close_local,
        .read = read_at,
        .read_direct = read_direct,
        .recheck = recheck,
        .in_memory = in_memory,
    };
    local *src;
    rc_code rc;

    RC_TRY(rc_source_make(out, sizeof *src, &ops, where, mem, err));
    src = local_of(*out);
    src->root = src->blobs = -1;
    for (size_t s = 0; s < MAX_OPEN; s++)
        src->slots[s].fd = -1;
    pthread_mutex_init(&src->lock, NULL); /* with no attributes, cannot fail on Linux */
    pthread_cond_init(&src->idle, NULL);
    rc = open_where(src, err);
    if (rc != RC_OK) {
        rc_source_close(out);
        rc_err_file(err, where);
        if (rc == RC_E_NOINPUT)
            hint_at_hub(where, err);
    }
    return rc;
}
