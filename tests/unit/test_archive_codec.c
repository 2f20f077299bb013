/* tests/unit/test_archive_codec.c - pieces of an archive: planes by every variant, the FP4 ladder
 * against its definition in double, round trips of everything, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/archive_codec.h"
#include "formats/archive_planes.h"

enum { MOST = 300 }; /* elements: every tail of every variant */

static uint64_t seed = 88172645463325252u;

static uint32_t draw(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % n;
}

static void fill(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)draw(256);
}

/* -------------------------------------------------- the formats' definitions */

static const double fp4[8] = { 0, 0.5, 1, 1.5, 2, 3, 4, 6 };

static double e4m3(unsigned byte)
{
    const int e = (int)(byte >> 3 & 15), m = (int)(byte & 7);

    return e ? ldexp(8 + m, e - 10) : ldexp(m, -9);
}

static double bf16(unsigned bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float x;

    memcpy(&x, &wide, sizeof x);
    return (double)x;
}

static bool is_fp4(double x, int power)
{
    for (unsigned c = 0; c < 8; c++)
        if (ldexp(fp4[c], power) == x)
            return true;
    return false;
}

/* By which powers of two an E4M3 magnitude is FP4, a bit for each; a NaN by none. */
static void set_powers(uint32_t powers[128])
{
    for (unsigned m = 0; m < 127; m++)
        for (int power = -12; power < 12; power++)
            powers[m] |= (uint32_t)is_fp4(e4m3(m), power) << (power + 12);
}

static uint8_t e4m3_of(double x)
{
    for (unsigned byte = 0; byte < 0x7f; byte++)
        if (e4m3(byte) == x)
            return (uint8_t)byte;
    fail();
    return 0;
}

static void put_bf16(uint8_t *p, double x, bool negative)
{
    const float f = (float)x;
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    assert_int_equal(bits & 0xffff, 0);
    p[0] = (uint8_t)(bits >> 16);
    p[1] = (uint8_t)(bits >> 24 | (unsigned)negative << 7);
}

/* A group that some power of two holds: all codes that its range admits, both signs, both zeros. */
static void fp8_group(uint8_t *p)
{
    const int power = (int)draw(15) - 8; /* 0.5 * 2^-8 and 6 * 2^6 are E4M3 */
    const unsigned codes = draw(8) + 1;

    for (unsigned i = 0; i < RC_LADDER_GROUP; i++)
        p[i] = (uint8_t)(e4m3_of(ldexp(fp4[draw(codes)], power)) | draw(2) << 7);
}

static void bf16_group(uint8_t *p)
{
    const int power = (int)draw(249) - 125;
    const unsigned codes = draw(8) + 1;

    for (unsigned i = 0; i < RC_LADDER_GROUP; i++)
        put_bf16(p + 2 * i, ldexp(fp4[draw(codes)], power), draw(2));
}

/* ------------------------------------------------------------------ variants */

/* Exactly as long as they may be touched, for the sanitizers; and at odd places. */
typedef struct blocks {
    uint8_t *src, *a, *b, *want_a, *want_b, *back, *whole[6];
} blocks;

static uint8_t *block(uint8_t **whole, size_t nbytes)
{
    const size_t shift = draw(64);

    *whole = malloc(shift + nbytes + 1);
    assert_non_null(*whole);
    memset(*whole, 0xa5, shift + nbytes + 1);
    return *whole + shift;
}

static blocks blocks_new(size_t src, size_t a, size_t b)
{
    blocks x;

    x.src = block(x.whole, src);
    x.a = block(x.whole + 1, a);
    x.b = block(x.whole + 2, b);
    x.want_a = block(x.whole + 3, a);
    x.want_b = block(x.whole + 4, b);
    x.back = block(x.whole + 5, src);
    return x;
}

static void blocks_free(blocks *x, size_t src, size_t a, size_t b)
{
    assert_int_equal(x->a[a], 0xa5);
    assert_int_equal(x->b[b], 0xa5);
    assert_int_equal(x->back[src], 0xa5);
    assert_memory_equal(x->a, x->want_a, a);
    assert_memory_equal(x->b, x->want_b, b);
    assert_memory_equal(x->src, x->back, src);
    for (unsigned i = 0; i < 6; i++)
        free(x->whole[i]);
}

static void same_planes(const rc_planes_impl *v, size_t n)
{
    const rc_planes_impl *ref = &rc_planes_ref;
    blocks x = blocks_new(2 * n, n, n);

    fill(x.src, 2 * n);
    ref->split_bf16(x.want_a, x.want_b, x.src, n);
    v->split_bf16(x.a, x.b, x.src, n);
    v->join_bf16(x.back, x.a, x.b, n);
    blocks_free(&x, 2 * n, n, n);

    x = blocks_new(2 * n, n, n);
    fill(x.src, 2 * n);
    ref->split_fp8(x.want_a, x.want_b, x.src, 2 * n);
    v->split_fp8(x.a, x.b, x.src, 2 * n);
    v->join_fp8(x.back, x.a, x.b, 2 * n);
    blocks_free(&x, 2 * n, n, n);

    x = blocks_new(4 * n, 4 * n, 0);
    fill(x.src, 4 * n);
    ref->split_f32(x.want_a, n, x.src, n);
    v->split_f32(x.a, n, x.src, n);
    v->join_f32(x.back, x.a, n, n);
    blocks_free(&x, 4 * n, 4 * n, 0);
}

static void same_ladder(const rc_planes_impl *v, size_t groups)
{
    const rc_planes_impl *ref = &rc_planes_ref;
    blocks x = blocks_new(32 * groups, 16 * groups, groups);

    for (size_t g = 0; g < groups; g++)
        fp8_group(x.src + 32 * g);
    assert_true(ref->split_fp8_fp4(x.want_a, x.want_b, x.src, groups));
    assert_true(v->split_fp8_fp4(x.a, x.b, x.src, groups));
    v->join_fp8_fp4(x.back, x.a, x.b, groups);
    blocks_free(&x, 32 * groups, 16 * groups, groups);

    x = blocks_new(64 * groups, 16 * groups, groups);
    for (size_t g = 0; g < groups; g++)
        bf16_group(x.src + 64 * g);
    assert_true(ref->split_bf16_fp4(x.want_a, x.want_b, x.src, groups));
    assert_true(v->split_bf16_fp4(x.a, x.b, x.src, groups));
    v->join_bf16_fp4(x.back, x.a, x.b, groups);
    blocks_free(&x, 64 * groups, 16 * groups, groups);
}

/* Every pair of bytes, anywhere in a group of zeros, against the definition. */
static void ladder_of_fp8(const rc_planes_impl *v)
{
    uint8_t src[2 * RC_LADDER_GROUP], back[2 * RC_LADDER_GROUP], codes[32], exponent[2];
    uint32_t powers[128] = { 0 };

    set_powers(powers);
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            const bool want = powers[a & 0x7f] & powers[b & 0x7f];
            const uint32_t at = draw(2) * RC_LADDER_GROUP, i = draw(32),
                           j = (i + 1 + draw(31)) % 32;

            memset(src, 0, sizeof src);
            src[at + i] = (uint8_t)a;
            src[at + j] = (uint8_t)b;
            assert_int_equal(v->split_fp8_fp4(codes, exponent, src, 2), want);
            if (want) {
                assert_true(exponent[0] <= RC_LADDER_FP8_MOST);
                assert_true(exponent[1] <= RC_LADDER_FP8_MOST);
                v->join_fp8_fp4(back, codes, exponent, 2);
                assert_memory_equal(src, back, sizeof src);
            }
        }
}

/* One number in a group beside another of any size: all 65536 patterns. */
static void ladder_of_bf16(const rc_planes_impl *v)
{
    uint8_t src[2 * RC_LADDER_GROUP], back[2 * RC_LADDER_GROUP], codes[16], exponent;

    for (unsigned bits = 0; bits < 65536; bits++) {
        const double x = fabs(bf16(bits));
        const int power = isfinite(x) && x > 0 ? ilogb(x) - 4 + (int)draw(9) : 0;
        const unsigned other = power > -120 && power < 120 ? (unsigned)(power + 127) << 7 : 0;
        bool fits = x == 0;

        /* the format's: one bit of mantissa, neither subnormal nor infinite, and a common power */
        for (int k = -4; k < 9 && !fits && isfinite(x) && ilogb(x) >= -126; k++)
            fits = is_fp4(x, ilogb(x) - k) && (other == 0 || is_fp4(bf16(other), ilogb(x) - k));
        memset(src, 0, sizeof src);
        src[10] = (uint8_t)bits;
        src[11] = (uint8_t)(bits >> 8);
        src[60] = (uint8_t)other;
        src[61] = (uint8_t)(other >> 8);
        assert_int_equal(v->split_bf16_fp4(codes, &exponent, src, 1), fits);
        if (fits) {
            v->join_bf16_fp4(back, codes, &exponent, 1);
            assert_memory_equal(src, back, sizeof src);
        }
    }
}

/* What neither variant can hold, all refuse. */
static void same_refusals(const rc_planes_impl *v)
{
    uint8_t src[64 * 9], codes[16 * 9], exponent[9];

    for (unsigned i = 0; i < 4000; i++) {
        const size_t groups = 1 + draw(9), at = draw((uint32_t)groups);

        for (size_t g = 0; g < groups; g++)
            fp8_group(src + 32 * g);
        src[32 * at + draw(32)] = (uint8_t)draw(256);
        assert_int_equal(v->split_fp8_fp4(codes, exponent, src, groups),
                         rc_planes_ref.split_fp8_fp4(codes, exponent, src, groups));
        for (size_t g = 0; g < groups; g++)
            bf16_group(src + 64 * g);
        fill(src + 64 * at + 2 * draw(32), 2);
        assert_int_equal(v->split_bf16_fp4(codes, exponent, src, groups),
                         rc_planes_ref.split_bf16_fp4(codes, exponent, src, groups));
    }
}

static void variant(const rc_planes_impl *v)
{
    if (!rc_planes_runs(v))
        return;
    for (size_t n = 0; n < MOST; n++)
        same_planes(v, n);
    for (size_t groups = 0; groups < 40; groups++)
        same_ladder(v, groups);
    ladder_of_fp8(v);
    ladder_of_bf16(v);
    same_refusals(v);
}

static void test_planes(void **state)
{
    (void)state;
    variant(&rc_planes_ref);
    variant(&rc_planes_avx2);
    variant(&rc_planes_avx512);
    assert_true(rc_planes_runs(rc_planes_best()));
}

/* The layout that docs/archive.md promises, by example. */
static void test_layout(void **state)
{
    static const uint8_t bf[4] = { 0xc1, 0xbf, 0x80, 0x3f }; /* -1.5078125, 1 */
    static const uint8_t f8[2] = { 0xb9, 0x07 };             /* -1.125, 7 * 2^-9 */
    uint8_t group[32] = { 0x38, 0xbc, 0x80, 0x48 };          /* 1, -1.5, -0, 4 */
    uint8_t a[16], b[16];

    (void)state;
    rc_planes_ref.split_bf16(a, b, bf, 2);
    assert_memory_equal(a, "\x7f\x7f", 2);
    assert_memory_equal(b, "\xc1\x00", 2);
    rc_planes_ref.split_fp8(a, b, f8, 2);
    assert_int_equal(a[0], 0x07);
    assert_int_equal(b[0], 0x79);
    assert_true(rc_planes_ref.split_fp8_fp4(a, b, group, 1));
    assert_memory_equal(a, "\xb2\x68\0\0", 4); /* as a native checkpoint has them */
    assert_int_equal(b[0], 11);                /* 4 = 2^2, rung 22 */
}

/* --------------------------------------------------------------------- codec */

typedef struct world {
    rc_mem mem;
    rc_err err;
    rc_packer *packer;
    uint8_t *src, *out, *back;
} world;

static void world_open(world *w, int level)
{
    *w = (world){ 0 };
    assert_int_equal(rc_packer_new(&w->packer, level, &w->mem, &w->err), RC_OK);
    w->src = malloc(RC_PIECE_BYTES);
    w->out = malloc(rc_pack_bound(RC_PIECE_BYTES));
    w->back = malloc(RC_PIECE_BYTES);
    assert_true(w->src && w->out && w->back);
}

static void world_close(world *w)
{
    rc_packer_free(&w->packer);
    assert_null(w->packer);
    rc_packer_free(&w->packer);
    assert_int_equal(w->mem.used, 0);
    free(w->src);
    free(w->out);
    free(w->back);
}

static size_t frames_of(const rc_packed *p)
{
    return (size_t)p->frame[0] + p->frame[1] + p->frame[2];
}

/* There and back; returns bytes stored. */
static size_t round_trip(world *w, rc_dtype dtype, size_t nbytes, rc_packed *p)
{
    assert_int_equal(rc_pack(w->packer, dtype, w->src, nbytes, w->out, p, &w->err), RC_OK);
    assert_true(rc_packed_is_sane(p));
    assert_int_equal(p->nbytes, nbytes);
    assert_true(frames_of(p) <= rc_pack_bound(nbytes));
    memset(w->back, 0xee, nbytes);
    assert_int_equal(rc_unpack(w->packer, p, w->out, w->back, &w->err), RC_OK);
    assert_memory_equal(w->src, w->back, nbytes);
    return frames_of(p);
}

static void fill_kind(uint8_t *p, size_t n, unsigned kind)
{
    switch (kind) {
    case 0:
        fill(p, n);
        break;
    case 1:
        memset(p, 0x80, n);
        break;
    case 2:
        for (size_t i = 0; i + 32 <= n; i += 32)
            fp8_group(p + i);
        break;
    case 3:
        for (size_t i = 0; i + 64 <= n; i += 64)
            bf16_group(p + i);
        break;
    default:
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)((size_t) "weights "[i % 8] + (i >> 9));
    }
}

static void test_round_trips(void **state)
{
    static const size_t sizes[] = { 1,  2,   3,      4,      31,          32,    33,
                                    63, 64,  100,    128,    4096,        8191,  65536,
                                    96, 160, 131072, 131073, 262144 + 64, 999999 };
    world w;
    rc_packed p;

    (void)state;
    for (int level = 0; level < 8; level += 7) {
        world_open(&w, level);
        for (unsigned kind = 0; kind < 5; kind++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
                for (int d = 0; d <= RC_DTYPE_COUNT; d++)
                    if (sizes[s] < 9000 || d == RC_DTYPE_COUNT || d == RC_DTYPE_BF16 ||
                        d == RC_DTYPE_F8_E4M3 || (d == RC_DTYPE_F32 && level == 0)) {
                        memset(w.src, 0, sizes[s]);
                        fill_kind(w.src, sizes[s], kind);
                        round_trip(&w, (rc_dtype)d, sizes[s], &p);
                    }
        world_close(&w);
    }
}

/* Sum of twelve uniform numbers: a Gaussian of deviation 1. */
static double gaussian(void)
{
    double sum = -6;

    for (unsigned i = 0; i < 12; i++)
        sum += draw(65536) / 65536.0;
    return sum;
}

static void test_modes_and_sizes(void **state)
{
    const size_t n = RC_PIECE_BYTES;
    world w;
    rc_packed p;

    (void)state;
    world_open(&w, 0);
    for (size_t g = 0; g < n / 32; g++) { /* FP4 under scales of 2^-2 .. 2^1 */
        const int power = (int)draw(4) - 2;

        for (size_t i = 0; i < 32; i++) {
            const double x = gaussian() * 2;
            unsigned c = 0;

            while (c < 7 && fabs(x) > (fp4[c] + fp4[c + 1]) / 2)
                c++;
            w.src[32 * g + i] = (uint8_t)(e4m3_of(ldexp(fp4[c], power)) | (x < 0 ? 0x80 : 0));
        }
    }
    assert_true((double)round_trip(&w, RC_DTYPE_F8_E4M3, n, &p) < 0.54 * (double)n);
    assert_int_equal(p.mode, RC_PACK_FP8_FP4);
    w.src[n - 1] = 0x7f; /* one NaN */
    assert_true((double)round_trip(&w, RC_DTYPE_F8_E4M3, n, &p) > 0.54 * (double)n);
    assert_int_equal(p.mode, RC_PACK_FP8);
    for (size_t i = 0; i < n; i += 2) { /* cut, not rounded: the mantissas are noise either way */
        const float x = (float)(0.02 * gaussian());
        uint32_t bits;

        memcpy(&bits, &x, sizeof bits);
        w.src[i] = (uint8_t)(bits >> 16);
        w.src[i + 1] = (uint8_t)(bits >> 24);
    }
    assert_true((double)round_trip(&w, RC_DTYPE_BF16, n, &p) < 0.70 * (double)n);
    assert_int_equal(p.mode, RC_PACK_BF16);
    for (size_t i = 0; i < n; i += 64)
        bf16_group(w.src + i);
    assert_true((double)round_trip(&w, RC_DTYPE_BF16, n, &p) < 0.28 * (double)n);
    assert_int_equal(p.mode, RC_PACK_BF16_FP4);
    round_trip(&w, RC_DTYPE_I8, n, &p);
    assert_int_equal(p.mode, RC_PACK_PLAIN);
    round_trip(&w, RC_DTYPE_F32, n, &p);
    assert_int_equal(p.mode, RC_PACK_F32);
    world_close(&w);
}

static void test_same_frames_again(void **state)
{
    const size_t n = 300000;
    world a, b;
    rc_packed p, q;

    (void)state;
    world_open(&a, 0);
    world_open(&b, 0);
    fill_kind(a.src, n, 3);
    memcpy(b.src, a.src, n);
    fill(b.back, n);
    assert_int_equal(rc_pack(b.packer, RC_DTYPE_F32, b.back, n, b.out, &q, &b.err), RC_OK);
    round_trip(&a, RC_DTYPE_BF16, n, &p);
    round_trip(&b, RC_DTYPE_BF16, n, &q);
    assert_memory_equal(&p, &q, sizeof p);
    assert_memory_equal(a.out, b.out, frames_of(&p));
    world_close(&a);
    world_close(&b);
}

static void test_sane(void **state)
{
    const rc_packed good = {
        .mode = RC_PACK_FP8_FP4, .nbytes = 64, .nplanes = 2, .frame = { 20, 11 }, .plane = { 32, 2 }
    };
    rc_packed p = good;

    (void)state;
    assert_true(rc_packed_is_sane(&p));
#define REFUSES(field, value)                                                                      \
    do {                                                                                           \
        p = good;                                                                                  \
        p.field = (value);                                                                         \
        assert_false(rc_packed_is_sane(&p));                                                       \
    } while (0)
    REFUSES(mode, RC_PACK_MODES);
    REFUSES(mode, (rc_pack_mode)-1);
    REFUSES(mode, RC_PACK_PLAIN);
    REFUSES(nbytes, 0);
    REFUSES(nbytes, 65);
    REFUSES(nbytes, 96);
    REFUSES(nbytes, UINT32_MAX);
    REFUSES(nplanes, 0);
    REFUSES(nplanes, 1);
    REFUSES(nplanes, 3);
    REFUSES(nplanes, UINT32_MAX);
    REFUSES(frame[0], 0);
    REFUSES(frame[1], UINT32_MAX);
    REFUSES(frame[2], 1);
    REFUSES(plane[0], 31);
    REFUSES(plane[1], 3);
    REFUSES(plane[2], 1);
#undef REFUSES
    p = (rc_packed){ .mode = RC_PACK_PLAIN,
                     .nbytes = (uint32_t)RC_PIECE_BYTES + 1,
                     .nplanes = 1,
                     .frame = { 20 },
                     .plane = { (uint32_t)RC_PIECE_BYTES + 1 } };
    assert_false(rc_packed_is_sane(&p));
    assert_string_equal(rc_pack_mode_name(RC_PACK_FP8_FP4), "fp8-fp4");
    assert_string_equal(rc_pack_mode_name(RC_PACK_MODES), "?");
}

/* A changed byte is found by the frame or changes the result (the container's digest then sees it);
 * a frame that is cut, empty, of another size or followed by something is always found. */
static void test_damage(void **state)
{
    static const rc_dtype of[] = { RC_DTYPE_F8_E4M3, RC_DTYPE_BF16, RC_DTYPE_F32, RC_DTYPE_I8 };
    const size_t n = 64 * 100;
    world w;
    rc_packed p, q;

    (void)state;
    world_open(&w, 0);
    for (unsigned d = 0; d < 4; d++) {
        fill_kind(w.src, n, d % 2 ? 3 : 2);
        round_trip(&w, of[d], n, &p);
        for (unsigned i = 0; i < 3000; i++) {
            const uint32_t at = draw((uint32_t)frames_of(&p));
            rc_code rc;

            w.out[at] ^= (uint8_t)(1 + draw(255));
            rc = rc_unpack(w.packer, &p, w.out, w.back, &w.err);
            assert_true(rc == RC_OK || (rc == RC_E_INTEGRITY && w.err.msg[0]));
            round_trip(&w, of[d], n, &p);
        }
        q = p;
        q.frame[p.nplanes - 1]--;
        assert_int_equal(rc_unpack(w.packer, &q, w.out, w.back, &w.err), RC_E_INTEGRITY);
        memset(w.out + frames_of(&p), 0, 8);
        q.frame[p.nplanes - 1] += 2;
        assert_int_equal(rc_unpack(w.packer, &q, w.out, w.back, &w.err), RC_E_INTEGRITY);
        if (p.nplanes == 1) {
            q = p;
            q.nbytes += 4;
            q.plane[0] += 4;
            assert_true(rc_packed_is_sane(&q));
            assert_int_equal(rc_unpack(w.packer, &q, w.out, w.back, &w.err), RC_E_INTEGRITY);
        }
        memset(w.out, 0, frames_of(&p));
        assert_int_equal(rc_unpack(w.packer, &p, w.out, w.back, &w.err), RC_E_INTEGRITY);
    }
    world_close(&w);
}

/* Frames that are whole, planes that no splitting makes. */
static void test_impossible_exponent(void **state)
{
    rc_packed p = { .mode = RC_PACK_FP8_FP4, .nbytes = 2048, .nplanes = 2 }, part;
    world w;

    (void)state;
    world_open(&w, 0);
    for (unsigned most = RC_LADDER_FP8_MOST; most <= RC_LADDER_FP8_MOST + 1; most++) {
        fill(w.src, 1024);
        assert_int_equal(rc_pack(w.packer, RC_DTYPE_I8, w.src, 1024, w.out, &part, &w.err), RC_OK);
        p.plane[0] = part.plane[0];
        p.frame[0] = part.frame[0];
        memset(w.src, (int)most, 64);
        assert_int_equal(
            rc_pack(w.packer, RC_DTYPE_I8, w.src, 64, w.out + p.frame[0], &part, &w.err), RC_OK);
        p.plane[1] = part.plane[0];
        p.frame[1] = part.frame[0];
        assert_true(rc_packed_is_sane(&p));
        assert_int_equal(rc_unpack(w.packer, &p, w.out, w.back, &w.err),
                         most == RC_LADDER_FP8_MOST ? RC_OK : RC_E_INTEGRITY);
    }
    world_close(&w);
}

static void test_memory(void **state)
{
    static uint8_t src[64 * 40], out[8192], back[64 * 40];
    rc_code rc = RC_E_OS;

    (void)state;
    for (size_t i = 0; i < 40; i++)
        bf16_group(src + 64 * i);
    for (size_t fail_at = 1; rc != RC_OK; fail_at++) {
        rc_mem mem = { .fail_at = fail_at };
        rc_err err = { 0 };
        rc_packer *packer;
        rc_packed p;

        assert_true(fail_at < 100);
        rc = rc_packer_new(&packer, 0, &mem, &err);
        if (rc == RC_OK)
            rc = rc_pack(packer, RC_DTYPE_BF16, src, sizeof src, out, &p, &err);
        if (rc == RC_OK)
            rc = rc_unpack(packer, &p, out, back, &err);
        assert_true(rc == RC_OK || (rc == RC_E_OS && err.msg[0]));
        assert_true(fail_at > 3 || rc == RC_E_OS);
        rc_packer_free(&packer);
        assert_int_equal(mem.used, 0);
    }
    assert_memory_equal(src, back, sizeof src);
}

/* Nothing, and too much. */
static void test_bad_sizes(void **state)
{
    world w;
    rc_packed p;

    (void)state;
    world_open(&w, 0);
    assert_int_equal(rc_pack(w.packer, RC_DTYPE_I8, w.src, 0, w.out, &p, &w.err), RC_E_INTERNAL);
    assert_int_equal(rc_pack(w.packer, RC_DTYPE_I8, w.src, RC_PIECE_BYTES + 1, w.out, &p, &w.err),
                     RC_E_INTERNAL);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planes),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_modes_and_sizes),
        cmocka_unit_test(test_same_frames_again),
        cmocka_unit_test(test_sane),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_impossible_exponent),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_bad_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
