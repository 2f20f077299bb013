/* formats/base/io.c - see io.h. */
#define _GNU_SOURCE /* O_DIRECT, fallocate, open file description locks */
#include "formats/base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "formats/base/hash.h"

enum { IO_MAX = 1 << 30 }; /* the kernel moves a little under 2 GiB a call at most */

int rc_pread_all(int fd, void *buf, size_t nbytes, uint64_t off, size_t *got)
{
    uint8_t *p = buf;
    size_t done = 0;

    while (done < nbytes) {
        const size_t want = nbytes - done < IO_MAX ? nbytes - done : IO_MAX;
        const ssize_t n = pread(fd, p + done, want, (off_t)(off + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (got)
            *got = done + (n > 0 ? (size_t)n : 0);
        if (n < 0)
            return errno;
        if (n == 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

int rc_pwrite_all(int fd, const void *buf, size_t nbytes, uint64_t off)
{
    const uint8_t *p = buf;

    while (nbytes) {
        const ssize_t n = pwrite(fd, p, nbytes < IO_MAX ? nbytes : IO_MAX, (off_t)off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return ENOSPC;
        p += n;
        off += (uint64_t)n;
        nbytes -= (size_t)n;
    }
    return 0;
}

int rc_write_all(int fd, const void *buf, size_t nbytes)
{
    const uint8_t *p = buf;

    while (nbytes) {
        const ssize_t n = write(fd, p, nbytes < IO_MAX ? nbytes : IO_MAX);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return ENOSPC;
        p += n;
        nbytes -= (size_t)n;
    }
    return 0;
}

/* folders */

static rc_code fail_in(rc_err *err, const rc_dir *dir, const char *name, int errnum,
                       const char *what)
{
    char path[512];
    const rc_code rc = rc_fail_errno(err, errnum, "%s", what);

    snprintf(path, sizeof path, "%s%s%s", dir->path, name ? "/" : "", name ? name : "");
    rc_err_file(err, path);
    return rc;
}

/* errno says why; a folder that is gone is no missing input. */
static rc_code fail_create(rc_err *err, const rc_dir *dir, const char *name)
{
    const rc_code rc = fail_in(err, dir, name, errno, "cannot create");

    return rc == RC_E_NOINPUT ? rc_recode(err, RC_E_CANTCREATE) : rc;
}

/* A new folder is durable when its name is. A parent that may not be read is not ours
 * to sync. */
static rc_code sync_parent(const rc_dir *dir, rc_err *err)
{
    const int fd = openat(dir->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc_code rc = RC_OK;

    if (fd < 0)
        return errno == EACCES ? RC_OK : fail_in(err, dir, "..", errno, "cannot open");
    if (fsync(fd) != 0 && errno != EINVAL)
        rc = fail_in(err, dir, "..", errno, "cannot sync the folder");
    close(fd);
    return rc;
}

rc_code rc_dir_open(rc_dir *out, const char *path, bool create, rc_err *err)
{
    const bool made = create && mkdir(path, 0777) == 0;
    rc_code rc;

    *out = (rc_dir){ .fd = -1, .path = path };
    if (create && !made && errno != EEXIST) {
        const int e = errno;

        rc = fail_in(err, out, NULL, e, "cannot make the output folder");
        if (e == ENOENT || e == ENOTDIR || e == ENAMETOOLONG) {
            rc = rc_recode(err, RC_E_CANTCREATE);
            if (e == ENOENT)
                rc_err_hint(err, "make its parent folder first");
        }
        return rc;
    }
    out->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->fd < 0) {
        const int e = errno;

        rc = fail_in(err, out, NULL, e, e == ENOTDIR ? "is not a folder" : "cannot open");
        return e == ENOTDIR && create ? rc_recode(err, RC_E_CANTCREATE) : rc;
    }
    rc = made ? sync_parent(out, err) : RC_OK;
    if (rc != RC_OK)
        rc_dir_close(out);
    return rc;
}

rc_code rc_dir_sub(rc_dir *out, const rc_dir *parent, const char *name, rc_err *err)
{
    *out = (rc_dir){ .fd = -1, .path = name };
    if (mkdirat(parent->fd, name, 0777) != 0 && errno != EEXIST)
        return fail_create(err, parent, name);
    out->fd = openat(parent->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return out->fd < 0 ? fail_create(err, parent, name) : RC_OK; /* a link is "not a directory" */
}

void rc_dir_close(rc_dir *dir)
{
    if (dir->fd >= 0)
        close(dir->fd);
    dir->fd = -1;
}

rc_code rc_dir_sync(const rc_dir *dir, rc_err *err)
{
    if (fsync(dir->fd) != 0 && errno != EINVAL)
        return fail_in(err, dir, NULL, errno, "cannot sync the folder");
    return RC_OK;
}

rc_code rc_dir_rename(const rc_dir *dir, const char *from, const char *to, rc_err *err)
{
    if (renameat(dir->fd, from, dir->fd, to) != 0) {
        const rc_code rc = fail_in(err, dir, to, errno, "cannot rename into place");

        return rc == RC_E_NOINPUT ? rc_recode(err, RC_E_IO) : rc; /* we made it: somebody took it */
    }
    return RC_OK;
}

rc_code rc_dir_remove(const rc_dir *dir, const char *name, rc_err *err)
{
    if (unlinkat(dir->fd, name, 0) != 0 && errno != ENOENT)
        return fail_in(err, dir, name, errno, "cannot remove");
    return RC_OK;
}

bool rc_dir_stat(const rc_dir *dir, const char *name, uint64_t *nbytes)
{
    struct stat st;

    if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return false;
    if (nbytes)
        *nbytes = (uint64_t)st.st_size;
    return true;
}

bool rc_dir_has(const rc_dir *dir, const char *name, bool *folder)
{
    struct stat st;
    const bool there = fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;

    if (folder)
        *folder = there && S_ISDIR(st.st_mode);
    return there;
}

bool rc_dir_any(const rc_dir *dir, bool (*fn)(void *ctx, const char *name), void *ctx)
{
    const int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;
    bool any = false;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (!any && (e = readdir(d)))
        any = fn(ctx, e->d_name);
    closedir(d);
    return any;
}

static bool is_entry(void *ctx, const char *name)
{
    (void)ctx;
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

bool rc_dir_is_empty(const rc_dir *dir)
{
    return !rc_dir_any(dir, is_entry, NULL);
}

rc_code rc_dir_free(const rc_dir *dir, uint64_t *nbytes, rc_err *err)
{
    struct statvfs vfs;

    if (fstatvfs(dir->fd, &vfs) != 0)
        return fail_in(err, dir, NULL, errno, "cannot ask for the free space");
    *nbytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return RC_OK;
}

/* A temporary of ours that a dead run left is replaced; a link there is not
 * followed: unlink takes the link, O_EXCL refuses a new one. */
static int create_fresh(const rc_dir *dir, const char *name)
{
    if (unlinkat(dir->fd, name, 0) != 0 && errno != ENOENT)
        return -1;
    return openat(dir->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
}

rc_code rc_dir_create(const rc_dir *dir, const char *name, int *fd, rc_err *err)
{
    *fd = create_fresh(dir, name);
    return *fd < 0 ? fail_create(err, dir, name) : RC_OK;
}

/* A name has 255 bytes at most: of one that is too long to add to, its beginning and its digest. */
const char *rc_dir_staged_name(const char *name, char buf[RC_DIR_STAGED])
{
    const size_t len = strlen(name);
    const rc_digest digest = rc_hash(name, len);
    char hex[33];

    if (len + strlen(".partial") < RC_DIR_STAGED)
        snprintf(buf, RC_DIR_STAGED, "%s.partial", name);
    else
        snprintf(buf, RC_DIR_STAGED, "%.200s-%s.partial", name, rc_digest_hex(&digest, hex));
    return buf;
}

rc_code rc_dir_stage(const rc_dir *dir, const char *name, const void *data, size_t nbytes,
                     rc_err *err)
{
    char partial[256];
    int fd, e;

    rc_dir_staged_name(name, partial);
    fd = create_fresh(dir, partial);
    if (fd < 0)
        return fail_create(err, dir, partial);
    e = rc_pwrite_all(fd, data, nbytes, 0);
    if (e == 0 && fsync(fd) != 0)
        e = errno;
    if (close(fd) != 0 && e == 0)
        e = errno;
    if (e) {
        unlinkat(dir->fd, partial, 0);
        return fail_in(err, dir, partial, e, "cannot write");
    }
    return RC_OK;
}

rc_code rc_dir_unstage(const rc_dir *dir, const char *name, rc_err *err)
{
    char partial[256];

    RC_TRY(rc_dir_rename(dir, rc_dir_staged_name(name, partial), name, err));
    return rc_dir_sync(dir, err);
}

rc_code rc_dir_put(const rc_dir *dir, const char *name, const void *data, size_t nbytes,
                   rc_err *err)
{
    RC_TRY(rc_dir_stage(dir, name, data, nbytes, err));
    return rc_dir_unstage(dir, name, err);
}

rc_code rc_dir_slurp(const rc_dir *dir, const char *name, size_t max_bytes, char **out,
                     size_t *out_len, rc_mem *mem, rc_err *err)
{
    const int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    rc_code rc = RC_OK;
    struct stat st;
    int e;

    *out = NULL;
    if (fd < 0)
        return fail_in(err, dir, name, errno, "cannot open");
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        rc = fail_in(err, dir, name, EIO, "is not a regular file");
    } else if ((uint64_t)st.st_size > max_bytes) {
        rc = rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "file is too large");
        rc_err_want(err, "at most %zu bytes", max_bytes);
        rc_err_got(err, "%" PRIu64, (uint64_t)st.st_size);
        rc_err_file(err, name);
    } else if (!(*out = rc_mem_get(mem, (size_t)st.st_size + 1))) {
        rc = rc_fail_nomem(err, mem, (size_t)st.st_size + 1);
    } else if ((e = rc_pread_all(fd, *out, (size_t)st.st_size, 0, NULL)) != 0) {
        rc = fail_in(err, dir, name, e > 0 ? e : EIO, "cannot read");
        rc_mem_put(mem, *out);
        *out = NULL;
    }
    *out_len = *out ? (size_t)st.st_size : 0;
    close(fd);
    return rc;
}

/* Whoever unlocks removes the name: a file opened just before that is nobody's lock, while
 * the next one to come makes and locks another of the same name. Closes such a file. */
static bool still_named(const rc_dir *dir, const char *name, int fd)
{
    struct stat opened, named;

    if (fstat(fd, &opened) == 0 && fstatat(dir->fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        opened.st_dev == named.st_dev && opened.st_ino == named.st_ino)
        return true;
    close(fd);
    return false;
}

rc_code rc_dir_lock(const rc_dir *dir, const char *name, int *lock_fd, rc_err *err)
{
    char holder[96] = "", host[64] = "";
    int fd, n, e;

    *lock_fd = -1;
    do {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        fd = openat(dir->fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0)
            return fail_create(err, dir, name);
        e = fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
    } while (e == 0 && !still_named(dir, name, fd));
    if (e) {
        const ssize_t got = pread(fd, holder, sizeof holder - 1, 0);

        close(fd);
        if (e != EAGAIN && e != EACCES) {
            rc_fail_errno(err, e, "this file system cannot lock; two runs could mix their output");
            rc_err_file(err, dir->path);
            return rc_recode(err, RC_E_LOCKED);
        }
        holder[got > 0 ? strcspn(holder, "\n") : 0] = '\0';
        rc_fail(err, RC_E_LOCKED, RC_NO_OFFSET, "another run holds this output (process %s)",
                holder[0] ? holder : "unknown");
        rc_err_file(err, dir->path);
        rc_err_hint(err, "wait for it, or stop it; the lock goes with its process");
        return RC_E_LOCKED;
    }
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    n = snprintf(holder, sizeof holder, "%ld%s%s\n", (long)getpid(), host[0] ? " on " : "", host);
    /* For people only: a full disk must not stop the run here. */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, holder, (size_t)n, 0) != n)
        holder[0] = '\0';
    *lock_fd = fd;
    return RC_OK;
}

void rc_dir_unlock(const rc_dir *dir, const char *name, int lock_fd)
{
    if (lock_fd < 0)
        return;
    unlinkat(dir->fd, name, 0);
    close(lock_fd);
}

/* large files */

struct rc_out {
    rc_mem *mem;
    int fd;     /* through the page cache: ragged ends, reading back */
    int direct; /* past it, or -1 */
    uint64_t nbytes;
    char shown[512];
};

static rc_code fail_out(rc_err *err, const rc_out *o, int errnum, uint64_t off, const char *what)
{
    const rc_code rc = rc_fail_errno(err, errnum, "%s", what);

    rc_err_file(err, o->shown);
    rc_err_offset(err, off);
    return rc;
}

static int reserve(int fd, uint64_t nbytes, rc_out_mode mode)
{
    if (mode == RC_OUT_NEW && nbytes) {
        int e;

        do
            e = fallocate(fd, 0, 0, (off_t)nbytes) == 0 ? 0 : errno;
        while (e == EINTR);
        if (e != EOPNOTSUPP && e != ENOSYS && e != EINVAL)
            return e;
    }
    return ftruncate(fd, (off_t)nbytes) == 0 ? 0 : errno;
}

rc_code rc_out_open(rc_out **out, const rc_dir *dir, const char *name, uint64_t nbytes,
                    rc_out_mode mode, rc_mem *mem, rc_err *err)
{
    rc_out *o = rc_mem_get(mem, sizeof *o);
    rc_code rc = RC_OK;
    struct stat st;
    int e;

    *out = NULL;
    if (!o)
        return rc_fail_nomem(err, mem, sizeof *o);
    o->mem = mem;
    o->nbytes = nbytes;
    o->direct = -1;
    snprintf(o->shown, sizeof o->shown, "%s/%s", dir->path, name);
    o->fd = mode == RC_OUT_RESUME ? openat(dir->fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
                                  : create_fresh(dir, name);
    if (o->fd < 0) {
        rc = fail_out(err, o, errno, RC_NO_OFFSET, "cannot open for writing");
        if (rc == RC_E_NOINPUT) /* the folder is gone */
            rc = rc_recode(err, RC_E_CANTCREATE);
        if (rc == RC_E_OS)
            rc_err_hint(err, "raise the limit of open files (ulimit -n)");
    } else if (mode == RC_OUT_RESUME) {
        if (fstat(o->fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != nbytes)
            rc = rc_fail(err, RC_E_INTEGRITY, RC_NO_OFFSET, "unfinished file has another size");
    } else if ((e = reserve(o->fd, nbytes, mode)) != 0) {
        unlinkat(dir->fd, name, 0);
        rc = fail_out(err, o, e, RC_NO_OFFSET, "cannot reserve space");
        rc_err_want(err, "%" PRIu64 " bytes", nbytes);
        rc_err_got(err, "less free");
    }
    if (rc == RC_OK)
        o->direct = openat(dir->fd, name, O_WRONLY | O_DIRECT | O_NOFOLLOW | O_CLOEXEC);
    *out = o;
    if (rc != RC_OK) {
        rc_err ignored;
        const rc_code closed = rc_out_close(out, &ignored);

        (void)closed; /* the first error is the one to tell */
    }
    return rc;
}

/* Whole pages past the cache. A file system that accepts the flag but not the
 * write (EINVAL) is written through the cache instead. */
static rc_code write_pages(rc_out *o, uint64_t off, const uint8_t *p, size_t nbytes, rc_err *err)
{
    int e = o->direct >= 0 ? rc_pwrite_all(o->direct, p, nbytes, off) : EINVAL;

    if (e == EINVAL)
        e = rc_pwrite_all(o->fd, p, nbytes, off);
    return e ? fail_out(err, o, e, off, "cannot write") : RC_OK;
}

rc_code rc_out_write(rc_out *o, uint64_t off, const void *data, size_t nbytes, rc_err *err)
{
    const uint8_t *p = data;
    const size_t skew = (size_t)(off % RC_PAGE);
    size_t head = skew ? RC_PAGE - skew : 0, body, tail;
    int e = 0;

    if (nbytes > o->nbytes || off > o->nbytes - nbytes)
        return rc_fail(err, RC_E_INTERNAL, off, "write past the planned end of the file");
    if ((uintptr_t)p % RC_PAGE != skew || head > nbytes)
        head = nbytes; /* no page of the file is a page of the buffer */
    tail = (nbytes - head) % RC_PAGE;
    body = nbytes - head - tail;
    if (head)
        e = rc_pwrite_all(o->fd, p, head, off);
    if (e)
        return fail_out(err, o, e, off, "cannot write");
    if (body)
        RC_TRY(write_pages(o, off + head, p + head, body, err));
    if (tail)
        e = rc_pwrite_all(o->fd, p + head + body, tail, off + head + body);
    return e ? fail_out(err, o, e, off + head + body, "cannot write") : RC_OK;
}

rc_code rc_out_read(rc_out *o, uint64_t off, void *data, size_t nbytes, rc_err *err)
{
    const int e = rc_pread_all(o->fd, data, nbytes, off, NULL);

    if (e == -1)
        return rc_fail(err, RC_E_INTEGRITY, off, "unfinished file is shorter than planned");
    return e ? fail_out(err, o, e, off, "cannot read back") : RC_OK;
}

rc_code rc_out_sync(rc_out *o, rc_err *err)
{
    if (fsync(o->fd) != 0)
        return fail_out(err, o, errno, RC_NO_OFFSET, "cannot sync");
    return RC_OK;
}

rc_code rc_out_close(rc_out **out, rc_err *err)
{
    rc_out *o = *out;
    rc_code rc = RC_OK;

    *out = NULL;
    if (!o)
        return RC_OK;
    if (o->direct >= 0 && close(o->direct) != 0)
        rc = fail_out(err, o, errno, RC_NO_OFFSET, "cannot close");
    if (o->fd >= 0 && close(o->fd) != 0 && rc == RC_OK)
        rc = fail_out(err, o, errno, RC_NO_OFFSET, "cannot close");
    rc_mem_put(o->mem, o);
    return rc;
}
