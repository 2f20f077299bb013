/* tests/fuzz/fuzz_bpe.c - a text in a vocabulary from anybody: tokenizer.json, and behind a NUL the
 * text; without a NUL, the whole is a text in the vocabulary of synth. Whatever the vocabulary
 * is, encoding ends, and the bytes of the ids are the text. */
#include <stdlib.h>
#include <string.h>

#include "convert/synth_tokenizer.h"
#include "formats/base/utf8.h"
#include "formats/bpe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static rc_code build(rc_bpe **out, const char *json, size_t len, rc_mem *mem, rc_err *err)
{
    rc_tokenizer *t;

    *out = NULL;
    RC_TRY(rc_tokenizer_parse(&t, (const uint8_t *)json, len, NULL, 0, 0, NULL, mem, err));
    return rc_bpe_new(out, &t, mem, err);
}

/* The one vocabulary that is made once and kept. */
static const rc_bpe *synthetic(void)
{
    static rc_mem mem;
    static rc_bpe *b;
    rc_err err;
    size_t len;
    char *json;

    if (b)
        return b;
    REQUIRE(rc_synth_tokenizer(&json, &len, 1024, &mem, &err) == RC_OK);
    REQUIRE(build(&b, json, len, &mem, &err) == RC_OK);
    rc_mem_put(&mem, json);
    return b;
}

static void compare(const rc_bpe *b, const rc_ids *ids, const char *text, size_t len)
{
    rc_utf8_tail tail = { 0 };
    char out[RC_TOKENIZER_MAX_TOKEN + RC_UTF8_HELD];
    size_t at = 0;

    for (size_t i = 0; i < ids->n; i++) {
        size_t n;
        const char *bytes = rc_bpe_bytes(b, ids->at[i], &n);

        REQUIRE(bytes && n && n <= RC_TOKENIZER_MAX_TOKEN && n <= len - at - tail.n);
        n = rc_utf8_push(&tail, bytes, n, out);
        REQUIRE(memcmp(out, text + at, n) == 0);
        at += n;
    }
    REQUIRE(at + tail.n == len && memcmp(tail.held, text + at, tail.n) == 0);
}

static void encode(const rc_bpe *b, const char *text, size_t len)
{
    rc_mem mem = { .limit = (size_t)256 << 20 };
    rc_ids ids = { .mem = &mem };
    rc_err err = { 0 };
    const rc_code rc = rc_bpe_encode(b, text, len, &ids, &err);

    REQUIRE(rc == RC_OK || rc == RC_E_DATA);
    REQUIRE(rc == err.code);
    if (rc == RC_OK)
        compare(b, &ids, text, len);
    rc_mem_put(&mem, ids.at);
    REQUIRE(mem.used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *nul = size ? memchr(text, 0, size) : NULL;
    rc_mem mem = { .limit = (size_t)256 << 20 };
    rc_err err = { 0 };
    rc_bpe *b = NULL;

    if (!nul) {
        encode(synthetic(), text, size);
        return 0;
    }
    if (build(&b, text, (size_t)(nul - text), &mem, &err) == RC_OK)
        encode(b, nul + 1, size - (size_t)(nul + 1 - text));
    else
        REQUIRE(!b && err.msg[0]);
    rc_bpe_free(&b);
    REQUIRE(mem.used == 0);
    return 0;
}
