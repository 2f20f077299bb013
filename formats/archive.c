/* formats/archive.c - see archive.h: reading the table of contents. */
#include "formats/archive_impl.h"

#include <string.h>
#include <zstd.h>

enum { CHUNK = 8192 };

uint64_t rc_archive_sum(const void *frames, size_t nbytes)
{
    return XXH3_64bits(frames, nbytes);
}

bool rc_archive_is_name(const char *name)
{
    const size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".rcz") == 0 && name[len - 5] != '/';
}

bool rc_archive_name_is_safe(const char *name, size_t len)
{
    size_t part = 0; /* bytes of the current component */
    unsigned slashes = 0;

    if (len == 0 || len > RC_ARCHIVE_MAX_NAME)
        return false;
    for (size_t i = 0; i <= len; i++) {
        const unsigned char c = i < len ? (unsigned char)name[i] : '/';

        if (c == '/') {
            if (part == 0 || part > 255 || (part == 1 && name[i - 1] == '.') ||
                (part == 2 && name[i - 1] == '.' && name[i - 2] == '.'))
                return false;
            slashes++;
            part = 0;
        } else {
            if (c < 0x20 || c == 0x7f)
                return false;
            part++;
        }
    }
    return slashes <= 2; /* the one behind the end included */
}

size_t rc_archive_find(const rc_archive *a, const rc_archive_file *f, uint64_t off)
{
    size_t lo = f->first, hi = f->first + f->count;

    while (hi - lo > 1) {
        const size_t mid = lo + (hi - lo) / 2;

        if (a->pieces[mid].off <= off)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* ---------------------------------------------------------------- the ends */

/* Where the table is, as the trailer says. */
typedef struct trailer {
    uint64_t at, stored, nbytes;
    rc_digest digest; /* of the stored table */
} trailer;

static rc_code fail_cut(uint64_t nbytes, rc_err *err)
{
    rc_fail(err, RC_E_DATA, nbytes, "the archive is cut short: its end is missing");
    rc_err_hint(err, "fetch or pack it again; what is left can be read with zstd -d");
    return RC_E_DATA;
}

static rc_code read_head(rc_archive_read_fn *read, void *ctx, uint64_t nbytes, rc_err *err)
{
    uint8_t head[RC_ARCHIVE_HEAD], want[RC_ARCHIVE_HEAD];
    uint32_t version;

    rc_archive_head(want);
    if (nbytes < sizeof head)
        return rc_fail(err, RC_E_DATA, nbytes, "is no archive of recast pack: too short");
    RC_TRY(read(ctx, 0, head, sizeof head, err));
    if (memcmp(head, want, 16) != 0)
        return rc_fail(err, RC_E_DATA, 0, "is no archive of recast pack");
    version = rc_get_u32(head + 16);
    if (version != RC_ARCHIVE_VERSION) {
        rc_fail(err, RC_E_UNSUPPORTED, 16, "archive of another version");
        rc_err_want(err, "%u", RC_ARCHIVE_VERSION);
        rc_err_got(err, "%" PRIu32, version);
        return RC_E_UNSUPPORTED;
    }
    if (memcmp(head, want, sizeof head) != 0)
        return rc_fail(err, RC_E_INTEGRITY, 20, "the archive's head is damaged");
    return RC_OK;
}

/* The trailer lies before the seek table, whose footer is the end of the archive. */
static rc_code read_trailer(trailer *t, rc_archive_read_fn *read, void *ctx, uint64_t nbytes,
                            rc_err *err)
{
    uint8_t foot[RC_ZSTD_SEEK_FOOTER], b[RC_ARCHIVE_TRAILER];
    uint64_t seek, at;

    if (nbytes < RC_ARCHIVE_HEAD + RC_ARCHIVE_TRAILER + RC_ZSTD_SKIP_HEAD + sizeof foot)
        return fail_cut(nbytes, err);
    RC_TRY(read(ctx, nbytes - sizeof foot, foot, sizeof foot, err));
    if (rc_get_u32(foot + 5) != RC_ZSTD_SEEK_MAGIC)
        return fail_cut(nbytes, err);
    seek = RC_ZSTD_SKIP_HEAD + 8 * (uint64_t)rc_get_u32(foot) + sizeof foot;
    if (seek > nbytes - RC_ARCHIVE_HEAD - RC_ARCHIVE_TRAILER)
        return rc_fail(err, RC_E_INTEGRITY, nbytes - sizeof foot, "the archive's end is damaged");
    at = nbytes - seek - sizeof b;
    RC_TRY(read(ctx, at, b, sizeof b, err));
    if (rc_get_u32(b) != RC_ZSTD_SKIPPABLE + 1 ||
        rc_get_u32(b + 4) != sizeof b - RC_ZSTD_SKIP_HEAD ||
        memcmp(b + 8, RC_ARCHIVE_END_MAGIC, 8) != 0 ||
        rc_get_u64(b + 64) != rc_archive_sum(b, 64) || rc_get_u32(b + 16) != RC_ARCHIVE_VERSION)
        return rc_fail(err, RC_E_INTEGRITY, at, "the archive's trailer is damaged");
    t->at = rc_get_u64(b + 24);
    t->stored = rc_get_u64(b + 32);
    t->nbytes = rc_get_u64(b + 40);
    memcpy(t->digest.bytes, b + 48, sizeof t->digest.bytes);
    if (t->at < RC_ARCHIVE_HEAD || t->at > at || t->stored != at - t->at)
        return rc_fail(err, RC_E_DATA, at, "the trailer names a table that does not end there");
    return RC_OK;
}

/* --------------------------------------------------------------- the table */

static rc_code fail_table(rc_err *err, const trailer *t, const char *what)
{
    return rc_fail(err, RC_E_DATA, t->at, "table of contents: %s", what);
}

/* The table's bytes, checked against the trailer's digest before they are decompressed. */
static rc_code load(uint8_t **out, const trailer *t, rc_archive_read_fn *read, void *ctx,
                    rc_mem *mem, rc_err *err)
{
    uint8_t *stored, *raw = NULL;
    rc_digest digest;
    size_t n;
    rc_code rc;

    *out = NULL;
    if (t->nbytes < RC_ARCHIVE_TABLE_HEAD)
        return fail_table(err, t, "too short");
    if (t->nbytes > RC_ARCHIVE_MAX_TABLE || t->stored > RC_ARCHIVE_MAX_TABLE)
        return rc_fail(err, RC_E_LIMIT, t->at, "table of contents of %" PRIu64 " bytes",
                       t->nbytes > t->stored ? t->nbytes : t->stored);
    stored = rc_mem_get(mem, (size_t)t->stored);
    if (!stored)
        return rc_fail_nomem(err, mem, (size_t)t->stored);
    RC_TRY_GOTO(rc, done, read(ctx, t->at, stored, (size_t)t->stored, err));
    digest = rc_hash(stored, (size_t)t->stored);
    if (!rc_digest_equal(&digest, &t->digest)) {
        rc = rc_fail(err, RC_E_INTEGRITY, t->at, "the table of contents is damaged");
        goto done;
    }
    if (ZSTD_getFrameContentSize(stored, (size_t)t->stored) != t->nbytes) {
        rc = fail_table(err, t, "of another size than stated");
        goto done;
    }
    raw = rc_mem_get(mem, (size_t)t->nbytes);
    if (!raw) {
        rc = rc_fail_nomem(err, mem, (size_t)t->nbytes);
        goto done;
    }
    n = ZSTD_decompress(raw, (size_t)t->nbytes, stored, (size_t)t->stored);
    if (ZSTD_isError(n) || n != t->nbytes) {
        rc = fail_table(err, t, "does not decompress");
        goto done;
    }
    *out = raw;
    raw = NULL;
done:
    rc_mem_put(mem, raw);
    rc_mem_put(mem, stored);
    return rc;
}

/* Counts first: they are bounded by the bytes that are there. */
static rc_code size_up(rc_archive *a, const trailer *t, const uint8_t *raw, size_t *names,
                       rc_err *err)
{
    const uint64_t nfiles = rc_get_u64(raw + 8), npieces = rc_get_u64(raw + 16);
    const uint64_t nnames = rc_get_u64(raw + 24), room = t->nbytes - RC_ARCHIVE_TABLE_HEAD;

    if (memcmp(raw, "contents", 8) != 0)
        return fail_table(err, t, "no table");
    if (nfiles > room / RC_ARCHIVE_FILE_BYTES || npieces > room / RC_ARCHIVE_PIECE_BYTES ||
        nnames > room ||
        nfiles * RC_ARCHIVE_FILE_BYTES + npieces * RC_ARCHIVE_PIECE_BYTES + nnames != room)
        return fail_table(err, t, "its counts do not fit its size");
    if (nfiles > 65536)
        return rc_fail(err, RC_E_LIMIT, t->at, "%" PRIu64 " files in an archive", nfiles);
    a->files = rc_mem_get(a->mem, (size_t)nfiles * sizeof *a->files);
    a->pieces = rc_mem_get(a->mem, (size_t)npieces * sizeof *a->pieces);
    a->names = rc_mem_get(a->mem, (size_t)nnames + 1);
    if (!a->files || !a->pieces || !a->names)
        return rc_fail_nomem(err, a->mem, (size_t)room);
    a->nfiles = (size_t)nfiles;
    a->npieces = (size_t)npieces;
    *names = (size_t)nnames;
    return RC_OK;
}

static rc_code take_piece(rc_archive *a, const trailer *t, const uint8_t *b, uint64_t off,
                          rc_archive_piece *p, rc_err *err)
{
    rc_packed *k = &p->packed;

    k->nbytes = rc_get_u32(b);
    k->mode = (rc_pack_mode)b[4];
    k->nplanes = b[5];
    for (unsigned i = 0; i < RC_PIECE_PLANES; i++) {
        k->frame[i] = rc_get_u32(b + 8 + 4 * i);
        k->plane[i] = rc_get_u32(b + 20 + 4 * i);
    }
    p->stored = rc_get_u64(b + 32);
    memcpy(p->restored.bytes, b + 40, sizeof p->restored.bytes);
    p->off = off;
    p->at = a->end;
    if (b[6] || b[7] || b[4] >= RC_PACK_MODES || k->nbytes == 0 || !rc_packed_is_sane(k))
        return fail_table(err, t, "a piece that cannot be");
    if (rc_archive_stored(k) > t->at - a->end)
        return fail_table(err, t, "pieces reach into the table");
    a->end += rc_archive_stored(k);
    return RC_OK;
}

static rc_code take_file(rc_archive *a, const trailer *t, const uint8_t *b, size_t i, char **name,
                         const char *names_end, size_t *piece, rc_err *err)
{
    rc_archive_file *f = &a->files[i];
    const uint64_t count = rc_get_u64(b + 8);
    const uint32_t len = rc_get_u32(b + 16);

    f->nbytes = rc_get_u64(b);
    f->content.kind = RC_CONTENT_SHA256;
    memcpy(f->content.bytes, b + 24, 32);
    if (rc_get_u32(b + 20) != 0 || len >= (size_t)(names_end - *name) || (*name)[len] != '\0' ||
        count > a->npieces - *piece)
        return fail_table(err, t, "a file that cannot be");
    f->name = *name;
    f->first = *piece;
    f->count = (size_t)count;
    *name += len + 1;
    *piece += f->count;
    if (!rc_archive_name_is_safe(f->name, len)) {
        rc_fail(err, RC_E_UNSAFEPATH, t->at,
                "a file of the archive has a name that is no plain one");
        rc_err_file(err, f->name);
        return RC_E_UNSAFEPATH;
    }
    if (i > 0 && strcmp(a->files[i - 1].name, f->name) >= 0)
        return fail_table(err, t, "names are not in order");
    return RC_OK;
}

static rc_code parse(rc_archive *a, const trailer *t, const uint8_t *raw, rc_err *err)
{
    const uint8_t *files = raw + RC_ARCHIVE_TABLE_HEAD, *names, *pieces;
    size_t nnames = 0, piece = 0;
    char *name;

    RC_TRY(size_up(a, t, raw, &nnames, err));
    names = files + a->nfiles * RC_ARCHIVE_FILE_BYTES;
    pieces = names + nnames;
    memcpy(a->names, names, nnames);
    name = a->names;
    for (size_t i = 0; i < a->nfiles; i++) {
        rc_archive_file *f = &a->files[i];
        uint64_t off = 0;

        RC_TRY(take_file(a, t, files + i * RC_ARCHIVE_FILE_BYTES, i, &name, a->names + nnames,
                         &piece, err));
        for (size_t p = f->first; p < piece; p++) {
            RC_TRY(take_piece(a, t, pieces + p * RC_ARCHIVE_PIECE_BYTES, off, &a->pieces[p], err));
            off += a->pieces[p].packed.nbytes;
        }
        if (off != f->nbytes)
            return fail_table(err, t, "the pieces of a file are not as long as it is");
        a->nbytes += f->nbytes;
    }
    if (piece != a->npieces || name != a->names + nnames || a->end != t->at)
        return fail_table(err, t, "it does not say what all bytes are");
    return RC_OK;
}

rc_code rc_archive_read(rc_archive **out, rc_archive_read_fn *read, void *ctx, uint64_t nbytes,
                        rc_mem *mem, rc_err *err)
{
    rc_archive *a;
    uint8_t *raw = NULL;
    trailer t;
    rc_code rc;

    *out = NULL;
    RC_TRY(read_head(read, ctx, nbytes, err));
    RC_TRY(read_trailer(&t, read, ctx, nbytes, err));
    a = rc_mem_get(mem, sizeof *a);
    if (!a)
        return rc_fail_nomem(err, mem, sizeof *a);
    a->mem = mem;
    a->archive = nbytes;
    a->end = RC_ARCHIVE_HEAD;
    RC_TRY_GOTO(rc, done, load(&raw, &t, read, ctx, mem, err));
    rc = parse(a, &t, raw, err);
done:
    rc_mem_put(mem, raw);
    if (rc == RC_OK)
        *out = a;
    else
        rc_archive_free(&a);
    return rc;
}

void rc_archive_free(rc_archive **archive)
{
    rc_archive *a = *archive;

    *archive = NULL;
    if (!a)
        return;
    rc_mem_put(a->mem, a->files);
    rc_mem_put(a->mem, a->pieces);
    rc_mem_put(a->mem, a->names);
    rc_mem_put(a->mem, a);
}

/* -------------------------------------------------------------- seek table */

uint64_t rc_seek_count(const rc_archive *a)
{
    uint64_t n = 3; /* head, table, trailer */

    for (size_t p = 0; p < a->npieces; p++)
        n += a->pieces[p].packed.nplanes;
    return n;
}

bool rc_seek_next(rc_seek_walk *w, const rc_archive *a, rc_seek_entry table, rc_seek_entry *out)
{
    if (w->piece == 0) {
        *out = (rc_seek_entry){ RC_ARCHIVE_HEAD, 0 };
        w->piece++;
    } else if (w->piece <= a->npieces) {
        const rc_packed *k = &a->pieces[w->piece - 1].packed;

        *out = (rc_seek_entry){ k->frame[w->plane], k->plane[w->plane] };
        if (++w->plane == k->nplanes) {
            w->piece++;
            w->plane = 0;
        }
    } else if (w->piece == a->npieces + 1) {
        *out = table;
        w->piece++;
    } else if (w->piece == a->npieces + 2) {
        *out = (rc_seek_entry){ RC_ARCHIVE_TRAILER, 0 };
        w->piece++;
    } else {
        return false;
    }
    return true;
}

rc_code rc_archive_check_ends(const rc_archive *a, rc_archive_read_fn *read, void *ctx, rc_err *err)
{
    const uint64_t count = rc_seek_count(a);
    const uint64_t len = RC_ZSTD_SKIP_HEAD + 8 * count + RC_ZSTD_SEEK_FOOTER;
    rc_seek_walk walk = { 0 };
    rc_seek_entry table = { 0 }, e;
    uint8_t b[CHUNK], want[16];
    uint64_t at = a->archive - len;
    trailer t;

    RC_TRY(read_head(read, ctx, a->archive, err));
    RC_TRY(read_trailer(&t, read, ctx, a->archive, err));
    table = (rc_seek_entry){ (uint32_t)t.stored, (uint32_t)t.nbytes };
    if (len > a->archive || a->archive - len != t.at + t.stored + RC_ARCHIVE_TRAILER)
        return rc_fail(err, RC_E_INTEGRITY, a->archive - RC_ZSTD_SEEK_FOOTER,
                       "the seek table is damaged");
    RC_TRY(read(ctx, at, b, RC_ZSTD_SKIP_HEAD, err));
    rc_put_u32(want, RC_ZSTD_SEEK_FRAME);
    rc_put_u32(want + 4, (uint32_t)(len - RC_ZSTD_SKIP_HEAD));
    if (memcmp(b, want, RC_ZSTD_SKIP_HEAD) != 0)
        return rc_fail(err, RC_E_INTEGRITY, at, "the seek table is damaged");
    at += RC_ZSTD_SKIP_HEAD;
    for (uint64_t done = 0; done < count;) {
        const size_t n = count - done < CHUNK / 8 ? (size_t)(count - done) : CHUNK / 8;

        RC_TRY(read(ctx, at, b, 8 * n, err));
        for (size_t i = 0; i < n && rc_seek_next(&walk, a, table, &e); i++)
            if (rc_get_u32(b + 8 * i) != e.stored || rc_get_u32(b + 8 * i + 4) != e.restored)
                return rc_fail(err, RC_E_INTEGRITY, at + 8 * i, "the seek table is damaged");
        at += 8 * n;
        done += n;
    }
    RC_TRY(read(ctx, at, b, RC_ZSTD_SEEK_FOOTER, err));
    if (b[4] != 0)
        return rc_fail(err, RC_E_INTEGRITY, at + 4, "the seek table is damaged");
    return RC_OK;
}
