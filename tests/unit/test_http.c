/* tests/unit/test_http.c - heads of answers, addresses, redirects, when to try again: all of HTTP
 * that needs no server. */
#include <stdlib.h>

#include "formats/base/http_head.h"
#include "formats/base/http_wait.h"
#include "formats/base/stop.h"
#include "tests/unit/fixture.h"

static rc_http_head head;

static bool line(const char *text)
{
    return rc_http_head_line(&head, text, strlen(text));
}

/* A head of one status and one line. */
static const rc_http_head *of(const char *text)
{
    memset(&head, 0, sizeof head);
    assert_true(line("HTTP/1.1 206 Partial Content\r\n"));
    assert_true(line(text));
    assert_true(line("\r\n"));
    assert_true(head.whole);
    return &head;
}

static void test_http_head_ranges(void **state)
{
    const rc_http_head *h = of("Content-Range: bytes 0-9/100\r\n");

    (void)state;
    assert_true(h->has_range && h->has_total && h->begin == 0 && h->last == 9 && h->total == 100);
    h = of("content-range:bytes 5-5/*");
    assert_true(h->has_range && !h->has_total && h->begin == 5 && h->last == 5);
    h = of("Content-Range: bytes */77");
    assert_true(!h->has_range && h->has_total && h->total == 77);
    assert_false(of("Content-Range: bytes 9-5/100")->has_range);
    assert_false(of("Content-Range: bytes -1--5/100")->has_range);
    assert_false(of("Content-Range: bytes 0-9")->has_range);
    assert_false(of("Content-Range: items 0-9/100")->has_range);
    assert_false(of("Content-Range: bytes 18446744073709551616-1/x")->has_range);
    assert_false(of("Content-Range: bytes 0-9/100x")->has_total);
    assert_false(of("Content-Range: bytes 0-9/*5")->has_total);
    assert_false(of("Content-Range:")->has_range);
}

static void test_http_head_values(void **state)
{
    (void)state;
    assert_true(of("Content-Length: 42")->has_length && head.length == 42);
    assert_false(of("Content-Length: -42")->has_length);
    assert_false(of("Content-Length: 42, 42")->has_length);
    assert_string_equal(of("ETag: \"abc\"")->etag, "\"abc\"");
    assert_string_equal(of("ETag: W/\"abc\"")->etag, "");
    assert_string_equal(of("ETag: abc")->etag, "");
    assert_string_equal(of("X-Linked-ETag: W/\"abc\"")->linked_etag, "abc");
    assert_string_equal(of("x-repo-commit: abc \t")->commit, "abc");
    assert_true(of("Content-Encoding: gzip")->encoded);
    assert_false(of("Content-Encoding: identity")->encoded);
    assert_true(of("Content-Type: Text/HTML; charset=utf-8")->html);
    assert_true(of("X-Linked-Size: 7")->has_linked_size && head.linked_size == 7);
    assert_string_equal(of("nonsense without a colon")->etag, "");
}

static void test_http_head_links(void **state)
{
    (void)state;
    assert_string_equal(of("Link: <https://h/a?cursor=x>; rel=\"next\"")->next,
                        "https://h/a?cursor=x");
    assert_string_equal(of("Link: <https://h/1>; rel=\"prev\", </2>; rel=\"next\"")->next, "/2");
    assert_string_equal(of("Link: </3>; rel=next")->next, "/3");
    assert_string_equal(of("Link: </1>; rel=\"last\"")->next, "");
    assert_string_equal(of("Link: </1; rel=\"next\"")->next, "");
    assert_string_equal(of("Link: <")->next, "");
}

/* 100 and 103 come first; trailers come last and say nothing. */
static void test_http_head_order(void **state)
{
    (void)state;
    memset(&head, 0, sizeof head);
    assert_true(line("HTTP/1.1 103 Early Hints\r\n") && line("ETag: \"hint\"\r\n") && line("\r\n"));
    assert_false(head.whole);
    assert_true(line("HTTP/1.1 200 OK\r\n"));
    assert_string_equal(head.etag, "");
    assert_true(line("ETag: \"real\"\r\n") && line("\r\n") && head.whole);
    assert_true(line("ETag: \"trailer\"\r\n"));
    assert_string_equal(head.etag, "\"real\"");
    assert_int_equal(head.status, 200);
}

static void test_http_head_limits(void **state)
{
    char *longest = calloc(1, RC_HTTP_MAX_LINE + 2);

    (void)state;
    assert_non_null(longest);
    memset(&head, 0, sizeof head);
    assert_false(line("HTTP/1.1 99 Hm"));
    assert_false(line("HTTP/1.1 999999 Hm"));
    assert_false(line("HTTP/1.1"));
    assert_false(rc_http_head_line(&head, "a\0b: c", 6));
    memset(longest, 'a', RC_HTTP_MAX_LINE + 1);
    assert_true(rc_http_head_line(&head, longest, RC_HTTP_MAX_LINE));
    assert_false(rc_http_head_line(&head, longest, RC_HTTP_MAX_LINE + 1));
    free(longest);
    memset(&head, 0, sizeof head);
    for (unsigned i = 0; i < RC_HTTP_MAX_LINES; i++)
        assert_true(line(i % 2 ? "HTTP/1.1 100 Continue" : "")); /* interim ones count, too */
    assert_false(line("a: b"));
}

static double wait_of(const char *retry_after, const char *date)
{
    char text[128];

    snprintf(text, sizeof text, "Retry-After: %s", retry_after);
    of(text);
    snprintf(head.date, sizeof head.date, "%s", date);
    return rc_http_head_wait(&head, 1445412470); /* Wed, 21 Oct 2015 07:27:50 GMT */
}

static void test_http_head_wait(void **state)
{
    (void)state;
    assert_true(wait_of("120", "") == 120);
    assert_true(wait_of("Wed, 21 Oct 2015 07:28:00 GMT", "") == 10);
    assert_true(wait_of("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:27:00 GMT") == 60);
    assert_true(wait_of("Wed, 21 Oct 2015 07:00:00 GMT", "") == 0); /* over */
    assert_true(wait_of("soon", "") == 0);
    assert_true(wait_of("-5", "") == 0);
    assert_true(rc_http_head_wait(of("RateLimit: \"api\";r=0;t=55"), 0) == 55);
    assert_true(rc_http_head_wait(of("RateLimit: \"api\";r=10;t=55"), 0) == 0);
    assert_true(rc_http_head_wait(of("X: y"), 0) == 0);
}

/* -- addresses ------------------------------------------------------------- */

static rc_origin origin(const char *url)
{
    rc_origin o;

    if (!rc_origin_of(&o, url))
        fail_msg("%s is no address", url);
    return o;
}

static bool same(const char *a, const char *b)
{
    const rc_origin x = origin(a), y = origin(b);

    return rc_origin_equal(&x, &y);
}

static void test_http_origins(void **state)
{
    rc_origin o;

    (void)state;
    assert_true(same("https://Host/a", "https://host:443/b?c"));
    assert_false(same("https://host", "http://host"));
    assert_false(same("https://host", "https://host:444"));
    assert_false(same("https://host", "https://host.example"));
    assert_false(same("https://host", "https://host@other"));
    assert_true(origin("https://u:p@h/").has_user);
    assert_true(origin("https://h/?q").has_query && origin("https://h/#f").has_query);
    assert_false(rc_origin_of(&o, "ftp://h/"));
    assert_false(rc_origin_of(&o, "file:///etc/passwd"));
    assert_false(rc_origin_of(&o, "http://[::1/"));
    assert_false(rc_origin_of(&o, "no address"));
    assert_false(rc_origin_of(&o, ""));
}

static void test_http_inside(void **state)
{
    static const char *const inside[] = {
        "http://127.0.0.1",  "http://127.1",        "http://0x7f.1",     "http://2130706433",
        "http://localhost",  "http://a.localhost.", "http://[::1]",      "http://10.0.0.1",
        "http://172.16.0.1", "http://192.168.1.1",  "http://100.64.1.1", "http://169.254.169.254",
        "http://[fe80::1]",  "http://[fd00::1]",    "http://0.0.0.0",    "http://[::ffff:10.0.0.1]",
        "http://[::]",
    };
    static const char *const outside[] = { "http://8.8.8.8", "http://172.32.0.1", "http://host",
                                           "http://[2001:db8::1]", "http://localhost.example" };

    (void)state;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        const rc_origin o = origin(inside[i]);

        if (!rc_origin_is_inside(&o))
            fail_msg("%s is inside", inside[i]);
    }
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        const rc_origin o = origin(outside[i]);

        if (rc_origin_is_inside(&o) || rc_origin_is_loopback(&o))
            fail_msg("%s is outside", outside[i]);
    }
}

static rc_code leads(const char *first, const char *from, const char *to)
{
    const rc_origin a = origin(first), b = origin(from), c = origin(to);

    return rc_origin_may_lead(&a, &b, &c, NULL);
}

static void test_http_redirects(void **state)
{
    static const char hub[] = "https://hub.example", cdn[] = "https://cdn.example";

    (void)state;
    assert_int_equal(leads(hub, hub, cdn), RC_OK);
    assert_int_equal(leads(hub, cdn, "http://cdn.example"), RC_E_PROTOCOL);
    assert_int_equal(leads(hub, hub, "https://127.0.0.1"), RC_E_UNSAFEPATH);
    assert_int_equal(leads(hub, hub, "https://169.254.169.254"), RC_E_UNSAFEPATH);
    assert_int_equal(leads(hub, hub, "https://192.168.0.1"), RC_E_UNSAFEPATH);
    assert_int_equal(leads("https://10.0.0.5", "https://10.0.0.5", "https://10.0.0.5"), RC_OK);
    assert_int_equal(leads("http://127.0.0.1:1", "http://127.0.0.1:1", "http://localhost:2"),
                     RC_OK);
    assert_int_equal(leads("http://127.0.0.1:1", "http://127.0.0.1:1", cdn), RC_OK);
    assert_int_equal(leads("http://127.0.0.1:1", "http://127.0.0.1:1", "http://host"),
                     RC_E_PROTOCOL);
    assert_int_equal(leads("https://localhost", "https://localhost", "http://localhost"),
                     RC_E_PROTOCOL);
}

static void join(const char *base, const char *location, const char *want, rc_code code)
{
    rc_mem mem = { 0 };
    char *out;

    assert_int_equal(rc_url_join(&out, base, location, &mem, NULL), code);
    if (want)
        assert_string_equal(out, want);
    rc_mem_put(&mem, out);
    assert_int_equal(mem.used, 0);
}

static void test_http_join(void **state)
{
    (void)state;
    join("https://h/a/b?c", "/d?e#f", "https://h/d?e", RC_OK);
    join("https://h/a/b", "c", "https://h/a/c", RC_OK);
    join("https://h/a", "//other/x", "https://other/x", RC_OK);
    join("https://h/a", "http://other/x", "http://other/x", RC_OK);
    join("https://h/a", "file:///etc/passwd", NULL, RC_E_UNSAFEPATH);
    join("https://h/a", "data:text/plain,a", NULL, RC_E_UNSAFEPATH);
    join("https://h/a", "https://u:p@h/", NULL, RC_E_PROTOCOL);
    join("https://h/a", "http://[::1/", NULL, RC_E_PROTOCOL);
}

static void test_http_show(void **state)
{
    char buf[64], url[40] = "https://h/";

    (void)state;
    assert_string_equal(rc_url_show("https://u:p@h:8/a?Signature=x#y", buf, sizeof buf),
                        "https://h:8/a");
    assert_string_equal(rc_url_show("https://u@x:p@h/a@b", buf, sizeof buf), "https://h/a@b");
    assert_string_equal(rc_url_show("h/a\033[1m", buf, sizeof buf), "h/a\\x1b[1m");
    assert_true(rc_url_encode(url, sizeof url, "a b/\xc3\xa9#?%"));
    assert_string_equal(url, "https://h/a%20b/%C3%A9%23%3F%25");
    assert_false(rc_url_encode(url, sizeof url, "and more than there is room for"));
}

/* -- tries ----------------------------------------------------------------- */

static void test_http_backoff(void **state)
{
    (void)state;
    assert_true(rc_http_backoff(1, 0, 0) == 0.25 && rc_http_backoff(1, 1, 0) == 0.5);
    assert_true(rc_http_backoff(2, 1, 0) == 1 && rc_http_backoff(4, 1, 0) == 4);
    assert_true(rc_http_backoff(7, 1, 0) == 30 && rc_http_backoff(4000000000u, 1, 0) == 30);
    assert_true(rc_http_backoff(7, 0.5, 0) == 22.5);
    assert_true(rc_http_backoff(1, 1, 10) == 10);
    assert_true(rc_http_backoff(1, 1, 1e9) == RC_HTTP_PATIENCE);
}

static void test_http_tries(void **state)
{
    rc_http_tries t = { 0 };

    (void)state;
    assert_false(rc_http_again(&t, 0, RC_E_TEMPORARY, 0, 1));
    t = (rc_http_tries){ 0 };
    for (int i = 0; i < 8; i++)
        assert_true(rc_http_again(&t, 8, RC_E_TEMPORARY, 100, 1)); /* a drip is no progress */
    assert_false(rc_http_again(&t, 8, RC_E_TEMPORARY, 0, 1));
    assert_true(rc_http_again(&t, 8, RC_E_TEMPORARY, 1 << 20, 1)); /* progress is */
    assert_int_equal(t.failed, 1);
    t = (rc_http_tries){ 0 };
    assert_true(rc_http_again(&t, 8, RC_E_PROTOCOL, 0, 1));
    assert_true(rc_http_again(&t, 8, RC_E_PROTOCOL, 0, 1));
    assert_false(rc_http_again(&t, 8, RC_E_PROTOCOL, 0, 1)); /* broken is broken */
}

static void test_http_stopped(void **state)
{
    const double began = rc_http_now();

    (void)state;
    assert_int_equal(rc_http_wait(0.02, NULL, NULL), RC_OK);
    assert_true(rc_http_now() - began >= 0.02);
    rc_stop_request(15);
    assert_int_equal(rc_http_wait(100, NULL, NULL), RC_E_STOPPED);
    rc_stop_request(0);
    assert_true(rc_http_now() - began < 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_head_ranges), cmocka_unit_test(test_http_head_values),
        cmocka_unit_test(test_http_head_links),  cmocka_unit_test(test_http_head_order),
        cmocka_unit_test(test_http_head_limits), cmocka_unit_test(test_http_head_wait),
        cmocka_unit_test(test_http_origins),     cmocka_unit_test(test_http_inside),
        cmocka_unit_test(test_http_redirects),   cmocka_unit_test(test_http_join),
        cmocka_unit_test(test_http_show),        cmocka_unit_test(test_http_backoff),
        cmocka_unit_test(test_http_tries),       cmocka_unit_test(test_http_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
