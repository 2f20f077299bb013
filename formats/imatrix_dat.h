/* formats/imatrix_dat.h - an importance matrix in the legacy format (see imatrix.h). */
#ifndef RC_FORMATS_IMATRIX_DAT_H
#define RC_FORMATS_IMATRIX_DAT_H

#include "formats/base/target.h"
#include "formats/imatrix.h"

/** Write the same means as a .dat: values times the number of chunks, 1 for what nobody saw. The
 *  file takes its name when it is whole. Errors as rc_dir_create() and rc_imatrix_get();
 *  RC_E_UNSUPPORTED a .dat, which does not tell its columns. */
RC_MUST_CHECK
rc_code rc_imatrix_write_dat(const rc_imatrix *m, const rc_target *to, rc_mem *mem, rc_err *err);

#endif
