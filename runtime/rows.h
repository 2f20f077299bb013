/* runtime/rows.h - a table of rows of floats: the state of all tokens between two steps of a layer.
 *
 * In memory while it fits, else in a scratch file without a name (nothing is left behind,
 * however the run ends). Rows are loaded and stored by copy: the caller works on a few hundred. */
#ifndef RC_RUNTIME_ROWS_H
#define RC_RUNTIME_ROWS_H

#include "formats/base/mem.h"
#include "formats/base/status.h"

typedef struct rc_rows rc_rows;

/** A table [n, width], undefined until stored. `scratch` NULL: in memory; else a folder for the
 * file, whose space is reserved at once. RC_E_OS memory; RC_E_NOSPACE, RC_E_DENIED, RC_E_IO of the
 * folder. */
RC_MUST_CHECK
rc_code rc_rows_new(rc_rows **out, size_t n, size_t width, const char *scratch, rc_mem *mem,
                    rc_err *err);
void rc_rows_free(rc_rows **rows);
size_t rc_rows_width(const rc_rows *rows);
/** Bytes in the scratch file; 0 in memory. */
uint64_t rc_rows_spilled(const rc_rows *rows);

/** Rows t0 .. t0 + n - 1, to and from buf[n, width]. */
RC_MUST_CHECK
rc_code rc_rows_load(rc_rows *rows, size_t t0, size_t n, float *buf, rc_err *err);
RC_MUST_CHECK
rc_code rc_rows_store(rc_rows *rows, size_t t0, size_t n, const float *buf, rc_err *err);
/** Rows t[0], t[1], .. to buf. */
RC_MUST_CHECK
rc_code rc_rows_gather(rc_rows *rows, const uint32_t *t, size_t n, float *buf, rc_err *err);
/** buf[i] is added to row t[i], in ascending i. */
RC_MUST_CHECK
rc_code rc_rows_add(rc_rows *rows, const uint32_t *t, size_t n, const float *buf, rc_err *err);
/** All zero. */
RC_MUST_CHECK
rc_code rc_rows_clear(rc_rows *rows, rc_err *err);

#endif
