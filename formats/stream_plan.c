/* formats/stream_plan.c - see stream_plan.h.
 *
 * A use that is over has its highest bit set; the rest goes on to say which extent it is of, so
 * that a use is found by bisection. */
#include "formats/stream_plan.h"

#include <string.h>

#define OVER 0x80000000u

static uint32_t extent_of(uint32_t use)
{
    return use & ~OVER;
}

rc_code rc_stream_plan_blocks(rc_stream_plan *p, const rc_source *src, size_t block, rc_mem *mem,
                              rc_err *err)
{
    uint64_t n = 0;

    *p = (rc_stream_plan){ .block = block, .nfiles = rc_source_count(src) };
    p->first = rc_mem_get(mem, (p->nfiles + 1) * sizeof *p->first);
    if (!p->first)
        return rc_fail_nomem(err, mem, (p->nfiles + 1) * sizeof *p->first);
    for (size_t i = 0; i < p->nfiles; i++) {
        n += rc_ceil_div(rc_source_at(src, i)->nbytes, block);
        if (n >= UINT32_MAX)
            return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "too large for blocks of %zu bytes",
                           block);
        p->first[i + 1] = (uint32_t)n;
    }
    p->nblocks = (size_t)n;
    return RC_OK;
}

void rc_stream_plan_drop(rc_stream_plan *p, rc_mem *mem)
{
    rc_mem_put(mem, p->first);
    rc_mem_put(mem, p->extents);
    rc_mem_put(mem, p->claimed);
    rc_mem_put(mem, p->uses_at);
    rc_mem_put(mem, p->uses);
    rc_mem_put(mem, p->cursor);
    *p = (rc_stream_plan){ 0 };
}

size_t rc_stream_plan_from(const rc_stream_plan *p, uint32_t extent)
{
    return (size_t)(p->extents[extent].at / p->block);
}

size_t rc_stream_plan_to(const rc_stream_plan *p, uint32_t extent)
{
    return (size_t)((p->extents[extent].at + p->extents[extent].nbytes - 1) / p->block);
}

static uint64_t address(const rc_stream_plan *p, size_t file, uint64_t off)
{
    return (uint64_t)p->first[file] * p->block + off;
}

static rc_code take_extents(rc_stream_plan *p, const rc_source *src, const rc_extent *extents,
                            size_t n, rc_err *err)
{
    for (size_t i = 0; i < n; i++) {
        const rc_extent *e = &extents[i];
        const uint64_t size = e->file < p->nfiles ? rc_source_at(src, e->file)->nbytes : 0;

        if (e->off > size || e->nbytes > size - e->off)
            return rc_fail(err, RC_E_INTERNAL, e->off, "extent past the end of file %zu", e->file);
        if (e->nbytes)
            p->extents[p->nextents++] = (rc_planned){ address(p, e->file, e->off), e->nbytes };
    }
    return RC_OK;
}

/* Sorted by counting: how many uses each block has, where they begin, then the uses. */
static rc_code list_uses(rc_stream_plan *p, rc_mem *mem, rc_err *err)
{
    uint64_t n = 0;

    for (uint32_t e = 0; e < p->nextents; e++)
        for (size_t b = rc_stream_plan_from(p, e); b <= rc_stream_plan_to(p, e); b++, n++)
            p->uses_at[b + 1]++;
    if (n >= UINT32_MAX)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "too many reads to plan");
    for (size_t b = 0; b < p->nblocks; b++) {
        p->uses_at[b + 1] += p->uses_at[b];
        p->cursor[b] = p->uses_at[b];
    }
    p->uses = rc_mem_get(mem, (size_t)n * sizeof *p->uses);
    if (!p->uses)
        return rc_fail_nomem(err, mem, (size_t)n * sizeof *p->uses);
    for (uint32_t e = 0; e < p->nextents; e++)
        for (size_t b = rc_stream_plan_from(p, e); b <= rc_stream_plan_to(p, e); b++)
            p->uses[p->cursor[b]++] = e;
    for (size_t b = 0; b < p->nblocks; b++)
        p->cursor[b] = p->uses_at[b];
    return RC_OK;
}

rc_code rc_stream_plan_extents(rc_stream_plan *p, const rc_source *src, const rc_extent *extents,
                               size_t n, rc_mem *mem, rc_err *err)
{
    if (n >= OVER)
        return rc_fail(err, RC_E_LIMIT, RC_NO_OFFSET, "too many reads to plan");
    p->extents = rc_mem_get(mem, n * sizeof *p->extents);
    p->claimed = rc_mem_get(mem, n);
    p->uses_at = rc_mem_get(mem, (p->nblocks + 1) * sizeof *p->uses_at);
    p->cursor = rc_mem_get(mem, p->nblocks * sizeof *p->cursor);
    if (!p->extents || !p->claimed || !p->uses_at || !p->cursor)
        return rc_fail_nomem(err, mem, n * sizeof *p->extents);
    RC_TRY(take_extents(p, src, extents, n, err));
    return list_uses(p, mem, err);
}

bool rc_stream_plan_claim(rc_stream_plan *p, size_t file, uint64_t off, size_t nbytes,
                          uint32_t *extent)
{
    const uint64_t at = address(p, file, off);
    const size_t b = (size_t)(at / p->block);

    if (!nbytes || b >= p->first[file + 1])
        return false;
    for (uint32_t u = p->cursor[b]; u < p->uses_at[b + 1]; u++) {
        const uint32_t e = extent_of(p->uses[u]);

        if (!p->claimed[e] && p->extents[e].at == at && p->extents[e].nbytes == nbytes) {
            p->claimed[e] = 1;
            *extent = e;
            return true;
        }
    }
    return false;
}

uint32_t rc_stream_plan_next_use(const rc_stream_plan *p, size_t block)
{
    return p->cursor[block] < p->uses_at[block + 1] ? p->uses[p->cursor[block]] : RC_NO_USE;
}

void rc_stream_plan_used(rc_stream_plan *p, size_t block, uint32_t extent)
{
    uint32_t low = p->cursor[block], high = p->uses_at[block + 1];

    while (high - low > 1) {
        const uint32_t mid = low + (high - low) / 2;

        if (extent_of(p->uses[mid]) <= extent)
            low = mid;
        else
            high = mid;
    }
    p->uses[low] |= OVER;
    while (p->cursor[block] < p->uses_at[block + 1] && p->uses[p->cursor[block]] & OVER)
        p->cursor[block]++;
}

bool rc_stream_plan_touches(const rc_stream_plan *p, size_t block)
{
    return p->uses_at[block] < p->uses_at[block + 1];
}
