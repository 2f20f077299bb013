/* tests/unit/test_weights.c - pieces of weights, small parameters, tables of integers. */
#include "runtime/weights.h"

#include <time.h>

#include "tests/unit/runtime_model.h"

#define WQ_B   "layers.0.attn.wq_b.weight" /* FP8 [32768, 1024]: 8 pieces */
#define WO_B   "layers.0.attn.wo_b.weight" /* FP8 [4096, 8192]: 8 pieces */
#define TABLE  "layers.0.ffn.gate.tid2eid"
#define BUDGET ((size_t)13 << 20) /* three pieces of 4 MiB, and their margins */

static fx_dir dir;
static const char *flash; /* one layer with the release's shapes: holes, but for what is written */
static char flash_path[300];

/* What is read must be what lies there. */
static uint8_t byte_at(uint64_t i, unsigned salt)
{
    return (uint8_t)((((i + salt) * UINT64_C(0x9e3779b97f4a7c15)) >> 29) & 0x7e);
}

static void fill(rm *m, const rc_tensor *t, unsigned salt)
{
    uint8_t *bytes = malloc(t->nbytes);

    assert_non_null(bytes);
    for (uint64_t i = 0; i < t->nbytes; i++)
        bytes[i] = byte_at(i, salt);
    rm_poke(m, flash, t, 0, bytes, t->nbytes);
    free(bytes);
}

/* An open checkpoint may not change: it is opened for that alone. */
static void poke(const char *param, uint64_t off, const void *data, size_t n)
{
    rm m;

    rm_open(&m, flash);
    rm_poke(&m, flash, rm_find(&m, param)->weight, off, data, n);
    rm_close(&m);
}

static void open_flash(rm *m)
{
    rm_open(m, flash);
    rm_weights(m, BUDGET, 1);
}

static int setup(void **state)
{
    const rc_synth_options options = {
        .like = "flash", .layers = 1, .experts = 6, .hollow = true, .threads = 1
    };
    rm m;

    (void)state;
    dir = fx_open(NULL);
    snprintf(flash_path, sizeof flash_path, "%s", fx_path(&dir, "flash"));
    flash = flash_path;
    rm_synth(flash, &options);
    rm_open(&m, flash);
    fill(&m, rm_find(&m, WQ_B)->weight, 1);
    fill(&m, rm_find(&m, WQ_B)->scale, 2);
    fill(&m, rm_find(&m, WO_B)->weight, 3);
    fill(&m, rm_find(&m, WO_B)->scale, 4);
    rm_close(&m);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fx_close(&dir);
    return 0;
}

static void check_piece(const rc_bound *b, const rc_held *h, unsigned salt)
{
    const rc_extent x = rc_decoder_extent(b, h->row, h->n);

    for (size_t i = 0; i < x.weight_len; i++)
        if (h->piece.weight[i] != byte_at(x.weight_off + i, salt))
            fail_msg("row %" PRIu64 ": weight byte %zu is wrong", h->row, i);
    for (size_t i = 0; i < x.scale_len; i++)
        if (h->piece.scale[i] != byte_at(x.scale_off + i, salt + 1))
            fail_msg("row %" PRIu64 ": scale byte %zu is wrong", h->row, i);
}

static void get(rm *m, const rc_bound *b, size_t i, rc_held *h)
{
    rc_err err;

    if (rc_weights_get(m->e.weights, b, i, h, &err) != RC_OK)
        fail_msg("piece %zu: %s", i, err.msg);
    assert_int_equal(h->row, i * rc_weights_step(m->e.weights, b));
    assert_int_equal(h->piece.row0, h->row);
}

/* All of a parameter. */
static void go_through(rm *m, const char *param, unsigned salt)
{
    const rc_bound *b = rm_find(m, param);
    const size_t n = rc_weights_pieces(m->e.weights, b);
    uint64_t rows = 0;

    assert_int_equal(n, 8);
    assert_int_equal(rc_weights_step(m->e.weights, b) % 128, 0);
    for (size_t i = 0; i < n; i++) {
        rc_held h;

        get(m, b, i, &h);
        check_piece(b, &h, salt);
        rows += h.n;
        rc_weights_put(m->e.weights, &h);
        rc_weights_put(m->e.weights, &h); /* once more does nothing */
    }
    assert_int_equal(rows, b->param->shape[0]);
}

/* The budget holds three pieces of sixteen: they come and go, and are always the same bytes. */
static void test_weights_come_and_go(void **state)
{
    (void)state;
    for (unsigned readers = 0; readers < 3; readers++) {
        rc_weights_stats s;
        size_t before;
        rm m;

        rm_open(&m, flash);
        before = m.mem.used;
        rm_weights(&m, BUDGET, readers);
        for (int round = 0; round < 3; round++) {
            rc_weights_want(m.e.weights, rm_find(&m, WQ_B));
            rc_weights_want(m.e.weights, rm_find(&m, WO_B));
            go_through(&m, WQ_B, 1);
            if (round == 1)
                rc_weights_done(m.e.weights, rm_find(&m, WQ_B));
            go_through(&m, WO_B, 3);
        }
        assert_true(m.mem.used - before <= BUDGET + (256u << 10));
        s = rc_weights_statistics(m.e.weights);
        assert_true(s.pieces_read > 16); /* some twice */
        assert_true(s.bytes_read > s.pieces_read * (4u << 20));
        rm_close(&m);
    }
}

/* What was wanted last goes first: with room for all but one, the first round pays, then nearly
 * all is there. */
static void test_weights_stay_while_there_is_room(void **state)
{
    const rc_bound *b;
    uint64_t once;
    rm m;

    (void)state;
    rm_open(&m, flash);
    rm_weights(&m, (size_t)7 * (4u << 20) + (1u << 20), 0);
    b = rm_find(&m, WQ_B);
    go_through(&m, WQ_B, 1);
    once = rc_weights_statistics(m.e.weights).pieces_read;
    assert_int_equal(once, 8);
    go_through(&m, WQ_B, 1);
    assert_true(rc_weights_statistics(m.e.weights).pieces_read <= 8 + 3);
    assert_true(rc_weights_statistics(m.e.weights).pieces_kept >= 5);
    rc_weights_done(m.e.weights, b); /* never wanted: harmless */
    rm_close(&m);
}

/* Two held pieces stay where they are while others come and go. */
static void test_weights_held_pieces_stay(void **state)
{
    const rc_bound *a, *b;
    rc_held one, two, h;
    rm m;

    (void)state;
    rm_open(&m, flash);
    rm_weights(&m, BUDGET, 2);
    a = rm_find(&m, WQ_B);
    b = rm_find(&m, WO_B);
    get(&m, a, 3, &one);
    get(&m, a, 3, &two); /* the same one twice */
    rc_weights_put(m.e.weights, &two);
    get(&m, b, 7, &two);
    rc_weights_want(m.e.weights, a);
    for (size_t i = 0; i < 8; i++) {
        get(&m, b, i, &h);
        check_piece(b, &h, 3);
        rc_weights_put(m.e.weights, &h);
    }
    check_piece(a, &one, 1);
    check_piece(b, &two, 3);
    rc_weights_put(m.e.weights, &one);
    rc_weights_put(m.e.weights, &two);
    rm_close(&m);
}

/* Closed at any moment, with all that was wanted still to come. */
static void test_weights_close_with_wants_outstanding(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        const struct timespec pause = { .tv_nsec = i * 700000 };
        rm m;

        rm_open(&m, flash);
        rm_weights(&m, i % 2 ? BUDGET : 64u << 20, 2);
        rc_weights_want(m.e.weights, rm_find(&m, WQ_B));
        rc_weights_want(m.e.weights, rm_find(&m, WO_B));
        nanosleep(&pause, NULL);
        rm_close(&m);
    }
}

static void test_weights_budget_too_small(void **state)
{
    rc_weights *w;
    rc_err err;
    rm m;

    (void)state;
    rm_open(&m, flash);
    assert_int_equal(rc_weights_open(&w, m.model, NULL, 12u << 20, 1, &m.mem, &err), RC_E_LIMIT);
    assert_null(w);
    assert_non_null(strstr(err.want, "at least"));
    assert_non_null(strstr(err.hint, "--mem-limit"));
    rm_close(&m);
}

/* Refused at the k-th allocation, for every k: an error, or one piece had to go for another. */
static void test_weights_survive_no_memory(void **state)
{
    bool undisturbed = false;

    (void)state;
    for (size_t k = 1; !undisturbed; k++) {
        rc_code rc;
        size_t before;
        rc_held h;
        rc_err err;
        float *norm;
        rm m;

        rm_open(&m, flash);
        before = m.mem.used;
        m.mem.fail_at = m.mem.calls + k;
        rc = rc_weights_open(&m.e.weights, m.model, NULL, BUDGET, 1, &m.mem, &err);
        if (rc == RC_OK)
            rc = rc_weights_small(m.e.weights, "layers.0.attn_norm.weight", 4096, &norm, &err);
        if (rc == RC_OK) {
            rc_mem_put(&m.mem, norm);
            rc_weights_want(m.e.weights, rm_find(&m, WO_B));
        }
        for (size_t i = 0; rc == RC_OK && i < 8; i++) {
            rc = rc_weights_get(m.e.weights, rm_find(&m, WO_B), i, &h, &err);
            if (rc == RC_OK)
                check_piece(rm_find(&m, WO_B), &h, 3);
            if (rc == RC_OK)
                rc_weights_put(m.e.weights, &h);
        }
        assert_true(rc == RC_OK || rc == RC_E_OS);
        rc_weights_close(&m.e.weights);
        assert_int_equal(m.mem.used, before);
        undisturbed = m.mem.calls < m.mem.fail_at;
        assert_true(!undisturbed || rc == RC_OK);
        rm_close(&m);
        assert_true(k < 100);
    }
}

/* ---- a damaged file ---- */

static void cut_shard(rm *m, const char *path, const rc_tensor *t, uint64_t keep)
{
    char file[1300];

    snprintf(file, sizeof file, "%s/%s", path, rc_ckpt_shard(m->ckpt, t->shard)->name);
    assert_int_equal(truncate(file, (off_t)(t->begin + keep)), 0);
}

/* Nothing of the file can be read: each is told of the tensor that was asked for, not of the
 * one that a reader met first. */
static void test_weights_name_what_cannot_be_read(void **state)
{
    const rc_synth_options options = {
        .like = "flash", .layers = 1, .experts = 6, .hollow = true, .threads = 1
    };
    const struct timespec pause = { .tv_nsec = 30000000 };
    char path[300];

    (void)state;
    snprintf(path, sizeof path, "%s", fx_path(&dir, "cut"));
    for (unsigned readers = 0; readers < 2; readers++) {
        static const char *const names[] = { WO_B, WQ_B, WO_B };
        rm m;

        rm_synth(path, &options);
        rm_open(&m, path);
        rm_weights(&m, 128u << 20, readers);
        cut_shard(&m, path, rm_find(&m, WQ_B)->weight, 1000);
        rc_weights_want(m.e.weights, rm_find(&m, WQ_B));
        rc_weights_want(m.e.weights, rm_find(&m, WO_B));
        nanosleep(&pause, NULL);
        for (unsigned i = 0; i < 3; i++) {
            const rc_bound *b = rm_find(&m, names[i]);
            rc_held h;
            rc_err err;

            assert_int_equal(rc_weights_get(m.e.weights, b, 2, &h, &err), RC_E_INTEGRITY);
            assert_string_equal(err.file, rc_ckpt_shard(m.ckpt, b->weight->shard)->name);
            assert_string_equal(err.tensor, names[i]);
            assert_true(err.offset == RC_NO_OFFSET ||
                        (err.offset >= b->weight->begin + (8u << 20) &&
                         err.offset < b->weight->begin + (12u << 20)));
            assert_null(h.entry);
            rc_weights_put(m.e.weights, &h); /* harmless */
        }
        rm_close(&m);
        fx_remove(path);
    }
}

/* ---- rows, small parameters, integers ---- */

static void test_weights_rows_of_a_large_parameter(void **state)
{
    static const uint32_t rows[] = { 129279, 0, 77, 77 };
    static float y[4 * 5000];
    const uint16_t one = 0x3f80, two = 0x4000, nan = 0x7fc1;
    const rc_bound *embed;
    uint32_t past = 129280;
    rc_err err;
    rm m;

    (void)state;
    poke("embed.weight", (uint64_t)129279 * 8192 + 8190, &one, 2);
    poke("embed.weight", 77 * 8192, &two, 2);
    open_flash(&m);
    embed = rm_find(&m, "embed.weight");
    y[4096] = 5; /* between rows nothing is touched */
    assert_int_equal(rc_weights_rows(m.e.weights, embed, rows, 4, y, 5000, &err), RC_OK);
    assert_true(y[0] == 0 && y[4095] == 1 && y[4096] == 5 && y[5000 + 4095] == 0);
    assert_true(y[10000] == 2 && y[15000] == 2 && y[10001] == 0);
    assert_int_equal(rc_weights_rows(m.e.weights, embed, &past, 1, y, 5000, &err), RC_E_INTERNAL);

    rm_close(&m);
    poke("embed.weight", 77 * 8192 + 20, &nan, 2);
    open_flash(&m);
    embed = rm_find(&m, "embed.weight");
    assert_int_equal(rc_weights_rows(m.e.weights, embed, rows, 3, y, 5000, &err), RC_E_NUMERIC);
    assert_string_equal(err.tensor, "embed.weight");
    assert_int_equal(err.offset, embed->weight->begin + 77 * 8192 + 20);
    assert_string_equal(err.msg, "element [77, 10] is NaN");
    rm_close(&m);
}

static void test_weights_small_parameters(void **state)
{
    const uint16_t values[] = { 0x3f80, 0xc000 };
    const uint16_t infinite = 0xff80;
    const rc_bound *b;
    float *norm;
    rc_err err;
    rm m;

    (void)state;
    poke("layers.0.ffn_norm.weight", 8188, values, 4);
    open_flash(&m);
    assert_int_equal(rc_weights_small(m.e.weights, "layers.0.ffn_norm.weight", 4096, &norm, &err),
                     RC_OK);
    assert_true(norm[0] == 0 && norm[4094] == 1 && norm[4095] == -2);
    rc_mem_put(&m.mem, norm);

    rm_close(&m);
    poke("layers.0.ffn_norm.weight", 6, &infinite, 2);
    open_flash(&m);
    assert_int_equal(rc_weights_small(m.e.weights, "layers.0.ffn_norm.weight", 4096, &norm, &err),
                     RC_E_NUMERIC);
    assert_null(norm);
    assert_string_equal(err.tensor, "layers.0.ffn_norm.weight");
    assert_string_equal(err.msg, "element [0, 3] is infinite");
    b = rm_find(&m, "layers.0.ffn_norm.weight");
    assert_int_equal(err.offset, b->weight->begin + 6);

    assert_int_equal(rc_weights_small(m.e.weights, "layers.0.attn_norm.weight", 4095, &norm, &err),
                     RC_E_INTERNAL);
    assert_int_equal(rc_weights_small(m.e.weights, "layers.9.attn_norm.weight", 1, &norm, &err),
                     RC_E_TENSORSET);
    assert_string_equal(err.tensor, "layers.9.attn_norm.weight");
    rm_close(&m);
}

static void test_weights_tables_of_integers(void **state)
{
    static const uint32_t rows[] = { 129279, 5 };
    const int64_t good[] = { 5, 0, 3, 4, 1, 2 }, bad[] = { 6, -1, INT64_C(1) << 32 };
    uint32_t y[12];
    const rc_bound *b;
    rc_err err;
    rm m;

    (void)state;
    poke(TABLE, (uint64_t)129279 * 48, good, 48);
    poke(TABLE, 5 * 48, good, 48);
    open_flash(&m);
    assert_int_equal(rc_weights_ints(m.e.weights, TABLE, rows, 2, 6, 6, y, &err), RC_OK);
    for (unsigned i = 0; i < 6; i++)
        assert_true(y[i] == (uint32_t)good[i] && y[6 + i] == (uint32_t)good[i]);
    for (unsigned i = 0; i < 3; i++) {
        char shown[64];

        rm_close(&m);
        poke(TABLE, 5 * 48 + 16, &bad[i], 8);
        open_flash(&m);
        b = rm_find(&m, TABLE);
        assert_int_equal(rc_weights_ints(m.e.weights, TABLE, rows, 2, 6, 6, y, &err), RC_E_DATA);
        assert_string_equal(err.tensor, TABLE);
        assert_int_equal(err.offset, b->weight->begin + 5 * 48 + 16);
        snprintf(shown, sizeof shown, "entry [5, 2] points at expert %" PRId64, bad[i]);
        assert_string_equal(err.msg, shown);
        assert_non_null(strstr(err.want, "below 6"));
    }
    assert_int_equal(rc_weights_ints(m.e.weights, "layers.7.x", rows, 2, 6, 6, y, &err),
                     RC_E_TENSORSET);
    rm_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_come_and_go),
        cmocka_unit_test(test_weights_stay_while_there_is_room),
        cmocka_unit_test(test_weights_held_pieces_stay),
        cmocka_unit_test(test_weights_close_with_wants_outstanding),
        cmocka_unit_test(test_weights_budget_too_small),
        cmocka_unit_test(test_weights_survive_no_memory),
        cmocka_unit_test(test_weights_name_what_cannot_be_read),
        cmocka_unit_test(test_weights_rows_of_a_large_parameter),
        cmocka_unit_test(test_weights_small_parameters),
        cmocka_unit_test(test_weights_tables_of_integers),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
