/* runtime/block.c - see block.h. */
#include "runtime/block.h"

#include <stdio.h>

enum { NAME = 128 };

static const char *full_name(char buf[NAME], const rc_block_id *id, const char *name)
{
    snprintf(buf, NAME, "%s%s", id->prefix, name);
    return buf;
}

rc_code rc_block_find(rc_engine *e, const rc_block_id *id, const char *name, const rc_bound **bound,
                      rc_err *err)
{
    char buf[NAME];

    return rc_weights_find(e->weights, full_name(buf, id, name), bound, err);
}

rc_code rc_block_small(rc_engine *e, const rc_block_id *id, const char *name, size_t nelems,
                       float **out, rc_err *err)
{
    char buf[NAME];

    return rc_weights_small(e->weights, full_name(buf, id, name), nelems, out, err);
}
