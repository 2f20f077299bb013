/* tests/fuzz/fuzz_http_head.c - the head of an answer, from anybody: numbers that contradict each
 * other and addresses that lead out are none. */
#include <stdlib.h>
#include <string.h>

#include "formats/base/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static void check(const rc_http_head *h)
{
    static const char base[] = "https://hub.example/a/b?c";
    rc_mem mem = { 0 };
    rc_origin first, to;
    char *url, shown[64];

    REQUIRE(!h->has_range || h->begin <= h->last);
    REQUIRE(!h->whole || (h->status >= 200 && h->status <= 599));
    REQUIRE(!h->etag[0] || h->etag[0] == '"');
    REQUIRE(rc_http_head_wait(h, 0) >= 0);
    if (rc_url_join(&url, base, h->location, &mem, NULL) == RC_OK) {
        REQUIRE(strlen(url) < RC_URL_MAX && rc_origin_of(&to, url) && !to.has_user);
        REQUIRE(rc_origin_of(&first, base));
        if (rc_origin_may_lead(&first, &first, &to, NULL) == RC_OK)
            REQUIRE(to.secure && !rc_origin_is_inside(&to));
        REQUIRE(!strchr(rc_url_show(url, shown, sizeof shown), '?'));
        rc_mem_put(&mem, url);
    }
    REQUIRE(mem.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rc_http_head head;
    bool going = true;

    memset(&head, 0, sizeof head);
    while (size && going) {
        const uint8_t *end = memchr(data, '\n', size);
        const size_t len = end ? (size_t)(end - data) + 1 : size;
        char *line = malloc(len); /* of its own, so that reading past it shows */

        REQUIRE(line);
        memcpy(line, data, len);
        going = rc_http_head_line(&head, line, len);
        free(line);
        data += len;
        size -= len;
    }
    check(&head);
    return 0;
}
