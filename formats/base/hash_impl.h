/* formats/base/hash_impl.h - xxHash compiled for one instruction set.
 *
 * The packaged library is built for SSE2 and moves 16 GB/s; the same source for
 * AVX2 or AVX-512 moves 25 to 40, which is the difference between hashing that
 * shows and hashing that does not. Included by hash.c and hash_avx*.c, which the
 * Makefile compiles with their flags. Same state, same digests. */
#ifndef RC_FORMATS_BASE_HASH_IMPL_H
#define RC_FORMATS_BASE_HASH_IMPL_H

#include "formats/base/hash.h"

typedef struct rc_hash_impl {
    void (*add)(rc_hasher *hasher, const void *data, size_t nbytes);
    XXH128_hash_t (*end)(const rc_hasher *hasher);
    XXH128_hash_t (*once)(const void *data, size_t nbytes);
} rc_hash_impl;

extern const rc_hash_impl rc_hash_any, rc_hash_avx2, rc_hash_avx512;

/* The three functions of a variant, from the inlined source. */
#define RC_HASH_DEFINE(name)                                                                       \
    static void add(rc_hasher *hasher, const void *data, size_t nbytes)                            \
    {                                                                                              \
        XXH3_128bits_update(hasher, data, nbytes);                                                 \
    }                                                                                              \
    static XXH128_hash_t end(const rc_hasher *hasher)                                              \
    {                                                                                              \
        return XXH3_128bits_digest(hasher);                                                        \
    }                                                                                              \
    static XXH128_hash_t once(const void *data, size_t nbytes)                                     \
    {                                                                                              \
        return XXH3_128bits(data, nbytes);                                                         \
    }                                                                                              \
    const rc_hash_impl name = { add, end, once };

#endif
