/* formats/base/hash_avx2.c - see hash_impl.h. */
#define XXH_INLINE_ALL
#include "formats/base/hash_impl.h"

RC_HASH_DEFINE(rc_hash_avx2)
