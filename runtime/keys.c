/* runtime/keys.c - rows of floats that stay where they are while their number grows. */
#include "runtime/keys.h"

static rc_code grow_table(rc_keys *keys, size_t pages, rc_mem *mem, rc_err *err)
{
    const size_t room = pages + pages / 2 + 8;
    float **table;

    if (pages <= keys->room)
        return RC_OK;
    table = rc_mem_grow(mem, keys->page, room * sizeof *table);
    if (!table)
        return rc_fail_nomem(err, mem, room * sizeof *table);
    keys->page = table;
    keys->room = room;
    return RC_OK;
}

rc_code rc_keys_reserve(rc_keys *keys, uint64_t count, rc_mem *mem, rc_err *err)
{
    const size_t pages = (size_t)rc_ceil_div(count, RC_KEYS_PAGE);
    const size_t nbytes = RC_KEYS_PAGE * keys->n * sizeof(float);

    RC_TRY(grow_table(keys, pages, mem, err));
    while (keys->pages < pages) {
        float *page = rc_mem_get(mem, nbytes);

        if (!page)
            return rc_fail_nomem(err, mem, nbytes);
        keys->page[keys->pages++] = page;
    }
    return RC_OK;
}

void rc_keys_drop(rc_keys *keys, rc_mem *mem)
{
    for (size_t i = 0; i < keys->pages; i++)
        rc_mem_put(mem, keys->page[i]);
    rc_mem_put(mem, keys->page);
    *keys = (rc_keys){ .n = keys->n };
}

uint64_t rc_keys_nbytes(uint64_t count, size_t n)
{
    return rc_ceil_div(count, RC_KEYS_PAGE) * RC_KEYS_PAGE * n * sizeof(float);
}
