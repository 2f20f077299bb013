/* tests/unit/test_piece.c - a matrix in both INT4 containers, larger than what is read at once:
 * values by the definitions, a word at a time. */
#include "runtime/piece.h"

#include "kernels/f16.h"
#include "kernels/int4_turn.h"
#include "tests/unit/fixture.h"

enum { ROWS = 4104, COLS = 2080, GROUP = 32, GROUPS = COLS / GROUP };

static uint8_t code(uint64_t row, uint64_t col)
{
    return fx_byte(row * COLS + col) & 15;
}

static uint8_t zero(uint64_t row, uint64_t group)
{
    return fx_byte(row * 977 + group) >> 3 & 15;
}

static uint16_t scale(uint64_t row, uint64_t group)
{
    return (uint16_t)(0x1400 + fx_byte(row + 31 * group) * 9); /* F16, about 2^-10 */
}

static float value(uint64_t row, uint64_t col)
{
    const uint64_t g = col / GROUP;

    return (float)(code(row, col) - zero(row, g)) * rc_f16_decode(scale(row, g));
}

static void put(uint8_t *words, uint64_t word, unsigned nibble, uint8_t v)
{
    words[4 * word + nibble / 2] |= (uint8_t)(v << 4 * (nibble % 2));
}

/* codes, scales, zero points, one after the other */
static void fill(uint8_t *at[3], bool awq)
{
    static const unsigned place[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };

    for (uint64_t r = 0; r < ROWS; r++) {
        for (uint64_t c = 0; c < COLS; c++)
            if (awq)
                put(at[0], c * (ROWS / 8) + r / 8, place[r % 8], code(r, c));
            else
                put(at[0], r * (COLS / 8) + c / 8, c % 8, code(r, c));
        for (uint64_t g = 0; g < GROUPS; g++) {
            const uint16_t s = scale(r, g);

            memcpy(at[1] + 2 * (awq ? g * ROWS + r : r * GROUPS + g), &s, 2);
            if (awq)
                put(at[2], g * (ROWS / 8) + r / 8, place[r % 8], zero(r, g));
            else
                put(at[2], r / 8 * GROUPS + g, r % 8, zero(r, g));
        }
    }
}

static void write_matrix(const fx_dir *dir, bool awq)
{
    const size_t sizes[3] = { (size_t)ROWS * COLS / 2, (size_t)ROWS * GROUPS * 2,
                              (size_t)ROWS * GROUPS / 2 };
    const size_t all = sizes[0] + sizes[1] + sizes[2];
    uint8_t *bytes = calloc(all, 1);
    uint8_t *at[3];
    uint64_t head_len;
    char head[700];
    FILE *f;

    assert_non_null(bytes);
    at[0] = bytes;
    at[1] = at[0] + sizes[0];
    at[2] = at[1] + sizes[1];
    fill(at, awq);
    snprintf(head, sizeof head,
             "{\"q\":{\"dtype\":\"I32\",\"shape\":[%d,%d],\"data_offsets\":[0,%zu]},"
             "\"s\":{\"dtype\":\"F16\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]},"
             "\"z\":{\"dtype\":\"I32\",\"shape\":[%d,%d],\"data_offsets\":[%zu,%zu]}} ",
             awq ? COLS : ROWS, (awq ? ROWS : COLS) / 8, sizes[0], awq ? GROUPS : ROWS,
             awq ? ROWS : GROUPS, sizes[0], sizes[0] + sizes[1], awq ? GROUPS : ROWS / 8,
             awq ? ROWS / 8 : GROUPS, sizes[0] + sizes[1], all);
    head_len = strlen(head);
    f = fopen(fx_path(dir, "model.safetensors"), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(&head_len, 1, 8, f), 8);
    assert_int_equal(fwrite(head, 1, head_len, f), head_len);
    assert_int_equal(fwrite(bytes, 1, all, f), all);
    assert_int_equal(fclose(f), 0);
    free(bytes);
    fx_text(dir, "config.json", fx_config);
}

/* Rows [row, row + n) read as one piece; each is looked at. */
static void check_rows(rc_ckpt *ckpt, const rc_bound *b, uint64_t row, uint64_t n, rc_mem *mem)
{
    const size_t room = rc_piece_room(b, 0, n), scratch_len = rc_piece_scratch(b);
    uint8_t *buf = rc_mem_get_pages(mem, room);
    uint8_t *scratch = scratch_len ? rc_mem_get_pages(mem, scratch_len) : NULL;
    rc_piece piece = { .work = rc_mem_get(mem, rc_decoder_work(COLS)) };
    static float y[COLS];
    rc_err err;

    if (rc_piece_read(&piece, ckpt, b, row, n, buf, room, scratch, &err) != RC_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(piece.row0, rc_decoder_whole(b) ? 0 : row);
    for (uint64_t r = row; r < row + n; r++) {
        rc_piece_row(y, &piece, (size_t)(r - piece.row0));
        for (uint64_t c = 0; c < COLS; c++)
            if (y[c] != value(r, c))
                fail_msg("[%d, %d] is %g, not %g", (int)r, (int)c, (double)y[c],
                         (double)value(r, c));
    }
    rc_mem_put(mem, buf);
    rc_mem_put(mem, scratch);
    rc_mem_put(mem, piece.work);
}

static void check_container(bool awq)
{
    const rc_param param = { .name = "m.weight", .rank = 2, .shape = { ROWS, COLS } };
    rc_bound b = { .param = &param,
                   .store = awq ? RC_STORE_AWQ : RC_STORE_PACKED,
                   .group = GROUP,
                   .gain = 1,
                   .pitch = COLS };
    fx_dir dir = fx_open(NULL);
    rc_mem mem = { 0 };
    rc_source *src;
    rc_ckpt *ckpt = NULL;
    rc_err err;

    write_matrix(&dir, awq);
    if (rc_source_open(&src, dir.path, NULL, &mem, &err) != RC_OK ||
        rc_ckpt_open(&ckpt, src, NULL, &mem, &err) != RC_OK)
        fail_msg("%s", err.msg);
    b.weight = rc_ckpt_find(ckpt, "q");
    b.scale = rc_ckpt_find(ckpt, "s");
    b.zero = rc_ckpt_find(ckpt, "z");
    assert_int_equal(rc_decoder_whole(&b), awq);
    assert_int_equal(rc_piece_scratch(&b) > 0, awq);
    assert_true(rc_piece_scratch(&b) < (size_t)ROWS * COLS / 2); /* bands, not the matrix */
    check_rows(ckpt, &b, 0, ROWS, &mem);
    if (!awq) { /* runs that begin and end inside words of zero points */
        check_rows(ckpt, &b, 3, 17, &mem);
        check_rows(ckpt, &b, ROWS - 1, 1, &mem);
        check_rows(ckpt, &b, 128, 256, &mem);
    }
    assert_int_equal(rc_decoder_offset(&b, 9, 20),
                     awq ? 20 * (ROWS / 2) + 4 : 9 * (COLS / 2) + 20 / 8 * 4);
    b.group = 0; /* a part that is missing */
    assert_null(rc_decoder_of(&b));
    rc_ckpt_close(&ckpt);
    assert_int_equal(mem.used, 0);
    fx_close(&dir);
}

static void test_piece_words(void **state)
{
    uint8_t in[8 * 4], out[8 * 4];

    (void)state;
    assert_int_equal(rc_int4_word_of_awq(0x75316420u), 0x76543210u);
    for (unsigned k = 0; k < 8; k++) /* column k: outputs 0 .. 7 plus k */
        for (unsigned n = 0; n < 4; n++) {
            static const uint8_t word[4] = { 0x20, 0x64, 0x31, 0x75 };

            in[4 * k + n] = (uint8_t)((word[n] % 16 + k) % 16 | ((word[n] / 16 + k) % 16) << 4);
        }
    rc_int4_turn(out, 4, in, 4, 8, 8);
    for (unsigned r = 0; r < 8; r++)
        for (unsigned k = 0; k < 8; k++)
            assert_int_equal(out[4 * r + k / 2] >> 4 * (k % 2) & 15, r + k);
}

static void test_piece_packed(void **state)
{
    (void)state;
    check_container(false);
}

static void test_piece_awq(void **state)
{
    (void)state;
    check_container(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_piece_words),
        cmocka_unit_test(test_piece_packed),
        cmocka_unit_test(test_piece_awq),
    };

    return cmocka_run_group_tests_name("piece", tests, NULL, NULL);
}
