/* tests/unit/test_golden.c - .rgf files, sound and not. */
#include "golden_file.h"

#include <math.h>

#include "formats/golden_impl.h"

/* The places of the marks in a file. */
static size_t marks(const gf_bytes *b, size_t at[8])
{
    rc_golden_start start;
    rc_golden_mark mark;
    size_t n = 0, place;

    memcpy(&start, b->p, sizeof start);
    place = sizeof start + start.header;
    do {
        assert_true(n < 8);
        at[n++] = place;
        memcpy(&mark, b->p + place, sizeof mark);
        place += sizeof mark + (mark.kind ? (size_t)mark.stored : 0);
    } while (mark.kind);
    return n;
}

static rc_code open_bytes(const gf_bytes *b, rc_err *err)
{
    rc_mem mem = { .limit = 1 << 20 };
    rc_golden *g;
    const rc_code rc = rc_golden_parse(&g, b->p, b->n, &mem, err);

    assert_int_equal(g != NULL, rc == RC_OK);
    rc_golden_close(&g);
    assert_int_equal(mem.used, 0);
    return rc;
}

static void expect(gf_bytes *b, rc_code code, const char *part)
{
    rc_err err = { 0 };

    gf_seal(b);
    if (open_bytes(b, &err) != code || !strstr(err.msg, part))
        fail_msg("%d: %s", err.code, err.msg);
    assert_true(err.offset == RC_NO_OFFSET || err.offset <= b->n);
}

/* ---------------------------------------------------------------- round trip */

static void same_head(const rc_golden_head *a, const rc_golden_head *b)
{
    assert_string_equal(a->version, b->version);
    assert_string_equal(a->native, b->native);
    assert_string_equal(a->text, b->text);
    assert_string_equal(a->revision, "");
    assert_string_equal(a->numerics, b->numerics);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->bos, b->bos);
    assert_int_equal(a->text_tokens, b->text_tokens);
    assert_int_equal(a->scored, b->scored);
    assert_int_equal(a->top_k, b->top_k);
    assert_int_equal(a->every, b->every);
}

static void same_layers(rc_golden *g, const gf *f)
{
    rc_golden_sum sum[GF_WINDOWS];
    float sketch[GF_TOKENS * RC_GOLDEN_DIMS];
    uint32_t token[GF_TOKENS];
    rc_err err;

    assert_int_equal(rc_golden_tokens(g, token, &err), RC_OK);
    assert_memory_equal(token, f->token, sizeof token);
    for (uint32_t l = 2; l-- > 0;) { /* backwards: any order will do */
        assert_int_equal(rc_golden_layer(g, l, sum, sketch, &err), RC_OK);
        assert_memory_equal(sum, f->sum[l], sizeof sum);
        assert_memory_equal(sketch, f->sketch[l],
                            rc_golden_sketched(&f->head) * RC_GOLDEN_DIMS * 4);
    }
}

static void same_said(rc_golden *g, const gf *f, uint64_t i, size_t from, size_t n)
{
    uint32_t id[GF_SCORED * GF_K];
    double lp[GF_SCORED * GF_K];
    uint32_t drawn[GF_SCORED * RC_GOLDEN_DRAWS];
    double drawn_lp[GF_SCORED * RC_GOLDEN_DRAWS];
    float tail[GF_SCORED], next[GF_SCORED];
    rc_golden_said s = { .id = id,
                         .logprob = lp,
                         .drawn = drawn,
                         .drawn_logprob = drawn_lp,
                         .tail = tail,
                         .next = next };
    size_t got;
    rc_err err;

    assert_int_equal(rc_golden_positions(g, i, &got, &err), RC_OK);
    assert_int_equal(got, n);
    assert_int_equal(rc_golden_read_said(g, i, &s, &err), RC_OK);
    assert_true(rc_digest_equal(&s.digest, &f->digest[i]));
    assert_memory_equal(id, f->id + from * GF_K, n * GF_K * sizeof *id);
    assert_memory_equal(tail, f->tail + from, n * sizeof *tail);
    assert_memory_equal(next, f->next + from, n * sizeof *next);
    assert_memory_equal(drawn, f->drawn + from * RC_GOLDEN_DRAWS,
                        n * RC_GOLDEN_DRAWS * sizeof *drawn);
    for (size_t j = 0; j < n * RC_GOLDEN_DRAWS; j++)
        assert_true(fabs(drawn_lp[j] - f->drawn_logprob[from * RC_GOLDEN_DRAWS + j]) <=
                    0.5 / RC_GOLDEN_STEPS + 1e-12);
    for (size_t j = 0; j < n * GF_K; j++)
        assert_true(fabs(lp[j] - f->logprob[from * GF_K + j]) <= 0.5 / RC_GOLDEN_STEPS + 1e-12);
}

static void test_golden_comes_back(void **state)
{
    fx_dir dir = fx_open(NULL);
    rc_mem mem = { 0 };
    rc_golden *g;
    rc_err err;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    assert_int_equal(gf_write(&f, &dir, &mem, &err), RC_OK);
    if (rc_golden_open(&g, fx_path(&dir, "g.rgf"), &mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    same_head(rc_golden_head_of(g), &f.head);
    assert_int_equal(rc_golden_runs(g), 2);
    same_said(g, &f, 1, 15, 13);
    same_layers(g, &f);
    same_said(g, &f, 0, 0, 15);
    rc_golden_close(&g);
    assert_int_equal(mem.used, 0);
    fx_close(&dir);
}

static void test_golden_with_every_logit_comes_back(void **state)
{
    float *rows = malloc(sizeof(float) * GF_SCORED * GF_VOCAB);
    rc_mem mem = { 0 };
    rc_digest digest;
    rc_golden *g;
    rc_err err;
    gf_bytes b;
    gf f;

    (void)state;
    gf_fill(&f, 0);
    f.head.bos = 5;
    b = gf_make(&f);
    assert_int_equal(rc_golden_parse(&g, b.p, b.n, &mem, &err), RC_OK);
    same_head(rc_golden_head_of(g), &f.head);
    same_layers(g, &f);
    assert_int_equal(rc_golden_read_rows(g, 0, &digest, rows, &err), RC_OK);
    assert_memory_equal(rows, f.rows, (size_t)15 * GF_VOCAB * 4);
    assert_int_equal(rc_golden_read_rows(g, 1, &digest, rows, &err), RC_OK);
    assert_memory_equal(rows, f.rows + 15 * GF_VOCAB, (size_t)13 * GF_VOCAB * 4);
    assert_true(rc_digest_equal(&digest, &f.digest[1]));
    rc_golden_close(&g);
    assert_int_equal(mem.used, 0);
    free(rows);
    free(b.p);
}

/* Odd products of positions and candidates: what lies behind a table of them is aligned still. (The
 * undefined-behaviour sanitizer is who looks.) */
static void test_golden_takes_odd_numbers_of_candidates(void **state)
{
    enum { ODD = 11, RUN = 15 };
    uint32_t id[RUN * ODD], drawn[RUN * RC_GOLDEN_DRAWS];
    double lp[RUN * ODD], drawn_lp[RUN * RC_GOLDEN_DRAWS];
    float tail[RUN], next[RUN];
    rc_golden_said s = { .id = id,
                         .logprob = lp,
                         .drawn = drawn,
                         .drawn_logprob = drawn_lp,
                         .tail = tail,
                         .next = next };
    rc_mem mem = { 0 };
    rc_golden *g;
    gf_bytes b;
    rc_err err;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    f.head.top_k = ODD;
    f.head.run = RUN;
    b = gf_make(&f);
    assert_int_equal(rc_golden_parse(&g, b.p, b.n, &mem, &err), RC_OK);
    assert_int_equal(rc_golden_read_said(g, 0, &s, &err), RC_OK);
    assert_memory_equal(id, f.id, sizeof id);
    rc_golden_close(&g);
    free(b.p);
}

static void test_golden_is_the_same_file_again(void **state)
{
    gf_bytes a, b;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    a = gf_make(&f);
    b = gf_make(&f);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
    free(a.p);
    free(b.p);
}

/* Steps: each rounded for itself, a gap past 32 nats cut, what follows right again. */
static void test_golden_rounds_each_logprob_for_itself(void **state)
{
    const double lp[6] = { -0.25 - 0.4 / RC_GOLDEN_STEPS, -40, -40.5, -41, -41, -45 };
    uint16_t steps[6];
    double back[6];

    (void)state;
    rc_golden_quantize(steps, lp, 1, 6);
    assert_int_equal(steps[0], 512);
    assert_int_equal(steps[1], UINT16_MAX);
    assert_int_equal(steps[4], 0);
    rc_golden_dequantize(back, steps, 1, 6);
    assert_true(back[0] == -0.25 && back[1] > -33);
    for (size_t r = 2; r < 6; r++)
        assert_true(back[r] == lp[r]);
}

/* -------------------------------------------------------------------- faults */

static void test_golden_cut_anywhere_is_refused(void **state)
{
    gf_bytes b;
    rc_err err;
    gf f;

    (void)state;
    for (uint32_t k = 0; k <= GF_K; k += GF_K) {
        gf_fill(&f, k);
        b = gf_make(&f);
        for (size_t n = 0; n < b.n; n += n < 3000 || n + 100 > b.n ? 1 : 97) {
            const gf_bytes cut = { b.p, n };

            if (open_bytes(&cut, &err) != RC_E_DATA)
                fail_msg("%zu of %zu bytes: %d %s", n, b.n, err.code, err.msg);
        }
        free(b.p);
    }
}

static void test_golden_changed_anywhere_is_refused(void **state)
{
    size_t integrity = 0;
    gf_bytes b;
    rc_err err;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    b = gf_make(&f);
    for (size_t i = 0; i < b.n; i++) {
        rc_code rc;

        b.p[i] ^= (uint8_t)(1u << i % 8);
        rc = open_bytes(&b, &err);
        b.p[i] ^= (uint8_t)(1u << i % 8);
        if (rc != RC_E_INTEGRITY && rc != RC_E_DATA && rc != RC_E_LIMIT && rc != RC_E_UNSUPPORTED)
            fail_msg("byte %zu: %d %s", i, rc, err.msg);
        integrity += rc == RC_E_INTEGRITY;
    }
    assert_true(integrity > b.n * 9 / 10); /* the others are lengths, magic, version */
    assert_int_equal(open_bytes(&b, &err), RC_OK);
    free(b.p);
}

static void test_golden_says_what_it_is_not(void **state)
{
    gf_bytes b;
    rc_err err;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    b = gf_make(&f);
    b.p[8] = 2;
    expect(&b, RC_E_UNSUPPORTED, "another version");
    open_bytes(&b, &err);
    assert_string_equal(err.want, "version 1");
    assert_non_null(strstr(err.hint, "newer recast"));
    b.p[8] = 1;
    b.p[0] = 'R';
    expect(&b, RC_E_DATA, "not a golden file");
    free(b.p);
    b = (gf_bytes){ (uint8_t *)malloc(1), 0 };
    assert_int_equal(open_bytes(&b, &err), RC_E_DATA);
    free(b.p);
}

static void put_u64(gf_bytes *b, size_t at, uint64_t v)
{
    memcpy(b->p + at, &v, sizeof v);
}

/* Lengths of a mark: raw at 8, stored at 16. Memory for them is not there (1 MiB). */
static void test_golden_bounds_lengths_before_memory(void **state)
{
    size_t at[8];
    gf_bytes b;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    for (unsigned i = 0; i < 4; i++) {
        b = gf_make(&f);
        assert_int_equal(marks(&b, at), 6);
        put_u64(&b, at[i] + 8, (uint64_t)1 << 40);
        put_u64(&b, at[5] + 8, 0);
        expect(&b, RC_E_DATA, "are not those of the end");
        put_u64(&b, at[i] + 16, UINT64_MAX);
        expect(&b, RC_E_DATA, "cut short");
        memset(b.p + 12, 0xff, 4);
        expect(&b, RC_E_LIMIT, "at most 65536 bytes");
        free(b.p);
    }
}

/* Set a section's raw length, and the sum of the end with it. */
static void set_raw(gf_bytes *b, const size_t at[8], unsigned i, uint64_t raw)
{
    rc_golden_mark mark, end;

    memcpy(&mark, b->p + at[i], sizeof mark);
    memcpy(&end, b->p + at[5], sizeof end);
    end.raw += raw - mark.raw;
    mark.raw = raw;
    memcpy(b->p + at[i], &mark, sizeof mark);
    memcpy(b->p + at[5], &end, sizeof end);
}

static void test_golden_holds_sections_to_the_header(void **state)
{
    static const char *const says[5] = { "the text's tokens", "windows of a layer",
                                         "windows of a layer", "whole positions",
                                         "whole positions" };
    size_t at[8];
    gf_bytes b;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    for (unsigned i = 0; i < 5; i++) {
        b = gf_make(&f);
        marks(&b, at);
        set_raw(&b, at, i, 4 * GF_TOKENS + 4);
        expect(&b, RC_E_DATA, says[i]);
        set_raw(&b, at, i, (uint64_t)1 << 30);
        expect(&b, RC_E_DATA, says[i]);
        memset(b.p + at[i], 9, 1);
        expect(&b, RC_E_DATA, "not the one that belongs there");
        free(b.p);
    }
}

/* A frame with room in it that no frame of its content has. */
static void test_golden_bounds_frames_by_their_content(void **state)
{
    enum { MORE = 4096 };
    rc_golden_mark mark;
    size_t at[8];
    gf_bytes b;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    b = gf_make(&f);
    marks(&b, at);
    b.p = realloc(b.p, b.n + MORE);
    assert_non_null(b.p);
    memmove(b.p + at[1] + MORE, b.p + at[1], b.n - at[1]);
    memset(b.p + at[1], 0, MORE);
    b.n += MORE;
    for (unsigned i = 0; i <= 5; i += 5) {
        const size_t place = at[i] + (i ? MORE : 0);

        memcpy(&mark, b.p + place, sizeof mark);
        mark.stored += MORE;
        memcpy(b.p + place, &mark, sizeof mark);
    }
    expect(&b, RC_E_DATA, "larger than it can be");
    free(b.p);
}

static void replace(gf_bytes *b, const char *what, const char *by)
{
    rc_golden_start start;
    uint8_t *p = NULL;

    memcpy(&start, b->p, sizeof start);
    assert_int_equal(strlen(what), strlen(by));
    for (size_t i = sizeof start; !p && i + strlen(what) <= sizeof start + start.header; i++)
        if (memcmp(b->p + i, what, strlen(what)) == 0)
            p = b->p + i;
    if (!p)
        fail_msg("the header has no %s", what);
    memcpy(p, by, strlen(by));
}

static void test_golden_checks_the_header(void **state)
{
    static const struct {
        const char *what, *by;
        rc_code code;
        const char *says;
    } cases[] = {
        { "\"scored\": 28", "\"scored\": 27", RC_E_DATA, "where none should" },
        { "\"scored\": 28", "\"scored\": 29", RC_E_DATA, "not the one" },
        { "\"scored\": 28", "\"scored\": 99", RC_E_DATA, "scored" },
        { "\"layers\": 2", "\"layers\": 3", RC_E_DATA, "not the one" },
        { "\"layers\": 2", "\"layers\": 0", RC_E_DATA, "layers" },
        { "\"windows\": 2", "\"windows\": 1", RC_E_DATA, "window_tokens" },
        { "\"stride\": 16", "\"stride\": 17", RC_E_DATA, "stride" },
        { "\"top_k\": 12", "\"top_k\": 10", RC_E_DATA, "whole positions" },
        { "\"top_k\": 12", "\"top_k\": 99", RC_E_DATA, "larger" },
        { "\"tail_draws\": 8", "\"tail_draws\": 7", RC_E_DATA, "whole positions" },
        { "\"top_k\": 12", "\"top_q\": 12", RC_E_DATA, "no 'top_k'" },
        { "\"top_k\": 12", "\"top_k\":-12", RC_E_DATA, "'top_k' is not" },
        { "\"text\": \"h", "\"text\": [\"", RC_E_DATA, "" },
        { "\"recast\": \"0.1.0\"", "\"recast\": 123456 ", RC_E_DATA, "'recast' is not" },
        { "\"tokens\": null", "\"tokens\": \"ab\"", RC_E_DATA, "'tokens' is not" },
        { "\"bos\": null", "\"bos\": 3e2 ", RC_E_DATA, "'bos' is not" },
        { "\"bos\": null", "\"bos\": 300 ", RC_E_DATA, "bos" },
    };
    gf_bytes b;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        b = gf_make(&f);
        replace(&b, cases[i].what, cases[i].by);
        gf_seal(&b);
        expect(&b, cases[i].code, strcmp(cases[i].says, "larger") == 0 ? "" : cases[i].says);
        free(b.p);
    }
}

/* A header may say anything in its strings; a terminal does not get it raw. */
static void test_golden_escapes_strings(void **state)
{
    rc_mem mem = { 0 };
    rc_golden *g;
    rc_err err;
    gf_bytes b;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    strcpy(f.head.native, "a\x1b[31mb");
    b = gf_make(&f);
    assert_int_equal(rc_golden_parse(&g, b.p, b.n, &mem, &err), RC_OK);
    assert_string_equal(rc_golden_head_of(g)->native, "a\\x1b[31mb");
    rc_golden_close(&g);
    free(b.p);
}

static void refused_value(gf *f, const char *part)
{
    gf_bytes b = gf_make(f);
    uint32_t id[GF_SCORED * GF_K], token[GF_TOKENS];
    double lp[GF_SCORED * GF_K];
    uint32_t drawn[GF_SCORED * RC_GOLDEN_DRAWS];
    double drawn_lp[GF_SCORED * RC_GOLDEN_DRAWS];
    float tail[GF_SCORED], next[GF_SCORED];
    rc_golden_said s = { .id = id,
                         .logprob = lp,
                         .drawn = drawn,
                         .drawn_logprob = drawn_lp,
                         .tail = tail,
                         .next = next };
    rc_mem mem = { 0 };
    rc_golden *g;
    rc_err err;
    rc_code rc;

    assert_int_equal(rc_golden_parse(&g, b.p, b.n, &mem, &err), RC_OK);
    rc = rc_golden_tokens(g, token, &err);
    if (rc == RC_OK)
        rc = rc_golden_read_said(g, 0, &s, &err);
    assert_int_equal(rc, RC_E_DATA);
    if (!strstr(err.msg, part))
        fail_msg("%s", err.msg);
    assert_true(err.offset < b.n);
    rc_golden_close(&g);
    free(b.p);
}

static void test_golden_refuses_values_that_cannot_be(void **state)
{
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    f.token[3] = GF_VOCAB;
    refused_value(&f, "a token that is not of the vocabulary");
    gf_fill(&f, GF_K);
    f.id[20] = GF_VOCAB;
    refused_value(&f, "a token that is not of the vocabulary");
    gf_fill(&f, GF_K);
    f.drawn[7] = GF_VOCAB;
    refused_value(&f, "a token that is not of the vocabulary");
    gf_fill(&f, GF_K);
    f.tail[4] = NAN;
    refused_value(&f, "no probability");
    gf_fill(&f, GF_K);
    f.next[4] = 0.5f;
    refused_value(&f, "no probability");
    f.next[4] = -INFINITY;
    refused_value(&f, "no probability");
}

/* Frames that unpack to more or less than their mark says. */
static void test_golden_refuses_frames_of_another_length(void **state)
{
    uint32_t token[GF_TOKENS];
    rc_mem mem = { 0 };
    gf_bytes b;
    rc_golden *g;
    size_t at[8];
    rc_err err;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    for (int more = -1; more <= 1; more += 2) {
        b = gf_make(&f);
        marks(&b, at);
        replace(&b, "\"text_tokens\": 30",
                more < 0 ? "\"text_tokens\": 29" : "\"text_tokens\": 31");
        set_raw(&b, at, 0, (uint64_t)(4 * (GF_TOKENS + more)));
        gf_seal(&b);
        assert_int_equal(rc_golden_parse(&g, b.p, b.n, &mem, &err), RC_OK);
        assert_int_equal(rc_golden_tokens(g, token, &err), RC_E_DATA);
        assert_non_null(strstr(err.msg, "cannot be unpacked"));
        rc_golden_close(&g);
        free(b.p);
    }
}

/* --------------------------------------------------------------- resources */

static void test_golden_survives_no_memory(void **state)
{
    fx_dir dir = fx_open(NULL);
    rc_code rc = RC_E_OS;
    rc_err err;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    for (size_t at = 1; rc != RC_OK; at++) {
        rc_mem mem = { .fail_at = at };

        rc = gf_write(&f, &dir, &mem, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        assert_int_equal(mem.used, 0);
        assert_int_equal(access(fx_path(&dir, "g.rgf"), F_OK) == 0, rc == RC_OK);
        assert_int_not_equal(access(fx_path(&dir, "g.rgf.partial"), F_OK), 0);
    }
    rc = RC_E_OS;
    for (size_t at = 1; rc != RC_OK; at++) {
        rc_mem mem = { .fail_at = at };
        uint32_t token[GF_TOKENS];
        rc_golden *g;

        rc = rc_golden_open(&g, fx_path(&dir, "g.rgf"), &mem, &err);
        if (rc == RC_OK)
            rc = rc_golden_tokens(g, token, &err);
        assert_true(rc == RC_OK || rc == RC_E_OS);
        rc_golden_close(&g);
        assert_int_equal(mem.used, 0);
    }
    fx_close(&dir);
}

static void test_golden_without_all_sections_is_not_named(void **state)
{
    fx_dir dir = fx_open(NULL);
    rc_golden_writer *w;
    rc_target target;
    rc_mem mem = { 0 };
    rc_err err;
    gf f;

    (void)state;
    gf_fill(&f, GF_K);
    assert_int_equal(rc_target_open(&target, fx_path(&dir, "g.rgf"), &err), RC_OK);
    assert_int_equal(rc_golden_writer_new(&w, &target, &f.head, &mem, &err), RC_OK);
    assert_int_equal(rc_golden_put_tokens(w, f.token, &err), RC_OK);
    assert_int_equal(access(fx_path(&dir, "g.rgf.partial"), F_OK), 0);
    assert_int_equal(rc_golden_finish(w, &err), RC_E_INTERNAL);
    rc_golden_writer_free(&w);
    rc_target_close(&target);
    assert_int_not_equal(access(fx_path(&dir, "g.rgf.partial"), F_OK), 0);
    assert_int_not_equal(access(fx_path(&dir, "g.rgf"), F_OK), 0);
    fx_close(&dir);
}

static void test_golden_names_a_file_that_is_not_there(void **state)
{
    fx_dir dir = fx_open(NULL);
    rc_mem mem = { 0 };
    rc_golden *g;
    rc_err err;

    (void)state;
    assert_int_equal(rc_golden_open(&g, fx_path(&dir, "no.rgf"), &mem, &err), RC_E_NOINPUT);
    assert_non_null(strstr(err.file, "no.rgf"));
    assert_int_equal(rc_golden_open(&g, dir.path, &mem, &err), RC_E_NOINPUT);
    fx_close(&dir);
}

/* ------------------------------------------------------------- what is drawn */

/* SplitMix64's first outputs from seed 0 are published. */
static void test_golden_draws_what_is_documented(void **state)
{
    rc_golden_head h = { .window_tokens = 1000, .every = 64 };

    (void)state;
    assert_int_equal(rc_golden_signs(0), 0xcdaf); /* e220a8397b1dcdaf */
    assert_int_equal(rc_golden_signs(1), 0x65f4); /* 6e789e6aa1b965f4 */
    assert_int_equal(rc_golden_sketched(&h), 16);
    for (uint64_t g = 0; g < 16; g++)
        assert_int_equal(rc_golden_sketched_at(&h, g) / 64, g);
    assert_true(rc_golden_sketched_at(&h, 15) < 1000);
}

/* ------------------------------------------------------------------ the budget */

/* Worst case: nothing that zstd could win on. Flash, or the three layers of the sample. */
static uint64_t bytes_of(uint32_t vocab, uint32_t layers, size_t n)
{
    fx_dir dir = fx_open(NULL);
    uint64_t seed = 3;
    rc_mem mem = { 0 };
    rc_target target;
    rc_golden_writer *w;
    rc_err err;
    struct stat st;
    const size_t k = 32;
    rc_golden_head h = { .vocab = vocab,
                         .layers = layers,
                         .streams = 4,
                         .hidden = 4096,
                         .ctx = 512,
                         .stride = 512,
                         .bos = RC_GOLDEN_NO_BOS,
                         .text_tokens = n,
                         .windows = (n + 511) / 512,
                         .window_tokens = n,
                         .top_k = (uint32_t)k };
    uint32_t *token = malloc(n * 4), *id = malloc(RC_GOLDEN_RUN * k * 4);
    double *lp = malloc(RC_GOLDEN_RUN * k * sizeof *lp);
    float *share = malloc(RC_GOLDEN_RUN * 4), *sketch;
    uint32_t *drawn = malloc(RC_GOLDEN_RUN * RC_GOLDEN_DRAWS * 4);
    double *drawn_lp = malloc(RC_GOLDEN_RUN * RC_GOLDEN_DRAWS * sizeof *drawn_lp);
    rc_golden_sum *sum = malloc(h.windows * sizeof *sum);
    rc_golden_said s = { .id = id,
                         .logprob = lp,
                         .drawn = drawn,
                         .drawn_logprob = drawn_lp,
                         .tail = share,
                         .next = share };

    h.scored = n - h.windows;
    assert_int_equal(rc_golden_plan(&h, &err), RC_OK);
    sketch = malloc(rc_golden_sketched(&h) * RC_GOLDEN_DIMS * 4);
    for (size_t i = 0; i < n; i++)
        token[i] = gf_random(&seed) % vocab;
    assert_int_equal(rc_target_open(&target, fx_path(&dir, "g.rgf"), &err), RC_OK);
    assert_int_equal(rc_golden_writer_new(&w, &target, &h, &mem, &err), RC_OK);
    assert_int_equal(rc_golden_put_tokens(w, token, &err), RC_OK);
    for (uint32_t l = 0; l < layers; l++) {
        rnd_fill(sketch, rc_golden_sketched(&h) * RC_GOLDEN_DIMS, 100, &seed);
        for (size_t i = 0; i < h.windows * sizeof *sum; i++)
            ((uint8_t *)sum)[i] = (uint8_t)gf_random(&seed);
        assert_int_equal(rc_golden_put_layer(w, sum, sketch, &err), RC_OK);
    }
    for (size_t at = 0; at < h.scored; at += RC_GOLDEN_RUN) {
        const size_t left = h.scored - at, run = left < RC_GOLDEN_RUN ? left : RC_GOLDEN_RUN;

        for (size_t i = 0; i < run; i++) {
            double p = 0;

            share[i] = -fabsf(rnd_f32(&seed));
            for (size_t j = i * RC_GOLDEN_DRAWS; j < (i + 1) * RC_GOLDEN_DRAWS; j++) {
                drawn[j] = gf_random(&seed) % vocab;
                drawn_lp[j] = -16 - 10 * fabs((double)rnd_f32(&seed));
            }
            for (size_t r = 0; r < k; r++) {
                id[i * k + r] = gf_random(&seed) % vocab;
                p -= fabsf(rnd_f32(&seed)) * 0.5; /* 12 nats from the first to the last */
                lp[i * k + r] = p;
            }
        }
        assert_int_equal(rc_golden_put_said(w, &s, run, &err), RC_OK);
    }
    assert_int_equal(rc_golden_finish(w, &err), RC_OK);
    rc_golden_writer_free(&w);
    rc_target_close(&target);
    assert_int_equal(stat(fx_path(&dir, "g.rgf"), &st), 0);
    fx_close(&dir);
    free(token);
    free(id);
    free(lp);
    free(share);
    free(drawn);
    free(drawn_lp);
    free(sketch);
    free(sum);
    return (uint64_t)st.st_size;
}

static void test_golden_keeps_to_its_budget(void **state)
{
    static const struct {
        uint32_t vocab, layers;
        size_t tokens;
    } cases[] = {
        { 129280, 43, 10000 }, { 129280, 61, 10000 }, { 1536, 3, 10000 }, { 129280, 43, 100000 }
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint64_t n = bytes_of(cases[i].vocab, cases[i].layers, cases[i].tokens);

        if (n > 200 * cases[i].tokens)
            fail_msg("%zu tokens: %.1f bytes each", cases[i].tokens,
                     (double)n / (double)cases[i].tokens);
    }
}

static void test_golden_refuses_what_would_not_fit(void **state)
{
    rc_golden_head h = { .vocab = 129280,
                         .layers = 43,
                         .streams = 4,
                         .hidden = 4096,
                         .ctx = 512,
                         .stride = 512,
                         .bos = RC_GOLDEN_NO_BOS,
                         .text_tokens = 5u << 20,
                         .windows = 100,
                         .window_tokens = 51200,
                         .scored = 10 };
    rc_err err;

    (void)state;
    assert_int_equal(rc_golden_plan(&h, &err), RC_E_LIMIT);
    assert_non_null(strstr(err.msg, "the text has tokens"));
    h.text_tokens = 51200;
    assert_int_equal(rc_golden_plan(&h, &err), RC_OK);
    assert_int_equal(h.run, 8); /* rows of half a megabyte */
    assert_int_equal(h.every, 64);
    h.vocab = 8u << 20;
    assert_int_equal(rc_golden_plan(&h, &err), RC_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_comes_back),
        cmocka_unit_test(test_golden_with_every_logit_comes_back),
        cmocka_unit_test(test_golden_takes_odd_numbers_of_candidates),
        cmocka_unit_test(test_golden_is_the_same_file_again),
        cmocka_unit_test(test_golden_rounds_each_logprob_for_itself),
        cmocka_unit_test(test_golden_cut_anywhere_is_refused),
        cmocka_unit_test(test_golden_changed_anywhere_is_refused),
        cmocka_unit_test(test_golden_says_what_it_is_not),
        cmocka_unit_test(test_golden_bounds_lengths_before_memory),
        cmocka_unit_test(test_golden_holds_sections_to_the_header),
        cmocka_unit_test(test_golden_bounds_frames_by_their_content),
        cmocka_unit_test(test_golden_checks_the_header),
        cmocka_unit_test(test_golden_escapes_strings),
        cmocka_unit_test(test_golden_refuses_values_that_cannot_be),
        cmocka_unit_test(test_golden_refuses_frames_of_another_length),
        cmocka_unit_test(test_golden_survives_no_memory),
        cmocka_unit_test(test_golden_without_all_sections_is_not_named),
        cmocka_unit_test(test_golden_names_a_file_that_is_not_there),
        cmocka_unit_test(test_golden_draws_what_is_documented),
        cmocka_unit_test(test_golden_keeps_to_its_budget),
        cmocka_unit_test(test_golden_refuses_what_would_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
