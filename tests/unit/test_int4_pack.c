/* tests/unit/test_int4_pack.c - orders of nibbles against their definitions, one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "kernels/int4_pack.h"

enum { ROWS = 24, COLS = 21 };

static uint8_t code(size_t r, size_t c)
{
    return (uint8_t)((r * 7 + c * 5 + r * c) % 16);
}

static uint32_t word_at(const uint8_t *p, size_t i)
{
    return (uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 | (uint32_t)p[4 * i + 2] << 16 |
           (uint32_t)p[4 * i + 3] << 24;
}

static void test_int4_published_vector(void **state)
{
    static const uint8_t q[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    uint8_t out[4];

    (void)state;
    rc_int4_awq_pack(out, 4, q, 1, 8, 1);
    assert_int_equal(word_at(out, 0), 0x75316420);
    rc_int4_pack(out, q, 8);
    assert_int_equal(word_at(out, 0), 0x76543210);
}

static void test_int4_plain_order(void **state)
{
    uint8_t q[64], out[32], back[64];

    (void)state;
    for (size_t i = 0; i < 64; i++)
        q[i] = code(3, i);
    rc_int4_pack(out, q, 64);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(out[i / 2] >> (i % 2 * 4) & 15, q[i]);
    rc_int4_unpack(back, out, 64);
    assert_memory_equal(back, q, 64);
}

static void test_int4_awq_order(void **state)
{
    static const unsigned nibble[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    uint8_t q[ROWS][COLS + 3], out[COLS][ROWS / 2], back[ROWS][COLS];

    (void)state;
    memset(q, 0xee, sizeof q);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++)
            q[r][c] = code(r, c);
    rc_int4_awq_pack(out[0], sizeof out[0], q[0], sizeof q[0], ROWS, COLS);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++)
            assert_int_equal(word_at(out[c], r / 8) >> (4 * nibble[r % 8]) & 15, q[r][c]);
    rc_int4_awq_unpack(back[0], COLS, out[0], sizeof out[0], ROWS, COLS);
    for (size_t r = 0; r < ROWS; r++)
        assert_memory_equal(back[r], q[r], COLS);
}

static void test_int4_zeros_along_rows(void **state)
{
    uint8_t zero[ROWS][COLS], out[ROWS / 8 * COLS * 4], back[ROWS][COLS];

    (void)state;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++)
            zero[r][c] = code(r, c);
    rc_int4_zeros_pack(out, zero[0], ROWS, COLS);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++)
            assert_int_equal(word_at(out, r / 8 * COLS + c) >> (4 * (r % 8)) & 15, zero[r][c]);
    rc_int4_zeros_unpack(back[0], out, ROWS, COLS);
    assert_memory_equal(back, zero, sizeof zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int4_published_vector),
        cmocka_unit_test(test_int4_plain_order),
        cmocka_unit_test(test_int4_awq_order),
        cmocka_unit_test(test_int4_zeros_along_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
