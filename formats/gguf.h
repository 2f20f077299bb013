/* formats/gguf.h - the head of one GGUF file, version 3.
 *
 *     | "GGUF" | u32 3 | u64 n_tensors | u64 n_kv | keys and values | tensor infos |
 *     | zeros to the alignment | data: tensors in the order of their infos, each padded |
 *
 * Little-endian. Dimensions are stored innermost first; here, as everywhere in recast, a
 * shape is outermost first. Files are downloads: every length is hostile until checked.
 * Strict as the strictest loader: what any of them refuses, this refuses.
 * Source: ggml's docs/gguf.md and ggml/src/gguf.cpp. */
#ifndef RC_FORMATS_GGUF_H
#define RC_FORMATS_GGUF_H

#include "formats/base/log.h"
#include "formats/base/mem.h"
#include "formats/base/status.h"
#include "formats/dtype.h"

#define RC_GGUF_MAX_HEAD  (1u << 30) /* bytes of everything before the data; ours */
#define RC_GGUF_MAX_RANK  4u
#define RC_GGUF_MAX_NAME  63u /* bytes of a tensor's name; ggml has 64 with the NUL */
#define RC_GGUF_ALIGNMENT 32u

/* Types of values, with the numbers of the format. */
typedef enum rc_gguf_type {
    RC_GGUF_U8,
    RC_GGUF_I8,
    RC_GGUF_U16,
    RC_GGUF_I16,
    RC_GGUF_U32,
    RC_GGUF_I32,
    RC_GGUF_F32,
    RC_GGUF_BOOL,
    RC_GGUF_STR,
    RC_GGUF_ARR,
    RC_GGUF_U64,
    RC_GGUF_I64,
    RC_GGUF_F64,
    RC_GGUF_TYPES
} rc_gguf_type;

/* A ggml tensor type: all that there are, so that a file of any of them can be listed. */
typedef struct rc_ggml_type {
    unsigned id;
    const char *name;      /* "q4_K" is "Q4_K" here */
    unsigned block, bytes; /* elements in a block, and its bytes */
    rc_dtype dtype;        /* RC_DTYPE_COUNT when we cannot decode it */
} rc_ggml_type;

/** By the number in the file; NULL for removed, unknown and future ones. */
const rc_ggml_type *rc_ggml_type_of(uint32_t id);
/** The ggml type that stores a dtype, or NULL. */
const rc_ggml_type *rc_ggml_type_for(rc_dtype dtype);

/* A key and its value. Strings and arrays point into the head that was parsed. */
typedef struct rc_gguf_kv {
    const char *key;         /* NUL-terminated */
    rc_gguf_type type, elem; /* elem: of arrays */
    uint64_t count;          /* elements of an array, bytes of a string, else 1 */
    const uint8_t *data;     /* little-endian, any alignment; array of strings: the first length */
} rc_gguf_kv;

typedef struct rc_gguf_tensor {
    const char *name; /* NUL-terminated */
    const rc_ggml_type *type;
    unsigned rank;
    uint64_t shape[RC_GGUF_MAX_RANK]; /* outermost first */
    uint64_t begin, nbytes;           /* bytes from the start of the file; without padding */
} rc_gguf_tensor;

typedef struct rc_gguf rc_gguf; /* immutable, shareable; owns a copy of what it needs */

/** How many bytes of the file its head has, as far as `len` bytes tell: grow the read and
 *  ask again while it says more than len. Never more than RC_GGUF_MAX_HEAD + 1.
 *    RC_E_DATA, RC_E_UNSUPPORTED, RC_E_LIMIT  as rc_gguf_new(), as soon as it shows */
RC_MUST_CHECK
rc_code rc_gguf_need(const uint8_t *bytes, size_t len, uint64_t file_len, uint64_t *need,
                     rc_err *err);

/** Parse and validate the head of a file of file_len bytes. `head` is taken over on success
 *  (it was got from mem) and stays the caller's on failure.
 *    RC_E_DATA         malformed; err->offset is the byte to look at
 *    RC_E_UNSUPPORTED  a version or tensor type that nobody reads any more or not yet
 *    RC_E_LIMIT        over RC_GGUF_MAX_HEAD
 *  Non-zero padding is a warning. */
RC_MUST_CHECK
rc_code rc_gguf_new(rc_gguf **out, uint8_t *head, size_t len, uint64_t file_len, const rc_log *log,
                    rc_mem *mem, rc_err *err);
void rc_gguf_free(rc_gguf **gguf);

size_t rc_gguf_kvs(const rc_gguf *g);
const rc_gguf_kv *rc_gguf_kv_at(const rc_gguf *g, size_t i);       /* file order */
const rc_gguf_kv *rc_gguf_find(const rc_gguf *g, const char *key); /* or NULL */
size_t rc_gguf_tensors(const rc_gguf *g);
const rc_gguf_tensor *rc_gguf_tensor_at(const rc_gguf *g, size_t i); /* file order */
uint64_t rc_gguf_data_off(const rc_gguf *g);

/* Values by key. False when the key is absent or of another kind; integers of any width
 * convert when the value fits. Strings are copied with a NUL, cut at n - 1. */
bool rc_gguf_get_u64(const rc_gguf *g, const char *key, uint64_t *out);
bool rc_gguf_get_f64(const rc_gguf *g, const char *key, double *out);
bool rc_gguf_get_bool(const rc_gguf *g, const char *key, bool *out);
bool rc_gguf_get_str(const rc_gguf *g, const char *key, char *out, size_t n);
/** Element i of a number array. */
bool rc_gguf_arr_u64(const rc_gguf_kv *kv, uint64_t i, uint64_t *out);
bool rc_gguf_arr_f64(const rc_gguf_kv *kv, uint64_t i, double *out);
/** Walk an array of strings: start with *at = kv->data; false at the end. */
bool rc_gguf_arr_str(const rc_gguf_kv *kv, const uint8_t **at, uint64_t *i, const char **s,
                     size_t *len);

#endif
