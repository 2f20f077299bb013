/* tests/bench/bench_archive.c - pieces of an archive, beside `zstd -3` on the same bytes.
 *
 * Weights are Gaussian with a gain for every 128 in a row, quantized as a release quantizes and
 * converted by the kernels that convert runs. Unlike those of `recast synth`, which draws from
 * pools, none of them is there twice: what is saved here is saved on weights that nobody has seen.
 * Rates are of source bytes and of one
 * processor's time; packing includes its proof. */
#include "tests/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "formats/archive_codec.h"
#include "kernels/codes.h"
#include "kernels/dequant_fp4.h"
#include "kernels/recast_fp4_fp8.h"

enum { ROWS = 4096, COLS = 4096, GAIN = 128, BAND = 128, PASSES = 7 };
enum { MOST_PIECES = 2 * ROWS * COLS / (2 << 20) };

typedef struct tensor {
    const char *name;
    rc_dtype dtype;
    size_t nbytes;
    uint8_t *data;
    uint8_t *packed, *back;
    rc_packed piece[MOST_PIECES];
    rc_packer *packer;
    size_t stored;
} tensor;

/* ---------------------------------------------------------------------- data */

/* The finaliser of splitmix64: a counter in, 64 even bits out. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Weight i: mean 0, standard deviation 0.01 .. 0.04. */
static float weight(uint64_t i)
{
    int sum = 0;

    for (uint64_t k = 0; k < 3; k++)
        for (uint64_t r = mix(3 * i + k); r; r >>= 16)
            sum += (int)(r & 0xffff);
    return (float)(sum - 6 * 65535) * 0x1p-16f * 0.02f *
           (0.5f + 1.5f * (float)(mix(~(i / GAIN)) >> 48) * 0x1p-16f);
}

static unsigned e2m1(float x)
{
    static const float bound[7] = { 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5 };
    unsigned code = 0;

    while (code < 7 && fabsf(x) > bound[code])
        code++;
    return code | (x < 0 ? 8 : 0);
}

static void fill_fp4(uint8_t *codes, uint8_t *scales)
{
    for (size_t g = 0; g < (size_t)ROWS * COLS / 32; g++) {
        float x[32], most = 0;
        int e;

        for (size_t i = 0; i < 32; i++) {
            x[i] = weight(32 * g + i);
            most = fmaxf(most, fabsf(x[i]));
        }
        if (frexpf(most / 6, &e) == 0.5f) /* 2^e: the least power that holds most */
            e--;
        scales[g] = (uint8_t)(127 + e);
        for (size_t i = 0; i < 32; i += 2)
            codes[16 * g + i / 2] =
                (uint8_t)(e2m1(ldexpf(x[i], -e)) | e2m1(ldexpf(x[i + 1], -e)) << 4);
    }
}

/* To nearest even of three bits of mantissa, as the release's quantizer under a tile scale. */
static uint8_t e4m3(float x)
{
    const float a = fminf(fabsf(x), 448);
    const unsigned sign = x < 0 ? 0x80 : 0;
    int e;

    if (a < 0x1p-6f)
        return (uint8_t)(sign | (unsigned)lrintf(a * 512));
    frexpf(a, &e);
    return (uint8_t)(sign | ((unsigned)lrintf(ldexpf(a, 4 - e)) + ((unsigned)(e + 5) << 3)));
}

static void fill_numbers(uint8_t *fp8, uint16_t *bf16, float *f32)
{
    for (size_t i = 0; i < (size_t)ROWS * COLS; i++) {
        const float x = weight(i);

        fp8[i] = e4m3(x * 2048); /* the greatest of a tile lies between 224 and 448 */
        bf16[i] = rc_bf16_round(x);
        if (i < ROWS * COLS / 4)
            f32[i] = x;
    }
}

static void recast(uint8_t *fp8, uint16_t *bf16, const uint8_t *codes, const uint8_t *scales)
{
    static rc_fp8_tile tiles[COLS / 128];

    for (size_t r = 0; r < ROWS; r += BAND)
        rc_recast_fp4_fp8_best()(fp8 + r * COLS, COLS, tiles, codes + r * COLS / 2,
                                 scales + r * COLS / 32, BAND, COLS, false);
    for (size_t r = 0; r < ROWS; r++)
        rc_dequant_fp4_bf16_best()(bf16 + r * COLS, codes + r * COLS / 2, scales + r * COLS / 32,
                                   COLS);
}

/* -------------------------------------------------------------------- passes */

static size_t piece_bytes(const tensor *t, size_t i)
{
    const size_t left = t->nbytes - i * RC_PIECE_BYTES;

    return left < RC_PIECE_BYTES ? left : RC_PIECE_BYTES;
}

static uint8_t *frames(const tensor *t, size_t i)
{
    return t->packed + i * rc_pack_bound(RC_PIECE_BYTES);
}

static void must(rc_code rc, const rc_err *err)
{
    if (rc == RC_OK)
        return;
    fprintf(stderr, "bench: %s\n", err->msg);
    exit(rc);
}

static void pack(tensor *t)
{
    rc_err err = { 0 };

    t->stored = 0;
    for (size_t i = 0; i * RC_PIECE_BYTES < t->nbytes; i++) {
        must(rc_pack(t->packer, t->dtype, t->data + i * RC_PIECE_BYTES, piece_bytes(t, i),
                     frames(t, i), t->piece + i, &err),
             &err);
        for (unsigned f = 0; f < t->piece[i].nplanes; f++)
            t->stored += t->piece[i].frame[f];
    }
}

static void unpack(tensor *t)
{
    rc_err err = { 0 };

    for (size_t i = 0; i * RC_PIECE_BYTES < t->nbytes; i++)
        must(rc_unpack(t->packer, t->piece + i, frames(t, i), t->back + i * RC_PIECE_BYTES, &err),
             &err);
}

static void zstd_pack(tensor *t)
{
    t->stored = ZSTD_compress(t->packed, ZSTD_compressBound(t->nbytes), t->data, t->nbytes, 3);
}

static void zstd_unpack(tensor *t)
{
    if (ZSTD_isError(ZSTD_decompress(t->back, t->nbytes, t->packed, t->stored)))
        abort();
}

static double processor(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* MB/s of source bytes, by processor time: the median of the passes. */
static double rate(void (*pass)(tensor *), tensor *t)
{
    double seconds[PASSES];

    for (unsigned i = 0; i < PASSES; i++) {
        unsigned at = i;
        double now = processor();

        pass(t);
        for (now = processor() - now; at > 0 && seconds[at - 1] > now; at--)
            seconds[at] = seconds[at - 1];
        seconds[at] = now;
    }
    return (double)t->nbytes / seconds[PASSES / 2] / 1e6;
}

static void row(tensor *t, const char *as, void (*in)(tensor *), void (*out)(tensor *))
{
    const double pack_rate = rate(in, t), unpack_rate = rate(out, t);

    if (memcmp(t->back, t->data, t->nbytes) != 0)
        abort();
    printf("%-16s %-9s %9.3f %9.0f %9.0f\n", t->name, as ? as : rc_pack_mode_name(t->piece[0].mode),
           (double)t->stored / (double)t->nbytes, pack_rate, unpack_rate);
    fflush(stdout);
}

static void measure(tensor *t)
{
    const size_t pieces = (t->nbytes + RC_PIECE_BYTES - 1) / RC_PIECE_BYTES;
    rc_mem mem = { 0 };
    rc_err err = { 0 };

    t->packed = bench_buffer(pieces * rc_pack_bound(RC_PIECE_BYTES));
    t->back = bench_buffer(t->nbytes);
    must(rc_packer_new(&t->packer, 0, &mem, &err), &err);
    row(t, NULL, pack, unpack);
    row(t, "zstd -3", zstd_pack, zstd_unpack);
    rc_packer_free(&t->packer);
    free(t->packed);
    free(t->back);
}

/* NAME.bin, for other programs. */
static int keep(const tensor *t, const char *folder)
{
    char path[512];
    FILE *f;
    bool ok;

    snprintf(path, sizeof path, "%s/%s.bin", folder, t->name);
    f = fopen(path, "wb");
    ok = f && fwrite(t->data, 1, t->nbytes, f) == t->nbytes;
    ok = f && fclose(f) == 0 && ok;
    if (!ok)
        perror(path);
    return ok ? 0 : 1;
}

int bench_archive(const char *folder)
{
    const size_t n = (size_t)ROWS * COLS;
    tensor tensors[] = {
        { .name = "fp4-codes", .dtype = RC_DTYPE_I8, .nbytes = n / 2 },
        { .name = "fp4-scales", .dtype = RC_DTYPE_F8_E8M0, .nbytes = n / 32 },
        { .name = "fp8-from-fp4", .dtype = RC_DTYPE_F8_E4M3, .nbytes = n },
        { .name = "bf16-from-fp4", .dtype = RC_DTYPE_BF16, .nbytes = 2 * n },
        { .name = "fp8", .dtype = RC_DTYPE_F8_E4M3, .nbytes = n },
        { .name = "bf16", .dtype = RC_DTYPE_BF16, .nbytes = 2 * n },
        { .name = "f32", .dtype = RC_DTYPE_F32, .nbytes = n },
    };
    const size_t count = sizeof tensors / sizeof *tensors;
    int bad = 0;

    for (size_t i = 0; i < count; i++)
        tensors[i].data = bench_buffer(tensors[i].nbytes);
    fill_fp4(tensors[0].data, tensors[1].data);
    recast(tensors[2].data, (void *)tensors[3].data, tensors[0].data, tensors[1].data);
    fill_numbers(tensors[4].data, (void *)tensors[5].data, (void *)tensors[6].data);
    if (!folder)
        printf("%-16s %-9s %9s %9s %9s\n", "bytes of", "as", "size left", "MB/s in", "MB/s out");
    for (size_t i = 0; i < count; i++) {
        if (folder)
            bad |= keep(tensors + i, folder);
        else if (bench_wanted(tensors[i].name))
            measure(tensors + i);
        free(tensors[i].data);
    }
    return bad;
}
