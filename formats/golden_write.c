/* formats/golden_write.c - see golden_write.h. */
#include "formats/golden_write.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "formats/golden_impl.h"

/* A section on its way into the file. */
typedef struct section {
    uint8_t *raw, *end;
    size_t edge[RC_GOLDEN_MOST_EDGES], nedges;
} section;

struct rc_golden_writer {
    rc_mem *mem;
    const rc_target *target;
    rc_golden_head head;
    char partial[512];
    int fd;
    bool made;
    rc_hasher hasher;
    rc_golden_zstd zstd;
    uint8_t *raw, *packed;
    size_t room, packed_room;
    uint32_t *ids; /* [run, k], and behind it the steps [run, k] */
    uint32_t next_layer, nsections;
    uint64_t next_run, scored; /* positions written */
    uint64_t raw_sum, stored_sum;
};

static rc_code fail_write(const rc_golden_writer *w, int errnum, rc_err *err)
{
    const rc_code rc = rc_fail_errno(err, errnum, "cannot write");

    rc_err_file(err, w->partial);
    return rc;
}

static rc_code append(rc_golden_writer *w, const void *data, size_t nbytes, rc_err *err)
{
    const int e = rc_write_all(w->fd, data, nbytes);

    if (e)
        return fail_write(w, e, err);
    rc_hash_add(&w->hasher, data, nbytes);
    return RC_OK;
}

/* ------------------------------------------------------------------ sections */

static rc_code grow(rc_golden_writer *w, uint8_t **buf, size_t *room, size_t nbytes, rc_err *err)
{
    uint8_t *grown;

    if (nbytes <= *room)
        return RC_OK;
    grown = rc_mem_grow(w->mem, *buf, nbytes);
    if (!grown)
        return rc_fail_nomem(err, w->mem, nbytes);
    *buf = grown;
    *room = nbytes;
    return RC_OK;
}

static rc_code begin(section *s, rc_golden_writer *w, uint64_t nbytes, rc_err *err)
{
    RC_TRY(grow(w, &w->raw, &w->room, (size_t)nbytes, err));
    *s = (section){ .raw = w->raw, .end = w->raw };
    return RC_OK;
}

static void add_plain(section *s, const void *data, size_t nbytes)
{
    memcpy(s->end, data, nbytes);
    s->end += nbytes;
    s->edge[s->nedges++] = (size_t)(s->end - s->raw);
}

static void add_planes(section *s, const void *data, size_t n, size_t width)
{
    s->end = rc_golden_split(s->end, data, n, width);
    for (size_t left = width; left-- > 0;)
        s->edge[s->nedges++] = (size_t)(s->end - s->raw) - left * n;
}

static rc_code put(rc_golden_writer *w, const section *s, uint32_t kind, uint64_t index,
                   rc_err *err)
{
    const size_t nbytes = (size_t)(s->end - s->raw);
    rc_golden_mark mark = { kind, (uint32_t)index, nbytes, 0 };
    size_t stored;

    RC_TRY(grow(w, &w->packed, &w->packed_room, rc_golden_pack_bound(nbytes, s->nedges), err));
    RC_TRY(rc_golden_pack(&w->zstd, w->packed, &stored, s->raw, s->edge, s->nedges, err));
    mark.stored = stored;
    w->nsections++;
    w->raw_sum += mark.raw;
    w->stored_sum += mark.stored;
    RC_TRY(append(w, &mark, sizeof mark, err));
    return append(w, w->packed, stored, err);
}

rc_code rc_golden_put_tokens(rc_golden_writer *w, const uint32_t *id, rc_err *err)
{
    const size_t n = (size_t)w->head.text_tokens;
    section s;

    RC_TRY(begin(&s, w, n * sizeof *id, err));
    add_planes(&s, id, n, sizeof *id);
    return put(w, &s, RC_GOLDEN_TOKENS, 0, err);
}

rc_code rc_golden_put_layer(rc_golden_writer *w, const rc_golden_sum *sum, const float *sketch,
                            rc_err *err)
{
    section s;

    RC_TRY(begin(&s, w, rc_golden_layer_bytes(&w->head), err));
    add_plain(&s, sum, (size_t)w->head.windows * sizeof *sum);
    add_planes(&s, sketch, (size_t)rc_golden_sketched(&w->head) * RC_GOLDEN_DIMS, sizeof *sketch);
    return put(w, &s, RC_GOLDEN_LAYER, w->next_layer++, err);
}

/* ids[n, k] rank after rank, as the steps are. */
static void by_rank(uint32_t *out, const uint32_t *id, size_t n, size_t k)
{
    for (size_t r = 0; r < k; r++)
        for (size_t i = 0; i < n; i++)
            *out++ = id[i * k + r];
}

rc_code rc_golden_put_said(rc_golden_writer *w, const rc_golden_said *said, size_t n, rc_err *err)
{
    const size_t k = w->head.top_k, m = w->head.draws;
    const size_t most = w->head.run * (k > m ? k : m);
    uint16_t *steps;
    section s;

    if (!w->ids)
        w->ids = rc_mem_get(w->mem, most * (sizeof *w->ids + sizeof *steps));
    if (!w->ids)
        return rc_fail_nomem(err, w->mem, most * (sizeof *w->ids + sizeof *steps));
    steps = (uint16_t *)(void *)(w->ids + most);
    RC_TRY(begin(&s, w, rc_golden_logits_bytes(&w->head, n), err));
    by_rank(w->ids, said->id, n, k);
    rc_golden_quantize(steps, said->logprob, n, k);
    add_plain(&s, &said->digest, sizeof said->digest);
    add_planes(&s, w->ids, n * k, sizeof *w->ids);
    add_planes(&s, steps, n * k, sizeof *steps);
    rc_golden_quantize(steps, said->drawn_logprob, n * m, 1);
    add_planes(&s, said->drawn, n * m, sizeof *said->drawn);
    add_planes(&s, steps, n * m, sizeof *steps);
    add_planes(&s, said->tail, n, sizeof *said->tail);
    add_planes(&s, said->next, n, sizeof *said->next);
    w->scored += n;
    return put(w, &s, RC_GOLDEN_LOGITS, w->next_run++, err);
}

rc_code rc_golden_put_rows(rc_golden_writer *w, const rc_digest *digest, const float *logits,
                           size_t n, rc_err *err)
{
    section s;

    RC_TRY(begin(&s, w, rc_golden_logits_bytes(&w->head, n), err));
    add_plain(&s, digest, sizeof *digest);
    add_planes(&s, logits, n * w->head.vocab, sizeof *logits);
    w->scored += n;
    return put(w, &s, RC_GOLDEN_LOGITS, w->next_run++, err);
}

/* ------------------------------------------------------------------ the file */

static rc_code put_start(rc_golden_writer *w, rc_err *err)
{
    rc_golden_start start = { .version = RC_GOLDEN_VERSION };
    char *text;
    size_t len;
    rc_code rc;

    RC_TRY(rc_golden_head_text(&w->head, &text, &len, w->mem, err));
    memcpy(start.magic, RC_GOLDEN_MAGIC, sizeof start.magic);
    start.header = (uint32_t)len;
    rc = append(w, &start, sizeof start, err);
    if (rc == RC_OK)
        rc = append(w, text, len, err);
    rc_mem_put(w->mem, text);
    return rc;
}

static rc_code make(rc_golden_writer *w, rc_err *err)
{
    if (snprintf(w->partial, sizeof w->partial, "%s.partial", w->target->name) >=
        (int)sizeof w->partial)
        return rc_fail(err, RC_E_CANTCREATE, RC_NO_OFFSET, "the name of the output is too long");
    RC_TRY(rc_dir_create(&w->target->dir, w->partial, &w->fd, err));
    w->made = true;
    return put_start(w, err);
}

rc_code rc_golden_writer_new(rc_golden_writer **out, const rc_target *target,
                             const rc_golden_head *head, rc_mem *mem, rc_err *err)
{
    rc_golden_writer *w = rc_mem_get_pages(mem, sizeof *w); /* the hasher is aligned to 64 */
    rc_code rc;

    *out = NULL;
    if (!w)
        return rc_fail_nomem(err, mem, sizeof *w);
    memset(w, 0, sizeof *w);
    w->mem = mem;
    w->target = target;
    w->head = *head;
    w->fd = -1;
    w->zstd.mem = mem;
    rc_hash_begin(&w->hasher);
    rc = make(w, err);
    if (rc != RC_OK)
        rc_golden_writer_free(&w);
    *out = w;
    return rc;
}

static rc_code put_end(rc_golden_writer *w, rc_err *err)
{
    const rc_golden_mark end = { RC_GOLDEN_END, w->nsections, w->raw_sum, w->stored_sum };
    rc_digest digest;

    if (w->next_layer != w->head.layers || w->scored != w->head.scored)
        return rc_fail(err, RC_E_INTERNAL, RC_NO_OFFSET, "a golden file without all its sections");
    RC_TRY(append(w, &end, sizeof end, err));
    digest = rc_hash_end(&w->hasher);
    return append(w, &digest, sizeof digest, err);
}

rc_code rc_golden_finish(rc_golden_writer *w, rc_err *err)
{
    int e;

    RC_TRY(put_end(w, err));
    e = fsync(w->fd) == 0 ? 0 : errno;
    if (close(w->fd) != 0 && !e)
        e = errno;
    w->fd = -1;
    if (e)
        return fail_write(w, e, err);
    RC_TRY(rc_dir_rename(&w->target->dir, w->partial, w->target->name, err));
    w->made = false;
    return rc_dir_sync(&w->target->dir, err);
}

void rc_golden_writer_free(rc_golden_writer **writer)
{
    rc_golden_writer *w = *writer;

    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->made && rc_dir_remove(&w->target->dir, w->partial, NULL) != RC_OK) {
        /* a .partial stays: its name says what it is */
    }
    rc_golden_zstd_free(&w->zstd);
    rc_mem_put(w->mem, w->raw);
    rc_mem_put(w->mem, w->packed);
    rc_mem_put(w->mem, w->ids);
    rc_mem_put(w->mem, w);
    *writer = NULL;
}
