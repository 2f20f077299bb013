/* tests/unit/test_windows.c - how a text is cut: by hand, and every small case by its definition.
 */
#include "runtime/windows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

enum { MOST = 40, BOS = 1000 };

/* "0 1 2 3 | 2 3 4": windows, their tokens (BOS: B), scored positions in brackets. */
static void expect_cut(size_t n, uint32_t ctx, uint32_t stride, uint32_t skip, uint32_t bos,
                       const char *want)
{
    uint32_t id[MOST];
    char got[400] = "";
    rc_mem mem = { 0 };
    rc_windows w;
    rc_err err;

    for (uint32_t i = 0; i < n; i++)
        id[i] = i;
    assert_int_equal(rc_windows_cut(&w, id, n, ctx, stride, skip, bos, &mem, &err), RC_OK);
    for (size_t i = 0, at = 0; i < w.windows; i++) {
        size_t begin, end, stop = i + 1 < w.windows ? at + ctx : w.tokens;
        rc_windows_scored(&w, i, &begin, &end);
        for (; at < stop; at++) {
            char token[16] = "B";
            if (w.token[at] != BOS)
                snprintf(token, sizeof token, "%u", w.token[at]);
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s%s%s",
                     at == begin ? "[" : "", token, at + 1 == end ? "]" : "",
                     at + 1 < w.tokens ? " " : "");
        }
        if (at < w.tokens)
            strcat(got, "| ");
    }
    assert_string_equal(got, want);
    rc_windows_free(&w);
    assert_int_equal(mem.used, 0);
}

static void test_windows_by_hand(void **state)
{
    (void)state;
    /* end to end */
    expect_cut(8, 4, 4, 0, RC_NO_TOKEN, "[0 1 2] 3 | [4 5 6] 7");
    expect_cut(8, 4, 4, 2, RC_NO_TOKEN, "0 1 [2] 3 | 4 5 [6] 7"); /* as llama.cpp */
    expect_cut(8, 4, 4, 2, BOS, "B 0 [1] 2 | B 4 [5] 6");         /* 7 alone scores nothing */
    expect_cut(9, 4, 4, 0, RC_NO_TOKEN, "[0 1 2] 3 | [4 5 6] 7"); /* nor does 8 */
    expect_cut(10, 4, 4, 0, RC_NO_TOKEN, "[0 1 2] 3 | [4 5 6] 7 | [8] 9");
    expect_cut(3, 4, 4, 0, RC_NO_TOKEN, "[0 1] 2");
    expect_cut(4, 8, 4, 1, BOS, "B [0 1 2] 3");
    /* overlapping */
    expect_cut(8, 4, 2, 0, RC_NO_TOKEN, "[0 1 2] 3 | 2 [3 4] 5 | 4 [5 6] 7");
    expect_cut(7, 4, 2, 0, RC_NO_TOKEN, "[0 1 2] 3 | 2 [3 4] 5 | 4 [5] 6");
    expect_cut(6, 4, 1, 0, RC_NO_TOKEN, "[0 1 2] 3 | 1 2 [3] 4 | 2 3 [4] 5");
    expect_cut(6, 4, 1, 0, BOS, "[B 0 1] 2 | B 1 [2] 3 | B 2 [3] 4 | B 3 [4] 5");
    expect_cut(8, 4, 3, 0, BOS, "[B 0 1] 2 | [B 3 4] 5 | [B 6] 7");
    expect_cut(8, 4, 2, 2, RC_NO_TOKEN, "0 1 [2] 3 | 2 3 [4] 5 | 4 5 [6] 7");
    expect_cut(7, 4, 2, 2, RC_NO_TOKEN, "0 1 [2] 3 | 2 3 [4] 5"); /* of 4 5 6 nothing */
    expect_cut(2, 2, 1, 0, RC_NO_TOKEN, "[0] 1");
    expect_cut(1, 2, 1, 0, BOS, "[B] 0");
}

/* A text that begins with BOS gets no second one. */
static void test_windows_bos_of_its_own(void **state)
{
    const uint32_t id[] = { BOS, 1, 2, 3, 4, 5 };
    rc_mem mem = { 0 };
    rc_windows w;
    rc_err err;

    (void)state;
    assert_int_equal(rc_windows_cut(&w, id, 6, 3, 3, 0, BOS, &mem, &err), RC_OK);
    assert_true(w.tokens == 6 && w.token[0] == BOS && w.token[1] == 1 && w.token[3] == BOS);
    assert_true(w.text[0] == 0 && w.text[1] == 1 && w.text[3] == 3 && w.text[4] == 4);
    rc_windows_free(&w);
    assert_int_equal(rc_windows_cut(&w, id + 1, 5, 3, 3, 0, BOS, &mem, &err), RC_OK);
    assert_true(w.tokens == 6 && w.token[0] == BOS && w.token[1] == 1 && w.token[3] == BOS);
    assert_true(w.text[0] == 0 && w.text[1] == 0 && w.text[3] == 2 && w.text[4] == 3);
    rc_windows_free(&w);
}

typedef struct cutting {
    uint32_t ctx, stride, skip;
    bool bos;
    size_t n;
} cutting;

/* Which tokens of s (the text behind its BOS) are predicted, straight from the definition: windows
 * begin at every stride; each scores what none before it scored, past its first `skip`. */
static size_t predict(const cutting *c, bool predicted[MOST + 1])
{
    const size_t all = c->n + c->bos;
    size_t windows = 0, scored = 0;

    memset(predicted, 0, MOST + 1);
    for (size_t from = 0, i = 0; from < all; from += c->stride, i++) {
        const size_t end = from + c->ctx < all ? from + c->ctx : all;
        size_t fresh = 0, reached = 0; /* the last token that any window before this one held */
        if (i)
            reached = from + c->ctx - c->stride < all ? from + c->ctx - c->stride : all;
        for (size_t at = from + c->skip; at + 1 < end; at++)
            if (at + 1 >= reached) {
                assert_false(predicted[at + 1]);
                predicted[at + 1] = true;
                fresh++;
            }
        scored += fresh;
        windows = fresh ? i + 1 : windows;
    }
    assert_true(windows > 0 || scored == 0);
    return windows;
}

static void expect_as_defined(const cutting *c, const uint32_t *id)
{
    bool want[MOST + 1], got[MOST + 1] = { false };
    const size_t windows = predict(c, want);
    size_t scored = 0, expected = 0;
    rc_mem mem = { 0 };
    rc_windows w;
    rc_err err;
    const rc_code rc = rc_windows_cut(&w, id, c->n, c->ctx, c->stride, c->skip,
                                      c->bos ? BOS : RC_NO_TOKEN, &mem, &err);

    assert_int_equal(rc, windows ? RC_OK : RC_E_USAGE);
    if (rc != RC_OK)
        return;
    assert_int_equal(w.windows, windows);
    for (size_t i = 0; i < w.windows; i++) {
        size_t begin, end;
        rc_windows_scored(&w, i, &begin, &end);
        assert_true(begin < end && begin >= i * c->ctx + c->skip && end < w.tokens);
        assert_true(end < (i + 1) * c->ctx);
        for (size_t at = begin; at < end; at++) {
            const size_t s = w.text[at + 1] + c->bos;
            assert_int_equal(w.token[at + 1], id[w.text[at + 1]]);
            assert_false(got[s]);
            got[s] = true;
            scored++;
        }
        if (c->bos)
            assert_int_equal(w.token[i * c->ctx], BOS);
        else
            assert_int_equal(w.token[i * c->ctx], id[i * c->stride]);
    }
    for (size_t s = 0; s < c->n + c->bos; s++) {
        assert_int_equal(got[s], want[s]);
        expected += want[s];
        if (c->skip == 0 && s != 0 && c->stride < c->ctx)
            assert_true(got[s]);
        if (c->skip == 0 && c->stride == c->ctx)
            assert_int_equal(got[s], s % c->ctx != 0);
    }
    assert_int_equal(w.scored, scored);
    assert_int_equal(scored, expected);
    rc_windows_free(&w);
    assert_int_equal(mem.used, 0);
}

static void test_windows_every_small_case(void **state)
{
    uint32_t id[MOST];
    cutting c;

    (void)state;
    for (uint32_t i = 0; i < MOST; i++)
        id[i] = 500 + i;
    for (c.ctx = 2; c.ctx < 10; c.ctx++)
        for (c.stride = 1; c.stride <= c.ctx; c.stride++)
            for (c.skip = 0; c.skip + 2 <= c.ctx; c.skip++)
                for (unsigned bos = 0; bos < 2; bos++)
                    for (c.n = 0; c.n < MOST; c.n++) {
                        c.bos = bos && c.n > 0;
                        expect_as_defined(&c, id);
                    }
}

static void test_windows_errors(void **state)
{
    static const struct {
        size_t n;
        uint32_t ctx, stride, skip, bos;
        const char *says, *want;
    } bad[] = {
        { 9, 1, 1, 0, RC_NO_TOKEN, "windows of 1 tokens", "" },
        { 9, 0, 0, 0, RC_NO_TOKEN, "windows of 0 tokens", "" },
        { 9, 4, 0, 0, RC_NO_TOKEN, "a stride of 0 tokens", "" },
        { 9, 4, 5, 0, RC_NO_TOKEN, "a stride of 5 tokens", "" },
        { 9, 4, 4, 3, RC_NO_TOKEN, "3 of the 4 tokens of a window skipped", "" },
        { 9, 4, 4, UINT32_MAX, RC_NO_TOKEN, "of a window skipped", "" },
        { 0, 4, 4, 0, RC_NO_TOKEN, "a text of 0 tokens", "2 tokens at least" },
        { 0, 4, 4, 0, BOS, "a text of 0 tokens", "1 tokens at least" },
        { 1, 4, 4, 0, RC_NO_TOKEN, "a text of 1 tokens", "2 tokens at least" },
        { 3, 4, 4, 2, RC_NO_TOKEN, "a text of 3 tokens", "4 tokens at least" },
        { 2, 4, 4, 2, BOS, "a text of 2 tokens", "3 tokens at least" },
    };
    const uint32_t id[9] = { 0 };
    rc_windows w;
    rc_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rc_mem mem = { 0 };
        assert_int_equal(rc_windows_cut(&w, id, bad[i].n, bad[i].ctx, bad[i].stride, bad[i].skip,
                                        bad[i].bos, &mem, &err),
                         RC_E_USAGE);
        if (!strstr(err.msg, bad[i].says))
            fail_msg("case %zu: %s", i, err.msg);
        assert_string_equal(err.want, bad[i].want);
        assert_int_equal(mem.used, 0);
        rc_windows_free(&w);
    }
}

static void test_windows_memory(void **state)
{
    static uint32_t id[100000];
    rc_mem mem = { .limit = 1 << 20 };
    rc_windows w;
    rc_err err;

    (void)state;
    assert_int_equal(rc_windows_cut(&w, id, 100000, 4096, 1, 0, RC_NO_TOKEN, &mem, &err), RC_E_OS);
    assert_true(w.windows == 0 && w.tokens == 0);
    rc_windows_free(&w);
    assert_int_equal(rc_windows_cut(&w, id, 80000, 4096, 4096, 0, 7, &mem, &err), RC_OK);
    rc_windows_free(&w);
    assert_int_equal(mem.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_by_hand),
        cmocka_unit_test(test_windows_bos_of_its_own),
        cmocka_unit_test(test_windows_every_small_case),
        cmocka_unit_test(test_windows_errors),
        cmocka_unit_test(test_windows_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
