/* formats/calibration_write.h - write a file of statistics, a block of the model at a time.
 *
 * Names and sizes follow from the model, so the file is laid out first and every tensor written at
 * its place: what was written and synced before a crash is there afterwards. The head comes last;
 * until then the file is no GGUF. */
#ifndef RC_FORMATS_CALIBRATION_WRITE_H
#define RC_FORMATS_CALIBRATION_WRITE_H

#include "formats/base/io.h"
#include "formats/calibration.h"

/* What decides the layout, and the keys. Texts are borrowed until the writer is freed. */
typedef struct rc_calib_plan {
    const rc_model *model;
    bool draft;                  /* MTP blocks have statistics too */
    bool moments;                /* in_cov */
    size_t sample, draft_sample; /* rows of a main block's sample, and of a draft's */
    uint64_t tokens;             /* of all windows */
    uint32_t windows, ctx;
    const char *dataset; /* imatrix.datasets */
    char model_digest[40], tokenizer[40], tokens_digest[40];
    const char *numerics;
} rc_calib_plan;

typedef struct rc_calib_writer rc_calib_writer;

/** The file `name` in `dir`, its space reserved; mode RC_OUT_NEW or RC_OUT_RESUME. Errors as
 *  rc_out_open() and rc_gguf_layout(). */
RC_MUST_CHECK
rc_code rc_calib_writer_new(rc_calib_writer **out, const rc_calib_plan *plan, const rc_dir *dir,
                            const char *name, rc_out_mode mode, rc_mem *mem, rc_err *err);
/** Closes; what was written stays. */
void rc_calib_writer_free(rc_calib_writer **w);
uint64_t rc_calib_writer_nbytes(const rc_calib_writer *w); /* of the file */

/* Sums over the rows of one input. */
typedef struct rc_calib_sums {
    size_t rows, cols;           /* experts, or 1 */
    const double *squares, *abs; /* [rows, cols] */
    const double *counts, *seen; /* [rows] */
} rc_calib_sums;

/** All matrices of `block` that read at `at`. With eh_proj the columns of E_PROJ or H_PROJ.
 *  RC_E_INTERNAL sums of other sizes. Nothing happens where nothing reads there. */
RC_MUST_CHECK
rc_code rc_calib_put(rc_calib_writer *w, uint32_t block, rc_input_at at, const rc_calib_sums *sums,
                     rc_err *err);
/** Second moments of one row: cov[blocks, B (B + 1) / 2]. */
RC_MUST_CHECK
rc_code rc_calib_put_moments(rc_calib_writer *w, uint32_t block, rc_input_at at, size_t row,
                             const double *cov, rc_err *err);
/** x [R, D], expert and weight [R, K]. */
RC_MUST_CHECK
rc_code rc_calib_put_sample(rc_calib_writer *w, uint32_t block, const float *x,
                            const uint32_t *expert, const float *weight, rc_err *err);
/** What was put is on the disk. */
RC_MUST_CHECK
rc_code rc_calib_writer_sync(rc_calib_writer *w, rc_err *err);
/** Write the head, sync. `few`: experts that were topped up. */
RC_MUST_CHECK
rc_code rc_calib_writer_finish(rc_calib_writer *w, uint32_t few, rc_err *err);

#endif
