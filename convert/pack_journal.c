/* convert/pack_journal.c - see pack_journal.h. */
#include "convert/pack_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = "rczlog1";

typedef struct head {
    char magic[8];
    uint32_t version, record;
    rc_digest run;
    uint64_t sum;
} head;

static uint64_t sum_of(const void *p, size_t n)
{
    return XXH3_64bits(p, n);
}

static head head_of(const rc_digest *run)
{
    head h = { .version = RC_ARCHIVE_VERSION, .record = sizeof(rc_pack_record), .run = *run };

    memcpy(h.magic, magic, sizeof magic);
    h.sum = sum_of(&h, offsetof(head, sum));
    return h;
}

static rc_code create(rc_pack_journal *j, const rc_dir *dir, const char *name, const rc_digest *run,
                      rc_err *err)
{
    const head h = head_of(run);
    int e;

    RC_TRY(rc_dir_create(dir, name, &j->fd, err));
    e = rc_pwrite_all(j->fd, &h, sizeof h, 0);
    j->end = sizeof h;
    return e ? rc_fail_errno(err, e, "cannot write %s", name) : RC_OK;
}

rc_code rc_pack_journal_open(rc_pack_journal *j, const rc_dir *dir, const char *name,
                             const rc_digest *run, bool restart, bool *found, rc_err *err)
{
    const head want = head_of(run);
    head h;

    *found = false;
    *j = (rc_pack_journal){ .fd = -1 };
    if (!restart)
        j->fd = openat(dir->fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (j->fd < 0)
        return create(j, dir, name, run, err);
    if (rc_pread_all(j->fd, &h, sizeof h, 0, NULL) != 0 ||
        h.sum != sum_of(&h, offsetof(head, sum))) { /* killed while it was made */
        rc_pack_journal_close(j);
        return create(j, dir, name, run, err);
    }
    if (memcmp(&h, &want, sizeof h) != 0) {
        rc_pack_journal_close(j);
        rc_fail(err, RC_E_RESUME, RC_NO_OFFSET,
                "an unfinished archive of another source, level or version is there");
        rc_err_hint(err, "run its own command, or discard it with --restart");
        return RC_E_RESUME;
    }
    j->end = sizeof h;
    *found = true;
    return RC_OK;
}

bool rc_pack_journal_next(rc_pack_journal *j, uint64_t index, rc_pack_record *r)
{
    if (rc_pread_all(j->fd, r, sizeof *r, j->end, NULL) != 0 || r->index != index ||
        r->sum != sum_of(r, offsetof(rc_pack_record, sum)))
        return false;
    j->end += sizeof *r;
    return true;
}

rc_code rc_pack_journal_cut(rc_pack_journal *j, uint64_t index, rc_err *err)
{
    j->end = sizeof(head) + index * sizeof(rc_pack_record);
    if (ftruncate(j->fd, (off_t)j->end) != 0)
        return rc_fail_errno(err, errno, "cannot cut the journal");
    return RC_OK;
}

rc_code rc_pack_journal_add(rc_pack_journal *j, rc_pack_record *r, rc_err *err)
{
    int e;

    r->sum = sum_of(r, offsetof(rc_pack_record, sum));
    e = rc_pwrite_all(j->fd, r, sizeof *r, j->end);
    if (e)
        return rc_fail_errno(err, e, "cannot write the journal");
    j->end += sizeof *r;
    return RC_OK;
}

void rc_pack_journal_close(rc_pack_journal *j)
{
    if (j->fd >= 0)
        close(j->fd);
    j->fd = -1;
}
