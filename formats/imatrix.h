/* formats/imatrix.h - importance matrices: the mean square of each input column of each
 * matrix, collected from activations.
 *
 * Two formats are read: the legacy .dat of llama-imatrix (and of ds4), and GGUF with
 * general.type "imatrix". Names are those of GGUF tensors; a stack of experts has one
 * row of values for each. Experts that no token visited have no values of their own.
 * Source: llama.cpp tools/imatrix/imatrix.cpp, common/imatrix-loader.cpp; ds4
 * gguf-tools/imatrix. */
#ifndef RC_FORMATS_IMATRIX_H
#define RC_FORMATS_IMATRIX_H

#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/gguf.h"

#define RC_IMATRIX_MAX_BYTES   ((size_t)64 << 30) /* of the file; ours */
#define RC_IMATRIX_MAX_ENTRIES (1u << 20)         /* ours */
#define RC_IMATRIX_MAX_NAME    4096u              /* bytes of a name in a .dat; ours */

typedef struct rc_imatrix rc_imatrix; /* immutable, shareable; keeps its file open */

typedef struct rc_imatrix_entry {
    const char *name; /* of the GGUF tensor, "blk.3.ffn_gate_exps.weight" */
    uint64_t rows;    /* matrices in the stack; 1 for a plain matrix */
    uint64_t cols;    /* values of each; 0 when only `values` is known (legacy) */
    uint64_t values;  /* rows * cols */
} rc_imatrix_entry;

/** Read a file of either format: every value is looked at once, none is kept (those of a
 *  release are half a gigabyte).
 *    RC_E_NOINPUT, RC_E_DENIED, RC_E_IO
 *    RC_E_DATA     malformed, a negative or non-finite value, two entries of one name
 *    RC_E_LIMIT    over one of the bounds above
 *  Errors name the file, the byte and the entry. */
RC_MUST_CHECK
rc_code rc_imatrix_open(rc_imatrix **out, const char *path, const rc_log *log, rc_mem *mem,
                        rc_err *err);
/** The same from bytes, for the fuzzer and for tests; `bytes` may be freed afterwards. */
RC_MUST_CHECK
rc_code rc_imatrix_parse(rc_imatrix **out, const uint8_t *bytes, size_t len, const rc_log *log,
                         rc_mem *mem, rc_err *err);
void rc_imatrix_free(rc_imatrix **imatrix);

size_t rc_imatrix_count(const rc_imatrix *m);
const rc_imatrix_entry *rc_imatrix_at(const rc_imatrix *m, size_t i);
const char *rc_imatrix_dataset(const rc_imatrix *m); /* "" when unknown */
uint32_t rc_imatrix_chunks(const rc_imatrix *m);     /* 0 when unknown */

/* What a matrix gets. */
typedef enum rc_imatrix_found {
    RC_IMATRIX_ABSENT,   /* no entry of that name */
    RC_IMATRIX_UNSEEN,   /* an entry, but no token reached this expert */
    RC_IMATRIX_MISMATCH, /* an entry of another size: of another model */
    RC_IMATRIX_FOUND
} rc_imatrix_found;

/** Values of matrix `row` of tensor `name`: cols means of squares, into out (which may be
 *  NULL to ask only; undefined unless RC_IMATRIX_FOUND). An entry for the one expert
 *  ("<name>.expert.<row>", "<name>.expert_<row>": ds4's) goes before the stack's. The .dat
 *  format has no counts, and writes 1 for every value of an expert that was not seen: that is
 *  taken for what it means. Safe to call from many threads.
 *    RC_E_IO         the file cannot be read any more
 *    RC_E_INTEGRITY  it is not the one that was opened */
RC_MUST_CHECK
rc_code rc_imatrix_get(const rc_imatrix *m, const char *name, uint64_t row, uint64_t rows,
                       uint64_t cols, float *out, rc_imatrix_found *found, rc_err *err);
/** The same for columns [col, col + n) of the `cols` only: of a matrix that was joined with others
 *  side by side. */
RC_MUST_CHECK
rc_code rc_imatrix_part(const rc_imatrix *m, const char *name, uint64_t row, uint64_t rows,
                        uint64_t cols, uint64_t col, uint64_t n, float *out,
                        rc_imatrix_found *found, rc_err *err);
/** A digest of all names and values, and of a GGUF file's whole head: what a conversion's identity
 *  takes in. */
uint64_t rc_imatrix_digest(const rc_imatrix *m);

/** The head of a GGUF file, for what is in it besides (formats/calibration.h); NULL for a .dat. */
const rc_gguf *rc_imatrix_gguf(const rc_imatrix *m);
/** Bytes [off, off + n) of the file, which it must have; errors as rc_imatrix_get(). */
RC_MUST_CHECK
rc_code rc_imatrix_read(const rc_imatrix *m, uint64_t off, void *buf, size_t n, rc_err *err);
const char *rc_imatrix_path(const rc_imatrix *m); /* as the user named it; "" when from bytes */

#endif
