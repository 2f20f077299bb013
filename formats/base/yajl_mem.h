/* formats/base/yajl_mem.h - memory that YAJL cannot run out of.
 *
 * YAJL 2.1 uses what its allocator returns without a look: a NULL from it is a
 * crash. So the adapters find out beforehand how much a document can need, ask
 * rc_mem for that in one piece, where a refusal is an ordinary error, and let
 * YAJL allocate from the piece. Two regions, because one of YAJL's small stacks
 * may grow while its text buffer does: the text buffer then still grows in
 * place, and its bound is its final size, not the sum of its doublings. */
#ifndef RC_FORMATS_BASE_YAJL_MEM_H
#define RC_FORMATS_BASE_YAJL_MEM_H

#include <yajl/yajl_common.h>

#include "formats/base/mem.h"

#define RC_YAJL_SMALL 8192u /* bytes; handles and the parser's stack, 1.6 KB in YAJL 2.1 */

typedef struct rc_yajl_mem {
    yajl_alloc_funcs funcs; /* to be given to YAJL */
    rc_mem *mem;
    unsigned char *block;
    struct {
        size_t size, used; /* bytes of the region, from its start */
        size_t last;       /* start of the newest block in it */
        unsigned char *at;
    } region[2]; /* small blocks, text buffers */
} rc_yajl_mem;

/** Room for YAJL's handles, and text_bytes for its text buffers (see
 *  rc_yajl_text_need). False when `mem` refuses. `y` must not move. */
bool rc_yajl_mem_init(rc_yajl_mem *y, rc_mem *mem, size_t text_bytes);
void rc_yajl_mem_free(rc_yajl_mem *y);

/** What a YAJL text buffer takes to hold nbytes: it starts at 2 KB and doubles
 *  until there is room for the text and a NUL. */
size_t rc_yajl_text_need(size_t nbytes);

#endif
