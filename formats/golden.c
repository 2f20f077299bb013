/* formats/golden.c - see golden.h. Everything that a header or a mark says is held against the
 * bytes that exist before it is used. */
#include "formats/golden.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/io.h"
#include "formats/golden_impl.h"

enum { PIECE = 1 << 16 }; /* bytes looked at at a time */

struct rc_golden {
    rc_mem *mem;
    rc_golden_head head;
    char path[256]; /* for messages */
    int fd;
    uint8_t *bytes;         /* the file's, if it came as bytes; else fd */
    uint64_t nbytes, first; /* of the file; where its first section begins */
    uint64_t runs;

    /* Where reading left off: the mark of section (kind, index) is at `at`. */
    uint64_t at;
    uint32_t kind;
    uint64_t index;

    rc_golden_zstd zstd;
    uint8_t *stored, *raw;
    size_t stored_room, raw_room;
    uint32_t *ids; /* [run, k], and behind it the steps [run, k] */
};

static rc_code fetch(rc_golden *g, uint64_t off, void *buf, size_t n, rc_err *err)
{
    int bad;

    if (off > g->nbytes || n > g->nbytes - off)
        return rc_fail(err, RC_E_DATA, g->nbytes, "the golden file is cut short");
    if (g->bytes) {
        memcpy(buf, g->bytes + off, n);
        return RC_OK;
    }
    bad = rc_pread_all(g->fd, buf, n, off, NULL);
    if (bad > 0) {
        const rc_code rc = rc_fail_errno(err, bad, "cannot read");

        rc_err_offset(err, off);
        return rc;
    }
    return bad < 0 ? rc_fail(err, RC_E_INTEGRITY, off, "the file has become shorter") : RC_OK;
}

/* ------------------------------------------------------- looking at the file */

/* Step over a section: its mark, and where the next one stands. */
static rc_code step(rc_golden *g, uint64_t *at, rc_golden_mark *mark, rc_err *err)
{
    RC_TRY(fetch(g, *at, mark, sizeof *mark, err));
    *at += sizeof *mark;
    if (mark->kind == RC_GOLDEN_END)
        return RC_OK;
    if (mark->stored > g->nbytes - *at)
        return rc_fail(err, RC_E_DATA, g->nbytes, "the golden file is cut short");
    *at += mark->stored;
    return RC_OK;
}

/* From mark to mark to the end, which must be the file's. */
static rc_code walk(rc_golden *g, rc_err *err)
{
    uint64_t at = g->first, raw = 0, stored = 0, n = 0;
    rc_golden_mark mark;

    for (;;) {
        RC_TRY(step(g, &at, &mark, err));
        if (mark.kind == RC_GOLDEN_END)
            break;
        raw += mark.raw;
        stored += mark.stored;
        n++;
    }
    if (g->nbytes - at < sizeof(rc_digest))
        return rc_fail(err, RC_E_DATA, g->nbytes, "the golden file is cut short");
    if (g->nbytes - at > sizeof(rc_digest))
        return rc_fail(err, RC_E_DATA, at + sizeof(rc_digest), "bytes after the end of the file");
    if (mark.index != n || mark.raw != raw || mark.stored != stored)
        return rc_fail(err, RC_E_DATA, at - sizeof mark, "the sections are not those of the end");
    return RC_OK;
}

static rc_code check_digest(rc_golden *g, rc_err *err)
{
    const uint64_t end = g->nbytes - sizeof(rc_digest);
    uint8_t *piece = rc_mem_get(g->mem, PIECE);
    rc_digest said, is;
    rc_hasher hasher;
    rc_code rc = piece ? RC_OK : rc_fail_nomem(err, g->mem, PIECE);
    char hex[33];

    rc_hash_begin(&hasher);
    for (uint64_t at = 0; rc == RC_OK && at < end; at += PIECE) {
        const size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;

        rc = fetch(g, at, piece, n, err);
        if (rc == RC_OK)
            rc_hash_add(&hasher, piece, n);
    }
    rc_mem_put(g->mem, piece);
    if (rc == RC_OK)
        rc = fetch(g, end, &said, sizeof said, err);
    if (rc != RC_OK)
        return rc;
    is = rc_hash_end(&hasher);
    if (rc_digest_equal(&said, &is))
        return RC_OK;
    rc_fail(err, RC_E_INTEGRITY, end, "the golden file was changed: its checksum does not hold");
    rc_err_want(err, "%s", rc_digest_hex(&said, hex));
    rc_err_got(err, "%s", rc_digest_hex(&is, hex));
    rc_err_hint(err, "fetch it again (git with another line end setting changes such files)");
    return RC_E_INTEGRITY;
}

static rc_code read_start(rc_golden *g, uint32_t *header, rc_err *err)
{
    rc_golden_start start;
    const size_t n = g->nbytes < sizeof start.magic ? (size_t)g->nbytes : sizeof start.magic;

    RC_TRY(fetch(g, 0, &start, n, err));
    if (memcmp(start.magic, RC_GOLDEN_MAGIC, n) != 0)
        return rc_fail(err, RC_E_DATA, 0, "this is not a golden file");
    RC_TRY(fetch(g, 0, &start, sizeof start, err));
    if (start.version != RC_GOLDEN_VERSION) {
        rc_fail(err, RC_E_UNSUPPORTED, offsetof(rc_golden_start, version),
                "a golden file of another version of the format");
        rc_err_want(err, "version %u", RC_GOLDEN_VERSION);
        rc_err_got(err, "%" PRIu32, start.version);
        rc_err_hint(err, start.version > RC_GOLDEN_VERSION
                             ? "a newer recast reads it"
                             : "record it again: recast verify NATIVE --record FILE");
        return RC_E_UNSUPPORTED;
    }
    if (start.header > RC_GOLDEN_MAX_HEADER)
        return rc_fail(err, RC_E_LIMIT, offsetof(rc_golden_start, header),
                       "the header of a golden file has at most %u bytes", RC_GOLDEN_MAX_HEADER);
    g->first = sizeof start + start.header;
    *header = start.header;
    return RC_OK;
}

static rc_code read_header(rc_golden *g, uint32_t nbytes, rc_err *err)
{
    uint8_t *text = rc_mem_get(g->mem, nbytes);
    rc_code rc = text ? RC_OK : rc_fail_nomem(err, g->mem, nbytes);

    if (rc == RC_OK)
        rc = fetch(g, sizeof(rc_golden_start), text, nbytes, err);
    if (rc == RC_OK) {
        rc = rc_golden_head_parse(&g->head, text, nbytes, g->mem, err);
        if (rc != RC_OK && err && err->offset != RC_NO_OFFSET)
            err->offset += sizeof(rc_golden_start);
    }
    rc_mem_put(g->mem, text);
    return rc;
}

/* ---------------------------------------------------------- the sections' order */

static rc_code bad_section(uint64_t at, const char *what, rc_err *err)
{
    return rc_fail(err, RC_E_DATA, at, "a section of the golden file %s", what);
}

/* What may stand where, and how long it must be: of the header alone. */
static rc_code check_mark(const rc_golden *g, const rc_golden_mark *mark, uint32_t kind,
                          uint64_t index, uint64_t at, rc_err *err)
{
    const rc_golden_head *h = &g->head;
    const uint64_t row = rc_golden_logits_bytes(h, 1) - sizeof(rc_digest);

    if (mark->kind != kind || mark->index != (uint32_t)index)
        return bad_section(at, "is not the one that belongs there", err);
    if (kind == RC_GOLDEN_TOKENS && mark->raw != h->text_tokens * 4)
        return bad_section(at, "does not hold the text's tokens", err);
    if (kind == RC_GOLDEN_LAYER && mark->raw != rc_golden_layer_bytes(h))
        return bad_section(at, "does not hold the windows of a layer", err);
    if (kind == RC_GOLDEN_LOGITS &&
        (mark->raw <= sizeof(rc_digest) || mark->raw > rc_golden_logits_bytes(h, h->run) ||
         (mark->raw - sizeof(rc_digest)) % row != 0))
        return bad_section(at, "does not hold whole positions", err);
    if (mark->stored > rc_golden_pack_bound((size_t)mark->raw, RC_GOLDEN_MOST_EDGES))
        return bad_section(at, "is larger than it can be", err);
    return RC_OK;
}

static uint64_t positions_of(const rc_golden *g, const rc_golden_mark *mark)
{
    return (mark->raw - sizeof(rc_digest)) /
           (rc_golden_logits_bytes(&g->head, 1) - sizeof(rc_digest));
}

/* Tokens, the layers, then as many positions as were scored. */
static rc_code check_order(rc_golden *g, rc_err *err)
{
    uint64_t at = g->first, here = at, scored = 0;
    rc_golden_mark mark;

    RC_TRY(step(g, &at, &mark, err));
    RC_TRY(check_mark(g, &mark, RC_GOLDEN_TOKENS, 0, here, err));
    for (uint32_t l = 0; l < g->head.layers; l++) {
        here = at;
        RC_TRY(step(g, &at, &mark, err));
        RC_TRY(check_mark(g, &mark, RC_GOLDEN_LAYER, l, here, err));
    }
    for (g->runs = 0; scored < g->head.scored; g->runs++) {
        here = at;
        RC_TRY(step(g, &at, &mark, err));
        RC_TRY(check_mark(g, &mark, RC_GOLDEN_LOGITS, g->runs, here, err));
        scored += positions_of(g, &mark);
    }
    here = at;
    RC_TRY(step(g, &at, &mark, err));
    if (mark.kind != RC_GOLDEN_END || scored != g->head.scored)
        return bad_section(here, "stands where none should", err);
    return RC_OK;
}

static void rewind_to_first(rc_golden *g)
{
    g->at = g->first;
    g->kind = RC_GOLDEN_TOKENS;
    g->index = 0;
}

static rc_code build(rc_golden *g, rc_err *err)
{
    uint32_t header = 0;

    RC_TRY(read_start(g, &header, err));
    RC_TRY(walk(g, err));
    RC_TRY(check_digest(g, err));
    RC_TRY(read_header(g, header, err));
    RC_TRY(check_order(g, err));
    rewind_to_first(g);
    return RC_OK;
}

/* ---------------------------------------------------------------- open, close */

static rc_golden *new_golden(rc_mem *mem)
{
    rc_golden *g = rc_mem_get(mem, sizeof *g);

    if (g) {
        g->mem = g->zstd.mem = mem;
        g->fd = -1;
    }
    return g;
}

static rc_code open_file(rc_golden *g, const char *path, rc_err *err)
{
    struct stat st;

    g->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (g->fd < 0)
        return rc_fail_errno(err, errno, "cannot open the golden file");
    if (fstat(g->fd, &st) != 0)
        return rc_fail_errno(err, errno, "cannot look at the golden file");
    if (!S_ISREG(st.st_mode))
        return rc_fail(err, RC_E_NOINPUT, RC_NO_OFFSET, "a golden file is a file, this is none");
    g->nbytes = (uint64_t)st.st_size;
    return RC_OK;
}

rc_code rc_golden_open(rc_golden **out, const char *path, rc_mem *mem, rc_err *err)
{
    rc_golden *g = new_golden(mem);
    rc_code rc;

    *out = NULL;
    if (!g)
        return rc_fail_nomem(err, mem, sizeof *g);
    rc_escape(g->path, sizeof g->path, path, strlen(path));
    rc = open_file(g, path, err);
    if (rc == RC_OK)
        rc = build(g, err);
    if (rc != RC_OK) {
        rc_err_file(err, path);
        rc_golden_close(&g);
    }
    *out = g;
    return rc;
}

rc_code rc_golden_parse(rc_golden **out, const uint8_t *bytes, size_t len, rc_mem *mem, rc_err *err)
{
    rc_golden *g = new_golden(mem);
    rc_code rc;

    *out = NULL;
    if (!g)
        return rc_fail_nomem(err, mem, sizeof *g);
    g->nbytes = len;
    g->bytes = rc_mem_get(mem, len);
    if (g->bytes && len)
        memcpy(g->bytes, bytes, len);
    rc = g->bytes ? build(g, err) : rc_fail_nomem(err, mem, len);
    if (rc != RC_OK)
        rc_golden_close(&g);
    *out = g;
    return rc;
}

void rc_golden_close(rc_golden **golden)
{
    rc_golden *g = *golden;

    *golden = NULL;
    if (!g)
        return;
    if (g->fd >= 0)
        close(g->fd);
    rc_golden_zstd_free(&g->zstd);
    rc_mem_put(g->mem, g->bytes);
    rc_mem_put(g->mem, g->stored);
    rc_mem_put(g->mem, g->raw);
    rc_mem_put(g->mem, g->ids);
    rc_mem_put(g->mem, g);
}

const rc_golden_head *rc_golden_head_of(const rc_golden *g)
{
    return &g->head;
}

uint64_t rc_golden_runs(const rc_golden *g)
{
    return g->runs;
}

/* ------------------------------------------------------------------- reading */

static rc_code grow(rc_golden *g, uint8_t **buf, size_t *room, uint64_t nbytes, rc_err *err)
{
    uint8_t *grown;

    if (nbytes <= *room)
        return RC_OK;
    grown = rc_mem_grow(g->mem, *buf, (size_t)nbytes);
    if (!grown)
        return rc_fail_nomem(err, g->mem, (size_t)nbytes);
    *buf = grown;
    *room = (size_t)nbytes;
    return RC_OK;
}

/* Is section (kind, index) before the place where reading left off? */
static bool passed(const rc_golden *g, uint32_t kind, uint64_t index)
{
    return kind != g->kind ? kind < g->kind : index < g->index;
}

/* Find the mark of a section, from where reading left off when it lies ahead. The marks are checked
 * as on opening: the file may have been changed in between. */
static rc_code seek(rc_golden *g, uint32_t kind, uint64_t index, rc_golden_mark *mark, rc_err *err)
{
    if (passed(g, kind, index))
        rewind_to_first(g);
    for (;;) {
        uint64_t at = g->at;

        RC_TRY(step(g, &at, mark, err));
        RC_TRY(check_mark(g, mark, g->kind, g->index, g->at, err));
        if (g->kind == kind && g->index == index)
            return RC_OK;
        g->at = at;
        g->index++;
        if (g->kind == RC_GOLDEN_TOKENS ||
            (g->kind == RC_GOLDEN_LAYER && g->index == g->head.layers)) {
            g->kind++;
            g->index = 0;
        }
    }
}

static rc_code load(rc_golden *g, uint32_t kind, uint64_t index, rc_golden_mark *mark, rc_err *err)
{
    RC_TRY(seek(g, kind, index, mark, err));
    RC_TRY(grow(g, &g->stored, &g->stored_room, mark->stored, err));
    RC_TRY(grow(g, &g->raw, &g->raw_room, mark->raw, err));
    RC_TRY(fetch(g, g->at + sizeof *mark, g->stored, (size_t)mark->stored, err));
    return rc_golden_unpack(&g->zstd, g->raw, (size_t)mark->raw, g->stored, (size_t)mark->stored,
                            err);
}

/* Name the file and the place, whatever went wrong. */
static rc_code placed(const rc_golden *g, rc_code rc, rc_err *err)
{
    if (rc == RC_OK)
        return RC_OK;
    rc_err_offset(err, g->at);
    if (g->path[0])
        rc_err_file(err, g->path);
    return rc;
}

static rc_code bad_value(const char *what, rc_err *err)
{
    return rc_fail(err, RC_E_DATA, RC_NO_OFFSET, "a section of the golden file holds %s", what);
}

static bool sound_ids(const rc_golden *g, const uint32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (id[i] >= g->head.vocab)
            return false;
    return true;
}

static rc_code read_tokens(rc_golden *g, uint32_t *id, rc_err *err)
{
    const size_t n = (size_t)g->head.text_tokens;
    rc_golden_mark mark;

    RC_TRY(load(g, RC_GOLDEN_TOKENS, 0, &mark, err));
    rc_golden_join(id, g->raw, n, sizeof *id);
    if (!sound_ids(g, id, n))
        return bad_value("a token that is not of the vocabulary", err);
    return RC_OK;
}

rc_code rc_golden_tokens(rc_golden *g, uint32_t *id, rc_err *err)
{
    return placed(g, read_tokens(g, id, err), err);
}

static rc_code read_layer(rc_golden *g, uint32_t layer, rc_golden_sum *sum, float *sketch,
                          rc_err *err)
{
    const size_t head = (size_t)g->head.windows * sizeof *sum;
    rc_golden_mark mark;

    if (layer >= g->head.layers)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "no such layer");
    RC_TRY(load(g, RC_GOLDEN_LAYER, layer, &mark, err));
    memcpy(sum, g->raw, head);
    rc_golden_join(sketch, g->raw + head, (size_t)rc_golden_sketched(&g->head) * RC_GOLDEN_DIMS,
                   sizeof *sketch);
    return RC_OK;
}

rc_code rc_golden_layer(rc_golden *g, uint32_t layer, rc_golden_sum *sum, float *sketch,
                        rc_err *err)
{
    return placed(g, read_layer(g, layer, sum, sketch, err), err);
}

static rc_code seek_logits(rc_golden *g, uint64_t i, size_t *n, rc_err *err)
{
    rc_golden_mark mark;

    if (i >= g->runs)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "no such section of logits");
    RC_TRY(seek(g, RC_GOLDEN_LOGITS, i, &mark, err));
    *n = (size_t)positions_of(g, &mark);
    return RC_OK;
}

rc_code rc_golden_positions(rc_golden *g, uint64_t i, size_t *n, rc_err *err)
{
    return placed(g, seek_logits(g, i, n, err), err);
}

/* ids, rank after rank, to [n, k]. */
static void take_ids(uint32_t *id, const uint32_t *ranked, size_t n, size_t k)
{
    for (size_t r = 0; r < k; r++)
        for (size_t i = 0; i < n; i++)
            id[i * k + r] = *ranked++;
}

/* NaN fails both. */
static bool sound_shares(const rc_golden_said *said, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(said->tail[i] >= 0.0f && said->tail[i] <= 1.0f) ||
            !(said->next[i] <= 0.0f && said->next[i] >= -3.402823466e38f))
            return false;
    return true;
}

static rc_code read_said(rc_golden *g, uint64_t i, rc_golden_said *out, rc_err *err)
{
    const size_t k = g->head.top_k, m = g->head.draws;
    const size_t most = g->head.run * (k > m ? k : m);
    const uint8_t *p;
    rc_golden_mark mark;
    uint16_t *steps;
    size_t n;

    if (i >= g->runs || k == 0)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "no such section of logits");
    if (!g->ids)
        g->ids = rc_mem_get(g->mem, most * (sizeof *g->ids + sizeof *steps));
    if (!g->ids)
        return rc_fail_nomem(err, g->mem, most * (sizeof *g->ids + sizeof *steps));
    steps = (uint16_t *)(void *)(g->ids + most);
    RC_TRY(load(g, RC_GOLDEN_LOGITS, i, &mark, err));
    n = (size_t)positions_of(g, &mark);
    memcpy(&out->digest, g->raw, sizeof out->digest);
    p = rc_golden_join(g->ids, g->raw + sizeof out->digest, n * k, sizeof *g->ids);
    p = rc_golden_join(steps, p, n * k, sizeof *steps);
    rc_golden_dequantize(out->logprob, steps, n, k);
    p = rc_golden_join(out->drawn, p, n * m, sizeof *out->drawn);
    p = rc_golden_join(steps, p, n * m, sizeof *steps);
    rc_golden_dequantize(out->drawn_logprob, steps, n * m, 1);
    p = rc_golden_join(out->tail, p, n, sizeof *out->tail);
    rc_golden_join(out->next, p, n, sizeof *out->next);
    take_ids(out->id, g->ids, n, k);
    if (!sound_ids(g, out->id, n * k) || !sound_ids(g, out->drawn, n * m))
        return bad_value("a token that is not of the vocabulary", err);
    return sound_shares(out, n) ? RC_OK : bad_value("what is no probability", err);
}

rc_code rc_golden_read_said(rc_golden *g, uint64_t i, rc_golden_said *out, rc_err *err)
{
    return placed(g, read_said(g, i, out, err), err);
}

static rc_code read_rows(rc_golden *g, uint64_t i, rc_digest *digest, float *logits, rc_err *err)
{
    rc_golden_mark mark;

    if (i >= g->runs || g->head.top_k)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "no such section of logits");
    RC_TRY(load(g, RC_GOLDEN_LOGITS, i, &mark, err));
    memcpy(digest, g->raw, sizeof *digest);
    rc_golden_join(logits, g->raw + sizeof *digest,
                   (size_t)(positions_of(g, &mark) * g->head.vocab), sizeof *logits);
    return RC_OK;
}

rc_code rc_golden_read_rows(rc_golden *g, uint64_t i, rc_digest *digest, float *logits, rc_err *err)
{
    return placed(g, read_rows(g, i, digest, logits, err), err);
}
