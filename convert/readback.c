/* convert/readback.c - see readback.h. */
#include "convert/readback.h"

#include "formats/base/stop.h"

/* Bytes [off, off + n) of a tensor's own bytes, which may lie in rows with gaps between. */
static rc_code read_dest(rc_out *out, const rc_dest *d, uint64_t off, uint8_t *buf, size_t n,
                         rc_err *err)
{
    if (!d->stride)
        return rc_out_read(out, d->begin + off, buf, n, err);
    while (n) {
        const uint64_t in_row = off % d->row_bytes;
        const size_t now = n < d->row_bytes - in_row ? n : (size_t)(d->row_bytes - in_row);

        RC_TRY(rc_out_read(out, d->begin + off / d->row_bytes * d->stride + in_row, buf, now, err));
        buf += now;
        off += now;
        n -= now;
    }
    return RC_OK;
}

rc_code rc_readback_dest(rc_out *out, const rc_dest *d, uint64_t nbytes, const rc_digest *want,
                         uint8_t *buf, bool *same, rc_err *err)
{
    _Alignas(64) rc_hasher hasher;
    rc_digest got;

    rc_hash_begin(&hasher);
    for (uint64_t off = 0; off < nbytes; off += RC_READBACK) {
        const size_t n = nbytes - off < RC_READBACK ? (size_t)(nbytes - off) : RC_READBACK;

        RC_TRY(rc_stop_check(err));
        RC_TRY(read_dest(out, d, off, buf, n, err));
        rc_hash_add(&hasher, buf, n);
    }
    got = rc_hash_end(&hasher);
    *same = rc_digest_equal(&got, want);
    return RC_OK;
}

rc_code rc_readback(rc_out *out, const rc_job *job, const rc_result *result, uint8_t *buf,
                    const rc_dest **differs, rc_err *err)
{
    *differs = NULL;
    for (unsigned part = 0; part < RC_PART_COUNT && !*differs; part++) {
        bool same = true;

        if (job->out[part].name)
            RC_TRY(rc_readback_dest(out, &job->out[part], job->out[part].nbytes, &result->out[part],
                                    buf, &same, err));
        if (!same)
            *differs = &job->out[part];
    }
    return RC_OK;
}
