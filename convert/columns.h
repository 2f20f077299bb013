/* convert/columns.h - how much the errors of a matrix's columns matter, for the search of its
 * codes: from an importance matrix, from statistics, from the weights themselves. */
#ifndef RC_CONVERT_COLUMNS_H
#define RC_CONVERT_COLUMNS_H

#include "convert/cast.h"

/* What is known for one job; of one thread, used again and again. */
typedef struct rc_columns {
    float *importance; /* [cols]; see rc_job.importance */
    float *feedback;   /* for rc_int4_feedback_fn; valid with has_feedback */
    double *block;     /* [128, 128] */
    bool has_feedback;
    bool unknown;            /* importance is 1 because nothing is known */
    const rc_job *loaded_of; /* whose statistics these are */
} rc_columns;

/* Bytes of its arrays: grows by rc_columns_need() over all jobs. */
typedef struct rc_columns_room {
    size_t importance, feedback, block;
} rc_columns_room;

void rc_columns_need(rc_columns_room *room, const rc_job *job, const rc_recipe *recipe);
size_t rc_columns_bytes(const rc_columns_room *room);
RC_MUST_CHECK
rc_code rc_columns_make(rc_columns *out, const rc_columns_room *room, rc_mem *mem, rc_err *err);
void rc_columns_drop(rc_columns *columns, rc_mem *mem);

/** What the plan's recipe knows of the columns of a chunk's job (of the whole matrix where it
 *  depends on the weights). `factors`: what the columns are multiplied by, or NULL: an input is
 *  divided by the same, so its squares by factors^2. `work`: rc_cast_work() bytes.
 *    RC_E_INTEGRITY, RC_E_IO, RC_E_TENSORSET  what reading statistics reports */
RC_MUST_CHECK
rc_code rc_columns_load(rc_columns *columns, const rc_plan *plan, const rc_chunk *chunk,
                        const rc_pieces *at, const float *factors, float *work, rc_err *err);

#endif
