/* formats/base/io.h - writing a result that must survive: output folders and
 * files, past the page cache, synced, published by rename.
 *
 * Everything goes through a folder's descriptor, so a folder that is renamed or
 * replaced during the run is not followed elsewhere. */
#ifndef RC_FORMATS_BASE_IO_H
#define RC_FORMATS_BASE_IO_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

/* pread/pwrite/write that go on after short counts and EINTR. Return 0 or an
 * errno value; end of file before nbytes is -1 (rc_pread_all only), with *got. */
int rc_pread_all(int fd, void *buf, size_t nbytes, uint64_t off, size_t *got);
int rc_pwrite_all(int fd, const void *buf, size_t nbytes, uint64_t off);
int rc_write_all(int fd, const void *buf, size_t nbytes);

/* An output folder. */
typedef struct rc_dir {
    int fd;           /* -1 when not open */
    const char *path; /* as the user named it; borrowed */
} rc_dir;

/** Open a folder; `create` makes it (not its parents).
 *  RC_E_CANTCREATE a file is in the way, no parent; RC_E_DENIED. */
RC_MUST_CHECK
rc_code rc_dir_open(rc_dir *out, const char *path, bool create, rc_err *err);
/** A folder inside another, made if it is not there; never through a link. */
RC_MUST_CHECK
rc_code rc_dir_sub(rc_dir *out, const rc_dir *parent, const char *name, rc_err *err);
void rc_dir_close(rc_dir *dir);
/** Make names in the folder durable. */
RC_MUST_CHECK
rc_code rc_dir_sync(const rc_dir *dir, rc_err *err);
/** Rename inside the folder, replacing `to`. */
RC_MUST_CHECK
rc_code rc_dir_rename(const rc_dir *dir, const char *from, const char *to, rc_err *err);
/** Remove a file; one that is not there is fine. */
RC_MUST_CHECK
rc_code rc_dir_remove(const rc_dir *dir, const char *name, rc_err *err);
/** Size of a regular file in the folder; false when there is none. */
bool rc_dir_stat(const rc_dir *dir, const char *name, uint64_t *nbytes);
/** Is there anything of that name, a link or a folder too? *folder (may be NULL): a folder. */
bool rc_dir_has(const rc_dir *dir, const char *name, bool *folder);
/** Does `fn` say yes to any name in the folder? A folder that cannot be listed has none. */
bool rc_dir_any(const rc_dir *dir, bool (*fn)(void *ctx, const char *name), void *ctx);
/** True when the folder holds nothing. */
bool rc_dir_is_empty(const rc_dir *dir);
/** Bytes that an unprivileged writer may still use. */
RC_MUST_CHECK
rc_code rc_dir_free(const rc_dir *dir, uint64_t *nbytes, rc_err *err);
/** A new file to write to, for what only grows; a stale one of that name goes.
 *  RC_E_NOSPACE, RC_E_DENIED, RC_E_CANTCREATE. */
RC_MUST_CHECK
rc_code rc_dir_create(const rc_dir *dir, const char *name, int *fd, rc_err *err);
/** Write a small file whole: staged, then unstaged. */
RC_MUST_CHECK
rc_code rc_dir_put(const rc_dir *dir, const char *name, const void *data, size_t nbytes,
                   rc_err *err);
#define RC_DIR_STAGED 256u
/** What `name` is called until it has its name: name + ".partial", or, where that is too long for
 *  a name, its beginning, its digest and ".partial". Returns buf. */
const char *rc_dir_staged_name(const char *name, char buf[RC_DIR_STAGED]);
/** The first half: exclusive create of rc_dir_staged_name(), fsync. */
RC_MUST_CHECK
rc_code rc_dir_stage(const rc_dir *dir, const char *name, const void *data, size_t nbytes,
                     rc_err *err);
/** The second half: rename, fsync of the folder. */
RC_MUST_CHECK
rc_code rc_dir_unstage(const rc_dir *dir, const char *name, rc_err *err);
/** A whole small file, NUL-terminated; put it back to mem. RC_E_LIMIT if larger. */
RC_MUST_CHECK
rc_code rc_dir_slurp(const rc_dir *dir, const char *name, size_t max_bytes, char **out,
                     size_t *out_len, rc_mem *mem, rc_err *err);

/** Take the folder for this run: an advisory lock on `name`, which the kernel
 *  drops when the process ends, however it ends. RC_E_LOCKED names the holder. */
RC_MUST_CHECK
rc_code rc_dir_lock(const rc_dir *dir, const char *name, int *lock_fd, rc_err *err);
/** Release and remove. */
void rc_dir_unlock(const rc_dir *dir, const char *name, int lock_fd);

/* One large output file of known size, written at any offset by many threads. */
typedef struct rc_out rc_out;

typedef enum rc_out_mode {
    RC_OUT_NEW,    /* replaces a stale file of that name; all bytes undefined */
    RC_OUT_RESUME, /* must be there with exactly nbytes */
    RC_OUT_HOLES   /* as NEW, but unwritten ranges stay holes that read as zero */
} rc_out_mode;

/** Space is reserved at once (fallocate), so that a full disk shows here and not
 *  hours later. Direct I/O where the file system has it.
 *  RC_E_NOSPACE, RC_E_DENIED, RC_E_IO; RC_E_INTEGRITY for RESUME with another size. */
RC_MUST_CHECK
rc_code rc_out_open(rc_out **out, const rc_dir *dir, const char *name, uint64_t nbytes,
                    rc_out_mode mode, rc_mem *mem, rc_err *err);
/** Write. Fastest when data % RC_PAGE == off % RC_PAGE (see rc_out_place): whole
 *  pages then go straight to the disk and only ragged ends through the cache. */
RC_MUST_CHECK
rc_code rc_out_write(rc_out *out, uint64_t off, const void *data, size_t nbytes, rc_err *err);
/** Read back what was written. */
RC_MUST_CHECK
rc_code rc_out_read(rc_out *out, uint64_t off, void *data, size_t nbytes, rc_err *err);
/** All bytes on the disk, or RC_E_IO; never retried into success. */
RC_MUST_CHECK
rc_code rc_out_sync(rc_out *out, rc_err *err);
/** Close; NULL is harmless, sets *out to NULL. An error of close() is reported. */
RC_MUST_CHECK
rc_code rc_out_close(rc_out **out, rc_err *err);

/** Where in a page-aligned buffer (of nbytes + RC_PAGE) data for `off` belongs. */
static inline uint8_t *rc_out_place(uint8_t *pages, uint64_t off)
{
    return pages + off % RC_PAGE;
}

#endif
