/* tests/fuzz/fuzz_archive.c - an archive from anybody.
 *
 * The input is taken twice: as a whole archive, and as the bytes of a table of contents (behind the
 * number of bytes of frames, two of them) for which head, trailer and seek table are
 * made, so that the fuzzer need not learn to hash. What a table calls possible is then unpacked. */
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "formats/archive_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

enum { DECODED = 4 }; /* pieces of an archive that are unpacked */

typedef struct bytes {
    const uint8_t *p;
    size_t n;
} bytes;

static rc_code read_bytes(void *ctx, uint64_t off, void *buf, size_t nbytes, rc_err *err)
{
    const bytes *b = ctx;

    (void)err;
    REQUIRE(off <= b->n && nbytes <= b->n - off);
    memcpy(buf, b->p + off, nbytes);
    return RC_OK;
}

static void unpack(const rc_archive *a, const bytes *b, rc_mem *mem)
{
    rc_packer *packer;
    rc_err err;

    REQUIRE(rc_packer_new(&packer, 0, mem, &err) == RC_OK);
    for (size_t i = 0; i < a->npieces && i < DECODED; i++) {
        const rc_packed *k = &a->pieces[i].packed;
        uint8_t *dst = malloc(k->nbytes), *frames = malloc((size_t)rc_archive_stored(k) + 1);

        REQUIRE(dst && frames && rc_packed_is_sane(k));
        memcpy(frames, b->p + a->pieces[i].at, (size_t)rc_archive_stored(k));
        if (rc_unpack(packer, k, frames, dst, &err) != RC_OK)
            REQUIRE(err.code == RC_E_INTEGRITY);
        free(dst);
        free(frames);
    }
    rc_packer_free(&packer);
}

static void try_archive(const uint8_t *p, size_t n)
{
    rc_mem mem = { .limit = (size_t)64 << 20 };
    bytes b = { p, n };
    rc_err err = { 0 };
    uint64_t at = RC_ARCHIVE_HEAD;
    rc_archive *a;
    const rc_code rc = rc_archive_read(&a, read_bytes, &b, n, &mem, &err);

    if (rc != RC_OK) {
        REQUIRE(!a && err.code == rc && err.msg[0]);
        REQUIRE(err.offset == RC_NO_OFFSET || err.offset <= n);
        REQUIRE(mem.used == 0);
        return;
    }
    for (size_t f = 0; f < a->nfiles; f++) {
        const rc_archive_file *file = &a->files[f];
        uint64_t off = 0;

        REQUIRE(rc_archive_name_is_safe(file->name, strlen(file->name)));
        for (size_t i = file->first; i < file->first + file->count; i++) {
            REQUIRE(a->pieces[i].at == at && a->pieces[i].off == off);
            REQUIRE(rc_archive_find(a, file, off) == i);
            at += rc_archive_stored(&a->pieces[i].packed);
            off += a->pieces[i].packed.nbytes;
        }
        REQUIRE(off == file->nbytes);
    }
    REQUIRE(at == a->end && at < n);
    (void)!rc_archive_check_ends(a, read_bytes, &b, &err);
    unpack(a, &b, &mem);
    rc_archive_free(&a);
    REQUIRE(mem.used == 0);
}

/* An archive around a table, whose frames are the table's own bytes again. */
static void try_table(const uint8_t *table, size_t n, size_t frames)
{
    const size_t bound = ZSTD_compressBound(n), seek = RC_ZSTD_SKIP_HEAD + RC_ZSTD_SEEK_FOOTER;
    uint8_t *b = calloc(1, RC_ARCHIVE_HEAD + frames + bound + RC_ARCHIVE_TRAILER + seek), *t, *s;
    rc_digest digest;
    size_t stored;

    REQUIRE(b);
    rc_archive_head(b);
    memcpy(b + RC_ARCHIVE_HEAD, table, n < frames ? n : frames);
    t = b + RC_ARCHIVE_HEAD + frames;
    stored = ZSTD_compress(t, bound, table, n, 1);
    REQUIRE(!ZSTD_isError(stored));
    digest = rc_hash(t, stored);
    s = t + stored;
    rc_put_u32(s, RC_ZSTD_SKIPPABLE + 1);
    rc_put_u32(s + 4, RC_ARCHIVE_TRAILER - RC_ZSTD_SKIP_HEAD);
    memcpy(s + 8, RC_ARCHIVE_END_MAGIC, 8);
    rc_put_u32(s + 16, RC_ARCHIVE_VERSION);
    rc_put_u64(s + 24, RC_ARCHIVE_HEAD + frames);
    rc_put_u64(s + 32, stored);
    rc_put_u64(s + 40, n);
    memcpy(s + 48, digest.bytes, sizeof digest.bytes);
    rc_put_u64(s + 64, rc_archive_sum(s, 64));
    s += RC_ARCHIVE_TRAILER;
    rc_put_u32(s, RC_ZSTD_SEEK_FRAME);
    rc_put_u32(s + 4, RC_ZSTD_SEEK_FOOTER);
    rc_put_u32(s + RC_ZSTD_SKIP_HEAD + 5, RC_ZSTD_SEEK_MAGIC);
    try_archive(b, (size_t)(s + seek - b));
    free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_archive(data, size);
    if (size >= 2)
        try_table(data + 2, size - 2, data[0] + 256u * data[1]);
    return 0;
}
