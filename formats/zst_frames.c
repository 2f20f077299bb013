/* formats/zst_frames.c - see zst_frames.h. Source: RFC 8878, and "Zstandard Seekable Format". */
#include "formats/zst_frames.h"

#include <string.h>
#include <zstd.h>

#include "formats/archive_impl.h"

enum { HEAD_MAX = 18, CHUNK = 6144 /* a multiple of 8 and 12 */ };

typedef struct scan {
    rc_zst_frames *out;
    rc_source *src;
    size_t file;
    uint64_t stored;
    rc_mem *mem;
} scan;

static rc_code look(scan *s, uint64_t at, void *buf, size_t n, rc_err *err)
{
    if (at > s->stored || n > s->stored - at)
        return rc_fail(err, RC_E_DATA, s->stored, "the zstd file is cut short");
    return rc_source_read(s->src, s->file, at, buf, n, err);
}

static rc_code add(scan *s, uint64_t at, uint64_t nbytes, rc_err *err)
{
    rc_zst_frames *o = s->out;

    if (o->n == o->capacity) {
        const size_t n = o->capacity ? 2 * o->capacity : 64;
        rc_zst_frame *grown = rc_mem_grow(s->mem, o->frame, n * sizeof *grown);

        if (!grown)
            return rc_fail_nomem(err, s->mem, n * sizeof *grown);
        o->frame = grown;
        o->capacity = n;
    }
    o->frame[o->n++] = (rc_zst_frame){ at, o->nbytes };
    if (!rc_add_u64(o->nbytes, nbytes, &o->nbytes) || o->nbytes > INT64_MAX)
        return rc_fail(err, RC_E_DATA, at, "sizes of frames that cannot be");
    return RC_OK;
}

/* --------------------------------------------------------------- seek table */

static rc_code take_entries(scan *s, uint64_t at, uint64_t end, uint64_t count, size_t each,
                            rc_err *err)
{
    uint64_t frame = 0;
    uint8_t b[CHUNK];

    for (uint64_t done = 0; done < count;) {
        const uint64_t left = count - done;
        const size_t n = left < CHUNK / each ? (size_t)left : CHUNK / each;

        RC_TRY(look(s, at, b, n * each, err));
        for (size_t i = 0; i < n; i++) {
            const uint32_t restored = rc_get_u32(b + i * each + 4);

            if (restored)
                RC_TRY(add(s, frame, restored, err));
            frame += rc_get_u32(b + i * each);
        }
        at += n * each;
        done += n;
    }
    return frame == end ? RC_OK
                        : rc_fail(err, RC_E_DATA, end, "the seek table does not fit the file");
}

static rc_code by_seek_table(scan *s, bool *found, rc_err *err)
{
    uint8_t foot[RC_ZSTD_SEEK_FOOTER], head[RC_ZSTD_SKIP_HEAD];
    uint64_t count, len;
    size_t each;

    *found = false;
    if (s->stored < sizeof foot + sizeof head)
        return RC_OK;
    RC_TRY(look(s, s->stored - sizeof foot, foot, sizeof foot, err));
    if (rc_get_u32(foot + 5) != RC_ZSTD_SEEK_MAGIC || (foot[4] & 0x7c))
        return RC_OK;
    count = rc_get_u32(foot);
    each = foot[4] & 0x80 ? 12 : 8;
    len = sizeof head + count * each + sizeof foot;
    if (len > s->stored)
        return RC_OK;
    RC_TRY(look(s, s->stored - len, head, sizeof head, err));
    if (rc_get_u32(head) != RC_ZSTD_SEEK_FRAME || rc_get_u32(head + 4) != len - sizeof head)
        return RC_OK;
    *found = true;
    return take_entries(s, s->stored - len + sizeof head, s->stored - len, count, each, err);
}

/* ------------------------------------------------------------------- frames */

/* Bytes of a frame's head, by its descriptor. */
static uint64_t head_bytes(uint8_t descriptor)
{
    static const uint8_t size_field[4] = { 0, 2, 4, 8 }, id_field[4] = { 0, 1, 2, 4 };
    const bool single = descriptor & 0x20;
    const unsigned kind = descriptor >> 6;

    return 5u + !single + id_field[descriptor & 3] + (kind == 0 && single ? 1u : size_field[kind]);
}

static rc_code fail_size(uint64_t at, rc_err *err)
{
    rc_fail(err, RC_E_UNSUPPORTED, at, "the zstd frame does not state its size");
    rc_err_hint(err, "compress it from the file (zstd FILE), not from a pipe; or decompress it");
    return RC_E_UNSUPPORTED;
}

/* Behind the last block of the frame at `at`, of which `body` is the first. */
static rc_code skip_blocks(scan *s, uint64_t body, bool checksum, uint64_t *end, rc_err *err)
{
    bool last = false;

    while (!last) {
        uint8_t b[3];
        uint32_t head;

        RC_TRY(look(s, body, b, sizeof b, err));
        head = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16;
        last = head & 1;
        if ((head >> 1 & 3) == 3)
            return rc_fail(err, RC_E_DATA, body, "a zstd block of no kind");
        body += 3 + ((head >> 1 & 3) == 1 ? 1 : head >> 3);
    }
    *end = body + (checksum ? 4 : 0);
    if (*end > s->stored)
        return rc_fail(err, RC_E_DATA, s->stored, "the zstd file is cut short");
    return RC_OK;
}

static rc_code one_frame(scan *s, uint64_t *at, rc_err *err)
{
    const uint64_t left = s->stored - *at;
    uint8_t b[HEAD_MAX];
    const size_t n = left < sizeof b ? (size_t)left : sizeof b;
    unsigned long long size;

    RC_TRY(look(s, *at, b, n, err));
    if (n >= RC_ZSTD_SKIP_HEAD && (rc_get_u32(b) & ~15u) == RC_ZSTD_SKIPPABLE) {
        *at += RC_ZSTD_SKIP_HEAD + (uint64_t)rc_get_u32(b + 4);
        return *at <= s->stored ? RC_OK
                                : rc_fail(err, RC_E_DATA, s->stored, "the zstd file is cut short");
    }
    size = ZSTD_getFrameContentSize(b, n);
    if (size == ZSTD_CONTENTSIZE_ERROR)
        return rc_fail(err, RC_E_DATA, *at, "is no zstd frame");
    if (size == ZSTD_CONTENTSIZE_UNKNOWN)
        return fail_size(*at, err);
    if (ZSTD_getDictID_fromFrame(b, n) != 0)
        return rc_fail(err, RC_E_UNSUPPORTED, *at, "a zstd frame that needs a dictionary");
    RC_TRY(add(s, *at, size, err));
    if (rc_source_is_remote(s->src)) { /* a request a block would be too many */
        *at = s->stored;
        return RC_OK;
    }
    return skip_blocks(s, *at + head_bytes(b[4]), b[4] & 4, at, err);
}

rc_code rc_zst_scan(rc_zst_frames *out, rc_source *src, size_t i, rc_mem *mem, rc_err *err)
{
    scan s = { out, src, i, rc_source_at(src, i)->nbytes, mem };
    uint64_t at = 0;
    bool found;

    RC_TRY(by_seek_table(&s, &found, err));
    while (!found && at < s.stored)
        RC_TRY(one_frame(&s, &at, err));
    return out->n ? RC_OK : rc_fail(err, RC_E_DATA, 0, "has no zstd frames");
}
