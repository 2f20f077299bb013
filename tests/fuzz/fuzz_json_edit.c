/* tests/fuzz/fuzz_json_edit.c - editing keeps JSON JSON, and is stable: the same
 * edit of its own output changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "formats/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

typedef struct seen {
    const uint8_t *text;
    uint64_t last; /* offset of the event before */
    unsigned a, b, members;
    bool value_of_a;
} seen;

static rc_code look(void *ctx, const rc_json_event *ev, rc_err *err)
{
    static const char first[] = "{}[]\"\"-tfn";
    seen *s = ctx;
    const char c = (char)s->text[ev->offset];

    (void)err;
    REQUIRE(ev->offset >= s->last);
    REQUIRE(c == first[ev->type] || (ev->type == RC_JSON_NUMBER && c >= '0' && c <= '9'));
    REQUIRE(!memchr(ev->text, '\0', ev->len));
    s->last = ev->offset;
    if (s->value_of_a)
        REQUIRE(ev->type == RC_JSON_STRING && ev->len == 3 && memcmp(ev->text, "new", 3) == 0);
    s->value_of_a = false;
    if (ev->depth == 1 && ev->type == RC_JSON_KEY) {
        s->members++;
        s->value_of_a = ev->len == 1 && *ev->text == 'a';
        s->a += s->value_of_a;
        s->b += ev->len == 1 && *ev->text == 'b';
    }
    return RC_OK;
}

static rc_code count(void *ctx, const rc_json_event *ev, rc_err *err)
{
    seen *s = ctx;

    (void)err;
    if (ev->depth == 1 && ev->type == RC_JSON_KEY) {
        s->members++;
        s->a += ev->len == 1 && *ev->text == 'a';
        s->b += ev->len == 1 && *ev->text == 'b';
    }
    return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const rc_json_edit edits[] = { { "a", "\"new\"" }, { "b", NULL } };
    rc_mem mem = { .limit = (size_t)64 << 20 };
    rc_err err = { 0 };
    seen before = { .text = data }, after = { 0 };
    size_t len, len2;
    char *out, *out2;

    if (rc_json_edit_root(data, size, edits, 2, &out, &len, &mem, &err) != RC_OK) {
        REQUIRE(!out && err.code != RC_OK && err.msg[0] && mem.used == 0);
        REQUIRE(err.offset <= size);
        return 0;
    }
    REQUIRE(rc_json_parse(data, size, 0, count, &before, &mem, &err) == RC_OK);
    after.text = (const uint8_t *)out;
    REQUIRE(strlen(out) == len);
    REQUIRE(rc_json_parse((const uint8_t *)out, len, 0, look, &after, &mem, &err) == RC_OK);
    REQUIRE(after.a == 1 && after.b == 0);
    REQUIRE(after.members == before.members + 1 - before.a - before.b);
    REQUIRE(rc_json_edit_root((const uint8_t *)out, len, edits, 2, &out2, &len2, &mem, &err) ==
            RC_OK);
    REQUIRE(len == len2 && memcmp(out, out2, len) == 0);
    rc_mem_put(&mem, out);
    rc_mem_put(&mem, out2);
    REQUIRE(mem.used == 0);
    return 0;
}
