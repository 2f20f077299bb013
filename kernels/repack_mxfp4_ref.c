/* kernels/repack_mxfp4_ref.c */
#include "kernels/repack_mxfp4.h"

#include "kernels/codes.h"

static unsigned code(const uint8_t *q, unsigned i)
{
    return i & 1 ? q[i / 2] >> 4 : q[i / 2] & 15;
}

size_t rc_repack_mxfp4_ref(uint8_t *restrict out, const uint8_t *restrict q,
                           const uint8_t *restrict scale, size_t n, bool stream)
{
    rc_block_mxfp4 *block = (rc_block_mxfp4 *)(void *)out;
    size_t nan = 0;

    (void)stream;
    for (size_t b = 0; b < n / RC_FP4_GROUP; b++, q += RC_FP4_GROUP / 2) {
        block[b].e = scale[b];
        for (unsigned j = 0; j < 16; j++)
            block[b].qs[j] = (uint8_t)(code(q, j) | code(q, j + 16) << 4);
        nan += scale[b] == RC_E8M0_NAN;
    }
    return nan;
}

const rc_repack_mxfp4_impl rc_repack_mxfp4_impls[] = {
    { "ref", 0, rc_repack_mxfp4_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_repack_mxfp4_avx2 },
    { "avx512", RC_CPU_AVX512, rc_repack_mxfp4_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(repack_mxfp4)
