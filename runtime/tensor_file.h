/* runtime/tensor_file.h - one .safetensors file written piece by piece: logits, traces.
 *
 * Sizes are known before the first byte, so the space is reserved then; the file has its name only
 * when it is whole. */
#ifndef RC_RUNTIME_TENSOR_FILE_H
#define RC_RUNTIME_TENSOR_FILE_H

#include "formats/base/target.h"
#include "formats/dtype.h"

typedef struct rc_tensor_file rc_tensor_file;

typedef struct rc_tensor_spec {
    char name[48];
    rc_dtype dtype; /* F32, I32 or I64 */
    unsigned rank;
    uint64_t shape[3];
} rc_tensor_spec;

/** Make TARGET.partial with these tensors. The target must outlive the file.
 *  RC_E_NOSPACE, RC_E_DENIED, RC_E_CANTCREATE, RC_E_OS. */
RC_MUST_CHECK
rc_code rc_tensor_file_new(rc_tensor_file **out, const rc_target *target,
                           const rc_tensor_spec *specs, size_t n, rc_mem *mem, rc_err *err);
/** nbytes of tensor `i` (as in specs) from byte `off` of it. */
RC_MUST_CHECK
rc_code rc_tensor_file_write(rc_tensor_file *f, size_t i, uint64_t off, const void *data,
                             size_t nbytes, rc_err *err);
/** All on the disk, and named. */
RC_MUST_CHECK
rc_code rc_tensor_file_finish(rc_tensor_file *f, rc_err *err);
/** What is not finished is removed. */
void rc_tensor_file_free(rc_tensor_file **f);

#endif
