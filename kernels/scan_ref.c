/* kernels/scan_ref.c */
#include "kernels/scan.h"

#include <string.h>

typedef enum kind { FINE, IS_INF, IS_NAN } kind;

static kind classify(rc_dtype dtype, const uint8_t *data, size_t i)
{
    uint32_t word;
    uint16_t half;

    switch (dtype) {
    case RC_DTYPE_F8_E4M3:
        return (data[i] & 0x7f) == 0x7f ? IS_NAN : FINE;
    case RC_DTYPE_F8_E8M0:
        return data[i] == 0xff ? IS_NAN : FINE;
    case RC_DTYPE_BF16:
        memcpy(&half, data + 2 * i, sizeof half);
        if ((half & 0x7f80) != 0x7f80)
            return FINE;
        return half & 0x7f ? IS_NAN : IS_INF;
    case RC_DTYPE_F32:
        memcpy(&word, data + 4 * i, sizeof word);
        if ((word & 0x7f800000u) != 0x7f800000u)
            return FINE;
        return word & 0x7fffffu ? IS_NAN : IS_INF;
    default:
        return FINE;
    }
}

void rc_scan_ref(rc_scan_result *out, rc_dtype dtype, const uint8_t *data, size_t n)
{
    const size_t nbytes = n / 8 * rc_dtype_bits(dtype) + n % 8 * rc_dtype_bits(dtype) / 8;

    *out = RC_SCAN_NONE;
    for (size_t i = 0; i < nbytes && out->all_zero; i++)
        out->all_zero = data[i] == 0;
    for (size_t i = 0; i < n; i++) {
        const kind k = classify(dtype, data, i);
        out->nan += k == IS_NAN;
        out->inf += k == IS_INF;
        if (k != FINE && out->first_bad == UINT64_MAX)
            out->first_bad = i;
    }
}

void rc_scan_add(rc_scan_result *total, const rc_scan_result *piece, uint64_t first)
{
    total->nan += piece->nan;
    total->inf += piece->inf;
    total->all_zero = total->all_zero && piece->all_zero;
    if (piece->first_bad != UINT64_MAX && first + piece->first_bad < total->first_bad)
        total->first_bad = first + piece->first_bad;
}

const rc_scan_impl rc_scan_impls[] = {
    { "ref", 0, rc_scan_ref },
#if defined(__x86_64__)
    { "avx2", RC_CPU_AVX2, rc_scan_avx2 },
    { "avx512", RC_CPU_AVX512, rc_scan_avx512 },
#endif
    { 0 },
};

RC_CPU_DEFINE_BEST(scan)
