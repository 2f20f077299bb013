/* tests/check/check_recast_fp4_fp8.c */
#include "kernels/recast_fp4_fp8.h"

#include <string.h>

#include "tests/check/check.h"

typedef enum shape {
    NEAR,     /* spread of scales within the exact range */
    WIDE,     /* around its edge, 12 .. 17 */
    ANY,      /* any byte, 255 included */
    LOW,      /* near 0: E saturates */
    ZEROS,    /* most groups hold zeros, of either sign */
    LARGEST0, /* the largest scales are on groups of zeros or small codes */
    SHAPES
} shape;

static void make_band(uint8_t *codes, uint8_t *scales, size_t rows, size_t cols, shape kind)
{
    const size_t groups = cols / 32;
    const size_t spread = kind == WIDE ? 13 + check_below(5) : 1 + check_below(14);
    const size_t floor = kind == LOW ? check_below(8) : check_below(200);

    check_fill(codes, rows * cols / 2);
    for (size_t g = 0; g < rows * groups; g++) {
        uint8_t *q = codes + 16 * g;
        scales[g] = (uint8_t)(kind == ANY ? check_random() : floor + check_below(spread));
        if (kind == ANY && scales[g] == 255 && check_below(8))
            scales[g] = 254; /* most tiles without NaN */
        if (kind == ZEROS && check_below(8))
            for (unsigned i = 0; i < 16; i++)
                q[i] &= 0x88;
        if (kind == LARGEST0 && scales[g] >= floor + spread / 2) {
            const uint8_t mask = check_below(2) ? 0x88 : 0x99;
            scales[g] = (uint8_t)(scales[g] + check_below(40));
            for (unsigned i = 0; i < 16; i++)
                q[i] &= mask;
        }
    }
}

typedef struct band {
    rc_recast_fp4_fp8_fn *fn;
    size_t rows, cols, pad, shift;
    bool stream;
    const uint8_t *codes, *scales;
    int kind;
} band;

static void run(void *arg)
{
    const band *b = arg;
    const size_t ntiles = (b->cols + 127) / 128, stride = b->cols + b->pad;
    check_buf want = check_buf_new(b->rows * stride, 0), got = check_buf_new(want.n, b->shift);
    check_buf want_tiles = check_buf_new(ntiles * sizeof(rc_fp8_tile), 0);
    check_buf got_tiles = check_buf_new(want_tiles.n, 1);

    rc_recast_fp4_fp8_ref(want.data, stride, (rc_fp8_tile *)want_tiles.data, b->codes, b->scales,
                          b->rows, b->cols, false);
    b->fn(got.data, stride, (rc_fp8_tile *)got_tiles.data, b->codes, b->scales, b->rows, b->cols,
          b->stream);
    /* padding between rows keeps its canary in both, so one comparison sees all */
    check_that(memcmp(want.data, got.data, want.n) == 0 &&
                   memcmp(want_tiles.data, got_tiles.data, want_tiles.n) == 0 &&
                   check_buf_intact(&got) && check_buf_intact(&got_tiles),
               "rows %zu, cols %zu, padding %zu, offset %zu, stream %d, kind %d", b->rows, b->cols,
               b->pad, b->shift, b->stream, b->kind);
    check_buf_free(&want);
    check_buf_free(&got);
    check_buf_free(&want_tiles);
    check_buf_free(&got_tiles);
}

static void check_one(rc_recast_fp4_fp8_fn *fn, size_t rows, size_t cols, int kind)
{
    const size_t shift = check_below(3) ? check_below(64) : 0, in = check_below(64);
    check_buf codes = check_buf_new(rows * cols / 2, in), scales = check_buf_new(rows * cols / 32, in);
    band b = { fn, rows, cols, check_below(2) * 64, shift, check_below(2), codes.data, scales.data,
               kind };

    make_band(codes.data, scales.data, rows, cols, (shape)kind);
    if (check_below(4))
        run(&b);
    else
        check_in_rounding_modes(run, &b);
    check_buf_free(&codes);
    check_buf_free(&scales);
}

/* Every code under every scale byte, beside a largest scale of every byte: a tile
 * of two rows, the first all s, the second all `top`. */
static void check_all_pairs(rc_recast_fp4_fp8_fn *fn)
{
    uint8_t codes[2 * 64], scales[2 * 4];

    for (unsigned top = 0; top < 256; top++)
        for (unsigned s = 0; s < 256; s++) {
            band b = { fn, 2, 128, 0, 0, false, codes, scales, -1 };
            memset(scales, (int)s, 4);
            memset(scales + 4, (int)top, 4);
            for (unsigned i = 0; i < 128; i++)
                codes[i] = (uint8_t)(i < 64 ? (i % 8) | (i % 8 + 8) << 4 : 0x80);
            if (s % 3 == 0) /* without halves and threes: survives a wider spread */
                for (unsigned i = 0; i < 64; i++)
                    codes[i] = (uint8_t)(i & 1 ? 0x64 : 0xe6);
            run(&b);
        }
}

void check_recast_fp4_fp8(void)
{
    static const size_t widths[] = { 32, 96, 128, 160, 256, 384, 512, 1024, 2048, 2080, 4096, 8320 };

    for (const rc_recast_fp4_fp8_impl *row = rc_recast_fp4_fp8_impls + 1; row->fn; row++) {
        if (!check_begin("recast_fp4_fp8", row->name, row->need))
            continue;
        check_all_pairs(row->fn);
        for (size_t rows = 1; rows <= 128; rows++)
            check_one(row->fn, rows, 32 * (1 + check_below(20)), (int)check_below(SHAPES));
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
            for (int kind = 0; kind < SHAPES; kind++) {
                check_one(row->fn, 128, widths[w], kind);
                check_one(row->fn, 1 + check_below(127), widths[w], kind);
            }
        check_end();
    }
}
