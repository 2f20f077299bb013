/* tests/check/check_scan.c */
#include "kernels/scan.h"

#include <inttypes.h>
#include <string.h>

#include "tests/check/check.h"

static void one(rc_scan_fn *fn, rc_dtype dtype, const uint8_t *data, size_t n)
{
    rc_scan_result want, got;

    rc_scan_ref(&want, dtype, data, n);
    fn(&got, dtype, data, n);
    check_that(want.nan == got.nan && want.inf == got.inf && want.first_bad == got.first_bad &&
                   want.all_zero == got.all_zero,
               "%s, n %zu: nan %" PRIu64 " and %" PRIu64 ", first %" PRIu64 " and %" PRIu64,
               rc_dtype_name(dtype), n, want.nan, got.nan, want.first_bad, got.first_bad);
}

void check_scan(void)
{
    static const rc_dtype dtypes[] = { RC_DTYPE_F8_E4M3, RC_DTYPE_F8_E8M0, RC_DTYPE_BF16,
                                       RC_DTYPE_F32, RC_DTYPE_I64, RC_DTYPE_I8 };

    for (const rc_scan_impl *row = rc_scan_impls + 1; row->fn; row++) {
        if (!check_begin("scan", row->name, row->need))
            continue;
        for (unsigned d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
            for (unsigned round = 0; round < 1200; round++) {
                const size_t width = rc_dtype_bits(dtypes[d]) / 8, n = check_below(700);
                /* exactly as long as said: reading on is seen by the sanitizer */
                check_buf buf = check_buf_new(n * width, check_below(64));
                memset(buf.data, 0, n * width);
                if (round % 4 == 1)
                    check_fill(buf.data, n * width);
                if (round % 4 == 2 && n) /* one byte somewhere, often NaN or infinity */
                    buf.data[check_below(n * width)] = (uint8_t)(check_below(2) ? 0x80 : 0x7f);
                if (round % 4 == 3 && n)
                    memset(buf.data + check_below(n) * width, check_below(2) ? 0xff : 0x7f, width);
                one(row->fn, dtypes[d], buf.data, n);
                check_buf_free(&buf);
            }
        for (unsigned i = 0; i < 65536; i++) { /* every bf16, every pair of bytes */
            uint8_t data[512] = { 0 };
            data[2 * (i % 256)] = (uint8_t)i;
            data[2 * (i % 256) + 1] = (uint8_t)(i >> 8);
            for (unsigned d = 0; d < 4; d++)
                one(row->fn, dtypes[d], data, 512 * 8 / rc_dtype_bits(dtypes[d]));
        }
        check_end();
    }
}
