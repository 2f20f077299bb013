/* formats/source_early.c - see source_early.h. */
#include "formats/source_early.h"

#include <stdlib.h>
#include <string.h>

#include "formats/base/hash.h"
#include "formats/source_impl.h"

/* Within one page of the file, so that it lies in one block of whatever size. */
struct rc_early_piece {
    size_t file;
    uint64_t off;
    size_t nbytes;
    rc_digest sum;
};

/* Under the lock. */
static rc_code add_piece(rc_source *src, const rc_early_piece *piece, rc_err *err)
{
    rc_early *e = &src->early;
    const size_t room = e->room ? 2 * e->room : 128;

    if (e->n == e->room) {
        rc_early_piece *grown = rc_mem_grow(src->mem, e->at, room * sizeof *grown);

        if (!grown)
            return rc_fail_nomem(err, src->mem, room * sizeof *grown);
        e->at = grown;
        e->room = room;
    }
    e->at[e->n++] = *piece;
    return RC_OK;
}

rc_code rc_source_read_early(rc_source *src, size_t i, uint64_t off, void *buf, size_t nbytes,
                             rc_err *err)
{
    rc_code rc = rc_source_read(src, i, off, buf, nbytes, err);

    if (rc != RC_OK || !src->ops->remote)
        return rc;
    pthread_mutex_lock(&src->early.lock);
    for (size_t at = 0, n; rc == RC_OK && at < nbytes; at += n) {
        const uint8_t *bytes = (const uint8_t *)buf + at;
        const size_t left = RC_PAGE - (size_t)((off + at) % RC_PAGE);
        rc_early_piece piece = { .file = i, .off = off + at };

        n = piece.nbytes = nbytes - at < left ? nbytes - at : left;
        piece.sum = rc_hash(bytes, n);
        rc = add_piece(src, &piece, err);
    }
    pthread_mutex_unlock(&src->early.lock);
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const rc_early_piece *x = a, *y = b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->off < y->off ? -1 : x->off > y->off;
}

void rc_early_sort(rc_source *src)
{
    if (src->early.n)
        qsort(src->early.at, src->early.n, sizeof *src->early.at, by_place);
}

/* The first piece of file i that begins at `off` or behind it. */
static size_t first_from(const rc_early *e, size_t i, uint64_t off)
{
    const rc_early_piece key = { .file = i, .off = off };
    size_t low = 0, high = e->n;

    while (low < high) {
        const size_t mid = low + (high - low) / 2;

        if (by_place(&e->at[mid], &key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool lies_in(const rc_early *e, size_t k, size_t i, uint64_t off, uint64_t nbytes)
{
    return k < e->n && e->at[k].file == i && e->at[k].off - off < nbytes;
}

bool rc_early_touches(const rc_source *src, size_t i, uint64_t off, uint64_t nbytes)
{
    return lies_in(&src->early, first_from(&src->early, i, off), i, off, nbytes);
}

rc_code rc_early_check(const rc_source *src, size_t i, uint64_t off, const uint8_t *bytes,
                       uint64_t nbytes, rc_err *err)
{
    const rc_early *e = &src->early;

    for (size_t k = first_from(e, i, off); lies_in(e, k, i, off, nbytes); k++) {
        const rc_digest now = rc_hash(bytes + (e->at[k].off - off), e->at[k].nbytes);
        char hex[33];

        if (rc_digest_equal(&now, &e->at[k].sum))
            continue;
        rc_fail(err, RC_E_INTEGRITY, e->at[k].off,
                "when the checkpoint was opened, other bytes came here");
        rc_err_want(err, "%s", rc_digest_hex(&e->at[k].sum, hex));
        rc_err_got(err, "%s", rc_digest_hex(&now, hex));
        rc_err_hint(err, "the same command reads them again");
        return RC_E_INTEGRITY;
    }
    return RC_OK;
}
