/* formats/base/hash.c - see hash.h. */
#include "formats/base/hash_impl.h"

#include <string.h>

RC_HASH_DEFINE(rc_hash_any)

static const rc_hash_impl *best(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        return &rc_hash_avx512;
    if (__builtin_cpu_supports("avx2"))
        return &rc_hash_avx2;
#endif
    return &rc_hash_any;
}

void rc_hash_begin(rc_hasher *hasher)
{
    XXH3_128bits_reset(hasher);
}

void rc_hash_add(rc_hasher *hasher, const void *data, size_t nbytes)
{
    best()->add(hasher, data, nbytes);
}

void rc_hash_field(rc_hasher *hasher, const void *data, size_t nbytes)
{
    const uint64_t len = nbytes;

    rc_hash_add(hasher, &len, sizeof len);
    rc_hash_add(hasher, data, nbytes);
}

static rc_digest canonical(XXH128_hash_t hash)
{
    rc_digest digest;
    XXH128_canonical_t form;

    XXH128_canonicalFromHash(&form, hash);
    memcpy(digest.bytes, form.digest, sizeof digest.bytes);
    return digest;
}

rc_digest rc_hash_end(const rc_hasher *hasher)
{
    return canonical(best()->end(hasher));
}

rc_digest rc_hash(const void *data, size_t nbytes)
{
    return canonical(best()->once(data, nbytes));
}

/* The state points to the library's constants, which lie elsewhere in every process. */
void rc_hash_save(uint8_t state[RC_HASH_STATE], const rc_hasher *hasher)
{
    _Alignas(64) rc_hasher copy = *hasher;

    copy.extSecret = NULL;
    memcpy(state, &copy, sizeof copy);
}

void rc_hash_load(rc_hasher *hasher, const uint8_t state[RC_HASH_STATE])
{
    _Alignas(64) rc_hasher fresh;

    rc_hash_begin(&fresh);
    memcpy(hasher, state, sizeof *hasher);
    hasher->extSecret = fresh.extSecret;
}

uint64_t rc_hash_layout(void)
{
    return (uint64_t)XXH_versionNumber() << 32 | RC_HASH_STATE;
}

bool rc_digest_equal(const rc_digest *a, const rc_digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

const char *rc_digest_hex(const rc_digest *digest, char buf[33])
{
    static const char hex[] = "0123456789abcdef";

    for (unsigned i = 0; i < 16; i++) {
        buf[2 * i] = hex[digest->bytes[i] >> 4];
        buf[2 * i + 1] = hex[digest->bytes[i] & 15];
    }
    buf[32] = '\0';
    return buf;
}
