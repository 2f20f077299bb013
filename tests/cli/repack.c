/* tests/cli/repack.c - a checkpoint under the names and layouts of others.
 *
 *     repack KIND FROM TO        folder TO: one shard, FROM's config.json and side files
 *
 * What people publish, made of a checkpoint of ours (native: FP4 experts; fp8: FP8 experts).
 *
 *     same               nothing changed, in one shard
 *     weight-scale-inv   every ".scale" is ".weight_scale_inv"
 *     plain-wo-a         attn.wo_a in BF16, without a scale
 *     other-exponent     fp8: codes of a tile half as large and its scale twice, where that is
 * exact f32-norms          norms in F32
 *
 * native, experts as ModelOpt casts them:
 *
 *     nvfp4              the same codes, each group's scale twice, in E4M3 over one F32
 *     nvfp4-layers       the same, but those of the draft stay FP4
 *     nvfp4-rounded      the same, but each 16 scaled to their own largest value, as calibrated
 *     nvfp4-attention    attention in NVFP4's names: nobody reads that
 *     no-scale-2, odd-scale-2, nan-scale-2   one ".weight_scale_2" missing, BF16, NaN
 *
 * native or bf16, experts in 4-bit integers, to nearest; the config is for the caller to edit:
 *
 *     awq                AutoAWQ, groups of 64
 *     awq-f32            the same, scales in F32
 *     awq-layers         the same as awq, but experts of the draft stay FP4
 *     w4a16-zeros        compressed-tensors: the same codes, zero points and scales (F16)
 *     w4a16              compressed-tensors, symmetric groups of 32, scales in BF16; FP8 elsewhere
 *                        under ".weight_scale"
 *     w4a16-attn         the same, attention too in 4 bits
 *     w4a16-one-asymmetric   the same, but for w2 of one expert
 *     w4a16-hf           the same under the names of transformers, attention too in 4 bits
 *     awq-no-zeros, awq-group, w4a16-no-scale, w4a16-bad-shape, w4a16-nan, w4a16-u8
 *                        each with one fault
 *     gptq               qweight and qzeros as GPTQ lays them: nobody reads that
 *
 *     packed, hf, stacked   names of compressed-tensors and transformers that are none, rank 3
 *
 * Only for small checkpoints: everything is in memory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/hf_names.h"
#include "formats/safetensors_write.h"
#include "kernels/codes.h"
#include "kernels/f16.h"
#include "verify/subject.h"

/* A tensor of the new shard. */
typedef struct item {
    char name[200];
    rc_dtype dtype;
    unsigned rank;
    uint64_t shape[RC_ST_MAX_RANK];
    uint8_t *data;
    size_t nbytes;
} item;

static struct {
    rc_mem mem;
    rc_subject from;
    item *at;
    size_t n;
} s;

static void die(const char *what, const char *name)
{
    fprintf(stderr, "repack: %s: %s\n", name, what);
    exit(2);
}

static void *memory(size_t n)
{
    void *p = calloc(n ? n : 1, 1);

    if (!p)
        die("no memory", "calloc");
    return p;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), k = strlen(end);

    return n >= k && strcmp(text + n - k, end) == 0;
}

static item *add(const char *name, rc_dtype dtype, unsigned rank, const uint64_t *shape)
{
    item *i = &s.at[s.n++];

    snprintf(i->name, sizeof i->name, "%s", name);
    i->dtype = dtype;
    i->rank = rank;
    i->nbytes = rc_dtype_bits(dtype) / 8;
    for (unsigned k = 0; k < rank; k++) {
        i->shape[k] = shape[k];
        i->nbytes *= (size_t)shape[k];
    }
    i->data = memory(i->nbytes);
    return i;
}

static item *find(const char *name)
{
    for (size_t i = 0; i < s.n; i++)
        if (strcmp(s.at[i].name, name) == 0)
            return &s.at[i];
    die("no such tensor", name);
    return NULL;
}

/* "a.weight" with another end than ".weight". */
static const char *sibling(const char *weight, const char *end)
{
    static char name[200];

    snprintf(name, sizeof name, "%.*s%s", (int)(strlen(weight) - strlen(".weight")), weight, end);
    return name;
}

#define GONE "gone"

static void sweep(void)
{
    for (size_t i = s.n; i-- > 0;)
        if (strcmp(s.at[i].name, GONE) == 0) {
            free(s.at[i].data);
            s.at[i] = s.at[--s.n];
        }
}

static void load(const char *where)
{
    rc_err err;

    if (rc_subject_open(&s.from, where, NULL, NULL, &s.mem, &err) != RC_OK)
        die(err.msg, where);
    s.at = memory((5 * rc_ckpt_count(s.from.ckpt) + 8) * sizeof *s.at);
    for (size_t k = 0; k < rc_ckpt_count(s.from.ckpt); k++) {
        const rc_tensor *t = rc_ckpt_at(s.from.ckpt, k);
        item *i = add(t->name, t->dtype, t->rank, t->shape);

        if (rc_source_read(rc_ckpt_source(s.from.ckpt), rc_ckpt_shard(s.from.ckpt, t->shard)->file,
                           t->begin, i->data, i->nbytes, &err) != RC_OK)
            die(err.msg, t->name);
    }
}

static void put_f32(uint8_t *at, float v)
{
    memcpy(at, &v, 4);
}

static void put_bf16(uint8_t *at, float v)
{
    const uint16_t bits = rc_bf16_round(v);

    memcpy(at, &bits, 2);
}

/* -- the kinds ----------------------------------------------------------------- */

static void same(void)
{
}

static void weight_scale_inv(void)
{
    for (size_t i = 0; i < s.n; i++)
        if (ends_with(s.at[i].name, ".scale"))
            strcpy(s.at[i].name + strlen(s.at[i].name) - strlen(".scale"), ".weight_scale_inv");
}

static float scale_of(const item *scale, size_t i)
{
    float v;

    if (scale->dtype == RC_DTYPE_F8_E8M0)
        return rc_e8m0_value(scale->data[i]);
    memcpy(&v, scale->data + 4 * i, 4);
    return v;
}

static void plain_wo_a(void)
{
    for (size_t i = 0; i < s.n; i++) {
        item *w = &s.at[i], *scale;
        uint8_t *y;

        if (!ends_with(w->name, ".attn.wo_a.weight"))
            continue;
        scale = find(sibling(w->name, ".scale"));
        y = memory(2 * w->nbytes);
        for (size_t k = 0; k < w->nbytes; k++) {
            const size_t tile = k / w->shape[1] / 128 * scale->shape[1] + k % w->shape[1] / 128;

            put_bf16(y + 2 * k, rc_e4m3_value(w->data[k]) * scale_of(scale, tile));
        }
        free(w->data);
        w->data = y;
        w->nbytes *= 2;
        w->dtype = RC_DTYPE_BF16;
        strcpy(scale->name, GONE);
    }
    sweep();
}

/* Half of a code, when it has one. */
static bool halve(uint8_t *code)
{
    const uint8_t magnitude = *code & 0x7f;

    if (magnitude >= 0x10)
        *code = (uint8_t)(*code - 8); /* normal, and stays so */
    else if (magnitude >= 8 || magnitude % 2)
        return magnitude == 0;
    else
        *code = (uint8_t)((*code & 0x80) | magnitude / 2);
    return true;
}

static void other_exponent(void)
{
    size_t moved = 0;

    for (size_t i = 0; i < s.n; i++) {
        item *w = &s.at[i], *scale;

        if (w->dtype != RC_DTYPE_F8_E4M3 || !strstr(w->name, ".experts."))
            continue;
        scale = find(sibling(w->name, ".scale"));
        for (size_t t = 0; t < scale->shape[0] * scale->shape[1]; t++) {
            const size_t row = t / scale->shape[1] * 128, col = t % scale->shape[1] * 128;
            uint8_t tile[128 * 128];
            bool exact = true;

            for (size_t k = 0; k < sizeof tile; k++) {
                tile[k] = w->data[(row + k / 128) * w->shape[1] + col + k % 128];
                exact = halve(&tile[k]) && exact;
            }
            if (!exact)
                continue;
            for (size_t k = 0; k < sizeof tile; k++)
                w->data[(row + k / 128) * w->shape[1] + col + k % 128] = tile[k];
            if (scale->dtype == RC_DTYPE_F8_E8M0)
                scale->data[t]++;
            else
                put_f32(scale->data + 4 * t, 2 * scale_of(scale, t));
            moved++;
        }
    }
    if (!moved)
        die("no tile could be moved", "other-exponent");
}

static void f32_norms(void)
{
    for (size_t i = 0; i < s.n; i++) {
        item *w = &s.at[i];
        uint8_t *y;

        if (!ends_with(w->name, "norm.weight") || w->dtype != RC_DTYPE_BF16)
            continue;
        y = memory(2 * w->nbytes);
        for (size_t k = 0; k < w->nbytes / 2; k++)
            memcpy(y + 4 * k + 2, w->data + 2 * k, 2);
        free(w->data);
        w->data = y;
        w->nbytes *= 2;
        w->dtype = RC_DTYPE_F32;
    }
}

/* The code of E4M3 nearest to v > 0, by trying all. */
static uint8_t nearest_e4m3(float v)
{
    uint8_t best = 1;

    for (uint8_t c = 1; c < 0x7f; c++)
        if (fabsf(rc_e4m3_value(c) - v) < fabsf(rc_e4m3_value(best) - v))
            best = c;
    return best;
}

static uint8_t nearest_e2m1(float v)
{
    uint8_t best = 0;

    for (uint8_t c = 1; c < 16; c++)
        if (fabsf(rc_e2m1_value(c) - v) < fabsf(rc_e2m1_value(best) - v))
            best = c;
    return best;
}

/* Every 16 of the row's codes to their own scale, codes chosen anew. */
static void round_group(uint8_t *code, const float *v, uint8_t *scale, float gain)
{
    float most = 0, step;

    for (size_t k = 0; k < 16; k++)
        most = fmaxf(most, fabsf(v[k]));
    *scale = nearest_e4m3(most / 6 / gain);
    step = rc_e4m3_value(*scale) * gain;
    for (size_t k = 0; k < 16; k += 2)
        code[k / 2] = (uint8_t)(nearest_e2m1(v[k] / step) | nearest_e2m1(v[k + 1] / step) << 4);
}

static void make_nvfp4(item *w, bool rounded)
{
    const size_t rows = (size_t)w->shape[0], cols = 2 * (size_t)w->shape[1];
    const uint64_t shape[2] = { rows, cols / 16 };
    item *old = find(sibling(w->name, ".scale"));
    item *scale = add(sibling(w->name, ".weight_scale"), RC_DTYPE_F8_E4M3, 2, shape);
    item *gain = add(sibling(w->name, ".weight_scale_2"), RC_DTYPE_F32, 0, NULL);
    item *input = add(sibling(w->name, ".input_scale"), RC_DTYPE_F32, 0, NULL);
    uint8_t most = 0;
    float g;

    for (size_t i = 0; i < old->nbytes; i++)
        most = old->data[i] > most ? old->data[i] : most;
    g = rounded ? rc_e8m0_value(most) / 448 : rc_e8m0_value(most) / 256;
    put_f32(gain->data, g);
    put_f32(input->data, 0.01f);
    for (size_t i = 0; i < scale->nbytes; i++) {
        const float under = rc_e8m0_value(old->data[i / 2]);
        uint8_t *code = w->data + 8 * i;
        float v[16];

        for (size_t k = 0; k < 16; k++)
            v[k] = rc_e2m1_value(code[k / 2] >> (k % 2 ? 4 : 0) & 15) * under;
        scale->data[i] = nearest_e4m3(under / g);
        if (rounded)
            round_group(code, v, &scale->data[i], g);
        else if (rc_e4m3_value(scale->data[i]) * g != under)
            die("scales too far apart", w->name);
    }
    w->dtype = RC_DTYPE_U8;
    strcpy(old->name, GONE);
}

static void nvfp4_of(const char *prefix, bool rounded)
{
    const size_t n = s.n;

    for (size_t i = 0; i < n; i++)
        if (strncmp(s.at[i].name, prefix, strlen(prefix)) == 0 && s.at[i].dtype == RC_DTYPE_I8)
            make_nvfp4(&s.at[i], rounded);
    sweep();
}

static void nvfp4(void)
{
    nvfp4_of("", false);
}

static void nvfp4_layers(void)
{
    nvfp4_of("layers.", false);
}

static void nvfp4_rounded(void)
{
    nvfp4_of("", true);
}

static void nvfp4_attention(void)
{
    nvfp4();
    (void)add("layers.1.attn.wq_a.weight_scale_2", RC_DTYPE_F32, 0, NULL);
}

#define SCALE_2 "layers.1.ffn.experts.0.w2.weight_scale_2"

static void no_scale_2(void)
{
    nvfp4();
    strcpy(find(SCALE_2)->name, GONE);
    sweep();
}

static void odd_scale_2(void)
{
    nvfp4();
    find(SCALE_2)->dtype = RC_DTYPE_BF16;
    find(SCALE_2)->nbytes = 2;
}

static void nan_scale_2(void)
{
    nvfp4();
    put_f32(find(SCALE_2)->data, NAN);
}

/* -- 4-bit integers: written down from the layouts alone, nothing shared with what reads them ---
 */

static void put_f16(uint8_t *at, float v)
{
    const uint16_t bits = rc_f16_encode(v);

    memcpy(at, &bits, 2);
}

/* A matrix to nearest: codes [rows, cols], scales and zero points [rows, cols / group]. */
typedef struct rounded {
    size_t rows, cols, group, groups;
    uint8_t *code, *zero;
    float *scale;
} rounded;

static float value_at(const item *w, const item *scale, size_t row, size_t col)
{
    const size_t cols = (size_t)w->shape[1] * (w->dtype == RC_DTYPE_I8 ? 2 : 1);
    const size_t at = row * cols + col;

    if (w->dtype == RC_DTYPE_BF16) {
        uint16_t bits;

        memcpy(&bits, w->data + 2 * at, 2);
        return rc_bf16_value(bits);
    }
    if (w->dtype == RC_DTYPE_I8)
        return rc_e2m1_value(w->data[at / 2] >> (at % 2 ? 4 : 0) & 15) *
               rc_e8m0_value(scale->data[at / 32]);
    return rc_e4m3_value(w->data[at]) *
           scale_of(scale, row / 128 * (size_t)scale->shape[1] + col / 128);
}

/* s = (max - min) / 15 with 0 among the values, or max / 7.5; what is stored of s counts. */
static void round_one(rounded *r, const item *w, const item *scale, size_t row, size_t g,
                      bool symmetric)
{
    const size_t first = g * r->group, at = row * r->groups + g;
    float lo = 0, hi = 0, step;
    long zero;

    for (size_t k = first; k < first + r->group; k++) {
        lo = fminf(lo, value_at(w, scale, row, k));
        hi = fmaxf(hi, value_at(w, scale, row, k));
    }
    step = symmetric ? fmaxf(hi, -lo) / 7.5f : (hi - lo) / 15;
    step = step > 0 ? step : 1;
    if (symmetric)
        step = rc_bf16_value(rc_bf16_round(step));
    else
        step = rc_f16_decode(rc_f16_encode(step));
    zero = symmetric ? 8 : lrintf(-lo / step);
    zero = zero > 15 ? 15 : zero;
    r->scale[at] = step;
    r->zero[at] = (uint8_t)zero;
    for (size_t k = first; k < first + r->group; k++) {
        long q = lrintf(value_at(w, scale, row, k) / step) + zero;

        q = q < 0 ? 0 : q > 15 ? 15 : q;
        r->code[row * r->cols + k] = (uint8_t)q;
    }
}

static rounded round_matrix(const item *w, size_t group, bool symmetric)
{
    const item *scale = w->dtype == RC_DTYPE_BF16 ? NULL : find(sibling(w->name, ".scale"));
    rounded r = { .rows = (size_t)w->shape[0], .group = group };

    r.cols = (size_t)w->shape[1] * (w->dtype == RC_DTYPE_I8 ? 2 : 1);
    r.groups = r.cols / group;
    r.code = memory(r.rows * r.cols);
    r.zero = memory(r.rows * r.groups);
    r.scale = memory(r.rows * r.groups * sizeof *r.scale);
    for (size_t row = 0; row < r.rows; row++)
        for (size_t g = 0; g < r.groups; g++)
            round_one(&r, w, scale, row, g, symmetric);
    return r;
}

static void drop_rounded(rounded *r)
{
    free(r->code);
    free(r->zero);
    free(r->scale);
}

/* Nibble `nibble` of the word at index `word`. */
static void put_nibble(item *i, size_t word, unsigned nibble, uint8_t code)
{
    i->data[4 * word + nibble / 2] |= (uint8_t)(code << 4 * (nibble % 2));
}

static void make_awq(const char *weight)
{
    static const unsigned nibble_of[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    rounded r = round_matrix(find(weight), 64, false);
    const uint64_t codes[2] = { r.cols, r.rows / 8 }, zeros[2] = { r.groups, r.rows / 8 };
    const uint64_t scales[2] = { r.groups, r.rows };
    item *q = add(sibling(weight, ".qweight"), RC_DTYPE_I32, 2, codes);
    item *s16 = add(sibling(weight, ".scales"), RC_DTYPE_F16, 2, scales);
    item *z = add(sibling(weight, ".qzeros"), RC_DTYPE_I32, 2, zeros);

    for (size_t n = 0; n < r.rows; n++) {
        for (size_t k = 0; k < r.cols; k++)
            put_nibble(q, k * (r.rows / 8) + n / 8, nibble_of[n % 8], r.code[n * r.cols + k]);
        for (size_t g = 0; g < r.groups; g++) {
            put_nibble(z, g * (r.rows / 8) + n / 8, nibble_of[n % 8], r.zero[n * r.groups + g]);
            put_f16(s16->data + 2 * (g * r.rows + n), r.scale[n * r.groups + g]);
        }
    }
    drop_rounded(&r);
}

static void make_packed(const char *weight, bool symmetric)
{
    rounded r = round_matrix(find(weight), symmetric ? 32 : 64, symmetric);
    const uint64_t codes[2] = { r.rows, r.cols / 8 }, zeros[2] = { r.rows / 8, r.groups };
    const uint64_t scales[2] = { r.rows, r.groups }, two[1] = { 2 };
    const uint64_t numbers[2] = { r.rows, r.cols };
    item *q = add(sibling(weight, ".weight_packed"), RC_DTYPE_I32, 2, codes);
    item *scale =
        add(sibling(weight, ".weight_scale"), symmetric ? RC_DTYPE_BF16 : RC_DTYPE_F16, 2, scales);
    item *shape = add(sibling(weight, ".weight_shape"), RC_DTYPE_I64, 1, two);
    item *z = symmetric ? NULL : add(sibling(weight, ".weight_zero_point"), RC_DTYPE_I32, 2, zeros);

    memcpy(shape->data, numbers, sizeof numbers);
    for (size_t n = 0; n < r.rows; n++) {
        for (size_t k = 0; k < r.cols; k++)
            put_nibble(q, n * (r.cols / 8) + k / 8, k % 8, r.code[n * r.cols + k]);
        for (size_t g = 0; g < r.groups; g++) {
            const size_t at = n * r.groups + g;

            if (symmetric)
                put_bf16(scale->data + 2 * at, r.scale[at]);
            else
                put_f16(scale->data + 2 * at, r.scale[at]);
            if (z)
                put_nibble(z, n / 8 * r.groups + g, n % 8, r.zero[at]);
        }
    }
    drop_rounded(&r);
}

/* Routed experts, or whatever else has a scale, into 4-bit integers. */
static void int4_of(const char *part, bool awq_, bool symmetric)
{
    const size_t n = s.n;

    for (size_t i = 0; i < n; i++) {
        char name[200];

        snprintf(name, sizeof name, "%s", s.at[i].name);
        if (!strstr(name, part) || !ends_with(name, ".weight") ||
            (s.at[i].dtype != RC_DTYPE_I8 && s.at[i].dtype != RC_DTYPE_F8_E4M3 &&
             (s.at[i].dtype != RC_DTYPE_BF16 || !strstr(name, ".experts."))))
            continue;
        if (awq_)
            make_awq(name);
        else
            make_packed(name, symmetric);
        if (s.at[i].dtype != RC_DTYPE_BF16)
            strcpy(find(sibling(name, ".scale"))->name, GONE);
        strcpy(s.at[i].name, GONE);
    }
    sweep();
}

static void awq(void)
{
    int4_of(".ffn.experts.", true, false);
}

static void awq_layers(void)
{
    for (unsigned layer = 0; layer < 8; layer++) {
        char part[64];

        snprintf(part, sizeof part, "layers.%u.ffn.experts.", layer);
        int4_of(part, true, false);
    }
}

static void awq_f32(void)
{
    awq();
    for (size_t i = 0; i < s.n; i++) {
        item *w = &s.at[i];
        float *y;

        if (!ends_with(w->name, ".scales"))
            continue;
        y = memory(2 * w->nbytes);
        rc_f16_to_f32_ref(y, (const uint16_t *)(const void *)w->data, w->nbytes / 2);
        free(w->data);
        w->data = (uint8_t *)y;
        w->nbytes *= 2;
        w->dtype = RC_DTYPE_F32;
    }
}

static void w4a16_zeros(void)
{
    int4_of(".ffn.experts.", false, false);
}

/* FP8 as compressed-tensors names it, its scales in BF16: powers of two lose nothing. */
static void name_as_compressed_tensors(void)
{
    for (size_t i = 0; i < s.n; i++) {
        item *w = &s.at[i];
        uint8_t *y;

        if (!ends_with(w->name, ".scale"))
            continue;
        strcpy(w->name + strlen(w->name) - strlen(".scale"), ".weight_scale");
        if (w->dtype != RC_DTYPE_F8_E8M0)
            continue;
        y = memory(2 * w->nbytes);
        for (size_t k = 0; k < w->nbytes; k++)
            put_bf16(y + 2 * k, rc_e8m0_value(w->data[k]));
        free(w->data);
        w->data = y;
        w->nbytes *= 2;
        w->dtype = RC_DTYPE_BF16;
    }
}

static void w4a16(void)
{
    int4_of(".ffn.experts.", false, true);
    name_as_compressed_tensors();
}

static void w4a16_attn(void)
{
    int4_of(".attn.w", false, true);
    w4a16();
}

/* w2 of one expert with zero points, the others without. */
static void w4a16_one_asymmetric(void)
{
    int4_of(".ffn.experts.1.w2", false, false);
    w4a16();
}

static void w4a16_hf(void)
{
    int4_of(".attn.", false, true);
    w4a16();
    for (size_t i = 0; i < s.n; i++) {
        char hf_name[RC_HF_NAME];

        if (!rc_hf_from_native(s.at[i].name, hf_name) || strlen(hf_name) >= sizeof s.at[i].name)
            die("has no other name", s.at[i].name);
        strcpy(s.at[i].name, hf_name);
    }
}

#define EXPERT "layers.1.ffn.experts.0.w2"

static void awq_no_zeros(void)
{
    awq();
    strcpy(find(EXPERT ".qzeros")->name, GONE);
    sweep();
}

static void awq_group(void)
{
    item *scales;

    awq();
    scales = find(EXPERT ".scales"); /* as many scales, for other groups */
    scales->shape[0] *= 16;
    scales->shape[1] /= 16;
}

static void w4a16_no_scale(void)
{
    w4a16_zeros();
    strcpy(find(EXPERT ".weight_scale")->name, GONE);
    sweep();
}

static void w4a16_bad_shape(void)
{
    w4a16_zeros();
    find("layers.0.ffn.experts.0.w1.weight_shape")->data[0]++;
}

static void w4a16_nan(void)
{
    item *scale;

    w4a16_zeros();
    scale = find(EXPERT ".weight_scale");
    scale->data[8] = 0;
    scale->data[9] = 0x7e;
}

static void w4a16_u8(void)
{
    item *w;

    w4a16_zeros();
    w = find(EXPERT ".weight_packed");
    w->dtype = RC_DTYPE_U8;
    w->shape[1] *= 4;
}

static void gptq(void)
{
    awq();
    for (size_t i = 0; i < s.n; i++)
        if (ends_with(s.at[i].name, ".qweight")) {
            s.at[i].shape[0] /= 8;
            s.at[i].shape[1] *= 8;
        }
}

static void packed(void)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.at[i].dtype == RC_DTYPE_I8)
            strcat(s.at[i].name, "_packed");
}

static void hf(void)
{
    for (size_t i = 0; i < s.n; i++)
        if (strncmp(s.at[i].name, "layers.", 7) == 0) {
            char old[200];

            snprintf(old, sizeof old, "%s", s.at[i].name);
            if (snprintf(s.at[i].name, sizeof s.at[i].name, "model.%.190s", old) < 0)
                die("name too long", old);
        }
}

static void stacked(void)
{
    item *w = find("layers.0.ffn.experts.0.w1.weight");

    w->rank = 3;
    w->shape[2] = w->shape[1];
    w->shape[1] = w->shape[0];
    w->shape[0] = 1;
}

/* -- the program --------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*make)(void);
} kinds[] = {
    { "same", same },
    { "weight-scale-inv", weight_scale_inv },
    { "plain-wo-a", plain_wo_a },
    { "other-exponent", other_exponent },
    { "f32-norms", f32_norms },
    { "nvfp4", nvfp4 },
    { "nvfp4-layers", nvfp4_layers },
    { "nvfp4-rounded", nvfp4_rounded },
    { "nvfp4-attention", nvfp4_attention },
    { "no-scale-2", no_scale_2 },
    { "odd-scale-2", odd_scale_2 },
    { "nan-scale-2", nan_scale_2 },
    { "awq", awq },
    { "awq-f32", awq_f32 },
    { "awq-layers", awq_layers },
    { "w4a16-zeros", w4a16_zeros },
    { "w4a16", w4a16 },
    { "w4a16-attn", w4a16_attn },
    { "w4a16-one-asymmetric", w4a16_one_asymmetric },
    { "w4a16-hf", w4a16_hf },
    { "awq-no-zeros", awq_no_zeros },
    { "awq-group", awq_group },
    { "w4a16-no-scale", w4a16_no_scale },
    { "w4a16-bad-shape", w4a16_bad_shape },
    { "w4a16-nan", w4a16_nan },
    { "w4a16-u8", w4a16_u8 },
    { "gptq", gptq },
    { "packed", packed },
    { "hf", hf },
    { "stacked", stacked },
};

static void copy_file(const char *from, const char *to, const char *name)
{
    char path[2][4096], buf[65536];
    FILE *in, *out;
    size_t n;

    snprintf(path[0], sizeof path[0], "%s/%s", from, name);
    snprintf(path[1], sizeof path[1], "%s/%s", to, name);
    in = fopen(path[0], "rb");
    if (!in)
        return;
    out = fopen(path[1], "wb");
    if (!out)
        die("cannot write", path[1]);
    while ((n = fread(buf, 1, sizeof buf, in)) > 0)
        if (fwrite(buf, 1, n, out) != n)
            die("cannot write", path[1]);
    fclose(in);
    if (fclose(out) != 0)
        die("cannot write", path[1]);
}

static void save(const char *to)
{
    rc_st_put *put = memory(s.n * sizeof *put);
    size_t head_len;
    uint64_t len;
    char *head, path[4096];
    rc_err err;
    FILE *f;

    for (size_t i = 0; i < s.n; i++) {
        put[i] = (rc_st_put){
            .name = s.at[i].name, .dtype = s.at[i].dtype, .rank = s.at[i].rank, .tag = &s.at[i]
        };
        memcpy(put[i].shape, s.at[i].shape, sizeof put[i].shape);
    }
    if (rc_st_layout(put, s.n, &head, &head_len, &len, &s.mem, &err) != RC_OK)
        die(err.msg, to);
    snprintf(path, sizeof path, "%s/model.safetensors", to);
    f = fopen(path, "wb");
    if (!f || fwrite(head, 1, head_len, f) != head_len)
        die("cannot write", path);
    for (size_t i = 0; i < s.n; i++) {
        const item *it = put[i].tag;

        if (put[i].nbytes != it->nbytes || fwrite(it->data, 1, it->nbytes, f) != it->nbytes)
            die("cannot write", it->name);
    }
    if (fclose(f) != 0)
        die("cannot write", path);
    rc_mem_put(&s.mem, head);
    free(put);
}

int main(int argc, char **argv)
{
    static const char *const side[] = { "config.json", "generation_config.json", "tokenizer.json",
                                        "tokenizer_config.json" };

    for (size_t k = 0; argc == 4 && k < sizeof kinds / sizeof *kinds; k++) {
        if (strcmp(argv[1], kinds[k].name) != 0)
            continue;
        load(argv[2]);
        kinds[k].make();
        if (mkdir(argv[3], 0777) != 0)
            die("cannot make the folder", argv[3]);
        save(argv[3]);
        for (size_t i = 0; i < sizeof side / sizeof *side; i++)
            copy_file(argv[2], argv[3], side[i]);
        for (size_t i = 0; i < s.n; i++)
            free(s.at[i].data);
        free(s.at);
        rc_subject_close(&s.from);
        return 0;
    }
    fprintf(stderr, "usage: repack KIND FROM TO\n");
    return 64;
}
