/* runtime/room.c - work space that grows and is used again. */
#include "runtime/room.h"

rc_code rc_room_reserve(rc_room *room, size_t rows, size_t cols, size_t size, rc_mem *mem,
                        rc_err *err)
{
    uint64_t need;

    if (!rc_mul_u64(rows, cols, &need) || !rc_mul_u64(need, size, &need) || need > SIZE_MAX / 2)
        return rc_fail_nomem(err, mem, SIZE_MAX);
    if (need <= room->nbytes)
        return RC_OK;
    rc_room_drop(room, mem);
    room->p = rc_mem_get_pages(mem, (size_t)need);
    if (!room->p)
        return rc_fail_nomem(err, mem, (size_t)need);
    room->nbytes = (size_t)need;
    return RC_OK;
}

void rc_room_drop(rc_room *room, rc_mem *mem)
{
    rc_mem_put(mem, room->p);
    *room = (rc_room){ 0 };
}
