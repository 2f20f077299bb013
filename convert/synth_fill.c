/* convert/synth_fill.c - pools of quantized Gaussians, and draws from them.
 *
 * Integer arithmetic decides everything but a few products and roundings, and
 * no function of libm takes part: the same bytes on every machine. */
#include "convert/synth_fill.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 4096,   /* bytes of a tensor that one draw fills */
    GROUPS = 65536, /* of 32 weights, in the FP4 pool */
    GROUP_BYTES = 16,
    BLOCK_GROUPS = BLOCK / GROUP_BYTES,
    CODES = 1 << 20,   /* in the FP8 pool */
    WEIGHTS = 1 << 19, /* in the BF16 pool */
    UNITS = 1 << 16,   /* in the F32 pool */
    STRETCH = 128      /* weights in a row with one gain; the width of an FP8 tile */
};

struct rc_fill {
    rc_mem *mem;
    uint64_t seed;
    uint8_t fp4[GROUPS * GROUP_BYTES], fp4_scale[GROUPS];
    uint8_t fp8[CODES];
    uint8_t weight[2 * WEIGHTS];
    float unit[UNITS];
};

/* The finaliser of splitmix64: a counter in, 64 even bits out. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t draw(uint64_t key, uint64_t counter)
{
    return mix(key ^ mix(counter));
}

/* 0 .. n-1, from 32 even bits. */
static uint32_t below(uint64_t bits, uint32_t n)
{
    return (uint32_t)(((bits >> 32) * n) >> 32);
}

/* Mean 0, variance 1: the sum of twelve uniform 16-bit numbers. The tails end at
 * 6 sigma, which no draw of a few million reaches anyway. */
static float gaussian(uint64_t key, uint64_t i)
{
    int32_t sum = 0;

    for (uint64_t k = 0; k < 3; k++) {
        const uint64_t r = draw(key, 3 * i + k);

        sum += (int32_t)(r & 0xffff) + (int32_t)(r >> 16 & 0xffff) + (int32_t)(r >> 32 & 0xffff) +
               (int32_t)(r >> 48);
    }
    return (float)(sum - 6 * 65535) * 0x1p-16f;
}

/* Gain of the i-th stretch of a pool, lo .. hi. */
static float gain_of(uint64_t key, uint64_t i, float lo, float hi)
{
    return lo + (hi - lo) * (float)(draw(~key, i) >> 48) * 0x1p-16f;
}

static unsigned nearest_e2m1(float x)
{
    static const float bound[7] = { 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5 };
    unsigned code = 0;

    while (code < 7 && fabsf(x) > bound[code])
        code++;
    return code | (x < 0 ? 8 : 0);
}

static uint8_t nearest_e4m3(float x)
{
    const float a = fabsf(x) > 448 ? 448 : fabsf(x);
    uint32_t bits;
    unsigned code;

    if (a < 0x1p-6f) {
        code = (unsigned)(a * 512 + 0.5f); /* 8 is the smallest normal: no special case */
    } else {
        memcpy(&bits, &a, sizeof bits);
        bits += (1u << 19) - 1 + (bits >> 20 & 1); /* to nearest even of 3 mantissa bits */
        code = (bits >> 20) - ((127 - 7) << 3);
        code = code > 0x7e ? 0x7e : code;
    }
    return (uint8_t)(code | (x < 0 ? 0x80 : 0));
}

static uint16_t nearest_bf16(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void put_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void make_fp4(rc_fill *f, uint64_t key)
{
    for (uint32_t g = 0; g < GROUPS; g++) {
        const float gain = 0.02f * gain_of(key, g / (STRETCH / 32), 0.5f, 2);
        float x[32], amax = 0, inverse;
        int e;

        for (uint32_t i = 0; i < 32; i++) {
            x[i] = gain * gaussian(key, 32 * (uint64_t)g + i);
            amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        }
        if (frexpf(amax / 6, &e) == 0.5f) /* 2^e is now the least power >= amax / 6 */
            e--;
        inverse = ldexpf(1, -e);
        f->fp4_scale[g] = (uint8_t)(127 + e);
        for (uint32_t i = 0; i < 32; i += 2)
            f->fp4[g * GROUP_BYTES + i / 2] =
                (uint8_t)(nearest_e2m1(x[i] * inverse) | nearest_e2m1(x[i + 1] * inverse) << 4);
    }
}

static void make_pools(rc_fill *f)
{
    const uint64_t fp8 = draw(f->seed, 2), weight = draw(f->seed, 3), unit = draw(f->seed, 4);

    make_fp4(f, draw(f->seed, 1));
    /* The largest of the 16384 weights of a tile lies near 4 sigma: 90 puts it
     * between 224 and 448, where the quantizer of a release puts it. */
    for (uint32_t i = 0; i < CODES; i++)
        f->fp8[i] = nearest_e4m3(90 * gain_of(fp8, i / STRETCH, 0.5f, 1) * gaussian(fp8, i));
    for (uint32_t i = 0; i < WEIGHTS; i++)
        put_u16(f->weight + 2 * i, nearest_bf16(0.02f * gain_of(weight, i / STRETCH, 0.5f, 1.5f) *
                                                gaussian(weight, i)));
    for (uint32_t i = 0; i < UNITS; i++)
        f->unit[i] = gaussian(unit, i);
}

rc_code rc_fill_new(rc_fill **out, uint64_t seed, rc_mem *mem, rc_err *err)
{
    rc_fill *f = rc_mem_get(mem, sizeof *f);

    *out = f;
    if (!f)
        return rc_fail_nomem(err, mem, sizeof *f);
    f->mem = mem;
    f->seed = mix(seed);
    make_pools(f);
    return RC_OK;
}

void rc_fill_free(rc_fill **fill)
{
    if (*fill)
        rc_mem_put((*fill)->mem, *fill);
    *fill = NULL;
}

static uint64_t key_of(const rc_fill *f, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return draw(f->seed, h);
}

/* Small parameters, by the end of their names; everything else is a weight. */
static const struct {
    const char *suffix;
    float mean, sigma;
} smalls[] = {
    { "_fn", 0, 0.01f },           { "_base", 0, 0.1f },        { "_scale", 0.5f, 0.05f },
    { ".attn_sink", 0, 0.5f },     { ".ape", 0, 0.02f },        { ".gate.bias", 0, 0.01f },
    { ".gate.bias_vl", 0, 0.01f }, { "norm.weight", 1, 0.05f },
};

static bool ends_with(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);

    return n >= k && strcmp(s + n - k, suffix) == 0;
}

void rc_fill_plan(rc_fill_tensor *out, const rc_fill *fill, const rc_param *param,
                  const rc_want *want, bool is_scale, uint32_t choice)
{
    rc_fill_tensor t = { .key = key_of(fill, param->name), .nbytes = want->nbytes };

    t.gain = -(int)(t.key & 1);
    if (want->dtype == RC_DTYPE_I8)
        t.kind = RC_FILL_FP4;
    else if (want->dtype == RC_DTYPE_F8_E4M3)
        t.kind = RC_FILL_FP8;
    else if (is_scale && want->dtype == RC_DTYPE_F32)
        t.kind = RC_FILL_POW2;
    else if (is_scale) /* one scale a row and 32 weights, or one a tile of 128 x 128 */
        t.kind = want->shape[0] == param->shape[0] && param->quant == RC_QUANT_EXPERT
                     ? RC_FILL_FP4_SCALE
                     : RC_FILL_E8M0;
    else if (want->dtype == RC_DTYPE_I64)
        t.kind = RC_FILL_IDS;
    else
        t.kind = want->dtype == RC_DTYPE_F32 ? RC_FILL_F32 : RC_FILL_WEIGHT;

    t.sigma = 0.02f;
    for (size_t i = 0; i < sizeof smalls / sizeof *smalls; i++)
        if (!is_scale && ends_with(param->name, smalls[i].suffix)) {
            t.mean = smalls[i].mean;
            t.sigma = smalls[i].sigma;
            if (t.kind == RC_FILL_WEIGHT)
                t.kind = RC_FILL_BF16;
        }
    t.width = (uint32_t)want->shape[1];
    t.choice = choice;
    *out = t;
}

static uint32_t fp4_start(const rc_fill_tensor *t, uint64_t block)
{
    return below(draw(t->key, block), GROUPS - BLOCK_GROUPS);
}

static void fill_fp4_scale(const rc_fill *f, const rc_fill_tensor *t, uint64_t block, uint8_t *out)
{
    /* One block of scales covers sixteen blocks of codes: the same draws again. */
    for (uint32_t i = 0; i < BLOCK / BLOCK_GROUPS; i++) {
        const uint8_t *from = f->fp4_scale + fp4_start(t, block * (BLOCK / BLOCK_GROUPS) + i);

        for (uint32_t j = 0; j < BLOCK_GROUPS; j++)
            out[i * BLOCK_GROUPS + j] = (uint8_t)(from[j] + t->gain);
    }
}

/* Exponent of a tile's scale: 90 * 2^-12 is 0.02. */
static int tile_exponent(const rc_fill_tensor *t, uint64_t i)
{
    const uint64_t r = draw(~t->key, i);

    return -12 + t->gain + (int)(r & 1) - (int)(r >> 1 & 1);
}

static void fill_ids(const rc_fill_tensor *t, uint64_t block, uint8_t *out)
{
    const uint64_t first = block * (BLOCK / 8);
    uint64_t row = UINT64_MAX;
    uint32_t ids[64] = { 0 }, have = 0;

    for (uint64_t i = 0; i < BLOCK / 8; i++) {
        const uint64_t r = (first + i) / t->width;
        const uint32_t col = (uint32_t)((first + i) % t->width);

        if (r != row) {
            row = r;
            have = 0;
            for (uint64_t attempt = 0; have < t->width && have < 64; attempt++) {
                const uint32_t id = below(draw(t->key + attempt, r), t->choice);
                uint32_t k = 0;

                while (k < have && ids[k] != id)
                    k++;
                if (k == have)
                    ids[have++] = id;
            }
        }
        memset(out + 8 * i, 0, 8);
        for (unsigned b = 0; b < 4; b++)
            out[8 * i + b] = (uint8_t)(ids[col % 64] >> 8 * b);
    }
}

static void put_f32(uint8_t *p, float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    for (unsigned b = 0; b < 4; b++)
        p[b] = (uint8_t)(bits >> 8 * b);
}

static void fill_block(const rc_fill *f, const rc_fill_tensor *t, uint64_t block, uint8_t *out)
{
    const uint64_t r = draw(t->key, block);
    const float *z = f->unit + below(r, UNITS - BLOCK / 2);

    switch (t->kind) {
    case RC_FILL_FP4:
        memcpy(out, f->fp4 + GROUP_BYTES * (size_t)fp4_start(t, block), BLOCK);
        break;
    case RC_FILL_FP4_SCALE:
        fill_fp4_scale(f, t, block, out);
        break;
    case RC_FILL_FP8:
        memcpy(out, f->fp8 + STRETCH * (size_t)below(r, (CODES - BLOCK) / STRETCH), BLOCK);
        break;
    case RC_FILL_E8M0:
        for (uint64_t i = 0; i < BLOCK; i++)
            out[i] = (uint8_t)(127 + tile_exponent(t, block * BLOCK + i));
        break;
    case RC_FILL_POW2:
        for (uint64_t i = 0; i < BLOCK / 4; i++)
            put_f32(out + 4 * i, ldexpf(1, tile_exponent(t, block * (BLOCK / 4) + i)));
        break;
    case RC_FILL_WEIGHT:
        memcpy(out, f->weight + 64 * (size_t)below(r, (2 * WEIGHTS - BLOCK) / 64), BLOCK);
        break;
    case RC_FILL_BF16:
        for (uint32_t i = 0; i < BLOCK / 2; i++)
            put_u16(out + 2 * i, nearest_bf16(t->mean + t->sigma * z[i]));
        break;
    case RC_FILL_F32:
        for (uint32_t i = 0; i < BLOCK / 4; i++)
            put_f32(out + 4 * i, t->mean + t->sigma * z[i]);
        break;
    case RC_FILL_IDS:
        fill_ids(t, block, out);
        break;
    }
}

void rc_fill_bytes(const rc_fill *fill, const rc_fill_tensor *t, uint64_t off, uint8_t *out,
                   size_t nbytes)
{
    uint8_t whole[BLOCK];

    while (nbytes) {
        const size_t skip = (size_t)(off % BLOCK);
        const size_t take = nbytes < BLOCK - skip ? nbytes : BLOCK - skip;

        if (take == BLOCK) {
            fill_block(fill, t, off / BLOCK, out);
        } else {
            fill_block(fill, t, off / BLOCK, whole);
            memcpy(out, whole + skip, take);
        }
        off += take;
        out += take;
        nbytes -= take;
    }
}
