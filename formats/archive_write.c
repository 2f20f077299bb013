/* formats/archive_write.c - see archive.h: head, table of contents, trailer and seek table. */
#include "formats/archive_impl.h"

#include <string.h>
#include <zstd.h>

enum { LEVEL = 3 }; /* of the table: digests, which nothing makes shorter, and sizes */

void rc_archive_head(uint8_t head[RC_ARCHIVE_HEAD])
{
    memset(head, 0, RC_ARCHIVE_HEAD);
    rc_put_u32(head, RC_ZSTD_SKIPPABLE);
    rc_put_u32(head + 4, RC_ARCHIVE_HEAD - RC_ZSTD_SKIP_HEAD);
    memcpy(head + 8, RC_ARCHIVE_MAGIC, 8);
    rc_put_u32(head + 16, RC_ARCHIVE_VERSION);
}

static size_t names_bytes(const rc_archive *a)
{
    size_t n = 0;

    for (size_t i = 0; i < a->nfiles; i++)
        n += strlen(a->files[i].name) + 1;
    return n;
}

static void put_file(uint8_t *b, const rc_archive_file *f)
{
    rc_put_u64(b, f->nbytes);
    rc_put_u64(b + 8, f->count);
    rc_put_u32(b + 16, (uint32_t)strlen(f->name));
    rc_put_u32(b + 20, 0);
    memcpy(b + 24, f->content.bytes, 32);
}

static void put_piece(uint8_t *b, const rc_archive_piece *p)
{
    const rc_packed *k = &p->packed;

    rc_put_u32(b, k->nbytes);
    b[4] = (uint8_t)k->mode;
    b[5] = (uint8_t)k->nplanes;
    b[6] = b[7] = 0;
    for (unsigned i = 0; i < RC_PIECE_PLANES; i++) {
        rc_put_u32(b + 8 + 4 * i, k->frame[i]);
        rc_put_u32(b + 20 + 4 * i, k->plane[i]);
    }
    rc_put_u64(b + 32, p->stored);
    memcpy(b + 40, p->restored.bytes, sizeof p->restored.bytes);
}

static void put_table(uint8_t *b, const rc_archive *a, size_t names)
{
    memcpy(b, "contents", 8);
    rc_put_u64(b + 8, a->nfiles);
    rc_put_u64(b + 16, a->npieces);
    rc_put_u64(b + 24, names);
    b += RC_ARCHIVE_TABLE_HEAD;
    for (size_t i = 0; i < a->nfiles; i++, b += RC_ARCHIVE_FILE_BYTES)
        put_file(b, &a->files[i]);
    for (size_t i = 0; i < a->nfiles; i++) {
        const size_t len = strlen(a->files[i].name) + 1;

        memcpy(b, a->files[i].name, len);
        b += len;
    }
    for (size_t p = 0; p < a->npieces; p++, b += RC_ARCHIVE_PIECE_BYTES)
        put_piece(b, &a->pieces[p]);
}

static void put_trailer(uint8_t *b, const rc_archive *a, const uint8_t *table, size_t stored,
                        size_t nbytes)
{
    const rc_digest digest = rc_hash(table, stored);

    rc_put_u32(b, RC_ZSTD_SKIPPABLE + 1);
    rc_put_u32(b + 4, RC_ARCHIVE_TRAILER - RC_ZSTD_SKIP_HEAD);
    memcpy(b + 8, RC_ARCHIVE_END_MAGIC, 8);
    rc_put_u32(b + 16, RC_ARCHIVE_VERSION);
    rc_put_u32(b + 20, 0);
    rc_put_u64(b + 24, a->end);
    rc_put_u64(b + 32, stored);
    rc_put_u64(b + 40, nbytes);
    memcpy(b + 48, digest.bytes, sizeof digest.bytes);
    rc_put_u64(b + 64, rc_archive_sum(b, 64));
}

static void put_seek_table(uint8_t *b, const rc_archive *a, rc_seek_entry table, uint64_t count)
{
    rc_seek_walk walk = { 0 };
    rc_seek_entry e;

    rc_put_u32(b, RC_ZSTD_SEEK_FRAME);
    rc_put_u32(b + 4, (uint32_t)(8 * count + RC_ZSTD_SEEK_FOOTER));
    b += RC_ZSTD_SKIP_HEAD;
    for (; rc_seek_next(&walk, a, table, &e); b += 8) {
        rc_put_u32(b, e.stored);
        rc_put_u32(b + 4, e.restored);
    }
    rc_put_u32(b, (uint32_t)count);
    b[4] = 0; /* no checksums here: the table has better ones */
    rc_put_u32(b + 5, RC_ZSTD_SEEK_MAGIC);
}

rc_code rc_archive_tail(const rc_archive *a, uint8_t **tail, size_t *len, rc_mem *mem, rc_err *err)
{
    const size_t names = names_bytes(a);
    const uint64_t nbytes = RC_ARCHIVE_TABLE_HEAD + a->nfiles * (uint64_t)RC_ARCHIVE_FILE_BYTES +
                            names + a->npieces * (uint64_t)RC_ARCHIVE_PIECE_BYTES;
    const uint64_t count = rc_seek_count(a);
    const size_t seek = RC_ZSTD_SKIP_HEAD + 8 * (size_t)count + RC_ZSTD_SEEK_FOOTER;
    const size_t bound = ZSTD_compressBound((size_t)nbytes);
    uint8_t *raw, *b;
    size_t stored;

    *tail = NULL;
    *len = 0;
    if (nbytes > RC_ARCHIVE_MAX_TABLE || count > RC_ZSTD_SEEK_MAX)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "%zu pieces are too many for an archive",
                       a->npieces);
    raw = rc_mem_get(mem, (size_t)nbytes);
    b = rc_mem_get(mem, bound + RC_ARCHIVE_TRAILER + seek);
    if (!raw || !b) {
        rc_mem_put(mem, raw);
        rc_mem_put(mem, b);
        return rc_fail_nomem(err, mem, bound + RC_ARCHIVE_TRAILER + seek);
    }
    put_table(raw, a, names);
    stored = ZSTD_compress(b, bound, raw, (size_t)nbytes, LEVEL);
    rc_mem_put(mem, raw);
    if (ZSTD_isError(stored)) {
        rc_mem_put(mem, b);
        return rc_fail(err, RC_E_OS, RC_NO_OFFSET, "zstd: %s", ZSTD_getErrorName(stored));
    }
    put_trailer(b + stored, a, b, stored, (size_t)nbytes);
    put_seek_table(b + stored + RC_ARCHIVE_TRAILER, a,
                   (rc_seek_entry){ (uint32_t)stored, (uint32_t)nbytes }, count);
    *tail = b;
    *len = stored + RC_ARCHIVE_TRAILER + seek;
    return RC_OK;
}
