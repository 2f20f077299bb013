/* runtime/room.h - work space that grows and is used again. */
#ifndef RC_RUNTIME_ROOM_H
#define RC_RUNTIME_ROOM_H

#include "formats/base/mem.h"

/* Zero-initialized: nothing yet. */
typedef struct rc_room {
    void *p; /* aligned to RC_PAGE */
    size_t nbytes;
} rc_room;

/** At least rows * cols objects of `size` bytes; what was there is lost when it has to grow. */
RC_MUST_CHECK
rc_code rc_room_reserve(rc_room *room, size_t rows, size_t cols, size_t size, rc_mem *mem,
                        rc_err *err);
void rc_room_drop(rc_room *room, rc_mem *mem);

#endif
