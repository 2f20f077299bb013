/* tests/unit/test_int4_config.c - what is said of 4-bit integers, among other things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "formats/int4_config.h"

static rc_int4_config parse(const char *quantization)
{
    rc_int4_config c;
    rc_mem mem = { 0 };
    char text[2000];
    rc_err err;

    snprintf(text, sizeof text,
             "{\"other\":{\"config_groups\":{\"g\":{\"weights\":{\"num_bits\":4}}}},"
             "\"quantization_config\":%s,\"bits\":4}",
             quantization);
    assert_int_equal(rc_int4_config_parse(&c, (const uint8_t *)text, strlen(text), &mem, &err),
                     RC_OK);
    assert_int_equal(mem.used, 0);
    return c;
}

static void test_int4_config_none(void **state)
{
    (void)state;
    assert_int_equal(parse("null").n, 0);
    assert_int_equal(parse("[4]").n, 0);
    assert_int_equal(parse("{\"bits\":8,\"group_size\":128}").n, 0);
    assert_int_equal(parse("{\"bits\":\"4\",\"group_size\":128}").n, 0);
    assert_int_equal(parse("{\"config_groups\":[]}").n, 0);
}

static void test_int4_config_awq(void **state)
{
    rc_int4_config c = parse("{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":128,"
                             "\"zero_point\":true,\"version\":\"gemm\","
                             "\"modules_to_not_convert\":[\"attn.\"]}");

    (void)state;
    assert_int_equal(c.n, 1);
    assert_int_equal(c.at[0].group, 128);
    assert_false(c.at[0].symmetric);
    assert_string_equal(c.version, "gemm");
    c = parse("{\"w_bit\":4,\"q_group_size\":64,\"zero_point\":false}");
    assert_int_equal(c.n, 1);
    assert_int_equal(c.at[0].group, 64);
    assert_true(c.at[0].symmetric);
}

static void test_int4_config_groups(void **state)
{
    const rc_int4_config c = parse(
        "{\"format\":\"pack-quantized\",\"config_groups\":{"
        "\"a\":{\"targets\":[\"x\",{\"weights\":{\"num_bits\":8}}],"
        "\"weights\":{\"num_bits\":4,\"type\":\"int\",\"symmetric\":false,\"group_size\":32}},"
        "\"b\":{\"format\":\"float-quantized\",\"weights\":{\"num_bits\":8,\"type\":\"float\"},"
        "\"input_activations\":{\"num_bits\":4,\"type\":\"int\",\"group_size\":7}},"
        "\"c\":{\"weights\":{\"num_bits\":4,\"type\":\"float\",\"group_size\":16}},"
        "\"d\":{\"format\":\"marlin\",\"weights\":{\"num_bits\":4,\"actorder\":\"group\","
        "\"group_size\":128}}}}");

    (void)state;
    assert_int_equal(c.n, 2);
    assert_int_equal(c.at[0].group, 32);
    assert_false(c.at[0].symmetric);
    assert_string_equal(c.at[0].format, "pack-quantized");
    assert_string_equal(c.at[0].actorder, "");
    assert_int_equal(c.at[1].group, 128);
    assert_true(c.at[1].symmetric);
    assert_string_equal(c.at[1].format, "marlin");
    assert_string_equal(c.at[1].actorder, "group");
}

static void test_int4_config_keeps_so_many(void **state)
{
    char text[1200] = "{\"config_groups\":{";

    (void)state;
    for (unsigned i = 0; i < RC_INT4_SAYS + 3; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "%s\"g%u\":{\"weights\":{\"num_bits\":4,\"group_size\":%u}}", i ? "," : "", i, i);
    strcat(text, "}}");
    assert_int_equal(parse(text).n, RC_INT4_SAYS);
    assert_int_equal(parse(text).at[RC_INT4_SAYS - 1].group, RC_INT4_SAYS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int4_config_none),
        cmocka_unit_test(test_int4_config_awq),
        cmocka_unit_test(test_int4_config_groups),
        cmocka_unit_test(test_int4_config_keeps_so_many),
    };

    return cmocka_run_group_tests_name("int4_config", tests, NULL, NULL);
}
