/* tests/unit/gguf_bytes.h - a GGUF file byte by byte, so that it can be wrong. */
#ifndef RC_TESTS_UNIT_GGUF_BYTES_H
#define RC_TESTS_UNIT_GGUF_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf.h"

typedef struct gb {
    uint8_t *p;
    size_t n, cap;
    uint64_t data; /* bytes of the tensors so far, padded */
} gb;

static inline void gb_raw(gb *b, const void *bytes, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n);
        b->p = realloc(b->p, b->cap);
        if (!b->p)
            abort();
    }
    if (n)
        memcpy(b->p + b->n, bytes, n);
    b->n += n;
}

static inline void gb_le(gb *b, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const uint8_t byte = (uint8_t)(v >> (8 * i));

        gb_raw(b, &byte, 1);
    }
}

static inline void gb_u32(gb *b, uint32_t v)
{
    gb_le(b, v, 4);
}

static inline void gb_u64(gb *b, uint64_t v)
{
    gb_le(b, v, 8);
}

static inline void gb_str(gb *b, const char *s)
{
    gb_u64(b, strlen(s));
    gb_raw(b, s, strlen(s));
}

static inline void gb_head(gb *b, uint64_t tensors, uint64_t kvs)
{
    gb_raw(b, "GGUF", 4);
    gb_u32(b, 3);
    gb_u64(b, tensors);
    gb_u64(b, kvs);
}

static inline void gb_key(gb *b, const char *key, uint32_t type)
{
    gb_str(b, key);
    gb_u32(b, type);
}

static inline void gb_kv_str(gb *b, const char *key, const char *s)
{
    gb_key(b, key, RC_GGUF_STR);
    gb_str(b, s);
}

static inline void gb_kv_u32(gb *b, const char *key, uint32_t v)
{
    gb_key(b, key, RC_GGUF_U32);
    gb_u32(b, v);
}

static inline void gb_kv_f32(gb *b, const char *key, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    gb_key(b, key, RC_GGUF_F32);
    gb_u32(b, bits);
}

/** An array's head; its elements follow. */
static inline void gb_kv_arr(gb *b, const char *key, uint32_t elem, uint64_t count)
{
    gb_key(b, key, RC_GGUF_ARR);
    gb_u32(b, elem);
    gb_u64(b, count);
}

/** An info; dimensions as in the file, innermost first. */
static inline void gb_info(gb *b, const char *name, uint32_t type, uint32_t rank,
                           const uint64_t *dims, uint64_t offset)
{
    gb_str(b, name);
    gb_u32(b, rank);
    for (uint32_t i = 0; i < rank && i < 8; i++)
        gb_u64(b, dims[i]);
    gb_u32(b, type);
    gb_u64(b, offset);
}

/** The next tensor of a sound file: outermost first, at the next free offset. */
static inline void gb_tensor(gb *b, const char *name, rc_dtype dtype, unsigned rank,
                             const uint64_t *shape)
{
    uint64_t dims[RC_GGUF_MAX_RANK], rows = 1;

    for (unsigned i = 0; i < rank; i++)
        dims[i] = shape[rank - 1 - i];
    for (unsigned i = 0; i + 1 < rank; i++)
        rows *= shape[i];
    gb_info(b, name, rc_ggml_type_for(dtype)->id, rank, dims, b->data);
    b->data += (rows * rc_dtype_row_bytes(dtype, dims[0]) + 31) / 32 * 32;
}

static inline void gb_pad(gb *b, size_t to)
{
    while (b->n % to)
        gb_le(b, 0, 1);
}

static inline void gb_zeros(gb *b, size_t n)
{
    while (n-- > 0)
        gb_le(b, 0, 1);
}

/** Everything after the infos: padding, and data of zeros. Returns where data begins. */
static inline size_t gb_data(gb *b)
{
    size_t at;

    gb_pad(b, 32);
    at = b->n;
    gb_zeros(b, (size_t)b->data);
    return at;
}

static inline void gb_free(gb *b)
{
    free(b->p);
    *b = (gb){ 0 };
}

#endif
