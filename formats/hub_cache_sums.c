/* formats/hub_cache_sums.c - see hub_cache_sums.h. */
#include "formats/hub_cache_sums.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/hub_cache.h"

typedef struct head {
    char magic[4];
    uint32_t kind;
    uint64_t nbytes;
    uint8_t content[32];
    uint64_t block, check;
} head;
typedef struct record {
    uint64_t block;
    rc_digest sum;
    uint64_t check;
} record;
_Static_assert(sizeof(head) == 64 && sizeof(record) == 32, "as they lie in the file");

static const char magic[4] = { 'R', 'C', 'C', '1' };

static head head_of(const rc_cache_sums *s)
{
    head h = { .kind = s->content.kind, .nbytes = s->nbytes, .block = RC_CACHE_BLOCK };

    memcpy(h.magic, magic, sizeof magic);
    if (s->content.kind != RC_CONTENT_UNKNOWN)
        memcpy(h.content, s->content.bytes, s->content.kind == RC_CONTENT_GIT ? 20 : 32);
    h.check = XXH3_64bits(&h, offsetof(head, check));
    return h;
}

rc_code rc_cache_sums_make(rc_cache_sums *s, uint64_t nbytes, const rc_content_id *content,
                           rc_mem *mem, rc_err *err)
{
    *s = (rc_cache_sums){ .nbytes = nbytes, .content = *content };
    s->nblocks = (size_t)rc_ceil_div(nbytes, RC_CACHE_BLOCK);
    s->has = rc_mem_get(mem, s->nblocks);
    s->sums = rc_mem_get(mem, s->nblocks * sizeof *s->sums);
    if (s->has && s->sums)
        return RC_OK;
    rc_cache_sums_drop(s, mem);
    return rc_fail_nomem(err, mem, (size_t)rc_ceil_div(nbytes, RC_CACHE_BLOCK) * sizeof *s->sums);
}

void rc_cache_sums_drop(rc_cache_sums *s, rc_mem *mem)
{
    rc_mem_put(mem, s->has);
    rc_mem_put(mem, s->sums);
    *s = (rc_cache_sums){ 0 };
}

bool rc_cache_sums_parse(rc_cache_sums *s, const uint8_t *bytes, size_t nbytes)
{
    const head h = head_of(s);

    if (nbytes < sizeof h || memcmp(bytes, &h, sizeof h) != 0)
        return false;
    for (size_t at = sizeof h; nbytes - at >= sizeof(record); at += sizeof(record)) {
        record r;

        memcpy(&r, bytes + at, sizeof r);
        if (r.block >= s->nblocks || r.check != XXH3_64bits(&r, offsetof(record, check)))
            continue;
        s->have += !s->has[r.block];
        s->has[r.block] = 1;
        s->sums[r.block] = r.sum;
    }
    return true;
}

bool rc_cache_sums_load(rc_cache_sums *s, int fd, rc_mem *mem)
{
    /* what was spoilt and fetched again has more records than one; not without end */
    const uint64_t most = sizeof(head) + 4 * (uint64_t)s->nblocks * sizeof(record) + 65536;
    struct stat st;
    uint8_t *all;
    bool ours;

    if (fstat(fd, &st) != 0 || st.st_size == 0 || (uint64_t)st.st_size > most)
        return false;
    all = rc_mem_get(mem, (size_t)st.st_size);
    if (!all)
        return false;
    ours = rc_pread_all(fd, all, (size_t)st.st_size, 0, NULL) == 0 &&
           rc_cache_sums_parse(s, all, (size_t)st.st_size);
    rc_mem_put(mem, all);
    return ours;
}

int rc_cache_sums_restart(const rc_cache_sums *s, int fd)
{
    const head h = head_of(s);

    if (ftruncate(fd, 0) != 0)
        return errno;
    return rc_write_all(fd, &h, sizeof h);
}

int rc_cache_sums_trim(int fd)
{
    struct stat st;
    off_t over;

    if (fstat(fd, &st) != 0)
        return errno;
    over = st.st_size < (off_t)sizeof(head)
               ? st.st_size
               : (st.st_size - (off_t)sizeof(head)) % (off_t)sizeof(record);
    return over && ftruncate(fd, st.st_size - over) != 0 ? errno : 0;
}

int rc_cache_sums_append(int fd, uint64_t block, const rc_digest *sum)
{
    record r = { .block = block, .sum = *sum };
    int e;

    r.check = XXH3_64bits(&r, offsetof(record, check));
    e = rc_write_all(fd, &r, sizeof r);
    if (e && rc_cache_sums_trim(fd) != 0) /* what follows would be out of step */
        return EIO;
    return e;
}

bool rc_cache_sums_extent(int fd, uint64_t *nbytes)
{
    struct stat st;
    head h;

    if (fstat(fd, &st) != 0 || rc_pread_all(fd, &h, sizeof h, 0, NULL) != 0 ||
        memcmp(h.magic, magic, sizeof magic) != 0 ||
        h.check != XXH3_64bits(&h, offsetof(head, check)))
        return false;
    *nbytes = ((uint64_t)st.st_size - sizeof h) / sizeof(record) * RC_CACHE_BLOCK;
    if (*nbytes > h.nbytes)
        *nbytes = h.nbytes;
    return true;
}
