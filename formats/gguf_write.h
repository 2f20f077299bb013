/* formats/gguf_write.h - lay out one GGUF file before a byte of its data is written. */
#ifndef RC_FORMATS_GGUF_WRITE_H
#define RC_FORMATS_GGUF_WRITE_H

#include "formats/gguf.h"

/* Keys and values, in the order of the calls, each key once. Errors stick: ask
 * rc_gguf_layout(). */
typedef struct rc_ggufw rc_ggufw;
rc_ggufw *rc_ggufw_new(rc_mem *mem); /* NULL: no memory */
void rc_ggufw_free(rc_ggufw **w);

void rc_ggufw_u16(rc_ggufw *w, const char *key, uint16_t v);
void rc_ggufw_u32(rc_ggufw *w, const char *key, uint32_t v);
void rc_ggufw_i32(rc_ggufw *w, const char *key, int32_t v);
void rc_ggufw_u64(rc_ggufw *w, const char *key, uint64_t v);
void rc_ggufw_f32(rc_ggufw *w, const char *key, float v);
void rc_ggufw_bool(rc_ggufw *w, const char *key, bool v);
void rc_ggufw_str(rc_ggufw *w, const char *key, const char *s);
/** An array: exactly `count` of the calls below must follow, of the same type. */
void rc_ggufw_arr(rc_ggufw *w, const char *key, rc_gguf_type elem, uint64_t count);
void rc_ggufw_put_i32(rc_ggufw *w, int32_t v);
void rc_ggufw_put_f32(rc_ggufw *w, float v);
void rc_ggufw_put_str(rc_ggufw *w, const char *s, size_t len);

typedef struct rc_gguf_put {
    const char *name;
    rc_dtype dtype;
    unsigned rank;
    uint64_t shape[RC_GGUF_MAX_RANK]; /* outermost first */
    uint64_t nbytes, begin;           /* out; begin from the start of the file */
} rc_gguf_put;

/** Place puts[n] one after the other and build everything before the data, with
 *  general.alignment left at its default.
 *    *head, *head_len  bytes to write at offset 0, padding included; put back to mem
 *    *file_len         size of the whole file, the last tensor's padding included
 *  RC_E_UNSUPPORTED  a name over 63 bytes, a row that the type's block does not divide
 *                    (names tensor, row and block), a type that GGUF has not
 *  RC_E_LIMIT, RC_E_OS; RC_E_INTERNAL for misuse */
RC_MUST_CHECK
rc_code rc_gguf_layout(rc_ggufw *w, rc_gguf_put *puts, size_t n, char **head, size_t *head_len,
                       uint64_t *file_len, rc_mem *mem, rc_err *err);

#endif
