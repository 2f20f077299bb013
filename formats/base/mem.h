/* formats/base/mem.h - all memory, paid for by an account.
 *
 * One struct buys `--mem-limit`, memory budgets in tests, and failure
 * injection: with fail_at = 1, 2, 3, ... expect RC_E_OS and `used == 0`
 * until the call succeeds. Accounts are safe to share between threads. */
#ifndef RC_FORMATS_BASE_MEM_H
#define RC_FORMATS_BASE_MEM_H

#include <stdatomic.h>

#include "formats/base/status.h"

#define RC_PAGE 4096u /* bytes; alignment of every buffer that direct I/O sees */

typedef struct rc_mem {
    size_t limit;         /* bytes; 0 = no limit */
    _Atomic size_t used;  /* bytes held now */
    _Atomic size_t peak;  /* most bytes ever held */
    _Atomic size_t calls; /* allocations asked for so far */
    size_t fail_at;       /* the fail_at-th allocation fails; 0 = never */
} rc_mem;

/** nbytes of zeroed memory, or NULL. nbytes == 0 gives a valid, empty block. */
void *rc_mem_get(rc_mem *mem, size_t nbytes);
/** The same, not zeroed, aligned to RC_PAGE. */
void *rc_mem_get_pages(rc_mem *mem, size_t nbytes);
/** Resize a block of rc_mem_get(); new bytes are not zeroed. On NULL the old
 *  block is still valid. `p` may be NULL. */
void *rc_mem_grow(rc_mem *mem, void *p, size_t nbytes);
/** Give a block back; NULL is harmless. */
void rc_mem_put(rc_mem *mem, void *p);
char *rc_mem_strdup(rc_mem *mem, const char *s, size_t len);

/** RC_E_OS with the figures: for `if (!p) return rc_fail_nomem(err, mem, n)`. */
rc_code rc_fail_nomem(rc_err *err, const rc_mem *mem, size_t nbytes);

/* A bump allocator on top: many small objects with one lifetime. */
typedef struct rc_arena {
    rc_mem *mem;
    struct rc_arena_block *top;
} rc_arena;

/** nbytes of zeroed memory aligned to 16, or NULL. Freed by rc_arena_free(). */
void *rc_arena_get(rc_arena *arena, size_t nbytes);
char *rc_arena_strdup(rc_arena *arena, const char *s, size_t len);
void rc_arena_free(rc_arena *arena);

#endif
