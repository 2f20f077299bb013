/* formats/base/yajl_mem.c - a bump allocator with sizes in front of its blocks. */
#include "formats/base/yajl_mem.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 16 };        /* bytes before each block: its size; keeps blocks aligned */
enum { TEXT_FROM = 1024 }; /* bytes; YAJL's text buffers start at 2048, all else is smaller */

static size_t room_for(size_t nbytes)
{
    return HEAD + ((nbytes + 15) & ~(size_t)15);
}

static void *take(void *ctx, size_t nbytes)
{
    rc_yajl_mem *y = ctx;
    const int r = nbytes >= TEXT_FROM;
    const size_t need = room_for(nbytes);
    unsigned char *p;

    /* Cannot happen as long as the bounds that the callers compute are right;
     * NULL would be a wild write inside YAJL, which is worse than stopping. */
    if (need > y->region[r].size - y->region[r].used)
        abort();
    y->region[r].last = y->region[r].used;
    p = y->region[r].at + y->region[r].used;
    y->region[r].used += need;
    memcpy(p, &nbytes, sizeof nbytes);
    return p + HEAD;
}

static void *resize(void *ctx, void *old, size_t nbytes)
{
    rc_yajl_mem *y = ctx;
    size_t had;
    void *grown;

    if (!old)
        return take(ctx, nbytes);
    memcpy(&had, (unsigned char *)old - HEAD, sizeof had);
    if (nbytes <= had)
        return old;
    for (int r = 0; r < 2; r++) {
        const bool newest =
            y->region[r].used && (unsigned char *)old - HEAD == y->region[r].at + y->region[r].last;

        if (newest && room_for(nbytes) <= y->region[r].size - y->region[r].last) {
            memcpy((unsigned char *)old - HEAD, &nbytes, sizeof nbytes);
            y->region[r].used = y->region[r].last + room_for(nbytes);
            return old;
        }
    }
    grown = take(ctx, nbytes);
    memcpy(grown, old, had);
    return grown;
}

static void drop(void *ctx, void *p)
{
    (void)ctx;
    (void)p; /* everything goes with the region */
}

bool rc_yajl_mem_init(rc_yajl_mem *y, rc_mem *mem, size_t text_bytes)
{
    const size_t text = text_bytes ? text_bytes + (size_t)2 * (HEAD + 16) : 0;

    memset(y, 0, sizeof *y);
    if (text < text_bytes || text > SIZE_MAX - RC_YAJL_SMALL)
        return false;
    y->mem = mem;
    y->block = rc_mem_get(mem, RC_YAJL_SMALL + text);
    if (!y->block)
        return false;
    y->region[0].at = y->block;
    y->region[0].size = RC_YAJL_SMALL;
    y->region[1].at = y->block + RC_YAJL_SMALL;
    y->region[1].size = text;
    y->funcs = (yajl_alloc_funcs){ .malloc = take, .realloc = resize, .free = drop, .ctx = y };
    return true;
}

void rc_yajl_mem_free(rc_yajl_mem *y)
{
    rc_mem_put(y->mem, y->block);
    y->block = NULL;
}

size_t rc_yajl_text_need(size_t nbytes)
{
    size_t need = 2048;

    while (need <= nbytes && need <= SIZE_MAX / 4)
        need *= 2;
    return need;
}
