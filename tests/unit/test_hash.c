/* tests/unit/test_hash.c - digests: the published value of nothing, and every variant alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/hash_impl.h"

/* XXH3 128 of no bytes, seed 0: xxHash's own test vector 99aa06d3014798d8 6001c324468d497f. */
static void test_hash_of_nothing(void **state)
{
    const rc_digest d = rc_hash("", 0);
    char hex[33];

    (void)state;
    assert_string_equal(rc_digest_hex(&d, hex), "99aa06d3014798d86001c324468d497f");
}

static void same(const rc_hash_impl *impl, const uint8_t *data, size_t n)
{
    _Alignas(64) rc_hasher hasher;
    const XXH128_hash_t want = XXH3_128bits(data, n);

    rc_hash_begin(&hasher);
    impl->add(&hasher, data, n / 3);
    impl->add(&hasher, data + n / 3, n - n / 3);
    assert_true(XXH128_isEqual(want, impl->end(&hasher)));
    assert_true(XXH128_isEqual(want, impl->once(data, n)));
}

static void test_hash_variants(void **state)
{
    static const size_t sizes[] = { 0, 1, 16, 17, 128, 129, 240, 241, 1024, 4096, 100003 };
    uint8_t *data = malloc(100003);

    (void)state;
    for (size_t i = 0; i < 100003; i++)
        data[i] = (uint8_t)(i * 31 + i / 7);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        same(&rc_hash_any, data, sizes[i]);
        if (__builtin_cpu_supports("avx2"))
            same(&rc_hash_avx2, data, sizes[i]);
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
            same(&rc_hash_avx512, data, sizes[i]);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_of_nothing),
        cmocka_unit_test(test_hash_variants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
