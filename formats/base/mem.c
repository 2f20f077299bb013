/* formats/base/mem.c - accounts over malloc, and an arena over accounts.
 *
 * Blocks are charged at malloc_usable_size(), which both ends of a block's
 * life can ask for: no header of our own, and no size to pass to put(). */
#include "formats/base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static bool charge(rc_mem *mem, size_t nbytes)
{
    const size_t now = atomic_fetch_add(&mem->used, nbytes) + nbytes;
    size_t peak = atomic_load(&mem->peak);

    if (mem->limit && now > mem->limit) {
        atomic_fetch_sub(&mem->used, nbytes);
        return false;
    }
    while (now > peak && !atomic_compare_exchange_weak(&mem->peak, &peak, now))
        ;
    return true;
}

static bool refused(rc_mem *mem, size_t nbytes)
{
    const size_t call = atomic_fetch_add(&mem->calls, 1) + 1;
    const size_t used = atomic_load(&mem->used); /* rc_mem_grow() may have passed the limit */

    return (mem->fail_at && call == mem->fail_at) ||
           (mem->limit && nbytes > (used < mem->limit ? mem->limit - used : 0));
}

static void *settle(rc_mem *mem, void *p)
{
    if (p && !charge(mem, malloc_usable_size(p))) {
        free(p);
        return NULL;
    }
    return p;
}

void *rc_mem_get(rc_mem *mem, size_t nbytes)
{
    if (refused(mem, nbytes))
        return NULL;
    return settle(mem, calloc(1, nbytes ? nbytes : 1));
}

void *rc_mem_get_pages(rc_mem *mem, size_t nbytes)
{
    void *p;

    if (refused(mem, nbytes) || posix_memalign(&p, RC_PAGE, nbytes ? nbytes : 1) != 0)
        return NULL;
    return settle(mem, p);
}

void *rc_mem_grow(rc_mem *mem, void *p, size_t nbytes)
{
    const size_t old = p ? malloc_usable_size(p) : 0;
    void *grown;

    if (refused(mem, nbytes > old ? nbytes - old : 0))
        return NULL;
    grown = realloc(p, nbytes ? nbytes : 1);
    if (!grown)
        return NULL;
    /* The old block is gone: the books must balance even past the limit, and
     * the next request is the one refused. */
    atomic_fetch_sub(&mem->used, old);
    if (!charge(mem, malloc_usable_size(grown)))
        atomic_fetch_add(&mem->used, malloc_usable_size(grown));
    return grown;
}

void rc_mem_put(rc_mem *mem, void *p)
{
    if (!p)
        return;
    atomic_fetch_sub(&mem->used, malloc_usable_size(p));
    free(p);
}

char *rc_mem_strdup(rc_mem *mem, const char *s, size_t len)
{
    char *copy = rc_mem_get(mem, len + 1);

    if (copy)
        memcpy(copy, s, len);
    return copy;
}

rc_code rc_fail_nomem(rc_err *err, const rc_mem *mem, size_t nbytes)
{
    const rc_code rc = rc_fail(err, RC_E_OS, RC_NO_OFFSET, "out of memory: %zu bytes refused", nbytes);

    if (mem->limit) {
        rc_err_want(err, "at most %zu bytes in all", mem->limit);
        rc_err_got(err, "%zu in use", (size_t)mem->used);
        rc_err_hint(err, "raise --mem-limit");
    }
    return rc;
}

struct rc_arena_block {
    struct rc_arena_block *below;
    size_t used, size;
    _Alignas(16) unsigned char data[];
};

enum { ARENA_BLOCK = 64 * 1024 };

void *rc_arena_get(rc_arena *arena, size_t nbytes)
{
    struct rc_arena_block *b = arena->top;

    if (nbytes > SIZE_MAX - ARENA_BLOCK)
        return NULL;
    nbytes = (nbytes + 15) & ~(size_t)15;
    if (!b || b->size - b->used < nbytes) {
        const size_t size = nbytes > ARENA_BLOCK ? nbytes : ARENA_BLOCK;

        b = rc_mem_get(arena->mem, sizeof *b + size);
        if (!b)
            return NULL;
        b->size = size;
        b->below = arena->top;
        arena->top = b;
    }
    b->used += nbytes;
    return b->data + b->used - nbytes;
}

char *rc_arena_strdup(rc_arena *arena, const char *s, size_t len)
{
    char *copy = rc_arena_get(arena, len + 1);

    if (copy) {
        memcpy(copy, s, len);
        copy[len] = '\0';
    }
    return copy;
}

void rc_arena_free(rc_arena *arena)
{
    while (arena->top) {
        struct rc_arena_block *below = arena->top->below;

        rc_mem_put(arena->mem, arena->top);
        arena->top = below;
    }
}
