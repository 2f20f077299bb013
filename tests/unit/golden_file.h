/* tests/unit/golden_file.h - a small golden file, and its bytes. */
#ifndef RC_TESTS_UNIT_GOLDEN_FILE_H
#define RC_TESTS_UNIT_GOLDEN_FILE_H

#include "fixture.h"

#include "formats/golden_write.h"
#include "tests/unit/random.h"

enum { GF_K = 12, GF_VOCAB = 300, GF_WINDOWS = 2, GF_CTX = 16, GF_TOKENS = 30, GF_SCORED = 28 };

typedef struct gf {
    rc_golden_head head;
    uint32_t token[GF_TOKENS];
    rc_golden_sum sum[2][GF_WINDOWS];
    float sketch[2][GF_TOKENS * RC_GOLDEN_DIMS];
    uint32_t id[GF_SCORED * GF_K];
    double logprob[GF_SCORED * GF_K];
    uint32_t drawn[GF_SCORED * RC_GOLDEN_DRAWS];
    double drawn_logprob[GF_SCORED * RC_GOLDEN_DRAWS];
    float tail[GF_SCORED], next[GF_SCORED];
    float rows[GF_SCORED * GF_VOCAB];
    rc_digest digest[GF_WINDOWS];
} gf;

static inline uint32_t gf_random(uint64_t *state)
{
    rnd_f32(state);
    return (uint32_t)(*state >> 32);
}

/** Two windows of 16 and 14 tokens, 15 and 13 of them scored; `top_k` 0 or GF_K. */
static inline void gf_fill(gf *f, uint32_t top_k)
{
    uint64_t state = 7;
    rc_err err;

    memset(f, 0, sizeof *f);
    f->head = (rc_golden_head){ .version = "0.1.0",
                                .native = "DeepSeek-V4-Flash",
                                .text = "heldout.txt",
                                .numerics = "f32",
                                .vocab = GF_VOCAB,
                                .layers = 2,
                                .streams = 2,
                                .hidden = 8,
                                .ctx = GF_CTX,
                                .stride = GF_CTX,
                                .bos = RC_GOLDEN_NO_BOS,
                                .text_tokens = GF_TOKENS,
                                .windows = GF_WINDOWS,
                                .window_tokens = GF_TOKENS,
                                .scored = GF_SCORED,
                                .top_k = top_k };
    assert_int_equal(rc_golden_plan(&f->head, &err), RC_OK);
    for (size_t i = 0; i < GF_TOKENS; i++)
        f->token[i] = (uint32_t)(gf_random(&state) % GF_VOCAB);
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < GF_TOKENS * RC_GOLDEN_DIMS; i++)
            f->sketch[l][i] = (float)(int32_t)gf_random(&state);
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < sizeof f->sum[l]; i++)
            ((uint8_t *)f->sum[l])[i] = (uint8_t)gf_random(&state);
    for (size_t i = 0; i < GF_SCORED * GF_K; i++)
        f->id[i] = (uint32_t)(gf_random(&state) % GF_VOCAB);
    for (size_t i = 0; i < GF_SCORED; i++) {
        double at = -0.5;

        for (size_t r = 0; r < GF_K; r++, at -= (double)(gf_random(&state) % 1000) / 900)
            f->logprob[i * GF_K + r] = at;
        for (size_t j = i * RC_GOLDEN_DRAWS; j < (i + 1) * RC_GOLDEN_DRAWS; j++) {
            f->drawn[j] = gf_random(&state) % GF_VOCAB;
            f->drawn_logprob[j] = -10 - (double)(gf_random(&state) % 1000) / 900;
        }
        f->tail[i] = (float)i / GF_SCORED;
        f->next[i] = -(float)i;
    }
    for (size_t i = 0; i < GF_SCORED * GF_VOCAB; i++)
        f->rows[i] = (float)(int32_t)gf_random(&state) / 1e8f;
    for (size_t w = 0; w < GF_WINDOWS; w++)
        f->digest[w] = rc_hash(&w, sizeof w);
}

static inline rc_code gf_sections(gf *f, rc_golden_writer *w, rc_err *err)
{
    rc_golden_said s = { f->digest[0],     f->id,   f->logprob, f->drawn,
                         f->drawn_logprob, f->tail, f->next };

    RC_TRY(rc_golden_put_tokens(w, f->token, err));
    for (size_t l = 0; l < 2; l++)
        RC_TRY(rc_golden_put_layer(w, f->sum[l], f->sketch[l], err));
    if (f->head.top_k == 0) {
        RC_TRY(rc_golden_put_rows(w, &f->digest[0], f->rows, 15, err));
        return rc_golden_put_rows(w, &f->digest[1], f->rows + 15 * GF_VOCAB, 13, err);
    }
    RC_TRY(rc_golden_put_said(w, &s, 15, err));
    s = (rc_golden_said){ f->digest[1],
                          f->id + 15 * GF_K,
                          f->logprob + 15 * GF_K,
                          f->drawn + 15 * RC_GOLDEN_DRAWS,
                          f->drawn_logprob + 15 * RC_GOLDEN_DRAWS,
                          f->tail + 15,
                          f->next + 15 };
    return rc_golden_put_said(w, &s, 13, err);
}

/** Write it to dir/g.rgf. */
static inline rc_code gf_write(gf *f, const fx_dir *dir, rc_mem *mem, rc_err *err)
{
    rc_target target;
    rc_golden_writer *w = NULL;
    rc_code rc = rc_target_open(&target, fx_path(dir, "g.rgf"), err);

    if (rc == RC_OK)
        rc = rc_golden_writer_new(&w, &target, &f->head, mem, err);
    if (rc == RC_OK)
        rc = gf_sections(f, w, err);
    if (rc == RC_OK)
        rc = rc_golden_finish(w, err);
    rc_golden_writer_free(&w);
    rc_target_close(&target);
    return rc;
}

typedef struct gf_bytes {
    uint8_t *p;
    size_t n;
} gf_bytes;

static inline gf_bytes gf_read(const char *path)
{
    gf_bytes b = { 0 };
    struct stat st;
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &st), 0);
    b.n = (size_t)st.st_size;
    b.p = malloc(b.n);
    assert_int_equal(fread(b.p, 1, b.n, file), b.n);
    fclose(file);
    return b;
}

/** The bytes of a file like that. */
static inline gf_bytes gf_make(gf *f)
{
    fx_dir dir = fx_open(NULL);
    rc_mem mem = { 0 };
    rc_err err;
    gf_bytes b;

    if (gf_write(f, &dir, &mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(mem.used, 0);
    b = gf_read(fx_path(&dir, "g.rgf"));
    fx_close(&dir);
    return b;
}

/** Make the checksum that of the bytes again. */
static inline void gf_seal(gf_bytes *b)
{
    const rc_digest d = rc_hash(b->p, b->n - sizeof d);

    memcpy(b->p + b->n - sizeof d, &d, sizeof d);
}

#endif
