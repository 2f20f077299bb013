/* convert/cast_impl.h - what cast.c and encode.c share. */
#ifndef RC_CONVERT_CAST_IMPL_H
#define RC_CONVERT_CAST_IMPL_H

#include "convert/cast.h"

/** "WHAT at row R, column C; N in this piece", with tensor and file offset. */
rc_code rc_cast_fail(rc_err *err, const rc_tensor *t, uint64_t off, const char *what, uint64_t row,
                     uint64_t col, uint64_t count);

/** Note an inexact element at (row, col) of the tensor; the first one stays. Called
 *  in row-major order of pieces, before the piece is counted. */
void rc_cast_note_inexact(rc_verdict *v, uint64_t row, uint64_t col, double source, double stored);
void rc_cast_count(rc_verdict *v, bool exact);

/** Scales of `n` columns from `col` on, for one row of an FP8 chunk. */
void rc_cast_scales(const rc_chunk *c, const uint8_t *scale, uint64_t row, uint64_t col, size_t n,
                    float *out);

/** Row `row` of the chunk as numbers, whatever it is stored as; not of 4-bit integers. `aligned`
 *  has room for 2 cols bytes. */
void rc_cast_decode_row(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale,
                        uint64_t row, float *x, void *aligned);
/** x[i] *= factors[i]; factors may be NULL. */
void rc_cast_scale_row(float *x, const float *factors, size_t n);

/* One operation each; see rc_cast_chunk(). */
void rc_cast_mxfp4(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale, uint8_t *out,
                   rc_verdict *v);
RC_MUST_CHECK
rc_code rc_cast_i32(const rc_chunk *c, const uint8_t *weight, uint8_t *out, rc_verdict *v,
                    rc_err *err);
RC_MUST_CHECK
rc_code rc_cast_encode(const rc_chunk *c, const uint8_t *weight, const uint8_t *scale, uint8_t *out,
                       const rc_cast_how *how, rc_verdict *v, rc_err *err);
/** Bytes of work for INT4 and INT4_REPACK. */
size_t rc_cast_int4_work(const rc_job *job);
RC_MUST_CHECK
rc_code rc_cast_int4(const rc_chunk *c, const rc_pieces *at, const rc_cast_how *how, rc_verdict *v,
                     rc_err *err);
RC_MUST_CHECK
rc_code rc_cast_int4_repack(const rc_chunk *c, const rc_pieces *at, const rc_cast_how *how,
                            rc_verdict *v, rc_err *err);

#endif
