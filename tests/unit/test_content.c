/* tests/unit/test_content.c - identities as `sha256sum` and `git hash-object` print them. */
#include "tests/unit/fixture.h"

#include "formats/content.h"

static const struct {
    rc_content_kind kind;
    size_t nbytes; /* of "abcabcabc..." */
    const char *hex;
} known[] = {
    { RC_CONTENT_SHA256, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { RC_CONTENT_SHA256, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { RC_CONTENT_SHA256, 100000,
      "3af361142563c6e63e2a271176a8b1f61b046c53b4b9dd077be78c895d1919e1" },
    { RC_CONTENT_GIT, 0, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391" },
    { RC_CONTENT_GIT, 3, "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f" },
    { RC_CONTENT_GIT, 100000, "7fd977054bb5764f93804a7dd1f304efa879b0df" },
};

static uint8_t text[100000];

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)("abc"[i % 3]);
    return 0;
}

/* In pieces of any size, and with a state that was kept in between. */
static void test_content_known(void **state)
{
    const size_t pieces[] = { 1, 63, 64, 65, 4096, 100000 };
    char hex[RC_CONTENT_HEX];

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            rc_content_hasher h, kept;
            rc_content_id id;

            rc_content_begin(&h, known[i].kind, known[i].nbytes);
            for (size_t at = 0; at < known[i].nbytes; at += pieces[p]) {
                const size_t left = known[i].nbytes - at;

                assert_true(rc_content_resumable(&h));
                memcpy(&kept, &h, sizeof kept);
                memset(&h, 0xff, sizeof h);
                (void)rc_content_end(&kept); /* leaves it as it was */
                rc_content_add(&kept, text + at, left < pieces[p] ? left : pieces[p]);
                memcpy(&h, &kept, sizeof h);
            }
            assert_int_equal(h.nbytes, known[i].nbytes);
            id = rc_content_end(&h);
            assert_string_equal(rc_content_hex(&id, hex), known[i].hex);
        }
}

static void test_content_parse(void **state)
{
    const char *sha = known[1].hex, *git = known[4].hex;
    rc_content_id a, b;
    char bad[65], hex[RC_CONTENT_HEX];

    (void)state;
    assert_true(rc_content_parse(&a, sha, 64));
    assert_int_equal(a.kind, RC_CONTENT_SHA256);
    assert_string_equal(rc_content_hex(&a, hex), sha);
    assert_true(rc_content_parse(&b, git, 40));
    assert_int_equal(b.kind, RC_CONTENT_GIT);
    assert_string_equal(rc_content_hex(&b, hex), git);
    assert_false(rc_content_equal(&a, &b));
    b = a;
    assert_true(rc_content_equal(&a, &b));
    b.bytes[31] ^= 1;
    assert_false(rc_content_equal(&a, &b));
    for (size_t len = 0; len <= 64; len++)
        assert_true(rc_content_parse(&a, sha, len) == (len == 40 || len == 64));
    for (size_t i = 0; i < 64; i++) {
        memcpy(bad, sha, 65);
        bad[i] = "gG/:A"[i % 5];
        assert_false(rc_content_parse(&a, bad, 64));
        assert_int_equal(a.kind, RC_CONTENT_UNKNOWN);
    }
    assert_string_equal(rc_content_hex(&a, hex), "");
}

/* A state from a file that says more waits in it than can. */
static void test_content_resumable(void **state)
{
    const rc_content_kind kinds[] = { RC_CONTENT_SHA256, RC_CONTENT_GIT };

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        rc_content_hasher h, bad;
        unsigned refused = 0;

        rc_content_begin(&h, kinds[k], 1000);
        rc_content_add(&h, text, 70);
        assert_true(rc_content_resumable(&h));
        for (size_t i = 0; i < sizeof h.state; i++) {
            bad = h;
            bad.state[i] ^= 0x80;
            refused += !rc_content_resumable(&bad);
            if (rc_content_resumable(&bad)) /* nothing worse than another digest */
                rc_content_add(&bad, text, 1000);
        }
        assert_true(refused >= 4);
        bad = h;
        bad.kind = RC_CONTENT_UNKNOWN;
        assert_false(rc_content_resumable(&bad));
        bad.kind = (rc_content_kind)77;
        assert_false(rc_content_resumable(&bad));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_known),
        cmocka_unit_test(test_content_parse),
        cmocka_unit_test(test_content_resumable),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
